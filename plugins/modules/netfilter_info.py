#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What decides where a host's packets go, as its own tools print it."""

from __future__ import annotations

import glob
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

#: {name: command}. What they print is returned as it is: the controller reads it, within bounds.
COMMANDS = {
    "rules4": ["iptables-save"],
    "rules6": ["ip6tables-save"],
    "nft": ["nft", "list", "tables"],
    "addresses": ["ip", "-j", "-d", "address", "show"],
    "routes4": ["ip", "-j", "-4", "route", "show", "table", "all"],
    "routes6": ["ip", "-j", "-6", "route", "show", "table", "all"],
    "policy4": ["ip", "-j", "-4", "rule", "show"],
    "policy6": ["ip", "-j", "-6", "rule", "show"],
}
SETTINGS = (
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv6/conf/all/forwarding",
    "/proc/sys/net/ipv4/conf/*/rp_filter",
)


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec={}, supports_check_mode=True)
    printed: dict[str, Any] = {}
    for name, command in COMMANDS.items():
        if module.get_bin_path(command[0], opt_dirs=["/usr/sbin", "/sbin"]) is None:
            printed[name] = None
            continue
        status, out, err = module.run_command(command, environ_update={"LC_ALL": "C"})
        printed[name] = [status, out, err]
    settings = {}
    for path in (found for pattern in SETTINGS for found in glob.glob(pattern)):
        try:
            with open(path, encoding="ascii") as file:
                settings[os.path.relpath(path, "/proc/sys/net")] = file.read().strip()
        except (OSError, ValueError):
            continue  # an interface that went away meanwhile
    module.exit_json(changed=False, printed=printed, settings=settings)


if __name__ == "__main__":
    main()
