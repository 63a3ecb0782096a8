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
options:
  networks:
    description:
      - The networks.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The name. Overlays take letters, digits, C(-) and C(_), at most 63; bridges take C(.) too.
          - The engine's own networks (C(bridge), C(host), C(none), C(ingress), C(docker_gwbridge)) are refused.
        type: str
        required: true
      state:
        description:
          - V(present) makes sure that the network is there and as stated.
          - V(absent) removes it, whether this collection created it or not. A network that a service or a container of any node uses is not
            removed, and neither is one that a stopped container of this node needs for its next start; the error names
            them.
        type: str
        choices: [present, absent]
        default: present
      driver:
        description:
          - V(overlay) for a network of the swarm, which only a manager can create, or V(bridge) for one of this host.
          - A present network is an V(overlay) unless it says V(bridge). With O(networks[].state=absent) any driver is
            meant, unless one is given.
        type: str
      subnet:
        description:
          - The subnets as CIDRs. A bridge has one IPv4 subnet and at most one IPv6 subnet; an overlay may have more.
          - Without it the engine takes one from its own pools, which know nothing of the site's VLANs.
        type: list
        elements: str
      gateway:
        description:
          - The gateway's address, one for each subnet at most. Subnets without one get their first address.
          - An empty list asks for the first address everywhere.
        type: list
        elements: str
      ip_range:
        description:
          - The part of a subnet that containers get their addresses from, as a CIDR, one for each subnet at most.
          - An empty list asks for the whole subnet.
        type: list
        elements: str
      enable_ipv4:
        description:
          - Whether the network has IPv4. V(false) makes a bridge with IPv6 alone, which Engine 28 and newer can.
          - With O(networks[].subnet) its subnets say it, but for V(false).
        type: bool
      enable_ipv6:
        description:
          - Whether the network has IPv6. With O(networks[].subnet) its subnets say it. Without it V(true) asks for an
            IPv6 subnet of the engine's own pool, which Engine 27 and newer have.
        type: bool
      internal:
        description:
          - Whether the network has no way out of the host.
        type: bool
      attachable:
        description:
          - Whether containers that are no service tasks may join the overlay.
        type: bool
      encrypted:
        description:
          - Whether the overlay's traffic between the hosts is encrypted (IPsec).
        type: bool
      mtu:
        description:
          - The MTU of the network's interfaces in bytes, 68 (1280 with IPv6) to 65535. An overlay needs 50 bytes less
            than its underlay for VXLAN, an encrypted one still less.
          - The same as C(com.docker.network.driver.mtu) in O(networks[].options).
        type: int
      labels:
        description:
          - The complete labels, but for the ownership label. An empty mapping asks for none.
        type: dict
      options:
        description:
          - The complete driver options, but for O(networks[].encrypted). An empty mapping asks for none.
          - Options that the daemon's C(default-network-opts) adds to every network must be stated here as well, or this
            option be left out.
        type: dict
  purge:
    description:
      - Whether to remove the networks that carry the ownership label and are not in O(networks). On a node that is no
        manager this concerns its own bridges alone.
    type: bool
    default: false
  recreate:
    description:
      - What to do with a network that is not as stated.
      - V(never) fails and says how it differs.
      - V(if_unused) removes it and makes it again, taking over what O(networks) leaves open; it fails where a service
        or a container uses the network. From then on the network carries the ownership label.
      - V(migrate) does the same where nothing uses the network. Otherwise everything on it moves to a temporary network
        and, once the network is made again, back. Each gets the next network before it leaves the last one, so that all
        can reach each other at every moment. Services are updated four times, each time at the pace of their own
        C(update_config), with their aliases; a service of more than one replica that has a health check serves on.
        Containers that are attached by hand are connected and disconnected with their aliases, links and addresses; they
        lose their MAC address, their address for the time between, and addresses outside of the new subnet.
      - Networks are migrated one at a time, in the order of O(networks). It refuses, before anything is touched, services
        that are jobs, that have a failed update or that lack running tasks, and containers of other nodes that are
        attached by hand.
      - A migration that was interrupted is finished by the next run with V(migrate); the error says where it stands. The
        temporary network, V(NAME-moving), carries the label C(bulkhead.tiers.migrates).
    type: str
    choices: [never, if_unused, migrate]
    default: never
  temporary_subnet:
    description:
      - The subnets of the temporary networks of O(recreate=migrate), as CIDRs. Networks that are migrated in one call use
        them one after the other.
      - Without it the swarm (for a bridge, the engine) takes one from its own pool.
    type: list
    elements: str
  wait_timeout:
    description:
      - How many seconds a removal may wait until the tasks of services that are just going away have ended.
      - In a migration also how many seconds each task of a rolling update may take, beside the update's own delay and
        monitoring time and the service's stop grace period.
    type: int
    default: 60
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

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import (
    CONNECTION_ARGUMENTS,
    CONNECTION_TOGETHER,
    connect,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.request import NETWORK_ARGUMENTS


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_ARGUMENTS,
            "networks": {"type": "list", "elements": "dict", "default": [], "options": NETWORK_ARGUMENTS},
            "purge": {"type": "bool", "default": False},
            "recreate": {"type": "str", "choices": ["never", "if_unused", "migrate"], "default": "never"},
            "temporary_subnet": {"type": "list", "elements": "str"},
            "wait_timeout": {"type": "int", "default": 60},
        },
        required_together=CONNECTION_TOGETHER,
        supports_check_mode=True,
    )
    try:
        result = converge(lambda: connect(module.params), module.params, module.check_mode)
    except Failure as failure:
        module.fail_json(**failure.report())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
