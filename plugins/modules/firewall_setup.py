#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host needs for its rules, and whether these are as they should be, in one trip."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import now, read_text
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.netfilter import read_netfilter
from ansible_collections.bulkhead.tiers.plugins.module_utils.patience import LATE, Patience
from ansible_collections.bulkhead.tiers.plugins.module_utils.setup.converge import (
    ARGUMENTS,
    FILE,
    compare,
    converge,
    is_as_wished,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.setup.files import Refusal
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ruleset import plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import CHANGE
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.task import ARGUMENTS as RULESET


def main() -> None:
    spec = {
        **ARGUMENTS,
        "ruleset": {"type": "dict", "required": True},
        "look": {"type": "bool", "default": False},
        "after": {"type": "list", "elements": "dict", "default": [], "options": FILE},
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    if module.params["look"]:
        for note in wait_for_others(Host()):
            module.warn(note)
        module.exit_json(changed=False, netfilter=read_netfilter(module), setup=looked(module))
    try:
        module.exit_json(**setup(module, module.check_mode))
    except Refusal as refusal:
        module.fail_json(msg=str(refusal))


def wait_for_others(host: Host) -> list[str]:
    """What a change lets through that waits for its confirmation is no state to judge another one by; ufw_ruleset waits for it
    as well. Warnings. A file that is not understood is for that to say."""

    def state(_token: str) -> str:
        return "waiting" if host.exists(CHANGE) else ""

    patience = Patience(lambda change: change.deadline + LATE <= now(), state)
    with contextlib.suppress(AttributeError, OSError, TypeError, ValueError):
        while patience.waits_for(SimpleNamespace(**json.loads(read_text(host.path(CHANGE))))):
            patience.pause()
    return patience.said()


def setup(module: AnsibleModule, check_mode: bool) -> dict[str, Any]:
    """What the host needs, seen to where this is no check mode, and what it says of what comes later. Raises Refusal."""
    result = converge(module, check_mode)
    written = all(is_as_wished(wish, *compare(wish)) for wish in module.params["after"])
    # Packages that are missing come first; then the module is asked once more.
    return {**result, "after": written, "ruleset": None if result["missing"] else ruleset(module)}


def looked(module: AnsibleModule) -> Optional[dict[str, Any]]:
    """The same, and nothing is changed; None where it fails, which the task that does it says with its reason."""
    try:
        return setup(module, True)
    except Refusal:
        return None


def ruleset(module: AnsibleModule) -> Optional[dict[str, Any]]:
    """What ufw_ruleset_plan answers; None where it fails. The task of ufw_ruleset finds out then, and says why."""
    found = ArgumentSpecValidator(RULESET).validate(module.params["ruleset"])
    if found.error_messages:
        return None
    try:
        return plan(Host(), found.validated_parameters, module.check_mode)
    except (Refused, RulesetError):
        return None


if __name__ == "__main__":
    main()
