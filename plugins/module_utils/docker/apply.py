# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Make networks on an engine, with a bound on every wait."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import waiting
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.creation import creation_body
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import EngineError
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import Network
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.overlap import overlaps
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.plan import drift
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.reading import read_networks, read_pools
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.removal import Incomplete, Progress
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.request import Request
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.writer import Writer

#: What is to be made; without a request nothing is compared afterwards.
Creations = Sequence[tuple[Optional[Request], Network]]
#: What an engine takes bridges from where its daemon.json says nothing (moby, libnetwork/ipamutils).
DEFAULT_POOLS = [
    *({"base": f"172.{second}.0.0/16", "size": 16} for second in range(17, 32)),
    {"base": "192.168.0.0/16", "size": 20},
]


def create_all(engine: Writer, creations: Creations, progress: Progress) -> list[Network]:
    """Make networks, and wait until they have their subnets; the live networks afterwards.

    Raises Incomplete.
    """
    made: dict[str, Network] = {}
    for _request, network in creations:
        try:
            network_id = engine.create_network(network.name, **creation_body(network))
        except EngineError as error:
            # Another run made it since we looked. Whether it is the right one shows below.
            if error.status == 409:
                continue
            if network.cidrs or network.scope == "swarm" or error.status is None:
                raise
            raise Incomplete(f"{error}. {_local_pools(engine)}", progress) from error
        else:
            made[network_id] = network
            progress.created.append(network.name)
    live = _await_allocation(engine, made, progress)
    if creations:
        _check_made(creations, live, progress)
    return live


def _await_allocation(engine: Writer, made: dict[str, Network], progress: Progress) -> list[Network]:
    """Wait until the swarm has given every overlay its subnet; take back those that it refuses, and say why."""
    live: list[Network] = []
    pending: list[Network] = []
    for _dummy in waiting.polls(waiting.ALLOCATION_SECONDS):
        live = read_networks(engine)
        pending = [network for network in live if network.id in made and network.pending]
        if not pending:
            return live
    reasons = [_take_back(engine, str(network.id), made[str(network.id)], live, progress) for network in pending]
    raise Incomplete(" ".join(reasons), progress)


def _take_back(engine: Writer, network_id: str, network: Network, live: list[Network], progress: Progress) -> str:
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
    elif not network.cidrs and (full := _exhausted(read_pools(engine.info())["swarm"], live, "swarm")):
        cause = f"the swarm's address pool {full} left; give a subnet, or remove networks"
    else:
        cause = "no live network overlaps it; the log of the swarm's leading manager has the reason"
    subnets = ", ".join(str(cidr) for cidr in network.cidrs) or "no subnet given"
    return f"The swarm did not allocate network '{network.name}' ({subnets}), which was removed again: {cause}."


def _local_pools(engine: Writer) -> str:
    """Why an engine may have no subnet for a bridge that gives none, and what to do about it."""
    full = _exhausted(read_pools(engine.info())["engine"] or DEFAULT_POOLS, read_networks(engine), "local")
    why = f"Its address pool {full} left" if full else "The network gives no subnet, and the engine chose none"
    remedy = "Give the network a subnet, remove networks, or give the engine larger default-address-pools"
    return f"{why}. {remedy} (the site's bulkhead_pools.engine)"


def _exhausted(pools: list[dict[str, Any]], live: list[Network], scope: str) -> str:
    """The pools in which no subnet is free beside the networks of a scope, as text; empty where one is."""
    taken = [cidr for network in live if network.scope == scope for cidr in network.cidrs if cidr.version == 4]
    pools = [pool for pool in pools if ":" not in pool["base"]]
    for pool in pools:
        blocks = ip_network(pool["base"]).subnets(new_prefix=pool["size"])
        if any(not any(block.overlaps(cidr) for cidr in taken) for block in blocks):
            return ""
    return " and ".join(f"{pool['base']} has no free /{pool['size']}" for pool in pools)


def _check_made(creations: Creations, live: list[Network], progress: Progress) -> None:
    """Compare what came out with what was asked: the daemon's default-network-opts may have added something."""
    by_name = {network.name: network for network in live}
    for request, network in creations:
        found = by_name.get(network.name)
        if found and request is None:
            continue
        differences: list[object] = ["it is not in the engine's list"]
        if found and request:
            differences = [*drift(request, found)]
        if differences:
            raise Incomplete(
                f"Network '{network.name}' is not what {request.path if request else 'a migration'} asks for after its creation: "
                f"{'; '.join(map(str, differences))}",
                progress,
            )
