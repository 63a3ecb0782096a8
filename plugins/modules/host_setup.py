#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host needs beside its rules, in one task."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_setup
short_description: Packages that must be there, and marked blocks in files, in one task
version_added: 0.1.0
author:
  - The bulkhead.tiers authors (@bulkhead-tiers)
description:
  - A host that has everything is asked once, and nothing is started on it but C(dpkg-query).
  - What is missing is installed with C(ansible.builtin.apt), without recommended packages; where apt does not find it, once more with fresh
    lists. Then come the files.
  - In check mode what is missing is taken for installed, so that it works on a host without C(python3-apt) too.
extends_documentation_fragment:
  - bulkhead.tiers.attributes
  - bulkhead.tiers.attributes.debian
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
  action:
    description: The module looks and writes the files; the action plugin of the same name has apt install in between.
    support: full
options:
  packages:
    description: Debian packages that must be installed. Any version will do.
    type: list
    elements: str
    default: []
  files:
    description: Files with a block between two marker lines, as M(ansible.builtin.blockinfile) writes it. The rest of a file stays.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: The file. It is made where it is not there; its folder must be.
        type: path
        required: true
      block:
        description: The lines between the markers.
        type: str
        required: true
      marker:
        description: The marker lines, with C({mark}) where BEGIN and END stand.
        type: str
        required: true
      mode:
        description: The file's mode.
        type: str
        default: '0644'
      validate:
        description: A command that the new file must pass before it takes the old one's place; C(%s) is its path.
        type: str
seealso:
  - module: ansible.builtin.apt
  - module: ansible.builtin.blockinfile
"""

EXAMPLES = r"""
- name: Have UFW and its log
  bulkhead.tiers.host_setup:
    packages: [ufw, rsyslog]
    files:
      - path: /etc/rsyslog.d/30-collector.conf
        marker: "# {mark} ansible: the log collector"
        block: '*.* @@10.0.3.11:514'
        validate: rsyslogd -N1 -f %s
"""

RETURN = r"""
missing:
  description: The packages that were not there when the task began.
  returned: success
  type: list
  elements: str
  sample: [ufw]
files:
  description: The files that were written, or would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/rsyslog.d/30-collector.conf]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.setup.blocks import with_block
from ansible_collections.bulkhead.tiers.plugins.module_utils.setup.files import Refusal, read, write
from ansible_collections.bulkhead.tiers.plugins.module_utils.setup.packages import missing_packages

FILE = {
    "path": {"type": "path", "required": True},
    "block": {"type": "str", "required": True},
    "marker": {"type": "str", "required": True},
    "mode": {"type": "str", "default": "0644"},
    "validate": {"type": "str"},
}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "default": []},
            "files": {"type": "list", "elements": "dict", "default": [], "options": FILE},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LC_ALL": "C"}
    try:
        module.exit_json(**converge(module))
    except Refusal as refusal:
        module.fail_json(msg=str(refusal))


def converge(module: AnsibleModule) -> dict[str, Any]:
    """The module's answer. Where packages are missing the files wait for them, but for check mode."""
    missing = missing_packages(module.run_command, module.params["packages"])
    result: dict[str, Any] = {"changed": False, "missing": missing, "files": [], "diff": []}
    if missing and not module.check_mode:
        return result
    for name in missing:
        headers = {"before_header": f"package {name}", "after_header": f"package {name}"}
        result["diff"].append({"before": "", "after": f"package {name}: installed\n", **headers})
    for wish in module.params["files"]:
        before = read(wish["path"])
        after = with_block(before.text, wish["block"], wish["marker"])
        if (after, int(wish["mode"], 8)) == before:
            continue
        result["files"].append(wish["path"])
        headers = {"before_header": wish["path"], "after_header": wish["path"]}
        result["diff"].append({"before": before.text, "after": after, **headers})
        if not module.check_mode:
            write(module, wish, after)
    result["changed"] = bool(missing or result["files"])
    return result


if __name__ == "__main__":
    main()
