# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the bulkhead_* variables to a Site, or to everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import (
    advice,
    changes,
    checks,
    dhcp,
    docker,
    engines,
    flows,
    nat,
    stacks,
    tailnet,
    tailnet_flows,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.extents import Extents
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.inventory import RESERVED_GROUPS, same_group
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    Bandwidth,
    Dhcp,
    Flow,
    Network,
    Site,
    Swarm,
    Tailnet,
    Tier,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.networks import pin_networks, read_networks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.pools import Live, read_pools
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import TAKEN_NAME, Reader, suggestion
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_point, require_netaddr
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import nowhere

#: The variables that declare a site.
VARIABLES = (
    "bulkhead_tiers",
    "bulkhead_addresses",
    "bulkhead_services",
    "bulkhead_flows",
    "bulkhead_never",
    "bulkhead_pools",
    "bulkhead_networks",
    "bulkhead_allocations",
    "bulkhead_swarm",
    "bulkhead_stacks",
    "bulkhead_engines",
    "bulkhead_tailnet",
    "bulkhead_changes",
)

#: The kind of a mistake: one rate that is given twice, and differs.
TWO_RATES = "two-rates"

#: The prefix of those variables.
PREFIX = "bulkhead_"

_TIER = "{vlan: 10, subnet: 10.0.1.0/24, gateway: 10.0.1.1}"
_TIER_FIELDS = ("vlan", "subnet", "gateway", "internet", "masquerade", "dhcp", "bandwidth", "description")
_MANAGERS = "{swarm1: 10.116.0.11}"


def parse_site(variables: Mapping[str, Any], today: date, live: Collection[Live] = ()) -> Site:
    """The Site that the variables declare; raises Refused with all mistakes at once, AnsibleError without netaddr.

    variables: {name: value} with the bulkhead_* variables, templated; today: the datetime.date that `until` is held
    against; live: pools.Live networks of the hosts, whose addresses no newly allocated network gets.
    """
    require_netaddr()
    reader = Reader()
    _check_variables(reader, variables)
    raw = {name: variables.get(name) for name in VARIABLES}
    tiers = _read_tiers(reader, raw["bulkhead_tiers"])
    addresses, serves = _read_addresses(reader, raw["bulkhead_addresses"], tiers)
    tiers = dhcp.resolve(reader, raw["bulkhead_tiers"], tiers, addresses)
    services = _read_services(reader, raw["bulkhead_services"])
    _check_serves(reader, serves, services)
    pools, pool_terms = read_pools(reader, raw["bulkhead_pools"])
    networks = read_networks(reader, raw["bulkhead_networks"], tiers, pools)
    networks = pin_networks(reader, raw["bulkhead_allocations"], networks)
    swarm = _read_swarm(reader, raw["bulkhead_swarm"], tiers, networks)
    site = Site(
        tiers=tiers,
        addresses=addresses,
        serves=serves,
        services=services,
        pools=pools,
        pool_terms=pool_terms,
        networks=networks,
        swarm=swarm,
        engines=engines.read_engines(reader, raw["bulkhead_engines"], tiers),
        stacks=stacks.read_stacks(reader, raw["bulkhead_stacks"], tiers, networks, raw["bulkhead_swarm"] is not None),
        changes=changes.read_changes(reader, raw["bulkhead_changes"]),
    )
    site = replace(site, tailnet=tailnet.read_tailnet(reader, raw["bulkhead_tailnet"], site))
    apart = checks.check_overlaps(reader, site)
    site = replace(site, networks=checks.allocate_networks(reader, site, live))
    checks.check_networks(reader, site)
    docker.check_docker(reader, site)
    engines.check_engines(reader, site)
    checks.check_addresses(reader, site)
    names = flows.Names(site)
    declared = flows.read_flows(reader, raw["bulkhead_flows"], names, today)
    site = replace(
        site,
        flows=(*(flow for flow in declared if not flow.tailnet), *dhcp.dhcp_flows(site)),
        never=flows.read_never(reader, raw["bulkhead_never"], names),
    )
    if site.tailnet:
        outward = flows.read_outward(reader, raw["bulkhead_tailnet"], names)
        site = _with_tailnet(site, site.tailnet, outward, [flow for flow in declared if flow.tailnet])
        tailnet_flows.check_routers(reader, site)
    nat.check_forwards(reader, site)
    checks.check_served(reader, site)
    extents = Extents(site)
    if apart:
        # Where networks overlap, every flow seems to do what an invariant forbids.
        checks.check_never(reader, site, extents)
        tailnet_flows.check_never(reader, site)
    if reader.mistakes:
        raise Refused(reader.mistakes)
    return replace(site, warnings=tuple(advice.warnings(site, extents, today)))


def _with_tailnet(site: Site, net: Tailnet, outward: tuple[Flow, ...], over: Iterable[Flow]) -> Site:
    """The site with what runs over its tailnet, and with what that needs of the LAN."""
    net = replace(net, outward=outward, flows=(*over, *tailnet_flows.exit_flows(net)))
    site = replace(site, tailnet=net)
    return replace(site, flows=(*site.flows, *tailnet_flows.lan_flows(site)))


def _check_variables(reader: Reader, variables: Iterable[str]) -> None:
    for name in variables:
        if name.startswith(PREFIX) and name not in VARIABLES:
            reader.note(
                name,
                "an unknown variable",
                f"one of {', '.join(VARIABLES)}",
                suggestion(name, VARIABLES) or f"remove it, or name it without {PREFIX}",
            )


def _read_tiers(reader: Reader, raw: object) -> dict[str, Tier]:
    if not raw and (raw is None or isinstance(raw, dict)):
        reader.refuse(
            "bulkhead_tiers",
            raw,
            "the site's tiers",
            f"declare them in the inventory's group_vars/all, like management: {_TIER}",
        )
    tiers: dict[str, Tier] = {}
    vlans: dict[int, str] = {}
    for name, value in reader.mapping("bulkhead_tiers", raw, "tiers", f"management: {_TIER}").items():
        path = f"bulkhead_tiers.{name}"
        _check_tier_name(reader, path, name, tiers)
        tiers[name] = tier = _read_tier(reader, path, name, value)
        if tier.vlan is None:
            continue
        if tier.vlan in vlans:
            reader.refuse(f"{path}.vlan", tier.vlan, "a VLAN id of its own", f"{vlans[tier.vlan]} has it")
        vlans.setdefault(tier.vlan, name)
    return tiers


def _check_tier_name(reader: Reader, path: str, name: str, others: Iterable[str]) -> None:
    """A tier is an inventory group and an endpoint of flows: its name must not mean anything else in either."""
    meaning = RESERVED_GROUPS.get(name.lower()) or flows.RESERVED.get(name.lower())
    twin = next((other for other in others if same_group(name, other)), None)
    if meaning:
        like = "" if name == name.lower() else f"{name.lower()}, but for capital letters, and that is "
        reader.refuse(path, name, "a name of its own", f"rename it: {name} is {like}{meaning}", TAKEN_NAME)
    elif twin:
        remedy = (
            f"rename it: {twin} differs in - and _ or in capital letters alone, and Ansible may make one group of both"
        )
        reader.refuse(path, name, "a name of its own", remedy, TAKEN_NAME)
    else:
        reader.name(path, name)


def _read_tier(reader: Reader, path: str, name: str, value: object) -> Tier:
    known = reader.fields(path, value, _TIER_FIELDS, _TIER)
    if not isinstance(value, dict):
        return Tier(name, None, ())
    subnets = reader.nets(f"{path}.subnet", known.get("subnet"))
    for subnet in subnets:
        found = nowhere(subnet)
        if found:
            expected = "a network in which hosts can have addresses"
            reader.note(f"{path}.subnet", str(subnet), expected, f"{found[0]} is {found[1]}: choose another network")
    gateways: tuple[Net, ...] = ()
    if known.get("gateway") is not None:
        gateways = reader.addresses(f"{path}.gateway", known["gateway"])
    for gateway in gateways if subnets else ():
        _check_inside(reader, f"{path}.gateway", gateway, subnets)
    tier = Tier(
        name=name,
        vlan=reader.integer(f"{path}.vlan", known.get("vlan"), "a VLAN id", 1, 4094, required=True),
        subnets=subnets,
        gateways=gateways,
        internet=reader.boolean(f"{path}.internet", known.get("internet")),
        dhcp=_read_dhcp(reader, f"{path}.dhcp", known.get("dhcp"), subnets, gateways),
        bandwidth=_read_bandwidth(reader, f"{path}.bandwidth", known.get("bandwidth")),
        description=reader.text(f"{path}.description", known.get("description")),
        masquerade=nat.read_masquerade(reader, f"{path}.masquerade", known.get("masquerade")),
    )
    nat.check_masquerade(reader, path, tier)
    return tier


def _check_inside(reader: Reader, path: str, address: Net, subnets: Collection[Net]) -> None:
    """An address of a host must lie in a subnet, and not be the network's or the broadcast address."""
    home = next((net for net in subnets if net.holds(address)), None)
    if home is None:
        reader.note(path, str(address), f"an address inside of {', '.join(map(str, subnets))}", "change one of the two")
    elif checks.is_edge(address, home):
        reader.note(
            path,
            str(address),
            f"an address that a host of {home} can have",
            "it is the network's own or its broadcast address: choose another",
        )


def _read_dhcp(
    reader: Reader, path: str, value: object, subnets: Collection[Net], gateways: Collection[Net]
) -> Optional[Dhcp]:
    if value is None:
        return None
    known = reader.fields(path, value, dhcp.FIELDS, dhcp.EXAMPLE)
    span = _read_range(reader, f"{path}.range", known.get("range"), subnets)
    for gateway in gateways:
        if span and span.holds(gateway):
            reader.note(
                f"{path}.range",
                str(known["range"]),
                f"a range without the gateway {gateway}",
                "choose a range beside it",
            )
    return Dhcp(span, reader.text(f"{path}.rack", known.get("rack")) or None)


def _read_range(reader: Reader, path: str, value: object, subnets: Collection[Net]) -> Optional[Net]:
    """The range of "10.0.2.100-10.0.2.200" as a span, or None."""
    expected, remedy = "a range of addresses", "write it like 10.0.2.100-10.0.2.200"
    if not isinstance(value, str):
        reader.refuse(path, value, expected, remedy)
        return None
    low, _dash, high = value.partition("-")
    try:
        span = Net(parse_point(low.strip()), parse_point(high.strip()))
    except Unreadable:
        reader.refuse(path, value, expected, remedy)
        return None
    if span.first > span.last:
        reader.refuse(path, value, "the lower address first", f"write {high.strip()}-{low.strip()}")
        return None
    home = next((net for net in subnets if net.holds(span)), None)
    if subnets and home is None:
        reader.refuse(path, value, f"a range inside of {', '.join(map(str, subnets))}", "change one of the two")
        return None
    if home and (checks.is_edge(Net(span.first, span.first), home) or checks.is_edge(Net(span.last, span.last), home)):
        reader.refuse(
            path,
            value,
            f"a range of addresses that hosts of {home} can have",
            "leave the network's own and its broadcast address out",
        )
    return span


def _read_bandwidth(reader: Reader, path: str, value: object) -> Optional[Bandwidth]:
    if value is None:
        return None
    known = reader.fields(path, value, ("minimum", "recommended"), "{minimum: 10, recommended: 100}")
    rates = Bandwidth(*(_read_rate(reader, f"{path}.{key}", known.get(key)) for key in ("minimum", "recommended")))
    if rates.minimum and rates.recommended and rates.minimum > rates.recommended:
        reader.refuse(
            f"{path}.minimum",
            rates.minimum,
            f"at most the recommended {rates.recommended} Mbit/s",
            "swap or correct the two",
        )
    return rates


def _read_rate(reader: Reader, path: str, value: object) -> Optional[int]:
    """A rate in Mbit/s. A list holds what several places demand, which has to be the same."""
    if not isinstance(value, list):
        return reader.integer(path, value, "a rate in Mbit/s", 1, 1000000)
    rates = [
        reader.integer(f"{path}[{index}]", item, "a rate in Mbit/s", 1, 1000000, required=True)
        for index, item in enumerate(value)
    ]
    for index, rate in enumerate(rates):
        if rate is not None and rates[0] is not None and rate != rates[0]:
            expected = f"{rates[0]} Mbit/s, as {path}[0] says"
            remedy = "decide for one: a link is held against one rate"
            reader.note(f"{path}[{index}]", f"{rate} Mbit/s", expected, remedy, TWO_RATES, f"{path}[0]")
    return rates[0] if rates else None


def _read_addresses(
    reader: Reader, raw: object, tiers: Collection[str]
) -> tuple[dict[str, tuple[Net, ...]], dict[str, tuple[str, ...]]]:
    """(the addresses, the names of the services that are all a host serves, where that is said)."""
    taken = dict(flows.RESERVED)
    taken.update((name, "a tier") for name in tiers)
    result: dict[str, tuple[Net, ...]] = {}
    serves: dict[str, tuple[str, ...]] = {}
    for name, value in reader.mapping("bulkhead_addresses", raw, "named addresses", "maas: 10.0.2.10").items():
        path = f"bulkhead_addresses.{name}"
        reader.name(path, name, taken)
        if isinstance(value, dict):
            known = reader.fields(path, value, ("address", "serves"), "{address: 10.0.2.10, serves: [pxe, http]}")
            path, value = f"{path}.address", known.get("address")
            named = reader.items(
                f"bulkhead_addresses.{name}.serves", known.get("serves"), "a service, or a list of them", "http"
            )
            serves[name] = tuple(service for _where, service in named)
        result[name] = reader.addresses(path, value)
    return result, serves


def _check_serves(
    reader: Reader, serves: Mapping[str, Collection[str]], services: Mapping[str, tuple[Ports, ...]]
) -> None:
    for name, named in serves.items():
        for service in named:
            if service not in services:
                remedy = suggestion(service, services) or "declare it in bulkhead_services"
                path = f"bulkhead_addresses.{name}.serves"
                reader.refuse(path, service, "a service of bulkhead_services", remedy)


def _read_services(reader: Reader, raw: object) -> dict[str, tuple[Ports, ...]]:
    result = {}
    for name, value in reader.mapping("bulkhead_services", raw, "services", "ssh: 22/tcp").items():
        path = f"bulkhead_services.{name}"
        reader.name(path, name, {flows.ANY: "every protocol and port"})
        result[name] = reader.ports(path, value)
    return result


def _read_swarm(reader: Reader, raw: object, tiers: Mapping[str, Tier], networks: Mapping[str, Network]) -> Swarm:
    overlays = [network.name for network in networks.values() if network.driver == "overlay"]
    if raw is None:
        for name in overlays:
            reader.note(
                f"bulkhead_networks.{name}.driver",
                "overlay",
                "a Swarm that it can live in",
                "declare bulkhead_swarm: {managers: {...}, tier: ...}",
            )
        return Swarm()
    known = reader.fields(
        "bulkhead_swarm", raw, ("managers", "tier", "labels"), f"{{managers: {_MANAGERS}, tier: swarm_workers}}"
    )
    if not isinstance(raw, dict):
        return Swarm()
    tier = known.get("tier")
    if not isinstance(tier, str) or tier not in tiers:
        reader.refuse(
            "bulkhead_swarm.tier",
            tier,
            "the tier that the Swarm lives in",
            suggestion(tier, tiers) or f"name one of {', '.join(tiers)}",
        )
        tier = None
    managers = _read_managers(reader, known.get("managers"), tiers[tier].subnets if tier else ())
    return Swarm(managers, tier, _read_labels(reader, known.get("labels")))


def _read_labels(reader: Reader, raw: object) -> dict[str, dict[str, str]]:
    """{node: {label: value}}."""
    path, example = "bulkhead_swarm.labels", "{swarm1: {disk: fast}}"
    found = {}
    for node, value in reader.mapping(path, raw, "nodes", example).items():
        labels = reader.mapping(f"{path}.{node}", value, "labels", "{disk: fast}")
        found[node] = {name: reader.text(f"{path}.{node}.{name}", item) for name, item in labels.items()}
    return found


def _read_managers(reader: Reader, raw: object, subnets: Collection[Net]) -> dict[str, Net]:
    path = "bulkhead_swarm.managers"
    if not raw and (raw is None or isinstance(raw, dict)):
        reader.refuse(path, raw, "inventory name and address of at least one manager", f"write it like {_MANAGERS}")
    managers = {}
    for name, value in reader.mapping(path, raw, "managers", _MANAGERS).items():
        address = reader.address(f"{path}.{name}", value)
        if address:
            managers[name] = address
            if subnets:
                _check_inside(reader, f"{path}.{name}", address, subnets)
    return managers
