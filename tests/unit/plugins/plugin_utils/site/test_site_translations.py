# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy
from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.nat import described, forwards
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

TODAY = date(2026, 11, 21)
SITE = {
    "bulkhead_tiers": {
        "office": {"vlan": 1, "subnet": ["10.0.1.0/24", "fd00:1::/64"], "gateway": ["10.0.1.1", "fd00:1::1"]},
        "web": {"vlan": 2, "subnet": "10.0.2.0/24", "gateway": "10.0.2.1", "internet": True, "masquerade": True},
        "island": {"vlan": 3, "subnet": "10.0.3.0/24"},
        "six": {"vlan": 4, "subnet": "fd00:4::/64", "gateway": "fd00:4::1"},
    },
    "bulkhead_addresses": {
        "web1": "10.0.2.11",
        "web2": "10.0.2.12",
        "both": ["10.0.1.9", "fd00:1::9"],
        "lost": "10.0.3.9",
        "abroad": "198.51.100.9",
    },
    "bulkhead_services": {
        "https": "443/tcp",
        "alt": "8443/tcp",
        "dns": ["53/udp", "53/tcp"],
        "range": "5000-5009/tcp",
        "vpn": ["esp", "500/udp"],
        "ssh": "22/tcp",
    },
}


def site(*flows, **tiers):
    declared = copy.deepcopy(SITE)
    declared["bulkhead_flows"] = list(flows)
    for name, changes in tiers.items():
        declared["bulkhead_tiers"][name].update(changes)
    return parse_site(declared, TODAY)


def problems(*flows, **tiers):
    with pytest.raises(Refused) as caught:
        site(*flows, **tiers)
    return [str(problem) for problem in caught.value.mistakes]


def flow(to="web1", allow="https", forward=True, source="internet", **more):
    return {"from": source, "to": to, "allow": allow, "forward": forward, **more}


def asked(*flows):
    return [
        (item.source.name, str(item.address or "any"), str(item.at), str(item.target), item.arrives)
        for item in forwards(site(*flows))
    ]


# -- masquerade --------------------------------------------------------------------------------------------------------


def test_masquerade_is_of_ipv4_unless_it_says_otherwise():
    assert site().tiers["web"].masquerade == (4,)
    assert site(office={"masquerade": ["ipv4", "ipv6"]}).tiers["office"].masquerade == (4, 6)
    assert site(six={"masquerade": ["ipv6"]}).tiers["six"].masquerade == (6,)
    assert site(web={"masquerade": False}).tiers["web"].masquerade == ()


@pytest.mark.parametrize(
    ("tier", "changes", "problem"),
    [
        ("web", {"masquerade": "yes"}, 'bulkhead_tiers.web.masquerade: got "yes"; expected true (IPv4), or a list of'),
        ("web", {"masquerade": ["ipv5"]}, 'bulkhead_tiers.web.masquerade[0]: got "ipv5"; expected ipv4 or ipv6'),
        ("web", {"masquerade": []}, "bulkhead_tiers.web.masquerade: got an empty list"),
        ("web", {"internet": False}, "bulkhead_tiers.web.masquerade: got true, with internet: false"),
        ("island", {"masquerade": True}, "bulkhead_tiers.island.masquerade: got true; expected a tier with a gateway"),
        ("six", {"masquerade": True}, "bulkhead_tiers.six.masquerade: got ipv4; expected an IP version of its subnets"),
        ("web", {"masquerade": ["ipv4", "ipv6"]}, "bulkhead_tiers.web.masquerade: got ipv6; expected an IP version"),
    ],
)
def test_a_tier_that_no_router_can_masquerade_is_refused_with_the_remedy(tier, changes, problem):
    found = problems(**{tier: changes})
    assert len(found) == 1 and found[0].startswith(problem), found


# -- forwards ----------------------------------------------------------------------------------------------------------


def test_a_forward_is_asked_for_at_the_routers_and_arrives_at_the_flows_own_host_and_port():
    assert asked(flow()) == [("internet", "any", "443/tcp", "10.0.2.11", None)]
    assert asked(flow(allow="alt", forward={"port": 443})) == [("internet", "any", "443/tcp", "10.0.2.11", 8443)]
    assert asked(flow(forward={"address": "203.0.113.1"}))[0][1] == "203.0.113.1"
    assert asked(flow(allow="dns", forward={"port": 5353})) == [
        ("internet", "any", "5353/udp", "10.0.2.11", 53),
        ("internet", "any", "5353/tcp", "10.0.2.11", 53),
    ]
    assert asked(flow(allow="range"))[0][2] == "5000-5009/tcp"
    assert asked(flow(forward=False)) == []


def test_ipv6_is_forwarded_where_the_address_asks_for_it():
    assert asked(flow(to="both"))[0][3] == "10.0.1.9"
    assert asked(flow(to="both", forward={"address": "2001:db8::1"}))[0][3] == "fd00:1::9"
    assert asked(flow(to="fd00:4::9"))[0][3] == "fd00:4::9"


def test_hosts_beside_the_target_need_no_router():
    assert asked(flow(source=["web", "office"])) == [("office", "any", "443/tcp", "10.0.2.11", None)]


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (flow(forward=443), "bulkhead_flows[0].forward: got 443; expected true, or a mapping"),
        (
            flow(forward={"to": "web1"}),
            "bulkhead_flows[0].forward.to: got an unknown key; expected one of address, port",
        ),
        (flow(forward={"port": 0}), "bulkhead_flows[0].forward.port: got 0; expected a port from 1 to 65535"),
        (
            flow(forward={"address": "10.0.2.77"}),
            "bulkhead_flows[0].forward.address: got 10.0.2.77; expected an address that",
        ),
        (flow(allow="any"), "bulkhead_flows[0].forward: got any in allow; expected services of tcp and udp alone"),
        (flow(allow="vpn"), "bulkhead_flows[0].forward: got vpn in allow; expected services of tcp and udp alone"),
        (
            flow(allow=["https", "ssh"], forward={"port": 443}),
            "bulkhead_flows[0].forward.port: got 443; expected one port in allow, not 443/tcp, 22/tcp",
        ),
        (
            flow(allow="range", forward={"port": 443}),
            "bulkhead_flows[0].forward.port: got 443; expected one port in allow",
        ),
        (flow(to="web"), "bulkhead_flows[0].to: got web; expected one host, for a flow with forward"),
        (flow(to="10.0.2.0/28"), "bulkhead_flows[0].to: got 10.0.2.0/28; expected one host"),
        (flow(to="lost"), "bulkhead_flows[0].to: got lost (10.0.3.9); expected a host in a tier with a gateway"),
        (flow(to="abroad", source="web"), "bulkhead_flows[0].to: got abroad (198.51.100.9); expected a host in a tier"),
        (flow(to="gateway"), "bulkhead_flows[0].to: got gateway; expected one host"),
        (
            flow(to="10.0.2.1"),
            "bulkhead_flows[0].to: got 10.0.2.1 (10.0.2.1); expected a host in a tier with a gateway",
        ),
    ],
)
def test_what_cannot_be_forwarded_is_refused_with_the_remedy(entry, problem):
    assert any(text.startswith(problem) for text in problems(entry)), problems(entry)


def test_a_port_goes_to_one_host_for_each_source():
    twice = problems(flow(), flow(to="web2"))
    assert twice == [
        "bulkhead_flows[1].forward: got 443/tcp to 10.0.2.12; expected a port that goes to one host; bulkhead_flows[0] "
        "forwards it to 10.0.2.11: choose another port or address"
    ]
    assert problems(flow(), flow(to="web2", allow="alt", forward={"port": 443}))
    assert problems(flow(allow="range"), flow(to="web2", forward={"port": 5005}))
    assert len(asked(flow(), flow(to="web2", allow="alt"))) == 2
    assert (
        len(asked(flow(forward={"address": "203.0.113.1"}), flow(to="web2", forward={"address": "203.0.113.2"}))) == 2
    )
    assert len(asked(flow(source="203.0.113.0/24"), flow(to="web2", source="198.51.100.0/24"))) == 2
    assert len(asked(flow(), flow(to="web2", source="office"))) == 2, "no host of the site is the internet"


def test_a_port_that_the_router_serves_itself_is_not_forwarded():
    own = {"from": "internet", "to": "gateway", "allow": "ssh"}
    assert problems(flow(allow="ssh"), own)[0].startswith(
        "bulkhead_flows[0].forward: got 22/tcp; expected a port that the routers do not serve themselves; "
        "bulkhead_flows[1] lets internet reach it at the gateway"
    )
    assert asked(flow(allow="ssh"), {**own, "from": "office"}), "another source"
    assert asked(flow(allow="ssh", forward={"address": "203.0.113.1"}), own), "an address that is none of the legs"


def test_an_invariant_forbids_what_is_forwarded_like_any_other_flow():
    declared = copy.deepcopy(SITE)
    declared["bulkhead_flows"] = [flow()]
    declared["bulkhead_never"] = [{"from": "internet", "to": "web", "deny": "https"}]
    with pytest.raises(Refused, match=r"bulkhead_never\[0\]"):
        parse_site(declared, TODAY)


def test_what_is_translated_reads_as_one_line_each():
    assert described(
        site(flow(allow="alt", forward={"port": 443}), flow(source="office", forward={"address": "10.0.1.1"}))
    ) == [
        ("masquerade web", "IPv4, to the internet"),
        ("forward 443/tcp", "from the internet at any address of the gateways to 10.0.2.11 port 8443"),
        ("forward 443/tcp", "from office at 10.0.1.1 to 10.0.2.11"),
    ]
