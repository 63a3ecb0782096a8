# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Between Ansible and the ruleset: parameters in, return values out, mistakes as one message."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ruleset import check_input, converge


class RulesetModule(AnsibleModule):
    """``rules``, ``docker`` and ``default`` are raw to Ansible: it would make text of numbers and lists before they can be
    checked, and stop at the first mistake without saying in which rule it is."""

    validated = False

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.validated = True

    def fail_json(self, msg: str, **kwargs: Any) -> None:
        """Fail; where Ansible itself refuses an argument, with every mistake of the lists too."""
        if not self.validated and isinstance(getattr(self, "params", None), dict):
            msg = "\n".join([msg, *(str(mistake) for mistake in check_input(self.params))])
        super().fail_json(msg=msg, **kwargs)


def run_ruleset(argument_spec: dict[str, Any]) -> None:
    """The module ufw_ruleset."""
    module = RulesetModule(argument_spec=argument_spec, supports_check_mode=True)
    result: dict[str, Any] = {}
    try:
        result = converge(Host(), module.params, module.check_mode)
    except Refused as error:
        module.fail_json(msg=str(error), errors=error.errors)
    except RulesetError as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)
