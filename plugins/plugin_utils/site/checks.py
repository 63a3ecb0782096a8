# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What only the whole declaration shows: overlaps, addresses in odd places, flows that an invariant forbids."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.allocator import allocate
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.claims import Kind, Owner, all_claims
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.extents import Extents
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import ADDRESS, Network, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.pools import Live, settled_homes, within_reserve
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import EVERYTHING, Net, overlaps, version_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import nowhere

#: Kinds of mistakes: networks on the same addresses; a flow that allows what an invariant forbids, and where that one
#: forbids everything, as a last rule of a firewall does; a flow to a host that does not serve it.
OVERLAP, FORBIDDEN, DENIES_ALL, NOT_SERVED = "overlap", "forbidden", "denies-all", "not-served"

_NO_DENY_ALL = (
    "leave the deny out; what no flow allows is denied already, and a rule that stands before the flow's would undo it"
)

#: What to do about an address that no host can have.
_EDGE = "it is the network's own or its broadcast address: choose another"


def is_edge(address: Net, subnet: Net) -> bool:
    """Whether an address is the subnet's own or its broadcast address; IPv6 and /31 have neither."""
    return subnet.version == 4 and subnet.prefix < 31 and address.first in (subnet.first, subnet.last)


def check_overlaps(reader: Reader, site: Site) -> bool:
    """Note every network that meets another one and must not, with the closest one; returns whether there is none
    among those that flows are about: an engine's own bridge is named by none."""
    closest: dict[tuple[Net, Owner], tuple[Net, Owner]] = {}
    for outer, inner in overlaps(all_claims(site)):
        if not inner[1].may_lie_in(outer[1]):
            closest[inner] = outer
    for inner, outer in closest.items():
        (net, owner), (other, owning) = (inner, outer) if inner[1].path else (outer, inner)
        if owner == owning:
            reader.note(owner.path, f"{net} and {other}", "subnets that are apart", "leave one of them out", OVERLAP)
            continue
        where = f" (see {owning.path})" if owning.path else ""
        remedy = f"{other} is {owning}: {owning.remedy}{where}"
        reader.note(owner.path, str(net), "a network that overlaps no other one", remedy, OVERLAP, owning.path)
    return all(Kind.BRIDGE in (inner[1].kind, outer[1].kind) for inner, outer in closest.items())


def allocate_networks(reader: Reader, site: Site, live: Collection[Live] = ()) -> dict[str, Network]:
    """The networks, each with a subnet: those that have none get one from their pools, beside all that is taken.

    live: pools.Live networks of the hosts. A network that lives already stays; no other one gets its addresses.
    """
    wanted: dict[tuple[str, int], dict[str, int]] = {}
    for network in site.networks.values():
        for size in network.open_sizes if network.pool else ():
            wanted.setdefault((network.pool or "", version_of(size)), {})[network.name] = size
    result = dict(site.networks)
    for (pool, _version), sizes in wanted.items():
        nets, terms = site.pools.get(pool, ()), site.pool_terms.get(pool)
        taken = [net for net, owner in all_claims(site) if owner.kind is not Kind.POOL or owner.name != pool]
        homes = settled_homes(nets, sizes, taken, live)
        taken += [item.net for item in live]
        new = {name: size for name, size in sizes.items() if name not in homes}
        fitting = within_reserve(nets, terms, new, taken)
        subnets: dict[str, Optional[Net]] = {**homes, **allocate(nets, fitting, taken)}
        for name in sizes:
            subnet = subnets.get(name)
            if subnet is None and nets:
                reserve = terms.reserve if terms and name not in fitting else 0
                _note_no_room(reader, pool, nets, (name, sizes[name]), reserve, live)
            elif subnet:
                result[name] = replace(result[name], subnets=_in_order(result[name], subnet), settled=False)
    return result


def _in_order(network: Network, subnet: Net) -> tuple[Net, ...]:
    """The subnets of a network with one more, in the order of its sizes."""
    order = [version_of(size) for size in network.sizes]
    return tuple(sorted((*network.subnets, subnet), key=lambda net: order.index(net.version)))


def _note_no_room(
    reader: Reader, pool: str, nets: Collection[Net], wanted: tuple[str, int], reserve: int, live: Collection[Live]
) -> None:
    """wanted: (name, prefix length)."""
    name, size = wanted
    path, version = f"bulkhead_networks.{name}.size", version_of(size)
    if all(net.version != version for net in nets):
        expected = f"a size of an IP version that pool {pool} ({', '.join(map(str, nets))}) has"
        reader.note(path, f"/{size}", expected, f"add an IPv{version} network to bulkhead_pools.{pool}", "no-room")
        return
    inside = ", ".join(str(item) for item in live if any(net.meets(item.net) for net in nets))
    room = f"leaves the reserve of {reserve} % free in" if reserve else "is still free in"
    reader.note(
        path,
        f"/{size}",
        f"a size that {room} pool {pool} ({', '.join(map(str, nets))})"
        + (f", where these live: {inside}" if inside else ""),
        f"enlarge bulkhead_pools.{pool}{', lower its reserve,' if reserve else ''} or remove networks",
        "no-room",
    )


def check_networks(reader: Reader, site: Site) -> None:
    """Note addresses of containers that do not fit into their network."""
    for network in site.networks.values():
        if network.subnets:
            _check_network(reader, f"bulkhead_networks.{network.name}", network)


def _check_network(reader: Reader, path: str, network: Network) -> None:
    # Gateways and ranges are held against the subnets by Docker's limits.
    seen: dict[Net, str] = dict.fromkeys(network.gateways, "the gateway")
    subnets = " or ".join(map(str, network.subnets))
    for name, addresses in network.addresses.items():
        where, homes = f"{path}.addresses.{name}", dict[Net, Net]()
        for address in addresses:
            subnet = network.home_of(address)
            if subnet is None:
                reader.note(where, str(address), f"an address inside of {subnets}", "correct it, or the subnet")
            elif is_edge(address, subnet) or address.first == subnet.first:
                reader.note(where, str(address), f"an address that a container of {subnet} can have", _EDGE)
            elif subnet in homes:
                got = f"{homes[subnet]} and {address}"
                reader.note(where, got, f"one address in {subnet}", "leave one of them out")
            elif address in seen:
                reader.note(where, str(address), "an address of its own", f"{seen[address]} has it")
            seen.setdefault(address, name)
            if subnet:
                homes.setdefault(subnet, address)


def check_addresses(reader: Reader, site: Site) -> None:
    """Note named addresses that no host can have."""
    for name, nets in site.addresses.items():
        for address in nets:
            _check_address(reader, f"bulkhead_addresses.{name}", address, site)


def _check_address(reader: Reader, path: str, address: Net, site: Site) -> None:
    found = nowhere(address)
    if found:
        reader.note(
            path, str(address), "the address of a host", f"{found[0]} is {found[1]}: name the host's own address"
        )
        return
    if any(net.holds(address) for net in site.tailnet.prefixes) if site.tailnet else False:
        remedy = "control gives nodes their addresses: name the node's tier, tag: or user in flows via: tailnet"
        reader.note(path, str(address), "an address of the LAN or outside: this one is the tailnet's", remedy)
        return
    homes = [subnet for tier in site.tiers.values() for subnet in tier.subnets]
    homes += [net for network in site.networks.values() for net in network.subnets]
    for home in homes:
        if home.holds(address):
            if is_edge(address, home):
                reader.note(path, str(address), f"an address that a host of {home} can have", _EDGE)
            _check_lease(reader, path, address, site)
            return
    for name, nets in site.pools.items():
        for net in nets:
            if net.holds(address):
                reader.note(
                    path,
                    str(address),
                    "an address of a tier, of a network or outside of the site",
                    f"it lies in pool {name}, where no network has it",
                )


def _check_lease(reader: Reader, path: str, address: Net, site: Site) -> None:
    for tier in site.tiers.values():
        if tier.dhcp and tier.dhcp.span and tier.dhcp.span.holds(address):
            reader.note(
                path,
                str(address),
                "an address that DHCP does not hand out",
                f"it lies in bulkhead_tiers.{tier.name}.dhcp.range: choose one beside it",
            )


def check_never(reader: Reader, site: Site, extents: Extents) -> None:
    """Note every flow that allows what an invariant forbids."""
    for flow in site.flows:
        for never in site.never:
            found = extents.meeting(flow, never)
            if found:
                source, destination, ports = found
                wide = ANY in never.services and any(
                    set(EVERYTHING) & set(pair.destination.nets) for pair in never.pairs
                )
                reader.note(
                    flow.path,
                    str(flow),
                    f"nothing that {never.path} forbids: {never}",
                    f"both have {source} -> {destination} {ports}: {_NO_DENY_ALL if wide else 'change one of them'}",
                    DENIES_ALL if wide else FORBIDDEN,
                    never.path,
                )


def check_served(reader: Reader, site: Site) -> None:
    """Note flows to a host at ports that it does not serve."""
    for flow in site.flows:
        for name in dict.fromkeys(pair.destination.name for pair in flow.pairs if pair.destination.kind == ADDRESS):
            if name not in site.serves or flow.derived:
                continue
            served = [ports for service in site.serves[name] for ports in site.services.get(service, ())]
            for service in flow.services:
                if all(any(one.covers(ports) for one in served) for ports in flow.ports[service]):
                    continue
                reader.note(
                    f"{flow.path}.allow",
                    f"{service} ({', '.join(map(str, flow.ports[service]))}) to {name}",
                    f"what bulkhead_addresses.{name}.serves: {', '.join(site.serves[name])} "
                    f"({', '.join(map(str, served))})",
                    "name the service that it has, or the host that has this service",
                    NOT_SERVED,
                    f"bulkhead_addresses.{name}.serves",
                )
