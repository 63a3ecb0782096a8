# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The pools that networks take their subnets from: what they are, what they leave out, and what they keep in reserve."""

from __future__ import annotations

import re
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import PoolTerms
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import (
    Net,
    allocation_order,
    host_bits,
    widest,
)

#: Pools that no network is allocated from: what the engines and the Swarm take for themselves.
RESERVED_POOLS = ("engine", "swarm")

_FIELDS = ("subnet", "exclude", "reserve", "public")
_EXAMPLE = "{subnet: 172.30.0.0/16, exclude: 172.30.255.0/24, reserve: 20%}"
_PERCENT = re.compile(r"(0|[1-9][0-9]?)%\Z")


class Live(NamedTuple):
    """A subnet that a network has on a host, whoever made it."""

    net: Net
    network: str
    host: str

    def __str__(self):
        return "network %s (%s) of %s" % (self.network, self.net, self.host)


def read_pools(reader, raw):
    """({name: Nets}, {name: PoolTerms}) of bulkhead_pools; a pool without terms is not in the second."""
    pools, terms = {}, {}
    for name, value in reader.mapping("bulkhead_pools", raw, "pools", "overlay: 172.30.0.0/16").items():
        path = "bulkhead_pools.%s" % name
        reader.name(path, name)
        if isinstance(value, dict):
            known = reader.fields(path, value, _FIELDS, _EXAMPLE)
            pools[name] = reader.nets("%s.subnet" % path, known.get("subnet"))
            terms[name] = _read_terms(reader, path, name, known, pools[name])
        else:
            pools[name] = reader.nets(path, value)
        for net in pools[name]:
            _check_reserved_pool(reader, path, name, net)
    return pools, terms


def _read_terms(reader, path, name, known, nets):
    """What a pool leaves out and keeps, where it says so."""
    for field in ("exclude", "reserve"):
        if name in RESERVED_POOLS and known.get(field) is not None:
            reader.refuse(
                "%s.%s" % (path, field),
                known[field],
                "nothing for a pool that Docker takes from by itself",
                "remove it: Docker would not know of it",
            )
    exclude = ()
    if known.get("exclude") is not None:
        exclude = reader.nets("%s.exclude" % path, known["exclude"])
    for net in exclude if nets else ():
        if not any(pool.holds(net) for pool in nets):
            reader.note("%s.exclude" % path, str(net), "a part of %s" % ", ".join(map(str, nets)), "mend one of both")
    public = reader.boolean("%s.public" % path, known.get("public"), False)
    reserve = known.get("reserve")
    if reserve is None:
        return PoolTerms(exclude, public=public)
    found = _PERCENT.match(reserve) if isinstance(reserve, str) else None
    if not found:
        reader.refuse("%s.reserve" % path, reserve, "a part of the pool from 0% to 99%", "write it like 20%")
    return PoolTerms(exclude, int(found.group(1)) if found else 0, public)


def _check_reserved_pool(reader, path, name, net):
    """The Swarm's allocator takes IPv4 pools alone, and cuts subnets of at least eight addresses from them."""
    if name == "swarm" and net.version == 6:
        reader.note(path, str(net), "an IPv4 network", "the Swarm allocates no IPv6: leave it out")
    if name in RESERVED_POOLS and net.version == 4 and net.prefix > 24:
        reader.note(path, str(net), "a network that holds at least one /24", "choose a larger one")


def within_reserve(nets, terms, wanted, taken):
    """The part of ``wanted`` ({name: prefix length}) that leaves a pool's reserve alone, the largest first.

    The reserve is a part of what the pool has without its exclusions, of each IP version by itself.
    """
    if not terms or not terms.reserve:
        return dict(wanted)
    excluded = widest(terms.exclude)
    left = {}
    for version in (4, 6):
        whole = _shared(nets, excluded, version, inside=False)
        used = _shared(nets, widest(list(taken) + list(excluded)), version, inside=True) - _shared(
            nets, excluded, version, inside=True
        )
        left[version] = whole * (100 - terms.reserve) // 100 - used
    kept = {}
    for name, prefix in allocation_order(wanted):
        version, size = 6 if prefix > 32 else 4, 1 << host_bits(prefix)
        if size <= left[version]:
            left[version] -= size
            kept[name] = prefix
    return kept


def settled_homes(nets, wanted, taken, live):
    """{name: Net} of those wanted networks ({name: prefix length}) that live in a pool already, and can stay.

    nets: the pool's; taken: what others have by declaration; live: the fleet's Live networks. A network stays where it
    has the wanted size inside the pool, the same on every host, and nothing else on its addresses.
    """
    homes = {}
    for item in live:
        if item.network in wanted:
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


def _shared(nets, blocks, version, inside):
    """How many addresses of ``nets`` lie in ``blocks`` (or in none of them); neither has overlaps in itself."""
    pool = [net for net in widest(nets) if net.version == version]
    covered = sum(
        max(0, min(net.last, block.last) - max(net.first, block.first) + 1) for net in pool for block in blocks
    )
    return covered if inside else sum(net.size for net in pool) - covered
