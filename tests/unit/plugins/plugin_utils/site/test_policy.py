# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy

DECLARATION = {
    "bulkhead_tiers": {
        "admin": {
            "vlan": 1,
            "subnet": ["10.0.1.0/24", "fd00:1::/64"],
            "gateway": ["10.0.1.1", "fd00:1::1"],
            "internet": True,
        },
        "apps": {"vlan": 2, "subnet": ["10.0.2.0/24", "fd00:2::/64"], "gateway": ["10.0.2.1", "fd00:2::1"]},
    },
    "bulkhead_addresses": {"db": "10.0.2.5", "leg": "10.0.2.1", "syslog": "203.0.113.5"},
    "bulkhead_services": {
        "ssh": "22/tcp",
        "web": ["80/tcp", "443/tcp"],
        "pg": "5432/tcp",
        "esp": "esp",
        "igmp": "igmp",
        "log": "514/udp",
    },
    "bulkhead_flows": [
        {"from": "admin", "to": "tiers", "allow": "ssh", "why": "administration"},
        {"from": "apps", "to": "self", "allow": ["esp", "igmp"]},
        {"from": "internet", "to": "apps", "allow": "web"},
        {"from": "10.0.2.128/25", "to": "db", "allow": "pg"},
        {"from": "admin", "to": "leg", "allow": "web"},
        {"from": "apps", "to": "syslog", "allow": "log"},
        {"from": "admin", "to": "db", "allow": "any"},
    ],
    "bulkhead_pools": {"spare": "10.9.0.0/16"},
}


@pytest.fixture(scope="module")
def policy():
    return Policy(parse_site(DECLARATION, date(2026, 11, 21)))


@pytest.mark.parametrize(
    ("packet", "path"),
    [
        (("10.0.1.9", "10.0.2.9", "tcp", 22), "bulkhead_flows[0]"),
        (("10.0.1.9", "10.0.1.8", "tcp", 22), "bulkhead_flows[0]"),
        (("fd00:1::9", "fd00:2::9", "tcp", 22), "bulkhead_flows[0]"),
        (("10.0.1.9", "10.0.2.9", "tcp", 23), None),
        (("10.0.1.9", "10.0.2.9", "udp", 22), None),
        (("10.0.1.9", "10.0.2.1", "tcp", 22), None),
        (("10.0.1.9", "10.0.2.1", "tcp", 80), "bulkhead_flows[4]"),
        (("10.0.2.9", "10.0.1.9", "tcp", 22), None),
        (("10.0.2.9", "10.0.2.8", "esp", None), "bulkhead_flows[1]"),
        (("fd00:2::9", "fd00:2::8", "esp", None), "bulkhead_flows[1]"),
        (("fd00:2::9", "fd00:2::8", "igmp", None), None),
        (("10.0.2.9", "10.0.1.8", "esp", None), None),
        (("8.8.8.8", "10.0.2.9", "tcp", 443), "bulkhead_flows[2]"),
        (("2001:db8::1", "fd00:2::9", "tcp", 443), "bulkhead_flows[2]"),
        (("10.9.1.1", "10.0.2.9", "tcp", 443), None),
        (("10.0.1.9", "10.0.2.9", "tcp", 443), None),
        (("8.8.8.8", "10.0.2.1", "tcp", 443), None),
        (("10.0.2.128", "10.0.2.5", "tcp", 5432), "bulkhead_flows[3]"),
        (("10.0.2.127", "10.0.2.5", "tcp", 5432), None),
        (("10.0.2.128", "10.0.2.6", "tcp", 5432), None),
        (("10.0.2.9", "203.0.113.5", "udp", 514), "bulkhead_flows[5]"),
        (("10.0.2.9", "203.0.113.6", "udp", 514), None),
        (("10.0.1.9", "10.0.2.5", "gre", None), "bulkhead_flows[6]"),
        (("10.0.1.9", "203.0.113.6", "tcp", 1), "bulkhead_tiers.admin.internet"),
        (("10.0.1.9", "10.9.1.1", "tcp", 1), None),
        (("10.0.1.9", "fd00:2::9", "tcp", 22), None),
        (("8.8.8.8", "9.9.9.9", "tcp", 80), None),
    ],
)
def test_a_packet_is_allowed_by_the_first_flow_that_names_it_or_by_none(policy, packet, path):
    flow = policy.flow_for(*packet)
    assert (flow and flow.path) == path


def test_a_flow_with_a_limit_is_the_answer_only_where_none_without_one_allows_the_packet():
    site = parse_site(
        {
            "bulkhead_tiers": {
                name: {"vlan": vlan, "subnet": f"10.0.{vlan}.0/24"} for name, vlan in (("a", 1), ("b", 2))
            },
            "bulkhead_services": {"ssh": "22/tcp", "web": "80/tcp"},
            "bulkhead_flows": [
                {"from": "tiers", "to": "b", "allow": ["ssh", "web"], "limit": True},
                {"from": "a", "to": "b", "allow": "ssh"},
            ],
        },
        date(2026, 11, 21),
    )
    policy = Policy(site)
    found = [policy.flow_for("10.0.1.5", "10.0.2.5", "tcp", port).path for port in (22, 80)]
    assert found == ["bulkhead_flows[1]", "bulkhead_flows[0]"]
