# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs, as one Stack for the rules: the Swarm's services (on a manager) and this host's other containers.

The shapes are those of the Engine API: GET /services, /containers/json, /containers/{id}/json and /networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import EngineError
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import RESERVED_NAMES, TASK_LABEL, read_engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.arguments import read_architecture
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.fleet import Fleet
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import (
    COMPOSE,
    NOWHERE,
    SWARM,
    ZONE_LABEL,
    Mount,
    Network,
    Published,
    Service,
    Stack,
    Text,
    waiving_labels,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.rules import check

#: One object of the Engine API.
Answer = Mapping[str, Any]

_PROJECT, _SERVICE, _DEPENDS = (f"com.docker.compose.{key}" for key in ("project", "service", "depends_on"))
#: Of a finding about what runs; it has no place in a file.
_SAID = ("rule", "message", "fix", "stack", "service")
_NAMESPACE = "com.docker.stack.namespace"
#: A network with one of these labels was made by a stack, every other one beside them.
_MADE_BY = (_NAMESPACE, "com.docker.compose.project")


def lint_running(params: Mapping[str, Any], engine: Any) -> dict[str, list[dict[str, str]]]:
    """What an engine runs, held against the module's arguments: {findings: [{rule, message, fix, stack, service}],
    waivers: [{stack, service, rule, reason}]}. The controller, which knows the rules by name, applies the one to the other.
    """
    fleet = Fleet([take_running(engine)], read_architecture(params))
    return {
        "findings": [{key: getattr(one, key) for key in _SAID} for one in dict.fromkeys(check(fleet))],
        "waivers": [{**one._asdict(), "reason": one.reason.value} for one in waiving_labels(fleet.services)],
    }


def take_running(engine: Any) -> Stack:
    """The Stack of everything that an engine runs; a worker does not know the Swarm's services."""
    networks, _info, node = read_engine(engine)
    # The Swarm's own containers are what their service says.
    own = [
        container["Id"]
        for container in engine.containers()
        if container.get("State") == "running" and TASK_LABEL not in (container.get("Labels") or {})
    ]
    containers = [found for found in (_inspect(engine, container) for container in own) if found]
    return read_running(networks, containers, engine.services() if node.is_manager else [])


def _inspect(engine: Any, container_id: str) -> Optional[Answer]:
    """GET /containers/{id}/json; None for a container that has ended since it was listed."""
    try:
        return engine.container(container_id)
    except EngineError as error:
        if error.status == 404:
            return None
        raise


def read_running(networks: Sequence[Answer], containers: Sequence[Answer], services: Sequence[Answer]) -> Stack:
    """The same from the engine's answers."""
    names = {network["Id"]: network["Name"] for network in networks}
    by_id = {container["Id"]: container for container in containers}
    found: dict[tuple[str, str], Service] = {}
    for service in [_service(item, names) for item in services] + [_container(item, by_id) for item in containers]:
        found.setdefault((service.stack, service.name), service)  # the replicas of a service are alike
    own = {
        network["Name"]: _network(network)
        for network in networks
        if network["Name"] not in RESERVED_NAMES and not network.get("Ingress")
    }
    return Stack("", COMPOSE, tuple(found.values()), own)


def _network(network: Answer) -> Network:
    labels = network.get("Labels") or {}
    pools = (network.get("IPAM") or {}).get("Config") or []
    return Network(
        name=network["Name"],
        stack=next((labels[key] for key in _MADE_BY if key in labels), ""),
        external=not any(key in labels for key in _MADE_BY),
        internal=bool(network.get("Internal")),
        zone=labels.get(ZONE_LABEL, ""),
        subnets=tuple(Text(pool["Subnet"]) for pool in pools if pool.get("Subnet")),
    )


def _texts(items: Optional[Mapping[str, str]]) -> dict[str, Text]:
    return {key: Text(value) for key, value in (items or {}).items()}


def _environment(items: Optional[Iterable[str]]) -> dict[str, Text]:
    return {key: Text(value) for key, _equals, value in (item.partition("=") for item in items or ())}


def _service(service: Answer, names: Mapping[str, str]) -> Service:
    """A Swarm service."""
    spec = service["Spec"]
    task = spec.get("TaskTemplate") or {}
    container = task.get("ContainerSpec") or {}
    stack = (spec.get("Labels") or {}).get(_NAMESPACE, "")
    name = spec["Name"][len(stack) + 1 :] if stack and spec["Name"].startswith(f"{stack}_") else spec["Name"]
    # Old clients write the networks beside the task template, newer ones into it.
    ends = (spec.get("Networks") or []) + (task.get("Networks") or [])
    joined = {names.get(end["Target"], end["Target"]): end.get("Aliases") or [] for end in ends}
    return Service(
        stack=stack,
        name=name,
        kind=SWARM,
        image=container.get("Image", ""),
        networks={network: NOWHERE for network in joined if network not in RESERVED_NAMES},
        implicit=list(joined) == [f"{stack}_default"],
        mode=Text("host" if "host" in joined else ""),
        ports=tuple(_published(port) for port in (spec.get("EndpointSpec") or {}).get("Ports") or ()),
        labels=_texts(spec.get("Labels")),
        unread_labels=_texts(container.get("Labels")),
        mounts=tuple(_mounts(container)),
        environment=_environment(container.get("Env")),
        command=tuple(Text(item) for item in (container.get("Command") or []) + (container.get("Args") or [])),
        names=frozenset([name, spec["Name"], *(alias for aliases in joined.values() for alias in aliases)]),
    )


def _mounts(container: Answer) -> Iterator[Mount]:
    for mount in container.get("Mounts") or ():
        if mount.get("Type") == "bind" and mount.get("Source"):
            yield Mount(mount["Source"], mount.get("Target") or mount.get("Destination") or "")


def _published(port: Answer) -> Published:
    target, published = port["TargetPort"], port.get("PublishedPort")
    return Published(target, target, "", f"{published}:{target}" if published else str(target))


def _container(container: Answer, by_id: Mapping[str, Answer]) -> Service:
    """A container that is no task of the Swarm."""
    config, labels = container["Config"], container["Config"].get("Labels") or {}
    name = container["Name"].lstrip("/")
    mode, home = _mode(container, by_id)
    ends = (home.get("NetworkSettings") or {}).get("Networks") or {}
    stack = labels.get(_PROJECT, "")
    return Service(
        stack=stack,
        name=labels.get(_SERVICE, name),
        kind=COMPOSE,
        image=config.get("Image", ""),
        networks={network: NOWHERE for network in ends if network not in RESERVED_NAMES},
        implicit=list(ends) == [f"{stack}_default"],
        mode=Text(mode),
        ports=tuple(_bound(container)),
        exposed=frozenset(int(port.partition("/")[0]) for port in config.get("ExposedPorts") or ()),
        labels=_texts(labels),
        mounts=tuple(_mounts(container)),
        environment=_environment(config.get("Env")),
        command=tuple(Text(item) for item in (config.get("Entrypoint") or []) + (config.get("Cmd") or [])),
        awaits=tuple(_depends(labels)),
        names=frozenset(
            [labels.get(_SERVICE, name), name, *(alias for end in ends.values() for alias in end.get("Aliases") or ())]
        ),
    )


def _mode(container: Answer, by_id: Mapping[str, Answer]) -> tuple[str, Answer]:
    """(network mode, the container whose networks count): a mode of its own, or "" for one on networks."""
    mode = (container.get("HostConfig") or {}).get("NetworkMode", "")
    kind, _colon, other = mode.partition(":")
    if kind == "container" and other in by_id:
        return _mode(by_id[other], by_id)
    return (mode if mode in ("host", "none", "bridge", "default") else ""), container


def _bound(container: Answer) -> Iterator[Published]:
    ports = (container.get("NetworkSettings") or {}).get("Ports") or {}
    for port, ends in ports.items():
        target = int(port.partition("/")[0])
        for end in ends or ():
            written = f"{end.get('HostIp', '')}:{end.get('HostPort', '')}:{target}".lstrip(":")
            yield Published(target, target, end.get("HostIp", ""), written)


def _depends(labels: Mapping[str, str]) -> Iterator[Text]:
    """The services that Compose was told to start first: "db:service_healthy:false,..."."""
    for item in labels.get(_DEPENDS, "").split(","):
        name, _colon, condition = item.partition(":")
        if name and not condition.startswith("service_completed_successfully"):
            yield Text(name)
