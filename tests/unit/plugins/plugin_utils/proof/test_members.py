from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Place
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part, changed, members_of

GROUPS = {
    "all": ["r", "a", "o", "x"],
    "gateway": ["r"],
    "plant": ["a"],
    "outside": ["r", "o"],
    "databses": ["x"],
    "ungrouped": [],
}
PLACES = {"r": Place((), True), "a": Place(("plant",), False), "o": Place((), False), "x": Place((), False)}


def test_the_inventory_says_what_each_of_its_hosts_is():
    members = members_of(GROUPS, PLACES, "outside")
    assert {name: member.part for name, member in members.items()} == {
        "r": Part.GATEWAY,
        "a": Part.TIER,
        "o": Part.INTERNET,
        "x": Part.NONE,
    }
    assert members["x"].groups == ("databses",)


def test_a_member_is_read_as_it_was_written():
    for member in members_of(GROUPS, PLACES, "outside").values():
        assert Member.from_dict(member.to_dict()) == member


@pytest.mark.parametrize(
    ("now", "host"),
    [
        ({**GROUPS, "outside": ["r", "o", "a"]}, "a"),  # it calls itself the internet
        ({**GROUPS, "plant": []}, "a"),  # it leaves its tier
        ({**GROUPS, "gateway": ["r", "x"]}, "x"),
        ({**GROUPS, "all": [*GROUPS["all"], "y"], "plant": ["a", "y"]}, "y"),  # it adds a host
        ({**GROUPS, "all": ["r", "a", "o"]}, "x"),
    ],
)
def test_a_host_whose_groups_are_not_the_inventory_s_any_more_is_named(now, host):
    deciding = ("plant", "gateway", "outside")
    found = changed(GROUPS, now, deciding)
    assert set(found) == ({host} if now["all"] != ["r", "a", "o"] else set())
    assert changed(GROUPS, GROUPS, deciding) == {}
