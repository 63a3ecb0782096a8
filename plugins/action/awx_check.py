# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Check what is to be in AWX, and AWX itself, before anything is made; see modules/awx_check.py."""

from __future__ import annotations

from typing import Any, Optional

from ansible.plugins.action import ActionBase

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.awx.api import look, sender, settings
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.awx.definition import mistakes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.awx.surveys import read_surveys
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count

ARGUMENTS: dict[str, dict[str, Any]] = {
    "host": {"type": "str", "required": True},
    "token": {"type": "str", "required": True, "no_log": True},
    "validate_certs": {"type": "bool", "default": True},
    "absent": {"type": "bool", "default": False},
    "definition": {"type": "dict", "required": True},
}


class ActionModule(ActionBase):
    """A definition in; all that stands against it, or the surveys and whether the organization is there, out."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _checked, options = self.validate_argument_spec(argument_spec=ARGUMENTS)
        found = options["definition"]
        try:
            tiers = declaration.read(task_vars or {}, self._templar).outline.tiers
            surveys = {} if options["absent"] else read_surveys(found["surveys"], tiers)
            wrong = list(settings(options["host"], options["token"]))
            wrong += [] if options["absent"] else mistakes(found, surveys)
            if wrong:
                raise Refused(wrong)
            send = sender(options["host"], options["token"], validate_certs=options["validate_certs"])
            known = look(send, found, write=not self._task.check_mode, absent=options["absent"])
        except Refused as error:
            problems = count(len(error.mistakes), "problem")
            result.update(failed=True, msg=f"AWX is not set up: {problems}; nothing was made.\n{error}")
            return result
        result.update(changed=False, surveys=surveys, **{**known._asdict(), "gone": known.gone._asdict()})
        return result
