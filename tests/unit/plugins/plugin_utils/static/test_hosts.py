from __future__ import annotations

from datetime import date

import pytest
from static_sites import SITE, Fixture

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.fleet import Fleet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.hosts import expired, of_hosts
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import Kind, Severity


def findings(lab, reviews=None, kind=None):
    fleet = Fleet(lab.site, lab.members, lab.nodes)
    found = list(of_hosts(fleet, lambda member: lab.plan(member.name), reviews or {}))
    return [one for one in found if kind in (None, one.kind)]


def test_hosts_that_are_as_declared_have_no_finding(lab):
    assert findings(lab) == []


@pytest.mark.parametrize(
    "address, severity",
    [("10.0.1.99/24", Severity.ERROR), ("fd00:1::99/64", Severity.ERROR), ("198.51.100.9/24", Severity.WARNING)],
)
def test_an_address_that_the_site_does_not_know_on_a_host_is_found(lab, address, severity):
    lab.addresses["pump1"]["eth1"] = [address]
    (finding,) = findings(lab, kind=Kind.ADDRESS)
    assert (finding.host, finding.severity) == ("pump1", severity) and address.partition("/")[0] in finding.what


def test_an_address_that_two_hosts_claim_is_neither_s(lab):
    lab.addresses["pump2"]["eth0"].append("10.0.2.11/24")
    assert any("pump1, pump2" in finding.what for finding in findings(lab, kind=Kind.ADDRESS))
    fleet = Fleet(lab.site, lab.members, lab.nodes)
    assert not any("10.0.2.11" in texts for texts in fleet.addresses.values())


@pytest.mark.parametrize(
    "route",
    [
        {"dst": "10.0.1.0/24", "gateway": "10.0.2.12", "dev": "eth0"},
        {"dst": "10.0.1.0/24", "dev": "tailscale0"},
        {"dst": "fd00:1::/64", "gateway": "fd00:2::12", "dev": "eth0"},
        {"type": "blackhole", "dst": "10.0.1.11", "dev": ""},
    ],
)
def test_a_route_of_the_site_s_networks_past_its_routers_is_found(lab, route):
    lab.routes["pump1"] = [route]
    (finding,) = findings(lab, kind=Kind.ROUTE)
    assert finding.host == "pump1" and route["dst"].partition("/")[0] in finding.what


@pytest.mark.parametrize(
    "route",
    [
        {"dst": "10.0.1.0/24", "gateway": "10.0.2.1", "dev": "eth0"},
        {"dst": "172.18.0.0/16", "dev": "br-x"},
        {"dst": "198.51.100.0/24", "gateway": "10.0.2.1", "dev": "eth0"},
        {"type": "unreachable", "dst": "default", "dev": "", "metric": 4000},
    ],
)
def test_a_route_over_the_site_s_own_router_or_of_others_is_none_to_find(lab, route):
    lab.routes["pump1"] = [route]
    assert findings(lab, kind=Kind.ROUTE) == []


@pytest.mark.parametrize("routers, severity", [(True, Severity.ERROR), (False, Severity.WARNING)])
def test_another_way_out_than_the_site_s_is_an_error_where_its_routers_are_the_site_s(lab, routers, severity):
    lab.routes["pump1"] = [{"dst": "default", "gateway": "10.0.2.77", "dev": "eth0"}]
    nodes = {name: node for name, node in lab.nodes.items() if routers or not lab.members[name].gateway}
    fleet = Fleet(lab.site, lab.members, nodes)
    assert fleet.is_routed is routers
    found = [one for one in of_hosts(fleet, None, {}) if one.kind is Kind.ROUTE]
    assert [(one.host, one.severity) for one in found] == [("pump1", severity)]


def test_a_site_without_routers_is_proven_by_what_its_hosts_let_in_from_anywhere(lab):
    nodes = {name: node for name, node in lab.nodes.items() if not lab.members[name].gateway}
    fleet = Fleet(lab.site, lab.members, nodes)
    assert fleet.others(4) == []
    assert not any(one.destination.place == "internet" for one in fleet.reached(4))


def test_a_link_that_is_slower_than_its_tier_asks_for_is_found():
    tiers = {
        **SITE["bulkhead_tiers"],
        "plant": {**SITE["bulkhead_tiers"]["plant"], "bandwidth": {"minimum": 100, "recommended": 1000}},
    }
    lab = Fixture({**SITE, "bulkhead_tiers": tiers})
    lab.speeds = {"pump1": {"eth0": "10"}, "pump2": {"eth0": "100"}, "desk": {"eth0": "10"}}
    slow, below = findings(lab, kind=Kind.CAPACITY)
    assert (slow.host, slow.severity, slow.path) == ("pump1", Severity.ERROR, "bulkhead_tiers.plant.bandwidth.minimum")
    assert (below.host, below.severity) == ("pump2", Severity.NOTE)


def test_a_flow_that_has_ended_is_found_with_its_place_in_the_declaration():
    flow = {**SITE["bulkhead_flows"][0], "until": date(2026, 5, 1)}
    lab = Fixture({**SITE, "bulkhead_flows": [flow]})
    assert list(expired(lab.site, date(2026, 5, 1))) == []
    (finding,) = expired(lab.site, date(2026, 5, 2))
    assert (finding.path, finding.severity) == ("bulkhead_flows[0]", Severity.ERROR)


def test_rules_that_let_through_something_else_than_the_plan_are_drift_with_the_rule(lab):
    lab.insert("pump2", "ufw-user-input", "-s 192.0.2.7/32 -p tcp -m tcp --dport 9 -j ACCEPT")
    (finding,) = findings(lab, kind=Kind.DRIFT)
    assert finding.host == "pump2" and "192.0.2.7/32" in finding.what and "opens" in finding.what


def test_a_rule_of_a_hand_before_ufw_s_own_is_a_warning_with_the_rule(lab):
    lab.insert("pump2", "INPUT", "-s 192.0.2.7/32 -j ACCEPT")
    (finding,) = findings(lab, kind=Kind.DRIFT)
    assert (finding.host, finding.severity) == ("pump2", Severity.WARNING) and "192.0.2.7/32" in finding.what


def test_a_rule_that_lets_through_nothing_that_others_would_not_is_a_note(lab):
    assert findings(lab, kind=Kind.REDUNDANT) == []
    lab.insert("pump1", "ufw-user-input", "-s 10.0.1.7/32 -d 10.0.2.0/24 -p tcp -m tcp --dport 22 -j ACCEPT")
    (finding,) = findings(lab, kind=Kind.REDUNDANT)
    assert (finding.host, finding.severity) == ("pump1", Severity.NOTE) and "10.0.1.7/32" in finding.what


def test_a_translation_of_a_hand_is_found_where_it_opens_nothing_undeclared(lab):
    lab.rules["router"][0] += (
        "*nat\n:PREROUTING ACCEPT [0:0]\n"
        "-A PREROUTING -p tcp -m tcp --dport 9000 -j DNAT --to-destination 10.0.2.11:80\nCOMMIT\n"
    )
    (finding,) = findings(lab, kind=Kind.DRIFT)
    assert finding.host == "router" and "--to-destination 10.0.2.11:80" in finding.what


def test_what_hosts_have_in_common_is_said_once(lab):
    reviews = {"pump1": {"drift": ["a line"], "dead": ["a rule"]}, "pump2": {"drift": ["a line"]}}
    drift, dead = findings(lab, reviews)
    assert (drift.kind, drift.severity, drift.times) == (
        Kind.DRIFT,
        Severity.WARNING,
        2,
    ) and "pump1, pump2" in drift.what
    assert (dead.kind, dead.severity) == (Kind.DEAD, Severity.NOTE)
