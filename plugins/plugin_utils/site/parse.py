# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the bulkhead_* variables to a Site, or to everything that is wrong with them."""

from __future__ import annotations

from dataclasses import replace

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import advice, checks, docker, flows, stacks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.extents import Extents
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    Bandwidth,
    Dhcp,
    Network,
    Site,
    Swarm,
    Tier,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.pools import RESERVED_POOLS, read_pools
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader, suggestion
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, NotANet, parse_point

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
)

#: The prefix of those variables.
PREFIX = "bulkhead_"

_TIER = "{vlan: 10, subnet: 10.0.1.0/24, gateway: 10.0.1.1}"
_TIER_FIELDS = ("vlan", "subnet", "gateway", "internet", "dhcp", "bandwidth", "description")
_NETWORK = "{driver: overlay, size: 24}"
_NETWORK_FIELDS = (
    "driver",
    "subnet",
    "size",
    "pool",
    "gateway",
    "ip_range",
    "addresses",
    "on",
    "zone",
    "internal",
    "attachable",
    "encrypted",
    "enable_ipv4",
    "enable_ipv6",
    "public",
    "mtu",
    "options",
    "labels",
)
_MANAGERS = "{swarm1: 10.116.0.11}"


def parse_site(variables, today, live=()):
    """The Site that the variables declare; raises Refused with all problems at once.

    variables: {name: value} with the bulkhead_* variables, templated; today: the datetime.date that `until` is held
    against; live: pools.Live networks of the hosts, whose addresses no newly allocated network gets.
    """
    reader = Reader()
    _check_variables(reader, variables)
    raw = {name: variables.get(name) for name in VARIABLES}
    tiers = _read_tiers(reader, raw["bulkhead_tiers"])
    addresses = _read_addresses(reader, raw["bulkhead_addresses"], tiers)
    services = _read_services(reader, raw["bulkhead_services"])
    pools, pool_terms = read_pools(reader, raw["bulkhead_pools"])
    networks = _read_networks(reader, raw["bulkhead_networks"], tiers, pools)
    networks = _pin(reader, raw["bulkhead_allocations"], networks)
    swarm = _read_swarm(reader, raw["bulkhead_swarm"], tiers, networks)
    site = Site(
        tiers=tiers,
        addresses=addresses,
        services=services,
        pools=pools,
        pool_terms=pool_terms,
        networks=networks,
        swarm=swarm,
        stacks=stacks.read_stacks(reader, raw["bulkhead_stacks"], tiers, networks, raw["bulkhead_swarm"] is not None),
    )
    apart = checks.check_overlaps(reader, site)
    site = replace(site, networks=checks.allocate_networks(reader, site, live))
    checks.check_networks(reader, site)
    docker.check_docker(reader, site)
    checks.check_addresses(reader, site)
    names = flows.Names(site)
    site = replace(
        site,
        flows=flows.read_flows(reader, raw["bulkhead_flows"], names, today),
        never=flows.read_never(reader, raw["bulkhead_never"], names),
    )
    extents = Extents(site)
    if apart:
        # Where networks overlap, every flow seems to do what an invariant forbids.
        checks.check_never(reader, site, extents)
    if reader.mistakes:
        raise Refused(reader.mistakes)
    return replace(site, warnings=tuple(advice.warnings(site, extents, today)))


def _check_variables(reader, variables):
    for name in variables:
        if name.startswith(PREFIX) and name not in VARIABLES:
            reader.note(
                name,
                "an unknown variable",
                "one of %s" % ", ".join(VARIABLES),
                suggestion(name, VARIABLES) or "remove it, or name it without %s" % PREFIX,
            )


def _read_tiers(reader, raw):
    if not raw and (raw is None or isinstance(raw, dict)):
        reader.refuse(
            "bulkhead_tiers",
            raw,
            "the site's tiers",
            "declare them in the inventory's group_vars/all, like management: %s" % _TIER,
        )
    tiers = {}
    vlans = {}
    for name, value in reader.mapping("bulkhead_tiers", raw, "tiers", "management: %s" % _TIER).items():
        path = "bulkhead_tiers.%s" % name
        reader.name(path, name, flows.RESERVED)
        tiers[name] = tier = _read_tier(reader, path, name, value)
        if tier.vlan is None:
            continue
        if tier.vlan in vlans:
            reader.refuse("%s.vlan" % path, tier.vlan, "a VLAN id of its own", "%s has it" % vlans[tier.vlan])
        vlans.setdefault(tier.vlan, name)
    return tiers


def _read_tier(reader, path, name, value):
    known = reader.fields(path, value, _TIER_FIELDS, _TIER)
    if not isinstance(value, dict):
        return Tier(name, None, ())
    subnets = reader.nets("%s.subnet" % path, known.get("subnet"))
    gateways = ()
    if known.get("gateway") is not None:
        gateways = reader.addresses("%s.gateway" % path, known["gateway"])
    for gateway in gateways if subnets else ():
        _check_inside(reader, "%s.gateway" % path, gateway, subnets)
    return Tier(
        name=name,
        vlan=reader.integer("%s.vlan" % path, known.get("vlan"), "a VLAN id", 1, 4094, required=True),
        subnets=subnets,
        gateways=gateways,
        internet=reader.boolean("%s.internet" % path, known.get("internet")),
        dhcp=_read_dhcp(reader, "%s.dhcp" % path, known.get("dhcp"), subnets, gateways),
        bandwidth=_read_bandwidth(reader, "%s.bandwidth" % path, known.get("bandwidth")),
        description=reader.text("%s.description" % path, known.get("description")),
    )


def _check_inside(reader, path, address, subnets):
    """An address of a host must lie in a subnet, and not be the network's or the broadcast address."""
    home = next((net for net in subnets if net.holds(address)), None)
    if home is None:
        reader.note(path, str(address), "an address inside of %s" % ", ".join(map(str, subnets)), "mend one of both")
    elif checks.is_edge(address, home):
        reader.note(
            path,
            str(address),
            "an address that a host of %s can have" % home,
            "it is the network's own or its broadcast address: choose another",
        )


def _read_dhcp(reader, path, value, subnets, gateways):
    if value is None:
        return None
    known = reader.fields(path, value, ("range", "rack"), "{range: 10.0.2.100-10.0.2.200, rack: rack1}")
    span = _read_range(reader, "%s.range" % path, known.get("range"), subnets)
    for gateway in gateways:
        if span and span.holds(gateway):
            reader.note(
                "%s.range" % path,
                str(known["range"]),
                "a range without the gateway %s" % gateway,
                "choose a range beside it",
            )
    return Dhcp(span, reader.text("%s.rack" % path, known.get("rack")) or None)


def _read_range(reader, path, value, subnets):
    """The range of "10.0.2.100-10.0.2.200" as a span, or None."""
    expected, remedy = "a range of addresses", "write it like 10.0.2.100-10.0.2.200"
    if not isinstance(value, str):
        reader.refuse(path, value, expected, remedy)
        return None
    low, dash, high = value.partition("-")
    try:
        span = Net(parse_point(low.strip()), parse_point(high.strip()))
    except NotANet:
        reader.refuse(path, value, expected, remedy)
        return None
    if span.first > span.last:
        reader.refuse(path, value, "the lower address first", "write %s-%s" % (high.strip(), low.strip()))
        return None
    home = next((net for net in subnets if net.holds(span)), None)
    if subnets and home is None:
        reader.refuse(path, value, "a range inside of %s" % ", ".join(map(str, subnets)), "mend one of both")
        return None
    if home and (checks.is_edge(Net(span.first, span.first), home) or checks.is_edge(Net(span.last, span.last), home)):
        reader.refuse(
            path,
            value,
            "a range of addresses that hosts of %s can have" % home,
            "leave the network's own and its broadcast address out",
        )
    return span


def _read_bandwidth(reader, path, value):
    if value is None:
        return None
    known = reader.fields(path, value, ("minimum", "recommended"), "{minimum: 10, recommended: 100}")
    rates = Bandwidth(
        *(
            reader.integer("%s.%s" % (path, key), known.get(key), "a rate in Mbit/s", 1, 1000000)
            for key in ("minimum", "recommended")
        )
    )
    if rates.minimum and rates.recommended and rates.minimum > rates.recommended:
        reader.refuse(
            "%s.minimum" % path,
            rates.minimum,
            "at most the recommended %d Mbit/s" % rates.recommended,
            "swap or mend the two",
        )
    return rates


def _read_addresses(reader, raw, tiers):
    taken = dict(flows.RESERVED)
    taken.update((name, "a tier") for name in tiers)
    result = {}
    for name, value in reader.mapping("bulkhead_addresses", raw, "named addresses", "maas: 10.0.2.10").items():
        path = "bulkhead_addresses.%s" % name
        reader.name(path, name, taken)
        result[name] = reader.addresses(path, value)
    return result


def _read_services(reader, raw):
    result = {}
    for name, value in reader.mapping("bulkhead_services", raw, "services", "ssh: 22/tcp").items():
        path = "bulkhead_services.%s" % name
        reader.name(path, name, {flows.ANY: "every protocol and port"})
        result[name] = reader.ports(path, value)
    return result


def _read_networks(reader, raw, tiers, pools):
    result = {}
    for name, value in reader.mapping("bulkhead_networks", raw, "networks", "private: %s" % _NETWORK).items():
        path = "bulkhead_networks.%s" % name
        result[name] = _read_network(reader, path, name, value, tiers, pools)
    return result


def _read_network(reader, path, name, value, tiers, pools):
    if isinstance(value, dict) and True in value:
        # YAML 1.1, which Ansible reads, takes the bare key `on` for true.
        value = {"on" if key is True else key: item for key, item in value.items()}
    known = reader.fields(path, value, _NETWORK_FIELDS, _NETWORK)
    if not isinstance(value, dict):
        return Network(name, "", None)
    driver = _read_choice(reader, "%s.driver" % path, known.get("driver"), ("overlay", "bridge"))
    subnet = reader.net("%s.subnet" % path, known["subnet"]) if known.get("subnet") is not None else None
    if (known.get("subnet") is None) == (known.get("size") is None):
        reader.note(
            path,
            "both subnet and size" if known.get("size") is not None else "neither subnet nor size",
            "one of the two",
            "give a subnet, or a size to take one from a pool",
        )
    options = _read_strings(reader, "%s.options" % path, known.get("options"))
    mtu = reader.integer("%s.mtu" % path, known.get("mtu"), "an MTU", 1, 65535)
    return Network(
        name=name,
        driver=driver,
        subnet=subnet,
        size=reader.integer("%s.size" % path, known.get("size"), "a prefix length", 8, 126),
        pool=_read_pool_name(reader, "%s.pool" % path, known, driver, pools),
        gateway=_optional(reader.address, "%s.gateway" % path, known.get("gateway")),
        ip_range=_optional(reader.net, "%s.ip_range" % path, known.get("ip_range")),
        zone=reader.text("%s.zone" % path, known.get("zone")),
        internal=reader.boolean("%s.internal" % path, known.get("internal"), False),
        attachable=reader.boolean("%s.attachable" % path, known.get("attachable"), False),
        encrypted=reader.boolean("%s.encrypted" % path, known.get("encrypted"), False),
        ipv4=reader.boolean("%s.enable_ipv4" % path, known.get("enable_ipv4")),
        ipv6=reader.boolean("%s.enable_ipv6" % path, known.get("enable_ipv6")),
        public=reader.boolean("%s.public" % path, known.get("public"), False),
        mtu=mtu,
        options=options,
        labels=_read_strings(reader, "%s.labels" % path, known.get("labels")),
        addresses=_read_containers(reader, "%s.addresses" % path, known.get("addresses")),
        tiers=_read_on(reader, path, known, driver, tiers),
    )


def _optional(read, path, value):
    return None if value is None else read(path, value)


def _read_choice(reader, path, value, choices):
    if isinstance(value, str) and value in choices:
        return str(value)
    reader.refuse(path, value, " or ".join(choices), suggestion(value, choices) or "choose one of them")
    return ""


def _read_strings(reader, path, value):
    """{key: text} as the engine keeps options and labels: numbers and booleans become text."""
    result = {}
    for key, item in reader.mapping(path, value, "texts", "{key: value}").items():
        if isinstance(item, bool):
            result[key] = "true" if item else "false"
        elif isinstance(item, (str, int, float)):
            result[key] = str(item)
        else:
            reader.refuse("%s.%s" % (path, key), item, "a text", "put it in quotes")
    return result


def _read_pool_name(reader, path, known, driver, pools):
    """The pool that a network takes its subnet from, or may lie in: the driver's name unless another one is named."""
    name = reader.text(path, known.get("pool")) or driver
    if known.get("pool") is None and known.get("size") is None:
        return name
    if name in RESERVED_POOLS:
        reader.refuse(path, name, "a pool for networks", "%s is what the engines take for themselves" % name)
        return None
    if name not in pools and name:
        reader.refuse(
            path,
            name,
            "a pool of bulkhead_pools",
            suggestion(name, pools) or "declare bulkhead_pools.%s, or name another pool" % name,
        )
        return None
    return name


def _read_containers(reader, path, value):
    result = {}
    for name, item in reader.mapping(path, value, "addresses by container", "portal: 172.20.0.20").items():
        address = reader.address("%s.%s" % (path, name), item)
        if address:
            result[name] = address
    return result


def _read_on(reader, path, known, driver, tiers):
    """The tiers whose hosts have a bridge network; an overlay is where the Swarm is."""
    if driver == "overlay":
        if known.get("on") is not None:
            reader.refuse(
                "%s.on" % path,
                known["on"],
                "nothing for an overlay",
                "remove it: overlays live on the Swarm's managers",
            )
        return ()
    if driver != "bridge":
        return ()
    names = []
    for where, name in reader.items(
        "%s.on" % path, known.get("on"), "the tiers whose hosts have this bridge", "management"
    ):
        if name in tiers:
            names.append(name)
        else:
            reader.refuse(where, name, "a tier", suggestion(name, tiers) or "name one of %s" % ", ".join(tiers))
    return tuple(dict.fromkeys(names))


def _pin(reader, raw, networks):
    """The networks, with the subnets that earlier runs have allocated."""
    result = dict(networks)
    for name, value in reader.mapping("bulkhead_allocations", raw, "pinned subnets", "private: 172.30.0.0/24").items():
        path = "bulkhead_allocations.%s" % name
        pin = reader.net(path, value)
        network = networks.get(name)
        if network is None:
            reader.refuse(
                path,
                name,
                "a network of bulkhead_networks",
                suggestion(name, networks) or "remove the pin with its network",
            )
        elif pin and network.subnet and network.subnet != pin:
            reader.note(
                path, str(pin), "the subnet %s of bulkhead_networks.%s" % (network.subnet, name), "remove the pin"
            )
        elif pin and network.size and network.size != pin.prefix:
            reader.note(
                path,
                str(pin),
                "the size %d of bulkhead_networks.%s" % (network.size, name),
                "a pinned subnet never changes: mend the size",
            )
        elif pin and not network.subnet:
            result[name] = replace(network, subnet=pin)
    return result


def _read_swarm(reader, raw, tiers, networks):
    overlays = [network.name for network in networks.values() if network.driver == "overlay"]
    if raw is None:
        for name in overlays:
            reader.note(
                "bulkhead_networks.%s.driver" % name,
                "overlay",
                "a Swarm that it can live in",
                "declare bulkhead_swarm: {managers: {...}, tier: ...}",
            )
        return Swarm()
    known = reader.fields(
        "bulkhead_swarm", raw, ("managers", "tier"), "{managers: %s, tier: swarm_workers}" % _MANAGERS
    )
    if not isinstance(raw, dict):
        return Swarm()
    tier = known.get("tier")
    if not isinstance(tier, str) or tier not in tiers:
        reader.refuse(
            "bulkhead_swarm.tier",
            tier,
            "the tier that the Swarm lives in",
            suggestion(tier, tiers) or "name one of %s" % ", ".join(tiers),
        )
        tier = None
    return Swarm(_read_managers(reader, known.get("managers"), tiers[tier].subnets if tier else ()), tier)


def _read_managers(reader, raw, subnets):
    path = "bulkhead_swarm.managers"
    if not raw and (raw is None or isinstance(raw, dict)):
        reader.refuse(path, raw, "inventory name and address of at least one manager", "write it like %s" % _MANAGERS)
    managers = {}
    for name, value in reader.mapping(path, raw, "managers", _MANAGERS).items():
        address = reader.address("%s.%s" % (path, name), value)
        if address:
            managers[name] = address
            if subnets:
                _check_inside(reader, "%s.%s" % (path, name), address, subnets)
    return managers
