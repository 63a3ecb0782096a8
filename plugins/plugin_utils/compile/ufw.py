# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Edges of a host to its UFW rules, in the shape that ufw_ruleset takes. What no rule allows, the default policies deny.

A rule's comment is what a person reads in `ufw status`: "management -> monitoring ssh: administration". No position in
the declaration is in it: inserting a flow must not touch the rules of the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.edges import Edge, host_edges
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.rule import Grant, Rule, comment_of, grants_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.tailnet_rules import node_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY, WITHOUT_PORTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net

#: The policies that the rules are written for.
DEFAULTS: Mapping[str, str] = {"incoming": "deny", "outgoing": "allow", "routed": "deny"}


def host_rules(site: Site, tiers: Collection[str], gateway: bool) -> tuple[Rule, ...]:
    """The rules of a host, which depend on its tiers alone.

    site: a Site; tiers: the names of the tiers that the host is in; gateway: whether it is a router. A router has no
    INPUT rules for its tiers: of its addresses only the gateways' own are a destination.

    The first match wins, so the order is: all of the tailnet's, which end with the denies that keep it and the LAN apart;
    what names both ends; then for each direction of the internet (in, out) the
    denies that carve the site's own networks out, and the allows. Rules with the same match appear once.

    What any flow allows without a limit is not limited, in whatever order the flows stand: allows with a limit come last,
    and those that name a part of the internet after what the whole of it may.
    """
    grants: dict[str, tuple[Grant, ...]] = {}
    edges = sorted(host_edges(site, tiers, gateway), key=lambda edge: edge.flow.limit)
    inward = [edge for edge in edges if edge.source is None]
    outward = [edge for edge in edges if edge.destination is None]
    both: list[Edge] = []
    for edge in edges:
        if edge.source and edge.destination:
            late = _beyond(site, edge.source, edge.destination) if edge.flow.limit else ""
            if late:
                # Its part in the site is no internet, and comes before the denies that carve the site out.
                both += _within(site, edge, late)
            {"": both, "source": inward, "destination": outward}[late].append(edge)
    return _first_of_each(
        [
            *node_rules(site, tiers, gateway),
            *_allows(both, grants),
            *_carve_sources(site, inward),
            *_allows(inward, grants),
            *_carve_destinations(site, outward),
            *_allows(outward, grants),
        ]
    )


def _within(site: Site, edge: Edge, late: str) -> list[Edge]:
    """An edge from or to what the site has in the end that is called so."""
    if late == "source":
        return [edge._replace(source=own) for own in site.own if edge.source and edge.source.holds(own)]
    return [edge._replace(destination=own) for own in site.own if edge.destination and edge.destination.holds(own)]


def _beyond(site: Site, source: Net, destination: Net) -> str:
    """Which of two ends has something of the internet in it: "source", "destination", or "" for neither."""
    return "source" if not site.is_own(source) else "destination" if not site.is_own(destination) else ""


def _allows(edges: Iterable[Edge], grants: dict[str, tuple[Grant, ...]]) -> Iterator[Rule]:
    """The allow and limit rules of edges: one for each protocol, more where ufw's multiport limit asks for it.

    grants: {path of a flow: its grants}, filled as they are met: a host sees few of the flows, and some of them often.
    """
    for edge in edges:
        path = edge.flow.path
        if path not in grants:
            grants[path] = grants_of(edge.flow)
        named = edge.source or edge.destination
        for proto, services, texts in grants[path]:
            # ufw knows igmp and ipv6 for IPv4 alone.
            if named is not None and named.version not in WITHOUT_PORTS.get(proto, (4, 6)):
                continue
            comment = comment_of(edge.source_name, edge.destination_name, services, edge.flow.why)
            for ports in texts:
                yield Rule(
                    "limit" if edge.flow.limit else "allow",
                    proto,
                    edge.source,
                    edge.destination,
                    ports,
                    edge.route,
                    comment,
                )


def _deny(source: Optional[Net], destination: Optional[Net], route: bool, name: str) -> Rule:
    return Rule("deny", ANY, source, destination, "", route, f"not the internet: {name}")


def _carve_sources(site: Site, inward: Iterable[Edge]) -> Iterator[Rule]:
    """Before what the internet may reach: denies that keep the site's own networks from passing as the internet."""
    for route, end in dict.fromkeys((edge.route, edge.destination) for edge in inward if edge.source is None):
        for own, name in site.own.items():
            if end is not None and own.version == end.version:
                yield _deny(own, end, route, name)


def _carve_destinations(site: Site, outward: Iterable[Edge]) -> Iterator[Rule]:
    """The same for what may reach the internet: the site's own networks are not in it."""
    whole = [edge for edge in outward if edge.destination is None]
    for route, version in dict.fromkeys((edge.route, edge.source.version) for edge in whole if edge.source):
        for own, name in site.own.items():
            if own.version == version:
                yield _deny(None, own, route, name)


def _first_of_each(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    """The first rule of each match. A later one is dead, and ufw takes the same match twice for one rule."""
    kept: dict[tuple[Any, ...], Rule] = {}
    for rule in rules:
        kept.setdefault(rule.match, rule)
    return tuple(kept.values())
