"""The VLANs that a host has an interface for."""

from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.vlans import host_vlans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site


@pytest.fixture(name="site", scope="module")
def fixture_site():
    tiers = {
        "web": {"vlan": 20, "subnet": ["10.0.2.0/24", "fd20::/64"], "gateway": ["10.0.2.1", "fd20::1"]},
        "admin": {"vlan": 10, "subnet": "10.0.1.0/28", "gateway": "10.0.1.14"},
        "island": {"vlan": 30, "subnet": "10.0.3.0/24"},
    }
    return parse_site({"bulkhead_tiers": tiers}, date(2026, 11, 21))


def test_a_host_has_those_of_its_tiers_by_id_and_no_address_that_the_site_does_not_know(site):
    assert host_vlans(site, ["web", "admin"], False) == [
        {"id": 10, "tier": "admin", "subnets": ["10.0.1.0/28"], "addresses": []},
        {"id": 20, "tier": "web", "subnets": ["10.0.2.0/24", "fd20::/64"], "addresses": []},
    ]


def test_a_router_has_a_leg_in_every_tier_whose_gateway_it_is_with_the_prefix_length_of_the_subnet(site):
    assert [(vlan["id"], vlan["addresses"]) for vlan in host_vlans(site, [], True)] == [
        (10, ["10.0.1.14/28"]),
        (20, ["10.0.2.1/24", "fd20::1/64"]),
    ]


def test_a_tier_without_a_gateway_is_no_leg_of_a_router_but_where_it_is_in_the_tier(site):
    assert [vlan["id"] for vlan in host_vlans(site, ["island"], True)] == [10, 20, 30]


def test_a_host_of_no_tier_has_none(site):
    assert host_vlans(site, [], False) == []
