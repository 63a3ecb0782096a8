# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.action.host_setup import APT, MODULE, ActionModule


@pytest.mark.parametrize("stale", [False, True])
def test_apt_is_asked_for_what_is_missing_without_what_is_only_recommended(monkeypatch, stale):
    calls = []

    def run_module(self, name, arguments, task_vars):
        calls.append((name, arguments))
        if name == MODULE:
            return {"changed": False, "missing": ["ufw", "rsyslog"] if len(calls) == 1 else []}
        return {"changed": True, "failed": stale and "update_cache" not in arguments}

    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(ActionModule, "_run_module", run_module)
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args={"packages": ["ufw", "rsyslog"]}, check_mode=False)
    assert action.run(None, {"inventory_hostname": "web1"})["changed"]
    asked = [arguments for name, arguments in calls if name == APT]
    assert len(asked) == (2 if stale else 1)
    assert all(arguments["name"] == ["ufw", "rsyslog"] for arguments in asked)
    assert all(arguments["install_recommends"] is False for arguments in asked)


@pytest.mark.parametrize("packages", [["ufw", "rsyslog"], "ufw, rsyslog"])
@pytest.mark.parametrize("missing", [["ufw", "netcat", "./evil.deb"], "ufw", {"ufw": 1}, 7, None])
def test_a_host_has_nothing_installed_that_the_task_does_not_name(monkeypatch, missing, packages):
    calls = []

    def execute(self, module_name, module_args, task_vars):
        calls.append((module_name, module_args))
        return {"changed": True, "missing": missing, "diff": {"after": "\x1b[2J"}}

    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(ActionModule, "_execute_module", execute)
    action = ActionModule.__new__(ActionModule)
    action._task = SimpleNamespace(args={"packages": packages}, check_mode=False)
    result = action.run(None, {"inventory_hostname": "web1"})
    asked = [arguments["name"] for name, arguments in calls if name == APT]
    assert asked == ([["ufw"]] if isinstance(missing, list) else [])
    assert "\x1b" not in json.dumps(result, ensure_ascii=False)
