# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Paths of the controller that a declaration names: they stay below the folder that they belong to, links followed."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: The kind of a Mistake about a path that leads out of its folder.
OUTSIDE = "outside"


def below(folder: str, path: str, subject: str, setting: str) -> str:
    """The real path of a file or folder below ``folder``, which a relative ``path`` starts at. It need not exist.

    subject: what is named so, for the message; setting: the option that names the folder. Refused where it, or a link
    on the way, leads out of the folder.
    """
    root = os.path.realpath(folder)
    real = os.path.realpath(os.path.join(root, path))
    if not _holds(root, real):
        raise _refused(subject, path, real, root, setting)
    return real


def report_path(report: str, directory: str) -> str:
    """The real path of a report, which starts at the current directory and must lie below ``directory``; Refused."""
    return below(directory, os.path.abspath(report), "report", "directory")


def tree_below(folder: str, path: str, subject: str, setting: str) -> str:
    """The same for a folder with all that is in it: no link in it leads out."""
    real, root = below(folder, path, subject, setting), os.path.realpath(folder)
    for entry in _links(real):
        if not _holds(root, os.path.realpath(entry)):
            raise _refused(subject, entry, os.path.realpath(entry), root, setting)
    return real


def _holds(root: str, real: str) -> bool:
    return os.path.commonpath([root, real]) == root


def _links(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            entry = os.path.join(parent, name)
            if os.path.islink(entry):
                yield entry


def _refused(subject: str, path: str, real: str, root: str, setting: str) -> Refused:
    # One that leads out has not been read: its path alone is shown.
    got = printable(path) if os.path.normpath(path) == real else f"{printable(path)}, which is {printable(real)}"
    return Refused(
        [
            Mistake(
                subject,
                got,
                f"a path below {printable(root)}, with links followed",
                f"move it there, or set {setting}",
                OUTSIDE,
            )
        ]
    )
