# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file of pinned subnets, as text: new pins go into it, and everything else in it stays as it is."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import yaml_cidrs

#: What a network is pinned to: a CIDR, or a list of them.
Pin = Union[str, list[str]]

VARIABLE = "bulkhead_allocations"
HEADER = (
    "---\n"
    "# Subnets that were taken from a pool once, and stay where they are. playbooks/allocate.yml adds new ones; to give\n"
    "# one back, remove its line together with its network.\n"
)
_KEY = re.compile(rf"{VARIABLE}[ ]*:(?P<rest>.*)\Z")
_EMPTY = re.compile(r"[ ]*(?:\{[ ]*\}|null|~)?[ ]*(?P<comment>#.*)?\Z")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
#: A pin on a line of its own, and the comment behind it.
_PIN = re.compile(r"""(?P<head>[ ]*(?P<name>[^\s:'"#]+|"[^"]+"|'[^']+')[ ]*:[ ]+)[^#]*?(?P<comment>[ ]+#.*)?\Z""")
#: Words that YAML 1.1 reads as something else than text.
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))


def add_pins(text: Optional[str], pins: Mapping[str, Pin], path: str) -> str:
    """The text of a YAML file with new pins at the end of its ``bulkhead_allocations``; comments and order stay.

    text: the file, None where there is none yet. pins: {network: its CIDR or CIDRs}; a network that has a pin already,
    and gets one of the other IP version beside it, keeps its line. path: the file's, for the Refused about one that is
    not written the way that can be extended.
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
    held, new = _renewed(lines[start + 1 : end], pins)
    return _joined([*lines[:start], f"{VARIABLE}:{comment}", *held, *_pin_lines(new, indent), *lines[end:]])


def _renewed(lines: Sequence[str], pins: Mapping[str, Pin]) -> tuple[list[str], dict[str, Pin]]:
    """(the lines of the pins, with those that change; the pins that have no line yet)."""
    held, new = [], dict(pins)
    for line in lines:
        found = _PIN.match(line)
        name = found.group("name").strip("\"'") if found else ""
        if found and name in new:
            line = f"{found.group('head')}{yaml_cidrs(new.pop(name))}{found.group('comment') or ''}"
        held.append(line)
    return held, new


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


def _pin_lines(pins: Mapping[str, Pin], indent: str) -> list[str]:
    return [f"{indent}{_key(name)}: {yaml_cidrs(pins[name])}" for name in sorted(pins)]


def _key(name: str) -> str:
    return name if _PLAIN.match(name) and name.lower() not in _WORDS else f'"{name}"'


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(lines) + "\n"
