#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import (
    CONNECTION_ARGUMENTS,
    CONNECTION_TOGETHER,
    connect,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.arguments import LINT_ARGUMENTS
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.running import lint_running


def main() -> None:
    # The action has read the files: what is left for the host is its engine.
    module = AnsibleModule(
        argument_spec={**CONNECTION_ARGUMENTS, **LINT_ARGUMENTS},
        required_together=CONNECTION_TOGETHER,
        supports_check_mode=True,
    )
    try:
        said = lint_running(module.params, connect(module.params))
    except Failure as failure:
        module.fail_json(**failure.report())
    except Refused as refused:
        module.fail_json(msg=str(refused), errors=refused.errors)
    module.exit_json(changed=False, **said)


if __name__ == "__main__":
    main()
