# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The survey of a fleet's networks as a person reads it, and as data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.survey import ENGINES_OWN, Fleet, Row
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import range_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import (
    BAD,
    DIM,
    GOOD,
    HEAD,
    Line,
    count,
    some,
    table,
    wrap,
)

#: The columns of the terminal.
WIDTH = 120
#: Free ranges in the terminal; the JSON has them all.
MOST_SPANS = 6

_HEADERS = ("on", "network", "driver", "subnet", "in use", "zone", "used by")


def summary(fleet: Fleet) -> str:
    """The report in one line."""
    conflicts = count(len(fleet.conflicts), "conflict") if fleet.conflicts else "no conflict"
    found = f"{count(len(fleet.rows), 'network')} on {count(len(fleet.asked), 'host')}, {conflicts}"
    found += f", {count(len(fleet.orphans), 'orphan')}" if fleet.orphans else ""
    if not (fleet.asked or fleet.silent):
        return f"{found}: no host was asked"
    return f"{found}; nothing is known of {some(fleet.unknown)}" if fleet.unknown else found


def report_lines(fleet: Fleet) -> Iterator[Line]:
    """(line, colour) pairs for a terminal of WIDTH columns."""
    yield f"NETWORKS  {summary(fleet)}", HEAD
    for number, line in enumerate(table(_HEADERS, [_cells(row) for row in fleet.rows], WIDTH)):
        yield line, DIM if number == 0 else None
    for host, silent in fleet.silent.items():
        for line in wrap(f"{host}: {silent.text}", WIDTH, "  ", "      "):
            yield line, BAD if host in fleet.unknown else DIM
    if fleet.unasked:
        left = f"{count(len(fleet.unasked), 'host')} of the inventory not asked ({some(fleet.unasked)})"
        for line in wrap(f"{left}: their networks are not seen here", WIDTH, "  ", "      "):
            yield line, DIM
    yield "", None
    for title, items, colour in (
        ("CONFLICTS", [str(conflict) for conflict in fleet.conflicts], BAD),
        ("ORPHANS", [f"{orphan.host}: network {orphan.network}: {orphan.why}" for orphan in fleet.orphans], None),
        ("MISSING", [f"{host}: network {name} is declared and not there" for host, name in fleet.missing], None),
    ):
        if items or title == "CONFLICTS":
            yield f"{title}{'' if items else '  none'}", HEAD if items else GOOD
            for item in items:
                for line in wrap(item, WIDTH, "  ", "      "):
                    yield line, colour
            yield "", None
    yield from _room_lines(fleet)


def _cells(row: Row) -> list[str]:
    network = row.network
    used, usable = ("?" if number is None else str(number) for number in (network.used, network.usable))
    return [
        row.place,
        network.name + ("" if row.declared or network.name in ENGINES_OWN else " *"),
        _driver(row),
        ", ".join(map(str, network.subnets)) or "-",
        f"{used}/{usable}",
        network.zone or "-",
        ", ".join(network.users) or "-",
    ]


def _driver(row: Row) -> str:
    """An overlay without a subnet has no driver yet."""
    return "unallocated" if row.network.pending else row.network.driver


def _room_lines(fleet: Fleet) -> Iterator[Line]:
    yield "FREE  (* above: not declared)", HEAD
    for room in fleet.rooms:
        reserve = f", {room.reserve} % in reserve" if room.reserve else ""
        yield f"  pool {room.pool}  {', '.join(map(str, room.nets))}{reserve}", None
        free = some([range_text(span) for span in room.free], MOST_SPANS) or "nothing"
        following = ", ".join(f"/{size} {net or 'none'}" for size, net in room.following.items())
        for text in (f"free: {free}", f"next: {following}"):
            for line in wrap(text, WIDTH, "    ", "          "):
                yield line, None
    if not fleet.rooms:
        yield "  no pool is declared", None


def report_json(fleet: Fleet, made: str) -> dict[str, Any]:
    """The Fleet as data. made: when, as text."""
    return {
        "made": made,
        "hosts": {host: dict(node) for host, node in fleet.asked.items()},
        "silent": {host: silent.text for host, silent in fleet.silent.items()},
        "unasked": len(fleet.unasked),
        "left_out": list(fleet.unasked),
        "unknown": fleet.unknown,
        "networks": [_row_json(row) for row in fleet.rows],
        "conflicts": [conflict._asdict() for conflict in fleet.conflicts],
        "orphans": [orphan._asdict() for orphan in fleet.orphans],
        "missing": [missing._asdict() for missing in fleet.missing],
        "pools": {
            room.pool: {
                "subnets": [str(net) for net in room.nets],
                "reserve": room.reserve,
                "free": [range_text(span) for span in room.free],
                "next": {f"/{size}": str(net) if net else None for size, net in room.following.items()},
            }
            for room in fleet.rooms
        },
    }


def _row_json(row: Row) -> dict[str, Any]:
    network = row.network
    return {
        "place": row.place,
        "hosts": list(row.hosts),
        "name": network.name,
        "driver": _driver(row),
        "subnets": [str(net) for net in network.subnets],
        "used": network.used,
        "usable": network.usable,
        "zone": network.zone,
        "declared": row.declared,
        "users": list(network.users),
    }
