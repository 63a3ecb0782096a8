# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host as its snapshot has it (module_utils/ufw/snapshot.py): the code that reads a host reads this one instead.

A host may return anything. A snapshot is bounded and its shape checked before it is used; what it says decides about
nothing but what is said of that host.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import Profile
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import FRAMEWORK, RULES, Host, Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.snapshot import command_key

#: The most that is read of one host: characters when unpacked (20,000 rules of both families are 15 million), and lines
#: of rules of one file.
MOST_TEXT, MOST_RULES = 32_000_000, 100_000
#: The most lines of a hand-written file, and of those that put a rule somewhere else than at the end: each of them is
#: looked up among all others.
MOST_LINES, MOST_MOVES = 20_000, 1_000
#: Characters of a line of iptables-save: a rule with 15 ports, an ipset, a log's prefix and a comment (of 256) has some 700.
LONGEST_LINE = 8_192
#: The texts of a change that waits, and their longest.
_PENDING = {"token": 64, "keep": 200, "back": 200}


class NotRead(Exception):
    """The snapshot does not go deep enough."""


class Replay(Host):
    """The host of a snapshot. Nothing of it touches the controller's own files or runs a command."""

    def __init__(self, packed: Any) -> None:
        """RulesetError where it is no snapshot."""
        super().__init__()
        try:
            seen = _unpacked(packed)
            self._files = _texts(seen["files"])
            self._present, self._executable = _flags(seen["present"]), _flags(seen["executable"])
            self._commands = {key: _result(value) for key, value in _mapping(seen["commands"]).items()}
            self.profiles = {name: Profile(name, ports, why) for name, ports, why in map(_profile, seen["profiles"])}
            self.pending = _pending(seen["pending"])
        except (KeyError, TypeError, ValueError, RecursionError, zlib.error, binascii.Error) as error:
            raise RulesetError(
                f"the host returned no snapshot of its firewall: {type(error).__name__}: {error}"
            ) from error

    def path(self, name: str) -> str:
        raise NotRead(name)

    def read(self, name: str) -> str:
        return _found(self._files, name)

    def exists(self, name: str) -> bool:
        return _found(self._present, name)

    def executable(self, name: str) -> bool:
        return _found(self._executable, name)

    def interfaces(self) -> list[str]:
        raise NotRead("interfaces")

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        yield

    def start(self, argv: list[str], stdin: str = "") -> Callable[[], Result]:
        status, out, err = _found(self._commands, command_key(argv, stdin))
        if status is None:
            raise RulesetError(err)
        return lambda: Result(status, out, err)


def _found(known: Mapping[str, Any], name: str) -> Any:
    try:
        return known[name]
    except KeyError:
        raise NotRead(name) from None


def _unpacked(packed: Any) -> Mapping[str, Any]:
    if not isinstance(packed, str) or len(packed) > MOST_TEXT:
        raise ValueError("no text, or too long")
    reader = zlib.decompressobj()
    text = reader.decompress(base64.b64decode(packed, validate=True), MOST_TEXT)
    if reader.unconsumed_tail or not reader.eof:
        raise ValueError(f"more than {MOST_TEXT} characters, or cut off")
    return _mapping(json.loads(text))


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("no mapping")
    return value


def _texts(value: Any) -> Mapping[str, str]:
    texts = _mapping(value)
    for name, text in texts.items():
        if not isinstance(text, str):
            raise ValueError(f"{name[:80]!r} is no text")
        if name in RULES.values() and text.count("\n") > MOST_RULES:
            raise ValueError(f"{name} has more than {MOST_RULES} lines")
        if any(name in names for names in FRAMEWORK.values()):
            lines = text.split("\n")
            moves = sum(not line.lstrip().startswith(("-A", ":", "#", "*", "COMMIT")) for line in lines if line.strip())
            if len(lines) > MOST_LINES or moves > MOST_MOVES:
                raise ValueError(f"{name} has {len(lines)} lines, {moves} of them no plain rules")
    return texts


def _flags(value: Any) -> Mapping[str, bool]:
    flags = _mapping(value)
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise ValueError("no truth value")
    return flags


def _result(value: Any) -> tuple[int | None, str, str]:
    status, out, err = value
    if not (status is None or isinstance(status, int)) or not isinstance(out, str) or not isinstance(err, str):
        raise ValueError("no result of a command")
    if out.count("\n") > MOST_RULES:
        raise ValueError(f"a command printed more than {MOST_RULES} lines")
    if max(map(len, out.split("\n"))) > LONGEST_LINE:
        raise ValueError(f"a command printed a line of more than {LONGEST_LINE} characters")
    return status, out, err


def _profile(value: Any) -> tuple[str, tuple[tuple[str, str], ...], str]:
    name, pairs, problem = value
    ports = tuple((port, proto) for port, proto in pairs)
    if not all(isinstance(text, str) for text in (name, problem, *(text for pair in ports for text in pair))):
        raise ValueError("no application profile")
    return name, ports, problem


def _pending(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    texts = {name: _mapping(value)[name] for name in _PENDING}
    if not all(isinstance(text, str) and len(text) <= _PENDING[name] for name, text in texts.items()):
        raise ValueError("no change that waits")
    return {"token": texts["token"], "seconds": int(value["seconds"]), "keep": texts["keep"], "back": texts["back"]}
