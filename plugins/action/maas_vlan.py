# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the module where something changes; see modules/maas_vlan.py.

The host is first asked for the region's lists, by a module that only reads; where they are as they should be, that is the
answer. Otherwise the module reads and compares for itself, and changes the region.
"""

from __future__ import annotations

from typing import Any, Optional

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.region import unchanged
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.task import ARGUMENTS, ReadingFailed, asking
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import HostAction, shown


class ActionModule(HostAction):
    """One trip to the host where nothing changes."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        if self._task.async_val:  # the task is to have a job, whatever comes of it
            return super().run(tmp, task_vars)
        result: dict[str, Any] = ActionBase.run(self, tmp, task_vars)
        try:
            _dummy, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
            found = unchanged(asking(self._execute_module, options, task_vars), options)
        except AnsibleActionFail:  # the module says what is wrong with its arguments
            found = None
        except ReadingFailed as failure:
            result.update({"changed": False, "operations": [], "errors": [str(failure)], **failure.said})
            return shown(result)
        if found is None:
            return super().run(tmp, task_vars)
        answer, warnings = found
        result.update(answer, **({"warnings": warnings} if warnings else {}))
        return shown(result)
