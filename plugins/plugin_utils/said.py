# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a module said on its host, before it becomes the result of a task: Ansible prints a result as it is.

A host that was taken over writes what its modules return. Its text must not steer the operator's terminal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Optional

from ansible.plugins.action.normal import ActionModule as NormalAction

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: Texts that Ansible prints outside of a result, as its own words. Their further lines are set in, as no line of Ansible's is.
SPOKEN = ("msg", "warnings", "deprecations", "exception")
#: Levels of a result: what is below them is left out.
DEEPEST = 100


def shown(said: Mapping[str, Any]) -> dict[str, Any]:
    """The same result with every character of its texts visible; line feeds and tabs of a text stay."""
    return {_visible(key): each(value, _set_in if key in SPOKEN else _visible) for key, value in said.items()}


def each(value: Any, make: Callable[[str], str], depth: int = 0) -> Any:
    """The same value with other texts, keys too. Ansible keeps errors and warnings as frozen dataclasses of its own."""
    if isinstance(value, str):
        return make(value)
    if depth > DEEPEST:
        return "nested too deeply"
    if isinstance(value, Mapping):
        return {each(key, _visible, depth + 1): each(item, make, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [each(item, make, depth + 1) for item in value]
    if isinstance(value, tuple):
        return tuple(each(item, make, depth + 1) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
        return dataclasses.replace(value, **{name: each(item, make, depth + 1) for name, item in fields.items()})
    return value


def _visible(text: str) -> str:
    if text.isprintable():
        return text
    lines = (line.split("\t") for line in text.split("\n"))
    return "\n".join("\t".join(printable(part, len(part)) for part in line) for line in lines)


def _set_in(text: str) -> str:
    first, *rest = _visible(text).split("\n")
    return "\n".join([first, *(line if not line or line.startswith(" ") else f"  {line}" for line in rest)])


class HostAction(NormalAction):
    """Runs the module of the task's own name on the host, as Ansible does without an action plugin."""

    def run(self, tmp: Optional[str] = None, task_vars: Optional[dict[str, Any]] = None) -> dict[str, Any]:
        return shown(super().run(tmp, task_vars))
