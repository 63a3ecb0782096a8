# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""swarm_cleanup's way through a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import EngineError, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.leftovers import find_leftovers
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import STACK_LABEL, read_network
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import read_engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.reading import read_users
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.removal import Incomplete, Progress, remove_all
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.writer import Writer
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake


def clean_up(open_engine: Callable[[], Writer], params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """swarm_cleanup's result. ``open_engine``: a function that returns a writer.Writer. Raises errors.Failure."""
    engine = open_engine()
    answers, _info, node = read_engine(engine)
    networks = [read_network(answer) for answer in answers]
    if not node.is_manager:
        raise Refused(
            [
                Mistake(
                    "swarm_cleanup",
                    str(node),
                    "a swarm manager: no other node knows which stacks have services",
                    "run it on a manager",
                )
            ]
        )
    found = find_leftovers(networks, read_users(engine, node), params["declared"], params["stacks"])
    doomed = [leftover.network for leftover in found if leftover.removable] if params["remove"] else []
    if doomed and not check_mode:
        progress = Progress()
        try:
            remove_all(engine, doomed, node, params["wait_timeout"], progress)
        except EngineError as error:
            raise Incomplete(str(error), progress) from error
    return {
        "changed": bool(doomed),
        "removed": [network.name for network in doomed],
        "leftovers": [leftover.describe() for leftover in found],
        "diff": {
            "before": "".join(f"{network.name} of stack {network.labels[STACK_LABEL]}\n" for network in doomed),
            "after": "",
        },
    }
