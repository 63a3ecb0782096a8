# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What several modules ask an engine for."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import Engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import Network, Users, endpoints, read_network
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import Answer, Node


def read_networks(engine: Engine) -> list[Network]:
    """All live networks as model.Network."""
    return [read_network(answer) for answer in engine.networks()]


def read_users(engine: Engine, node: Node) -> Users:
    """Ask an engine who uses its networks."""
    if not node.is_manager:
        return Users(engine.containers())
    attachments = engine.attachments()
    return Users(
        containers=engine.containers(),
        services=engine.services(),
        tasks=engine.tasks(),
        attachments=attachments,
        nodes=engine.nodes() if attachments else [],
    )


def with_endpoints(engine: Engine, users: Users, networks: Container[Optional[str]]) -> Users:
    """The users with all settings of the endpoints on these networks (ids or names), and as ``StartError`` why their last
    start failed: the list of containers leaves out both, aliases and driver options among them (recorded on 20.10 and
    26.1)."""
    return replace(
        users,
        containers=[
            {**container, **_inspected(engine, container)}
            if any(key in networks for key, _end in endpoints(container))
            else container
            for container in users.containers
        ],
    )


def _inspected(engine: Engine, container: Answer) -> Answer:
    answer = engine.container(container["Id"])
    error = (answer.get("State") or {}).get("Error") or ""
    return {"NetworkSettings": answer["NetworkSettings"], "StartError": error}


def read_pools(info: Answer) -> dict[str, list[dict[str, Any]]]:
    """The pools that the engine and the swarm take subnets from, where the engine says them.

    Docker leaves its built-in defaults out of /info: an empty list means those.
    """
    cluster = (info.get("Swarm") or {}).get("Cluster") or {}
    return {
        "engine": [{"base": pool["Base"], "size": pool["Size"]} for pool in info.get("DefaultAddressPools") or []],
        "swarm": [{"base": base, "size": cluster.get("SubnetSize")} for base in cluster.get("DefaultAddrPool") or []],
    }
