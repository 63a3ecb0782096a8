# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows and invariants: names of endpoints and services, resolved down to networks and ports."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import nat
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    GATEWAY,
    INTERNET,
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

#: {name as declared: its endpoints}; None stands for `self`.
Ends = dict[str, Optional[list[Endpoint]]]

ANY = "any"
TIERS = "tiers"
SELF = "self"

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

    def home(self, endpoint: Endpoint) -> Optional[Endpoint]:
        """The tier that an endpoint lies in wholly, or None."""
        if endpoint.kind == TIER:
            return endpoint
        tiers = self.site.tiers.values() if endpoint.kind != GATEWAY else ()
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
    fields = ("from", "to", verb, "why") + (("until", "limit", "forward") if verb == "allow" else ())
    known = reader.fields(path, value, fields, _EXAMPLE.replace("allow", verb))
    if not isinstance(value, dict):
        return None
    if not value:
        reader.note(path, "an empty flow", f"from, to and {verb}", "fill it in or remove it")
        return None
    sources = _read_ends(reader, f"{path}.from", known.get("from"), names, may_be_self=False)
    destinations = _read_ends(reader, f"{path}.to", known.get("to"), names, may_be_self=True)
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
    )
    pairs = dict.fromkeys(_pairs(reader, path, sources, destinations, names))
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


def _read_ends(reader: Reader, path: str, value: object, names: Names, may_be_self: bool) -> Ends:
    """What one side of a flow names."""
    result: Ends = {}
    items = reader.items(path, value, "an endpoint, or a list of them", "management or [management, monitoring]")
    for where, name in items:
        if name == SELF and not may_be_self:
            reader.refuse(where, name, "an endpoint", "name the tier: self is only for `to`")
        elif name == SELF:
            result[name] = None
        else:
            endpoints = _resolve(reader, where, name, names)
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
        return [Endpoint(NETWORK, name, (parse_net(name) if "/" in name else parse_address(name),))]
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
                if destination:
                    yield Pair(source, destination)


def _home(reader: Reader, path: str, source: Endpoint, names: Names) -> Optional[Endpoint]:
    home = names.home(source)
    if home is None:
        reader.refuse(f"{path}.to", SELF, f"a tier that {source.name} lies in", "name the destination")
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
