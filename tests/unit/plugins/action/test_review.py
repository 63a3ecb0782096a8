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

from ansible_collections.bulkhead.tiers.plugins.action.review import ActionModule
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.snapshot import take_snapshot
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import declare
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Record, Run
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.test_ufw_ruleset_run import params

SITE = {
    "bulkhead_tiers": {"web": {"vlan": 1, "subnet": "10.0.1.0/24"}, "db": {"vlan": 2, "subnet": "10.0.2.0/24"}},
    "bulkhead_services": {"ssh": "22/tcp", "pg": "5432/tcp"},
    "bulkhead_flows": [{"from": "web", "to": "db", "allow": "ssh"}, {"from": "web", "to": "db", "allow": "pg"}],
}
TRAFFIC = {"now": 5.0, "logs": [], "tracked": None, "addresses": {}, "ufw": {"enabled": "yes", "level": "low"}}


@pytest.fixture(name="host")
def fixture_host(tmp_path):
    """A host of db, whose rule for pg counted seven packets."""
    (tmp_path / "host").mkdir()
    host = FakeHost(tmp_path / "host")
    rules = [rule.to_dict() for rule in host_rules(declare(SITE).site, ["db"], False)]
    converge(host, params(rules=rules, purge=True), False)
    (line,) = [line for line in host.tables[4].save().splitlines() if "--dport 5432" in line]
    host.counters[line] = (7, 420)
    return host


@pytest.fixture(name="review")
def fixture_review(tmp_path, monkeypatch, host):
    """One step on one host, within a run; .lines is what was printed."""
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    members = {name: Member(name, Part.TIER, ("db",)) for name in ("db1", "db2")}
    members["stray"] = Member("stray", Part.NONE)
    begun = Run.begin(str(tmp_path / "tmp"), Record("0", "outside", 0.0, "", "", members, (), {}))
    monkeypatch.chdir(tmp_path)
    lines: list[str] = []

    def said(module_name, module_args, **_kw):
        if module_name.endswith("ufw_ruleset_info"):
            return {"snapshot": take_snapshot(host, module_args["depth"])}
        return {"stat": {"mtime": 1000.0}} if module_name.endswith("stat") else dict(TRAFFIC)

    def step(name, answer=None, check_mode=False, **arguments):
        task = MagicMock(Task, async_val=0, check_mode=check_mode, diff=False, collections=[])
        task.args = {"step": name, "run": arguments.pop("run", begun.id), **arguments}
        task.resolved_action = "bulkhead.tiers.review"
        variables = {**SITE, "inventory_hostname": "db1", "groups": {"all": list(members), "db": ["db1", "db2"]}}
        loader = DataLoader()
        templar = Templar(loader=loader, variables=variables)
        mode = SimpleNamespace(check_mode=check_mode, diff=False)
        action = ActionModule(task, MagicMock(), mode, loader, templar, None)
        monkeypatch.setattr(action, "_execute_module", said if answer is None else lambda **_kw: answer)
        action._display = SimpleNamespace(display=lambda text, color=None: lines.append(text))
        return action.run(None, variables)

    return SimpleNamespace(step=step, lines=lines, folder=tmp_path)


def uses(found):
    return {row["path"]: (row["use"], row["packets"], row["since"]) for row in found["review"]["flows"]}


def test_what_the_kernel_counted_is_told_of_the_flows_and_written(review):
    assert review.step("read") == {"changed": False, "rules": 2, "unused": 1}
    found = review.step("report")
    assert uses(found) == {
        "bulkhead_flows[0]": ("unused", {"db1": 0}, 1000.0),
        "bulkhead_flows[1]": ("used", {"db1": 7}, 1000.0),
    }
    assert json.loads((review.folder / "reports" / "review.json").read_text())["flows"] == found["review"]["flows"]


def test_a_host_that_was_not_reached_is_named_and_one_of_no_tier_is_none(review):
    review.step("read")
    assert review.step("report")["review"]["trouble"] == {"db2": "it was not reached"}


@pytest.mark.parametrize("answer", [{"failed": True, "msg": "no\x1b[2J root"}, {"snapshot": "x"}, {"snapshot": 5}, "x"])
def test_a_host_that_could_not_be_read_is_named_with_its_reason(review, answer):
    found = review.step("read", answer=answer)
    assert found["failed"] and found["msg"].isprintable()
    assert "db1" in review.step("report")["review"]["trouble"]


def test_a_use_is_remembered_when_the_counters_have_begun_anew(review, host):
    review.step("read")
    last = {row["path"]: row["last_used"] for row in review.step("report")["review"]["flows"]}
    assert last["bulkhead_flows[0]"] is None and last["bulkhead_flows[1]"]
    host.counters.clear()
    review.step("read")
    again = {row["path"]: (row["use"], row["last_used"]) for row in review.step("report")["review"]["flows"]}
    assert again["bulkhead_flows[1]"] == ("unused", last["bulkhead_flows[1]"])


def test_a_file_of_another_hand_is_no_earlier_review(review):
    (review.folder / "reports").mkdir()
    (review.folder / "reports" / "review.json").write_text('{"flows": [{"flow": 5, "last_used": "x"}, 7]}')
    review.step("read")
    assert review.step("report")["review"]["flows"]


def test_check_mode_writes_nothing(review):
    review.step("read")
    assert "report" not in review.step("report", check_mode=True) and not (review.folder / "reports").exists()


@pytest.mark.parametrize("arguments", [{"limit": 0}, {"report": "/etc/review.json"}, {"run": "../x"}])
def test_what_cannot_be_used_is_refused(review, arguments):
    assert review.step("report", **arguments)["failed"]
