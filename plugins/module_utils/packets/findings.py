# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the rules of a ruleset do to each other: which never matter, which are not needed, whose order matters.

    findings = examine(parse(save, 4), Question("INPUT", addresses=EVERY), Budget(400000, 2.0))
    findings.dead         (Dead(rule, covered_by), ...)
    findings.redundant    (rule, ...)
    findings.conflicting  (Conflict(rule, later), ...)

`dead_rules` answers the first part alone, in about half the time. A rule is an iptables.Rule: its table, chain, number
and text say which line it is. TooComplex where the budget is spent; there is no partial answer.

Everything holds under any value of what is not modelled: a rule behind one that matches only at times (limit, recent, a
set) is not dead because of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Rule, Ruleset
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import (
    ALLOWED,
    DENIED,
    OUTSIDE,
    SKIP,
    UNKNOWN,
    Budget,
    Program,
    Question,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.sweep import Cells, Order, best_order
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import unfold


class Dead(NamedTuple):
    """A rule whose removal changes no answer, since no packet that it matches comes to it, and the rules that take them
    all, in their order."""

    rule: Rule
    covered_by: tuple[Rule, ...]


class Conflict(NamedTuple):
    """A rule and a later one that overlap with different answers, so that their order matters."""

    rule: Rule
    later: Rule


class Findings(NamedTuple):
    """What the rules of a hook do to each other, each in the order of the rules.

    dead         rules that decide about no packet
    redundant    rules that decide, but could be removed, one at a time, and no answer would change
    conflicting  pairs whose order matters
    """

    dead: tuple[Dead, ...]
    redundant: tuple[Rule, ...]
    conflicting: tuple[Conflict, ...]


def dead_rules(ruleset: Ruleset, question: Question, budget: Optional[Budget] = None) -> tuple[Dead, ...]:
    """Rules that matter to no packet of the question. A rule that no packet of the question matches is not listed."""
    program = unfold(ruleset, question, whole=True, budget=budget)
    order = best_order([program])
    living = _Living(program, order).rules
    dead = _dead_instances(program, living)
    return _dead(program, living, _Blockers(program, order, dead).blockers if dead else {})


def examine(ruleset: Ruleset, question: Question, budget: Optional[Budget] = None) -> Findings:
    """Findings about the rules' effect on each other."""
    program = unfold(ruleset, question, whole=True, budget=budget)
    order = best_order([program])
    living = _Living(program, order).rules
    overlaps = _Overlaps(program, order, _dead_instances(program, living))
    paths = program.path
    candidates: dict[Rule, bool] = {}
    needed: set[Rule] = set()
    conflicts: dict[Conflict, bool] = {}
    for i, answer, other, instead in sorted(overlaps.pairs):
        rule = paths[i][-1]
        candidates[rule] = True
        if answer != instead or answer == UNKNOWN:
            needed.add(rule)
        if {answer, instead} == {ALLOWED, DENIED} and other >= 0:
            conflicts[Conflict(rule, paths[other][-1])] = True
    redundant = tuple(rule for rule in candidates if rule not in needed)
    return Findings(_dead(program, living, overlaps.blockers), redundant, tuple(conflicts))


class _Living(Cells):
    """The rules that matter somewhere: those that may decide, in any of their copies, and the jumps that led to them; and
    those that lead past a rule that would have decided otherwise."""

    def __init__(self, program: Program, order: Order) -> None:
        self.rules: set[Rule] = set()
        self.counted: set[int] = set()  # leaves whose rules are in
        #: {skip: its rules that are not known to matter}.
        self.doubtful = {i: rules for i in range(len(program)) for rules in [_leading_past(program, i)] if rules}
        super().__init__(program, order)

    def decided(self, active: Sequence[int]) -> int:
        number = super().decided(active)
        if number not in self.counted:
            self.counted.add(number)
            for i in self.nodes[number][1][1]:
                if i >= 0:
                    self.rules.update(self.program.path[i])
        if self.doubtful and not self.doubtful.keys().isdisjoint(active):
            self.passed(active)
        return number

    def passed(self, active: Sequence[int]) -> None:
        """Keep the rules by which packets pass over what would have decided otherwise."""
        program = self.program
        for i in [i for i in active if i in self.doubtful]:
            self.doubtful[i] = [rule for rule in self.doubtful[i] if rule not in self.rules]
            if not self.doubtful[i]:
                del self.doubtful[i]
        if self.doubtful.keys().isdisjoint(active):
            return
        answer, _deciding, trace = program.outcome(active)
        for i in program.reached(active):
            if i in self.doubtful and any(i < j < program.target[i] for j in active):
                for rule in self.doubtful[i]:
                    if rule not in self.rules:
                        self.budget.check()
                        rest = [j for j in active if rule not in program.path[j]]
                        instead, _deciding, other = program.outcome(rest)
                        if (instead, other) != (answer, trace):
                            self.rules.add(rule)


def _leading_past(program: Program, i: int) -> list[Rule]:
    """The rules on a skip's path by which packets may get past another rule: not a jump that led to all that is skipped as
    well, which would be gone with it."""
    if program.action[i] != SKIP:
        return []
    path = program.path[i]
    if program.condition[i] is not None:
        return list(path)
    last = program.path[program.target[i] - 1]
    return [rule for depth, rule in enumerate(path, 1) if path[:depth] != last[:depth]]


class _Blockers(Cells):
    """What stops the `dead` instances. blockers: {dead instance: the instances before it that leave it nothing}."""

    spare = 1

    def __init__(self, program: Program, order: Order, dead: Sequence[int] = ()) -> None:
        self.blockers: dict[int, set[int]] = {i: set() for i in dead}
        super().__init__(program, order)

    def dropped(self, closer: int, here: list[int], k: int) -> None:
        if self.blockers:
            for i in here[k:]:
                if i in self.blockers:
                    self.blockers[i].add(closer)

    def decided(self, active: Sequence[int]) -> int:
        number = super().decided(active)
        if self.blockers and self.nodes[number][1][0] is not None:
            for i in active:
                if i in self.blockers:
                    self.blockers[i].add(self.blocker(i, active))
        return number

    def blocker(self, i: int, active: Sequence[int]) -> int:
        """The first instance after which no packet of the segment can reach instance i."""
        waiting = [0]
        for j in active:
            if j < i and any(at <= j for at in waiting):
                if self.program.condition[j] is None:
                    waiting = [at for at in waiting if at > j]
                if self.program.action[j] == SKIP:
                    waiting.append(self.program.target[j])
                if not any(at <= i for at in waiting):
                    return j
        return -1


class _Overlaps(_Blockers):
    """Cells that note each segment's decision without the rule that decides it as well.

    pairs: (deciding instance, answer, the instance that would decide without its rule, its answer).
    """

    def __init__(self, program: Program, order: Order, dead: Sequence[int] = ()) -> None:
        self.pairs: set[tuple[int, str, int, str]] = set()
        super().__init__(program, order, dead)

    def decided(self, active: Sequence[int]) -> int:
        number = super().decided(active)
        answer, deciding, _trace = self.nodes[number][1]
        if answer is not None:
            for i in deciding:
                if i >= 0:
                    self.budget.check()
                    self.pairs.add((i, answer, *self.without(i, active)))
        return number

    def without(self, i: int, active: Sequence[int]) -> tuple[int, str]:
        """Who decides, and how, if the rule of instance i were not there."""
        paths = self.program.path
        rule = paths[i][-1]
        rest = [j for j in active if paths[j][-1] is not rule]
        answer, deciding, _trace = self.program.outcome(rest)
        return (deciding[0] if deciding else -1, answer or UNKNOWN)


def _dead_instances(program: Program, living: set[Rule]) -> list[int]:
    """Instances with a verdict that some rule on their path never gets to give."""
    dead = [i for i, path in enumerate(program.path) if any(rule not in living for rule in path)]
    dead = [i for i in dead if program.action[i] not in (SKIP, OUTSIDE)]
    return [i for i in dead if not program.beyond([values[i] for values in program.sets])]


def _dead(program: Program, living: set[Rule], blockers: dict[int, set[int]]) -> tuple[Dead, ...]:
    """What keeps each rule that does not live from its packets, in the order of the rules."""
    found: dict[Rule, dict[Rule, bool]] = {}
    for i, by in sorted(blockers.items()):
        for rule in program.path[i]:
            if rule not in living:
                paths = [program.path[j] for j in sorted(by) if j >= 0 and program.action[j] != OUTSIDE]
                found.setdefault(rule, {}).update((path[-1], True) for path in paths)
    return tuple(Dead(rule, tuple(by)) for rule, by in found.items() if by)
