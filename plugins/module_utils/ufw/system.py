# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The locks of a host, and where its files are. Standard library only: this file is part of the program that guard.py is on a host.

Locks. A shared lock needs no more than the right to read a file, and one that a user without rights holds on ufw's lock
file stops every program of root's that asks for its own. So the file is root's alone: it is made with mode 0600, and one
that others could open is replaced, because a mode that is changed does not close what is open. What two of our own
processes must not do at once is guarded by a second lock, in a folder that only root enters.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Iterator
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import ROOM, make_private, read_text

#: ufw's own lock file.
LOCK = "/run/ufw.lock"
#: Ours.
FOLDER = ROOM + "/ufw"
OWN_LOCK = FOLDER + "/lock"
#: A change that is not settled: it waits (forgotten by a reboot), or is about to be kept; see guard.py.
CHANGE = FOLDER + "/change.json"
JOURNAL = "/etc/ufw/bulkhead-keep.sh"
#: The program that settles it.
PROGRAM = FOLDER + "/guard.py"
#: Seconds. ufw holds its lock for one command; a reload takes up to 3 s on a small machine.
LOCK_TIMEOUT = 30.0
#: Seconds between two tries.
_PAUSE = 0.05
#: What belongs to another user or can be opened by one.
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


# -- locks -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def locked(root: str = "", timeout: float = LOCK_TIMEOUT, insist: bool = False) -> Iterator[None]:
    """Hold our own lock and ufw's, as ``holding`` does each. With ``insist``, for a rollback that is due, it goes ahead
    without a lock that is not to be had."""
    with contextlib.ExitStack() as held:
        for name in (OWN_LOCK, LOCK):
            try:
                held.enter_context(holding(name, root, timeout))
            except OSError:
                if not insist:
                    raise
        yield


@contextlib.contextmanager
def holding(name: str, root: str = "", timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold one of the locks, OWN_LOCK or LOCK. TimeoutError where another process keeps it, or another OSError; both name
    the file."""
    with contextlib.ExitStack() as held:
        take = _take_own if name == OWN_LOCK else _take_ufws
        take(root, time.monotonic() + timeout, held)
        yield


def _take_own(root: str, end: float, held: contextlib.ExitStack) -> None:
    for name in (ROOM, FOLDER):
        make_private(root + name)
    path = root + OWN_LOCK
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    held.callback(os.close, handle)
    _wait(handle, path, end)


def _take_ufws(root: str, end: float, held: contextlib.ExitStack) -> None:
    """ufw's lock, which is a POSIX one, on a file that no one else can open."""
    path = root + LOCK
    while True:
        handle = _open(path)
        if handle is not None:
            held.callback(os.close, handle)
            alone = _is_alone(handle)
            _wait(handle, path, end, strict=alone)
            if alone:
                if _is_same(handle, path):
                    return
                continue  # one of our own processes replaced it while this one waited
        _replace(path, held)
        return


def _open(path: str) -> Optional[int]:
    """The lock file; None where something else is in its place, such as a link or a FIFO."""
    try:
        # Without O_NONBLOCK some of what may be there would keep us waiting.
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return None
        raise
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    return None


def _is_alone(handle: int) -> bool:
    found = os.fstat(handle)
    return found.st_uid == os.geteuid() and found.st_nlink <= 1 and not found.st_mode & _OTHERS


def _is_same(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.lstat(path))
    except FileNotFoundError:
        return False


def _replace(path: str, held: contextlib.ExitStack) -> None:
    """A lock file that was never open to others, and its lock. The old file's lock, where we have it, stays held too:
    a ufw that waits for it now must not begin before we are done."""
    temporary = f"{path}.{os.urandom(4).hex()}"
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    held.callback(os.close, handle)
    fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try:
        os.rename(temporary, path)
    except OSError:
        os.unlink(temporary)
        raise


def _wait(handle: int, path: str, end: float, strict: bool = True) -> None:
    """Take the lock. Not ``strict``, where others can open the file, only a lock as ufw takes it counts: an exclusive one
    of root's."""
    while True:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if not strict and not _is_exclusive(handle):
                return
            if time.monotonic() > end:
                raise TimeoutError(errno.ETIMEDOUT, "another process holds it", path) from error
        time.sleep(_PAUSE)


def _is_exclusive(handle: int) -> bool:
    """Whether a process of root's holds the file's exclusive lock, by /proc/locks (see proc_locks(5)); true where that is
    not known."""
    found = os.fstat(handle)
    name = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        lines = read_text("/proc/locks").splitlines()
    except OSError:
        return True
    # `1: POSIX  ADVISORY  WRITE 812 00:17:31 0 EOF`; a process that waits has an arrow behind the number.
    rows = [line.split() for line in lines]
    return any(row[3] == "WRITE" and row[5] == name and _is_roots(row[4]) for row in rows if row[1] != "->")


def _is_roots(process: str) -> bool:
    """Whether root started a process: the real user, for a lock outlives the start of a setuid program."""
    try:
        status = read_text(f"/proc/{process}/status")
    except OSError:
        return True
    return status.partition("\nUid:")[2].split(None, 1)[:1] == [str(os.geteuid())]
