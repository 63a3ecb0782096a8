# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an engine has: its networks, who uses them, its pools and its overlaps, for swarm_network_info."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import Engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    STACK_LABEL,
    Network,
    Users,
    container_name,
    describe,
    ended,
    is_left_behind,
    living_stacks,
    read_network,
    read_usage,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import Answer, Node, read_engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.overlap import overlaps
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.reading import read_pools, read_users


def take_inventory(engine: Engine, names: Optional[list[str]]) -> dict[str, Any]:
    """swarm_network_info's result; ``names`` None means every network. Overlaps are looked for among all of them."""
    answers, info, node = read_engine(engine)
    networks = [read_network(answer) for answer in answers]
    users = read_users(engine, node)
    usage = read_usage(users)
    addresses = _addresses(users.containers)
    alive = living_stacks(users)
    conflicts = sorted(
        f"'{first.name}' with {outer} and '{second.name}' with {inner}"
        for (outer, first), (inner, second) in overlaps(
            [(cidr, network) for network in networks for cidr in network.cidrs]
        )
    )
    return {
        "changed": False,
        "node": {"name": node.name, "role": node.kind, "detail": node.detail, "engine": info.get("ServerVersion")},
        "networks": [
            {
                **describe(network),
                "pending": network.pending,
                "users": usage.of(network),
                "addresses": addresses.get(network.id or "", {}),
                "used": _used(network, addresses.get(network.id or "", {}), users, node),
                "usable": _usable(network),
                "stack": network.labels.get(STACK_LABEL),
                "orphan": node.is_manager and is_left_behind(network, alive),
            }
            for network in sorted(networks, key=lambda network: network.name)
            if names is None or network.name in names
        ],
        "pools": read_pools(info),
        "conflicts": conflicts,
    }


def _addresses(containers: list[Answer]) -> dict[str, dict[str, list[str]]]:
    """{network id: {container name: [address]}} of the containers that run on this host."""
    result: dict[str, dict[str, list[str]]] = {}
    for container in containers:
        name = container_name(container)
        for end in ((container.get("NetworkSettings") or {}).get("Networks") or {}).values():
            found = [end[key] for key in ("IPAddress", "GlobalIPv6Address") if end.get(key)]
            if found:
                result.setdefault(end["NetworkID"], {})[name] = found
    return result


def _usable(network: Network) -> Optional[int]:
    """How many IPv4 addresses containers, tasks and services can have: without the network's own, the broadcast
    address and the gateway. None where the network has no subnet."""
    sizes = [cidr.num_addresses - 3 for cidr in network.cidrs if cidr.version == 4]
    return sum(sizes) if sizes else None


def _used(network: Network, addresses: dict[str, list[str]], users: Users, node: Node) -> Optional[int]:
    """How many IPv4 addresses are in use; None for an overlay on a node that is no manager.

    For an overlay these are the addresses of tasks and of containers attached by hand, the services' virtual ones, and
    one a node that takes part, which its load balancer has and no list of the API shows (tried on 20.10 and 26.1, with
    and without virtual addresses: a /28 is full at exactly this sum).
    """
    if network.scope != "swarm":
        return sum(":" not in address for found in addresses.values() for address in found)
    if not node.is_manager:
        return None
    taken: set[str] = set()
    nodes: set[str] = set()
    for task in (*users.tasks, *users.attachments):
        for end in () if ended(task) else task.get("NetworksAttachments") or ():
            if end["Network"]["ID"] == network.id:
                taken.update(end.get("Addresses") or ())
                nodes.add(task.get("NodeID", ""))
    for service in users.services or ():
        for end in (service.get("Endpoint") or {}).get("VirtualIPs") or ():
            if end["NetworkID"] == network.id:
                taken.add(end.get("Addr") or "")
    return sum(bool(address) and ":" not in address for address in taken) + len(nodes)
