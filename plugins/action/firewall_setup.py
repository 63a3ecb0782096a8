# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""As host_setup; what the host says of its ruleset, and of files that come after it, is kept for the tasks that see to them;
see modules/firewall_setup.py."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.action.host_setup import ActionModule as Setup
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall import ahead


class ActionModule(Setup):
    """One trip to a host that has everything, and none for its ruleset where that is as it should be."""

    LOOKS = "bulkhead.tiers.firewall_setup"

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        ruleset, after = result.pop("ruleset", None), result.pop("after", False)
        if not result.get("failed"):
            ahead.keep_setup(self._task, task_vars or {}, self._task.args, ruleset, after)
        return result
