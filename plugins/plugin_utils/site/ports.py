# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ports of services: reading "22/tcp", and merging them into what one firewall rule can hold."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable

#: Protocols that carry ports.
WITH_PORTS = ("tcp", "udp")

#: Protocols without ports that ufw knows, and the IP versions it knows them for (ufw.util of ufw 0.36.2).
WITHOUT_PORTS = {"ah": (4, 6), "esp": (4, 6), "gre": (4, 6), "igmp": (4,), "ipv6": (4,), "vrrp": (4, 6)}

#: What `any` allows: every protocol.
ANY = "any"

#: ufw refuses a rule with more commas and colons than this in its ports (ufw.common of ufw 0.36.2).
_MULTIPORT_MARKS = 14

#: Protocols that ufw has no word for, and what they are.
WITHOUT_RULES = {
    "ospf": "OSPF is multicast to 224.0.0.5 and 224.0.0.6",
    "eigrp": "EIGRP is multicast to 224.0.0.10",
    "pim": "PIM is multicast to 224.0.0.13",
    "icmp": "ufw lets pings and errors in by before.rules",
    "icmpv6": "ufw lets pings, errors and neighbours in by before6.rules",
    "sctp": "SCTP has ports, and ufw no rule for them",
}

_EXPECTED = "a port and its protocol"
_REMEDY = "write it like 22/tcp, 5240-5249/tcp or esp"


@dataclass(frozen=True, order=True)
class Ports:
    """A protocol and a range of its ports, both ends inside; 0-65535 where the protocol has no ports."""

    proto: str
    first: int
    last: int

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions that the protocol exists for."""
        return WITHOUT_PORTS.get(self.proto, (4, 6))

    def covers(self, other: Ports) -> bool:
        """Whether everything that the other one allows is in this one."""
        return self.proto == ANY or (
            self.proto == other.proto and self.first <= other.first and other.last <= self.last
        )

    def meets(self, other: Ports) -> bool:
        """Whether some packet is in both."""
        return ANY in (self.proto, other.proto) or (
            self.proto == other.proto and self.first <= other.last and other.first <= self.last
        )

    def __str__(self) -> str:
        if self.proto not in WITH_PORTS:
            return self.proto
        numbers = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"{numbers}/{self.proto}"


#: Everything.
ALL = Ports(ANY, 0, 65535)


def parse_ports(text: str) -> Ports:
    """Ports of a text like "22/tcp", "5240-5249/tcp" or "esp"; raises Unreadable."""
    numbers, slash, proto = text.partition("/")
    if not slash:
        return _parse_portless(text)
    if proto in WITHOUT_PORTS:
        raise Unreadable("a protocol that has ports (tcp, udp)", f"write {proto} alone: it has no ports")
    if proto not in WITH_PORTS:
        raise Unreadable("a protocol of tcp or udp after the slash", _nearest(proto, WITH_PORTS))
    if "," in numbers:
        raise Unreadable(
            "one port or one range",
            f"write a list: [{', '.join(f'{number.strip()}/{proto}' for number in numbers.split(','))}]",
        )
    if ":" in numbers:
        raise Unreadable("a range with a dash", f"write {numbers.replace(':', '-')}/{proto}")
    low, dash, high = numbers.partition("-")
    if not numbers.isascii() or not low.isdecimal() or (dash and not high.isdecimal()):
        raise Unreadable(_EXPECTED, _REMEDY)
    # Python reads no number of thousands of digits.
    first, last = (int(number.lstrip("0")[:6] or "0") for number in (low, high if dash else low))
    if not (1 <= first <= 65535 and 1 <= last <= 65535):
        raise Unreadable("ports from 1 to 65535", "correct the port number")
    if first > last:
        raise Unreadable("the lower port first", f"write {last}-{first}/{proto}")
    return Ports(proto, first, last)


def _parse_portless(text: str) -> Ports:
    if text in WITHOUT_PORTS:
        return Ports(text, 0, 65535)
    if text in WITHOUT_RULES:
        expected = f"a protocol that ufw has rules for: tcp, udp, {', '.join(WITHOUT_PORTS)}"
        raise Unreadable(expected, f"{WITHOUT_RULES[text]}: no flow can declare it; write it into ufw's before.rules")
    if text in WITH_PORTS:
        raise Unreadable(_EXPECTED, f"say which port: 22/{text}, or 1-65535/{text} for all of them")
    if text.replace("-", "").isdecimal():
        raise Unreadable(_EXPECTED, f"add the protocol: {text}/tcp or {text}/udp")
    raise Unreadable(_EXPECTED, _nearest(text, WITHOUT_PORTS) if "/" not in text else _REMEDY)


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f"did you mean {close[0]}?" if close else _REMEDY


def merge(ports: Iterable[Ports]) -> dict[str, list[tuple[int, int]]]:
    """The same packets in as few ranges as possible: {protocol: [(first, last)]}, sorted.

    `any` swallows the rest: {"any": [(0, 65535)]}.
    """
    items = sorted(ports)
    if any(item.proto == ANY for item in items):
        return {ANY: [(0, 65535)]}
    merged: dict[str, list[tuple[int, int]]] = {}
    for item in items:
        ranges = merged.setdefault(item.proto, [])
        if ranges and item.first <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], item.last))
        else:
            ranges.append((item.first, item.last))
    return merged


def port_arguments(ranges: Sequence[tuple[int, int]]) -> list[str]:
    """The texts that name the ranges in ufw rules, as few as ufw's multiport limit allows.

    ranges: [(first, last)], sorted. "22,5240:5249" has one comma and one colon; ufw takes 14 of them in a rule.
    """
    texts: list[str] = []
    parts: list[str] = []
    marks = 0
    for first, last in ranges:
        part = str(first) if first == last else f"{first}:{last}"
        cost = (1 if parts else 0) + part.count(":")
        if marks + cost > _MULTIPORT_MARKS:
            texts.append(",".join(parts))
            parts, marks, cost = [], 0, part.count(":")
        parts.append(part)
        marks += cost
    return [*texts, ",".join(parts)]
