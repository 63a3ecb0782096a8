# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import random

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.edits import Edit, Section
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.tables import (
    Part,
    Table,
    inserted,
    not_in_force,
    part_of,
    payload_to,
    read_table,
)
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeTable

HOOKS = ["-j ufw-before-input", "-j ufw-track-input"]
BAN = "-s 192.0.2.7/32 -j DROP"
ENDS = {"INPUT": "ufw-track-input"}
OTHERS = {"ufw-before-input": [], "ufw-track-input": []}


def table(policy="DROP", **chains):
    lines = [f":INPUT {policy} [0:0]", ":FORWARD ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]"]
    lines += [f":{name} - [0:0]" for name in chains if name != "INPUT"]
    lines += [f"-A {name} {rule}" for name, rules in chains.items() for rule in rules]
    return FakeTable("\n".join(["*filter", *lines, "COMMIT", ""]))


def part(old, new, whole=(), shared=None, policies=()):
    """What a change from one table to another does."""
    empty = Table({}, {})
    bare = Part(4, "filter", list(policies), list(whole), shared or {}, ENDS, empty, empty)
    return bare._replace(old=bare.cut(read_table(old.save())), new=bare.cut(read_table(new.save())))


def bring(one, live, back=True, **options):
    """Load until nothing is to be done, as the program does; how often it was loaded."""
    options = {"seen": True, **options}
    for number in range(5):
        payload = payload_to(one, read_table(live.save()), back, **options)
        if not payload:
            return number
        live.restore(payload)
    raise AssertionError("it does not come to an end")


# -- chains that are ours as a whole -----------------------------------------------------------------------------------

CHAINS = {
    "other rules": (["-j a", "-j b"], ["-j c", "-j d"]),
    "more rules": (["-j a"], ["-j a", "-j b"]),
    "fewer rules": (["-j a", "-j b"], ["-j a"]),
    "another order": (["-j a", "-j b"], ["-j b", "-j a"]),
    "none before": ([], ["-j a"]),
    "none after": (["-j a"], []),
}


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("name", CHAINS)
def test_a_rule_that_others_put_into_a_chain_is_there_once_after_the_way_back_and_the_way_on(name, place, back):
    before, after = (table(mine=rules, a=[], b=[], c=[], d=[]) for rules in CHAINS[name])
    one = part(before, after, whole=["mine"])
    live = table(**{**(after if back else before).chains, "OUTPUT": [], "FORWARD": []})
    live.chains["mine"].insert(place, BAN)
    bring(one, live, back)
    wanted = before if back else after
    assert live.chains["mine"].count(BAN) == 1
    assert [rule for rule in live.chains["mine"] if rule != BAN] == wanted.chains["mine"]
    assert bring(one, live, back) == 0


def test_what_is_not_known_as_the_kernel_prints_it_is_replaced_as_a_whole():
    one = part(table(mine=["-j ACCEPT"]), table(mine=["-s 10.0.0.0/255.0.0.0 -j DROP"]), whole=["mine"])
    live = table(mine=["-s 10.0.0.0/8 -j DROP"])
    bring(one, live, seen=False)
    assert live.chains["mine"] == ["-j ACCEPT"]


def test_a_chain_that_others_have_loaded_anew_stays_where_their_files_are_right_and_else_is_brought_back():
    one = part(table(mine=["-j a"], a=[]), table(mine=["-j b"], a=[], b=[]), whole=["mine"])
    for leave, found in ((True, [BAN]), (False, ["-j a"])):
        live = table(mine=[BAN], a=[], b=[])
        bring(one, live, leave=leave)
        assert live.chains["mine"] == found


def test_a_chain_that_the_change_made_goes_and_one_that_others_jump_to_stays_empty():
    one = part(table(), table(mine=["-j ACCEPT"]), whole=["mine"])
    live = table(mine=["-j ACCEPT"])
    bring(one, live)
    assert "mine" not in live.chains
    live = table(mine=["-j ACCEPT"], theirs=["-p tcp -j mine"])
    assert bring(one, live) == 1
    assert live.chains["mine"] == []


def test_one_that_the_change_made_keeps_what_others_put_there():
    one = part(table(), table(mine=["-j ACCEPT"]), whole=["mine"])
    live = table(mine=["-j ACCEPT", BAN])
    bring(one, live)
    assert live.chains["mine"] == [BAN]


def test_one_that_others_removed_is_made_again():
    one = part(table(mine=["-j ACCEPT"]), table(mine=["-j DROP"]), whole=["mine"])
    live = table()
    bring(one, live)
    assert live.chains["mine"] == ["-j ACCEPT"]


# -- chains of all -----------------------------------------------------------------------------------------------------

SHARED = {
    "none before": ([], HOOKS),
    "another order": (HOOKS[::-1], HOOKS),
    "one before": (HOOKS[:1], HOOKS),
    "others between": ([HOOKS[0], BAN, HOOKS[1]], [BAN, *HOOKS]),
    "none after": (HOOKS, []),
}


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("name", SHARED)
def test_in_a_chain_that_others_use_only_our_rules_move_and_theirs_keep_their_order(name, back):
    dice = random.Random(name)
    before, after = (table(INPUT=rules, **OTHERS) for rules in SHARED[name])
    one = part(before, after, shared={"INPUT": HOOKS})
    for _trial in range(40):
        live = table(INPUT=(after if back else before).chains["INPUT"], **OTHERS)
        theirs = [f"-s 198.51.100.{number}/32 -j DROP" for number in range(dice.randint(0, 3))]
        for rule in theirs:
            live.chains["INPUT"].insert(dice.randint(0, len(live.chains["INPUT"])), rule)
        order = [rule for rule in live.chains["INPUT"] if rule not in HOOKS]
        bring(one, live, back)
        wanted = (before if back else after).chains["INPUT"]
        assert [rule for rule in live.chains["INPUT"] if rule not in HOOKS] == order
        assert [rule for rule in live.chains["INPUT"] if rule in HOOKS] == [rule for rule in wanted if rule in HOOKS]


def test_a_ban_in_front_of_ufws_jumps_stays_in_front_of_them():
    one = part(table(INPUT=HOOKS[::-1], **OTHERS), table(INPUT=HOOKS, **OTHERS), shared={"INPUT": HOOKS})
    live = table(INPUT=[BAN, *HOOKS], **OTHERS)
    bring(one, live)
    assert live.chains["INPUT"] == [BAN, *HOOKS[::-1]]


def test_a_rule_of_others_that_is_gone_stays_gone():
    one = part(table(INPUT=[BAN], **OTHERS), table(INPUT=[BAN, *HOOKS], **OTHERS), shared={"INPUT": HOOKS})
    live = table(INPUT=HOOKS, **OTHERS)
    bring(one, live)
    assert live.chains["INPUT"] == []


# -- policies ----------------------------------------------------------------------------------------------------------


def test_a_policy_comes_after_the_rules_with_a_stand_in_at_their_end():
    before, after = (table(policy, INPUT=HOOKS, **OTHERS) for policy in ("DROP", "ACCEPT"))
    one = part(before, after, policies=["INPUT"])
    sections = payload_to(one, read_table(after.save()), True, True).split("COMMIT\n")[:-1]
    assert [":INPUT" in text for text in sections] == [False, True, False]
    assert "-A ufw-track-input -j DROP" in sections[0] and "-j DROP" not in sections[2]


def test_a_policy_that_others_have_set_stays_where_their_files_are_right():
    one = part(table("DROP"), table("ACCEPT"), policies=["INPUT"])
    live = table("QUEUE")
    assert payload_to(one, read_table(live.save()), True, True, leave=True) == ""
    assert ":INPUT DROP" in payload_to(one, read_table(live.save()), True, True)


# -- what is in force --------------------------------------------------------------------------------------------------


def test_what_is_no_longer_in_force_is_named_and_rules_of_others_do_not_matter():
    before = table("ACCEPT", INPUT=[], mine=["-j a"], a=[], **OTHERS)
    after = table("DROP", INPUT=HOOKS, mine=["-j b", "-j a"], a=[], b=[], **OTHERS)
    one = part(before, after, whole=["mine", "b"], shared={"INPUT": HOOKS}, policies=["INPUT"])
    live = table("DROP", INPUT=[BAN, HOOKS[0], BAN, HOOKS[1]], mine=["-j b", BAN, "-j a"], a=[], b=[BAN], **OTHERS)
    assert not_in_force(one, read_table(live.save())) == []
    for damage, named in (
        (lambda found: found.policies.update(INPUT="ACCEPT"), ["policy of INPUT"]),
        (lambda found: found.chains["INPUT"].remove(HOOKS[0]), ["INPUT"]),
        (lambda found: found.chains["mine"].reverse(), ["mine"]),
        (lambda found: found.chains["mine"].remove("-j a"), ["mine"]),
        (lambda found: found.chains.pop("b"), ["b"]),
    ):
        found = read_table(live.save())
        damage(found)
        assert not_in_force(one, found) == named


def test_a_chain_that_should_be_gone_is_not_in_force_as_long_as_it_has_rules():
    one = part(table(mine=["-j ACCEPT"]), table(), whole=["mine"])
    assert not_in_force(one, read_table(table().save())) == []
    assert not_in_force(one, read_table(table(mine=["-j ACCEPT"]).save())) == ["mine"]


def test_what_is_put_in_between_is_told_by_its_places():
    assert inserted(list("xaybz"), list("ab")) == [0, 2, 4]
    assert inserted(list("ab"), list("ab")) == []
    assert inserted(list("ba"), list("ab")) is None
    assert inserted([], ["a"]) is None


# -- parts -------------------------------------------------------------------------------------------------------------


def test_a_part_knows_what_transactions_touch_and_survives_json():
    sections = [
        Section("filter", {"INPUT": "DROP"}, [], {}, []),
        Section("filter", {}, [Edit("-D", "INPUT", "-j x"), Edit("-A", "INPUT", "-j y")], {"x": ["-j DROP"]}, ["z"]),
        Section("filter", {}, [Edit("-I", "x", "-j y")], {"x": []}, []),
    ]
    one = part_of(4, sections, ENDS)
    assert (one.table, one.policies, one.whole) == ("filter", ["INPUT"], ["x", "z"])
    assert one.shared == {"INPUT": ["-j x", "-j y"]}
    assert Part.from_dict(one.to_dict()) == one


def test_rules_that_the_kernel_prints_otherwise_are_known_as_ours():
    old, new = table(INPUT=[BAN]), table(INPUT=[BAN, "-p tcp --dport ssh -j ACCEPT"])
    one = part(old, new, shared={"INPUT": ["-p tcp --dport ssh -j ACCEPT"]})
    printed = "-p tcp -m tcp --dport 22 -j ACCEPT"
    live = table(INPUT=[BAN, printed])
    seen = one.as_printed(read_table(live.save()))
    bring(seen, live)
    assert live.chains["INPUT"] == [BAN]


def test_rules_with_odd_characters_are_read_as_one_line():
    save = '*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m comment --comment "a\u2028b\x0bc" -j ACCEPT\nCOMMIT\n'
    assert read_table(save).chains["INPUT"] == ['-m comment --comment "a\u2028b\x0bc" -j ACCEPT']


# -- thousands of rules ------------------------------------------------------------------------------------------------


class Counted(str):
    """A rule that counts what it is compared with."""

    compared = 0

    def __eq__(self, other):
        Counted.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def many(count, first=0):
    return [Counted("-s 10.%d.%d.0/24 -j DROP" % (n >> 8, n & 255)) for n in range(first, first + count)]


@pytest.mark.parametrize("back", [True, False])
@pytest.mark.parametrize("seen", [True, False])
def test_rules_in_a_chain_of_others_are_not_each_compared_with_all(back, seen):
    count = 1000
    theirs, ours = many(count), many(count, 5000)
    edits = [Edit("-A", "INPUT", rule) for rule in ours]
    chain = many(count, 9000)
    section = Section("filter", {}, edits, {"site": chain}, [])
    policies = {"INPUT": "ACCEPT"}
    part = part_of(4, [section], {})._replace(
        old=Table(policies, {"INPUT": theirs, "site": many(count, 12000)}),
        new=Table(policies, {"INPUT": theirs + ours, "site": chain}),
    )
    Counted.compared = 0
    live = Table(policies, {"INPUT": many(count) + many(count, 5000), "site": many(count, 9000)})
    part = part.as_printed(live)
    assert not_in_force(part, live) == []
    payload_to(part, live, back, seen)
    assert Counted.compared < 40 * count
