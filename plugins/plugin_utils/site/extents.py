# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the ends of flows share, as bit masks: a declaration is compared with itself, so it has to be quick."""

from __future__ import annotations

from bisect import bisect_left

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import destination_spans, source_spans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY


class Extents:
    """The line of addresses, cut where any end of a flow or an invariant begins or ends; one bit for each piece.

    Two ends share an address where their masks share a bit, and one holds the other where it has all its bits.
    """

    def __init__(self, site):
        ends = dict.fromkeys(end for flow in site.flows + site.never for pair in flow.pairs for end in pair)
        sources = {end: source_spans(site, end) for end in ends}
        destinations = {end: destination_spans(site, end) for end in ends}
        cuts = {
            cut
            for spans in list(sources.values()) + list(destinations.values())
            for span in spans
            for cut in (span.first, span.last + 1)
        }
        self._cuts = sorted(cuts)
        self._sources = {end: self._mask(spans) for end, spans in sources.items()}
        self._reaches = {}
        self._destinations = {end: self._mask(spans) for end, spans in destinations.items()}

    def _mask(self, spans):
        mask = 0
        for span in spans:
            start, stop = bisect_left(self._cuts, span.first), bisect_left(self._cuts, span.last + 1)
            mask |= (1 << stop) - (1 << start)
        return mask

    def holds(self, pair, other):
        """Whether every packet between the ends of the other pair runs between those of the first one."""
        return not (
            self._sources[other.source] & ~self._sources[pair.source]
            or self._destinations[other.destination] & ~self._destinations[pair.destination]
        )

    def meeting(self, flow, other):
        """(source, destination, ports) that two flows share, to name them; None where they have no packet in common."""
        shared = [(mine, theirs) for mine in flow.all_ports for theirs in other.all_ports if mine.meets(theirs)]
        if not shared:
            return None
        mine, theirs = shared[0]
        reach = self._reach(other)
        for pair in flow.pairs:
            source, destination = self._sources[pair.source], self._destinations[pair.destination]
            if any(start & source and end & destination for start, end in reach):
                return pair.source.name, pair.destination.name, theirs if mine.proto == ANY else mine
        return None

    def _reach(self, flow):
        """[(sources, destinations)] of a flow, one for each source."""
        if flow.path not in self._reaches:
            reach = {}
            for pair in flow.pairs:
                source = self._sources[pair.source]
                reach[source] = reach.get(source, 0) | self._destinations[pair.destination]
            self._reaches[flow.path] = list(reach.items())
        return self._reaches[flow.path]
