# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker's limits, held against the networks of a site: what a host or its engine would refuse, is refused here already."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.limits import (
    BRIDGE,
    DRIVERS,
    OVERLAY,
    Wish,
    broken_limits,
    is_public,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import BRIDGE_NAME_OPTION, Subnet
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Network, Site, Stack
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.stacks import SWARM
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_address
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import nowhere


def check_docker(reader: Reader, site: Site) -> None:
    """Note everything that Docker would not make of the site's networks and pools."""
    for network in site.networks.values():
        reader.mistakes.extend(_broken(network))
        reader.mistakes.extend(_gateway_taken(network))
        reader.mistakes.extend(_outside_of_pool(site, network))
    reader.mistakes.extend(_shared_interfaces(site))
    for name, nets in site.pools.items():
        for net in nets:
            found = nowhere(net)
            if found:
                expected = f"addresses that a container can have: {found[0]} is {found[1]}"
                remedy = "take a subnet of a private range"
                reader.mistakes.append(Mistake(f"bulkhead_pools.{name}", str(net), expected, remedy))


def wish_of(network: Network) -> Wish:
    """A network of the site in the terms of the limits."""
    return Wish(
        name=network.name,
        driver=network.driver,
        subnets=tuple(ip_network(str(net)) for net in network.subnets),
        gateways=tuple(ip_address(str(net)) for net in network.gateways),
        ip_ranges=tuple(ip_network(str(net)) for net in network.ip_ranges),
        attachable=network.attachable,
        encrypted=network.encrypted,
        ipv4=network.ipv4,
        ipv6=network.ipv6,
        mtu=network.mtu,
        options=network.options,
        labels=network.labels,
    )


def _broken(network: Network) -> Iterator[Mistake]:
    if network.driver not in DRIVERS:
        return
    path = f"bulkhead_networks.{network.name}"
    paths = {"name": path, "subnet": f"{path}.size" if network.sizes else f"{path}.subnet"}
    for mistake in broken_limits(wish_of(network)):
        yield replace(mistake, path=paths.get(mistake.path, f"{path}.{mistake.path}"))


def unsaid_gateways(network: Network) -> set[Net]:
    """The addresses that the engine takes for the gateways of the subnets whose gateway nothing says."""
    found = set()
    for net in network.subnets:
        if not net.single and not any(net.holds(gateway) for gateway in network.gateways):
            inside = next((ip_network(str(span)) for span in network.ip_ranges if net.holds(span)), None)
            found.add(parse_address(str(Subnet(ip_network(str(net)), None, inside).effective_gateway)))
    return found


def _gateway_taken(network: Network) -> Iterator[Mistake]:
    """A container with the gateway's address does not start ("Address already in use")."""
    unsaid = unsaid_gateways(network)
    for name, addresses in network.addresses.items():
        for address in unsaid.intersection(addresses):
            yield Mistake(
                f"bulkhead_networks.{network.name}.addresses.{name}",
                str(address),
                "an address of its own: it is the network's gateway, which nothing else says",
                "choose another address, or give the network another gateway",
            )


def _outside_of_pool(site: Site, network: Network) -> Iterator[Mistake]:
    """A network with a size lies in its pool; a pin may have been written by hand, or the pool have moved."""
    nets = site.pools.get(network.pool or "", ())
    for subnet in network.subnets if network.sizes and nets else ():
        if any(net.holds(subnet) for net in nets):
            continue
        yield Mistake(
            f"bulkhead_allocations.{network.name}",
            str(subnet),
            f"a subnet of pool {network.pool} ({', '.join(map(str, nets))})",
            f"enlarge bulkhead_pools.{network.pool}, or remove the pin and migrate the network",
        )


def _shared_interfaces(site: Site) -> Iterator[Mistake]:
    """Two bridges of one interface on the same hosts: the second one takes the first one's over."""
    seen: dict[tuple[str, str], str] = {}
    for network in site.networks.values():
        interface = network.options.get(BRIDGE_NAME_OPTION)
        if network.driver != BRIDGE or interface is None:
            continue
        others = {seen.setdefault((tier, interface), network.name) for tier in network.tiers} - {network.name}
        for other in sorted(others):
            yield Mistake(
                f"bulkhead_networks.{network.name}.options.{BRIDGE_NAME_OPTION}",
                interface,
                f"an interface that network {other} does not have on the same hosts",
                "give one of them another name",
            )


def public_warnings(site: Site) -> Iterator[str]:
    """A warning for each subnet and pool of the public address space that does not say `public: true`."""
    found = [
        (f"bulkhead_networks.{network.name}", net, network.public)
        for network in site.networks.values()
        for net in network.subnets
        if not (network.sizes and network.pool in site.pools)
    ]
    for name, nets in site.pools.items():
        terms = site.pool_terms.get(name)
        found += [(f"bulkhead_pools.{name}", net, bool(terms and terms.public)) for net in nets]
    for path, net, said in found:
        if not said and is_public(ip_network(str(net))):
            yield (
                f"{path}: {net} is public address space: its owners outside are not reached from these networks any more; "
                f"take a private range, or write public: true if it is yours"
            )


def stack_warnings(site: Site) -> Iterator[str]:
    """A warning for each zone that a stack asks for and whose networks it cannot join; its own may still have that zone."""
    for stack in site.stacks.values():
        for pattern, zones in stack.demands.items():
            for zone in zones:
                networks = [network for network in site.networks.values() if network.zone == zone]
                why = [_obstacle(site, stack, network) for network in networks]
                if why and all(why):
                    yield f"bulkhead_stacks.{stack.name}.require.{pattern}: no network of zone {zone} will do: {'; '.join(why)}"


def _obstacle(site: Site, stack: Stack, network: Network) -> str:
    """Why a stack cannot join a network of the site, "" where it can. Docker says so only when the stack is deployed."""
    if stack.kind == SWARM:
        return (
            ""
            if network.driver == OVERLAY
            else f"{network.name} is a {network.driver} of single hosts, and a Swarm stack needs an overlay"
        )
    if network.driver == OVERLAY:
        if not network.attachable:
            return (
                f"{network.name} is an overlay that is not attachable, and a Compose stack's containers join it by hand"
            )
        missing = sorted(set(stack.tiers) - {site.swarm.tier})
    else:
        missing = sorted(set(stack.tiers) - set(network.tiers))
    return f"{network.name} is not on {', '.join(missing)}, where the stack runs" if missing else ""
