# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Networks that a removed stack left behind: which they are and what holds them. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    STACK_LABEL,
    Network,
    Users,
    is_left_behind,
    living_stacks,
    read_usage,
    tasks_on,
)


@dataclass(frozen=True)
class Leftover:
    """A network of a stack that has no service any more.

    ``kept`` is the reason why it stays whatever happens, empty where it may go; ``held_by`` are the users that prevent
    a removal, ``ending`` the tasks that do so for a moment.
    """

    network: Network
    kept: str
    held_by: tuple[str, ...]
    ending: tuple[str, ...]

    @property
    def stack(self) -> str:
        return self.network.labels[STACK_LABEL]

    @property
    def removable(self) -> bool:
        return not self.kept and not self.held_by

    def describe(self) -> dict[str, Any]:
        return {
            "name": self.network.name,
            "id": self.network.id,
            "stack": self.stack,
            "subnets": [str(cidr) for cidr in self.network.cidrs],
            "removable": self.removable,
            "kept": self.kept,
            "held_by": list(self.held_by),
            "ending": list(self.ending),
        }


def find_leftovers(
    networks: list[Network], users: Users, declared: Collection[str], stacks: Optional[Collection[str]] = None
) -> list[Leftover]:
    """The Leftovers among the live networks, sorted by name.

    ``declared``: names of networks that stay in any case. ``stacks``: the stacks to look at, None for all.
    """
    alive, usage = living_stacks(users), read_usage(users)
    found = []
    for network in sorted(networks, key=lambda network: network.name):
        if not is_left_behind(network, alive) or (stacks is not None and network.labels[STACK_LABEL] not in stacks):
            continue
        kept = ""
        if network.name in declared:
            kept = "it is declared"
        elif network.managed:
            kept = "it was made on purpose: it carries the ownership label"
        ending = tasks_on(users.tasks, [network.id])
        found.append(Leftover(network, kept, tuple(usage.of(network)), tuple(ending)))
    return found
