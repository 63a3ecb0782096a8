# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands and files of a host.

Standard library only: this file is part of the programs that a host keeps (ufw/guard.py, tailscale/guard.py, vlans/guard.py).
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
import tempfile
import time
from typing import Callable, NamedTuple, Optional, Union

#: Ours, for what a change needs until it is settled: root's alone, and gone with a reboot.
ROOM = "/run/bulkhead"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


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


def spawn_process(argv: list[str]) -> None:
    """Start a process that outlives this one, its session and the connection."""
    subprocess.Popen(  # pylint: disable=consider-using-with
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )


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
