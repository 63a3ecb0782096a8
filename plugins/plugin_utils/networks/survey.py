# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The networks of a whole fleet: what lives on every host against what the site declares, and what is still free.

Its input is what swarm_network_info returns of every host, its output a table for people and data for programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.checks import ENGINE_DEFAULTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.pools import RESERVED_POOLS, Live, within_reserve
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import (
    Buddies,
    overlaps,
    parse_net,
    point_text,
    spans,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import BAD, DIM, GOOD, HEAD, count, table, wrap

WIDTH = 120
#: The sizes whose next free subnet is named, by IP version.
SIZES = {4: (24, 25, 26, 27, 28, 29), 6: (64,)}
#: Free ranges in the terminal; the JSON has them all.
MOST_SPANS = 6
#: The engine makes these by itself; none of them is an orphan, whoever uses it.
ENGINES_OWN = ("bridge", "docker_gwbridge", "host", "ingress", "none")
ZONE_LABEL = "bulkhead.zone"
SWARM = "the Swarm"
HEADERS = ("on", "network", "driver", "subnet", "in use", "zone", "used by")


class Conflict(NamedTuple):
    """Addresses that two claim. host: where it was seen; one, other: the two, as text; how: the verb between them."""

    host: str
    one: str
    other: str
    how: str = "overlaps"

    def __str__(self):
        return "%s: %s %s %s" % (self.host, self.one, self.how, self.other)


class Orphan(NamedTuple):
    """A network that seems to be of no use any more."""

    host: str
    network: str
    why: str


@dataclass(frozen=True)
class Row:
    """A live network. place: its host, or SWARM for an overlay. used, usable: addresses, None where nobody knows."""

    place: str
    name: str
    driver: str
    subnets: tuple
    used: Optional[int]
    usable: Optional[int]
    zone: str
    declared: bool
    users: tuple
    hosts: tuple


@dataclass(frozen=True)
class Room:
    """What is free in a pool: spans of addresses, and {prefix length: the next free subnet, or None}."""

    pool: str
    nets: tuple
    reserve: int
    free: tuple
    following: dict


@dataclass(frozen=True)
class Fleet:
    """Everything that the report is made of. asked: {host: node}; silent: {host: why it has none};
    unasked: how many hosts of the inventory were not part of the run."""

    asked: dict
    silent: dict
    unasked: int
    rows: tuple
    conflicts: tuple
    orphans: tuple
    missing: tuple
    rooms: tuple


def survey(site, infos, silent, planned, unasked=0):
    """The Fleet of a site.

    infos: {host: what swarm_network_info returned}; silent: {host: why there is none}; planned: {host: names of the
    networks that the site wants there}; unasked: how many hosts of the inventory were left out.
    """
    rows = tuple(_rows(site, infos))
    return Fleet(
        asked={host: info["node"] for host, info in infos.items()},
        silent=silent,
        unasked=unasked,
        rows=rows,
        conflicts=tuple(sorted(set(_conflicts(site, infos)))),
        orphans=tuple(_orphans(site, infos)),
        missing=tuple(
            (host, name)
            for host, names in planned.items()
            if host in infos
            for name in names
            if name not in {network["name"] for network in infos[host]["networks"]}
        ),
        rooms=tuple(_rooms(site, infos)),
    )


def live_networks(infos):
    """Every subnet of every host's networks as pools.Live; infos as in ``survey``."""
    return tuple(
        Live(net, network["name"], host)
        for host in infos
        for network in infos[host]["networks"]
        for net in _nets(network)
    )


def _by_knowledge(infos):
    """The hosts, managers first: what they say of an overlay is the whole truth."""
    return sorted(infos, key=lambda host: infos[host]["node"]["role"] != "manager")


def _rows(site, infos):
    """Overlays once, as the best informed host sees them, then every host's own networks."""
    overlays = {}
    for host in _by_knowledge(infos):
        for network in infos[host]["networks"]:
            if network["scope"] == "swarm":
                overlays.setdefault(network["id"], (network, []))[1].append(host)
    for network, hosts in sorted(overlays.values(), key=lambda pair: pair[0]["name"]):
        yield _row(site, SWARM, network, tuple(hosts))
    for host in infos:
        for network in infos[host]["networks"]:
            if network["scope"] != "swarm" and network["subnets"]:
                yield _row(site, host, network, (host,))


def _row(site, place, network, hosts):
    return Row(
        place=place,
        name=network["name"],
        driver="unallocated" if network["pending"] else network["driver"],
        subnets=tuple(network["subnets"]),
        used=network["used"],
        usable=network["usable"],
        zone=network["labels"].get(ZONE_LABEL, ""),
        declared=network["name"] in site.networks,
        users=tuple(network["users"]),
        hosts=hosts,
    )


def _nets(network):
    return [parse_net(text) for text in network["subnets"]]


def _conflicts(site, infos):
    claims = list(_site_claims(site))
    for host in _by_knowledge(infos):
        live = [(net, network) for network in infos[host]["networks"] for net in _nets(network)]
        for inner, outer in overlaps(live, lambda one, other: one is other):
            yield Conflict(host, _live_text(*inner), _live_text(*outer))
        for net, network in live:
            declared = site.networks.get(network["name"])
            if declared and declared.subnet and net.version == declared.subnet.version and net != declared.subnet:
                yield Conflict(host, _live_text(net, network), str(declared.subnet), "is declared as")
            for claim, text, allows in claims:
                if claim.meets(net) and not allows(network):
                    yield Conflict(host, _live_text(net, network), "%s (%s)" % (text, claim))
        yield from _pool_conflicts(host, infos[host]["pools"], infos[host]["node"], claims)


def _live_text(net, network):
    return "network %s (%s)" % (network["name"], net)


def _site_claims(site):
    """(Net, text, whether a live network may have its addresses) of all that the site declares."""
    for tier in site.tiers.values():
        for net in tier.subnets:
            yield net, "tier %s" % tier.name, lambda network: False
    for network in site.networks.values():
        if network.subnet:
            yield network.subnet, "network %s" % network.name, _is(network.name)
    for name, nets in site.pools.items():
        for net in nets:
            yield net, "pool %s" % name, _takes_from(site, name)


def _is(name):
    return lambda network: network["name"] == name


def _takes_from(site, pool):
    def allows(network):
        declared = site.networks.get(network["name"])
        if pool == "engine":
            return network["scope"] != "swarm"
        if pool == "swarm":
            return network["scope"] == "swarm"
        return declared is not None and declared.pool == pool

    return allows


def _pool_conflicts(host, pools, node, claims):
    """What the engine or the Swarm would take by itself, and the site has given to others."""
    engine = [parse_net(pool["base"]) for pool in pools["engine"]]
    own = [(net, "engine", "a pool of the engine") for net in engine]
    if not engine:
        own = [(net, "engine", "a built-in pool of the engine") for net in ENGINE_DEFAULTS]
    if node["role"] == "manager":
        own += [(parse_net(pool["base"]), "swarm", "a pool of the Swarm") for pool in pools["swarm"]]
    for net, name, text in own:
        for claim, other, _allows in claims:
            if claim.meets(net) and other != "pool %s" % name:
                yield Conflict(host, "%s (%s)" % (text, net), "%s (%s)" % (other, claim))


def _orphans(site, infos):
    seen = set()
    for host in _by_knowledge(infos):
        for network in infos[host]["networks"]:
            why = _why_orphan(site, network, infos[host]["node"])
            if why and network["id"] not in seen:
                seen.add(network["id"])
                yield Orphan(host, network["name"], why)


def _why_orphan(site, network, node):
    if network["name"] in site.networks or network["name"] in ENGINES_OWN:
        return ""
    if network["orphan"]:
        return "its stack %s has no service any more" % network["stack"]
    if network["managed"]:
        return "this collection made it, and the site does not declare it"
    if not network["users"] and (network["scope"] != "swarm" or node["role"] == "manager"):
        return "nobody declares it, and nothing uses it"
    return ""


def _rooms(site, infos):
    live = [net for info in infos.values() for network in info["networks"] for net in _nets(network)]
    for pool, nets in site.pools.items():
        if pool in RESERVED_POOLS:
            continue
        terms = site.pool_terms.get(pool)
        taken = live + [net for tier in site.tiers.values() for net in tier.subnets]
        taken += [network.subnet for network in site.networks.values() if network.subnet]
        taken += [net for other, others in site.pools.items() if other != pool for net in others]
        taken += list(terms.exclude) if terms else []
        buddies = Buddies(nets, taken)
        sizes = [
            size
            for version, sizes in SIZES.items()
            for size in sizes
            if any(net.version == version and net.prefix <= size for net in nets)
        ]
        yield Room(
            pool=pool,
            nets=nets,
            reserve=terms.reserve if terms else 0,
            free=tuple(spans(buddies.free())),
            following={
                size: buddies.peek(size) if within_reserve(nets, terms, {"": size}, taken) else None for size in sizes
            },
        )


def report_json(fleet, made):
    """The Fleet as data. made: when, as text."""
    return {
        "made": made,
        "hosts": {host: dict(node) for host, node in fleet.asked.items()},
        "silent": dict(fleet.silent),
        "unasked": fleet.unasked,
        "networks": [
            {
                "place": row.place,
                "hosts": list(row.hosts),
                "name": row.name,
                "driver": row.driver,
                "subnets": list(row.subnets),
                "used": row.used,
                "usable": row.usable,
                "zone": row.zone,
                "declared": row.declared,
                "users": list(row.users),
            }
            for row in fleet.rows
        ],
        "conflicts": [conflict._asdict() for conflict in fleet.conflicts],
        "orphans": [orphan._asdict() for orphan in fleet.orphans],
        "missing": [{"host": host, "network": name} for host, name in fleet.missing],
        "pools": {
            room.pool: {
                "subnets": [str(net) for net in room.nets],
                "reserve": room.reserve,
                "free": [_span_text(span) for span in room.free],
                "next": {"/%d" % size: str(net) if net else None for size, net in room.following.items()},
            }
            for room in fleet.rooms
        },
    }


def summary(fleet):
    """The report in one line."""
    found = "%s on %s, %s" % (
        count(len(fleet.rows), "network"),
        count(len(fleet.asked), "host"),
        count(len(fleet.conflicts), "conflict") if fleet.conflicts else "no conflict",
    )
    return found + (", %s" % count(len(fleet.orphans), "orphan") if fleet.orphans else "")


def report_lines(fleet):
    """(line, color) pairs for a terminal of WIDTH columns."""
    yield "NETWORKS  %s" % summary(fleet), HEAD
    rows = [_cells(row) for row in fleet.rows]
    for number, line in enumerate(table(HEADERS, rows, WIDTH)):
        yield line, DIM if number == 0 else None
    for host, why in fleet.silent.items():
        yield "  %s: %s" % (host, why), DIM
    if fleet.unasked:
        yield "  %s of the inventory not asked: what lives there is not seen here" % count(fleet.unasked, "host"), DIM
    yield "", None
    for title, items, color in (
        ("CONFLICTS", [str(conflict) for conflict in fleet.conflicts], BAD),
        ("ORPHANS", ["%s: network %s: %s" % orphan for orphan in fleet.orphans], None),
        ("MISSING", ["%s: network %s is declared and not there" % pair for pair in fleet.missing], None),
    ):
        if items or title == "CONFLICTS":
            yield ("%s%s" % (title, "" if items else "  none")), HEAD if items else GOOD
            for item in items:
                for line in wrap(item, WIDTH, "  ", "      "):
                    yield line, color
            yield "", None
    yield from _room_lines(fleet)


def _cells(row):
    use = "?" if row.used is None else str(row.used)
    return [
        row.place,
        row.name + ("" if row.declared or row.name in ENGINES_OWN else " *"),
        row.driver,
        ", ".join(row.subnets) or "-",
        "%s/%s" % (use, "?" if row.usable is None else row.usable),
        row.zone or "-",
        ", ".join(row.users) or "-",
    ]


def _room_lines(fleet):
    yield "FREE  (* above: not declared)", HEAD
    for room in fleet.rooms:
        reserve = ", %d %% in reserve" % room.reserve if room.reserve else ""
        yield "  pool %s  %s%s" % (room.pool, ", ".join(map(str, room.nets)), reserve), None
        shown = [_span_text(span) for span in room.free[:MOST_SPANS]]
        more = ["and %d more" % (len(room.free) - MOST_SPANS)] if len(room.free) > MOST_SPANS else []
        for line in wrap("free: %s" % (", ".join(shown + more) or "nothing"), WIDTH, "    ", "          "):
            yield line, None
        following = ["/%d %s" % (size, net if net else "none") for size, net in room.following.items()]
        for line in wrap("next: %s" % ", ".join(following), WIDTH, "    ", "          "):
            yield line, None
    if not fleet.rooms:
        yield "  no pool is declared", None


def _span_text(span):
    return "%s-%s" % (point_text(span.first), point_text(span.last))
