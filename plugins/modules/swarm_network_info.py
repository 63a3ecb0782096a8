#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_network_info
short_description: List the networks of a Docker Engine with their subnets, users and overlaps
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Reads every network that the engine knows, what uses each of them, the pools that the engine and its swarm take
    subnets from, and which networks overlap.
  - On a manager these are all overlays of the swarm; another node knows only those that it takes part in.
extends_documentation_fragment:
  - bulkhead.tiers.docker
  - bulkhead.tiers.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
  platform:
    platforms: posix
options:
  names:
    description:
      - The names of the networks to return. Without it all are returned.
    type: list
    elements: str
seealso:
  - module: bulkhead.tiers.swarm_network
"""

EXAMPLES = r"""
- name: Read the networks of this host
  bulkhead.tiers.swarm_network_info:
  register: engine

- name: Show those that overlap
  ansible.builtin.debug:
    var: engine.conflicts
"""

RETURN = r"""
node:
  description: The engine's host and its place in a swarm.
  returned: success
  type: dict
  contains:
    name:
      description: The host's name as the engine knows it.
      type: str
    role:
      description:
        - V(manager), V(worker), V(leaderless) (a manager whose swarm has lost its quorum), V(inactive) (in no swarm),
          V(locked), V(pending) or V(error).
      type: str
    detail:
      description: What the engine says about it, for example the swarm's error, or a worker's managers.
      type: str
    engine:
      description: The engine's version.
      type: str
networks:
  description: The networks, sorted by name.
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
    driver:
      description: The driver; empty for an overlay that the swarm has not allocated.
      type: str
    scope:
      description: V(swarm) or V(local).
      type: str
    pending:
      description: Whether this is an overlay that the swarm has not given its subnet.
      type: bool
    subnets:
      description: The subnets as CIDRs.
      type: list
      elements: str
    gateways:
      description: The gateway of each subnet, in the same order.
      type: list
      elements: str
    ip_ranges:
      description: The ranges that containers get their addresses from, where one was set.
      type: list
      elements: str
    enable_ipv4:
      description: Whether the network has IPv4.
      type: bool
    enable_ipv6:
      description: Whether the network has IPv6.
      type: bool
    internal:
      description: Whether the network has no way out.
      type: bool
    attachable:
      description: Whether any container may join the overlay.
      type: bool
    encrypted:
      description: Whether the overlay is encrypted.
      type: bool
    mtu:
      description: The MTU in bytes; null where none was set.
      type: int
    options:
      description: The other driver options, without what the engine filled in.
      type: dict
    labels:
      description: The labels without the ownership label.
      type: dict
    managed:
      description: Whether the network carries the ownership label.
      type: bool
    users:
      description:
        - The containers of this host, running or not, that use the network, and on a manager the services and the
          containers of other nodes that were attached by hand.
      type: list
      elements: str
      sample: [container redis, "container 27314dea5385 on swarm3", service shop_api]
    used:
      description:
        - How many IPv4 addresses are in use. For an overlay these are those of tasks, of containers attached by hand and
          of services, and one for each node that takes part; null where this is no manager.
      type: int
    usable:
      description: How many IPv4 addresses there are, without the gateway; null where the network has no subnet.
      type: int
    stack:
      description: The stack that made the network; null for all others.
      type: str
    orphan:
      description: Whether the stack that made the network has no service any more. Only a manager knows.
      type: bool
    addresses:
      description: The addresses of the containers that run on this host, by container name.
      type: dict
      sample: {redis: [172.20.0.12]}
pools:
  description: The pools that subnets are taken from where none is given.
  returned: success
  type: dict
  contains:
    engine:
      description: The engine's C(default-address-pools), as C(base) and C(size); empty for Docker's built-in ones.
      type: list
      elements: dict
    swarm:
      description: The swarm's default address pools, as C(base) and C(size); known to managers.
      type: list
      elements: dict
conflicts:
  description: The pairs of networks that overlap, one text each.
  returned: success
  type: list
  elements: str
  sample: ["'bridge' with 172.17.0.0/16 and 'shop' with 172.17.5.0/24"]
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import (
    CONNECTION_ARGUMENTS,
    CONNECTION_TOGETHER,
    connect,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.inventory import take_inventory


def main() -> None:
    module = AnsibleModule(
        argument_spec={**CONNECTION_ARGUMENTS, "names": {"type": "list", "elements": "str"}},
        required_together=CONNECTION_TOGETHER,
        supports_check_mode=True,
    )
    try:
        result = take_inventory(connect(module.params), module.params["names"])
    except Failure as failure:
        module.fail_json(**failure.report())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
