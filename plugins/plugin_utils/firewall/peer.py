# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A task of community.general.ufw with nothing but the module's name changed: the line that does the same here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake

#: The options of ufw_ruleset (ufw/task.py). A task that has no other is not looked at any further.
OWN = frozenset(
    (
        "state",
        "default",
        "logging",
        "ipv6",
        "purge",
        "rules",
        "keep",
        "docker",
        "nat",
        "confirm",
        "accept_lockout",
        "flush_established",
        "ways",
        "through",
    )
)
_DIRECTIONS = {"in": "incoming", "out": "outgoing"}
_STATES = {
    "reloaded": "leave it away: every run compares the kernel with the files, and repairs what differs without a reload",
    "reset": "write purge: true, rules: [], and the policies in default",
}


def check_peer(params: Mapping[str, Any]) -> list[Mistake]:
    """What a task of community.general.ufw has beside its rule or in the place of one, and how the same is written here."""
    if OWN.issuperset(params) and params.get("state") not in _STATES and not isinstance(params.get("default"), str):
        return []
    # Each host of each run comes here, and would import the parser of rules, two thirds of what the task imports.
    from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import RuleFields

    mistakes: list[Mistake] = []
    # What community.general.ufw has at the top of a task.
    of_a_rule = frozenset((*RuleFields.options, *RuleFields.aliases))
    one = {key: value for key, value in params.items() if key in of_a_rule and value is not None}
    way = one.get("direction", "incoming")
    policy = params.get("policy", None if "rule" in one else params.get("default"))
    if policy is not None and "rule" not in one and (one or "policy" in params):
        line = _flow({"default": {_DIRECTIONS.get(way, way): policy}})
        mistakes.append(
            Mistake("default", _flow(one) or _flow({"policy": policy}), "a policy of each direction", f"write {line}")
        )
    elif one:
        rules = _flow({"rules": [one]})
        mistakes.append(Mistake("rules", "a rule's options beside it", "a list of rules", f"write {rules}"))
    for key in ("insert", "insert_relative_to"):
        if key in params:
            remedy = RuleFields.elsewhere[key]
            mistakes.append(Mistake(key, repr(params[key]), "position: first in a rule", remedy))
    if params.get("state") in _STATES:
        mistakes.append(Mistake("state", params["state"], "enabled or disabled", _STATES[params["state"]]))
    return mistakes


def _flow(value: Any) -> str:
    """A value as YAML of one line, without the outer brackets of a mapping."""
    if isinstance(value, dict):
        return ", ".join(
            f"{key}: {{{_flow(each)}}}" if isinstance(each, dict) else f"{key}: {_flow(each)}"
            for key, each in value.items()
        )
    if isinstance(value, list):
        return (
            "[" + ", ".join("{" + _flow(each) + "}" if isinstance(each, dict) else _flow(each) for each in value) + "]"
        )
    text = str(value)
    return (
        text
        if isinstance(value, str) and text.replace(".", "").replace("_", "").isalpha()
        else json.dumps(value, default=str)
    )
