# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a ruleset accepts, and what a change of it opens and closes: exact sets of packets, each with a witness.

accepted(ruleset, question) == accepted(other, question)      the two answer every packet alike
difference(before, after, question).opened                    [Change]: packets, a witness, the rules that decide it
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import (
    DPORT,
    DST,
    FIELDS,
    IIF,
    NAME_BYTES,
    ODST,
    OIF,
    OPORT,
    PROTO,
    SPORT,
    SRC,
    interface_range,
    merged,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packets import (
    ALLOWED,
    DENIED,
    ICMP,
    UNKNOWN,
    WITH_PORTS,
    Packet,
    PacketSet,
    interface_name,
    intersection,
    unfold,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.sweep import (
    MAXIMUM_SEGMENTS,
    SERVICES_FIRST,
    Cells,
    Diagram,
    best_order,
)

# How much a verdict lets through.
RANK = {DENIED: 0, UNKNOWN: 1, ALLOWED: 2}
SAME, BEYOND = "same", "outside the question"
# Fields with few enough intervals to try each of them, where `any` is too much.
FEW = 64


class Accepted:
    """What a ruleset answers to every packet of a question: equal, and of one hash, where the answers are."""

    def __init__(self, family, diagram):
        self.family, self.diagram, self.digest = family, diagram, diagram.digest()

    def __eq__(self, other):
        return isinstance(other, Accepted) and (self.family, self.digest) == (other.family, other.digest)

    def __hash__(self):
        return hash((self.family, self.digest))

    def answer(self, one):
        """allowed, denied or unknown; None for a packet that the question excludes."""
        return self.diagram.lookup(one)[0]

    def sets(self, answer=ALLOWED):
        """The packets of one answer as PacketSets, which may overlap."""
        leaves, beyond = set(), set()
        for number, (value, _rest) in self.diagram.leaves():
            leaves.update([number] if value == answer else ())
            beyond.update([number] if value is None else ())
        anything = (None,) * len(FIELDS)
        found = _Widened(self.diagram, beyond)
        for _leaf, part in _largest_first(self.diagram.products(leaves), self.diagram.universe):
            found.add(part, anything, leaves | beyond, None)
        return [PacketSet(self.family, wide) for wide, _item in found.result()]


def accepted(ruleset, question, order=SERVICES_FIRST, maximum=MAXIMUM_SEGMENTS):
    """What the ruleset does with every packet of the question, as Accepted. Only those of one order compare equal."""
    program = unfold(ruleset, question)
    cells = Cells(program, order, maximum)
    diagram = Diagram(order, program.universe, maximum)
    done = {}

    def walk(number):
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

    def __init__(self, packets, example):
        """example() -> (witness, before, after), worked out for those that are looked at: there may be thousands."""
        self.packets, self._example = packets, example

    @cached_property
    def _shown(self):
        return self._example()

    witness = property(lambda self: self._shown[0])
    before = property(lambda self: self._shown[1])
    after = property(lambda self: self._shown[2])

    def text(self):
        return "%s: %s -> %s" % (self.packets.text(), self.before.answer, self.after.answer)


class Difference(NamedTuple):
    """Changes. opened: more may pass than before; closed: less; unclear: unknown before and after, on other terms."""

    opened: tuple
    closed: tuple
    unclear: tuple

    def __bool__(self):
        return bool(self.opened or self.closed or self.unclear)


def difference(before, after, question, maximum=MAXIMUM_SEGMENTS):
    """What a change of the ruleset opens and closes. Exact: a packet of the question in no Change fares as before."""
    if before.family != after.family:
        raise ValueError(
            "the rulesets to compare: got IPv%d and IPv%d, expected one family" % (before.family, after.family)
        )
    programs = [unfold(ruleset, question) for ruleset in (before, after)]
    order = best_order(programs)
    old, new = (Cells(program, order, maximum) for program in programs)
    diagram = _compared(old, new, maximum)
    known, causes = _interfaces(programs), _Causes(programs)
    alike = {}
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

    def example(leaf, part):
        outcomes = diagram.nodes[leaf][1][1:]
        verdicts = (program.verdict(outcome) for program, outcome in zip(programs, outcomes))
        return (_witness(part, programs[0], known), *verdicts)

    def changes(kind):
        for wide, place in found[kind].result():
            yield Change(PacketSet(before.family, wide), partial(example, *place))

    return Difference(*(tuple(changes(kind)) for kind in Difference._fields))


def _largest_first(products, universe):
    """Large sets are the likelier to swallow others, and their first packet is a usual one."""

    def size(item):
        share = 1.0
        for intervals, (first, last) in zip(item[1], universe):
            if intervals is not None:
                share *= sum(high - low + 1 for low, high in intervals) / (last - first + 1)
        return -share

    return sorted(products, key=size)


def _kind(value):
    """What makes two leaves alike for people: which way, from which answer, to which."""
    return (value[0], value[1][0], value[2][0]) if len(value) == 3 else value


class _Causes:
    """The rules that only one of the two rulesets has: a change is told in their terms."""

    def __init__(self, programs):
        self.programs = programs
        texts = [{_place(rule) for path in program.path for rule in path} for program in programs]
        self.fresh = [texts[0] - texts[1], texts[1] - texts[0]]

    def box(self, kind, *outcomes):
        """The set that a change is told in, which holds its packets: that of the rule that lets them in, if only that one is
        new (or gone, for what is closed); else what the two deciding rules have in common."""
        boxes, fresh = {}, set()
        for side, program in enumerate(self.programs):
            i = outcomes[side][1][0]
            if i >= 0:
                boxes[side] = [values[i] for values in program.sets]
                if any(_place(rule) in self.fresh[side] for rule in program.path[i]):
                    fresh.add(side)
        lets_in = {"opened": 1, "closed": 0}.get(kind)
        if fresh == {lets_in}:
            return boxes[lets_in]
        box = [None] * len(FIELDS)
        for other in boxes.values():
            box = [intersection(a, b) for a, b in zip(box, other)]
        return box


def _place(rule):
    return rule.table, rule.chain, rule.text


class _Widened:
    """Products of packets, made wider for people, without those that lie in another's wider one."""

    def __init__(self, diagram, beyond):
        self.diagram, self.beyond, self.found = diagram, beyond, {}
        self.single, self.wider = {}, {}
        self.cuts = {}
        # Ports before the protocol, which is not widened to ones without ports while a port is named.
        self.fields = [field for field in diagram.order if field != PROTO] + [PROTO]

    def add(self, part, limit, wanted, item):
        """limit: the sides that the product may grow to. wanted: the leaves it may grow over."""
        if self.swallowed(part):
            return
        wide = list(part)
        for field in self.fields:
            if wide[field] is not None and wide[field] != limit[field]:
                wide[field] = self.grown(wide, field, limit[field], wanted)
        wide = tuple(wide)
        if wide != part:
            groups = self.single if _is_single(wide[DPORT]) else self.wider
            groups.setdefault(wide[DPORT], []).append(wide)
        self.found.setdefault(wide, item)

    def grown(self, sides, field, limit, wanted):
        trial, root, holds = list(sides), self.diagram.root, self.diagram.holds
        ports = field == PROTO and any(sides[port] is not None for port in (SPORT, DPORT, OPORT))
        trial[field] = limit
        if not ports and holds(root, trial, wanted):
            return limit
        if field not in (IIF, OIF, PROTO):
            return sides[field]
        out = list(sides[field])
        atoms = self.atoms(field)
        for atom in atoms if len(atoms) <= FEW else ():
            if ports and not (atom[0] == atom[1] and atom[0] in WITH_PORTS):
                continue
            trial[field] = intersection((atom,), limit)
            if trial[field] and not holds(root, trial, self.beyond) and holds(root, trial, wanted):
                out.extend(trial[field])
        return merged(out)

    def atoms(self, field):
        """The intervals that the diagram tells apart in a field."""
        if field not in self.cuts:
            depth = self.diagram.order.index(field)
            highs = {high for node in self.diagram.nodes if node[0] == depth for high in node[1]}
            low, cuts = self.diagram.universe[field][0], []
            for high in sorted(highs):
                cuts.append((low, high))
                low = high + 1
            self.cuts[field] = cuts
        return self.cuts[field]

    def swallowed(self, sides):
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

    def result(self):
        """[(product, item)]"""
        return [(wide, item) for wide, item in self.found.items() if not self.swallowed(wide)]


def _is_single(intervals):
    """Whether a field has one value only."""
    return intervals is not None and len(intervals) == 1 and intervals[0][0] == intervals[0][1]


def _inside(small, wide):
    return all(b is None or (a is not None and _inside_side(a, b)) for a, b in zip(small, wide))


def _inside_side(small, wide):
    low, high = small[0][0], small[-1][1]
    if low < wide[0][0] or high > wide[-1][1]:
        return False
    return len(wide) == 1 or intersection(small, wide) == small


def _compared(old, new, maximum):
    """Two diagrams laid over each other. A leaf: (SAME, answer), (BEYOND,) or (kind of change, outcome, outcome)."""
    diagram = Diagram(old.order, old.universe, maximum)
    done = {}

    def walk(a, b):
        number = done.get((a, b))
        if number is None:
            number = done[a, b] = both(old.nodes[a], new.nodes[b], a, b)
        return number

    def both(one, other, a, b):
        depth = min(one[0], other[0])
        if depth == Diagram.LEAF:
            return diagram.leaf(_changed(one[1], other[1]))
        if one[0] != depth:
            return segments(depth, other[1], [walk(a, kid) for kid in other[2]])
        if other[0] != depth:
            return segments(depth, one[1], [walk(kid, b) for kid in one[2]])
        highs, kids, i, j = [], [], 0, 0
        while i < len(one[1]):
            high = min(one[1][i], other[1][j])
            highs.append(high)
            kids.append(walk(one[2][i], other[2][j]))
            i, j = i + (one[1][i] == high), j + (other[1][j] == high)
        return segments(depth, highs, kids)

    def segments(depth, highs, kids):
        diagram.spend(len(highs))
        return diagram.make(depth, highs, kids)

    diagram.root = walk(old.root, new.root)
    return diagram


def _changed(was, becomes):
    before, after = was[0], becomes[0]
    if before is None or after is None:
        return (BEYOND,)
    if before == after:
        return (SAME, after) if was[2] == becomes[2] else ("unclear", was, becomes)
    return ("opened" if RANK[after] > RANK[before] else "closed", was, becomes)


def _interfaces(programs):
    """The names that the rules name, and two more."""
    names = {interface_range(name)[0]: True for name in ("eth0", "eth1")}
    for program in programs:
        for field in (IIF, OIF):
            for intervals in program.sets[field]:
                names.update((first, True) for first, last in intervals or () if first == last and first)
    return list(names)


def _witness(sides, program, known):
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


def documentation_address(family):
    """The first address of the networks for documentation (RFC 5737, RFC 3849)."""
    return 0xC0000200 if family == 4 else 0x20010DB8 << 96


def _pick(intervals, universe, preferred):
    intervals = intervals or (universe,)
    for value in preferred:
        if any(low <= value <= high for low, high in intervals):
            return value
    return intervals[0][0]


def _pick_address(intervals, preferred):
    if intervals is None:
        return preferred
    low, high = intervals[0]
    return _pick(intervals, None, (preferred, low + 1 if low < high else low))


def _pick_interface(intervals, universe, known):
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
