# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is translated, held against what the flows declare by a translator of a few lines."""

from __future__ import annotations

import ipaddress
import random
from datetime import date

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.nat_block import FORWARD, MASQUERADE
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.nat_input import parse_nat
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.nat import host_nat
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy
from ansible_collections.bulkhead.tiers.tests.unit.plugins.plugin_utils.compile.test_host_rules import (
    ADDRESSES,
    BASE,
    Fleet,
    declare,
    flow_shapes,
)

TODAY = date(2026, 11, 21)
ROUTER = "203.0.113.1"
forward_shapes = st.fixed_dictionaries(
    {
        "from": st.lists(
            st.sampled_from(["internet", "alpha", "beta", "gamma", "203.0.113.0/24"]), min_size=1, max_size=2
        ),
        "to": st.sampled_from(["db", "10.0.1.9", "10.0.3.5"]),
        "allow": st.sampled_from(["ssh", "web", "dns", "range"]),
        "forward": st.sampled_from([True, {"address": ROUTER}, {"port": 2222}]),
        "limit": st.booleans(),
    }
)


def first(entries, source, destination, proto="any", port=None):
    """The first entry that matches a packet, None for none."""
    for entry in entries:
        if (
            ipaddress.ip_address(source) in ipaddress.ip_network(entry.src)
            and ipaddress.ip_address(destination) in ipaddress.ip_network(entry.dst)
            and entry.proto in ("any", proto)
            and (entry.port == "any" or holds(entry.port, port))
        ):
            return entry
    return None


def holds(ports, port):
    ends = [int(end) for end in ports.split(":")]
    return ends[0] <= port <= ends[-1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(forward_shapes, min_size=1, max_size=4),
    st.lists(flow_shapes, max_size=3),
    st.sets(st.sampled_from(["alpha", "beta", "gamma"])),
    st.integers(),
)
def test_what_is_asked_of_the_router_arrives_where_the_flows_let_it_and_nothing_else_is_translated(
    forwards, flows, masqueraded, seed
):
    declaration = declare([*forwards, *flows], masqueraded)
    for name in masqueraded:
        declaration["bulkhead_tiers"][name]["masquerade"] = True
    try:
        site = parse_site(declaration, TODAY)
    except Refused:
        assume(False)
    block = parse_nat(host_nat(site, True), True).blocks[4]
    policy, fleet = Policy(site), Fleet(site, declaration)
    own = [ipaddress.ip_network(str(net)) for net in site.own if net.version == 4]
    subnets = {
        ipaddress.ip_network(str(net)) for name in masqueraded for net in site.tiers[name].subnets if net.version == 4
    }
    rng = random.Random(seed)
    sources = [address for address in ADDRESSES if ":" not in address and address not in map(str, fleet.legs)]
    for _number in range(120):
        source, proto = rng.choice(sources), rng.choice(["tcp", "udp"])
        port = rng.choice([22, 53, 80, 443, 2222, 21, 50])
        entry = first(block.forward, source, ROUTER, proto, port) if block else None
        if entry and entry.kind == FORWARD:
            arrives = int(entry.target_port or port)
            flow = policy.flow_for(source, entry.target, proto, arrives)
            assert flow is not None, (source, port, entry)
            ends = ipaddress.ip_address(source), ipaddress.ip_address(entry.target)
            assert fleet.delivers(*ends, proto, arrives) in ("allow", "limit")
        else:
            for number, one in enumerate(forwards):
                flow = site.flows[number]
                at = one["forward"]["port"] if one["forward"] == {"port": 2222} else None
                wanted = any(
                    (at == port) if at else (ports.first <= port <= ports.last)
                    for ports in flow.all_ports
                    if ports.proto == proto
                )
                target = {"db": "10.0.2.5"}.get(one["to"], one["to"])
                beside = fleet.subnet_of(ipaddress.ip_address(source)) == fleet.subnet_of(ipaddress.ip_address(target))
                if (
                    wanted
                    and not beside
                    and policy.flow_for(source, target, proto, at and flow.all_ports[0].first or port)
                ):
                    others = {pair.source.name for pair in flow.pairs}
                    assert not _is_of(source, others, own), (source, one, port)
        goal = rng.choice(sources)
        entry = first(block.masquerade, source, goal) if block else None
        outside = not any(ipaddress.ip_address(goal) in net for net in own)
        behind = any(ipaddress.ip_address(source) in net for net in subnets)
        assert bool(entry and entry.kind == MASQUERADE) == (outside and behind), (source, goal)


def _is_of(source, names, own):
    """Whether an address is of one of the sources that forwards name."""
    address = ipaddress.ip_address(source)
    tiers = {name: BASE["bulkhead_tiers"][name]["subnet"] for name in names if name in BASE["bulkhead_tiers"]}
    nets = [net for subnet in tiers.values() for net in (subnet if isinstance(subnet, list) else [subnet])]
    nets += [name for name in names if "/" in name]
    if any(
        address.version == ipaddress.ip_network(net).version and address in ipaddress.ip_network(net) for net in nets
    ):
        return True
    return "internet" in names and not any(address in net for net in own)


SITE = {
    "bulkhead_tiers": {
        "office": {"vlan": 1, "subnet": "10.0.1.0/24", "gateway": "10.0.1.1", "internet": True, "masquerade": True},
        "web": {"vlan": 2, "subnet": ["10.0.2.0/24", "fd00:2::/64"], "gateway": ["10.0.2.1", "fd00:2::1"]},
    },
    "bulkhead_addresses": {"web1": "10.0.2.11"},
    "bulkhead_services": {"https": "8443/tcp"},
    "bulkhead_flows": [
        {"from": ["internet", "office"], "to": "web1", "allow": "https", "forward": {"port": 443}, "why": "shop"}
    ],
}


def test_what_names_its_source_comes_before_what_keeps_the_site_from_passing_as_the_internet():
    item = {"proto": "tcp", "port": "443", "target": "10.0.2.11", "target_port": "8443"}
    assert host_nat(parse_site(SITE, TODAY), True) == {
        "forward": [
            {**item, "from_ip": "10.0.1.0/24", "comment": "office -> 10.0.2.11: shop"},
            {"rule": "none", "from_ip": "10.0.1.0/24", "comment": "not the internet: office"},
            {"rule": "none", "from_ip": "10.0.2.0/24", "comment": "not the internet: web"},
            {**item, "comment": "internet -> 10.0.2.11: shop"},
        ],
        "masquerade": [
            {"rule": "none", "to_ip": "10.0.1.0/24", "comment": "not the internet: office"},
            {"rule": "none", "to_ip": "10.0.2.0/24", "comment": "not the internet: web"},
            {"from_ip": "10.0.1.0/24", "comment": "office -> internet"},
        ],
    }


def test_only_routers_translate_and_only_what_is_declared():
    site = parse_site(SITE, TODAY)
    assert host_nat(site, False) == {}
    plain = {**SITE, "bulkhead_flows": [], "bulkhead_tiers": {"web": SITE["bulkhead_tiers"]["web"]}}
    assert host_nat(parse_site(plain, TODAY), True) == {}


def test_the_rules_are_those_of_the_same_site_without_translation():
    flows = [{key: value for key, value in flow.items() if key != "forward"} for flow in SITE["bulkhead_flows"]]
    plain = {**SITE, "bulkhead_flows": flows}
    both = [host_rules(parse_site(one, TODAY), (), True) for one in (SITE, plain)]
    assert both[0] == both[1]


def test_hosts_of_another_subnet_of_the_target_s_own_tier_are_behind_the_router():
    """Those of the same subnet reach the target beside it."""
    tiers = {"web": {"vlan": 2, "subnet": ["10.0.2.0/24", "10.0.3.0/24"], "gateway": ["10.0.2.1", "10.0.3.1"]}}
    flows = [{"from": "web", "to": "web1", "allow": "https", "forward": {"port": 443}}]
    site = parse_site({**SITE, "bulkhead_tiers": tiers, "bulkhead_flows": flows}, TODAY)
    assert [item["from_ip"] for item in host_nat(site, True)["forward"]] == ["10.0.3.0/24"]
