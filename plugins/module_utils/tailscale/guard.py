# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of a change that outlives the module: keep it, or take it back.

This file is part of the module and, with localapi.py and what that imports, a program of its own. For a change that may cut
the connection of its task it is copied to the host as one archive, where a timer runs it when nothing has kept the change
in time, and where an operator may run it:

    python3 /var/lib/bulkhead/tailscale/guard.py status | keep [TOKEN] | back [TOKEN] | settle TOKEN [SECONDS]

tailscaled's preferences outlive a reboot. So does CHANGE, which says how to bring the old ones back, and a drop-in of
tailscaled's unit has the next boot do it. Both are root's alone, and gone when the change is settled. No key is in either.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import (
    Run,
    StagedFile,
    make_private,
    now,
    read_text,
    remove,
    run_command,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import SOCKET, LocalApi

#: Ours, for what is not settled; it outlives a reboot.
ROOM = "/var/lib/bulkhead"
FOLDER = ROOM + "/tailscale"
CHANGE, LAST, LOCK = FOLDER + "/change.json", FOLDER + "/last.json", FOLDER + "/lock"
PROGRAM = FOLDER + "/guard.py"
BOOT = "/etc/systemd/system/tailscaled.service.d/50-bulkhead-back.conf"
#: Gone with a reboot, and so what tells one boot from another; the kernel's own id does not, in a container.
MARK = "/run/bulkhead/tailscale.boot"
#: The modules that the program on the host is made of; the first one is run.
MODULES = ("tailscale.guard", "tailscale.localapi", "mistakes", "printable", "local")

KEPT, BACK, WAITING, UNKNOWN = "kept", "back", "waiting", "unknown"
#: Seconds of one answer, of waiting for the lock, and between the tries of a rollback that fails, at most.
_ANSWER, _LOCKED, _LONGEST_PAUSE = 15.0, 30.0, 60.0
#: How often the boot tries.
_TRIES_AT_BOOT = 20


class GuardError(Exception):
    """A change cannot be kept or taken back; the message is for the operator as it is."""


@dataclass
class Change:
    """A change that waits. token: its name. deadline: when it is taken back, in seconds since the boot. undo: what
    PATCH prefs takes to bring the old preferences back. login: whether the node was to log in anew, so that it has to be
    started with the login that it had. timer: the systemd unit that settles it, or ""."""

    token: str
    deadline: float
    undo: dict[str, Any] = field(default_factory=dict)
    socket: str = SOCKET
    login: bool = False
    timer: str = ""


class Guard:
    """The change of one host."""

    def __init__(self, root: str = "", run: Run = run_command) -> None:
        self.root = root
        self._run = run

    def path(self, name: str) -> str:
        return self.root + name

    def change(self) -> Optional[Change]:
        """The change that waits, or None; GuardError where it is not understood."""
        try:
            return Change(**json.loads(read_text(self.path(CHANGE))))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError) as error:
            raise GuardError(f"{CHANGE} is not understood, such as that of another version: {error!r}") from error

    def write(self, name: str, text: str, mode: int) -> None:
        """Put a file of our own in place in one step."""
        for folder in (ROOM, FOLDER) if name.startswith(FOLDER) else (os.path.dirname(MARK),) if name == MARK else ():
            os.makedirs(os.path.dirname(self.path(folder)), exist_ok=True)
            make_private(self.path(folder))
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        StagedFile(self.path(name), text, mode).commit()

    def arm(self, change: Change, program: bytes = b"") -> None:
        """Note down a change before it is made."""
        if program:
            self.write(PROGRAM, "", 0o700)
            StagedFile(self.path(PROGRAM), program, 0o700).commit()
        self.write(MARK, change.token, 0o600)
        if os.path.isdir(self.path("/run/systemd/system")):
            self.write(
                BOOT, f"[Service]\nExecStartPost=-/usr/bin/env python3 -I {PROGRAM} boot {change.token}\n", 0o644
            )
        self.write(CHANGE, json.dumps(asdict(change)), 0o600)

    def keep(self, change: Change) -> None:
        self._close(change, KEPT, "")

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
        self._close(change, BACK, why)

    def _close(self, change: Change, state: str, why: str) -> None:
        with contextlib.suppress(OSError):
            self.write(LAST, json.dumps({"token": change.token, "state": state, "why": why}), 0o600)
        remove(self.path(CHANGE))
        remove(self.path(MARK))
        self._forget_the_boot()
        # Last: until here the timer would do what a killed process did not come to.
        if change.timer:
            with contextlib.suppress(Exception):
                self._run(["systemctl", "stop", change.timer])

    def _forget_the_boot(self) -> None:
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

    def outcome(self, token: Optional[str] = None) -> dict[str, str]:
        """What became of the change that waits, or of the last one: {token, state, why}."""
        change = self.change()
        if change is not None:
            last = {"token": change.token, "state": WAITING, "why": f"until {change.deadline - now():.0f} s from now"}
        else:
            last = self._last()
        if token not in (None, last["token"]):
            return {"token": token or "", "state": UNKNOWN, "why": "no such change"}
        return last

    def _last(self) -> dict[str, str]:
        try:
            found = json.loads(read_text(self.path(LAST)))
            return {name: str(found[name]) for name in ("token", "state", "why")}
        except (OSError, ValueError, LookupError, TypeError):
            return {"token": "", "state": UNKNOWN, "why": "no change is known"}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """What two of our own processes must not do at once. TimeoutError."""
        for folder in (ROOM, FOLDER):
            os.makedirs(os.path.dirname(self.path(folder)), exist_ok=True)
            make_private(self.path(folder))
        handle = os.open(self.path(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            end = time.monotonic() + _LOCKED
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() > end:
                        raise TimeoutError(f"{LOCK} is held by another process") from None
                    time.sleep(0.05)
            yield
        finally:
            os.close(handle)


def main(words: list[str]) -> int:
    """The program: prints the outcome as one line of JSON; status 0 where it is what was asked for."""
    command, token = words[0] if words else "status", words[1] if len(words) > 1 else None
    if command not in ("status", "keep", "back", "settle", "boot"):
        sys.stderr.write("usage: guard.py status | keep [TOKEN] | back [TOKEN] | settle TOKEN [SECONDS]\n")
        return 2
    if command == "settle":
        time.sleep(float(words[2]) if len(words) > 2 else 0)
    pause, tries = 0.5, 0
    while True:
        answer = act(Guard(), command, token)
        tries += 1
        if (
            "error" not in answer
            or command in ("status", "keep", "back")
            or (command == "boot" and tries == _TRIES_AT_BOOT)
        ):
            break
        # Whatever kept it from rolling back, the host may be cut off until it has.
        time.sleep(pause)
        pause = min(2 * pause, 2.0 if command == "boot" else _LONGEST_PAUSE)
    sys.stdout.write(json.dumps(answer) + "\n")
    wanted = {"keep": KEPT, "back": BACK}.get(command, answer["state"])
    return 1 if "error" in answer or answer["state"] != wanted else 0


def act(guard: Guard, command: str, token: Optional[str]) -> dict[str, str]:
    """One command; the outcome, with ``error`` where it could not be done."""
    try:
        if command == "status":
            return guard.outcome(token)
        with guard.locked():
            change = guard.change()
            mine = change is not None and token in (None, change.token)
            if change is not None and mine:
                if command == "keep":
                    guard.keep(change)
                elif command == "back":
                    guard.back(change, "by hand")
                elif command == "settle" or guard.of_another_boot(change):
                    guard.back(change, "no confirmation came over a new connection in time")
            return guard.outcome(token)
    except (GuardError, Refused, OSError) as error:
        try:
            answer = guard.outcome(token)
        except GuardError:
            answer = {"token": token or "", "state": UNKNOWN, "why": ""}
        return {**answer, "error": str(error)}
