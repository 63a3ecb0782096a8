"""A server behind Tailscale: each item of its checklist, on the lab of inventories/tailscale_server, beside the other lab.

Headscale and tailscaled are the real ones. TAILSCALE_SERVER=there takes one that is up, and leaves it up.
"""

from __future__ import annotations

import json
import os
import random
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts.machine import ROOT, wait
from tailnet.server import INVENTORY, KEYS, NODES, PARTNER, SERVER, Server, down, playbook, up

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet import hujson

#: Another report than that of a proof of the other lab.
REPORT = "reports/tailscale-server.json"
COLLECTED = "/var/log/bulkhead"
#: The addresses of the servers on the network that is not theirs alone.
WEB, METABASE, DATABASE, LOGS = SERVER, "192.0.2.33", "192.0.2.49", "192.0.2.65"
#: The ports that something of the servers has to do with, and some that nothing has.
PORTS = [
    21,
    22,
    23,
    25,
    53,
    80,
    81,
    111,
    443,
    444,
    514,
    2375,
    2376,
    2377,
    3000,
    3306,
    5432,
    6379,
    7946,
    8022,
    8080,
    8443,
    41641,
]


def ports() -> list[int]:
    return sorted({*PORTS, *random.sample(range(1, 65536), 200)})


@pytest.fixture(name="server", scope="module")
def fixture_server() -> Iterator[Server]:
    if os.environ.get("TAILSCALE_SERVER") == "there":
        yield Server()
        return
    try:
        yield up()
    finally:
        down()


# -- Ingress ----------------------------------------------------------------------------------------------------------


def test_from_outside_exactly_80_and_443_are_open(server: Server) -> None:
    found = server["outside1"].connect(*(f"{SERVER}:{port}" for port in ports()))
    assert {target for target, verdict in found.items() if verdict != "blocked"} == {f"{SERVER}:80", f"{SERVER}:443"}
    assert {found[f"{SERVER}:80"], found[f"{SERVER}:443"]} == {"open"}


def test_from_outside_nothing_of_the_other_servers_is_open(server: Server) -> None:
    targets = [f"{address}:{port}" for address in (METABASE, DATABASE, LOGS) for port in PORTS]
    assert set(server["outside1"].connect(*targets).values()) == {"blocked"}


# -- SSH --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["outside1", "dev1", "visitor1"])
def test_ssh_is_refused_on_the_public_side(server: Server, host: str) -> None:
    targets = [f"{address}:22" for address in (WEB, METABASE, DATABASE, LOGS)]
    assert set(server[host].connect(*targets).values()) == {"blocked"}


@pytest.mark.parametrize("host", ["web1", "metabase1", "db1", "log1"])
def test_ssh_works_over_the_tailnet_for_an_authorised_node(server: Server, host: str) -> None:
    assert server["dev1"].read(server.address(host), 22).startswith("SSH-2.0-")


@pytest.mark.parametrize("host", ["web1", "metabase1", "db1", "log1"])
def test_ssh_is_refused_over_the_tailnet_for_another_node(server: Server, host: str) -> None:
    assert server["visitor1"].connect(server.at(host, 22)) == {server.at(host, 22): "blocked"}


# -- Exit node --------------------------------------------------------------------------------------------------------


@pytest.fixture(name="through_the_server")
def fixture_through_the_server(server: Server):
    """Has a node use the server as its exit node, and no more afterwards."""
    used = []

    def use(name: str) -> None:
        used.append(name)
        server[name].api("PATCH", "prefs", {"ExitNodeIP": server.address("web1"), "ExitNodeIPSet": True})

    yield use
    for name in used:
        server[name].api(
            "PATCH", "prefs", {"ExitNodeID": "", "ExitNodeIDSet": True, "ExitNodeIP": "", "ExitNodeIPSet": True}
        )
    wait(lambda: server["dev1"].ask(PARTNER, 8022)["client"] == "192.0.2.81", 90, what="dev1 has its own way again")


def test_another_nodes_traffic_leaves_with_the_servers_address(server: Server, through_the_server) -> None:
    assert server["dev1"].ask(PARTNER, 8022)["client"] == "192.0.2.81"
    through_the_server("dev1")
    seen = wait(lambda: asked(server, "dev1"), 90, what="dev1 reaches the partner through the exit node")
    assert seen == {"service": "partner", "client": SERVER}


def asked(server: Server, name: str) -> dict[str, str]:
    try:
        return server[name].ask(PARTNER, 8022)
    except RuntimeError:
        return {}


def test_a_node_without_the_right_cannot_use_the_exit_node(server: Server, through_the_server) -> None:
    assert asked(server, "visitor1") == {"service": "partner", "client": "192.0.2.97"}
    peers = server["visitor1"].status()["Peer"] or {}
    assert not any(peer.get("ExitNodeOption") for peer in peers.values())
    through_the_server("visitor1")
    # Whatever it has been told to use: nothing of it leaves with the server's address.
    assert asked(server, "visitor1").get("client") != SERVER


def test_the_exit_node_leads_to_none_of_the_servers(server: Server, through_the_server) -> None:
    """What comes off the tailnet may reach the internet, and what a flow says."""
    through_the_server("dev1")
    wait(lambda: asked(server, "dev1").get("client") == SERVER, 90, what="the exit node works")
    targets = [f"{address}:{port}" for address in (METABASE, DATABASE, LOGS) for port in (22, 514, 3000, 5432)]
    assert "open" not in server["dev1"].connect(*targets).values()


# -- Server to server -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["web1", "metabase1"])
def test_the_database_answers_over_the_tailnet_to_a_node_with_the_tag(server: Server, host: str) -> None:
    said = server[host].ask(server.address("db1"), 5432)
    assert said == {"service": "postgresql", "client": server.address(host)}


@pytest.mark.parametrize("host", ["log1", "dev1", "visitor1"])
def test_the_database_answers_over_the_tailnet_to_no_other_node(server: Server, host: str) -> None:
    assert server[host].connect(server.at("db1", 5432)) == {server.at("db1", 5432): "blocked"}


@pytest.mark.parametrize("host", ["web1", "metabase1", "log1", "dev1", "visitor1", "outside1"])
def test_the_database_does_not_answer_on_the_lan(server: Server, host: str) -> None:
    assert server[host].connect(f"{DATABASE}:5432") == {f"{DATABASE}:5432": "blocked"}


def test_metabase_reads_the_database_over_the_tailnet(server: Server) -> None:
    said = server["dev1"].ask(server.address("metabase1"), 3000)
    assert said["service"] == "metabase"
    assert said["asked"] == {"service": "postgresql", "client": server.address("metabase1")}


def test_metabase_is_for_developers_alone(server: Server) -> None:
    target = server.at("metabase1", 3000)
    assert server["visitor1"].connect(target) == {target: "blocked"}
    assert server["outside1"].connect(f"{METABASE}:3000") == {f"{METABASE}:3000": "blocked"}


# -- Policy -----------------------------------------------------------------------------------------------------------


def test_the_policys_tests_pass_in_the_control_server(server: Server) -> None:
    policy = hujson.parse(server.control.policy()).plain()
    accepted = [test for test in policy["tests"] if test.get("accept")]
    denied = [test for test in policy["tests"] if test.get("deny")]
    assert accepted and denied
    server.control.check_policy(policy)


def test_the_control_server_refuses_a_policy_whose_tests_do_not_pass(server: Server) -> None:
    policy = hujson.parse(server.control.policy()).plain()
    policy["grants"] = [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]
    with pytest.raises(RuntimeError, match="test"):
        server.control.check_policy(policy)


# -- Audit ------------------------------------------------------------------------------------------------------------


def arrives(server: Server, source: str, target: str, file: str, *words: str) -> None:
    """Connect until the collector has a further line with all of these words: UFW logs a first few packets, and then some a minute."""
    search = " | ".join(f"grep -a -F -e {shlex.quote(word)}" for word in words)

    def lines() -> int:
        return int(server["log1"].shell(f"cat {COLLECTED}/{file} 2>/dev/null | {search} | wc -l"))

    def heard() -> bool:
        server[source].connect(target)
        return lines() > before

    before = lines()
    wait(heard, 90, pause=1, what=f"{file}: {words}")


def test_a_blocked_connection_arrives_at_the_collector(server: Server) -> None:
    arrives(server, "outside1", f"{SERVER}:22222", f"{SERVER}/ufw.log", "[UFW BLOCK]", "SRC=192.0.2.10 ", "DPT=22222 ")


def test_a_blocked_connection_over_the_tailnet_arrives_at_the_collector(server: Server) -> None:
    """The control server lets developers in to port 22 alone: what else they send is dropped by tailscaled, which says so."""
    target = server.at("web1", 2222)
    arrives(server, "dev1", target, f"{SERVER}/syslog", "Drop: TCP", server.address("dev1"), target)


def test_an_allowed_connection_arrives_at_the_collector(server: Server) -> None:
    arrives(server, "outside1", f"{SERVER}:443", f"{SERVER}/ufw.log", "SRC=192.0.2.10 ", "DPT=443 ")


def test_an_allowed_connection_over_the_tailnet_arrives_at_the_collector(server: Server) -> None:
    arrives(server, "dev1", server.at("web1", 22), f"{SERVER}/syslog", f"Accept: TCP{{{server.address('dev1')}")


# -- The proof --------------------------------------------------------------------------------------------------------


def test_the_proof_holds_over_the_tailnet_and_the_lan(server: Server) -> None:
    said = playbook("playbooks/prove.yml", "-e", f"prove_report={REPORT}")
    assert "Over the tailnet" in said
    report = json.loads((ROOT / REPORT).read_text())
    assert report["holds"] and report["tailnet"]["holds"]
    assert set(report["tailnet"]["nodes"]) == set(NODES)
    answered = {(p["source"], p["dest"], p["port"]) for p in report["tailnet"]["probes"] if p["status"] == "allowed"}
    assert ("web1", "db1", 5432) in answered and ("dev1", "web1", 22) in answered
    assert not any("visitor1" in (source, dest) for source, dest, _port in answered)


@pytest.mark.whole
def test_the_proof_fails_where_nodes_were_changed_by_hand(server: Server) -> None:
    """On one node Tailscale's own rules go round the firewall, on another what is declared is blocked."""
    server["web1"].api("PATCH", "prefs", {"NetfilterMode": 2, "NetfilterModeSet": True})
    server["db1"].api("PATCH", "prefs", {"ShieldsUp": True, "ShieldsUpSet": True})
    try:
        said = " ".join(playbook("playbooks/prove.yml", "-e", f"prove_report={REPORT}", check=False).split())
    finally:
        server["web1"].api("PATCH", "prefs", {"NetfilterMode": 1, "NetfilterModeSet": True})
        server["db1"].api("PATCH", "prefs", {"ShieldsUp": False, "ShieldsUpSet": True})
    assert "The isolation is not proven" in said
    assert "web1: netfilter_mode: got on; expected nodivert; run site.yml" in said, said[-4000:]
    assert "web1 -> db1 5432/tcp: blocked" in said, said[-4000:]


@pytest.mark.whole
def test_the_proof_fails_where_the_policy_was_changed_on_the_control_server(server: Server) -> None:
    policy = hujson.parse(server.control.policy()).plain()
    changed = {
        **policy,
        "grants": [*policy["grants"], {"src": ["tag:visitor"], "dst": ["tag:logs"], "ip": ["tcp:9999"]}],
    }
    server.control.set_policy(changed)
    try:
        said = playbook("playbooks/prove.yml", "-e", f"prove_report={REPORT}", check=False)
    finally:
        server.control.set_policy(policy)
    assert "The policy on the control server is not the site" in said and "tag:visitor" in said, said[-4000:]


# -- Keys -------------------------------------------------------------------------------------------------------------


def test_no_key_is_in_what_a_run_prints_or_leaves_behind(server: Server) -> None:
    """The keys that the hosts have joined with and that of the control server's API: at -vvv with a diff, in journals and in files."""
    server.printed = server.printed or playbook("playbooks/site.yml", "-vvv", "--diff")
    keys = json.loads(KEYS.read_text())
    assert "tailscale_node" in server.printed and len(keys) > len(NODES)
    # A key may begin like every other one; of its secret, a part that stands nowhere by chance.
    parts = [part for key in keys.values() for part in (key, key[-24:])]
    assert [part for part in parts if part in server.printed] == []
    places = "/etc /home /opt /root /run /srv /tmp /usr/local /var --exclude=parts"
    for name in NODES:
        server[name].put("/run/parts", "\n".join(parts))
        left = f"grep -r -l -a -F -f /run/parts {places} 2>/dev/null; journalctl --no-pager --output cat | grep -a -F -f /run/parts"
        assert server[name].shell(left, check=False) == "", name
        server[name].shell("rm /run/parts")
    for path in [*(ROOT / "reports").rglob("*"), *(ROOT / "build").rglob("*")]:
        if path.is_file() and path != KEYS:
            assert not any(part.encode() in path.read_bytes() for part in parts), path


# -- Convergence ------------------------------------------------------------------------------------------------------


@pytest.mark.whole
def test_a_second_server_joins_with_one_inventory_line_and_a_second_run_changes_nothing_else(
    server: Server, tmp_path: Path
) -> None:
    line = "web2: {lab_addresses: {internet: 192.0.2.18}}"
    assert f"# {line}" in (INVENTORY / "hosts.yml").read_text()
    more = tmp_path / "more.yml"
    more.write_text(f"web:\n  hosts:\n    {line}\n")
    for name in ("playbooks/lab.yml", "tests/support/tailnet/lab.yml"):
        playbook(name, "-i", more)
    said = playbook("playbooks/site.yml", "-i", more)
    changed = [line.split()[0] for line in said.splitlines() if "ok=" in line and "changed=0" not in line]
    assert changed == ["web2"], said[-4000:]
    server.add("web2")
    server.run_service("web2", like="web1")
    assert server["outside1"].connect("192.0.2.18:443", "192.0.2.18:22") == {
        "192.0.2.18:443": "open",
        "192.0.2.18:22": "blocked",
    }
    assert server["dev1"].read(server.address("web2"), 22).startswith("SSH-2.0-")
    assert server["web2"].ask(server.address("db1"), 5432)["client"] == server.address("web2")
    assert server["visitor1"].connect(server.at("web2", 22)) == {server.at("web2", 22): "blocked"}
