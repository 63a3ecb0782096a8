# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings about single hosts: addresses and routes that the site does not know, links that are too slow, firewalls that are not
as their own files, or the declaration, want them, and rules that decide about nothing."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import Change, difference
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.findings import examine
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import EVERY, Budget, Question, TooComplex
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import PREFIX
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.nat import OF_DESTINATION
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import FAMILIES, Node, Route, interface_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_address, parse_net
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.fleet import Fleet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.groups import Group
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.planned import Plan, with_plan, without_direct
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.prove import APPLY
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import Finding, Kind, Severity
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import some

#: The hooks whose rules a plan is about.
_HOOKS = ("INPUT", "FORWARD", "OUTPUT")
#: Routes of the host's own addresses.
_LOCAL = ("local", "broadcast", "anycast", "multicast")
#: Routes that lead nowhere: a host without a way out, whose flows out are blocked, and found so.
_NOWHERE = ("unreachable", "blackhole", "prohibit", "throw")
#: The most sets of packets that one host's drift is told by, and the most lines of a kind of one host.
MOST_CHANGES, MOST_LINES = 8, 20
#: The most rules of a chain among which redundant ones are looked for.
MOST_EXAMINED = 2000
#: What one comparison may take.
_SEGMENTS, _SECONDS = 400000, 10.0
#: Gives the plan of a host.
PlanOf = Callable[[Member], Plan]


def of_hosts(fleet: Fleet, plan_of: Optional[PlanOf], reviews: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """reviews: of each host, what its files and kernel say of each other: {drift, dead, conflicting: [text]}."""
    yield from expired(fleet.site, date.today())
    yield from _addresses(fleet)
    for name, node in fleet.nodes.items():
        member = fleet.members[name]
        yield from itertools.islice(_routes(fleet, member, node), MOST_LINES)
        yield from _links(fleet.site, member, node)
    for group in fleet.groups:
        yield from _translations(group)
        yield from _redundant(group)
        if plan_of is not None:
            yield from _drift(group, fleet.members[group.node.name], plan_of)
    yield from _reviewed(reviews)


def expired(site: Site, today: date) -> Iterator[Finding]:
    """Flows that have ended, and are declared all the same."""
    for flow in site.flows:
        if flow.until is not None and flow.until < today:
            what = f"{flow} ended on {flow.until.isoformat()}"
            remedy = "remove the flow, or give it a later `until`, and run site.yml"
            yield Finding(Kind.EXPIRED, Severity.ERROR, "", what, remedy, path=flow.path)


# -- addresses, routes, links ----------------------------------------------------------------------------------------


def _addresses(fleet: Fleet) -> Iterator[Finding]:
    for name, texts in fleet.unknown.items():
        own = [text for text in texts if fleet.site.is_own(parse_address(text))]
        yield Finding(
            Kind.ADDRESS,
            Severity.ERROR if own else Severity.WARNING,
            name,
            f"it has {some(own or texts)}, which the site does not know there",
            f"remove it, or put the host into the tier that it belongs to ({name}'s groups)",
        )
    for text, names in fleet.claimed.items():
        yield Finding(
            Kind.ADDRESS,
            Severity.ERROR,
            names[0],
            f"{text} is an address of {some(names)}: it counts as none's",
            "leave it to one of them",
        )


def _routes(fleet: Fleet, member: Member, node: Node) -> Iterator[Finding]:
    """Routes of the site's own networks that lead elsewhere than over the site's routers. Where those are others', such as a
    provider's, so is the way out."""
    site = fleet.site
    connected = {(route.net, route.interface) for family in FAMILIES for route in node.routes[family].get("main", ())}
    for interface, text in ((name, text) for name, texts in node.addresses.items() for text in texts):
        net = interface_of(text).network
        alone = net.num_addresses == 1 or net.is_loopback or net.is_link_local
        if not alone and (net, interface) not in connected and _meets_site(site, parse_net(str(net))):
            what = f"it has no route for {net}, the network of its own address {text} on {interface}"
            yield Finding(Kind.ROUTE, Severity.ERROR, node.name, what, f"add it (ip route add {net} dev {interface})")
    for family in FAMILIES:
        for table, routes in node.routes[family].items():
            for route in routes if table != "local" else ():
                if not _is_known(site, member, node, route):
                    by = f" via {route.gateway}" if route.gateway else ""
                    kind = "" if route.kind == "unicast" else f"{route.kind} "
                    yield Finding(
                        Kind.ROUTE,
                        Severity.ERROR if fleet.is_routed or route.net.prefixlen else Severity.WARNING,
                        node.name,
                        f"its {kind}route for {route.net}{by} on {route.interface or 'no interface'} is none that the site knows",
                        "remove it (ip route delete), and from what makes it at the next boot",
                    )


def _meets_site(site: Site, net: Net) -> bool:
    return any(own.meets(net) for own in site.own)


def _is_known(site: Site, member: Member, node: Node, route: Route) -> bool:
    if route.net.is_multicast or route.net.is_link_local or route.net.is_loopback or route.kind in _LOCAL:
        return True
    if any(interface_of(text).network == route.net for text in node.addresses.get(route.interface, ())):
        return True
    net = parse_net(str(route.net))
    if route.interface in node.bridges or _is_of_tailnet(site, net):
        return True
    if route.gateway and parse_address(str(route.gateway)) in site.legs:
        return True
    if route.net.prefixlen == 0:
        if route.kind in _NOWHERE:
            return True
        # The way out: of a router, and of hosts in tiers without a declared gateway of the family.
        gateways = [gateway for name in member.tiers for gateway in site.tiers[name].gateways]
        return member.gateway or not any(gateway.version == route.net.version for gateway in gateways)
    return not _meets_site(site, net)


def _is_of_tailnet(site: Site, net: Net) -> bool:
    return site.tailnet is not None and any(prefix.holds(net) for prefix in site.tailnet.prefixes)


def _links(site: Site, member: Member, node: Node) -> Iterator[Finding]:
    for name in member.tiers:
        tier = site.tiers[name]
        if tier.bandwidth is None:
            continue
        links = {interface for text, interface in node.own.items() if tier.holds([parse_address(text)])}
        for interface in sorted(links & node.speeds.keys()):
            speed = node.speeds[interface]
            minimum, recommended = tier.bandwidth.minimum, tier.bandwidth.recommended
            for wanted, severity in ((minimum, Severity.ERROR), (recommended, Severity.NOTE)):
                if wanted is not None and speed < wanted:
                    word = "minimum" if severity is Severity.ERROR else "recommended"
                    path = f"bulkhead_tiers.{name}.bandwidth.{word}"
                    what = f"{interface} has {speed} Mbit/s, less than the {wanted} of {path}"
                    remedy = "see the link's speed (ethtool), the cable and the switch's port"
                    yield Finding(Kind.CAPACITY, severity, node.name, what, remedy, path=path)
                    break


# -- rules -----------------------------------------------------------------------------------------------------------


def _redundant(group: Group) -> Iterator[Finding]:
    """Rules that let through what others would let through all the same, unions of others included."""
    for family in FAMILIES:
        ruleset = group.node.rulesets[family]
        for hook in _HOOKS[:2]:
            chain = ruleset.chain("filter", f"{PREFIX[family]}-user-{hook.lower()}")
            if chain is None or not 0 < len(chain.rules) <= MOST_EXAMINED:
                continue
            try:
                found = examine(ruleset, Question(hook, "NEW", EVERY), Budget(_SEGMENTS, _SECONDS))
            except TooComplex:
                continue  # a note the less
            for rule in [one for one in found.redundant if one.chain == chain.name and one.target == "ACCEPT"][
                :MOST_LINES
            ]:
                what = f"IPv{family} {hook}: `{rule.text}` lets through nothing that other rules would not"
                yield Finding(
                    Kind.REDUNDANT,
                    Severity.NOTE,
                    group.node.name,
                    what,
                    "leave it out, or see whether a flow is too wide",
                )


def _translations(group: Group) -> Iterator[Finding]:
    """Rules that translate and stand where only a hand puts them: Docker, Tailscale and the site have chains of their own."""
    for family in FAMILIES:
        chains = group.node.rulesets[family].tables.get("nat", {})
        for name in ("PREROUTING", "OUTPUT"):
            for rule in chains[name].rules if name in chains else ():
                if rule.target in OF_DESTINATION:
                    what = f"IPv{family} nat {name} is not as declared: `{rule.text}` stands in it"
                    remedy = "remove it; what the site forwards is declared (docs/site.md)"
                    yield Finding(Kind.DRIFT, Severity.WARNING, group.node.name, what, remedy)


def _drift(group: Group, member: Member, plan_of: PlanOf) -> Iterator[Finding]:
    """What the rules of a group let through, and what its plan would have in their place."""
    wanted = with_plan(group.node, plan_of(member))
    found = list(_compared(group, wanted, Severity.ERROR))
    # A hand's rule before ufw's looks like another program's.
    bare = without_direct(wanted) if not found else None
    yield from _compared(group, bare, Severity.WARNING) if bare else found


def _compared(group: Group, wanted: Node, severity: Severity) -> Iterator[Finding]:
    for family in FAMILIES:
        live = group.node.rulesets[family]
        for hook in _HOOKS if not live.equals(wanted.rulesets[family]) else ():
            try:
                found = difference(
                    wanted.rulesets[family], live, Question(hook, "NEW", EVERY), Budget(_SEGMENTS, _SECONDS)
                )
            except TooComplex as error:
                yield Finding(Kind.UNKNOWN, Severity.WARNING, group.node.name, f"{hook}: {error}", "see its rules")
                continue
            for way, changed in (("opens", found.opened), ("closes", found.closed), ("may open", found.unclear)):
                yield from _changed(group, (family, hook, way), changed, severity)


def _changed(
    group: Group, place: tuple[int, str, str], changed: Iterable[Change], severity: Severity
) -> Iterator[Finding]:
    family, hook, way = place
    by_rule: dict[str, list[Change]] = {}
    for change in list(changed)[: MOST_CHANGES * 4]:
        by_rule.setdefault(change.after.rule.text, []).append(change)
    hosts = some([host.name for host in group.hosts])
    for rule, alike in list(by_rule.items())[:MOST_CHANGES]:
        first = alike[0]
        what = f"IPv{family} {hook} is not as declared: `{rule}` {way} {first.packets.text()}"
        more = f" ({hosts})" if len(group.hosts) > 1 else ""
        witness = first.witness.text(family)
        yield Finding(Kind.DRIFT, severity, group.node.name, what + more, APPLY, witness, times=len(alike))


def _reviewed(reviews: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """What hosts have in common is said once."""
    kinds = (
        ("drift", Kind.DRIFT, Severity.WARNING, APPLY),
        ("dead", Kind.DEAD, Severity.NOTE, "remove it, or move it before what takes its packets"),
        ("conflicting", Kind.CONTRADICTORY, Severity.NOTE, "see that their order is as meant"),
        ("unlisted", Kind.UNKNOWN, Severity.NOTE, "ask ufw_ruleset_info on the host"),
    )
    for key, kind, severity, remedy in kinds:
        hosts: dict[str, list[str]] = {}
        for name, review in reviews.items():
            for text in list(review.get(key) or ())[:MOST_LINES]:
                hosts.setdefault(str(text), []).append(name)
        for text, names in hosts.items():
            more = f" (on {some(names)})" if len(names) > 1 else ""
            yield Finding(kind, severity, names[0], text + more, remedy, times=len(names))
