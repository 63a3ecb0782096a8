# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""swarm_network's whole run: read, plan, apply. Sent to hosts on which something changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import Engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.compare import compare, result
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.move import carry_out


def converge(open_engine: Callable[[], Engine], params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the engine to the state of ``params`` (or only say what it would take) and return the module's result.

    ``open_engine``: a function without arguments that returns a client.Engine. Raises errors.Failure.
    """
    plan, networks, node, engine = compare(open_engine, params, check_mode)
    if engine is not None and not (plan.empty or check_mode):
        networks = carry_out(engine, plan, node, params["wait_timeout"])
    return result(plan, networks)
