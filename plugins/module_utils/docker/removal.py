# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Remove networks of an engine, with a bound on every wait; what a run that changes something has done so far."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import EngineError, Failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import Network, Users, read_usage, tasks_on
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import Node
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.waiting import polls
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.writer import Writer


class Incomplete(Failure):
    """A run that stopped on the way. What was done before stays done; the next run does the rest."""

    def __init__(self, reason: str, progress: Progress) -> None:
        done = [
            f"{word} so far: {', '.join(names)}"
            for word, names in (
                ("Removed", progress.removed),
                ("Migrated", progress.migrated),
                ("Created", progress.created),
            )
            if names
        ]
        if progress.stage:
            done.append(progress.stage)
        super().__init__(
            " ".join(
                [
                    reason.rstrip(".") + ".",
                    *(f"{text}." for text in done),
                    "What was done stays; run again for the rest.",
                ]
            )
        )
        self.progress = progress

    def report(self) -> dict[str, Any]:
        return {
            "msg": super().report()["msg"],
            "changed": bool(self.progress.removed or self.progress.created or self.progress.migrated)
            or bool(self.progress.stage),
            "created": list(self.progress.created),
            "removed": list(self.progress.removed),
            "migrated": list(self.progress.migrated),
        }


@dataclass
class Progress:
    """The names of what was really done; ``stage`` says where the migration in hand stands, empty between two."""

    removed: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    migrated: list[str] = field(default_factory=list)
    stage: str = ""


def remove_all(engine: Writer, networks: list[Network], node: Node, wait_timeout: float, progress: Progress) -> None:
    """Remove networks, waiting at most ``wait_timeout`` seconds until the tasks on them have ended; raises Incomplete."""
    if not networks:
        return
    deadline = time.monotonic() + wait_timeout
    if node.is_manager:
        _await_tasks(engine, networks, deadline, progress)
    for network in networks:
        _remove(engine, network, deadline, progress)
    _await_gone(engine, networks, deadline, progress)


def _await_tasks(engine: Writer, networks: list[Network], deadline: float, progress: Progress) -> None:
    """Wait until no task holds an address on the networks.

    Swarm lets a network go as soon as its tasks are *marked* for shutdown, and then never frees their addresses
    (moby#37338).
    """
    ids = [network.id for network in networks if network.scope == "swarm"]
    tasks: list[str] = []
    for _dummy in polls(deadline - time.monotonic()) if ids else ():
        tasks = tasks_on(engine.tasks(), ids)
        if not tasks:
            return
    if tasks:
        raise Incomplete(
            f"Tasks of removed services still hold addresses on the networks to remove: {', '.join(tasks)}", progress
        )


def _remove(engine: Writer, network: Network, deadline: float, progress: Progress) -> None:
    """Remove one network; the engine's refusal because of a user that is just going away is tried again."""
    for _dummy in polls(deadline - time.monotonic()):
        try:
            engine.remove_network(str(network.id), network.name)
        except EngineError as error:
            if error.status == 404:
                break
            if not _says_in_use(error):
                raise
            refusal = error
        else:
            break
    else:
        raise Incomplete(f"{refusal}. {_holders(engine, network)}", progress) from refusal
    progress.removed.append(network.name)


def _holders(engine: Writer, network: Network) -> str:
    """What still holds a network that the swarm does not let go, as text.

    An attachment can outlive its container's: where a start fails after the engine was killed (seen on 26.1), the swarm
    keeps it until that engine is started anew.
    """
    if network.scope != "swarm":
        return "A container may have been attached just now"
    users = Users([], attachments=engine.attachments(), nodes=engine.nodes())
    places = sorted(read_usage(users).foreign.get(str(network.id), ()))
    if not places:
        return "A service may have been made just now"
    return (
        f"The swarm holds it for container {', '.join(places)}. Where docker ps -a there does not show it on the network, "
        "it is what a failed start left behind, and a restart of that node's engine ends it"
    )


def _says_in_use(error: EngineError) -> bool:
    # 20.10 and 26.1: 400 "network ID is in use by task ID" from the swarm, 403 "has active endpoints" from the engine.
    return error.status in (400, 403, 409) and ("in use" in error.detail or "active endpoints" in error.detail)


def _await_gone(engine: Writer, networks: list[Network], deadline: float, progress: Progress) -> None:
    """Wait until the engine's list is without them: a node keeps its own copy of an overlay for some seconds, and its
    name and subnet with it (seen on 20.10)."""
    left = {network.id: network.name for network in networks}
    for _dummy in polls(deadline - time.monotonic()):
        present = {answer["Id"] for answer in engine.networks()}
        left = {network_id: name for network_id, name in left.items() if network_id in present}
        if not left:
            return
    raise Incomplete(f"The engine still lists the removed networks {', '.join(sorted(left.values()))}", progress)
