#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The live UFW ruleset of a host."""

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.netfilter import read_netfilter
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.snapshot import ARGUMENTS, take_snapshot


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    try:
        more = read_netfilter(module) if module.params["netfilter"] else {}
        module.exit_json(changed=False, snapshot=take_snapshot(Host(), module.params["depth"]), **more)
    except RulesetError as error:
        module.fail_json(msg=str(error))


if __name__ == "__main__":
    main()
