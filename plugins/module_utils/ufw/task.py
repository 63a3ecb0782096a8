# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Between Ansible and the ruleset: parameters in, return values out, mistakes as one message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ruleset import check_input

_WAY = {
    "host": {"type": "str", "required": True},
    "client": {"type": "str", "required": True},
    "server": {"type": "str", "required": True},
    "port": {"type": "int", "required": True},
}
#: The options of doc_fragments/ufw.py.
ARGUMENTS = {
    "state": {"type": "str", "choices": ["enabled", "disabled"], "default": "enabled"},
    "default": {"type": "raw"},
    "logging": {"type": "str", "choices": ["off", "on", "low", "medium", "high", "full"]},
    "ipv6": {"type": "bool"},
    "purge": {"type": "bool", "default": False},
    # Checked by parse.py, which names every mistake by its index and converts nothing silently.
    "rules": {"type": "list", "elements": "raw"},
    "keep": {"type": "raw"},
    "docker": {"type": "raw"},
    "nat": {"type": "raw"},
    "confirm": {
        "type": "dict",
        "options": {"timeout": {"type": "int", "default": 30}, "over": {"type": "str"}},
        "apply_defaults": True,
    },
    "accept_lockout": {"type": "bool", "default": False},
    "flush_established": {"type": "bool", "default": False},
    # The action plugin asks these hosts and hands over what they see, as `through`.
    "ways": {"type": "list", "elements": "str", "default": []},
    "through": {"type": "list", "elements": "dict", "default": [], "options": _WAY},
}


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


def run_ruleset(run: Callable[[Host, dict[str, Any], bool], dict[str, Any]]) -> None:
    """A module with the arguments of ufw_ruleset: what ``run`` returns for the host, the arguments and check mode."""
    module = RulesetModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    result: dict[str, Any] = {}
    try:
        result = run(Host(), module.params, module.check_mode)
    except Refused as error:
        module.fail_json(msg=str(error), errors=error.errors)
    except RulesetError as error:
        module.fail_json(msg=str(error))
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    module.exit_json(**result)
