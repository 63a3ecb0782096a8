# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Typed access to what YAML and templates hand over. A Reader collects every mistake and stops at none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Optional, TypeVar

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import Ports, parse_ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_address, parse_net
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable

Read = TypeVar("Read")

#: Kinds of mistakes: a name that cannot be one, and one that has a meaning already.
BAD_NAME, TAKEN_NAME = "bad-name", "taken-name"

#: How much of a value an error shows, and of its other parts.
_SHOWN, _LONGEST = 60, 4000
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")


def suggestion(word: object, known: Iterable[object]) -> str:
    """A remedy that names what was probably meant; empty where nothing is close."""
    close = difflib.get_close_matches(str(word), [str(name) for name in known], 1, 0.6)
    return f"did you mean {close[0]}?" if close else ""


def show(value: object) -> str:
    """A value as an error names it: short, and its YAML type visible."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        keys = ", ".join(str(key) for key in value)
        return f"a mapping ({_shorten(keys)})" if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}" if value else "an empty list"
    return f'"{_shorten(value)}"' if isinstance(value, str) else _shorten(str(value))


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


@dataclass(frozen=True)
class Contradiction(Mistake):
    """Two lines that cannot both hold. against: the path of the other one, which a text names as well."""

    against: str = ""


class Reader:
    """Reads values of one declaration. Each method returns None for what it could not use, after noting the problem."""

    def __init__(self) -> None:
        self.mistakes: list[Mistake] = []

    def refuse(self, path: str, got: object, expected: str, remedy: str, kind: str = "") -> None:
        """Note a mistake; `got` is the value itself."""
        self.note(path, show(got), expected, remedy, kind)

    def note(self, path: str, got: str, expected: str, remedy: str, kind: str = "", against: str = "") -> None:
        """Note a mistake; `got` is a text. kind: what code decides by, such as a test or an editor. against: the other path
        of a contradiction."""
        path, got, expected, remedy, against = (
            printable(text, _LONGEST) for text in (path, got, expected, remedy, against)
        )
        found = Mistake(path, got, expected, remedy, kind)
        if against:
            found = Contradiction(path, got, expected, remedy, kind, against)
        self.mistakes.append(found)

    def mapping(self, path: str, value: object, what: str, example: str) -> dict[str, Any]:
        """{text: value} of a mapping; {} for anything else."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(path, value, f"a mapping of {what}", f"write it like {example}")
            return {}
        kept = {}
        for key, item in value.items():
            if isinstance(key, str):
                kept[str(key)] = item
            else:
                self.refuse(f"{path}.{show(key)}", key, "a text as key", "put the key in quotes")
        return kept

    def fields(self, path: str, value: object, known: Collection[str], example: str) -> dict[str, Any]:
        """The known keys of a mapping, {} for anything else; an unknown key is a mistake."""
        kept = self.mapping(path, value, "its settings", example)
        if value is None:
            self.refuse(path, value, "a mapping of its settings", f"write it like {example}")
        for key in kept:
            if key not in known:
                self.note(
                    f"{path}.{key}",
                    "an unknown key",
                    f"one of {', '.join(known)}",
                    suggestion(key, known) or "remove it",
                )
        return {key: item for key, item in kept.items() if key in known}

    def name(self, path: str, value: str, taken: Mapping[str, str] = MappingProxyType({})) -> None:
        """Check a name that flows, rules and inventory groups can use; taken: {name: what already has it}."""
        if not _NAME.match(value):
            usable = _NO_NAME.sub("_", value).strip("_-").lstrip("0123456789")
            remedy = f"rename it: {usable}" if _NAME.match(usable) else "rename it"
            self.refuse(path, value, "a name of letters, digits, _ and -, beginning with a letter", remedy, BAD_NAME)
        elif value in taken:
            self.refuse(path, value, "a name of its own", f"rename it: {value} is {taken[value]}", TAKEN_NAME)

    def text(self, path: str, value: object, default: str = "") -> str:
        """One line of text; the default where there is nothing."""
        if value is None:
            return default
        if not isinstance(value, str):
            self.refuse(path, value, "a text", "put it in quotes")
            return default
        if not value.isprintable():
            self.refuse(path, value, "one line of text without control characters", "write it on one line")
            return default
        return str(value)

    def boolean(self, path: str, value: object, default: Optional[bool] = None) -> Optional[bool]:
        """true or false; the default where there is nothing."""
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(path, value, "true or false", "write true or false, without quotes")
            return default
        return bool(value)

    def integer(
        self, path: str, value: object, what: str, low: int, high: int, required: bool = False
    ) -> Optional[int]:
        """A whole number from low to high."""
        expected = f"{what} from {low} to {high}"
        if value is None:
            if required:
                self.refuse(path, value, expected, "add it")
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            quoted = isinstance(value, str) and value.strip().isdecimal()
            self.refuse(path, value, expected, "leave the quotes out" if quoted else "write a whole number")
            return None
        if not low <= value <= high:
            self.refuse(path, value, expected, "choose a number in that range")
            return None
        return int(value)

    def items(self, path: str, value: object, what: str, example: str) -> list[tuple[str, str]]:
        """[(path, item)] of one text or a list of texts; an empty list is a mistake."""
        if isinstance(value, str):
            return [(path, str(value))]
        if not isinstance(value, list):
            self.refuse(path, value, what, f"write it like {example}")
            return []
        if not value:
            self.refuse(path, value, what, "name at least one")
        kept = []
        for index, item in enumerate(value):
            if isinstance(item, str):
                kept.append((f"{path}[{index}]", str(item)))
            else:
                self.refuse(f"{path}[{index}]", item, what, f"write it like {example}")
        return kept

    def net(self, path: str, value: object) -> Optional[Net]:
        """A CIDR."""
        return self._parsed(path, value, parse_net, "a network in CIDR notation", "10.0.1.0/24")

    def nets(self, path: str, value: object) -> tuple[Net, ...]:
        """One CIDR or a list of them, as a tuple."""
        items = self.items(path, value, "a network in CIDR notation, or a list of them", "10.0.1.0/24")
        return tuple(net for net in (self.net(where, item) for where, item in items) if net)

    def address(self, path: str, value: object) -> Optional[Net]:
        """An address, as a Net of one."""
        return self._parsed(path, value, parse_address, "an IPv4 or IPv6 address", "10.0.1.1")

    def addresses(self, path: str, value: object) -> tuple[Net, ...]:
        """One address or a list of them, as a tuple."""
        items = self.items(path, value, "an address, or a list of them", "10.0.1.1")
        return tuple(net for net in (self.address(where, item) for where, item in items) if net)

    def ports(self, path: str, value: object) -> tuple[Ports, ...]:
        """One "22/tcp" or a list of them, as a tuple of Ports."""
        items = self.items(path, value, "a port and its protocol, or a list of them", "22/tcp or [53/udp, 53/tcp]")
        return tuple(
            ports for ports in (self._parsed(where, item, parse_ports, "", "") for where, item in items) if ports
        )

    def day(self, path: str, value: object) -> Optional[date]:
        """A date, YAML's own or a text."""
        if value is None:
            return None
        if isinstance(value, date) and not isinstance(value, datetime):
            return date(value.year, value.month, value.day)
        try:
            return date.fromisoformat(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            self.refuse(path, value, "a day", "write it like 2027-06-30")
            return None

    def _parsed(
        self, path: str, value: object, parse: Callable[[str], Read], what: str, example: str
    ) -> Optional[Read]:
        if not isinstance(value, str):
            self.refuse(path, value, what, f"write it like {example}")
            return None
        try:
            return parse(str(value))
        except Unreadable as error:
            self.refuse(path, value, error.expected, error.remedy)
            return None
