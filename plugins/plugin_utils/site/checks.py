# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What only the whole declaration shows: overlaps, addresses in odd places, flows that an invariant forbids."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.pools import settled_homes, within_reserve
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import allocate, overlaps, parse_net

#: What an engine takes its networks from unless it is told otherwise (moby, libnetwork/ipamutils).
ENGINE_DEFAULTS = tuple(parse_net("172.%d.0.0/16" % second) for second in range(17, 32)) + (
    parse_net("192.168.0.0/16"),
)

#: What `swarm init` takes unless it is given --default-addr-pool.
SWARM_DEFAULTS = (parse_net("10.0.0.0/8"),)

#: Carrier-grade NAT (RFC 6598): where tailnets number their nodes.
SHARED_SPACE = (parse_net("100.64.0.0/10"),)

#: Places where no host of a site has its address.
_NOWHERE = tuple(
    (parse_net(cidr), what)
    for cidr, what in (
        ("0.0.0.0/8", "this network"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
)


class _Owner(NamedTuple):
    """Who claims a network. path is empty for what is not declared; pool is the pool that a network may lie in."""

    text: str
    path: str
    pool: str
    remedy: str


def is_edge(address, subnet):
    """Whether an address is the subnet's own or its broadcast address; IPv6 and /31 have neither."""
    return subnet.version == 4 and subnet.prefix < 31 and address.first in (subnet.first, subnet.last)


def check_overlaps(reader, site):
    """Note every two networks that meet and must not; returns whether there are none."""
    found = overlaps(list(_claims(site)), _may_lie_in)
    for inner, outer in found:
        (net, owner), (other, owning) = (inner, outer) if inner[1].path else (outer, inner)
        remedy = owning.remedy or owner.remedy or "choose another network"
        reader.note(
            owner.path, str(net), "a network that overlaps no other one", "%s is %s: %s" % (other, owning.text, remedy)
        )
    return not found


def _claims(site):
    """[(Net, _Owner)]; pools come before the networks in them, so that a network as large as its pool lies inside."""
    for tier in site.tiers.values():
        for net in tier.subnets:
            yield net, _Owner(tier.name, "bulkhead_tiers.%s.subnet" % tier.name, "", "")
    for name, nets in site.pools.items():
        for net in nets:
            yield net, _Owner("pool %s" % name, "bulkhead_pools.%s" % name, name, "")
    for name, terms in site.pool_terms.items():
        for net in terms.exclude:
            yield net, _Owner("an exclusion of pool %s" % name, "bulkhead_pools.%s.exclude" % name, name, "")
    for network in site.networks.values():
        if network.subnet:
            path = "bulkhead_allocations.%s" if network.size else "bulkhead_networks.%s.subnet"
            yield network.subnet, _Owner("network %s" % network.name, path % network.name, network.pool or "", "")
    for net, owner in _engines_claims(site):
        yield net, owner


def _engines_claims(site):
    """What the engines, the Swarm and a tailnet take by themselves."""
    if "engine" not in site.pools and (site.networks or site.swarm.managers):
        for net in ENGINE_DEFAULTS:
            yield (
                net,
                _Owner(
                    "a default address pool of Docker",
                    "",
                    "",
                    "declare bulkhead_pools.engine elsewhere, or choose another network",
                ),
            )
    if "swarm" not in site.pools and (
        site.swarm.managers or any(network.driver == "overlay" for network in site.networks.values())
    ):
        for net in SWARM_DEFAULTS:
            yield (
                net,
                _Owner(
                    "the default address pool of Swarm",
                    "",
                    "",
                    "declare bulkhead_pools.swarm elsewhere, or choose another network",
                ),
            )
    for net in SHARED_SPACE:
        yield net, _Owner("what tailnets and carriers use", "", "", "choose another network")


def _may_lie_in(inner, outer):
    """A network may lie in its own pool; what nobody declared is nobody's fault."""
    if not inner.path and not outer.path:
        return True
    return (
        bool(inner.pool)
        and inner.pool == outer.pool
        and inner.text.startswith(("network ", "an exclusion "))
        and outer.text.startswith("pool ")
    )


def allocate_networks(reader, site, live=()):
    """The networks, each with a subnet: those that have none get one from their pools, beside all that is taken.

    live: pools.Live networks of the hosts. A network that lives already stays; no other one gets its addresses.
    """
    wanted = {}
    for network in site.networks.values():
        if network.subnet is None and network.size and network.pool:
            wanted.setdefault(network.pool, {})[network.name] = network.size
    result = dict(site.networks)
    for pool, sizes in wanted.items():
        nets, terms = site.pools.get(pool, ()), site.pool_terms.get(pool)
        taken = [net for net, owner in _claims(site) if owner.text != "pool %s" % pool]
        homes = settled_homes(nets, sizes, taken, live)
        taken += [item.net for item in live]
        new = {name: size for name, size in sizes.items() if name not in homes}
        fitting = within_reserve(nets, terms, new, taken)
        subnets = {**homes, **allocate(nets, fitting, taken)}
        for name in sizes:
            subnet = subnets.get(name)
            if subnet is None and nets:
                reserve = terms.reserve if name not in fitting else 0
                _note_no_room(reader, pool, nets, (name, sizes[name]), reserve, live)
            result[name] = replace(site.networks[name], subnet=subnet, settled=False)
    return result


def _note_no_room(reader, pool, nets, wanted, reserve, live):
    """wanted: (name, prefix length)."""
    inside = [str(item) for item in live if any(net.meets(item.net) for net in nets)]
    reader.note(
        "bulkhead_networks.%s.size" % wanted[0],
        "/%d" % wanted[1],
        "a size that %s pool %s (%s)%s"
        % (
            "leaves the reserve of %d %% free in" % reserve if reserve else "is still free in",
            pool,
            ", ".join(map(str, nets)),
            ", where there live %s" % ", ".join(inside) if inside else "",
        ),
        "enlarge bulkhead_pools.%s%s or remove networks" % (pool, ", lower its reserve," if reserve else ""),
    )


def check_networks(reader, site):
    """Note addresses of containers that do not fit into their network."""
    for network in site.networks.values():
        if network.subnet:
            _check_network(reader, "bulkhead_networks.%s" % network.name, network)


def _check_network(reader, path, network):
    subnet = network.subnet
    # The gateway and the range are held against the subnet by Docker's limits.
    seen = {network.gateway: "the gateway"} if network.gateway else {}
    for name, address in network.addresses.items():
        where = "%s.addresses.%s" % (path, name)
        if not subnet.holds(address):
            reader.note(where, str(address), "an address inside of %s" % subnet, "correct it, or the subnet")
        elif is_edge(address, subnet) or address.first == subnet.first:
            reader.note(
                where,
                str(address),
                "an address that a container of %s can have" % subnet,
                "it is the network's own or its broadcast address: choose another",
            )
        elif address in seen:
            reader.note(where, str(address), "an address of its own", "%s has it" % seen[address])
        seen.setdefault(address, name)


def check_addresses(reader, site):
    """Note named addresses that no host can have."""
    for name, nets in site.addresses.items():
        for address in nets:
            _check_address(reader, "bulkhead_addresses.%s" % name, address, site)


def _check_address(reader, path, address, site):
    for net, what in _NOWHERE:
        if net.holds(address):
            reader.note(
                path, str(address), "the address of a host", "%s is %s: name the host's own address" % (net, what)
            )
            return
    homes = [subnet for tier in site.tiers.values() for subnet in tier.subnets]
    homes += [network.subnet for network in site.networks.values() if network.subnet]
    for home in homes:
        if home.holds(address):
            if is_edge(address, home):
                reader.note(
                    path,
                    str(address),
                    "an address that a host of %s can have" % home,
                    "it is the network's own or its broadcast address: choose another",
                )
            return _check_lease(reader, path, address, site)
    for name, nets in site.pools.items():
        for net in nets:
            if net.holds(address):
                reader.note(
                    path,
                    str(address),
                    "an address of a tier, of a network or outside of the site",
                    "it lies in pool %s, where no network has it" % name,
                )


def _check_lease(reader, path, address, site):
    for tier in site.tiers.values():
        if tier.dhcp and tier.dhcp.span and tier.dhcp.span.holds(address):
            reader.note(
                path,
                str(address),
                "an address that DHCP does not hand out",
                "it lies in bulkhead_tiers.%s.dhcp.range: choose one beside it" % tier.name,
            )


def check_never(reader, site, extents):
    """Note every flow that allows what an invariant forbids."""
    for flow in site.flows:
        for never in site.never:
            found = extents.meeting(flow, never)
            if found:
                source, destination, ports = found
                reader.note(
                    flow.path,
                    str(flow),
                    "nothing that %s forbids: %s" % (never.path, never),
                    "both have %s -> %s %s: mend one of them" % (source, destination, ports),
                )
