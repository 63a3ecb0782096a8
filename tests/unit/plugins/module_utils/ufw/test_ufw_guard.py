# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils import patience
from ansible_collections.bulkhead.tiers.plugins.module_utils.local import Result
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
    Change,
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


def test_what_became_of_the_last_change_is_not_hidden_by_the_one_before_it(host):
    first = wait(host)["pending"]["token"]
    guard_of(host).keep(guard_of(host).change())
    second = wait(host, purge=True, rules=[SSH])["pending"]["token"]
    assert guard_of(host).settle("too late", second) == BACK
    assert guard_of(host).outcome(second) == guard_of(host).outcome() == Outcome(second, BACK, "too late")
    assert guard_of(host).outcome(first).state == UNKNOWN


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


@pytest.fixture(name="meanwhile")
def fixture_meanwhile(host, monkeypatch):
    """What others do while a run waits, one step each time that it sleeps. Nothing is held then that they need."""
    steps = []

    def sleep(_seconds):
        assert host.held == set()
        steps.pop(0)()

    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=sleep))
    return steps


def nothing():
    pass


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_second_run_waits_for_the_rollback_and_goes_on_from_what_it_finds_then(host, meanwhile, check_mode):
    wait(host)
    guard = guard_of(host)
    meanwhile[:] = [nothing, nothing, lambda: guard.settle("too late")]
    result = converge(host, params(rules=[CLOSE]), check_mode)
    assert not meanwhile and result["warnings"][0] == "waited 0 s for another change, which was rolled back"
    # What the first run was about to add is to be added again.
    assert result["added"] and "LOGLEVEL=low" in host.file("/etc/ufw/ufw.conf").read_text()


def test_one_that_is_kept_meanwhile_is_what_the_second_run_finds(host, meanwhile):
    wait(host)
    guard = guard_of(host)
    meanwhile[:] = [lambda: guard.keep(guard.change())]
    result = converge(host, params(**{**WISH, "rules": [SSH, CLOSE]}), False)
    assert result["changed"] is False and result["warnings"] == ["waited 0 s for another change, which was kept"]


def test_of_two_runs_that_wait_for_the_same_change_one_waits_for_the_others(host, meanwhile):
    wait(host)
    guard = guard_of(host)

    def first():
        guard.settle("too late")
        wait(host)

    meanwhile[:] = [first, nothing, lambda: guard.keep(guard.change())]
    assert converge(host, params(**{**WISH, "rules": [SSH, CLOSE]}), False)["changed"] is False and not meanwhile


def test_the_time_that_a_run_waited_does_not_count_for_its_own_confirmation(host, meanwhile, monkeypatch):
    wait(host)
    guard, real = guard_of(host), patience.now

    def later():
        guard.settle("too late")
        monkeypatch.setattr(patience, "now", lambda: real() + 12)

    meanwhile[:] = [later]
    pending = converge(host, params(rules=[CLOSE]), False)["pending"]
    assert (pending["waited"], pending["timeout"]) == (12, 20)
    assert 18 < guard.change().deadline - real() <= 20


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_change_that_is_waited_for_and_whose_timer_is_late_is_rolled_back(host, meanwhile, monkeypatch, check_mode):
    wait(host)

    def late():
        now = guard_program.now() + 31
        monkeypatch.setattr("ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.pending.now", lambda: now)

    meanwhile[:] = [nothing, late]
    result = converge(host, params(rules=[CLOSE]), check_mode)
    ends = {
        False: ("rolled back", "was found; it is rolled back"),
        True: ("not settled in time", "is brought to an end first"),
    }
    said = "waited 0 s for another change, which was %s", "a change that a killed process left %s"
    assert result["warnings"][:2] == [text % end for text, end in zip(said, ends[check_mode])]


def test_a_run_whose_patience_is_over_is_refused_and_says_how_to_go_on(host, monkeypatch):
    wait(host)
    before = host.snapshot()
    monkeypatch.setattr(patience, "LONGEST", 0)
    for check_mode in (False, True):
        with pytest.raises(RulesetError, match="waits for its confirmation.*rolled back in (19|20) s.*guard.py back"):
            converge(host, params(rules=[]), check_mode)
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
    with pytest.raises(GuardError, match="another program wrote to " + name):
        guard.keep(guard.change())
    assert host.file(name).read_text().endswith("# mine\n")
    assert not [line for line in inform(host)["drift"] if "kernel" in line]
    # A rule that ufw's own command wrote was undone in the kernel with the others: the file is loaded.
    assert name == "/etc/ufw/user.rules" or kernel(host) == before
    assert guard.outcome(token).state == BACK


@pytest.mark.parametrize(
    ("family", "chain", "source"), [(4, "ufw-user-input", "192.0.2.50"), (6, "ufw6-user-input", "2001:db8::50")]
)
def test_a_rule_that_ufws_command_wrote_meanwhile_is_in_the_kernel_after_the_rollback(host, family, chain, source):
    wait(host)
    path = host.file(guard_program.RULES[family])
    head, end, tail = path.read_text().partition("### END RULES ###")
    path.write_text("".join((head, f"-A {chain} -s {source} -j DROP\n", end, tail)))
    guard = guard_of(host)
    with pytest.raises(GuardError, match="another program wrote to"):
        guard.keep(guard.change())
    assert f"-s {source} -j DROP" in host.tables[family].chains[chain]


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
    with pytest.raises(GuardError, match="another program wrote to /etc/ufw/ufw.conf"):
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


@pytest.mark.parametrize("theirs", [[], ["-s 192.0.2.9/32 -j DROP"]])
def test_a_decided_change_is_loaded_whole_where_others_set_its_chains_anew_meanwhile(host, monkeypatch, theirs):
    wait(host)
    guard = guard_of(host)
    new = kernel(host)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, os, "rename", 3)  # the first of ufw's files: the journal is there
        guard.keep(guard.change())
    host.tables[4].chains["ufw-user-input"] = list(theirs)
    assert guard.settle("killed") == KEPT
    assert kernel(host) == new


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


def test_the_program_says_how_it_is_used(capsys):
    assert guard_program.main(["what"]) == 2
    assert capsys.readouterr().err == "usage: guard.py status | keep [TOKEN] | back [TOKEN] | settle TOKEN [SECONDS]\n"


@pytest.fixture(name="program")
def fixture_program(host, monkeypatch, capsys):
    """Run the program on the host: its status, and what it prints. ``slept`` is what it waited, ``insists`` its locks."""

    def run(*words):
        status = guard_program.main(list(words))
        return status, json.loads(capsys.readouterr().out)

    def locked(insist=False):
        run.insists.append(insist)
        return contextlib.nullcontext()

    run.slept, run.insists = [], []
    monkeypatch.setattr(guard_program, "Guard", lambda: guard_of(host))
    monkeypatch.setattr(guard_program.time, "sleep", run.slept.append)
    monkeypatch.setattr(guard_program, "locked", locked)
    return run


def test_the_program_keeps_a_change_and_says_so_however_often_it_is_asked(host, program):
    token = wait(host)["pending"]["token"]
    status, answer = program()
    assert (status, answer["token"], answer["state"]) == (0, token, WAITING) and answer["why"].startswith("until ")
    assert program("keep", "other")[0] == 1 and program("status", "other")[1]["state"] == UNKNOWN
    assert program("keep", token) == (0, {"token": token, "state": KEPT, "why": ""})
    assert program("keep", token)[0] == 0 and program("status")[1]["state"] == KEPT
    assert program("back", token) == (1, {"token": token, "state": KEPT, "why": ""})
    assert "10.77.0.0/16" in host.file("/etc/ufw/user.rules").read_text()
    assert program.insists == [False, False, False, True] and program.slept == []


def test_the_program_takes_a_change_back_by_hand_and_without_its_name(host, program):
    before = host.snapshot()
    token = wait(host)["pending"]["token"]
    assert program("back", "other") == (
        1,
        {"token": "other", "state": UNKNOWN, "why": "no such change since the host was started"},
    )
    assert program("back") == (0, {"token": token, "state": BACK, "why": "by hand"})
    assert host.snapshot() == before
    assert program("keep", token)[0] == 1 and program.insists == [True, True, False]


def test_the_timer_waits_its_time_and_then_until_the_rollback_succeeds(host, program):
    before = host.snapshot()
    token = wait(host)["pending"]["token"]
    assert program("settle", "other", "20")[1]["state"] == UNKNOWN and program.slept == [20]
    host.fail = {"iptables-restore": "Resource temporarily unavailable"}

    def slept(seconds):
        program.slept.append(seconds)
        if len(program.slept) == 10:
            host.fail = {}

    guard_program.time.sleep = slept
    program.slept.clear()
    why = "no confirmation came over a new connection in time"
    assert program("settle", token) == (0, {"token": token, "state": BACK, "why": why})
    assert program.slept == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60] and set(program.insists) == {True}
    assert host.snapshot() == before


def test_the_program_says_why_it_could_not(host, program):
    token = wait(host)["pending"]["token"]
    host.fail = {"iptables-restore": "no"}
    status, answer = program("back", token)
    assert (status, answer["state"]) == (
        1,
        WAITING,
    ) and "the old ruleset cannot be loaded: IPv4: no (status 1)" in answer["error"]
    host.file(CHANGE).write_text("{}")
    status, answer = program("status", token)
    assert (status, answer["token"], answer["state"]) == (1, token, UNKNOWN) and "not understood" in answer["error"]
    assert program("keep")[1]["token"] == ""


# -- what a change is --------------------------------------------------------------------------------------------------


def test_a_change_is_the_same_after_it_was_written_down(host):
    wait(host)
    change = guard_of(host).change()
    assert change.parts and change.files and change.marks and change.seen
    assert Change.from_text(change.to_text()) == change
    assert Change("a", 1.0).switch is Change("a", 1.0).seen is False and Change("a", 1.0).timer == ""
    assert Outcome("a", KEPT).to_text() == '{"token": "a", "state": "kept", "why": ""}'
    assert json.loads(Outcome("a", KEPT, error="x").to_text())["error"] == "x"


def test_a_mark_tells_a_file_that_was_written_to(tmp_path):
    path = tmp_path / "file"
    path.write_text("a")
    first = guard_program.mark(str(path))
    assert guard_program.mark(str(path)) == first
    os.utime(path, ns=(1, 1))
    second = guard_program.mark(str(path))
    path.write_text("ab")
    os.utime(path, ns=(1, 1))
    other = tmp_path / "other"
    other.write_text("a")
    os.utime(other, ns=(1, 1))
    assert (
        len({tuple(each) for each in (first, second, guard_program.mark(str(path)), guard_program.mark(str(other)))})
        == 4
    )


def test_the_kernel_is_loaded_without_a_flush_and_waits_for_others():
    assert guard_program.restore_command(4) == ["iptables-restore", "-n", "-w", "10"]
    assert guard_program.restore_command(6) == ["ip6tables-restore", "-n", "-w", "10"]


def test_a_file_of_its_own_gets_its_folder_and_its_mode(host):
    guard, old = guard_of(host), os.umask(0o077)
    try:
        guard.write("/etc/systemd/system/ufw.service.d/x", "text", 0o644)
        guard.write("/etc/ufw/y", b"bytes", 0o700)
        guard.write("/run/bulkhead/ufw/z", "text", 0o600)
    finally:
        os.umask(old)
    modes = [
        host.file(name).stat().st_mode & 0o777
        for name in ("/etc/systemd/system/ufw.service.d", "/etc/systemd/system/ufw.service.d/x", "/etc/ufw/y")
    ]
    assert modes == [0o755, 0o644, 0o700] and host.file("/etc/ufw/y").read_bytes() == b"bytes"
    assert [host.file(name).stat().st_mode & 0o777 for name in ("/run/bulkhead", "/run/bulkhead/ufw")] == [0o700, 0o700]


# -- a change that is kept ---------------------------------------------------------------------------------------------


def test_what_is_not_in_force_any_more_is_named_with_how_many_more(host):
    wait(host)
    for table in host.tables.values():
        for name in table.chains:
            if "-user-" in name or "-skip-to-" in name or "-reject-" in name:
                table.chains[name] = []
    guard = guard_of(host)
    lost = {
        f"IPv{part.family} {name}"
        for part in guard.change().parts
        for name in guard_program.not_in_force(part, guard._read(part.family, part.table))
    }
    with pytest.raises(GuardError, match=r"; the old ruleset is back: run the task again$") as error:
        guard.keep(guard.change())
    assert f" and {len(lost) - 3} more)" in str(error.value) and len(lost) > 3
    assert sum(name in str(error.value) for name in lost) >= 3


@pytest.mark.parametrize("count", [1, 3])
def test_a_few_chains_that_are_not_in_force_are_all_of_them(host, count):
    wait(host)
    guard = guard_of(host)
    (part, *_more) = guard.change().parts
    names = [name for name in part.whole if part.new.chains.get(name)][:count]
    for name in names:
        host.tables[4].chains[name] = []
    with pytest.raises(GuardError) as error:
        guard.keep(guard.change())
    assert f"({', '.join('IPv4 ' + name for name in names)}); the old" in str(error.value)


def test_a_change_that_was_not_looked_at_is_kept_as_it_is(host):
    """As of a run that does not wait: nothing has happened in between."""
    wait(host)
    guard = guard_of(host)
    change = guard.change()
    change.seen = False
    host.tables[4].step("-F ufw-user-input")
    guard.keep(change)
    assert host.tables[4].chains["ufw-user-input"] == [] and guard.outcome().state == KEPT


def test_two_files_of_others_are_both_named(host):
    wait(host)
    for name in ("/etc/ufw/user.rules", "/etc/ufw/before.rules"):
        host.file(name).write_text(host.file(name).read_text() + "# mine\n")
    host.file("/etc/ufw/after.rules").unlink()
    with pytest.raises(GuardError, match="another program wrote to ") as error:
        guard_of(host).keep(guard_of(host).change())
    for name in ("/etc/ufw/user.rules", "/etc/ufw/before.rules", "/etc/ufw/after.rules"):
        assert name in str(error.value)
    assert " and /etc" in str(error.value)


@pytest.mark.parametrize("when", ["user.rules", "bulkhead-keep.sh"])
def test_files_that_cannot_be_replaced_are_the_old_ones_and_so_is_the_kernel(host, monkeypatch, when):
    before = host.snapshot()
    wait(host)
    guard, rename = guard_of(host), os.rename

    def refuse(source, target):
        if os.path.basename(target) == when:
            raise OSError(30, "Read-only file system")
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    expected = r"^ufw's files cannot be replaced: .*Read-only file system.*; the old ruleset is back$"
    with pytest.raises(GuardError, match=expected):
        guard.keep(guard.change())
    assert host.snapshot() == before and not staged(host) and guard.change() is None
    assert guard.outcome().why.startswith("ufw's files cannot be replaced: ")


def test_files_that_were_replaced_before_one_could_not_be_are_written_back(host, monkeypatch):
    before = host.snapshot()
    wait(host)
    guard, rename, done, undecided = guard_of(host), os.rename, [], []

    def refuse(source, target):
        done.append(target)
        if len(done) == 4:
            raise OSError(28, "No space left on device")
        if len(done) > 4:
            undecided.append(not host.file(JOURNAL).exists())
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(GuardError, match="No space left"):
        guard.keep(guard.change())
    assert host.snapshot() == before and not host.file(JOURNAL).exists()
    # A boot meanwhile would go on with a journal, and have some of each.
    assert undecided and all(undecided)


def test_a_journal_of_another_change_decides_nothing(host):
    wait(host)
    guard = guard_of(host)
    host.file(JOURNAL).write_text("#!/bin/sh\n# change other\n")
    assert guard.settle("too late") == BACK
    assert "10.77.0.0/16" not in host.tables[4].save() and not host.file(JOURNAL).exists()
    host.file(JOURNAL).write_text("#!/bin/sh\n# change other\n")
    assert guard.settle("again") == KEPT and not host.file(JOURNAL).exists()


def test_the_journal_is_a_script_of_root_that_moves_every_file_and_removes_itself(host, monkeypatch):
    wait(host)
    guard = guard_of(host)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, guard_program, "flush", 1)
        guard.keep(guard.change())
    lines = host.file(JOURNAL).read_text().split("\n")
    assert host.file(JOURNAL).stat().st_mode & 0o777 == 0o700
    assert lines[0] == "#!/bin/sh" and lines[2] == f"# change {guard.change().token}"
    moves = [line for line in lines if line.startswith("[ ! -e ")]
    assert len(moves) == len(guard.change().files) == 4 and all("] || mv -f " in line for line in moves)
    assert lines[-3:] == [f"rm -f {JOURNAL} {BOOT}", f"rmdir {os.path.dirname(BOOT)} 2>/dev/null || true", ""]
    assert not host.file(BOOT).exists(), "without systemd nothing runs it at the boot"


def test_a_change_without_files_needs_no_journal(host):
    wait(host)
    guard = guard_of(host)
    change = guard.change()
    change.files, change.old = {}, {}
    host.file("/etc/ufw/mine").write_text("")
    guard.keep(change)
    assert guard.outcome().state == KEPT and not host.file(JOURNAL).exists()


def test_commands_of_a_change_are_run_when_it_is_kept_and_only_those_of_the_boot_are_missed(host):
    wait(host)
    guard, run = guard_of(host), host.run

    def fail(argv, stdin=""):
        if argv[0] == "missing":
            raise RulesetError("the command missing is missing")
        return Result(1, "out ", " err") if argv[0] == "systemctl" else run(argv, stdin)

    change = guard.change()
    change.after, change.boot = [["missing", "x"], ["conntrack", "-D"]], [["systemctl", "enable", "ufw.service"]]
    guard.arm(change)
    guard._run = fail
    guard.keep(guard.change())
    assert guard.outcome().why == "`systemctl enable ufw.service` failed: errout" and "conntrack -D" in host.ran


def test_commands_of_a_change_are_not_run_when_it_goes_back(host):
    wait(host)
    guard = guard_of(host)
    change = guard.change()
    change.after, change.boot = [["conntrack", "-D"]], [["systemctl", "enable", "ufw.service"]]
    guard.arm(change)
    guard.settle("too late")
    assert not [line for line in host.ran if line.startswith(("conntrack", "systemctl enable"))]


def test_what_others_have_beside_the_drop_in_stays(host):
    host.systemd()
    folder = host.file(os.path.dirname(BOOT))
    folder.mkdir(parents=True)
    (folder / "theirs.conf").touch()
    wait(host)
    guard_of(host).keep(guard_of(host).change())
    assert [path.name for path in folder.iterdir()] == ["theirs.conf"]
    (folder / "theirs.conf").unlink()
    wait(host, rules=[SSH])
    guard_of(host).keep(guard_of(host).change())
    assert not folder.exists()


def test_what_the_boot_runs_lies_where_systemd_and_ufw_look():
    assert os.path.dirname(BOOT) == "/etc/systemd/system/ufw.service.d" and BOOT.endswith(".conf")
    assert os.path.dirname(JOURNAL) == "/etc/ufw" and (INIT, guard_program.CONF) == (
        "/lib/ufw/ufw-init",
        "/etc/ufw/ufw.conf",
    )


def test_the_drop_in_finishes_and_tidies_up_whatever_was_decided(host):
    text = guard_program._boot_text(["/etc/default", "/etc/ufw"])
    tidy = f"rm -f {BOOT} /etc/default/.*.bulkhead /etc/ufw/.*.bulkhead; rmdir {os.path.dirname(BOOT)} 2>/dev/null"
    assert text == f"[Service]\nExecStartPre=-/bin/sh -c '[ ! -e {JOURNAL} ] || sh {JOURNAL}; {tidy}'\n"


# -- a change that goes back -------------------------------------------------------------------------------------------


def test_a_switch_that_goes_back_where_others_have_switched_on_ends_with_ufws_own_start(host):
    host.inactive()
    wait(host)
    conf = host.file("/etc/ufw/ufw.conf")
    conf.write_text(conf.read_text().replace("ENABLED=no", 'enabled="YES"'))
    host.ran.clear()
    assert guard_of(host).settle("too late") == BACK
    tree = host.path(TREE)
    assert [line for line in host.ran if line.startswith(INIT)] == [
        f"{INIT} --datadir {tree} stop",
        f"{INIT} stop",
        f"{INIT} start",
    ]
    host.inactive()


def test_a_start_of_ufw_that_fails_is_an_error_and_tried_again(host):
    host.run([INIT, "--datadir", host.root, "start"])
    wait(host)
    host.tables[4].chains["INPUT"] = []
    host.fail = {f"{INIT} start": "problem"}
    with pytest.raises(GuardError, match=rf"^`{INIT} start` failed \(status 1\): problem$"):
        guard_of(host).settle("too late")
    host.fail = {}
    assert guard_of(host).settle("too late") == BACK and guard_of(host).change() is None
    assert "-j ufw-before-input" in host.tables[4].chains["INPUT"]


@pytest.mark.parametrize("lost", ["jump", "chain"])
def test_a_table_is_flushed_without_the_way_to_ufws_rules_or_the_rules(host, lost):
    guard = guard_of(host)
    assert not guard._is_flushed()
    chains = host.tables[4].chains
    if lost == "jump":
        chains["INPUT"].remove("-j ufw-before-input")
    else:
        del chains["ufw-user-input"]
    assert guard._is_flushed()


def test_rules_of_others_that_cannot_be_loaded_are_an_error(host):
    wait(host)
    host.file("/etc/ufw/user6.rules").write_text(host.file("/etc/ufw/user6.rules").read_text() + "# mine\n")
    host.ran.clear()
    run, loads = host.run, []

    def refuse(argv, stdin=""):
        if argv[0].endswith("-restore") and "# mine" in stdin:
            loads.append(argv[0])
            return Result(2, "", "line 3 failed\n")
        return run(argv, stdin)

    host.run = refuse
    with pytest.raises(GuardError, match=r"^/etc/ufw/user6.rules cannot be loaded: line 3 failed \(status 2\)$"):
        guard_of(host).settle("too late")
    assert loads == ["ip6tables-restore"]


def test_without_ufws_configuration_it_counts_as_switched_off(host):
    wait(host)
    assert guard_of(host)._conf()
    host.file("/etc/ufw/ufw.conf").unlink()
    new = kernel(host)
    assert guard_of(host).settle("too late") == BACK and kernel(host) == new


def test_both_families_are_tried_and_each_failure_is_told(host):
    wait(host)
    host.fail = {"tables-restore": "busy"}
    with pytest.raises(GuardError) as error:
        guard_of(host).settle("too late")
    assert str(error.value) == (
        "the old ruleset cannot be loaded: IPv4: busy (status 1); IPv6: busy (status 1); `ufw reload` loads the files"
    )
    assert sum("tables-restore" in line for line in host.ran if "--test" not in line) >= 2 * guard_program._TRIES
    host.fail = {"ip6tables-restore": "busy"}
    with pytest.raises(GuardError, match="loaded: IPv6: busy"):
        guard_of(host).settle("too late")
    assert "10.77.0.0/16" not in host.tables[4].save()


def test_a_rollback_that_others_come_in_between_of_is_tried_until_it_holds(host):
    before = host.snapshot()
    wait(host)
    run, spoilt = host.run, []

    def spoil(argv, stdin=""):
        done = run(argv, stdin)
        if argv[0] == "iptables-restore" and len(spoilt) < 3:
            spoilt.append(argv)
            host.tables[4].chains["ufw-user-input"] = []
        return done

    host.run = spoil
    assert guard_of(host).settle("too late") == BACK
    assert len(spoilt) == 3 and host.snapshot() == before


def test_a_table_that_cannot_be_read_is_an_error_or_empty(host):
    guard = guard_of(host)
    host.fail = {"tables-save": "no"}
    with pytest.raises(GuardError, match=r"^ip6tables-save failed: no \(status 1\)$"):
        guard._read(6, "filter")
    assert guard._read(4, "nat") == ({}, {})


def test_a_lock_of_iptables_that_anyone_holds_does_not_stop_a_rollback(host):
    asked = []

    def run(argv, stdin=""):
        asked.append(" ".join(argv))
        return (
            Result(4, "", "Another app is currently holding the xtables lock")
            if argv[0] != "env"
            else Result(0, "", "")
        )

    guard = Guard(host.root, run)
    assert guard._restore(6, "payload").status == 0
    own = f"env XTABLES_LOCKFILE={host.path('/run/bulkhead/ufw/xtables.lock')} ip6tables-restore -n -w 10"
    assert asked == ["ip6tables-restore -n -w 10", own]
    guard._run = lambda argv, stdin="": Result(1, "", "line 2 failed")
    assert guard._restore(4, "payload") == (1, "", "line 2 failed")


# -- what became of it -------------------------------------------------------------------------------------------------


def test_an_outcome_is_known_by_its_change_or_as_the_last_one(host):
    guard = guard_of(host)
    assert guard.outcome() == Outcome("", UNKNOWN, "no such change since the host was started")
    token = wait(host)["pending"]["token"]
    assert guard.outcome().why in (f"until {number} s from now" for number in range(21))
    guard.settle("too late")
    assert guard.outcome() == guard.outcome(token) == Outcome(token, BACK, "too late")
    assert guard.outcome("x") == Outcome("x", UNKNOWN, "no such change since the host was started")
    wait(host, rules=[SSH])
    assert guard.outcome(token).state == UNKNOWN
    guard.keep(guard.change())
    assert guard.outcome().state == KEPT and guard.settle("again") is None


# -- flows that are cut ------------------------------------------------------------------------------------------------


def test_flows_are_cut_for_a_moment_under_the_lock_and_the_rest_of_them_afterwards(host, monkeypatch):
    commands = [["conntrack", "-D", "-s", f"10.0.0.{number}"] for number in range(9)]
    guard = Guard(host.root, host.run)
    guard._cut(commands)
    assert host.ran == [" ".join(argv) for argv in commands]
    host.ran.clear()
    clock = iter(range(100))
    monkeypatch.setattr(guard_program.time, "monotonic", lambda: 0.2 * next(clock))
    guard._cut(commands)
    *cut, later = host.ran
    assert cut == [" ".join(argv) for argv in commands[: len(cut)]] and 0 < len(cut) < 9
    assert later.startswith("sh -c setsid timeout 600 sh ") and later.endswith("&")
    left = host.file(guard_program.FLOWS).read_text().splitlines()
    assert left == [*(" ".join(argv) for argv in commands[len(cut) :]), f"rm -f {host.path(guard_program.FLOWS)}"]


def test_a_file_that_cannot_be_written_for_them_is_no_failure_of_the_change(host, monkeypatch):
    guard = Guard(host.root, host.run)
    clock = iter(range(100))
    monkeypatch.setattr(guard_program.time, "monotonic", lambda: float(next(clock)))

    def full(*_arguments):
        raise OSError("no room")

    monkeypatch.setattr(guard, "write", full)
    guard._cut([["conntrack", "-D"]] * 3)
    assert host.ran == []
