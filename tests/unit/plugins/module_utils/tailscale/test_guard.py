"""A change that may cut the connection: it waits on the host, and is kept or taken back."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils import patience
from ansible_collections.bulkhead.tiers.plugins.module_utils.local import Result, now
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.session import Session
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale import cut, guard, keeping
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.converge import Run
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.guard import BOOT, CHANGE, PROGRAM, Guard
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import LocalApi
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import options_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.wanted import parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.waiting_change import act
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.tailscale.standin import StandIn

TAILNET = Session(4, "100.64.0.9", 50000, "100.64.0.2", 22, "tailscale0")


@pytest.fixture(name="node")
def fixture_node(tmp_path, monkeypatch):
    """A node whose task came over the tailnet; ``timers`` are the commands that would run by themselves."""
    monkeypatch.setattr(cut, "find_way", lambda status, ask, root: cut.Way(TAILNET, True, False))
    with StandIn(tmp_path) as node:
        node.prefs["ExitNodeID"] = ""
        node.timers = []
        monkeypatch.setattr(keeping, "spawn_process", node.timers.append)
        node.root = str(tmp_path / "root")
        os.mkdir(node.root)
        yield node


def run(node, check_mode=False, **params):
    api = LocalApi(node.path)
    try:
        return Run(parse(params), api, lambda argv: (1, ""), node.root).converge(check_mode)
    finally:
        api.close()


def test_a_change_that_may_cut_the_connection_waits_with_the_old_preferences_on_the_host(node):
    said = run(node, hostname="new", ssh=False, confirm={"timeout": 20})
    assert said["changed"] and said["pending"]["timeout"] == 20 and said["cuts"][0]["effect"] == "may"
    change = Guard(node.root).change()
    assert change.undo == {"Hostname": "aye", "HostnameSet": True} and change.token == said["pending"]["token"]
    for name in (CHANGE, PROGRAM):
        found = os.stat(node.root + name)
        assert not stat.S_IMODE(found.st_mode) & 0o077, name
    assert stat.S_IMODE(os.stat(os.path.dirname(node.root + CHANGE)).st_mode) == 0o700
    assert [argv[-4:] for argv in node.timers] == [[node.root + PROGRAM, "settle", change.token, "20"]] * 2


def test_the_timer_is_there_before_tailscaled_is_told_of_the_change(node, monkeypatch):
    seen = []
    do = node.do

    def watch(method, path, body):
        if method == "PATCH":
            seen.append((len(node.timers), Guard(node.root).change().undo))
        return do(method, path, body)

    node.do = watch
    run(node, hostname="new")
    assert seen == [(1, {"Hostname": "aye", "HostnameSet": True})]


def test_the_timer_of_the_change_itself_is_let_go_when_that_of_the_confirmation_runs(node, monkeypatch):
    os.makedirs(node.root + "/run/systemd/system")
    ran = []
    monkeypatch.setattr(keeping, "run_command", lambda argv: ran.append(argv) or Result(0, "", ""))
    run(node, hostname="new", confirm={"timeout": 20})
    first, second, stop = ran
    units = [argv[argv.index("--unit") + 1] for argv in (first, second)]
    assert stop == ["systemctl", "stop", units[0] + ".timer"] and units[0] != units[1]
    assert Guard(node.root).change().timer == units[1] + ".timer" and node.timers == []


def test_what_does_not_touch_the_connection_waits_for_nothing(node):
    said = run(node, operator="ops")
    assert said["changed"] and "pending" not in said and not os.path.exists(node.root + CHANGE) and node.timers == []
    assert "pending" not in run(node, hostname="new", check_mode=True) and not os.path.exists(node.root + CHANGE)
    assert "pending" not in run(node, hostname="new", confirm={"timeout": 0})


def test_what_is_refused_leaves_nothing_on_the_host(node):
    before = options_of(node.prefs)
    for params in (
        {"ssh": True},
        {"shields_up": True},
        {"state": "down"},
        {"state": "absent"},
        {"advertise_tags": ["web"]},
    ):
        with pytest.raises(Refused) as refused:
            run(node, key_at_hand=True, **params)
        assert {mistake.kind for mistake in refused.value.mistakes} == {"cut"}
    assert options_of(node.prefs) == before and not os.path.exists(node.root + CHANGE) and node.writes() == []


def test_a_risk_that_is_accepted_is_confirmed_and_a_certain_end_is_not(node):
    assert "pending" in run(node, ssh=True, accept_cut=True)
    act(Guard(node.root), "keep", None)
    assert "pending" not in run(node, shields_up=True, accept_cut=True)


def test_a_change_is_kept_by_its_token_and_the_timer_finds_nothing(node):
    token = run(node, hostname="new")["pending"]["token"]
    assert act(Guard(node.root), "keep", "other")["state"] == "unknown"
    assert act(Guard(node.root), "keep", token) == {"token": token, "state": "kept", "why": ""}
    assert act(Guard(node.root), "settle", token)["state"] == "kept" and node.prefs["Hostname"] == "new"
    assert not os.path.exists(node.root + CHANGE)


@pytest.mark.parametrize("command", ["settle", "back"])
def test_a_change_that_is_not_kept_is_taken_back(node, command):
    node.prefs["OperatorUser"] = "kept"
    token = run(node, hostname="new", exit_node="bee")["pending"]["token"]
    assert node.prefs["ExitNodeID"] == "1"
    assert act(Guard(node.root), command, token)["state"] == "back"
    assert node.prefs["Hostname"] == "aye" and node.prefs["ExitNodeID"] == "" and node.prefs["OperatorUser"] == "kept"
    assert act(Guard(node.root), "keep", token)["state"] == "back", "too late"


def test_a_rollback_that_tailscaled_does_not_take_still_waits(node):
    token = run(node, hostname="new")["pending"]["token"]
    node.faults["PATCH prefs"] = (500, "not now")
    answer = act(Guard(node.root), "settle", token)
    assert answer["state"] == "waiting" and "not now" in answer["error"]
    node.faults.clear()
    assert act(Guard(node.root), "settle", token)["state"] == "back"


@pytest.mark.parametrize(("command", "word"), [("settle", "rolled back"), ("keep", "kept")])
@pytest.mark.parametrize("check_mode", [False, True])
def test_another_run_waits_until_a_change_is_settled(node, monkeypatch, command, word, check_mode):
    token = run(node, hostname="new")["pending"]["token"]
    settle = SimpleNamespace(sleep=lambda seconds: act(Guard(node.root), command, token))
    monkeypatch.setattr(patience, "time", settle)
    said = run(node, hostname="new", check_mode=check_mode)
    assert said["changed"] is (command == "settle")
    assert said["notes"] == [f"waited 0 s for another change, which was {word}"]


def test_of_two_runs_that_waited_the_second_one_does_not_change_what_the_first_one_is_changing(node, monkeypatch):
    begin = keeping.begin

    def later(*words):
        """The second one has read the node, and the first one is faster."""
        monkeypatch.setattr(keeping, "begin", begin)
        run(node, hostname="first")
        begin(*words)

    monkeypatch.setattr(keeping, "begin", later)
    with pytest.raises(Refused, match="another change that waits for its confirmation"):
        run(node, hostname="second")
    assert node.prefs["Hostname"] == "first" and Guard(node.root).change().undo["Hostname"] == "aye"


def test_of_two_runs_that_find_a_lost_timer_one_takes_the_change_back(node, monkeypatch):
    run(node, hostname="new")
    monkeypatch.setattr(keeping.Guard, "is_overdue", lambda self, change: True)
    locked = Guard.locked

    def later(guard):
        """The other one was faster, and a person has changed the node since."""
        monkeypatch.setattr(Guard, "locked", locked)
        act(guard, "back", None)
        node.prefs["Hostname"] = "mine"
        return locked(guard)

    monkeypatch.setattr(Guard, "locked", later)
    run(node, operator="ops")
    assert node.prefs["Hostname"] == "mine"


def test_no_other_change_begins_while_one_waits_and_one_whose_timer_was_lost_is_taken_back(node, monkeypatch):
    run(node, hostname="new")
    with monkeypatch.context() as patch, pytest.raises(Refused, match="waits for its confirmation"):
        patch.setattr(patience, "LONGEST", 0)
        run(node, operator="ops")
    monkeypatch.setattr(keeping.Guard, "is_overdue", lambda self, change: True)
    assert "is taken back first" in run(node, operator="ops", check_mode=True)["notes"][0] and Guard(node.root).change()
    said = run(node, operator="ops")
    assert node.prefs["Hostname"] == "aye" and "was found" in said["notes"][0] and node.prefs["OperatorUser"] == "ops"


def test_another_boot_takes_back_what_was_not_kept_before_it(node):
    os.makedirs(node.root + "/run/systemd/system")
    monkey = Guard(node.root)
    monkey.arm(
        guard.Change("abcd", now() + 30, undo={"Hostname": "aye", "HostnameSet": True}, socket=node.path), b"program"
    )
    node.prefs["Hostname"] = "new"
    with open(node.root + BOOT, encoding="utf-8") as stream:
        assert f"{PROGRAM} boot abcd" in stream.read()
    assert act(monkey, "boot", "abcd")["state"] == "waiting" and node.prefs["Hostname"] == "new", (
        "a restart of tailscaled alone"
    )
    os.unlink(node.root + guard.MARK)
    assert act(monkey, "boot", "abcd")["state"] == "back" and node.prefs["Hostname"] == "aye"
    assert not os.path.exists(node.root + BOOT)


def test_a_run_that_fails_on_the_way_leaves_no_change_that_waits(node):
    node.unknown = {"Hostname"}
    with pytest.raises(Refused, match="does not know the setting"):
        run(node, hostname="new")
    assert not os.path.exists(node.root + CHANGE)


def test_the_change_on_the_host_has_no_key(node):
    node.keys = {"hskey-auth-secret"}
    node.tags = ["tag:web"]
    said = run(node, auth_key="hskey-auth-secret", advertise_tags=["web"], hostname="new", accept_cut=True)
    assert said["actions"][0] == "retag" and "pending" in said
    for folder, _folders, files in os.walk(node.root):
        for name in files:
            with open(os.path.join(folder, name), "rb") as stream:
                assert b"hskey-auth-secret" not in stream.read()


def test_the_program_on_the_host_runs_by_itself_with_nothing_but_python(node, tmp_path):
    run(node, hostname="new")
    done = subprocess.run(
        [sys.executable, "-I", node.root + PROGRAM, "status"], capture_output=True, text=True, check=False, cwd="/"
    )
    assert json.loads(done.stdout)["state"] in ("unknown", "kept", "back", "waiting") and done.returncode == 0
    assert (
        subprocess.run([sys.executable, "-I", node.root + PROGRAM, "x"], capture_output=True, check=False).returncode
        == 2
    )
