# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the declared site means for this host, compiled on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
name: host_plan
short_description: What the declared site means for this host
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Compiles the host's part of the site from the C(bulkhead_*) variables and the inventory's groups, on the controller.
  - It is compiled once for a run and for each distinct set of tiers, and asks no host, so that C(--limit) changes nothing.
  - Nothing that a host returned is part of it. Where the host's facts have the name of a variable that decides something
    (a C(bulkhead_*) variable, or one of this collection's roles), it is an error, and the task that asks for the plan is not run.
options:
  _terms:
    description: Nothing, or keys of the plan, one below the other.
    type: list
    elements: str
notes:
  - A site that is wrong is an error here as it is in M(bulkhead.tiers.site).
"""

EXAMPLES = r"""
- name: Apply this host's firewall rules
  bulkhead.tiers.ufw_ruleset:
    default: "{{ lookup('bulkhead.tiers.host_plan', 'default') }}"
    rules: "{{ lookup('bulkhead.tiers.host_plan', 'rules') }}"
    purge: true

- name: Show the address of the Swarm's first manager
  ansible.builtin.debug:
    msg: "{{ lookup('bulkhead.tiers.host_plan', 'swarm', 'managers') }}"
"""

RETURN = r"""
_raw:
  description:
    - One item, the plan or what its keys lead to. All lists are empty for a host of no tier.
    - V(tiers) are the tiers that the host is in, in the order of the declaration. V(gateway) is whether it is a router, V(manager)
      whether it manages the Swarm.
    - V(rules) and V(default) are the firewall's rules and default policies as M(bulkhead.tiers.ufw_ruleset) takes them, V(docker)
      is its option O(bulkhead.tiers.ufw_ruleset#module:docker), V(nat) the one of that name. V(runs_docker) is whether the site has an engine run there.
    - V(roles) are the roles of this collection that C(site.yml) applies to the host.
    - V(networks) are the Docker networks as M(bulkhead.tiers.swarm_network) takes them. V(engine) holds the engine's address
      pools. V(swarm) is what a node needs to make or join the Swarm (V(manager), V(managers), V(tier), V(default_addr_pool),
      V(subnet_size)), empty on a host beside the Swarm's tier.
    - V(vlans) are the tiers as VLANs, as M(bulkhead.tiers.maas_vlan) takes them; V(vlan_interfaces) those that the host itself is in, as
      M(bulkhead.tiers.vlan_interfaces) takes them.
    - V(tailnet) is what the host is on the tailnet (V(control), V(tags), V(routes), V(exit_node), V(ssh), V(accept_routes), V(port),
      V(interface)), null where it is no node of it. V(control) is empty for Tailscale's own.
    - V(stacks) are the stacks that the host deploys, V(stack_lint) is what M(bulkhead.tiers.stack_lint) takes to check all of them.
    - V(site) holds what the whole site declares, V(tiers), V(networks), V(addresses), V(services), V(tailnet) (its control server and dialect).
  type: list
  elements: raw
"""

from collections.abc import Mapping
from typing import Any, Optional

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration


class LookupModule(LookupBase):
    """The host's variables in, its plan out."""

    def run(self, terms: list[str], variables: Optional[Mapping[str, Any]] = None, **kwargs: Any) -> list[Any]:
        self.set_options(var_options=variables, direct=kwargs)
        variables = variables or {}
        try:
            declared = declaration.read(variables, self._templar)
            host = str(variables.get("inventory_hostname", ""))
            found: Any = declared.plan(host, declaration.host_place(declared, variables))
        except Refused as error:
            raise AnsibleLookupError(str(error)) from error
        for depth, key in enumerate(terms):
            if not isinstance(found, Mapping) or key not in found:
                raise AnsibleLookupError(f"host_plan has no {'.'.join(terms[: depth + 1])}")
            found = found[key]
        return [found]
