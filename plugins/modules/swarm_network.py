#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: swarm_network
short_description: Manage overlay and bridge networks of a Docker Engine, many in one call
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Creates, recreates and removes Swarm overlay networks and local bridge networks so that they are exactly what is
    declared.
  - Every field that O(networks) states is compared exactly; a field that it does not state is left as it is.
  - Docker cannot change a network. A difference is therefore an error, unless O(recreate) allows to remove the network
    and to make it again, with or without moving what uses it meanwhile. What the engine fills in by itself (VXLAN ids,
    the IPAM driver, a gateway that was not given) is no difference.
  - All mistakes, in the input and between the input and the engine, are reported at once, before anything is touched.
    Among them are overlaps with any other network of the engine, which Docker itself accepts silently for overlays.
  - Every network that is created gets the label C(bulkhead.tiers.managed=true). Networks that exist without it may be
    managed as well; only O(purge) never touches them.
extends_documentation_fragment:
  - bulkhead.tiers.docker
  - bulkhead.tiers.docker.networks
  - bulkhead.tiers.attributes
attributes:
  check_mode:
    support: full
    details:
      - With O(recreate=migrate) it lists every service and container that a migration would touch.
      - A host that has no engine yet, or no Docker SDK for Python, is taken for an engine without networks, with a warning.
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    platforms: posix
  action:
    description:
      - The action plugin of the same name asks M(bulkhead.tiers.swarm_network_plan) first, which is all where nothing
        changes, and in check mode.
    support: full
seealso:
  - module: bulkhead.tiers.swarm_network_info
  - module: community.docker.docker_network
"""

EXAMPLES = r"""
- name: Have the site's overlays, and nothing else of ours
  bulkhead.tiers.swarm_network:
    networks:
      - name: shop-private
        subnet: 172.30.1.0/24
        internal: true
        attachable: true
        labels: {zone: private}
      - name: shop-public
        subnet: [172.30.2.0/24, "fd00:30:2::/64"]
        gateway: 172.30.2.254
        encrypted: true
        mtu: 1400
    purge: true
  run_once: true

- name: Have a bridge with room for static addresses
  bulkhead.tiers.swarm_network:
    networks:
      - name: vnet-ingress
        driver: bridge
        subnet: 192.168.90.0/24
        ip_range: 192.168.90.128/25

- name: Move an unused network to another subnet
  bulkhead.tiers.swarm_network:
    networks:
      - {name: shop-private, subnet: 172.30.9.0/24}
    recreate: if_unused

- name: Move a network in use to another subnet, and see first what that touches
  bulkhead.tiers.swarm_network:
    networks:
      - {name: shop-private, subnet: 172.30.9.0/24}
    recreate: migrate
    temporary_subnet: [172.30.255.0/24]
  check_mode: true
  diff: true

- name: Remove a network
  bulkhead.tiers.swarm_network:
    networks:
      - {name: shop-old, state: absent}
"""

RETURN = r"""
created:
  description: The names of the networks that were created, or would be in check mode.
  returned: success
  type: list
  elements: str
removed:
  description: The names of the networks that were removed, or would be in check mode.
  returned: success
  type: list
  elements: str
recreated:
  description: The names of the networks that were removed and made again, or would be in check mode.
  returned: success
  type: list
  elements: str
migrated:
  description: The names of the networks whose users were moved to a new one, or would be in check mode.
  returned: success
  type: list
  elements: str
migrations:
  description: What each migration touches, in the order of O(networks).
  returned: success
  type: list
  elements: dict
  contains:
    network:
      description: The network's name.
      type: str
    temporary:
      description: The name of the temporary network.
      type: str
    resumed:
      description: Whether an earlier run began it.
      type: bool
    services:
      description: The services that are updated.
      type: list
      elements: str
    containers:
      description: The containers of this node that are connected and disconnected.
      type: list
      elements: dict
      contains:
        name:
          description: The name.
          type: str
        aliases:
          description: The aliases that it keeps.
          type: list
          elements: str
        addresses:
          description: The addresses that it keeps.
          type: list
          elements: str
        lost:
          description: What it cannot keep.
          type: list
          elements: str
          sample: ["its address 172.30.1.9 until it is back", "its MAC address"]
networks:
  description: The networks that were asked to be present, in the order of O(networks).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: The name.
      type: str
    id:
      description: The id; null for one that check mode would create.
      type: str
    driver:
      description: The driver.
      type: str
    scope:
      description: V(swarm) or V(local).
      type: str
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
      description: Whether the network has IPv6; null for one that check mode would create without saying it.
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
errors:
  description: Every mistake that was found.
  returned: on failure, where the input or its conflict with the engine is the reason
  type: list
  elements: str
  sample:
    - "networks[2].subnet: got 10.0.0.5/24 with host bits; expected a network address; write 10.0.0.0/24"
"""

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.task import run_networks


def main() -> None:
    """Entry point of the module."""
    run_networks(converge)


if __name__ == "__main__":
    main()
