# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tier's DHCP: the key `dhcp`, and the flows that it stands for.

A client without an address asks from 0.0.0.0 to 255.255.255.255, port 67 (RFC 2131, 4.1); for IPv6 from its link-local
address to ff02::1:2, port 547 (RFC 8415, 7.1). No flow between two networks holds such a packet. A relay hears it in the
servers' place and asks them from its own address, and answers go to port 68, or 546. What a client renews, it asks the
server itself; what it rebinds, it asks everyone again, from the address that it has.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    FROM_DHCP,
    GATEWAY,
    LINK,
    NETWORK,
    TIER,
    Dhcp,
    Endpoint,
    Flow,
    Pair,
    Site,
    Tier,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader, suggestion
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import (
    Net,
    parse_address,
    parse_net,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable

#: Kinds of mistakes: a server that no client can reach, and a relay that is none.
NO_RELAY, WRONG_RELAY, NO_SERVER = "dhcp-no-relay", "dhcp-relay", "dhcp-server"

#: The keys of `dhcp`.
FIELDS = ("range", "rack", "server", "relay")
EXAMPLE = "{range: 10.0.2.100-10.0.2.200, server: 10.0.2.10}"


class _Family(NamedTuple):
    """DHCP of one IP version: who a client without an address is, whom it asks, and the two ports. heard: where the
    answer goes while the client has no address."""

    version: int
    name: str
    server: int
    client: int
    unspecified: str
    everyone: str
    heard: str


#: fe80::/10 stands for both ends of an answer over IPv6.
_FAMILIES = (
    _Family(4, "dhcp", 67, 68, "0.0.0.0/32", "255.255.255.255/32", "255.255.255.255/32"),
    _Family(6, "dhcpv6", 547, 546, "fe80::/10", "ff02::1:2/128", "fe80::/10"),
)


# -- reading ---------------------------------------------------------------------------------------------------------


def resolve(
    reader: Reader, raw: object, tiers: Mapping[str, Tier], addresses: Mapping[str, tuple[Net, ...]]
) -> dict[str, Tier]:
    """The tiers, with the addresses of their DHCP servers and relays. raw: bulkhead_tiers as declared."""
    result = dict(tiers)
    for name, tier in tiers.items():
        value = raw.get(name) if isinstance(raw, dict) else None
        said = value.get("dhcp") if isinstance(value, dict) else None
        if tier.dhcp is None or not isinstance(said, dict):
            continue
        path = f"bulkhead_tiers.{name}.dhcp"
        servers = _addresses(reader, f"{path}.server", said.get("server"), addresses)
        relays = _addresses(reader, f"{path}.relay", said.get("relay"), addresses)
        _check(reader, path, tier, servers, relays)
        result[name] = replace(tier, dhcp=replace(tier.dhcp, servers=servers, relays=relays))
    return result


def _addresses(reader: Reader, path: str, value: object, named: Mapping[str, tuple[Net, ...]]) -> tuple[Net, ...]:
    if value is None:
        return ()
    found: list[Net] = []
    items = reader.items(
        path, value, "an address, a name of bulkhead_addresses, or a list of them", "10.0.2.10 or maas"
    )
    for where, item in items:
        try:
            found += named[item] if item in named else [parse_address(item)]
        except Unreadable as error:
            number = item[:1].isdecimal() or ":" in item
            expected = error.expected if number else "an address, or a name of bulkhead_addresses"
            remedy = error.remedy if number else suggestion(item, named) or "declare it in bulkhead_addresses"
            reader.refuse(where, item, expected, remedy, NO_SERVER)
    return tuple(dict.fromkeys(found))


def _check(reader: Reader, path: str, tier: Tier, servers: Collection[Net], relays: Collection[Net]) -> None:
    subnets = ", ".join(map(str, tier.subnets))
    for relay in relays:
        if not tier.holds([relay]):
            expected = f"an address inside of {subnets}: a relay hears the tier's clients"
            reader.note(f"{path}.relay", str(relay), expected, "name its address in the tier", WRONG_RELAY)
    for server in servers:
        if tier.dhcp and tier.dhcp.span and tier.dhcp.span.holds(server):
            expected = "an address that it does not hand out itself"
            reader.note(f"{path}.server", str(server), expected, "choose one beside dhcp.range", NO_SERVER)
        passed = [*tier.gateways, *relays]
        if not tier.holds([server]) and all(one.version != server.version for one in passed):
            reader.note(
                f"{path}.server",
                str(server),
                f"a server inside of {subnets}, or a relay in it: what clients ask leaves no link",
                "add `relay`, or a gateway of that IP version to the tier",
                NO_RELAY,
            )


# -- what it stands for ----------------------------------------------------------------------------------------------


def dhcp_flows(site: Site) -> Iterator[Flow]:
    """The flows without which no host of a tier gets an address: two for each IP version, what is asked and what is
    answered."""
    for tier in site.tiers.values():
        for family in _FAMILIES if tier.dhcp else ():
            asked, answered = _Pairs(site, tier, family).all()
            version = " of IPv6" if family.version == 6 else ""
            yield from _flow(tier, f"{family.name}", family.server, asked, version.strip())
            yield from _flow(tier, f"{family.name}-client", family.client, answered, f"answers{version}")


def _flow(tier: Tier, service: str, port: int, pairs: Iterable[Pair], part: str) -> Iterator[Flow]:
    kept = tuple(dict.fromkeys(pairs))
    if kept:
        yield Flow(
            path=f"bulkhead_tiers.{tier.name}.dhcp{f' ({part})' if part else ''}",
            sources=tuple(dict.fromkeys(pair.source.name for pair in kept)),
            destinations=tuple(dict.fromkeys(pair.destination.name for pair in kept)),
            services=(service,),
            pairs=kept,
            ports={service: (Ports("udp", port, port),)},
            why=f"addresses of {tier.name}",
            derived=FROM_DHCP,
        )


class _Pairs:
    """Who talks to whom, for one tier and IP version."""

    def __init__(self, site: Site, tier: Tier, family: _Family) -> None:
        self._site, self._family = site, family
        self._name = tier.name
        self._subnets = _of(family, tier.subnets)
        self._clients = Endpoint(TIER, tier.name, self._subnets)
        dhcp = tier.dhcp or Dhcp(None, None)
        self._servers = _of(family, dhcp.servers)
        span = dhcp.span
        # Without a server that is named, the range says which IP version is served, and any host of the tier may do it.
        self._anyone = not dhcp.servers and span is not None and span.version == family.version
        self._relays = _of(family, dhcp.relays or tier.gateways)

    def all(self) -> tuple[list[Pair], list[Pair]]:
        """(what is asked, what is answered)."""
        if not self._subnets or not (self._servers or self._anyone):
            return [], []
        asked: list[Pair] = []
        answered: list[Pair] = []
        if self._anyone:
            asked += [*self._shouted([]), Pair(self._clients, self._clients)]
            answered += self._answers(self._clients)
        for server in self._servers:
            end = self._host(server)
            near = any(subnet.holds(server) for subnet in self._subnets)
            asked += [*self._shouted([server] if near else self._relays), Pair(self._clients, end)]
            if near:
                answered += self._answers(end)
                continue
            for relay in self._relays:
                legs = self._legs(relay, server)
                # Both ends of a relayed question use the servers' port.
                asked += [Pair(self._host(leg), end) for leg in legs]
                asked += [Pair(end, self._host(relay))]
                answered += self._answers(self._host(relay))
            answered.append(Pair(end, self._clients))
        return asked, answered

    def _host(self, address: Net) -> Endpoint:
        """One host, by its name in bulkhead_addresses if it has one."""
        if address in self._site.legs:
            return Endpoint(GATEWAY, GATEWAY, (address,))
        name = next((name for name, nets in self._site.addresses.items() if address in nets), str(address))
        return Endpoint(NETWORK, name, (address,))

    def _shouted(self, hearers: Collection[Net]) -> Iterator[Pair]:
        """What a client without an address asks, and one whose server is silent. hearers: empty for the tier's hosts."""
        (everyone,), (unspecified,) = self._link(self._family.everyone), self._link(self._family.unspecified)
        places = dict.fromkeys(GATEWAY if one in self._site.legs else self._name for one in hearers) or {
            self._name: None
        }
        for place in places:
            hearer = Endpoint(LINK, place, (everyone,))
            yield Pair(Endpoint(LINK, self._name, (unspecified,)), hearer)
            if self._family.version == 4:
                yield Pair(self._clients, hearer)

    def _answers(self, sender: Endpoint) -> Iterator[Pair]:
        """To an address that a client has or gets, and to one that has none."""
        heard = Endpoint(LINK, self._name, self._link(self._family.heard))
        yield Pair(sender, self._clients)
        source = (
            sender if self._family.version == 4 else Endpoint(LINK, self._name, self._link(self._family.unspecified))
        )
        yield Pair(source, heard)

    def _legs(self, relay: Net, server: Net) -> list[Net]:
        """Where a relay's questions come from: its address in the tier, and a router's also on the servers' side."""
        if relay not in self._site.legs:
            return [relay]
        near = [
            leg
            for tier in self._site.tiers.values()
            for subnet in tier.subnets
            for leg in tier.gateways
            if subnet.holds(leg) and subnet.holds(server)
        ]
        return [relay, *near]

    @staticmethod
    def _link(text: str) -> tuple[Net, ...]:
        return (parse_net(text),)


def _of(family: _Family, nets: Iterable[Net]) -> tuple[Net, ...]:
    return tuple(net for net in nets if net.version == family.version)
