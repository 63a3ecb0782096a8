# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a host may send, held against the oracle of intent."""

from __future__ import annotations

import ipaddress
import random
from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.reach import host_reach
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy

TODAY = date(2026, 11, 21)
BASE = {
    "bulkhead_tiers": {
        "apps": {"vlan": 1, "subnet": ["10.0.1.0/29", "fd00:1::/125"], "gateway": ["10.0.1.1", "fd00:1::1"]},
        "data": {"vlan": 2, "subnet": "10.0.2.0/29", "gateway": "10.0.2.1"},
        "logs": {"vlan": 3, "subnet": ["10.0.3.0/29", "fd00:3::/125"], "gateway": ["10.0.3.1", "fd00:3::1"]},
    },
    "bulkhead_addresses": {
        "collector": "10.0.3.3",
        "pair": ["10.0.3.3", "fd00:3::3"],
        "away": "198.51.100.9",
    },
    "bulkhead_services": {"syslog": ["514/tcp", "5514/tcp", "514/udp"], "web": "80/tcp", "many": "500-600/tcp"},
}
SYSLOG = [
    {"address": "10.0.3.3", "proto": "tcp", "port": 514},
    {"address": "10.0.3.3", "proto": "tcp", "port": 5514},
    {"address": "10.0.3.3", "proto": "udp", "port": 514},
]


def site(*flows, **changes):
    return parse_site({**BASE, "bulkhead_flows": list(flows), **changes}, TODAY)


def flow(source, destination, allow="syslog"):
    return {"from": source, "to": destination, "allow": allow}


@pytest.mark.parametrize("end", ["logs", "tiers", "collector", "10.0.3.0/30"])
def test_a_tier_that_a_flow_lets_through_reaches_every_port_of_the_service(end):
    assert host_reach(site(flow("apps", end)), ("apps",), False, "collector", "syslog") == SYSLOG


def test_a_tier_without_a_flow_reaches_nothing():
    declared = site(flow("apps", "logs"))
    assert host_reach(declared, ("data",), False, "collector", "syslog") == []
    assert host_reach(declared, (), False, "collector", "syslog") == []
    assert host_reach(declared, ("apps",), False, "collector", "web") == []


def test_only_the_ports_that_are_allowed_count():
    declared = site(flow("apps", "logs", "many"))
    assert host_reach(declared, ("apps",), False, "collector", "syslog") == SYSLOG[:1]
    assert host_reach(declared, ("apps",), False, "collector", "many") == [
        {"address": "10.0.3.3", "proto": "tcp", "port": 500}
    ]


def test_a_range_of_which_a_part_is_allowed_is_not_reached():
    assert host_reach(site(flow("apps", "logs")), ("apps",), False, "collector", "many") == []


def test_a_flow_from_a_part_of_the_subnet_is_not_the_host_s():
    assert host_reach(site(flow("10.0.1.0/30", "logs")), ("apps",), False, "collector", "syslog") == []


def test_the_collector_s_own_tier_needs_a_flow_as_well():
    assert host_reach(site(), ("logs",), False, "collector", "syslog") == []
    assert host_reach(site(flow("logs", "self")), ("logs",), False, "collector", "syslog") == SYSLOG


def test_a_router_sends_from_its_leg_beside_the_destination():
    assert host_reach(site(flow("logs", "self")), (), True, "collector", "syslog") == SYSLOG
    assert host_reach(site(flow("apps", "logs")), (), True, "collector", "syslog") == []
    assert host_reach(site(flow("gateway", "logs")), (), True, "collector", "syslog") == SYSLOG


def test_a_router_may_take_any_leg_to_an_address_outside_of_the_tiers():
    assert host_reach(site(flow(["apps", "data"], "away")), (), True, "away", "syslog") == []
    everywhere = site(flow(["apps", "data", "logs"], "away"))
    assert [target["port"] for target in host_reach(everywhere, (), True, "away", "syslog")] == [514, 5514, 514]


def test_a_tier_with_the_internet_reaches_what_is_outside_of_the_site():
    tiers = {**BASE["bulkhead_tiers"], "data": {**BASE["bulkhead_tiers"]["data"], "internet": True}}
    declared = site(bulkhead_tiers=tiers)
    assert len(host_reach(declared, ("data",), False, "away", "syslog")) == 3
    assert host_reach(declared, ("data",), False, "collector", "syslog") == []


def test_the_families_are_judged_apart():
    declared = site(flow("data", "logs"))
    assert {target["address"] for target in host_reach(declared, ("data",), False, "pair", "syslog")} == {"10.0.3.3"}
    both = site(flow("apps", "logs"))
    assert {target["address"] for target in host_reach(both, ("apps",), False, "pair", "syslog")} == {
        "10.0.3.3",
        "fd00:3::3",
    }


def test_what_a_host_reaches_is_allowed_from_every_address_of_its_tier():
    chance = random.Random(5)
    ends = [
        "apps",
        "data",
        "logs",
        "tiers",
        "gateway",
        "collector",
        "pair",
        "10.0.1.0/30",
        "internet",
        "10.0.3.0/30",
        "away",
    ]
    reached = 0
    for dummy in range(300):
        flows = [
            flow(chance.choice(ends), chance.choice([*ends, "self"]), chance.choice(["syslog", "web", "many", "any"]))
            for dummy in range(chance.randint(1, 4))
        ]
        try:
            declared = site(*flows)
        except Refused:
            # Not every pair of ends makes a flow.
            continue
        policy = Policy(declared)
        for tier in declared.tiers:
            for name in ("collector", "pair", "away"):
                for target in host_reach(declared, (tier,), False, name, "syslog"):
                    reached += 1
                    version = ipaddress.ip_address(target["address"]).version
                    subnets = [net for net in declared.tiers[tier].subnets if net.version == version]
                    assert any(
                        all(
                            policy.flow_for(str(source), target["address"], target["proto"], target["port"])
                            for source in ipaddress.ip_network(str(subnet))
                        )
                        for subnet in subnets
                    ), (flows, tier, target)
    assert reached > 300
