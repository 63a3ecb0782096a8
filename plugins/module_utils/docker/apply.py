# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make and remove networks on an engine, with a bound on every wait."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from ipaddress import ip_network

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import Engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import EngineError, Failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    Network,
    Node,
    Users,
    creation_body,
    overlaps,
    read_usage,
    tasks_on,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.plan import drift
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.reading import read_networks, read_pools

# The swarm's allocator answers within some ms (measured: 1-2 ms on 20.10 and 26.1); what takes this long is refused.
ALLOCATION_SECONDS = 10.0
POLL_SECONDS = 0.05
SLOWEST_POLL_SECONDS = 1.0


class Incomplete(Failure):
    """A run that stopped on the way. What was done before stays done; the next run does the rest."""

    def __init__(self, reason: str, progress: Progress):
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

    def report(self) -> dict:
        return {
            "msg": str(self),
            "changed": bool(self.progress.removed or self.progress.created or self.progress.migrated)
            or bool(self.progress.stage),
            "created": list(self.progress.created),
            "removed": list(self.progress.removed),
            "migrated": list(self.progress.migrated),
        }


@dataclass
class Progress:
    """The names of what was really done; ``stage`` says where the migration in hand stands, empty between two."""

    removed: list = field(default_factory=list)
    created: list = field(default_factory=list)
    migrated: list = field(default_factory=list)
    stage: str = ""


def settle(engine: Engine, networks: list, names) -> list:
    """The live networks, read again for as long as an overlay of these names has no subnet yet, at most for
    ALLOCATION_SECONDS: another run may have made it a moment ago."""
    wanted = set(names)
    for _dummy in polls(ALLOCATION_SECONDS):
        if not any(network.pending and network.name in wanted for network in networks):
            break
        networks = read_networks(engine)
    return networks


def remove_all(engine: Engine, networks: list, node: Node, wait_timeout: float, progress: Progress) -> None:
    """Remove networks, waiting at most ``wait_timeout`` seconds until the tasks on them have ended; raises Incomplete."""
    if not networks:
        return
    deadline = time.monotonic() + wait_timeout
    if node.is_manager:
        _await_tasks(engine, networks, deadline, progress)
    for network in networks:
        _remove(engine, network, deadline, progress)
    _await_gone(engine, networks, deadline, progress)


def _await_tasks(engine: Engine, networks: list, deadline: float, progress: Progress) -> None:
    """Wait until no task holds an address on the networks.

    Swarm lets a network go as soon as its tasks are *marked* for shutdown, and then never frees their addresses
    (moby#37338).
    """
    ids = [network.id for network in networks if network.scope == "swarm"]
    tasks = []
    for _dummy in polls(deadline - time.monotonic()) if ids else ():
        tasks = tasks_on(engine.tasks(), ids)
        if not tasks:
            return
    if tasks:
        raise Incomplete(
            f"Tasks of removed services still hold addresses on the networks to remove: {', '.join(tasks)}", progress
        )


def _remove(engine: Engine, network: Network, deadline: float, progress: Progress) -> None:
    """Remove one network; the engine's refusal because of a user that is just going away is tried again."""
    for _dummy in polls(deadline - time.monotonic()):
        try:
            engine.remove_network(network.id, network.name)
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


def _holders(engine: Engine, network: Network) -> str:
    """What still holds a network that the swarm does not let go, as text.

    An attachment can outlive its container's: where a start fails after the engine was killed (seen on 26.1), the swarm
    keeps it until that engine is started anew.
    """
    if network.scope != "swarm":
        return "A container may have been attached just now"
    users = Users([], attachments=engine.attachments(), nodes=engine.nodes())
    places = sorted(read_usage(users).foreign.get(network.id, ()))
    if not places:
        return "A service may have been made just now"
    return (
        f"The swarm holds it for container {', '.join(places)}. Where docker ps -a there does not show it on the network, "
        "it is what a failed start left behind, and a restart of that node's engine ends it"
    )


def _says_in_use(error: EngineError) -> bool:
    # 20.10 and 26.1: 400 "network ID is in use by task ID" from the swarm, 403 "has active endpoints" from the engine.
    return error.status in (400, 403, 409) and ("in use" in error.detail or "active endpoints" in error.detail)


def _await_gone(engine: Engine, networks: list, deadline: float, progress: Progress) -> None:
    """Wait until the engine's list is without them: a node keeps its own copy of an overlay for some seconds, and its
    name and subnet with it (seen on 20.10)."""
    left = {network.id: network.name for network in networks}
    for _dummy in polls(deadline - time.monotonic()):
        present = {answer["Id"] for answer in engine.networks()}
        left = {network_id: name for network_id, name in left.items() if network_id in present}
        if not left:
            return
    raise Incomplete(f"The engine still lists the removed networks {', '.join(sorted(left.values()))}", progress)


def create_all(engine: Engine, creations, progress: Progress) -> list:
    """Make networks, and wait until they have their subnets; the live networks afterwards.

    ``creations``: (Request, Network) pairs; the request may be None for a network that no comparison is made with.
    Raises Incomplete.
    """
    made = {}
    for _request, network in creations:
        try:
            network_id = engine.create_network(network.name, **creation_body(network))
        except EngineError as error:
            # Somebody else made it since we looked. Whether it is the right one shows below.
            if error.status != 409:
                raise
        else:
            made[network_id] = network
            progress.created.append(network.name)
    live = _await_allocation(engine, made, progress)
    if creations:
        _check_made(creations, live, progress)
    return live


def _await_allocation(engine: Engine, made: dict, progress: Progress) -> list:
    """Wait until the swarm has given every overlay its subnet; take back those that it refuses, and say why."""
    live, pending = [], []
    for _dummy in polls(ALLOCATION_SECONDS):
        live = read_networks(engine)
        pending = [network for network in live if network.id in made and network.pending]
        if not pending:
            return live
    reasons = [_take_back(engine, network.id, made[network.id], live, progress) for network in pending]
    raise Incomplete(" ".join(reasons), progress)


def _take_back(engine: Engine, network_id: str, network: Network, live: list, progress: Progress) -> str:
    """Remove a network that the swarm will not allocate; the reason as text."""
    engine.remove_network(network_id, network.name)
    progress.created.remove(network.name)
    others = [(cidr, other) for other in live if other.id != network_id for cidr in other.cidrs]
    conflicts = sorted(
        {
            f"'{other.name}' with {cidr}"
            for pair in overlaps(others + [(cidr, network) for cidr in network.cidrs])
            if (pair[0][1] is network) != (pair[1][1] is network)
            for cidr, other in pair
            if other is not network
        }
    )
    if conflicts:
        cause = f"it overlaps {', '.join(conflicts)}"
    elif not network.cidrs and (full := _exhausted(read_pools(engine.info())["swarm"], live)):
        cause = f"the swarm's address pool {full} left; give a subnet, or remove networks"
    else:
        cause = "no live network overlaps it; the log of the swarm's leading manager has the reason"
    subnets = ", ".join(str(cidr) for cidr in network.cidrs) or "no subnet given"
    return f"The swarm did not allocate network '{network.name}' ({subnets}), which was removed again: {cause}."


def _exhausted(pools: list, live: list) -> str:
    """The swarm's pools in which no subnet is free, as text; empty where one is."""
    taken = [cidr for network in live if network.scope == "swarm" for cidr in network.cidrs if cidr.version == 4]
    for pool in pools:
        blocks = ip_network(pool["base"]).subnets(new_prefix=pool["size"])
        if any(not any(block.overlaps(cidr) for cidr in taken) for block in blocks):
            return ""
    return " and ".join(f"{pool['base']} has no free /{pool['size']}" for pool in pools)


def _check_made(creations, live: list, progress: Progress) -> None:
    """Compare what came out with what was asked: the daemon's default-network-opts may have added something."""
    by_name = {network.name: network for network in live}
    for request, network in creations:
        found = by_name.get(network.name)
        if found and request is None:
            continue
        differences = drift(request, found) if found else ["it is not in the engine's list"]
        if differences:
            raise Incomplete(
                f"Network '{network.name}' is not what {request.path if request else 'a migration'} asks for after its creation: "
                f"{'; '.join(map(str, differences))}",
                progress,
            )


def polls(seconds: float):
    """Yield at once, then after growing pauses, at least twice and until the seconds are over."""
    deadline, pause = time.monotonic() + seconds, POLL_SECONDS
    yield
    while True:
        time.sleep(pause)
        yield
        if time.monotonic() >= deadline:
            return
        pause = min(pause * 1.5, SLOWEST_POLL_SECONDS)
