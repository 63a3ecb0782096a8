# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An engine as a node of a swarm, and what its own networks and containers are called."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

#: One answer of the engine's API.
Answer = dict[str, Any]

#: The engine's own networks: it makes them by itself and needs them.
RESERVED_NAMES = frozenset({"bridge", "host", "none", "ingress", "docker_gwbridge"})
#: The engine labels the containers that it runs for the swarm.
TASK_LABEL = "com.docker.swarm.task.id"
#: How long an engine that has just started may take to find its swarm again.
STARTING_SECONDS = 30.0
POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Node:
    """The engine's place in a swarm: ``kind`` is manager, worker, leaderless, inactive, locked, pending or error."""

    name: str
    kind: str
    detail: str = ""

    @property
    def is_manager(self) -> bool:
        return self.kind == "manager"

    def __str__(self) -> str:
        text = {
            "manager": "a swarm manager",
            "worker": "a swarm worker",
            "leaderless": "a swarm manager whose swarm has no leader",
            "inactive": "a node outside any swarm",
            "pending": "a node that has not found its swarm ('pending')",
        }.get(self.kind, f"a node whose swarm state is '{self.kind}'")
        return f"{self.name} is {text}" + (f" ({self.detail})" if self.detail else "")


def read_node(info: Answer) -> Node:
    """The node of GET /info's answer."""
    swarm = info.get("Swarm") or {}
    name = info.get("Name") or "this node"
    state = swarm.get("LocalNodeState") or "inactive"
    detail = (swarm.get("Error") or "").strip()
    if state != "active":
        return Node(name, state, detail)
    if not swarm.get("ControlAvailable"):
        managers = sorted(manager["Addr"].rsplit(":", 1)[0] for manager in swarm.get("RemoteManagers") or [])
        return Node(name, "worker", detail or f"managers: {', '.join(managers)}")
    # Without a quorum GET /networks silently leaves the swarm's networks out; /info then lacks the cluster.
    if detail or not (swarm.get("Cluster") or {}).get("ID"):
        return Node(name, "leaderless", detail)
    return Node(name, "manager")


class Asked(Protocol):
    """What is asked of a client.Engine here."""

    def networks(self) -> list[Answer]:
        """GET /networks."""

    def info(self) -> Answer:
        """GET /info."""


def read_engine(engine: Asked) -> tuple[list[Answer], Answer, Node]:
    """(GET /networks, GET /info, the Node of it), asked for in this order: without a quorum the list silently lacks
    the overlays, and then the info that follows says so. As long as the engine starts, which is when its swarm state is
    pending, they are asked for again."""
    end = time.monotonic() + STARTING_SECONDS
    while True:
        networks, info = engine.networks(), engine.info()
        node = read_node(info)
        if node.kind != "pending" or time.monotonic() > end:
            return networks, info, node
        time.sleep(POLL_SECONDS)
