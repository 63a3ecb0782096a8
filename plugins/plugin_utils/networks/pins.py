# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The file of pinned subnets, as text: new pins go into it, and everything else in it stays as it is."""

from __future__ import annotations

import re

VARIABLE = "bulkhead_allocations"
HEADER = (
    "---\n"
    "# Subnets that were taken from a pool once, and stay where they are. playbooks/allocate.yml adds new ones; to give\n"
    "# one back, remove its line together with its network.\n"
)
_KEY = re.compile(r"%s[ ]*:(?P<rest>.*)\Z" % VARIABLE)
_EMPTY = re.compile(r"[ ]*(?:\{[ ]*\}|null|~)?[ ]*(?P<comment>#.*)?\Z")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")
#: Words that YAML 1.1 reads as something else than text.
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))


class NotEditable(ValueError):
    """A file that is not written the way that can be extended; the argument says what to do."""


def add_pins(text, pins):
    """The text of a YAML file with new pins at the end of its ``bulkhead_allocations``; comments and order stay.

    text: the file, None where there is none yet. pins: {network: CIDR}, none of which it has. Raises NotEditable.
    """
    if not pins:
        return text or ""
    if text is None:
        text = HEADER
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if _KEY.match(line)), None)
    if start is None:
        return _joined(lines + ["%s:" % VARIABLE] + _pin_lines(pins, "  "))
    rest = _KEY.match(lines[start]).group("rest")
    empty = _EMPTY.match(rest)
    if not empty:
        raise NotEditable("write %s one network a line, without braces" % VARIABLE)
    comment = "  %s" % empty.group("comment") if empty.group("comment") else ""
    end, indent = _block(lines, start)
    head = lines[:start] + ["%s:%s" % (VARIABLE, comment)] + lines[start + 1 : end]
    return _joined(head + _pin_lines(pins, indent) + lines[end:])


def _block(lines, start):
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


def _pin_lines(pins, indent):
    return ["%s%s: %s" % (indent, _key(name), _value(pins[name])) for name in sorted(pins)]


def _key(name):
    return name if _PLAIN.match(name) and name.lower() not in _WORDS else '"%s"' % name


def _value(cidr):
    # A colon would make a mapping of an IPv6 network for some readers.
    return '"%s"' % cidr if ":" in cidr else cidr


def _joined(lines):
    return "\n".join(lines) + "\n"
