# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Blocked packets and tracked connections of a fleet, folded into flows in the site's own words."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.reply import Question, advice
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import INTERNET, TIER, Flow, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import (
    Policy,
    destination_spans,
    source_spans,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import WITH_PORTS, WITHOUT_PORTS, Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_address
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.heard import Blocked, Connections, Heard
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.places import (
    BESIDE,
    ERRORS,
    Places,
    Where,
    service,
    strange,
)

#: Ports between two places from which on they are one row: nobody declares them one by one.
MANY_PORTS = 8
#: Addresses of the internet that a flow names one by one; beyond these it would have to name the internet.
FEW = 3


class Kind(str, Enum):
    """What a row is, the most urgent first."""

    #: A flow declares it, and a host blocked it.
    DECLARED = "declared"
    UNDECLARED = "undeclared"
    FORBIDDEN = "forbidden"
    #: A flow's limit stopped it.
    LIMITED = "limited"
    #: One end is no part of the LAN: a tailnet, a network of containers, a pool.
    BESIDE = "beside"
    #: It belongs to no connection that the firewall knows.
    LATE = "late"
    #: To everybody on a link.
    NOISE = "noise"


class Key(NamedTuple):
    """What makes a row. what: the service, or what kind of noise; path: the flow or invariant that decides; odd: what is wrong with
    the sources."""

    kind: Kind
    source: Where
    destination: Where
    what: str
    path: str = ""
    odd: str = ""


@dataclass
class Row:
    """Packets or connections of one kind. ports: those that were asked for; by: {host that reported it: ways}."""

    key: Key
    count: int = 0
    sources: set[str] = field(default_factory=set)
    destinations: set[str] = field(default_factory=set)
    ports: set[Ports] = field(default_factory=set)
    by: dict[str, set[str]] = field(default_factory=dict)
    first: float = float("inf")
    last: float = 0.0
    flow: Optional[Flow] = None

    def add(self, other: Row) -> None:
        self.count += other.count
        self.sources |= other.sources
        self.destinations |= other.destinations
        self.ports |= other.ports
        for host, ways in other.by.items():
            self.by.setdefault(host, set()).update(ways)
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)


class Folded(NamedTuple):
    """blocked: rows of packets; open_now, unanswered: rows of tracked connections. Each sorted, the most urgent first."""

    blocked: tuple[Row, ...]
    open_now: tuple[Row, ...]
    unanswered: tuple[Row, ...]


class Watch:
    """The site's words and flows, asked of many packets."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.places = Places(site)
        self._policy = Policy(site)
        self._never = Policy(dataclasses.replace(site, flows=site.never))
        self._names = {ports[0]: name for name, ports in reversed(list(site.services.items())) if len(ports) == 1}

    def fold(self, heard: Mapping[str, Heard]) -> Folded:
        """heard: {host: its answer}."""
        blocked: dict[Key, Row] = {}
        for host, answer in heard.items():
            for log in answer.logs:
                reporter = log.sender or host
                # Where a collector tells of others, their interfaces are not known.
                seen = answer if not log.sender else answer._replace(addresses={})
                for packet in log.packets:
                    self._put(blocked, self._of_packet(seen, packet, reporter))
        open_now, unanswered = self._connections(heard)
        return Folded(*(_sorted(_by_ports(rows)) for rows in (blocked, open_now, unanswered)))

    @staticmethod
    def _put(rows: dict[Key, Row], row: Row) -> None:
        known = rows.setdefault(row.key, row)
        if known is not row:
            known.add(row)

    # -- packets

    def _of_packet(self, heard: Heard, packet: Blocked, reporter: str) -> Row:
        source, destination = self.places.where(packet.source), self.places.where(packet.destination)
        odd = strange(heard, source, packet.way, packet.interface, packet.source)
        kind, what, flow = self._judge(packet, source, destination)
        path = flow.path if flow else ""
        row = Row(Key(kind, source, destination, what, path, odd), packet.number, flow=flow)
        row.sources, row.destinations = {packet.source}, {packet.destination}
        row.by = {reporter: {packet.way}}
        row.first, row.last = packet.first, packet.last
        if packet.proto in WITH_PORTS and packet.port > 0:
            row.ports = {Ports(packet.proto, packet.port, packet.port)}
        return row

    def _judge(self, packet: Blocked, source: Where, destination: Where) -> tuple[Kind, str, Optional[Flow]]:
        proto, port = packet.proto, packet.port
        noise = self.places.noise(proto, port, packet.source, packet.destination)
        flow = self._flow(self._policy, packet.source, packet.destination, proto, port)
        # A flow to a tier has the tier's broadcast address in it, and means none of that; one to a group means it.
        if noise and (flow is None or self.places.is_broadcast(packet.destination)):
            return Kind.NOISE, noise, None
        late = self._late(packet)
        if late:
            return Kind.LATE, late, None
        what = service(proto, port, self._names)
        if flow:
            limited = packet.limited or flow.limit
            return (Kind.LIMITED if limited else Kind.DECLARED), what, flow
        never = self._flow(self._never, packet.source, packet.destination, proto, port)
        if never:
            return Kind.FORBIDDEN, what, never
        beside = BESIDE in (source.kind, destination.kind)
        return (Kind.BESIDE if beside else Kind.UNDECLARED), what, None

    @staticmethod
    def _flow(policy: Policy, source: str, destination: str, proto: str, port: int) -> Optional[Flow]:
        return policy.flow_for(source, destination, proto, port if proto in WITH_PORTS else None)

    def _late(self, packet: Blocked) -> str:
        """Why a packet opens no connection, or nothing."""
        proto = packet.proto
        if proto in ERRORS and packet.port in ERRORS[proto]:
            return f"{proto} errors"
        if proto in WITH_PORTS and packet.port < 0:
            return f"fragments of {proto}"
        if not packet.opens:
            return proto
        if packet.sport and self._flow(self._policy, packet.destination, packet.source, proto, packet.sport):
            return f"answers of {service(proto, packet.sport, self._names)}"
        return ""

    # -- connections

    def _connections(self, heard: Mapping[str, Heard]) -> tuple[dict[Key, Row], dict[Key, Row]]:
        """Each connection is seen by its ends and by every router between: the highest number of one host counts."""
        most: dict[Connections, Connections] = {}
        by: dict[Connections, set[str]] = {}
        for host, answer in heard.items():
            for one in answer.connections:
                same = one._replace(number=0, answered=False)
                by.setdefault(same, set()).add(host)
                known = most.get(same, same)
                # One answer that any host has seen is an answer.
                most[same] = one._replace(number=max(one.number, known.number), answered=one.answered or known.answered)
        found: tuple[dict[Key, Row], dict[Key, Row]] = ({}, {})
        for same, one in most.items():
            row = self._of_connection(one, by[same])
            if row:
                self._put(found[0 if one.answered else 1], row)
        return found

    def _of_connection(self, one: Connections, hosts: Iterable[str]) -> Optional[Row]:
        if one.proto in ERRORS or self.places.noise(one.proto, one.port, one.client, one.server):
            return None
        flow = self._flow(self._policy, one.client, one.server, one.proto, one.port)
        end, port = one.server, one.port
        asked = self._flow(self._policy, one.client, one.asked, one.proto, one.asked_port)
        # A published port is declared for the host, and answered by a container.
        if not flow and (asked or self.places.where(one.server).kind == BESIDE):
            flow, end, port = asked, one.asked, one.asked_port
        source, destination = self.places.where(one.client), self.places.where(end)
        never = None if flow else self._flow(self._never, one.client, end, one.proto, port)
        beside = BESIDE in (source.kind, destination.kind)
        kind = Kind.DECLARED if flow else Kind.FORBIDDEN if never else Kind.BESIDE if beside else Kind.UNDECLARED
        decides = flow or never
        what = service(one.proto, port, self._names)
        row = Row(Key(kind, source, destination, what, decides.path if decides else ""), one.number, flow=decides)
        row.sources, row.destinations = {one.client}, {end}
        row.by = {host: set() for host in hosts}
        if one.proto in WITH_PORTS and port > 0:
            row.ports = {Ports(one.proto, port, port)}
        return row

    # -- what to do about it

    def advice(self, row: Row) -> list[str]:
        """The smallest flow that would allow a row's packets, or the invariant that forbids one; in words."""
        source, destination, *_rest = row.key[1:]
        if row.key.kind is not Kind.UNDECLARED or row.key.odd:
            return []
        if len(row.ports) > 1:
            return ["so many ports are not asked for by a service: a scan, or a program that chooses its port"]
        ports = next(iter(row.ports), None)
        if ports is None:
            if row.key.what not in WITHOUT_PORTS:
                return ["no flow can declare it: UFW's own files decide about it (before.rules)"]
            ports = Ports(row.key.what, 0, 65535)
        start, starts = self._end(source, row.sources, True)
        end, ends = self._end(destination, row.destinations, False)
        if not starts or not ends:
            return []
        return advice(self.site, Question(start, end, str(ports), (ports,)), starts, ends)

    def _end(self, where: Where, addresses: set[str], is_source: bool) -> tuple[str, tuple[Net, ...]]:
        """The smallest end of a flow that has all of some addresses, as its text and its spans."""
        names = {self.places.name_of(text) for text in addresses}
        if len(names) == 1 and "" not in names:
            name = names.pop()
            return name, self.site.addresses[name]
        if where.kind == INTERNET and len(addresses) <= FEW:
            texts = sorted(addresses)
            text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
            return text, tuple(map(parse_address, texts))
        endpoint = self.places.endpoint(where.word, where.kind)
        if endpoint is None:
            return "", ()
        same = where.kind == TIER
        spans = source_spans(self.site, endpoint) if is_source else destination_spans(self.site, endpoint)
        return where.word if same or where.kind != INTERNET else INTERNET, spans


def _by_ports(rows: Mapping[Key, Row]) -> list[Row]:
    """The same with the ports of a scan in one row."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows.values():
        proto = next(iter(row.ports)).proto if row.ports else ""
        groups.setdefault((row.key._replace(what=""), proto), []).append(row)
    found: list[Row] = []
    for (key, proto), ones in groups.items():
        ports = {port for row in ones for port in row.ports}
        if not proto or len(ports) <= MANY_PORTS or key.kind not in (Kind.UNDECLARED, Kind.FORBIDDEN, Kind.BESIDE):
            found += ones
            continue
        numbers = sorted(one.first for one in ports)
        whole = Row(
            key._replace(what=f"{len(numbers):,} ports of {proto} ({numbers[0]}-{numbers[-1]})"), flow=ones[0].flow
        )
        for row in ones:
            whole.add(row)
        found.append(whole)
    return found


def _sorted(rows: Iterable[Row]) -> tuple[Row, ...]:
    order = list(Kind)
    return tuple(sorted(rows, key=lambda row: (order.index(row.key.kind), -row.count, row.key[1:])))
