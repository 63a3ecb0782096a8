# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's rules do to a whole set of packets: the filter of a hook, and the chains of its nat table, as diagrams that a
set is laid over. Each is made once for each distinct ruleset.

A mark that is matched, but set for packets of some interfaces alone (Tailscale's), is matched by no others.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple, Optional, TypeGuard

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
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
    merged,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Chain, Rule, Ruleset
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.matches import Type, Unmodelled, Within
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import Packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import (
    ALLOWED,
    DENIED,
    EVERY,
    Budget,
    Outcome,
    Program,
    Question,
    TooComplex,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.sweep import (
    SERVICES_FIRST,
    Cells,
    Diagram,
    Order,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import unfold
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import VERDICTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.nat import Unsure, changed, of_answers

#: Addresses first: what is asked is what may go between two groups of hosts.
ENDS_FIRST: Order = (IIF, OIF, SRC, DST, ODST, PROTO, DPORT, OPORT, SPORT)
#: How much work one diagram may be, in segments and seconds of the processor, before another order is tried, and after that the
#: answer is unknown.
SEGMENTS, SECONDS = 600000, 10.0
_NAT_TARGETS = frozenset(("DNAT", "REDIRECT", "SNAT", "MASQUERADE", "NETMAP", "TPROXY", "CLUSTERIP"))
_SETS_MARKS = frozenset(("MARK", "CONNMARK", "HMARK"))


class Decided(NamedTuple):
    """answer: allowed, denied, or None for what is not certain, by `why`. limited: only so many packets of it pass."""

    answer: Optional[str]
    why: str = ""
    limited: bool = False


#: Outside of the question: never asked of what the proof sends.
BEYOND = Decided(None, "the packet is outside of what the engine models")


class Rewrite(NamedTuple):
    """What a nat chain does: the rule that decides, None for none; doubt: why that is not certain."""

    rule: Optional[Rule]
    doubt: str = ""


def laid_over(diagram: Diagram, sides: Sequence[Optional[Intervals]]) -> Iterator[tuple[Any, Box]]:
    """A set of packets, cut to disjoint products of one leaf each: (the leaf's value, product)."""
    current = list(sides)

    def walk(number: int) -> Iterator[tuple[Any, Box]]:
        depth, highs, kids = diagram.nodes[number]
        if depth == Diagram.LEAF:
            yield highs, tuple(current)
            return
        field = diagram.order[depth]
        before = current[field]
        groups: dict[int, list[Interval]] = {}
        for low, high in before if before is not None else (diagram.universe[field],):
            for k in range(bisect_left(highs, low), len(highs)):
                end = highs[k]
                groups.setdefault(kids[k], []).append((low, min(end, high)))
                low = end + 1
                if low > high:
                    break
        for kid, intervals in groups.items():
            current[field] = merged(intervals) if len(groups) > 1 or before is not None else None
            yield from walk(kid)
        current[field] = before

    return walk(diagram.root)


class Hooks:
    """The diagrams of a run, each made once."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._known: dict[Hashable, Diagram] = {}
        self._settled: dict[int, Ruleset] = {}
        self._asking: dict[int, bool] = {}
        self._kept: list[Ruleset] = []  # so that no other object gets the id of one that is known

    def filter(
        self, ruleset: Ruleset, hook: str, addresses: tuple[str, ...], moved: bool = False, state: str = "NEW"
    ) -> Diagram:
        """Leaves are Decided. moved: whether the host's own nat table has changed where the packets go to."""
        ruleset = self.settled(ruleset)
        own = addresses if self._asking[id(ruleset)] else EVERY
        key = (id(ruleset), hook, own, moved, state)
        if key not in self._known:
            question = Question(hook, state, own, moved)
            if state != "NEW":
                question = of_answers(ruleset, hook, own, moved)
            self._known[key] = self._made(ruleset, question, _decided)
        return self._known[key]

    def nat(self, ruleset: Ruleset, chain: str, addresses: tuple[str, ...], moved: bool) -> Optional[Diagram]:
        """Leaves are Rewrite; None where the table has no such chain, or no rule in it."""
        chains = ruleset.tables.get("nat", {})
        if chain not in chains or not chains[chain].rules:
            return None
        ruleset = self.settled(ruleset)
        key = (id(ruleset), chain, addresses, moved)
        if key not in self._known:
            question = Question("FORWARD", "NEW", addresses, moved)
            self._known[key] = self._made(as_filter(ruleset, chain), question, _rewrite)
        return self._known[key]

    def settled(self, ruleset: Ruleset) -> Ruleset:
        found = self._settled.get(id(ruleset))
        if found is None:
            found = self._settled[id(ruleset)] = with_marks(ruleset)
            self._settled[id(found)] = found
            self._asking[id(found)] = asks_types(found)
            self._kept += [ruleset, found]
        return found

    def _made(self, ruleset: Ruleset, question: Question, leaf: Callable[[Program, Outcome], Hashable]) -> Diagram:
        reason = ""
        for order in (ENDS_FIRST, SERVICES_FIRST):
            budget = Budget(SEGMENTS, self.seconds, clock=time.process_time)
            try:
                program = unfold(ruleset, question, budget=budget)
                return _translated(Cells(program, order), leaf)
            except TooComplex as error:
                reason = str(error)
        program = Program(ruleset, question, Budget())
        diagram = Diagram(ENDS_FIRST, program.universe, program.budget)
        diagram.root = diagram.leaf(Rewrite(None, reason) if leaf is _rewrite else Decided(None, reason))
        return diagram


def _translated(cells: Cells, leaf: Callable[[Program, Outcome], Hashable]) -> Diagram:
    """The diagram with other leaves."""
    diagram = Diagram(cells.order, cells.universe, cells.budget)
    done: dict[int, int] = {}

    def walk(number: int) -> int:
        if number not in done:
            depth, highs, kids = cells.nodes[number]
            if depth == Diagram.LEAF:
                done[number] = diagram.leaf(leaf(cells.program, highs))
            else:
                done[number] = diagram.make(depth, highs, [walk(kid) for kid in kids])
        return done[number]

    diagram.root = walk(cells.root)
    return diagram


def _decided(program: Program, outcome: Outcome) -> Decided:
    answer, _deciding, trace = outcome
    if answer is None:
        return BEYOND
    if answer in (ALLOWED, DENIED):
        return Decided(answer)
    conditions = list(dict.fromkeys(condition for condition, _action in trace if condition is not None))
    if all(condition.rate for condition in conditions):
        return Decided(ALLOWED, limited=True)
    return Decided(None, "it depends on " + "; ".join(condition.text for condition in conditions))


# -- nat -------------------------------------------------------------------------------------------------------------


def as_filter(ruleset: Ruleset, start: str) -> Ruleset:
    """The nat table as if it were the filter's FORWARD: what would change the packet, or end the table, accepts it."""
    chains = {}
    for name, chain in ruleset.tables["nat"].items():
        copy = Chain("FORWARD" if name == start else f"nat {name}", "ACCEPT" if name == start else None)
        copy.rules = [_accepting(rule, ruleset) for rule in chain.rules]
        chains[copy.name] = copy
    return Ruleset(ruleset.family, {"filter": chains}, ruleset.unseen)


class _Kept(Rule):
    """A rule in the place of another one."""

    __slots__ = ("original",)
    original: Rule


def _accepting(rule: Rule, ruleset: Ruleset) -> Rule:
    target = rule.target
    if target in ruleset.tables["nat"] and target not in VERDICTS:
        target = f"nat {target}"
    elif target in _NAT_TARGETS:
        target = "ACCEPT"
    copy = _Kept(rule.table, rule.chain, rule.number, rule.text, rule.matches, target, rule.goto, rule.options)
    copy.original = rule
    return copy


def _rewrite(program: Program, outcome: Outcome) -> Rewrite:
    answer, deciding, trace = outcome
    if answer is None:
        return Rewrite(None, BEYOND.why)
    rules = list(dict.fromkeys(_original(program, i) for i in deciding))
    if answer == ALLOWED and len(rules) == 1:
        return Rewrite(rules[0])
    if answer == DENIED and not trace:
        return Rewrite(None)  # the filter's question meets it as well, and stops it
    conditions = dict.fromkeys(condition.text for condition, _action in trace if condition is not None)
    texts = "; ".join(conditions) or " or ".join(rule.text for rule in rules if rule is not None)
    return Rewrite(None, f"the translation depends on {texts}")


def _original(program: Program, i: int) -> Optional[Rule]:
    if i < 0:
        return None
    rule = program.path[i][-1]
    original: Rule = getattr(rule, "original", rule)
    return None if original.target in ("ACCEPT", "RETURN") else original


#: Values that no packet has, so that what a rule changes is seen.
_BLANK = Packet(0, 0, 0, -1, -1, 0, -1, 0, 0)


class Change(NamedTuple):
    """The fields that a nat rule sets; None: as they were."""

    src: Optional[int] = None
    dst: Optional[int] = None
    dport: Optional[int] = None
    doubt: str = ""


def change_of(rule: Rule, family: int, own: str) -> Change:
    """What a rule of the nat table makes of a packet. own: the address that REDIRECT and MASQUERADE take."""
    try:
        found = changed(rule, _BLANK, family, own)
    except (Unsure, ValueError) as error:
        return Change(doubt=str(error))
    src, dst, dport = (None if value == -1 else value for value in (found.src, found.dst, found.dport))
    return Change(src, dst, dport)


# -- marks, types ----------------------------------------------------------------------------------------------------


def asks_types(ruleset: Ruleset) -> bool:
    """Whether a rule asks what kind of address one is, so that the host's own addresses matter to it."""
    return any(isinstance(match, Type) for match in _matches(ruleset))


def asks_source_types(ruleset: Ruleset) -> bool:
    """Whether a rule asks whether the sender's address is the host's own."""
    return any(isinstance(match, Type) and match.field == SRC for match in _matches(ruleset))


def translates(ruleset: Ruleset) -> bool:
    """Whether the nat table can change a packet."""
    chains = ruleset.tables.get("nat", {}).values()
    return any(rule.target in _NAT_TARGETS for chain in chains for rule in chain.rules)


def _matches(ruleset: Ruleset) -> Iterator[Any]:
    for chains in ruleset.tables.values():
        for chain in chains.values():
            for rule in chain.rules:
                yield from rule.matches


def with_marks(ruleset: Ruleset) -> Ruleset:
    """The ruleset in which a mark is matched only by packets of the interfaces for which one is set."""
    asking = [match for match in _matches(ruleset) if _is_mark(match)]
    if not asking:
        return ruleset
    setting = _marking(ruleset)
    if setting is None:
        return ruleset
    tables: dict[str, dict[str, Chain]] = {}
    for name, chains in ruleset.tables.items():
        tables[name] = {}
        for chain in chains.values():
            copy = Chain(chain.name, chain.policy)
            copy.rules = [_marked(rule, setting) for rule in chain.rules]
            tables[name][chain.name] = copy
    return Ruleset(ruleset.family, tables, ruleset.unseen)


def _marking(ruleset: Ruleset) -> Optional[Intervals]:
    """The interfaces whose packets may be marked; None where any packet may."""
    found: list[Interval] = []
    for chains in ruleset.tables.values():
        for chain in chains.values():
            for rule in chain.rules:
                if rule.target in _SETS_MARKS:
                    sides = [one.intervals for one in rule.matches if isinstance(one, Within) and one.field == IIF]
                    if not sides:
                        return None
                    found += sides[0]
    return merged(found)


def _is_mark(match: Any) -> TypeGuard[Unmodelled]:
    return isinstance(match, Unmodelled) and match.label.split(" ")[0] in ("mark", "connmark")


def _marked(rule: Rule, setting: Intervals) -> Rule:
    """A rule that matches a mark other than 0, for the packets that may have one."""
    marks = [match for match in rule.matches if _is_mark(match)]
    if not marks or not all(_is_set(match.label) for match in marks):
        return rule
    return Rule(
        rule.table,
        rule.chain,
        rule.number,
        rule.text,
        (*rule.matches, Within(IIF, setting)),
        rule.target,
        rule.goto,
        rule.options,
    )


def _is_set(label: str) -> bool:
    """Whether a packet without a mark does not match."""
    words = label.split()
    if "!" in words or "not" in words or "--mark" not in words:
        return False
    value, _slash, mask = words[words.index("--mark") + 1].partition("/")
    try:
        return int(value, 0) & (int(mask, 0) if mask else 0xFFFFFFFF) != 0
    except ValueError:
        return False
