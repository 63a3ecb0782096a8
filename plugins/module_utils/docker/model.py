# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Networks and what uses a network, read from the engine's answers. Pure."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_interface, ip_network
from typing import Any, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import TASK_LABEL, Answer

#: An IPv4 or IPv6 network, and an address.
Cidr = Union[IPv4Network, IPv6Network]
Address = Union[IPv4Address, IPv6Address]

#: Every network that this collection creates carries it; `purge` removes nothing without it.
OWNERSHIP_LABEL = "bulkhead.tiers.managed"
MTU_OPTION = "com.docker.network.driver.mtu"
ENCRYPTED_OPTION = "encrypted"
#: Driver options that were not asked for: the engine writes them into a network by itself, and no comparison sees them.
ENGINE_FILLED_OPTIONS = frozenset(
    {
        "com.docker.network.driver.overlay.vxlanid_list",  # the VXLAN ids that Swarm's allocator gave
        "com.docker.network.enable_ipv4",  # Engine 28 and newer repeat EnableIPv4 and EnableIPv6 here
        "com.docker.network.enable_ipv6",
    }
)
#: On the temporary network of a migration: the name of the network that it stands in for.
MIGRATES_LABEL = "bulkhead.tiers.migrates"
#: What the network was that a temporary one stands in for, as the body that would make it: the source of all that a
#: request leaves open.
FORMER_LABEL = "bulkhead.tiers.former"
#: The kernel's name of a bridge cannot be had twice.
BRIDGE_NAME_OPTION = "com.docker.network.bridge.name"
#: `docker stack deploy` labels everything that it makes.
STACK_LABEL = "com.docker.stack.namespace"
#: A task in one of these states holds no address any more (Engine API, Task.Status.State).
TERMINAL_TASK_STATES = frozenset({"complete", "shutdown", "failed", "rejected", "remove", "orphaned"})


@dataclass(frozen=True)
class Subnet:
    """One pool of a network.

    ``reserved`` holds Docker's auxiliary addresses as (name, address) pairs; they are kept over a recreation.
    """

    cidr: Cidr
    gateway: Optional[Address] = None
    ip_range: Optional[Cidr] = None
    reserved: tuple[tuple[str, Address], ...] = ()

    @property
    def effective_gateway(self) -> Address:
        """The gateway that the engine uses: the given one, or else the first address it can hand out.

        Tried on 20.10 and 26.1: the first address after the network's own, and with an ip_range that starts later
        the very first address of the range.
        """
        if self.gateway is not None:
            return self.gateway
        pool = self.ip_range or self.cidr
        return pool[0] if pool[0] != self.cidr[0] else self.cidr[1]


@dataclass(frozen=True)
class Network:
    """A network, live (with ``id``) or as it is to be created (``id`` is None).

    ``options`` holds the driver options without MTU, encryption and what the engine filled in; ``labels`` is without
    the ownership label, which is ``managed``. A live overlay with ``pending`` has got no subnet from Swarm's
    allocator: it exists and carries no traffic. ``ipv6`` is None where that is the engine's choice.
    """

    name: str
    driver: str
    subnets: tuple[Subnet, ...] = ()
    ipv4: bool = True
    ipv6: Optional[bool] = None
    internal: bool = False
    attachable: bool = False
    encrypted: bool = False
    mtu: Optional[int] = None
    options: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    managed: bool = True
    id: Optional[str] = None
    scope: str = "local"
    ingress: bool = False

    @property
    def pending(self) -> bool:
        # Recorded on 20.10 and 26.1: an overlay whose subnet overlaps another one answers with an empty driver.
        return self.scope == "swarm" and not self.driver

    @property
    def cidrs(self) -> tuple[Cidr, ...]:
        return tuple(subnet.cidr for subnet in self.subnets)


@dataclass(frozen=True)
class Usage:
    """Who uses networks: ``containers``, ``services`` and ``foreign`` map a network's id to names.

    Containers that were never started stand under the network's name instead. ``foreign`` are the containers of other
    nodes that are attached by hand, as "ID on NODE".
    """

    containers: dict[str, set[str]]
    services: dict[str, set[str]]
    foreign: dict[str, set[str]]

    def of(self, network: Network) -> list[str]:
        """Texts such as ``container web`` and ``service shop_api``, sorted."""
        containers = self.containers.get(network.id or "", set()) | self.containers.get(network.name, set())
        return sorted(
            [f"container {name}" for name in containers | self.foreign.get(network.id or "", set())]
            + [f"service {name}" for name in self.services.get(network.id or "", set())]
        )


@dataclass(frozen=True)
class Users:
    """The engine's answers that name who uses its networks: GET /containers/json?all=1, /services, /tasks, /tasks of
    the runtime "attachment" (containers of any node that were attached by hand) and /nodes.

    ``services`` is None on a node that is no manager; the other lists of the swarm are empty there.
    """

    containers: list[Answer]
    services: Optional[list[Answer]] = None
    tasks: list[Answer] = field(default_factory=list)
    attachments: list[Answer] = field(default_factory=list)
    nodes: list[Answer] = field(default_factory=list)


def read_network(answer: Answer) -> Network:
    """One network of GET /networks."""
    options = {key: value for key, value in (answer.get("Options") or {}).items() if key not in ENGINE_FILLED_OPTIONS}
    labels = dict(answer.get("Labels") or {})
    managed = labels.pop(OWNERSHIP_LABEL, None) == "true"
    encrypted = options.pop(ENCRYPTED_OPTION, None) is not None
    mtu = options.get(MTU_OPTION)
    if mtu is not None and mtu.isdigit():
        del options[MTU_OPTION]
        mtu = int(mtu)
    else:
        mtu = None
    return Network(
        name=answer["Name"],
        id=answer["Id"],
        driver=answer.get("Driver") or "",
        scope=answer.get("Scope") or "local",
        subnets=tuple(_read_subnets((answer.get("IPAM") or {}).get("Config") or [])),
        # Engines before 27 do not speak of IPv4: they always have it.
        ipv4=answer.get("EnableIPv4", True),
        ipv6=answer.get("EnableIPv6", False),
        internal=bool(answer.get("Internal")),
        attachable=bool(answer.get("Attachable")),
        encrypted=encrypted,
        mtu=mtu,
        options=options,
        labels=labels,
        managed=managed,
        ingress=bool(answer.get("Ingress")),
    )


def _read_subnets(config: list[Answer]) -> Iterator[Subnet]:
    for pool in config:
        if not pool.get("Subnet"):
            continue
        # 20.10 keeps host bits as they were written (10.0.0.5/24); Engine 28 writes some gateways with a prefix.
        yield Subnet(
            cidr=ip_network(pool["Subnet"], strict=False),
            gateway=ip_interface(pool["Gateway"]).ip if pool.get("Gateway") else None,
            ip_range=ip_network(pool["IPRange"], strict=False) if pool.get("IPRange") else None,
            reserved=tuple(
                sorted((name, ip_address(address)) for name, address in (pool.get("AuxiliaryAddresses") or {}).items())
            ),
        )


def container_name(container: Answer) -> str:
    """The name of one container of GET /containers/json."""
    return str(container["Names"][0]).lstrip("/") if container.get("Names") else str(container["Id"])[:12]


def endpoints(container: Answer) -> Iterator[tuple[str, Answer]]:
    """(network, endpoint) pairs of a container; the network's id, or its name where it has no id yet.

    One that was never started has no network id (recorded: ``"NetworkID": ""``), but for an overlay that it was
    connected to by id: that one stands under its id.
    """
    for name, end in ((container.get("NetworkSettings") or {}).get("Networks") or {}).items():
        yield end.get("NetworkID") or name, end


def endpoint_keys(container: Answer, network: Network) -> list[str]:
    """The keys under which a container's endpoints on a network stand: its name, or its id, see ``endpoints``."""
    ends = (container.get("NetworkSettings") or {}).get("Networks") or {}
    return [key for key, end in ends.items() if (end.get("NetworkID") or key) in (network.id, network.name)]


def service_networks(spec: Answer) -> list[str]:
    """The ids of the networks of a service's spec."""
    # Old clients write the networks beside the task template, newer ones into it.
    ends = (spec.get("Networks") or []) + ((spec.get("TaskTemplate") or {}).get("Networks") or [])
    return [end["Target"] for end in ends]


def read_usage(users: Users) -> Usage:
    """Who uses which network.

    On a manager the tasks' containers do not count: either their service does, or it was removed and they are about
    to end.
    A stopped container counts: without its network it could not be started again.
    """
    by_container: dict[str, set[str]] = {}
    by_service: dict[str, set[str]] = {}
    for container in users.containers:
        if users.services is not None and TASK_LABEL in (container.get("Labels") or {}):
            continue
        for network, _end in endpoints(container):
            by_container.setdefault(network, set()).add(container_name(container))
    for service in users.services or ():
        for network in service_networks(service["Spec"]):
            by_service.setdefault(network, set()).add(service["Spec"]["Name"])
    return Usage(by_container, by_service, _foreign(users))


def _foreign(users: Users) -> dict[str, set[str]]:
    """{network id: {"ID on NODE"}} of the containers of other engines that are attached by hand.

    Each has a task of its own, which GET /tasks shows only where the runtime "attachment" is asked for.
    """
    own = {container["Id"] for container in users.containers}
    nodes = {node["ID"]: (node.get("Description") or {}).get("Hostname") or node["ID"] for node in users.nodes}
    result: dict[str, set[str]] = {}
    for task in users.attachments:
        container = task["Spec"]["NetworkAttachmentSpec"]["ContainerID"]
        if ended(task) or container in own:
            continue
        for end in task["Spec"].get("Networks") or ():
            place = f"{container[:12]} on {nodes.get(task.get('NodeID'), 'another node')}"
            result.setdefault(end["Target"], set()).add(place)
    return result


def living_stacks(users: Users) -> set[str]:
    """The names of the stacks that have a service."""
    labels = [service["Spec"].get("Labels") or {} for service in users.services or ()]
    return {label[STACK_LABEL] for label in labels if STACK_LABEL in label}


def is_left_behind(network: Network, alive: Container[str]) -> bool:
    """Whether a network was made by a stack that is not among those alive."""
    return STACK_LABEL in network.labels and network.labels[STACK_LABEL] not in alive


def ended(task: Answer) -> bool:
    """Whether a task of GET /tasks holds no address any more."""
    return (task.get("Status") or {}).get("State") in TERMINAL_TASK_STATES


def task_networks(task: Answer) -> set[str]:
    """The ids of the networks that a task of GET /tasks was made for; none where it has ended."""
    return set() if ended(task) else {end["Target"] for end in task["Spec"].get("Networks") or ()}


def tasks_on(tasks: list[Answer], network_ids: Iterable[Optional[str]]) -> list[str]:
    """The ids of the tasks of GET /tasks that still hold an address on one of the networks."""
    wanted = set(network_ids)
    return sorted(
        task["ID"]
        for task in tasks
        if not ended(task) and any(end["Network"]["ID"] in wanted for end in task.get("NetworksAttachments") or [])
    )


def describe(network: Network) -> dict[str, Any]:
    """A network as both modules return it: plain types only."""
    return {
        "name": network.name,
        "id": network.id,
        "driver": network.driver,
        "scope": network.scope,
        "subnets": [str(cidr) for cidr in network.cidrs],
        "gateways": [str(subnet.effective_gateway) for subnet in network.subnets],
        "ip_ranges": [str(subnet.ip_range) for subnet in network.subnets if subnet.ip_range is not None],
        "enable_ipv4": network.ipv4,
        "enable_ipv6": network.ipv6,
        "internal": network.internal,
        "attachable": network.attachable,
        "encrypted": network.encrypted,
        "mtu": network.mtu,
        "options": dict(network.options),
        "labels": dict(network.labels),
        "managed": network.managed,
    }
