#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.arguments import (
    RULES,
    connection,
    control,
    failure,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.standing import inform
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.transport import ControlError


def main() -> None:
    module = AnsibleModule(argument_spec=connection(), supports_check_mode=True, **RULES)
    try:
        result = inform(control(module.params, module.warn), module.params["dialect"])
    except ControlError as error:
        module.fail_json(**failure(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
