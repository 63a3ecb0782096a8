# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a ruleset does with a packet: the question, the chains unfolded for it, the verdict, and sets as text.

A question is about ordinary packets: whole, without fragments or IPv6 extension headers, of one connection state; a TCP
packet in state NEW is a SYN. The answer is *allowed*, *denied*, or *unknown* where a match that is not modelled
decides; what it depends on is then named (Verdict.conditions). Everything else is exact.

`unfold` turns the chains that a hook passes (raw, mangle and filter) into one list of instances, each a product of
intervals and an action. Jumps are expanded; RETURN and GOTO become a skip over the rest of their chain, so no set is
ever negated.
"""

from __future__ import annotations

import socket
from bisect import bisect_left
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import (
    BITS,
    DPORT,
    DST,
    FIELD_NAMES,
    FIELDS,
    IIF,
    LAST_NAME,
    NAME_BYTES,
    ODST,
    OIF,
    OPORT,
    PROTO,
    PROTOCOLS,
    SPORT,
    SRC,
    Rule,
    address_range,
    complement,
    interface_range,
    merged,
    protocol_number,
    top,
)

ALLOWED, DENIED, UNKNOWN = "allowed", "denied", "unknown"
# An instance's action.
ALLOW, DENY, EITHER, SKIP, OUTSIDE = range(5)

# Every unicast address is the host's own: the question is asked of no host in particular.
EVERY = "every"

MAXIMUM_INSTANCES = 200000
MAXIMUM_DEPTH = 64
# No verdict on the packet itself (iptables-extensions(8)); a mark they set is read by a match that is not modelled.
NO_VERDICT = frozenset(
    [
        "LOG",
        "NFLOG",
        "ULOG",
        "AUDIT",
        "MARK",
        "CONNMARK",
        "TOS",
        "DSCP",
        "TTL",
        "HL",
        "TCPMSS",
        "CHECKSUM",
        "CLASSIFY",
        "SET",
        "SECMARK",
        "CONNSECMARK",
        "TRACE",
        "TEE",
        "IDLETIMER",
        "RATEEST",
        "TCPOPTSTRIP",
        "ECN",
        "HMARK",
    ]
)
TRANSLATIONS = frozenset(["DNAT", "REDIRECT", "NETMAP", "TPROXY"])
# The tables' chains that a packet of each hook passes. The filter comes last: all of them have to accept, so the order
# changes nothing but which rule is named for an accepted packet.
PASSES = {
    "INPUT": (
        ("raw", "PREROUTING"),
        ("mangle", "PREROUTING"),
        ("mangle", "INPUT"),
        ("security", "INPUT"),
        ("filter", "INPUT"),
    ),
    "FORWARD": (
        ("raw", "PREROUTING"),
        ("mangle", "PREROUTING"),
        ("mangle", "FORWARD"),
        ("mangle", "POSTROUTING"),
        ("security", "FORWARD"),
        ("filter", "FORWARD"),
    ),
    "OUTPUT": (
        ("raw", "OUTPUT"),
        ("mangle", "OUTPUT"),
        ("mangle", "POSTROUTING"),
        ("security", "OUTPUT"),
        ("filter", "OUTPUT"),
    ),
}
# Chains that a packet passes before a nat table may have changed where it goes to.
UNTRANSLATED = frozenset((("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("raw", "OUTPUT"), ("mangle", "OUTPUT")))
WITH_PORTS = frozenset((6, 17, 33, 132, 136))
ICMP = {4: 1, 6: 58}


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
    addresses: object = None
    translated: Optional[bool] = None
    within: tuple = ()


class Packet(NamedTuple):
    """One packet, in the order of iptables.FIELDS. odst and oport: where it was first sent to."""

    iif: int
    oif: int
    proto: int
    src: int
    dst: int
    sport: int
    dport: int
    odst: int
    oport: int

    def text(self, family):
        return PacketSet(family, tuple(((value, value),) for value in self[:ODST]) + (None, None)).text()


def packet(family, source, destination, proto="tcp", port=0, source_port=40000, inside="", outside="", original=None):
    """A packet in words. inside, outside: the interfaces that it comes in by and leaves by.

    port: for ICMP, type * 256 + code.

    original: (address, port) that it was sent to, where a nat table has changed them.
    """
    dst = address_range(destination, family)[0]
    return Packet(
        interface_range(inside)[0],
        interface_range(outside)[0],
        protocol_number(proto),
        address_range(source, family)[0],
        dst,
        source_port,
        port,
        address_range(original[0], family)[0] if original else dst,
        original[1] if original else port,
    )


class Condition(NamedTuple):
    """A match that is not modelled. rate: it lets some of the packets through and not others (limit, recent, ...)."""

    text: str
    rate: bool


class Verdict(NamedTuple):
    """answer: allowed, denied or unknown. rule: the one that decides, or the first that may. rules: all that may.

    path: the jumps that led to `rule`, outermost first, and `rule` itself.
    conditions: what an unknown answer depends on.
    """

    answer: str
    rule: Rule
    path: tuple = ()
    rules: tuple = ()
    conditions: tuple = ()

    @property
    def may_allow(self):
        return self.answer != DENIED

    @property
    def must_allow(self):
        return self.answer == ALLOWED

    @property
    def rate_limited(self):
        """Unknown only because of how many packets there are."""
        return self.answer == UNKNOWN and all(condition.rate for condition in self.conditions)


class TooComplex(Exception):
    """The ruleset's sets are too many to list; the message says which and how many."""


class Program:
    """A hook's rules as instances: sets[field][i] (None: any), action[i], target[i], condition[i], path[i].

    action SKIP goes on at target[i]. A condition makes the instance apply or not. universe: (low, high) per field.
    policy: a Rule.
    """

    def __init__(self, ruleset, question):
        self.family, self.question = ruleset.family, question
        self.universe = [(0, top(field, ruleset.family)) for field in FIELDS]
        for field in (IIF, OIF):
            absent = (field == IIF) == (question.hook == "OUTPUT") if question.hook != "FORWARD" else False
            self.universe[field] = (0, 0) if absent else (1, LAST_NAME)
        self.sets = [[] for _field in FIELDS]
        self.action, self.target, self.condition, self.path = [], [], [], []
        self.policy, self.policy_allows = None, True
        self.limits = []  # (field, the intervals of it that are outside the question)

    def __len__(self):
        return len(self.action)

    def add(self, box, action, path, condition=None, target=None):
        if len(self.action) >= MAXIMUM_INSTANCES:
            raise TooComplex(
                "the chains of %s: expanded, they have more than %d rules; fewer jumps to long chains would help"
                % (self.question.hook, MAXIMUM_INSTANCES)
            )
        for values, value in zip(self.sets, box):
            values.append(value)
        self.action.append(action)
        self.target.append(target)
        self.condition.append(condition)
        self.path.append(path)

    def holds(self, i, one):
        """Whether instance i's intervals hold the packet."""
        for values, value in zip(self.sets, one):
            intervals = values[i]
            if intervals is not None and not _within(intervals, value):
                return False
        return True

    def beyond(self, box):
        """Whether nothing of a product of intervals is in the question."""
        return any(
            box[field] is not None and intersection(box[field], rest) == box[field] for field, rest in self.limits
        )

    def outcome(self, active):
        """What becomes of packets that meet exactly these instances -> (answer, instances that decide, trace).

        active: ascending. Of the deciding ones, -1 is the policy. The trace names what an unknown answer depends on, alike for alike rulesets.
        """
        waiting, deciding, conditions, answers = [0], [], [], set()
        for i in active:
            reached = [at for at in waiting if at <= i]
            if not reached:
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
                conditions.append((condition or Condition(self.path[i][-1].target, False), action))
            elif action != SKIP:
                conditions.append((None, action))
            if not waiting:
                break
        if waiting:
            answers.add(ALLOW if self.policy_allows else DENY)
            deciding.append(-1)
        if OUTSIDE in answers:
            return (None, (), ())
        if len(answers) == 1 and EITHER not in answers:
            return (ALLOWED if ALLOW in answers else DENIED, (deciding[0],), ())
        return (
            UNKNOWN,
            tuple(deciding),
            tuple(conditions) + ((None, ALLOW if self.policy_allows else DENY),) * bool(waiting),
        )

    def verdict(self, outcome):
        """An outcome, with the rules in place of their numbers. None: the packets are outside the question."""
        answer, deciding, trace = outcome
        if answer is None:
            return None
        paths = [self.path[i] if i >= 0 else (self.policy,) for i in deciding]
        conditions = tuple(dict.fromkeys(condition for condition, _action in trace if condition is not None))
        return Verdict(answer, paths[0][-1], paths[0], tuple(path[-1] for path in paths), conditions)


def _within(intervals, value):
    k = bisect_left(intervals, (value + 1,)) - 1
    return k >= 0 and intervals[k][1] >= value


def intersection(one, other):
    """The common part of two interval lists; None is everything, () nothing."""
    if one is None:
        return other
    if other is None:
        return one
    out, i, j = [], 0, 0
    while i < len(one) and j < len(other):
        low, high = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if low <= high:
            out.append((low, high))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return tuple(out)


def verdict(ruleset, one, question):
    """What the ruleset does with a packet: a Verdict, or None for a packet that the question excludes."""
    return decide(unfold(ruleset, question), one)


def decide(program, one):
    """`verdict` for a ruleset that is unfolded already."""
    return program.verdict(program.outcome([i for i in range(len(program)) if program.holds(i, one)]))


def unfold(ruleset, question, whole=False):
    """The chains of the question's hook as a Program. whole: also the rules that are seen at once to be left nothing.

    ufw asks of each packet whether it is for the host (ufw-not-local), in rules that take all of them between them:
    left whole, they would cut every set of packets by destination.
    """
    if question.hook not in PASSES:
        raise ValueError("hook: got %r, expected one of %s" % (question.hook, ", ".join(PASSES)))
    program = Program(ruleset, question)
    _Unfolder(ruleset, question, program, whole).run()
    return program


class _Unfolder:
    def __init__(self, ruleset, question, program, whole):
        self.ruleset, self.question, self.program, self.whole = ruleset, question, program, whole
        self.types = {
            field: hook_types(ruleset.family, question.hook, field)
            if question.addresses == EVERY
            else address_types(ruleset.family, question.addresses)
            for field in (SRC, DST)
        }
        self.translated = question.translated
        if self.translated is None and not self.translates():
            self.translated = False
        self.stage = self.table = None
        self.last = False

    def translates(self):
        """Whether the nat table can change where a packet of this hook goes to."""
        chains = self.ruleset.tables.get("nat", {})
        start = "OUTPUT" if self.question.hook == "OUTPUT" else "PREROUTING"
        return bool(TRANSLATIONS & _targets(chains, start))

    def run(self):
        self.outside()
        stages = [stage for stage in PASSES[self.question.hook] if self.matters(stage)]
        for stage in stages:
            self.stage, self.last = stage, stage[0] == "filter"
            self.table = self.ruleset.tables[stage[0]]
            chain = self.table[stage[1]]
            policy = self.policy(chain)
            end = [None]
            self.chain(chain, [None] * len(FIELDS), (), end, end, 0)
            if self.last:
                self.program.policy, self.program.policy_allows = policy, chain.policy != "DROP"
            elif chain.policy == "DROP":
                self.program.add([None] * len(FIELDS), DENY, (policy,))
            end[0] = len(self.program)
        if self.program.policy is None:
            # No filter table is loaded: the kernel accepts.
            self.program.policy = Rule("filter", self.question.hook, 0, "no filter table", (), "ACCEPT")
        self.settle()

    def policy(self, chain):
        return Rule(self.stage[0], chain.name, 0, "-P %s %s" % (chain.name, chain.policy), (), chain.policy)

    def outside(self):
        """An instance for each limit of the question: packets beyond it get no verdict."""
        limits = list(self.question.within)
        if self.question.hook == "INPUT" and self.question.addresses not in (None, EVERY):
            types = self.types[DST]
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
                box = [None] * len(FIELDS)
                box[field] = rest
                self.program.add(box, OUTSIDE, (Rule("", "", 0, "outside the question"),))

    def matters(self, stage):
        """Only the filter's chains matter, unless another table's could stop a packet."""
        chains = self.ruleset.tables.get(stage[0], {})
        chain = chains.get(stage[1])
        if chain is None or stage[0] == "filter":
            return chain is not None
        return chain.policy == "DROP" or bool(
            _targets(chains, stage[1]) - NO_VERDICT - {"ACCEPT", "RETURN", "CT", None}
        )

    def chain(self, chain, context, path, end, accepted, depth):
        """Add a chain's rules for the packets of `context`.

        end, accepted: where RETURN goes on, and ACCEPT in a table before the last.
        """
        if depth > MAXIMUM_DEPTH:
            raise ValueError("chain %s: jumps form a loop or go deeper than %d" % (chain.name, MAXIMUM_DEPTH))
        gone = ()
        for rule in chain.rules:
            for box, condition in self.boxes(rule, context):
                before = len(self.program)
                leaves = self.rule(rule, box, condition, context, path, end, accepted, depth)
                if leaves and condition is None and before < len(self.program) and not self.whole:
                    gone = self.done(gone, box, context)
                if gone is None:
                    return

    def done(self, gone, box, context):
        """The destinations whose packets are done with the chain, after a rule for them; None: all of them."""
        if any(box[field] != context[field] for field in FIELDS if field != DST):
            return gone
        if box[DST] == context[DST]:
            return None
        gone = merged(gone + box[DST])
        everything = context[DST] or (self.program.universe[DST],)
        return None if intersection(everything, gone) == everything else gone

    def rule(self, rule, box, condition, context, path, end, accepted, depth):
        """Add one rule. Returns whether its packets are done with the chain, whatever it leads to."""
        path = path + (rule,)
        target, add = rule.target, self.program.add
        if target is None or target in NO_VERDICT:
            return False
        if target in self.table:
            self.jump(rule, box, condition, path, end, accepted, depth)
            return rule.goto
        if target == "RETURN":
            add(box, SKIP, path, condition, end)
        elif target == "ACCEPT":
            if self.last:
                add(box, ALLOW, path, condition)
            else:
                add(box, SKIP, path, condition, accepted)
        elif target in ("DROP", "REJECT"):
            add(box, DENY, path, condition)
        elif target == "CT" and "--notrack" not in rule.options:
            return False
        else:
            add(box, EITHER, path, condition)
        return True

    def jump(self, rule, box, condition, path, end, accepted, depth):
        after = [None]
        if condition is not None:
            self.program.add(box, SKIP, path, condition, after)
        self.chain(self.table[rule.target], box, path, end if rule.goto else after, accepted, depth + 1)
        if rule.goto:
            self.program.add(box, SKIP, path, None, end)
        after[0] = len(self.program)

    def boxes(self, rule, context):
        """A rule's matches within a context -> [(box, Condition or None)]; none where it cannot match at all."""
        box, unknown, choice = list(context), [], None
        for match in rule.matches:
            kind = match[0]
            if kind == "in":
                if self.narrow(box, match[1], match[2], unknown):
                    return ()
            elif kind == "both":
                if sum(self.narrow(box, field, match[2], unknown) for field in match[1]):
                    return ()
            elif kind == "either":
                choice = match
            elif kind == "first":
                if self.first(box, match, unknown):
                    return ()
            elif kind in ("rate", "unknown"):
                unknown.append(Condition(match[1], kind == "rate"))
            else:
                answer = getattr(self, kind)(box, match)
                if answer is None:
                    unknown.append(Condition(_label(match), False))
                elif not answer:
                    return ()
        out = []
        for field in choice[1] if choice else (None,):
            part = list(box)
            if field is None or not self.narrow(part, field, choice[2], unknown):
                out.append((part, _joined(unknown)))
        return out

    def narrow(self, box, field, intervals, unknown):
        """Intersect one side of the box; returns whether nothing is left. Notes what the table cannot know."""
        if field in (DST, DPORT) and self.stage in UNTRANSLATED and self.translated is not False:
            if self.translated is None:
                unknown.append(Condition("the %s before a translation" % FIELD_NAMES[field], False))
                return False
            if field == DST or box[PROTO] != ((ICMP[self.ruleset.family],) * 2,):
                field = ODST if field == DST else OPORT
        low, high = self.program.universe[field]
        have = box[field]
        if have is None:
            if len(intervals) == 1:
                first, last = intervals[0]
                if first <= low and last >= high:
                    return False
                if first >= low and last <= high:
                    box[field] = intervals
                    return False
            have = ((low, high),)
        common = intersection(have, intervals)
        box[field] = None if common == ((low, high),) else common
        return not common

    def first(self, box, match, unknown):
        """A field of the connection's first packet: of a NEW one, that is this packet, before its translation."""
        _kind, field, intervals = match
        if (
            self.question.state != "NEW"
            or self.stage[0] == "raw"
            or (field in (DST, DPORT) and self.translated is None)
        ):
            unknown.append(Condition("the connection's first %s" % FIELD_NAMES[field], False))
            return False
        if field in (DST, DPORT) and self.translated:
            field = ODST if field == DST else OPORT
            low, high = self.program.universe[field]
            box[field] = intersection(box[field] or ((low, high),), intervals)
            return not box[field]
        return self.narrow(box, field, intervals, unknown)

    # The matches below answer True or False for the whole question, or None: not known.

    def never(self, box, match):
        return False

    def state(self, box, match):
        _kind, states, negated = match
        if self.stage[0] == "raw":
            return None  # raw comes before the connection is looked up
        answer = self.question.state in states
        if not answer and "DNAT" in states:
            answer = False if self.question.state == "NEW" and self.stage in UNTRANSLATED else self.translated
        if answer is False and "SNAT" in states and self.question.state != "NEW":
            answer = None  # a NEW packet's source is changed after the filter
        return None if answer is None else answer != negated

    def direction(self, box, match):
        if self.question.state != "NEW" or self.stage[0] == "raw":
            return None
        return (match[1].upper() == "ORIGINAL") != match[2]

    def flags(self, box, match):
        _kind, (mask, comp), negated = match
        if self.question.state != "NEW":
            return None
        return (frozenset(("SYN",)) & mask == comp) != negated

    def type(self, box, match):
        """An address's type, by intervals. It is one of those named in IPv4, all of them in IPv6 (xt_addrtype.c)."""
        _kind, (field, names), negated = match
        if field == DST and self.stage in UNTRANSLATED and self.translated is not False:
            return None
        sets = [self.types[field].get(name) for name in names]
        if any(intervals is None for intervals in sets):
            return None
        intervals = sets[0]
        for other in sets[1:]:
            intervals = merged(intervals + other) if self.ruleset.family == 4 else intersection(intervals, other)
        if negated:
            intervals = complement(intervals, 0, top(field, self.ruleset.family))
        return not self.narrow(box, field, intervals, [])

    def settle(self):
        """Put numbers in place of the labels, and leave out skips that lead to where the packet goes anyway."""
        program = self.program
        count = len(program)
        targets = [label[0] if label is not None else None for label in program.target]
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
        for values in program.sets + [program.action, program.condition, program.path]:
            values[:] = [value for value, stay in zip(values, stays) if stay]
        program.target = [
            places[following[target]] if target is not None else None for target, stay in zip(targets, stays) if stay
        ]


def _targets(chains, start):
    """Every target that is reachable from a chain, but for the chains themselves."""
    seen, todo, found = set(), [start], set()
    while todo:
        name = todo.pop()
        if name in seen or name not in chains:
            continue
        seen.add(name)
        for rule in chains[name].rules:
            if rule.target in chains:
                todo.append(rule.target)
            else:
                found.add(rule.target)
            if rule.target == "CT" and "--notrack" in rule.options:
                found.add("NOTRACK")
    return found


def _joined(conditions):
    if not conditions:
        return None
    return Condition(
        "; ".join(condition.text for condition in conditions), all(condition.rate for condition in conditions)
    )


def _label(match):
    kind, value, negated = match
    if kind == "type":
        value = "%s type %s" % (FIELD_NAMES[value[0]], ",".join(sorted(value[1])))
    elif kind == "flags":
        value = "flags %s of %s" % tuple(",".join(sorted(part)) or "none" for part in reversed(value))
    elif kind == "state":
        value = "state " + ",".join(sorted(value))
    return ("not " if negated else "") + value


def address_types(family, addresses):
    """{type: intervals} of the routing table's types, as far as the host's addresses tell them (fib_frontend.c)."""
    if addresses is None or addresses == EVERY:
        return _fixed_types(family)
    own = [address for address in addresses if (":" in address) == (family == 6)]
    types = _fixed_types(family)
    if family == 6:
        types["LOCAL"] = merged(address_range(address.partition("/")[0], 6) for address in own + ["::1"])
        return types
    # The last address of a network is its broadcast address; a /31 and a /32 have none.
    nets = [address_range(address, 4) for address in own + ["127.0.0.1/8"] if "/" in address]
    types["BROADCAST"] = merged(EVERYONE + tuple((last, last) for first, last in nets if last - first > 1))
    local = merged([address_range(address.partition("/")[0], 4) for address in own] + [address_range("127.0.0.0/8", 4)])
    types["LOCAL"] = intersection(local, complement(types["BROADCAST"], 0, top(DST, 4)))
    return _with_unicast(types)


# 0.0.0.0/8 and the limited broadcast address: BROADCAST on every host.
EVERYONE = (address_range("0.0.0.0/8", 4), address_range("255.255.255.255", 4))


def _fixed_types(family):
    """The types that are the same on every host."""
    if family == 4:
        return {"MULTICAST": (address_range("224.0.0.0/4", 4),)}
    multicast = (address_range("ff00::/8", 6),)
    return {"MULTICAST": multicast, "UNICAST": complement(((0, 0),) + multicast, 0, top(DST, 6))}


def _with_unicast(types):
    """IPv4: what is of no other type. (In IPv6 a host's own addresses are UNICAST too, xt_addrtype.c.)"""
    others = merged(types["LOCAL"] + types["BROADCAST"] + types["MULTICAST"])
    types["UNICAST"] = complement(others, 0, top(DST, 4))
    return types


def hook_types(family, hook, field):
    """The types of an address on no host in particular, as far as the hook tells them.

    What comes to INPUT is sent to this host, what leaves by OUTPUT is sent from it, and what FORWARD sees is neither.
    """
    types = _fixed_types(family)
    own = (hook, field) in (("INPUT", DST), ("OUTPUT", SRC))
    if not own and hook != "FORWARD":
        return types
    if family == 6:
        types["LOCAL"] = types["UNICAST"] if own else ()
        return types
    types["BROADCAST"] = EVERYONE
    types["LOCAL"] = complement(merged(EVERYONE + types["MULTICAST"]), 0, top(DST, 4)) if own else ()
    return _with_unicast(types)


class PacketSet(NamedTuple):
    """A product of intervals, in the order of iptables.FIELDS; None is any."""

    family: int
    sides: tuple

    def text(self):
        """For people: "tcp 22 from 10.0.1.0/24 to any in on eth0"."""
        sides, family = self.sides, self.family
        words = [_protocols(sides[PROTO], family)]
        proto = sides[PROTO]
        icmp = proto is not None and proto == ((ICMP[family],) * 2,)
        if sides[DPORT] is not None and (proto is None or icmp or _has_ports(proto)):
            words.append(_icmp_types(sides[DPORT]) if icmp else _numbers(sides[DPORT], 65535))
        words += ["from", _addresses(sides[SRC], family)]
        if sides[SPORT] is not None and _has_ports(proto):
            words += ["port", _numbers(sides[SPORT], 65535)]
        words += ["to", _addresses(sides[DST], family)]
        for field, word in ((ODST, "first sent to"), (OPORT, "first sent to port")):
            if sides[field] is not None:
                words += [word, _addresses(sides[field], family) if field == ODST else _numbers(sides[field], 65535)]
        for field, word in ((IIF, "in on"), (OIF, "out on")):
            if sides[field] not in (None, ((0, 0),)):
                words += [word, _names(sides[field])]
        return " ".join(words)


def _has_ports(proto):
    return proto is None or all(first == last and first in WITH_PORTS for first, last in proto)


def _shorter(intervals, low, high, text):
    """The list, or `any but` its complement where that has fewer parts."""
    if intervals is None:
        return "any"
    rest = complement(intervals, low, high)
    if rest and len(rest) < len(intervals) or (rest and (intervals[0][0], intervals[-1][1]) == (low, high)):
        return "any but " + ",".join(text(*interval) for interval in rest)
    return ",".join(text(*interval) for interval in intervals) if rest else "any"


def _numbers(intervals, high):
    return _shorter(intervals, 0, high, lambda first, last: str(first) if first == last else "%d:%d" % (first, last))


def _icmp_types(intervals):
    def text(first, last):
        if first == last:
            return "%d/%d" % divmod(first, 256)
        if (first & 255, last & 255) == (0, 255):
            return str(first >> 8) if first >> 8 == last >> 8 else "%d:%d" % (first >> 8, last >> 8)
        return "%d/%d:%d/%d" % (divmod(first, 256) + divmod(last, 256))

    return "type " + _shorter(intervals, 0, 65535, text)


def _protocols(intervals, family):
    names = {number: name for name, number in reversed(list(PROTOCOLS.items())) if number != 58}
    names[58] = "icmpv6"

    def text(first, last):
        if first == last or (last - first < 3 and all(number in names for number in range(first, last + 1))):
            return ",".join(names.get(number, "protocol %d" % number) for number in range(first, last + 1))
        return "protocol %d:%d" % (first, last)

    return _shorter(intervals, 0, 255, text)


def address_text(number, family):
    return socket.inet_ntop(
        socket.AF_INET if family == 4 else socket.AF_INET6, number.to_bytes(BITS[family] // 8, "big")
    )


def networks(first, last, bits):
    """The fewest networks that make up an interval: [(address, prefix length)]."""
    out = []
    while first <= last:
        size = (first & -first).bit_length() - 1 if first else bits
        size = min(size, (last - first + 1).bit_length() - 1)
        out.append((first, bits - size))
        first += 1 << size
    return out


def _addresses(intervals, family):
    bits = BITS[family]

    def text(first, last):
        parts = networks(first, last, bits)
        if len(parts) > 2:
            return "%s-%s" % (address_text(first, family), address_text(last, family))
        return ",".join(address_text(at, family) + ("/%d" % size if size < bits else "") for at, size in parts)

    return _shorter(intervals, 0, (1 << bits) - 1, text)


def interface_name(number):
    return number.to_bytes(NAME_BYTES, "big").rstrip(b"\0").decode("utf-8", "backslashreplace")


def _names(intervals):
    def text(first, last):
        if first == last:
            return interface_name(first)
        stem = interface_name(first)
        if interface_range(stem + "+") == (first, last):
            return stem + "+"
        return "%s..%s" % (stem, interface_name(last - (1 << 8 * 7)))

    return _shorter(intervals, 1, LAST_NAME, text)
