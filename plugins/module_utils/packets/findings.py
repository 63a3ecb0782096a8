# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the rules of a ruleset do to each other: which never decide, which nobody would miss, whose order matters."""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packets import (
    ALLOWED,
    DENIED,
    OUTSIDE,
    SKIP,
    UNKNOWN,
    unfold,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.sweep import MAXIMUM_SEGMENTS, Cells, best_order


class Overlaps(Cells):
    """Cells that note each segment's decision without the rule that decides it, and what stops the `dead` instances.

    pairs: (deciding instance, answer, the instance that would decide without its rule, its answer).
    blockers: {dead instance: the instances before it that leave it nothing}.
    """

    spare = 1

    def __init__(self, program, order, dead=(), maximum=MAXIMUM_SEGMENTS):
        self.pairs, self.blockers = set(), {i: set() for i in dead}
        super().__init__(program, order, maximum)

    def dropped(self, closer, here, k):
        if self.blockers:
            for i in here[k:]:
                if i in self.blockers:
                    self.blockers[i].add(closer)

    def decided(self, active):
        number = super().decided(active)
        answer, deciding, _trace = self.nodes[number][1]
        if answer is None:
            return number
        for i in deciding:
            if i >= 0:
                self.pairs.add((i, answer) + self.without(i, active))
        if self.blockers:
            for i in active:
                if i in self.blockers:
                    self.blockers[i].add(self.blocker(i, active))
        return number

    def without(self, i, active):
        """The decision, and who makes it, if the rule of instance i were not there."""
        paths = self.program.path
        rule = paths[i][-1]
        answer, deciding, _trace = self.program.outcome([j for j in active if paths[j][-1] is not rule])
        return (deciding[0] if deciding else -1, answer)

    def blocker(self, i, active):
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


class Dead(NamedTuple):
    """A rule that never decides anything, and the rules that leave it nothing, in their order."""

    rule: object
    covered_by: tuple


class Findings(NamedTuple):
    """What the rules of a chain do to each other.

    dead         each rule that never decides, as Dead
    redundant    rules that could be removed, one at a time, and nothing would change
    conflicting  (rule, later rule) that overlap with different answers, so that their order matters
    """

    dead: tuple
    redundant: tuple
    conflicting: tuple


def dead_rules(ruleset, question, maximum=MAXIMUM_SEGMENTS):
    """Rules that never give their verdict to a packet of the question, as Dead.

    A rule that no packet of the question matches is not listed.
    """
    program = unfold(ruleset, question, whole=True)
    order = best_order([program])
    living = _living(Cells(program, order, maximum))
    dead = _dead_instances(program, living)
    return _dead(program, living, Overlaps(program, order, dead, maximum).blockers if dead else {})


def examine(ruleset, question, maximum=MAXIMUM_SEGMENTS):
    """Findings about the rules' effect on each other."""
    program = unfold(ruleset, question, whole=True)
    order = best_order([program])
    living = _living(Cells(program, order, maximum))
    overlaps = Overlaps(program, order, _dead_instances(program, living), maximum)
    paths = program.path
    candidates, needed, conflicts = {}, set(), {}
    for i, answer, other, instead in sorted(overlaps.pairs):
        rule = paths[i][-1]
        candidates[rule] = True
        if answer != instead or answer == UNKNOWN:
            needed.add(rule)
        if {answer, instead} == {ALLOWED, DENIED} and other >= 0:
            conflicts[rule, paths[other][-1]] = True
    redundant = tuple(rule for rule in candidates if rule not in needed)
    return Findings(_dead(program, living, overlaps.blockers), redundant, tuple(conflicts))


def _living(cells):
    """Rules that decide somewhere: in any of their copies, and jumps by any rule that they lead to."""
    deciding = set()
    for _number, outcome in cells.leaves():
        deciding.update(outcome[1])
    return {rule for i in deciding if i >= 0 for rule in cells.program.path[i]}


def _dead_instances(program, living):
    """Instances with a verdict that some rule on their path never gets to give."""
    dead = [i for i, path in enumerate(program.path) if any(rule not in living for rule in path)]
    dead = [i for i in dead if program.action[i] not in (SKIP, OUTSIDE)]
    return [i for i in dead if not program.beyond([values[i] for values in program.sets])]


def _dead(program, living, blockers):
    """What keeps each rule that does not live from its packets, in the order of the rules."""
    found = {}
    for i, by in sorted(blockers.items()):
        for rule in program.path[i]:
            if rule not in living:
                paths = [program.path[j] for j in sorted(by) if j >= 0 and program.action[j] != OUTSIDE]
                found.setdefault(rule, {}).update((path[-1], True) for path in paths)
    return tuple(Dead(rule, tuple(by)) for rule, by in found.items() if by)
