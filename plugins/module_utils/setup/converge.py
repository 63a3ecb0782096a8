# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What host_setup does on a host: look for packages, then write what differs in files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.setup.blocks import with_block
from ansible_collections.bulkhead.tiers.plugins.module_utils.setup.files import Found, read, write
from ansible_collections.bulkhead.tiers.plugins.module_utils.setup.packages import missing_packages

FILE = {
    "path": {"type": "path", "required": True},
    "block": {"type": "str", "required": True},
    "marker": {"type": "str", "required": True},
    "mode": {"type": "str", "default": "0644"},
    "validate": {"type": "str"},
}
ARGUMENTS = {
    "packages": {"type": "list", "elements": "str", "default": []},
    "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
}


def converge(module: AnsibleModule, check_mode: bool) -> dict[str, Any]:
    """The module's answer. Where packages are missing the files wait for them, but for check mode, in which nothing is
    written. Raises Refusal."""
    module.run_command_environ_update = {"LC_ALL": "C"}
    missing = missing_packages(module.run_command, module.params["packages"])
    result: dict[str, Any] = {"changed": False, "missing": missing, "files": [], "diff": []}
    if missing and not check_mode:
        return result
    for name in missing:
        headers = {"before_header": f"package {name}", "after_header": f"package {name}"}
        result["diff"].append({"before": "", "after": f"package {name}: installed\n", **headers})
    for wish in module.params["files"]:
        before, after = compare(wish)
        if is_as_wished(wish, before, after):
            continue
        result["files"].append(wish["path"])
        headers = {"before_header": wish["path"], "after_header": wish["path"]}
        result["diff"].append({"before": before.text, "after": after, **headers})
        if not check_mode:
            write(module, wish, after)
    result["changed"] = bool(missing or result["files"])
    return result


def compare(wish: Mapping[str, Any]) -> tuple[Found, str]:
    """A file as it is, and its text as it should be. Raises Refusal."""
    before = read(wish["path"])
    return before, with_block(before.text, wish["block"], wish["marker"])


def is_as_wished(wish: Mapping[str, Any], before: Found, after: str) -> bool:
    """Whether nothing is to be written."""
    return (after, int(wish["mode"], 8)) == before
