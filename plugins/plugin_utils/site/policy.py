# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a site's flows mean for a packet: the intent that compiled rules are held against.

Nothing here knows of rules, hosts or chains, so that a mistake of the compiler cannot hide in its own oracle.
"""

from __future__ import annotations

from bisect import bisect_right

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import GATEWAY, INTERNET
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import V6, Net, complement, parse_point


def source_spans(site, endpoint):
    """The spans that a flow's source stands for."""
    return complement(site.own) if endpoint.kind == INTERNET else list(endpoint.nets)


def destination_spans(site, endpoint):
    """The spans that a flow's destination stands for.

    The gateways' own addresses are nobody's destination but of those who name them: as `gateway`, or one by one.
    """
    if endpoint.kind == INTERNET:
        return complement(site.own)
    if endpoint.kind == GATEWAY:
        return list(endpoint.nets)
    legs = sorted(site.legs)
    return [span for net in endpoint.nets for span in ([net] if net.single else _without(net, legs))]


def _without(net, legs):
    """The spans of a block beside some single addresses, which are sorted."""
    spans = []
    start = net.first
    for leg in legs:
        if net.holds(leg):
            if leg.first > start:
                spans.append(Net(start, leg.first - 1))
            start = leg.first + 1
    return spans + ([Net(start, net.last)] if start <= net.last else [])


class Policy:
    """Answers whether the flows of a site allow a packet. Lookups are bisections over plain ints."""

    def __init__(self, site):
        sources, destinations = {}, {}
        self._grants = []
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
        self._candidates = {}

    def flow_for(self, src_ip, dst_ip, proto, port=None):
        """The first flow that allows a packet, or None: everything that is not declared is blocked.

        src_ip, dst_ip: addresses as text; proto: "tcp", "udp", "esp" ...; port: the destination port, None for a
        protocol without ports.
        """
        source, destination = parse_point(str(src_ip)), parse_point(str(dst_ip))
        if (source < V6) != (destination < V6):
            return None
        return self.flow_at(source, destination, proto, port)

    def flow_at(self, source, destination, proto, port=None):
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

    def _flows(self, sources, destinations):
        """The flows between two sets of endpoints, in the declared order; remembered by set."""
        key = (sources, destinations)
        if key not in self._candidates:
            self._candidates[key] = [
                flow
                for source, destination, flow in self._grants
                if sources >> source & 1 and destinations >> destination & 1
            ]
        return self._candidates[key]


class _Index:
    """Which sets of spans a point is in, as a bit mask."""

    def __init__(self, sets):
        edges = {}
        for number, spans in enumerate(sets):
            for span in spans:
                edges[span.first] = edges.get(span.first, 0) ^ (1 << number)
                edges[span.last + 1] = edges.get(span.last + 1, 0) ^ (1 << number)
        self._starts = sorted(edges)
        self._masks = []
        mask = 0
        for start in self._starts:
            mask ^= edges[start]
            self._masks.append(mask)

    def members(self, point):
        """The mask of the sets that the point is in."""
        place = bisect_right(self._starts, point) - 1
        return self._masks[place] if place >= 0 else 0
