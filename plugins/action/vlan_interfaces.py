# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Have a host's VLAN interfaces be as declared, and keep a change over a new connection only; see modules/vlan_interfaces.yml."""

from __future__ import annotations

import time
from typing import Any

from ansible.errors import AnsibleConnectionFailure

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import said
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.confirming import INSIDE, Confirming, pending_of

MODULE = "bulkhead.tiers.vlan_interfaces"


class ActionModule(Confirming):
    """One trip to the host, and another one over a new connection where something was changed."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_diff = True
    NEW = "state of the VLAN interfaces"
    OLD = "The old interfaces are back."

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """The module's answer."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        transport = self._connection.transport.rpartition(".")[2]
        if transport in INSIDE:
            arguments["confirm"] = {"timeout": 0}
        try:
            answer = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            raise AnsibleConnectionFailure(
                "The connection broke while the VLAN interfaces were changed; the host takes the change back by itself within the "
                f"timeout of the confirmation: {error}"
            ) from error
        result.update(said.shown(answer))
        told = result.pop("pending", None)
        if result.get("failed"):
            return result
        if told is None:
            result["confirmation"] = self._why_not(result, transport)
            return result
        pending = pending_of(told, arguments)
        if pending is None:
            text = f"The host says of its pending change {printable(told)}: no such change was asked for"
            result.update(failed=True, msg=text)
            return result
        self._confirm(result, pending, time.monotonic() + pending["timeout"])
        return result

    def _why_not(self, result: dict[str, Any], transport: str) -> str:
        if self._task.check_mode:
            return "check mode"
        if not result.get("changed"):
            return "nothing to confirm"
        return (
            f"not needed: a connection of the kind {transport} cannot be cut" if transport in INSIDE else "switched off"
        )
