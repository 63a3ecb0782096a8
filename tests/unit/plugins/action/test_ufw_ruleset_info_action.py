# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.bulkhead.tiers.plugins.action import ufw_ruleset_info
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.snapshot import take_snapshot
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost, inform
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.test_ufw_ruleset_run import params

RULES = [
    {"rule": "deny", "proto": "tcp", "to_port": "22:23"},
    {"rule": "allow", "proto": "tcp", "to_port": "22"},
]


@pytest.fixture(name="host")
def fixture_host(tmp_path):
    host = FakeHost(tmp_path)
    converge(host, params(rules=RULES, purge=True), False)
    return host


@pytest.fixture(name="run")
def fixture_run(monkeypatch, host):
    """The answer, and the depths that the module was asked for; ``lie`` takes the place of the module's answer."""

    def run(lie=None, **arguments):
        depths = []

        def module(module_name, module_args, task_vars):
            depths.append(module_args["depth"])
            if lie is not None:
                return dict(lie)
            try:
                return {"changed": False, "snapshot": take_snapshot(host, module_args["depth"])}
            except RulesetError as error:
                return {"failed": True, "msg": str(error)}

        action = ufw_ruleset_info.ActionModule.__new__(ufw_ruleset_info.ActionModule)
        action._task = SimpleNamespace(args=arguments, check_mode=False, async_val=0, diff=False)
        action._execute_module = module
        monkeypatch.setattr(ufw_ruleset_info.ActionBase, "run", lambda self, tmp, task_vars: {})
        return action.run(task_vars={}), depths

    return run


def test_a_host_in_order_is_one_trip_and_the_answer_is_worked_out_on_the_controller(run, host):
    answer, depths = run()
    expected = inform(host)
    del expected["notes"]
    assert answer == {"changed": False, **expected} and depths == ["kernel"]
    assert "decides about no packet" in answer["dead"][0]


def test_findings_that_are_not_asked_for_are_not_worked_out(run, monkeypatch):
    monkeypatch.setattr("ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.inform.review", None)
    answer, _depths = run(findings=False)
    assert (answer["dead"], answer["conflicting"], answer["unlisted"]) == (None, None, [])
    assert len(answer["rules"]) == 2


def test_a_hand_written_file_that_may_differ_is_read_in_a_second_trip(run, host):
    path = host.file("/etc/ufw/before.rules")
    path.write_text(
        path.read_text().replace("\nCOMMIT\n", "\n-A ufw-before-input -p tcp --dport 99 -j ACCEPT\nCOMMIT\n")
    )
    answer, depths = run()
    assert depths == ["kernel", "files"]
    expected = inform(host)
    del expected["notes"]
    assert answer == {"changed": False, **expected} and any("99" in line for line in answer["drift"])


def test_what_the_module_cannot_read_is_its_own_failure(run, host):
    host.file("/etc/ufw/ufw.conf").unlink()
    answer, _depths = run()
    assert answer["failed"] is True and "install the package ufw" in answer["msg"]


def test_notes_about_the_files_are_warnings(run, host):
    path = host.file("/etc/ufw/user.rules")
    path.write_text(path.read_text().replace("tcp 22 ", "tcp 022 ").replace("port 22 ", "port 022 "))
    answer, _depths = run()
    assert "octal" in answer["warnings"][0] and "notes" not in answer


@pytest.mark.parametrize("lie", [{}, {"snapshot": 7}, {"snapshot": "eJw="}, {"snapshot": "\x1b[2J", "changed": True}])
def test_a_host_that_returns_no_snapshot_fails_in_plain_words(run, lie):
    answer, _depths = run(lie)
    assert answer["failed"] is True and answer["msg"].isprintable()
    assert answer["msg"].startswith("the host returned no snapshot of its firewall")
