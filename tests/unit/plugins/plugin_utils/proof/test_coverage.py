from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.coverage import (
    FEW,
    SMALL,
    Coverage,
    choose,
    kind_of,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import Leg, Target, by_host, jobs_from, ports_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import declared
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy

SITE = parse_site(
    {
        "bulkhead_tiers": {"web": {"vlan": 1, "subnet": "10.1.0.0/16"}},
        "bulkhead_services": {"ssh": "22/tcp", "http": "80/tcp"},
        "bulkhead_flows": [{"from": "web", "to": "self", "allow": "ssh"}],
    },
    date(2026, 1, 1),
)


def probes_of(number, coverage=Coverage.CLASSES):
    """How many probes each host of a tier of so many hosts sends."""
    legs = [Leg(f"h{n}", f"10.1.{n // 250}.{n % 250 + 1}", 16, "eth0", "web") for n in range(number)]
    choice = choose({leg.host: "alike" for leg in legs}, "1", coverage)
    policy, ports = Policy(SITE), ports_of(SITE, [], "1")
    targets = {leg.host: Target(ports) for leg in legs}
    dests, of_host = choice.by_source(), by_host(legs)
    return {
        leg.host: len(
            jobs_from(leg.host, n, of_host, targets, lambda *flow: declared(policy, *flow), "1", dests=dests[leg.host])
        )
        for n, leg in enumerate(legs)
        if leg.host in dests
    }


def test_a_thousand_hosts_of_one_tier_cost_no_more_probes_a_host_than_ten_and_far_fewer_than_their_square():
    ten, thousand = probes_of(10), probes_of(1000)
    assert len(ten) == 10 and len(thousand) == 1000
    assert sum(ten.values()) == 90 * len(ports_of(SITE, [], "1"))  # a small fleet: each to each
    assert max(thousand.values()) <= len(ports_of(SITE, [], "1")) < max(ten.values())
    assert sum(thousand.values()) < 6 * sum(ten.values())
    # One pair stands for the kind, at every port.
    assert Counter(thousand.values())[len(ports_of(SITE, [], "1"))] == 1


def test_on_request_all_pairs_are_probed():
    number = SMALL + 4
    assert sum(probes_of(number, Coverage.FULL).values()) == number * (number - 1) * len(ports_of(SITE, [], "1"))


@pytest.mark.parametrize(("a", "b"), [(1, 40), (40, 1), (30, 7), (20, 20)])
def test_every_host_is_asked_by_and_asks_every_kind(a, b):
    kinds = {**{f"a{n}": "a" for n in range(a)}, **{f"b{n}": "b" for n in range(b)}}
    choice = choose(kinds, "7")
    pairs = choice.whole | choice.few
    assert not choice.is_full and choice.kinds == 2 and choice.total == (a + b) * (a + b - 1)
    for name, kind in kinds.items():
        for other in "ab":
            if Counter(kinds.values())[other] - (kind == other):
                assert any(source == name and kinds[dest] == other for source, dest in pairs)
                assert any(dest == name and kinds[source] == other for source, dest in pairs)
    assert all(source != dest for source, dest in pairs)
    wholes = Counter((kinds[source], kinds[dest]) for source, dest in choice.whole)
    assert set(wholes.values()) == {1} and len(pairs) <= 4 * max(a, b)


def test_a_very_large_fleet_has_a_bounded_number_of_pairs_and_leaves_no_host_out(monkeypatch):
    kinds = {f"h{n}": str(n % 10) for n in range(300)}
    every = choose(kinds, "7")
    monkeypatch.setattr("ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.coverage.MOST_PAIRS", 600)
    choice = choose(kinds, "7")
    assert len(every.few) > 2000 and len(choice.few) == 600 and choice.whole == every.whole
    for at in (0, 1):
        assert {pair[at] for pair in choice.whole | choice.few} == set(kinds)
    # However few pairs there may be.
    monkeypatch.setattr("ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.coverage.MOST_PAIRS", 1)
    few = choose(kinds, "7")
    assert {source for source, _dest in few.whole | few.few} == set(kinds) and len(few.few) <= 300


def test_the_seed_draws_the_pairs():
    kinds = {f"h{n}": "alike" for n in range(50)}
    assert choose(kinds, "a") == choose(kinds, "a") != choose(kinds, "b")


def test_a_host_whose_rules_are_not_those_of_its_tier_is_a_kind_of_its_own_and_probed_whole():
    kinds = {f"h{n}": "alike" for n in range(50)} | {"changed": "other"}
    choice = choose(kinds, "1")
    assert [pair for pair in choice.whole if "changed" in pair and pair[0] == "changed"]
    assert [pair for pair in choice.whole if pair[1] == "changed"]
    # It is none the less asked by a host of every kind, whatever it says of itself.
    assert {kinds[source] for source, dest in choice.whole | choice.few if dest == "changed"} == {"alike"}


def test_hosts_are_alike_by_part_tiers_and_rules():
    one, two = Member("a", Part.TIER, ("web", "db")), Member("b", Part.TIER, ("db", "web"))
    rules = {"active": True, "rules": [{"rule": "allow", "to_port": "22"}]}
    assert kind_of(one, rules) == kind_of(two, dict(rules))
    others = [
        kind_of(Member("c", Part.GATEWAY, ("web", "db")), rules),
        kind_of(one, None),
        kind_of(one, {**rules, "active": False}),
    ]
    assert len({kind_of(one, rules), *others}) == 4


def test_a_pair_that_stands_for_no_kind_is_probed_at_few_ports_drawn_by_chance():
    found = probes_of(100)
    assert sorted(set(found.values())) == [FEW, len(ports_of(SITE, [], "1"))]
