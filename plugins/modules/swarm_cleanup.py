#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.cleanup import clean_up
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import (
    CONNECTION_ARGUMENTS,
    CONNECTION_TOGETHER,
    connect_as,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.writer import Writer


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **CONNECTION_ARGUMENTS,
            "remove": {"type": "bool", "default": False},
            "declared": {"type": "list", "elements": "str", "default": []},
            "stacks": {"type": "list", "elements": "str"},
            "wait_timeout": {"type": "int", "default": 60},
        },
        required_together=CONNECTION_TOGETHER,
        supports_check_mode=True,
    )
    try:
        result = clean_up(lambda: connect_as(Writer, module.params), module.params, module.check_mode)
    except Failure as failure:
        module.fail_json(**failure.report())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
