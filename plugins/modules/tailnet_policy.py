#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.arguments import (
    RULES,
    connection,
    control,
    failure,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.run import KEPT, Wish, ensure
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.transport import ControlError


def main() -> None:
    options = {
        **connection(),
        "policy": {"type": "dict"},
        "text": {"type": "json"},
        "merge": {"type": "list", "elements": "str", "default": list(KEPT)},
        "allow_all": {"type": "bool", "default": False},
        "force": {"type": "bool", "default": False},
        "if_match": {"type": "str", "default": ""},
    }
    exclusive = [*RULES["mutually_exclusive"], ("policy", "text")]
    needed = [*RULES["required_one_of"], ("policy", "text")]
    rules = {**RULES, "mutually_exclusive": exclusive, "required_one_of": needed}
    module = AnsibleModule(argument_spec=options, supports_check_mode=True, **rules)
    wanted = {name: module.params[name] for name in ("dialect", "policy", "text", "allow_all", "force", "if_match")}
    try:
        server = control(module.params, module.warn)
        result = ensure(server, Wish(merge=tuple(module.params["merge"]), **wanted), module.check_mode, module.warn)
    except (Refused, ControlError) as error:
        module.fail_json(**failure(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
