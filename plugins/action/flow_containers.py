# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check the arguments, and run the module; see modules/flow_containers.py. What the host says is made fit for a terminal."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.modules.flow_containers import ARGUMENTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.arguments import mistakes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import HostAction


class ActionModule(HostAction):
    """One step in the containers of a host."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        _dummy, options = self.validate_argument_spec(
            argument_spec=ARGUMENTS, required_if=[("mode", "listen", ["name", "key"])]
        )
        wrong = list(mistakes(options))
        if wrong:
            return {"failed": True, "msg": str(Refused(wrong))}
        result: dict[str, Any] = super().run(tmp, task_vars)
        return result
