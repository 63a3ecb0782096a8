# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services whose questions go to all hosts of a link, by broadcast or multicast: a flow to a host does not let them in."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    GATEWAY,
    INTERNET,
    LINK,
    NETWORK,
    TIER,
    Endpoint,
    Flow,
    Site,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_address


class Shouted(NamedTuple):
    """A service that asks everyone. groups: where it does; remedy: how to declare it, "" for a flow to the group.
    alone: whether the protocol sends nothing else, so that a flow to a host lets in nothing at all."""

    name: str
    ports: Ports
    groups: tuple[str, ...]
    remedy: str = ""
    alone: bool = False


def _udp(port: int) -> Ports:
    return Ports("udp", port, port)


_DHCP = "declare bulkhead_tiers.TIER.dhcp with its `server`, which lets in all that DHCP needs"
#: The registry of IPv4's and IPv6's multicast addresses (IANA), and the RFCs of the services.
SHOUTED = (
    Shouted("DHCP", _udp(67), ("255.255.255.255",), _DHCP),
    Shouted("DHCPv6", _udp(547), ("ff02::1:2",), _DHCP),
    Shouted("mDNS", _udp(5353), ("224.0.0.251", "ff02::fb")),
    Shouted("LLMNR", _udp(5355), ("224.0.0.252", "ff02::1:3")),
    Shouted("SSDP", _udp(1900), ("239.255.255.250", "ff02::c")),
    Shouted("WS-Discovery", _udp(3702), ("239.255.255.250", "ff02::c")),
    Shouted("NetBIOS names", _udp(137), ("255.255.255.255",)),
    Shouted("NetBIOS datagrams", _udp(138), ("255.255.255.255",)),
    Shouted("RIP", _udp(520), ("224.0.0.9",)),
    Shouted("RIPng", _udp(521), ("ff02::9",)),
    Shouted("HSRP", _udp(1985), ("224.0.0.2",), alone=True),
    Shouted("PTP events", _udp(319), ("224.0.1.129", "ff02::6b")),
    Shouted("PTP", _udp(320), ("224.0.1.129", "ff02::6b")),
    Shouted("Wake-on-LAN", _udp(9), ("255.255.255.255",), alone=True),
    Shouted("VRRP", Ports("vrrp", 0, 65535), ("224.0.0.18", "ff02::12"), alone=True),
    Shouted("IGMP", Ports("igmp", 0, 65535), ("224.0.0.1", "224.0.0.22"), alone=True),
)


@cache
def _groups(shouted: Shouted) -> tuple[Net, ...]:
    return tuple(map(parse_address, shouted.groups))


def unheard(site: Site, flow: Flow) -> Iterator[str]:
    """What of a flow cannot work because its question goes to a group, one text for each such service.

    A range of ports names no service. Not said where another flow lets the question in.
    """
    for name in flow.services:
        for ports in flow.ports[name]:
            for shouted in SHOUTED:
                if shouted.ports == ports:
                    yield from _unheard(site, flow, name, shouted)


def _unheard(site: Site, flow: Flow, service: str, shouted: Shouted) -> Iterator[str]:
    kinds = {"crosses": False, "asks": False}
    for source, destination in flow.pairs:
        if destination.kind == LINK or _is_heard(site, source, destination, shouted):
            continue
        kinds["asks" if _beside(site, source, destination) else "crosses"] = True
    what = f"{service} ({shouted.name}, {shouted.ports})"
    groups = " and ".join(shouted.groups)
    remedy = shouted.remedy or f"add a flow with `to: {_list(shouted.groups)}`"
    if kinds["crosses"]:
        yield (
            f"{what} asks {groups}, which no router forwards: between {_ends(flow)} no such question arrives"
            f"{'' if shouted.alone else '; this flow lets in what is sent to one host alone'}; {shouted.remedy or 'a relay or a reflector passes it on'}"
        )
    elif kinds["asks"]:
        only = "nothing of it" if shouted.alone else "no question"
        yield f"{what} is sent to {groups}: this flow, to addresses of hosts, lets in {only}; {remedy}"


def _list(groups: tuple[str, ...]) -> str:
    quoted = [f'"{group}"' if ":" in group else group for group in groups]
    return quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"


def _ends(flow: Flow) -> str:
    return f"{', '.join(flow.sources)} and {', '.join(flow.destinations)}"


def _home(site: Site, end: Endpoint) -> str:
    """The tier or gateway that an end lies in wholly, "" for none."""
    if end.kind in (TIER, GATEWAY):
        return end.name
    if end.kind == INTERNET:
        return ""
    if end.kind == NETWORK and end.nets and all(net in site.legs for net in end.nets):
        return GATEWAY
    return next((tier.name for tier in site.tiers.values() if tier.holds(end.nets)), "")


def _beside(site: Site, source: Endpoint, destination: Endpoint) -> bool:
    """Whether two ends share a link."""
    start, end = _home(site, source), _home(site, destination)
    return bool(start) and (start == end or GATEWAY in (start, end))


def _is_heard(site: Site, source: Endpoint, destination: Endpoint, shouted: Shouted) -> bool:
    """Whether a flow of the site lets the question in: on the link of the source where both ends are on it, and where a relay
    passes it on, from there."""
    home = _home(site, source)
    return bool(home) and any(
        pair.destination.kind == LINK
        and (_beside(site, source, destination) or flow.derived)
        and (_home(site, pair.source) or pair.source.name) == home
        and any(net.holds(group) for net in pair.destination.nets for group in _groups(shouted))
        for flow in site.flows
        if any(theirs.covers(shouted.ports) for theirs in flow.all_ports)
        for pair in flow.pairs
    )
