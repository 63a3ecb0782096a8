# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the two modules share with Ansible: their arguments, and a result or a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.session import Ask
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import SOCKET, LocalApi

#: Of both modules.
CONNECTION: dict[str, Any] = {
    "socket": {"type": "path", "default": SOCKET},
    "timeout": {"type": "int", "default": 60},
}
#: Seconds of one answer of tailscaled's, which has no more to do than to look up its own state.
_ANSWER = 20.0


def asking(module: AnsibleModule) -> Ask:
    """Commands that only look, in the words of no language."""

    def ask(argv: list[str]) -> tuple[int, str]:
        status, out, _err = module.run_command(argv, environ_update={"LC_ALL": "C"})
        return status, out

    return ask


def run(module: AnsibleModule, work: Callable[[LocalApi], dict[str, Any]]) -> None:
    """Do the work over one connection, and end the module with its result or with every mistake."""
    api = LocalApi(module.params["socket"], min(_ANSWER, float(max(1, module.params["timeout"]))))
    try:
        result = work(api)
    except Refused as refused:
        module.fail_json(
            msg=str(refused), errors=refused.errors, kinds=sorted({one.kind for one in refused.mistakes} - {""})
        )
    finally:
        api.close()
    for warning in result.pop("notes", ()):
        module.warn(warning)
    module.exit_json(**result)
