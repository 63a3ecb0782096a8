# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two tasks of the role firewall on the controller: one trip where nothing is to do."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible import constants
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.action import firewall_setup, host_setup, ufw_ruleset

RULESET = {"state": "enabled", "rules": []}
SETUP = {"invocation": {}, "changed": False, "missing": [], "files": [], "diff": []}
SAME, DIFFERS = {"changed": False, "same": True, "rules": ["x"], "diff": {}}, {"changed": False, "same": False}


@pytest.fixture(name="run")
def fixture_run(monkeypatch, tmp_path):
    """Both tasks, on a host whose modules answer by name, in order: ([result], [modules that were run])."""
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})

    def run(check=False, ways=("all",), setup=None, **answers):
        calls = []

        def execute(module_name, module_args, task_vars):
            calls.append(module_name.rpartition(".")[2])
            found = answers[calls[-1]]
            return found.pop(0) if isinstance(found, list) else found

        results = []
        for action, args in (
            (firewall_setup, setup or {"packages": ["ufw"], "ruleset": RULESET}),
            (ufw_ruleset, {**RULESET, "ways": list(ways)}),
        ):
            plugin = action.ActionModule.__new__(action.ActionModule)
            plugin._task = SimpleNamespace(args=args, check_mode=check, async_val=0, diff=False, delegate_to=None)
            plugin._connection = SimpleNamespace(transport="docker")
            plugin._execute_module = execute
            results.append(plugin.run(task_vars={"inventory_hostname": "web1", "groups": {}}))
        return results, calls

    return run


@pytest.mark.parametrize("check", [False, True])
def test_a_host_that_is_as_it_should_be_is_asked_once(run, check):
    (setup, applied), calls = run(check, firewall_setup={**SETUP, "ruleset": SAME})
    assert calls == ["firewall_setup"] and "ruleset" not in setup
    assert applied["rules"] == ["x"] and applied["changed"] is False


def test_a_host_that_differs_is_changed_without_being_asked_again(run):
    (_setup, applied), calls = run(
        ways=(), firewall_setup={**SETUP, "ruleset": DIFFERS}, ufw_ruleset={"changed": True, "rules": []}
    )
    assert calls == ["firewall_setup", "ufw_ruleset"] and applied["changed"] is True


def test_what_the_host_says_once_its_packages_are_there_counts(run):
    lacks = {**SETUP, "missing": ["ufw"], "ruleset": None}
    _results, calls = run(firewall_setup=[lacks, {**SETUP, "ruleset": SAME}], apt={"changed": True})
    assert calls == ["firewall_setup", "apt", "firewall_setup"]


@pytest.mark.parametrize("said", [None, {"same": True}, {**SAME, "failed": True}, "same"])
def test_where_the_host_said_nothing_of_use_it_is_asked(run, said):
    _results, calls = run(firewall_setup={**SETUP, "ruleset": said}, ufw_ruleset_plan=SAME)
    assert calls == ["firewall_setup", "ufw_ruleset_plan"]


FILES = [{"path": "/etc/sysctl.d/x.conf", "block": "a = 1", "marker": "# {mark}"}]


@pytest.fixture(name="later")
def fixture_later(run, monkeypatch):
    """A task of host_setup after the two: (result, modules that it ran)."""

    def later(said, files=None, **more):
        calls = []
        run(setup={"packages": ["ufw"], "ruleset": RULESET, "after": FILES}, firewall_setup={**SETUP, **said})
        plugin = host_setup.ActionModule.__new__(host_setup.ActionModule)
        plugin._task = SimpleNamespace(args={"files": files or FILES, **more}, check_mode=False, delegate_to=None)
        plugin._execute_module = lambda module_name, **_more: calls.append(module_name) or {**SETUP, "changed": True}
        return plugin.run(task_vars={"inventory_hostname": "web1"}), calls

    return later


def test_files_that_come_later_and_are_as_they_should_be_take_no_trip(later):
    result, calls = later({"ruleset": SAME, "after": True})
    assert calls == [] and result == {"changed": False, "missing": [], "files": [], "diff": []}


@pytest.mark.parametrize("after", [False, None, "yes", 1])
def test_files_that_are_not_or_of_which_the_host_said_nothing_are_seen_to(later, after):
    result, calls = later({"ruleset": SAME, "after": after})
    assert calls == ["bulkhead.tiers.host_setup"] and result["changed"]


@pytest.mark.parametrize("more", [{"files": [{**FILES[0], "block": "a = 2"}]}, {"packages": ["x"]}], ids=str)
def test_what_a_host_said_of_its_files_is_good_for_no_other_task(later, more):
    assert later({"ruleset": SAME, "after": True}, **more)[1] == ["bulkhead.tiers.host_setup"]


def test_nothing_is_kept_of_a_host_whose_setup_failed(run):
    failed = {**SETUP, "failed": True, "msg": "no", "ruleset": SAME}
    _results, calls = run(firewall_setup=failed, ufw_ruleset_plan=SAME)
    assert calls == ["firewall_setup", "ufw_ruleset_plan"]
