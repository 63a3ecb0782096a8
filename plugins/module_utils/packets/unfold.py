# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The chains that a hook passes, unfolded into one list of instances, each a product of intervals and an action.

Jumps are expanded; RETURN and GOTO become a skip over the rest of their chain, so no set is ever negated.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DST,
    FIELDS,
    PROTO,
    Box,
    Intervals,
    common,
    complement,
    intersection,
    merged,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Chain, Chains, Rule, Ruleset
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.matches import Direction, First, State
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.matching import Matching, Stage, joined
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import Packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import (
    ALLOW,
    DENY,
    EITHER,
    EVERY,
    OUTSIDE,
    SKIP,
    UNKNOWN,
    Budget,
    Condition,
    Program,
    Question,
    TooComplex,
    Verdict,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import (
    NO_VERDICT,
    TRANSLATIONS,
    VERDICTS,
)

#: The tables' chains that a packet of each hook passes. The filter comes last: all of them have to accept, so the order
#: changes nothing but which rule is named for an accepted packet.
PASSES = {
    "INPUT": (
        Stage("raw", "PREROUTING"),
        Stage("mangle", "PREROUTING"),
        Stage("nat", "PREROUTING"),
        Stage("mangle", "INPUT"),
        Stage("nat", "INPUT"),
        Stage("security", "INPUT"),
        Stage("filter", "INPUT"),
    ),
    "FORWARD": (
        Stage("raw", "PREROUTING"),
        Stage("mangle", "PREROUTING"),
        Stage("nat", "PREROUTING"),
        Stage("mangle", "FORWARD"),
        Stage("mangle", "POSTROUTING"),
        Stage("nat", "POSTROUTING"),
        Stage("security", "FORWARD"),
        Stage("filter", "FORWARD"),
    ),
    "OUTPUT": (
        Stage("raw", "OUTPUT"),
        Stage("mangle", "OUTPUT"),
        Stage("nat", "OUTPUT"),
        Stage("mangle", "POSTROUTING"),
        Stage("nat", "POSTROUTING"),
        Stage("security", "OUTPUT"),
        Stage("filter", "OUTPUT"),
    ),
}
#: The nat table sees the packets that may begin a connection, and its targets accept.
_MEET_NAT = frozenset(["NEW", "RELATED"])
_NAT_TARGETS = (TRANSLATIONS - {"TPROXY"}) | {"SNAT", "MASQUERADE"}
#: Targets that say what becomes of a packet, only not to this engine. Any other may as well let it go on.
_LAST_WORDS = frozenset(["QUEUE", "NFQUEUE", "TPROXY"])
#: Where every rule is wanted, a jump that repeats another is left out beyond so many instances.
_MANY = 10000
#: Before the name of a chain that packets may have been through; no chain's name has a blank.
_PERHAPS = "perhaps "
_ANYTHING: Box = (None,) * len(FIELDS)


def verdict(ruleset: Ruleset, one: Packet, question: Question, budget: Optional[Budget] = None) -> Optional[Verdict]:
    """What the ruleset does with a packet: a Verdict, or None for a packet that the question excludes.

    Where the budget is spent before that is known, the verdict is unknown and depends on just that.
    """
    try:
        return unfold(ruleset, question, budget=budget, one=one).decide(one)
    except TooComplex as error:
        text = str(error)
        return Verdict(UNKNOWN, Rule("", "", 0, text), conditions=(Condition(text, False),))


def unfold(
    ruleset: Ruleset,
    question: Question,
    whole: bool = False,
    budget: Optional[Budget] = None,
    one: Optional[Packet] = None,
) -> Program:
    """The chains of the question's hook as a Program. whole: also the rules that are seen at once to be left nothing.

    one: only what this packet meets.

    ufw asks of each packet whether it is for the host (ufw-not-local), in rules that take all of them between them:
    left whole, they would cut every set of packets by destination.
    """
    if question.hook not in PASSES:
        raise ValueError(f"hook: got {question.hook!r}, expected one of {', '.join(PASSES)}")
    program = Program(ruleset, question, budget or Budget())
    _Unfolder(ruleset, program, whole, one).run()
    return program


class _Label:
    """A place in the program that is known later."""

    __slots__ = ("at",)

    def __init__(self) -> None:
        self.at = 0


class _Call:
    """A chain that packets of `box` have come to. end, accepted: where RETURN goes on, and ACCEPT in a table before the
    filter."""

    __slots__ = ("chain", "box", "path", "end", "accepted")

    def __init__(self, chain: Chain, box: Box, path: tuple[Rule, ...], end: _Label, accepted: _Label) -> None:
        self.chain, self.box, self.path, self.end, self.accepted = chain, box, path, end, accepted


class _Unfolder:
    def __init__(self, ruleset: Ruleset, program: Program, whole: bool, one: Optional[Packet]) -> None:
        self.ruleset, self.question, self.program, self.whole = ruleset, program.question, program, whole
        translated = self.question.translated
        if translated is None and not self.translates():
            translated = False
        self.matching = Matching(ruleset.family, self.question, program.universe, translated)
        self.stage = Stage("filter", self.question.hook)
        self.table: Chains = {}
        self.labels: list[Optional[_Label]] = []
        self.start: Box = _ANYTHING if one is None else tuple(((value, value),) for value in one)
        self.single = one is not None
        #: The chains that run, the outermost first; of each the chains that its packets came back from, with which of them.
        self.open: dict[str, dict[str, list[Box]]] = {}
        self.uncertain = 0  # how many instances so far have a condition or a target that is not modelled

    def translates(self) -> bool:
        """Whether the nat table can change where a packet of this hook goes to. A connection's later packets may be answers to
        what came by the other chain."""
        chains = self.ruleset.tables.get("nat", {})
        starts = ["OUTPUT" if self.question.hook == "OUTPUT" else "PREROUTING"]
        if self.question.state in ("ESTABLISHED", "RELATED"):
            starts = ["OUTPUT", "PREROUTING"]
        return any(TRANSLATIONS & reachable_targets(chains, start) for start in starts)

    def run(self) -> None:
        self.outside()
        for text in self.ruleset.unseen:
            self.add(_ANYTHING, DENY, (Rule("", "", 0, text),), Condition(text, False))
        for stage in PASSES[self.question.hook]:
            if not self.matters(stage):
                continue
            self.stage, self.table = stage, self.ruleset.tables[stage.table]
            chain = self.table[stage.chain]
            policy = Rule(stage.table, chain.name, 0, f"-P {chain.name} {chain.policy}", (), chain.policy)
            end, accepted = _Label(), _Label()
            self.expand(_Call(chain, self.start, (), end, accepted))
            end.at = len(self.program)
            if stage.table == "filter":
                self.program.policy, self.program.policy_allows = policy, chain.policy != "DROP"
            elif chain.policy == "DROP":
                self.deny(_ANYTHING, (policy,), None)
            accepted.at = len(self.program)
        self.settle()

    def outside(self) -> None:
        """An instance for each limit of the question: packets beyond it get no verdict."""
        limits = list(self.question.within)
        if self.question.hook == "INPUT" and self.question.addresses not in (None, EVERY):
            types = self.matching.types[DST]
            reached = [types[name] for name in ("LOCAL", "BROADCAST", "MULTICAST") if name in types]
            limits.append((DST, merged(interval for intervals in reached for interval in intervals)))
        if self.ruleset.family == 6:
            # Hop-by-hop options, routing, fragment and destination options: extension headers, no protocols of their
            # own. AH is one of them as well, but nf_tables takes it for the protocol (nf_tables_ipv6.h).
            limits.append((PROTO, ((1, 42), (45, 59), (61, 255))))
        for field, intervals in limits:
            low, high = self.program.universe[field]
            rest = complement(intervals, low, high)
            if rest:
                self.program.limits.append((field, rest))
                box = (*_ANYTHING[:field], rest, *_ANYTHING[field + 1 :])
                self.add(box, OUTSIDE, (Rule("", "", 0, "outside the question"),))

    def matters(self, stage: Stage) -> bool:
        """Only the filter's chains matter, unless another table's could stop a packet."""
        chains = self.ruleset.tables.get(stage.table, {})
        chain = chains.get(stage.chain)
        if chain is None or stage.table == "filter":
            return chain is not None
        harmless = NO_VERDICT | {"ACCEPT", "RETURN", "CT"}
        if stage.table == "nat":
            if self.question.state not in _MEET_NAT:
                return False
            harmless |= _NAT_TARGETS
        if self.question.state == "UNTRACKED":
            harmless |= {"NOTRACK"}
        return chain.policy == "DROP" or bool(reachable_targets(chains, stage.chain) - harmless)

    def expand(self, first: _Call) -> None:
        """Add a chain and all that it leads to. Chains may be nested deeper than Python calls functions."""
        self.open = {}
        running = [self.chain(first)]
        while running:
            inner = next(running[-1], None)
            if inner is None:
                running.pop()
            else:
                running.append(self.chain(inner))

    def chain(self, call: _Call) -> Iterator[_Call]:
        """Add a chain's rules for the packets of the call; yields the calls of other chains, which are added meanwhile."""
        name = call.chain.name
        if name in self.open:
            raise ValueError(f"chain {name}: jumps form a loop")
        self.open[name] = {}
        gone: Optional[Intervals] = ()
        for rule in call.chain.rules:
            for box, condition in self.matching.boxes(rule, call.box, self.stage):
                if self.is_jump(rule):
                    yield from self.jump(rule, box, condition, call)
                    leaves = rule.goto
                else:
                    leaves = self.rule(rule, box, condition, call)
                if leaves and condition is None and not self.whole:
                    gone = self.done(gone, box, call.box)
                    if gone is None:
                        del self.open[name]
                        return
        del self.open[name]

    def done(self, gone: Optional[Intervals], box: Box, context: Box) -> Optional[Intervals]:
        """The destinations whose packets are done with the chain, after a rule for them; None: all of them."""
        if any(box[field] != context[field] for field in FIELDS if field != DST):
            return gone
        side = box[DST]
        if side == context[DST] or side is None or gone is None:
            return None
        gone = merged(gone + side)
        everything = context[DST] or (self.program.universe[DST],)
        return None if intersection(everything, gone) == everything else gone

    def is_jump(self, rule: Rule) -> bool:
        """A chain's name comes before a target's, but for the verdicts."""
        return rule.target in self.table and rule.target not in VERDICTS

    def rule(self, rule: Rule, box: Box, condition: Optional[Condition], call: _Call) -> bool:
        """Add a rule that is no jump. Returns whether its packets are done with the chain, whatever it leads to."""
        path, target = (*call.path, rule), rule.target
        if target is None or target in NO_VERDICT:
            return False
        if target == "RETURN":
            self.skip(box, path, condition, call.end)
        elif target == "ACCEPT" or (self.stage.table == "nat" and target in _NAT_TARGETS):
            if self.stage.table == "filter":
                self.add(box, ALLOW, path, condition)
            else:
                self.skip(box, path, condition, call.accepted)
        elif target in ("DROP", "REJECT"):
            self.deny(box, path, condition)
        elif target in ("NOTRACK", "CT") and (not untracks(rule) or self.question.state == "UNTRACKED"):
            return False
        else:
            if target not in _LAST_WORDS:
                condition = joined([*([condition] if condition else []), Condition(target, False)])
            self.add(box, EITHER, path, condition)
            return target in _LAST_WORDS
        return True

    def jump(self, rule: Rule, box: Box, condition: Optional[Condition], call: _Call) -> Iterator[_Call]:
        path, after, name = (*call.path, rule), _Label(), rule.target or ""
        if self.came_back(name, box, condition is not None):
            if rule.goto:
                self.skip(box, path, condition, call.end)
        else:
            if condition is not None:
                self.skip(box, path, condition, after)
            before = self.uncertain
            yield _Call(self.table[name], box, path, call.end if rule.goto else after, call.accepted)
            if self.single or (condition is None and before == self.uncertain):
                passed = self.open[call.chain.name]
                passed.setdefault(name if condition is None else _PERHAPS + name, []).append(box)
            if rule.goto:
                self.skip(box, path, None, call.end)
        after.at = len(self.program)

    def came_back(self, name: str, box: Box, perhaps: bool) -> bool:
        """Whether all packets of the box have been through the chain before they come here: they go through it as they did.

        What a single packet may get there a second time is nothing that it could not get the first time, also where it has
        been there only perhaps and goes there only perhaps.
        """
        if self.whole and len(self.program) < _MANY:
            return False
        return any(
            all(wide is None or (side is not None and common(side, wide) == side) for side, wide in zip(box, passed))
            for chains in self.open.values()
            for passed in (*chains.get(name, ()), *(chains.get(_PERHAPS + name, ()) if perhaps else ()))
        )

    def add(self, box: Box, action: int, path: tuple[Rule, ...], condition: Optional[Condition] = None) -> None:
        self.uncertain += condition is not None or action == EITHER
        self.program.add(box, action, path, condition)
        self.labels.append(None)

    def deny(self, box: Box, path: tuple[Rule, ...], condition: Optional[Condition]) -> None:
        """The nat table sees no packet where nothing has the kernel track connections (nf_nat_inet_fn)."""
        if self.stage.table == "nat" and not self.tracks():
            condition = joined(
                [*([condition] if condition else []), Condition("whether connections are tracked", False)]
            )
        self.add(box, DENY, path, condition)

    def tracks(self) -> bool:
        chains = [chain for chains in self.ruleset.tables.values() for chain in chains.values()]
        return any(
            rule.target in _NAT_TARGETS or any(isinstance(match, (State, Direction, First)) for match in rule.matches)
            for chain in chains
            for rule in chain.rules
        )

    def skip(self, box: Box, path: tuple[Rule, ...], condition: Optional[Condition], target: _Label) -> None:
        self.uncertain += condition is not None
        self.program.add(box, SKIP, path, condition)
        self.labels.append(target)

    def settle(self) -> None:
        """Put numbers in place of the labels, and leave out skips that lead to where the packet goes anyway."""
        program = self.program
        count = len(program)
        targets = [label.at if label is not None else 0 for label in self.labels]
        following = [0] * (count + 1)  # the next instance that stays, at or after each
        following[count] = count
        stays = [True] * count
        for i in range(count - 1, -1, -1):
            if program.action[i] == SKIP and following[targets[i]] == following[i + 1]:
                stays[i], following[i] = False, following[i + 1]
            else:
                following[i] = i
        place, places = 0, []
        for i in range(count):
            places.append(place)
            place += stays[i]
        places.append(place)
        lists: list[list[Any]] = [program.boxes, program.action, program.condition, program.path]
        for values in lists:
            values[:] = compress(values, stays)
        program.target = [places[following[target]] for target, stay in zip(targets, stays) if stay]
        for side, column in zip(program.sets, zip(*program.boxes)):
            side[:] = column
        program.boxes.clear()


def untracks(rule: Rule) -> bool:
    return rule.target == "NOTRACK" or "--notrack" in rule.options


def reachable_targets(chains: Chains, start: str) -> set[str]:
    """Every target that is reachable from a chain, but for the chains themselves."""
    seen, todo, found = set(), [start], set()
    while todo:
        name = todo.pop()
        if name in seen or name not in chains:
            continue
        seen.add(name)
        for rule in chains[name].rules:
            if rule.target in chains and rule.target not in VERDICTS:
                todo.append(rule.target)
            elif rule.target is not None:
                found.add("NOTRACK" if untracks(rule) else rule.target)
    return found
