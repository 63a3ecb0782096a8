# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the messages of UFW are on a host, read within bounds: files that were rotated and compressed too."""

from __future__ import annotations

import glob
import gzip
import io
import os
import re
import stat
import subprocess
import time
import zlib
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic.log import LONGEST
from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic.tally import Tally

#: UFW's own log first; the others hold it among all else that the kernel says.
LOGS = ("/var/log/ufw.log", "/var/log/kern.log", "/var/log/syslog", "/var/log/messages")
#: What roles/monitoring collects: a folder for each sender, by its address.
COLLECTED = "/var/log/bulkhead"
#: Bytes that are read of one host's messages, unpacked, and of all that a collector has.
MOST_BYTES, MOST_COLLECTED = 64 << 20, 256 << 20
#: Senders of a collector.
MOST_SENDERS = 5000
#: Seconds that journalctl may take.
PATIENCE = 60
#: ufw.log, ufw.log.1, ufw.log.2.gz, and by date: ufw.log-20261130.gz
_ROTATED = re.compile(r"[.-][0-9][0-9.-]*(\.gz)?$")


class Read(NamedTuple):
    """source: the files or the program that was read; whole: whether it goes back as far as was asked; cut: whether there was more than
    is read; beside: files that were left out, in words."""

    source: str
    tally: Tally
    whole: bool
    cut: bool
    beside: list[str]


def read_own(tally: Tally, since: float) -> Read:
    """This host's own messages: UFW's file, else the journal, else the kernel's or the system's file."""
    own, *others = LOGS
    if _files(own):
        return _read_files(own, tally, since, MOST_BYTES)
    found = _read_journal(tally, since)
    if found.source:
        return found
    for path in others:
        if _files(path):
            return _read_files(path, tally, since, MOST_BYTES)
    return Read("", tally, False, False, [])


def senders() -> list[str]:
    """The folders of a collector's senders."""
    return sorted(glob.glob(os.path.join(glob.escape(COLLECTED), "*", "")))[:MOST_SENDERS]


def read_collected(folder: str, tally: Tally, since: float, number: int) -> Read:
    """What one of so many senders sent."""
    return _read_files(os.path.join(folder, "ufw.log"), tally, since, max(MOST_COLLECTED // number, 1 << 20))


# -- files -----------------------------------------------------------------------------------------------------------


def _files(path: str) -> list[tuple[float, str]]:
    """A log and what it was rotated to, the newest first; regular files alone, for another kind could wait for ever."""
    found = []
    for name in glob.glob(f"{glob.escape(path)}*"):
        try:
            status = os.stat(name)
        except OSError:
            continue
        if stat.S_ISREG(status.st_mode) and (name == path or name.startswith((f"{path}.", f"{path}-"))):
            found.append((status.st_mtime, name))
    return sorted(found, reverse=True)


def _read_files(path: str, tally: Tally, since: float, most: int) -> Read:
    left, whole, beside = most, False, []
    cut = False
    for changed, name in _files(path):
        if changed < since:
            whole = True
            continue
        if name != path and not _ROTATED.fullmatch(name[len(path) :]):
            beside.append(f"{os.path.basename(name)}: not read, its kind is not known")
            continue
        if left <= 0:
            cut = True
            continue
        try:
            used, all_of_it = _read_file(name, tally, left)
        except (OSError, EOFError, zlib.error) as error:
            beside.append(f"{os.path.basename(name)}: {type(error).__name__}: {error}"[:200])
            continue
        left -= used
        cut = cut or not all_of_it
    whole = whole or (tally.oldest is not None and tally.oldest < since)
    return Read(path, tally, whole and not cut, cut, beside[:20])


def _read_file(name: str, tally: Tally, most: int) -> tuple[int, bool]:
    """(bytes that were read, whether those are all). Of a plain file that is too long, its end."""
    with open(name, "rb") as file:
        if name.endswith(".gz"):
            # A packed file cannot be read from its end.
            with gzip.open(file, "rb") as unpacked:
                return _read_stream(unpacked, tally, most)
        size = os.fstat(file.fileno()).st_size
        if size > most:
            file.seek(size - most)
            file.readline(LONGEST)
        used, _all = _read_stream(file, tally, most)
        return used, size <= most


def _read_stream(stream: IO[bytes] | Any, tally: Tally, most: int) -> tuple[int, bool]:
    counted = _Counted(stream, most)
    tally.add(counted.lines())
    return counted.used, not counted.more


class _Counted:
    """The lines of a stream up to so many bytes. A line without an end takes no more memory than LONGEST."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream, self._most = stream, most
        self.used, self.more = 0, False

    def lines(self) -> Iterator[str]:
        whole = True
        while True:
            piece = self._stream.readline(LONGEST + 1)
            if not piece:
                return
            self.used += len(piece)
            if self.used > self._most:
                self.more = True
                return
            begins, whole = whole, piece.endswith(b"\n")
            if begins:  # else the rest of a line that is too long
                yield piece.decode("utf-8", "replace").rstrip("\n")


# -- the journal -----------------------------------------------------------------------------------------------------


def _read_journal(tally: Tally, since: float) -> Read:
    """What the kernel said, by the journal of all boots, the newest first. source is "" where there is none."""
    none = Read("", tally, False, False, [])
    if not any(os.path.isdir(path) and os.listdir(path) for path in ("/run/log/journal", "/var/log/journal")):
        return none
    try:
        begins = _journal_begins()
        process = _journal("--reverse", f"--since=@{int(since)}", "_TRANSPORT=kernel")
    except OSError:
        return none
    stream = process.stdout or io.BytesIO()
    end = time.monotonic() + PATIENCE
    counted = _Counted(stream, MOST_BYTES)
    late = False

    def lines() -> Iterator[str]:
        nonlocal late
        for line in counted.lines():
            yield line
            if time.monotonic() > end:
                late = True
                return

    tally.add(lines())
    cut = late or counted.more
    if cut:
        process.kill()
    stream.close()
    if process.wait() and not cut:
        return none
    return Read("journal", tally, not cut and begins < since, cut, [])


def _journal(*options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["journalctl", "--no-pager", "--quiet", "--output=short-unix", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ, LC_ALL="C"),
    )


def _journal_begins() -> float:
    """When its first entry was written; infinity where it has none."""
    process = _journal()
    stream = process.stdout or io.BytesIO()
    first = stream.readline(LONGEST).decode("utf-8", "replace")
    process.kill()
    stream.close()
    process.wait()
    try:
        return float(first.split(" ", 1)[0])
    except ValueError:
        return float("inf")
