# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the routers translate: tiers whose hosts go out with the router's address, and ports that are forwarded to a host.

A forward belongs to a flow, which says what arrives where in the end, as every flow does; the forward says only at which
address and port of the routers it is asked for. So the rules, the invariants and the proof of the flow are those of any
other one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    GATEWAY,
    INTERNET,
    NETWORK,
    Endpoint,
    Flow,
    Forward,
    Pair,
    Site,
    Tier,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import source_spans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import WITH_PORTS, Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net

#: The IP versions that `masquerade` names.
FAMILIES = {"ipv4": 4, "ipv6": 6}

_MASQUERADE = "true (IPv4), or a list of ipv4 and ipv6"
_FORWARD = "{port: 443} or {address: 203.0.113.1, port: 443}"


# -- masquerade ------------------------------------------------------------------------------------------------------


def read_masquerade(reader: Reader, path: str, value: object) -> tuple[int, ...]:
    """The IP versions that a tier is masqueraded for."""
    if value is None or value is False:
        return ()
    if value is True:
        return (4,)
    if isinstance(value, str) or not isinstance(value, list) or not value:
        reader.refuse(path, value, _MASQUERADE, "write masquerade: true")
        return ()
    for index, name in enumerate(value):
        if name not in FAMILIES:
            reader.refuse(f"{path}[{index}]", name, "ipv4 or ipv6", "write [ipv4], or [ipv4, ipv6]")
    return tuple(dict.fromkeys(FAMILIES[name] for name in value if name in FAMILIES))


def check_masquerade(reader: Reader, path: str, tier: Tier) -> None:
    """Note a tier that no router can masquerade."""
    if not tier.masquerade:
        return
    if tier.internet is False:
        reader.note(
            f"{path}.masquerade",
            "true, with internet: false",
            "a tier that may reach the internet",
            "remove one of them",
            "no-way-out",
        )
    if tier.subnets and not tier.gateways:
        reader.note(
            f"{path}.masquerade",
            "true",
            "a tier with a gateway, whose address its hosts get",
            f"declare {path}.gateway",
        )
    for version in tier.masquerade:
        if tier.subnets and not any(net.version == version for net in tier.subnets):
            reader.note(
                f"{path}.masquerade",
                f"ipv{version}",
                f"an IP version of its subnets ({', '.join(map(str, tier.subnets))})",
                "name the version that it has: [ipv6]" if version == 4 else "remove it",
            )


# -- forwards --------------------------------------------------------------------------------------------------------


def read_forward(reader: Reader, path: str, value: object) -> Optional[Forward]:
    """At which address and port of the routers a flow is asked for; None where it is not forwarded."""
    if value is None or value is False:
        return None
    if value is True:
        return Forward()
    if not isinstance(value, dict):
        reader.refuse(path, value, "true, or a mapping of the address and port of the routers", f"write {_FORWARD}")
        return None
    known = reader.fields(path, value, ("address", "port"), _FORWARD)
    address = None
    if known.get("address") is not None:
        address = reader.address(f"{path}.address", known["address"])
    return Forward(address, reader.integer(f"{path}.port", known.get("port"), "a port", 1, 65535))


def check_forward(reader: Reader, flow: Flow, site: Site) -> None:
    """Note what cannot be forwarded: anything but ports of one host that routers lead to."""
    path, forward = f"{flow.path}.forward", flow.forward
    if forward is None:
        return
    portless = [name for name in flow.services if any(ports.proto not in WITH_PORTS for ports in flow.ports[name])]
    if portless:
        reader.note(
            path,
            f"{', '.join(portless)} in allow",
            "services of tcp and udp alone",
            "name the services that are to be forwarded",
            "no-forward",
        )
    if forward.port and len({number for ports in flow.all_ports for number in (ports.first, ports.last)}) > 1:
        reader.note(
            f"{path}.port",
            str(forward.port),
            f"one port in allow, not {', '.join(map(str, flow.all_ports))}",
            "give each port a flow, or leave the port away for the same ones",
        )
    if forward.address and forward.address not in site.legs and site.is_own(forward.address):
        reader.note(
            f"{path}.address",
            str(forward.address),
            "an address that the routers have: outside of the site, or a gateway's",
            "name the router's outer address",
        )
    for destination in dict.fromkeys(pair.destination for pair in flow.pairs):
        _check_target(reader, flow, destination, site)


def _check_target(reader: Reader, flow: Flow, destination: Endpoint, site: Site) -> None:
    """The host must be one, in a tier that has a router."""
    targets = targets_of(flow, destination)
    if destination.kind not in (ADDRESS, NETWORK) or len(targets) != 1 or not targets[0].single:
        reader.note(
            f"{flow.path}.to",
            destination.name,
            "one host, for a flow with forward",
            "name its address, or declare it in bulkhead_addresses",
            "no-target",
        )
        return
    home = next((tier for tier in site.tiers.values() if tier.holds(targets)), None)
    if home is None or not home.gateways or targets[0] in site.legs:
        reader.note(
            f"{flow.path}.to",
            f"{destination.name} ({targets[0]})",
            "a host in a tier with a gateway, for a flow with forward",
            "name one" if home is None else f"declare bulkhead_tiers.{home.name}.gateway",
            "no-target",
        )


def targets_of(flow: Flow, destination: Endpoint) -> list[Net]:
    """Where a flow is forwarded to: the addresses of the IP version that it is asked for, IPv4 unless it has none."""
    versions = {net.version for net in destination.nets}
    version = flow.forward.address.version if flow.forward and flow.forward.address else min(versions, default=4)
    return [net for net in destination.nets if net.version == version]


class Asked(NamedTuple):
    """What is forwarded: from where, at which address of the routers (None: all of them), which port, and where to."""

    flow: Flow
    source: Endpoint
    target: Net
    ports: Ports

    @property
    def address(self) -> Optional[Net]:
        return self.flow.forward.address if self.flow.forward else None

    @property
    def at(self) -> Ports:
        """The ports that are asked for; a single one may stand for another one of the host's."""
        port = self.flow.forward.port if self.flow.forward else None
        return Ports(self.ports.proto, port, port) if port else self.ports

    @property
    def arrives(self) -> Optional[int]:
        """The host's own port, where it is another one than the one that is asked for."""
        return self.ports.first if self.at != self.ports else None


def forwards(site: Site) -> Iterator[Asked]:
    """Everything that the routers forward, in the order of the flows. Sources in the target's own subnet are left out: no
    router stands between them and it."""
    for flow in site.flows:
        for source, destination in flow.pairs if flow.forward else ():
            for target in targets_of(flow, destination):
                if source.kind == INTERNET or (source.kind != GATEWAY and sources_of(site, source, target)):
                    for ports in flow.all_ports:
                        yield Asked(flow, source, target, ports)


def sources_of(site: Site, source: Endpoint, target: Net) -> list[Net]:
    """The networks of a source that a router stands between and the target."""
    home = [net for tier in site.tiers.values() for net in tier.subnets if net.holds(target)]
    return [net for net in source.nets if net.version == target.version and not any(at.holds(net) for at in home)]


def check_forwards(reader: Reader, site: Site) -> None:
    """Note ports that would be forwarded to two hosts, or away from the router that serves them itself."""
    found = list(forwards(site))
    spans = {id(end): source_spans(site, end) for end in _sources(site, found)}
    for number, later in enumerate(found):
        for earlier in found[:number]:
            same = (earlier.target, earlier.ports) == (later.target, later.ports)
            if not same and _meet(earlier, later) and _share(spans[id(earlier.source)], spans[id(later.source)]):
                reader.note(
                    f"{later.flow.path}.forward",
                    f"{later.at} to {later.target}",
                    "a port that goes to one host",
                    f"{earlier.flow.path} forwards it to {earlier.target}: choose another port or address",
                    "forwarded-twice",
                )
    for asked in found:
        for flow, source in _served(site, asked):
            if _share(spans[id(asked.source)], spans[id(source)]):
                reader.note(
                    f"{asked.flow.path}.forward",
                    f"{asked.at}",
                    "a port that the routers do not serve themselves",
                    f"{flow.path} lets {source.name} reach it at the gateway: forward another port, or name an address",
                    "forwarded-own",
                )


def _sources(site: Site, found: Collection[Asked]) -> Iterator[Endpoint]:
    yield from (asked.source for asked in found)
    if found:
        yield from (pair.source for flow in site.flows for pair in flow.pairs)


def _served(site: Site, asked: Asked) -> Iterator[tuple[Flow, Endpoint]]:
    """The flows to the routers' own addresses at a port that is forwarded."""
    for flow in site.flows:
        if any(ports.meets(asked.at) for ports in flow.all_ports):
            for pair in flow.pairs:
                if _is_router(site, pair, asked.address):
                    yield flow, pair.source


def _is_router(site: Site, pair: Pair, address: Optional[Net]) -> bool:
    legs = [net for net in pair.destination.nets if net in site.legs]
    return bool(legs) and (address is None or address in legs)


def _meet(one: Asked, other: Asked) -> bool:
    if not one.at.meets(other.at) or one.target.version != other.target.version:
        return False
    return one.address is None or other.address is None or one.address == other.address


def _share(spans: Collection[Net], others: Collection[Net]) -> bool:
    return any(span.meets(other) for span in spans for other in others)


def described(site: Site) -> list[tuple[str, str]]:
    """What is translated, for people: (what, where to or from)."""
    names: Mapping[int, str] = {version: f"IPv{version}" for version in FAMILIES.values()}
    lines = [
        (f"masquerade {tier.name}", f"{', '.join(names[one] for one in tier.masquerade)}, to the internet")
        for tier in site.tiers.values()
        if tier.masquerade
    ]
    lines += _of_tailnet(site)
    for asked in forwards(site):
        where = f"at {asked.address}" if asked.address else "at any address of the gateways"
        to = f"{asked.target}" + (f" port {asked.arrives}" if asked.arrives else "")
        name = "the internet" if asked.source.kind == INTERNET else asked.source.name
        lines.append((f"forward {asked.at}", f"from {name} {where} to {to}"))
    return lines


def _of_tailnet(site: Site) -> Iterator[tuple[str, str]]:
    """What routers and exit nodes of the tailnet let out with their own address."""
    if site.tailnet is None:
        return
    for place, nets in site.tailnet.routes.items():
        yield "masquerade the tailnet", f"by {place}, to {', '.join(map(str, nets))}"
    for place, users in site.tailnet.exit_nodes.items():
        if users:
            yield "masquerade the tailnet", f"by {place}, to the internet"
