# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that treat every packet alike, as one: those of the same tiers with equal rules, routes, interfaces and settings, but
for their own addresses. A host that translates addresses, or has several of one family, is a group of its own.
"""

from __future__ import annotations

import ipaddress
from bisect import bisect_right
from collections.abc import Collection, Hashable, Iterable, Mapping
from functools import cached_property, lru_cache
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import Interval, Intervals, merged
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import (
    FAMILIES,
    MOST_KEPT,
    Interface,
    Node,
    interface_of,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.hooks import asks_source_types, translates

Net = tuple[Interface, Interval]


class Group:
    """node: one of the hosts, which stands for all. owned: {family: {interface: the hosts' addresses}}."""

    def __init__(self, name: str, node: Node, hosts: tuple[Node, ...], addresses: Mapping[str, Iterable[str]]) -> None:
        """addresses: {host: those that others reach it at}."""
        self.name, self.node, self.hosts = name, node, hosts
        #: Whether its one host stands for more of them, at all the addresses that are owned.
        self.whole = False
        self.owned: dict[int, dict[Interface, Intervals]] = {4: {}, 6: {}}
        points: dict[tuple[int, Interface], list[Interval]] = {}
        for host in hosts:
            own = host.own
            for text in addresses[host.name]:
                version, point = _point(text)
                points.setdefault((version, own[text]), []).append((point, point))
        for (version, interface), found in points.items():
            self.owned[version][interface] = merged(found)

    @property
    def single(self) -> bool:
        return len(self.hosts) == 1 and not self.whole

    def addresses(self, family: int) -> Intervals:
        """All of them."""
        return merged(interval for found in self.owned[family].values() for interval in found)

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The hosts' own addresses with their networks, bridges and loopback too."""
        return tuple(dict.fromkeys(text for host in self.hosts for text in host.texts))

    @cached_property
    def links(self) -> dict[int, tuple[Net, ...]]:
        """{family: ((interface, the network that it is in), ...)}"""
        found: dict[int, list[Net]] = {4: [], 6: []}
        for interface, texts in self.node.addresses.items():
            for text in texts:
                one = interface_of(text)
                net = one.network
                found[one.version].append((interface, (int(net.network_address), int(net.broadcast_address))))
        return {family: tuple(nets) for family, nets in found.items()}

    def on_link(self, family: int, interface: Interface, point: int) -> bool:
        """Whether an address is a neighbour on an interface."""
        return any(name == interface and low <= point <= high for name, (low, high) in self.links[family])

    def __repr__(self) -> str:
        more = f" and {len(self.hosts) - 1} more" if len(self.hosts) > 1 else ""
        return f"{self.node.name}{more}"


class Owners:
    """Which group has an address, and on which interface."""

    def __init__(self, groups: Iterable[Group], family: int) -> None:
        found: list[tuple[int, int, Group, Interface]] = []
        for group in groups:
            for interface, intervals in group.owned[family].items():
                found += [(first, last, group, interface) for first, last in intervals]
        self._found = sorted(found, key=lambda item: item[:2])
        self._starts = [item[0] for item in self._found]

    @cached_property
    def everything(self) -> Intervals:
        return merged((first, last) for first, last, _group, _interface in self._found)

    def at(self, point: int) -> Optional[tuple[Group, Interface]]:
        place = bisect_right(self._starts, point) - 1
        if place >= 0 and self._found[place][1] >= point:
            return self._found[place][2:]
        return None

    def within(self, intervals: Intervals) -> list[tuple[Group, Interface, Intervals]]:
        """The groups that have some of these addresses, and which."""
        parts: dict[tuple[int, Interface], list[Interval]] = {}
        groups: dict[int, Group] = {}
        for low, high in intervals:
            place = max(0, bisect_right(self._starts, low) - 1)
            while place < len(self._found) and self._found[place][0] <= high:
                first, last, group, interface = self._found[place]
                if last >= low:
                    groups[id(group)] = group
                    parts.setdefault((id(group), interface), []).append((max(first, low), min(last, high)))
                place += 1
        return [(groups[key], interface, merged(found)) for (key, interface), found in parts.items()]


def groups_of(
    nodes: Mapping[str, Node], addresses: Mapping[str, Iterable[str]], kinds: Mapping[str, Hashable]
) -> list[Group]:
    """addresses: {host: those that others reach it at, each with one host}; kinds: {host: what the inventory makes of it}."""
    found: dict[Hashable, list[Node]] = {}
    for name, node in nodes.items():
        several = any(sum((":" in text) == (family == 6) for text in addresses[name]) > 1 for family in FAMILIES)
        alone = several or any(_is_special(node, family) for family in FAMILIES)
        key = (kinds.get(name), name) if alone else (kinds.get(name), _key(node))
        found.setdefault(key, []).append(node)
    return [Group(hosts[0].name, hosts[0], tuple(hosts), addresses) for hosts in found.values()]


_SPECIAL: dict[int, tuple[object, bool]] = {}


def _is_special(node: Node, family: int) -> bool:
    """Rules by which hosts with equal ones differ: they name the host's own address without writing it."""
    ruleset = node.rulesets[family]
    known = _SPECIAL.get(id(ruleset))
    if known is None or known[0] is not ruleset:
        known = _SPECIAL[id(ruleset)] = (ruleset, translates(ruleset) or asks_source_types(ruleset))
        if len(_SPECIAL) > 4096:
            _SPECIAL.clear()
    return known[1]


def _key(node: Node) -> Hashable:
    own = node.own
    routes = tuple(
        (family, table, tuple(route for route in routes if not _is_own(route.net, route.kind, own)))
        for family, tables in node.routes.items()
        for table, routes in sorted(tables.items())
    )
    nets = tuple(
        (name, tuple(net for net in map(_network, texts) if net)) for name, texts in sorted(node.addresses.items())
    )
    return (
        tuple(id(node.rulesets[family]) for family in FAMILIES),
        routes,
        nets,
        tuple(sorted(node.forwards.items())),
        tuple(sorted(node.strict.items())),
        node.bridges,
        tuple(node.policies.items()),
    )


@lru_cache(maxsize=MOST_KEPT)
def _network(text: str) -> str:
    """Of an address; "" for one of a link alone."""
    one = interface_of(text)
    return "" if one.is_link_local else str(one.network)


def _is_own(net: ipaddress.IPv4Network | ipaddress.IPv6Network, kind: str, own: Collection[str]) -> bool:
    """Whether a route of the table `local` is there for one of the host's own addresses."""
    return kind == "local" and str(net.network_address) in own


def _point(text: str) -> tuple[int, int]:
    one = ipaddress.ip_address(text)
    return one.version, int(one)
