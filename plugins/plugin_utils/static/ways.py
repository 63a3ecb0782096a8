# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a host sends a whole set of packets: its routing rules and tables, cut at the ends of its routes (ip-rule(8)).

The same decisions as ask/routing.py makes for one packet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    Interval,
    Intervals,
    common,
    complement,
    merged,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import Interface, Node, Policy, Route
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.routing import ENDS

#: The most routes of one table: each is cut out of what is left of all the others.
MOST_ROUTES = 2048
TOP = {4: (1 << 32) - 1, 6: (1 << 128) - 1}


class Toward(NamedTuple):
    """local: for the host itself; else out on `interface`, to `neighbour` (None: to the destination itself, which is on the
    link). trouble: why it goes nowhere; doubt: why that is not certain."""

    interface: Interface = ""
    neighbour: Optional[int] = None
    local: bool = False
    trouble: str = ""
    doubt: str = ""


class Part(NamedTuple):
    """A part of the packets that goes one way."""

    toward: Toward
    src: Optional[Intervals]
    dst: Intervals


Segment = tuple[Interval, Optional[Toward]]


class Ways:
    """Of one host and one family. skip: addresses whose routes are left out, since they are those of one host of a group."""

    def __init__(self, node: Node, family: int, skip: frozenset[int] = frozenset()) -> None:
        self.node, self.family, self.skip = node, family, skip
        self._tables: dict[tuple[str, int], list[Segment]] = {}
        self._marks = node.marks(family)

    def of(self, src: Optional[Intervals], dst: Intervals, inside: Interface = "lo") -> Iterator[Part]:
        """The parts of the packets from `src` (None: not known, as where a way back is asked for) to `dst` that came in by `inside`; lo for the host's own."""
        left: list[tuple[Optional[Intervals], Intervals, str]] = [(src, dst, "")]
        for policy in self.node.policies[self.family]:
            if policy.unread:
                text = f"its routing rule {policy.priority} has {policy.unread}, which is not modelled"
                left = [(a, b, doubt or text) for a, b, doubt in left]
                continue
            if policy.marked:
                if self._marks:
                    text = f"its routing rule {policy.priority} goes by a mark, which its rules may set"
                    left = [(a, b, doubt or text) for a, b, doubt in left]
                if not policy.inverted:
                    continue
            rest: list[tuple[Optional[Intervals], Intervals, str]] = []
            for a, b, doubt in left:
                meets, others = self._split(policy, a, b, inside)
                rest += [(*other, doubt) for other in others]
                for start, end in meets:
                    for toward, part in self._looked_up(policy, end):
                        if toward is None:
                            rest.append((start, part, doubt))
                        else:
                            yield Part(toward._replace(doubt=doubt or toward.doubt), start, part)
            left = rest
            if not left:
                return
        for a, b, doubt in left:
            yield Part(Toward(trouble="it has no route there", doubt=doubt), a, b)

    def _split(
        self, policy: Policy, src: Optional[Intervals], dst: Intervals, inside: Interface
    ) -> tuple[list[tuple[Optional[Intervals], Intervals]], list[tuple[Optional[Intervals], Intervals]]]:
        """Those that a routing rule applies to, and the others."""
        whole = (0, TOP[self.family])
        meets: list[tuple[Optional[Intervals], Intervals]] = []
        others: list[tuple[Optional[Intervals], Intervals]] = []
        if policy.marked or policy.interface not in ("", inside):
            others = [(src, dst)]
        else:
            start, end = (_net(text) if text else whole for text in (policy.source, policy.destination))
            inner = common(dst, (end,))
            outer = common(dst, complement((end,), *whole))
            if outer:
                others.append((src, outer))
            if inner and start == whole:
                meets.append((src, inner))
            elif inner and src is None:
                others.append((src, inner))
            elif inner and src is not None:
                near, far = common(src, (start,)), common(src, complement((start,), *whole))
                meets += [(near, inner)] if near else []
                others += [(far, inner)] if far else []
        return (others, meets) if policy.inverted else (meets, others)

    def _looked_up(self, policy: Policy, dst: Intervals) -> Iterator[tuple[Optional[Toward], Intervals]]:
        found: dict[Optional[Toward], list[Interval]] = {}
        for low, high in dst:
            for (first, last), toward in self._table(policy.table, policy.shortest):
                if last < low:
                    continue
                if first > high:
                    break
                found.setdefault(toward, []).append((max(first, low), min(last, high)))
        for toward, intervals in found.items():
            yield toward, merged(intervals)

    def _table(self, name: str, shortest: int) -> list[Segment]:
        """The line of destinations, cut at the routes; None: on with the next routing rule."""
        key = (name, shortest)
        if key not in self._tables:
            self._tables[key] = self._cut(self.node.routes[self.family].get(name, ()), shortest)
        return self._tables[key]

    def _cut(self, routes: Sequence[Route], shortest: int) -> list[Segment]:
        left: Intervals = ((0, TOP[self.family]),)
        found: list[Segment] = []
        if len(routes) > MOST_ROUTES:
            return [
                (left[0], Toward(doubt=f"it has {len(routes)} routes, more than the {MOST_ROUTES} that are followed"))
            ]
        weights: dict[tuple[object, int, str], int] = {}
        for route in routes:
            key = (route.net, route.metric, route.kind)
            weights[key] = weights.get(key, 0) + 1
        for route in routes:  # longest prefix first, least metric first
            first, last = int(route.net.network_address), int(route.net.broadcast_address)
            if route.kind == "multicast" or (route.kind in ("local", "broadcast", "anycast") and first in self.skip):
                continue
            here = common(left, ((first, last),))
            if not here:
                continue
            several = route.kind == "unicast" and weights[route.net, route.metric, route.kind] > 1
            toward = _toward(route, shortest, several)
            found += [(interval, toward) for interval in here]
            left = common(left, complement(((first, last),), 0, TOP[self.family]))
        found += [(interval, None) for interval in left]
        return sorted(found, key=lambda segment: segment[0])


def _toward(route: Route, shortest: int, several: bool) -> Optional[Toward]:
    if route.kind == "throw" or (route.kind == "unicast" and route.net.prefixlen <= shortest):
        return None
    doubt = f"it has several routes for {route.net} of one weight" if several else ""
    if route.kind in ("local", "broadcast", "anycast"):
        return Toward(route.interface, local=True, doubt=doubt)
    if route.kind in ENDS:
        return Toward(trouble=f"its route for {route.net} is {route.kind}", doubt=doubt)
    neighbour = int(ipaddress.ip_address(route.gateway)) if route.gateway else None
    if route.gateway and ipaddress.ip_address(route.gateway).version != route.net.version:
        return Toward(
            route.interface, doubt=f"its route for {route.net} leads to {route.gateway}, of another IP version"
        )
    return Toward(route.interface, neighbour, doubt=doubt)


def _net(text: str) -> Interval:
    net = ipaddress.ip_network(text)
    return int(net.network_address), int(net.broadcast_address)
