# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have a host read a region, and say what its tree means; see modules/maas_vlan_info.py."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import MaasError
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.region import report
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.task import ARGUMENTS, ReadingFailed, asking
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import shown


class ActionModule(ActionBase):
    """One trip, or a second one where what is declared would delete something."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        spec = {name: option for name, option in ARGUMENTS.items() if name not in ("purge", "delete_in_use")}
        _dummy, options = self.validate_argument_spec(argument_spec=spec)
        try:
            result.update(report(asking(self._execute_module, options, task_vars), options))
        except ReadingFailed as failure:
            result.update(failure.said)
        except MaasError as error:
            result.update(failed=True, msg=str(error), errors=list(getattr(error, "errors", [str(error)])))
        return shown(result)
