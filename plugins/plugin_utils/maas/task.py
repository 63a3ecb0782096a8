# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the actions of the two modules share: the arguments read on the controller, and the host that reads its region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleError

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.arguments import TREE, connection
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.wanted import PURGE
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.region import Ask

READ = "bulkhead.tiers.maas_vlan_info"
#: The options of the connection are the host's: only there are their defaults, its environment among them, known.
ARGUMENTS = {
    **{name: {"type": "raw", "no_log": name == "api_key"} for name in connection()},
    **TREE,
    **PURGE,
}


class ReadingFailed(AnsibleError):
    """The host could not read its region; `said` is what its module returned."""

    def __init__(self, said: Mapping[str, Any]) -> None:
        super().__init__(str(said.get("msg", "")))
        self.said = said


def asking(execute: Callable[..., Mapping[str, Any]], options: Mapping[str, Any], task_vars: Any) -> Ask:
    """Reads lists by way of the module. execute: an action's `_execute_module`. Raises ReadingFailed."""
    given = {name: options[name] for name in connection() if options.get(name) is not None}

    def ask(paths: list[str]) -> tuple[Any, int]:
        said = execute(module_name=READ, module_args={**given, "lists": paths}, task_vars=task_vars)
        if said.get("failed") or said.get("unreachable"):
            raise ReadingFailed(said)
        reads = said.get("reads")
        return said.get("answers"), reads if isinstance(reads, int) and not isinstance(reads, bool) else 0

    return ask
