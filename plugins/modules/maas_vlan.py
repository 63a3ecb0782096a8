#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.arguments import TREE, client, connection
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import ensure, failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import MaasError
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.wanted import PURGE


def main() -> None:
    module = AnsibleModule(argument_spec={**connection(), **TREE, **PURGE}, supports_check_mode=True)
    try:
        result, warnings = ensure(client(module.params), module.params, module.check_mode)
    except MaasError as error:
        module.fail_json(**failure(error))
    for warning in warnings:
        module.warn(warning)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
