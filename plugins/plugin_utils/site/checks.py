# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What only the whole declaration shows: overlaps, addresses in odd places, flows that an invariant forbids."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.allocator import allocate
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.claims import Kind, Owner, all_claims
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.extents import Extents
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Network, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.pools import Live, settled_homes, within_reserve
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, overlaps
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import nowhere

#: What to do about an address that no host can have.
_EDGE = "it is the network's own or its broadcast address: choose another"


def is_edge(address: Net, subnet: Net) -> bool:
    """Whether an address is the subnet's own or its broadcast address; IPv6 and /31 have neither."""
    return subnet.version == 4 and subnet.prefix < 31 and address.first in (subnet.first, subnet.last)


def check_overlaps(reader: Reader, site: Site) -> bool:
    """Note every network that meets another one and must not, with the closest one; returns whether there is none."""
    closest: dict[tuple[Net, Owner], tuple[Net, Owner]] = {}
    for outer, inner in overlaps(all_claims(site)):
        if not inner[1].may_lie_in(outer[1]):
            closest[inner] = outer
    for inner, outer in closest.items():
        (net, owner), (other, owning) = (inner, outer) if inner[1].path else (outer, inner)
        remedy = f"{other} is {owning}: {owning.remedy}"
        reader.note(owner.path, str(net), "a network that overlaps no other one", remedy, "overlap")
    return not closest


def allocate_networks(reader: Reader, site: Site, live: Collection[Live] = ()) -> dict[str, Network]:
    """The networks, each with a subnet: those that have none get one from their pools, beside all that is taken.

    live: pools.Live networks of the hosts. A network that lives already stays; no other one gets its addresses.
    """
    wanted: dict[str, dict[str, int]] = {}
    for network in site.networks.values():
        if network.subnet is None and network.size and network.pool:
            wanted.setdefault(network.pool, {})[network.name] = network.size
    result = dict(site.networks)
    for pool, sizes in wanted.items():
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
            result[name] = replace(site.networks[name], subnet=subnet, settled=False)
    return result


def _note_no_room(
    reader: Reader, pool: str, nets: Collection[Net], wanted: tuple[str, int], reserve: int, live: Collection[Live]
) -> None:
    """wanted: (name, prefix length)."""
    name, size = wanted
    inside = ", ".join(str(item) for item in live if any(net.meets(item.net) for net in nets))
    room = f"leaves the reserve of {reserve} % free in" if reserve else "is still free in"
    reader.note(
        f"bulkhead_networks.{name}.size",
        f"/{size}",
        f"a size that {room} pool {pool} ({', '.join(map(str, nets))})"
        + (f", where these live: {inside}" if inside else ""),
        f"enlarge bulkhead_pools.{pool}{', lower its reserve,' if reserve else ''} or remove networks",
        "no-room",
    )


def check_networks(reader: Reader, site: Site) -> None:
    """Note addresses of containers that do not fit into their network."""
    for network in site.networks.values():
        if network.subnet:
            _check_network(reader, f"bulkhead_networks.{network.name}", network, network.subnet)


def _check_network(reader: Reader, path: str, network: Network, subnet: Net) -> None:
    # The gateway and the range are held against the subnet by Docker's limits.
    seen: dict[Net, str] = {network.gateway: "the gateway"} if network.gateway else {}
    for name, address in network.addresses.items():
        where = f"{path}.addresses.{name}"
        if not subnet.holds(address):
            reader.note(where, str(address), f"an address inside of {subnet}", "correct it, or the subnet")
        elif is_edge(address, subnet) or address.first == subnet.first:
            reader.note(where, str(address), f"an address that a container of {subnet} can have", _EDGE)
        elif address in seen:
            reader.note(where, str(address), "an address of its own", f"{seen[address]} has it")
        seen.setdefault(address, name)


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
    homes = [subnet for tier in site.tiers.values() for subnet in tier.subnets]
    homes += [network.subnet for network in site.networks.values() if network.subnet]
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
                reader.note(
                    flow.path,
                    str(flow),
                    f"nothing that {never.path} forbids: {never}",
                    f"both have {source} -> {destination} {ports}: change one of them",
                )
