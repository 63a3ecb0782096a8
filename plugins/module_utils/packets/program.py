# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is asked of a ruleset and what it answers, and the list of instances that a hook's chains become.

A question is about ordinary packets: whole, without fragments or IPv6 extension headers, of one connection state; a TCP
packet in state NEW is a SYN. The answer is *allowed*, *denied*, or *unknown* where what is not modelled decides; what it
depends on is then named (Verdict.conditions). Everything else is exact.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    FIELDS,
    IIF,
    LAST_NAME,
    OIF,
    Box,
    Intervals,
    intersection,
    top,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Rule, Ruleset

ALLOWED, DENIED, UNKNOWN = "allowed", "denied", "unknown"
#: What an instance does: the last but one leads on to its target, the last takes packets out of the question.
ALLOW, DENY, EITHER, SKIP, OUTSIDE = range(5)

#: Every unicast address is the host's own: the question is asked of no host in particular.
EVERY = "every"

MAXIMUM_INSTANCES = 200000
MAXIMUM_SEGMENTS = 2000000
MAXIMUM_SECONDS = 60.0


class Question(NamedTuple):
    """Which packets a ruleset is asked about.

    hook        INPUT, FORWARD or OUTPUT
    state       NEW, ESTABLISHED, RELATED, INVALID or UNTRACKED
    addresses   the host's own, as "10.0.1.5/24"; EVERY: any host's; None: not known, so that LOCAL stays open
    translated  whether a nat table has changed the destination; None: no, unless the ruleset's nat table could have
    within      where the packets stay inside of: ((field, intervals), ...), such as ((SRC, ((low, high),)),)
    """

    hook: str = "INPUT"
    state: str = "NEW"
    addresses: Union[str, Sequence[str], None] = None
    translated: Optional[bool] = None
    within: tuple[tuple[int, Intervals], ...] = ()


class Condition(NamedTuple):
    """What is not modelled. rate: it lets some of the packets through and not others (limit, recent, ...)."""

    text: str
    rate: bool


class Verdict(NamedTuple):
    """answer: allowed, denied or unknown. rules: all that may decide, under any value of what is not modelled.

    rule: of an unknown answer the first of them; else the one that decides if none of the uncertain ones before it does.

    path: the jumps that led to `rule`, outermost first, and `rule` itself.
    conditions: what an unknown answer depends on.
    """

    answer: str
    rule: Rule
    path: tuple[Rule, ...] = ()
    rules: tuple[Rule, ...] = ()
    conditions: tuple[Condition, ...] = ()

    @property
    def may_allow(self) -> bool:
        return self.answer != DENIED

    @property
    def must_allow(self) -> bool:
        return self.answer == ALLOWED

    @property
    def rate_limited(self) -> bool:
        """Unknown only because of how many packets there are."""
        return self.answer == UNKNOWN and all(condition.rate for condition in self.conditions)


class TooComplex(Exception):
    """A Budget is spent; the message says on what."""


class Budget:
    """How much work may be done, in instances, segments and seconds; TooComplex beyond it.

    One budget may serve several calls, which then share it.
    """

    def __init__(
        self,
        segments: int = MAXIMUM_SEGMENTS,
        seconds: float = MAXIMUM_SECONDS,
        instances: int = MAXIMUM_INSTANCES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.segments, self.instances, self.seconds, self.clock = segments, instances, seconds, clock
        self.spent = 0
        self.end = clock() + seconds

    def spend(self, segments: int) -> None:
        self.spent += segments
        if self.spent > self.segments:
            raise TooComplex(
                f"the ruleset: its sets of packets have more than {self.segments} segments; ask for a part of them (Question.within)"
            )
        self.check()

    def check(self) -> None:
        if self.clock() > self.end:
            raise TooComplex(
                f"the ruleset: not done in {self.seconds:g} s; ask for a part of its packets (Question.within), or give it more time"
            )


#: What becomes of a cell: (answer, the instances that may decide, what an unknown answer depends on).
Trace = tuple[tuple[Optional[Condition], int], ...]
Outcome = tuple[Optional[str], tuple[int, ...], Trace]


class Program:
    """A hook's rules as instances: sets[field][i] (None: any), action[i], target[i], condition[i], path[i].

    action SKIP goes on at target[i]. A condition makes the instance apply or not. universe: (low, high) per field.
    policy: a Rule.
    """

    def __init__(self, ruleset: Ruleset, question: Question, budget: Budget) -> None:
        self.family, self.question, self.budget = ruleset.family, question, budget
        self.universe = [(0, top(field, ruleset.family)) for field in FIELDS]
        for field in (IIF, OIF):
            absent = (field == IIF) == (question.hook == "OUTPUT") if question.hook != "FORWARD" else False
            self.universe[field] = (0, 0) if absent else (1, LAST_NAME)
        self.boxes: list[Box] = []  # sets, instance by instance, while they are added
        self.sets: list[list[Optional[Intervals]]] = [[] for _field in FIELDS]
        self.action: list[int] = []
        self.target: list[int] = []  # 0 where there is none
        self.condition: list[Optional[Condition]] = []
        self.path: list[tuple[Rule, ...]] = []
        self.policy, self.policy_allows = Rule("filter", question.hook, 0, "no filter table", (), "ACCEPT"), True
        #: (field, the intervals of it that are outside the question)
        self.limits: list[tuple[int, Intervals]] = []

    def __len__(self) -> int:
        return len(self.action)

    def add(self, box: Box, action: int, path: tuple[Rule, ...], condition: Optional[Condition] = None) -> None:
        count = len(self.action)
        if count >= self.budget.instances:
            raise TooComplex(
                f"the chains of {self.question.hook}: expanded, they have more than {self.budget.instances} rules; "
                "fewer jumps to long chains would help"
            )
        if not count & 1023:
            self.budget.check()
        self.boxes.append(box)
        self.action.append(action)
        self.target.append(0)
        self.condition.append(condition)
        self.path.append(path)

    def holds(self, i: int, one: Sequence[int]) -> bool:
        """Whether instance i's intervals hold the packet."""
        for values, value in zip(self.sets, one):
            intervals = values[i]
            if intervals is not None and not _within(intervals, value):
                return False
        return True

    def beyond(self, box: Sequence[Optional[Intervals]]) -> bool:
        """Whether nothing of a product of intervals is in the question."""
        return any(
            box[field] is not None and intersection(box[field], rest) == box[field] for field, rest in self.limits
        )

    def outcome(self, active: Sequence[int]) -> Outcome:
        """What becomes of packets that meet exactly these instances.

        active: ascending. Of the deciding ones, -1 is the policy. The trace names what an unknown answer depends on, alike
        for alike rulesets.
        """
        if active:
            first = active[0]
            action = self.action[first]
            if action <= DENY and self.condition[first] is None:
                return (DENIED if action else ALLOWED, (first,), ())
        waiting, nearest, deciding, answers = [0], 0, [], set()
        trace: list[tuple[Optional[Condition], int]] = []
        for i in active:
            if nearest > i:
                continue
            condition, action = self.condition[i], self.action[i]
            if condition is None:
                waiting = [at for at in waiting if at > i]
            if action == SKIP:
                waiting.append(self.target[i])
            else:
                answers.add(action)
                deciding.append(i)
            if condition is not None or action == EITHER:
                trace.append((condition or Condition(str(self.path[i][-1].target), False), action))
            elif action != SKIP:
                trace.append((None, action))
            if condition is None:
                if not waiting:
                    break
                nearest = min(waiting)
        if waiting:
            answers.add(ALLOW if self.policy_allows else DENY)
            deciding.append(-1)
        if OUTSIDE in answers:
            return (None, (), ())
        if len(answers) == 1 and EITHER not in answers:
            # The one at the end decides, whatever is not known, unless one before it gives the same answer.
            return (ALLOWED if ALLOW in answers else DENIED, (deciding[-1], *deciding[:-1]), ())
        end: Trace = ((None, ALLOW if self.policy_allows else DENY),) if waiting else ()
        return (UNKNOWN, tuple(deciding), tuple(trace) + end)

    def reached(self, active: Sequence[int]) -> Iterator[int]:
        """Those of the active instances that some packet may come to."""
        waiting = [0]
        for i in active:
            if any(at <= i for at in waiting):
                yield i
                if self.condition[i] is None:
                    waiting = [at for at in waiting if at > i]
                if self.action[i] == SKIP:
                    waiting.append(self.target[i])

    def verdict(self, outcome: Outcome) -> Optional[Verdict]:
        """An outcome, with the rules in place of their numbers. None: the packets are outside the question."""
        answer, deciding, trace = outcome
        if answer is None:
            return None
        paths = [self.path[i] if i >= 0 else (self.policy,) for i in deciding]
        conditions = tuple(dict.fromkeys(condition for condition, _action in trace if condition is not None))
        return Verdict(answer, paths[0][-1], paths[0], tuple(dict.fromkeys(path[-1] for path in paths)), conditions)

    def decide(self, one: Sequence[int]) -> Optional[Verdict]:
        """What happens to one packet; None for one that the question excludes."""
        return self.verdict(self.outcome([i for i in range(len(self)) if self.holds(i, one)]))


def _within(intervals: Intervals, value: int) -> bool:
    k = bisect_left(intervals, (value + 1,)) - 1
    return k >= 0 and intervals[k][1] >= value
