#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_cleanup
short_description: Find and remove the networks that removed stacks left behind
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - C(docker stack rm) leaves a network behind whenever anything is still attached to it at that moment. Dozens gather,
    and each keeps its name and its subnet.
  - Finds the networks of stacks that have no service any more (label C(com.docker.stack.namespace)), and names what
    holds each of them. It removes them only with O(remove=true).
  - Networks that no stack made, that are O(declared), or that carry this collection's ownership label are never removed.
extends_documentation_fragment:
  - bulkhead.tiers.docker
  - bulkhead.tiers.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    platforms: posix
options:
  remove:
    description:
      - Whether to remove what nothing holds. A network that a container uses, running or not, on this node or another
        one, stays and is listed.
    type: bool
    default: false
  declared:
    description:
      - The names of the networks that stay in any case, for instance all that the site declares.
    type: list
    elements: str
    default: []
  stacks:
    description:
      - The stacks to look at. Without it all are.
    type: list
    elements: str
  wait_timeout:
    description:
      - How many seconds a removal may wait until the tasks of services that are just going away have ended.
    type: int
    default: 60
seealso:
  - module: bulkhead.tiers.swarm_network
"""

EXAMPLES = r"""
- name: See what removed stacks left behind
  bulkhead.tiers.swarm_cleanup:
  register: left

- name: Remove it, but for the networks that the site declares
  bulkhead.tiers.swarm_cleanup:
    remove: true
    declared: "{{ bulkhead_networks.keys() | list }}"
"""

RETURN = r"""
leftovers:
  description: The networks of stacks that have no service any more, sorted by name, the removed ones included.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
    id:
      description: The id.
      type: str
    stack:
      description: The stack that made it.
      type: str
    subnets:
      description: The subnets as CIDRs.
      type: list
      elements: str
    removable:
      description: Whether O(remove=true) removes it.
      type: bool
    kept:
      description: Why it stays in any case; empty where it may go.
      type: str
    held_by:
      description: The containers of any node that use it, running or not.
      type: list
      elements: str
      sample: [container debug, "container 27314dea5385 on swarm3"]
    ending:
      description: The tasks of removed services that are still ending; a removal waits for them.
      type: list
      elements: str
removed:
  description: The names of the networks that were removed, or would be in check mode.
  returned: success
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.cleanup import clean_up
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import (
    CONNECTION_ARGUMENTS,
    CONNECTION_TOGETHER,
    connect,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Failure


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_ARGUMENTS,
            "remove": {"type": "bool", "default": False},
            "declared": {"type": "list", "elements": "str", "default": []},
            "stacks": {"type": "list", "elements": "str"},
            "wait_timeout": {"type": "int", "default": 60},
        },
        required_together=CONNECTION_TOGETHER,
        supports_check_mode=True,
    )
    try:
        result = clean_up(lambda: connect(module.params), module.params, module.check_mode)
    except Failure as failure:
        module.fail_json(**failure.report())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
