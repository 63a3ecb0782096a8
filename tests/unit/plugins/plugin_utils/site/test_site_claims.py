# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who claims addresses: decided by what it is, whatever it is called."""

from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.claims import Kind, Owner, all_claims, declared_claims
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

TODAY = date(2026, 1, 1)
SITE = {
    "bulkhead_tiers": {"web": {"vlan": 1, "subnet": ["10.0.1.0/24", "fd00:1::/64"]}},
    "bulkhead_swarm": {"tier": "web", "managers": {"m1": "10.0.1.5"}},
    "bulkhead_pools": {"swarm": "10.99.0.0/16", "overlay": {"subnet": "10.50.0.0/16", "exclude": "10.50.9.0/24"}},
    "bulkhead_networks": {
        "front": {"driver": "overlay", "size": 24},
        "fixed": {"driver": "bridge", "subnet": "10.40.0.0/24", "on": "web"},
    },
    "bulkhead_allocations": {"front": "10.50.0.0/24"},
}


def test_all_that_is_declared_is_claimed_once_with_its_path():
    found = {(str(net), str(owner), owner.path) for net, owner in declared_claims(parse_site(SITE, TODAY))}
    assert found == {
        ("10.0.1.0/24", "tier web", "bulkhead_tiers.web.subnet"),
        ("fd00:1::/64", "tier web", "bulkhead_tiers.web.subnet"),
        ("10.99.0.0/16", "pool swarm", "bulkhead_pools.swarm"),
        ("10.50.0.0/16", "pool overlay", "bulkhead_pools.overlay"),
        ("10.50.9.0/24", "an exclusion of pool overlay", "bulkhead_pools.overlay.exclude"),
        ("10.50.0.0/24", "network front", "bulkhead_allocations.front"),
        ("10.40.0.0/24", "network fixed", "bulkhead_networks.fixed.subnet"),
    }


def test_engines_and_swarms_take_their_defaults_where_no_pool_is_declared_for_them():
    kinds = [owner.kind for _net, owner in all_claims(parse_site(SITE, TODAY)) if not owner.path]
    assert Kind.ENGINE in kinds and Kind.SWARM not in kinds and Kind.SHARED in kinds


@pytest.mark.parametrize(
    ("inner", "outer", "allowed"),
    [
        (Owner(Kind.NETWORK, "a", "p", "overlay"), Owner(Kind.POOL, "overlay", "q", "overlay"), True),
        (Owner(Kind.EXCLUSION, "overlay", "p", "overlay"), Owner(Kind.POOL, "overlay", "q", "overlay"), True),
        (Owner(Kind.NETWORK, "a", "p", "bridge"), Owner(Kind.POOL, "overlay", "q", "overlay"), False),
        (Owner(Kind.POOL, "overlay", "p", "overlay"), Owner(Kind.POOL, "overlay", "q", "overlay"), False),
        (Owner(Kind.NETWORK, "a", "p"), Owner(Kind.POOL, "", "q", ""), False),
        # What is called like a network or a pool is none.
        (Owner(Kind.TIER, "network", "p", "overlay"), Owner(Kind.POOL, "overlay", "q", "overlay"), False),
        (Owner(Kind.NETWORK, "a", "p", "overlay"), Owner(Kind.TIER, "pool", "q", "overlay"), False),
        (Owner(Kind.ENGINE), Owner(Kind.SWARM), True),
        (Owner(Kind.NETWORK, "a", "p"), Owner(Kind.SHARED), False),
    ],
)
def test_only_a_network_and_an_exclusion_lie_in_their_own_pool(inner, outer, allowed):
    assert inner.may_lie_in(outer) is allowed


@pytest.mark.parametrize("name", ["network", "pool", "an", "exclusion"])
def test_a_tier_that_is_called_like_a_kind_of_claim_is_still_a_tier(name):
    site = {
        "bulkhead_tiers": {name: {"vlan": 1, "subnet": "10.50.5.0/24"}},
        "bulkhead_pools": {"bridge": "10.50.0.0/16"},
    }
    with pytest.raises(Refused, match="is pool bridge: choose another network"):
        parse_site(site, TODAY)
