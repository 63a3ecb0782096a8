#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.inform import report
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.task import CONNECTION, run


def main() -> None:
    module = AnsibleModule(
        argument_spec={**CONNECTION, "peers": {"type": "bool", "default": True}}, supports_check_mode=True
    )
    run(module, lambda api: report(api, module.params["peers"]))


if __name__ == "__main__":
    main()
