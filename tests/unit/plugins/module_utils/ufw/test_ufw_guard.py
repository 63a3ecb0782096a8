# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import guard as guard_program
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import INIT
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import (
    BACK,
    BOOT,
    CHANGE,
    JOURNAL,
    KEPT,
    TREE,
    UNKNOWN,
    WAITING,
    Guard,
    GuardError,
    Outcome,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import PROGRAM
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost, inform

SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
CLOSE = {"rule": "deny", "from_ip": "10.77.0.0/16"}
# Four files and both families change.
WISH = {"default": {"incoming": None, "outgoing": None, "routed": "reject"}, "logging": "high", "purge": True}


def params(timeout=20, **more):
    wish = {"state": "enabled", "default": None, "logging": None, "ipv6": None, "purge": False, "rules": None}
    return {**wish, "confirm": {"timeout": timeout}, **more}


@pytest.fixture(name="host")
def fixture_host(tmp_path):
    return FakeHost(tmp_path)


def wait(host, **more):
    """Apply a change that waits."""
    return converge(host, params(**{**WISH, "rules": [SSH, CLOSE], **more}), False)


def guard_of(host):
    return Guard(host.root, host.run)


def files(host):
    return {path: text for path, text in host.snapshot().items() if "/etc/" in path}


def kernel(host):
    return {name: text for name, text in host.snapshot().items() if name in ("v4", "v6")}


# -- a change that waits -----------------------------------------------------------------------------------------------


def test_until_it_is_confirmed_a_change_is_in_the_kernel_alone(host):
    before = files(host)
    result = wait(host)
    assert result["pending"]["timeout"] == 20
    assert "10.77.0.0/16" in host.tables[4].save()
    assert {path: text for path, text in files(host).items() if path in before} == before


def test_the_timer_is_armed_before_the_kernel_is_touched(host):
    run, seen = host.run, []

    def watch(argv, stdin=""):
        if argv[0].endswith("-restore") and "--test" not in argv:
            seen.append((bool(host.spawned), guard_of(host).change() is not None))
        return run(argv, stdin)

    host.run = watch
    wait(host)
    assert seen == [(True, True), (True, True)]
    assert host.spawned[0][-4:] == [host.path(PROGRAM), "settle", guard_of(host).change().token, "20"]


def test_where_systemd_runs_it_has_the_timer_and_stops_it_in_the_end(host):
    host.systemd()
    token = wait(host)["pending"]["token"]
    started = next(line for line in host.ran if line.startswith("systemd-run"))
    assert f"--unit bulkhead-ufw-{token} --on-active 20s" in started
    assert "AccuracySec=100ms" in started and "Restart=on-failure" in started
    assert not host.spawned
    guard_of(host).keep(guard_of(host).change())
    assert host.ran[-1] == f"systemctl stop bulkhead-ufw-{token}.timer"


def test_where_systemd_refuses_a_process_is_the_timer(host):
    host.systemd()
    host.fail = {"systemd-run": "Failed to connect to bus"}
    wait(host)
    assert len(host.spawned) == 1
    assert guard_of(host).change().timer == ""


def test_a_confirmed_change_is_in_all_the_files_and_the_next_run_changes_nothing(host):
    token = wait(host)["pending"]["token"]
    guard = guard_of(host)
    assert guard.outcome(token).state == WAITING
    guard.keep(guard.change())
    assert guard.outcome(token).state == KEPT
    assert guard.change() is None
    assert inform(host)["drift"] == []
    assert wait(host)["changed"] is False
    assert not [name for name in os.listdir(host.path("/etc/ufw")) if name.startswith(".")]
    assert not os.path.exists(host.path(JOURNAL)) and not os.path.exists(host.path(BOOT))


def test_a_change_that_nobody_confirms_leaves_no_trace(host):
    before = host.snapshot()
    token = wait(host)["pending"]["token"]
    guard = guard_of(host)
    assert guard.settle("too late", token) == BACK
    assert host.snapshot() == before
    assert guard.outcome(token) == Outcome(token, BACK, "too late")


def test_a_timer_of_another_change_does_nothing(host):
    wait(host)
    before = host.snapshot()
    assert guard_of(host).settle("too late", "an earlier one") is None
    assert host.snapshot() == before


def test_a_change_is_known_by_its_name_only(host):
    wait(host)
    assert guard_of(host).outcome("other").state == UNKNOWN


def test_a_change_that_only_writes_files_does_not_wait(host):
    path = host.file("/etc/ufw/ufw.conf")
    path.write_text(path.read_text().replace("LOGLEVEL=low\n", ""))
    result = converge(host, params(), False)
    assert result["changed"] is True and "pending" not in result
    assert "LOGLEVEL=low" in path.read_text()


def test_nothing_to_change_arms_nothing(host):
    converge(host, params(timeout=0, rules=[SSH]), False)
    host.ran.clear()
    host.spawned.clear()
    result = converge(host, params(rules=[SSH]), False)
    assert result["changed"] is False and "pending" not in result
    assert not host.spawned and len(host.ran) == 2


def test_check_mode_arms_nothing(host):
    before = host.snapshot()
    assert "pending" not in converge(host, params(rules=[CLOSE]), True)
    assert host.snapshot() == before and not host.spawned and not os.path.exists(host.path(CHANGE))


@pytest.mark.parametrize("seconds", [-1, 4, 3601])
def test_a_timeout_that_is_none_is_refused(host, seconds):
    with pytest.raises(Refused, match="confirm.timeout: got .*; expected 5-3600"):
        converge(host, params(timeout=seconds), False)


# -- somebody else -----------------------------------------------------------------------------------------------------


def test_a_second_run_while_a_change_waits_is_refused_and_says_how_to_go_on(host):
    wait(host)
    before = host.snapshot()
    with pytest.raises(RulesetError, match="waits for its confirmation.*rolled back in (19|20) s.*guard.py back"):
        converge(host, params(rules=[]), False)
    with pytest.raises(RulesetError, match="waits for its confirmation"):
        converge(host, params(rules=[]), True)
    assert host.snapshot() == before


def test_a_change_whose_timer_was_lost_is_rolled_back_by_the_next_run(host, monkeypatch):
    wait(host)
    later = guard_program.now() + 31
    monkeypatch.setattr(guard_program, "now", lambda: later)
    monkeypatch.setattr("ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.pending.now", lambda: later)
    assert converge(host, params(), True)["warnings"]
    assert guard_of(host).change() is not None
    result = converge(host, params(), False)
    assert result["warnings"] == ["a change that a killed process left was found; it is rolled back"]
    assert result["changed"] is False
    assert "10.77.0.0/16" not in host.tables[4].save()


@pytest.mark.parametrize("name", ["/etc/ufw/user.rules", "/etc/ufw/ufw.conf", "/etc/default/ufw"])
def test_a_file_that_somebody_wrote_in_the_meantime_is_kept_and_the_change_is_not(host, name):
    before = kernel(host)
    token = wait(host)["pending"]["token"]
    host.file(name).write_text(host.file(name).read_text() + "# mine\n")
    guard = guard_of(host)
    with pytest.raises(GuardError, match="somebody else wrote to " + name):
        guard.keep(guard.change())
    assert host.file(name).read_text().endswith("# mine\n")
    assert not [line for line in inform(host)["drift"] if "kernel" in line]
    # A rule that ufw's own command wrote was undone in the kernel with the others: the file is loaded.
    assert name == "/etc/ufw/user.rules" or kernel(host) == before
    assert guard.outcome(token).state == BACK


def test_files_that_a_reboot_left_are_swept(host):
    host.file("/etc/ufw/.user.rules.abc.bulkhead").write_text("half")
    host.file("/etc/default/.ufw.abc.bulkhead").write_text("half")
    converge(host, params(timeout=0, rules=[CLOSE]), False)
    assert not staged(host)


def restart(host):
    """As `systemctl restart ufw`: the files, which are the old ones, once more."""
    for word in ("stop", "start"):
        host.run([INIT, "--datadir", host.root, word])


def test_a_change_that_is_no_longer_in_force_is_not_kept_and_says_why(host):
    host.run([INIT, "--datadir", host.root, "start"])
    before = host.snapshot()
    token = wait(host)["pending"]["token"]
    restart(host)
    guard = guard_of(host)
    with pytest.raises(GuardError, match="not in force .*such as a restart|such as a restart of ufw.*not in force"):
        guard.keep(guard.change())
    assert guard.outcome(token).state == BACK
    assert host.snapshot() == before


def test_what_others_put_into_the_kernel_meanwhile_is_there_after_a_rollback_and_after_a_keep(host):
    for decide in ("back", "keep"):
        wait(host)
        lines = [
            "-I INPUT -p tcp --dport 22 -j f2b-sshd",
            "-A FORWARD -i docker9 -j ACCEPT",
            "-I ufw-user-input -j LOG",
        ]
        host.tables[4].step(":f2b-sshd - [0:0]")
        for line in lines:
            host.tables[4].step(line)
        guard = guard_of(host)
        guard.keep(guard.change()) if decide == "keep" else guard.settle("too late")
        chains = host.tables[4].chains
        assert chains["INPUT"][0] == "-p tcp --dport 22 -j f2b-sshd" and "f2b-sshd" in chains
        assert chains["FORWARD"][-1] == "-i docker9 -j ACCEPT" and chains["ufw-user-input"][0] == "-j LOG"


def test_a_flush_of_everything_ends_with_ufw_started_from_its_files(host):
    host.run([INIT, "--datadir", host.root, "start"])
    wait(host)
    for table in host.tables.values():
        table.chains = {name: [] for name in ("INPUT", "FORWARD", "OUTPUT")}
        table.policies = dict.fromkeys(table.policies, "ACCEPT")
    guard = guard_of(host)
    with pytest.raises(GuardError, match="not in force"):
        guard.keep(guard.change())
    assert [line.split()[-1] for line in host.ran if line.startswith(INIT)][-2:] == ["stop", "start"]


def test_ufw_that_was_switched_off_meanwhile_stays_off(host):
    wait(host)
    host.run(["ufw", "--force", "disable"])
    off = kernel(host)
    guard = guard_of(host)
    with pytest.raises(GuardError, match="somebody else wrote to /etc/ufw/ufw.conf"):
        guard.keep(guard.change())
    assert kernel(host) == off


def test_a_change_that_ends_needs_no_room_in_run(host, monkeypatch):
    token = wait(host)["pending"]["token"]
    guard, stage = guard_of(host), guard_program.StagedFile

    def full(path, *words):
        if "/run/" in path[len(host.root) :]:
            raise OSError(28, "No space left on device")
        return stage(path, *words)

    monkeypatch.setattr(guard_program, "StagedFile", full)
    guard.keep(guard.change())
    assert guard.outcome(token).state == KEPT and guard.change() is None


# -- killed ------------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """What SIGKILL is to a test: nothing catches it and nothing cleans up."""


def kill_at(monkeypatch, module, name, number):
    """Die at the n-th call of a function."""
    real, calls = getattr(module, name), []

    def dying(*args, **options):
        calls.append(args)
        if len(calls) == number:
            raise Killed
        return real(*args, **options)

    monkeypatch.setattr(module, name, dying)


# Renames: the boot's drop-in, the journal, four files, the change (twice). Removals: the journal, the drop-in.
@pytest.mark.parametrize(
    ("operation", "number", "kept"),
    [("rename", number, number > 2) for number in range(1, 9)] + [("unlink", number, True) for number in range(1, 3)],
)
def test_a_confirmation_that_is_killed_anywhere_ends_with_the_old_or_the_new_ruleset_as_a_whole(
    host, monkeypatch, operation, number, kept
):
    host.systemd()
    old = host.snapshot()
    wait(host)
    guard = guard_of(host)
    new = {**old, **{host.path(name): text for name, text in guard.change().files.items()}, **kernel(host)}
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, os, operation, number)
        guard.keep(guard.change())
    guard.settle("killed")
    assert host.snapshot() == (new if kept else old)
    assert guard.change() is None and not os.path.exists(host.path(JOURNAL)) and not os.path.exists(host.path(BOOT))
    assert guard.settle("again") is None


@pytest.mark.parametrize("command", ["keep", "back", "settle"])
@pytest.mark.parametrize(("operation", "number"), [("rename", 8), ("unlink", 1), ("unlink", 2)])
def test_whatever_command_comes_after_a_kill_at_the_very_end_nothing_is_left_of_a_kept_change(
    host, monkeypatch, command, operation, number
):
    host.systemd()
    wait(host)
    guard = guard_of(host)
    token = guard.change().token
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, os, operation, number)
        guard.keep(guard.change())
    assert guard.change() is None and os.path.exists(host.path(BOOT))
    monkeypatch.setattr(guard_program, "Guard", lambda: guard)
    monkeypatch.setattr(guard_program, "locked", lambda insist: contextlib.nullcontext())
    assert guard_program.main([command, token]) == (command == "back")
    assert not os.path.exists(host.path(JOURNAL)) and not os.path.exists(host.path(BOOT)) and staged(host) == []


def staged(host):
    """New files beside the old ones."""
    return [name for folder in ("/etc/ufw", "/etc/default") for name in os.listdir(host.path(folder)) if name[0] == "."]


def test_the_boot_finishes_what_was_decided_before_ufw_starts(host, monkeypatch):
    host.systemd()
    wait(host)
    guard = guard_of(host)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, os, "rename", 4)  # the second of ufw's files
        guard.keep(guard.change())
    assert staged(host)
    dropin = host.file(BOOT).read_text()
    assert dropin.startswith(
        f"[Service]\nExecStartPre=-/bin/sh -c '[ ! -e {JOURNAL} ] || sh {JOURNAL}; rm -f {BOOT} /etc/"
    )
    script = host.file(JOURNAL).read_text().replace(f"rm -f {JOURNAL} {BOOT}", f"rm -f {host.path(JOURNAL)}")
    for _twice in range(2):
        subprocess.run(["sh", "-e", "-c", script], check=True)
    assert not staged(host)
    assert "10.77.0.0/16" in host.file("/etc/ufw/user.rules").read_text()
    assert "LOGLEVEL=high" in host.file("/etc/ufw/ufw.conf").read_text()


def test_the_module_killed_between_the_families_is_rolled_back_by_the_timer(host):
    before = host.snapshot()
    run = host.run

    def die(argv, stdin=""):
        if argv[0] == "ip6tables-restore" and "--test" not in argv:
            raise Killed
        return run(argv, stdin)

    host.run = die
    with pytest.raises(Killed):
        wait(host)
    assert kernel(host) != {name: before[name] for name in ("v4", "v6")}
    host.run = run
    assert guard_of(host).settle("killed") == BACK
    assert host.snapshot() == before


def test_a_rollback_that_fails_keeps_the_change_for_the_next_try(host):
    before = host.snapshot()
    wait(host)
    guard = guard_of(host)
    host.fail = {"iptables-restore": "Resource temporarily unavailable"}
    with pytest.raises(GuardError, match="cannot be loaded.*Resource temporarily unavailable"):
        guard.settle("too late")
    assert guard.outcome().state == WAITING
    host.fail = {}
    assert guard.settle("too late") == BACK
    assert host.snapshot() == before


# -- switched on -------------------------------------------------------------------------------------------------------


def test_switching_on_waits_like_any_other_change_and_its_rollback_switches_off(host):
    host.inactive()
    before = host.snapshot()
    wait(host)
    assert "10.77.0.0/16" in host.tables[4].save()
    assert "ENABLED=no" in host.file("/etc/ufw/ufw.conf").read_text()
    assert guard_of(host).settle("too late") == BACK
    assert [line.split()[-1] for line in host.ran if line.startswith(INIT)] == ["start", "stop"]
    assert host.tables[4].policies["INPUT"] == "ACCEPT"
    assert host.tables[4].save() == before["v4"] and host.tables[6].save() == before["v6"]
    assert not os.path.exists(host.path(TREE))


def test_a_hook_that_fails_when_it_is_stopped_does_not_stop_the_rollback(host):
    host.inactive()
    before = host.snapshot()
    wait(host)
    host.fail = {f"{INIT} --datadir {host.path(TREE)} stop": "after.init: no"}
    assert guard_of(host).settle("too late") == BACK
    assert host.tables[4].save() == before["v4"] and host.tables[6].save() == before["v6"]


def test_a_confirmed_switch_is_in_the_files(host):
    host.inactive()
    wait(host)
    guard_of(host).keep(guard_of(host).change())
    assert "ENABLED=yes" in host.file("/etc/ufw/ufw.conf").read_text()
    info = inform(host)
    assert (info["active"], info["drift"]) == (True, [])


def test_switching_off_needs_no_confirmation(host):
    assert "pending" not in converge(host, params(state="disabled"), False)
    assert inform(host)["active"] is False


# -- the program -------------------------------------------------------------------------------------------------------


def test_the_program_on_the_host_runs_without_the_collection(host):
    wait(host)
    asked = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import Guard\n"
        "print(Guard(sys.argv[2]).outcome().to_text())"
    )
    words = [sys.executable, "-I", "-S", "-c", asked, host.path(PROGRAM), host.root]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd="/")
    assert json.loads(done.stdout)["state"] == WAITING
    run = subprocess.run(
        [sys.executable, "-I", host.path(PROGRAM), "what"], capture_output=True, text=True, check=False
    )
    assert run.returncode == 2 and "usage: guard.py" in run.stderr


def test_what_is_in_run_is_roots_alone_whatever_the_umask_and_what_was_there(host):
    old = os.umask(0)
    try:
        host.inactive()  # ufw's own start takes a copy of its files
        host.file("/run/bulkhead/ufw").mkdir(mode=0o755, parents=True)
        wait(host)
    finally:
        os.umask(old)
    modes = {path: path.stat().st_mode & 0o777 for path in host.file("/run/bulkhead/ufw").iterdir()}
    assert modes[host.file(PROGRAM)] == 0o700 and modes[host.file(CHANGE)] == 0o600
    assert modes[host.file(TREE)] == 0o700 and modes[host.file("/run/bulkhead/ufw/lock")] == 0o600
    for name in ("/run/bulkhead", "/run/bulkhead/ufw"):
        assert host.file(name).stat().st_mode & 0o777 == 0o700


def test_a_change_of_another_version_is_an_error_that_names_the_file(host):
    wait(host)
    host.file(CHANGE).write_text('{"token": "abcd", "undo": []}')
    with pytest.raises(RulesetError, match="change.json is not understood.*remove /run/bulkhead/ufw/change.json"):
        converge(host, params(), True)


def test_the_program_says_how_it_is_used():
    assert guard_program.main(["what"]) == 2
