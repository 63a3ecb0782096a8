# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The words of a tailnet policy: endpoints, protocols and ports, each read from one text.

Sources: the syntax reference of the tailnet policy file (tailscale.com/docs/reference/syntax/policy-file) and what a
Headscale 0.29.2 takes and refuses.
"""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass
from typing import Optional

#: The names of protocols in a policy, and their IANA numbers.
PROTOCOLS = {
    "icmp": 1,
    "igmp": 2,
    "ipv4": 4,
    "ip-in-ip": 4,
    "tcp": 6,
    "egp": 8,
    "igp": 9,
    "udp": 17,
    "gre": 47,
    "esp": 50,
    "ah": 51,
    "ipv6-icmp": 58,
    "sctp": 132,
    "fc": 133,
}
#: How a number is written in messages and differences: by its first name.
NAMES = {number: name for name, number in reversed(list(PROTOCOLS.items()))}
ICMP = frozenset((PROTOCOLS["icmp"], PROTOCOLS["ipv6-icmp"]))
#: Protocols whose packets have ports.
PORTED = frozenset((PROTOCOLS["tcp"], PROTOCOLS["udp"], PROTOCOLS["sctp"]))
#: What a rule without a protocol lets through: the client fills these in (wgengine/filter, `defaultProtos`).
DEFAULT = frozenset((PROTOCOLS["tcp"], PROTOCOLS["udp"])) | ICMP
LAST_PORT = 65535

Ports = tuple[tuple[int, int], ...]
EVERY_PORT: Ports = ((0, LAST_PORT),)


class Kind(enum.Enum):
    """What an endpoint names."""

    ANY = "*"
    USER = "user"
    GROUP = "group"
    TAG = "tag"
    AUTOGROUP = "autogroup"
    HOST = "host"
    NETWORK = "network"
    #: Of the hosted dialect alone: `ipset:x`, `svc:x`. Who is meant is not in the parts of a policy that are read here.
    OPAQUE = "opaque"


class Unusable(ValueError):
    """A text that is no word of the grammar: what was expected, what to do, and what kind of mistake it is."""

    def __init__(self, expected: str, remedy: str, kind: str = "syntax") -> None:
        super().__init__(expected)
        self.expected = expected
        self.remedy = remedy
        self.kind = kind


@dataclass(frozen=True)
class Net:
    """A range of addresses of one family: 4 or 6, the first and the last as numbers."""

    version: int
    first: int
    last: int

    @property
    def single(self) -> bool:
        return self.first == self.last

    def overlaps(self, other: Net) -> bool:
        return self.version == other.version and self.first <= other.last and other.first <= self.last

    def covers(self, other: Net) -> bool:
        return self.version == other.version and self.first <= other.first and other.last <= self.last

    def __str__(self) -> str:
        make = ipaddress.IPv4Address if self.version == 4 else ipaddress.IPv6Address
        first, last = make(self.first), make(self.last)
        if self.single:
            return str(first)
        blocks = list(ipaddress.summarize_address_range(first, last))
        return str(blocks[0]) if len(blocks) == 1 else f"{first}-{last}"


@dataclass(frozen=True)
class Endpoint:
    """One source or destination as it is written; ``net`` where it is an address or a network."""

    kind: Kind
    text: str
    net: Optional[Net] = None


def network(text: str) -> Optional[Net]:
    """An address or a CIDR as `inet_pton` would read it, with host bits cut off; None where it is something else."""
    address, slash, bits = text.partition("/")
    if "%" in text or (slash and not (bits.isascii() and bits.isdigit() and str(int(bits)) == bits)):
        return None
    try:
        net = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
    return Net(net.version, int(net.network_address), int(net.broadcast_address))


def endpoint(text: str) -> Endpoint:
    """What a text names, in the order in which a control server tries the kinds. ``Unusable`` where it is none."""
    net = network(text)
    if net is not None:
        return Endpoint(Kind.NETWORK, text, net)
    if text == "*":
        return Endpoint(Kind.ANY, text)
    if "@" in text:
        return Endpoint(Kind.USER, text)
    for prefix, kind in PREFIXES.items():
        if text.startswith(prefix):
            if text == prefix:
                break
            return Endpoint(kind, text)
    if text and ":" not in text and "/" not in text:
        return Endpoint(Kind.HOST, text)
    raise Unusable(
        "*, user@domain, group:NAME, tag:NAME, autogroup:NAME, a name of hosts, an address or a CIDR",
        "write it as one of these",
    )


PREFIXES = {
    "group:": Kind.GROUP,
    "tag:": Kind.TAG,
    "autogroup:": Kind.AUTOGROUP,
    "ipset:": Kind.OPAQUE,
    "svc:": Kind.OPAQUE,
}


def destination(text: str) -> tuple[Endpoint, Ports]:
    """The ``host:ports`` of an `acls` rule or of a test. ``Unusable`` where it is none."""
    where, ports_text = _split(text)
    try:
        return endpoint(where), ports(ports_text)
    except Unusable:
        if _is_endpoint(text):
            raise _no_ports() from None
        raise


def _is_endpoint(text: str) -> bool:
    try:
        return bool(endpoint(text))
    except Unusable:
        return False


def _no_ports() -> Unusable:
    return Unusable(
        "HOST:PORTS, such as tag:web:443 or [fd7a::1]:22", "put a colon and the ports behind the host", "port"
    )


def _split(text: str) -> tuple[str, str]:
    """Host and ports; an IPv6 address may stand in brackets, with its prefix length behind them."""
    if text.startswith("["):
        inner, bracket, rest = text[1:].partition("]")
        net = network(inner)
        if not bracket or net is None or net.version != 6 or rest[:1] not in (":", "/"):
            raise Unusable("brackets around an IPv6 address, then :PORTS", "leave the brackets out of other hosts")
        text = inner + rest
    where, colon, after = text.rpartition(":")
    if not colon or not where or not after:
        raise _no_ports()
    return where, after


def ports(text: str) -> Ports:
    """``*``, ``22``, ``80,443`` or ``8000-8099``. ``Unusable`` where it is none."""
    if text == "*":
        return EVERY_PORT
    found = []
    for part in text.split(","):
        first_text, dash, last_text = part.partition("-")
        first = _port(first_text)
        last = _port(last_text) if dash else first
        if first > last or (not dash and first == 0):
            raise Unusable(
                "ports as *, 22, 80,443 or 8000-8099", "put the smaller port first; * stands for all", "port"
            )
        found.append((first, last))
    return tuple(found)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > LAST_PORT:
        raise Unusable(f"a port from 1 to {LAST_PORT}", "correct the port, or write * for all", "port")
    return int(text)


def protocol(text: str) -> Optional[frozenset[int]]:
    """A name or a number of a protocol; None for an empty text, which stands for the client's own set."""
    if text == "":
        return None
    if text in PROTOCOLS:
        return frozenset((PROTOCOLS[text],))
    if text.isascii() and text.isdigit() and len(text) <= 3 and not text.startswith("0") and int(text) <= 255:
        return frozenset((int(text),))
    known = ", ".join(PROTOCOLS)
    raise Unusable(
        f"a protocol ({known}) or its number from 1 to 255", "correct the protocol or leave it out", "protocol"
    )


def capability(text: str) -> tuple[Optional[frozenset[int]], Ports]:
    """An entry of a grant's `ip`: ``*``, ``22``, ``tcp:443``, ``udp:*``. ``Unusable`` where it is none."""
    if text == "*":
        return None, EVERY_PORT
    name, colon, after = text.rpartition(":")
    if not colon:
        return None, ports(text)
    if not name or ":" in name:
        raise Unusable("PROTOCOL:PORTS, such as tcp:443", "write one protocol, a colon and the ports")
    return protocol(name), ports(after)


def without_ports(protocols: Optional[frozenset[int]], given: Ports) -> bool:
    """Whether these protocols have no ports, yet some are given."""
    return protocols is not None and not protocols & PORTED and given != EVERY_PORT


def written_ports(given: Ports) -> str:
    """Ports as a policy writes them."""
    if given == EVERY_PORT:
        return "*"
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in given)
