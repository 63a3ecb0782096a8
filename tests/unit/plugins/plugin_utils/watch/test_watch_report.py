# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.fold import Watch
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.heard import Blocked, Heard, Log
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.report import (
    Found,
    notes_of,
    report_dict,
    report_lines,
    report_markdown,
    report_metrics,
    summary,
)

ROOT = Path(__file__).parents[5]
SITE = {
    "bulkhead_tiers": {"web": {"vlan": 1, "subnet": "10.0.1.0/24"}, "db": {"vlan": 2, "subnet": "10.0.2.0/24"}},
    "bulkhead_services": {"ssh": "22/tcp"},
    "bulkhead_flows": [{"from": "web", "to": "db", "allow": "ssh"}],
}
LOG = Log("", "/var/log/ufw.log", True, False, (), (), 0, 0, 0, 0, 0, 500.0)
HEARD = Heard(1000.0, (LOG,), "/proc/net/nf_conntrack", (), 0, {}, "yes", "low")


def packets(*ports, source="10.0.1.5"):
    return tuple(
        Blocked("in", "eth0", source, "10.0.2.5", "tcp", port, 0, True, False, 10 - number, 900.0, 950.0)
        for number, port in enumerate(ports)
    )


@pytest.fixture(name="found")
def fixture_found():
    watch = Watch(parse_site(SITE, date(2026, 1, 1)))
    heard = {"db1": HEARD._replace(logs=(LOG._replace(packets=packets(22, 5432, 3306, 6379)),))}
    return Found("lab", 0.0, 1000.0, watch.fold(heard), tuple(notes_of(heard, {"db2": "no route"}, {})), 1, watch)


def test_the_first_line_has_the_numbers(found):
    text = summary(found)
    assert "34 blocked packets logged on 1 host" in text and "24 of what no flow declares, 10 of declared flows" in text


def test_the_rows_stand_in_sections_and_the_limit_says_what_it_leaves_out(found):
    lines = [line for line, _color in report_lines(found, 2)]
    assert "Declared, and blocked by a host" in lines and "Not declared" in lines
    assert "  web -> db 5432/tcp, 9 times from 1 host, no flow declares it" in lines
    assert "  and 1 more, 7 times" in lines
    assert any("drift, unless it is older than the flow" in line for line in lines)
    assert any("lower bounds" in line for line in lines) and "db2: not read: no route" in lines


def test_the_json_has_the_same_and_is_json(found):
    told = json.loads(json.dumps(report_dict(found, 2)))
    assert [row["kind"] for row in told["blocked"]] == ["declared", "undeclared"] and told["blocked_left"] == 2
    assert told["blocked"][1]["advice"][0].startswith("this flow would allow it: {from: web, to: db")


def test_the_markdown_is_a_table_that_no_text_breaks_out_of(found):
    text = report_markdown(found._replace(notes=("a | b <script>`x`",)), 2)
    assert "| web | db | 5432/tcp | 9 | 1 | no flow declares it;" in text
    assert "a \\| b &lt;script&gt;\\`x\\`" in text


def test_the_metrics_are_prometheus_text_and_no_name_breaks_out_of_it(found):
    text = report_metrics(found, 2)
    assert (
        'bulkhead_blocked_packets{kind="declared",from="web",to="db",what="22/tcp (ssh)",decided_by="bulkhead_flows[0]"} 10'
        in text
    )
    assert text.count("bulkhead_blocked_packets{") == 2
    assert "bulkhead_blocked_made_seconds 1000\n" in text
    row = found.folded.blocked[0]
    odd = row.key._replace(source=row.key.source._replace(word='a"} 9\nb\\'))
    row.key = odd
    (line,) = [line for line in report_metrics(found, 1).splitlines() if line.startswith("bulkhead_blocked_packets{")]
    assert 'from="a\\"} 9' in line and line.endswith("} 10")


def test_the_dashboard_asks_for_metrics_that_there_are(found):
    panels = json.loads((ROOT / "docs" / "grafana" / "blocked.json").read_text(encoding="utf-8"))["panels"]
    asked = {target["expr"] for panel in panels for target in panel.get("targets", ())}
    known = {line.split("{")[0].split()[0] for line in report_metrics(found, 5).splitlines() if line[0] != "#"}
    assert asked and all(set(re.findall("bulkhead_[a-z_]+", text)) <= known for text in asked)
    assert {name for text in asked for name in re.findall("bulkhead_[a-z_]+", text)} == known


@pytest.mark.parametrize(
    ("heard", "note"),
    [
        (HEARD._replace(level="off"), "db1: UFW's logging is off"),
        (HEARD._replace(enabled="no"), "db1: UFW is not on"),
        (HEARD._replace(tracked=""), "db1: tracked connections are not known"),
        (HEARD._replace(now=1200.0), "db1: its clock is 200 s ahead"),
        (HEARD._replace(logs=(LOG._replace(source=""),)), "db1: no log of UFW"),
        (HEARD._replace(logs=(LOG._replace(whole=False),)), "db1: its log (/var/log/ufw.log) goes back to"),
        (HEARD._replace(logs=(LOG._replace(cut=True, whole=False),)), "db1: its log is longer than is read"),
        (HEARD._replace(logs=(LOG._replace(unread=4),)), "db1: its log: 4 lines are cut off"),
        (HEARD._replace(logs=(LOG._replace(future=4),)), "db1: its log: 4 lines have a time that has not come"),
        (
            HEARD._replace(logs=(LOG._replace(sender="10.0.1.5"),)),
            "A datagram's source address is its sender's to choose",
        ),
    ],
)
def test_what_limits_the_answer_is_said(heard, note):
    assert any(note in text for text in notes_of({"db1": heard}, {}, {"db1": 1000.0}))


def test_hosts_with_the_same_limit_are_one_note():
    heard = {f"db{n}": HEARD._replace(level="off") for n in range(1, 9)}
    notes = list(notes_of(heard, {}, dict.fromkeys(heard, 1000.0)))
    assert len(notes) == 2 and notes[1].startswith("db1, db2, db3, db4, db5 and 3 more: UFW's logging is off")
