# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fleet's live networks against the site."""

from __future__ import annotations

import datetime
import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks import survey as survey_module
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.answer import Heard, Silence, Silent, hear
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.report import (
    WIDTH,
    report_json,
    report_lines,
    summary,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.survey import survey
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import overlaps

SITE = {
    "bulkhead_tiers": {
        "apps": {"vlan": 10, "subnet": ["10.0.1.0/24", "fd00:1::/64"]},
        "hosts": {"vlan": 20, "subnet": "10.0.2.0/24"},
    },
    "bulkhead_swarm": {"tier": "apps", "managers": {"m1": "10.0.1.5"}},
    "bulkhead_pools": {
        "engine": "172.28.0.0/16",
        "swarm": "172.29.0.0/16",
        "overlay": {"subnet": "172.30.0.0/22", "exclude": "172.30.3.0/24", "reserve": "10%"},
    },
    "bulkhead_networks": {
        "web": {"driver": "overlay", "size": 24, "zone": "public"},
        "vnet": {"driver": "bridge", "subnet": "192.168.90.0/24", "on": "apps"},
    },
    "bulkhead_allocations": {"web": "172.30.0.0/24"},
}


def network(name, subnet, **changes):
    """A network as swarm_network_info returns it."""
    return {
        "name": name,
        "id": "id-" + name,
        "driver": "overlay",
        "scope": "swarm",
        "pending": False,
        "subnets": [subnet] if subnet else [],
        "labels": {},
        "managed": False,
        "users": [],
        "used": 0,
        "usable": 253,
        "stack": None,
        "orphan": False,
        **changes,
    }


def bridge(name, subnet, **changes):
    return network(name, subnet, driver="bridge", scope="local", **changes)


def info(*networks, role="manager", engine=(("172.28.0.0/16", 24),), swarm=(("172.29.0.0/16", 24),)):
    """What swarm_network_info returns of a host."""
    own = [bridge("bridge", "172.28.0.0/24"), network("ingress", "172.29.0.0/24"), network("host", "", scope="local")]
    pools = {"engine": engine, "swarm": swarm if role == "manager" else ()}
    return {
        "node": {"name": "n", "role": role, "detail": "", "engine": "26.1"},
        "networks": [*own, *networks],
        "pools": {name: [{"base": base, "size": size} for base, size in items] for name, items in pools.items()},
    }


WEB = network("web", "172.30.0.0/24", labels={"bulkhead.zone": "public"}, users=["service shop"], used=5)
VNET = bridge("vnet", "192.168.90.0/24")


def fleet(infos, silent=None, planned=None, unasked=(), kind=Silence.NO_ENGINE):
    site = parse_site(SITE, datetime.date(2026, 1, 1))
    answers, unread = hear(infos)
    assert not unread
    without = {host: Silent(kind, text) for host, text in (silent or {}).items()}
    return survey(site, Heard(answers, without), planned or {}, unasked)


def conflicts(*networks, **changes):
    return [str(conflict) for conflict in fleet({"m1": info(*networks, **changes)}).conflicts]


def text(found):
    return "\n".join(line for line, color in report_lines(found))


def test_a_fleet_that_is_as_declared_has_no_conflict():
    found = fleet({"m1": info(WEB, VNET), "w1": info({**WEB, "used": None}, VNET, role="worker")})
    assert (found.conflicts, found.orphans, found.missing) == ((), (), ())
    assert summary(found) == "6 networks on 2 hosts, no conflict"


def test_an_overlay_is_one_row_as_the_manager_sees_it_and_a_bridge_one_a_host():
    worker = {**WEB, "used": None, "users": ["container shop.1.x"]}
    found = fleet({"w1": info(worker, VNET, role="worker"), "m1": info(WEB, VNET)})
    (web,) = [row for row in found.rows if row.network.name == "web"]
    assert (web.place, web.network.used, web.network.users, web.network.zone) == (
        "the Swarm",
        5,
        ("service shop",),
        "public",
    )
    assert web.hosts == ("m1", "w1")
    assert sorted(row.place for row in found.rows if row.network.name == "vnet") == ["m1", "w1"]


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (network("a", "10.0.1.128/25"), "m1: network a (10.0.1.128/25) overlaps tier apps (10.0.1.0/24)"),
        (bridge("a", "fd00:1::/80"), "m1: network a (fd00:1::/80) overlaps tier apps (fd00:1::/64)"),
        (bridge("a", "192.168.90.0/25"), "m1: network a (192.168.90.0/25) overlaps network vnet (192.168.90.0/24)"),
        (network("a", "172.30.1.0/24"), "m1: network a (172.30.1.0/24) overlaps pool overlay (172.30.0.0/22)"),
        (network("a", "172.28.9.0/24"), "m1: network a (172.28.9.0/24) overlaps pool engine (172.28.0.0/16)"),
        (bridge("a", "172.29.9.0/24"), "m1: network a (172.29.9.0/24) overlaps pool swarm (172.29.0.0/16)"),
        (
            network("web", "172.30.2.0/24"),
            "m1: network web (172.30.2.0/24) is declared as 172.30.0.0/24",
        ),
    ],
)
def test_addresses_that_are_claimed_twice_are_conflicts(live, expected):
    assert conflicts(live) == [expected]


@pytest.mark.parametrize(
    ("live", "expected"),
    [
        (["192.168.90.0/24", "fd00:90::/64"], []),
        (["fd00:90::/64", "192.168.90.0/24"], []),
        (["192.168.90.0/24"], ["m1: network vnet (192.168.90.0/24) lacks the declared fd00:90::/64"]),
        (
            ["192.168.90.0/24", "fd00:91::/64"],
            ["m1: network vnet (fd00:91::/64) is declared as fd00:90::/64"],
        ),
    ],
)
def test_each_subnet_of_a_network_is_held_against_the_declared_one_of_its_ip_version(live, expected, monkeypatch):
    both = {**SITE["bulkhead_networks"]["vnet"], "subnet": ["192.168.90.0/24", "fd00:90::/64"]}
    monkeypatch.setitem(SITE["bulkhead_networks"], "vnet", both)
    assert conflicts({**VNET, "subnets": live}) == expected
    # Another network on the second subnet is found like one on the first.
    found = conflicts({**VNET, "subnets": both["subnet"]}, bridge("a", "fd00:90::/80"))
    assert "m1: network a (fd00:90::/80) overlaps network vnet (fd00:90::/64)" in found


@pytest.mark.parametrize(
    "live", [network("a", "172.29.9.0/24"), bridge("a", "172.28.9.0/24"), network("a", "10.99.0.0/24")]
)
def test_what_docker_took_from_its_own_pools_is_none(live):
    assert conflicts(live) == []


def test_networks_of_one_host_that_overlap_each_other_are_conflicts_and_those_of_two_hosts_none():
    one, other = bridge("one", "10.99.0.0/24"), bridge("other", "10.99.0.0/25")
    assert conflicts(one, other) == ["m1: network other (10.99.0.0/25) overlaps network one (10.99.0.0/24)"]
    assert fleet({"m1": info(one), "w1": info(other, role="worker")}).conflicts == ()


def test_pools_of_an_engine_or_a_swarm_on_the_sites_addresses_are_conflicts():
    assert conflicts(swarm=[("10.0.0.0/8", 24)]) == [
        "m1: a pool of the Swarm (10.0.0.0/8) overlaps tier apps (10.0.1.0/24)",
        "m1: a pool of the Swarm (10.0.0.0/8) overlaps tier hosts (10.0.2.0/24)",
    ]
    assert conflicts(engine=[("172.30.0.0/24", 24)]) == [
        "m1: a pool of the engine (172.30.0.0/24) overlaps network web (172.30.0.0/24)",
        "m1: a pool of the engine (172.30.0.0/24) overlaps pool overlay (172.30.0.0/22)",
    ]
    assert any("a built-in pool of the engine (192.168.0.0/16)" in found for found in conflicts(engine=[]))


@pytest.mark.parametrize(
    ("live", "why"),
    [
        (network("a", "10.99.0.0/24", stack="old", orphan=True, managed=True), "its stack old has no service any more"),
        (network("a", "10.99.0.0/24", managed=True), "this collection made it, and the site does not declare it"),
        (network("a", "10.99.0.0/24"), "the site does not declare it, and nothing uses it"),
        (network("a", "10.99.0.0/24", users=["service x"]), None),
        (network("web", "172.30.0.0/24", managed=True), None),
    ],
)
def test_networks_of_no_use_are_orphans(live, why):
    found = fleet({"m1": info(live)})
    assert [orphan.why for orphan in found.orphans] == ([why] if why else [])
    assert found.conflicts == ()


def test_a_worker_cannot_say_that_nothing_uses_an_overlay():
    assert fleet({"w1": info(network("a", "10.99.0.0/24"), role="worker")}).orphans == ()


def test_a_declared_network_that_is_not_there_is_missing():
    planned = {"m1": ["web", "vnet"], "bare": ["vnet"], "gone": ["vnet"]}
    found = fleet({"m1": info(WEB)}, planned=planned, silent={"bare": "no engine"})
    assert found.missing == (("m1", "vnet"), ("bare", "vnet"))
    assert "m1: network vnet is declared and not there" in text(found)


def test_free_ranges_and_the_next_subnets_leave_live_excluded_and_reserved_parts_out():
    (room,) = fleet({"m1": info(WEB, network("squatter", "172.30.1.0/25"))}).rooms
    data = report_json(fleet({"m1": info(WEB, network("squatter", "172.30.1.0/25"))}), "now")["pools"]["overlay"]
    assert data["free"] == ["172.30.1.128-172.30.2.255"]
    assert data["next"] == {
        "/24": "172.30.2.0/24",
        "/25": "172.30.1.128/25",
        "/26": "172.30.1.128/26",
        "/27": "172.30.1.128/27",
        "/28": "172.30.1.128/28",
        "/29": "172.30.1.128/29",
    }
    assert room.reserve == 10
    full = fleet({"m1": info(WEB, network("squatter", "172.30.2.0/24"))}).rooms[0]
    # Three quarters of the pool are not excluded; a tenth of them stays free.
    assert full.following[24] is None and str(full.following[25]) == "172.30.1.0/25"


@pytest.mark.parametrize("kind", [Silence.FAILED, Silence.UNREACHED, Silence.UNREADABLE])
def test_a_host_of_which_nothing_is_known_makes_the_report_fail(kind):
    assert fleet({"m1": info(WEB)}, silent={"gw": "none"}).holds
    found = fleet({"m1": info(WEB)}, silent={"w1": "odd"}, kind=kind)
    assert not found.holds and found.unknown == ["w1"]
    assert summary(found).endswith("no conflict; nothing is known of w1")
    assert ("  w1: odd", "red") in list(report_lines(found))


def test_a_fleet_where_every_host_answers_and_one_without_engines_hold():
    assert fleet({"m1": info(WEB)}).holds
    assert fleet({}, silent={"gw": "no Docker Engine runs here"}).holds


@pytest.mark.parametrize("name", ["swarm", "engine", "overlay"])
def test_a_tier_with_the_name_of_a_pool_is_no_pool(name):
    changed = {**SITE, "bulkhead_tiers": {**SITE["bulkhead_tiers"], name: {"vlan": 30, "subnet": "10.0.9.0/24"}}}
    live = [network("web", "10.0.9.0/25"), bridge("lan", "10.0.9.128/25")]
    found = survey(parse_site(changed, datetime.date(2026, 1, 1)), hear({"m1": info(*live)}), {})
    texts = [str(conflict) for conflict in found.conflicts]
    assert f"m1: network web (10.0.9.0/25) overlaps tier {name} (10.0.9.0/24)" in texts
    assert f"m1: network lan (10.0.9.128/25) overlaps tier {name} (10.0.9.0/24)" in texts


def test_a_report_of_no_host_fails():
    assert not fleet({}).holds and summary(fleet({})).endswith(": no host was asked")


def test_hosts_that_were_not_asked_are_named():
    shown = text(fleet({"m1": info(WEB)}, silent={"gw": "no Docker Engine runs here"}, unasked=["a", "b", "c"]))
    assert "  gw: no Docker Engine runs here\n" in shown and "3 hosts of the inventory not asked (a, b, c)" in shown


def test_the_table_has_what_an_operator_looks_for_and_fits_the_terminal():
    users = [f"service shop_service_{number}" for number in range(20)]
    shown = text(fleet({"m1": info({**WEB, "users": users}, network("stray", "10.99.0.0/24", users=["x"]))}))
    assert "the Swarm  web      overlay  172.30.0.0/24  5/253   public  service shop_service_0" in shown
    assert "stray *" in shown and "CONFLICTS  none" in shown
    assert max(map(len, shown.splitlines())) <= WIDTH


def test_an_unallocated_overlay_is_shown_as_one():
    assert "broken *  unallocated  -" in text(fleet({"m1": info(network("broken", "", pending=True, usable=None))}))


def test_the_report_is_data_for_programs():
    found = fleet({"m1": info(WEB, network("a", "10.0.1.0/24"))}, silent={"gw": "none"}, unasked=["w9"])
    data = json.loads(json.dumps(report_json(found, "2026-01-01T00:00:00+00:00")))
    assert set(data) == {
        *("made", "hosts", "silent", "unasked", "left_out", "unknown"),
        *("networks", "conflicts", "orphans", "missing", "pools"),
    }
    assert (data["unasked"], data["left_out"], data["unknown"]) == (1, ["w9"], [])
    assert data["conflicts"] == [
        {"host": "m1", "one": "network a (10.0.1.0/24)", "other": "tier apps (10.0.1.0/24)", "how": "overlaps"}
    ]


def test_five_thousand_networks_of_fifty_hosts_are_reported():
    hosts = {
        f"h{host}": info(*[bridge(f"n{number}", f"10.{host}.{number}.0/24") for number in range(100)], role="worker")
        for host in range(10, 60)
    }
    assert len(fleet(hosts).rows) == 50 * 101 + 1


def test_a_host_that_says_that_thousands_of_networks_have_one_subnet_is_no_work(monkeypatch):
    """Each overlaps each other one: 50 million pairs, of which a bounded number is looked at."""
    looked_at = []

    def counted(claims):
        for pair in overlaps(claims):
            looked_at.append(pair)
            yield pair

    monkeypatch.setattr(survey_module, "overlaps", counted)
    lies = [bridge("vnet", "192.168.90.0/24", id=f"id-{number}") for number in range(9_000)]
    found = fleet({"taken": info(*lies)})
    assert len(looked_at) <= survey_module.MOST_OVERLAPS + 1 and not found.holds
    assert "taken: what it says of its networks overlaps itself more than 50,000 times" in "\n".join(
        map(str, found.conflicts)
    )
    assert fleet({"good": info(WEB)}).holds
