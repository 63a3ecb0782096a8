# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows of a site as one host's filter sees them: edges between two networks. Rules and published ports come from them.

A flow is let in where it arrives (INPUT of the destination's hosts) and let through where it crosses (FORWARD of the
gateways, and of the hosts whose bridge network it ends in).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    GATEWAY,
    INTERNET,
    LINK,
    Endpoint,
    Flow,
    Site,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net


class Edge(NamedTuple):
    """A flow between two networks; None stands for the internet. route: whether the host forwards it."""

    flow: Flow
    source: Optional[Net]
    destination: Optional[Net]
    source_name: str
    destination_name: str
    route: bool


def host_edges(site: Site, tiers: Collection[str], gateway: bool) -> Iterator[Edge]:
    """The edges of a host, in the order of the declaration.

    tiers: the names of the tiers that the host is in; gateway: whether it is a router, whose own addresses only the
    gateways' are.
    """
    return _gateway_edges(site) if gateway else _tier_edges(site, tiers)


def _nets(end: Endpoint) -> Collection[Optional[Net]]:
    return (None,) if end.kind == INTERNET else end.nets


def _pairs(site: Site) -> Iterator[tuple[Flow, Endpoint, Endpoint, Optional[Net], Optional[Net]]]:
    """(flow, source, destination, a network of each): those of one IP version."""
    for flow in site.flows:
        for source, destination in flow.pairs:
            for start in _nets(source):
                for end in _nets(destination):
                    if start is None or end is None or start.version == end.version:
                        yield flow, source, destination, start, end


def _gateway_edges(site: Site) -> Iterator[Edge]:
    """What a router sees: packets to its own legs (INPUT), and everything that crosses from one network to another."""
    places = _Places(site)
    for flow, source, destination, start, end in _pairs(site):
        if destination.kind == LINK:
            # No router forwards it: the routers hear it where it is meant for them.
            if destination.name == GATEWAY:
                yield Edge(flow, start, end, source.name, destination.name, False)
        elif end in site.legs:
            yield Edge(flow, start, end, source.name, destination.name, False)
        elif source.kind != GATEWAY and places.apart(start, end):
            yield Edge(flow, start, end, source.name, destination.name, True)


class _Arrival(NamedTuple):
    """Where packets to an endpoint arrive on a host: the addresses, in which network of the host, and how."""

    end: Net
    home: Net
    route: bool


def _tier_edges(site: Site, tiers: Collection[str]) -> Iterator[Edge]:
    """What a host of some tiers sees: packets to itself (INPUT), and to the containers of its bridges (FORWARD)."""
    homes = [(subnet, False) for subnet in site.subnets_of(tiers)]
    homes += [(net, True) for network in site.bridges_of(tiers) for net in network.subnets]
    # A host sees few of the flows, so what arrives is found first, and once: endpoints are shared between flows.
    known: dict[int, list[_Arrival]] = {}
    for flow in site.flows:
        for source, destination in flow.pairs:
            if id(destination) not in known:
                known[id(destination)] = list(_arrivals(site, tiers, homes, destination))
            if not known[id(destination)]:
                continue
            for start in _nets(source):
                for end, home, route in known[id(destination)]:
                    inside = route and start is not None and home.holds(start)
                    if not inside and (start is None or start.version == end.version):
                        yield Edge(flow, start, end, source.name, destination.name, route)


def _arrivals(
    site: Site, tiers: Collection[str], homes: Collection[tuple[Net, bool]], destination: Endpoint
) -> Iterator[_Arrival]:
    if destination.kind == LINK:
        for end in destination.nets if destination.name in tiers else ():
            yield _Arrival(end, end, False)
        return
    for end in destination.nets:
        for home, route in homes if end not in site.legs else ():
            # Of two CIDR blocks that meet, one lies in the other: the smaller is what they share.
            if home.meets(end):
                yield _Arrival(end if home.holds(end) else home, home, route)


class _Places:
    """Which networks of the site a block lies in: found once for each block."""

    def __init__(self, site: Site) -> None:
        self._subnets = [subnet for tier in site.tiers.values() for subnet in tier.subnets]
        self._overlays: list[Net] = []
        for network in site.networks.values():
            self._subnets.extend(network.subnets)
            if network.driver == "overlay":
                self._overlays.extend(network.subnets)
        self._known: dict[Net, tuple[bool, frozenset[int]]] = {}

    def _of(self, net: Net) -> tuple[bool, frozenset[int]]:
        """(whether it is in an overlay, the numbers of the networks that hold it)."""
        if net not in self._known:
            homes = frozenset(number for number, subnet in enumerate(self._subnets) if subnet.holds(net))
            self._known[net] = any(subnet.holds(net) for subnet in self._overlays), homes
        return self._known[net]

    def apart(self, start: Optional[Net], end: Optional[Net]) -> bool:
        """Whether packets between two networks pass a router: not inside one network, and not into an overlay."""
        if end is None:
            return True
        overlay, homes = self._of(end)
        return not overlay and (start is None or homes.isdisjoint(self._of(start)[1]))
