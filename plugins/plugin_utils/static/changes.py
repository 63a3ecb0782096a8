# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change of hosts' rules opens and closes, end to end, in the site's own words.

for change in changes(before, after): ...       two Fleets: as they are, and as they would be (planned.with_plan)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import DST, SRC, Box
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import PacketSet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import FAMILIES
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.fleet import Fleet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.intent import Intent
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.region import of_one_host, overlap, subtract

Pair = tuple[str, str]


class Way(str, Enum):
    OPENED = "opened"
    CLOSED = "closed"
    #: Not known before, after, or both.
    UNKNOWN = "unknown"


class Change(NamedTuple):
    """service: a declared one, or the packets in words. flow: the path of the flow that declares it, "" where none does.
    never: the path of the invariant that forbids it, "" where none does."""

    way: Way
    source: str
    destination: str
    service: str
    flow: str = ""
    never: str = ""
    family: int = 4

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "way": self.way.value}


def changes(before: Fleet, after: Fleet) -> list[Change]:
    """All that passes in one of the two fleets alone, by places; each once for both families."""
    found: dict[Change, bool] = {}
    for family in FAMILIES:
        flows, never = Intent(after.site, family, after.site.flows), Intent(after.site, family, after.site.never)
        sets = [_passing(fleet, family) for fleet in (before, after)]
        for pair in dict.fromkeys((*sets[0], *sets[1])):
            old, new = (some.get(pair, ([], [])) for some in sets)
            perhaps = [*old[1], *new[1]]
            for way, boxes, others in ((Way.OPENED, new[0], old[0]), (Way.CLOSED, old[0], new[0])):
                for box in subtract(subtract(boxes, others, family), perhaps, family):
                    if of_one_host(box):
                        continue  # nothing of it goes anywhere
                    found.update(dict.fromkeys(_told(after.site, way, pair, box, flows, never, family), True))
            if subtract(perhaps, old[1], family) or subtract(perhaps, new[1], family):
                found[Change(Way.UNKNOWN, *pair, "what the rules ask is not modelled", family=family)] = True
    known: dict[tuple[Any, ...], Change] = {}
    for change in found:
        known.setdefault(change[:6], change)
    return list(known.values())


def _passing(fleet: Fleet, family: int) -> dict[Pair, tuple[list[Box], list[Box]]]:
    """{(from place, to place): (what passes, what perhaps does)}"""
    found: dict[Pair, tuple[list[Box], list[Box]]] = {}
    for reached in fleet.reached(family):
        sure, perhaps = found.setdefault((reached.source.place, reached.destination.place), ([], []))
        for one in reached.arrivals:
            (perhaps if one.doubt else sure).append(one.box)
    return found


def _told(site: Site, way: Way, pair: Pair, box: Box, flows: Intent, never: Intent, family: int) -> Iterator[Change]:
    src, dst = box[SRC] or (), box[DST] or ()
    rest = [box]
    for grant, start, end in flows.between(src, dst):
        for service in grant.flow.services:
            boxes = flows.boxes(grant, service, start, end)
            if overlap(rest, boxes):
                yield Change(way, *pair, service, grant.flow.path, _forbidden([box], never), family)
                rest = subtract(rest, boxes, family)
    for piece in rest:
        text = PacketSet(family, _without_ends(piece)).text()
        yield Change(way, *pair, _short(text), "", _forbidden([piece], never), family)


def _forbidden(boxes: Iterable[Box], never: Intent) -> str:
    for box in boxes:
        for grant, start, end in never.between(box[SRC] or (), box[DST] or ()):
            for service in grant.flow.services:
                if overlap([box], never.boxes(grant, service, start, end)):
                    return grant.flow.path
    return ""


def _without_ends(box: Box) -> Box:
    return (*box[:SRC], None, None, *box[DST + 1 :])


def _short(text: str) -> str:
    return text.replace(" from any", "").replace(" to any", "")
