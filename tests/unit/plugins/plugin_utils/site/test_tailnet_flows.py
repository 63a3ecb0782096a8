"""What only the whole of a site's flows shows of its tailnet: invariants, by whichever way a host is reached."""

from __future__ import annotations

import pytest
from tailnet_site import BASE, changed, mistakes, parsed


def forbidden(never, flows=(), **values):
    """The key paths that are refused for an invariant."""
    rest = {"exit_nodes": None, "ssh": None, "direct": False, **values}
    return [one.path for one in mistakes(changed(flows=list(flows), never=[{"deny": "any", **never}], **rest))]


def over(source, destination, allow="ssh"):
    return {"from": source, "to": destination, "allow": allow, "via": "tailnet"}


@pytest.mark.parametrize(
    ("never", "flow"),
    [
        ({"from": "web", "to": "apps"}, over("web", "apps")),
        ({"from": "web", "to": "apps"}, over("tag:web", "tag:apps")),
        # A tag that others have as well, and tags that a host has beside the one that is named.
        ({"from": "web", "to": "management"}, over("tag:server", "management")),
        ({"from": "web", "to": "apps"}, over("web", "tag:metabase")),
        ({"from": "tag:web", "to": "management"}, over("tag:server", "management")),
        ({"from": "web", "to": "apps"}, over("autogroup:tagged", "apps")),
        ({"from": "tiers", "to": "db"}, over("web", "apps")),
        ({"from": "10.0.2.0/25", "to": "10.0.3.9"}, over("web", "apps")),
        ({"from": "0.0.0.0/0", "to": "apps"}, over("web", "apps")),
        ({"from": "web", "to": "gateway"}, over("web", "gateway")),
        ({"from": "web", "to": "gateway"}, over("web", "tag:router")),
        # Behind a route.
        ({"from": "web", "to": "printers"}, over("web", "printer")),
        ({"from": "web", "to": "printer"}, over("web", "10.0.5.0/24")),
        ({"from": "autogroup:tagged", "to": "10.0.0.0/8"}, over("web", "10.0.5.128/25")),
        ({"from": "apps", "to": "internet"}, over("apps", "partner")),
        # People.
        ({"from": "group:admins", "to": "apps"}, over("alice@example.com", "apps")),
        ({"from": "alice@example.com", "to": "apps"}, over("group:admins", "apps")),
        ({"from": "alice@example.com", "to": "apps"}, over("autogroup:member", "apps")),
        ({"from": "autogroup:member", "to": "tag:mgmt"}, over("dave@example.com", "management")),
        ({"from": "autogroup:member", "to": "autogroup:member"}, over("group:devs", "autogroup:self")),
    ],
)
def test_an_invariant_holds_over_the_tailnet_by_whichever_name_and_way(never, flow):
    assert forbidden(never, [flow]) == ["bulkhead_flows[0]"]


@pytest.mark.parametrize(
    ("never", "flow"),
    [
        ({"from": "apps", "to": "web"}, over("web", "apps")),
        ({"from": "web", "to": "management"}, over("web", "apps")),
        ({"from": "web", "to": "apps", "deny": "postgres"}, over("web", "apps")),
        ({"from": "group:admins", "to": "apps"}, over("bob@example.com", "apps")),
        ({"from": "alice@example.com", "to": "bob@example.com"}, over("autogroup:member", "autogroup:self")),
        ({"from": "internet", "to": "tiers"}, over("autogroup:member", "apps")),
        ({"from": "web", "to": "printers"}, over("web", "partner")),
        ({"from": "apps", "to": "gateway"}, over("web", "10.0.5.0/24")),
    ],
)
def test_an_invariant_forbids_no_more_than_it_says(never, flow):
    assert forbidden(never, [flow]) == []


@pytest.mark.parametrize(
    ("never", "nodes"),
    [
        ({"from": "apps", "to": "internet"}, {"edge": ["apps"]}),
        ({"from": "apps", "to": "internet"}, {"edge": ["tag:server"]}),
        ({"from": "apps", "to": "partner"}, {"edge": ["autogroup:tagged"]}),
        ({"from": "group:devs", "to": "internet"}, {"edge": ["autogroup:member"]}),
        # The exit node sends it with its own address.
        ({"from": "management", "to": "internet"}, {"management": ["group:admins"]}),
        ({"from": "management", "to": "198.51.100.0/24"}, {"management": ["group:admins"]}),
    ],
)
def test_no_exit_node_leads_where_an_invariant_says_never(never, nodes):
    (place,) = nodes
    assert forbidden(never, exit_nodes=nodes) == [f"bulkhead_tailnet.exit_nodes.{place}"]


def test_a_tier_that_never_reaches_the_internet_does_not_by_an_exit_node():
    tags = {**BASE["bulkhead_tailnet"]["tags"], "printers": "tag:printers"}
    site = changed(tags=tags, exit_nodes={"edge": ["printers"]}, flows=[], ssh=None)
    assert [one.path for one in mistakes(site)] == ["bulkhead_tailnet.exit_nodes.edge"]
    site = changed(tags=tags, exit_nodes={"printers": ["group:admins"]}, flows=[], ssh=None)
    assert [one.path for one in mistakes(site)] == ["bulkhead_tailnet.exit_nodes.printers"]


def test_an_invariant_of_the_routers_holds_for_what_they_pass_on():
    never = {"from": "gateway", "to": "printers"}
    assert forbidden(never, [over("group:admins", "printer")]) == ["bulkhead_flows[0].via"]
    never = {"from": "10.0.5.1", "to": "printers"}
    assert forbidden(never, [over("group:admins", "printer")]) == ["bulkhead_flows[0].via"]


def test_who_may_give_a_device_the_tag_that_an_invariant_keeps_them_from_is_a_warning():
    def warned(never, flow):
        site = parsed(flows=[flow], never=[never], ssh=None, exit_nodes=None)
        return [text for text in site.warnings if text.startswith("bulkhead_never")]

    never = {"from": "group:devs", "to": "management", "deny": "ssh"}
    assert warned(never, over("tag:ci", "management")) == [
        "bulkhead_never[0]: group:devs may give a device tag:ci (bulkhead_tailnet.tag_owners), and bulkhead_flows[0] lets that "
        "reach management"
    ]
    assert warned({**never, "from": "bob@example.com"}, over("tag:ci", "tag:mgmt"))
    assert warned(never, over("web", "management")) == []  # the first group's tag
    assert warned(never, over("tag:ci", "apps")) == []
    assert warned(never, over("tag:ci", "management", "https")) == []
    assert warned({**never, "from": "group:admins"}, over("tag:ci", "management")) == []
