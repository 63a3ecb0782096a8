# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan -> the host: test, stage, arm, load into the kernel, persist; on a failure everything is as it was.

The kernel goes first and the files last, so that a reboot in between comes back with the old ruleset. From ``arm`` on a
timer of the host brings the old ruleset back if this process does not come to an end. An apply that waits for a
confirmation ends after ``load``; whoever has come in over a new connection persists it (``guard.py keep``).
"""

from __future__ import annotations

import glob
import inspect
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import guard as guard_program
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.drift import Repair
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import CONF, DEFAULTS, INIT, RULES, Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import (
    PROGRAM,
    TREE,
    Guard,
    GuardError,
    StagedFile,
    mark,
    now,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import RESTORE

# The longest that an apply of thousands of rules takes; then nobody waits for it any more.
CRASH_TIMEOUT = 30

Repairs = Mapping[int, Repair]


def start_test(host: Host, repairs: Repairs) -> Callable[[], None]:
    """Start iptables' own check of every payload, which changes nothing; what is returned waits for it, and raises a
    RulesetError where one is refused."""
    started = [_start_restore(host, family, fix.payload, "--test") for family, fix in repairs.items()]

    def end() -> None:
        for wait in started:
            wait()

    return end


class Transaction:
    """One change of the kernel and the files. Call prepare, arm, load, persist in this order; rollback at any time.

    ``repairs`` are the payloads that load and undo; with ``start`` ufw's own boot script loads the kernel instead (what
    it does beyond the rules is its own affair), and ``start`` gives the repairs that are left after it.
    """

    def __init__(
        self,
        host: Host,
        repairs: Repairs,
        files: dict[str, str],
        old_files: dict[str, str],
        start: Optional[Callable[[], Repairs]] = None,
    ) -> None:
        self.token = secrets.token_hex(4)
        self.after: list[list[str]] = []
        self._host = host
        self._repairs = repairs
        self._files = files
        self._old_files = old_files
        self._start = start
        self._guard = Guard(host.root, host.run)
        self._staged: list[StagedFile] = []
        self._change: Optional[dict] = None

    def prepare(self) -> None:
        """What else can fail without a trace: the new files, on the disk."""
        try:
            self._sweep()
            for path, text in self._files.items():
                self._staged.append(self._host.stage(path, text))
        except OSError as error:
            self._discard()
            raise RulesetError(f"ufw's files cannot be written: {error}; nothing was changed") from error

    def arm(self, seconds: int) -> None:
        """Have the host itself take the change back after so many seconds, whatever becomes of this process."""
        undo = self._undo(self._repairs)
        if self._start:
            undo.insert(0, [self._init("stop"), ""])
        try:
            if self._start:
                self._build_tree()
            self._guard.write(PROGRAM, inspect.getsource(guard_program), 0o700)
            change = {
                "token": self.token,
                "deadline": now() + seconds,
                "undo": undo,
                "moves": [[staged.temporary, staged.path] for staged in self._staged],
                "old": {path: self._old_files[path] for path in self._files},
                "marks": {
                    path: mark(self._host.path(path)) for path in (CONF, DEFAULTS, *RULES.values(), *self._files)
                },
                "after": self.after,
                "timer": self._timer(seconds),
            }
            self._guard.arm(change)
        except OSError as error:
            self._discard()
            raise RulesetError(f"the rollback cannot be prepared: {error}; nothing was changed") from error
        self._change = change

    def load(self) -> None:
        """The rules into the kernel, a transaction for each family."""
        loaded: Repairs = {}
        try:
            if self._start:
                loaded = self._repairs
                self._boot()
            for family, fix in (self._start() if self._start else self._repairs).items():
                if fix.payload.count("\nCOMMIT\n") > 1:
                    loaded = {**loaded, family: fix}  # of several transactions, some may be done when one fails
                _start_restore(self._host, family, fix.payload)()
                loaded = {**loaded, family: fix}
        except (RulesetError, OSError) as error:
            if not self._start:
                # A family that was refused, or not come to, is as it was: iptables-restore does all or nothing.
                self._change["undo"] = self._undo(loaded)
            self.rollback(str(error))
            raise (
                error
                if isinstance(error, RulesetError)
                else RulesetError(f"the ruleset cannot be loaded: {error}; the old ruleset is in force")
            ) from error

    def when_kept(self, commands: list[list[str]]) -> None:
        """Commands to run as soon as the change is kept."""
        if commands:
            self._change["after"] = commands
            self._guard.arm(self._change)

    def persist(self) -> None:
        """The new files into place, and the timer off."""
        try:
            self._guard.keep(self._change)
        except GuardError as error:
            raise RulesetError(str(error)) from error

    def rollback(self, why: str) -> None:
        """The old kernel, from the snapshot that the plan was made of; the files are the old ones still."""
        try:
            self._guard.back(self._change, why)
        except GuardError as error:
            raise RulesetError(f"{why}; and {error}") from error

    @staticmethod
    def _undo(repairs: Repairs) -> list[list]:
        return [[_restore(family), fix.undo] for family, fix in repairs.items() if fix.undo]

    # -- steps ---------------------------------------------------------------------------------------------------

    def _discard(self) -> None:
        for staged in self._staged:
            staged.discard()

    def _sweep(self) -> None:
        """Remove new files that a reboot or a kill left behind; nothing waits, so nobody needs them."""
        for folder in sorted({os.path.dirname(path) for path in (CONF, DEFAULTS)}):
            for path in glob.glob(self._host.path(folder) + "/.*.bulkhead"):
                os.unlink(path)

    def _timer(self, seconds: int) -> str:
        """Start the timer; the systemd unit that it is, or "" for a process of its own."""
        settle = [sys.executable or "/usr/bin/python3", "-I", self._host.path(PROGRAM), "settle", self.token]
        if self._host.exists("/run/systemd/system"):
            unit = "bulkhead-ufw-" + self.token
            # systemd's own accuracy is a minute. A rollback that somebody kills is started again.
            argv = ["systemd-run", "--quiet", "--collect", "--unit", unit, "--on-active", f"{seconds}s"]
            argv += ["--timer-property", "AccuracySec=100ms"]
            argv += ["--property", "Restart=on-failure", "--property", "RestartSec=1"]
            try:
                if not self._host.run([*argv, *settle]).status:
                    return unit + ".timer"
            except RulesetError:
                pass  # not every systemd host has the command; a process serves
        self._host.spawn([*settle, str(seconds)])
        return ""

    def _build_tree(self) -> None:
        """Copies of ufw's files with the new ones among them, to start from: those in /etc stay the old ones."""
        tree = self._host.path(TREE)
        shutil.rmtree(tree, ignore_errors=True)
        shutil.copytree(self._host.path("/etc/ufw"), tree + "/etc/ufw", ignore=shutil.ignore_patterns(".*.bulkhead"))
        os.makedirs(tree + "/etc/default")
        shutil.copy(self._host.path(DEFAULTS), tree + DEFAULTS)
        for path, text in self._files.items():
            StagedFile(tree + path, text).commit()

    def _boot(self) -> None:
        """ufw's own start."""
        argv = self._init("start")
        done = self._host.run(argv)
        if done.status:
            raise RulesetError(
                f"`{' '.join(argv)}` failed (status {done.status}): {(done.err + done.out).strip()}; "
                "ufw is off, and its files are as they were"
            )

    def _init(self, word: str) -> list[str]:
        return [INIT, "--datadir", self._host.path(TREE), word]


def _restore(family: int) -> list[str]:
    # -w: the legacy backend has one lock for all programs; wait for it instead of failing.
    return [RESTORE[family], "-n", "-w", "10"]


def _start_restore(host: Host, family: int, payload: str, *options: str) -> Callable[[], None]:
    """Hand a payload to iptables-restore; what is returned waits for it, and raises a RulesetError where it refuses."""
    argv = [*_restore(family), *options]
    wait = host.start(argv, payload)

    def end() -> None:
        done = wait()
        if done.status:
            raise RulesetError(
                f"{' '.join(argv)} refused the IPv{family} ruleset (status {done.status}): "
                f"{done.err.strip() or 'no message'}{_line_of(payload, done.err)}; the old ruleset is in force"
            )

    return end


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
