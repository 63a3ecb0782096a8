# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file of pinned subnets, as text: new pins go into it, and everything else in it stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused

VARIABLE = "bulkhead_allocations"
HEADER = (
    "---\n"
    "# Subnets that were taken from a pool once, and stay where they are. playbooks/allocate.yml adds new ones; to give\n"
    "# one back, remove its line together with its network.\n"
)
_KEY = re.compile(rf"{VARIABLE}[ ]*:(?P<rest>.*)\Z")
_EMPTY = re.compile(r"[ ]*(?:\{[ ]*\}|null|~)?[ ]*(?P<comment>#.*)?\Z")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
#: Words that YAML 1.1 reads as something else than text.
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))


def add_pins(text: Optional[str], pins: Mapping[str, str], path: str) -> str:
    """The text of a YAML file with new pins at the end of its ``bulkhead_allocations``; comments and order stay.

    text: the file, None where there is none yet. pins: {network: CIDR}, none of which it has. path: the file's, for the
    Refused about one that is not written the way that can be extended.
    """
    if not pins:
        return text or ""
    lines = (HEADER if text is None else text).splitlines()
    found = next(((number, key) for number, key in enumerate(map(_KEY.match, lines)) if key), None)
    if found is None:
        return _joined([*lines, f"{VARIABLE}:", *_pin_lines(pins, "  ")])
    start, key = found
    empty = _EMPTY.match(key.group("rest"))
    if not empty:
        remedy = f"write {VARIABLE} one network a line, without braces"
        raise Refused([Mistake(path, "a form that cannot be extended", "one network a line", remedy, "not-editable")])
    comment = f"  {empty.group('comment')}" if empty.group("comment") else ""
    end, indent = _block(lines, start)
    head = [*lines[:start], f"{VARIABLE}:{comment}", *lines[start + 1 : end]]
    return _joined([*head, *_pin_lines(pins, indent), *lines[end:]])


def _block(lines: Sequence[str], start: int) -> tuple[int, str]:
    """(where the entries below a key end, their indentation): behind the last line that is indented and no blank."""
    end, indent = start + 1, None
    for number in range(start + 1, len(lines)):
        line = lines[number]
        if line.strip() and not line.startswith((" ", "\t")):
            break
        if line.strip():
            if indent is None and not line.lstrip().startswith("#"):
                indent = line[: len(line) - len(line.lstrip())]
            end = number + 1
    return end, indent or "  "


def _pin_lines(pins: Mapping[str, str], indent: str) -> list[str]:
    return [f"{indent}{_key(name)}: {_value(pins[name])}" for name in sorted(pins)]


def _key(name: str) -> str:
    return name if _PLAIN.match(name) and name.lower() not in _WORDS else f'"{name}"'


def _value(cidr: str) -> str:
    # A colon would make a mapping of an IPv6 network for some readers.
    return f'"{cidr}"' if ":" in cidr else cidr


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
