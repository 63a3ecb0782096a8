# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Between Ansible and an engine's networks: arguments in, return values out, mistakes as one message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import (
    CONNECTION_ARGUMENTS,
    CONNECTION_TOGETHER,
    Engine,
    connect_as,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.request import NETWORK_ARGUMENTS

#: The options of doc_fragments/docker.py.
ARGUMENTS = {
    **CONNECTION_ARGUMENTS,
    "networks": {"type": "list", "elements": "dict", "default": [], "options": NETWORK_ARGUMENTS},
    "purge": {"type": "bool", "default": False},
    "recreate": {"type": "str", "choices": ["never", "if_unused", "migrate"], "default": "never"},
    "temporary_subnet": {"type": "list", "elements": "str"},
    "wait_timeout": {"type": "int", "default": 60},
}


_Kind = TypeVar("_Kind", bound=Engine)


def run_networks(run: Callable[[Callable[[], _Kind], dict[str, Any], bool], dict[str, Any]], kind: type[_Kind]) -> None:
    """A module with the arguments of swarm_network: what ``run`` returns for the engine, the arguments and check mode.

    ``kind``: how the engine is opened, to be read alone or to be changed as well.
    """
    module = AnsibleModule(argument_spec=ARGUMENTS, required_together=CONNECTION_TOGETHER, supports_check_mode=True)
    try:
        result = run(lambda: connect_as(kind, module.params), module.params, module.check_mode)
    except Failure as failure:
        module.fail_json(**failure.report())
    module.exit_json(**result)
