#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.daemon_apply import configure
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.daemon_host import EngineTrouble
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "default": {}},
            "allow_loss": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    # What is said is compared, in whatever language the host speaks.
    module.run_command_environ_update = {"LC_ALL": "C"}
    try:
        result = configure(module.run_command, module.params, module.check_mode, module.backup_local)
    except Refused as refused:
        module.fail_json(msg=str(refused), errors=refused.errors)
    except EngineTrouble as trouble:
        module.fail_json(msg=str(trouble))
    for note in result["notes"]:
        module.warn(note)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
