# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import ROOM, make_private, remove
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import system
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import FOLDER, LOCK, OWN_LOCK, locked

HOLDER = """\
import fcntl, os, sys
handle = os.open(sys.argv[1], {"sh": os.O_RDONLY, "ex": os.O_RDWR}[sys.argv[2]])
fcntl.lockf(handle, {"sh": fcntl.LOCK_SH, "ex": fcntl.LOCK_EX}[sys.argv[2]])
print(1, flush=True)
sys.stdin.read()
"""


@pytest.fixture(name="root")
def fixture_root(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path


def lock_file(root, mode=0o600):
    path = root / LOCK[1:]
    path.touch()
    path.chmod(mode)
    return path


@contextlib.contextmanager
def held(path, kind):
    """Another process has a lock on the file."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path), kind], **pipes) as process:
        process.stdout.readline()
        yield
        process.stdin.close()


def is_taken(path):
    """Whether another process finds the file's lock taken."""
    asked = (
        "import fcntl,sys\ntry:\n fcntl.lockf(open(sys.argv[1],'a'),fcntl.LOCK_EX|fcntl.LOCK_NB)\n"
        "except OSError:\n print('taken')"
    )
    done = subprocess.run([sys.executable, "-c", asked, str(path)], stdout=subprocess.PIPE, check=True)
    return done.stdout == b"taken\n"


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_both_locks_are_made_for_root_alone_whatever_the_umask_and_held(root):
    old = os.umask(0)
    try:
        with locked(str(root)):
            assert is_taken(root / LOCK[1:]) and is_taken(root / OWN_LOCK[1:])
    finally:
        os.umask(old)
    assert not is_taken(root / LOCK[1:]) and not is_taken(root / OWN_LOCK[1:])
    assert mode_of(root / LOCK[1:]) == mode_of(root / OWN_LOCK[1:]) == 0o600
    assert mode_of(root / ROOM[1:]) == mode_of(root / FOLDER[1:]) == 0o700


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o666, 0o620])
def test_a_lock_file_that_others_can_open_is_replaced_and_what_they_hold_counts_for_nothing(root, mode):
    path = lock_file(root, mode)
    before = path.stat().st_ino
    with held(path, "sh"), open(path, encoding="utf-8"), locked(str(root), timeout=0.3):
        assert path.stat().st_ino != before
        assert mode_of(path) == 0o600 and is_taken(path)
    assert sorted(os.listdir(root / "run")) == [
        "bulkhead",
        "ufw.lock",
    ]


def test_a_ufw_at_work_is_waited_for_on_a_file_that_others_can_open_too(root):
    path = lock_file(root, 0o644)
    with held(path, "ex"), pytest.raises(TimeoutError) as error, locked(str(root), timeout=0.3):
        pass
    assert error.value.filename == str(path)
    with locked(str(root), timeout=0.3):
        assert mode_of(path) == 0o600


def test_an_exclusive_lock_of_another_user_is_no_ufw_at_work(root, monkeypatch):
    path = lock_file(root, 0o666)
    monkeypatch.setattr(system, "_is_roots", lambda process: False)
    with held(path, "ex"), locked(str(root), timeout=0.3):
        assert is_taken(path)


def test_a_process_is_known_by_the_user_who_started_it():
    assert system._is_roots(str(os.getpid()))
    with subprocess.Popen(["sleep", "60"], user=65534, stdin=subprocess.DEVNULL) as process:
        assert not system._is_roots(str(process.pid))
        process.kill()
    assert system._is_roots("0")  # not seen from here: of another namespace


def test_a_lock_that_root_alone_can_have_is_waited_for(root):
    path = lock_file(root)
    for kind in ("sh", "ex"):
        with held(path, kind), pytest.raises(TimeoutError), locked(str(root), timeout=0.3):
            pass
    with locked(str(root)):
        pass
    with held(root / OWN_LOCK[1:], "ex"), pytest.raises(TimeoutError) as error, locked(str(root), timeout=0.3):
        pass
    assert error.value.filename == str(root / OWN_LOCK[1:])


@pytest.mark.parametrize("name", [LOCK, OWN_LOCK])
def test_a_rollback_that_is_due_goes_ahead_without_a_lock_that_it_does_not_get(root, name):
    with locked(str(root)):
        pass
    with held(root / name[1:], "ex"), locked(str(root), timeout=0.3, insist=True):
        other = LOCK if name == OWN_LOCK else OWN_LOCK
        assert is_taken(root / other[1:])


def fifo(path):
    os.mkfifo(path)


def link(path):
    (path.parent / "theirs").touch()
    path.symlink_to(path.parent / "theirs")


def dangling(path):
    path.symlink_to(path.parent / "nothing")


@pytest.mark.parametrize("make", [fifo, link, dangling])
def test_what_is_no_file_gives_way_to_the_lock_file(root, make):
    path = root / LOCK[1:]
    make(path)
    with locked(str(root), timeout=0.3):
        assert stat.S_ISREG(path.lstat().st_mode) and mode_of(path) == 0o600
        assert is_taken(path)
    assert not (root / "run/nothing").exists()


def test_a_folder_as_lock_file_is_an_error_and_stops_no_rollback(root):
    (root / LOCK[1:]).mkdir()
    with pytest.raises(IsADirectoryError), locked(str(root), timeout=0.3):
        pass
    with locked(str(root), timeout=0.3, insist=True):
        assert is_taken(root / OWN_LOCK[1:])


def test_a_second_name_of_the_lock_file_is_no_way_to_it(root):
    path = lock_file(root)
    os.link(path, root / "second")
    with locked(str(root), timeout=0.3):
        assert path.stat().st_ino != (root / "second").stat().st_ino


def test_who_waited_for_a_file_that_was_replaced_takes_the_new_one(root, monkeypatch):
    path = lock_file(root)
    real, calls = system._wait, []

    def replaced(handle, name, *options, **more):
        real(handle, name, *options, **more)
        if name == str(path) and not calls:
            calls.append(name)
            path.unlink()
            lock_file(root)

    monkeypatch.setattr(system, "_wait", replaced)
    with locked(str(root)):
        assert is_taken(path)


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o500])
def test_a_folder_gets_its_mode_back(tmp_path, mode):
    folder = tmp_path / "room"
    folder.mkdir()
    folder.chmod(mode)
    make_private(str(folder))
    assert mode_of(folder) == 0o700


def test_a_folder_of_another_user_or_a_link_to_one_is_refused(tmp_path):
    folder = tmp_path / "room"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    (tmp_path / "link").symlink_to(tmp_path)
    for path in (folder, tmp_path / "link"):
        with pytest.raises(NotADirectoryError, match="no folder of root's"):
            make_private(str(path))


def test_what_is_not_there_is_not_removed_which_a_read_only_file_system_would_refuse(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", lambda path: 1 / 0)
        remove(str(tmp_path / "nothing"))
    (tmp_path / "something").symlink_to(tmp_path / "nothing")
    remove(str(tmp_path / "something"))
    assert os.listdir(tmp_path) == []


def test_the_exclusive_lock_of_another_file_does_not_count(root, tmp_path):
    path, other = lock_file(root, 0o644), tmp_path / "other"
    other.touch()
    with held(other, "ex"), open(path, encoding="utf-8") as stream:
        assert not system._is_exclusive(stream.fileno())
    with held(path, "ex"), open(path, encoding="utf-8") as stream:
        assert system._is_exclusive(stream.fileno())
    with held(path, "sh"), open(path, encoding="utf-8") as stream:
        assert not system._is_exclusive(stream.fileno())
