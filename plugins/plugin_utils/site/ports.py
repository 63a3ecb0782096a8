# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ports of services: reading "22/tcp", and merging them into what one firewall rule can hold."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

#: Protocols that carry ports.
WITH_PORTS = ("tcp", "udp")

#: Protocols without ports that ufw knows, and the IP versions it knows them for (ufw.util of ufw 0.36.2).
WITHOUT_PORTS = {"ah": (4, 6), "esp": (4, 6), "gre": (4, 6), "igmp": (4,), "ipv6": (4,), "vrrp": (4, 6)}

#: What `any` allows: every protocol.
ANY = "any"

#: ufw refuses a rule with more commas and colons than this in its ports (ufw.common of ufw 0.36.2).
_MULTIPORT_MARKS = 14

_EXPECTED = "a port and its protocol"
_REMEDY = "write it like 22/tcp, 5240-5249/tcp or esp"


@dataclass(frozen=True, order=True)
class Ports:
    """A protocol and a range of its ports, both ends inside; 0-65535 where the protocol has no ports."""

    proto: str
    first: int
    last: int

    @property
    def versions(self):
        """The IP versions that the protocol exists for."""
        return WITHOUT_PORTS.get(self.proto, (4, 6))

    def covers(self, other):
        """Whether everything that the other one allows is in this one."""
        return self.proto == ANY or (
            self.proto == other.proto and self.first <= other.first and other.last <= self.last
        )

    def meets(self, other):
        """Whether some packet is in both."""
        return ANY in (self.proto, other.proto) or (
            self.proto == other.proto and self.first <= other.last and other.first <= self.last
        )

    def __str__(self):
        if self.proto not in WITH_PORTS:
            return self.proto
        return "%s/%s" % (self.first if self.first == self.last else "%d-%d" % (self.first, self.last), self.proto)


#: Everything.
ALL = Ports(ANY, 0, 65535)


class NotPorts(ValueError):
    """A text that names no ports; args are what was expected and the remedy."""

    @property
    def expected(self):
        return self.args[0]

    @property
    def remedy(self):
        return self.args[1]


def parse_ports(text):
    """Ports of a text like "22/tcp", "5240-5249/tcp" or "esp"; raises NotPorts."""
    numbers, slash, proto = text.partition("/")
    if not slash:
        return _parse_portless(text)
    if proto in WITHOUT_PORTS:
        raise NotPorts("a protocol that has ports (tcp, udp)", "write %s alone: it has no ports" % proto)
    if proto not in WITH_PORTS:
        raise NotPorts("a protocol of tcp or udp after the slash", _nearest(proto, WITH_PORTS))
    if "," in numbers:
        raise NotPorts(
            "one port or one range",
            "write a list: [%s]" % ", ".join("%s/%s" % (number.strip(), proto) for number in numbers.split(",")),
        )
    if ":" in numbers:
        raise NotPorts("a range with a dash", "write %s/%s" % (numbers.replace(":", "-"), proto))
    low, dash, high = numbers.partition("-")
    if not low.isdecimal() or (dash and not high.isdecimal()):
        raise NotPorts(_EXPECTED, _REMEDY)
    first, last = int(low), int(high if dash else low)
    if not (1 <= first <= 65535 and 1 <= last <= 65535):
        raise NotPorts("ports from 1 to 65535", "mend the port number")
    if first > last:
        raise NotPorts("the lower port first", "write %d-%d/%s" % (last, first, proto))
    return Ports(proto, first, last)


def _parse_portless(text):
    if text in WITHOUT_PORTS:
        return Ports(text, 0, 65535)
    if text in WITH_PORTS:
        raise NotPorts(_EXPECTED, "say which port: 22/%s, or 1-65535/%s for all of them" % (text, text))
    if text.replace("-", "").isdecimal():
        raise NotPorts(_EXPECTED, "add the protocol: %s/tcp or %s/udp" % (text, text))
    raise NotPorts(_EXPECTED, _nearest(text, WITHOUT_PORTS) if "/" not in text else _REMEDY)


def _nearest(word, known):
    close = difflib.get_close_matches(word, list(known), 1)
    return "did you mean %s?" % close[0] if close else _REMEDY


def merge(ports):
    """The same packets in as few ranges as possible: {protocol: [(first, last)]}, sorted.

    `any` swallows the rest: {"any": [(0, 65535)]}.
    """
    if any(item.proto == ANY for item in ports):
        return {ANY: [(0, 65535)]}
    merged = {}
    for item in sorted(ports):
        ranges = merged.setdefault(item.proto, [])
        if ranges and item.first <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], item.last))
        else:
            ranges.append((item.first, item.last))
    return merged


def port_arguments(ranges):
    """The texts that name the ranges in ufw rules, as few as ufw's multiport limit allows.

    ranges: [(first, last)], sorted. "22,5240:5249" has one comma and one colon; ufw takes 14 of them in a rule.
    """
    texts, parts, marks = [], [], 0
    for first, last in ranges:
        part = str(first) if first == last else "%d:%d" % (first, last)
        cost = (1 if parts else 0) + part.count(":")
        if marks + cost > _MULTIPORT_MARKS:
            texts.append(",".join(parts))
            parts, marks, cost = [], 0, part.count(":")
        parts.append(part)
        marks += cost
    return texts + [",".join(parts)]
