# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Warnings about a valid site: what is declared and cannot work, is not needed, or will soon end."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import docker
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import ADDRESS, GATEWAY, NETWORK, TIER
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import Ports

#: A flow that ends within so many days is worth a word.
SOON = 30

#: What the nodes of a Swarm need of each other (Docker's documentation of swarm mode).
SWARM_PORTS = (Ports("tcp", 2377, 2377), Ports("tcp", 7946, 7946), Ports("udp", 7946, 7946), Ports("udp", 4789, 4789))

#: VXLAN's headers on the wire.
_VXLAN = 50


def warnings(site, extents, today):
    """All warnings, each beginning with the path that it is about."""
    for flow in site.flows:
        for text in _flow_warnings(site, flow, today):
            yield "%s: %s" % (flow.path, text)
    for number, flow in enumerate(site.flows):
        covering = _covering(site, extents, number, flow)
        if covering:
            yield "%s: %s is allowed by %s already; remove one of them" % (flow.path, flow, " and ".join(covering))
    yield from _unused_services(site)
    for network in site.networks.values():
        for text in _network_warnings(network):
            yield "bulkhead_networks.%s%s" % (network.name, text)
    yield from docker.public_warnings(site)
    yield from _swarm_warnings(site)


def _flow_warnings(site, flow, today):
    if flow.until and (flow.until - today).days <= SOON:
        yield "ends on %s, in %d days" % (flow.until.isoformat(), (flow.until - today).days)
    texts = [_obstacle(site, pair) for pair in flow.pairs]
    if texts and all(texts):
        for text in dict.fromkeys(texts):
            yield "no rule can let it work: %s" % text


def _obstacle(site, pair):
    """Why no rule of any host can let a pair talk; empty where one can."""
    source, destination = pair
    if (
        source.nets
        and destination.nets
        and not ({net.version for net in source.nets} & {net.version for net in destination.nets})
    ):
        return "%s and %s have no IP version in common" % (source.name, destination.name)
    home, target = _network(site, source), _network(site, destination)
    if target and home == target:
        return "%s and %s are both in network %s, where no host's firewall stands" % (
            source.name,
            destination.name,
            target.name,
        )
    if target and target.driver == "overlay":
        return "%s is in overlay %s, which is not routed: name the tier that publishes it" % (
            destination.name,
            target.name,
        )
    if home and home.driver == "overlay":
        return "%s is in overlay %s, whose packets leave it with the address of their host: name the tier" % (
            source.name,
            home.name,
        )
    if home and home.masquerades:
        return "%s is in bridge %s, whose packets leave it with the address of their host: name the tier" % (
            source.name,
            home.name,
        )
    return _missing_gateway(site, source, destination)


def _network(site, endpoint):
    """The Docker network that an endpoint lies in wholly, or None."""
    if endpoint.kind not in (ADDRESS, NETWORK) or not endpoint.nets:
        return None
    for network in site.networks.values():
        if network.subnet and all(network.subnet.holds(net) for net in endpoint.nets):
            return network
    return None


def _missing_gateway(site, source, destination):
    """A tier without a gateway reaches nobody but itself."""
    for end, other in ((source, destination), (destination, source)):
        if (
            end.kind == TIER
            and not site.tiers[end.name].gateways
            and other.kind != GATEWAY
            and not _same_tier(site.tiers[end.name], other)
        ):
            return "tier %s has no gateway, so it reaches nothing but itself" % end.name
    return ""


def _same_tier(tier, endpoint):
    return bool(endpoint.nets) and all(any(subnet.holds(net) for subnet in tier.subnets) for net in endpoint.nets)


def _covering(site, extents, number, flow):
    """The paths of other flows that together allow all that this one does; [] where something is its own."""
    found = {}
    for ports in flow.all_ports:
        others = [
            other
            for index, other in enumerate(site.flows)
            if index != number
            and any(theirs.covers(ports) for theirs in other.all_ports)
            and _lasts(other, flow)
            # Of two that allow the same, the later one is the one too many.
            and (index < number or not _same_extent(other, flow))
        ]
        for pair in flow.pairs:
            cover = next((other for other in others if any(extents.holds(rival, pair) for rival in other.pairs)), None)
            if cover is None:
                return []
            found[cover.path] = True
    return list(found)


def _lasts(other, flow):
    return other.until is None or (flow.until is not None and other.until >= flow.until)


def _same_extent(other, flow):
    return set(other.all_ports) == set(flow.all_ports) and set(other.pairs) == set(flow.pairs)


def _unused_services(site):
    used = {name for flow in site.flows + site.never for name in flow.services}
    for name in site.services:
        if name not in used:
            yield "bulkhead_services.%s: no flow uses it" % name


def _network_warnings(network):
    if not network.settled:
        yield (
            ": got %s for now; pin it, or the next network may move it: bulkhead_allocations: {%s: %s}"
            % (network.subnet, network.name, network.subnet)
        )
    inside = [
        name for name, address in network.addresses.items() if network.ip_range and network.ip_range.holds(address)
    ]
    if inside:
        yield (
            ".ip_range: the engine hands out %s to containers that ask for no address, and %s lie%s in it"
            % (network.ip_range, ", ".join(inside), "s" if len(inside) == 1 else "")
        )
    if network.driver == "overlay" and network.mtu and network.mtu > 1500 - _VXLAN:
        yield ".mtu: %d fits only where the hosts' own MTU is at least %d" % (network.mtu, network.mtu + _VXLAN)


def _swarm_warnings(site):
    """Swarm nodes that cannot hear each other look healthy until the first overlay is used."""
    tier = site.swarm.tier
    if not tier:
        return
    wanted = SWARM_PORTS
    if any(network.encrypted for network in site.networks.values()):
        wanted += (Ports("esp", 0, 65535),)
    missing = [str(ports) for ports in wanted if not _allows_itself(site, tier, ports)]
    if missing:
        yield "bulkhead_swarm.tier: no flow lets %s reach itself at %s, which a Swarm needs" % (
            tier,
            ", ".join(missing),
        )


def _allows_itself(site, tier, ports):
    return any(
        pair.source.name == tier and pair.destination.name == tier and theirs.covers(ports)
        for flow in site.flows
        for pair in flow.pairs
        for theirs in flow.all_ports
    )
