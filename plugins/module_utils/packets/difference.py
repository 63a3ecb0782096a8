# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a ruleset accepts, and what a change of it opens and closes: exact sets of packets, each with a witness.

accepted(ruleset, question) == accepted(other, question)      the two answer every packet alike
difference(before, after, question).opened                    [Change]: packets, a witness, the rules that decide it
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Set
from functools import cached_property, partial
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    FIELDS,
    ICMP,
    IIF,
    NAME_BYTES,
    ODST,
    OIF,
    OPORT,
    PROTO,
    SPORT,
    SRC,
    WITH_PORTS,
    Box,
    Interval,
    Intervals,
    common,
    interface_name,
    interface_range,
    intersection,
    merged,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Rule, Ruleset
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import Packet, PacketSet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import (
    ALLOWED,
    DENIED,
    UNKNOWN,
    Budget,
    Outcome,
    Program,
    Question,
    Verdict,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.sweep import (
    SERVICES_FIRST,
    Cells,
    Diagram,
    Node,
    Order,
    best_order,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import unfold

#: How much a verdict lets through.
RANK = {DENIED: 0, UNKNOWN: 1, ALLOWED: 2}
SAME, BEYOND = "same", "outside the question"
#: Fields with few enough intervals to try each of them, where `any` is too much.
FEW = 64

#: A packet of a change, and the verdicts that it gets before and after.
Example = tuple[Packet, Verdict, Verdict]


class Accepted:
    """What a ruleset answers to every packet of a question: equal, and of one hash, where the answers are."""

    def __init__(self, family: int, diagram: Diagram) -> None:
        self.family, self.diagram, self.digest = family, diagram, diagram.digest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Accepted) and (self.family, self.digest) == (other.family, other.digest)

    def __hash__(self) -> int:
        return hash((self.family, self.digest))

    def answer(self, one: Sequence[int]) -> Optional[str]:
        """allowed, denied or unknown; None for a packet that the question excludes."""
        answer: Optional[str] = self.diagram.lookup(one)[0]
        return answer

    def sets(self, answer: str = ALLOWED) -> list[PacketSet]:
        """The packets of one answer as PacketSets, which may overlap."""
        leaves: set[int] = set()
        beyond: set[int] = set()
        for number, (value, _rest) in self.diagram.leaves():
            leaves.update([number] if value == answer else ())
            beyond.update([number] if value is None else ())
        anything: Box = (None,) * len(FIELDS)
        found = _Widened(self.diagram, beyond)
        for _leaf, part in _largest_first(self.diagram.products(leaves), self.diagram.universe):
            found.add(part, anything, leaves | beyond, None)
        return [PacketSet(self.family, wide) for wide, _item in found.result()]


def accepted(
    ruleset: Ruleset, question: Question, order: Order = SERVICES_FIRST, budget: Optional[Budget] = None
) -> Accepted:
    """What the ruleset does with every packet of the question, as Accepted. Only those of one order compare equal."""
    program = unfold(ruleset, question, budget=budget)
    cells = Cells(program, order)
    diagram = Diagram(order, program.universe, program.budget)
    done: dict[int, int] = {}

    def walk(number: int) -> int:
        if number not in done:
            depth, highs, kids = cells.nodes[number]
            if depth == Diagram.LEAF:
                done[number] = diagram.leaf((highs[0], highs[2]))
            else:
                done[number] = diagram.make(depth, highs, [walk(kid) for kid in kids])
        return done[number]

    diagram.root = walk(cells.root)
    return Accepted(program.family, diagram)


class Change:
    """A set of packets, one of them whose answer changes (a Packet), and the Verdicts that it gets before and after.

    After the change, every packet of the set has the answer of `after`. Some may have had it before: a set is given as
    the rule that makes the difference has it, where that is true, and not in as many pieces as other rules cut it to.
    """

    def __init__(self, packets: PacketSet, example: Callable[[], Example]) -> None:
        """example() -> (witness, before, after), worked out for those that are looked at: there may be thousands."""
        self.packets, self._example = packets, example

    @cached_property
    def _shown(self) -> Example:
        return self._example()

    @property
    def witness(self) -> Packet:
        return self._shown[0]

    @property
    def before(self) -> Verdict:
        return self._shown[1]

    @property
    def after(self) -> Verdict:
        return self._shown[2]

    def text(self) -> str:
        return f"{self.packets.text()}: {self.before.answer} -> {self.after.answer}"


class Difference(NamedTuple):
    """Changes. opened: more may pass than before; closed: less; unclear: unknown before and after, on other terms."""

    opened: tuple[Change, ...]
    closed: tuple[Change, ...]
    unclear: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.opened or self.closed or self.unclear)


def difference(before: Ruleset, after: Ruleset, question: Question, budget: Optional[Budget] = None) -> Difference:
    """What a change of the ruleset opens and closes. Exact: a packet of the question in no Change fares as before."""
    if before.family != after.family:
        raise ValueError(f"the rulesets to compare: got IPv{before.family} and IPv{after.family}, expected one family")
    budget = budget or Budget()
    programs = [unfold(ruleset, question, budget=budget) for ruleset in (before, after)]
    order = best_order(programs)
    old, new = (Cells(program, order) for program in programs)
    diagram = _compared(old, new)
    known, causes = _interfaces(programs), _Causes(programs)
    alike: dict[tuple[str, ...], set[int]] = {}
    for number, value in diagram.leaves():
        alike.setdefault(_kind(value), set()).add(number)
    found = {kind: _Widened(diagram, alike.get((BEYOND,), set())) for kind in Difference._fields}
    changed = {number for kind, numbers in alike.items() if kind[0] in found for number in numbers}
    over = {
        kind: numbers.union(*(alike.get(other, ()) for other in ((SAME, kind[2]), (BEYOND,))))
        for kind, numbers in alike.items()
        if kind[0] in found
    }
    for leaf, part in _largest_first(diagram.products(changed), diagram.universe):
        value = diagram.nodes[leaf][1]
        found[value[0]].add(part, causes.box(*value), over[_kind(value)], (leaf, part))

    def example(leaf: int, part: Box) -> Example:
        outcomes = diagram.nodes[leaf][1][1:]
        was, becomes = (program.verdict(outcome) for program, outcome in zip(programs, outcomes))
        if was is None or becomes is None:
            raise AssertionError("packets outside the question are no change")
        return (_witness(part, programs[0], known), was, becomes)

    def changes(kind: str) -> tuple[Change, ...]:
        return tuple(
            Change(PacketSet(before.family, wide), partial(example, *place)) for wide, place in found[kind].result()
        )

    return Difference(changes("opened"), changes("closed"), changes("unclear"))


def _largest_first(products: Iterable[tuple[int, Box]], universe: list[Interval]) -> list[tuple[int, Box]]:
    """Large sets are the likelier to swallow others, and their first packet is a usual one."""

    def size(item: tuple[int, Box]) -> float:
        share = 1.0
        for intervals, (first, last) in zip(item[1], universe):
            if intervals is not None:
                share *= sum(high - low + 1 for low, high in intervals) / (last - first + 1)
        return -share

    return sorted(products, key=size)


def _kind(value: tuple[Any, ...]) -> tuple[str, ...]:
    """What makes two leaves alike for people: which way, from which answer, to which."""
    return (value[0], value[1][0], value[2][0]) if len(value) == 3 else value


class _Causes:
    """The rules that only one of the two rulesets has: a change is told in their terms."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.programs = programs
        texts = [{_place(rule) for path in program.path for rule in path} for program in programs]
        self.fresh = [texts[0] - texts[1], texts[1] - texts[0]]

    def box(self, kind: str, *outcomes: Outcome) -> Box:
        """The set that a change is told in, which holds its packets: that of the rule that lets them in, if only that one is
        new (or gone, for what is closed); else what the two deciding rules have in common."""
        boxes: dict[int, Box] = {}
        fresh = set()
        for side, program in enumerate(self.programs):
            i = outcomes[side][1][0]
            if i >= 0:
                boxes[side] = tuple(values[i] for values in program.sets)
                if any(_place(rule) in self.fresh[side] for rule in program.path[i]):
                    fresh.add(side)
        lets_in = {"opened": 1, "closed": 0}.get(kind)
        if lets_in is not None and fresh == {lets_in}:
            return boxes[lets_in]
        box: Box = (None,) * len(FIELDS)
        for other in boxes.values():
            box = tuple(intersection(a, b) for a, b in zip(box, other))
        return box


def _place(rule: Rule) -> tuple[str, str, str]:
    return rule.table, rule.chain, rule.text


class _Widened:
    """Products of packets, made wider for people, without those that lie in another's wider one."""

    def __init__(self, diagram: Diagram, beyond: Set[int]) -> None:
        self.diagram, self.beyond = diagram, beyond
        self.found: dict[Box, Any] = {}
        self.single: dict[Optional[Intervals], list[Box]] = {}
        self.wider: dict[Optional[Intervals], list[Box]] = {}
        self.cuts: dict[int, list[Interval]] = {}
        # Ports before the protocol, which is not widened to ones without ports while a port is named.
        self.fields = [field for field in diagram.order if field != PROTO] + [PROTO]

    def add(self, part: Box, limit: Box, wanted: Set[int], item: Any) -> None:
        """limit: the sides that the product may grow to. wanted: the leaves it may grow over."""
        if self.swallowed(part):
            return
        self.diagram.budget.check()
        sides = list(part)
        for field in self.fields:
            if sides[field] is not None and sides[field] != limit[field]:
                sides[field] = self.grown(sides, field, limit[field], wanted)
        wide = tuple(sides)
        if wide != part:
            groups = self.single if _is_single(wide[DPORT]) else self.wider
            groups.setdefault(wide[DPORT], []).append(wide)
        self.found.setdefault(wide, item)

    def grown(
        self, sides: list[Optional[Intervals]], field: int, limit: Optional[Intervals], wanted: Set[int]
    ) -> Optional[Intervals]:
        trial, root, holds = list(sides), self.diagram.root, self.diagram.holds
        ports = field == PROTO and any(sides[port] is not None for port in (SPORT, DPORT, OPORT))
        trial[field] = limit
        if not ports and holds(root, trial, wanted):
            return limit
        if field not in (IIF, OIF, PROTO):
            return sides[field]
        out = list(sides[field] or ())
        atoms = self.atoms(field)
        for atom in atoms if len(atoms) <= FEW else ():
            if ports and not (atom[0] == atom[1] and atom[0] in WITH_PORTS):
                continue
            part = (atom,) if limit is None else common((atom,), limit)
            trial[field] = part
            if part and not holds(root, trial, self.beyond) and holds(root, trial, wanted):
                out.extend(part)
        return merged(out)

    def atoms(self, field: int) -> list[Interval]:
        """The intervals that the diagram tells apart in a field."""
        if field not in self.cuts:
            depth = self.diagram.order.index(field)
            highs = {high for node in self.diagram.nodes if node[0] == depth for high in node[1]}
            low = self.diagram.universe[field][0]
            cuts: list[Interval] = []
            for high in sorted(highs):
                cuts.append((low, high))
                low = high + 1
            self.cuts[field] = cuts
        return self.cuts[field]

    def swallowed(self, sides: Box) -> bool:
        """Whether another wider product holds this one. They are kept by port: what is of a single port can hold only what
        is of the same one, so that few of them have to be looked at."""
        port = sides[DPORT]
        if any(wide != sides and _inside(sides, wide) for wide in self.single.get(port, ())):
            return True
        for other, group in self.wider.items():
            near = other is None or (port is not None and _inside_side(port, other))
            if near and any(wide != sides and _inside(sides, wide) for wide in group):
                return True
        return False

    def result(self) -> list[tuple[Box, Any]]:
        """[(product, item)]"""
        return [(wide, item) for wide, item in self.found.items() if not self.swallowed(wide)]


def _is_single(intervals: Optional[Intervals]) -> bool:
    """Whether a field has one value only."""
    return intervals is not None and len(intervals) == 1 and intervals[0][0] == intervals[0][1]


def _inside(small: Box, wide: Box) -> bool:
    return all(b is None or (a is not None and _inside_side(a, b)) for a, b in zip(small, wide))


def _inside_side(small: Intervals, wide: Intervals) -> bool:
    low, high = small[0][0], small[-1][1]
    if low < wide[0][0] or high > wide[-1][1]:
        return False
    return len(wide) == 1 or intersection(small, wide) == small


def _compared(old: Cells, new: Cells) -> Diagram:
    """Two diagrams laid over each other. A leaf: (SAME, answer), (BEYOND,) or (kind of change, outcome, outcome)."""
    diagram = Diagram(old.order, old.universe, old.budget)
    done: dict[tuple[int, int], int] = {}

    def walk(a: int, b: int) -> int:
        number = done.get((a, b))
        if number is None:
            number = done[a, b] = both(old.nodes[a], new.nodes[b], a, b)
        return number

    def both(one: Node, other: Node, a: int, b: int) -> int:
        depth = min(one[0], other[0])
        if depth == Diagram.LEAF:
            return diagram.leaf(_changed(one[1], other[1]))
        if one[0] != depth:
            return segments(depth, other[1], [walk(a, kid) for kid in other[2]])
        if other[0] != depth:
            return segments(depth, one[1], [walk(kid, b) for kid in one[2]])
        highs: list[int] = []
        kids: list[int] = []
        i = j = 0
        while i < len(one[1]):
            high = min(one[1][i], other[1][j])
            highs.append(high)
            kids.append(walk(one[2][i], other[2][j]))
            i, j = i + (one[1][i] == high), j + (other[1][j] == high)
        return segments(depth, highs, kids)

    def segments(depth: int, highs: Sequence[int], kids: Sequence[int]) -> int:
        diagram.budget.spend(len(highs))
        return diagram.make(depth, highs, kids)

    diagram.root = walk(old.root, new.root)
    return diagram


def _changed(was: Outcome, becomes: Outcome) -> tuple[Any, ...]:
    before, after = was[0], becomes[0]
    if before is None or after is None:
        return (BEYOND,)
    if before == after:
        return (SAME, after) if was[2] == becomes[2] else ("unclear", was, becomes)
    return ("opened" if RANK[after] > RANK[before] else "closed", was, becomes)


def _interfaces(programs: Sequence[Program]) -> list[int]:
    """The names that the rules name, and two more."""
    names = {interface_range(name)[0]: True for name in ("eth0", "eth1")}
    for program in programs:
        for field in (IIF, OIF):
            for intervals in program.sets[field]:
                names.update((first, True) for first, last in intervals or () if first == last and first)
    return list(names)


def _witness(sides: Box, program: Program, known: Sequence[int]) -> Packet:
    """One packet of a product: where there is a choice, one that is easy to send."""
    family, universe = program.family, program.universe
    icmp = ICMP[family]
    proto = _pick(sides[PROTO], universe[PROTO], (6, 17, icmp, 50, 47, 112))
    value = [0] * len(FIELDS)
    value[PROTO] = proto
    for field in (IIF, OIF):
        value[field] = _pick_interface(sides[field], universe[field], known)
    base = documentation_address(family)
    value[SRC] = _pick_address(sides[SRC], base + 1)
    value[DST] = _pick_address(sides[DST], base + 2)
    if proto in WITH_PORTS:
        value[SPORT] = _pick(sides[SPORT], universe[SPORT], (40000,))
        value[DPORT] = _pick(sides[DPORT], universe[DPORT], (9,))
    elif proto == icmp:
        value[DPORT] = _pick(sides[DPORT], universe[DPORT], (128 * 256 if family == 6 else 8 * 256,))
    value[ODST] = _pick_address(sides[ODST], value[DST])
    value[OPORT] = _pick(sides[OPORT], universe[OPORT], (value[DPORT],)) if proto in WITH_PORTS else 0
    return Packet(*value)


def documentation_address(family: int) -> int:
    """The first address of the networks for documentation (RFC 5737, RFC 3849)."""
    return 0xC0000200 if family == 4 else 0x20010DB8 << 96


def _pick(intervals: Optional[Intervals], universe: Optional[Interval], preferred: Sequence[int]) -> int:
    intervals = intervals or ((universe,) if universe else ())
    for value in preferred:
        if any(low <= value <= high for low, high in intervals):
            return value
    return intervals[0][0]


def _pick_address(intervals: Optional[Intervals], preferred: int) -> int:
    if intervals is None:
        return preferred
    low, high = intervals[0]
    return _pick(intervals, None, (preferred, low + 1 if low < high else low))


def _pick_interface(intervals: Optional[Intervals], universe: Interval, known: Sequence[int]) -> int:
    """A name within the intervals; of the names between two others, one that a person could have given."""
    if universe == (0, 0):
        return 0
    intervals = intervals or (universe,)
    for value in known:
        if any(low <= value <= high for low, high in intervals):
            return value
    for low, high in intervals:
        stem = interface_name(low) if low > 1 else ""
        for name in (stem + "0", stem[:-1] + "0", stem):
            value = interface_range(name)[0] if 0 < len(name.encode()) <= NAME_BYTES else 0
            if low <= value <= high:
                return value
    return intervals[0][0]
