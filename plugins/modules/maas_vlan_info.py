#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
module: maas_vlan_info
short_description: The network tree of a MAAS region, and what has drifted in it
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - Reads the network tree in the form that M(bulkhead.tiers.maas_vlan) takes; applied to the same region it changes
    nothing.
  - Tells what is unsound in the live tree by itself (DHCP that is on without a rack or a range, relays that end
    nowhere) and, where a declared tree is given, how the two differ. MAAS moves subnets by itself, to the VLAN on
    which it sees their traffic.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.info
  - bulkhead.tiers.maas
  - bulkhead.tiers.maas.tree
attributes:
  platform:
    support: full
    platforms: all
notes:
  - The options O(spaces) and O(fabrics) are the declared tree to compare with. Where O(fabrics) is given, RV(tree) is
    cut down to the fabrics that it names.
seealso:
  - module: bulkhead.tiers.maas_vlan
"""

EXAMPLES = r"""
- name: Take over a region that was set up by hand
  bulkhead.tiers.maas_vlan_info:
    url: http://10.0.2.10:5240/MAAS
    api_key: "{{ vault_maas_api_key }}"
  register: live

- name: Fail where the region is no longer as declared
  bulkhead.tiers.maas_vlan_info:
    fabrics: "{{ site_fabrics }}"
  register: live
  failed_when: live.drift | length > 0
"""

RETURN = r"""
tree:
  description: The live tree as the input of M(bulkhead.tiers.maas_vlan).
  returned: success
  type: dict
  contains:
    spaces:
      description: The spaces.
      type: list
      elements: dict
    fabrics:
      description: The fabrics with all that is in them. Descriptions of fabrics and VLANs cannot be read.
      type: list
      elements: dict
drift:
  description: A sentence for each thing that is unsound or not as declared.
  returned: success
  type: list
  elements: str
  sample:
    - "subnet 10.0.2.0/24: is on vlan fabric-0/0, declared on gough/20: MAAS or someone else moved it"
racks:
  description: The rack controllers and the VLAN ids that they have interfaces on.
  returned: success
  type: list
  elements: dict
  sample: [{"hostname": "rack1", "system_id": "abc123", "vids": [0, 20]}]
requests:
  description: How many requests were sent.
  returned: success
  type: dict
  contains:
    reads:
      description: GETs.
      type: int
    writes:
      description: Always 0.
      type: int
errors:
  description: Each reason by itself.
  returned: failure
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.arguments import TREE, client, connection
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import failure, report
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import MaasError


def main() -> None:
    module = AnsibleModule(argument_spec={**connection(), **TREE}, supports_check_mode=True)
    try:
        result = report(client(module.params), module.params)
    except MaasError as error:
        module.fail_json(**failure(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
