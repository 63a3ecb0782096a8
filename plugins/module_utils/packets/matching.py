# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a rule's matches leave of a set of packets, at one place of a packet's way through the tables."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.addrtype import address_types, hook_types
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    FIELD_NAMES,
    ICMP,
    ODST,
    OPORT,
    PROTO,
    SPORT,
    SRC,
    Box,
    Interval,
    Intervals,
    common,
    complement,
    merged,
    top,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Rule
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.matches import (
    BothPorts,
    Direction,
    EitherPort,
    First,
    Flags,
    Match,
    NeitherPort,
    Never,
    State,
    Type,
    Unmodelled,
    Within,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import EVERY, Condition, Question

#: Chains that a packet passes before a nat table may have changed where it goes to.
UNTRANSLATED = frozenset((table, chain) for table in ("raw", "mangle", "nat") for chain in ("PREROUTING", "OUTPUT"))
#: Types of ICMPv6 that the kernel never tracks (nf_conntrack_proto_icmpv6.c): multicast listeners, neighbour discovery.
_UNTRACKED = ((130 * 256, 136 * 256 + 255), (143 * 256, 143 * 256 + 255))
#: Redirects are UNTRACKED or INVALID, by what they carry and by the kernel's age.
_REDIRECT = ((137 * 256, 137 * 256 + 255),)


#: States of packets that belong to no connection, and so to none that was translated (xt_conntrack.c).
_WITHOUT = ("UNTRACKED", "INVALID")


class Stage(NamedTuple):
    """A built-in chain on a packet's way."""

    table: str
    chain: str


Sides = tuple[tuple[int, Intervals], ...]


class Alternatives(NamedTuple):
    """Where a match is met on one of several sides, and where it may be."""

    sides: tuple[Sides, ...]
    perhaps: tuple[Sides, ...] = ()


#: True or False for every packet of the question; None: not known; or what is left to narrow by.
Answer = Union[bool, None, Within, Alternatives]


class Matching:
    """The matches as a question sees them."""

    def __init__(self, family: int, question: Question, universe: list[Interval], translated: Optional[bool]) -> None:
        self.family, self.question, self.universe, self.translated = family, question, universe, translated
        self.types = {
            field: hook_types(family, question.hook, field)
            if question.addresses == EVERY
            else address_types(family, question.addresses)
            for field in (SRC, DST)
        }

    def boxes(self, rule: Rule, context: Box, stage: Stage) -> list[tuple[Box, Optional[Condition]]]:
        """A rule's matches within a context -> [(box, Condition or None)]; none where it cannot match at all."""
        boxes: list[list[Any]] = [[*context, None]]  # the last: what one of several sides depends on
        unknown: list[Condition] = []
        for match in rule.matches:
            if isinstance(match, Within):
                if len(boxes) > 1:
                    boxes = [box for box in boxes if self.narrow(box, match.field, match.intervals, stage, unknown)]
                elif not self.narrow(boxes[0], match.field, match.intervals, stage, unknown):
                    return []
            elif isinstance(match, Unmodelled):
                unknown.append(Condition(match.label, match.rate))
            else:
                answer = self.answer(match, stage)
                if answer is None:
                    unknown.append(Condition(label(match), False))
                elif isinstance(answer, Within):
                    boxes = [box for box in boxes if self.narrow(box, answer.field, answer.intervals, stage, unknown)]
                elif isinstance(answer, Alternatives):
                    boxes = self.split(boxes, answer, label(match), stage, unknown)
                elif not answer:
                    return []
            if not boxes:
                return []
        condition = joined(unknown) if unknown else None
        return [(tuple(box[:-1]), joined([*unknown, box[-1]]) if box[-1] else condition) for box in boxes]

    def split(
        self, boxes: list[list[Any]], wanted: Alternatives, text: str, stage: Stage, unknown: list[Condition]
    ) -> list[list[Any]]:
        out = []
        for box in boxes:
            for sides in (*wanted.sides, *wanted.perhaps):
                part = list(box)
                if sides in wanted.perhaps:
                    part[-1] = Condition(text, False)
                if all(self.narrow(part, field, intervals, stage, unknown) for field, intervals in sides):
                    out.append(part)
        return out

    def narrow(self, box: list[Any], field: int, intervals: Intervals, stage: Stage, unknown: list[Condition]) -> bool:
        """Intersect one side of the box; returns whether anything is left. Notes what the table cannot know."""
        if self.translated is not False and field in (DST, DPORT) and stage in UNTRANSLATED:
            if self.translated is None:
                unknown.append(Condition(f"the {FIELD_NAMES[field]} before a translation", False))
                return True
            if field == DST or box[PROTO] != ((ICMP[self.family],) * 2,):
                field = ODST if field == DST else OPORT
        low, high = self.universe[field]
        have = box[field]
        if have is None:
            if len(intervals) == 1:
                first, last = intervals[0]
                if first <= low and last >= high:
                    return True
                if first >= low and last <= high:
                    box[field] = intervals
                    return True
            have = ((low, high),)
        left = common(have, intervals)
        box[field] = None if left == ((low, high),) else left
        return bool(left)

    def answer(self, match: Match, stage: Stage) -> Answer:
        if isinstance(match, State):
            return self.state(match, stage)
        if isinstance(match, Type):
            return self.type(match, stage)
        if isinstance(match, EitherPort):
            return Alternatives((((SPORT, match.intervals),), ((DPORT, match.intervals),)))
        if isinstance(match, BothPorts):
            return Alternatives((((SPORT, match.intervals), (DPORT, match.intervals)),))
        if isinstance(match, NeitherPort):
            one, other = ((field, intervals) for field, intervals in zip((SPORT, DPORT), match))
            ends = [(field, complement(intervals, 0, 65535)) for field, intervals in (one, other)]
            return Alternatives(((one, other),), ((one, ends[1]), (ends[0], other)))
        if isinstance(match, First):
            return self.first(match, stage)
        if isinstance(match, Flags):
            syn = frozenset(("SYN",)) & match.mask == match.raised
            return None if self.question.state != "NEW" else syn != match.negated
        if isinstance(match, Direction):
            tracked = self.question.state == "NEW" and stage.table != "raw"
            if not tracked:
                return None
            return self.of_tracked(PROTO, ((0, 255),) if (match.name == "ORIGINAL") != match.negated else ())
        if not isinstance(match, Never):
            raise AssertionError(f"no such match: {match}")
        return False

    def state(self, match: State, stage: Stage) -> Answer:
        """Of what is asked about as NEW, some ICMPv6 is UNTRACKED to the kernel."""
        asked = self.in_state(match, stage, self.question.state)
        if self.family == 4 or self.question.state != "NEW" or stage.table == "raw":
            return asked
        untracked, invalid = (self.in_state(match, stage, state) for state in ("UNTRACKED", "INVALID"))
        if untracked == asked == invalid:
            return asked
        if None in (asked, untracked, invalid):
            return None
        icmp = ((ICMP[6],) * 2,)
        tracked = complement(merged(_UNTRACKED + _REDIRECT), 0, top(DPORT, 6))
        sides: list[Sides] = []
        if asked:
            sides += [((PROTO, complement(icmp, 0, 255)),), ((PROTO, icmp), (DPORT, tracked))]
        if untracked:
            sides.append(((PROTO, icmp), (DPORT, _UNTRACKED)))
        redirect: Sides = ((PROTO, icmp), (DPORT, _REDIRECT))
        if untracked and invalid:
            sides.append(redirect)
        return Alternatives(tuple(sides), (redirect,) if untracked != invalid else ())

    def in_state(self, match: State, stage: Stage, state: str) -> Optional[bool]:
        if stage.table == "raw":
            return None  # raw comes before the connection is looked up
        answer: Optional[bool] = state in match.states
        if not answer and "DNAT" in match.states and state not in _WITHOUT:
            answer = False if state == "NEW" and stage in UNTRANSLATED else self.translated
        if answer is False and "SNAT" in match.states and state != "NEW" and state not in _WITHOUT:
            answer = None  # a NEW packet's source is changed after the filter
        return None if answer is None else answer != match.negated

    def first(self, match: First, stage: Stage) -> Answer:
        """A field of the connection's first packet: of a NEW one, that is this packet, before its translation."""
        field = match.field
        translatable = field in (DST, DPORT)
        states = ("NEW", "ESTABLISHED") if field == PROTO else ("NEW",)
        if self.question.state not in states or stage.table == "raw" or (translatable and self.translated is None):
            return None
        if translatable and self.translated:
            field = ODST if field == DST else OPORT
        return self.of_tracked(field, match.intervals)

    def of_tracked(self, field: int, intervals: Intervals) -> Answer:
        """What holds only of a packet that belongs to a connection: without one there is nothing to compare, negated or not,
        unless the same -m conntrack asks for the state as well, which then decides alone (xt_conntrack.c)."""
        if self.family == 4 or self.question.state != "NEW":
            return Within(field, intervals)
        icmp = ((ICMP[6],) * 2,)
        without = merged(_UNTRACKED + _REDIRECT)
        tracked = complement(without, 0, top(DPORT, 6))
        sides: list[Sides] = [((PROTO, complement(icmp, 0, 255)),), ((PROTO, icmp), (DPORT, tracked))]
        held = ((field, intervals),)
        return Alternatives(tuple(held + side for side in sides), (((PROTO, icmp), (DPORT, without)),))

    def type(self, match: Type, stage: Stage) -> Answer:
        """An address's type, by intervals. It is one of those named in IPv4, all of them in IPv6 (xt_addrtype.c)."""
        field = match.field
        if field == DST and stage in UNTRANSLATED and self.translated is not False:
            return None
        sets = []
        for name in sorted(match.types):
            intervals = self.types[field].get(name)
            if intervals is None:
                return None
            sets.append(intervals)
        found = sets[0]
        for other in sets[1:]:
            found = merged(found + other) if self.family == 4 else common(found, other)
        return Within(field, complement(found, 0, top(field, self.family)) if match.negated else found)


def joined(conditions: list[Condition]) -> Optional[Condition]:
    """All of them as one; None where there is none."""
    if not conditions:
        return None
    texts = dict.fromkeys(condition.text for condition in conditions)
    return Condition("; ".join(texts), all(condition.rate for condition in conditions))


def label(match: Match) -> str:
    """A match that cannot be answered, for people."""
    if isinstance(match, Type):
        return f"{'not ' * match.negated}{FIELD_NAMES[match.field]} type {','.join(sorted(match.types))}"
    if isinstance(match, State):
        return f"{'not ' * match.negated}state {','.join(sorted(match.states))}"
    if isinstance(match, Flags):
        raised, mask = (",".join(sorted(part)) or "none" for part in (match.raised, match.mask))
        return f"{'not ' * match.negated}flags {raised} of {mask}"
    if isinstance(match, Direction):
        return f"{'not ' * match.negated}{match.name}"
    if isinstance(match, NeitherPort):
        return "whether iptables denies both ports or each"
    if not isinstance(match, First):
        return ""
    return f"the connection's first {FIELD_NAMES[match.field]}"
