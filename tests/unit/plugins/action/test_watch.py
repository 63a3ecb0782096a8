# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible import constants
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar

from ansible_collections.bulkhead.tiers.plugins.action.watch import ActionModule
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Record, Run, Step

SITE = {
    "bulkhead_tiers": {"web": {"vlan": 1, "subnet": "10.0.1.0/24"}, "db": {"vlan": 2, "subnet": "10.0.2.0/24"}},
    "bulkhead_services": {"ssh": "22/tcp"},
    "bulkhead_flows": [{"from": "web", "to": "db", "allow": "ssh"}],
}
PACKET = ["in", "eth0", "10.0.1.5", "10.0.2.5", "tcp", 5432, 0, True, False, 3, 1.0, 2.0]


def log(sender=""):
    return {
        "sender": sender,
        "source": "/var/log/ufw.log",
        "whole": True,
        "cut": False,
        "beside": [],
        "oldest": None,
        "packets": [PACKET],
        "left": 0,
        "lines": 3,
        "others": 0,
        "unread": 0,
        "future": 0,
        "suppressed": 0,
    }


def said(*logs):
    return {"now": 5.0, "logs": list(logs), "tracked": None, "addresses": {}, "ufw": {"enabled": "yes", "level": "low"}}


@pytest.fixture(name="watch")
def fixture_watch(tmp_path, monkeypatch):
    """One step on one host, within a run; .lines is what was printed."""
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    members = {name: Member(name, Part.TIER, ("db",)) for name in ("db1", "db2")}
    begun = Run.begin(str(tmp_path / "tmp"), Record("0", "outside", 0.0, "", "", members, (), {}))
    monkeypatch.chdir(tmp_path)
    lines: list[str] = []

    def step(name, host="db1", answer=None, check_mode=False, **arguments):
        task = MagicMock(Task, async_val=0, check_mode=check_mode, diff=False, collections=[])
        task.args = {"step": name, "run": arguments.pop("run", begun.id), **arguments}
        task.resolved_action = "bulkhead.tiers.watch"
        variables = {**SITE, "inventory_hostname": host, "groups": {"all": list(members), "db": list(members)}}
        loader = DataLoader()
        templar = Templar(loader=loader, variables=variables)
        action = ActionModule(
            task, MagicMock(), SimpleNamespace(check_mode=check_mode, diff=False), loader, templar, None
        )
        monkeypatch.setattr(action, "_execute_module", lambda **_kw: answer)
        action._display = SimpleNamespace(display=lambda text, color=None: lines.append(text))
        return action.run(None, variables)

    return SimpleNamespace(step=step, lines=lines, folder=tmp_path, run=begun)


def test_what_a_host_returned_is_kept_and_becomes_no_result(watch):
    assert watch.step("read", answer=said(log())) == {"changed": False, "blocked": 3, "connections": 0}
    assert watch.run.kept(Step.TRAFFIC, "db1")["said"]["logs"]


@pytest.mark.parametrize(
    "answer", [{"failed": True, "msg": "no\x1b[2J root"}, None, {"now": "x"}, said({"sender": "x"})]
)
def test_a_host_that_could_not_be_read_is_named_with_its_reason(watch, answer):
    found = watch.step("read", answer=answer)
    assert found["failed"] and found["msg"].isprintable()
    watch.step("read", host="db2", answer=said(log()))
    watch.step("report")
    assert any(line.startswith("db1: not read: ") for line in watch.lines)


def test_the_report_is_printed_and_written(watch):
    watch.step("read", answer=said(log()))
    found = watch.step("report")
    assert "  web -> db 5432/tcp, 3 times from 1 host, no flow declares it" in watch.lines
    written = json.loads((watch.folder / "reports" / "watch.json").read_text())
    assert written["blocked"] == found["watch"]["blocked"] and (watch.folder / "reports" / "watch.md").exists()
    assert "db2: not read: it was not reached" in written["notes"]


def test_check_mode_writes_no_file(watch):
    watch.step("read", answer=said(log()))
    assert "reports" not in watch.step("report", check_mode=True) and not (watch.folder / "reports").exists()


def test_json_is_printed_as_one_document(watch):
    watch.step("read", answer=said(log()))
    watch.step("report", format="json", check_mode=True)
    assert json.loads("\n".join(watch.lines))["blocked"][0]["count"] == 3


def test_with_a_collector_each_packet_counts_once(watch):
    watch.step("read", answer=said(log(), log("10.0.2.6")), logs="collector")
    watch.step("read", host="db2", answer=said(log()), logs="collector")
    assert watch.step("report", logs="collector")["watch"]["blocked"][0]["count"] == 6


def test_without_a_collector_that_is_said(watch):
    watch.step("read", answer=said(log()), logs="collector")
    found = watch.step("report", logs="collector")
    assert found["watch"]["blocked"] == [] and any(
        "No host that was read collects" in note for note in found["watch"]["notes"]
    )


@pytest.mark.parametrize(
    ("arguments", "said_of"),
    [({"since": "soon"}, "since: got soon"), ({"limit": 0}, "limit: got 0"), ({"run": "../x"}, "run: got ../x")],
)
def test_wrong_options_are_refused(watch, arguments, said_of):
    found = watch.step("report", **arguments)
    assert found["failed"] and said_of in found["msg"]


def test_a_report_outside_of_its_folder_is_refused(watch):
    found = watch.step("report", report="/tmp/elsewhere.json")
    assert found["failed"] and "a path below" in found["msg"]
