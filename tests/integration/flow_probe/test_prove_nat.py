"""The playbook `prove` over a router that translates addresses: a forwarded port, a masqueraded tier, and what is missing of them."""

from __future__ import annotations

import pytest
from probe_fleet import Fleet, close, reopen
from probe_network import A, B, C, run

OUTER = "10.201.3.1"
SITE = {
    "bulkhead_tiers": {
        "web": {"vlan": 1, "subnet": "10.201.1.0/24", "gateway": "10.201.1.1", "internet": True, "masquerade": True},
        "db": {"vlan": 2, "subnet": "10.201.2.0/24", "gateway": "10.201.2.1"},
    },
    "bulkhead_addresses": {"shop": B},
    "bulkhead_services": {"shop": "5432/tcp", "dns": "53/udp"},
    "bulkhead_flows": [
        {"from": "internet", "to": "shop", "allow": "shop", "forward": {"port": 15432}},
        {"from": "internet", "to": "shop", "allow": "dns", "forward": {"address": OUTER}},
    ],
}
GROUPS = {"web": ["a"], "db": ["b"], "gateway": ["r"], "outside": ["c"]}
#: (at the router, at the host behind it).
SHOP, DNS = ("tcp", 15432, 5432), ("udp", 53, 53)
MASQUERADE = "POSTROUTING -s 10.201.1.0/24 -o fp-r-c -j MASQUERADE"


def forward(proto, asked, arrives):
    at = f"-d {OUTER}" if proto == "udp" else "-m addrtype --dst-type LOCAL"
    return f"PREROUTING -i fp-r-c {at} -p {proto} --dport {asked} -j DNAT --to-destination {B}:{arrives}"


def nat(what):
    run(f"ip netns exec fp-r iptables -t nat {what}")


@pytest.fixture(name="fleet")
def fixture_fleet(network, tmp_path):
    """The four hosts with the filters and the translations that the site declares."""
    fleet = Fleet(tmp_path, SITE, GROUPS, {"c": [f"{C}/24"], "r": [f"{OUTER}/24"]})
    close()
    for proto, asked, arrives in (SHOP, DNS):
        fleet.let(f"-p {proto} -s {C} -d {B} --dport {arrives} -j ACCEPT")
        nat(f"-A {forward(proto, asked, arrives)}")
    run(f"ip netns exec fp-r iptables -A FORWARD -s {A} -o fp-r-c -j ACCEPT")
    nat(f"-A {MASQUERADE}")
    yield fleet
    reopen()


def failures(proof):
    return {
        (one["status"], one["source_host"], one["port"]): one
        for one in proof.report["probes"]
        if one["status"] not in ("allowed", "denied")
    }


def test_what_is_declared_holds(fleet):
    proof = fleet.prove()
    assert proof.status == 0, (proof.output[-3000:], failures(proof))
    found = {(one["source_host"], one["proto"], one["port"], one["status"]) for one in proof.report["probes"]}
    assert {("c", "tcp", 5432, "allowed"), ("c", "udp", 53, "allowed")} <= found


def test_a_forward_that_is_missing_is_blocked_although_it_is_declared(fleet):
    for each in (SHOP, DNS):
        nat(f"-D {forward(*each)}")
    proof = fleet.prove()
    assert proof.status != 0
    found = failures(proof)
    assert set(found) == {("blocked", "c", 5432), ("blocked", "c", 53)}, found
    causes = [one["cause"] for one in proof.report["failures"]]
    asked = [cause.split(",")[0] for cause in causes if "its address translation is missing" in cause]
    # A forward without an address is asked for at each one that the router has.
    own = [f"r was asked at {address} port 15432" for address in ("10.201.1.1", "10.201.2.1", OUTER)]
    assert sorted(asked) == sorted([*own, f"r was asked at {OUTER} port 53"]) and len(causes) == 4, causes
    assert "blocked, though declared" in proof.output


@pytest.mark.parametrize(
    ("there", "here", "said"),
    [
        (f"{B}:5432", f"{B}:5433", f"it arrived at {B} port 5433"),
        (f"{B}:5432", f"{A}:5432", f"a answered, at {A}"),
    ],
    ids=["to another port", "to another host"],
)
def test_a_forward_that_leads_elsewhere_is_misdirected(fleet, there, here, said):
    rule = forward(*SHOP)
    nat(f"-D {rule}")
    nat(f"-A {rule.replace(there, here)}")
    host, port = here.split(":")
    for chain, name in (("FORWARD", "r"), ("INPUT", "ab"[host == B])):
        run(f"ip netns exec fp-{name} iptables -A {chain} -p tcp -s {C} -d {host} --dport {port} -j ACCEPT")
    proof = fleet.prove()
    assert proof.status != 0
    found = failures(proof)
    assert said in found["misdirected", "c", 5432]["detail"], found


def test_a_tier_that_is_not_masqueraded_is_blocked_although_the_outside_host_knows_a_way_back(fleet):
    nat(f"-D {MASQUERADE}")
    proof = fleet.prove()
    assert proof.status != 0
    assert {(status, host) for status, host, _port in failures(proof)} == {("blocked", "a")}
    assert all(f"c saw {A} itself: r does not masquerade it" in one["cause"] for one in proof.report["failures"])
