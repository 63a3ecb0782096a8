# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the arguments, and run the module, or flow_listen where a listener is to start; see modules/flow_probe.py."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.modules.flow_listen import LISTEN
from ansible_collections.bulkhead.tiers.plugins.modules.flow_probe import ARGUMENTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.arguments import mistakes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import shown

PROBE, LISTENER = "bulkhead.tiers.flow_probe", "bulkhead.tiers.flow_listen"


class ActionModule(ActionBase):
    """One module on the host, with what its step needs."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _spec: dict[str, Any] = {"argument_spec": ARGUMENTS, "required_if": [("mode", "listen", ["name", "key"])]}

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _dummy, options = self.validate_argument_spec(**self._spec)
        wrong = list(mistakes(options))
        if wrong:
            return {**result, "failed": True, "msg": str(Refused(wrong))}
        listens = options.get("mode", "listen") == "listen"
        module = LISTENER if listens else PROBE
        given = {
            name: value for name, value in options.items() if value is not None and (not listens or name in LISTEN)
        }
        result.update(self._execute_module(module_name=module, module_args=given, task_vars=task_vars))
        return shown(result)
