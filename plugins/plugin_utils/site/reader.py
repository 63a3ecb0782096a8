# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Typed access to what YAML and templates hand over. A Reader collects every problem and stops at none."""

from __future__ import annotations

import difflib
import re
from datetime import date, datetime

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import NotPorts, parse_ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import NotANet, parse_address, parse_net

_SHOWN = 60
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")


def suggestion(word, known):
    """A remedy that names what was probably meant; empty where nothing is close."""
    close = difflib.get_close_matches(str(word), [str(name) for name in known], 1, 0.6)
    return "did you mean %s?" % close[0] if close else ""


def show(value):
    """A value as an error names it: short, and its YAML type visible."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping (%s)" % _shorten(", ".join(str(key) for key in value)) if value else "an empty mapping"
    if isinstance(value, (list, tuple)):
        return "a list of %d" % len(value) if value else "an empty list"
    if isinstance(value, str):
        return '"%s"' % _shorten(value.replace("\n", "\\n"))
    return _shorten(str(value))


def _shorten(text):
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


class Reader:
    """Reads values of one declaration. Each method returns None for what it could not use, after noting the problem."""

    def __init__(self):
        self.mistakes = []

    def refuse(self, path, got, expected, remedy):
        """Note a problem; `got` is the value itself."""
        self.note(path, show(got), expected, remedy)

    def note(self, path, got, expected, remedy):
        """Note a problem; `got` is a text."""
        self.mistakes.append(Mistake(path, got, expected, remedy))

    def mapping(self, path, value, what, example):
        """{text: value} of a mapping; {} for anything else."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(path, value, "a mapping of %s" % what, "write it like %s" % example)
            return {}
        kept = {}
        for key, item in value.items():
            if isinstance(key, str):
                kept[str(key)] = item
            else:
                self.refuse("%s.%s" % (path, show(key)), key, "a text as key", "put the key in quotes")
        return kept

    def fields(self, path, value, known, example):
        """The known keys of a mapping, {} for anything else; an unknown key is a problem."""
        kept = self.mapping(path, value, "its settings", example)
        if value is None:
            self.refuse(path, value, "a mapping of its settings", "write it like %s" % example)
        for key in kept:
            if key not in known:
                self.note(
                    "%s.%s" % (path, key),
                    "an unknown key",
                    "one of %s" % ", ".join(known),
                    suggestion(key, known) or "remove it",
                )
        return {key: item for key, item in kept.items() if key in known}

    def name(self, path, value, taken=()):
        """A name that flows and rules can use; taken: {name: what already has it}."""
        if not _NAME.match(value):
            self.refuse(path, value, "a name of letters, digits, _ and -, beginning with a letter", "rename it")
            return None
        if value in taken:
            self.refuse(path, value, "a name of its own", "rename it: %s is %s" % (value, taken[value]))
            return None
        return value

    def text(self, path, value, default=""):
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

    def boolean(self, path, value, default=None):
        """true or false; the default where there is nothing."""
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(path, value, "true or false", "write true or false, without quotes")
            return default
        return bool(value)

    def integer(self, path, value, what, low, high, required=False):
        """A whole number from low to high."""
        expected = "%s from %d to %d" % (what, low, high)
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

    def items(self, path, value, what, example):
        """[(path, item)] of one text or a list of texts; an empty list is a problem."""
        if isinstance(value, str):
            return [(path, str(value))]
        if not isinstance(value, list):
            self.refuse(path, value, what, "write it like %s" % example)
            return []
        if not value:
            self.refuse(path, value, what, "name at least one")
        kept = []
        for index, item in enumerate(value):
            if isinstance(item, str):
                kept.append(("%s[%d]" % (path, index), str(item)))
            else:
                self.refuse("%s[%d]" % (path, index), item, what, "write it like %s" % example)
        return kept

    def net(self, path, value):
        """A CIDR."""
        return self._parsed(path, value, parse_net, "a network in CIDR notation", "10.0.1.0/24")

    def nets(self, path, value):
        """One CIDR or a list of them, as a tuple."""
        items = self.items(path, value, "a network in CIDR notation, or a list of them", "10.0.1.0/24")
        return tuple(net for net in (self.net(where, item) for where, item in items) if net)

    def address(self, path, value):
        """An address, as a Net of one."""
        return self._parsed(path, value, parse_address, "an IPv4 or IPv6 address", "10.0.1.1")

    def addresses(self, path, value):
        """One address or a list of them, as a tuple."""
        items = self.items(path, value, "an address, or a list of them", "10.0.1.1")
        return tuple(net for net in (self.address(where, item) for where, item in items) if net)

    def ports(self, path, value):
        """One "22/tcp" or a list of them, as a tuple of Ports."""
        items = self.items(path, value, "a port and its protocol, or a list of them", "22/tcp or [53/udp, 53/tcp]")
        return tuple(
            ports for ports in (self._parsed(where, item, parse_ports, "", "") for where, item in items) if ports
        )

    def day(self, path, value):
        """A date, YAML's own or a text."""
        if value is None:
            return None
        if isinstance(value, date) and not isinstance(value, datetime):
            return date(value.year, value.month, value.day)
        try:
            return date.fromisoformat(value)
        except (TypeError, ValueError):
            self.refuse(path, value, "a day", "write it like 2027-06-30")
            return None

    def _parsed(self, path, value, parse, what, example):
        if not isinstance(value, str):
            self.refuse(path, value, what, "write it like %s" % example)
            return None
        try:
            return parse(str(value))
        except (NotANet, NotPorts) as error:
            self.refuse(path, value, error.expected, error.remedy)
            return None
