# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of a change that outlives the module: keep it, take it back, or finish what a killed process left.

This file is part of the module and, with system.py, tables.py and edits.py, a program of its own. For a change it is copied to the
host as one archive, where a timer runs it when nothing has kept the change in time, and where an operator may run it:

    python3 /run/bulkhead/ufw/guard.py status | keep [TOKEN] | back [TOKEN] | settle TOKEN [SECONDS]

A change goes through two files. CHANGE, in /run, holds the new files and says how to bring the kernel back; a reboot
forgets it together with the kernel's rules, and starts from ufw's files, which are the old ones until the change is kept.
JOURNAL, beside ufw's files, is the decision to keep it: before it is there the files are the old ones, and from then on
they will be the new ones, whatever is killed: it is a shell script that moves them into place, and ufw.service runs it
first at the next boot. A change ends with one rename of CHANGE, which needs no room where /run is full.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import shlex
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import (
    ROOM,
    Result,
    Run,
    StagedFile,
    flush,
    make_private,
    now,
    read_text,
    remove,
    run_command,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import CHANGE, FOLDER, JOURNAL, locked
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.tables import (
    Part,
    Table,
    not_in_force,
    payload_to,
    read_table,
)

# ufw's files under another root, for `ufw-init --datadir`: ufw starts from them while those in /etc are still the old.
TREE = FOLDER + "/tree"
BOOT = "/etc/systemd/system/ufw.service.d/50-bulkhead-keep.conf"
CONF = "/etc/ufw/ufw.conf"
RULES = {4: "/etc/ufw/user.rules", 6: "/etc/ufw/user6.rules"}
INIT = "/lib/ufw/ufw-init"
#: Of an iptables with one lock for all programs: ours, for a rollback that does not get the common one.
_XTABLES_LOCK = FOLDER + "/xtables.lock"

KEPT, BACK, WAITING, UNKNOWN = "kept", "back", "waiting", "unknown"
#: What CHANGE becomes in the end.
FLOWS = FOLDER + "/flows"  # commands that are left to be run
OUTCOMES = {KEPT: FOLDER + "/kept.json", BACK: FOLDER + "/back.json"}

SAVE = {4: "iptables-save", 6: "ip6tables-save"}
RESTORE = {4: "iptables-restore", 6: "ip6tables-restore"}
#: How often a table is read and loaded until it is as wanted: others may write to it at the same moment.
_TRIES = 5
#: Seconds for cutting flows under ufw's lock, and for those that are left then.
_CUTTING, _CUT_LATER = 0.5, 600
#: Seconds between the tries of a rollback that fails, at most.
_LONGEST_PAUSE = 60.0
_TOKEN = "# change "
_ENABLED = re.compile(r'^ENABLED="?yes', re.IGNORECASE | re.MULTILINE)


class GuardError(Exception):
    """A change cannot be kept or taken back; the message is for the operator as it is."""


@dataclass
class Change:
    """A change that waits, as it stands in CHANGE.

    token: its name. deadline: when it is taken back, in seconds since the boot (now()). files, old: {file: text}, as they
    will be and as they were. marks: {file: mark(file)} of the files that no one else may write to in the meantime. parts:
    what it does to the kernel; seen: whether they hold what the kernel printed afterwards. switch: whether ufw's own
    start loaded it, from TREE. after: commands for when it is kept; what they say does not matter. boot: likewise, for
    the next boot; what they say does. timer: the systemd unit that settles it, or "".
    """

    token: str
    deadline: float
    files: dict[str, str] = field(default_factory=dict)
    old: dict[str, str] = field(default_factory=dict)
    marks: dict[str, list[int]] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    seen: bool = False
    switch: bool = False
    after: list[list[str]] = field(default_factory=list)
    boot: list[list[str]] = field(default_factory=list)
    timer: str = ""

    def to_text(self) -> str:
        return json.dumps({**vars(self), "parts": [part.to_dict() for part in self.parts]})

    @classmethod
    def from_text(cls, text: str) -> Change:
        values = json.loads(text)
        return cls(**{**values, "parts": [Part.from_dict(part) for part in values["parts"]]})


@dataclass
class Outcome:
    """What became of a change, as the program prints it. state: WAITING, KEPT, BACK or UNKNOWN. error: why the program
    could not do what it was asked to."""

    token: str
    state: str
    why: str = ""
    error: str = ""

    def to_text(self) -> str:
        """One line of JSON."""
        return json.dumps({name: value for name, value in asdict(self).items() if value or name != "error"})


def mark(path: str) -> list[int]:
    """What differs after a file was written to, if only with the same text as before."""
    found = os.stat(path)
    return [found.st_ino, found.st_mtime_ns, found.st_size]


def restore_command(family: int) -> list[str]:
    """iptables-restore without a flush."""
    # -w: the legacy backend has one lock for all programs; wait for it instead of failing.
    return [RESTORE[family], "-n", "-w", "10"]


class Guard:
    """The change of one host. Every method but ``change`` and ``outcome`` wants the locks to be held."""

    def __init__(self, root: str = "", run: Run = run_command) -> None:
        self.root = root
        self._run = run

    # -- the files -----------------------------------------------------------------------------------------------

    def path(self, name: str) -> str:
        return self.root + name

    def change(self) -> Optional[Change]:
        """The change that waits, or None; GuardError where it is not understood."""
        try:
            return Change.from_text(read_text(self.path(CHANGE)))
        except FileNotFoundError:
            return None
        except (KeyError, TypeError, ValueError) as error:
            raise GuardError(f"{CHANGE} is not understood, such as that of another version: {error!r}") from error

    def write(self, name: str, text: Union[str, bytes], mode: int) -> None:
        """Put a file of our own in place in one step; its folder is made where it is missing."""
        path = self.path(name)
        if name.startswith(FOLDER):
            for folder in (ROOM, FOLDER):
                make_private(self.path(folder))
        elif not os.path.isdir(os.path.dirname(path)):
            os.makedirs(os.path.dirname(path))
            os.chmod(os.path.dirname(path), 0o755)
        StagedFile(path, text, mode).commit()

    def remove(self, *names: str) -> None:
        for name in names:
            remove(self.path(name))

    # -- a change ------------------------------------------------------------------------------------------------

    def arm(self, change: Change) -> None:
        """Note down a change before the kernel is touched, and again as more is known of it."""
        self.remove(*OUTCOMES.values())
        self.write(CHANGE, change.to_text(), 0o600)

    def keep(self, change: Change) -> None:
        """Put the new files into place, or go on with that. GuardError, and everything as it was, where that cannot be
        done."""
        resumed = self._is_decided(change)
        found = "" if resumed else self._why_not(change)
        if found:
            self.back(change, found)
            raise GuardError(f"{found}; the old ruleset is back: run the task again")
        try:
            if not resumed:
                self._decide(change)
            self._move()
        except OSError as error:
            self._restore_files(change)
            self.back(change, f"ufw's files cannot be replaced: {error}", others=[])
            raise GuardError(f"ufw's files cannot be replaced: {error}; the old ruleset is back") from error
        if resumed or change.seen:
            # Others may have loaded the old files until they were replaced.
            self._bring(change, back=False)
        self._close(change, KEPT, self._for_the_boot(change))

    def _why_not(self, change: Change) -> str:
        """What others have done to the files or to the kernel, so that it is not this change that was confirmed."""
        touched = self._written_by_others(change)
        if touched:
            return f"another program wrote to {' and '.join(touched)} while the change waited"
        if not change.seen:
            return ""
        lost = [
            f"IPv{part.family} {name}"
            for part in change.parts
            for name in not_in_force(part, self._read(part.family, part.table))
        ]
        if not lost:
            return ""
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        return (
            "another program changed the kernel's rules while the change waited, such as a restart of ufw: the new ones "
            f"are not in force ({', '.join(lost[:3])}{more})"
        )

    def _written_by_others(self, change: Change) -> list[str]:
        return [name for name, was in change.marks.items() if _mark_or_none(self.path(name)) != was]

    def _is_decided(self, change: Optional[Change]) -> bool:
        """Whether the journal is there; with a change, whether it is this one's."""
        try:
            text = read_text(self.path(JOURNAL))
        except FileNotFoundError:
            return False
        return change is None or f"\n{_TOKEN}{change.token}\n" in text

    def _decide(self, change: Change) -> None:
        """Write the new files beside the old ones, and the journal. The boot's drop-in comes first: nothing of the rest
        must ever be there without it."""
        if not change.files:
            return
        if os.path.isdir(self.path("/run/systemd/system")):
            self.write(BOOT, _boot_text(sorted({os.path.dirname(name) for name in change.files})), 0o644)
        lines = ["#!/bin/sh", "# ufw's files of a change that is decided; written by bulkhead.tiers.ufw_ruleset."]
        lines.append(_TOKEN + change.token)
        for name, text in change.files.items():
            staged = StagedFile(self.path(name), text)
            temporary = shlex.quote(str(staged.temporary))
            lines.append(f"[ ! -e {temporary} ] || mv -f {temporary} {shlex.quote(staged.path)}")
        lines += [f"rm -f {JOURNAL} {BOOT}", f"rmdir {os.path.dirname(BOOT)} 2>/dev/null || true", ""]
        self.write(JOURNAL, "\n".join(lines), 0o700)

    def _move(self) -> bool:
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
            flush(folder)
        return True

    def _for_the_boot(self, change: Change) -> str:
        """Run what makes the next boot load the ruleset; what went wrong."""
        for argv in change.boot:
            done = self._run_any(argv)
            if done.status:
                return f"`{' '.join(argv)}` failed: {(done.err + done.out).strip()}"
        return ""

    def _forget_decision(self, change: Optional[Change] = None) -> None:
        self.remove(JOURNAL, BOOT)
        # What was being written when a process was killed.
        folders = {os.path.dirname(name) for name in (CHANGE, JOURNAL, BOOT, *(change.files if change else ()))}
        for folder in folders:
            for path in glob.glob(glob.escape(self.path(folder)) + "/.*.bulkhead"):
                remove(path)
        folder = self.path(os.path.dirname(BOOT))
        if os.path.isdir(folder):
            with contextlib.suppress(OSError):  # others may have files of theirs in there
                os.rmdir(folder)

    def _restore_files(self, change: Change) -> None:
        self._forget_decision(change)
        for name, text in change.old.items():
            if read_text(self.path(name)) != text:
                StagedFile(self.path(name), text).commit()

    def back(self, change: Change, why: str, others: Optional[list[str]] = None) -> None:
        """Bring the old kernel rules back; the files are the old ones still. GuardError where iptables-restore refuses.

        Files that others have written meanwhile (``others``) are right: where ufw was switched off it stays off, and what
        they loaded stays loaded.
        """
        others = self._written_by_others(change) if others is None else others
        enabled = bool(_ENABLED.search(self._conf()))
        if change.switch:
            # ufw's own stop is for its hooks; what is loaded after it undoes all of the rules.
            self._run([INIT, "--datadir", self.path(TREE), "stop"])
        if enabled and (change.switch or self._is_flushed()):
            self._start_ufw()
        elif change.switch:
            self._bring(change, back=True)
        elif enabled or not others:
            self._bring(change, back=True, leave=bool(others))
            self._load_rules_of_others(others)
        self._close(change, BACK, why)

    def _is_flushed(self) -> bool:
        """Whether nothing leads to ufw's rules any more, of this change or not: another program has flushed the table."""
        chains = self._read(4, "filter").chains
        return "ufw-user-input" not in chains or "-j ufw-before-input" not in chains["INPUT"]

    def _start_ufw(self) -> None:
        """ufw's own start, from its files; what is left of it is stopped first. All is open by then already."""
        self._run([INIT, "stop"])
        done = self._run([INIT, "start"])
        if done.status:
            raise GuardError(f"`{INIT} start` failed (status {done.status}): {(done.err + done.out).strip()}")

    def _conf(self) -> str:
        try:
            return read_text(self.path(CONF))
        except OSError:
            return ""

    def _load_rules_of_others(self, others: Iterable[str]) -> None:
        """ufw's own commands write a rule to the file and to the kernel; the kernel's was undone with the rest."""
        for family, name in RULES.items():
            if name not in others or f"{_prefix(family)}-user-input" not in self._read(family, "filter").chains:
                continue
            done = self._restore(family, read_text(self.path(name)))
            if done.status:
                raise GuardError(f"{name} cannot be loaded: {done.err.strip()} (status {done.status})")

    def _close(self, change: Change, state: str, why: str) -> None:
        if state == KEPT:
            self._cut(change.after)
        self.remove(*OUTCOMES.values())
        # In one step, and with no need of room.
        os.rename(self.path(CHANGE), self.path(OUTCOMES[state]))
        with contextlib.suppress(OSError):
            self.write(OUTCOMES[state], Outcome(change.token, state, why).to_text(), 0o600)
        # A drop-in may be there without a journal, where a process was killed between the two.
        self._forget_decision(change)
        shutil.rmtree(self.path(TREE), ignore_errors=True)
        # Last: until here the timer would do what a killed process did not come to. A sleeping process wakes, sees
        # that the change is gone, and ends.
        if change.timer:
            self._run_any(["systemctl", "stop", change.timer])

    def _cut(self, commands: list[list[str]]) -> None:
        """Run the commands that cut flows: as many as fit into a moment, for each looks at the kernel's whole table, and the
        rest when this process has given ufw's lock back."""
        end = time.monotonic() + _CUTTING
        for place, argv in enumerate(commands):
            if time.monotonic() > end:
                lines = [shlex.join(argv) for argv in commands[place:]]
                with contextlib.suppress(OSError):
                    self.write(FLOWS, "\n".join([*lines, f"rm -f {self.path(FLOWS)}", ""]), 0o600)
                    self._run_any(
                        ["sh", "-c", f"setsid timeout {_CUT_LATER} sh {self.path(FLOWS)} >/dev/null 2>&1 </dev/null &"]
                    )
                return
            self._run_any(argv)

    def settle(self, why: str, token: Optional[str] = None) -> Optional[str]:
        """Bring what a process left to an end: a decided change is finished, one that waits is taken back.
        KEPT or BACK; None where there was nothing. With a token, another change is left alone."""
        change = self.change()
        if change is None:
            decided = self._move()
            self._forget_decision()
            return KEPT if decided else None
        if token not in (None, change.token):
            return None
        if self._is_decided(change):
            self.keep(change)
            return KEPT
        self.back(change, why)
        return BACK

    # -- the kernel ----------------------------------------------------------------------------------------------

    def _bring(self, change: Change, back: bool, leave: bool = False) -> None:
        """Take the kernel to the old ruleset or the new one; GuardError where iptables-restore refuses."""
        failed = []
        for part in change.parts:
            done = Result(0, "", "")
            for number in range(_TRIES):
                payload = payload_to(part, self._read(part.family, part.table), back, change.seen, leave)
                # Without a look at it, the new rules are not known as the kernel prints them: once is enough.
                if not payload or (number and not done.status and not back and not change.seen):
                    break
                done = self._restore(part.family, payload)
            if done.status:
                failed.append(f"IPv{part.family}: {(done.err + done.out).strip()} (status {done.status})")
        if failed:
            which = "old" if back else "new"
            raise GuardError(f"the {which} ruleset cannot be loaded: {'; '.join(failed)}; `ufw reload` loads the files")

    def _read(self, family: int, table: str) -> Table:
        done = self._run([SAVE[family], "-t", table])
        if done.status and table == "filter":
            raise GuardError(f"{SAVE[family]} failed: {done.err.strip()} (status {done.status})")
        return read_table("" if done.status else done.out)

    def _restore(self, family: int, payload: str) -> Result:
        done = self._run(restore_command(family), payload)
        if done.status and "xtables lock" in done.err:
            # A file that any user can open, and so lock, where another program has made it with a mode of its own.
            own = [f"XTABLES_LOCKFILE={self.path(_XTABLES_LOCK)}", *restore_command(family)]
            done = self._run(["env", *own], payload)
        return done

    def _run_any(self, argv: list[str]) -> Result:
        try:
            return self._run(argv)
        except Exception as error:  # pylint: disable=broad-except  # a missing command has a type of its own in a Host
            return Result(127, "", str(error))

    # -- what became of it ---------------------------------------------------------------------------------------

    def outcome(self, token: Optional[str] = None) -> Outcome:
        """What became of the change that waits, or of the last one."""
        change = self.change()
        if change is not None:
            last = Outcome(change.token, WAITING, f"until {change.deadline - now():.0f} s from now")
        else:
            last = next(filter(None, map(self._last, OUTCOMES)), Outcome("", UNKNOWN))
        if last.state == UNKNOWN or token not in (None, last.token):
            return Outcome(token or "", UNKNOWN, "no such change since the host was started")
        return last

    def _last(self, state: str) -> Optional[Outcome]:
        try:
            values: dict[str, Any] = json.loads(read_text(self.path(OUTCOMES[state])))
        except FileNotFoundError:
            return None
        # The change itself, where there was no room for its outcome.
        return Outcome(values["token"], state, values.get("why", ""))


def _prefix(family: int) -> str:
    return "ufw" if family == 4 else "ufw6"


def _mark_or_none(path: str) -> Optional[list[int]]:
    try:
        return mark(path)
    except FileNotFoundError:
        return None


def _boot_text(folders: list[str]) -> str:
    """The drop-in: at the boot, finish what was decided, and remove what was not."""
    leftovers = " ".join(f"{folder}/.*.bulkhead" for folder in folders)
    tidy = f"rm -f {BOOT} {leftovers}; rmdir {os.path.dirname(BOOT)} 2>/dev/null"
    return f"[Service]\nExecStartPre=-/bin/sh -c '[ ! -e {JOURNAL} ] || sh {JOURNAL}; {tidy}'\n"


def main(words: list[str]) -> int:
    """The program: prints the outcome as one line of JSON; status 0 where it is what was asked for."""
    command, token = words[0] if words else "status", words[1] if len(words) > 1 else None
    if command not in ("status", "keep", "back", "settle"):
        sys.stderr.write("usage: guard.py status | keep [TOKEN] | back [TOKEN] | settle TOKEN [SECONDS]\n")
        return 2
    if command == "settle":
        time.sleep(float(words[2]) if len(words) > 2 else 0)
    pause = 1.0
    while True:
        answer = _act(command, token)
        if command != "settle" or not answer.error:
            break
        # Whatever kept it from rolling back, the host may be cut off until it has.
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)
    sys.stdout.write(answer.to_text() + "\n")
    wanted = {"keep": KEPT, "back": BACK}.get(command, answer.state)
    return 1 if answer.error or answer.state != wanted else 0


def _act(command: str, token: Optional[str]) -> Outcome:
    guard = Guard()
    try:
        if command == "status":
            return guard.outcome(token)
        # A rollback does not wait for a lock for ever: what must not be there is in force meanwhile.
        with locked(insist=command in ("back", "settle")):
            change = guard.change()
            mine = change is not None and token in (None, change.token)
            if change is not None and mine and command == "keep":
                guard.keep(change)
            elif change is not None and mine and command == "back":
                guard.settle("by hand", change.token)
            elif command == "settle" or change is None:
                # Without a change too: a process may have been killed between its end and the removal of the journal.
                guard.settle("no confirmation came over a new connection in time", token)
            return guard.outcome(token)
    except (GuardError, OSError) as error:
        try:
            answer = guard.outcome(token)
        except GuardError:
            answer = Outcome(token or "", UNKNOWN)
        answer.error = str(error)
        return answer
