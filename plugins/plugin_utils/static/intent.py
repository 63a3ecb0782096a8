# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a site's flows mean for sets of packets: the set that is declared between some senders and some receivers.

Like site/policy.py it knows of no rule, host or chain.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    ICMP,
    Box,
    Interval,
    Intervals,
    common,
    complement,
    merged,
    protocol_number,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import INTERNET, Endpoint, Flow, Pair, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import destination_spans, source_spans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY, WITH_PORTS, Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import V6, Net
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.region import box_of

#: No host of the internet has one of these addresses: this network, loopback, link-local, multicast and reserved ones.
OF_NO_HOST: dict[int, Intervals] = {
    4: merged(((0, 0x00FFFFFF), (0x7F000000, 0x7FFFFFFF), (0xA9FE0000, 0xA9FEFFFF), (0xE0000000, 0xFFFFFFFF))),
    6: ((0, 1), (0xFE80 << 112, (0xFEC0 << 112) - 1), (0xFF00 << 112, (1 << 128) - 1)),
}  # fmt: skip
#: What is sent. IPv6's extension headers are no protocols of their own; ICMP is ufw's own matter, which no site declares.
PROTOCOLS: dict[int, Intervals] = {
    4: complement(((ICMP[4],) * 2,), 0, 255),
    6: common(((1, 42), (45, 59), (61, 255)), complement(((ICMP[6],) * 2,), 0, 255)),
}
#: What ufw's own before.rules let in on every host, beside ICMP: the answers of a DHCP server.
FRAMEWORK: dict[int, Box] = {
    4: box_of(proto=((17, 17),), sport=((67, 67),), dport=((68, 68),)),
    6: box_of(proto=((17, 17),), sport=((547, 547),), dport=((546, 546),)),
}


class Grant(NamedTuple):
    """One pair of ends of a flow, and what it lets pass of each service: {service: boxes}."""

    flow: Flow
    pair: Pair
    src: Intervals
    dst: Intervals


class Intent:
    """The flows of a site, of one family, found by the addresses at both ends."""

    def __init__(self, site: Site, family: int, flows: Iterable[Flow]) -> None:
        self.site, self.family = site, family
        self._sources: dict[Endpoint, int] = {}
        self._destinations: dict[Endpoint, int] = {}
        self._spans: dict[tuple[bool, Endpoint], Intervals] = {}
        self._services: dict[tuple[str, str], list[tuple[Intervals, Intervals | None]]] = {}
        self._grants: list[tuple[int, int, Grant]] = []
        for flow in flows:
            for pair in flow.pairs:
                src, dst = self._of(True, pair.source), self._of(False, pair.destination)
                if src and dst:
                    a = self._sources.setdefault(pair.source, len(self._sources))
                    b = self._destinations.setdefault(pair.destination, len(self._destinations))
                    self._grants.append((a, b, Grant(flow, pair, src, dst)))
        #: {the sources that are meant, as a mask: what is granted from them}.
        self._from: dict[int, list[tuple[int, Grant]]] = {}
        self._starts = _Index([self._of(True, end) for end in self._sources])
        self._ends = _Index([self._of(False, end) for end in self._destinations])

    def _of(self, source: bool, end: Endpoint) -> Intervals:
        key = (source, end)
        if key not in self._spans:
            nets = source_spans(self.site, end) if source else destination_spans(self.site, end)
            self._spans[key] = intervals_of(nets, self.family)
        return self._spans[key]

    def between(
        self, src: Intervals, dst: Intervals, named: bool = False
    ) -> Iterator[tuple[Grant, Intervals, Intervals]]:
        """The grants that have something from `src` to `dst`, and of which addresses. named: not those to the internet, of
        which a router's own address is no part."""
        starts, ends = self._starts.meeting(src), self._ends.meeting(dst)
        if starts not in self._from:
            self._from[starts] = [(b, grant) for a, b, grant in self._grants if starts >> a & 1]
        for b, grant in self._from[starts]:
            if ends >> b & 1 and not (named and grant.pair.destination.kind == INTERNET):
                yield grant, common(grant.src, src), common(grant.dst, dst)

    def boxes(self, grant: Grant, service: str, src: Intervals, dst: Intervals) -> list[Box]:
        """What a grant lets pass of a service between some of its addresses."""
        return [box_of(proto=proto, dport=dport, src=src, dst=dst) for proto, dport in self._ports(grant.flow, service)]

    def _ports(self, flow: Flow, service: str) -> list[tuple[Intervals, Intervals | None]]:
        key = (flow.path, service)
        if key not in self._services:
            found = [_ports(ports, self.family) for ports in flow.ports[service] if self.family in ports.versions]
            self._services[key] = found
        return self._services[key]


def _ports(ports: Ports, family: int) -> tuple[Intervals, Intervals | None]:
    if ports.proto == ANY:
        return PROTOCOLS[family], None
    number = protocol_number(ports.proto)
    return ((number, number),), ((ports.first, ports.last),) if ports.proto in WITH_PORTS else None


def intervals_of(nets: Iterable[Net], family: int) -> Intervals:
    """Networks of one family as intervals of its addresses."""
    base = V6 if family == 6 else 0
    return merged((net.first - base, net.last - base) for net in nets if net.version == family)


def net_of(interval: Interval, family: int) -> Net:
    base = V6 if family == 6 else 0
    return Net(interval[0] + base, interval[1] + base)


class _Index:
    """Which of some sets meet an interval, as a bit mask."""

    def __init__(self, sets: Sequence[Intervals]) -> None:
        edges: dict[int, int] = {}
        for number, spans in enumerate(sets):
            for first, last in spans:
                edges[first] = edges.get(first, 0) ^ (1 << number)
                edges[last + 1] = edges.get(last + 1, 0) ^ (1 << number)
        self._starts = sorted(edges)
        self._masks: list[int] = []
        mask = 0
        for start in self._starts:
            mask ^= edges[start]
            self._masks.append(mask)

    def meeting(self, intervals: Intervals) -> int:
        found = 0
        for first, last in intervals:
            for place in range(max(0, bisect_right(self._starts, first) - 1), bisect_right(self._starts, last)):
                found |= self._masks[place]
        return found
