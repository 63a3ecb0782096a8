# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change that waits for its confirmation, as a run makes it; guard.py settles it."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.clearing import begin
from ansible_collections.bulkhead.tiers.plugins.module_utils.local import now, run_command, spawn_process
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.guard import (
    MODULES,
    PROGRAM,
    Change,
    Guard,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.waiting_change import GuardError


class Keeping:
    """One change of a run. undo: what PATCH prefs takes to bring the old preferences back; login: see guard.Change. seconds: that the confirmation
    may take, when the module has come to its end."""

    def __init__(self, undo: dict[str, Any], login: bool, socket: str, seconds: int, root: str) -> None:
        self._guard = Guard(root)
        self._seconds = seconds
        self._change = Change(secrets.token_hex(4), undo=undo, socket=socket, login=login)

    def begin(self, more: int) -> None:
        """Before the change is made. more: seconds that the module itself may take in addition."""
        from ansible_collections.bulkhead.tiers.plugins.module_utils.keeper import archive

        try:
            self._set(self._seconds + more, archive(MODULES))
        except OSError as error:
            remedy = "make room there, or say confirm: {timeout: 0} to do without a rollback"
            got = f"no rollback that could be prepared ({error}); nothing was changed"
            raise Refused(
                [Mistake("confirm", got, "a file of root's in /var/lib/bulkhead", remedy, "guard")]
            ) from error

    def wait(self) -> dict[str, Any]:
        """The change is made: what the controller gets to confirm it with."""
        self._set(self._seconds, b"")
        return {
            "token": self._change.token,
            "timeout": self._seconds,
            "pause": 0,
            "program": self._guard.path(PROGRAM),
            "python": sys.executable or "python3",
        }

    def back(self, why: str) -> None:
        """The run has failed, and has taken back by itself what it could; the timer does it where this cannot."""
        with contextlib.suppress(Refused, GuardError, OSError), self._guard.locked():
            self._guard.back(self._change, why)

    def _set(self, seconds: int, program: bytes) -> None:
        """Note the change down with a new deadline, and only then let go of the old timer."""
        from ansible_collections.bulkhead.tiers.plugins.module_utils.keeper import start_timer

        old, change = self._change.timer, self._change
        number = secrets.token_hex(2)
        settle = [sys.executable or "/usr/bin/python3", "-I", self._guard.path(PROGRAM), "settle", change.token]
        change.deadline = now() + seconds
        if program:
            begin(self._guard, change, program)
        unit = f"bulkhead-tailscale-{change.token}-{number}"
        change.timer = start_timer(unit, settle, seconds, run_command, spawn_process, self._guard.root)
        self._guard.arm(change)
        if old:
            with contextlib.suppress(OSError, subprocess.SubprocessError):
                run_command(["systemctl", "stop", old])
