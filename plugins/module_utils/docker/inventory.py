# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an engine has: its networks, who uses them, its pools and its overlaps, for swarm_network_info."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import Engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    describe,
    overlaps,
    read_network,
    read_node,
    read_usage,
)


def take_inventory(engine: Engine, names: list | None) -> dict:
    """swarm_network_info's result; ``names`` None means every network. Overlaps are looked for among all of them."""
    networks = [read_network(answer) for answer in engine.networks()]
    info = engine.info()
    node = read_node(info)
    containers = engine.containers()
    usage = read_usage(containers, engine.services() if node.is_manager else None)
    addresses = _addresses(containers)
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
                "addresses": addresses.get(network.id, {}),
            }
            for network in sorted(networks, key=lambda network: network.name)
            if names is None or network.name in names
        ],
        "pools": _pools(info),
        "conflicts": conflicts,
    }


def _addresses(containers: list) -> dict:
    """{network id: {container name: [address]}} of the containers that run on this host."""
    result = {}
    for container in containers:
        name = container["Names"][0].lstrip("/") if container.get("Names") else container["Id"][:12]
        for end in ((container.get("NetworkSettings") or {}).get("Networks") or {}).values():
            found = [end[key] for key in ("IPAddress", "GlobalIPv6Address") if end.get(key)]
            if found:
                result.setdefault(end["NetworkID"], {})[name] = found
    return result


def _pools(info: dict) -> dict:
    """The pools that the engine and the swarm take subnets from, where the engine says them.

    Docker leaves its built-in defaults out of /info: an empty list means those.
    """
    cluster = (info.get("Swarm") or {}).get("Cluster") or {}
    return {
        "engine": [{"base": pool["Base"], "size": pool["Size"]} for pool in info.get("DefaultAddressPools") or []],
        "swarm": [{"base": base, "size": cluster.get("SubnetSize")} for base in cluster.get("DefaultAddrPool") or []],
    }
