# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lint stacks: their files on the controller, what runs on the host; see modules/stack_lint.py."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import (
    CONNECTION_ARGUMENTS,
    CONNECTION_TOGETHER,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.arguments import LINT_ARGUMENTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.lint import heard, lint_files, result
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.paths import report_path

MODULE = "bulkhead.tiers.stack_lint"


class ActionModule(ActionBase):
    """The files are read where Ansible runs, which has PyYAML; the module reads the engine where that is."""

    TRANSFERS_FILES = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        said: dict[str, Any] = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(
            argument_spec={**CONNECTION_ARGUMENTS, **LINT_ARGUMENTS}, required_together=CONNECTION_TOGETHER
        )
        try:
            if options["sarif"]:  # better refused now than after all files
                options["sarif"] = report_path(options["sarif"], options["sarif_directory"])
            items = lint_files(options)
            if options["running"]:
                items += heard(self._running(task_vars), (task_vars or {}).get("inventory_hostname", ""))
            said.update(result(items, options, write=not self._task.check_mode))
        except Refused as refused:
            said.update(failed=True, msg=str(refused), errors=refused.errors)
        return said

    def _running(self, task_vars: Optional[dict[str, Any]]) -> dict[str, Any]:
        """The module's result on the host; only there are the defaults of its connection options known."""
        here = ("stacks", "directory", "allowed_directories", "environment", "sarif", "sarif_directory", "fail_on")
        arguments = {name: value for name, value in self._task.args.items() if name not in here}
        answer: dict[str, Any] = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=task_vars)
        return answer
