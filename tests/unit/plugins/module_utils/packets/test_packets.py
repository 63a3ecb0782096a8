# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The engine against a second, plain one: every packet of a small world, one at a time, through rules that are never turned into sets."""

from __future__ import annotations

import itertools
import pathlib
import random

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets import fields, sweep
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import accepted, difference
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    IIF,
    LAST_NAME,
    ODST,
    OIF,
    OPORT,
    PROTO,
    SPORT,
    SRC,
    address_range,
    interface_range,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.findings import dead_rules, examine
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import Packet, PacketSet, packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import (
    ALLOWED,
    DENIED,
    EVERY,
    UNKNOWN,
    Budget,
    Question,
    TooComplex,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import unfold, verdict

NAMES = ("eth0", "eth1", "wg0")
PROTOS = (6, 17, 50, None)  # None: ICMP of the family
BASE = {4: 0x0A000000, 6: 0xFD00 << 112}
NUMBERS = range(4)


def shown(family, number):
    return fields.address_text(BASE[family] + number, family)


class World:
    """The few packets that there are, for one hook of one family."""

    def __init__(self, family, hook):
        self.family, self.hook = family, hook
        self.icmp = fields.ICMP[family]
        self.protos = [self.icmp if proto is None else proto for proto in PROTOS]
        here = [interface_range(name)[0] for name in NAMES]
        self.sides = {
            IIF: here if hook != "OUTPUT" else [0],
            OIF: here[:2] if hook == "FORWARD" else here if hook == "OUTPUT" else [0],
            PROTO: self.protos,
            SRC: [BASE[family] + n for n in NUMBERS],
            DST: [BASE[family] + n for n in NUMBERS],
            SPORT: [0, 1],
            DPORT: list(NUMBERS),
        }
        order = (IIF, OIF, PROTO, SRC, DST, SPORT, DPORT)
        self.packets = [
            Packet(*one, one[4], one[6]) for one in itertools.product(*(self.sides[field] for field in order))
        ]
        within = tuple(
            (field, fields.merged((v, v) for v in values)) for field, values in self.sides.items() if values != [0]
        )
        self.question = Question(hook, addresses=EVERY, within=within)


class Line:
    """A rule of the plain engine: tests are functions of a packet, None among their answers is `perhaps`."""

    def __init__(self, chain, words, tests, target, goto=False):
        self.chain, self.words, self.tests, self.target, self.goto = chain, words, tests, target, goto

    def text(self):
        return " ".join(
            ["-A", self.chain] + self.words + (["-g" if self.goto else "-j", self.target] if self.target else [])
        )

    def matches(self, one):
        answers = [test(one) for test in self.tests]
        return False if False in answers else None if None in answers else True


def some_match(rng, world, words, tests):
    """Add one random match to the words and tests of a rule."""
    family = world.family
    no = rng.random() < 0.2
    bang = ["!"] * no

    def add(more, test):
        words.extend(bang + more)
        tests.append(lambda one: test(one) != no)

    kind = rng.choice(("src", "src", "dst", "in", "out", "range"))
    if kind in ("src", "dst"):
        field = SRC if kind == "src" else DST
        size = rng.choice((0, 0, 1, 2))
        start = rng.choice(NUMBERS) >> size << size
        low, high = BASE[family] + start, BASE[family] + start + (1 << size) - 1
        bits = (32 if family == 4 else 128) - size
        add(
            ["-s" if kind == "src" else "-d", "%s/%d" % (shown(family, start), bits)],
            lambda one: low <= one[field] <= high,
        )
    elif kind in ("in", "out"):
        if (kind == "in") == (world.hook == "OUTPUT") and world.hook != "FORWARD":
            return
        field = IIF if kind == "in" else OIF
        name = rng.choice(NAMES + ("eth+", "wg+"))
        members = [interface_range(n)[0] for n in NAMES if n == name or (name[-1] == "+" and n.startswith(name[:-1]))]
        add(["-i" if kind == "in" else "-o", name], lambda one: one[field] in members)
    else:
        first, last = sorted(rng.sample(NUMBERS, 2))
        low, high = BASE[family] + first, BASE[family] + last
        words += ["-m", "iprange"]
        add(["--src-range", "%s-%s" % (shown(family, first), shown(family, last))], lambda one: low <= one.src <= high)


def some_service(rng, world, words, tests):
    kind = rng.choice(("port", "port", "ports", "either", "icmp", "proto", "not"))
    proto, name = rng.choice(((6, "tcp"), (17, "udp")))
    no = rng.random() < 0.2
    bang = ["!"] * no
    if kind == "icmp":
        code = rng.choice(NUMBERS)
        tests.append(lambda one: one.proto == world.icmp)
        words += ["-p", "icmp" if world.family == 4 else "ipv6-icmp", "-m", "icmp" if world.family == 4 else "icmp6"]
        words += bang + ["--icmp-type" if world.family == 4 else "--icmpv6-type", rng.choice(("0", "0/%d" % code))]
        whole = "/" not in words[-1]
        tests.append(lambda one: (whole or one.dport == code) != no)
        return
    if kind in ("proto", "not"):
        words += ["!"] * (kind == "not") + ["-p", rng.choice((name, str(proto)))]
        tests.append(lambda one: (one.proto == proto) == (kind == "proto"))
        return
    words += ["-p", name]
    tests.append(lambda one: one.proto == proto)
    if kind == "port":
        low, high = sorted((rng.choice(NUMBERS), rng.choice(NUMBERS)))
        side, field = rng.choice((("--dport", DPORT), ("--dport", DPORT), ("--sport", SPORT)))
        words += ["-m", name] + bang + [side, str(low) if low == high else "%d:%d" % (low, high)]
        tests.append(lambda one: (low <= one[field] <= high) != no)
        return
    ports = rng.sample(NUMBERS, 2)
    listed = ",".join(map(str, ports))
    if kind == "ports":
        words += ["-m", "multiport"] + bang + ["--dports", listed]
        tests.append(lambda one: (one.dport in ports) != no)
    else:
        words += ["-m", "multiport"] + bang + ["--ports", listed]
        tests.append(lambda one: (one.dport in ports or one.sport in ports) != no)


def some_state(rng, words, tests):
    states = rng.sample(("NEW", "ESTABLISHED", "RELATED", "INVALID"), 2)
    no = rng.random() < 0.3
    words += ["-m", "conntrack"] + ["!"] * no + ["--ctstate", ",".join(states)]
    tests.append(lambda one: ("NEW" in states) != no)


def some_ruleset(rng, world, perhaps=0.0):
    """(policy, {chain: [Line]}): a hook's chain and three that it may jump to."""
    names = [world.hook, "one", "two", "three"]
    chains = {name: [] for name in names}
    for depth, name in enumerate(names):
        for dummy in range(rng.randint(2, 7 if depth == 0 else 4)):
            words, tests = [], []
            for dummy in range(rng.choice((0, 1, 1, 2))):
                some_match(rng, world, words, tests)
            if rng.random() < 0.6:
                some_service(rng, world, words, tests)
            if rng.random() < 0.15:
                some_state(rng, words, tests)
            if rng.random() < perhaps:
                words += ["-m", "mark", "--mark", "0x%x" % rng.randint(1, 3)]
                tests.append(lambda one: None)
            targets = ["ACCEPT", "ACCEPT", "DROP", "DROP", "LOG"] + (["RETURN"] if rng.random() < 0.5 else [])
            inner = names[depth + 1 :]
            target = rng.choice(targets + inner * 2)
            chains[name].append(Line(name, words, tests, target, target in inner and rng.random() < 0.25))
    return rng.choice(("ACCEPT", "DROP")), chains


def saved(policy, chains):
    hook = next(iter(chains))
    head = ["*filter", ":%s %s [0:0]" % (hook, policy)] + [":%s - [0:0]" % name for name in chains if name != hook]
    return "\n".join(head + [line.text() for lines in chains.values() for line in lines] + ["COMMIT"])


def run(policy, chains, one):
    """Every way that a packet can go: [(answer, path of lines, lines that matched)]."""
    hook = next(iter(chains))

    def walk(stack, path, seen):
        """stack: [(chain, next position)], the innermost last. path: for each of them the lines that led there."""
        while stack:
            name, at = stack[-1]
            if at == len(chains[name]):
                stack, path = stack[:-1], path[:-1]
                continue
            line = chains[name][at]
            stack = stack[:-1] + [(name, at + 1)]
            matched = line.matches(one)
            if matched is False or line.target == "LOG":
                continue
            if matched is None:
                yield from walk(stack, path, seen)
            seen = seen + [line]
            if line.target in ("ACCEPT", "DROP"):
                yield (
                    ALLOWED if line.target == "ACCEPT" else DENIED,
                    [step for steps in path for step in steps] + [line],
                    seen,
                )
                return
            if line.target == "RETURN":
                stack, path = stack[:-1], path[:-1]
            elif line.goto:
                # what called this chain is where the other one returns to
                stack, path = stack[:-1] + [(line.target, 0)], path[:-1] + [path[-1] + [line]]
            else:
                stack, path = stack + [(line.target, 0)], path + [[line]]
        yield ALLOWED if policy == "ACCEPT" else DENIED, [], seen

    return list(walk([(hook, 0)], [[]], []))


def answer_of(ways):
    answers = {way[0] for way in ways}
    return answers.pop() if len(answers) == 1 else UNKNOWN


def place(rule):
    return rule.chain, rule.number


def place_of(chains, line):
    return line.chain, chains[line.chain].index(line) + 1


WORLDS = [(family, hook) for family in (4, 6) for hook in ("INPUT", "FORWARD", "OUTPUT")]
SEEDS = 12


@pytest.mark.parametrize("perhaps", [0.0, 0.3], ids=["modelled", "unmodelled"])
@pytest.mark.parametrize("family,hook", WORLDS)
def test_every_packet_gets_the_answer_and_the_rule_of_a_plain_walk_through_the_chains(family, hook, perhaps):
    world = World(family, hook)
    for seed in range(SEEDS):
        rng = random.Random("%s %s %s %s" % (seed, family, hook, perhaps))
        policy, chains = some_ruleset(rng, world, perhaps)
        ruleset = parse(saved(policy, chains), family)
        program = unfold(ruleset, world.question)
        table = accepted(ruleset, world.question)
        other = accepted(ruleset, world.question, order=sweep.SOURCES_FIRST)
        for one in rng.sample(world.packets, 300):
            ways = run(policy, chains, one)
            found = program.decide(one)
            where = "%s\n%s" % (one.text(family), saved(policy, chains))
            assert found.answer == answer_of(ways), where
            assert table.answer(one) == other.answer(one) == found.answer, where
            if len(ways) == 1:
                path = [place_of(chains, line) for line in ways[0][1]] or [(hook, 0)]
                assert [place(rule) for rule in found.path] == path, where


@pytest.mark.parametrize("family,hook", WORLDS)
def test_a_difference_holds_every_packet_that_changes_and_no_other_answer(family, hook):
    world = World(family, hook)
    for seed in range(SEEDS):
        rng = random.Random("%s %s %s" % (seed, family, hook))
        one_ruleset = some_ruleset(rng, world, 0.1)
        other = some_ruleset(rng, world, 0.1)
        if seed % 2:  # a small change, as an operator makes it
            policy, chains = one_ruleset
            other = (policy, {name: list(lines) for name, lines in chains.items()})
            other[1][hook].insert(rng.randint(0, len(chains[hook])), some_ruleset(rng, world)[1][hook][0])
        old, new = (parse(saved(*ruleset), family) for ruleset in (one_ruleset, other))
        found = difference(old, new, world.question)
        changes = [(kind, change) for kind in found._fields for change in getattr(found, kind)]
        rank = {DENIED: 0, UNKNOWN: 1, ALLOWED: 2}
        for one in rng.sample(world.packets, 300):
            before, after = answer_of(run(*one_ruleset, one)), answer_of(run(*other, one))
            holding = [(kind, change) for kind, change in changes if holds(change.packets, one)]
            if before != after:
                kind = "opened" if rank[after] > rank[before] else "closed"
                assert (kind, before, after) in [(k, c.before.answer, c.after.answer) for k, c in holding]
            for kind, change in holding:
                assert after == change.after.answer
                assert before in (change.before.answer, change.after.answer) or kind == "unclear"
        for kind, change in changes:
            assert holds(change.packets, change.witness)
            assert all(change.witness[field] in values for field, values in world.sides.items())
            before, after = (answer_of(run(*ruleset, change.witness)) for ruleset in (one_ruleset, other))
            assert (before, after) == (change.before.answer, change.after.answer)
            assert kind == "unclear" or (rank[after] > rank[before]) == (kind == "opened")


def holds(group, one):
    return all(side is None or any(low <= value <= high for low, high in side) for side, value in zip(group.sides, one))


@pytest.mark.parametrize("family,hook", WORLDS)
def test_dead_redundant_and_conflicting_rules_are_those_that_a_plain_walk_finds(family, hook):
    world = World(family, hook)
    counts = [0, 0, 0]
    for seed in range(6):
        rng = random.Random("%s %s %s findings" % (seed, family, hook))
        policy, chains = some_ruleset(rng, world)
        ruleset = parse(saved(policy, chains), family)
        findings = examine(ruleset, world.question)
        assert findings.dead == dead_rules(ruleset, world.question)
        plain = plain_findings(world, policy, chains)
        dead = {place(found.rule) for found in findings.dead}
        assert dead == plain["dead"], saved(policy, chains)
        assert {place(rule) for rule in findings.redundant} == plain["redundant"], saved(policy, chains)
        assert {(place(a), place(b)) for a, b in findings.conflicting} == plain["conflicting"], saved(policy, chains)
        for found in findings.dead:
            covering = {place(rule) for rule in found.covered_by}
            for seen in plain["met"].get(place(found.rule), ()):
                assert covering & seen, (found, saved(policy, chains))
        counts = [count + len(part) for count, part in zip(counts, findings)]
    assert all(counts), "the random rulesets have none of some kind: %s" % counts


def plain_findings(world, policy, chains):
    hook = next(iter(chains))
    living, possible, met, base, conflicting, differs = set(), set(), {}, [], set(), set()
    for one in world.packets:
        ((answer, path, seen),) = run(policy, chains, one)
        base.append((one, answer, path[-1] if path else None))
        living.update(place_of(chains, line) for line in path)
        seen = {place_of(chains, line) for line in seen}
        reached = set()
        for where in reachable(chains, hook, one, (), reached):
            possible.add(where)
            met.setdefault(where, []).append(seen | reached)
    deciders = {line for _one, _answer, line in base if line}
    for line in deciders:
        rest = {name: [other for other in lines if other is not line] for name, lines in chains.items()}
        for one, answer, decider in base:
            if decider is line:
                ((instead, path, _seen),) = run(policy, rest, one)
                if instead != answer:
                    differs.add(line)
                    if path:
                        conflicting.add((place_of(chains, line), place_of(chains, path[-1])))
    for lines in chains.values():
        for line in lines:
            rest = {name: [other for other in others if other is not line] for name, others in chains.items()}
            if place_of(chains, line) in possible - living and any(
                run(policy, rest, one)[0][0] != answer for one, answer, _decider in base
            ):
                living.add(place_of(chains, line))
    redundant = {place_of(chains, line) for line in deciders - differs}
    return {"dead": possible - living, "redundant": redundant, "conflicting": conflicting, "met": met}


def reachable(chains, name, one, path, passed):
    """The places of all lines that lead a packet to a verdict, if no line before them took it. passed: all lines that match it."""
    found = set()
    for line in chains[name]:
        if line.matches(one):
            passed.add(place_of(chains, line))
            if line.target in ("ACCEPT", "DROP"):
                found.update(place_of(chains, step) for step in path + (line,))
            elif line.target in chains:
                found |= reachable(chains, line.target, one, path + (line,), passed)
    return found


def filter_of(*lines, policy="DROP", chains=()):
    return parse(
        "\n".join(
            ["*filter", ":INPUT %s [0:0]" % policy] + [":%s - [0:0]" % c for c in chains] + list(lines) + ["COMMIT"]
        ),
        4,
    )


INPUT = Question("INPUT", addresses=EVERY)


def test_rulesets_that_answer_alike_are_equal_and_have_one_hash_however_they_are_written():
    one = filter_of("-A INPUT -s 10.0.0.0/24 -p tcp -m tcp --dport 22 -j ACCEPT")
    other = filter_of(
        "-A INPUT -p udp -j DROP",
        "-A INPUT -s 10.0.0.0/25 -p tcp -m multiport --dports 22 -j ACCEPT",
        "-A INPUT -s 10.0.0.128/25 -j ssh",
        "-A ssh -p tcp ! --dport 22 -j RETURN",
        "-A ssh -p tcp -j ACCEPT",
        chains=["ssh"],
    )
    third = filter_of("-A INPUT -s 10.0.0.0/23 -p tcp -m tcp --dport 22 -j ACCEPT")
    same = {accepted(one, INPUT), accepted(other, INPUT)}
    assert len(same) == 1
    assert accepted(third, INPUT) not in same
    assert not difference(one, other, INPUT)


def test_a_rule_that_others_cover_only_together_is_dead_and_they_are_named():
    ruleset = filter_of(
        "-A INPUT -s 10.0.0.0/25 -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A INPUT -s 192.168.0.0/16 -j ACCEPT",
        "-A INPUT -s 10.0.0.128/25 -p tcp -j DROP",
        "-A INPUT -s 10.0.0.0/24 -p tcp -m tcp --dport 22 -j ACCEPT",
    )
    ((rule, covered_by),) = dead_rules(ruleset, INPUT)
    assert rule.number == 4
    assert [other.number for other in covered_by] == [1, 3]


def test_a_rate_limit_counts_both_ways_and_says_so():
    ruleset = filter_of("-A INPUT -p tcp -m tcp --dport 22 -m limit --limit 3/min -j ACCEPT")
    found = verdict(ruleset, packet(4, "10.0.0.1", "10.0.0.2", port=22, inside="eth0"), INPUT)
    assert (found.answer, found.may_allow, found.must_allow, found.rate_limited) == (UNKNOWN, True, False, True)
    assert [condition.text for condition in found.conditions] == ["limit --limit 3/min"]
    assert found.rule.number == 1


def test_an_unmodelled_match_that_changes_nothing_leaves_the_verdict_exact():
    ruleset = filter_of("-A INPUT -p tcp -m mark --mark 0x1 -j ACCEPT", "-A INPUT -p tcp -j ACCEPT")
    assert verdict(ruleset, packet(4, "10.0.0.1", "10.0.0.2", port=22, inside="eth0"), INPUT).answer == ALLOWED


def test_rules_that_differ_only_in_a_match_that_is_not_modelled_are_unclear_not_equal():
    one = filter_of("-A INPUT -p tcp -m mark --mark 0x1 -j ACCEPT")
    other = filter_of("-A INPUT -p tcp -m mark --mark 0x2 -j ACCEPT")
    found = difference(one, other, INPUT)
    assert (len(found.opened), len(found.closed), len(found.unclear)) == (0, 0, 1)
    assert not difference(one, one, INPUT)


def test_a_target_that_is_not_modelled_is_unknown_and_named():
    ruleset = filter_of("-A INPUT -p tcp -j NFQUEUE --queue-num 1", policy="ACCEPT")
    found = verdict(ruleset, packet(4, "10.0.0.1", "10.0.0.2", port=22, inside="eth0"), INPUT)
    assert found.answer == UNKNOWN
    assert [condition.text for condition in found.conditions] == ["NFQUEUE"]


def test_the_hosts_own_addresses_decide_its_address_types():
    ruleset = filter_of("-A INPUT -m addrtype --dst-type LOCAL -j ACCEPT")
    own = Question("INPUT", addresses=("10.0.1.5/24", "fd00::5/64"))

    def ask(destination, question):
        found = verdict(ruleset, packet(4, "10.0.9.9", destination, inside="eth0"), question)
        return found and found.answer

    assert ask("10.0.1.5", own) == ALLOWED
    assert ask("127.0.0.9", own) == ALLOWED
    assert ask("10.0.1.255", own) == DENIED
    assert ask("224.0.0.1", own) == DENIED
    assert ask("10.0.1.6", own) is None, "no packet to another host comes to INPUT"
    assert ask("10.0.1.5", Question("INPUT")) == UNKNOWN
    assert ask("10.0.1.5", INPUT) == ALLOWED
    assert ask("255.255.255.255", INPUT) == DENIED


def test_what_is_forwarded_is_neither_from_nor_to_the_host_itself():
    text = "*filter\n:FORWARD DROP [0:0]\n-A FORWARD -m addrtype ! --%s-type LOCAL -j ACCEPT\nCOMMIT\n"
    one = packet(4, "10.0.0.1", "10.0.1.1", inside="eth0", outside="eth1")
    for side in ("src", "dst"):
        ruleset = parse(text % side, 4)
        assert verdict(ruleset, one, Question("FORWARD", addresses=EVERY)).answer == ALLOWED
        assert verdict(ruleset, one, Question("FORWARD", addresses=("10.0.1.1/24",))).answer == (
            DENIED if side == "dst" else ALLOWED
        )
        assert verdict(ruleset, one, Question("FORWARD")).answer == UNKNOWN


def test_another_table_that_can_stop_a_packet_is_asked_too():
    text = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP\nCOMMIT\n*filter\n:FORWARD ACCEPT [0:0]\nCOMMIT"
    found = verdict(
        parse(text, 4), packet(4, "10.0.0.1", "172.17.0.2", inside="eth0", outside="docker0"), Question("FORWARD")
    )
    assert (found.answer, found.rule.table, found.rule.chain) == (DENIED, "raw", "PREROUTING")
    found = verdict(
        parse(text, 4), packet(4, "10.0.0.1", "172.17.0.3", inside="eth0", outside="docker0"), Question("FORWARD")
    )
    assert (found.answer, found.rule.table) == (ALLOWED, "filter")


def published(source, port, translated=True, state="NEW"):
    ruleset = parse(fixture("docker_debian13.v4"), 4)
    one = packet(4, source, "172.17.0.2", "tcp", 80, inside="eth0", outside="docker0", original=("10.9.9.9", port))
    return verdict(ruleset, one, Question("FORWARD", state, EVERY, translated))


def fixture(name):
    return (pathlib.Path(__file__).parent / "fixtures" / name).read_text()


def test_a_published_port_is_judged_by_the_port_that_the_packet_was_first_sent_to():
    assert published("10.0.1.9", 8080).answer == ALLOWED
    assert published("10.0.2.9", 8080).answer == DENIED
    assert published("10.0.2.9", 8080).rule.chain == "DOCKER-USER"
    assert published("10.0.1.9", 80).answer == DENIED
    assert published("10.0.1.9", 8080, translated=False).answer == DENIED
    assert published("10.0.1.9", 8080, translated=None).answer == UNKNOWN, "the nat table may have translated it"
    assert published("10.0.2.9", 8080, translated=None).answer == DENIED, "translated or not"


def test_what_may_reach_a_published_port_is_found_as_a_set():
    ruleset = parse(fixture("docker_debian13.v4"), 4)
    eth0 = (interface_range("eth0"),)
    docker0 = (interface_range("docker0"),)
    target = (address_range("172.17.0.2", 4),)
    within = ((IIF, eth0), (OIF, docker0), (DST, target), (PROTO, ((6, 6),)), (DPORT, ((80, 80),)))
    found = accepted(ruleset, Question("FORWARD", addresses=EVERY, translated=True, within=within)).sets()
    assert [group.text() for group in found] == ["tcp from 10.0.1.0/24 to any first sent to port 8080"]


@pytest.mark.parametrize("release", ["debian12", "debian13"])
def test_what_ufw_on_a_debian_lets_in_is_what_its_operator_asked_for(release):
    ruleset = parse(fixture("ufw_%s.v4" % release), 4)
    table = accepted(ruleset, INPUT)
    assert sorted(group.text() for group in table.sets()) == [
        "any from any to any in on lo",
        "esp from 10.0.2.0/24 to any",
        "icmp type 3,8,11:12 from any to any",
        "tcp 22 from 10.0.1.0/24 to any",
        "tcp 53,8080 from any but 203.0.113.0/24 to any",
        "tcp 80,443 from any to any in on eth0,lo",
        "tcp,udp 53 from any but 203.0.113.0/24 to any",
        "udp 1900 from any to 239.255.255.250",
        "udp 53,4789 from any but 203.0.113.0/24 to any in on lo,wg+",
        "udp 5353 from any to 224.0.0.251",
        "udp 67 from 10.0.5.5 port 68 to 10.0.5.1",
        "udp 68 from any port 67 to any",
        "udp 8000:8010,9100 from 10.0.3.0/24 to any",
    ]
    assert [group.text() for group in table.sets(UNKNOWN)] == ["tcp 2222 from any to any in on any but lo"]
    routes = accepted(ruleset, Question("FORWARD", addresses=EVERY)).sets()
    assert [group.text() for group in routes] == [
        "icmp type 3,8,11:12 from any to any",
        "tcp 443 from 10.0.1.0/24 to 10.0.3.5 in on eth0 out on wg0",
    ]
    six = accepted(parse(fixture("ufw_%s.v6" % release), 6), INPUT)
    assert "tcp 22 from fd00:116::/64 to any" in [group.text() for group in six.sets()]


def test_ufws_limit_is_rate_limited_and_leads_back_to_the_rule_of_its_operator():
    ruleset = parse(fixture("ufw_debian12.v4"), 4)
    found = verdict(ruleset, packet(4, "192.0.2.7", "10.0.1.5", port=2222, inside="eth0"), INPUT)
    assert found.rate_limited
    assert {rule.chain for rule in found.rules} == {"ufw-user-limit", "ufw-user-limit-accept"}
    assert "ufw-user-input" in [rule.chain for rule in found.path]


def test_a_change_of_a_ufw_host_is_told_in_the_terms_of_its_rules():
    text = fixture("ufw_debian12.v4")
    narrowed = text.replace("-s 10.0.1.0/24 -p tcp -m tcp --dport 22", "-s 10.0.1.0/25 -p tcp -m tcp --dport 22")
    widened = narrowed.replace("-s 10.0.3.0/24 -p udp", "-s 10.0.2.0/23 -p udp")
    assert text != narrowed != widened
    found = difference(parse(text, 4), parse(widened, 4), INPUT)
    assert texts(found.opened) == ["udp 8000:8010,9100 from 10.0.2.0/23 to any: denied -> allowed"]
    assert [change.text() for change in found.closed] == [
        "tcp 22 from 10.0.1.128/25 to any in on any but lo: allowed -> denied"
    ]
    (change,) = found.closed
    assert change.before.rule.chain == "ufw-user-input"
    assert (change.after.rule.chain, change.after.rule.number) == ("INPUT", 0)
    assert change.witness.text(4) == "tcp 22 from 10.0.1.129 port 40000 to 192.0.2.2 in on eth1"


def texts(changes):
    return [change.text() for change in changes]


def test_what_a_new_rule_opens_is_told_as_the_rule_whatever_had_denied_it_before():
    old = ["-A INPUT -p udp -m udp --dport 137 -j DROP", "-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"]
    new = ["-A INPUT -s 10.9.0.0/16 -j ACCEPT"] + old
    assert texts(difference(filter_of(*old), filter_of(*new), INPUT).opened) == [
        "any from 10.9.0.0/16 to any: denied -> allowed"
    ]
    denied = ["-A INPUT -p tcp -j DROP", "-A INPUT ! -p tcp -j DROP"]
    assert texts(difference(filter_of(*denied), filter_of(*new[:1] + denied), INPUT).opened) == [
        "any from 10.9.0.0/16 to any: denied -> allowed"
    ]
    assert texts(difference(filter_of(*new), filter_of(*old), INPUT).closed) == [
        "any but tcp from 10.9.0.0/16 to any: allowed -> denied",
        "tcp,udp any but 22 from 10.9.0.0/16 to any: allowed -> denied",
    ]


def test_what_a_new_deny_closes_is_only_what_was_open_and_comes_back_when_it_goes():
    old = ["-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT"]
    new = ["-A INPUT -s 10.9.0.0/16 -p tcp -j DROP"] + old
    assert texts(difference(filter_of(*old), filter_of(*new), INPUT).closed) == [
        "tcp 22 from 10.9.0.0/16 to any: allowed -> denied"
    ]
    assert texts(difference(filter_of(*new), filter_of(*old), INPUT).opened) == [
        "tcp 22 from 10.9.0.0/16 to any: denied -> allowed"
    ]
    broad = ["-A INPUT -p tcp -j ACCEPT"]
    assert texts(difference(filter_of(*new[:1] + broad), filter_of(*broad), INPUT).opened) == [
        "tcp from 10.9.0.0/16 to any: denied -> allowed"
    ]


def test_a_return_that_comes_back_before_a_dead_rule_is_not_what_covers_it():
    ruleset = filter_of(
        "-A INPUT -j one",
        "-A INPUT -p tcp -j DROP",
        "-A INPUT -p tcp -j ACCEPT",
        "-A one -p tcp -j RETURN",
        "-A one -s 10.0.0.0/8 -j DROP",
        chains=["one"],
    )
    ((rule, covered_by),) = dead_rules(ruleset, INPUT)
    assert (place(rule), [place(other) for other in covered_by]) == (("INPUT", 3), [("INPUT", 2)])


def test_a_return_goes_past_one_that_would_have_led_nowhere():
    ruleset = filter_of(
        "-A INPUT -s 10.0.0.0/8 -j one",
        "-A INPUT -j ACCEPT",
        "-A one -p tcp -j two",
        "-A one -p udp -j RETURN",
        "-A two -p tcp -m tcp --dport 22 -j RETURN",
        "-A two -j DROP",
        chains=["one", "two"],
    )
    assert verdict(ruleset, packet(4, "10.0.0.1", "10.0.0.2", port=22, inside="eth0"), INPUT).answer == ALLOWED
    assert verdict(ruleset, packet(4, "10.0.0.1", "10.0.0.2", port=23, inside="eth0"), INPUT).answer == DENIED


def test_the_work_is_bounded_by_an_error_that_says_so():
    rng = random.Random(1)
    lines = [
        "-A INPUT -s 10.0.0.%d/32 -p tcp -m tcp --dport %d -j ACCEPT" % (rng.randint(0, 255), port)
        for port in range(1, 500)
    ]
    with pytest.raises(TooComplex, match="more than 100 segments"):
        accepted(filter_of(*lines), INPUT, budget=Budget(segments=100))


def test_chains_that_explode_when_they_are_expanded_are_refused():
    names = ["c%d" % n for n in range(12)]
    lines = ["-A INPUT -j c0"]
    for number, (name, following) in enumerate(zip(names, names[1:]), 1):
        for side in ("--sport", "--dport"):
            lines += [f"-A {name} -p tcp -m tcp {side} {number}:65535 -j {following}"]
    lines += ["-A c11 -j ACCEPT"]
    with pytest.raises(TooComplex, match="more than 1000 rules"):
        unfold(filter_of(*lines, chains=names), INPUT, budget=Budget(instances=1000))


def test_a_loop_of_jumps_is_refused():
    ruleset = filter_of("-A INPUT -j one", "-A one -j two", "-A two -j one", chains=["one", "two"])
    with pytest.raises(ValueError, match="loop"):
        unfold(ruleset, INPUT)


def test_a_new_tcp_connection_is_a_syn():
    ruleset = filter_of("-A INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -j DROP", "-A INPUT -p tcp -j ACCEPT")
    one = packet(4, "10.0.0.1", "10.0.0.2", inside="eth0")
    assert verdict(ruleset, one, INPUT).answer == ALLOWED
    assert verdict(ruleset, one, INPUT._replace(state="ESTABLISHED")).answer == UNKNOWN


def test_an_established_connection_is_asked_about_by_its_state():
    ruleset = parse(fixture("ufw_debian12.v4"), 4)
    one = packet(4, "10.0.2.1", "10.0.0.2", port=4444, inside="eth0")
    assert verdict(ruleset, one, INPUT).answer == DENIED
    assert verdict(ruleset, one, INPUT._replace(state="ESTABLISHED")).answer == ALLOWED
    assert verdict(ruleset, one, INPUT._replace(state="INVALID")).answer == DENIED
    origin = filter_of("-A INPUT -m conntrack --ctorigsrc 10.0.2.0/24 -j ACCEPT")
    assert verdict(origin, one, INPUT).answer == ALLOWED
    assert verdict(origin, one, INPUT._replace(state="ESTABLISHED")).answer == UNKNOWN, "it may be an answer"


@pytest.mark.parametrize(
    "sides,text",
    [
        ({}, "any from any to any"),
        ({PROTO: ((6, 6),), DPORT: ((22, 22), (80, 90))}, "tcp 22,80:90 from any to any"),
        ({PROTO: ((0, 5), (7, 255))}, "any but tcp from any to any"),
        ({SRC: (address_range("10.0.0.0/24", 4),)}, "any from 10.0.0.0/24 to any"),
        ({SRC: ((0x0A000000, 0x0A000002),)}, "any from 10.0.0.0/31,10.0.0.2 to any"),
        ({SRC: ((0x0A000001, 0x0A0000FE),)}, "any from 10.0.0.1-10.0.0.254 to any"),
        (
            {DST: fields.complement((address_range("10.0.0.0/8", 4),), 0, 2**32 - 1)},
            "any from any to any but 10.0.0.0/8",
        ),
        (
            {IIF: (interface_range("eth0"),), OIF: (interface_range("wg+"),)},
            "any from any to any in on eth0 out on wg+",
        ),
        ({PROTO: ((1, 1),), DPORT: ((2048, 2303), (768, 769))[::-1]}, "icmp type 3/0:3/1,8 from any to any"),
        ({PROTO: ((6, 6),), SPORT: ((68, 68),)}, "tcp from any port 68 to any"),
        ({PROTO: ((1, 2),)}, "icmp,igmp from any to any"),
        ({PROTO: ((0, 1),)}, "protocol 0:1 from any to any"),
        ({PROTO: ((88, 88),)}, "protocol 88 from any to any"),
        ({PROTO: ((46, 51),)}, "protocol 46:51 from any to any"),
        ({PROTO: ((50, 51),), DPORT: ((22, 22),)}, "esp,ah from any to any"),
        ({DPORT: ((22, 22),)}, "any 22 from any to any"),
        (
            {ODST: (address_range("10.0.0.1", 4),), OPORT: ((80, 80),)},
            "any from any to any first sent to 10.0.0.1 first sent to port 80",
        ),
        ({OPORT: ((0, 21), (23, 65535))}, "any from any to any first sent to port any but 22"),
        ({SPORT: ((0, 21), (23, 65535))}, "any from any port any but 22 to any"),
        ({PROTO: ((1, 1),), DPORT: ((768, 1279),)}, "icmp type 3:4 from any to any"),
        (
            {IIF: ((1, interface_range("eth0")[0] - 1), (interface_range("eth0")[0] + 1, LAST_NAME))},
            "any from any to any in on any but eth0",
        ),
    ],
)
def test_a_set_of_packets_is_text_for_people(sides, text):
    assert PacketSet(4, tuple(sides.get(field) for field in fields.FIELDS)).text() == text
