# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Between Ansible and the ruleset: parameters in, return values out, mistakes as one message."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from .docker import check_docker
from .errors import InputErrors, RulesetError
from .files import Host
from .parse import check_rules
from .ruleset import converge, inform


class RulesetModule(AnsibleModule):
    """Ansible's validation stops at the first wrong suboption and does not say of which rule: the parser says both."""

    def _load_params(self) -> None:
        super()._load_params()
        # As they came: validation drops what it cannot convert, and the index would be wrong.
        self.raw_rules = self.params.get("rules")
        self.raw_docker = self.params.get("docker")
        self.validating = True

    def fail_json(self, msg: str, **kwargs: Any) -> None:
        """Fail; while the arguments are validated, with every mistake of the rules if there is one."""
        mistakes: list[str] = []
        if self.validating:
            mistakes += check_rules(self.raw_rules) if self.raw_rules is not None else []
            mistakes += check_docker(self.raw_docker) if self.raw_docker is not None else []
        super().fail_json(msg="\n".join(mistakes) or msg, **kwargs)


def run_ruleset(argument_spec: dict[str, Any]) -> None:
    """The module ufw_ruleset."""
    module = RulesetModule(argument_spec=argument_spec, supports_check_mode=True)
    module.validating = False
    try:
        result = converge(Host(), module.params, module.check_mode)
    except InputErrors as error:
        module.fail_json(msg=str(error), errors=error.errors)
    except RulesetError as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


def run_info() -> None:
    """The module ufw_ruleset_info."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    try:
        module.exit_json(changed=False, **inform(Host()))
    except RulesetError as error:
        module.fail_json(msg=str(error))
