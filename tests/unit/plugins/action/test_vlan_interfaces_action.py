"""The controller's part of VLAN interfaces: a change is kept over a new connection, or the host takes it back."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleConnectionFailure

from ansible_collections.bulkhead.tiers.plugins.action import vlan_interfaces
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import confirming

PENDING = {
    "token": "ab12",
    "timeout": 5,
    "pause": 0,
    "program": "/var/lib/bulkhead/vlans/guard.py",
    "python": "/usr/bin/python3",
}


@pytest.fixture(name="run")
def fixture_run(monkeypatch):
    """run(the module's answer, what each new connection says) -> (result, arguments that were sent, commands)."""
    monkeypatch.setattr(confirming.ActionBase, "run", lambda self, tmp, task_vars: {})
    monkeypatch.setattr(confirming.time, "sleep", lambda seconds: None)

    def run(answer, *said, check_mode=False, transport="ssh", **arguments):
        told, commands, left = [], [], list(said)

        def execute_module(module_name, module_args, task_vars):
            told.append(dict(module_args))
            if isinstance(answer, Exception):
                raise answer
            return dict(answer)

        def execute_command(command):
            commands.append(command)
            found = left.pop(0)
            if isinstance(found, Exception):
                raise found
            return {"stdout": json.dumps(found)}

        action = vlan_interfaces.ActionModule.__new__(vlan_interfaces.ActionModule)
        action._task = SimpleNamespace(args=arguments, check_mode=check_mode, async_val=0, diff=False)
        action._connection = SimpleNamespace(transport=transport, reset=lambda: commands.append("reset"))
        action._execute_module = execute_module
        action._low_level_execute_command = execute_command
        return action.run(task_vars={}), told, commands

    return run


def test_a_change_is_kept_by_the_hosts_program_over_a_new_connection(run):
    result, _told, commands = run({"changed": True, "pending": PENDING}, {"token": "ab12", "state": "kept"})
    assert result == {"changed": True, "confirmation": "confirmed over a new connection"}
    assert commands == ["reset", "/usr/bin/python3 -I /var/lib/bulkhead/vlans/guard.py keep ab12"]


def test_a_host_that_has_taken_it_back_fails_the_task_with_the_reason(run):
    cut = AnsibleConnectionFailure("no route to host")
    result, _told, _commands = run({"changed": True, "pending": PENDING}, cut, {"token": "ab12", "state": "back"})
    assert result["failed"] and not result["changed"] and result["confirmation"] == "rolled back"
    assert "no new connection came through within 5 s (no route to host). The old interfaces are back." in result["msg"]


def test_a_connection_from_below_the_network_is_not_confirmed_for_it_cannot_be_cut(run):
    result, told, _commands = run(
        {"changed": True}, transport="community.docker.docker", parent="eth1", confirm={"timeout": 30}
    )
    assert told[0]["confirm"] == {"timeout": 0} and "cannot be cut" in result["confirmation"]


@pytest.mark.parametrize(
    ("answer", "check_mode", "why"),
    [
        ({"changed": False}, False, "nothing to confirm"),
        ({"changed": True}, True, "check mode"),
        ({"changed": True}, False, "switched off"),
    ],
)
def test_what_waits_for_nothing_says_why(run, answer, check_mode, why):
    assert run(answer, check_mode=check_mode)[0]["confirmation"] == why


def test_a_host_cannot_have_the_controller_wait_longer_than_the_task_says_nor_run_what_it_likes(run):
    result, _told, commands = run({"changed": True, "pending": {**PENDING, "timeout": 900}}, confirm={"timeout": 30})
    assert result["failed"] and "no such change was asked for" in result["msg"] and commands == []
    result, _told, commands = run({"changed": True, "pending": {**PENDING, "token": "x; reboot"}})
    assert result["failed"] and commands == []


def test_a_connection_that_breaks_during_the_change_says_who_repairs_it(run):
    with pytest.raises(AnsibleConnectionFailure, match="takes the change back by itself.*broken pipe"):
        run(AnsibleConnectionFailure("broken pipe"))
