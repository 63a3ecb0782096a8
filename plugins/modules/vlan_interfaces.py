#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.converge import ARGUMENTS, Converge


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        result = Converge(module.params).converge(module.check_mode)
    except Refused as refused:
        module.fail_json(msg=str(refused), errors=refused.errors)
    for note in result.pop("notes"):
        module.warn(note)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
