# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carry out a plan on an engine, with a bound on every wait."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import Engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import EngineError, Failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    Network,
    Node,
    creation_body,
    overlaps,
    read_network,
    tasks_on,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.plan import Plan, drift

# The swarm's allocator answers within some ms (measured: 1-2 ms on 20.10 and 26.1); what takes this long is refused.
ALLOCATION_SECONDS = 10.0
POLL_SECONDS = 0.05
SLOWEST_POLL_SECONDS = 1.0


class Incomplete(Failure):
    """A run that stopped on the way. What was done before stays done; the next run does the rest."""

    def __init__(self, reason: str, progress: Progress):
        done = [
            f"{word} so far: {', '.join(names)}"
            for word, names in (("Removed", progress.removed), ("Created", progress.created))
            if names
        ]
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
            "changed": bool(self.progress.removed or self.progress.created),
            "created": list(self.progress.created),
            "removed": list(self.progress.removed),
        }


@dataclass
class Progress:
    """The names of what was really done."""

    removed: list = field(default_factory=list)
    created: list = field(default_factory=list)


def read_networks(engine: Engine) -> list:
    return [read_network(answer) for answer in engine.networks()]


def settle(engine: Engine, networks: list, names) -> list:
    """The live networks, read again for as long as an overlay of these names has no subnet yet, at most for
    ALLOCATION_SECONDS: another run may have made it a moment ago."""
    wanted = set(names)
    for _dummy in _polls(ALLOCATION_SECONDS):
        if not any(network.pending and network.name in wanted for network in networks):
            break
        networks = read_networks(engine)
    return networks


def apply(engine: Engine, plan: Plan, node: Node, wait_timeout: float) -> list:
    """Remove, then create; the live networks afterwards. ``wait_timeout``: seconds for the removals to become possible.

    Raises Incomplete, which says what was done.
    """
    progress = Progress()
    try:
        _remove_all(engine, plan, node, wait_timeout, progress)
        return _create_all(engine, plan, progress)
    except EngineError as error:
        raise Incomplete(str(error), progress) from error


def _remove_all(engine: Engine, plan: Plan, node: Node, wait_timeout: float, progress: Progress) -> None:
    if not plan.removals:
        return
    deadline = time.monotonic() + wait_timeout
    networks = [network for path, network in plan.removals]
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
    for _dummy in _polls(deadline - time.monotonic()) if ids else ():
        tasks = tasks_on(engine.tasks(), ids)
        if not tasks:
            return
    if tasks:
        raise Incomplete(
            f"Tasks of removed services still hold addresses on the networks to remove: {', '.join(tasks)}", progress
        )


def _remove(engine: Engine, network: Network, deadline: float, progress: Progress) -> None:
    """Remove one network; the engine's refusal because of a user that is just going away is tried again."""
    for _dummy in _polls(deadline - time.monotonic()):
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
        raise Incomplete(f"{refusal}. A container on another node may hold it", progress) from refusal
    progress.removed.append(network.name)


def _says_in_use(error: EngineError) -> bool:
    # 20.10 and 26.1: 400 "network ID is in use by task ID" from the swarm, 403 "has active endpoints" from the engine.
    return error.status in (400, 403, 409) and ("in use" in error.detail or "active endpoints" in error.detail)


def _await_gone(engine: Engine, networks: list, deadline: float, progress: Progress) -> None:
    """Wait until the engine's list is without them: a node keeps its own copy of an overlay for some seconds, and its
    name and subnet with it (seen on 20.10)."""
    left = {network.id: network.name for network in networks}
    for _dummy in _polls(deadline - time.monotonic()):
        present = {answer["Id"] for answer in engine.networks()}
        left = {network_id: name for network_id, name in left.items() if network_id in present}
        if not left:
            return
    raise Incomplete(f"The engine still lists the removed networks {', '.join(sorted(left.values()))}", progress)


def _create_all(engine: Engine, plan: Plan, progress: Progress) -> list:
    made = {}
    for _request, network in plan.creations:
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
    if plan.creations:
        _check_made(plan, live, progress)
    return live


def _await_allocation(engine: Engine, made: dict, progress: Progress) -> list:
    """Wait until the swarm has given every overlay its subnet; take back those that it refuses, and say why."""
    live, pending = [], []
    for _dummy in _polls(ALLOCATION_SECONDS):
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
    cause = (
        f"it overlaps {', '.join(conflicts)}"
        if conflicts
        else "no live network overlaps it; the log of the swarm's leading manager has the reason"
    )
    subnets = ", ".join(str(cidr) for cidr in network.cidrs) or "no subnet given"
    return f"The swarm did not allocate network '{network.name}' ({subnets}), which was removed again: {cause}."


def _check_made(plan: Plan, live: list, progress: Progress) -> None:
    """Compare what came out with what was asked: the daemon's default-network-opts may have added something."""
    by_name = {network.name: network for network in live}
    for request, network in plan.creations:
        found = by_name.get(network.name)
        differences = drift(request, found) if found else ["it is not in the engine's list"]
        if differences:
            raise Incomplete(
                f"Network '{network.name}' is not what {request.path} asks for after its creation: "
                f"{'; '.join(map(str, differences))}",
                progress,
            )


def _polls(seconds: float):
    """Yield at once, then after growing pauses, at least twice and until the seconds are over."""
    deadline, pause = time.monotonic() + seconds, POLL_SECONDS
    yield
    while True:
        time.sleep(pause)
        yield
        if time.monotonic() >= deadline:
            return
        pause = min(pause * 1.5, SLOWEST_POLL_SECONDS)
