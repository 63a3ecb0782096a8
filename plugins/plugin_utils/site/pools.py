# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pools that networks take their subnets from: what they are, what they leave out, and what they keep in reserve."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.allocator import allocation_order, host_bits
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import PoolTerms
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, address_set, version_of

#: Pools that no network is allocated from: what the engines and the Swarm take for themselves.
RESERVED_POOLS = ("engine", "swarm")

_FIELDS = ("subnet", "exclude", "reserve", "public")
_EXAMPLE = "{subnet: 172.30.0.0/16, exclude: 172.30.255.0/24, reserve: 20%}"
_PERCENT = re.compile(r"(0|[1-9][0-9]?)%\Z")


class Live(NamedTuple):
    """A subnet that a network has on a host, declared or not."""

    net: Net
    network: str
    host: str

    def __str__(self) -> str:
        return f"network {self.network} ({self.net}) of {self.host}"


def read_pools(reader: Reader, raw: object) -> tuple[dict[str, tuple[Net, ...]], dict[str, PoolTerms]]:
    """({name: Nets}, {name: PoolTerms}) of bulkhead_pools; a pool without terms is not in the second."""
    pools: dict[str, tuple[Net, ...]] = {}
    terms: dict[str, PoolTerms] = {}
    for name, value in reader.mapping("bulkhead_pools", raw, "pools", "overlay: 172.30.0.0/16").items():
        path = f"bulkhead_pools.{name}"
        reader.name(path, name)
        if isinstance(value, dict):
            known = reader.fields(path, value, _FIELDS, _EXAMPLE)
            pools[name] = reader.nets(f"{path}.subnet", known.get("subnet"))
            terms[name] = _read_terms(reader, path, name, known, pools[name])
        else:
            pools[name] = reader.nets(path, value)
        for net in pools[name]:
            _check_reserved_pool(reader, path, name, net)
    return pools, terms


def _read_terms(reader: Reader, path: str, name: str, known: Mapping[str, Any], nets: tuple[Net, ...]) -> PoolTerms:
    """What a pool leaves out and keeps, where it says so."""
    for field in ("exclude", "reserve"):
        if name in RESERVED_POOLS and known.get(field) is not None:
            reader.refuse(
                f"{path}.{field}",
                known[field],
                "nothing for a pool that Docker takes from by itself",
                "remove it: Docker would not know of it",
            )
    exclude: tuple[Net, ...] = ()
    if known.get("exclude") is not None:
        exclude = reader.nets(f"{path}.exclude", known["exclude"])
    for net in exclude if nets else ():
        if not any(pool.holds(net) for pool in nets):
            reader.note(f"{path}.exclude", str(net), f"a part of {', '.join(map(str, nets))}", "change one of the two")
    public = bool(reader.boolean(f"{path}.public", known.get("public")))
    reserve = known.get("reserve")
    if reserve is None:
        return PoolTerms(exclude, public=public)
    found = _PERCENT.match(reserve) if isinstance(reserve, str) else None
    if not found:
        reader.refuse(f"{path}.reserve", reserve, "a part of the pool from 0% to 99%", "write it like 20%")
    return PoolTerms(exclude, int(found.group(1)) if found else 0, public)


def _check_reserved_pool(reader: Reader, path: str, name: str, net: Net) -> None:
    """The Swarm's allocator takes IPv4 pools alone, and cuts subnets of at least eight addresses from them."""
    if name == "swarm" and net.version == 6:
        reader.note(path, str(net), "an IPv4 network", "the Swarm allocates no IPv6: leave it out")
    if name in RESERVED_POOLS and net.version == 4 and net.prefix > 24:
        reader.note(path, str(net), "a network that holds at least one /24", "choose a larger one")


def within_reserve(
    nets: Collection[Net], terms: Optional[PoolTerms], wanted: Mapping[str, int], taken: Iterable[Net]
) -> dict[str, int]:
    """The part of ``wanted`` ({name: prefix length}) that leaves a pool's reserve alone, the largest first.

    The reserve is a part of what the pool has without its exclusions, of each IP version by itself.
    """
    if not terms or not terms.reserve:
        return dict(wanted)
    used = address_set(taken)
    left = {}
    for version in (4, 6):
        usable = address_set(net for net in nets if net.version == version) - address_set(terms.exclude)
        left[version] = usable.size * (100 - terms.reserve) // 100 - (usable & used).size
    kept = {}
    for name, prefix in allocation_order(wanted):
        version, size = version_of(prefix), 1 << host_bits(prefix)
        if size <= left[version]:
            left[version] -= size
            kept[name] = prefix
    return kept


def settled_homes(
    nets: Collection[Net], wanted: Mapping[str, int], taken: Collection[Net], live: Collection[Live]
) -> dict[str, Net]:
    """{name: Net} of those wanted networks ({name: prefix length}) that live in a pool already, and can stay.

    nets: the pool's; taken: what others have by declaration; live: the fleet's Live networks. A network stays where it
    has the wanted size inside the pool, the same on every host, and nothing else on its addresses. What it has of the
    other IP version is another matter.
    """
    homes: dict[str, set[Net]] = {}
    for item in live:
        if item.network in wanted and item.net.version == version_of(wanted[item.network]):
            homes.setdefault(item.network, set()).add(item.net)
    kept = {}
    for name, found in homes.items():
        (home, *others) = sorted(found)
        if others or home.size != 1 << host_bits(wanted[name]) or not any(net.holds(home) for net in nets):
            continue
        rivals = [item.net for item in live if item.network != name]
        if not any(home.meets(net) for net in (*taken, *rivals)):
            kept[name] = home
    return kept
