from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.changes import Way, changes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.fleet import Fleet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.planned import planned_fleet, with_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.prove import proven


def planned(lab):
    return planned_fleet(lab.site, lambda name, place: lab.plan_of(place))


def test_the_compiled_rules_let_through_what_is_declared_and_nothing_else(lab):
    static = proven(planned(lab))
    assert static.findings == () and [cell for cell in static.cells if not cell.holds] == []


def test_a_compiler_that_opens_more_than_is_declared_is_found_without_a_host(lab):
    def more(name, place):
        plan = lab.plan_of(place)
        rule = {
            "rule": "allow",
            "proto": "tcp",
            "from_ip": "10.0.2.0/24",
            "to_ip": "any",
            "to_port": "25",
            "comment": "",
        }
        return {**plan, "rules": [rule, *plan["rules"]]}

    static = proven(planned_fleet(lab.site, more))
    assert {cell for finding in static.findings for cell in finding.cells} >= {("plant", "plant")}


def test_site_yml_takes_back_what_a_hand_did_and_the_change_is_told_in_flows(lab):
    converged = Fleet(lab.site, lab.members, lab.nodes)
    lab.insert("pump1", "ufw-user-input", "-s 10.0.1.0/24 -p tcp -m tcp --dport 9 -j ACCEPT")
    lab.insert("router", "ufw-user-forward", "-p tcp -m tcp --dport 22 -j DROP")
    lab.insert("router", "ufw-user-forward", "-s 10.0.1.0/24 -d 10.0.2.0/24 -p tcp -m tcp --dport 9 -j ACCEPT")
    live = lab.nodes
    before = Fleet(lab.site, lab.members, live)
    after = Fleet(lab.site, lab.members, {name: with_plan(node, lab.plan(name)) for name, node in live.items()})
    assert changes(converged, after) == []
    told = {(one.way, one.source, one.destination, one.service, one.flow) for one in changes(before, after)}
    assert (Way.OPENED, "office", "plant", "ssh", "bulkhead_flows[0]") in told
    assert (Way.CLOSED, "office", "plant", "tcp 9", "") in told


def test_what_an_invariant_forbids_is_said_of_a_change_that_opens_it(lab):
    before = Fleet(lab.site, lab.members, lab.nodes)
    lab.insert("router", "ufw-user-forward", "-p tcp -m tcp --dport 3389 -j ACCEPT")
    lab.insert("desk", "ufw-user-input", "-p tcp -m tcp --dport 3389 -j ACCEPT")
    told = changes(before, Fleet(lab.site, lab.members, lab.nodes))
    assert {one.never for one in told if (one.source, one.destination) == ("internet", "office")} == {
        "bulkhead_never[0]"
    }


def test_a_host_without_any_firewall_gets_all_of_ufws_chains(lab):
    converged = Fleet(lab.site, lab.members, lab.nodes)
    lab.rules["pump1"] = ["*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"] * 2
    fresh = lab.nodes
    after = {name: with_plan(node, lab.plan(name)) for name, node in fresh.items()}
    assert changes(converged, Fleet(lab.site, lab.members, after)) == []
    told = {(one.way, one.source, one.destination) for one in changes(Fleet(lab.site, lab.members, fresh), converged)}
    assert (Way.CLOSED, "plant", "plant") in told and not any(way is Way.OPENED for way, *_ends in told)


def test_hosts_that_are_alike_stay_alike_with_their_plans(lab):
    live = lab.nodes
    assert live["pump1"].rulesets[4] is live["pump2"].rulesets[4]
    after = {name: with_plan(node, lab.plan(name)) for name, node in live.items()}
    assert after["pump1"].rulesets[4] is after["pump2"].rulesets[4]
    sizes = [len(Fleet(lab.site, lab.members, nodes).groups) for nodes in (live, after)]
    assert sizes[0] == sizes[1] < len(live)
