# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Addresses and packets in the site's own words: where an address is, what a packet asks for, and what is mere noise."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    GATEWAY,
    INTERNET,
    LINK,
    TIER,
    Endpoint,
    Site,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import WITH_PORTS, Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_address, point_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import link_space
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.heard import Heard

#: A place that no flow of the LAN can name.
BESIDE = "beside"
#: The types of ICMP that report an error about another packet (RFC 792, RFC 4443), and the names of those that are not one.
ERRORS = {"icmp": frozenset((3, 4, 5, 11, 12)), "icmpv6": frozenset((1, 2, 3, 4))}
_TYPES = {
    ("icmp", 0): "echo-reply",
    ("icmp", 8): "echo-request",
    ("icmp", 13): "timestamp-request",
    ("icmpv6", 128): "echo-request",
    ("icmpv6", 129): "echo-reply",
    ("icmpv6", 133): "router-solicitation",
    ("icmpv6", 134): "router-advertisement",
    ("icmpv6", 135): "neighbour-solicitation",
    ("icmpv6", 136): "neighbour-advertisement",
}
_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))
#: What talks to everybody on a link, by its port.
_CHATTER = {
    67: "DHCP",
    68: "DHCP",
    137: "NetBIOS",
    138: "NetBIOS",
    546: "DHCPv6",
    547: "DHCPv6",
    1900: "SSDP",
    3702: "WS-Discovery",
    5353: "mDNS",
    5355: "LLMNR",
}


class Where(NamedTuple):
    """An address in the site's words. kind: that of an endpoint, or BESIDE."""

    word: str
    kind: str


class Places:
    """The site's words for addresses, each looked up once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[str, Where] = {}
        self._names = {net: name for name, nets in reversed(list(site.addresses.items())) for net in nets if net.single}

    @cached_property
    def _broadcasts(self) -> frozenset[str]:
        nets = (net for tier in self._site.tiers.values() for net in tier.subnets)
        return frozenset(point_text(net.last) for net in nets if net.version == 4 and net.prefix < 31)

    def is_broadcast(self, text: str) -> bool:
        """Whether an address is the last one of a tier's subnet."""
        return text in self._broadcasts

    def where(self, text: str) -> Where:
        found = self._known.get(text)
        if found is None:
            found = self._known[text] = self._find(parse_address(text))
        return found

    def _find(self, address: Net) -> Where:
        site = self._site
        if address in site.legs:
            return Where(GATEWAY, GATEWAY)
        for tier in site.tiers.values():
            if any(net.holds(address) for net in tier.subnets):
                return Where(tier.name, TIER)
        if address in self._names:
            return Where(self._names[address], ADDRESS)
        if any(net.holds(address) for net in link_space()):
            return Where("the link", LINK)
        for net, owner in site.own.items():
            if net.holds(address):
                return Where(owner, BESIDE)
        return Where(INTERNET, INTERNET)

    def name_of(self, text: str) -> str:
        """The name of bulkhead_addresses for one address, or nothing."""
        return self._names.get(parse_address(text), "")

    def endpoint(self, word: str, kind: str) -> Optional[Endpoint]:
        """The end of a flow that a place is; None where no flow can name it."""
        site = self._site
        if kind == TIER:
            return Endpoint(TIER, word, site.tiers[word].subnets)
        if kind == GATEWAY:
            return Endpoint(GATEWAY, word, tuple(site.legs))
        if kind == INTERNET:
            return Endpoint(INTERNET, word)
        if kind == ADDRESS:
            return Endpoint(ADDRESS, word, site.addresses[word])
        return None

    def noise(self, proto: str, port: int, source: str, destination: str) -> str:
        """What a packet to everybody on a link is called, or nothing: no flow can be meant by it."""
        start, end = ipaddress.ip_address(source), ipaddress.ip_address(destination)
        named = _CHATTER.get(port, "") if proto == "udp" else ""
        if end.is_multicast:
            what = f"multicast to {destination}"
        elif str(end) == "255.255.255.255" or self.is_broadcast(destination):
            what = "broadcast"
        elif start.is_unspecified:
            what = "from a host without an address"
        elif start.is_link_local or end.is_link_local:
            what = "between link-local addresses"
        else:
            return ""
        return f"{what}, {named or service(proto, port)}"


def service(proto: str, port: int, names: Optional[Mapping[Ports, str]] = None) -> str:
    """What a packet asks for: "9100/tcp", "icmp echo-request", "esp"; with the name that the site has for it."""
    if proto in ERRORS:
        return f"{proto} {_TYPES.get((proto, port), f'type {port}')}"
    if proto not in WITH_PORTS or port < 0:
        return proto
    name = (names or {}).get(Ports(proto, port, port), "")
    return f"{port}/{proto} ({name})" if name else f"{port}/{proto}"


def strange(heard: Heard, where: Where, way: str, interface: str, source: str) -> str:
    """What is wrong with the source of a packet that a host got by an interface; "" where nothing is to be seen.

    Whoever sends a packet writes its source. Only what the host's own networks and the site rule out is found.
    """
    address = ipaddress.ip_address(source)
    if way != "out" and heard.addresses:
        links = {name: [ipaddress.ip_interface(text) for text in texts] for name, texts in heard.addresses.items()}
        own = any(one.ip == address for name, ones in links.items() for one in ones)
        if own and interface != "lo":
            return "the receiving host's own address"
        here = any(address in one.network for one in links.get(interface, ()))
        there = [name for name, ones in links.items() if any(address in one.network for one in ones)]
        if there and not here and not address.is_link_local:
            return f"it came by {interface}, and its network is on {there[0]}"
    if where.kind == INTERNET and any(address in net for net in _PRIVATE if net.version == address.version):
        return "a private address that the site does not declare"
    return ""
