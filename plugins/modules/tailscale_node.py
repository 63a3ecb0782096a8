#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.arguments import ARGUMENTS
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.converge import Run
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.task import asking, run
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.wanted import parse


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    run(module, lambda api: Run(parse(module.params), api, asking(module)).converge(module.check_mode))


if __name__ == "__main__":
    main()
