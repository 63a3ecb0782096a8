# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ufw's files, its lock, and the commands: everything that touches the host goes through ``Host``.

Tests give it another root and another runner; nothing else knows where the host is.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import (
    Result,
    StagedFile,
    read_text,
    spawn_process,
    start_command,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import LOCK, LOCK_TIMEOUT, OWN_LOCK, holding

RULES = {4: "/etc/ufw/user.rules", 6: "/etc/ufw/user6.rules"}
FRAMEWORK = {
    4: ("/etc/ufw/before.rules", "/etc/ufw/after.rules"),
    6: ("/etc/ufw/before6.rules", "/etc/ufw/after6.rules"),
}
BEFORE_INIT = "/etc/ufw/before.init"
INIT_HOOKS = (BEFORE_INIT, "/etc/ufw/after.init")
DEFAULTS = "/etc/default/ufw"
CONF = "/etc/ufw/ufw.conf"
PROFILES = "/etc/ufw/applications.d"
INIT = "/lib/ufw/ufw-init"

_PACKAGES = {"ufw": "ufw", INIT: "ufw", "conntrack": "conntrack", "ip": "iproute2", "systemd-run": "systemd"}

# The same lines that ufw reads (later ones win, as in the shell, which reads the file at boot).
_SETTING = re.compile(r'^(\w+)="?(\w+)"?')

#: What the shell of ufw's start compares to the letter.
_PLAIN: dict[str, tuple[str, ...]] = {"ENABLED": ("yes", "YES"), "IPV6": ("yes", "YES")}
_PLAIN.update({f"DEFAULT_{way}_POLICY": ("ACCEPT", "DROP", "REJECT") for way in ("INPUT", "OUTPUT", "FORWARD")})
_ASSIGNMENT = re.compile(
    r"""\s*(?:export\s+)?(\w+)=("[^"$`\\]*"|'[^']*'|[^\s#;&|<>()"'$`\\]*)\s*(?:;\s*)?(?:(?<=\s)#.*)?$"""
)


class Host:
    """The files and commands of one host. ``root`` is prefixed to every path; ``held`` are the locks that are held now."""

    def __init__(self, root: str = "") -> None:
        self.root = root
        self.held: set[str] = set()

    # -- files -------------------------------------------------------------------------------------------------------

    def path(self, name: str) -> str:
        """Where a file of the host is."""
        return self.root + name

    def read(self, name: str) -> str:
        """The text of a file; RulesetError where it cannot be read."""
        try:
            return read_text(self.path(name))
        except FileNotFoundError as error:
            raise RulesetError(
                f"{name} does not exist, so that ufw is not installed completely; install the package "
                "ufw, or restore the file from /usr/share/ufw"
            ) from error
        except OSError as error:
            raise RulesetError(f"{name} cannot be read: {error}; run the task as root (become: true)") from error

    def exists(self, name: str) -> bool:
        return os.path.exists(self.path(name))

    def interfaces(self) -> list[str]:
        """The names of the host's network interfaces."""
        folder = self.path("/sys/class/net")
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []

    def executable(self, name: str) -> bool:
        return os.access(self.path(name), os.X_OK)

    def stage(self, name: str, text: str) -> StagedFile:
        """Write the new text beside the file, safely on the disk, ready to take its place in one step."""
        return StagedFile(self.path(name), text)

    # -- the lock ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other runs of ours out, and not ufw: our own lock, for as long as a run takes."""
        with self._holding(OWN_LOCK):
            yield

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold ufw's lock, and ours. What is read under it is a whole, and what is changed under it is not lost: ufw itself
        reads before it takes it, which loses updates."""
        with self._holding(OWN_LOCK), self._holding(LOCK):
            yield

    @contextlib.contextmanager
    def _holding(self, name: str) -> Iterator[None]:
        # A process gives a lock back that it takes twice when it closes the file for the first time.
        if name in self.held:
            yield
            return
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(holding(name, self.root, LOCK_TIMEOUT))
            except TimeoutError as error:
                found = str(error.filename)[len(self.root) :]
                raise RulesetError(
                    f"{found} is held by another process for {LOCK_TIMEOUT:.0f} s; `fuser -v {found}` shows it"
                ) from error
            except OSError as error:
                raise RulesetError(
                    f"the lock of ufw cannot be taken: {error}; run the task as root (become: true)"
                ) from error
            self.held.add(name)
            stack.callback(self.held.discard, name)
            yield

    # -- commands ----------------------------------------------------------------------------------------------------

    def run(self, argv: list[str], stdin: str = "") -> Result:
        """Run a command; a missing one is a RulesetError, a failing one is the caller's to judge."""
        return self.start(argv, stdin)()

    def start(self, argv: list[str], stdin: str = "") -> Callable[[], Result]:
        """``run`` in two halves: what is returned waits for the command's end."""
        try:
            return start_command(argv, stdin)
        except FileNotFoundError as error:
            raise RulesetError(
                f"the command {argv[0]} is missing; install the package {_PACKAGES.get(argv[0], 'iptables')}"
            ) from error

    def spawn(self, argv: list[str]) -> None:
        """Start a process that outlives this one, its session and the connection."""
        spawn_process(argv)


def read_settings(text: str) -> dict[str, str]:
    """The settings of a ``NAME=value`` file, values in lower case as ufw takes them."""
    settings = {}
    for line in text.splitlines():
        found = _SETTING.match(line)
        if found:
            settings[found.group(1)] = found.group(2).lower()
    return settings


class ShellSettings(NamedTuple):
    """``odd``: settings that ufw's commands take and its start, a shell, reads otherwise, with what it reads; "" where
    that is not known. ``no_setting``: the numbers of lines that set nothing, where that shell ends."""

    odd: dict[str, str]
    no_setting: list[int]


def shell_settings(text: str) -> ShellSettings:
    """A settings file of ufw as its start reads it."""
    values: dict[str, str] = {}
    no_setting = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _ASSIGNMENT.match(line)
        name = found.group(1) if found else line.replace("export ", "", 1).strip().partition("=")[0]
        if not re.fullmatch(r"[A-Za-z_]\w*", name) or "=" not in line:
            no_setting.append(number)
        elif name in _PLAIN:
            values[name] = found.group(2).strip("'\"") if found else ""
    meant = read_settings(text)
    odd = {
        name: value
        for name, value in values.items()
        if value not in _PLAIN[name] and (name not in ("ENABLED", "IPV6") or meant.get(name) == "yes")
    }
    odd.update({name: value for name, value in values.items() if value in ("yes", "YES") and meant.get(name) != "yes"})
    return ShellSettings(odd, no_setting)


def edit_settings(text: str, values: dict[str, str]) -> str:
    """Set values in a ``NAME=value`` file: each line of a name is rewritten, a missing one is added, the rest stays."""
    lines = text.splitlines(keepends=True)
    for name, value in values.items():
        new = f"{name}={value}\n"
        found = False
        for index, line in enumerate(lines):
            if line.startswith(name + "="):
                lines[index] = new
                found = True
        if not found:
            if lines and not lines[-1].endswith("\n"):
                lines[-1] += "\n"
            lines.append(new)
    return "".join(lines)
