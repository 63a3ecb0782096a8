"""The intent of the flows over the tailnet, and of the LAN beside them."""

from __future__ import annotations

import pytest
from tailnet_site import parsed

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import (
    Identity,
    TailnetPolicy,
    identity_of,
)

ALICE, BOB = Identity(user="alice@example.com"), Identity(user="bob@example.com")


def flow(source, destination, allow="ssh", **values):
    return {"from": source, "to": destination, "allow": allow, "via": "tailnet", **values}


def policy(*flows, **values):
    return TailnetPolicy(parsed(flows=list(flows), ssh=None, **values))


def test_a_host_is_known_by_the_tags_of_its_tiers():
    site = parsed()
    assert identity_of(site, ["apps"], False) == Identity(tags=frozenset({"tag:apps", "tag:metabase", "tag:server"}))
    assert (
        identity_of(site, ["printers"], False) is None
        and identity_of(parsed(tailnet=None, flows=[]), ["web"], False) is None
    )


def test_a_flow_over_the_tailnet_is_none_of_the_lan_and_the_reverse():
    site = parsed()
    over, lan = TailnetPolicy(site), Policy(site)
    web, apps = identity_of(site, ["web"], False), identity_of(site, ["apps"], False)
    assert over.flow_for(web, apps, "tcp", 5432) and not lan.flow_for("10.0.2.5", "10.0.3.5", "tcp", 5432)
    assert lan.flow_for("10.0.2.5", "10.0.3.5", "tcp", 443) and not over.flow_for(web, apps, "tcp", 443)


def test_a_tag_that_several_tiers_have_leads_to_all_of_them_by_its_own_name_alone():
    named = policy(flow("group:admins", "tag:server"))
    site = named.site
    web, apps, edge = (identity_of(site, [name], False) for name in ("web", "apps", "edge"))
    assert [bool(named.flow_for(ALICE, end, "tcp", 22)) for end in (web, apps, edge)] == [True, True, False]
    tier = policy(flow("group:admins", "web"))
    assert [bool(tier.flow_for(ALICE, end, "tcp", 22)) for end in (web, apps, edge)] == [True, False, False]


def test_people_reach_their_own_devices_and_no_one_elses():
    own = policy(flow("autogroup:member", "autogroup:self", "any"))
    assert own.flow_for(ALICE, ALICE, "tcp", 1) and not own.flow_for(ALICE, BOB, "tcp", 1)
    tagged = identity_of(own.site, ["web"], False)
    assert not own.flow_for(tagged, tagged, "tcp", 1)


def test_any_is_tcp_and_udp():
    any_flow = policy(flow("group:admins", "web", "any"))
    web = identity_of(any_flow.site, ["web"], False)
    assert any_flow.flow_for(ALICE, web, "udp", 5) and not any_flow.flow_for(ALICE, web, "esp")


def test_a_limit_is_the_answer_only_where_no_flow_is_without_one():
    both = policy(flow("group:admins", "web", limit=True), flow("alice@example.com", "web"))
    web = identity_of(both.site, ["web"], False)
    assert both.flow_for(ALICE, web, "tcp", 22).path == "bulkhead_flows[1]"
    alone = policy(flow("group:admins", "web", limit=True))
    assert alone.flow_for(ALICE, web, "tcp", 22).limit


@pytest.mark.parametrize(
    ("address", "by", "path"),
    [
        ("10.0.5.9", ["gateway"], "bulkhead_flows[0]"),
        ("10.0.5.9", ["edge"], ""),
        ("8.8.8.8", ["edge"], "bulkhead_tailnet.exit_nodes.edge"),
        ("8.8.8.8", ["gateway"], ""),
        ("8.8.8.8", [], "bulkhead_tailnet.exit_nodes.edge"),
        ("10.0.4.9", [], ""),
        ("10.99.0.1", [], ""),
        ("100.64.0.9", [], ""),
        ("2001:db8::1", ["edge"], "bulkhead_tailnet.exit_nodes.edge"),
        ("fd00:9::1", ["edge"], ""),
    ],
)
def test_an_address_is_reached_by_a_router_with_a_route_or_an_exit_node(address, by, path):
    found = policy(flow("group:admins", "printer")).flow_for(ALICE, address, "tcp", 22, by=by)
    assert (found.path if found else "") == path


def test_a_leg_of_the_routers_is_reached_only_where_it_is_named():
    assert not policy(flow("group:admins", "10.0.5.0/24")).flow_for(ALICE, "10.0.5.1", "tcp", 22)
    assert policy(flow("group:admins", "10.0.5.1")).flow_for(ALICE, "10.0.5.1", "tcp", 22)


def test_only_control_knows_who_has_a_role():
    site = parsed(control=None, flows=[flow("autogroup:admin", "web")], ssh=None)
    web = identity_of(site, ["web"], False)
    assert not TailnetPolicy(site).flow_for(ALICE, web, "tcp", 22)
    assert TailnetPolicy(site, roles=True).flow_for(ALICE, web, "tcp", 22)
