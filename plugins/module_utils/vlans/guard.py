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
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import (
    Run,
    StagedFile,
    make_private,
    now,
    read_text,
    remove,
    run_command,
)

#: Ours, for what is not settled; it outlives a reboot.
ROOM = "/var/lib/bulkhead"
FOLDER = ROOM + "/vlans"
CHANGE, LAST, LOCK = FOLDER + "/change.json", FOLDER + "/last.json", FOLDER + "/lock"
PROGRAM = FOLDER + "/guard.py"
UNIT = "bulkhead-vlans-back.service"
BOOT = f"/etc/systemd/system/{UNIT}"
WANTS = f"/etc/systemd/system/sysinit.target.wants/{UNIT}"
#: The modules that the program on the host is made of; the first one is run.
MODULES = ("vlans.guard", "local")

KEPT, BACK, WAITING, UNKNOWN = "kept", "back", "waiting", "unknown"
#: Seconds of waiting for the lock, and between the tries of a rollback that fails, at most.
_LOCKED, _LONGEST_PAUSE = 30.0, 60.0
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


class GuardError(Exception):
    """A change cannot be kept or taken back; the message is for the operator as it is."""


@dataclass
class Change:
    """A change that waits. token: its name. deadline: when it is taken back, in seconds since the boot. files: the old ones,
    [text, mode] or None where there was none. before, after: commands to run before they are written and after that; what the
    first ones say does not matter. timer: the systemd unit that settles it, or ""."""

    token: str
    deadline: float = 0.0
    files: dict[str, Optional[list[object]]] = field(default_factory=dict)
    before: list[list[str]] = field(default_factory=list)
    after: list[list[str]] = field(default_factory=list)
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
        """Put a file in place in one step; its folder is made where it is missing."""
        os.makedirs(os.path.dirname(self.path(name)), mode=0o755, exist_ok=True)
        StagedFile(self.path(name), text, mode).commit()

    def arm(self, change: Change, program: bytes = b"") -> None:
        """Note down a change before it is made."""
        self._make_room()
        if program:
            StagedFile(self.path(PROGRAM), program, 0o700).commit()
        if os.path.isdir(self.path("/run/systemd/system")) and not os.path.lexists(self.path(WANTS)):
            self.write(BOOT, _BOOT, 0o644)
            os.makedirs(os.path.dirname(self.path(WANTS)), exist_ok=True)
            os.symlink(BOOT, self.path(WANTS))
        self.write(CHANGE, json.dumps(asdict(change)), 0o600)

    def keep(self, change: Change) -> None:
        """End the wait; the files are the new ones already."""
        self._close(change, KEPT, "")

    def back(self, change: Change, why: str, quiet: bool = False) -> None:
        """Bring the old files and interfaces back. GuardError where a command fails: then the change still waits. quiet: at the
        boot, where no interface is up yet, the files alone."""
        if not quiet:
            for argv in change.before:
                self._run_any(argv)
        self.put(change.files)
        failed = [] if quiet else [said for argv in change.after if (said := self._run_any(argv))]
        if failed:
            raise GuardError(f"the old files are back, but {'; '.join(failed)}")
        self._close(change, BACK, why)

    def put(self, files: dict[str, Optional[list[object]]]) -> None:
        """Write files ([text, mode]) and remove those that are None; a folder of ours that is empty then goes too."""
        for name, found in files.items():
            if found is not None:
                self.write(name, str(found[0]), int(str(found[1])))
                continue
            remove(self.path(name))
            if os.path.dirname(name).endswith(".d") and name.endswith(".conf"):
                with contextlib.suppress(OSError):  # others may have files of theirs in there
                    os.rmdir(os.path.dirname(self.path(name)))

    def _run_any(self, argv: list[str]) -> str:
        """Run a command; what went wrong."""
        try:
            done = self._run(argv)
        except OSError as error:
            return f"`{' '.join(argv)}` did not start: {error}"
        return f"`{' '.join(argv)}` failed: {(done.err or done.out).strip()}" if done.status else ""

    def _close(self, change: Change, state: str, why: str) -> None:
        with contextlib.suppress(OSError):
            self.write(LAST, json.dumps({"token": change.token, "state": state, "why": why}), 0o600)
        for name in (CHANGE, WANTS, BOOT):
            remove(self.path(name))
        # Last: until here the timer would do what a killed process did not come to.
        if change.timer:
            self._run_any(["systemctl", "stop", change.timer])

    def is_overdue(self, change: Change) -> bool:
        """Whether the timer should have settled it by now; a deadline that is far away is of another boot."""
        return change.deadline + 10 < now() or change.deadline > now() + 3700

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

    def _make_room(self) -> None:
        for folder in (ROOM, FOLDER):
            os.makedirs(os.path.dirname(self.path(folder)), exist_ok=True)
            make_private(self.path(folder))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """What two of our own processes must not do at once. TimeoutError."""
        self._make_room()
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
    pause = 0.5
    while True:
        answer = act(Guard(), command, token)
        if "error" not in answer or command != "settle":
            break
        # Whatever kept it from rolling back, the host may be cut off until it has.
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
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
            if change is not None and token in (None, change.token):
                if command == "keep":
                    guard.keep(change)
                elif command == "boot":
                    guard.back(change, "the host was restarted before the change was confirmed", quiet=True)
                else:
                    why = "by hand" if command == "back" else "no confirmation came over a new connection in time"
                    guard.back(change, why)
            return guard.outcome(token)
    except (GuardError, OSError) as error:
        try:
            answer = guard.outcome(token)
        except GuardError:
            answer = {"token": token or "", "state": UNKNOWN, "why": ""}
        return {**answer, "error": str(error)}
