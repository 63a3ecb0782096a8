# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Place
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.review.fold import (
    Counted,
    Counter,
    Published,
    Use,
    fold,
    last_used,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.review.report import (
    Found,
    earlier_rows,
    report_json,
    report_lines,
    summary,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

SITE = parse_site(
    {
        "bulkhead_tiers": {
            "admin": {"vlan": 1, "subnet": ["10.0.1.0/24", "fd00:1::/64"], "gateway": ["10.0.1.1", "fd00:1::1"]},
            "web": {"vlan": 2, "subnet": ["10.0.2.0/24", "fd00:2::/64"], "gateway": ["10.0.2.1", "fd00:2::1"]},
        },
        "bulkhead_services": {"ssh": "22/tcp", "http": "80/tcp", "dns": ["53/udp", "53/tcp"]},
        "bulkhead_flows": [
            {"from": "admin", "to": "tiers", "allow": "ssh", "why": "administration"},
            {"from": "internet", "to": "web", "allow": "http"},
            {"from": "web", "to": "admin", "allow": "dns", "limit": True},
        ],
    },
    date(2026, 1, 1),
)
SSH, HTTP, DNS = (f"bulkhead_flows[{number}]" for number in range(3))
ROUTER, WEB, ADMIN = Place((), True), Place(("web",), False), Place(("admin",), False)
STRAY = {
    "rule": "allow",
    "proto": "tcp",
    "from_ip": "any",
    "to_ip": "10.0.2.11",
    "to_port": "9999",
    "comment": "by hand",
}


def counted(place, since=1000.0, used=(), more=(), published=()):
    """The rules of a host as it has them; those whose port is in `used` counted three packets."""
    rules = [rule.to_dict() for rule in host_rules(SITE, place.tiers, place.gateway)]
    found = [Counter(rule, 3 if rule.get("to_port") in used and rule["rule"] != "deny" else 0) for rule in rules]
    return Counted(place, [*found, *more], since, published)


def uses(hosts, users=()):
    return {row.flow.path: row.use for row in fold(SITE, hosts, dict(users)).rows}


def test_what_the_rules_counted_is_told_of_the_flows_that_they_come_from():
    hosts = {"gw": counted(ROUTER, used=("80",)), "w1": counted(WEB, used=("80", "22")), "a1": counted(ADMIN)}
    review = fold(SITE, hosts, {})
    rows = {row.flow.path: row for row in review.rows}
    assert uses(hosts) == {SSH: Use.USED, HTTP: Use.USED, DNS: Use.UNUSED}
    # A rule for each IP version.
    assert rows[SSH].packets == {"gw": 0, "w1": 6, "a1": 0}
    assert rows[HTTP].packets["w1"] > 0
    assert review.rows[0].flow.path == DNS
    assert review.foreign == ()


def test_a_flow_is_unused_since_the_last_of_its_hosts_loaded_its_rules():
    hosts = {"gw": counted(ROUTER, since=500.0), "w1": counted(WEB, since=9000.0), "a1": counted(ADMIN, since=700.0)}
    rows = {row.flow.path: row for row in fold(SITE, hosts, {}).rows}
    assert (rows[DNS].since, rows[SSH].since) == (700.0, 9000.0)


def test_who_has_a_connection_uses_a_flow_whatever_was_counted():
    hosts = {"w1": counted(WEB)}
    row = next(row for row in fold(SITE, hosts, {SSH: ["10.0.1.9"]}).rows if row.flow.path == SSH)
    assert (row.use, row.by) == (Use.USED, ("10.0.1.9",))


def test_a_flow_of_which_no_host_was_read_is_not_known():
    assert uses({}) == dict.fromkeys((SSH, HTTP, DNS), Use.UNKNOWN)


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        (Published("tcp", "10.0.1.0/24", "10.0.2.0/24", 22, 22, 4), SSH),
        (Published("tcp", "0.0.0.0/0", "10.0.2.0/24", 80, 80, 4), HTTP),
        (Published("tcp", "10.0.1.0/24", "10.0.2.0/24", 23, 23, 4), None),
        (Published("udp", "10.0.1.0/24", "10.0.2.0/24", 22, 22, 4), None),
        (Published("tcp", "10.0.1.0/24", "10.0.2.0/24", 22, 22, 0), None),
    ],
)
def test_what_came_to_a_published_port_is_told_of_the_flow_that_let_it_in(entry, path):
    found = uses({"w1": counted(WEB, published=[entry])})
    assert {name for name, use in found.items() if use is Use.USED} == ({path} if path else set())


def test_a_rule_of_no_flow_is_named_and_one_that_denies_is_none():
    deny = {**STRAY, "rule": "deny", "to_port": "9998"}
    review = fold(SITE, {"w1": counted(WEB, more=[Counter(STRAY, 7), Counter(deny, 1)])}, {})
    assert [(stray.host, stray.packets) for stray in review.foreign] == [("w1", 7)]
    assert "9999" in review.foreign[0].text


def test_a_rule_that_cannot_be_read_is_told_and_harms_nothing():
    odd = {"rule": "allow", "proto": "\x1b[31m", "to_port": "no port"}
    (stray,) = fold(SITE, {"w1": counted(WEB, more=[Counter(odd, 1)])}, {}).foreign
    assert "\x1b" not in stray.text


def test_rules_of_the_internets_carve_out_are_of_no_flow_and_no_stray():
    review = fold(SITE, {"gw": counted(ROUTER), "w1": counted(WEB)}, {})
    assert review.foreign == ()
    assert not any("deny" in stray.text for stray in review.unused)


@pytest.mark.parametrize(
    ("used", "before", "expected"),
    [
        (("80",), None, 50.0),
        (("80",), {"last_used": 20.0, "since": 1000.0, "packets": {"w1": 99}}, 50.0),
        (("80",), {"last_used": 20.0, "since": 1000.0, "packets": None}, 20.0),
        ((), {"last_used": 20.0, "since": 900.0, "packets": {"w1": 3}}, 20.0),
        ((), None, None),
    ],
)
def test_a_use_before_the_counters_began_anew_is_remembered(used, before, expected):
    row = next(row for row in fold(SITE, {"w1": counted(WEB, used=used)}, {}).rows if row.flow.path == HTTP)
    if before and before["packets"] is None:
        before["packets"] = row.packets
    assert last_used(row, 50.0, before) == expected


def test_the_report_names_flows_hosts_times_and_what_was_not_read():
    review = fold(SITE, {"w1": counted(WEB, used=("22",))}, {SSH: ["10.0.1.9"]})
    found = Found("site", 2000.0, 1, {"gw": "it was not reached"}, review, {})
    text = "\n".join(line for line, _color in report_lines(found, 50))
    assert summary(found) in text and "gw was not read: it was not reached" in text
    assert "now by 10.0.1.9" in text and "1970-01-01 00:16 UTC" in text


def test_the_output_is_bounded_and_says_so():
    many = [Counter({**STRAY, "to_port": str(port)}, 1) for port in range(9000, 9100)]
    found = Found("site", 2000.0, 1, {}, fold(SITE, {"w1": counted(WEB, more=many)}, {}), {})
    lines = [line for line, _color in report_lines(found, 5)]
    assert sum("90" in line and "tcp" in line for line in lines) == 5
    assert "  and 95 more: see the file" in lines
    assert len(report_json(found, 5)["foreign"]) == 5


def test_the_next_review_reads_what_this_one_wrote_and_nothing_else():
    review = fold(SITE, {"w1": counted(WEB, used=("80",))}, {})
    written = report_json(Found("site", 2000.0, 1, {}, review, {}), 50)
    rows = earlier_rows(written)
    assert rows[str(SITE.flows[1])]["last_used"] == 2000.0
    for odd in (None, [], {"flows": 5}, {"flows": [5, {"flow": "x", "last_used": "soon"}]}):
        assert earlier_rows(odd) == {}
