# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands, files and locks of a host. Standard library only: this file is part of the program that guard.py is on a host.

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
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import Callable, NamedTuple, Optional, Union

#: ufw's own lock file.
LOCK = "/run/ufw.lock"
#: Ours: root's alone, and gone with a reboot.
ROOM = "/run/bulkhead"
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
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
#: What belongs to another user or can be opened by one.
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Result(NamedTuple):
    """A finished command: exit status, output, errors."""

    status: int
    out: str
    err: str


Run = Callable[..., Result]


def now() -> float:
    """Seconds since the boot: CHANGE does not outlive the boot, and nothing sets this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


# -- commands --------------------------------------------------------------------------------------------------------


def run_command(argv: list[str], stdin: str = "") -> Result:
    """Run a command; FileNotFoundError where it is missing."""
    return start_command(argv, stdin)()


def start_command(argv: list[str], stdin: str = "") -> Callable[[], Result]:
    """Start a command, FileNotFoundError where it is missing; what is returned waits for its end."""
    pipe = subprocess.PIPE
    # Its input is in memory as a whole: the command need not wait for us, nor we for it.
    with os.fdopen(os.memfd_create("stdin"), "wb+") as stream:
        stream.write(stdin.encode("utf-8", "surrogateescape"))
        stream.seek(0)
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            argv, stdin=stream, stdout=pipe, stderr=pipe, env=dict(os.environ, PATH=_PATH, LC_ALL="C")
        )

    def end() -> Result:
        out, err = process.communicate()
        return Result(process.returncode, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "replace"))

    return end


# -- files -----------------------------------------------------------------------------------------------------------


class StagedFile:
    """The new text of a file, on the disk under another name in the same folder."""

    def __init__(self, path: str, text: Union[str, bytes], mode: Optional[int] = None) -> None:
        """``mode`` is for a file that need not be there yet; without it, owner and mode are those of the old one."""
        self.path = os.path.realpath(path)
        self.temporary: Optional[str] = None
        folder = os.path.dirname(self.path)
        handle, self.temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", suffix=".bulkhead", dir=folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape"))
                stream.flush()
                if mode is None:
                    old = os.stat(self.path)
                    os.fchown(stream.fileno(), old.st_uid, old.st_gid)
                    mode = stat.S_IMODE(old.st_mode)
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
        except BaseException:
            self.discard()
            raise

    def commit(self) -> None:
        """Put the new file in the place of the old one; the folder is flushed too, so that it survives a power cut."""
        if self.temporary is None:
            return
        os.rename(self.temporary, self.path)
        self.temporary = None
        flush(os.path.dirname(self.path))

    def discard(self) -> None:
        """Remove the new text, if it has not been committed."""
        if self.temporary is not None:
            os.unlink(self.temporary)
            self.temporary = None


def flush(folder: str) -> None:
    """Have the disk hold a folder's entries."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_text(path: str) -> str:
    """A file's text; bytes that are no UTF-8, and line ends of any kind, come back as they were when it is written."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as stream:
        return stream.read()


def remove(path: str) -> None:
    """Remove a file where there is one: a read-only file system refuses even to remove what is not there."""
    if os.path.lexists(path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def make_private(path: str) -> None:
    """A folder for this user alone, whatever mode it had or the umask gives; OSError where it is another's."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise NotADirectoryError(errno.ENOTDIR, "is no folder of root's; remove it", path)
    if stat.S_IMODE(found.st_mode) != 0o700:
        os.chmod(path, 0o700)


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
