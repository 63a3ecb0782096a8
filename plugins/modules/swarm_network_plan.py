#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the networks of a Docker Engine are as they should be."""

from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_network_plan
short_description: Whether the networks of a Docker Engine are as they should be
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - >-
    Reads and compares as M(bulkhead.tiers.swarm_network) does, and changes nothing. That module's action plugin asks it
    first: what only a change needs is sent only to hosts on which something changes.
  - Use M(bulkhead.tiers.swarm_network) in check mode to see what would change.
extends_documentation_fragment:
  - bulkhead.tiers.docker
  - bulkhead.tiers.docker.networks
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
attributes:
  platform:
    platforms: posix
seealso:
  - module: bulkhead.tiers.swarm_network
"""

EXAMPLES = r"""
- name: Ask whether these are the networks
  bulkhead.tiers.swarm_network_plan:
    networks:
      - {name: shop-private, subnet: 172.30.1.0/24, internal: true}
  register: networks

- name: Fail where they are not
  ansible.builtin.assert:
    that: networks.same
"""

RETURN = r"""
same:
  description:
    - Whether M(bulkhead.tiers.swarm_network) would change nothing. The answer holds its return values as well, those of
      its check mode.
  type: bool
  returned: success
"""

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
    run_networks(plan)


if __name__ == "__main__":
    main()
