#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.arguments import TREE, client, connection
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.shapes import take
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import MaasError


def main() -> None:
    # What the lists mean is worked out on the controller; see the action plugin.
    lists = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(argument_spec={**connection(), **TREE, "lists": lists}, supports_check_mode=True)
    try:
        region = client(module.params)
        answers = take(region, module.params["lists"])
    except MaasError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, answers=answers, reads=region.sent["GET"])


if __name__ == "__main__":
    main()
