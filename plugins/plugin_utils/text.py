# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Texts for a terminal, and files that are written whole: what plans, surveys, proofs and action plugins share."""

from __future__ import annotations

import json
import os
import secrets
import textwrap
from collections.abc import Collection, Iterator, Sequence
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused

#: The colours of a report, by Ansible's names for them.
GOOD, BAD, HEAD, DIM = "green", "red", "bright blue", "bright gray"

#: A line of a report and its colour, None for the terminal's own.
Line = tuple[str, Optional[str]]

#: What is printed at once is an event of a job in AWX, whose page shows 1,024 bytes of one (EVENT_STDOUT_MAX_BYTES_DISPLAY).
EVENT_BYTES = 960
#: The narrowest last column of a table: a table wider than the terminal is still better than a column of two letters.
_NARROWEST = 24


def count(number: int, noun: str, plural: str = "") -> str:
    """A number and its noun: "1 host", "1,024 hosts"; plural: where it is not the noun with an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def some(items: Sequence[str], most: int = 5) -> str:
    """The first ``most`` of some names, and how many there are in addition: "a, b and 3 more"."""
    shown = ", ".join(items[:most])
    return f"{shown} and {len(items) - most:,} more" if len(items) > most else shown


def pieces(text: str, most: int = EVENT_BYTES) -> Iterator[str]:
    """A long text in pieces of whole lines, each of at most ``most`` bytes where no single line is longer; joined by line ends they
    are the text."""
    piece: list[str] = []
    size = 0
    for line in text.split("\n"):
        more = len(line.encode()) + 1
        if piece and size + more > most:
            yield "\n".join(piece)
            piece, size = [], 0
        piece.append(line)
        size += more
    yield "\n".join(piece)


def wrap(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    """The lines of a text of at most ``width`` columns; no word and no name is broken, however long it is.

    first, rest: what stands before the first line and before each other one.
    """
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def table(
    headers: Sequence[str], rows: Sequence[Sequence[object]], width: int, right: Collection[int] = ()
) -> Iterator[str]:
    """The lines of a table: columns two blanks apart, the last one wrapped at ``width``; headers come first.

    right: the numbers of the columns that are flush right.
    """
    cells = [[str(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers) - 1)]
    start = 2 + sum(column + 2 for column in widths)
    edge = max(width, start + _NARROWEST)
    for row in cells:
        columns = [
            cell.rjust(room) if number in right else cell.ljust(room)
            for number, (cell, room) in enumerate(zip(row[:-1], widths, strict=True))
        ]
        head = "  " + "".join(f"{column}  " for column in columns)
        yield from (line.rstrip() for line in wrap(row[-1], edge, head, " " * start) or [head])


def write_whole(path: str, text: str, mode: int = 0o666) -> str:
    """Write a file whole or not at all, and return its absolute path.

    Who reads it at the same time sees the old text or the new one. An existing file keeps its mode, a link stays a
    link, missing folders are made. mode: of a new file, less the umask. Raises Refused where the file system does not let it be written.
    """
    path = os.path.abspath(path)
    target = os.path.realpath(path)
    partial = os.path.join(os.path.dirname(target), f".{os.path.basename(target)}.{secrets.token_hex(8)}")
    try:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(target):
            raise IsADirectoryError(21, "Is a directory")
        _write_new(partial, text, mode)
        try:
            if os.path.exists(target):
                os.chmod(partial, os.stat(target).st_mode & 0o777)
            os.replace(partial, target)
        except OSError:
            os.unlink(partial)
            raise
    except OSError as error:
        remedy = "check the folder's owner and mode and the free space, or name another path"
        mistake = Mistake(path, error.strerror or str(error), "a file that can be written", remedy, "unwritable")
        raise Refused([mistake]) from error
    return path


def _write_new(path: str, text: str, mode: int) -> None:
    """A new file, on the disk before this returns; none is left behind where that fails."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(handle)
    except BaseException:
        os.unlink(path)
        raise


def json_text(content: object) -> str:
    """JSON that a person can read as well."""
    return f"{json.dumps(content, indent=1, ensure_ascii=False)}\n"


def write_json(path: str, content: object) -> str:
    """The same for a report."""
    return write_whole(path, json_text(content))
