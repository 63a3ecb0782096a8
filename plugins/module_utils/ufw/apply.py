# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan -> the host: test, stage, load into the kernel, persist; on a failure everything is as it was.

The kernel goes first and the files last, so that a reboot in between comes back with the old ruleset. The steps are
apart because an apply that waits for a confirmation stops between ``load`` and ``persist``.
"""

from __future__ import annotations

import re

from .drift import Repair
from .errors import RulesetError
from .files import Host, StagedFile
from .kernel import RESTORE


class Transaction:
    """One change of the kernel and the files. Call prepare, load, persist in this order; rollback at any time."""

    def __init__(
        self, host: Host, repairs: dict[int, Repair], files: dict[str, str], old_files: dict[str, str]
    ) -> None:
        self._host = host
        self._repairs = repairs
        self._files = files
        self._old_files = old_files
        self._staged: dict[str, StagedFile] = {}
        self._loaded: list[int] = []
        self._persisted: list[str] = []

    def prepare(self) -> None:
        """Everything that can fail without a trace: iptables' own check of both payloads, the new files on the disk."""
        try:
            for family, fix in self._repairs.items():
                self._restore(family, fix.payload, test=True)
            for path, text in self._files.items():
                self._staged[path] = self._host.stage(path, text)
        except OSError as error:
            self._discard()
            raise RulesetError(f"ufw's files cannot be written: {error}; nothing was changed") from error
        except RulesetError:
            self._discard()
            raise

    def load(self) -> None:
        """The payloads into the kernel, a transaction for each family."""
        try:
            for family, fix in self._repairs.items():
                self._restore(family, fix.payload)
                self._loaded.append(family)
        except RulesetError:
            self.rollback()
            raise

    def persist(self) -> None:
        """The new files into place."""
        try:
            for path, staged in self._staged.items():
                staged.commit()
                self._persisted.append(path)
        except OSError as error:
            self.rollback()
            raise RulesetError(f"ufw's files cannot be replaced: {error}; the old ruleset is back") from error

    def rollback(self) -> None:
        """The old files and the old kernel, from the snapshot that the plan was made of."""
        self._discard()
        write_files(self._host, {path: self._old_files[path] for path in self._persisted})
        self._persisted = []
        for family in reversed(self._loaded):
            self._restore(family, self._repairs[family].undo)
        self._loaded = []

    def _discard(self) -> None:
        for path, staged in self._staged.items():
            if path not in self._persisted:
                staged.discard()

    def _restore(self, family: int, payload: str, test: bool = False) -> None:
        command = RESTORE[family]
        # -w: the legacy backend has one lock for all programs; wait for it instead of failing.
        argv = [command, "-n", "-w", "10"] + (["--test"] if test else [])
        done = self._host.run(argv, payload)
        if done.status:
            raise RulesetError(
                f"{' '.join(argv)} refused the IPv{family} ruleset (status {done.status}): "
                f"{done.err.strip() or 'no message'}{_line_of(payload, done.err)}; the old ruleset is in force"
            )


def write_files(host: Host, texts: dict[str, str]) -> None:
    """Replace files, each in one step."""
    for path, text in texts.items():
        host.stage(path, text).commit()


def _line_of(payload: str, message: str) -> str:
    """The payload's line that iptables-restore complains about (`line 12 failed`), for a message that helps."""
    found = re.search(r"line:? (\d+)", message)
    lines = payload.splitlines()
    if not found or not 0 < int(found.group(1)) <= len(lines):
        return ""
    return f" ({lines[int(found.group(1)) - 1]})"
