#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: site
short_description: Check the declared site and say what it means for a host
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Reads every C(bulkhead_*) variable of the host, checks the declaration as a whole and compiles this host's part.
  - All problems are reported at once, each with its key path, what was found, what is expected and what to do.
  - It is quick and the same on every host, so that each play can begin with it.
  - A run with C(--limit) is checked like a whole one.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
  - bulkhead.tiers.attributes.controller
attributes:
  action:
    description: It is an action plugin; no part of it runs on the host.
    support: full
  facts:
    description: It returns a fact, see RV(ansible_facts).
    support: full
options:
  report:
    description:
      - Whether to print the plan of the whole site, and return it as RV(plan).
      - The plan shows the address plan, the matrix of flows, warnings, and the rules of every tier.
    type: bool
    default: false
  declaration:
    description:
      - The variables of the site by name, for instance V(bulkhead_tiers), instead of the host's own.
    type: dict
notes:
  - A host's tiers are those of its groups that are keys of C(bulkhead_tiers). A host of group V(gateway) is a router.
  - An O(declaration) is taken as it is. The host's own variables are templated.
"""

EXAMPLES = r"""
- name: Check the site
  bulkhead.tiers.site:

- name: Apply this host's firewall rules
  bulkhead.tiers.ufw_ruleset:
    default: "{{ ansible_facts['bulkhead_host']['default'] }}"
    rules: "{{ ansible_facts['bulkhead_host']['rules'] }}"
    purge: true

- name: Print the plan of the site
  bulkhead.tiers.site:
    report: true
  run_once: true
"""

RETURN = r"""
ansible_facts:
  description: The host's part of the site.
  returned: success
  type: dict
  contains:
    bulkhead_host:
      description: What the modules and roles of this collection take. All lists are empty for a host of no tier.
      type: dict
      returned: success
      contains:
        tiers:
          description: The tiers that the host is in, in the order of the declaration.
          type: list
          elements: str
          returned: success
          sample: [swarm_workers]
        gateway:
          description: Whether the host is a router between the tiers.
          type: bool
          returned: success
        manager:
          description: Whether the host manages the Swarm.
          type: bool
          returned: success
        rules:
          description: The firewall rules of the host as M(bulkhead.tiers.ufw_ruleset) takes them; the first match wins.
          type: list
          elements: dict
          returned: success
          sample:
            - rule: allow
              proto: tcp
              from_ip: 10.0.1.0/24
              to_ip: 10.0.3.0/24
              to_port: "22"
              comment: "management -> monitoring ssh: administration"
        default:
          description: The default policies that the rules are written for.
          type: dict
          returned: success
          sample: {incoming: deny, outgoing: allow, routed: deny}
        vlans:
          description: The tiers as VLANs of a fabric, as M(bulkhead.tiers.maas_vlan) takes them.
          type: list
          elements: dict
          returned: success
        networks:
          description: >-
            The Docker networks that the host must have, as M(bulkhead.tiers.swarm_network) takes them.
            The bridges of its tiers, and on the Swarm's first manager the overlays.
          type: list
          elements: dict
          returned: success
        engine:
          description: The address pools of the Docker Engine, as C(daemon.json) names them.
          type: dict
          returned: success
          sample: {default_address_pools: [{base: 172.28.0.0/16, size: 24}]}
        swarm:
          description: What a node needs to make or join the Swarm. Empty on a host beside the Swarm's tier.
          type: dict
          returned: success
          sample:
            manager: true
            managers: {swarm1: 10.116.0.11}
            tier: swarm_workers
            default_addr_pool: [172.29.0.0/16]
            subnet_size: 24
        stacks:
          description: >-
            The stacks that the host deploys: the Compose stacks of its tiers, and on the Swarm's first manager the Swarm's.
          type: list
          elements: dict
          returned: success
          sample: [{name: shop, kind: swarm, files: [stacks/shop.yml]}]
        stack_lint:
          description: >-
            What M(bulkhead.tiers.stack_lint) takes to check all stacks of the site together, as C(stacks), C(networks),
            C(reserved) and C(require). The same on every host; empty for a site without stacks.
          type: dict
          returned: success
plan:
  description: The plan of the whole site as data.
  returned: when O(report=true)
  type: dict
"""
