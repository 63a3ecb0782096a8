# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import files, guard, kernel
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import (
    Host,
    StagedFile,
    edit_settings,
    read_settings,
    shell_settings,
)


def test_settings_are_read_as_the_shell_reads_them_where_the_last_one_wins():
    text = '# A=1\nIPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nIPT_MODULES=""\nIPV6=no\n IPV6=yes\n'
    assert read_settings(text) == {"IPV6": "no", "DEFAULT_INPUT_POLICY": "drop"}


def test_a_setting_is_edited_in_its_place_and_everything_else_stays_as_it_is():
    text = '# about\nA=1\n\nB="x"  # why\nB=2\nC=3'
    assert edit_settings(text, {"B": "9"}) == "# about\nA=1\n\nB=9\nB=9\nC=3"
    assert edit_settings(text, {"D": "4"}) == text + "\nD=4\n"
    assert edit_settings(text, {}) == text


def test_a_staged_file_takes_the_old_ones_place_with_its_mode_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "user.rules"
    path.write_text("old")
    path.chmod(0o640)
    staged = StagedFile(str(path), "new")
    assert path.read_text() == "old"
    staged.commit()
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert os.listdir(tmp_path) == ["user.rules"]


def test_a_staged_file_that_is_discarded_leaves_no_trace(tmp_path):
    path = tmp_path / "user.rules"
    path.write_text("old")
    StagedFile(str(path), "new").discard()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["user.rules"]


def test_a_link_stays_a_link_when_its_file_is_replaced(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("old")
    link.symlink_to(real)
    StagedFile(str(link), "new").commit()
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_missing_file_says_what_to_install():
    with pytest.raises(RulesetError, match="install the package ufw"):
        Host("/nonexistent").read("/etc/ufw/user.rules")


def test_a_missing_command_says_what_to_install():
    with pytest.raises(RulesetError, match="install the package iptables"):
        Host().run(["iptables-save-that-does-not-exist"])


def test_the_lock_is_the_one_that_ufw_takes_and_waits_for(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    lock = tmp_path / "run/ufw.lock"
    holder = (
        "import fcntl,sys;f=open(sys.argv[1],'w');fcntl.lockf(f,fcntl.LOCK_EX);print(1,flush=True);sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    monkeypatch.setattr(files, "LOCK_TIMEOUT", 0.2)
    with subprocess.Popen([sys.executable, "-c", holder, str(lock)], **pipes) as ufw:
        ufw.stdout.readline()
        with pytest.raises(RulesetError, match=r"/run/ufw.lock is held by another process"), Host(str(tmp_path)).lock():
            pass
        ufw.stdin.close()
    with Host(str(tmp_path)).lock():
        # POSIX locks belong to the process: another one must find it taken.
        other = (
            "import fcntl,sys;f=open(sys.argv[1],'a')\ntry:\n fcntl.lockf(f,fcntl.LOCK_EX|fcntl.LOCK_NB)\n"
            "except OSError:\n print('taken')"
        )
        taken = subprocess.run([sys.executable, "-c", other, str(lock)], stdout=subprocess.PIPE, check=True)
        assert taken.stdout == b"taken\n"


def test_a_file_that_cannot_be_read_says_who_can(tmp_path):
    (tmp_path / "etc").mkdir()
    with pytest.raises(RulesetError, match=r"^/etc cannot be read: .*; run the task as root \(become: true\)$"):
        Host(str(tmp_path)).read("/etc")


def test_every_path_is_below_the_root(tmp_path):
    host = Host(str(tmp_path))
    assert host.interfaces() == []
    for name in ("lo", "eth1", "eth0"):
        (tmp_path / "sys/class/net" / name).mkdir(parents=True)
    script = tmp_path / "before.init"
    script.write_text("text")
    assert (host.path("/x"), host.interfaces()) == (f"{tmp_path}/x", ["eth0", "eth1", "lo"])
    assert host.exists("/before.init") and not host.exists("/after.init")
    assert host.read("/before.init") == "text" and not host.executable("/before.init")
    script.chmod(0o700)
    assert host.executable("/before.init")
    staged = host.stage("/before.init", "new")
    staged.commit()
    assert script.read_text() == "new"


@pytest.mark.parametrize(
    ("command", "package"),
    [
        ("ufw", "ufw"),
        ("/lib/ufw/ufw-init", "ufw"),
        ("conntrack", "conntrack"),
        ("ip", "iproute2"),
        ("systemd-run", "systemd"),
        ("ip6tables-restore", "iptables"),
    ],
)
def test_each_command_is_missed_with_its_package(monkeypatch, command, package):
    def missing(argv, stdin):
        raise FileNotFoundError(argv[0])

    monkeypatch.setattr(files, "start_command", missing)
    with pytest.raises(RulesetError, match=f"^the command {command} is missing; install the package {package}$"):
        Host().start([command], "input")


def test_a_command_gets_its_input_and_its_status_is_the_callers_to_judge():
    assert Host().run(["sh", "-c", "cat; echo no >&2; exit 3"], "yes") == (3, "yes", "no\n")
    assert Host().run(["cat"]) == (0, "", "")


def test_a_lock_that_cannot_be_had_says_why(tmp_path, monkeypatch):
    def holding(name, root, seconds):
        raise PermissionError(13, "Permission denied", root + "/run/ufw.lock")

    monkeypatch.setattr(files, "holding", holding)
    with pytest.raises(RulesetError, match=r"lock of ufw cannot be taken: .*denied.*; run the task as root"):
        Host(str(tmp_path)).lock().__enter__()


def test_the_lock_is_waited_for_as_long_as_it_says(tmp_path, monkeypatch):
    def holding(name, root, seconds):
        raise TimeoutError(11, f"{seconds}", root + "/run/ufw.lock")

    monkeypatch.setattr(files, "holding", holding)
    expected = r"^/run/ufw.lock is held by another process for 30 s; `fuser -v /run/ufw.lock` shows it$"
    with pytest.raises(RulesetError, match=expected):
        Host(str(tmp_path)).lock().__enter__()


def test_a_process_that_outlives_this_one_has_nothing_of_it(tmp_path):
    out = tmp_path / "out"
    script = (
        f'echo "$(ps -o sid= -p $$ | tr -d " ") $$ $(pwd) $(readlink /proc/self/fd/0)" > {out}.new; mv {out}.new {out}'
    )
    Host().spawn(["sh", "-c", script])
    end = time.monotonic() + 60
    while not out.exists() and time.monotonic() < end:
        time.sleep(0.01)
    session, process, folder, stdin = out.read_text().split()
    assert (session, folder, stdin) == (process, "/", "/dev/null")


def test_the_files_are_those_that_ufw_reads():
    assert files.RULES == {4: "/etc/ufw/user.rules", 6: "/etc/ufw/user6.rules"}
    assert files.FRAMEWORK[4] == ("/etc/ufw/before.rules", "/etc/ufw/after.rules")
    assert files.FRAMEWORK[6] == ("/etc/ufw/before6.rules", "/etc/ufw/after6.rules")
    assert (files.DEFAULTS, files.CONF) == ("/etc/default/ufw", "/etc/ufw/ufw.conf")
    # The part of a change that outlives the module knows the same ones.
    assert (guard.RULES, guard.CONF, guard.INIT) == (files.RULES, files.CONF, files.INIT)
    assert (guard.SAVE, guard.RESTORE) == (kernel.SAVE, kernel.RESTORE)
    assert files.INIT_HOOKS == ("/etc/ufw/before.init", "/etc/ufw/after.init")
    assert (files.PROFILES, files.INIT) == ("/etc/ufw/applications.d", "/lib/ufw/ufw-init")


def test_a_file_with_no_last_line_end_gets_one_before_a_setting_is_added():
    assert edit_settings("", {"A": "1"}) == "A=1\n"
    assert edit_settings("AB=1", {"A": "1", "C": "2"}) == "AB=1\nA=1\nC=2\n"


@pytest.mark.parametrize("yes", ["yes", "YES"])
def test_what_ufws_start_takes_for_on_and_its_commands_do_not_is_odd(yes):
    assert shell_settings(f"ENABLED=no\nexport ENABLED={yes}\n").odd == {"ENABLED": yes}
    assert not shell_settings(f"export ENABLED=no\nENABLED={yes}\n").odd
