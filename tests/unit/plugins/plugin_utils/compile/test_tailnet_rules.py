"""The rules of nodes of the tailnet, held against the intent of both planes by a packet filter of a few lines."""

from __future__ import annotations

import ipaddress
import json
import pathlib

import pytest
from tailnet_site import TODAY, by_chance, changed, parsed

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import parse_docker
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.nat_input import parse_nat
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import parse_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import shared_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.nat import host_nat
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import (
    Identity,
    TailnetPolicy,
    identity_of,
    known_identities,
)

#: (tiers, whether it is a router between them, its own addresses)
HOSTS = [
    (("edge",), False, ["203.0.113.5"]),
    (("web",), False, ["10.0.2.8", "fd00:2::8"]),
    (("apps",), False, ["10.0.3.8"]),
    (("management",), False, ["10.0.4.8"]),
    (("printers",), False, ["10.0.5.8"]),
    (("apps", "management"), False, ["10.0.3.7", "10.0.4.7"]),
    ((), True, ["10.0.2.1", "10.0.3.1", "10.0.4.1", "10.0.5.1", "203.0.113.1", "fd00:2::1"]),
]
PORTS = [("tcp", port) for port in (22, 53, 443, 5432, 8005, 8011)] + [("udp", 53), ("udp", 41641), ("udp", 41642)]
NODE, PEER = "100.64.0.1", "100.64.0.2"
BEHIND = ["10.0.5.9", "10.0.5.200", "10.0.3.9", "10.0.2.77", "198.51.100.7", "8.8.8.8", "10.99.0.1", "203.0.113.9"]
LAN = ["10.0.2.9", "10.0.3.9", "10.0.4.9", "10.0.5.9", "203.0.113.9", "8.8.8.8", "10.0.5.1"]


class Filter:
    """First match over compiled rules as the module takes them, then the default deny."""

    def __init__(self, rules):
        self._rules = [rule.to_dict() for rule in rules]

    def allows(self, source, destination, proto, port, arrives="eth0", leaves="", hook="in"):
        for rule in self._rules:
            route = rule.get("route", False)
            way = "forward" if route else rule.get("direction", "in")
            if way == hook and self._matches(rule, source, destination, proto, port, arrives, leaves):
                return rule["rule"] in ("allow", "limit")
        return False

    def _matches(self, rule, source, destination, proto, port, arrives, leaves):
        ports = rule.get("to_port")
        return (
            rule["proto"] in ("any", proto)
            and _in(source, rule["from_ip"])
            and _in(destination, rule["to_ip"])
            and rule.get("interface_in", arrives) == arrives
            and rule.get("interface_out", leaves) == leaves
            and "from_port" not in rule
            and (
                ports is None
                or any(int(one.split(":")[0]) <= port <= int(one.split(":")[-1]) for one in ports.split(","))
            )
        )


def _in(address, net):
    one = ipaddress.ip_address(address)
    return net == "any" or one in ipaddress.ip_network(net)


def everyone(site):
    return [*known_identities(site.tailnet), Identity(user="eve@example.com")]


def crossing(site):
    """["what the rules of a host say, and the site does not"], for packets of both planes."""
    over, lan = TailnetPolicy(site), Policy(site)
    wrong = []
    for tiers, gateway, own in HOSTS:
        rules = Filter(host_rules(site, tiers, gateway))
        identity = identity_of(site, tiers, gateway)
        places = site.tailnet.places_of(tiers, gateway)

        def expect(what, wanted, got, where=(tiers, gateway)):
            if wanted != got:
                wrong.append((where, what, wanted))

        for proto, port in PORTS:
            wanted = identity is not None and any(
                over.flow_for(source, identity, proto, port) for source in everyone(site)
            )
            expect(("node", proto, port), wanted, rules.allows(PEER, NODE, proto, port, "tailscale0"))
            for source in (PEER, *LAN):
                # What comes in by another interface is no packet of the tailnet; what comes in by it, none of the LAN.
                expect(("spoofed", source, proto, port), False, rules.allows(PEER, own[0], proto, port))
                for end in own[:1]:
                    if source != PEER and identity is not None:
                        expect(
                            ("lan", source, proto, port), False, rules.allows(source, end, proto, port, "tailscale0")
                        )
            for source in LAN:
                for end in own:
                    if ":" not in end and source not in own:
                        wanted = lan.flow_for(source, end, proto, port) is not None
                        expect((source, end, proto, port), wanted, rules.allows(source, end, proto, port))
            for end in BEHIND if identity is not None else ():
                wanted = any(over.flow_for(source, end, proto, port, by=places) for source in everyone(site))
                got = rules.allows(PEER, end, proto, port, "tailscale0", "eth0", "forward")
                expect(("behind", end, proto, port), wanted, got)
                expect(
                    ("into", end, proto, port),
                    False,
                    rules.allows(end, PEER, proto, port, "eth0", "tailscale0", "forward"),
                )
    return wrong


def test_the_rules_of_every_host_say_what_the_flows_of_both_planes_say():
    assert crossing(parsed(derp=[{"to": "headscale", "ports": ["443/tcp"]}])) == []


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_the_rules_of_random_sites_say_what_their_flows_say(first):
    for seed in range(first, first + 10):
        assert crossing(by_chance(seed)) == [], seed


@pytest.mark.parametrize(("tiers", "gateway"), [(tiers, gateway) for tiers, gateway, _own in HOSTS])
def test_the_modules_take_the_rules_the_translations_and_the_published_ports(tiers, gateway):
    for seed in range(10):
        plan = shared_plan(by_chance(seed), tiers, gateway)
        assert bool(parse_rules(plan["rules"], True, dict).v4) == bool(plan["rules"])
        parse_docker(plan["docker"], True)
        if plan["nat"]:
            parse_nat(plan["nat"], True)


def test_a_flow_from_the_internet_does_not_open_the_tailnets_interface():
    flows = [{"from": "internet", "to": "edge", "allow": "https"}, {"from": "0.0.0.0/0", "to": "edge", "allow": "ssh"}]
    rules = Filter(host_rules(parsed(flows=flows), ["edge"], False))
    assert rules.allows("8.8.8.8", "203.0.113.5", "tcp", 443) and rules.allows("8.8.8.8", "203.0.113.5", "tcp", 22)
    for port in (22, 443):
        assert not rules.allows("8.8.8.8", "203.0.113.5", "tcp", port, "tailscale0")
        assert not rules.allows(PEER, NODE, "tcp", port, "tailscale0")
        assert not rules.allows(PEER, "203.0.113.5", "tcp", port)


def test_a_flow_over_the_tailnet_opens_nothing_of_the_lan():
    rules = Filter(host_rules(parsed(), ["management"], False))
    assert rules.allows(PEER, NODE, "tcp", 22, "tailscale0")
    for source in [*LAN, PEER]:
        assert not rules.allows(source, "10.0.4.8", "tcp", 22)
    assert not rules.allows(PEER, "10.0.4.8", "tcp", 22, "tailscale0")


def test_a_router_lets_out_to_its_route_what_a_flow_says_and_the_host_there_lets_the_router_in():
    site = parsed()
    router = Filter(host_rules(site, (), True))
    assert router.allows(PEER, "10.0.5.9", "tcp", 443, "tailscale0", "eth0", "forward")
    assert not router.allows(PEER, "10.0.5.9", "tcp", 22, "tailscale0", "eth0", "forward")
    assert not router.allows(PEER, "10.0.5.10", "tcp", 443, "tailscale0", "eth0", "forward")
    printer = Filter(host_rules(site, ("printers",), False))
    assert printer.allows("10.0.5.1", "10.0.5.9", "tcp", 443)
    assert not printer.allows("10.0.5.1", "10.0.5.10", "tcp", 443)
    assert not printer.allows("10.0.4.1", "10.0.5.9", "tcp", 443) and not printer.allows(
        "10.0.5.2", "10.0.5.9", "tcp", 443
    )


def test_a_leg_of_a_router_is_reached_where_it_is_named():
    def opened(end):
        flows = [{"from": "group:admins", "to": end, "allow": "ssh", "via": "tailnet"}]
        rules = Filter(host_rules(parsed(flows=flows, ssh=None, exit_nodes=None), (), True))
        return rules.allows(PEER, "10.0.5.1", "tcp", 22, "tailscale0")

    assert opened("10.0.5.1") and not opened("10.0.5.0/24") and not opened("printer")


def test_an_exit_node_leads_to_the_internet_and_to_nothing_of_the_site():
    rules = Filter(host_rules(parsed(), ("edge",), False))
    assert rules.allows(PEER, "8.8.8.8", "tcp", 25, "tailscale0", "eth0", "forward")
    for end in ("203.0.113.9", "10.0.2.9", "10.0.5.9", "100.64.0.9"):
        assert not rules.allows(PEER, end, "tcp", 22, "tailscale0", "eth0", "forward")
    other = Filter(host_rules(parsed(), ("web",), False))
    assert not other.allows(PEER, "8.8.8.8", "tcp", 25, "tailscale0", "eth0", "forward")


def test_what_comes_off_the_tailnet_is_masqueraded_to_routes_and_by_exit_nodes():
    site = parsed()
    assert host_nat(site, True)["masquerade"] == [
        {"from_ip": "100.64.0.0/10", "to_ip": "10.0.5.0/24", "comment": "the tailnet -> 10.0.5.0/24"},
        {"from_ip": "100.64.0.0/10", "to_ip": "198.51.100.0/24", "comment": "the tailnet -> 198.51.100.0/24"},
    ]
    exits = host_nat(site, False, ("edge",))["masquerade"]
    kept = {item["to_ip"] for item in exits if item.get("rule") == "none"}
    assert {"100.64.0.0/10", "203.0.113.0/28", "10.0.5.0/24"} <= kept
    assert [item["from_ip"] for item in exits if "rule" not in item] == ["100.64.0.0/10", "fd7a:115c:a1e0::/48"]
    assert host_nat(site, False, ("web",)) == {} and host_nat(site, False, ("printers",)) == {}


def test_a_published_port_is_open_to_the_tailnet_by_a_flow_and_to_no_one_else_of_it():
    plan = shared_plan(parsed(), ["apps"], False)
    published = [item for item in plan["docker"]["published"] if item["from_ip"] == "100.64.0.0/10"]
    assert [(item["rule"], item["to_ip"], item.get("port")) for item in published] == [
        ("allow", "100.64.0.0/10", "5432"),
        ("deny", "any", None),
    ]
    assert not [item for item in plan["docker"]["published"] if item["from_ip"] == item["to_ip"] == "any"]


def test_the_way_to_control_is_open_where_the_default_policy_denies_what_leaves():
    plain = [rule for rule in host_rules(parsed(), ("apps",), False) if rule.outgoing]
    assert plain == []
    site = parsed(derp=[{"to": "headscale", "ports": ["443/tcp", "3478/udp"]}])
    assert [str(rule) for rule in host_rules(site, ("apps",), False) if rule.outgoing] == [
        "allow out proto udp from any port 41641 to any",
        "allow out on tailscale0 from any to any",
        "allow out proto tcp from any to 10.0.4.5 port 443",
        "allow out proto udp from any to 10.0.4.5 port 3478",
    ]
    router = Filter(host_rules(site, (), True))
    assert router.allows("10.0.3.8", "10.0.4.5", "tcp", 443, "eth0", "eth1", "forward")
    assert not router.allows("10.0.5.8", "10.0.4.5", "tcp", 443, "eth0", "eth1", "forward")
    control = Filter(host_rules(site, ("management",), False))
    assert control.allows("10.0.4.1", "10.0.4.5", "tcp", 443) and not control.allows("10.0.5.1", "10.0.4.5", "tcp", 443)


def test_the_wireguard_port_is_open_on_nodes_alone_and_not_without_direct():
    def opened(tiers, **values):
        return Filter(host_rules(parsed(**values), tiers, False))

    assert opened(("apps",)).allows("8.8.8.8", "10.0.3.8", "udp", 41641)
    assert opened(("apps",), port=41700).allows("8.8.8.8", "10.0.3.8", "udp", 41700)
    assert not opened(("apps",), direct=False).allows("8.8.8.8", "10.0.3.8", "udp", 41641)
    assert not opened(("printers",)).allows("8.8.8.8", "10.0.5.8", "udp", 41641)


def test_a_site_without_a_tailnet_is_compiled_as_it_was_before_there_was_one():
    known = json.loads((pathlib.Path(__file__).parent / "plan_without_tailnet.json").read_text(encoding="utf-8"))
    site = parse_site(known["declaration"], TODAY)
    for host in known["hosts"]:
        plan = shared_plan(site, host["tiers"], host["gateway"])
        assert {key: plan[key] for key in host["plan"]} == host["plan"]
        assert plan["tailnet"] is None


def test_a_tailnet_of_no_tier_changes_the_rules_of_the_lan_in_nothing_but_what_the_internet_is_not():
    with_one = changed(tags={}, exit_nodes=None, routes=None, ssh=None, flows=[])
    without = {key: value for key, value in with_one.items() if key != "bulkhead_tailnet"}
    for tiers, gateway, _own in HOSTS:
        more, plain = (host_rules(parse_site(one, TODAY), tiers, gateway) for one in (with_one, without))
        assert [rule for rule in more if rule.comment != "not the internet: the tailnet"] == list(plain)


def test_a_routed_rule_of_the_lan_carries_nothing_off_the_tailnet_and_nothing_into_it():
    flows = [{"from": "web", "to": "apps", "allow": "https"}, {"from": "web", "to": "0.0.0.0/0", "allow": "ssh"}]
    rules = Filter(host_rules(parsed(flows=flows, routes=None, exit_nodes=None, ssh=None), (), True))
    assert rules.allows("10.0.2.9", "10.0.3.9", "tcp", 443, "eth0", "eth1", "forward")
    assert not rules.allows("10.0.2.9", "10.0.3.9", "tcp", 443, "tailscale0", "eth1", "forward")
    assert rules.allows("10.0.2.9", "8.8.8.8", "tcp", 22, "eth0", "eth1", "forward")
    assert not rules.allows("10.0.2.9", PEER, "tcp", 22, "eth0", "tailscale0", "forward")
    assert not rules.allows(PEER, "10.0.3.9", "tcp", 443, "eth0", "eth1", "forward")


def test_a_router_in_a_tier_is_itself_behind_its_route():
    flows = [
        {"from": "group:admins", "to": "10.0.3.0/25", "allow": "ssh", "via": "tailnet"},
        {"from": "apps", "to": "self", "allow": "ssh"},
    ]
    rules = Filter(host_rules(parsed(flows=flows, ssh=None, exit_nodes=None), ("apps",), False))
    assert rules.allows(PEER, "10.0.3.8", "tcp", 22, "tailscale0")
    assert rules.allows(PEER, "10.0.3.9", "tcp", 22, "tailscale0", "eth0", "forward")
    for end in ("10.0.3.200", "10.0.2.8"):
        assert not rules.allows(PEER, end, "tcp", 22, "tailscale0")
        assert not rules.allows(PEER, end, "tcp", 22, "tailscale0", "eth0", "forward")
    assert not rules.allows(PEER, "10.0.3.8", "tcp", 22)


def test_a_leg_that_is_named_is_let_in_and_not_passed_on():
    flows = [{"from": "group:admins", "to": "10.0.5.1", "allow": "ssh", "via": "tailnet"}]
    rules = host_rules(parsed(flows=flows, ssh=None, exit_nodes=None, direct=False), (), True)
    assert [str(rule) for rule in rules if rule.ports == "22"] == [
        "allow in on tailscale0 proto tcp from 100.64.0.0/10 to 10.0.5.1 port 22"
    ]


def test_what_one_flow_over_the_tailnet_allows_without_a_limit_is_not_limited():
    flows = [
        {"from": "group:admins", "to": "web", "allow": ["ssh", "https"], "via": "tailnet", "limit": True},
        {"from": "group:devs", "to": "web", "allow": "ssh", "via": "tailnet"},
        {"from": "alice@example.com", "to": "web", "allow": ["ssh", "https"], "via": "tailnet"},
    ]
    rules = host_rules(parsed(flows=flows, ssh=None, exit_nodes=None), ("web",), False)
    assert [rule.action for rule in rules if rule.interface and rule.ports == "22,443"] == ["allow", "allow"]
