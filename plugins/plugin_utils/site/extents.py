# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the ends of flows share, as bit masks: a declaration is compared with itself, so it has to be quick."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Flow, Pair, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import destination_spans, source_spans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY, Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net


class Meeting(NamedTuple):
    """Packets that two flows share: the names of the ends, and ports."""

    source: str
    destination: str
    ports: Ports


class Masks(NamedTuple):
    """The two ends of a pair, as bits of the pieces that they are made of."""

    source: int
    destination: int

    def holds(self, other: Masks) -> bool:
        """Whether every packet between the other ends runs between these."""
        return not (other.source & ~self.source or other.destination & ~self.destination)


class Extents:
    """The line of addresses, cut where any end of a flow or an invariant begins or ends; one bit for each piece.

    Two ends share an address where their masks share a bit, and one holds the other where it has all its bits.
    """

    def __init__(self, site: Site) -> None:
        flows = site.flows + site.never
        ends = dict.fromkeys(end for flow in flows for pair in flow.pairs for end in pair)
        sources = {end: source_spans(site, end) for end in ends}
        destinations = {end: destination_spans(site, end) for end in ends}
        every = [*sources.values(), *destinations.values()]
        self._cuts = sorted({cut for spans in every for span in spans for cut in (span.first, span.last + 1)})
        starts = {end: self._mask(spans) for end, spans in sources.items()}
        stops = {end: self._mask(spans) for end, spans in destinations.items()}
        #: The masks of each flow's pairs, in their order: made once, for an endpoint's hash is not cheap.
        self._pairs = {
            flow.path: [Masks(starts[pair.source], stops[pair.destination]) for pair in flow.pairs] for flow in flows
        }
        self._reaches = {path: _reach(masks) for path, masks in self._pairs.items()}

    def _mask(self, spans: Iterable[Net]) -> int:
        mask = 0
        for span in spans:
            start, stop = bisect_left(self._cuts, span.first), bisect_left(self._cuts, span.last + 1)
            mask |= (1 << stop) - (1 << start)
        return mask

    def pairs(self, flow: Flow) -> list[Masks]:
        """The masks of a flow's pairs, in their order."""
        return self._pairs[flow.path]

    def meeting(self, flow: Flow, other: Flow) -> Optional[Meeting]:
        """What two flows share, to name it; None where they have no packet in common."""
        found = next(
            ((mine, theirs) for mine in flow.all_ports for theirs in other.all_ports if mine.meets(theirs)), None
        )
        if found is None:
            return None
        reach = self._reaches[other.path]
        for pair, (source, destination) in zip(flow.pairs, self._pairs[flow.path], strict=True):
            for start, end in reach:
                if start & source and end & destination:
                    return _named(pair, *found)
        return None


def _named(pair: Pair, mine: Ports, theirs: Ports) -> Meeting:
    return Meeting(pair.source.name, pair.destination.name, theirs if mine.proto == ANY else mine)


def _reach(pairs: Iterable[Masks]) -> list[Masks]:
    """What each source of a flow reaches, one mask for each source."""
    reach: dict[int, int] = {}
    for source, destination in pairs:
        reach[source] = reach.get(source, 0) | destination
    return [Masks(source, destination) for source, destination in reach.items()]
