# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Dead, redundant and conflicting rules, beside what is not modelled: every value of it counts."""

from __future__ import annotations

import itertools
import random

import pytest
from asking import rules, table

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import accepted
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.findings import dead_rules, examine
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import (
    EVERY,
    Budget,
    Question,
    TooComplex,
)

INPUT = Question("INPUT", addresses=EVERY)


def numbers(ruleset):
    return [(dead.rule.chain, dead.rule.number) for dead in dead_rules(ruleset, INPUT)]


PERHAPS = ["-m limit --limit 3/min", "-m recent --update --seconds 30", "-m set --match-set s src", "-m mark --mark 1"]


@pytest.mark.parametrize("perhaps", PERHAPS)
def test_a_rule_behind_one_that_matches_only_at_times_is_not_dead(perhaps):
    line = "-A INPUT -p tcp --dport 22"
    assert numbers(rules(f"{line} {perhaps} -j ACCEPT", f"{line} -j ACCEPT")) == []
    assert numbers(rules(f"{line} {perhaps} -j DROP", f"{line} {perhaps} -j DROP", policy="ACCEPT")) == []
    assert numbers(rules(f"{line} -j ACCEPT", f"{line} {perhaps} -j DROP")) == [("INPUT", 2)]


def test_a_rule_behind_a_target_that_is_not_known_is_not_dead():
    assert numbers(rules("-A INPUT -j XUNHEARD", "-A INPUT -p tcp -j ACCEPT")) == []
    assert numbers(rules("-A INPUT -j NFQUEUE", "-A INPUT -p tcp -j ACCEPT")) == [("INPUT", 2)]


def test_a_goto_past_a_rule_that_would_decide_is_not_dead():
    lines = ["-A INPUT -j one", "-A INPUT -j ACCEPT", "-A one -p tcp -g two", "-A one -j DROP", "-A two -p udp -j DROP"]
    assert ("one", 1) not in numbers(rules(*lines, chains=("one", "two")))


def test_an_accept_of_another_table_that_saves_packets_from_its_drop_is_not_dead():
    lines = [
        "-A INPUT -p tcp -j one",
        "-A INPUT -p tcp -j DROP",
        "-A one -s 10.0.0.0/8 -j ACCEPT",
        "-A one -s 10.0.0.0/9 -j DROP",
    ]
    text = table("mangle", ":INPUT ACCEPT", ":one -", *lines) + table("filter", ":INPUT ACCEPT")
    assert numbers(parse(text, 4)) == [("one", 2)]


def test_findings_name_the_rules_and_what_covers_them():
    ruleset = rules(
        "-A INPUT -p tcp --dport 22 -j ACCEPT",
        "-A INPUT -s 10.0.0.0/8 -p tcp -j DROP",
        "-A INPUT -s 10.0.0.0/8 -p tcp --dport 22 -j DROP",
        "-A INPUT -p tcp --dport 22:80 -j ACCEPT",
        "-A INPUT -p udp --dport 9 -j DROP",
    )
    found = examine(ruleset, INPUT)
    assert [(dead.rule.number, [by.number for by in dead.covered_by]) for dead in found.dead] == [(3, [1])]
    assert [rule.number for rule in found.redundant] == [5]
    assert [(pair.rule.number, pair.later.number) for pair in found.conflicting] == [(1, 2), (2, 4)]


def test_the_work_is_bounded():
    rng = random.Random(1)
    lines = [f"-A INPUT -s 10.0.0.{rng.randint(0, 255)}/32 -p tcp --dport {port} -j ACCEPT" for port in range(1, 300)]
    for question in (dead_rules, examine):
        with pytest.raises(TooComplex):
            question(rules(*lines), INPUT, Budget(segments=100))


# -- removed one at a time, under every value of what is not modelled ------------------------------------------------

WORLD = list(itertools.product(range(4), range(3)))  # (last byte of the source, port)


def random_rules(rng):
    """[(source or None, port or None, name of what is uncertain or "", target)]"""
    return [
        (
            rng.choice((None, 0, 1, 2, 3)),
            rng.choice((None, 0, 1, 2)),
            rng.choice(("", "", f"s{number}")),
            rng.choice(("ACCEPT", "DROP", "one", "RETURN")),
        )
        for number in range(rng.randint(3, 6))
    ]


def line(chain, rule):
    source, port, name, target = rule
    words = [f"-A {chain}"]
    words += [f"-s 10.0.0.{source}"] if source is not None else []
    words += [f"-p tcp -m tcp --dport {port}"] if port is not None else []
    words += [f"-m set --match-set {name} src"] if name else []
    return " ".join([*words, "-j", target])


def decide(chains, values, packet, without=None):
    """The verdict of a plain walk; values: what is uncertain and true, by place."""

    def walk(chain):
        for number, (source, port, name, target) in enumerate(chains[chain]):
            if (chain, number) == without or (name and not values[chain, number]):
                continue
            if source not in (None, packet[0]) or port not in (None, packet[1]):
                continue
            if target == "RETURN":
                return None
            found = walk(target) if target == "one" else target
            if found:
                return found
        return None

    return walk("INPUT") or "DROP"


@pytest.mark.parametrize("seed", range(40))
def test_no_dead_rule_changes_an_answer_when_it_is_removed_whatever_is_not_known(seed):
    rng = random.Random(seed)
    chains = {
        "INPUT": random_rules(rng),
        "one": [(*rule[:3], rule[3] if rule[3] != "one" else "DROP") for rule in random_rules(rng)],
    }
    text = [line(chain, rule) for chain, its in chains.items() for rule in its]
    places = [(chain, number) for chain, its in chains.items() for number, rule in enumerate(its) if rule[2]]
    findings = examine(rules(*text, chains=("one",)), INPUT)
    dead = {(found.rule.chain, found.rule.number - 1) for found in findings.dead}
    assert dead == {
        (found.rule.chain, found.rule.number - 1) for found in dead_rules(rules(*text, chains=("one",)), INPUT)
    }
    unneeded = dead | {(rule.chain, rule.number - 1) for rule in findings.redundant}
    changes = set()
    for choice in itertools.product((True, False), repeat=len(places)):
        values = dict(zip(places, choice))
        for packet in WORLD:
            answer = decide(chains, values, packet)
            changes |= {place for place in unneeded if decide(chains, values, packet, place) != answer}
    assert not changes, "\n".join(text)


# -- what is not looked at ---------------------------------------------------------------------------------------------

LATER = [f"-A INPUT -s 10.0.{n}.0/24 -d 10.1.{n}.0/24 -p tcp --dport {2 * n} -j DROP" for n in range(150)]


def spent(ask, *lines):
    budget = Budget()
    ask(rules(*lines, *LATER), INPUT, budget=budget)
    return budget.spent


def test_what_a_rule_takes_whole_is_cut_no_further():
    first = "-A INPUT -p tcp -j ACCEPT"
    assert spent(accepted, first) < 20 < 300 < spent(accepted)


def test_what_two_rules_take_whole_is_cut_no_further_for_the_findings_either():
    """Two: a finding is about the ruleset without the first of them, too."""
    first = ["-A INPUT -p tcp -j ACCEPT", "-A INPUT -p tcp -j DROP"]
    for ask in (dead_rules, examine):
        assert spent(ask, *first) < 60 < 300 < spent(ask, first[0])
