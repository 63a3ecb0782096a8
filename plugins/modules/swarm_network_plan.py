#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the networks of a Docker Engine are as they should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import Engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.compare import compare, result
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.task import run_networks


def plan(open_engine: Callable[[], Engine], params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """What a run returns in check mode; without it nothing is said to have changed."""
    found = compare(open_engine, params, check_mode)
    answer = result(found.plan, found.networks)
    return {**answer, "changed": check_mode and answer["changed"], "same": found.plan.empty}


def main() -> None:
    """Entry point of the module."""
    run_networks(plan, Engine)


if __name__ == "__main__":
    main()
