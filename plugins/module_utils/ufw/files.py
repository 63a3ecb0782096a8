# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""ufw's files, its lock, and the commands: everything that touches the host goes through ``Host``.

Tests give it another root and another runner; nothing else knows where the host is.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

from .errors import RulesetError

RULES = {4: "/etc/ufw/user.rules", 6: "/etc/ufw/user6.rules"}
FRAMEWORK = {
    4: ("/etc/ufw/before.rules", "/etc/ufw/after.rules"),
    6: ("/etc/ufw/before6.rules", "/etc/ufw/after6.rules"),
}
INIT_HOOKS = ("/etc/ufw/before.init", "/etc/ufw/after.init")
DEFAULTS = "/etc/default/ufw"
CONF = "/etc/ufw/ufw.conf"
PROFILES = "/etc/ufw/applications.d"
LOCK = "/run/ufw.lock"

# ufw holds its lock for one command; a reload takes up to 3 s on a small machine.
_LOCK_TIMEOUT = 30.0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# The same lines that ufw reads (later ones win, as in the shell, which reads the file at boot).
_SETTING = re.compile(r'^(\w+)="?(\w+)"?')


class Result(NamedTuple):
    """A finished command: exit status, output, errors."""

    status: int
    out: str
    err: str


class Host:
    """The files and commands of one host. ``root`` is prefixed to every path."""

    def __init__(self, root: str = "") -> None:
        self.root = root

    # -- files -------------------------------------------------------------------------------------------------------

    def path(self, name: str) -> str:
        """Where a file of the host is."""
        return self.root + name

    def read(self, name: str) -> str:
        """The text of a file; RulesetError where it cannot be read."""
        try:
            with open(self.path(name), encoding="utf-8", errors="surrogateescape") as stream:
                return stream.read()
        except FileNotFoundError as error:
            raise RulesetError(
                f"{name} does not exist, so that ufw is not installed completely; install the package "
                "ufw, or restore the file from /usr/share/ufw"
            ) from error
        except OSError as error:
            raise RulesetError(f"{name} cannot be read: {error}; run the task as root (become: true)") from error

    def exists(self, name: str) -> bool:
        return os.path.exists(self.path(name))

    def executable(self, name: str) -> bool:
        return os.access(self.path(name), os.X_OK)

    def stage(self, name: str, text: str) -> StagedFile:
        """Write the new text beside the file, safely on the disk, ready to take its place in one step."""
        return StagedFile(self.path(name), text)

    # -- the lock ----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold ufw's own lock. Taken before anything is read: ufw itself reads first, which loses updates."""
        try:
            stream = os.fdopen(os.open(self.path(LOCK), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644), "w")
        except OSError as error:
            raise RulesetError(f"{LOCK} cannot be opened: {error}; run the task as root (become: true)") from error
        with stream:
            end = time.monotonic() + _LOCK_TIMEOUT
            while True:
                try:
                    fcntl.lockf(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if time.monotonic() > end:
                        raise RulesetError(
                            f"{LOCK} is held by another process for {_LOCK_TIMEOUT:.0f} s; `fuser -v {LOCK}` shows it"
                        ) from error
                    time.sleep(0.05)
            yield

    # -- commands ----------------------------------------------------------------------------------------------------

    def run(self, argv: list[str], stdin: str = "") -> Result:
        """Run a command; a missing one is a RulesetError, a failing one is the caller's to judge."""
        environment = dict(os.environ, PATH=_PATH, LC_ALL="C")
        try:
            done = subprocess.run(
                argv, input=stdin.encode("utf-8", "surrogateescape"), capture_output=True, env=environment, check=False
            )
        except FileNotFoundError as error:
            raise RulesetError(
                f"the command {argv[0]} is missing; install the package {'ufw' if argv[0] == 'ufw' else 'iptables'}"
            ) from error
        return Result(
            done.returncode, done.stdout.decode("utf-8", "surrogateescape"), done.stderr.decode("utf-8", "replace")
        )


class StagedFile:
    """The new text of a file, on the disk under another name in the same folder."""

    def __init__(self, path: str, text: str) -> None:
        self._path = os.path.realpath(path)
        self._temporary: str | None = None
        folder = os.path.dirname(self._path)
        handle, self._temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", suffix=".bulkhead", dir=folder)
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(text.encode("utf-8", "surrogateescape"))
                stream.flush()
                old = os.stat(self._path)
                os.fchown(stream.fileno(), old.st_uid, old.st_gid)
                os.fchmod(stream.fileno(), old.st_mode & 0o7777)
                os.fsync(stream.fileno())
        except BaseException:
            self.discard()
            raise

    def commit(self) -> None:
        """Put the new file in the place of the old one; the folder is flushed too, so that it survives a power cut."""
        if self._temporary is None:
            return
        os.rename(self._temporary, self._path)
        self._temporary = None
        folder = os.open(os.path.dirname(self._path), os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def discard(self) -> None:
        """Remove the new text, if it has not been committed."""
        if self._temporary is not None:
            os.unlink(self._temporary)
            self._temporary = None


def read_settings(text: str) -> dict[str, str]:
    """The settings of a ``NAME=value`` file, values in lower case as ufw takes them."""
    settings = {}
    for line in text.splitlines():
        found = _SETTING.match(line)
        if found:
            settings[found.group(1)] = found.group(2).lower()
    return settings


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


def filter_section(text: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The ``*filter`` part of a rules file: (declared chains, [(chain, specification)]); other tables are skipped."""
    chains: list[str] = []
    rules: list[tuple[str, str]] = []
    inside = False
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("*"):
            inside = line == "*filter"
        elif not inside or not line or line.startswith("#"):
            continue
        elif line == "COMMIT":
            inside = False
        elif line.startswith(":"):
            chains.append(line[1:].split()[0])
        elif line.startswith(("-A ", "--append ")):
            chain, _space, specification = line.split(None, 1)[1].partition(" ")
            rules.append((chain, specification.strip()))
        elif line.startswith(("-I ", "--insert ")):
            chain, _space, specification = line.split(None, 1)[1].partition(" ")
            number, _space, rest = specification.partition(" ")
            rules.insert(_insert_position(rules, chain, number), (chain, rest if number.isdigit() else specification))
    return chains, rules


def _insert_position(rules: list[tuple[str, str]], chain: str, number: str) -> int:
    """Where `-I CHAIN [NUMBER]` puts a rule in the list of all chains' rules."""
    wanted = int(number) if number.isdigit() else 1
    places = [index for index, (name, _rule) in enumerate(rules) if name == chain]
    return places[wanted - 1] if wanted <= len(places) else len(rules)
