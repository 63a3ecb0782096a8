# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A program of instances, beside a walk through it for every value of what is not known; and the budget."""

from __future__ import annotations

import itertools
import random

import pytest
from asking import rules

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets import program as programs
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets import sweep
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import accepted
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    FIELDS,
    IIF,
    LAST_NAME,
    OIF,
    PROTO,
    SPORT,
    SRC,
    merged,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.findings import _Blockers, dead_rules, examine
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Rule
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import (
    ALLOW,
    ALLOWED,
    DENIED,
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
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import unfold

SEEDS = range(60)


def some_program(
    rng, count, sides=lambda rng: (None,) * len(FIELDS), actions=(ALLOW, DENY, SKIP, SKIP, EITHER), unknown=0.4
):
    """Instances that each have a condition of their own, or none."""
    program = Program(rules(policy=rng.choice(("ACCEPT", "DROP"))), Question(addresses=EVERY), Budget())
    program.policy_allows = rng.random() < 0.5
    chosen = [rng.choice(actions) for _i in range(count)]
    for i, action in enumerate(chosen):
        condition = Condition(f"c{i}", rng.random() < 0.5) if rng.random() < unknown and action != OUTSIDE else None
        program.add(sides(rng), action, (Rule("filter", "INPUT", i + 1, f"rule {i}", (), "ELSE"),), condition)
    program.target = [rng.randint(i + 1, count) if action == SKIP else 0 for i, action in enumerate(chosen)]
    for side, column in zip(program.sets, zip(*program.boxes)):
        side[:] = column
    return program


def ways(program, active):
    """Every way of a packet that meets just these instances: (answer, the instance that gives it, those it came to)."""
    unsure = [i for i in active if program.condition[i] is not None]
    for values in itertools.product((True, False), repeat=len(unsure)):
        holds = dict(zip(unsure, values))
        at, met = 0, []
        while True:
            at = next((i for i in active if i >= at), None)
            if at is None:
                yield (ALLOWED if program.policy_allows else DENIED), -1, met
                break
            met.append(at)
            action = program.action[at]
            if not holds.get(at, True):
                at += 1
            elif action == SKIP:
                at = program.target[at]
            elif action == EITHER:
                yield ALLOWED, at, met
                yield DENIED, at, met
                break
            else:
                yield (None if action == OUTSIDE else ALLOWED if action == ALLOW else DENIED), at, met
                break


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outcome_is_what_every_value_of_the_unknown_leads_to(seed):
    rng = random.Random(seed)
    program = some_program(rng, 7)
    for active in [sorted(rng.sample(range(7), rng.randint(0, 7))) for _round in range(12)]:
        answer, deciding, trace = program.outcome(active)
        found = list(ways(program, active))
        answers = {way[0] for way in found}
        assert answer == (answers.pop() if len(answers) == 1 else UNKNOWN)
        # Whether a way can be taken depends on the values alone, and so all that may decide are named.
        assert set(deciding) == {way[1] for way in found}
        assert list(program.reached(active)) == sorted({i for way in found for i in way[2]})
        if answer != UNKNOWN:
            assert trace == ()
            assert len(deciding) == 1 or deciding[0] == max(deciding, key=lambda i: i if i >= 0 else 99)
        else:
            met = {i for way in found for i in way[2]}
            named = [i for i in sorted(met) if program.condition[i] is not None or program.action[i] == EITHER]
            expected = [program.condition[i] or Condition("ELSE", False) for i in named]
            assert [condition for condition, _action in trace if condition is not None] == expected
            assert deciding[0] == min(deciding, key=lambda i: i if i >= 0 else 99)
        verdict = program.verdict((answer, deciding, trace))
        assert verdict.rule == (program.path[deciding[0]][-1] if deciding[0] >= 0 else program.policy)
        assert [rule.number for rule in verdict.rules] == [i + 1 if i >= 0 else 0 for i in deciding]
        assert verdict.may_allow == (answer != DENIED) and verdict.must_allow == (answer == ALLOWED)
        assert verdict.rate_limited == (answer == UNKNOWN and all(c.rate for c in verdict.conditions))


def test_what_is_outside_the_question_has_no_verdict_wherever_it_stands():
    for seed in range(40):
        program = some_program(random.Random(seed), 5, actions=(ALLOW, DENY, SKIP, OUTSIDE), unknown=0.2)
        for active in itertools.combinations(range(5), 3):
            outside = any(way[0] is None for way in ways(program, active))
            found = program.outcome(active)
            assert (program.verdict(found) is None) == outside
            assert not outside or found == (None, (), ())


# -- swept ----------------------------------------------------------------------------------------------------------

#: Few values of each field, the highest of all among them.
POINTS = {
    IIF: (1, 7, LAST_NAME),
    OIF: (0,),
    PROTO: (0, 6, 255),
    SRC: (0, 5, 2**32 - 1),
    DST: (0, 9, 2**32 - 1),
    SPORT: (0, 65535),
    DPORT: (0, 22, 65535),
}


def some_sides(rng, wide=False):
    sides = [None] * len(FIELDS)
    for field in rng.sample((IIF, PROTO, SRC, DST, SPORT, DPORT), rng.choice((3, 4) if wide else (0, 1, 1, 2, 3))):
        points = POINTS[field]
        top = points[-1]
        if wide:  # all but one value, or all but the ends
            gap = rng.choice(points)
            found = merged(part for part in ((points[0], gap - 1), (gap + 1, top)) if part[0] <= part[1])
        else:
            low, high = sorted(rng.choice(points) for _end in range(2))
            found = ((low, high),)
        sides[field] = found if found != ((points[0], top),) else None
    return tuple(sides)


def everywhere(rng, count):
    for _round in range(count):
        one = [rng.choice(POINTS.get(field, (0,))) for field in FIELDS]
        yield [
            value + (rng.choice((0, 0, 1)) if value not in POINTS.get(field, (0,))[-1:] else 0)
            for field, value in zip(FIELDS, one)
        ]


@pytest.mark.parametrize("plain", [0, 1000], ids=["broad rules looked for", "not looked for"])
@pytest.mark.parametrize("unknown", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(8))
def test_a_swept_program_answers_each_packet_as_a_walk_does(seed, unknown, plain, monkeypatch):
    monkeypatch.setattr(sweep, "PLAIN", plain)
    rng = random.Random(f"{seed} {unknown}")
    wide = rng.random() < 0.5
    program = some_program(
        rng,
        14,
        lambda rng: some_sides(rng, wide and rng.random() < 0.6),
        actions=(ALLOW, DENY, ALLOW, DENY, SKIP) if unknown or rng.random() < 0.3 else (ALLOW, DENY),
        unknown=unknown,
    )
    for order in (sweep.SERVICES_FIRST, sweep.SOURCES_FIRST):
        cells = sweep.Cells(program, order)
        blockers = _Blockers(program, order, range(len(program)))
        for one in everywhere(rng, 150):
            active = [i for i in range(len(program)) if program.holds(i, one)]
            assert cells.lookup(one) == blockers.lookup(one) == program.outcome(active)


@pytest.mark.parametrize("seed", range(6))
def test_rules_that_take_everything_but_a_little_leave_just_that(seed, monkeypatch):
    monkeypatch.setattr(sweep, "PLAIN", 0)
    rng = random.Random(seed)
    program = some_program(rng, 25, lambda rng: some_sides(rng, True), (ALLOW, DENY), 0)
    cells = sweep.Cells(program, sweep.SERVICES_FIRST)
    for leaf, sides in cells.products({number for number, _value in cells.leaves()}):
        one = [rng.choice(side or (bounds,))[rng.randint(0, 1)] for side, bounds in zip(sides, program.universe)]
        assert cells.nodes[leaf][1] == program.outcome([i for i in range(25) if program.holds(i, one)])


# -- the budget ------------------------------------------------------------------------------------------------------


def test_a_budget_is_spent_exactly_at_its_limit():
    now = [0.0]
    budget = Budget(segments=10, seconds=5, clock=lambda: now[0])
    budget.spend(4)
    budget.spend(6)
    assert budget.spent == 10
    with pytest.raises(
        TooComplex, match="^the ruleset: its sets of packets have more than 10 segments; ask for a part"
    ):
        budget.spend(1)
    budget = Budget(segments=10, seconds=5, clock=lambda: now[0])
    now[0] = 5.0
    budget.check()
    budget.spend(1)
    now[0] = 5.1
    for call in (budget.check, lambda: budget.spend(1)):
        with pytest.raises(TooComplex, match="^the ruleset: not done in 5 s; ask for a part of its packets"):
            call()


def test_a_program_has_as_many_instances_as_its_budget_lets_it_have():
    for most, fits in ((3, True), (2, False)):
        program = Program(rules(), Question(), Budget(instances=most))
        box = (None,) * len(FIELDS)
        try:
            for _i in range(3):
                program.add(box, ALLOW, ())
        except TooComplex as error:
            assert "the chains of INPUT: expanded, they have more than 2 rules" in str(error)
            assert not fits
        else:
            assert fits and len(program) == 3


@pytest.mark.parametrize(
    ("hook", "iif", "oif"),
    [
        ("INPUT", (1, LAST_NAME), (0, 0)),
        ("OUTPUT", (0, 0), (1, LAST_NAME)),
        ("FORWARD", (1, LAST_NAME), (1, LAST_NAME)),
    ],
)
def test_a_packet_has_the_interfaces_of_its_hook(hook, iif, oif):
    program = Program(rules(), Question(hook), Budget())
    assert (program.universe[IIF], program.universe[OIF]) == (iif, oif)
    assert program.universe[SRC] == (0, 2**32 - 1) and program.universe[PROTO] == (0, 255)


def test_what_is_beyond_the_question_is_so_in_one_of_its_limits():
    program = Program(rules(), Question(), Budget())
    program.limits = [(PROTO, ((0, 5), (7, 255))), (SRC, ((100, 2**32 - 1),))]
    assert [
        program.beyond([{PROTO: proto, SRC: source}.get(field) for field in FIELDS])
        for proto, source in (
            (None, None), (((6, 6),), None), (((5, 5),), None), (((5, 6),), None), (None, ((100, 200),)), (None, ((99, 200),)), (((6, 6),), ((3, 3),)),
        )
    ] == [False, False, True, False, True, False, False]  # fmt: skip


def test_the_bounds_are_far_from_what_hosts_have():
    budget = Budget()
    assert budget.instances >= 100000 and budget.segments >= 1000000 and 10 <= budget.seconds <= 60
    assert programs.Budget(seconds=3).end - programs.time.monotonic() <= 3


# -- shapes that explode ---------------------------------------------------------------------------------------------


def negations(rng, count, more=""):
    """Rules that each take nearly everything, in three fields."""
    return [
        f"-A INPUT ! -s 10.{rng.randint(0, 99)}.0.0/16 ! -d 10.{rng.randint(0, 99)}.0.0/16 -p tcp ! --dport {rng.randint(1, 999)}"
        f"{more % number if more else ''} -j {rng.choice(('ACCEPT', 'DROP'))}"
        for number in range(count)
    ]


def test_many_rules_that_each_take_nearly_everything_are_little_work(monkeypatch):
    ruleset = rules(*negations(random.Random(1), 200))
    accepted(ruleset, Question(addresses=EVERY), budget=Budget(segments=3000))
    monkeypatch.setattr(sweep, "PLAIN", 10**9)
    with pytest.raises(TooComplex, match="more than 3000 segments"):
        accepted(ruleset, Question(addresses=EVERY), budget=Budget(segments=3000))


@pytest.mark.parametrize("seed", range(3))
def test_rules_that_together_take_everything_are_named_as_what_covers_the_dead_ones(seed, monkeypatch):
    ruleset = rules(*negations(random.Random(seed), 14), "-A INPUT -p tcp --dport 22 -j ACCEPT")
    found = []
    for plain in (0, 10**9):
        monkeypatch.setattr(sweep, "PLAIN", plain)
        found.append({dead.rule for dead in dead_rules(ruleset, Question(addresses=EVERY))})
    assert found[0] == found[1] and ruleset.tables["filter"]["INPUT"].rules[-1] in found[0]


@pytest.mark.parametrize("look", [accepted, dead_rules, examine])
@pytest.mark.parametrize("more", ["", " -m limit --limit %d/sec"])
def test_what_is_too_much_ends_soon_after_its_time(look, more):
    now = [0.0]

    def clock():
        now[0] += 0.01
        return now[0]

    lines = negations(random.Random(2), 60, more)
    lines += [f"-A INPUT -m mark --mark {number} -j DROP" for number in range(60)]
    with pytest.raises(TooComplex, match="not done in 0.3 s"):
        look(rules(*lines, chains=("one",)), Question(addresses=EVERY), budget=Budget(seconds=0.3, clock=clock))
    assert now[0] < 0.4


def test_a_rule_behind_more_than_a_field_has_values_takes_what_it_names():
    lines = [f"-A INPUT -s 10.0.{number // 250}.{number % 250} -p tcp --dport 22 -j DROP" for number in range(300)]
    found = accepted(rules(*lines, "-A INPUT -s 10.0.0.0/8 -p udp -j ACCEPT"), Question(addresses=EVERY))
    assert [group.text() for group in found.sets(ALLOWED)] == ["udp from 10.0.0.0/8 to any"]


def test_the_order_of_the_fields_is_that_of_fewer_segments():
    def order(sources, services, both=0):
        lines = [f"-A INPUT -s 10.0.0.{number} -j DROP" for number in range(sources)]
        lines += [f"-A INPUT -p tcp --dport {number + 1} -j DROP" for number in range(services)]
        lines += [f"-A INPUT -s 10.1.0.{number} -p tcp --dport {number + 900} -j DROP" for number in range(both)]
        return sweep.best_order([unfold(rules(*lines), Question(addresses=EVERY))])

    assert order(30, 3) == order(5, 1) == sweep.SOURCES_FIRST
    assert order(3, 30) == order(3, 3) == order(0, 5) == order(0, 0, 9) == sweep.SERVICES_FIRST
