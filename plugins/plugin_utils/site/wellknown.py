# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Networks that have a meaning before any site is declared. Functions, so that netaddr is needed only to ask them."""

from __future__ import annotations

from functools import cache
from ipaddress import ip_network
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.limits import nowhere_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_net, subtract


@cache
def engine_defaults() -> tuple[Net, ...]:
    """What an engine takes its networks from unless it is told otherwise (moby, libnetwork/ipamutils)."""
    return (*(parse_net(f"172.{second}.0.0/16") for second in range(17, 32)), parse_net("192.168.0.0/16"))


@cache
def swarm_defaults() -> tuple[Net, ...]:
    """What `swarm init` takes unless it is given --default-addr-pool."""
    return (parse_net("10.0.0.0/8"),)


@cache
def shared_space() -> tuple[Net, ...]:
    """Carrier-grade NAT (RFC 6598): where tailnets number their nodes."""
    return (parse_net("100.64.0.0/10"),)


@cache
def private_space() -> tuple[Net, ...]:
    """What an exit node does not lead to, of IPv4: control servers do not take it for the internet (Headscale:
    hscontrol/util/net.go)."""
    texts = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10")
    return tuple(map(parse_net, texts))


@cache
def global_unicast() -> Net:
    """What an exit node leads to, of IPv6."""
    return parse_net("2000::/3")


@cache
def exit_space() -> tuple[Net, ...]:
    """The spans that an exit node leads to."""
    return (*subtract([parse_net("0.0.0.0/0")], private_space()), global_unicast())


@cache
def link_space() -> tuple[Net, ...]:
    """Addresses that lead to no single host, or not beyond a link: of a host without any, multicast, broadcast,
    link-local IPv6. (Of IPv4's link-local ones the hosts' own kernels route some, so that they are not here.)"""
    texts = ("0.0.0.0/32", "224.0.0.0/4", "255.255.255.255/32", "::/128", "fe80::/10", "ff00::/8")
    return tuple(map(parse_net, texts))


def on_link(net: Net) -> bool:
    """Whether a block lies wholly in that space."""
    return any(space.holds(net) for space in link_space())


def nowhere(net: Net) -> Optional[tuple[str, str]]:
    """(network, what it is) of addresses that no host can have, where a block meets such: loopback, multicast ..."""
    found = nowhere_of(ip_network(str(net)))
    return (str(found[0]), found[1]) if found else None
