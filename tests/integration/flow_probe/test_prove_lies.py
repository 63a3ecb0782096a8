"""A host of the site is taken, and its Python says what the attacker wants: the playbook `prove` over network namespaces.

Tier web has host a, tier db has b, r is the router, c stands for the internet; a may reach b's ssh and nothing else. Each
attack is one that would make the proof hold over a hole, or make the controller or the fleet do something else.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from probe_fleet import Fleet, close, reopen
from probe_network import A, B, C, run

SITE = {
    "bulkhead_tiers": {
        "web": {"vlan": 1, "subnet": "10.201.1.0/24", "gateway": "10.201.1.1"},
        "db": {"vlan": 2, "subnet": "10.201.2.0/24", "gateway": "10.201.2.1"},
    },
    "bulkhead_services": {"ssh": "22/tcp", "postgres": "5432/tcp"},
    "bulkhead_flows": [{"from": "web", "to": "db", "allow": "ssh"}],
}
GROUPS = {"web": ["a"], "db": ["b"], "gateway": ["r"], "outside": ["c"]}
OPEN = f"-p tcp -s {A} -d {B} --dport 22 -j ACCEPT"
HOLE = f"-p tcp -s {A} -d {B} --dport 5432 -j ACCEPT"


@pytest.fixture(name="fleet")
def fixture_fleet(network, tmp_path):
    """The four hosts with the filters that the site declares."""
    fleet = Fleet(tmp_path, SITE, GROUPS, {"c": [f"{C}/24"]})
    close()
    fleet.let(OPEN)
    yield fleet
    reopen()


def test_without_a_lie_the_proof_holds(fleet):
    proof = fleet.prove()
    assert proof.status == 0, proof.output
    assert proof.report["totals"]["allowed"] == 1 and proof.report["holds"] is True


def test_on_a_machine_that_is_busy_the_proof_holds_as_well(fleet):
    """Ten busy processes beside it: answers and controls are late."""
    words = ["timeout", "300", sys.executable, "-c", "while True: pass"]  # they end, even if this test is killed
    busy = [subprocess.Popen(words) for _number in range(10)]
    try:
        proof = fleet.prove()
    finally:
        for process in busy:
            process.terminate()  # timeout passes it on
            process.wait()
    assert proof.status == 0, proof.output


def test_a_taken_host_that_declares_its_own_flows_and_leaves_the_play_changes_nothing(fleet):
    """a is the first host of the play, whose variables and facts used to govern the judgement."""
    fleet.let(HOLE)
    flows = [*SITE["bulkhead_flows"], {"from": "web", "to": "db", "allow": "postgres"}]
    fleet.take(
        "b",
        f"""
        calls = {flows!r}
        def lie(module, said):
            said["ansible_facts"] = {{"bulkhead_flows": calls, "bulkhead_host": {{"tiers": []}}, "prove_outside": "db"}}
            return said
        """,
    )
    proof = fleet.prove()
    assert proof.status != 0, proof.output
    assert [failure["ports"] for failure in proof.report["failures"]] == [["5432/tcp (postgres)"]]
    fleet.take(
        "a",
        "def lie(module, said):\n    return {'failed': True, 'msg': 'gone', 'ansible_facts': {'bulkhead_flows': []}}",
    )
    proof = fleet.prove()
    assert proof.status != 0 and "gone" in proof.report["missing"]["a"]


@pytest.mark.parametrize(
    "edit",
    [
        "said['results'] = []",
        "said['results'] = [one for one in said['results'] if one['verdict'] != 'ALLOWED'][:5]",
        "said['results'] = [{**one, 'verdict': 'DROPPED'} for one in said['results']]",
        "said['results'] = said['results'] * 2",
        # All that is true, up to the one that is not to be seen: zipped by position, what comes after it was never missed.
        "said['results'] = said['results'][: [one['verdict'] for one in said['results']].index('ALLOWED', 2)]",
    ],
    ids=["no results", "some results", "all dropped", "results twice", "results up to the hole"],
)
def test_a_taken_prober_that_hides_what_it_reached_is_found_out(fleet, edit):
    fleet.let(HOLE)
    fleet.take("a", f"def lie(module, said):\n    if 'results' in said:\n        {edit}\n    return said\n")
    proof = fleet.prove()
    assert proof.status != 0, proof.output
    assert any(
        "5432/tcp (postgres)" in failure["ports"] for failure in proof.report["failures"] if failure["status"] == "open"
    )


def test_a_taken_prober_that_sends_nothing_proves_nothing(fleet):
    """It asks b for the declared answer alone, and claims that all the rest was silent."""
    fleet.let(HOLE)
    fleet.take(
        "a",
        """
        def lie(module, said):
            for one in said.get("results", ()):
                one.update(verdict="DROPPED", ms=1000.0)
                one.pop("mac", None)
            return said
        """,
    )
    run(f"ip netns exec fp-a iptables -A OUTPUT -d {B} -p tcp --dport 5432 -j DROP")
    try:
        proof = fleet.prove()
    finally:
        run("ip netns exec fp-a iptables -F OUTPUT")
    assert proof.status != 0, proof.output
    found = {
        probe["status"] for probe in proof.report["probes"] if probe["source_host"] == "a" and probe["port"] == 5432
    }
    assert "inconclusive" in found and "denied" not in {
        probe["status"]
        for probe in proof.report["probes"]
        if (probe["source_host"], probe["dest_host"], probe["proto"], probe["port"]) == ("a", "b", "tcp", 5432)
    }


def test_a_prober_that_sends_all_but_the_packet_to_the_hole_proves_nothing(fleet):
    """It says nothing but the truth, and what it may reach is answered: that used to show that the way is good."""
    fleet.let(HOLE)
    run(f"ip netns exec fp-a iptables -A OUTPUT -d {B} -p tcp --dport 5432 -j DROP")
    try:
        proof = fleet.prove()
    finally:
        run("ip netns exec fp-a iptables -F OUTPUT")
    assert proof.status != 0, proof.output
    assert [
        (failure["status"], failure["ports"]) for failure in proof.report["failures"] if "5432" in str(failure["ports"])
    ] == [("inconclusive", ["5432/tcp (postgres)"])]


def test_a_prober_whose_packet_to_the_hole_has_its_last_hop_behind_the_router_hides_nothing(fleet):
    """Its last hop is used up at the router, which seems to have stopped it; b lets it in all the same."""
    fleet.let(HOLE)
    fleet.take(
        "a",
        """
        def lie(module, said):
            for one in said.get("results", ()):
                if one["verdict"] == "ALLOWED" and one["ms"] and lie.hole(one):
                    one.update(verdict="DROPPED")
                    one.pop("mac", None)
            return said
        lie.hole = lambda one, seen=[]: seen.append(one) or len(seen) == 2
        """,
    )
    run(f"ip netns exec fp-a iptables -t mangle -A POSTROUTING -d {B} -p tcp --dport 5432 -j TTL --ttl-set 2")
    try:
        proof = fleet.prove()
    finally:
        run("ip netns exec fp-a iptables -t mangle -F")
    assert proof.status != 0, proof.output
    assert ("open", ["5432/tcp (postgres)"]) in [(one["status"], one["ports"]) for one in proof.report["failures"]]


ANSWERS_FOR_B = f"""
import json, socket
server = socket.create_server(("{C}", 22))
print("ready", flush=True)
while True:
    stream, peer = server.accept()
    with stream:
        stream.settimeout(2)
        try:
            token, job = stream.recv(1024)[4:].decode().split()
            said = {{"id": job, "name": "b", "peer": peer[0], "at": "{B}", "port": 22, "mac": "0" * 32}}
            stream.sendall(b"bha " + token.encode() + b" " + json.dumps(said).encode() + bytes([10]))
            stream.recv(1)
        except (OSError, ValueError):
            pass
"""


def test_another_host_that_answers_in_the_place_of_a_declared_one_is_no_proof_that_it_works(fleet, service):
    """r and c are taken: what is for b's ssh goes to c, which speaks in b's name and says nothing of it."""
    service("c", ANSWERS_FOR_B)
    fleet.take(
        "c",
        f"""
        def lie(module, said):
            said["passed"] = [one for one in said.get("passed", ()) if one["source"] != {A!r} or one["proto"] != "tcp"]
            said["services"] = []
            return said
        """,
    )
    run(f"ip netns exec fp-r iptables -t nat -A PREROUTING -p tcp -s {A} -d {B} --dport 22 -j DNAT --to {C}")
    run("ip netns exec fp-r iptables -A FORWARD -p tcp -m conntrack --ctstate DNAT -j ACCEPT")
    try:
        proof = fleet.prove()
    finally:
        run("ip netns exec fp-r iptables -t nat -F")
    assert proof.status != 0, proof.output
    assert ("misdirected", ["22/tcp (ssh)"]) in [(one["status"], one["ports"]) for one in proof.report["failures"]]


def test_a_taken_host_writes_no_file_of_the_controller_and_makes_no_host(fleet, tmp_path):
    victim = tmp_path / "authorized_keys"
    victim.write_text("the administrator's")
    fleet.take(
        "a",
        f"""
        def lie(module, said):
            said["ansible_facts"] = {{"prove_report": {str(victim)!r}, "prove_seed": "1", "ansible_connection": "ssh"}}
            said["add_host"] = {{"host_name": "evil", "groups": ["db"], "host_vars": {{}}}}
            said["add_group"] = "outside"
            return said
        """,
    )
    proof = fleet.prove()
    assert victim.read_text() == "the administrator's"
    recap = proof.output[proof.output.index("PLAY RECAP") :]
    assert proof.status == 0 and "evil" not in recap and "evil" not in json.dumps(proof.report), proof.output


def test_a_gateway_that_claims_the_internet_makes_no_host_scan_it(fleet):
    fleet.take(
        "r",
        """
        def lie(module, said):
            if "addresses" in said:
                strangers = ["8.8.8.8", *(f"198.18.{n // 250}.{n % 250}" for n in range(2000))]
                said["addresses"] += [{"address": one, "prefix": 32, "interface": "x", "bridge": False} for one in strangers]
            return said
        """,
    )
    proof = fleet.prove()
    assert {probe["dest"] for probe in proof.report["probes"]} <= {A, B, C, "10.201.1.1", "10.201.2.1"}
    assert proof.status == 0 and any("8.8.8.8" in note for note in proof.report["notes"]), proof.output


def test_a_host_that_claims_another_host_s_address_proves_nothing(fleet):
    fleet.let(HOLE)
    fleet.take(
        "r",
        f"""
        def lie(module, said):
            if "addresses" in said:
                said["addresses"] = [{{"address": {B!r}, "prefix": 24, "interface": "x", "bridge": False}}, *said["addresses"]]
            return said
        """,
    )
    proof = fleet.prove()
    assert proof.status != 0 and {"b", "r"} <= set(proof.report["missing"])


def test_no_text_of_a_host_reaches_the_terminal_as_it_is(fleet):
    fleet.take(
        "b",
        """
        def lie(module, said):
            if module == "flow_probe":
                return {"failed": True, "msg": "\\x1b[2J\\x1b[1;1Hall is well\\r\\n" + "x" * 100000}
            return said
        """,
    )
    proof = fleet.prove()
    assert proof.status != 0 and "\x1b[2J" not in proof.output and "x" * 1000 not in proof.output
    assert "\\x1b[2J" in proof.report["missing"]["b"]


def test_an_inventory_that_is_empty_or_of_another_site_proves_nothing(fleet):
    fleet.inventory = {"all": {"vars": SITE}}
    proof = fleet.prove()
    assert proof.status != 0 and "inventory: got no host" in proof.output
    fleet.inventory = {
        "all": {"vars": {**SITE, "ansible_connection": "local"}, "children": {"wbe": {"hosts": {"a": None}}}}
    }
    proof = fleet.prove()
    assert proof.status != 0 and "its groups: wbe" in " ".join(proof.output.split())


def test_a_limit_makes_the_verdict_partial_and_names_who_is_left_out(fleet):
    proof = fleet.prove("--limit", "a,b,r")
    assert proof.status == 0, proof.output
    assert proof.report["partial"] is True and proof.report["left_out"] == ["c"]
    assert "Partial: 1 host of the inventory left out by --limit a,b,r (c)" in proof.report["summary"]
