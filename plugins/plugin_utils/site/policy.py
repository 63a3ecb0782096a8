# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a site's flows mean for a packet: the intent that compiled rules are held against.

Nothing here knows of rules, hosts or chains, so that a mistake of the compiler cannot hide in its own oracle.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import GATEWAY, INTERNET, Endpoint, Flow, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import V6, Net, parse_point, subtract


def source_spans(site: Site, endpoint: Endpoint) -> tuple[Net, ...]:
    """The spans that a flow's source stands for."""
    return site.outside if endpoint.kind == INTERNET else endpoint.nets


def destination_spans(site: Site, endpoint: Endpoint) -> tuple[Net, ...]:
    """The spans that a flow's destination stands for.

    The gateways' own addresses are a destination only where they are named: as `gateway`, or one by one.
    """
    if endpoint.kind == INTERNET:
        return site.outside
    if endpoint.kind == GATEWAY:
        return endpoint.nets
    spans: list[Net] = []
    for net in endpoint.nets:
        legs = () if net.single else tuple(leg for leg in site.legs if net.holds(leg))
        spans += _without(net, legs) if legs else (net,)
    return tuple(spans)


@lru_cache(maxsize=4096)
def _without(net: Net, legs: tuple[Net, ...]) -> tuple[Net, ...]:
    """The spans of a block beside some addresses: the same for the check of a declaration and for its proof."""
    return tuple(subtract([net], legs))


class Policy:
    """Answers whether the flows of a site allow a packet. Lookups are bisections over plain ints."""

    def __init__(self, site: Site) -> None:
        self.site = site
        sources: dict[Endpoint, int] = {}
        destinations: dict[Endpoint, int] = {}
        self._grants: list[tuple[int, int, Flow]] = []
        for flow in site.flows:
            for pair in flow.pairs:
                self._grants.append(
                    (
                        sources.setdefault(pair.source, len(sources)),
                        destinations.setdefault(pair.destination, len(destinations)),
                        flow,
                    )
                )
        self._sources = _Index(source_spans(site, endpoint) for endpoint in sources)
        self._destinations = _Index(destination_spans(site, endpoint) for endpoint in destinations)
        self._candidates: dict[tuple[int, int], list[Flow]] = {}

    def flow_for(self, src_ip: str, dst_ip: str, proto: str, port: Optional[int] = None) -> Optional[Flow]:
        """The first flow that allows a packet, or None: everything that is not declared is blocked. A flow with a limit
        is the answer only where none without one allows it.

        src_ip, dst_ip: addresses as text; proto: "tcp", "udp", "esp" ...; port: the destination port, None for a
        protocol without ports.
        """
        source, destination = parse_point(str(src_ip)), parse_point(str(dst_ip))
        if (source < V6) != (destination < V6):
            return None
        return self.flow_at(source, destination, proto, port)

    def flow_at(self, source: int, destination: int, proto: str, port: Optional[int] = None) -> Optional[Flow]:
        """The same for two points of the line of addresses (see subnets), both of one family."""
        version = 4 if source < V6 else 6
        for flow in self._flows(self._sources.members(source), self._destinations.members(destination)):
            for ports in flow.all_ports:
                if ports.proto == ANY or (
                    ports.proto == proto
                    and version in ports.versions
                    and (port is None or ports.first <= port <= ports.last)
                ):
                    return flow
        return None

    def _flows(self, sources: int, destinations: int) -> list[Flow]:
        """The flows between two sets of endpoints, in the declared order, those with a limit last; remembered by set."""
        key = (sources, destinations)
        if key not in self._candidates:
            found = (
                flow
                for source, destination, flow in self._grants
                if sources >> source & 1 and destinations >> destination & 1
            )
            self._candidates[key] = sorted(found, key=lambda flow: flow.limit)
        return self._candidates[key]


class _Index:
    """Which sets of spans a point is in, as a bit mask."""

    def __init__(self, sets: Iterable[Iterable[Net]]) -> None:
        edges: dict[int, int] = {}
        for number, spans in enumerate(sets):
            for span in spans:
                edges[span.first] = edges.get(span.first, 0) ^ (1 << number)
                edges[span.last + 1] = edges.get(span.last + 1, 0) ^ (1 << number)
        self._starts = sorted(edges)
        self._masks: list[int] = []
        mask = 0
        for start in self._starts:
            mask ^= edges[start]
            self._masks.append(mask)

    def members(self, point: int) -> int:
        """The mask of the sets that the point is in."""
        place = bisect_right(self._starts, point) - 1
        return self._masks[place] if place >= 0 else 0
