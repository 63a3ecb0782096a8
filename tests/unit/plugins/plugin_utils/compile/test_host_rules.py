# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The compiler of rules, held against the oracle of intent by a packet filter of a few lines."""

from __future__ import annotations

import copy
import ipaddress
import random
from datetime import date

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy

TODAY = date(2026, 11, 21)

BASE = {
    "bulkhead_tiers": {
        "alpha": {
            "vlan": 1,
            "subnet": ["10.0.1.0/28", "10.0.11.0/28", "fd00:1::/124"],
            "gateway": ["10.0.1.1", "10.0.11.1", "fd00:1::1"],
        },
        "beta": {"vlan": 2, "subnet": ["10.0.2.0/28", "fd00:2::/124"], "gateway": ["10.0.2.1", "fd00:2::1"]},
        "gamma": {"vlan": 3, "subnet": "10.0.3.0/28", "gateway": "10.0.3.1"},
    },
    "bulkhead_addresses": {
        "db": "10.0.2.5",
        "pair": ["10.0.1.4", "10.0.3.6", "fd00:2::5"],
        "leg": "10.0.2.1",
        "portal": "172.20.0.20",
        "syslog": "203.0.113.5",
        "mixed": ["10.0.3.7", "198.51.100.9"],
    },
    "bulkhead_services": {
        "ssh": "22/tcp",
        "web": ["80/tcp", "443/tcp"],
        "range": "20-90/tcp",
        "dns": ["53/udp", "53/tcp"],
        "esp": "esp",
        "igmp": "igmp",
        "many": ["%d/tcp" % port for port in range(100, 140, 2)],
    },
    "bulkhead_pools": {"engine": "10.99.0.0/16", "swarm": "10.98.0.0/16", "spare": "10.97.0.0/24"},
    "bulkhead_networks": {"lan": {"driver": "bridge", "subnet": "172.20.0.0/24", "on": ["beta"]}},
}

ENDS = [
    "alpha",
    "beta",
    "gamma",
    "tiers",
    "gateway",
    "internet",
    "db",
    "pair",
    "leg",
    "portal",
    "syslog",
    "mixed",
    "10.0.0.0/16",
    "10.0.1.8/29",
    "10.0.2.9",
    "203.0.113.0/24",
    "0.0.0.0/0",
    "fd00:1::/124",
    "172.20.0.0/24",
]
SERVICES = ["ssh", "web", "range", "dns", "esp", "igmp", "many", "any"]

ADDRESSES = [
    "10.0.1.1",
    "10.0.1.2",
    "10.0.1.4",
    "10.0.1.9",
    "10.0.11.1",
    "10.0.11.3",
    "10.0.2.1",
    "10.0.2.5",
    "10.0.2.9",
    "10.0.2.11",
    "10.0.3.1",
    "10.0.3.6",
    "10.0.3.7",
    "10.0.3.9",
    "10.97.0.5",
    "10.98.1.1",
    "172.20.0.20",
    "172.20.0.21",
    "172.20.0.255",
    "172.20.1.0",
    "10.0.3.15",
    "10.0.3.16",
    "10.0.0.255",
    "203.0.113.5",
    "203.0.113.77",
    "198.51.100.9",
    "8.8.8.8",
    "10.0.9.9",
    "fd00:1::1",
    "fd00:1::5",
    "fd00:2::1",
    "fd00:2::5",
    "fd00:2::7",
    "2001:db8::1",
]
PACKETS = [("tcp", port) for port in (19, 20, 22, 53, 80, 90, 91, 100, 101, 138, 443)] + [
    ("udp", 53),
    ("udp", 22),
    ("esp", None),
    ("igmp", None),
    ("gre", None),
]


def rule_items(site, tiers, gateway):
    """The rules of a host as ufw_ruleset takes them."""
    return [rule.to_dict() for rule in host_rules(site, tiers, gateway)]


class Filter:
    """First match over compiled rules, then the default deny; it reads the rules as text, as ufw would."""

    def __init__(self, rules):
        self.rules = []
        for rule in rules:
            ports = None
            if "to_port" in rule:
                ports = [[int(end) for end in part.split(":")] for part in rule["to_port"].split(",")]
            self.rules.append(
                (
                    rule["rule"],
                    rule.get("route", False),
                    rule["proto"],
                    self._net(rule["from_ip"]),
                    self._net(rule["to_ip"]),
                    ports,
                )
            )

    @staticmethod
    def _net(text):
        return None if text == "any" else ipaddress.ip_network(text)

    def lets(self, route, source, destination, proto, port):
        """What lets the packet pass: "allow", "limit", or "" for nothing."""
        for action, routed, wanted, start, end, ports in self.rules:
            if (
                routed == route
                and wanted in ("any", proto)
                and (start is None or source in start)
                and (end is None or destination in end)
                and (ports is None or (port is not None and any(part[0] <= port <= part[-1] for part in ports)))
            ):
                return "" if action == "deny" else action
        return ""


class Fleet:
    """A gateway and a host of every tier, and the way of a packet through their filters."""

    def __init__(self, site, declaration):
        self.gateway = Filter(rule_items(site, [], True))
        self.hosts = {name: Filter(rule_items(site, [name], False)) for name in site.tiers}
        self.subnets = {
            ipaddress.ip_network(net): name
            for name, tier in declaration["bulkhead_tiers"].items()
            for net in _list(tier["subnet"])
        }
        self.legs = {
            ipaddress.ip_address(leg)
            for tier in declaration["bulkhead_tiers"].values()
            for leg in _list(tier["gateway"])
        }
        self.bridge = ipaddress.ip_network("172.20.0.0/24")

    def subnet_of(self, address):
        return next((net for net in self.subnets if address in net), None)

    def delivers(self, source, destination, proto, port):
        """What lets the packet arrive, "" for nothing; None where no firewall of the fleet is on its way."""
        packet = (source, destination, proto, port)
        if destination in self.legs:
            return self.gateway.lets(False, *packet)
        if destination in self.bridge:
            if source in self.bridge:
                return None
            near = self.subnets.get(self.subnet_of(source)) == "beta" or source in self.legs
            return _both("allow" if near else self.gateway.lets(True, *packet), self.hosts["beta"].lets(True, *packet))
        home = self.subnet_of(destination)
        near = source in self.legs or (home is not None and home == self.subnet_of(source))
        arrived = "allow" if near else self.gateway.lets(True, *packet)
        return arrived if home is None else _both(arrived, self.hosts[self.subnets[home]].lets(False, *packet))


def _both(*hops):
    return "" if "" in hops else max(hops)


def _list(value):
    return value if isinstance(value, list) else [value]


def declare(flows, internet=()):
    declaration = copy.deepcopy(BASE)
    declaration["bulkhead_flows"] = flows
    for name in internet:
        declaration["bulkhead_tiers"][name]["internet"] = True
    return declaration


def usable(flow):
    try:
        parse_site(declare([flow]), TODAY)
    except Refused:
        return False
    return True


flow_shapes = st.fixed_dictionaries(
    {
        "from": st.lists(st.sampled_from(ENDS), min_size=1, max_size=2, unique=True),
        "to": st.lists(st.sampled_from(ENDS + ["self"]), min_size=1, max_size=2, unique=True),
        "allow": st.lists(st.sampled_from(SERVICES), min_size=1, max_size=2, unique=True),
        "limit": st.booleans(),
    }
).filter(usable)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(flow_shapes, min_size=1, max_size=6), st.sets(st.sampled_from(["alpha", "beta", "gamma"])), st.integers()
)
def test_the_rules_of_a_fleet_let_through_exactly_what_the_flows_allow(flows, internet, seed):
    declaration = declare(flows, internet)
    try:
        site = parse_site(declaration, TODAY)
    except Refused:
        assume(False)
    policy, fleet = Policy(site), Fleet(site, declaration)
    rng = random.Random(seed)
    tried = 0
    while tried < 250:
        source, destination = (ipaddress.ip_address(rng.choice(ADDRESSES)) for dummy in range(2))
        proto, port = rng.choice(PACKETS)
        if source == destination or source.version != destination.version:
            continue
        tried += 1
        if source in fleet.legs and fleet.subnet_of(destination) is None:
            continue  # What a router itself sends to the outside passes no rule.
        arrived = fleet.delivers(source, destination, proto, port)
        flow = policy.flow_for(str(source), str(destination), proto, port)
        wanted = "" if flow is None else "limit" if flow.limit else "allow"
        assert arrived is None or arrived == wanted, (
            str(source),
            str(destination),
            proto,
            port,
            flow,
            [str(rule) for rule in host_rules(site, [], True)],
        )


@settings(max_examples=60, deadline=None)
@given(st.lists(flow_shapes, min_size=1, max_size=6), st.sets(st.sampled_from(["alpha", "beta", "gamma"])))
def test_no_rule_has_the_match_of_an_earlier_one_and_every_rule_is_one_ufw_takes(flows, internet):
    site = parse_site(declare(flows, internet), TODAY)
    for rules in [host_rules(site, [], True), host_rules(site, ["alpha", "beta"], False)]:
        texts = [str(rule._replace(action="deny")) for rule in rules]
        assert len(set(texts)) == len(texts)
        for rule in [rule.to_dict() for rule in rules]:
            ends = [ipaddress.ip_network(rule[key]).version for key in ("from_ip", "to_ip") if rule[key] != "any"]
            assert ends and len(set(ends)) == 1
            assert rule.get("to_port", "").count(",") + rule.get("to_port", "").count(":") <= 14
            assert ("to_port" in rule) == (rule["proto"] in ("tcp", "udp"))
            assert not (rule["proto"] == "igmp" and ends[0] == 6)
            assert "'" not in rule["comment"]


def rules(flows, tiers=(), gateway=False, **changes):
    declaration = declare(flows)
    declaration.update(changes)
    return [str(rule) for rule in host_rules(parse_site(declaration, TODAY), list(tiers), gateway)]


def test_a_flow_between_tiers_is_one_rule_on_each_side():
    flows = [{"from": "beta", "to": "gamma", "allow": ["web", "ssh"], "why": "deploys"}]
    assert rules(flows, ["gamma"]) == ["allow in proto tcp from 10.0.2.0/28 to 10.0.3.0/28 port 22,80,443"]
    assert rules(flows, gateway=True) == ["route allow proto tcp from 10.0.2.0/28 to 10.0.3.0/28 port 22,80,443"]
    assert rules(flows, ["beta"]) == [] and rules(flows, ["alpha"]) == []


def test_a_tier_among_itself_needs_no_router_but_between_its_subnets():
    flows = [{"from": "alpha", "to": "self", "allow": "ssh"}]
    assert rules(flows, gateway=True) == [
        "route allow proto tcp from 10.0.1.0/28 to 10.0.11.0/28 port 22",
        "route allow proto tcp from 10.0.11.0/28 to 10.0.1.0/28 port 22",
    ]
    assert len(rules(flows, ["alpha"])) == 5


def test_a_gateway_answers_for_its_own_legs_alone():
    flows = [{"from": "gamma", "to": ["gateway", "gamma"], "allow": "ssh"}]
    assert rules(flows, ["gamma"], gateway=True) == [
        "allow in proto tcp from 10.0.3.0/28 to 10.0.1.1 port 22",
        "allow in proto tcp from 10.0.3.0/28 to 10.0.11.1 port 22",
        "allow in proto tcp from 10.0.3.0/28 to 10.0.2.1 port 22",
        "allow in proto tcp from 10.0.3.0/28 to 10.0.3.1 port 22",
    ]


def test_the_internet_comes_after_denies_that_carve_the_site_out():
    flows = [{"from": "internet", "to": "gamma", "allow": "web"}, {"from": "beta", "to": "gamma", "allow": "ssh"}]
    assert rules(flows, ["gamma"]) == [
        "allow in proto tcp from 10.0.2.0/28 to 10.0.3.0/28 port 22",
        "deny in from 10.0.1.0/28 to 10.0.3.0/28",
        "deny in from 10.0.2.0/28 to 10.0.3.0/28",
        "deny in from 10.0.3.0/28 to 10.0.3.0/28",
        "deny in from 10.0.11.0/28 to 10.0.3.0/28",
        "deny in from 10.97.0.0/24 to 10.0.3.0/28",
        "deny in from 10.98.0.0/16 to 10.0.3.0/28",
        "deny in from 10.99.0.0/16 to 10.0.3.0/28",
        "deny in from 172.20.0.0/24 to 10.0.3.0/28",
        "allow in proto tcp from any to 10.0.3.0/28 port 80,443",
    ]


def test_the_comment_says_who_what_and_why_and_holds_no_quote_that_ufw_refuses():
    flows = [{"from": "beta", "to": "gamma", "allow": ["dns", "ssh"], "why": "the admins' work"}]
    found = rule_items(parse_site(declare(flows), TODAY), ["gamma"], False)
    assert [rule["comment"] for rule in found] == [
        "beta -> gamma dns, ssh: the admins\u2019 work",
        "beta -> gamma dns: the admins\u2019 work",
    ]


def test_inserting_a_flow_leaves_the_rules_of_the_others_alone():
    one = {"from": "beta", "to": "gamma", "allow": "ssh", "why": "one"}
    two = {"from": "alpha", "to": "gamma", "allow": "ssh", "why": "two"}
    alone = rule_items(parse_site(declare([one]), TODAY), ["gamma"], False)
    both = rule_items(parse_site(declare([two, one]), TODAY), ["gamma"], False)
    assert [rule for rule in both if rule in alone] == alone


def test_a_container_of_a_bridge_is_reached_through_its_hosts():
    flows = [{"from": "gamma", "to": "portal", "allow": "web"}]
    assert rules(flows, ["beta"]) == ["route allow proto tcp from 10.0.3.0/28 to 172.20.0.20 port 80,443"]
    assert rules(flows, ["gamma"]) == []
    assert rules(flows, gateway=True) == ["route allow proto tcp from 10.0.3.0/28 to 172.20.0.20 port 80,443"]


def test_a_host_of_several_tiers_has_the_rules_of_each():
    flows = [{"from": "alpha", "to": ["beta", "gamma"], "allow": "ssh"}]
    assert set(rules(flows, ["beta", "gamma"])) == set(rules(flows, ["beta"]) + rules(flows, ["gamma"]))


def test_more_ports_than_ufw_takes_become_two_rules():
    flows = [{"from": "beta", "to": "gamma", "allow": "many"}]
    assert [text.count(",") for text in rules(flows, ["gamma"])] == [14, 4]


def test_what_a_router_sends_itself_is_not_routed():
    assert rules([{"from": "gateway", "to": "gamma", "allow": "ssh"}], gateway=True) == []
    assert len(rules([{"from": "gateway", "to": "gamma", "allow": "ssh"}], ["gamma"])) == 4


def test_the_hosts_of_a_tier_have_no_rules_for_the_gateways_addresses():
    assert rules([{"from": "alpha", "to": ["gateway", "leg"], "allow": "ssh"}], ["alpha", "beta", "gamma"]) == []


def test_a_wide_destination_is_narrowed_to_the_hosts_own_network():
    flows = [{"from": "alpha", "to": "10.0.0.0/16", "allow": "ssh"}]
    assert {text.split(" to ")[1] for text in rules(flows, ["gamma"])} == {"10.0.3.0/28 port 22"}


def test_of_an_allow_and_a_deny_with_one_match_the_first_stays():
    flows = [{"from": "beta", "to": "gamma", "allow": "any"}, {"from": "internet", "to": "gamma", "allow": "ssh"}]
    found = rules(flows, ["gamma"])
    assert "allow in from 10.0.2.0/28 to 10.0.3.0/28" in found
    assert "deny in from 10.0.2.0/28 to 10.0.3.0/28" not in found


def test_what_stays_in_a_bridge_has_no_rule():
    assert rules([{"from": "172.20.0.0/24", "to": "portal", "allow": "ssh"}], ["beta"]) == []
    assert rules([{"from": "172.20.0.0/24", "to": "portal", "allow": "ssh"}], gateway=True) == []


def test_a_limited_flow_is_a_limit_rule_on_each_side_and_after_what_is_not_limited():
    flows = [
        {"from": "tiers", "to": "beta", "allow": "ssh", "limit": True},
        {"from": "gamma", "to": "beta", "allow": "ssh"},
    ]
    free = "proto tcp from 10.0.3.0/28 to 10.0.2.0/28 port 22"
    limited = "proto tcp from 10.0.1.0/28 to 10.0.2.0/28 port 22"
    for texts, allow, limit in (
        (rules(flows, ["beta"]), "allow in", "limit in"),
        (rules(flows, gateway=True), "route allow", "route limit"),
    ):
        assert texts.index(f"{allow} {free}") < texts.index(f"{limit} {limited}")
        assert f"{limit} {free}" not in texts


def test_a_limit_for_a_part_of_the_internet_takes_nothing_from_a_flow_for_the_whole():
    flows = [
        {"from": "203.0.113.0/24", "to": "alpha", "allow": "ssh", "limit": True},
        {"from": "internet", "to": "alpha", "allow": "web"},
        {"from": "internet", "to": "alpha", "allow": "range"},
    ]
    texts = rules(flows, ["alpha"])
    limit = next(text for text in texts if text.startswith("limit"))
    assert texts.index("allow in proto tcp from any to 10.0.1.0/28 port 20:90") < texts.index(limit)
    alone = rules(flows[:1], ["alpha"])
    assert [text.split()[0] for text in alone] == ["limit", "limit"], "no denies that nothing needs"
