# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""swarm_network's way to its plan: parse -> read -> plan -> render. What only a change needs is in converge.py, so that a
host on which nothing changes is not sent it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from ansible.module_utils.common.warnings import warn

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import Engine, EngineAbsent, SdkMissing
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Failure, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.migrate import (
    describe_migration,
    parse_cidrs,
    warnings,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    Network,
    describe,
    read_network,
    read_usage,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import Node, read_engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.plan import (
    Plan,
    in_use,
    make_plan,
    overlays_with_ipv6,
    taken_over,
    with_migrations,
    without_ipv4,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.reading import (
    read_pools,
    read_users,
    with_endpoints,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.render import render
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.request import Request, parse_requests
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.waiting import settle
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake

#: Where the kernel names its interfaces.
INTERFACES = "/sys/class/net"


class Comparison(NamedTuple):
    """The plan, the live networks and the node that it was made from."""

    plan: Plan
    networks: list[Network]
    node: Node


def compare(open_engine: Callable[[], Engine], params: dict[str, Any], check_mode: bool) -> Comparison:
    """Read the engine and plan what makes it as ``params`` say.

    ``open_engine``: a function without arguments that returns a client.Engine. Raises errors.Failure.
    """
    requests, mistakes = parse_requests(params["networks"])
    try:
        engine = open_engine()
        answers, info, node = read_engine(engine)
    except (SdkMissing, EngineAbsent) as absence:
        if not check_mode:
            if mistakes:
                raise Refused(mistakes) from absence
            raise
        return _foresee(requests, mistakes, params, str(absence))
    except Failure as failure:
        if mistakes:
            raise Refused(mistakes) from failure
        raise
    networks = [read_network(answer) for answer in answers]
    if node.is_manager:
        networks = settle(engine, networks, [request.name for request in requests])
    mistakes += without_ipv4(requests, answers)
    cidrs, more = parse_cidrs(params["temporary_subnet"])
    mistakes += more
    plan, more = make_plan(requests, networks, node, params["purge"], params["recreate"])
    mistakes += more
    mistakes += overlays_with_ipv6(plan, answers)
    if plan.removals or plan.migrations:
        users = read_users(engine, node)
        if params["recreate"] == "migrate":
            users = with_endpoints(engine, users, plan.touched)
            plan, more = with_migrations(plan, users, node, networks, cidrs, read_pools(info)["swarm"])
            mistakes += more
        mistakes += in_use(plan, read_usage(users))
    if mistakes:
        raise Refused(mistakes)
    for text in (text for migration in plan.migrations for text in warnings(migration)):
        warn(text)
    for text in taken_over(plan, networks, _interfaces(params["docker_host"])):
        warn(text)
    return Comparison(plan, networks, node)


def _interfaces(url: str) -> list[str]:
    """The interfaces of this host, where its engine is the one that is asked."""
    return os.listdir(INTERFACES) if url.startswith("unix://") and os.path.isdir(INTERFACES) else []


def _foresee(requests: list[Request], mistakes: list[Mistake], params: dict[str, Any], absence: str) -> Comparison:
    """What a run would make on a host that has no engine yet, or no SDK to ask it with: check mode alone comes here."""
    node = Node("this host", "manager")
    plan, more = make_plan(requests, [], node, False, params["recreate"])
    mistakes += parse_cidrs(params["temporary_subnet"])[1] + more
    if mistakes:
        raise Refused(mistakes)
    warn(f"{absence}. Check mode takes it for an engine without networks, and for a Swarm's manager")
    return Comparison(plan, [], node)


def result(plan: Plan, networks: list[Network]) -> dict[str, Any]:
    """The module's result. ``networks`` is the live state; in check mode it lacks what would be made."""
    gone = {network.id for path, network in plan.removals}
    gone |= {migration.former.id for migration in plan.migrations if migration.former}
    by_name = {network.name: network for network in networks if network.id not in gone}
    migrated = tuple((migration.request, migration.wanted) for migration in plan.migrations)
    wanted = sorted(plan.creations + plan.kept + migrated, key=lambda pair: pair[0].index)
    return {
        "changed": not plan.empty,
        "created": plan.created_names,
        "removed": plan.removed_names,
        "recreated": plan.recreated_names,
        "migrated": plan.migrated_names,
        "migrations": [describe_migration(migration) for migration in plan.migrations],
        "networks": [describe(by_name.get(network.name, network)) for request, network in wanted],
        "diff": render(plan),
    }
