# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have a host read its firewall, and say what that means; see modules/ufw_ruleset_info.py."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.snapshot import ARGUMENTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.inform import inform
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import shown

MODULE = "bulkhead.tiers.ufw_ruleset_info"


class ModuleFailed(Exception):
    """The module's own answer is the answer."""


class ActionModule(ActionBase):
    """One trip, or a second one where the first did not read enough."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _dummy, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        said: dict[str, Any] = {}

        def ask(depth: str) -> Any:
            arguments = {"findings": options["findings"], "depth": depth, "netfilter": options["netfilter"]}
            said.update(self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars))
            if said.get("failed") or said.get("unreachable"):
                raise ModuleFailed
            return said.pop("snapshot", None)

        try:
            answer = inform(ask, options["findings"], options["depth"])
        except ModuleFailed:
            result.update(said)
        except RulesetError as error:
            result.update(failed=True, msg=printable(error, 2000))
        else:
            notes = [*said.get("warnings", []), *map(printable, answer.pop("notes"))]
            result.update(said, **answer, changed=False, **({"warnings": notes} if notes else {}))
        return shown(result)
