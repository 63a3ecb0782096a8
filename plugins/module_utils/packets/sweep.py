# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every packet at once: what a ruleset does with each of them.

A program (unfold.unfold) is swept field by field. At each field the ends of the rules' intervals cut the axis into
segments; a segment is known by the rules that are active in it, and segments with the same active rules share one
result. That makes a decision diagram: nodes ask for one field's interval, leaves are outcomes. Fields that make no
difference are left out and equal neighbours are merged, so for one order of the fields the diagram of a set of packets
is unique: equal diagrams are equal rulesets.

The work grows with the number of segments that come out, which the program's Budget bounds: beyond it TooComplex is
raised, never a partial result.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, insort
from collections.abc import Hashable, Iterator, Sequence, Set
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    FIELDS,
    IIF,
    ODST,
    OIF,
    OPORT,
    PROTO,
    SPORT,
    SRC,
    Box,
    Interval,
    Intervals,
    common,
    complement,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import SKIP, Budget, Program

#: Services first: rules of few sources each, for many ports. Sources first: sources for any port, as in a block list.
SERVICES_FIRST = (IIF, OIF, PROTO, DPORT, OPORT, SPORT, SRC, ODST, DST)
SOURCES_FIRST = (IIF, OIF, PROTO, SRC, DPORT, OPORT, SPORT, ODST, DST)

#: The share of all packets above which a rule is tried for what it takes together with others, how many boxes what they
#: leave may have, and after how many tries with little use there are no more.
BROAD, PIECES, TRIES = 1 / 16, 64, 50
#: How often each instance may be looked at, on average, before such rules are looked for.
PLAIN = 20
#: A sequence of the fields.
Order = tuple[int, ...]
#: (depth, upper ends, kids), or (LEAF, value, ()).
Node = tuple[int, Any, tuple[int, ...]]


class Diagram:
    """Nodes by number: (depth in `order`, the segments' upper ends, their nodes); a leaf is (LEAF, value, ())."""

    LEAF = 99

    def __init__(self, order: Order, universe: list[Interval], budget: Budget) -> None:
        self.order, self.universe, self.budget = order, universe, budget
        self.nodes: list[Node] = []
        self.numbers: dict[Node, int] = {}
        self.root = -1

    def leaf(self, value: Hashable) -> int:
        return self._number((self.LEAF, value, ()))

    def make(self, depth: int, highs: Sequence[int], kids: Sequence[int]) -> int:
        """The node of these segments, neighbours merged; the only kid itself where there is but one."""
        if len(kids) > 1:
            ends: list[int] = []
            merged_kids: list[int] = []
            last = -1
            for high, kid in zip(highs, kids):
                if kid == last:
                    ends[-1] = high
                else:
                    ends.append(high)
                    merged_kids.append(kid)
                    last = kid
            highs, kids = ends, merged_kids
        if len(kids) == 1:
            return kids[0]
        return self._number((depth, tuple(highs), tuple(kids)))

    def _number(self, node: Node) -> int:
        number = self.numbers.get(node)
        if number is None:
            number = self.numbers[node] = len(self.nodes)
            self.nodes.append(node)
        return number

    def lookup(self, one: Sequence[int]) -> Any:
        """The leaf's value for a packet."""
        depth, highs, kids = self.nodes[self.root]
        while depth != self.LEAF:
            depth, highs, kids = self.nodes[kids[bisect_left(highs, one[self.order[depth]])]]
        return highs

    def leaves(self) -> list[tuple[int, Any]]:
        """[(number, value)]"""
        return [(number, node[1]) for number, node in enumerate(self.nodes) if node[0] == self.LEAF]

    def holds(self, number: int, sides: Sequence[Optional[Intervals]], wanted: Set[int]) -> bool:
        """Whether every packet of the product has a leaf of `wanted`."""
        depth, highs, kids = self.nodes[number]
        if depth == self.LEAF:
            return number in wanted
        intervals = sides[self.order[depth]]
        if intervals is None:
            return all(self.holds(kid, sides, wanted) for kid in set(kids))
        for low, high in intervals:
            for k in range(bisect_left(highs, low), len(highs)):
                if not self.holds(kids[k], sides, wanted):
                    return False
                if highs[k] >= high:
                    break
        return True

    def products(self, wanted: Set[int]) -> Iterator[tuple[int, Box]]:
        """The packets of each leaf of `wanted` as disjoint products: (leaf, sides)."""
        sides: list[Optional[Intervals]] = [None] * len(FIELDS)

        def walk(number: int) -> Iterator[tuple[int, Box]]:
            depth, highs, kids = self.nodes[number]
            if depth == self.LEAF:
                if number in wanted:
                    yield number, tuple(sides)
                return
            field = self.order[depth]
            low = self.universe[field][0]
            groups: dict[int, list[Interval]] = {}
            self.budget.check()
            for high, kid in zip(highs, kids):
                groups.setdefault(kid, []).append((low, high))
                low = high + 1
            for kid, intervals in groups.items():
                sides[field] = tuple(intervals)
                yield from walk(kid)
            sides[field] = None

        return walk(self.root)

    def digest(self) -> str:
        """A hash of the sets themselves: the same on every machine for the same sets and order."""
        digests: dict[int, str] = {}

        def walk(number: int) -> str:
            if number not in digests:
                depth, highs, kids = self.nodes[number]
                text = repr((depth, highs, [walk(kid) for kid in kids]))
                digests[number] = hashlib.sha256(text.encode()).hexdigest()
            return digests[number]

        return walk(self.root)


class Cells(Diagram):
    """A program's diagram; a leaf is an outcome of Program.outcome: what happens and which instances decide it."""

    #: Rules kept in a segment after one that takes all of it: none, since they cannot matter.
    spare = 0

    def __init__(self, program: Program, order: Order) -> None:
        super().__init__(order, program.universe, program.budget)
        self.program = program
        self.masks = [0] * len(program)
        for depth, field in enumerate(order):
            for i, intervals in enumerate(program.sets[field]):
                if intervals is not None:
                    self.masks[i] |= 1 << depth
        self.final = [
            condition is None and action != SKIP for condition, action in zip(program.condition, program.action)
        ]
        self.broad: frozenset[int] = frozenset()
        self.left = PLAIN * len(program)  # looks at instances until there is need of the broad ones
        self.tried = self.shorter = 0
        self.memo: dict[tuple[int, tuple[int, ...]], int] = {}
        self.outcomes: list[Optional[int]] = [None] * len(program)  # the leaf of an instance that decides alone
        self.nothing = self.leaf(program.outcome(()))
        self.root = self.node(0, tuple(range(len(program))))

    def dropped(self, closer: int, here: list[int], k: int) -> None:
        """here[k:] cannot matter in a segment, since `closer` takes all of it."""

    def node(self, depth: int, active: tuple[int, ...]) -> int:
        """The node for the packets that meet exactly `active` in the fields before `depth`."""
        mask = 0
        for i in active:
            mask |= self.masks[i]
        mask = mask >> depth << depth
        if not mask:
            return self.decided(active)
        depth = (mask & -mask).bit_length() - 1
        self.left -= len(active)
        if self.left < 0 and not self.tried:
            self.broad, self.tried = self.find_broad(), 1
        if self.broad:
            found = self.covered(depth, active)
            self.tried, self.shorter = self.tried + 1, self.shorter + (len(found) < len(active))
            active = found
            if self.tried > TRIES and self.shorter * 4 < self.tried:
                self.broad = frozenset()  # it costs more than it brings
        number = self.memo.get((depth, active))
        if number is None:
            number = self.memo[depth, active] = self.sweep(depth, active, not mask >> depth + 1)
        return number

    def decided(self, active: Sequence[int]) -> int:
        """The leaf for packets that meet exactly the instances `active`, a sorted sequence."""
        if not active:
            return self.nothing
        first = active[0]
        number = self.outcomes[first]
        if number is None:
            number = self.leaf(self.program.outcome(active))
            if self.final[first]:
                self.outcomes[first] = number
        return number

    def sweep(self, depth: int, active: tuple[int, ...], last: bool) -> int:
        """Cut one field's axis at the ends of the active intervals. last: no later field makes a difference."""
        field = self.order[depth]
        if last and not self.spare and all(self.final[i] for i in active):
            return self.paint(depth, active)
        sets = self.program.sets[field]
        low, top = self.universe[field]
        here: list[int] = []
        events: list[tuple[int, int]] = []
        for i in active:
            intervals = sets[i]
            if intervals is None:
                here.append(i)
            else:
                for first, after in intervals:
                    events.append((first, i))
                    events.append((after + 1, i))
        events.sort()
        closers = None if last else _Closers(self, depth, here)
        highs, kids, at, count = [], [], 0, len(events)
        while low <= top:
            # Intervals of one instance are disjoint and not adjacent: every event turns its instance on or off.
            while at < count and events[at][0] <= low:
                i = events[at][1]
                at += 1
                k = bisect_left(here, i)
                if k < len(here) and here[k] == i:
                    del here[k]
                    if closers:
                        closers.remove(i)
                else:
                    here.insert(k, i)
                    if closers:
                        closers.add(i)
            high = events[at][0] - 1 if at < count and events[at][0] <= top else top
            highs.append(high)
            kids.append(self.node(depth + 1, closers.cut(here)) if closers else self.decided(here))
            low = high + 1
        self.budget.spend(len(highs))
        return self.make(depth, highs, kids)

    def paint(self, depth: int, active: Sequence[int]) -> int:
        """A last sweep of rules that each decide alone: the first takes its segments, the next what is left of its own."""
        field = self.order[depth]
        sets, (low, top) = self.program.sets[field], self.universe[field]
        parts: list[tuple[int, int]] = []  # (upper end, kid)
        lows, highs = [low], [top]  # what is left
        for i in active:
            for first, last in sets[i] or ((low, top),):
                k = bisect_left(highs, first)
                while k < len(lows) and lows[k] <= last:
                    kid = self.decided((i,))
                    start, end = lows[k], highs[k]
                    parts.append((min(end, last), kid))
                    if start < first:
                        highs[k] = first - 1
                        k += 1
                        if last < end:
                            lows.insert(k, last + 1)
                            highs.insert(k, end)
                    elif last < end:
                        lows[k] = last + 1
                    else:
                        del lows[k], highs[k]
            if not lows:
                break
        parts += [(end, self.nothing) for end in highs]
        parts.sort()
        self.budget.spend(len(parts))
        return self.make(depth, [end for end, _kid in parts], [kid for _end, kid in parts])

    # -- rules that together take everything -------------------------------------------------------------------------

    def find_broad(self) -> frozenset[int]:
        """Rules that take much of several fields at once, such as three negations: a few of them take everything."""
        found = []
        fields = [
            (self.program.sets[field], *self.universe[field])
            for field in (DPORT, SPORT, SRC, DST, IIF, OIF, ODST, OPORT)
        ]
        for i, final in enumerate(self.final):
            share, sides = float(final), 0
            for values, low, high in fields:
                intervals = values[i]
                if intervals is not None:
                    sides += 1
                    share *= (intervals[-1][1] - intervals[0][0] + 1) / (high - low + 1)  # at most
                    if share <= BROAD:
                        break
            if share > BROAD and sides > 1:
                found.append(i)
        return frozenset(found)

    def covered(self, depth: int, active: tuple[int, ...]) -> tuple[int, ...]:
        """The instances up to the one with which those before it take all that is left in the fields from `depth` on."""
        fields = self.order[depth:]
        takers: list[int] = []
        for _round in range(1 + self.spare):
            left: list[tuple[Optional[Intervals], ...]] = [(None,) * len(fields)]
            begin = len(takers)
            for i in active:
                if self.program.action[i] == SKIP or len(left) > PIECES:
                    return active
                if i not in self.broad or (takers and i <= takers[begin - 1]):
                    continue
                self.budget.check()
                takers.append(i)
                left = [piece for box in left for piece in self.left_by(i, box, fields)]
                if not left:
                    break
            if left:
                return active
        rules = {id(self.program.path[i][-1]) for i in takers}
        if self.spare and len(rules) < len(takers):
            return active  # one rule in two copies does not stand in for itself
        k = bisect_left(active, takers[-1]) + 1
        for i in takers:
            self.dropped(i, list(active), k)
        return active[:k]

    def left_by(
        self, i: int, box: tuple[Optional[Intervals], ...], fields: Order
    ) -> list[tuple[Optional[Intervals], ...]]:
        """What of a box of some fields an instance leaves, as disjoint boxes."""
        out, whole = [], box
        for at, field in enumerate(fields):
            side = self.program.sets[field][i]
            if side is None:
                continue
            low, high = self.universe[field]
            here = box[at] or ((low, high),)
            rest = common(here, complement(side, low, high))
            if rest:
                out.append((*box[:at], rest, *box[at + 1 :]))
            inside = common(here, side)
            if not inside:
                return [whole]
            box = (*box[:at], inside, *box[at + 1 :])
        return out


class _Closers:
    """Which active instances take all that is left of a segment, so that those after them do not matter."""

    def __init__(self, cells: Cells, depth: int, here: list[int]) -> None:
        self.cells, self.later = cells, -1 << depth + 1
        self.active: list[int] = []
        self.skips: list[int] = []
        for i in here:
            self.add(i)

    def kind(self, i: int) -> Optional[list[int]]:
        if self.cells.program.action[i] == SKIP:
            return self.skips
        if self.cells.final[i] and not self.cells.masks[i] & self.later:
            return self.active
        return None

    def add(self, i: int) -> None:
        which = self.kind(i)
        if which is not None:
            insort(which, i)

    def remove(self, i: int) -> None:
        which = self.kind(i)
        if which is not None:
            del which[bisect_left(which, i)]

    def cut(self, here: list[int]) -> tuple[int, ...]:
        """The instances up to the one that closes the segment; a skip may lead past it, and then it closes nothing."""
        cells, program = self.cells, self.cells.program
        spared: Optional[int] = None
        for i in self.active:
            if any(skip < i < program.target[skip] for skip in self.skips):
                continue
            if cells.spare and (spared is None or program.path[i][-1] is program.path[spared][-1]):
                spared = i
                continue
            k = bisect_left(here, i) + 1
            cells.dropped(i, here, k)
            return tuple(here[:k])
        return tuple(here)


def best_order(programs: Sequence[Program]) -> Order:
    """The order of the fields that makes fewer segments; see SERVICES_FIRST."""
    services: set[Optional[Intervals]] = set()
    sources: set[Optional[Intervals]] = set()
    only_source = only_service = 0
    for program in programs:
        for source, service in zip(program.sets[SRC], program.sets[DPORT]):
            services.add(service)
            sources.add(source)
            only_source += service is None and source is not None
            only_service += source is None and service is not None
    return SOURCES_FIRST if len(services) * only_source > len(sources) * only_service else SERVICES_FIRST
