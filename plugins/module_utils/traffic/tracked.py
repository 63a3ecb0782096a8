# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What connection tracking sees now: /proc/net/nf_conntrack, or the program conntrack where the kernel has no such file."""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import run_command
from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic.tally import MOST_KINDS

TABLE = "/proc/net/nf_conntrack"
#: Lines that are looked at.
MOST_LINES = 500000


class Connection(NamedTuple):
    """What is told apart. server and port: who answers, after translation; asked and asked_port: whom the client asked. answered:
    whether an answer was seen."""

    proto: str
    client: str
    server: str
    port: int
    asked: str
    asked_port: int
    answered: bool


class Tracked(NamedTuple):
    """source: what was read, "" where there is none; left: connections that are not in the list."""

    source: str
    connections: list[list[Any]]
    total: int
    left: int


def read_tracked(limit: int) -> Tracked:
    """The connections of this network namespace, those between two addresses of the loopback left out."""
    try:
        with open(TABLE, encoding="ascii", errors="replace") as file:
            return _count(TABLE, file, limit)
    except OSError:
        pass
    lines: list[str] = []
    for family in ("ipv4", "ipv6"):
        try:
            done = run_command(["conntrack", "-L", "-o", "extended", "-f", family])
        except OSError:
            return Tracked("", [], 0, 0)
        lines += done.out.splitlines() if not done.status else []
    return _count("conntrack -L", lines, limit)


def _count(source: str, lines: Iterable[str], limit: int) -> Tracked:
    found: dict[Connection, int] = {}
    total = beyond = 0
    for one in filter(None, map(connection_of, itertools.islice(lines, MOST_LINES))):
        total += 1
        if one in found or len(found) < MOST_KINDS:
            found[one] = found.get(one, 0) + 1
        else:
            beyond += 1
    ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    rest = sum(number for _one, number in ordered[limit:])
    return Tracked(source, [[*one, number] for one, number in ordered[:limit]], total, rest + beyond)


def connection_of(line: str) -> Optional[Connection]:
    """The connection of a line, such as ``ipv4 2 tcp 6 117 SYN_SENT src=… dst=… sport=… dport=… [UNREPLIED] src=… dst=…``."""
    words = line.split()
    if len(words) < 6 or words[0] not in ("ipv4", "ipv6"):
        return None
    # Each key comes twice: as the first packet had it, and as the answers have it, translated.
    first: dict[str, str] = {}
    answer: dict[str, str] = {}
    for key, equals, value in (word.partition("=") for word in words):
        if equals and key in ("src", "dst", "sport", "dport", "type"):
            (answer if key in first else first)[key] = value
    try:
        client, asked, server = map(_address, (first["src"], first["dst"], answer["src"]))
        ports = [_port(value) for value in _ports(first, answer)]
    except (KeyError, ValueError):
        return None
    if ipaddress.ip_address(client).is_loopback:
        return None
    proto = words[2] if words[2] != "unknown" else words[3]
    return Connection(proto[:15], client, server, ports[1], asked, ports[0], "[UNREPLIED]" not in words)


def _ports(first: dict[str, str], answer: dict[str, str]) -> Iterator[str]:
    """The port that was asked, and the one that answers; of ICMP its type; -1 where there is none."""
    if "type" in first:
        yield from (first["type"], first["type"])
    else:
        yield from (first.get("dport", "-1"), answer.get("sport", "-1"))


def _address(text: str) -> str:
    return str(ipaddress.ip_address(text))


def _port(text: str) -> int:
    number = int(text)
    if not -1 <= number <= 65535:
        raise ValueError(text)
    return number
