#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host's UFW ruleset is as it should be."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ruleset import look
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.task import run_ruleset


def plan(host: Host, params: dict[str, Any], check_mode: bool) -> dict[str, Any]:
    """What a run that changes nothing returns, or that it is none."""
    found = look(host, params, check_mode)
    return {"changed": False, "same": False} if found is None else {**found, "same": True}


def main() -> None:
    """Entry point of the module."""
    run_ruleset(plan)


if __name__ == "__main__":
    main()
