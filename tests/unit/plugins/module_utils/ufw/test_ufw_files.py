# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import files
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import (
    Host,
    StagedFile,
    edit_settings,
    read_settings,
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
