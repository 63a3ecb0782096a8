# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Warnings about a valid site: what is declared and cannot work, is not needed, or will soon end."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Optional
from urllib.parse import urlsplit

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import docker
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.extents import Extents
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    GATEWAY,
    INTERNET,
    NETWORK,
    OWN,
    TIER,
    Endpoint,
    Flow,
    Network,
    Pair,
    Site,
    Tailnet,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.shouted import unheard
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import (
    Net,
    parse_address,
    text_or_texts,
    yaml_cidrs,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_flows import owner_warnings
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import (
    TailnetPolicy,
    known_identities,
    stands_for,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count

#: A flow that ends within so many days is worth a word.
SOON = 30

#: What the nodes of a Swarm need of each other (Docker's documentation of swarm mode).
SWARM_PORTS = (Ports("tcp", 2377, 2377), Ports("tcp", 7946, 7946), Ports("udp", 7946, 7946), Ports("udp", 4789, 4789))

#: Where Tailscale SSH answers.
_SSH = 22

#: VXLAN's headers on the wire.
_VXLAN = 50

_MASQUERADED = "whose packets leave it with the address of their host: name the tier"


def warnings(site: Site, extents: Extents, today: date) -> Iterator[str]:
    """All warnings, each beginning with the path that it is about."""
    for flow in site.flows:
        for text in _flow_warnings(site, flow, today) if not flow.derived else ():
            yield f"{flow.path}: {text}"
    yield from _tailnet_warnings(site, today)
    limited = {flow.path: flow.limit for flow in site.flows}
    for number, flow in enumerate(site.flows):
        # What follows from the tailnet stands nowhere to be removed, and makes no declared flow one too many.
        covering = [] if flow.derived else _covering(site, extents, number, flow)
        if covering:
            # What one flow allows without a limit, no other one can limit.
            how = " without a limit" if flow.limit and not all(limited[path] for path in covering) else ""
            yield f"{flow.path}: {flow} is allowed by {' and '.join(covering)} already{how}; remove one of them"
    yield from _unused_services(site)
    for network in site.networks.values():
        for text in _network_warnings(network):
            yield f"bulkhead_networks.{network.name}{text}"
    yield from docker.public_warnings(site)
    yield from docker.stack_warnings(site)
    yield from _swarm_warnings(site)


def _ending(flow: Flow, today: date) -> Iterator[str]:
    if flow.until and (flow.until - today).days <= SOON:
        yield f"ends on {flow.until.isoformat()}, in {count((flow.until - today).days, 'day')}"


def _flow_warnings(site: Site, flow: Flow, today: date) -> Iterator[str]:
    yield from _ending(flow, today)
    yield from unheard(site, flow)
    texts = [_obstacle(site, pair) for pair in flow.pairs]
    if texts and all(texts):
        for text in dict.fromkeys(texts):
            yield f"no rule can let it work: {text}"


def _obstacle(site: Site, pair: Pair) -> str:
    """Why no rule of any host can let a pair talk; empty where one can."""
    source, destination = pair
    if (
        source.nets
        and destination.nets
        and not ({net.version for net in source.nets} & {net.version for net in destination.nets})
    ):
        return f"{source.name} and {destination.name} have no IP version in common"
    home, target = _network(site, source), _network(site, destination)
    if target and home == target:
        return (
            f"{source.name} and {destination.name} are both in network {target.name}, where no host's firewall stands"
        )
    if target and target.driver == "overlay":
        return f"{destination.name} is in overlay {target.name}, which is not routed: name the tier that publishes it"
    if home and home.driver == "overlay":
        return f"{source.name} is in overlay {home.name}, {_MASQUERADED}"
    # To its own hosts a bridge is routed, with no address translated.
    if home and home.masquerades and not (destination.kind == TIER and destination.name in home.tiers):
        return f"{source.name} is in bridge {home.name}, {_MASQUERADED}"
    return _missing_gateway(site, source, destination)


def _network(site: Site, endpoint: Endpoint) -> Optional[Network]:
    """The Docker network that an endpoint lies in wholly, or None."""
    if endpoint.kind not in (ADDRESS, NETWORK) or not endpoint.nets:
        return None
    for network in site.networks.values():
        if all(network.home_of(net) for net in endpoint.nets):
            return network
    return None


def _missing_gateway(site: Site, source: Endpoint, destination: Endpoint) -> str:
    """A tier without a gateway reaches only itself."""
    for end, other in ((source, destination), (destination, source)):
        if (
            end.kind == TIER
            and not site.tiers[end.name].gateways
            and other.kind != GATEWAY
            and not site.tiers[end.name].holds(other.nets)
        ):
            return f"tier {end.name} has no gateway, so it reaches nothing but itself"
    return ""


def _covering(site: Site, extents: Extents, number: int, flow: Flow) -> list[str]:
    """The paths of other flows that together allow all that this one does; [] where something is its own."""
    found: dict[str, bool] = {}
    for ports in flow.all_ports:
        others = [
            other
            for index, other in enumerate(site.flows)
            if index != number
            and not other.derived
            and any(theirs.covers(ports) for theirs in other.all_ports)
            and _lasts(other, flow)
            and (flow.limit or not other.limit)
            # Of two that allow the same, the later one is the one too many.
            and (index < number or (flow.limit and not other.limit) or not _same_extent(other, flow))
        ]
        for masks in extents.pairs(flow):
            cover = next((other for other in others if any(rival.holds(masks) for rival in extents.pairs(other))), None)
            if cover is None:
                return []
            found[cover.path] = True
    return list(found)


def _lasts(other: Flow, flow: Flow) -> bool:
    return other.until is None or (flow.until is not None and other.until >= flow.until)


def _same_extent(other: Flow, flow: Flow) -> bool:
    return set(other.all_ports) == set(flow.all_ports) and set(other.pairs) == set(flow.pairs)


def _tailnet_warnings(site: Site, today: date) -> Iterator[str]:
    """Flows over the tailnet that end soon, and what is declared of the tailnet and leads nowhere."""
    tailnet = site.tailnet
    if tailnet is None:
        return
    for flow in tailnet.flows:
        yield from (f"{flow.path}: {text}" for text in _ending(flow, today))
    for place in tailnet.tags:
        if place in site.tiers and not _reaches_control(site, tailnet, place):
            yield (
                f"bulkhead_tailnet.tags.{place}: no flow of the LAN lets {place} reach the control server "
                f"({tailnet.control or 'of Tailscale'}), and its hosts cannot join: name what nodes need outwards in bulkhead_tailnet.derp, or set "
                f"bulkhead_tiers.{place}.internet: true"
            )
    for place, users in tailnet.exit_nodes.items():
        if users and place in site.tiers and not _reaches_internet(site, place):
            yield (
                f"bulkhead_tailnet.exit_nodes.{place}: no flow of the LAN lets {place} reach the internet, and what leaves by "
                f"its hosts has their address: set bulkhead_tiers.{place}.internet: true, or add a flow"
            )
    for place, nets in tailnet.routes.items():
        for net in nets:
            if not any(
                net.holds(end) for flow in tailnet.flows for pair in flow.pairs for end in pair.destination.nets
            ):
                yield f"bulkhead_tailnet.routes.{place}: no flow over the tailnet leads to {net}"
    yield from owner_warnings(site)
    policy = TailnetPolicy(site)
    for rule in tailnet.ssh:
        for source, destination in ((start, end) for start in rule.sources for end in rule.destinations):
            if destination.name != OWN and not _lets_ssh(policy, tailnet, source, destination):
                yield (
                    f"{rule.path}: no flow over the tailnet lets {source.name} reach {destination.name} at 22/tcp, without "
                    "which Tailscale SSH does not work"
                )


def _reaches_internet(site: Site, place: str) -> bool:
    return any(
        pair.source.name == place and pair.destination.kind == INTERNET for flow in site.flows for pair in flow.pairs
    )


def _reaches_control(site: Site, tailnet: Tailnet, place: str) -> bool:
    """Whether a flow of the LAN lets a tier's hosts leave for the control server. One that is called by a name may be anywhere: any
    flow out of the tier to its port counts then."""
    url = urlsplit(tailnet.control or "https://")
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        server = parse_address(url.hostname or "")
    except Unreadable:
        server = None
    if server and site.tiers[place].holds([server]):
        return True  # on its own network, where no router filters
    wanted = Ports("tcp", port, port)
    return any(
        pair.source.name == place and pair.destination.name != place and _may_be_at(site, pair.destination, server)
        for flow in site.flows
        for pair in flow.pairs
        if any(ports.covers(wanted) for ports in flow.all_ports)
    )


def _may_be_at(site: Site, end: Endpoint, server: Optional[Net]) -> bool:
    nets = site.outside if end.kind == INTERNET else end.nets
    return server is None or any(net.holds(server) for net in nets)


def _lets_ssh(policy: TailnetPolicy, tailnet: Tailnet, source: Endpoint, destination: Endpoint) -> bool:
    """Whether everyone whom the site knows to be the source reaches everyone who is the destination."""
    known = known_identities(tailnet)
    return all(
        policy.flow_for(start, end, "tcp", _SSH)
        for start in known
        if stands_for(tailnet, source, start)
        for end in known
        if stands_for(tailnet, destination, end)
    )


def _unused_services(site: Site) -> Iterator[str]:
    over = site.tailnet.flows if site.tailnet else ()
    used = {name for flow in (*site.flows, *site.never, *over) for name in flow.services}
    for name in site.services:
        if name not in used:
            yield f"bulkhead_services.{name}: no flow uses it"


def _network_warnings(network: Network) -> Iterator[str]:
    if not network.settled:
        pin = f"bulkhead_allocations: {{{network.name}: {yaml_cidrs(text_or_texts(network.subnets))}}}"
        got = " and ".join(map(str, network.subnets))
        yield f": got {got} for now; pin it, or the next network may move it: {pin}"
    for span in network.ip_ranges:
        inside = [name for name, addresses in network.addresses.items() if any(map(span.holds, addresses))]
        if inside:
            handed = f"the engine hands out {span} to containers that ask for no address"
            yield f".ip_range: {handed}, and {', '.join(inside)} lie{'s' if len(inside) == 1 else ''} in it"
    if network.driver == "overlay" and network.mtu and network.mtu > 1500 - _VXLAN:
        yield f".mtu: {network.mtu} fits only where the hosts' own MTU is at least {network.mtu + _VXLAN}"


def _swarm_warnings(site: Site) -> Iterator[str]:
    """Swarm nodes that cannot hear each other look healthy until the first overlay is used."""
    tier = site.swarm.tier
    if not tier:
        return
    encrypted = any(network.encrypted for network in site.networks.values())
    wanted = (*SWARM_PORTS, *([Ports("esp", 0, 65535)] if encrypted else []))
    missing = [str(ports) for ports in wanted if not _allows_itself(site, tier, ports)]
    if missing:
        yield f"bulkhead_swarm.tier: no flow lets {tier} reach itself at {', '.join(missing)}, which a Swarm needs"


def _allows_itself(site: Site, tier: str, ports: Ports) -> bool:
    return any(
        pair.source.name == tier and pair.destination.name == tier and theirs.covers(ports)
        for flow in site.flows
        for pair in flow.pairs
        for theirs in flow.all_ports
    )
