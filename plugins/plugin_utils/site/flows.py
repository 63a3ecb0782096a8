# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows and invariants: names of endpoints and services, resolved down to networks and ports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import nat, tailnet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    FROM_TAILNET,
    GATEWAY,
    INTERNET,
    LINK,
    NETWORK,
    TIER,
    Endpoint,
    Flow,
    Pair,
    Site,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ALL, WITH_PORTS, Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader, suggestion
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import parse_address, parse_net
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import on_link

#: {name as declared: its endpoints}; None stands for `self`.
Ends = dict[str, Optional[list[Endpoint]]]

ANY = "any"
TIERS = "tiers"
SELF = "self"
#: What `via` can say; without it, a flow is the LAN's.
TAILNET = "tailnet"

#: Names that no tier and no address can have, and what they stand for.
RESERVED = {
    TIERS: "every tier",
    SELF: "the tier of the other end",
    GATEWAY: "the gateways' own addresses",
    INTERNET: "everything outside of the site",
    ANY: "every protocol and port",
}

_EXAMPLE = "{from: management, to: tiers, allow: ssh, why: administration}"


class Names:
    """What a flow can name."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.tiers = {name: Endpoint(TIER, name, tier.subnets) for name, tier in site.tiers.items()}
        self.gateway = Endpoint(GATEWAY, GATEWAY, tuple(site.legs))
        self.known = [TIERS, SELF, GATEWAY, INTERNET, *site.tiers, *site.addresses]
        self.tailnet = tailnet.TailnetNames(site, site.tailnet) if site.tailnet else None

    def home(self, endpoint: Endpoint) -> Optional[Endpoint]:
        """The tier that an endpoint lies in wholly, or None."""
        if endpoint.kind == TIER:
            return endpoint
        tiers = self.site.tiers.values() if endpoint.kind in (ADDRESS, NETWORK, INTERNET) else ()
        return next((self.tiers[tier.name] for tier in tiers if tier.holds(endpoint.nets)), None)


def read_flows(reader: Reader, raw: object, names: Names, today: date) -> tuple[Flow, ...]:
    """The declared flows, and after them those that `internet: true` of a tier stands for."""
    declared = [flow for flow in _read_list(reader, "bulkhead_flows", raw, names, "allow", today) if flow]
    return tuple(
        declared
        + [
            _to_internet(f"bulkhead_tiers.{tier.name}.internet", names.tiers[tier.name], "internet access")
            for tier in names.site.tiers.values()
            if tier.internet is True
        ]
    )


def read_never(reader: Reader, raw: object, names: Names) -> tuple[Flow, ...]:
    """The declared invariants, and after them those that `internet: false` of a tier stands for."""
    declared = [flow for flow in _read_list(reader, "bulkhead_never", raw, names, "deny", None) if flow]
    return tuple(
        declared
        + [
            _to_internet(f"bulkhead_tiers.{tier.name}.internet", names.tiers[tier.name], "no internet access")
            for tier in names.site.tiers.values()
            if tier.internet is False
        ]
    )


def read_outward(reader: Reader, raw: object, names: Names) -> tuple[Flow, ...]:
    """The flows of the LAN that bulkhead_tailnet.derp stands for: from every tier on the tailnet."""
    path, example = "bulkhead_tailnet.derp", "{to: headscale, ports: [443/tcp, 3478/udp]}"
    value = raw.get("derp") if isinstance(raw, dict) else None
    if value is None or names.tailnet is None:
        return ()
    if not isinstance(value, list):
        reader.refuse(path, value, "a list", f"write it like - {example}")
        return ()
    places = tuple(names.tailnet.tailnet.tags)
    found = []
    for index, item in enumerate(value):
        where = f"{path}[{index}]"
        known = reader.fields(where, item, ("to", "ports"), example)
        if not isinstance(item, dict):
            continue
        ends = _read_ends(reader, f"{where}.to", known.get("to"), _resolver(names, "allow"), may_be_self=False)
        ports = reader.ports(f"{where}.ports", known.get("ports"))
        pairs = [
            Pair(source, end)
            for place in places
            for every in ends.values()
            for end in every or ()
            for source in ([names.tiers[place]] if place != GATEWAY else _near_legs(names.site, end))
        ]
        name = "control and DERP"
        why = "the tailnet's servers"
        flow = Flow(where, places, tuple(ends), (name,), tuple(pairs), {name: ports}, why, derived=FROM_TAILNET)
        found.append(flow)
    return tuple(found)


def _near_legs(site: Site, end: Endpoint) -> list[Endpoint]:
    """The routers as who sends to an endpoint of the site: what they send elsewhere is filtered by none of its rules."""
    legs = tuple(
        leg
        for tier in site.tiers.values()
        for leg in tier.gateways
        if any(subnet.holds(leg) and subnet.meets(net) for subnet in tier.subnets for net in end.nets)
    )
    return [Endpoint(NETWORK, GATEWAY, legs)] if legs else []


def _to_internet(path: str, tier: Endpoint, why: str) -> Flow:
    return Flow(
        path, (tier.name,), (INTERNET,), (ANY,), (Pair(tier, Endpoint(INTERNET, INTERNET)),), {ANY: (ALL,)}, why
    )


def _read_list(
    reader: Reader, variable: str, raw: object, names: Names, verb: str, today: Optional[date]
) -> Iterator[Optional[Flow]]:
    if raw is None:
        return
    if not isinstance(raw, list):
        reader.refuse(variable, raw, "a list", f"write it like - {_EXAMPLE.replace('allow', verb)}")
        return
    for index, value in enumerate(raw):
        yield _read_flow(reader, f"{variable}[{index}]", value, names, verb, today)


def _read_flow(
    reader: Reader, path: str, value: object, names: Names, verb: str, today: Optional[date]
) -> Optional[Flow]:
    fields = ("from", "to", verb, "why") + (("until", "limit", "forward", "via") if verb == "allow" else ())
    known = reader.fields(path, value, fields, _EXAMPLE.replace("allow", verb))
    if not isinstance(value, dict):
        return None
    if not value:
        reader.note(path, "an empty flow", f"from, to and {verb}", "fill it in or remove it")
        return None
    via = _read_via(reader, f"{path}.via", known.get("via"), names)
    if via and names.tailnet is None:
        return None
    resolve = _resolver(names, "source" if via else verb)
    sources = _read_ends(reader, f"{path}.from", known.get("from"), resolve, may_be_self=False)
    resolve = _resolver(names, "destination" if via else verb)
    destinations = _read_ends(reader, f"{path}.to", known.get("to"), resolve, may_be_self=True)
    ports = _read_services(reader, f"{path}.{verb}", known.get(verb), names.site.services)
    flow = Flow(
        path=path,
        sources=tuple(sources),
        destinations=tuple(destinations),
        services=tuple(ports),
        pairs=(),
        ports=ports,
        why=reader.text(f"{path}.why", known.get("why")),
        until=_read_until(reader, f"{path}.until", known.get("until"), today),
        limit=_read_limit(reader, f"{path}.limit", known.get("limit"), ports),
        forward=nat.read_forward(reader, f"{path}.forward", known.get("forward")),
        tailnet=via,
    )
    pairs = dict.fromkeys(_pairs(reader, path, sources, destinations, names))
    if via:
        _check_tailnet(reader, flow, pairs)
        return replace(flow, pairs=tuple(pairs))
    if verb == "allow":
        _check_inside(reader, path, pairs, names.site)
    flow = replace(flow, pairs=tuple(pairs))
    nat.check_forward(reader, flow, names.site)
    return flow


def _read_until(reader: Reader, path: str, value: object, today: Optional[date]) -> Optional[date]:
    until = reader.day(path, value)
    if until and today and until < today:
        reader.note(
            path,
            until.isoformat(),
            f"a day that is not over (today is {today.isoformat()})",
            "remove the flow, or set a later day",
        )
    return until


def _read_limit(reader: Reader, path: str, value: object, ports: Mapping[str, tuple[Ports, ...]]) -> bool:
    """Whether new connections are limited. What has no ports has no connections that could be counted."""
    limit = bool(reader.boolean(path, value))
    portless = [name for name, found in ports.items() if any(one.proto not in WITH_PORTS for one in found)]
    if limit and portless:
        reader.note(
            path,
            f"true, and {', '.join(portless)} in allow",
            "services of tcp and udp alone: a limit counts new connections",
            "name the services that are to be limited" if ANY in portless else "give them a flow without limit",
            "no-limit",
        )
    return limit


def _read_via(reader: Reader, path: str, value: object, names: Names) -> bool:
    """Whether a flow runs over the tailnet."""
    if value is None:
        return False
    if value != TAILNET:
        reader.refuse(path, value, TAILNET, "leave it out for a flow of the LAN")
        return False
    if names.tailnet is None:
        reader.refuse(path, value, "a tailnet", "declare bulkhead_tailnet", "no-tailnet")
    return True


def _check_tailnet(reader: Reader, flow: Flow, pairs: Iterable[Pair]) -> None:
    """Note what no tailnet does."""
    if flow.forward:
        reader.note(f"{flow.path}.forward", "a forward, with via: tailnet", "one of them", "remove one of them")
    portless = [
        name
        for name in flow.services
        if name != ANY and any(ports.proto not in WITH_PORTS for ports in flow.ports[name])
    ]
    if portless:
        reader.note(
            f"{flow.path}.allow",
            ", ".join(portless),
            "services of tcp and udp, or any: a tailnet carries no other protocol but pings",
            "give them a flow of the LAN",
            "portless",
        )
    ends = list(pairs)
    tailnet.check_self(reader, flow.path, [pair.source for pair in ends], [pair.destination for pair in ends])


#: Reader, key path, name -> the endpoints that it stands for; None after noting a mistake.
Resolver = Callable[[Reader, str, str], Optional[list[Endpoint]]]


def _resolver(names: Names, side: str) -> Resolver:
    """How the names of one side of a flow are resolved. side: `source` or `destination` over the tailnet, `allow` on the
    LAN, `deny` for an invariant, which holds over both."""
    if names.tailnet and side == "source":
        return names.tailnet.source
    if names.tailnet and side == "destination":
        return names.tailnet.destination

    def resolve(reader: Reader, path: str, name: str) -> Optional[list[Endpoint]]:
        if not tailnet.is_tailnet_name(name):
            return _resolve(reader, path, name, names)
        if names.tailnet is None:
            reader.refuse(
                path, name, "a name of the LAN", "declare bulkhead_tailnet for names of a tailnet", "no-tailnet"
            )
        elif side == "deny":
            return names.tailnet.anyone(reader, path, name)
        else:
            reader.refuse(path, name, "a name of the LAN", "add via: tailnet to the flow", "needs-via")
        return None

    return resolve


def _read_ends(reader: Reader, path: str, value: object, resolve: Resolver, may_be_self: bool) -> Ends:
    """What one side of a flow names."""
    result: Ends = {}
    items = reader.items(path, value, "an endpoint, or a list of them", "management or [management, monitoring]")
    for where, name in items:
        if name == SELF and not may_be_self:
            reader.refuse(where, name, "an endpoint", "name the tier: self is only for `to`")
        elif name == SELF:
            result[name] = None
        else:
            endpoints = resolve(reader, where, name)
            if endpoints:
                result[name] = endpoints
    return result


def _resolve(reader: Reader, path: str, name: str, names: Names) -> Optional[list[Endpoint]]:
    """The endpoints of a name, an address or a CIDR; None after noting a mistake."""
    if name == TIERS:
        return list(names.tiers.values())
    if name == INTERNET:
        return [Endpoint(INTERNET, INTERNET)]
    if name == GATEWAY:
        if not names.gateway.nets:
            reader.refuse(path, name, "a tier with a gateway", "declare `gateway:` in bulkhead_tiers")
        return [names.gateway]
    if name in names.tiers:
        return [names.tiers[name]]
    if name in names.site.addresses:
        return [Endpoint(ADDRESS, name, names.site.addresses[name])]
    try:
        net = parse_net(name) if "/" in name else parse_address(name)
        if any(prefix.holds(net) for prefix in names.site.tailnet.prefixes) if names.site.tailnet else False:
            remedy = "name the node's tier, tag: or user, with via: tailnet"
            reader.refuse(path, name, "an address of the LAN: this one is the tailnet's", remedy, "tailnet-address")
            return None
        return [Endpoint(NETWORK, name, (net,))]
    except Unreadable as error:
        if name[:1].isdecimal() or ":" in name:
            reader.refuse(path, name, error.expected, error.remedy)
            return None
    container = next((network.name for network in names.site.networks.values() if name in network.addresses), None)
    remedy = suggestion(name, names.known) or "declare it in bulkhead_tiers or bulkhead_addresses"
    if container:
        remedy = f"it is a container of {container}: declare bulkhead_addresses.{name}"
    reader.refuse(
        path, name, "a tier, a name of bulkhead_addresses, a CIDR, or one of tiers, self, gateway, internet", remedy
    )
    return None


def _read_services(
    reader: Reader, path: str, value: object, services: Mapping[str, tuple[Ports, ...]]
) -> dict[str, tuple[Ports, ...]]:
    """{name as declared: its Ports}."""
    result: dict[str, tuple[Ports, ...]] = {}
    for where, name in reader.items(path, value, "a service, a list of them, or any", "ssh or [ssh, https]"):
        if name == ANY:
            result[name] = (ALL,)
        elif name in services:
            result[name] = services[name]
        else:
            reader.refuse(
                where,
                name,
                "a service of bulkhead_services",
                suggestion(name, [*services, ANY]) or "declare it in bulkhead_services",
            )
    return result


def _pairs(reader: Reader, path: str, sources: Ends, destinations: Ends, names: Names) -> Iterator[Pair]:
    for source in (end for ends in sources.values() for end in ends or ()):
        for others in destinations.values():
            for destination in [_home(reader, path, source, names)] if others is None else others:
                heard = _heard(reader, path, source, destination, names) if destination else None
                if heard:
                    yield Pair(source, heard)


def _heard(reader: Reader, path: str, source: Endpoint, destination: Endpoint, names: Names) -> Optional[Endpoint]:
    """Who hears a destination: of a multicast group, or of everyone on a link, the hosts of the source's own tier."""
    if destination.kind != NETWORK or not all(map(on_link, destination.nets)):
        return destination
    home = source if source.kind == GATEWAY else names.home(source)
    if home is None:
        expected = "a destination that routers forward to: this one is of a link alone"
        remedy = "name the tier whose hosts send it in `from`, or a host in `to`"
        reader.note(f"{path}.to", f"{destination.name}, from {source.name}", expected, remedy, "link-alone")
        return None
    return replace(destination, kind=LINK, name=home.name)


def _home(reader: Reader, path: str, source: Endpoint, names: Names) -> Optional[Endpoint]:
    home = names.home(source)
    if home is None:
        own = "; autogroup:self is a person's own devices" if tailnet.is_tailnet_name(source.name) else ""
        reader.refuse(f"{path}.to", SELF, f"a tier that {source.name} lies in", f"name the destination{own}")
    return home


def _check_inside(reader: Reader, path: str, pairs: Iterable[Pair], site: Site) -> None:
    """The gateways carry nothing from outside to outside: one end of each pair has to be the site's own."""
    for source, destination in pairs:
        if not any(
            end.kind in (TIER, GATEWAY) or (end.kind != INTERNET and all(map(site.is_own, end.nets)))
            for end in (source, destination)
        ):
            reader.note(
                path,
                f"{source.name} -> {destination.name}",
                "an end that lies wholly inside of the site",
                "name a tier, or an address in one",
            )
