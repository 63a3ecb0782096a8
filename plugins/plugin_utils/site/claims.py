# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who claims which addresses: all that a site declares, and what engines, Swarms and tailnets take by themselves."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, blocks_of, subtract
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import (
    engine_defaults,
    shared_space,
    swarm_defaults,
)


class Kind(enum.Enum):
    """What claims addresses; the value is what it is called, {0} being its name."""

    TIER = "tier {0}"
    POOL = "pool {0}"
    EXCLUSION = "an exclusion of pool {0}"
    NETWORK = "network {0}"
    BRIDGE = "docker0 of {0}"
    ENGINE = "a default address pool of Docker"
    SWARM = "the default address pool of Swarm"
    SHARED = "what tailnets and carriers use"
    TAILNET = "the tailnet"


#: How to get out of the way of what is not declared.
_REMEDIES = {
    Kind.ENGINE: "declare bulkhead_pools.engine elsewhere, or choose another network",
    Kind.SWARM: "declare bulkhead_pools.swarm elsewhere, or choose another network",
}


@dataclass(frozen=True)
class Owner:
    """Who claims a network. path is empty for what is not declared; pool is the pool that a network may lie in."""

    kind: Kind
    name: str = ""
    path: str = ""
    pool: str = ""

    @property
    def remedy(self) -> str:
        """What to do about a network on these addresses."""
        return _REMEDIES.get(self.kind, "choose another network")

    def may_lie_in(self, outer: Owner) -> bool:
        """Whether this one may have addresses of the other: a network and an exclusion those of their own pool.

        Two that are not declared are not the site's mistake.
        """
        if (not self.path and not outer.path) or self.kind is outer.kind is Kind.BRIDGE:
            return True  # each engine has its own docker0
        if self.kind is Kind.BRIDGE and outer.kind is Kind.ENGINE:
            return True
        inside = self.kind in (Kind.NETWORK, Kind.EXCLUSION, Kind.BRIDGE) and outer.kind is Kind.POOL
        return inside and bool(self.pool) and self.pool == outer.pool

    def __str__(self) -> str:
        return self.kind.value.format(self.name)


def declared_claims(site: Site) -> Iterator[tuple[Net, Owner]]:
    """What the site declares; pools come before the networks in them, so that one as large as its pool lies inside."""
    for tier in site.tiers.values():
        for net in tier.subnets:
            yield net, Owner(Kind.TIER, tier.name, f"bulkhead_tiers.{tier.name}.subnet")
    for name, nets in site.pools.items():
        for net in nets:
            yield net, Owner(Kind.POOL, name, f"bulkhead_pools.{name}", name)
    for name, terms in site.pool_terms.items():
        for net in terms.exclude:
            yield net, Owner(Kind.EXCLUSION, name, f"bulkhead_pools.{name}.exclude", name)
    for network in site.networks.values():
        pinned = f"bulkhead_allocations.{network.name}"
        path = pinned if network.sizes else f"bulkhead_networks.{network.name}.subnet"
        for net in network.subnets:
            yield net, Owner(Kind.NETWORK, network.name, path, network.pool or "")
    for name, engine in site.engines.items():
        if engine.bridge:
            yield engine.bridge, Owner(Kind.BRIDGE, name, f"bulkhead_engines.{name}.bip", "engine")


def all_claims(site: Site) -> Iterator[tuple[Net, Owner]]:
    """What the site declares, and what engines, the Swarm and a tailnet take where it declares nothing else."""
    yield from declared_claims(site)
    if "engine" not in site.pools and (site.networks or site.swarm.managers):
        yield from ((net, Owner(Kind.ENGINE)) for net in engine_defaults())
    overlay = any(network.driver == "overlay" for network in site.networks.values())
    if "swarm" not in site.pools and (site.swarm.managers or overlay):
        yield from ((net, Owner(Kind.SWARM)) for net in swarm_defaults())
    nodes = site.tailnet.prefixes if site.tailnet else ()
    yield from ((net, Owner(Kind.TAILNET, path="bulkhead_tailnet.prefixes")) for net in nodes)
    apart = [span for net in shared_space() for span in subtract([net], nodes)]
    yield from ((net, Owner(Kind.SHARED)) for span in apart for net in blocks_of(span))
