# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Look at a host once, and have apt install what it lacks; see modules/host_setup.py."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall import ahead
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import shown

MODULE = "bulkhead.tiers.host_setup"
APT = "ansible.builtin.apt"


class ActionModule(ActionBase):
    """One trip to a host that has everything."""

    TRANSFERS_FILES = False
    #: The module that looks and writes.
    LOOKS = MODULE
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        if ahead.take(ahead.question(self._task, task_vars or {}, self._task.args)):
            return {**result, **ahead.NOTHING}
        host = str((task_vars or {}).get("inventory_hostname", "host"))
        first = self._run_module(self.LOOKS, dict(self._task.args), task_vars)
        missing = _asked_for(self._task.args.get("packages"), first.get("missing"))
        if first.get("failed") or not missing or self._task.check_mode:
            return {**result, **first, **_explained(host, first)}
        wish = {"name": missing, "state": "present", "install_recommends": False}
        done = self._run_module(APT, wish, task_vars)
        if done.get("failed"):
            done = self._run_module(APT, {**wish, "update_cache": True}, task_vars)
        if done.get("failed"):
            return {**result, **done, "msg": _without(host, missing, done)}
        second = self._run_module(self.LOOKS, dict(self._task.args), task_vars)
        if second.get("failed"):
            return {**result, **second, "changed": True}
        installed = [
            {
                "before": "",
                "after": f"package {name}: installed\n",
                "before_header": f"package {name}",
                "after_header": f"package {name}",
            }
            for name in missing
        ]
        return {**result, **second, "changed": True, "missing": missing, "diff": [*installed, *_diffs(second)]}

    def _run_module(self, name: str, arguments: dict[str, Any], task_vars: Optional[dict[str, Any]]) -> dict[str, Any]:
        return shown(self._execute_module(module_name=name, module_args=arguments, task_vars=task_vars))


def _asked_for(packages: Any, missing: Any) -> list[str]:
    """The packages of the task that the host says it lacks: a host has nothing installed that the task does not name."""
    names = [name.strip() for name in packages.split(",")] if isinstance(packages, str) else packages or []
    return [name for name in names if isinstance(missing, list) and name in missing]


def _diffs(answer: dict[str, Any]) -> list[Any]:
    found = answer.get("diff", [])
    return found if isinstance(found, list) else [found]


def _explained(host: str, answer: dict[str, Any]) -> dict[str, Any]:
    """The message of a module that was never run: only one that was says how it was called."""
    if not answer.get("failed") or "invocation" in answer:
        return {}
    return {
        "msg": f"{host}: got {answer.get('msg')}; expected a host where tasks run as root; see become with its password, and "
        "ansible_python_interpreter. apt was not asked, and nothing was touched."
    }


def _without(host: str, missing: list[str], answer: dict[str, Any]) -> str:
    """What apt cannot install."""
    names = ", ".join(missing)
    return (
        f"{host}: got no {names} from apt ({answer.get('msg')}); expected Debian or Ubuntu with them installed or an apt "
        "mirror within reach; put them into its image, or open a way to a mirror. Nothing was changed."
    )
