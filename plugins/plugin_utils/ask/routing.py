# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a host sends a packet: its routing rules, then the longest prefix of the table that they name (ip-rule(8))."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import Node, Policy, Route

#: Routes that end a packet.
ENDS = ("unreachable", "blackhole", "prohibit")


class Way(NamedTuple):
    """local: it is for the host itself; else out on `interface`, to `neighbour`. trouble: why it goes nowhere, doubt: why that is
    not certain."""

    interface: str = ""
    neighbour: str = ""
    local: bool = False
    trouble: str = ""
    doubt: str = ""


def way(node: Node, destination: str, source: str = "", inside: str = "lo") -> Way:
    """inside: the interface that the packet came in by; lo for the host's own. A packet has no mark, where no rule may set one."""
    to = ipaddress.ip_address(destination)
    doubt = ""
    for policy in node.policies[to.version]:
        if policy.unread:
            doubt = doubt or f"its routing rule {policy.priority} has {policy.unread}, which is not modelled"
            continue
        if policy.marked and node.marks(to.version):
            doubt = doubt or f"its routing rule {policy.priority} goes by a mark, which its rules may set"
        if not _applies(policy, to, source, inside):
            continue
        routes = node.routes[to.version].get(policy.table, ())
        for route in routes:
            if to not in route.net or route.kind == "multicast":
                continue
            if route.kind == "throw" or (route.kind == "unicast" and route.net.prefixlen <= policy.shortest):
                break  # on with the next rule
            if (
                sum((other.net, other.metric, other.kind) == (route.net, route.metric, "unicast") for other in routes)
                > 1
            ):
                doubt = doubt or f"it has several routes for {route.net} of one weight"
            return _of(route, destination)._replace(doubt=doubt)
    return Way(trouble="it has no route there", doubt=doubt)


def _of(route: Route, destination: str) -> Way:
    if route.kind in ("local", "broadcast", "anycast"):
        return Way(route.interface, destination, local=True)
    if route.kind in ENDS:
        return Way(trouble=f"its route for {route.net} is {route.kind}")
    return Way(route.interface, route.gateway or destination)


def _applies(policy: Policy, to: ipaddress.IPv4Address | ipaddress.IPv6Address, source: str, inside: str) -> bool:
    meets = not policy.marked and policy.interface in ("", inside)
    if meets and policy.destination:
        meets = to in ipaddress.ip_network(policy.destination)
    if meets and policy.source:
        meets = bool(source) and ipaddress.ip_address(source) in ipaddress.ip_network(policy.source)
    return meets != policy.inverted
