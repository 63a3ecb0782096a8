# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One packet, and a set of packets that is a product of intervals; both as text for people."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    BITS,
    DPORT,
    DST,
    ICMP,
    IIF,
    LAST_NAME,
    ODST,
    OIF,
    OPORT,
    PROTO,
    SPORT,
    SRC,
    WITH_PORTS,
    Box,
    Intervals,
    address_number,
    address_text,
    complement,
    interface_name,
    interface_range,
    networks,
    protocol_number,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import PROTOCOLS


class Packet(NamedTuple):
    """One packet, in the order of fields.FIELDS. odst and oport: where it was first sent to."""

    iif: int
    oif: int
    proto: int
    src: int
    dst: int
    sport: int
    dport: int
    odst: int
    oport: int

    def text(self, family: int) -> str:
        return PacketSet(family, (*(((value, value),) for value in self[:ODST]), None, None)).text()


def packet(
    family: int,
    source: str,
    destination: str,
    proto: str = "tcp",
    port: int = 0,
    source_port: int = 40000,
    *,
    inside: str = "",
    outside: str = "",
    original: Optional[tuple[str, int]] = None,
) -> Packet:
    """A packet in words. inside, outside: the interfaces that it comes in by and leaves by.

    port: for ICMP, type * 256 + code.
    original: (address, port) that it was sent to, where a nat table has changed them.
    """
    dst = address_number(destination, family)
    return Packet(
        interface_range(inside)[0],
        interface_range(outside)[0],
        protocol_number(proto),
        address_number(source, family),
        dst,
        source_port,
        port,
        address_number(original[0], family) if original else dst,
        original[1] if original else port,
    )


class PacketSet(NamedTuple):
    """A product of intervals, in the order of fields.FIELDS; None is any."""

    family: int
    sides: Box

    def text(self) -> str:
        """For people: "tcp 22 from 10.0.1.0/24 to any in on eth0"."""
        sides, family = self.sides, self.family
        words = [_protocols(sides[PROTO], family)]
        proto = sides[PROTO]
        icmp = proto is not None and proto == ((ICMP[family],) * 2,)
        if sides[DPORT] is not None and (proto is None or icmp or _has_ports(proto)):
            words.append(_icmp_types(sides[DPORT]) if icmp else _numbers(sides[DPORT], 65535))
        words += ["from", _addresses(sides[SRC], family)]
        if sides[SPORT] is not None and _has_ports(proto):
            words += ["port", _numbers(sides[SPORT], 65535)]
        words += ["to", _addresses(sides[DST], family)]
        for field, word in ((ODST, "first sent to"), (OPORT, "first sent to port")):
            if sides[field] is not None:
                words += [word, _addresses(sides[field], family) if field == ODST else _numbers(sides[field], 65535)]
        for field, word in ((IIF, "in on"), (OIF, "out on")):
            if sides[field] not in (None, ((0, 0),)):
                words += [word, _names(sides[field])]
        return " ".join(words)


def _has_ports(proto: Optional[Intervals]) -> bool:
    return proto is None or all(first == last and first in WITH_PORTS for first, last in proto)


def _shorter(intervals: Optional[Intervals], low: int, high: int, text: Callable[[int, int], str]) -> str:
    """The list, or `any but` its complement where that has fewer parts."""
    if intervals is None:
        return "any"
    rest = complement(intervals, low, high)
    if rest and len(rest) < len(intervals):
        return "any but " + ",".join(text(*interval) for interval in rest)
    return ",".join(text(*interval) for interval in intervals) if rest else "any"


def _numbers(intervals: Optional[Intervals], high: int) -> str:
    return _shorter(intervals, 0, high, lambda first, last: str(first) if first == last else f"{first}:{last}")


def _icmp_types(intervals: Optional[Intervals]) -> str:
    def text(first: int, last: int) -> str:
        if first == last:
            return f"{first >> 8}/{first & 255}"
        if (first & 255, last & 255) == (0, 255):
            return str(first >> 8) if first >> 8 == last >> 8 else f"{first >> 8}:{last >> 8}"
        return f"{first >> 8}/{first & 255}:{last >> 8}/{last & 255}"

    return "type " + _shorter(intervals, 0, 65535, text)


def _protocols(intervals: Optional[Intervals], family: int) -> str:
    names = {**{number: name for name, number in reversed(list(PROTOCOLS.items()))}, 58: "icmpv6"}

    def text(first: int, last: int) -> str:
        if first == last or (last - first < 3 and all(number in names for number in range(first, last + 1))):
            return ",".join(names.get(number, f"protocol {number}") for number in range(first, last + 1))
        return f"protocol {first}:{last}"

    return _shorter(intervals, 0, 255, text)


def _addresses(intervals: Optional[Intervals], family: int) -> str:
    bits = BITS[family]

    def text(first: int, last: int) -> str:
        parts = networks(first, last, bits)
        if len(parts) > 2:
            return f"{address_text(first, family)}-{address_text(last, family)}"
        return ",".join(address_text(at, family) + (f"/{size}" if size < bits else "") for at, size in parts)

    return _shorter(intervals, 0, (1 << bits) - 1, text)


def _names(intervals: Optional[Intervals]) -> str:
    def text(first: int, last: int) -> str:
        if first == last:
            return interface_name(first)
        stem = interface_name(first)
        if interface_range(stem + "+") == (first, last):
            return stem + "+"
        return f"{stem}..{interface_name(last - (1 << 8 * 7))}"

    return _shorter(intervals, 1, LAST_NAME, text)
