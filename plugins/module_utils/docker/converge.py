# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""swarm_network's way through a run: parse -> read -> plan -> render -> apply."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import apply as applying
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import Engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Failure, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    describe,
    read_node,
    read_usage,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.plan import Plan, in_use, make_plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.render import render
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.request import parse_requests


def converge(open_engine, params: dict, check_mode: bool) -> dict:
    """Bring the engine to the state of ``params`` (or only say what it would take) and return the module's result.

    ``open_engine``: a function without arguments that returns a client.Engine. Raises errors.Failure.
    """
    requests, mistakes = parse_requests(params["networks"])
    try:
        engine = open_engine()
        # The list first: without a quorum it lacks the overlays, and then the info that follows says so.
        networks = applying.read_networks(engine)
        node = read_node(engine.info())
    except Failure as failure:
        if mistakes:
            raise Refused(mistakes) from failure
        raise
    if node.is_manager:
        networks = applying.settle(engine, networks, [request.name for request in requests])
    plan, more = make_plan(requests, networks, node, params["purge"], params["recreate"])
    mistakes += more
    if plan.removals:
        mistakes += in_use(plan, _usage(engine, node))
    if mistakes:
        raise Refused(mistakes)
    if not (plan.empty or check_mode):
        networks = applying.apply(engine, plan, node, params["wait_timeout"])
    return _result(plan, networks)


def _usage(engine: Engine, node):
    return read_usage(engine.containers(), engine.services() if node.is_manager else None)


def _result(plan: Plan, networks: list) -> dict:
    """The module's result. ``networks`` is the live state; in check mode it lacks what would be made."""
    live = {network.id: network for network in networks}
    gone = {network.id for path, network in plan.removals}
    by_name = {network.name: network for network in live.values() if network.id not in gone}
    wanted = sorted(plan.creations + plan.kept, key=lambda pair: pair[0].index)
    return {
        "changed": not plan.empty,
        "created": plan.created_names,
        "removed": plan.removed_names,
        "recreated": plan.recreated_names,
        "networks": [describe(by_name.get(network.name, network)) for request, network in wanted],
        "diff": render(plan),
    }
