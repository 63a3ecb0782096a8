# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows of a site to the UFW rules of a host, in the shape that ufw_ruleset takes.

A flow is let in where it arrives (INPUT of the destination's hosts) and let through where it crosses (FORWARD of the
gateways, and of the hosts whose bridge network it ends in). Everything else falls to the default policies.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import GATEWAY, INTERNET, Flow
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY, WITHOUT_PORTS, merge, port_arguments
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net

#: The policies that the rules are written for.
DEFAULTS = {"incoming": "deny", "outgoing": "allow", "routed": "deny"}
_WHOLE = ("any", "0.0.0.0/0", "::/0")


class _Edge(NamedTuple):
    """A flow between two networks as one host's filter sees it; None stands for the internet."""

    flow: Flow
    source: Optional[Net]
    destination: Optional[Net]
    source_name: str
    destination_name: str
    route: bool


def host_rules(site, tiers, gateway):
    """The rules of a host: a list of dicts with rule, proto, from_ip, to_ip, to_port, route and comment.

    site: a Site; tiers: the names of the tiers that the host is in; gateway: whether it is a router. A router has no
    INPUT rules for its tiers: of its addresses only the gateways' own are anybody's destination.

    The first match wins, so the order is: what names both ends; then for each direction of the internet (in, out) the
    denies that carve the site's own networks out, and the allows. Rules with the same match appear once.
    """
    edges = list(_gateway_edges(site) if gateway else _tier_edges(site, tiers))
    inward = [edge for edge in edges if edge.source is None]
    outward = [edge for edge in edges if edge.destination is None]
    rules = [rule for edge in edges if edge.source and edge.destination for rule in _allows(edge)]
    rules += _carve_sources(site, inward) + [rule for edge in inward for rule in _allows(edge)]
    rules += _carve_destinations(site, outward) + [rule for edge in outward for rule in _allows(edge)]
    return _first_of_each(rules)


def _pairs(site):
    """(flow, source, destination, sources, destinations): pairs with their networks; [None] for the internet."""
    for flow in site.flows:
        for source, destination in flow.pairs:
            yield (
                flow,
                source,
                destination,
                [None] if source.kind == INTERNET else source.nets,
                [None] if destination.kind == INTERNET else destination.nets,
            )


def _same_family(source, destination):
    return source is None or destination is None or source.version == destination.version


def _gateway_edges(site):
    """What a router sees: packets to its own legs (INPUT), and everything that crosses from one network to another."""
    for flow, source, destination, sources, destinations in _pairs(site):
        for start in sources:
            for end in destinations:
                if not _same_family(start, end):
                    continue
                if end in site.legs:
                    yield _Edge(flow, start, end, source.name, destination.name, False)
                elif source.kind != GATEWAY and _crosses(site, start, end):
                    yield _Edge(flow, start, end, source.name, destination.name, True)


def _crosses(site, start, end):
    """Whether packets between two networks pass a router: not inside one subnet, and not inside or into an overlay."""
    if end is not None and any(
        network.subnet
        and network.subnet.holds(end)
        and (network.driver == "overlay" or (start is not None and network.subnet.holds(start)))
        for network in site.networks.values()
    ):
        return False
    return (
        start is None
        or end is None
        or not any(subnet.holds(start) and subnet.holds(end) for tier in site.tiers.values() for subnet in tier.subnets)
    )


def _tier_edges(site, tiers):
    """What a host of some tiers sees: packets to itself (INPUT), and to the containers of its bridges (FORWARD)."""
    homes = [(subnet, False) for name in tiers for subnet in site.tiers[name].subnets]
    homes += [(network.subnet, True) for network in site.networks.values() if set(network.tiers) & set(tiers)]
    for flow, source, destination, sources, destinations in _pairs(site):
        for start in sources:
            for end in destinations:
                if end is None or end in site.legs or not _same_family(start, end):
                    continue
                for home, route in homes:
                    # Of two CIDR blocks that meet, one lies in the other: the smaller is what they share.
                    if home.meets(end) and not (route and start is not None and home.holds(start)):
                        yield _Edge(flow, start, end if home.holds(end) else home, source.name, destination.name, route)


def _allows(edge):
    """The allow rules of an edge: one for each protocol, more where ufw's multiport limit asks for it."""
    for proto, ranges in merge(edge.flow.all_ports).items():
        if not _exists(proto, edge):
            continue
        comment = _comment(edge, proto)
        if proto == ANY or proto in WITHOUT_PORTS:
            yield _rule("allow", edge, comment, proto)
            continue
        for ports in port_arguments(ranges):
            yield _rule("allow", edge, comment, proto, ports)


def _exists(proto, edge):
    """ufw knows igmp and ipv6 for IPv4 alone."""
    return (edge.source or edge.destination).version in WITHOUT_PORTS.get(proto, (4, 6))


def _comment(edge, proto):
    """What a person reads in `ufw status`: "management -> monitoring ssh: administration".

    No position in the declaration is in it: inserting a flow must not touch the rules of the others.
    """
    names = [
        name
        for name in edge.flow.services
        if proto == ANY or any(ports.proto == proto for ports in edge.flow.ports[name])
    ]
    text = "%s -> %s %s" % (edge.source_name, edge.destination_name, ", ".join(names))
    if edge.flow.why:
        text += ": %s" % edge.flow.why
    # ufw refuses the straight quote in a comment (ufw.parser).
    return text.replace("'", "\u2019")


def _rule(action, edge, comment, proto=ANY, ports=None):
    rule = {
        "rule": action,
        "proto": proto,
        "from_ip": "any" if edge.source is None else str(edge.source),
        "to_ip": "any" if edge.destination is None else str(edge.destination),
        "comment": comment,
    }
    if ports:
        rule["to_port"] = ports
    if edge.route:
        rule["route"] = True
    return rule


def _carve_sources(site, inward):
    """Before what the internet may reach: denies that keep the site's own networks from passing as the internet."""
    rules = []
    for route, end in dict.fromkeys((edge.route, edge.destination) for edge in inward):
        for own, name in site.own.items():
            if own.version == end.version:
                edge = _Edge(None, own, end, name, "", route)
                rules.append(_rule("deny", edge, "not the internet: %s" % name))
    return rules


def _carve_destinations(site, outward):
    """The same for what may reach the internet: the site's own networks are not in it."""
    rules = []
    for route, version in dict.fromkeys((edge.route, edge.source.version) for edge in outward):
        for own, name in site.own.items():
            if own.version == version:
                edge = _Edge(None, None, own, "", name, route)
                rules.append(_rule("deny", edge, "not the internet: %s" % name))
    return rules


def _first_of_each(rules):
    """The first rule of each match. A later one is dead, and ufw takes the same match twice for one rule."""
    kept = {}
    for rule in rules:
        match = (rule.get("route", False), rule["proto"], *_ends(rule), rule.get("to_port"))
        kept.setdefault(match, rule)
    return list(kept.values())


def _ends(rule):
    """Where from and where to: a whole family is "any" as soon as the other end says which family."""
    source, destination = rule["from_ip"], rule["to_ip"]
    if source in _WHOLE and destination not in _WHOLE:
        return "any", destination
    if destination in _WHOLE and source not in _WHOLE:
        return source, "any"
    return source, destination


def rule_text(rule):
    """A rule as the ufw command takes it: "allow in proto tcp from 10.0.1.0/24 to 10.0.3.0/24 port 22"."""
    words = ["route %s" % rule["rule"] if rule.get("route") else "%s in" % rule["rule"]]
    if rule["proto"] != ANY:
        words.append("proto %s" % rule["proto"])
    words.append("from %s to %s" % (rule["from_ip"], rule["to_ip"]))
    if "to_port" in rule:
        words.append("port %s" % rule["to_port"])
    return " ".join(words)
