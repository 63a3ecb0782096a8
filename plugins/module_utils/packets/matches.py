# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The matches of a rule: options and their values -> intervals of fields, or a label where one is not modelled.

Each reader takes (family, values, negated) and returns a match, or None for one that every packet meets. It raises
ValueError for a value that it does not model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    IIF,
    OIF,
    PROTO,
    SPORT,
    SRC,
    Interval,
    Intervals,
    address_number,
    address_range,
    complement,
    interface_range,
    merged,
    number,
    port_range,
    protocol_number,
    top,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import FLAGS, ICMP_TYPES


class Within(NamedTuple):
    """The field lies in one of the intervals."""

    field: int
    intervals: Intervals


class EitherPort(NamedTuple):
    """The source port or the destination port does (multiport --ports)."""

    intervals: Intervals


class BothPorts(NamedTuple):
    """Both ports do (multiport ! --ports)."""

    intervals: Intervals


class NeitherPort(NamedTuple):
    """The source port is in `source` and the destination port in `destination`; where only one of them is, it depends on
    who loaded the rule: iptables-nft made `! --sport A ! --dport B` into "not both" (1.8.8 to 1.8.9, add_nft_tcpudp)."""

    source: Intervals
    destination: Intervals


class First(NamedTuple):
    """The field of the connection's first packet, before any translation (--ctorig...)."""

    field: int
    intervals: Intervals


class State(NamedTuple):
    """The connection's state, or the virtual states SNAT and DNAT."""

    states: frozenset[str]
    negated: bool


class Direction(NamedTuple):
    """The packet goes in the connection's ORIGINAL or REPLY direction."""

    name: str
    negated: bool


class Flags(NamedTuple):
    """Of the TCP flags in `mask`, those in `raised` are set and no other."""

    mask: frozenset[str]
    raised: frozenset[str]
    negated: bool


class Type(NamedTuple):
    """The routing table's type of an address: LOCAL, BROADCAST, ..."""

    field: int
    types: frozenset[str]
    negated: bool


class Never(NamedTuple):
    """No ordinary packet meets it: it needs a fragment or an extension header."""


class Unmodelled(NamedTuple):
    """Counted both ways. rate: it lets some of the packets through and not others (limit, recent, ...)."""

    label: str
    rate: bool = False


Match = Union[Within, EitherPort, BothPorts, NeitherPort, First, State, Direction, Flags, Type, Never, Unmodelled]
Reader = Callable[[int, "list[str]", bool], Optional[Match]]

#: In iptables' own order, by which a name that is cut short is found.
ADDRESS_TYPES = (
    "UNSPEC", "UNICAST", "LOCAL", "BROADCAST", "ANYCAST", "MULTICAST", "BLACKHOLE", "UNREACHABLE", "PROHIBIT", "THROW", "NAT",
    "XRESOLVE",
)  # fmt: skip
STATES = ("INVALID", "NEW", "ESTABLISHED", "RELATED", "UNTRACKED", "SNAT", "DNAT")


def _inside(field: int, family: int, intervals: Intervals, negated: bool) -> Within:
    return Within(field, complement(intervals, 0, top(field, family)) if negated else intervals)


def _address(field: int) -> Reader:
    def reader(family: int, values: list[str], negated: bool) -> Within:
        # iptables makes a rule of each address of a list.
        return _inside(field, family, merged(address_range(text, family) for text in values[0].split(",")), negated)

    return reader


def _interface(field: int) -> Reader:
    def reader(family: int, values: list[str], negated: bool) -> Within:
        return _inside(field, family, (interface_range(values[0]),), negated)

    return reader


def _protocol(family: int, values: list[str], negated: bool) -> Optional[Match]:
    proto = protocol_number(values[0])
    if proto == 0:  # every protocol
        return Never() if negated else None
    return _inside(PROTO, family, ((proto, proto),), negated)


def _port(field: int, octal: bool = False) -> Reader:
    def reader(family: int, values: list[str], negated: bool) -> Within:
        return _inside(field, family, (port_range(values[0], octal),), negated)

    return reader


def _ports(text: str) -> Intervals:
    return merged(port_range(item, True) for item in text.split(","))


def _port_list(field: int) -> Reader:
    def reader(family: int, values: list[str], negated: bool) -> Within:
        return _inside(field, family, _ports(values[0]), negated)

    return reader


def _either_port(family: int, values: list[str], negated: bool) -> Match:
    ports = _ports(values[0])
    return BothPorts(complement(ports, 0, 65535)) if negated else EitherPort(ports)


def _icmp(family: int, values: list[str], negated: bool) -> Optional[Match]:
    text = values[0].lower()
    names = [name for name in ICMP_TYPES[family] if name.startswith(text)]
    if text and len(names) == 1:  # a name may be cut short
        text = names[0]
    kind, slash, code = ICMP_TYPES[family].get(text, text).partition("/")
    if family == 4 and (kind == "any" or number(kind, 255) == 255):  # xt_tcpudp.c: icmp_type_code_match
        return Never() if negated else None
    value = number(kind, 255)
    low, high = (number(code, 255),) * 2 if slash else (0, 255)
    return _inside(DPORT, family, ((value * 256 + low, value * 256 + high),), negated)


def _flags(family: int, values: list[str], negated: bool) -> Flags:
    mask, raised = (
        FLAGS if item == "ALL" else frozenset(item.split(",")) - {"NONE"} for item in map(str.upper, values)
    )
    if not (mask | raised) <= FLAGS:
        raise ValueError(values)
    return Flags(mask, raised, negated)


def _syn(family: int, values: list[str], negated: bool) -> Flags:
    return Flags(frozenset(("SYN", "RST", "ACK", "FIN")), frozenset(("SYN",)), negated)


def _state(family: int, values: list[str], negated: bool) -> State:
    return State(frozenset(_whole(name, STATES) for name in values[0].split(",")), negated)


def _whole(text: str, names: Sequence[str]) -> str:
    """The first of the names that begins so, as iptables finds it."""
    for name in names:
        if text and name.startswith(text.upper()):
            return name
    raise ValueError(text)


def _direction(family: int, values: list[str], negated: bool) -> Direction:
    name = values[0].upper()
    if name not in ("ORIGINAL", "REPLY"):
        raise ValueError(name)
    return Direction(name, negated)


def _first(field: int) -> Reader:
    def reader(family: int, values: list[str], negated: bool) -> First:
        interval = address_range(values[0], family) if field in (SRC, DST) else port_range(values[0])
        return First(field, _inside(field, family, (interval,), negated).intervals)

    return reader


def _first_protocol(family: int, values: list[str], negated: bool) -> Optional[Match]:
    found = _protocol(family, values, negated)
    return First(PROTO, found.intervals) if isinstance(found, Within) else found


def _type(field: int) -> Reader:
    def reader(family: int, values: list[str], negated: bool) -> Type:
        return Type(field, frozenset(_whole(name, ADDRESS_TYPES) for name in values[0].split(",")), negated)

    return reader


def _range(field: int) -> Reader:
    def reader(family: int, values: list[str], negated: bool) -> Within:
        first, _dash, last = values[0].partition("-")
        interval: Interval = (address_number(first, family), address_number(last or first, family))
        if interval[0] > interval[1]:
            raise ValueError(values[0])
        return _inside(field, family, (interval,), negated)

    return reader


def _fragment(family: int, values: list[str], negated: bool) -> Optional[Match]:
    return None if negated else Never()


def _comment(family: int, values: list[str], negated: bool) -> None:
    return None


#: {option of every rule: its reader}.
GENERIC_READERS: dict[str, Reader] = {
    "-s": _address(SRC), "-d": _address(DST), "-i": _interface(IIF), "-o": _interface(OIF), "-p": _protocol, "-f": _fragment,
}  # fmt: skip
_PORTS: dict[str, Reader] = {"--sport": _port(SPORT), "--dport": _port(DPORT)}
_ICMP6: dict[str, Reader] = {"--icmpv6-type": _icmp}
#: {module: {option: its reader}}.
READERS: dict[str, dict[str, Reader]] = {
    "tcp": {"--sport": _port(SPORT, True), "--dport": _port(DPORT, True), "--syn": _syn, "--tcp-flags": _flags},
    **dict.fromkeys(("udp", "udplite", "sctp", "dccp"), _PORTS),
    "multiport": {"--sports": _port_list(SPORT), "--dports": _port_list(DPORT), "--ports": _either_port},
    "icmp": {"--icmp-type": _icmp},
    **dict.fromkeys(("icmp6", "icmpv6", "ipv6-icmp"), _ICMP6),
    "state": {"--state": _state},
    "conntrack": {
        "--ctstate": _state, "--ctdir": _direction, "--ctproto": _first_protocol, "--ctorigsrc": _first(SRC),
        "--ctorigdst": _first(DST), "--ctorigsrcport": _first(SPORT), "--ctorigdstport": _first(DPORT),
    },
    "addrtype": {"--src-type": _type(SRC), "--dst-type": _type(DST)},
    "iprange": {"--src-range": _range(SRC), "--dst-range": _range(DST)},
    "comment": {"--comment": _comment},
}  # fmt: skip
