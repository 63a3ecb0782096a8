# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files of one stack: read where they may lie, regular ones of a bounded size, a bounded number of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence

#: Of one file. The stacks of people have at most some ten kilobytes.
MOST_BYTES = 1_000_000
#: Of a path: the system takes no longer ones, and to resolve one takes the square of its length.
MOST_CHARACTERS = 4_096
#: Of one stack, what it includes and extends among them.
MOST_FILES = 100


class Unreadable(Exception):
    """Why a file is not read, as a clause; outside: it lies where the stack may not read."""

    def __init__(self, why: str, outside: bool = False) -> None:
        super().__init__(why)
        self.outside = outside


class Files:
    """What a stack may read: below the directories of its own files, and below those that are allowed in addition.

    Real paths count, so that no link leads out. A file that says `include: /etc/shadow` comes from anywhere.
    """

    def __init__(self, files: Sequence[str], allowed: Iterable[str] = ()) -> None:
        homes = [os.path.dirname(os.path.abspath(file)) for file in files]
        self._roots = [os.path.realpath(directory) for directory in [*homes, *allowed]]
        self._read = 0

    def holds(self, path: str) -> bool:
        """Whether a path, or what it leads to, is one that the stack may read; asks nothing of the file itself."""
        if len(path) > MOST_CHARACTERS:
            return False
        try:
            real = os.path.realpath(path)
        except ValueError:  # a zero byte, a lone surrogate
            return False
        return any(os.path.commonpath([root, real]) == root for root in self._roots)

    def read(self, path: str) -> str:
        """The text of a file; raises Unreadable."""
        if not self.holds(path):
            raise Unreadable("it lies outside of the stack's directory", outside=True)
        self._read += 1
        if self._read > MOST_FILES:
            raise Unreadable(f"the stack has more than {MOST_FILES} files")
        try:
            return _content(os.path.realpath(path)).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Unreadable("it is no text in UTF-8") from error
        except OSError as error:
            raise Unreadable(error.strerror or "an error of the system") from error


def _content(path: str) -> bytes:
    # A socket cannot be opened and a FIFO waits for its writer: what it is, is asked first, and again once it is open.
    _check(os.stat(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with open(descriptor, "rb") as file:
        _check(os.fstat(descriptor))
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:  # what /proc holds says that it has no bytes
        raise Unreadable(f"it has more than {MOST_BYTES:,} bytes")
    return content


def _check(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise Unreadable(f"it is {_kind(found.st_mode)} and no regular file")
    if found.st_size > MOST_BYTES:
        raise Unreadable(f"it has more than {MOST_BYTES:,} bytes")


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a directory",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")
