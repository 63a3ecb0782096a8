# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import stat
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible import constants, context
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar
from ansible.utils.context_objects import CLIArgs
from static_sites import SITE, Fixture

from ansible_collections.bulkhead.tiers.plugins.action.change import ActionModule, _short
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall import ahead
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Record, Run, Step


class Gate:
    """The steps of one run over the fixture's hosts; .lines is what was printed."""

    def __init__(self, folder, monkeypatch):
        self.folder, self.monkeypatch = folder, monkeypatch
        self.lab = Fixture()
        self.lines: list[str] = []
        self.run = Run.begin(str(folder / "tmp"), Record("", "outside", 0.0, "", "", self.lab.members, (), {}))
        self.more: dict = {}
        self.asked: list[str] = []

    def step(self, name, host="router", check_mode=False, answer=None, here=None, **arguments):
        task = MagicMock(Task, async_val=0, check_mode=check_mode, diff=False, collections=[], delegate_to=None)
        task.args = {"step": name, "run": arguments.pop("run", self.run.id), **arguments}
        task.resolved_action = "bulkhead.tiers.change"
        hosts = list(self.lab.members) if here is None else here
        variables = {
            **SITE,
            "inventory_hostname": host,
            "inventory_dir": "/srv/inventories/plant",
            "ansible_play_hosts_all": hosts,
            "groups": {"all": hosts},
            **self.more,
        }
        loader = DataLoader()
        templar = Templar(loader=loader, variables=variables)
        action = ActionModule(
            task, MagicMock(), SimpleNamespace(check_mode=check_mode, diff=False), loader, templar, None
        )
        self.monkeypatch.setattr(action, "_execute_module", lambda **asked: self.answer(asked, answer))
        action._display = SimpleNamespace(display=lambda text, color=None: self.lines.append(text))
        return action.run(None, variables)

    def answer(self, asked, answer):
        """Of the modules that a step runs on a host, each by its name."""
        self.asked.append(asked["module_name"].rpartition(".")[2])
        return answer.get(self.asked[-1], answer)

    def setup(self, name):
        return {"packages": ["ufw"], "ruleset": {**self.lab.plan(name), "purge": True}}

    def read(self, **setup):
        """setup: what every host says it would do."""
        for name in self.lab.members:
            said = {"netfilter": self.lab.said(name), "setup": setup or None}
            assert self.step("read", name, answer=said, setup=self.setup(name)) == {"changed": False}

    def open(self):
        """A rule of another hand: the run would close it."""
        self.lab.insert("pump1", "ufw-user-input", "-s 10.0.2.0/24 -p tcp -m tcp --dport 9 -j ACCEPT")

    @property
    def records(self):
        return [json.loads(path.read_text()) for path in sorted((self.folder / "reports/changes").glob("2*.json"))]


@pytest.fixture(name="gate")
def fixture_gate(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path / "tmp"))
    monkeypatch.setattr(context, "CLIARGS", CLIArgs({"inventory": ("hosts.yml",), "tags": ("all",), "skip_tags": ()}))
    monkeypatch.chdir(tmp_path)
    return Gate(tmp_path, monkeypatch)


def test_where_nothing_changes_one_line_is_printed_and_no_record_is_left(gate):
    gate.read()
    found = gate.step("judge")
    assert gate.lines == ["Nothing changes: the rules of 4 hosts are as they are to be."] and "record" not in found
    assert not (gate.folder / "reports").exists()


def test_a_change_is_told_and_its_record_is_ended(gate):
    gate.open()
    gate.read()
    found = gate.step("judge", reason="CHG-1")
    assert not found.get("failed") and "tcp 9" in found["gate"]["closed"][0] and found["gate"]["touched"] == ["pump1"]
    (record,) = gate.records
    assert (record["result"], record["why"], record["site"]) == ("begun", "CHG-1", "plant")
    assert record["inventory"] == ["hosts.yml"] and record["who"]["user"]
    gate.step("end")
    assert gate.records[0]["result"] == "finished" and gate.records[0]["hosts"]["not_finished"] == []
    assert stat.S_IMODE((gate.folder / "reports/changes/state.json").stat().st_mode) == 0o600


def test_hosts_that_are_gone_at_the_end_did_not_finish_and_the_state_stays(gate):
    gate.open()
    gate.read()
    gate.step("judge")
    gate.step("end", here=["router", "desk"])
    assert gate.records[0]["result"] == "failed" and gate.records[0]["hosts"]["not_finished"] == ["pump1", "pump2"]
    assert not (gate.folder / "reports/changes/state.json").exists()


def test_check_mode_plans_and_ends_nothing(gate):
    gate.open()
    gate.read()
    gate.step("judge", check_mode=True)
    gate.step("end", check_mode=True)
    assert [record["result"] for record in gate.records] == ["planned"]
    assert not (gate.folder / "reports/changes/state.json").exists()


def test_a_site_that_asks_for_a_reason_stops_without_one_and_says_it_in_the_record(gate):
    gate.more = {"bulkhead_changes": {"reason": "required"}}
    gate.open()
    gate.read()
    found = gate.step("judge")
    assert found["failed"] and "change_reason: got nothing" in found["msg"] and "gate" not in found
    assert gate.records[0]["result"] == "stopped" and gate.records[0]["stopped_by"][0].startswith("change_reason")
    assert not gate.step("judge", reason="CHG-1").get("failed")


def test_a_host_that_could_not_be_read_is_named_and_stops_nothing(gate):
    gate.read()
    failed = {"failed": True, "msg": "no\x1b[2J way"}
    gate.step("read", "pump2", answer=failed, setup=gate.setup("pump2"))
    gate.run.keep(Step.NETFILTER, "pump2", None)
    found = gate.step("judge")
    assert "1 host not read (pump2)" in found["msg"] and found["gate"]["not_read"] == {"pump2": "no\\x1b[2J way"}


def test_what_is_declared_beside_the_rules_is_compared_with_the_last_whole_run(gate):
    gate.read()
    gate.step("judge")
    gate.step("end")
    state = gate.folder / "reports/changes/state.json"
    told = json.loads(state.read_text())
    told["planes"]["VLANs"].append("lost: VLAN 9 10.9.0.0/24")
    state.write_text(json.dumps(told))
    found = gate.step("judge")
    assert found["gate"]["planes"] == {"VLANs": {"new": [], "gone": ["lost: VLAN 9 10.9.0.0/24"]}}
    assert "also VLANs" in found["msg"]


def test_a_run_with_tags_or_a_limit_leaves_the_state_as_it_was(gate, monkeypatch):
    monkeypatch.setattr(context, "CLIARGS", CLIArgs({"inventory": (), "tags": ("firewall",), "skip_tags": ()}))
    gate.read()
    gate.step("judge")
    gate.step("end")
    assert not (gate.folder / "reports/changes/state.json").exists()


SLICED = {"awx_job_id": 7, "awx_job_template_name": "bulkhead site", "awx_workflow_job_name": "bulkhead site"}


def test_a_slice_never_passes_for_the_whole_fleet(gate):
    gate.more = SLICED
    gate.open()
    gate.read()
    found = gate.step("judge")
    gate.step("end")
    assert not (gate.folder / "reports/changes/state.json").exists()
    assert (gate.records[0]["result"], gate.records[0]["slice_of"]) == ("finished", "bulkhead site")
    (page,) = (gate.folder / "reports/changes").glob("2*.md")
    assert "| hosts of one slice of | bulkhead site |" in page.read_text()
    assert any("one slice" in line for line in gate.lines)
    assert list(found["artifacts"]) == ["site_change_of_job_7"]


def test_a_job_of_a_workflow_that_is_no_slice_counts_as_the_whole_fleet(gate):
    gate.more = {**SLICED, "awx_workflow_job_name": "bulkhead change"}
    gate.read()
    found = gate.step("judge")
    gate.step("end")
    assert (gate.folder / "reports/changes/state.json").exists() and list(found["artifacts"]) == ["site_change"]


def test_what_an_approver_reads_is_short_for_any_number_of_changes_and_there_when_the_run_was_stopped(gate):
    for port in range(1, 60, 2):
        gate.lab.insert("pump1", "ufw-user-input", f"-s 10.0.{port}.0/24 -p tcp -m tcp --dport {port} -j ACCEPT")
    gate.more = {"bulkhead_changes": {"reason": "required"}}
    gate.read()
    found = gate.step("judge")
    told = found["artifacts"]["site_change"]
    assert found["failed"] and told["touched"] == ["pump1"] and told["record"] == found["record"]
    assert (
        told["closed"] and max(len(told[name]) for name in ("opened", "closed", "unknown", "broken", "touched")) <= 21
    )


@pytest.mark.parametrize(("number", "shown"), [(20, 20), (21, 21), (500, 21)])
def test_a_long_list_ends_with_how_many_more_there_are(number, shown):
    found = _short([f"h{each}" for each in range(number)])
    assert len(found) == shown and (number == 20 or found[-1] == f"and {number - 20} more")


def test_the_proof_before_stands_in_the_record(gate):
    (gate.folder / "reports").mkdir()
    (gate.folder / "reports/proof.json").write_text('{"holds": true, "summary": "The isolation holds"}')
    gate.open()
    gate.read()
    gate.step("judge")
    assert gate.records[0]["proof_before"]["holds"] is True


def test_awx_says_who_it_was(gate):
    gate.more = {"awx_user_name": "bob", "awx_job_id": 7}
    gate.open()
    gate.read()
    gate.step("judge")
    assert gate.records[0]["who"]["awx_user_name"] == "bob" and gate.records[0]["who"]["awx_job_id"] == "7"


def test_a_run_that_is_none_is_refused(gate):
    found = gate.step("judge", run="../../etc")
    assert found["failed"] and "run: got ../../etc" in found["msg"]


def test_where_the_look_fails_the_rules_are_read_all_the_same(gate):
    said = {"firewall_setup": {"failed": True, "msg": "MODULE FAILURE"}, "netfilter_info": gate.lab.said("pump1")}
    assert gate.step("read", "pump1", answer=said, setup=gate.setup("pump1")) == {"changed": False}
    assert gate.asked == ["firewall_setup", "netfilter_info"] and gate.run.kept(Step.NETFILTER, "pump1")


def test_what_a_host_warns_of_is_passed_on_in_printable_words(gate):
    said = {"netfilter": gate.lab.said("pump1"), "setup": None, "warnings": ["waited 12 s\x1b[2J"], "more": 1}
    found = gate.step("read", "pump1", answer=said, setup=gate.setup("pump1"))
    assert found == {"changed": False, "warnings": ["waited 12 s\\x1b[2J"]}


def test_rules_that_are_none_are_named_with_the_host(gate):
    gate.read()
    said = {"netfilter": {**gate.lab.said("pump2"), "printed": {"rules4": [0, 1, 2]}}}
    gate.step("read", "pump2", answer=said, setup=gate.setup("pump2"))
    assert "1 host not read (pump2)" in gate.step("judge")["msg"]


@pytest.mark.parametrize("option", [{"keep": {"comments": ["x"]}}, {"purge": False}, {"purge": "false"}], ids=str)
def test_a_plan_that_keeps_rules_of_others_is_judged_so(gate, option):
    gate.open()
    gate.read()
    kept = {**gate.setup("pump1"), "ruleset": {**gate.setup("pump1")["ruleset"], **option}}
    gate.step("read", "pump1", answer={"netfilter": gate.lab.said("pump1")}, setup=kept)
    assert gate.step("judge")["gate"]["closed"] == []


NOTHING = {"changed": False, "missing": [], "files": [], "diff": []}


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ({**NOTHING, "ruleset": {"changed": False, "same": True}}, [True, True]),
        ({**NOTHING, "changed": True, "files": ["/x"], "ruleset": {"changed": False, "same": False}}, [False, True]),
        ({**NOTHING, "missing": ["ufw"], "changed": True, "ruleset": None}, [False, False]),
        ({"changed": False}, [False, False]),
        ({**NOTHING, "missing": {}, "ruleset": [1]}, [False, False]),
    ],
    ids=["nothing to do", "a file differs", "without ufw", "no answer", "nonsense"],
)
@pytest.mark.parametrize("check", [False, True])
def test_what_a_host_said_of_its_setup_spares_its_tasks_a_trip(gate, said, known, check):
    setup = gate.setup("pump1")
    gate.step(
        "read", "pump1", check_mode=check, answer={"netfilter": gate.lab.said("pump1"), "setup": said}, setup=setup
    )
    variables = {"inventory_hostname": "pump1"}
    for mode in (not check, check):
        task = SimpleNamespace(delegate_to=None, check_mode=mode)
        names = [ahead.question(task, variables, asked) for asked in (setup, {**setup["ruleset"], "ways": ["all"]})]
        assert [ahead.take(name) is not None for name in names] == (known if mode is check else [False, False])
