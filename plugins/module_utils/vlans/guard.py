# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of a change that outlives the module: keep it, or take it back.

This file is part of the module and, with what it imports, a program of its own. For a change it is copied to the host as one
archive, where a timer runs it when nothing has kept the change in time, and where an operator may run it:

    python3 /var/lib/bulkhead/vlans/guard.py status | keep [TOKEN] | back [TOKEN] | settle TOKEN [SECONDS]

The files of a network stack outlive a reboot. So does CHANGE, which holds the old ones, and BOOT is a unit that brings them
back before the network is up at the next boot, where nothing has kept the change by then.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import now, remove
from ansible_collections.bulkhead.tiers.plugins.module_utils.waiting_change import (
    BACK,
    ROOM,
    GuardError,
    Waiting,
    WaitingGuard,
    run_program,
)

FOLDER = ROOM + "/vlans"
CHANGE, PROGRAM = FOLDER + "/change.json", FOLDER + "/guard.py"
_UNIT = "bulkhead-vlans-back.service"
BOOT = f"/etc/systemd/system/{_UNIT}"
WANTS = f"/etc/systemd/system/sysinit.target.wants/{_UNIT}"
#: The modules that the program on the host is made of; the first one is run.
MODULES = ("vlans.guard", "waiting_change", "local")
#: Seconds that a change may wait at most; a deadline beyond it is of another boot.
LONGEST = 3700
_BOOT = f"""[Unit]
Description=Take back a change of VLAN interfaces that was not confirmed before the reboot
DefaultDependencies=no
ConditionPathExists={CHANGE}
RequiresMountsFor={FOLDER}
After=systemd-remount-fs.service local-fs.target
Before=network-pre.target systemd-networkd.service networking.service sysinit.target
Wants=network-pre.target

[Service]
Type=oneshot
ExecStart=/usr/bin/env python3 -I {PROGRAM} boot
"""


@dataclass
class Change(Waiting):
    """files: the old ones, [text, mode] or None where there was none. before, after: commands to run before they are written and
    after that; what the first ones say does not matter."""

    files: dict[str, Optional[list[object]]] = field(default_factory=dict)
    before: list[list[str]] = field(default_factory=list)
    after: list[list[str]] = field(default_factory=list)


class Guard(WaitingGuard):
    """The change of one host."""

    FOLDER = FOLDER
    CHANGE_TYPE = Change

    def arm(self, change: Change, program: bytes = b"") -> None:
        """Note down a change before it is made."""
        if os.path.isdir(self.path("/run/systemd/system")) and not os.path.lexists(self.path(WANTS)):
            self.write(BOOT, _BOOT, 0o644)
            os.makedirs(os.path.dirname(self.path(WANTS)), exist_ok=True)
            os.symlink(BOOT, self.path(WANTS))
        self.note(change, program)

    def back(self, change: Change, why: str) -> None:
        """Bring the old files and interfaces back. GuardError where a command fails: then the change still waits."""
        for argv in change.before:
            self._do(argv)
        self.put(change.files)
        failed = [said for argv in change.after if (said := self._do(argv))]
        if failed:
            raise GuardError(f"the old files are back, but {'; '.join(failed)}")
        self.close(change, BACK, why)

    def at_boot(self, change: Change) -> None:
        """No interface is up yet: the files are all that is to be taken back."""
        self.put(change.files)
        self.close(change, BACK, "the host was restarted before the change was confirmed")

    def put(self, files: Mapping[str, Optional[list[object]]]) -> None:
        """Write files ([text, mode]) and remove those that are None; the folder of a drop-in goes with it where it is empty."""
        for name, found in files.items():
            if found is not None:
                self.write(name, str(found[0]), int(str(found[1])))
                continue
            remove(self.path(name))
            if os.path.dirname(name).endswith(".network.d"):
                with contextlib.suppress(OSError):  # others may have files of theirs in there
                    os.rmdir(os.path.dirname(self.path(name)))

    def _do(self, argv: list[str]) -> str:
        """Run a command; what went wrong."""
        try:
            done = self._run(argv)
        except OSError as error:
            return f"`{' '.join(argv)}` did not start: {error}"
        return f"`{' '.join(argv)}` failed: {(done.err or done.out).strip()}" if done.status else ""

    def forget(self) -> None:
        for name in (WANTS, BOOT):
            remove(self.path(name))

    def is_overdue(self, change: Change) -> bool:
        """Whether the timer should have settled it by now."""
        return change.deadline + 10 < now() or change.deadline > now() + LONGEST


def main(words: list[str]) -> int:
    """The program."""
    return run_program(Guard(), words)
