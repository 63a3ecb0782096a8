# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Networks that have a meaning before any site is declared. Functions, so that netaddr is needed only to ask them."""

from __future__ import annotations

from functools import cache

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_net

#: Places where no host of a site has its address.
_NOWHERE = (
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
def nowhere() -> tuple[tuple[Net, str], ...]:
    """(network, what it is): where no host of a site has its address."""
    return tuple((parse_net(cidr), what) for cidr, what in _NOWHERE)
