# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change of settings that outlive a reboot, which waits on its host until it is kept or taken back.

What there is to take back, and how, is the caller's: tailscale/guard.py, vlans/guard.py. Each is, with this file, a program of
its own on the host. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Optional

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
KEPT, BACK, WAITING, UNKNOWN = "kept", "back", "waiting", "unknown"
#: Seconds of waiting for the lock, and between the tries of a rollback that fails, at most.
_LOCKED, _LONGEST_PAUSE = 30.0, 60.0


class GuardError(Exception):
    """A change cannot be kept or taken back; the message is for the operator as it is."""


@dataclass
class Waiting:
    """A change that waits. token: its name. deadline: when it is taken back, in seconds since the boot. timer: the systemd unit
    that settles it, or "". Subclasses say what there is to take back."""

    token: str
    deadline: float = 0.0
    timer: str = ""


class WaitingGuard:
    """The change of one host, in a folder of its own below ROOM. Every method but ``change`` and ``outcome`` wants the lock to be
    held."""

    #: Of subclasses: the folder, what is in CHANGE, files that go when the change is settled, what `back` can raise, and how often
    #: the boot tries.
    FOLDER: ClassVar[str] = ""
    CHANGE_TYPE: ClassVar[type[Any]] = Waiting
    ERRORS: ClassVar[tuple[type[Exception], ...]] = (GuardError, OSError)
    TRIES_AT_BOOT: ClassVar[int] = 1

    def __init__(self, root: str = "", run: Run = run_command) -> None:
        self.root = root
        self._run = run

    # -- of subclasses -------------------------------------------------------------------------------------------

    def arm(self, change: Any, program: bytes = b"") -> None:
        """Note down a change before it is made, with the program that settles it."""
        raise NotImplementedError

    def back(self, change: Any, why: str) -> None:
        """Bring the old settings back and end with ``close``; one of ERRORS where that cannot be done: then the change still waits."""
        raise NotImplementedError

    def at_boot(self, change: Any) -> None:
        """What the boot does with a change that it finds."""
        raise NotImplementedError

    def is_overdue(self, change: Any) -> bool:
        """Whether the timer should have settled a change by now."""
        raise NotImplementedError

    def forget(self) -> None:
        """Remove what the next boot would do, and the like; the change is settled."""

    # -- the files -----------------------------------------------------------------------------------------------

    def path(self, name: str) -> str:
        return self.root + name

    def of_ours(self, name: str) -> str:
        """A file in the folder."""
        return f"{self.FOLDER}/{name}"

    def change(self) -> Any:
        """The change that waits, or None; GuardError where it is not understood."""
        name = self.of_ours("change.json")
        try:
            return self.CHANGE_TYPE(**json.loads(read_text(self.path(name))))
        except FileNotFoundError:
            return None
        except (TypeError, ValueError) as error:
            raise GuardError(f"{name} is not understood, such as that of another version: {error!r}") from error

    def make_room(self) -> None:
        """The folder, root's alone."""
        for folder in (ROOM, self.FOLDER):
            os.makedirs(os.path.dirname(self.path(folder)), exist_ok=True)
            make_private(self.path(folder))

    def write(self, name: str, text: str, mode: int) -> None:
        """Put a file in place in one step; its folder is made where it is missing."""
        if name.startswith(self.FOLDER):
            self.make_room()
        os.makedirs(os.path.dirname(self.path(name)), mode=0o755, exist_ok=True)
        StagedFile(self.path(name), text, mode).commit()

    def note(self, change: Waiting, program: bytes = b"") -> None:
        """Note down a change, with the program that settles it where it is not there yet."""
        self.make_room()
        if program:
            StagedFile(self.path(self.of_ours("guard.py")), program, 0o700).commit()
        self.write(self.of_ours("change.json"), json.dumps(asdict(change)), 0o600)

    # -- a change ------------------------------------------------------------------------------------------------

    def keep(self, change: Waiting) -> None:
        self.close(change, KEPT, "")

    def close(self, change: Waiting, state: str, why: str) -> None:
        """The change is settled."""
        with contextlib.suppress(OSError):
            text = json.dumps({"token": change.token, "state": state, "why": why})
            self.write(self.of_ours("last.json"), text, 0o600)
        remove(self.path(self.of_ours("change.json")))
        self.forget()
        # Last: until here the timer would do what a killed process did not come to.
        if change.timer:
            with contextlib.suppress(Exception):
                self._run(["systemctl", "stop", change.timer])

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
            found = json.loads(read_text(self.path(self.of_ours("last.json"))))
            return {name: str(found[name]) for name in ("token", "state", "why")}
        except (OSError, ValueError, LookupError, TypeError):
            return {"token": "", "state": UNKNOWN, "why": "no change is known"}

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """What two of our own processes must not do at once. TimeoutError."""
        self.make_room()
        name = self.of_ours("lock")
        handle = os.open(self.path(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            end = time.monotonic() + _LOCKED
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() > end:
                        raise TimeoutError(f"{name} is held by another process") from None
                    time.sleep(0.05)
            yield
        finally:
            os.close(handle)


# -- the program -----------------------------------------------------------------------------------------------------


def run_program(guard: WaitingGuard, words: Sequence[str]) -> int:
    """Prints the outcome as one line of JSON; status 0 where it is what was asked for."""
    command, token = words[0] if words else "status", words[1] if len(words) > 1 else None
    if command not in ("status", "keep", "back", "settle", "boot"):
        sys.stderr.write("usage: guard.py status | keep [TOKEN] | back [TOKEN] | settle TOKEN [SECONDS]\n")
        return 2
    if command == "settle":
        time.sleep(float(words[2]) if len(words) > 2 else 0)
    pause, tries = 0.5, 0
    while True:
        answer = act(guard, command, token)
        tries += 1
        if (
            "error" not in answer
            or command in ("status", "keep", "back")
            or (command == "boot" and tries == guard.TRIES_AT_BOOT)
        ):
            break
        # Whatever kept it from rolling back, the host may be cut off until it has.
        time.sleep(pause)
        pause = min(2 * pause, 2.0 if command == "boot" else _LONGEST_PAUSE)
    sys.stdout.write(json.dumps(answer) + "\n")
    wanted = {"keep": KEPT, "back": BACK}.get(command, answer["state"])
    return 1 if "error" in answer or answer["state"] != wanted else 0


def act(guard: WaitingGuard, command: str, token: Optional[str]) -> dict[str, str]:
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
                    guard.at_boot(change)
                else:
                    why = "by hand" if command == "back" else "no confirmation came over a new connection in time"
                    guard.back(change, why)
            return guard.outcome(token)
    except guard.ERRORS as error:
        try:
            answer = guard.outcome(token)
        except GuardError:
            answer = {"token": token or "", "state": UNKNOWN, "why": ""}
        return {**answer, "error": str(error)}
