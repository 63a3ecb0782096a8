# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""swarm_network's whole run: read, plan, apply. Sent to hosts on which something changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.compare import compare, result
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.move import carry_out
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.writer import Writer


def converge(open_engine: Callable[[], Writer], params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """Bring the engine to the state of ``params`` (or only say what it would take) and return the module's result.

    ``open_engine``: a function without arguments that returns a writer.Writer. Raises errors.Failure.
    """
    opened: list[Writer] = []

    def opening() -> Writer:
        opened.append(open_engine())
        return opened[0]

    plan, networks, node = compare(opening, params, check_mode)
    if opened and not (plan.empty or check_mode):
        networks = carry_out(opened[0], plan, node, params["wait_timeout"])
    return result(plan, networks)
