# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fields of a packet as plain ints, and sets of one field as intervals: disjoint, ascending, both ends included.

An interface's name is its fifteen bytes as one number, so that `eth+` is an interval as well; the destination port of
ICMP is its type * 256 + code, since no protocol has both.
"""

from __future__ import annotations

import re
import socket
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from typing import Optional, Tuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import PROTOCOLS

Interval = Tuple[int, int]
Intervals = Tuple[Interval, ...]
#: One side for each field of FIELDS; None: any value.
Box = Tuple[Optional[Intervals], ...]

IIF, OIF, PROTO, SRC, DST, SPORT, DPORT, ODST, OPORT = FIELDS = range(9)
FIELD_NAMES = (
    "in",
    "out",
    "protocol",
    "source",
    "destination",
    "source port",
    "port",
    "original destination",
    "original port",
)
NAME_BYTES = 15
LAST_NAME = (1 << 8 * NAME_BYTES) - 1
BITS = {4: 32, 6: 128}
ICMP = {4: 1, 6: 58}
WITH_PORTS = frozenset((6, 17, 33, 132, 136))
#: Before /0 iptables looks at no address (xtables_ipparse_any); these are what people write there.
_NAMES_OF_ALL = ("0", "any")
#: A number as strtoul(3) with base 0 reads it, which iptables does: 0x.. is hexadecimal, a leading zero octal.
_NUMBER = re.compile(r"0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*)")


# -- intervals -------------------------------------------------------------------------------------------------------


def complement(intervals: Iterable[Interval], low: int, high: int) -> Intervals:
    """What of low..high is in none of the intervals."""
    out, at = [], low
    for first, last in intervals:
        if first > high:
            break
        if first > at:
            out.append((at, first - 1))
        at = max(at, last + 1)
    if at <= high:
        out.append((at, high))
    return tuple(out)


def merged(intervals: Iterable[Interval]) -> Intervals:
    """The same set as disjoint, ascending, not adjacent intervals."""
    out: list[Interval] = []
    for first, last in sorted(intervals):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return tuple(out)


def intersection(one: Optional[Intervals], other: Optional[Intervals]) -> Optional[Intervals]:
    """The common part; None is everything, () nothing."""
    if one is None:
        return other
    return one if other is None else common(one, other)


def common(one: Intervals, other: Intervals) -> Intervals:
    """What is in both."""
    if one == other:
        return one
    if len(one) > len(other):
        one, other = other, one
    if len(one) <= 1:
        return _within(one[0], other) if one else ()
    out = []
    ours, theirs = iter(one), iter(other)
    first, last = next(ours)
    start, end = next(theirs)
    while True:
        low, high = first if first > start else start, last if last < end else end
        if low <= high:
            out.append((low, high))
        if last < end:
            following = next(ours, None)
            if following is None:
                return tuple(out)
            first, last = following
        else:
            following = next(theirs, None)
            if following is None:
                return tuple(out)
            start, end = following


def _within(one: Interval, others: Intervals) -> Intervals:
    """What of others is in a single interval."""
    low, high = one
    out = []
    for at in range(max(0, bisect_right(others, (low, high)) - 1), len(others)):
        first, last = others[at]
        if first > high:
            break
        if last >= low:
            out.append((first if first > low else low, last if last < high else high))
    return tuple(out)


def top(field: int, family: int) -> int:
    """The highest value of a field."""
    if field in (SRC, DST, ODST):
        return (1 << BITS[family]) - 1
    return LAST_NAME if field in (IIF, OIF) else 255 if field == PROTO else 65535


# -- text to numbers -------------------------------------------------------------------------------------------------


def number(text: str, most: int) -> int:
    """A number from 0 to `most`, in the spelling of C. ValueError: anything else."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a number")
    value = int(found[1], 16) if found[1] else int(found[2], 8) if found[2] else int(found[3])
    if value > most:
        raise ValueError(f"{text!r} is over {most}")
    return value


@lru_cache(maxsize=65536)
def address_range(text: str, family: int) -> Interval:
    """An address or network (prefix length or netmask) -> (first, last). ValueError: a name, or a mask with holes."""
    address, slash, mask = text.partition("/")
    bits = BITS[family]
    if mask == "0" and address in _NAMES_OF_ALL:
        return (0, (1 << bits) - 1)
    base = address_number(address, family)
    if not slash:
        return (base, base)
    if "." in mask or ":" in mask:
        host = address_number(mask, family) ^ ((1 << bits) - 1)
        free = host.bit_length()
        if host != (1 << free) - 1:
            raise ValueError(f"{text}: a mask with holes is no interval")
    else:
        free = bits - number(mask, bits)
    low = base >> free << free
    return (low, low + (1 << free) - 1)


def address_number(text: str, family: int) -> int:
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, text), "big")
    except (OSError, ValueError):
        raise ValueError(f"{text!r} is not an IPv{family} address") from None


@lru_cache(maxsize=4096)
def interface_range(text: str) -> Interval:
    """A name, or `wg+` for every name that begins so -> (first, last)."""
    stem = text[:-1] if text.endswith("+") else text
    raw = stem.encode("utf-8", "surrogateescape")
    if len(raw) > NAME_BYTES:
        raise ValueError(f"an interface's name has at most {NAME_BYTES} bytes, not {text!r}")
    low = int.from_bytes(raw.ljust(NAME_BYTES, b"\0"), "big")
    return (low, low | ((1 << 8 * (NAME_BYTES - len(raw))) - 1) if stem is not text else low)


@lru_cache(maxsize=1024)
def protocol_number(text: str) -> int:
    """A protocol's name or number -> number. 0 is every protocol, to iptables."""
    if text[:1].isdigit():
        return number(text, 255)
    name = text.lower()
    if name == "all":
        return 0
    if name in PROTOCOLS:
        return PROTOCOLS[name]
    try:
        return socket.getprotobyname(name)
    except OSError:
        raise ValueError(text) from None


@lru_cache(maxsize=65536)
def port_range(text: str, octal: bool = False) -> Interval:
    """A port, or `first:last` where either end may be missing. octal: whether iptables is known to read a leading zero so; it
    differs from option to option.
    """
    first, colon, last = text.partition(":")
    if not octal and any(len(end) > 1 and end[0] == "0" for end in (first, last)):
        raise ValueError(f"{text!r} has a leading zero")
    if not (first or colon):
        raise ValueError("a port without a number")
    low = number(first, 65535) if first else 0
    high = number(last, 65535) if last else 65535 if colon else low
    if low > high:
        raise ValueError(f"{text!r} ends before it begins")
    return (low, high)


# -- numbers to text -------------------------------------------------------------------------------------------------


def address_text(address: int, family: int) -> str:
    return socket.inet_ntop(
        socket.AF_INET if family == 4 else socket.AF_INET6, address.to_bytes(BITS[family] // 8, "big")
    )


def networks(first: int, last: int, bits: int) -> list[tuple[int, int]]:
    """The fewest networks that make up an interval: [(address, prefix length)]."""
    out = []
    while first <= last:
        size = (first & -first).bit_length() - 1 if first else bits
        size = min(size, (last - first + 1).bit_length() - 1)
        out.append((first, bits - size))
        first += 1 << size
    return out


def interface_name(name: int) -> str:
    return name.to_bytes(NAME_BYTES, "big").rstrip(b"\0").decode("utf-8", "backslashreplace")
