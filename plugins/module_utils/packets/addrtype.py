# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The routing table's types of addresses (LOCAL, BROADCAST, ...) as intervals, as far as they can be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DST,
    SRC,
    Intervals,
    address_range,
    common,
    complement,
    merged,
    top,
)

#: {type: intervals}
Types = dict[str, Intervals]


def address_types(family: int, addresses: Union[str, Sequence[str], None]) -> Types:
    """{type: intervals} of the routing table's types, as far as the host's addresses tell them (fib_frontend.c)."""
    if addresses is None or isinstance(addresses, str):
        return _fixed_types(family)
    own = [address for address in addresses if (":" in address) == (family == 6)]
    types = _fixed_types(family)
    if family == 6:
        types["LOCAL"] = merged(address_range(address.partition("/")[0], 6) for address in own + ["::1"])
        return types
    # The last address of a network is its broadcast address; a /31 and a /32 have none.
    nets = [address_range(address, 4) for address in own + ["127.0.0.1/8"] if "/" in address]
    types["BROADCAST"] = merged(EVERYONE + tuple((last, last) for first, last in nets if last - first > 1))
    local = merged([address_range(address.partition("/")[0], 4) for address in own] + [address_range("127.0.0.0/8", 4)])
    types["LOCAL"] = common(local, complement(types["BROADCAST"], 0, top(DST, 4)))
    return _with_unicast(types)


#: 0.0.0.0/8 and the limited broadcast address: BROADCAST on every host.
EVERYONE = (address_range("0.0.0.0/8", 4), address_range("255.255.255.255", 4))


def _fixed_types(family: int) -> Types:
    """The types that are the same on every host."""
    if family == 4:
        return {"MULTICAST": (address_range("224.0.0.0/4", 4),)}
    multicast = (address_range("ff00::/8", 6),)
    return {"MULTICAST": multicast, "UNICAST": complement(((0, 0),) + multicast, 0, top(DST, 6))}


def _with_unicast(types: Types) -> Types:
    """IPv4: what is of no other type. (In IPv6 a host's own addresses are UNICAST too, xt_addrtype.c.)"""
    others = merged(types["LOCAL"] + types["BROADCAST"] + types["MULTICAST"])
    types["UNICAST"] = complement(others, 0, top(DST, 4))
    return types


def hook_types(family: int, hook: str, field: int) -> Types:
    """The types of an address on no host in particular, as far as the hook tells them.

    What comes to INPUT is sent to this host, what leaves by OUTPUT is sent from it, and what FORWARD sees is neither.
    """
    types = _fixed_types(family)
    own = (hook, field) in (("INPUT", DST), ("OUTPUT", SRC))
    if not own and hook != "FORWARD":
        return types
    if family == 6:
        types["LOCAL"] = types["UNICAST"] if own else ()
        return types
    types["BROADCAST"] = EVERYONE
    types["LOCAL"] = complement(merged(EVERYONE + types["MULTICAST"]), 0, top(DST, 4)) if own else ()
    return _with_unicast(types)
