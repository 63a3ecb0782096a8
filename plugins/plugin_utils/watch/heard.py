# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What traffic_info returned of a host. All of it is what a host says, and much of that what strangers sent it: its shape is
checked, its size bounded, its texts made printable."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: Entries of a list, and senders of a collector, that are read of one host.
MOST_ENTRIES, MOST_SENDERS = 20000, 5000
WAYS = ("in", "out", "routed")


class NotHeard(ValueError):
    """What a host returned is no answer of traffic_info; the message says of what."""


class Blocked(NamedTuple):
    """Packets of one kind, and how often; see module_utils/traffic/log.py. first, last: seconds since 1970."""

    way: str
    interface: str
    source: str
    destination: str
    proto: str
    port: int
    sport: int
    opens: bool
    limited: bool
    number: int
    first: float
    last: float


class Connections(NamedTuple):
    """Connections of one kind, and how many; see module_utils/traffic/tracked.py."""

    proto: str
    client: str
    server: str
    port: int
    asked: str
    asked_port: int
    answered: bool
    number: int


class Log(NamedTuple):
    """One host's log. sender: its address to the collector, "" for the host's own."""

    sender: str
    source: str
    whole: bool
    cut: bool
    beside: tuple[str, ...]
    packets: tuple[Blocked, ...]
    left: int
    others: int
    unread: int
    future: int
    suppressed: int
    oldest: Optional[float]


class Heard(NamedTuple):
    """A host's answer. now: its clock; tracked: what connections were read from, "" for nothing, None where they were not asked
    for; addresses: {interface: [network with the host's address in it]}."""

    now: float
    logs: tuple[Log, ...]
    tracked: Optional[str]
    connections: tuple[Connections, ...]
    connections_left: int
    addresses: Mapping[str, tuple[str, ...]]
    enabled: str
    level: str


def read_heard(said: Any) -> Heard:
    """Raises NotHeard."""
    try:
        tracked = said["tracked"]
        return Heard(
            _seconds(said["now"]),
            tuple(_log(one) for one in _list(said["logs"], MOST_SENDERS + 1)),
            None if tracked is None else printable(tracked["source"], 80),
            () if tracked is None else tuple(_connections(one) for one in _list(tracked["connections"])),
            0 if tracked is None else _count(tracked["left"]),
            {
                printable(name, 15): tuple(str(ipaddress.ip_interface(str(text))) for text in _list(texts, 1000))
                for name, texts in list(said["addresses"].items())[:1000]
            },
            printable(said["ufw"]["enabled"], 20),
            printable(said["ufw"]["level"], 20),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise NotHeard(
            f"what it returned is not understood: {type(error).__name__}: {printable(error, 200)}"
        ) from error


def _log(one: Any) -> Log:
    sender = str(one["sender"])
    return Log(
        str(ipaddress.ip_address(sender)) if sender else "",
        printable(one["source"], 80),
        one["whole"] is True,
        one["cut"] is True,
        tuple(printable(text, 200) for text in _list(one["beside"], 20)),
        tuple(_blocked(packet) for packet in _list(one["packets"])),
        _count(one["left"]),
        _count(one["others"]),
        _count(one["unread"]),
        _count(one["future"]),
        _count(one["suppressed"]),
        None if one["oldest"] is None else _seconds(one["oldest"]),
    )


def _blocked(one: Any) -> Blocked:
    way, interface, source, destination, proto, port, sport, opens, limited, count, first, last = one
    if way not in WAYS:
        raise ValueError("a packet's way")
    return Blocked(
        way,
        printable(interface, 15),
        _address(source),
        _address(destination),
        printable(proto, 15),
        _port(port),
        _port(sport),
        opens is True,
        limited is True,
        _count(count),
        _seconds(first),
        _seconds(last),
    )


def _connections(one: Any) -> Connections:
    proto, client, server, port, asked, asked_port, answered, count = one
    return Connections(
        printable(proto, 15),
        _address(client),
        _address(server),
        _port(port),
        _address(asked),
        _port(asked_port),
        answered is True,
        _count(count),
    )


def _list(found: Any, most: int = MOST_ENTRIES) -> Sequence[Any]:
    if not isinstance(found, list) or len(found) > most:
        raise ValueError(f"no list of at most {most} entries")
    return found


def _address(text: Any) -> str:
    return str(ipaddress.ip_address(str(text)))


def _port(number: Any) -> int:
    return _within(number, -1, 65535)


def _count(number: Any) -> int:
    return _within(number, 0, 1 << 53)


def _within(number: Any, low: int, high: int) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
        raise ValueError(f"no number of {low} to {high}")
    return number


def _seconds(number: Any) -> float:
    """A time that a calendar has."""
    found = float(number)
    if not math.isfinite(found) or not 0 <= found < 1 << 35:
        raise ValueError("no time")
    return found
