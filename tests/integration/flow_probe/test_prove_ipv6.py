"""The playbook `prove` over a site of both IP versions, in network namespaces with a filter for each: what is true of one
family alone is found."""

from __future__ import annotations

import pytest
from probe_fleet import Fleet, close, reopen
from probe_network import A6, B6, C6, A, B, C, run

SITE = {
    "bulkhead_tiers": {
        "web": {
            "vlan": 1,
            "subnet": ["10.201.1.0/24", "fd00:201:1::/64"],
            "gateway": ["10.201.1.1", "fd00:201:1::1"],
        },
        "db": {
            "vlan": 2,
            "subnet": ["10.201.2.0/24", "fd00:201:2::/64"],
            "gateway": ["10.201.2.1", "fd00:201:2::1"],
        },
    },
    "bulkhead_services": {"ssh": "22/tcp", "dns": "53/udp", "postgres": "5432/tcp"},
    "bulkhead_flows": [{"from": "web", "to": "db", "allow": ["ssh", "dns"]}],
}
GROUPS = {"web": ["a"], "db": ["b"], "gateway": ["r"], "outside": ["c"]}
FLOWS = [("tcp", 22), ("udp", 53)]


def let6(rule):
    run(f"ip netns exec fp-b ip6tables -A INPUT {rule}; ip netns exec fp-r ip6tables -A FORWARD {rule}")


@pytest.fixture(name="fleet")
def fixture_fleet(network, tmp_path):
    """The four hosts with the filters that the site declares."""
    fleet = Fleet(tmp_path, SITE, GROUPS, {"c": [f"{C}/24", f"{C6}/64"]})
    close()
    close(program="ip6tables")
    for proto, port in FLOWS:
        fleet.let(f"-p {proto} -s {A} -d {B} --dport {port} -j ACCEPT")
        let6(f"-p {proto} -s {A6} -d {B6} --dport {port} -j ACCEPT")
    yield fleet
    reopen()


def wrong(proof):
    return {
        (one["status"], one["source"], one["dest"], one["port"])
        for one in proof.report["probes"]
        if one["status"] not in ("allowed", "denied")
    }


def test_both_ip_versions_hold_where_both_are_as_declared(fleet):
    proof = fleet.prove()
    assert proof.status == 0, proof.output
    allowed = {
        (one["source"], one["dest"], one["port"]) for one in proof.report["probes"] if one["status"] == "allowed"
    }
    assert allowed == {(source, dest, port) for source, dest in ((A, B), (A6, B6)) for _proto, port in FLOWS}
    denied = {
        (one["from"], one["to"]) for one in proof.report["probes"] if one["status"] == "denied" and ":" in one["dest"]
    }
    assert {("db", "web"), ("internet", "db"), ("web", "internet"), ("internet", "gateway")} <= denied


def test_a_hole_and_a_missing_rule_of_ipv6_alone_are_found(fleet):
    let6(f"-p tcp -s {A6} -d {B6} --dport 5432 -j ACCEPT")
    run(f"ip netns exec fp-b ip6tables -D INPUT -p udp -s {A6} -d {B6} --dport 53 -j ACCEPT")
    proof = fleet.prove()
    assert proof.status != 0
    assert wrong(proof) == {("open", A6, B6, 5432), ("blocked", A6, B6, 53)}, proof.output


def test_a_host_that_filters_ipv4_alone_is_found(fleet):
    """What IPV6=no in /etc/default/ufw comes to, at a host and its router."""
    for name, chain in (("b", "INPUT"), ("r", "FORWARD")):
        run(f"ip netns exec fp-{name} ip6tables -P {chain} ACCEPT")
    proof = fleet.prove()
    assert proof.status != 0
    found = wrong(proof)
    assert {one[0] for one in found} == {"open"} and all(":" in dest for _status, _source, dest, _port in found)
    assert {(A6, B6), (C6, B6)} <= {(source, dest) for _status, source, dest, _port in found}


def test_an_ipv6_address_that_no_declaration_knows_is_told_and_not_probed(fleet):
    run("ip -n fp-b address add fd00:201:99::10/64 dev eth0 nodad")
    try:
        proof = fleet.prove()
    finally:
        run("ip -n fp-b address delete fd00:201:99::10/64 dev eth0")
    assert any("b has fd00:201:99::10, unknown to the site: not probed" in note for note in proof.report["notes"])
    assert not any(one["dest"].startswith("fd00:201:99:") for one in proof.report["probes"])
