# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines of UFW's log: when, and which packet.

The words after the prefix are the kernel's (net/netfilter/nf_log_syslog.c); what stands before it depends on who wrote the
line: rsyslog in its old or its new format, journalctl, dmesg.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple, Optional

#: What begins a message of UFW. The rest of the label says which: BLOCK, LIMIT BLOCK, ALLOW, AUDIT, AUDIT INVALID.
MARK = "[UFW "
#: The longest line that is read, in characters: the kernel's own are shorter than 1,024.
LONGEST = 4096
#: Seconds that a line may be in the future, before its clock counts as wrong.
AHEAD = 300
_MONTHS = {name: number for number, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), 1)}
#: Protocols that the kernel logs by their number (those of the IANA that a site can name).
_NUMBERS = {"1": "icmp", "2": "igmp", "6": "tcp", "17": "udp", "41": "ipv6", "47": "gre", "58": "icmpv6", "112": "vrrp"}
#: The longest name of an interface (IFNAMSIZ, without its end) and of a protocol.
_NAME = 15
#: From here on a port is one that a client was given (net.ipv4.ip_local_port_range); such ports say nothing.
EPHEMERAL = 32768


class Packet(NamedTuple):
    """What is told apart of a blocked packet.

    way: in, out or routed; interface: the one that it came in by, of a packet of the host's own the one that it would have
    left by. port: the destination port; the type of ICMP; -1 where the packet has none. sport: the source port where it may
    be a service's and the destination a client's, else 0. opens: whether it may open a connection. limited: whether a
    limit stopped it.
    """

    way: str
    interface: str
    source: str
    destination: str
    proto: str
    port: int
    sport: int
    opens: bool
    limited: bool


class Unread(ValueError):
    """A line of UFW's that is cut off or no packet's."""


def message_of(line: str) -> tuple[str, str, str]:
    """(what stands before the label, the label without its brackets, the words after it); ("", "", "") without one."""
    head, mark, rest = line.partition(MARK)
    label, bracket, words = rest.partition("]")
    return (head, label.strip(), words) if mark and bracket else ("", "", "")


def packet_of(label: str, words: str) -> Packet:
    """The packet of a message. Raises Unread."""
    # Of an ICMP error the packet that it is about follows in brackets, with the same words: the first of each counts.
    parts = words.split()
    found: dict[str, str] = {}
    for part in parts:
        key, equals, value = part.partition("=")
        if equals:
            found.setdefault(key, value)
    try:
        inside, outside = found["IN"][:_NAME], found["OUT"][:_NAME]
        proto = found["PROTO"].lower()
        source, destination = (str(ipaddress.ip_address(found[key])) for key in ("SRC", "DST"))
        proto = _NUMBERS.get(proto, proto)[:_NAME]
        port = _number(found, "TYPE" if proto in ("icmp", "icmpv6") else "DPT")
        sport = _number(found, "SPT")
    except (KeyError, ValueError) as error:
        raise Unread(str(error)) from error
    answers = port >= EPHEMERAL > sport > 0
    flags = frozenset(parts)
    opens = proto != "tcp" or ("SYN" in flags and "ACK" not in flags)
    way = "routed" if inside and outside else "in" if inside else "out"
    limited = label.startswith("LIMIT")
    return Packet(way, inside or outside, source, destination, proto, port, sport if answers else 0, opens, limited)


def _number(found: Mapping[str, str], key: str) -> int:
    number = int(found.get(key, "-1"))
    if not -1 <= number <= 65535:
        raise ValueError(key)
    return number


class Clock:
    """When a line was written, in seconds since 1970, by this host's clock and time zone."""

    def __init__(self, now: float, boot: float) -> None:
        """boot: when the kernel's own seconds began."""
        self._now, self._boot = now, boot
        self._year = time.localtime(now).tm_year
        self._seen: dict[str, Optional[float]] = {}

    def when(self, head: str) -> Optional[float]:
        """The time at the beginning of a line; None where there is none that is understood."""
        if head[:1].isdigit():
            text = head.split(" ", 1)[0]
            return self._iso(text) if "T" in text else self._seconds(text)
        if head[:1] == "[":
            seconds = self._seconds(head[1:].partition("]")[0].strip())
            return None if seconds is None else self._boot + seconds
        text = head[:15]
        if text not in self._seen:
            if len(self._seen) > 100000:
                self._seen.clear()
            self._seen[text] = self._old(text)
        return self._seen[text]

    @staticmethod
    def _seconds(text: str) -> Optional[float]:
        try:
            return float(text) if len(text) < 32 and text.replace(".", "", 1).isdigit() else None
        except ValueError:
            return None

    @staticmethod
    def _iso(text: str) -> Optional[float]:
        try:
            return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
        except (ValueError, OverflowError, OSError):
            return None

    def _old(self, text: str) -> Optional[float]:
        """Of `Nov 30 00:46:56`, which has no year: the last one that is not in the future."""
        month, rest = _MONTHS.get(text[:3]), text[3:].split()
        if month is None or len(rest) != 2:
            return None
        try:
            day, (hour, minute, second) = int(rest[0]), map(int, rest[1].split(":"))
            for year in (self._year + 1, self._year, self._year - 1):
                found = time.mktime((year, month, day, hour, minute, second, 0, 0, -1))
                if found <= self._now + 86400:
                    return found
        except (ValueError, OverflowError):
            pass
        return None
