# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the module where something changes; see modules/swarm_network.py.

The host is asked first whether anything differs, by a module without the code that only a change needs. Its answer is the
answer where nothing changes, and in check mode; otherwise the module reads and compares again.
"""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import HostAction, shown

PLAN = "bulkhead.tiers.swarm_network_plan"


class ActionModule(HostAction):
    """One trip to the host where nothing changes."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        if self._task.async_val:  # the task is to have a job, whatever comes of it
            return super().run(tmp, task_vars)
        result: dict[str, Any] = ActionBase.run(self, tmp, task_vars)
        answer = self._execute_module(module_name=PLAN, module_args=dict(self._task.args), task_vars=task_vars)
        same = answer.pop("same", False)
        if not (same or self._task.check_mode or answer.get("failed")):
            return super().run(tmp, task_vars)
        result.update(shown(answer))
        return result
