# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Between Ansible and the ruleset: parameters in, return values out, mistakes as one message."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import InputErrors, RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import check_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ruleset import converge


class RulesetModule(AnsibleModule):
    """Ansible's validation stops at the first wrong suboption and does not say of which rule: the parser says both. Rules
    do not go through it at all, which takes a fifth of a run that changes nothing of a thousand of them."""

    def __init__(self, **options: Any) -> None:
        self.raw_rules: Any = None
        self.raw_docker: Any = None
        self.validating = True
        super().__init__(**options)
        self.validating = False
        self.params["rules"] = self.raw_rules

    def _load_params(self) -> None:
        super()._load_params()
        self.raw_rules = self.params.pop("rules", None)
        # As it came: validation drops what it cannot convert, and the index would be wrong.
        self.raw_docker = self.params.get("docker")

    def fail_json(self, msg: str, **kwargs: Any) -> None:
        """Fail; while the arguments are validated, with every mistake of the rules and of ``docker`` too."""
        if self.validating:
            from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import check_docker

            published = check_docker(self.raw_docker) if self.raw_docker is not None else []
            mistakes = check_rules(self.raw_rules) if self.raw_rules is not None else []
            msg = "\n".join([*(published or [msg]), *mistakes])
        super().fail_json(msg=msg, **kwargs)


def run_ruleset(argument_spec: dict[str, Any]) -> None:
    """The module ufw_ruleset."""
    module = RulesetModule(argument_spec=argument_spec, supports_check_mode=True)
    try:
        result = converge(Host(), module.params, module.check_mode)
    except InputErrors as error:
        module.fail_json(msg=str(error), errors=error.errors)
    except RulesetError as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)
