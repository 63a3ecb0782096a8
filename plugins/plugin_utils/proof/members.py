# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which hosts a proof is about, and as what: the inventory says, never a host."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Place


class Part(str, Enum):
    """What a host is in a proof."""

    TIER = "tier"
    GATEWAY = "gateway"
    INTERNET = "internet"
    #: In no tier, no gateway, and not one that stands for the internet.
    NONE = "none"


class Member(NamedTuple):
    """A host of the inventory. groups: for a host of no part, what the inventory puts it in instead."""

    name: str
    part: Part
    tiers: tuple[str, ...] = ()
    gateway: bool = False
    groups: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        return Place(self.tiers, self.gateway)

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "part": self.part.value}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Member:
        return cls(found["name"], Part(found["part"]), tuple(found["tiers"]), found["gateway"], tuple(found["groups"]))


def members_of(groups: Mapping[str, Sequence[str]], places: Mapping[str, Place], outside: str) -> dict[str, Member]:
    """Every host of the inventory, by name.

    groups: {group: its hosts} as the sources of the inventory say; places: where it puts each host; outside: the group
    of the hosts that stand for the internet.
    """
    internet = frozenset(groups.get(outside, ()))
    found = {}
    for name in groups.get("all", ()):
        place = places[name]
        if place.gateway:
            part = Part.GATEWAY
        elif name in internet:
            part = Part.INTERNET
        else:
            part = Part.TIER if place.tiers else Part.NONE
        own = () if part is not Part.NONE else _groups_of(name, groups)
        found[name] = Member(name, part, place.tiers, place.gateway, own)
    return found


def changed(
    at_first: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]], deciding: Collection[str]
) -> dict[str, str]:
    """{host: what changed} of hosts whose groups are not those of the inventory's sources any more.

    add_host and group_by change them, by facts of hosts mostly; only the groups in `deciding` are looked at.
    """
    found = {}
    first, last = (
        {group: frozenset(known.get(group, ())) for group in (*deciding, "all")} for known in (at_first, now)
    )
    for name in sorted(first["all"] | last["all"]):
        before, after = ({group for group in deciding if name in known[group]} for known in (first, last))
        if name not in first["all"]:
            found[name] = "a task of this run added it: the inventory does not name it"
        elif before != after:
            moved = ", ".join(sorted(before ^ after))
            found[name] = f"its groups changed during this run, and are not the inventory's any more ({moved})"
    return found


def _groups_of(name: str, groups: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    return tuple(
        sorted(group for group, hosts in groups.items() if name in hosts and group not in ("all", "ungrouped"))
    )
