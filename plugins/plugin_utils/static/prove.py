# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The static proof: what the hosts' live rules let through, held against what is declared, as exact sets of packets.

    static = prove(site, members, nodes)
    static.cells, static.findings, static.holds

What is let through beyond the declaration, and what it misses, is found by sets; one packet of each difference, the witness,
is then walked by the code that answers questions (ask/walk.py), which says the rule on each hop. Where the two do not agree,
that is a finding of its own.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    PROTO,
    SPORT,
    SRC,
    WITH_PORTS,
    Box,
    Intervals,
    address_text,
    merged,
    networks,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import PacketSet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import PROTOCOLS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import FAMILIES, Node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import PORT, Asked, Walk, walk
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import Answer as Walked
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import INTERNET, Flow, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.fleet import Fleet, Reached
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.intent import FRAMEWORK, Intent, intervals_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.region import (
    box_of,
    narrowed,
    of_one_host,
    overlap,
    subtract,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import (
    EVERYTHING_ELSE,
    Answer,
    Cell,
    Finding,
    Hop,
    Kind,
    Severity,
    Static,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.spread import Arrival, Doubt

#: The most differences whose witnesses are walked; more are counted.
MOST_WITNESSES = 400
#: The most sets of packets between two ends that are compared with what is declared.
MOST_ARRIVALS = 5000
#: The remedy where hosts are not as declared.
APPLY = "run site.yml, which restores it"
#: Protocols and ports that make an easy witness, in this order.
_EASY_PROTOCOLS = (6, 17, 47, 50, 51)
_NAMES = {number: name for name, number in reversed(list(PROTOCOLS.items()))}

CellKey = tuple[str, str, str, str]


class Difference(NamedTuple):
    """Packets that fare otherwise than declared. box: as they come to their end; sent: as they were sent."""

    kind: Kind
    family: int
    reached: Reached
    service: str
    path: str
    box: Box
    sent: Box
    why: Optional[Doubt] = None


class _Cells:
    """What was seen of each cell: which of allowed, denied and unknown."""

    def __init__(self) -> None:
        self.seen: dict[CellKey, set[Answer]] = {}

    def note(self, key: CellKey, answers: Iterable[Answer]) -> None:
        self.seen.setdefault(key, set()).update(answers)

    def result(self) -> tuple[Cell, ...]:
        return tuple(
            Cell(*key, Answer.ALLOWED if key[3] else Answer.DENIED, _folded(seen)) for key, seen in self.seen.items()
        )


def _folded(seen: set[Answer]) -> Answer:
    if len(seen) == 1:
        return next(iter(seen))
    if not seen or Answer.UNKNOWN in seen and Answer.PARTLY not in seen and seen != {Answer.UNKNOWN, Answer.ALLOWED}:
        return Answer.UNKNOWN
    return Answer.UNKNOWN if seen == {Answer.UNKNOWN, Answer.ALLOWED} else Answer.PARTLY


def compare(fleet: Fleet) -> tuple[tuple[Cell, ...], list[Difference]]:
    """The cells, and all that is otherwise than declared."""
    cells = _Cells()
    differences: list[Difference] = []
    for family in FAMILIES:
        flows, never = (Intent(fleet.site, family, some) for some in (fleet.site.flows, fleet.site.never))
        routers = merged(at for end in fleet.ends(family) if end.is_router for at in end.addresses)
        for reached in fleet.reached(family):
            differences += _Pair(fleet.site, family, reached, cells, routers).compare(flows, never)
    return cells.result(), differences


class _Pair:
    """All packets from one end to another, held against the flows between them."""

    def __init__(self, site: Site, family: int, reached: Reached, cells: _Cells, routers: Intervals) -> None:
        self.site, self.family, self.reached, self.cells, self.routers = site, family, reached, cells, routers
        self.source, self.destination = reached.source, reached.destination
        if len(reached.arrivals) > MOST_ARRIVALS:
            why = (
                f"{len(reached.arrivals)} sets of packets get through, more than the {MOST_ARRIVALS} that are compared"
            )
            self.reached = reached = reached._replace(arrivals=(), why=why)
        arrivals = [one for one in reached.arrivals if self._counts(one)]
        self.sure = [one for one in arrivals if not one.doubt]
        self.unsure = [one for one in arrivals if one.doubt]

    def _counts(self, one: Arrival) -> bool:
        """The internet has no way back to an address of the site, where that is to be hidden."""
        if self.destination.place != INTERNET:
            return True
        tier = self.site.tiers.get(self.source.place)
        return tier is None or self.family not in tier.masquerade or one.hidden

    def compare(self, flows: Intent, never: Intent) -> Iterator[Difference]:
        declared: list[Box] = []
        src, dst = self.source.addresses, self.destination.addresses
        for grant, start, end in flows.between(src, dst, self.destination.is_router):
            for service in grant.flow.services:
                boxes = [box for box in flows.boxes(grant, service, start, end) if not of_one_host(box)]
                declared += boxes
                if boxes:
                    yield from self._declared(grant.flow, service, boxes)
                    if grant.flow.forward and grant.pair.destination.nets and not self.source.is_router:
                        yield from self._forwarded(grant.flow, service, boxes)
        yield from self._beyond(declared, never)

    def key(self, service: str, path: str = "") -> CellKey:
        return self.source.place, self.destination.place, service, path

    def _declared(self, flow: Flow, service: str, boxes: Sequence[Box]) -> Iterator[Difference]:
        if self.reached.why:
            self.cells.note(self.key(service, flow.path), [Answer.UNKNOWN])
            yield self._difference(Kind.UNKNOWN, service, flow.path, boxes[0], boxes[0], Doubt("", self.reached.why))
            return
        sure = [one.box for one in self.sure]
        left = self._clean(subtract(boxes, sure, self.family))
        seen = {Answer.ALLOWED} if not left or overlap(boxes, sure) else set()
        missing = self._clean(subtract(left, [one.box for one in self.unsure], self.family)) if left else []
        if missing:
            seen.add(Answer.DENIED)
            yield self._difference(Kind.BLOCKED, service, flow.path, missing[0], missing[0])
        for one in self.unsure if left else ():
            found = overlap(left, [one.box])
            if found:
                seen.add(Answer.UNKNOWN)
                yield self._difference(Kind.UNKNOWN, service, flow.path, found[0], _sent(found[0], one), one.doubt)
                break
        folded = Answer.PARTLY if {Answer.ALLOWED, Answer.DENIED} <= seen else _folded(seen)
        self.cells.note(self.key(service, flow.path), [folded])

    def _forwarded(self, flow: Flow, service: str, boxes: Sequence[Box]) -> Iterator[Difference]:
        """What the routers are to forward there, and do not."""
        if self.source.place == self.destination.place or not self.routers or flow.forward is None:
            return
        address, port = flow.forward
        if address is not None and (address.version == 6) != (self.family == 6):
            return
        known = [one.box for one in (*self.sure, *self.unsure) if one.translated]
        for box in self._clean(subtract(boxes, known, self.family))[:1]:
            self.cells.note(self.key(service, flow.path), [Answer.DENIED])
            at = intervals_of([address], self.family) if address else self.routers[-1:]
            sent = narrowed(box, DST, at)
            yield self._difference(
                Kind.BLOCKED, service, flow.path, box, narrowed(sent, DPORT, ((port, port),)) if port else sent
            )

    def _beyond(self, declared: Sequence[Box], never: Intent) -> Iterator[Difference]:
        seen = set()
        for one in self.sure:
            for piece in self._undeclared(one, declared):
                seen.add(Answer.PARTLY)
                forbidden = self._never(piece, never)
                rest = [piece]
                if forbidden:
                    yield self._difference(Kind.NEVER, "", *forbidden, _sent(forbidden[1], one))
                    rest = self._clean(subtract(rest, [forbidden[1]], self.family))
                for box in rest:
                    yield self._difference(Kind.OPEN, "", "", box, _sent(box, one))
        if self.reached.why:
            seen.add(Answer.UNKNOWN)
            box = box_of(src=self.source.addresses, dst=self.destination.addresses)
            yield self._difference(Kind.UNKNOWN, "", "", box, box, Doubt("", self.reached.why))
        for one in self.unsure:
            for piece in self._undeclared(one, declared)[:1]:
                seen.add(Answer.UNKNOWN)
                yield self._difference(Kind.UNKNOWN, "", "", piece, _sent(piece, one), one.doubt)
        self.cells.note(self.key(EVERYTHING_ELSE), seen or [Answer.DENIED])

    def _undeclared(self, one: Arrival, declared: Sequence[Box]) -> list[Box]:
        """What of an arrival no flow declares, and is not ufw's own matter."""
        found = self._clean(subtract([one.box], declared, self.family))
        return [piece for piece in found if subtract([piece], [FRAMEWORK[self.family]], self.family)]

    def _never(self, piece: Box, never: Intent) -> Optional[tuple[str, Box]]:
        for grant, start, end in never.between(piece[SRC] or (), piece[DST] or (), self.destination.is_router):
            for service in grant.flow.services:
                found = overlap([piece], never.boxes(grant, service, start, end))
                if found:
                    return grant.flow.path, found[0]
        return None

    def _difference(
        self, kind: Kind, service: str, path: str, box: Box, sent: Box, why: Optional[Doubt] = None
    ) -> Difference:
        return Difference(kind, self.family, self.reached, service, path, box, sent, why)

    def _clean(self, boxes: list[Box]) -> list[Box]:
        return [box for box in boxes if not of_one_host(box)]


def _sent(box: Box, one: Arrival) -> Box:
    """What a part of an arrival was as it was sent."""
    for field in (DST, DPORT):
        if one.sent[field] != one.box[field] and one.translated:
            box = narrowed(box, field, one.sent[field])
    return box


# -- witnesses -------------------------------------------------------------------------------------------------------


def witness(difference: Difference) -> Asked:
    """One packet of a difference, as it is sent."""
    sent, family = difference.sent, difference.family
    proto = _pick(sent[PROTO], _EASY_PROTOCOLS, 255)
    with_ports = proto in WITH_PORTS
    src = _address(sent[SRC], difference.reached.source.place == INTERNET)
    dst = _address(sent[DST], difference.reached.destination.place == INTERNET)
    if src == dst:
        dst = _another(sent[DST], src)
    return Asked(
        address_text(src, family),
        address_text(dst, family),
        _NAMES.get(proto, str(proto)),
        _pick(sent[DPORT], (), 65535) if with_ports else 0,
        _pick(sent[SPORT], (PORT,), 65535) if with_ports else PORT,
    )


def _pick(side: Optional[Intervals], preferred: Sequence[int], most: int) -> int:
    side = side or ((0, most),)
    for value in preferred:
        if any(first <= value <= last for first, last in side):
            return value
    first, last = side[0]
    return first + 1 if first == 0 and last > 0 else first


def _address(side: Optional[Intervals], far: bool) -> int:
    first, last = (side or ((0, 0),))[0]
    return first + 1 if far and last - first > 1 else first


def _another(side: Optional[Intervals], but: int) -> int:
    for first, last in side or ():
        for value in (first, last):
            if value != but:
                return value
    return but


# -- findings --------------------------------------------------------------------------------------------------------


class Findings:
    """Differences told for people, those with one cause together."""

    def __init__(self, site: Site, nodes: Mapping[str, Node]) -> None:
        self.site, self.nodes = site, nodes
        self.paths = {flow.path: flow for flow in (*site.flows, *site.never)}

    def of(self, differences: Iterable[Difference]) -> Iterator[Finding]:
        alike: dict[tuple[object, ...], list[Difference]] = {}
        for one in differences:
            alike.setdefault(self._likeness(one), []).append(one)
        together: dict[tuple[object, ...], Finding] = {}
        for number, found in enumerate(alike.values()):
            finding = self._finding(found, number < MOST_WITNESSES)
            key = (finding.kind, finding.host, finding.path, _cause(finding))
            other = together.get(key)
            if other is not None:
                cells = tuple(dict.fromkeys((*other.cells, *finding.cells)))
                finding = other._replace(cells=cells, times=other.times + finding.times)
            together[key] = finding
        yield from together.values()

    def _likeness(self, one: Difference) -> tuple[object, ...]:
        ends = one.reached.source.place, one.reached.destination.place
        if one.kind is Kind.UNKNOWN:
            return one.kind, one.why
        if one.kind is Kind.BLOCKED:
            return one.kind, one.path, one.service, *ends, id(one.reached.destination.group)
        return one.kind, one.path, *ends, one.box[PROTO], one.box[DPORT], id(one.reached.destination.group)

    def _finding(self, found: Sequence[Difference], walked: bool) -> Finding:
        first = found[0]
        asked = witness(first)
        way = walk(self.nodes, asked) if walked and first.kind is not Kind.UNKNOWN else None
        hops = tuple(Hop(hop.host, hop.at, hop.answer.value.lower(), hop.text) for hop in way.hops) if way else ()
        ends = tuple(dict.fromkeys((one.reached.source.place, one.reached.destination.place) for one in found))
        base = Finding(
            first.kind, Severity.ERROR, "", "", APPLY, asked.text(), hops, first.path, ends, len(found), asked
        )
        if way is not None and not _agrees(first, way):
            return self._disagreement(base, first, way)
        return {
            Kind.BLOCKED: self._blocked,
            Kind.OPEN: self._open,
            Kind.NEVER: self._open,
            Kind.UNKNOWN: self._unknown,
        }[first.kind](base, first)

    @staticmethod
    def _disagreement(base: Finding, first: Difference, way: Walk) -> Finding:
        said = "passes" if first.kind is not Kind.BLOCKED else "is stopped"
        if way.answer is Walked.UNKNOWN:
            unsure = next((hop for hop in way.hops if hop.answer is Walked.UNKNOWN), None)
            text = f"by sets of packets it {said}, hop by hop it is not known{f': {unsure.text}' if unsure else ''}"
            return base._replace(kind=Kind.UNKNOWN, severity=Severity.WARNING, what=text, remedy="see the hops")
        text = f"by sets of packets it {said}, hop by hop it is {way.answer.value.lower()}"
        return base._replace(kind=Kind.DISAGREEMENT, what=text, remedy="report it: two ways to the answer differ")

    def _blocked(self, base: Finding, first: Difference) -> Finding:
        stop = next((hop for hop in base.hops if hop.answer == "denied"), None)
        moved = [hop for hop in base.hops if hop.chain.startswith("nat ")]
        stop = stop or (moved[0] if moved and first.reached.destination.place != INTERNET else None)
        flow = self.paths.get(first.path)
        name = f"{first.service} ({flow})" if flow else first.service
        if stop is None and first.reached.destination.place == INTERNET:
            what = (
                f"{name}: it leaves with the sender's own address, though {first.reached.source.place} is masqueraded"
            )
            routers = [host.host for host in base.hops if host.chain.startswith("FORWARD")]
            return base._replace(host=routers[-1] if routers else "", what=what)
        cause = f"{stop.host} {stop.chain}: {stop.rule}" if stop else "it is not forwarded there"
        return base._replace(host=stop.host if stop else "", what=f"declared, and blocked: {name}: {cause}")

    def _open(self, base: Finding, first: Difference) -> Finding:
        filters = [
            hop for hop in base.hops if hop.chain.split(" ")[0] in ("INPUT", "FORWARD") and hop.host in self.nodes
        ]
        last = filters[-1] if filters else base.hops[-1] if base.hops else None
        packets = _text(first)
        what = f"open, and declared by no flow: {packets}"
        if first.kind is Kind.NEVER:
            what = f"open, and forbidden by {self.paths[first.path]}: {packets}"
        if last is None:
            return base._replace(what=what)
        return base._replace(host=last.host, what=f"{what}: {last.host} {last.chain}: {last.rule}")

    def _unknown(self, base: Finding, first: Difference) -> Finding:
        return base._replace(
            severity=Severity.WARNING,
            host=first.why.host if first.why else "",
            what=f"not known: {first.why}",
            remedy="the live probes decide here; what the rules ask is not modelled",
            hops=(),
        )


def _cause(finding: Finding) -> object:
    """What findings of one host are the same by: the rule that decides there; without one, all that is said."""
    of_host = [hop.rule for hop in finding.hops if hop.host == finding.host]
    return (of_host[-1],) if of_host and finding.host else finding.what


def _agrees(first: Difference, way: Walk) -> bool:
    if first.kind is Kind.BLOCKED:
        return way.answer is Walked.DENIED or (way.answer is Walked.ALLOWED and not _ends_in(first, way))
    if way.answer is Walked.UNKNOWN and first.reached.destination.group is None:
        # Where no host was read, the routers let it through to an address of which nothing is known.
        return all(hop.answer is Walked.ALLOWED or hop.host == way.asked.destination for hop in way.hops)
    return way.answer is Walked.ALLOWED


def _ends_in(first: Difference, way: Walk) -> bool:
    """Whether it came to the host that it was sent to: what leaves unmasqueraded, or is sent on to another host by a
    translation, is let through and yet does not arrive."""
    group = first.reached.destination.group
    if group is None:
        return False
    owners = {text: host.name for host in group.hosts for text in host.own}
    moved = any(hop.at == "nat PREROUTING" for hop in way.hops)
    return way.end == owners.get(way.asked.destination) and not moved


def _text(one: Difference) -> str:
    """The packets without what is plain from the cell: protocol and ports, and the ends where they are a part of the place."""
    return PacketSet(one.family, _shown(one)).text()


def _shown(one: Difference) -> Box:
    box = list(one.box)
    for field, whole in ((SRC, one.reached.source.addresses), (DST, one.reached.destination.addresses)):
        if box[field] is not None and len(box[field] or ()) > 4:
            box[field] = (box[field] or whole)[:4]
    return tuple(box)


# -- the whole -------------------------------------------------------------------------------------------------------


def prove(
    site: Site, members: Mapping[str, Member], nodes: Mapping[str, Node], missing: Optional[Mapping[str, str]] = None
) -> Static:
    """members: every host of the inventory; nodes: those that were read; missing: why others were not."""
    began = time.monotonic()
    fleet = Fleet(site, members, nodes)
    return proven(fleet, unread(members, fleet, missing or {}), began)


def proven(fleet: Fleet, more: Iterable[Finding] = (), began: Optional[float] = None) -> Static:
    """The same of a fleet that is put together already, such as planned.planned_fleet. more: findings of others."""
    began = time.monotonic() if began is None else began
    cells, differences = compare(fleet)
    findings = [*Findings(fleet.site, fleet.nodes).of(differences), *more]
    return Static(
        cells,
        tuple(sorted(findings, key=lambda one: list(Severity).index(one.severity))),
        (*_notes(fleet), *_unseen(fleet.site, cells)),
        len(fleet.nodes),
        len(fleet.groups),
        time.monotonic() - began,
    )


def unread(
    members: Mapping[str, Member], fleet: Fleet, missing: Mapping[str, str], left_out: Collection[str] = ()
) -> Iterator[Finding]:
    """Hosts of which nothing is known. left_out: by --limit, which makes the proof partial."""
    for name, member in members.items():
        if member.part in (Part.TIER, Part.GATEWAY) and name not in fleet.nodes:
            why = "--limit leaves it out" if name in left_out else missing.get(name) or "it was not reached"
            severity = Severity.WARNING if name in left_out else Severity.ERROR
            remedy = "make it reachable, and prove again"
            yield Finding(Kind.MISSING, severity, name, f"its rules were not read: {why}", remedy)


def _unseen(site: Site, cells: Iterable[Cell]) -> Iterator[str]:
    """The declared services that no two hosts have that were read: never a silent pass."""
    seen = {(cell.flow, cell.service) for cell in cells}
    for flow in site.flows:
        names = [service for service in flow.services if (flow.path, service) not in seen]
        if names:
            yield f"no two hosts that were read have both ends of {flow.path} ({flow}): nothing is proven of {', '.join(names)}"


def _notes(fleet: Fleet) -> Iterator[str]:
    for family in FAMILIES:
        outside, unrouted = fleet.outside(family), fleet.unrouted(family)
        if outside and not fleet.is_routed:
            yield f"IPv{family}: no router was read: what the hosts send to the internet is not proven"
        elif not outside and any(fleet.ends(family)):
            yield f"IPv{family}: no router that was read has a way to the internet: nothing is proven about it"
        elif unrouted and outside:
            yield f"IPv{family}: the routers have no way to a part of the internet, such as {_example(unrouted, family)}"
    others = [end.place for family in FAMILIES for end in fleet.others(family)]
    if others:
        yield (
            f"addresses that no host has that was read ({', '.join(dict.fromkeys(others))}): proven as far as the routers "
            "between the tiers"
        )


def _example(intervals: Intervals, family: int) -> str:
    first, last = intervals[-1]
    at, size = networks(first, last, 32 if family == 4 else 128)[0]
    return f"{address_text(at, family)}/{size}"
