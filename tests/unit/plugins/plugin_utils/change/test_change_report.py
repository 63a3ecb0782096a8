# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change.judge import Judged, Told
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change.planes import declared, difference
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change.report import report_lines, stops, summary
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Changes

NOTHING = Judged((), (), (), 7, (), (), 4, {})
OPENED = Told("opened", "web", "db", "ssh", "bulkhead_flows[0]", "", 2)
CLOSED = Told("closed", "web", "db", "tcp 9", "", "", 2)
FORBIDDEN = OPENED._replace(path="", never="bulkhead_never[1]")
UNSURE = Told("unknown", "web", "db", "what", "", "", 2)
CHANGE = NOTHING._replace(opened=(OPENED,), closed=(CLOSED,), touched=("db1",))


def test_the_lines_say_what_opens_and_what_closes():
    lines = [line for line, _color in report_lines(CHANGE, {"VLANs": (["web: VLAN 3 x"], [])}, "2026-11-30")]
    assert lines[0] == "The change: 1 opened, 1 closed, 7 unchanged, the rules of 1 host change, also VLANs."
    assert "  opened    web -> db ssh, on 2 hosts: bulkhead_flows[0] declares it" in lines
    assert "  closed    web -> db tcp 9, on 2 hosts: no flow declares it" in lines
    assert "    + web: VLAN 3 x" in lines and "  rules change on: db1" in lines


def test_nothing_is_one_line_and_hosts_that_were_not_read_are_said():
    assert [line for line, _color in report_lines(NOTHING, {}, "")] == [summary(NOTHING, {})]
    assert summary(NOTHING, {}) == "Nothing changes: the rules of 4 hosts are as they are to be."
    assert "1 host not read (db9)" in summary(NOTHING._replace(missing={"db9": "x"}), {})


def test_more_than_a_screen_is_counted():
    many = CHANGE._replace(opened=tuple(OPENED._replace(service=f"s{n}") for n in range(60)))
    lines = [line for line, _color in report_lines(many, {}, "")]
    assert "  opened    and 20 more" in lines


NEVER = frozenset(("never",))


@pytest.mark.parametrize(
    ("judged", "asked", "reason", "accepted", "check", "said"),
    [
        (NOTHING, Changes(True, NEVER), "", (), False, []),
        (CHANGE, Changes(False, NEVER), "", (), False, []),
        (CHANGE, Changes(True, NEVER), "", (), False, ["change_reason: got nothing"]),
        (CHANGE, Changes(True, NEVER), "  ", (), False, ["change_reason: got nothing"]),
        (CHANGE, Changes(True, NEVER), "", (), True, []),
        (CHANGE, Changes(True, NEVER), "CHG-1", (), False, []),
        (CHANGE, Changes(False, NEVER | {"opened"}), "", (), False, ["bulkhead_changes.stop_on: got 1 opened"]),
        (CHANGE, Changes(False, NEVER | {"opened"}), "", (), True, ["bulkhead_changes.stop_on: got 1 opened"]),
        (CHANGE, Changes(False, NEVER | {"opened"}), "", ("opened",), False, []),
        (CHANGE._replace(opened=()), Changes(False, NEVER | {"opened"}), "", (), False, []),
        (
            CHANGE._replace(unknown=(UNSURE,)),
            Changes(False, NEVER | {"unknown"}),
            "",
            ("opened",),
            False,
            ["bulkhead_changes.stop_on: got 1 not known"],
        ),
        (CHANGE._replace(unknown=(UNSURE,)), Changes(False, NEVER), "", (), False, []),
        (
            CHANGE._replace(opened=(FORBIDDEN,)),
            Changes(False, NEVER),
            "",
            ("opened",),
            False,
            ["bulkhead_never: got 1 way"],
        ),
        (NOTHING._replace(broken=("open: x",)), Changes(False, NEVER), "", (), True, ["bulkhead_never: got 1 way"]),
    ],
)
def test_a_run_is_stopped_by_what_the_site_says_and_always_by_an_invariant(
    judged, asked, reason, accepted, check, said
):
    found = stops(judged, {}, asked, reason, accepted, check)
    assert len(found) == len(said) and all(text.startswith(start) for text, start in zip(found, said, strict=True))


def test_a_plane_beside_the_rules_asks_for_a_reason_too():
    assert stops(NOTHING, {"tailnet": (["x"], [])}, Changes(True, NEVER), "", (), False)


def test_what_is_declared_beside_the_rules_is_compared_line_by_line():
    before = {"tailnet": ["a -> b ssh"], "VLANs": ["web: VLAN 1 x"]}
    after = {"tailnet": ["a -> b https"], "VLANs": ["web: VLAN 1 x"], "stacks": ["shop: swarm of a.yml"]}
    assert difference(before, after) == {
        "tailnet": (["a -> b https"], ["a -> b ssh"]),
        "stacks": (["shop: swarm of a.yml"], []),
    }


def test_the_planes_of_a_site_are_lines():
    from datetime import date

    from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

    site = parse_site(
        {
            "bulkhead_tiers": {"apps": {"vlan": 10, "subnet": "10.0.1.0/24"}},
            "bulkhead_pools": {"engine": "172.28.0.0/16"},
            "bulkhead_networks": {
                "front": {"driver": "bridge", "on": "apps", "subnet": "192.168.90.0/24", "internal": True}
            },
        },
        date(2026, 1, 1),
    )
    assert declared(site) == {
        "tailnet": [],
        "Docker networks": ["front: bridge 192.168.90.0/24 on apps, internal"],
        "VLANs": ["apps: VLAN 10 10.0.1.0/24"],
        "stacks": [],
    }
