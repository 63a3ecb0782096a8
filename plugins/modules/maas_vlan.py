#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_vlan
short_description: The network tree of a MAAS region in one call
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Brings spaces, fabrics, VLANs, subnets, IP ranges, static routes, DHCP and its relay to the declared state.
  - Three requests read the present tree, up to four more are made only where the declaration cannot be compared
    without them; then one request is sent for each thing that is created, changed or deleted.
  - An option that is not given leaves what is there; an explicit empty one clears it. A list of things is complete
    only where O(purge) names its scope.
  - All of the input is checked first, by itself and against MAAS, and all errors are reported at once before the first
    write.
  - DHCP is turned off before its last pool changes and on again afterwards; racks change in as many steps as MAAS
    needs.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.maas
  - bulkhead.tiers.maas.tree
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  platform:
    support: full
    platforms: all
options:
  purge:
    description:
      - Which lists are complete, so that what they do not name is deleted.
      - V(ranges) and V(static_routes) reach the subnets whose list is given, V(subnets) the VLANs, V(vlans) the
        fabrics; V(fabrics) and V(spaces) reach the whole region.
      - A fabric's default VLAN and MAAS's default fabric are never purged, and a VLAN that holds subnets goes only
        where these are listed elsewhere or V(subnets) is purged too.
    type: list
    elements: str
    choices: [spaces, fabrics, vlans, subnets, ranges, static_routes]
    default: []
  delete_in_use:
    description:
      - Whether a subnet is deleted that is in use, and a VLAN with tagged interfaces on it.
      - MAAS answers C(204) to both and deletes with a subnet the static addresses of machines, reserved addresses, DHCP
        snippets, names in its DNS, and other subnets' routes to it; with a VLAN its tagged interfaces. What would go is
        read and listed, and the run is refused, or with V(true) warned about.
    type: bool
    default: false
seealso:
  - module: bulkhead.tiers.maas_vlan_info
"""

EXAMPLES = r"""
- name: The tiers' VLANs, with DHCP for the provisioning tier
  bulkhead.tiers.maas_vlan:
    url: https://maas.example:5443/MAAS
    api_key: "{{ vault_maas_api_key }}"
    ca_path: /etc/ssl/certs/site-ca.pem
    spaces:
      - name: provisioning
    fabrics:
      - name: gough
        vlans:
          - vid: 10
            name: management
            subnets:
              - cidr: 10.0.1.0/24
                gateway_ip: 10.0.1.1
          - vid: 20
            name: provisioning
            space: provisioning
            dhcp_on: true
            primary_rack: rack1
            subnets:
              - cidr: 10.0.2.0/24
                gateway_ip: 10.0.2.1
                dns_servers: [10.0.2.10]
                ranges:
                  - {type: dynamic, start_ip: 10.0.2.100, end_ip: 10.0.2.200}
                  - {type: reserved, start_ip: 10.0.2.2, end_ip: 10.0.2.20, comment: infrastructure}
    purge: [ranges]

- name: Take a VLAN away; its subnets go to the management VLAN
  bulkhead.tiers.maas_vlan:
    fabrics:
      - name: gough
        vlans:
          - vid: 40
            state: absent
            orphans_to: {vid: 10}
"""

RETURN = r"""
operations:
  description:
    - The writes of the run (of a check, those that a run would make), in their order.
    - After a failure, those that were done.
  returned: always
  type: list
  elements: str
  sample:
    - "create fabric gough: name=gough"
    - "create vlan gough/20: vid=20, name=provisioning"
requests:
  description: How many requests were sent.
  returned: success
  type: dict
  contains:
    reads:
      description: GETs.
      type: int
    writes:
      description: POSTs, PUTs and DELETEs.
      type: int
errors:
  description: Each reason by itself.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.arguments import TREE, client, connection
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import ensure, failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import MaasError
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.wanted import SCOPES


def main() -> None:
    purge = {"type": "list", "elements": "str", "choices": list(SCOPES), "default": []}
    extra = {"purge": purge, "delete_in_use": {"type": "bool", "default": False}}
    module = AnsibleModule(argument_spec={**connection(), **TREE, **extra}, supports_check_mode=True)
    try:
        result, warnings = ensure(client(module.params), module.params, module.check_mode)
    except MaasError as error:
        module.fail_json(**failure(error))
    for warning in warnings:
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
