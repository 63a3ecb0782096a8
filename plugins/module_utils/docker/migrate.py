# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a migration of a network in use takes: its temporary network, who moves, and what forbids it. Pure.

Docker cannot change a network, so everything on it moves to a temporary one, the network is made anew, and everything
moves back. The temporary network carries two labels: the name of the network that it stands in for, and what that
network was. They are all that a later run needs to see where an interrupted migration stands, and to finish it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.creation import creation_body
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    BRIDGE_NAME_OPTION,
    FORMER_LABEL,
    MIGRATES_LABEL,
    Cidr,
    Network,
    Subnet,
    Users,
    container_name,
    ended,
    endpoints,
    read_network,
    read_usage,
    service_networks,
    task_networks,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import TASK_LABEL, Answer, Node
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.overlap import overlaps
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.request import Request
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: The static addresses of a container while it waits on the temporary network, kept as an option of its endpoint.
#: Recorded on 20.10 and 26.1: the engine keeps options that no driver knows.
ADDRESSES_OPTION = "bulkhead.tiers.addresses"
NAME_SUFFIX = "-moving"
LONGEST_NAME = 63
STOPPED_UPDATES = ("paused", "rollback_started", "rollback_paused")


@dataclass(frozen=True)
class Move:
    """A container of this engine that is attached by hand: ``addresses`` are those that it keeps, ``lost`` what a
    migration cannot keep, as text, ``asked`` the addresses that were surely given to it, ``start_error`` why its last
    start failed where it is not running for that."""

    name: str
    aliases: tuple[str, ...]
    addresses: tuple[str, ...]
    lost: tuple[str, ...]
    asked: tuple[str, ...]
    start_error: str = ""


@dataclass(frozen=True)
class Migration:
    """One network to migrate, or to finish migrating.

    ``former`` is the live network that has to go (None where it went already, or is right by now), ``wanted`` what
    takes its place (live where it has an id), ``temporary`` the network between (live where it has an id).
    ``services`` and ``containers`` are the names and the Moves that are on one of them.
    """

    request: Request
    former: Optional[Network]
    wanted: Network
    temporary: Network
    services: tuple[str, ...] = ()
    containers: tuple[Move, ...] = ()

    @property
    def name(self) -> str:
        return self.request.name

    @property
    def live_ids(self) -> set[str]:
        return {network.id for network in (self.former, self.wanted, self.temporary) if network and network.id}


def temporaries(networks: list[Network]) -> dict[str, Network]:
    """{name of the network that is being migrated: the live temporary network}."""
    return {
        network.labels[MIGRATES_LABEL]: network
        for network in networks
        if network.managed and MIGRATES_LABEL in network.labels
    }


def former_of(temporary: Network) -> Optional[Network]:
    """What the network was that a temporary one stands in for; None where its label was changed."""
    try:
        body = json.loads(temporary.labels.get(FORMER_LABEL, ""))
        return read_network(
            {
                "Name": temporary.labels[MIGRATES_LABEL],
                "Id": None,
                "Driver": body["driver"],
                "Scope": temporary.scope,
                "IPAM": body.get("ipam"),
                "EnableIPv4": body.get("enable_ipv4", True),
                "EnableIPv6": body.get("enable_ipv6", _has_ipv6(body)),
                "Internal": body["internal"],
                "Attachable": body.get("attachable"),
                "Options": body["options"],
                "Labels": body["labels"],
            }
        )
    except (ValueError, KeyError, TypeError):
        return None


def _has_ipv6(body: dict[str, Any]) -> bool:
    """Of a label that an earlier release wrote, which did not say it."""
    return any(":" in pool["Subnet"] for pool in (body.get("ipam") or {}).get("Config") or ())


def temporary_network(former: Network, cidrs: tuple[Cidr, ...], attachable: bool) -> Network:
    """The temporary network for ``former``: like it, with other subnets (``cidrs``, empty for the engine's choice).

    It is as internal and as encrypted as the former one, so that nothing is reachable on the way that was not before.
    """
    labels = {key: value for key, value in former.labels.items() if not key.startswith("com.docker.")}
    body = creation_body(former)
    versions = {cidr.version for cidr in cidrs}
    return replace(
        former,
        id=None,
        name=former.name[: LONGEST_NAME - len(NAME_SUFFIX)] + NAME_SUFFIX,
        subnets=tuple(Subnet(cidr) for cidr in cidrs),
        # Without subnets, the IP versions of the former one; the engine has no IPv6 to give beside IPv4 before 27.
        ipv4=4 in versions if versions else former.ipv4,
        ipv6=6 in versions if versions else not former.ipv4,
        attachable=former.scope == "swarm" and (former.attachable or attachable),
        options={key: value for key, value in former.options.items() if key != BRIDGE_NAME_OPTION},
        labels={**labels, MIGRATES_LABEL: former.name, FORMER_LABEL: json.dumps(body, sort_keys=True)},
        managed=True,
    )


def parse_cidrs(texts: Optional[list[str]]) -> tuple[tuple[Cidr, ...], list[Mistake]]:
    """(CIDRs of the option ``temporary_subnet``, mistakes)."""
    cidrs: list[Cidr] = []
    mistakes: list[Mistake] = []
    for text in texts or ():
        try:
            cidrs.append(ip_network(text.strip()))
        except ValueError as error:
            mistakes.append(
                Mistake("temporary_subnet", f"'{text}' ({error})", "a CIDR without host bits", "write 10.99.0.0/24")
            )
    return tuple(cidrs), mistakes


def with_users(migration: Migration, users: Users) -> Migration:
    """The migration with everything that is on one of its networks."""
    ids = migration.live_ids
    names = {network.name for network in (migration.former, migration.temporary) if network}
    services = [service for service in users.services or () if ids & set(service_networks(service["Spec"]))]
    return replace(
        migration,
        services=tuple(sorted(service["Spec"]["Name"] for service in services)),
        containers=tuple(
            sorted(
                (
                    _move(container, end, migration.wanted)
                    for container in users.containers
                    if users.services is None or TASK_LABEL not in (container.get("Labels") or {})
                    for end in _ends(container, ids, names)[:1]
                ),
                key=lambda move: move.name,
            )
        ),
    )


def _ends(container: Answer, ids: set[str], names: set[str]) -> list[Answer]:
    """The endpoints of a container on these networks, one that waits on a temporary network first: it knows more."""
    found = [end for key, end in endpoints(container) if key in ids or key in names]
    return sorted(found, key=lambda end: ADDRESSES_OPTION not in (end.get("DriverOpts") or {}))


def _move(container: Answer, end: Answer, wanted: Network) -> Move:
    known = known_addresses(end)
    kept = kept_addresses(end, wanted)
    lost = [f"its address {address} until it is back" for address in kept]
    lost += [f"its address {address}, which is not in the new subnet" for address in known if address not in kept]
    if not known and container.get("State") == "running":
        lost.append("its address, which the engine chose")
    # SDK 5 and the engines before 25 cannot ask for one.
    lost.append("its MAC address")
    if any(cidr.version == 6 for cidr in wanted.cidrs):
        lost.append("IPv6 until it is back")
    # An engine fills this in for a running container on an overlay, chosen or given (recorded on 20.10 and
    # 26.1): only elsewhere was it surely asked for.
    certain = wanted.driver != "overlay" or container.get("State") != "running"
    aliases = endpoint_settings(container["Id"], end)[0]
    start_error = "" if container.get("State") == "running" else container.get("StartError", "")
    return Move(container_name(container), aliases, kept, tuple(lost), known if certain else (), start_error)


def warnings(migration: Migration) -> list[str]:
    """What is left to do by hand after a migration, as texts.

    An engine that was killed tries to start its containers before its swarm tells it of the overlays, and leaves those
    stopped for which that comes too late, whatever their restart policy (seen on 20.10 and 26.1). On 20.10 every later
    start may be refused, in turn with "attaching to network failed" and "network ... not found": seen for two minutes
    with a leader, running services and no attachment of the container in the swarm. Why was not found; a restart of the
    engine ended it both times.
    """
    return [
        f"Container {move.name} on '{migration.name}' is not running, for its last start failed ({printable(move.start_error)}). "
        f"It moves as it is; start it afterwards: docker start {move.name}. Where that is refused again and again "
        "('attaching to network failed'), a restart of this engine ends that"
        for move in migration.containers
        if move.start_error
    ]


def known_addresses(end: Answer) -> tuple[str, ...]:
    """The addresses that an endpoint has or had by its configuration, also where it waits on a temporary network."""
    waiting = (end.get("DriverOpts") or {}).get(ADDRESSES_OPTION)
    if waiting is not None:
        return tuple(waiting.split())
    asked = end.get("IPAMConfig") or {}
    return tuple(asked[key] for key in ("IPv4Address", "IPv6Address") if asked.get(key))


def kept_addresses(end: Answer, wanted: Network) -> tuple[str, ...]:
    """Those of an endpoint's addresses that lie in a network's subnets."""
    return tuple(text for text in known_addresses(end) if any(ip_address(text) in cidr for cidr in wanted.cidrs))


def endpoint_settings(container_id: str, end: Answer) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """(aliases, links, driver options) of an endpoint, without what the engine or a migration added."""
    options = {key: value for key, value in (end.get("DriverOpts") or {}).items() if key != ADDRESSES_OPTION}
    # Up to API 1.44 the engine adds the short id to the aliases, and would do so again.
    aliases = [alias for alias in end.get("Aliases") or () if alias != container_id[:12]]
    return tuple(aliases), tuple(end.get("Links") or ()), options


def moved_networks(attached: list[Answer], source: str, target: Optional[str], stay: bool) -> list[Answer]:
    """A service's network attachments with ``target`` beside ``source`` (``stay``) or in its place.

    Aliases and options are taken over, and the order of the networks is kept.
    """
    there = {end["Target"] for end in attached}
    result = []
    for end in attached:
        if end["Target"] != source:
            result.append(end)
            continue
        if stay:
            result.append(end)
        if target is not None and target not in there:
            result.append({**end, "Target": target})
    return result


def forbidden(
    migration: Migration, users: Users, networks: list[Network], node: Node, pools: list[dict[str, Any]]
) -> Iterator[Mistake]:
    """Every Mistake that stands in the way of a migration. ``pools``: the swarm's [{"base", "size"}]."""
    path = migration.request.path
    former, wanted = migration.former or former_of(migration.temporary), migration.wanted
    if former and former.driver != wanted.driver and not former.pending:
        yield Mistake(
            f"{path}.driver",
            f"{former.driver} on the live network '{former.name}', which is in use",
            wanted.driver,
            "what is on it cannot move to another driver: give the new network another name",
        )
        return
    yield from _forbidden_services(migration, users)
    yield from _forbidden_containers(migration, users, node)
    if migration.temporary.id is None:
        yield from _forbidden_temporary(migration, users, networks, pools)


def _forbidden_services(migration: Migration, users: Users) -> Iterator[Mistake]:
    path = f"{migration.request.path}.name"
    for service in users.services or ():
        spec = service["Spec"]
        if spec["Name"] not in migration.services:
            continue
        what = f"service {spec['Name']} on '{migration.name}'"
        if {"ReplicatedJob", "GlobalJob"} & set(spec.get("Mode") or {}):
            yield Mistake(
                path, f"{what}, a job", "services that can be updated without running again", "remove the job first"
            )
            continue
        status = service.get("UpdateStatus") or {}
        # An engine that dies in a migration takes tasks with it, and the swarm pauses the update because of them. Where
        # the migration's own update was on its way, the next run goes on with it, and waits for the tasks.
        networks = {*service_networks(spec), *_task_networks(service, users)}
        if migration.temporary.id in networks and status.get("State") in (None, "updating", "completed", "paused"):
            continue
        if status.get("State") in STOPPED_UPDATES:
            yield Mistake(
                path,
                f"{what}, whose update is {status['State']} ({status.get('Message', 'no message')})",
                "a service without a failed update",
                f"bring it to its end first: docker service update {spec['Name']}",
            )
            continue
        running, desired = count_tasks(service, users.tasks)
        if running < desired:
            yield Mistake(
                path,
                f"{what} with {running} of {desired} tasks running",
                "a healthy service",
                f"see what its tasks lack first: docker service ps {spec['Name']}",
            )


def _task_networks(service: Answer, users: Users) -> set[str]:
    """The networks of a service's tasks: in the last step of a migration only tasks are still on the temporary one."""
    return {
        network for task in users.tasks if task.get("ServiceID") == service["ID"] for network in task_networks(task)
    }


def count_tasks(service: Answer, tasks: list[Answer]) -> tuple[int, int]:
    """(tasks that run, tasks that should) of a service."""
    wanted = [task for task in tasks if task.get("ServiceID") == service["ID"] and task["DesiredState"] == "running"]
    replicated = (service["Spec"].get("Mode") or {}).get("Replicated")
    # The engine leaves out a number of 0.
    desired = len(wanted) if replicated is None else replicated.get("Replicas", 0)
    return sum(task["Status"]["State"] == "running" for task in wanted), desired


def _forbidden_containers(migration: Migration, users: Users, node: Node) -> Iterator[Mistake]:
    path, wanted = migration.request.path, migration.wanted
    elsewhere = read_usage(users).foreign
    for place in sorted(set().union(*(elsewhere.get(network_id, set()) for network_id in migration.live_ids))):
        yield Mistake(
            f"{path}.name",
            f"container {place} on '{migration.name}'",
            f"containers of {node.name} alone: no other engine can be reached from here",
            "disconnect it there, and connect it again afterwards: docker network disconnect",
        )
    if users.services is None and any(
        TASK_LABEL in (container.get("Labels") or {}) and _ends(container, migration.live_ids, {migration.name})
        for container in users.containers
    ):
        yield Mistake(
            f"{path}.name", f"tasks of services on '{migration.name}'", "containers alone", "remove the services first"
        )
    if migration.containers and wanted.driver == "overlay" and not wanted.attachable:
        yield Mistake(
            f"{path}.attachable",
            f"false with container {', '.join(move.name for move in migration.containers)} on '{migration.name}'",
            "true: only tasks of services can join the new network",
            "set attachable: true, or remove the containers first",
        )
    for move in migration.containers:
        for address in move.asked:
            if wanted.cidrs and address not in move.addresses:
                yield Mistake(
                    f"{path}.subnet",
                    f"{', '.join(map(str, wanted.cidrs))} with the static address {address} of container {move.name}",
                    "a subnet with that address",
                    "make the container again without it, or with one of the new subnet",
                )


def _forbidden_temporary(
    migration: Migration, users: Users, networks: list[Network], pools: list[dict[str, Any]]
) -> Iterator[Mistake]:
    temporary = migration.temporary
    taken = next((network for network in networks if network.name == temporary.name), None)
    if taken:
        yield Mistake(
            f"{migration.request.path}.name",
            f"a live network '{taken.name}'",
            f"that name to be free for the migration of '{migration.name}'",
            f"remove '{taken.name}' first",
        )
    owned = [(cidr, network) for network in networks for cidr in network.cidrs]
    owned += [(cidr, migration.wanted) for cidr in migration.wanted.cidrs]
    for one, other in overlaps(owned + [(cidr, temporary) for cidr in temporary.cidrs]):
        if (one[1] is temporary) != (other[1] is temporary):
            mine, theirs = (one, other) if one[1] is temporary else (other, one)
            yield Mistake(
                "temporary_subnet",
                str(mine[0]),
                f"a subnet apart from network '{theirs[1].name}' with {theirs[0]}",
                "give another one",
            )
    needed = _needed(migration, users)
    room = _room(temporary, pools)
    if room is not None and room < needed:
        yield Mistake(
            "temporary_subnet",
            f"room for {room} addresses" + ("" if temporary.cidrs else " (the swarm's own choice)"),
            f"{needed}, for everything on '{migration.name}' while it is updated",
            f"give a CIDR with a prefix of at most {32 - (needed + 3 - 1).bit_length()}",
        )


def _needed(migration: Migration, users: Users) -> int:
    """How many addresses the temporary network must have: each task twice, for a rolling update may start the new one
    first, one for each service (its VIP), each node (its load balancer) and each container."""
    ids = migration.live_ids
    tasks = [
        task
        for task in users.tasks
        if not ended(task) and any(end["Network"]["ID"] in ids for end in task.get("NetworksAttachments") or ())
    ]
    nodes = {task.get("NodeID") for task in tasks}
    return 2 * len(tasks) + len(migration.services) + len(nodes) + len(migration.containers)


def _room(temporary: Network, pools: list[dict[str, Any]]) -> Optional[int]:
    """How many addresses it has for others than its gateway; None where only the engine knows."""
    sizes = [2 ** (32 - cidr.prefixlen) for cidr in temporary.cidrs if cidr.version == 4]
    if not temporary.cidrs and temporary.scope == "swarm":
        sizes = [2 ** (32 - pool["size"]) for pool in pools[:1] if pool["size"]]
    return sum(size - 3 for size in sizes) if sizes else None


def describe_migration(migration: Migration) -> dict[str, Any]:
    """A migration as the module returns it."""
    return {
        "network": migration.name,
        "temporary": migration.temporary.name,
        "resumed": migration.temporary.id is not None,
        "services": list(migration.services),
        "containers": [
            {
                "name": move.name,
                "aliases": list(move.aliases),
                "addresses": list(move.addresses),
                "lost": list(move.lost),
            }
            for move in migration.containers
        ],
    }
