# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carry out a plan on an engine: removals, migrations one at a time, creations.

A migration goes in steps that each leave everything reachable:

1. the temporary network is made, and all that is on the former one gets it *beside* it;
2. all leave the former network, which is removed;
3. the wanted network is made, and all get it beside the temporary one;
4. all leave the temporary network, which is removed.

So every two that could talk at the beginning share a network at every moment: an old and a new task of a rolling update
always meet on the network that both have. Each step asks the engine who is where, and does what is left of it: that is
what lets a later run finish.
"""

from __future__ import annotations

import time
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import apply, removal, waiting
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import EngineError
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.migrate import (
    ADDRESSES_OPTION,
    STOPPED_UPDATES,
    Migration,
    endpoint_settings,
    kept_addresses,
    known_addresses,
    moved_networks,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    Cidr,
    Network,
    Users,
    container_name,
    ended,
    endpoint_keys,
    endpoints,
    service_networks,
    task_networks,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import TASK_LABEL, Answer, Node
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.overlap import overlaps
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.plan import Plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.reading import read_networks, with_endpoints
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.removal import Incomplete, Progress
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.request import Request
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.writer import Writer

NANO = 10**9
#: The engine's own defaults where a spec does not say (Engine API, ServiceSpec).
DEFAULT_MONITOR_SECONDS, DEFAULT_GRACE_SECONDS = 5, 10
ROLLED_BACK = ("rollback_completed", *STOPPED_UPDATES)
#: Of GET /containers/json: the container's networks are set up.
RUNNING_STATES = ("running", "paused", "restarting")
#: How often an update is tried again where another client updated the service in between.
RACES = 5


def carry_out(engine: Writer, plan: Plan, node: Node, wait_timeout: float) -> list[Network]:
    """The live networks afterwards. ``wait_timeout``: seconds that a removal, and each task of a rolling update, may
    take. Raises Incomplete, which says what was done and where a migration stands."""
    progress = Progress()
    try:
        removal.remove_all(engine, [network for path, network in plan.removals], node, wait_timeout, progress)
        for migration in plan.migrations:
            Mover(engine, node, wait_timeout, progress, migration).run()
        return apply.create_all(engine, plan.creations, progress)
    except EngineError as error:
        raise Incomplete(str(error), progress) from error


class Mover:
    """One migration on its way."""

    def __init__(
        self, engine: Writer, node: Node, wait_timeout: float, progress: Progress, migration: Migration
    ) -> None:
        self.engine, self.node, self.wait_timeout, self.progress = engine, node, wait_timeout, progress
        self.migration = migration
        self.name, self.temporary = migration.name, migration.temporary

    def run(self) -> None:
        migration, between = self.migration, f"'{self.temporary.name}'"
        if migration.former:
            self._make_temporary()
            self._stage(1, f"everything on '{self.name}' is getting {between} beside it")
            self._spread(migration.former, self.temporary)
            self._stage(2, f"everything is on {between}, and leaving the former '{self.name}'")
            self._leave(migration.former, self.temporary)
            self._remove(migration.former)
        wanted = migration.wanted
        if wanted.id is None:
            self._stage(2, f"everything is on {between}; the former '{self.name}' is gone")
            wanted = self._made(migration.request, wanted)
        self._stage(3, f"the new '{self.name}' is there; everything on {between} is getting it")
        self._spread(self.temporary, wanted)
        self._stage(4, f"everything is on the new '{self.name}', and leaving {between}")
        self._leave(self.temporary, wanted)
        self._remove(self.temporary)
        self.progress.stage = ""
        self.progress.migrated.append(self.name)

    def _stage(self, step: int, text: str) -> None:
        self.progress.stage = (
            f"The migration of '{self.name}' stands at step {step} of 4: {text}. With recreate: migrate the next run "
            "finishes it"
        )

    def _make_temporary(self) -> None:
        if self.temporary.id is None or self.temporary.pending:
            if self.temporary.id is not None:
                self._remove(self.temporary)
            self.temporary = self._made(None, self.temporary)
        found = [
            f"'{network.name}' with {cidr}"
            for cidr, network in _others(read_networks(self.engine), self.temporary, self.migration)
        ]
        if found:
            self._remove(self.temporary)
            subnets = ", ".join(map(str, self.temporary.cidrs))
            raise Incomplete(
                f"The engine gave the temporary network '{self.temporary.name}' {subnets}, which overlaps "
                f"{', '.join(found)}; it was removed again. Give another subnet with temporary_subnet",
                self.progress,
            )

    def _made(self, request: Optional[Request], network: Network) -> Network:
        live = apply.create_all(self.engine, [(request, network)], self.progress)
        self.progress.created.remove(network.name)
        return next(found for found in live if found.name == network.name)

    def _remove(self, network: Network) -> None:
        removal.remove_all(self.engine, [network], self.node, self.wait_timeout, self.progress)
        self.progress.removed.remove(network.name)

    def _spread(self, source: Network, target: Network) -> None:
        """Everything on ``source`` gets ``target`` beside it. Containers first: they take no time."""
        for container, end in self._containers(source):
            self._connect(container, end, target)
        for service in self._services(source):
            self._update(service["ID"], source, target, stay=True)

    def _leave(self, source: Network, target: Network) -> None:
        """Everything leaves ``source``, services first: while one of their tasks is on it, containers find it there."""
        for service in self._services(source):
            self._update(service["ID"], source, target, stay=False)
        for container, end in self._containers(source):
            self._connect(container, end, target)
            self._disconnect(container, source)

    def _services(self, network: Network) -> list[Answer]:
        """The services that are on a network, or still have a task there: the update of such a one was paused."""
        if not self.node.is_manager:
            return []
        behind = {task.get("ServiceID") for task in self.engine.tasks() if network.id in task_networks(task)}
        services = [
            item
            for item in self.engine.services()
            if network.id in service_networks(item["Spec"]) or item["ID"] in behind
        ]
        return sorted(services, key=lambda item: str(item["Spec"]["Name"]))

    def _containers(self, network: Network) -> list[tuple[Answer, Answer]]:
        """(container, endpoint) pairs of the containers that were attached to a network by hand."""
        users = with_endpoints(self.engine, Users(self.engine.containers()), {network.id, network.name})
        return [
            (container, end)
            for container in users.containers
            if not (self.node.is_manager and TASK_LABEL in (container.get("Labels") or {}))
            for key, end in endpoints(container)
            if key in (network.id, network.name)
        ]

    def _connect(self, container: Answer, end: Answer, target: Network) -> None:
        if any(key in (target.id, target.name) for key, _end in endpoints(container)):
            return
        aliases, links, options = endpoint_settings(container["Id"], end)
        settings: dict[str, Any] = {"aliases": list(aliases), "driver_opt": options}
        if target.id == self.temporary.id:
            settings["driver_opt"] = {**options, ADDRESSES_OPTION: " ".join(known_addresses(end))}
        else:
            for text in kept_addresses(end, target):
                settings["ipv6_address" if ":" in text else "ipv4_address"] = text
        if links:
            settings["links"] = {link.partition(":")[0]: link.partition(":")[2] or link for link in links}
        settings = {key: value for key, value in settings.items() if value}
        word = self._word(container, target, target.name)
        try:
            self.engine.connect(container["Id"], word, container_name(container), **settings)
        except EngineError as error:
            # It is on it already, or it is gone.
            if error.status is None or self._on(container, target) is False:
                self._check_attachments(container, target, error)
                raise

    def _check_attachments(self, container: Answer, network: Network, refusal: EngineError) -> None:
        """Raise Incomplete where the swarm has an attachment that the container does not: its address is taken by it."""
        if refusal.status is None or network.scope != "swarm" or not self.node.is_manager:
            return
        if any(
            task["Spec"]["NetworkAttachmentSpec"]["ContainerID"] == container["Id"]
            and network.id in {end["Target"] for end in task["Spec"].get("Networks") or ()}
            and not ended(task)
            for task in self.engine.attachments()
        ):
            raise Incomplete(
                f"{refusal}. The swarm already holds '{network.name}' for container {container_name(container)}, which is "
                "not on it. That is what a failed start left behind, and a restart of that node's engine ends it",
                self.progress,
            ) from refusal

    def _disconnect(self, container: Answer, network: Network) -> None:
        for key in endpoint_keys(container, network) or [str(network.id)]:
            try:
                self.engine.disconnect(container["Id"], self._word(container, network, key), container_name(container))
            except EngineError as error:
                if error.status is None:
                    raise
                # It left already, or it is gone.
                if self._on(container, network):
                    raise Incomplete(
                        f"{error}. Container {container_name(container)} ({container.get('State')}) still needs "
                        f"'{network.name}' for its next start: start it (docker start), or remove it (docker rm)",
                        self.progress,
                    ) from error

    def _word(self, container: Answer, network: Network, key: str) -> str:
        """What a call about a container and a network calls the network.

        An engine knows an overlay only while something that runs there is on it. Of one that it does not know it takes
        the word of the call for the key of a stopped container's endpoint: with the id, nothing is disconnected from an
        overlay that stands under its name, and what was connected by id stands under it, where a disconnection does not
        find it as soon as the engine knows the network. Recorded on 20.10 and 26.1. ``key``: where the endpoint is, or
        is to be.
        """
        if network.scope != "swarm" or container.get("State") in RUNNING_STATES:
            return str(network.id)
        # An engine that does not know the name takes it for the beginning of an id.
        taken = any(str(other.id).startswith(key) for other in read_networks(self.engine) if other.id != network.id)
        return str(network.id) if taken else key

    def _on(self, container: Answer, network: Network) -> Optional[bool]:
        """Whether a container is on a network by now; None where the container is gone."""
        try:
            return bool(endpoint_keys(self.engine.container(container["Id"]), network))
        except EngineError as error:
            if error.status != 404:
                raise
        return None

    def _update(self, service_id: str, source: Network, target: Network, stay: bool) -> None:
        """Change a service's networks and wait until all of its tasks have them."""
        for race in range(RACES):
            try:
                service = self.engine.service(service_id)
                spec = service["Spec"]
                template = spec["TaskTemplate"]
                attached = (template.get("Networks") or []) + (spec.get("Networks") or [])
                networks = moved_networks(attached, str(source.id), target.id, stay)
                # The same spec once more resumes an update that was paused in an earlier run.
                if networks != attached or (service.get("UpdateStatus") or {}).get("State") == "paused":
                    spec = {**spec, "TaskTemplate": {**template, "Networks": networks}}
                    self.engine.update_service(service_id, service["Version"]["Index"], spec)
                return self._await_update(service_id, spec, {end["Target"] for end in networks})
            except EngineError as error:
                if error.status == 404:  # it was removed meanwhile
                    return None
                if "out of sequence" not in error.detail or race == RACES - 1:
                    raise
        return None

    def _await_update(self, service_id: str, spec: Answer, networks: set[str]) -> None:
        """Wait until every task runs on exactly these networks. The time counts from the last one that came to run."""
        patience = self.wait_timeout + _own_pace(spec)
        deadline, most, state = time.monotonic() + patience, -1, ""
        for _dummy in waiting.polls(float("inf")):
            service = self.engine.service(service_id)
            state = (service.get("UpdateStatus") or {}).get("State", "")
            if state in ROLLED_BACK:
                message = service["UpdateStatus"].get("Message", "no message")
                raise Incomplete(
                    f"The update of service {spec['Name']} is {state}: {message}. See docker service ps "
                    f"{spec['Name']} --no-trunc",
                    self.progress,
                )
            fresh, desired = _fresh(self.engine.tasks_of(service_id), spec, networks)
            if fresh >= desired and state != "updating":
                return
            if fresh > most:
                most, deadline = fresh, time.monotonic() + patience
            if time.monotonic() >= deadline:
                raise Incomplete(
                    f"Service {spec['Name']} has {fresh} of {desired} tasks running on its new networks, and for "
                    f"{patience:.0f} s no other one came. See docker service ps {spec['Name']} --no-trunc",
                    self.progress,
                )


def _others(networks: list[Network], temporary: Network, migration: Migration) -> list[tuple[Cidr, Network]]:
    """(cidr, network) of everything that a live temporary network overlaps, the wanted network included."""
    owned = [(cidr, network) for network in networks for cidr in network.cidrs]
    owned += [(cidr, migration.wanted) for cidr in migration.wanted.cidrs]
    return [
        end
        for pair in overlaps(owned)
        if (pair[0][1].id == temporary.id) != (pair[1][1].id == temporary.id)
        for end in pair
        if end[1].id != temporary.id
    ]


def _own_pace(spec: Answer) -> float:
    """The seconds that a service's own settings put between two tasks of an update."""
    config = spec.get("UpdateConfig") or {}
    monitor = config.get("Monitor", 0) / NANO or DEFAULT_MONITOR_SECONDS
    grace = (spec["TaskTemplate"].get("ContainerSpec") or {}).get("StopGracePeriod")
    return float(config.get("Delay", 0) / NANO + monitor + (DEFAULT_GRACE_SECONDS if grace is None else grace / NANO))


def _fresh(tasks: list[Answer], spec: Answer, networks: set[str]) -> tuple[int, int]:
    """(tasks that run on exactly these networks, tasks that should)."""
    wanted = [task for task in tasks if task["DesiredState"] not in ("shutdown", "remove")]
    fresh = sum(task["Status"]["State"] == "running" and task_networks(task) == networks for task in wanted)
    replicated = (spec.get("Mode") or {}).get("Replicated")
    return fresh, len(wanted) if replicated is None else max(replicated.get("Replicas", 0), len(wanted))
