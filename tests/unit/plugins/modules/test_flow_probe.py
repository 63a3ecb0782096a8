from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.module_utils.testing import patch_module_args
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.action import flow_listen as action_flow_listen
from ansible_collections.bulkhead.tiers.plugins.action import flow_probe as action_flow_probe
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.control import ListenerError
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Listening
from ansible_collections.bulkhead.tiers.plugins.modules import flow_listen, flow_probe

KEY = "0123456789abcdef" * 4
JOB = {"id": "a/1", "proto": "tcp", "dest": "10.0.3.11", "port": 22}
MODULES = {"flow_probe": flow_probe, "flow_listen": flow_listen}


@pytest.fixture(name="run")
def fixture_run(capsys, monkeypatch):
    """The result of a task: its action, and the module that this runs, without a host in between."""
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})

    def execute(module_name, module_args, task_vars):
        with patch_module_args(module_args), pytest.raises(SystemExit):
            MODULES[module_name.rpartition(".")[2]].main()
        return json.loads(capsys.readouterr().out)

    def run(action=action_flow_probe, **arguments):
        plugin = action.ActionModule.__new__(action.ActionModule)
        plugin._task = SimpleNamespace(args={"token": "run", **arguments})
        plugin._execute_module = execute
        return plugin.run()

    return run


@pytest.fixture
def calls(monkeypatch):
    """What the modules ask of the packet code, instead of any packet."""
    made = []
    monkeypatch.setattr(flow_listen, "start", lambda *asked: made.append(asked) or Listening(bound=2))
    monkeypatch.setattr(flow_probe, "probe_all", lambda *asked: made.append(asked) or [Result("a/1", Verdict.DROPPED)])
    monkeypatch.setattr(flow_probe, "ask", lambda *asked: made.append(asked) or {"running": True})
    return made


@pytest.mark.parametrize("action", [action_flow_probe, action_flow_listen])
def test_listen_starts_a_listener_on_every_port_once(run, calls, action):
    port = {"proto": "tcp", "port": 22}
    mode = {"mode": "listen"} if action is action_flow_probe else {}
    said = run(action, **mode, name="mon1", key=KEY, addresses=["10.0.3.0/24"], listen=[port, port], ttl=5)
    assert said["changed"] is False and said["bound"] == 2
    token, name, key, ttl, ranges, ports = calls[0]
    assert (token, name, key, ttl, ports) == ("run", "mon1", bytes.fromhex(KEY), 5, [("tcp", 22)])
    assert [str(net) for net in ranges] == ["10.0.3.0/24"]


def test_the_key_of_a_listener_is_never_shown(run, calls):
    said = run(mode="listen", name="mon1", key=KEY)
    assert KEY not in json.dumps(said)
    for wrong in (KEY[:30], "no digits"):
        said = run(mode="listen", name="mon1", key=wrong)
        assert "key: got something else; expected at least 16 bytes" in said["msg"] and wrong not in json.dumps(said)


@pytest.mark.parametrize("check_mode", [False, True])
def test_probe_runs_in_check_mode_too_as_it_changes_nothing(capsys, calls, check_mode):
    with patch_module_args({"token": "run", "mode": "probe", "jobs": [JOB], "_ansible_check_mode": check_mode}):
        with pytest.raises(SystemExit):
            flow_probe.main()
    said = json.loads(capsys.readouterr().out)
    assert said["changed"] is False and said["results"] == [{"id": "a/1", "verdict": "DROPPED", "ms": 0.0}]
    jobs, token, timeout = calls[0]
    assert jobs == [Job("a/1", "tcp", "10.0.3.11", 22)] and timeout == 3.2


def test_stop_asks_for_this_run_s_listener_alone(run, calls):
    assert run(mode="stop", peers=["10.0.1.11"])["running"] is True
    assert calls == [("run", ["10.0.1.11"])]


def test_all_errors_are_told_at_once_and_nothing_is_done(run, calls):
    said = run(
        mode="probe",
        token="two words",
        addresses=["10.0.3.11/24", "nowhere"],
        timeout=0,
        listen=[{"proto": "udp", "port": 0}],
        jobs=[JOB, dict(JOB, id="a b", port=70000, dest="mon1", source="10.0.0.300")],
    )
    assert said["failed"] and not calls
    for text in [
        "addresses[0]: got 10.0.3.11/24",
        "addresses[1]: got nowhere",
        "listen[0].port: got 0; expected a port, 1-65535",
        "jobs[1].port: got 70000; expected a port, 1-65535",
        "jobs[1].dest: got mon1; expected an address",
        "jobs[1].source: got 10.0.0.300",
        "jobs[1].id: got 'a b'",
        "timeout: got 0.0; expected seconds above 0",
        "token: got 'two words'",
    ]:
        assert text in said["msg"]
    assert "jobs[0]" not in said["msg"]
    said = run(mode="probe", jobs=[JOB, JOB])
    assert "jobs: got an id twice" in said["msg"] and not calls


def test_a_listener_needs_a_name_and_a_key(run, calls):
    with pytest.raises(AnsibleActionFail, match="missing: name, key"):
        run(mode="listen")
    assert not calls


def test_a_listener_that_cannot_start_fails_with_its_reason(run, monkeypatch):
    def fail(*asked):
        raise ListenerError("the listener could not start: no more descriptors")

    monkeypatch.setattr(flow_listen, "start", fail)
    assert run(mode="listen", name="mon1", key=KEY)["msg"] == "the listener could not start: no more descriptors"
