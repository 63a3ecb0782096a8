# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Docker takes as a network: one table, by which the site refuses what a host would refuse, and a host what the engine would. Pure.

Tried on 20.10 and 26.1, unless a line says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    BRIDGE_NAME_OPTION,
    ENCRYPTED_OPTION,
    ENGINE_FILLED_OPTIONS,
    FORMER_LABEL,
    MIGRATES_LABEL,
    MTU_OPTION,
    OWNERSHIP_LABEL,
    Address,
    Cidr,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import RESERVED_NAMES
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake

OVERLAY, BRIDGE = DRIVERS = ("overlay", "bridge")
#: Swarm takes DNS labels of at most 63 characters; for bridges this is the docker command's rule, which the API itself
#: does not check.
NAMES = {
    OVERLAY: (
        re.compile(r"(?=.{1,63}\Z)[a-zA-Z0-9](?:[-_]*[a-zA-Z0-9]+)*\Z"),
        "1 to 63 letters, digits, - and _ that start and end with a letter or digit",
    ),
    BRIDGE: (
        re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z"),
        "letters, digits, _, . and - that start with a letter or digit",
    ),
}
#: Compose's word for a network that each project has for itself: no other network can be meant by it.
COMPOSE_DEFAULT = "default"
#: RFC 791 and RFC 8200, in bytes.
MTU_MINIMUM = {4: 68, 6: 1280}
MTU_MAXIMUM = 65535
#: Smaller blocks leave no room for the gateway and one container (20.10 never allocates a /31).
LONGEST_PREFIX = {4: 30, 6: 126}
#: Addresses that no container can have. 20.10 takes them, and nothing works.
NOWHERE: tuple[tuple[Cidr, str], ...] = tuple(
    (ip_network(cidr), what)
    for cidr, what in (
        ("0.0.0.0/8", "this network"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved and broadcast"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
)
#: Labels that say what this collection made, and what it was.
OWN_LABELS = (OWNERSHIP_LABEL, MIGRATES_LABEL, FORMER_LABEL)
#: Interfaces of every host. A network that names one takes its addresses over (20.10: containers of the default bridge do
#: not start any more; 26.1 refuses docker0).
ENGINES_BRIDGES = ("docker0", "docker_gwbridge", "lo")
#: The kernel's rule for the name of an interface (dev_valid_name; IFNAMSIZ is 16 with the closing zero).
_INTERFACE = re.compile(r"[^\s/:]{1,15}\Z")
#: Kinds of mistakes, by which a caller knows what a field would change.
NAME, FAMILY, SPACE = "name", "family", "space"


@dataclass(frozen=True)
class Wish:
    """A network as it is asked for, by a site or of a host. None and empty mean that nothing is said.

    present: False for one that is to be removed.
    """

    name: str
    driver: Optional[str]
    subnets: tuple[Cidr, ...] = ()
    gateways: tuple[Address, ...] = ()
    ip_ranges: tuple[Cidr, ...] = ()
    attachable: Optional[bool] = None
    encrypted: Optional[bool] = None
    ipv4: Optional[bool] = None
    ipv6: Optional[bool] = None
    mtu: Optional[int] = None
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    present: bool = True


def broken_limits(wish: Wish) -> Iterator[Mistake]:
    """Everything in a wish that Docker would not make, or not as it is meant. The paths are keys of a network."""
    yield from _name(wish)
    for cidr in wish.subnets:
        yield from broken_subnet(cidr)
    yield from _families(wish)
    yield from _places(wish)
    yield from _mtu(wish)
    yield from _foreign(wish)
    yield from _options(wish)


def _name(wish: Wish) -> Iterator[Mistake]:
    if wish.name in RESERVED_NAMES or (wish.name == COMPOSE_DEFAULT and wish.present):
        yield Mistake("name", f"'{wish.name}'", "a name that is not Docker's own", "choose another name", NAME)
        return
    pattern, rule = NAMES[OVERLAY if wish.driver == OVERLAY else BRIDGE]
    if not pattern.match(wish.name):
        yield Mistake("name", f"'{wish.name}'", rule, "choose another name", NAME)


def broken_subnet(cidr: Cidr) -> Iterator[Mistake]:
    """What one subnet alone breaks, with the path "subnet"."""
    if cidr.prefixlen > LONGEST_PREFIX[cidr.version]:
        expected = f"/{LONGEST_PREFIX[cidr.version]} or larger: the gateway takes one address"
        yield Mistake("subnet", str(cidr), expected, "give a larger subnet", SPACE)
        return
    nowhere = nowhere_of(cidr)
    if nowhere:
        expected = f"addresses that a container can have: {nowhere[0]} is {nowhere[1]}"
        yield Mistake("subnet", str(cidr), expected, "take a subnet of a private range", SPACE)


def nowhere_of(cidr: Cidr) -> tuple[Cidr, str] | None:
    """The part of NOWHERE that a network meets, None where it is usable."""
    return next(((net, what) for net, what in NOWHERE if net.version == cidr.version and net.overlaps(cidr)), None)


def is_public(cidr: Cidr) -> bool:
    """Whether a subnet is of the public address space: its containers would not reach the servers that have it."""
    return cidr.is_global and not nowhere_of(cidr)


def _families(wish: Wish) -> Iterator[Mistake]:
    """Which IP versions a network has. An engine takes a subnet of its own pool for one that nothing is said of."""
    versions = {cidr.version for cidr in wish.subnets}
    if wish.ipv4 is False and wish.driver == OVERLAY:
        yield Mistake(
            "enable_ipv4", "false on an overlay", "a bridge: Swarm's networks have IPv4", "leave it out", FAMILY
        )
    elif wish.ipv4 is False and (4 in versions or wish.ipv6 is False or (versions and 6 not in versions)):
        what = "with an IPv4 subnet" if 4 in versions else "without IPv6"
        yield Mistake("enable_ipv4", f"false {what}", "a network of at least one IP version", "leave it out", FAMILY)
    elif 6 in versions and 4 not in versions and wish.ipv4 is not False:
        yield Mistake(
            "subnet",
            ", ".join(map(str, wish.subnets)) + " alone",
            "an IPv4 subnet beside it: the engine would take one from its own pool",
            "give both, in a list"
            + ("" if wish.driver == OVERLAY else ", or enable_ipv4: false (Engine 28 and newer)"),
            FAMILY,
        )
    if wish.ipv6 is False and 6 in versions:
        yield Mistake("enable_ipv6", "false with an IPv6 subnet", "true, or no IPv6 subnet", "leave it out", FAMILY)
    if wish.ipv6 is True and versions == {4}:
        yield Mistake(
            "enable_ipv6",
            "true without an IPv6 subnet",
            "one: the engine would take it from its own pool, where it has one",
            "add an IPv6 subnet",
            FAMILY,
        )
    for version in (4, 6):
        same = [str(cidr) for cidr in wish.subnets if cidr.version == version]
        if wish.driver == BRIDGE and len(same) > 1:
            expected = f"one IPv{version} subnet: a bridge has no second one"
            yield Mistake("subnet", ", ".join(same), expected, "make another network of it", FAMILY)


def _places(wish: Wish) -> Iterator[Mistake]:
    """Gateways and ranges lie in a subnet each, and a gateway is an address that a host can have."""
    values: tuple[tuple[str, tuple[Address | Cidr, ...]], ...] = (
        ("gateway", wish.gateways),
        ("ip_range", wish.ip_ranges),
    )
    for key, given in values:
        homes: dict[Cidr, Address | Cidr] = {}
        for value in given if wish.subnets else ():
            home = next((cidr for cidr in wish.subnets if holds(cidr, value)), None)
            if home is None:
                expected = f"inside {' or '.join(map(str, wish.subnets))}"
                yield Mistake(key, str(value), expected, "correct it, or the subnet", SPACE)
            elif home in homes:
                yield Mistake(key, f"{homes[home]} and {value}", f"one in {home}", "leave one of them out", SPACE)
            else:
                homes[home] = value
                if isinstance(value, (IPv4Address, IPv6Address)) and not usable(home, value):
                    expected = f"an address that a host of {home} can have"
                    yield Mistake(
                        key, str(value), expected, f"write for example {home[min(1, home.num_addresses - 1)]}", SPACE
                    )


def holds(cidr: Cidr, value: Address | Cidr) -> bool:
    """Whether an address or a network lies in a network; other families never do."""
    if value.version != cidr.version:
        return False
    if isinstance(value, (IPv4Address, IPv6Address)):
        return value in cidr
    return value.subnet_of(cidr)  # type: ignore[arg-type]  # of the same version, see above


def usable(cidr: Cidr, address: Address) -> bool:
    """Whether a container can have this address of a subnet: not the network's own, and not the broadcast address."""
    return address != cidr[0] and (cidr.version == 6 or address != cidr[-1])


def _mtu(wish: Wish) -> Iterator[Mistake]:
    key, mtu, spelled = "mtu", wish.mtu, wish.options.get(MTU_OPTION)
    if spelled is not None and mtu is not None and str(mtu) != spelled:
        yield Mistake("mtu", f"{mtu}, and '{spelled}' as options.{MTU_OPTION}", "one MTU", "leave one of them out")
        return
    if mtu is None and spelled is not None:
        key, mtu = f"options.{MTU_OPTION}", int(spelled) if spelled.isdecimal() else -1
    minimum = MTU_MINIMUM[6 if wish.ipv6 or any(cidr.version == 6 for cidr in wish.subnets) else 4]
    if mtu is not None and not minimum <= mtu <= MTU_MAXIMUM:
        got = f"{wish.mtu}" if key == "mtu" else f"'{spelled}'"
        remedy = "write for example 1450, an overlay's on a 1500-byte link"
        yield Mistake(key, got, f"{minimum} to {MTU_MAXIMUM} bytes", remedy)


def _foreign(wish: Wish) -> Iterator[Mistake]:
    """What only the other driver knows, and what has an option of its own."""
    if wish.driver == BRIDGE and wish.encrypted:
        expected = "an overlay: a bridge never leaves its host"
        yield Mistake("encrypted", "true on a bridge", expected, "use driver: overlay, or leave out encrypted")
    if wish.driver == BRIDGE and wish.attachable:
        expected = "an overlay: any container can join a bridge anyway"
        yield Mistake("attachable", "true on a bridge", expected, "use driver: overlay, or leave out attachable")
    if ENCRYPTED_OPTION in wish.options:
        got = f"'{wish.options[ENCRYPTED_OPTION]}'"
        yield Mistake(f"options.{ENCRYPTED_OPTION}", got, "the key `encrypted`", "write encrypted: true beside options")
    for key in sorted(ENGINE_FILLED_OPTIONS.intersection(wish.options)):
        expected = "nothing: the engine sets it by itself"
        remedy = (
            f"leave it out, or write {key.rpartition('.')[2]}" if key.endswith(("ipv4", "ipv6")) else "leave it out"
        )
        yield Mistake(f"options.{key}", f"'{wish.options[key]}'", expected, remedy)
    for key in sorted(set(OWN_LABELS).intersection(wish.labels)):
        expected = "nothing: this collection sets it by itself"
        yield Mistake(f"labels.{key}", f"'{wish.labels[key]}'", expected, "leave it out")


def _options(wish: Wish) -> Iterator[Mistake]:
    bridge = wish.options.get(BRIDGE_NAME_OPTION)
    if bridge is None:
        return
    path = f"options.{BRIDGE_NAME_OPTION}"
    if wish.driver == OVERLAY:
        yield Mistake(path, f"'{bridge}' on an overlay", "a bridge", "leave it out")
    elif bridge in (".", "..") or not _INTERFACE.match(bridge):
        yield Mistake(path, f"'{bridge}'", "1 to 15 characters without / : and blanks", "choose another name", NAME)
    elif bridge in ENGINES_BRIDGES:
        expected = "an interface of its own: this one is in use, and would be lost"
        yield Mistake(path, f"'{bridge}'", expected, "choose another name", NAME)
