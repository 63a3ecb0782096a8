# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of a change that outlives the module: keep it, take it back, or finish what a killed process left.

This file is part of the module and a program of its own. For a change it is copied to the host, where a timer runs it
when nobody has kept the change in time, and where an operator may run it by hand:

    python3 /run/bulkhead/ufw/guard.py status | keep [TOKEN] | back [TOKEN] | settle TOKEN [SECONDS]

A change goes through two files. CHANGE, in /run, says how to bring the kernel back; a reboot forgets it together with
the kernel's rules, and starts from ufw's files, which are the old ones until the change is kept. JOURNAL, on the disk,
is the decision to keep it: before it is there the files are the old ones, and from then on they will be the new ones,
whoever is killed: it is a shell script that moves them into place, and ufw.service runs it first at the next boot.
It imports nothing but the standard library, so that it runs alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, Callable, NamedTuple, Optional

LOCK = "/run/ufw.lock"
FOLDER = "/run/bulkhead/ufw"
PROGRAM = FOLDER + "/guard.py"
CHANGE = FOLDER + "/change.json"
OUTCOME = FOLDER + "/outcome.json"
# ufw's files under another root, for `ufw-init --datadir`: ufw starts from them while those in /etc are still the old.
TREE = FOLDER + "/tree"
LASTING = "/var/lib/bulkhead/ufw"
JOURNAL = LASTING + "/keep.sh"
BOOT = "/etc/systemd/system/ufw.service.d/50-bulkhead-keep.conf"

KEPT, BACK, WAITING, UNKNOWN = "kept", "back", "waiting", "unknown"

# ufw holds its lock for one command; a reload takes up to 3 s on a small machine.
LOCK_TIMEOUT = 30.0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class GuardError(Exception):
    """A change cannot be kept or taken back; the message is for the operator as it is."""


class Result(NamedTuple):
    """A finished command: exit status, output, errors."""

    status: int
    out: str
    err: str


Run = Callable[..., Result]


def run_command(argv: list[str], stdin: str = "") -> Result:
    """Run a command; FileNotFoundError where it is missing."""
    return start_command(argv, stdin)()


def start_command(argv: list[str], stdin: str = "") -> Callable[[], Result]:
    """Start a command, FileNotFoundError where it is missing; what is returned waits for its end."""
    pipe = subprocess.PIPE
    # Its input is in memory as a whole: the command need not wait for us, nor we for it.
    with os.fdopen(os.memfd_create("stdin"), "wb+") as stream:
        stream.write(stdin.encode("utf-8", "surrogateescape"))
        stream.seek(0)
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            argv, stdin=stream, stdout=pipe, stderr=pipe, env=dict(os.environ, PATH=_PATH, LC_ALL="C")
        )

    def end() -> Result:
        out, err = process.communicate()
        return Result(process.returncode, out.decode("utf-8", "surrogateescape"), err.decode("utf-8", "replace"))

    return end


@contextlib.contextmanager
def locked(path: str, timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold ufw's own lock, which is a POSIX one; TimeoutError where another process keeps it, or another OSError."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644), "w") as stream:
        end = time.monotonic() + timeout
        while True:
            try:
                fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if time.monotonic() > end:
                    raise TimeoutError(str(error)) from error
                time.sleep(0.05)
        yield


class StagedFile:
    """The new text of a file, on the disk under another name in the same folder."""

    def __init__(self, path: str, text: str, mode: Optional[int] = None) -> None:
        """``mode`` is for a file that need not be there yet; without it, owner and mode are those of the old one."""
        self.path = os.path.realpath(path)
        self.temporary: Optional[str] = None
        folder = os.path.dirname(self.path)
        handle, self.temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", suffix=".bulkhead", dir=folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(text.encode("utf-8", "surrogateescape"))
                stream.flush()
                if mode is None:
                    old = os.stat(self.path)
                    os.fchown(stream.fileno(), old.st_uid, old.st_gid)
                    mode = old.st_mode & 0o7777
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
        except BaseException:
            self.discard()
            raise

    def commit(self) -> None:
        """Put the new file in the place of the old one; the folder is flushed too, so that it survives a power cut."""
        if self.temporary is None:
            return
        os.rename(self.temporary, self.path)
        self.temporary = None
        _flush(os.path.dirname(self.path))

    def discard(self) -> None:
        """Remove the new text, if it has not been committed."""
        if self.temporary is not None:
            os.unlink(self.temporary)
            self.temporary = None


def _flush(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as stream:
        return stream.read()


def now() -> float:
    """Seconds since the boot: CHANGE does not outlive the boot, and nobody sets this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def mark(path: str) -> list[int]:
    """What differs after anybody has written to a file, if only the same text as before."""
    found = os.stat(path)
    return [found.st_ino, found.st_mtime_ns, found.st_size]


class Guard:
    """The change of one host. Every method but ``status`` wants ufw's lock to be held."""

    def __init__(self, root: str = "", run: Run = run_command) -> None:
        self.root = root
        self._run = run

    # -- the files -----------------------------------------------------------------------------------------------

    def path(self, name: str) -> str:
        return self.root + name

    def change(self) -> Optional[dict[str, Any]]:
        """The change that waits, or None."""
        return self._load(CHANGE)

    def _load(self, name: str) -> Optional[dict[str, Any]]:
        try:
            return json.loads(read_text(self.path(name)))
        except FileNotFoundError:
            return None

    def write(self, name: str, text: str, mode: int) -> None:
        """Put a file of our own in place in one step; its folder is made where it is missing, for root alone."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), mode=0o755 if name == BOOT else 0o700, exist_ok=True)
        StagedFile(path, text, mode).commit()

    def remove(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(name))

    # -- a change ------------------------------------------------------------------------------------------------

    def arm(self, change: dict[str, Any]) -> None:
        """Note down a change before the kernel is touched:

        token     its name
        deadline  when it is taken back, in seconds since the boot (now())
        undo      [[argv, input], ...]: the commands that bring the kernel back, in their order
        moves     [[temporary file, file], ...]: the new files, on the disk already
        old       {file: text}: the files as they were
        marks     {file: mark(file)}: files that nobody else may write to in the meantime
        after     [argv, ...]: commands for when it is kept; what they say does not matter
        timer     the systemd unit that settles it, or ""
        """
        self.remove(OUTCOME)
        self.write(CHANGE, json.dumps(change), 0o600)

    def keep(self, change: dict[str, Any]) -> None:
        """Put the new files into place. GuardError, and everything as it was, where that cannot be done."""
        touched = [name for name, was in change["marks"].items() if mark(self.path(name)) != was]
        if touched:
            self.back(change, f"somebody else wrote to {' and '.join(touched)} while the change waited")
            raise GuardError(f"{self.outcome(change['token'])['why']}; the old ruleset is back: run the task again")
        try:
            self._decide(change["moves"])
            self.finish()
        except OSError as error:
            self._restore_files(change)
            self.back(change, f"ufw's files cannot be replaced: {error}")
            raise GuardError(f"ufw's files cannot be replaced: {error}; the old ruleset is back") from error
        self._close(change, KEPT, "")

    def _decide(self, moves: list[list[str]]) -> None:
        """Write the journal. The boot's drop-in comes first: the journal must never be there without it."""
        if not moves:
            return
        if os.path.isdir(self.path("/run/systemd/system")):
            tidy = f"rm -f {BOOT}; rmdir {os.path.dirname(BOOT)} 2>/dev/null"
            self.write(
                BOOT, f"[Service]\nExecStartPre=-/bin/sh -c '[ ! -e {JOURNAL} ] || sh {JOURNAL}; {tidy}'\n", 0o644
            )
        lines = ["#!/bin/sh", "# ufw's files of a change that is decided; written by bulkhead.tiers.ufw_ruleset."]
        for temporary, path in moves:
            lines.append("[ ! -e {0} ] || mv -f {0} {1}".format(shlex.quote(temporary), shlex.quote(path)))
        lines += [f"rm -f {JOURNAL} {BOOT}", f"rmdir {os.path.dirname(BOOT)} 2>/dev/null || true", ""]
        self.write(JOURNAL, "\n".join(lines), 0o700)

    def finish(self) -> bool:
        """Move the files of a decided change into place; whether there was one. The journal stays until the change is
        closed: as long as both are there, a kill must not lead to a rollback."""
        try:
            lines = read_text(self.path(JOURNAL)).splitlines()
        except FileNotFoundError:
            return False
        moves = [tuple(shlex.split(line)[-2:]) for line in lines if line.startswith("[ ")]
        for temporary, path in moves:
            if os.path.exists(temporary):
                os.rename(temporary, path)
        for folder in {os.path.dirname(path) for _temporary, path in moves}:
            _flush(folder)
        return True

    def _forget_decision(self) -> None:
        self.remove(JOURNAL)
        self.remove(BOOT)
        # What somebody was writing when he was killed.
        for name in (CHANGE, JOURNAL, BOOT):
            for path in glob.glob(self.path(os.path.dirname(name)) + "/.*.bulkhead"):
                os.unlink(path)
        with contextlib.suppress(OSError):  # others may have files of theirs in there
            os.rmdir(self.path(os.path.dirname(BOOT)))

    def _restore_files(self, change: dict[str, Any]) -> None:
        self._forget_decision()
        for path, text in change["old"].items():
            if read_text(self.path(path)) != text:
                StagedFile(self.path(path), text).commit()

    def back(self, change: dict[str, Any], why: str) -> None:
        """Bring the old kernel rules back and drop the new files. GuardError where iptables-restore refuses."""
        failed = []
        for argv, payload in change["undo"]:
            done = self._run(argv, payload)
            # Without a payload it is ufw's own stop, for its hooks: the payloads after it undo all of the rules.
            if done.status and payload:
                failed.append(f"{' '.join(argv)}: {(done.err + done.out).strip()} (status {done.status})")
        if failed:
            raise GuardError(
                "the old ruleset cannot be loaded: " + "; ".join(failed) + "; `ufw reload` loads the files"
            )
        for temporary, _path in change["moves"]:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        self._close(change, BACK, why)

    def _close(self, change: dict[str, Any], state: str, why: str) -> None:
        for argv in change["after"] if state == KEPT else ():
            with contextlib.suppress(FileNotFoundError):
                self._run(argv)
        self.write(OUTCOME, json.dumps({"token": change["token"], "state": state, "why": why}), 0o600)
        self.remove(CHANGE)
        # A drop-in may be there without a journal, where somebody was killed between the two.
        self._forget_decision()
        shutil.rmtree(self.path(TREE), ignore_errors=True)
        # Last: until here the timer would do what a killed process did not come to. A sleeping process wakes, sees
        # that the change is gone, and ends.
        if change["timer"]:
            self._run(["systemctl", "stop", change["timer"]])

    def settle(self, why: str, token: Optional[str] = None) -> Optional[str]:
        """Bring what a process left to an end: a decided change is finished, one that waits is taken back.
        KEPT or BACK; None where there was nothing. With a token, another change is left alone."""
        change = self.change()
        if change is not None and token not in (None, change["token"]):
            return None
        if self.finish():
            if change is not None:
                self._close(change, KEPT, "")
            else:
                self._forget_decision()
            return KEPT
        if change is None:
            self._forget_decision()
            return None
        self.back(change, why)
        return BACK

    # -- what became of it ---------------------------------------------------------------------------------------

    def outcome(self, token: Optional[str] = None) -> dict[str, str]:
        """{token, state, why} of the change that waits or the last one: WAITING, KEPT or BACK; else UNKNOWN."""
        change, last = self.change(), self._load(OUTCOME)
        if change is not None:
            last = {
                "token": change["token"],
                "state": WAITING,
                "why": f"until {change['deadline'] - now():.0f} s from now",
            }
        if last is None or token not in (None, last["token"]):
            return {"token": token or "", "state": UNKNOWN, "why": "no such change since the host was started"}
        return last


def main(words: list[str]) -> int:
    """The program: prints the outcome as one line of JSON; status 0 where it is what was asked for."""
    command, token = words[0] if words else "status", words[1] if len(words) > 1 else None
    wanted = {"status": None, "keep": KEPT, "back": BACK, "settle": BACK}
    if command not in wanted:
        sys.stderr.write("usage: guard.py status | keep [TOKEN] | back [TOKEN] | settle TOKEN [SECONDS]\n")
        return 2
    guard = Guard()
    if command == "settle" and len(words) > 2:
        time.sleep(float(words[2]))
    try:
        with locked(LOCK):
            change = guard.change()
            mine = change is not None and token in (None, change["token"])
            if command == "keep" and mine:
                guard.keep(change)
            elif command == "back" and mine:
                guard.settle("by hand", change["token"])
            elif command == "settle":
                guard.settle("no confirmation came over a new connection in time", token)
            answer = guard.outcome(token)
    except (GuardError, OSError) as error:
        answer = dict(guard.outcome(token), error=str(error))
    sys.stdout.write(json.dumps(answer) + "\n")
    # A failure has systemd start the timer's service again.
    return 1 if "error" in answer or (command in ("keep", "back") and answer["state"] != wanted[command]) else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
