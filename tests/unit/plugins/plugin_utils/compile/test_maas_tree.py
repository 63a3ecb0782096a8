# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A site's tiers become MAAS's tree, which MAAS (its stand-in) takes."""

from __future__ import annotations

from datetime import date

from maas_server import harness

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.maas import maas_vlans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

TIERS = {
    "monitoring": {"vlan": 30, "subnet": "10.0.3.0/24"},
    "management": {"vlan": 10, "subnet": "10.0.1.0/24", "gateway": "10.0.1.1", "description": "administrators"},
    "provisioning": {
        "vlan": 20,
        "subnet": ["10.0.2.0/24", "fd00:2::/64"],
        "gateway": ["10.0.2.1", "fd00:2::1"],
        "dhcp": {"range": "10.0.2.100-10.0.2.200", "rack": "rack1"},
    },
}


def compiled(tiers):
    return [{"name": "gough", "vlans": maas_vlans(parse_site({"bulkhead_tiers": tiers}, date(2027, 1, 1)))}]


def test_each_tier_is_a_vlan_in_the_order_of_the_ids():
    assert compiled(TIERS) == [
        {
            "name": "gough",
            "vlans": [
                {
                    "vid": 10,
                    "name": "management",
                    "description": "administrators",
                    "dhcp_on": False,
                    "subnets": [{"cidr": "10.0.1.0/24", "gateway_ip": "10.0.1.1"}],
                },
                {
                    "vid": 20,
                    "name": "provisioning",
                    "dhcp_on": True,
                    "primary_rack": "rack1",
                    "subnets": [
                        {
                            "cidr": "10.0.2.0/24",
                            "gateway_ip": "10.0.2.1",
                            "ranges": [{"type": "dynamic", "start_ip": "10.0.2.100", "end_ip": "10.0.2.200"}],
                        },
                        {"cidr": "fd00:2::/64", "gateway_ip": "fd00:2::1"},
                    ],
                },
                {
                    "vid": 30,
                    "name": "monitoring",
                    "dhcp_on": False,
                    "subnets": [{"cidr": "10.0.3.0/24", "gateway_ip": ""}],
                },
            ],
        }
    ]


def test_a_tier_served_by_another_server_has_its_range_reserved():
    tier = {"vlan": 20, "subnet": "10.0.2.0/24", "dhcp": {"range": "10.0.2.100-10.0.2.200"}}
    (vlan,) = compiled({"provisioning": tier})[0]["vlans"]
    assert not vlan["dhcp_on"] and "primary_rack" not in vlan
    assert vlan["subnets"][0]["ranges"][0]["type"] == "reserved"


def test_the_tree_is_applied_and_then_changes_nothing():
    front = harness.front()
    fabrics = compiled(TIERS)
    assert harness.run(front, {"fabrics": fabrics})["changed"]
    assert harness.run(front, {"fabrics": fabrics})["operations"] == []
    assert next(vlan for vlan in front.region.vlans.values() if vlan["name"] == "provisioning")["dhcp_on"]
