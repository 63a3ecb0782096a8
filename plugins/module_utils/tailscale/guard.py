# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of a change that outlives the module: keep it, or take it back.

This file is part of the module and, with localapi.py and what both import, a program of its own. For a change that may cut
the connection of its task it is copied to the host as one archive, where a timer runs it when nothing has kept the change
in time, and where an operator may run it:

    python3 /var/lib/bulkhead/tailscale/guard.py status | keep [TOKEN] | back [TOKEN] | settle TOKEN [SECONDS]

tailscaled's preferences outlive a reboot. So does CHANGE, which says how to bring the old ones back, and a drop-in of
tailscaled's unit has the next boot do it. Both are root's alone, and gone when the change is settled. No key is in either.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import make_private, now, read_text, remove
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import SOCKET, LocalApi
from ansible_collections.bulkhead.tiers.plugins.module_utils.waiting_change import (
    BACK,
    ROOM,
    GuardError,
    Waiting,
    WaitingGuard,
    run_program,
)

FOLDER = ROOM + "/tailscale"
CHANGE, PROGRAM = FOLDER + "/change.json", FOLDER + "/guard.py"
BOOT = "/etc/systemd/system/tailscaled.service.d/50-bulkhead-back.conf"
#: Gone with a reboot, and so what tells one boot from another; the kernel's own id does not, in a container.
MARK = "/run/bulkhead/tailscale.boot"
#: The modules that the program on the host is made of; the first one is run.
MODULES = ("tailscale.guard", "tailscale.localapi", "waiting_change", "mistakes", "printable", "local")
#: Seconds of one answer.
_ANSWER = 15.0


@dataclass
class Change(Waiting):
    """undo: what PATCH prefs takes to bring the old preferences back. login: whether the node was to log in anew, so that it has
    to be started with the login that it had."""

    undo: dict[str, Any] = field(default_factory=dict)
    socket: str = SOCKET
    login: bool = False


class Guard(WaitingGuard):
    """The change of one host."""

    FOLDER = FOLDER
    CHANGE_TYPE = Change
    ERRORS = (GuardError, Refused, OSError)
    TRIES_AT_BOOT = 20

    def arm(self, change: Change, program: bytes = b"") -> None:
        """Note down a change before it is made."""
        self.make_room()
        os.makedirs(os.path.dirname(self.path(os.path.dirname(MARK))), exist_ok=True)
        make_private(self.path(os.path.dirname(MARK)))
        self.write(MARK, change.token, 0o600)
        if os.path.isdir(self.path("/run/systemd/system")):
            self.write(
                BOOT, f"[Service]\nExecStartPost=-/usr/bin/env python3 -I {PROGRAM} boot {change.token}\n", 0o644
            )
        self.note(change, program)

    def back(self, change: Change, why: str) -> None:
        """Bring the old preferences back. Refused where tailscaled does not take them or does not answer: then the change
        still waits."""
        api = LocalApi(change.socket, _ANSWER)
        try:
            if change.login:
                old = {name: value for name, value in change.undo.items() if not name.endswith("Set")}
                found = {name: value for name, value in api.get("prefs").items() if name != "Config"}
                api.post("start", {"UpdatePrefs": {**found, **old, "LoggedOut": False}})
            else:
                api.patch("prefs", change.undo)
        finally:
            api.close()
        self.close(change, BACK, why)

    def at_boot(self, change: Change) -> None:
        """tailscaled may have been restarted without a boot: then the timer is still there."""
        if self.of_another_boot(change):
            self.back(change, "no confirmation came over a new connection in time")

    def forget(self) -> None:
        remove(self.path(MARK))
        remove(self.path(BOOT))
        with contextlib.suppress(OSError):  # others may have files of theirs in there
            os.rmdir(os.path.dirname(self.path(BOOT)))

    def of_another_boot(self, change: Change) -> bool:
        """Whether the host was booted since the change was made."""
        try:
            return read_text(self.path(MARK)) != change.token
        except OSError:
            return True

    def is_overdue(self, change: Change) -> bool:
        """Whether the timer should have settled it by now."""
        return self.of_another_boot(change) or change.deadline + 10 < now()


def main(words: list[str]) -> int:
    """The program."""
    return run_program(Guard(), words)
