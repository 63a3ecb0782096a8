# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan -> the host: test, stage, arm, load into the kernel, persist; on a failure everything is as it was.

The kernel goes first and the files last, so that a reboot in between comes back with the old ruleset. From ``arm`` on a
timer of the host brings the old ruleset back if this process does not come to an end. An apply that waits for a
confirmation ends after ``load``; whoever has come in over a new connection persists it (``guard.py keep``).
"""

from __future__ import annotations

import errno
import glob
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.keeper import archive, start_timer
from ansible_collections.bulkhead.tiers.plugins.module_utils.local import StagedFile, make_private
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import BUILTIN
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.drift import Repair
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import DEFAULTS, FRAMEWORK, Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import (
    CONF,
    INIT,
    RULES,
    SAVE,
    TREE,
    Change,
    Guard,
    GuardError,
    mark,
    now,
    restore_command,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import hook_chains
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import PREFIX
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import PROGRAM
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.tables import Part, Table, part_of, read_table

#: Seconds; the longest that an apply of thousands of rules takes: then nothing waits for it any more.
CRASH_TIMEOUT = 30
#: The modules that the program on the host is made of; the first one is run.
_PROGRAM = ("ufw.guard", "ufw.system", "ufw.tables", "ufw.edits", "packets.vocabulary", "local")

Repairs = Mapping[int, Repair]
Kernels = Mapping[int, Kernel]


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

    ``repairs`` are the payloads; ``before`` and ``after`` the kernel as it is and as they should make it. With ``start``
    ufw's own boot script loads the kernel instead (what it does beyond the rules is its own affair), and ``start`` gives
    the repairs that are left after it.
    """

    def __init__(
        self,
        host: Host,
        repairs: Repairs,
        files: dict[str, str],
        old_files: dict[str, str],
        before: Kernels,
        after: Kernels,
        start: Optional[Callable[[], Repairs]] = None,
    ) -> None:
        self.token = secrets.token_hex(4)
        self._host = host
        self._repairs = repairs
        self._start = start
        self._guard = Guard(host.root, host.run)
        self._change = Change(
            self.token,
            0.0,
            files=files,
            old={path: old_files[path] for path in files},
            parts=[part for family, fix in repairs.items() for part in parts_of(family, fix, before, after)],
            switch=start is not None,
        )

    def prepare(self) -> None:
        """What else can fail without a trace: whether the new files can be written."""
        try:
            self._sweep()
            for path, text in self._change.files.items():
                _require_room(self._host.path(path), len(text))
        except OSError as error:
            raise RulesetError(f"ufw's files cannot be written: {error}; nothing was changed") from error

    def arm(self, seconds: int, boot: list[list[str]]) -> None:
        """Have the host itself take the change back after so many seconds, whatever becomes of this process. ``boot`` are
        commands for when it is kept."""
        change = self._change
        watched = (CONF, DEFAULTS, *RULES.values(), *FRAMEWORK[4], *FRAMEWORK[6])
        try:
            if change.switch:
                self._build_tree()
            self._guard.write(PROGRAM, archive(_PROGRAM), 0o700)
            change.deadline = now() + seconds
            change.marks = {path: mark(self._host.path(path)) for path in dict.fromkeys((*watched, *change.files))}
            change.boot = boot
            change.timer = start_timer(
                "bulkhead-ufw-" + self.token, self._settle(), seconds, self._host.run, self._host.spawn, self._host.root
            )
            self._guard.arm(change)
        except OSError as error:
            raise RulesetError(f"the rollback cannot be prepared: {error}; nothing was changed") from error

    def load(self) -> None:
        """The rules into the kernel, a transaction for each family."""
        try:
            if self._start:
                self._boot()
            for family, fix in (self._start() if self._start else self._repairs).items():
                _start_restore(self._host, family, fix.payload)()
        except (RulesetError, OSError) as error:
            self.rollback(str(error))
            raise (
                error
                if isinstance(error, RulesetError)
                else RulesetError(f"the ruleset cannot be loaded: {error}; the old ruleset is in force")
            ) from error

    def wait(self, commands: list[list[str]], look: bool) -> None:
        """Note down commands to run as soon as the change is kept, and with ``look`` what the kernel holds now: whether
        that is still in force is asked before it is kept."""
        change = self._change
        change.after = commands
        if look:
            change.parts = self._look(change.parts)
            change.seen = True
        elif not commands:
            return
        try:
            self._guard.arm(change)
        except OSError as error:
            self.rollback(str(error))
            raise RulesetError(f"the change cannot wait: {error}; the old ruleset is in force") from error

    def _look(self, parts: list[Part]) -> list[Part]:
        started = [self._host.start([SAVE[part.family], "-t", part.table]) for part in parts]
        return [part.as_printed(read_table(end().out)) for part, end in zip(parts, started)]

    def persist(self) -> None:
        """The new files into place, and the timer off."""
        try:
            self._guard.keep(self._change)
        except GuardError as error:
            raise RulesetError(str(error)) from error
        why = self._guard.outcome(self.token).why
        if why:
            raise RulesetError(f"the new ruleset is in force and in the files, but the next boot is not set up: {why}")

    def rollback(self, why: str) -> None:
        """The old kernel, from the snapshot that the plan was made of; the files are the old ones still."""
        try:
            self._guard.back(self._change, why)
        except GuardError as error:
            raise RulesetError(f"{why}; and {error}") from error

    # -- steps ---------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Remove new files that a kill left behind; nothing waits, so nothing needs them."""
        for folder in sorted({os.path.dirname(path) for path in (CONF, DEFAULTS)}):
            for path in glob.glob(glob.escape(self._host.path(folder)) + "/.*.bulkhead"):
                os.unlink(path)

    def _settle(self) -> list[str]:
        return [sys.executable or "/usr/bin/python3", "-I", self._host.path(PROGRAM), "settle", self.token]

    def _build_tree(self) -> None:
        """Copies of ufw's files with the new ones among them, to start from: those in /etc stay the old ones."""
        tree = self._host.path(TREE)
        shutil.rmtree(tree, ignore_errors=True)
        for folder in ("", "/etc", "/etc/default"):
            make_private(tree + folder)
        shutil.copytree(self._host.path("/etc/ufw"), tree + "/etc/ufw", ignore=shutil.ignore_patterns(".*.bulkhead"))
        shutil.copy(self._host.path(DEFAULTS), tree + DEFAULTS)
        for path, text in self._change.files.items():
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


def parts_of(family: int, fix: Repair, before: Kernels, after: Kernels) -> list[Part]:
    """What a family's repair does, table by table, with what is there before and should be after."""
    parts = []
    for table in dict.fromkeys(section.table for section in fix.sections):
        ends = {name: hook_chains(PREFIX[family], name)[-1] for name in BUILTIN} if table == "filter" else {}
        part = part_of(family, [section for section in fix.sections if section.table == table], ends)
        old, new = (part.cut(_table(kernels[family], table)) for kernels in (before, after))
        parts.append(part._replace(old=old, new=new))
    return parts


def _table(kernel: Kernel, table: str) -> Table:
    found = {"filter": kernel, "security": kernel.security, **(kernel.others or {})}.get(table)
    return Table(found.policies, found.chains) if found else Table({}, {})


def _require_room(path: str, size: int) -> None:
    """OSError where a file cannot be replaced by one of this size, as far as that is seen without writing."""
    folder = os.path.dirname(os.path.realpath(path))
    for name in (folder, path):
        if not os.access(name, os.W_OK):
            raise PermissionError(errno.EROFS, "cannot be written (read-only, or immutable)", name)
    room = os.statvfs(folder)
    if room.f_bavail * room.f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)


def _start_restore(host: Host, family: int, payload: str, *options: str) -> Callable[[], None]:
    """Hand a payload to iptables-restore; what is returned waits for it, and raises a RulesetError where it refuses."""
    argv = [*restore_command(family), *options]
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
    lines = payload.split("\n")
    if not found or not 0 < int(found.group(1)) <= len(lines):
        return ""
    return f" ({lines[int(found.group(1)) - 1]})"
