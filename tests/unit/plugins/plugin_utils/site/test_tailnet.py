"""bulkhead_tailnet and flows over the tailnet: what is read, and every mistake with its key path."""

from __future__ import annotations

import pytest
from tailnet_site import BASE, changed, mistakes, parsed

FLOW = {"from": "web", "to": "apps", "allow": "postgres", "via": "tailnet"}


def flow(**values):
    """The site with one flow over the tailnet."""
    return changed(flows=[{**FLOW, **values}], ssh=None, exit_nodes=None)


def test_the_tailnet_is_read_as_it_is_declared():
    tailnet = parsed().tailnet
    assert (tailnet.control, tailnet.dialect, tailnet.port) == ("https://headscale.example", "headscale", 41641)
    assert [str(net) for net in tailnet.prefixes] == ["100.64.0.0/10", "fd7a:115c:a1e0::/48"]
    assert tailnet.own_tags["apps"] == ("tag:apps", "tag:metabase")
    assert tailnet.tag_owners["tag:ci"] == ("group:devs",) and tailnet.tag_owners["tag:web"] == ("group:admins",)
    assert [str(net) for net in tailnet.routes["gateway"]] == ["10.0.5.0/24", "198.51.100.0/24"]
    assert [str(one) for one in tailnet.flows] == [
        "group:admins -> management ssh, via tailnet (administration)",
        "web -> apps postgres, via tailnet",
        "group:devs, tag:ci -> printer https, via tailnet",
        "group:admins -> internet any, via tailnet (exit node edge)",
    ]


def test_flows_over_the_tailnet_are_none_of_the_lan():
    site = parsed()
    assert [one.path for one in site.flows if not one.derived] == [
        "bulkhead_flows[3]",
        "bulkhead_tiers.edge.internet",
        "bulkhead_tiers.web.internet",
    ]


def test_the_tags_of_a_host_are_those_of_all_its_places():
    tailnet = parsed().tailnet
    assert tailnet.tags_of(["apps", "web"], False) == ("tag:web", "tag:server", "tag:apps", "tag:metabase")
    assert tailnet.tags_of([], True) == ("tag:router",)
    assert tailnet.tags_of(["printers"], False) == ()


@pytest.mark.parametrize(
    ("control", "dialect"),
    [
        (None, "tailscale"),
        ("https://controlplane.tailscale.com", "tailscale"),
        ("https://tailscale.com.example", "headscale"),
        ("http://10.0.4.5:8080", "headscale"),
    ],
)
def test_the_dialect_follows_the_control_server(control, dialect):
    site = parsed(control=control)
    assert site.tailnet.dialect == dialect
    assert site.tailnet.tag_owners["tag:web"] == (("autogroup:admin",) if dialect == "tailscale" else ("group:admins",))


@pytest.mark.parametrize(
    ("declaration", "path", "remedy"),
    [
        (changed(control="headscale.example"), "control", "write it like https://headscale.example"),
        (changed(control="https://u:p@headscale.example"), "control", "leave them out"),
        (changed(control="https://headscale.example/api"), "control", "write https://headscale.example"),
        (changed(control="https://headscale.example:99999"), "control", "write it like https://headscale.example"),
        (changed(control=7), "control", "put it in quotes"),
        (changed(dialect="headscael"), "dialect", "did you mean headscale?"),
        (changed(dialect="headscale", control=None), "dialect", "declare bulkhead_tailnet.control"),
        (changed(prefixes="10.0.9.0/24"), "prefixes", "clients know no other one"),
        (changed(prefixes=["100.64.0.0/16", "100.65.0.0/16"]), "prefixes", "keep the one that control uses"),
        (changed(port=0), "port", "choose a number in that range"),
        (changed(direct="no"), "direct", "write true or false, without quotes"),
        (changed(tagz={}), "tagz", "did you mean tags?"),
        (changed(tags={**BASE["bulkhead_tailnet"]["tags"], "wbe": "tag:x"}), "tags.wbe", "did you mean web?"),
        (changed(tags={**BASE["bulkhead_tailnet"]["tags"], "printers": "tag:1x"}), "tags.printers", "write tag:x"),
        (changed(tags={**BASE["bulkhead_tailnet"]["tags"], "printers": "prn"}), "tags.printers", "write tag:prn"),
        (
            changed(tags={**BASE["bulkhead_tailnet"]["tags"], "printers": ["tag:server"]}),
            "tags.printers",
            "add one, such as tag:printers",
        ),
        (
            changed(groups={"group:admins": ["alice@example.com"], "admins": [], "devs": []}),
            "groups.group:admins",
            "write admins",
        ),
        (changed(groups={"admins": "alice", "devs": []}), "groups.admins", "write it like alice@example.com"),
        (changed(users=["alice@example.com"]), "groups.devs[0]", "add it there, or correct the name"),
        (changed(tag_owners={"tag:ci": ["group:dvs"]}), "tag_owners.tag:ci[0]", "did you mean group:devs?"),
        (changed(tag_owners={"tag:ci": ["tag:zzzzzzzz"]}), "tag_owners.tag:ci[0]", "declare it in tag_owners"),
        (changed(tag_owners={"tag:ci": ["autogroup:admin"]}), "tag_owners.tag:ci[0]", "name a group of"),
        (changed(tag_owners={"ci": ["group:devs"], "tag:ci": []}), "tag_owners.ci", "write tag:ci"),
        (
            changed(exit_nodes={"printers": ["group:admins"]}),
            "exit_nodes.printers",
            "declare bulkhead_tailnet.tags.printers",
        ),
        (changed(exit_nodes={"edge": ["group:admin"]}), "exit_nodes.edge[0]", "did you mean group:admins?"),
        (changed(exit_nodes={"edge": ["10.0.2.5"]}), "exit_nodes.edge[0]", "name the tier, a tag: or a group:"),
        (changed(exit_nodes={"edge": "internet"}), "exit_nodes.edge", "name a tier, tag: or group:"),
        (changed(routes={"printers": ["10.0.5.0/24"]}), "routes.printers", "declare bulkhead_tailnet.tags.printers"),
        (changed(routes={"web": ["10.0.3.0/24"]}, flows=[]), "routes.web[0]", "let gateway advertise it"),
        (changed(routes={"web": ["apps"]}, flows=[]), "routes.web[0]", "let gateway advertise it"),
        (
            changed(routes={"gateway": ["0.0.0.0/0"]}, flows=[]),
            "routes.gateway[0]",
            "name gateway in bulkhead_tailnet.exit_nodes",
        ),
        (changed(routes={"gateway": ["10.0.0.0/16"]}, flows=[]), "routes.gateway[0]", "name subnets of tiers"),
        (changed(routes={"gateway": ["100.64.0.0/24"]}, flows=[]), "routes.gateway[0]", "name subnets of tiers"),
        (changed(ssh=[{"from": "group:admins", "to": "management"}]), "ssh[0].users", "write it like [ops]"),
        (
            changed(ssh=[{"from": "group:admins", "to": "printer", "users": "ops"}]),
            "ssh[0].to",
            "declare it in bulkhead_tailnet",
        ),
        (
            changed(ssh=[{"from": "web", "to": "autogroup:self", "users": "ops"}]),
            "ssh[0].to",
            "name people or their groups",
        ),
        (
            changed(ssh=[{"from": "group:admins", "to": ["web", "group:admins"], "users": "ops"}]),
            "ssh[0].to",
            "name a tier, a tag or autogroup:self",
        ),
        (
            changed(ssh=[{"from": ["alice@example.com", "tag:ci"], "to": "alice@example.com", "users": "ops"}]),
            "ssh[0].to",
            "name a tier, a tag or autogroup:self",
        ),
        (
            changed(ssh=[{"from": "group:admins", "to": "web", "users": "o p"}]),
            "ssh[0].users",
            "write it like ops, or autogroup:nonroot",
        ),
        (changed(derp={"to": "headscale"}), "derp", "write it like - {to: headscale"),
        (changed(derp=[{"to": "headscale", "ports": "443"}]), "derp[0].ports", "add the protocol"),
        (changed(derp=[{"to": "hedscale", "ports": "443/tcp"}]), "derp[0].to", "did you mean headscale?"),
    ],
)
def test_a_mistake_in_the_tailnet_has_its_key_path_and_its_remedy(declaration, path, remedy):
    found = [one for one in mistakes(declaration) if one.path == f"bulkhead_tailnet.{path}"]
    assert [one for one in found if remedy in one.remedy], list(map(str, mistakes(declaration)))


@pytest.mark.parametrize(
    ("declaration", "path", "remedy"),
    [
        (flow(via="tailnett"), "via", "leave it out for a flow of the LAN"),
        (flow(to="printers"), "to", "declare bulkhead_tailnet.tags.printers: [tag:printers]"),
        (flow(to="group:admin"), "to", "did you mean group:admins?"),
        (flow(to="tag:metabse"), "to", "did you mean tag:metabase?"),
        (flow(to="internet"), "to", "say in bulkhead_tailnet.exit_nodes"),
        (flow(to="autogroup:internet"), "to", "say in bulkhead_tailnet.exit_nodes"),
        (flow(to="autogroup:danger-all"), "to", "did you mean autogroup:tagged?"),
        (flow(to="headscale"), "to", "name the tier management, whose hosts are nodes, or add a route"),
        (flow(to="10.0.2.0/24"), "to", "add a route to it to bulkhead_tailnet.routes"),
        (flow(to="100.64.0.7"), "to", "control gives nodes their addresses"),
        (flow(to="10.0.5.1/24"), "to", "write 10.0.5.0/24"),
        (flow(to="self", **{"from": "group:admins"}), "to", "autogroup:self is a person's own devices"),
        (flow(to="autogroup:self"), "to", "name people or their groups in from"),
        (flow(**{"from": "internet"}), "from", "name a tier, tag: or group:"),
        (flow(**{"from": "autogroup:danger-all"}), "from", "name a tier, tag: or group:"),
        (flow(**{"from": "db"}), "from", "name the tier, a tag: or a group:"),
        (flow(**{"from": "10.0.3.0/24"}), "from", "name the tier, a tag: or a group:"),
        (flow(**{"from": "autogroup:admin"}), "from", "Headscale knows no roles"),
        (flow(**{"from": "*"}), "from", "declare it in bulkhead_tailnet"),
        (flow(allow="esp"), "allow", "give them a flow of the LAN"),
        (flow(forward=True), "forward", "remove one of them"),
        (flow(via=None, to="tag:apps"), "to", "add via: tailnet to the flow"),
        (flow(via=None, **{"from": "group:admins"}), "from", "add via: tailnet to the flow"),
        (flow(via=None, to="100.64.0.7"), "to", "with via: tailnet"),
    ],
)
def test_a_mistake_in_a_flow_over_the_tailnet_has_its_key_path_and_its_remedy(declaration, path, remedy):
    found = [one for one in mistakes(declaration) if one.path == f"bulkhead_flows[0].{path}"]
    assert [one for one in found if remedy in one.remedy], list(map(str, mistakes(declaration)))


def test_a_flow_over_a_tailnet_that_is_not_declared_is_one_mistake():
    site = changed(tailnet=None, flows=[FLOW])
    assert [(one.path, one.kind) for one in mistakes(site)] == [("bulkhead_flows[0].via", "no-tailnet")]
    site = changed(tailnet=None, flows=[{"from": "tag:web", "to": "apps", "allow": "ssh"}])
    assert [(one.path, one.kind) for one in mistakes(site)] == [("bulkhead_flows[0].from", "no-tailnet")]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("tiers", {**BASE["bulkhead_tiers"], "more": {"vlan": 9, "subnet": "100.100.0.0/24"}}),
        ("pools", {"overlay": "100.64.0.0/20"}),
    ],
)
def test_the_prefixes_of_the_tailnet_overlap_nothing_of_the_site(kind, value):
    site = {**changed(), f"bulkhead_{kind}": value}
    assert [one.kind for one in mistakes(site)] == ["overlap"]


def test_what_of_the_shared_space_is_not_the_tailnets_stays_what_carriers_and_tailnets_use():
    tiers = {**BASE["bulkhead_tiers"], "more": {"vlan": 9, "subnet": "100.100.0.0/24"}}
    site = changed(prefixes=["100.64.0.0/16"], tiers=tiers)
    assert [(one.path, one.kind) for one in mistakes(site)] == [("bulkhead_tiers.more.subnet", "overlap")]


def test_an_address_of_the_tailnet_is_no_address_of_a_named_host():
    site = changed(addresses={**BASE["bulkhead_addresses"], "node": "100.64.0.7"})
    assert [one.path for one in mistakes(site)] == ["bulkhead_addresses.node"]


def test_the_way_out_of_the_nodes_is_a_flow_of_the_lan_like_any_other_to_the_invariants():
    declared = {"derp": [{"to": "internet", "ports": ["443/tcp"]}]}
    assert mistakes(changed(**declared)) == ()
    never = [{"from": "apps", "to": "internet", "deny": "any"}]
    assert [one.path for one in mistakes(changed(**declared, never=never))] == ["bulkhead_tailnet.derp[0]"]


def test_the_wireguard_port_is_open_unless_it_is_said_and_invariants_hold_for_it():
    never = [{"from": "internet", "to": "apps", "deny": "any"}]
    assert [one.path for one in mistakes(changed(never=never))] == ["bulkhead_tailnet.port"]
    assert mistakes(changed(never=never, direct=False)) == ()


def test_a_router_in_a_tier_needs_a_flow_of_the_lan_for_what_it_passes_on():
    found = mistakes(flow(to="db"))
    assert [one.kind for one in found] == ["no-way-on"]
    assert found[0].remedy == "add one without via: {from: apps, to: db, allow: postgres}"
    site = flow(to="db")
    site["bulkhead_flows"].append({"from": "apps", "to": "db", "allow": "postgres"})
    assert mistakes(site) == ()
