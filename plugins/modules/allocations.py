#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

DOCUMENTATION = r"""
module: allocations
short_description: Pin newly allocated subnets in the inventory
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - A network of C(bulkhead_networks) that gives a C(size) gets its subnet from a pool. This writes every such subnet
    that is not pinned yet into C(bulkhead_allocations), so that it never moves again, whatever is declared later.
  - With O(live) it knows what lives on the hosts. A network of C(bulkhead_networks) that lives in its pool already, with
    its size and the same subnet on every host, is pinned where it is; no other one gets addresses of a live network,
      declared or not.
  - It touches one file, adds lines to it, and keeps all others, comments included.
  - It refuses where the inventory has C(bulkhead_allocations) from another file as well, because one of them would
    hide the other.
  - The playbook C(bulkhead.tiers.allocate) calls it.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.controller
attributes:
  action:
    description: It is an action plugin; no part of it runs on the host.
    support: full
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  path:
    description:
      - The file. Without it C(group_vars/all/allocations.yml) beside the first source of the inventory.
    type: path
  live:
    description:
      - The name of the variable in which every host of the play registered the result of
        M(bulkhead.tiers.swarm_network_info). A host whose task was skipped has no networks; where one failed or was not
        reached, nothing is pinned.
      - Without it the declaration alone decides.
    type: str
seealso:
  - module: bulkhead.tiers.swarm_network_info
"""

EXAMPLES = r"""
- name: Read the networks of the hosts
  bulkhead.tiers.swarm_network_info:
  register: live

- name: Pin new subnets beside them
  bulkhead.tiers.allocations:
    live: live
  run_once: true
"""

RETURN = r"""
pinned:
  description: The new pins, network to subnet; also what check mode would pin.
  returned: success
  type: dict
  sample: {apps-private: 172.30.0.0/24}
path:
  description: The file.
  returned: success
  type: str
  sample: /srv/site/inventories/lab/group_vars/all/allocations.yml
"""
