# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A site beside the inventory's groups: names that no tier can have, and what does not fit together.

``groups`` is Ansible's variable of that name everywhere here, {group: its hosts}: it has every host of the inventory,
whatever ``--limit`` says.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import GATEWAY, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count, some

#: The group of hosts that stand for the internet in a proof, unless the role `prove` is told another one.
OUTSIDE = "outside"

#: Ansible's own groups, and its name for the controller.
ALL, UNGROUPED, LOCALHOST = "all", "ungrouped", "localhost"

#: Names of groups and hosts that no tier can have: what they are, and what to do instead.
RESERVED_GROUPS: Mapping[str, str] = {
    ALL: "Ansible's group of every host; in a flow, `tiers` is every tier",
    UNGROUPED: "Ansible's group of the hosts that are in no other one; name the tier after what its hosts do",
    LOCALHOST: "Ansible's name for the controller, which is in no tier; name the tier after what its hosts do",
    "_meta": "what scripts that make inventories return beside their groups",
    GATEWAY: "the group of the routers; put them there, and give their addresses as `gateway:` of the tiers",
    OUTSIDE: "the group of hosts that stand for the internet in a proof; in a flow, `internet` is all of it",
}

#: Kinds of what inventory_advice finds.
NO_HOST, TIERLESS_HOST, EMPTY_TIER, LOOKALIKE_GROUP, NO_GATEWAY = (
    "no-host",
    "tierless-host",
    "empty-tier",
    "lookalike-group",
    "no-gateway",
)

#: How alike two names are, from 0 to 1, so that one is probably meant to be the other: where their hosts say so too,
#: and whatever their hosts say.
_ALIKE, _VERY_ALIKE = 0.75, 0.88
#: How many names a warning has.
_MOST = 10


def managed_hosts(groups: Mapping[str, Collection[str]], outside: str = OUTSIDE) -> list[str]:
    """The hosts of the inventory that are the site's affair: all but the controller and those outside, in order."""
    apart = {LOCALHOST, *(groups.get(outside) or ())}
    return [host for host in groups.get(ALL) or () if host not in apart]


def tierless_hosts(site: Site, groups: Mapping[str, Collection[str]], outside: str = OUTSIDE) -> list[str]:
    """The hosts that are in no tier and are no routers: nothing is applied to them, and no proof says anything of them."""
    placed = {host for name in (*site.tiers, GATEWAY) for host in groups.get(name) or ()}
    return [host for host in managed_hosts(groups, outside) if host not in placed]


def require_hosts(site: Site, groups: Mapping[str, Collection[str]]) -> None:
    """Refused where no host of the inventory is in a tier or is a router: a run would touch none, and look well."""
    found = managed_hosts(groups)
    if len(tierless_hosts(site, groups)) < len(found):
        return
    others = [name for name in groups if name not in RESERVED_GROUPS]
    got = f"{count(len(found), 'host')}, none in a tier" if found else "no host"
    wanted = f"hosts in groups named like the tiers ({some(list(site.tiers), _MOST)})"
    remedy = f"check which inventory is read (-i, ansible.cfg); its groups: {_shown(others) or 'none'}"
    raise Refused([Mistake("inventory", got, wanted, remedy, NO_HOST)])


def inventory_advice(site: Site, groups: Mapping[str, Collection[str]], outside: str = OUTSIDE) -> list[Mistake]:
    """What does not fit together, each with its kind; [] where all does. None of it stops a run, all of it is to be said.

    outside: the name of the group of hosts that stand for the internet.
    """
    if not managed_hosts(groups, outside):
        wanted = f"hosts in groups named like the tiers ({some(list(site.tiers), _MOST)})"
        return [Mistake("inventory", "no host", wanted, "check which inventory is read (-i, ansible.cfg)", NO_HOST)]
    return [
        *_tierless(site, groups, outside),
        *_lookalikes(site, groups, outside),
        *_empty(site, groups),
        *_gateways(site, groups),
    ]


def _shown(names: Sequence[str]) -> str:
    return some([printable(name, 80) for name in names], _MOST)


def _tierless(site: Site, groups: Mapping[str, Collection[str]], outside: str) -> Iterator[Mistake]:
    found = tierless_hosts(site, groups, outside)
    if found:
        yield Mistake(
            "inventory",
            f"{count(len(found), 'host')} in no tier ({_shown(found)})",
            f"each in a group named like a tier ({_shown(list(site.tiers))}), or in {GATEWAY} or {outside}",
            "put each into its group: nothing is applied to a host without one, and nothing is proven of it",
            TIERLESS_HOST,
        )


def _empty(site: Site, groups: Mapping[str, Collection[str]]) -> Iterator[Mistake]:
    found = [name for name in site.tiers if not groups.get(name)]
    if found:
        yield Mistake(
            "bulkhead_tiers",
            f"{count(len(found), 'tier')} without a host ({_shown(found)})",
            "an inventory group of the same name with the tier's hosts",
            "add the hosts, or remove the tier unless Ansible manages none of its hosts",
            EMPTY_TIER,
        )


def _gateways(site: Site, groups: Mapping[str, Collection[str]]) -> Iterator[Mistake]:
    routed = [tier.name for tier in site.tiers.values() if tier.gateways]
    if routed and not groups.get(GATEWAY):
        yield Mistake(
            f"inventory group {GATEWAY}",
            "no host",
            f"the routers with the gateway addresses of {_shown(routed)}",
            "put them into that group: what passes between the tiers is filtered and proven there",
            NO_GATEWAY,
        )


def _lookalikes(site: Site, groups: Mapping[str, Collection[str]], outside: str) -> Iterator[Mistake]:
    known = [*site.tiers, GATEWAY, outside]
    tierless = set(tierless_hosts(site, groups, outside))
    for group, hosts in groups.items():
        if group in known or group in (ALL, UNGROUPED):
            continue
        meant = _meant(group, known)
        # A group of hosts that are in that tier as well is a part of it.
        if not meant or set(hosts) <= set(groups.get(meant) or ()):
            continue
        if _likeness(group, meant) >= _VERY_ALIKE or not tierless.isdisjoint(hosts):
            yield Mistake(
                f"inventory group {printable(group, 80)}",
                f"{count(len(hosts), 'host')} ({_shown(list(hosts))})",
                f"the group {meant}, whose name is nearly the same",
                f"rename the group to {meant}, or give it a name that is less like it",
                LOOKALIKE_GROUP,
            )


def _meant(group: str, known: Collection[str]) -> str:
    """The known name that a group's is most like; "" where it is like none."""
    likeness, name = max((_likeness(group, name), name) for name in known)
    return name if likeness >= _ALIKE else ""


def _likeness(one: str, other: str) -> float:
    """From 0 to 1. Capitals, hyphens, dots, underscores and a plural's s make no difference; names that differ in a
    number (web1, web2) are names of different things."""
    plain, rival = _plain(one), _plain(other)
    if plain == rival:
        return 1.0
    # An inventory may have a thousand groups: what is surely less alike is told by the lengths, and by the letters.
    ratio = 2 * min(len(plain), len(rival)) / (len(plain) + len(rival) or 1)
    if ratio >= _ALIKE:
        matcher = difflib.SequenceMatcher(None, plain, rival)
        ratio = matcher.ratio() if matcher.quick_ratio() >= _ALIKE else 0.0
    if _one_step(plain, rival):
        ratio = max(ratio, _ALIKE)
    if re.sub(r"\d+", "", plain) == re.sub(r"\d+", "", rival):
        ratio = min(ratio, _ALIKE)
    return ratio


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower()).removesuffix("s")


def _one_step(one: str, other: str) -> bool:
    """Whether one letter too many, too few or wrong, or two swapped, make the one of the other."""
    if min(len(one), len(other)) < 2 or abs(len(one) - len(other)) > 1:
        return False
    start = next((at for at, (mine, theirs) in enumerate(zip(one, other, strict=False)) if mine != theirs), None)
    if start is None:
        return True
    mine, theirs = one[start:], other[start:]
    return (
        mine[1:] == theirs[1:]
        or mine[1:] == theirs
        or mine == theirs[1:]
        or (mine[:2] == theirs[1::-1] and mine[2:] == theirs[2:])
    )


def same_group(one: str, other: str) -> bool:
    """Whether two names are one inventory group where Ansible replaces what is no letter, digit or underscore, or for a
    person who reads them: web-1, Web_1."""
    return one.lower().replace("-", "_") == other.lower().replace("-", "_")
