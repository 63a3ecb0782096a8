# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What decides where a host's packets go, as its own tools print it. The controller reads it, within bounds."""

from __future__ import annotations

import glob
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

#: {name: command}. What they print is returned as it is.
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
#: The speed of each link in Mbit/s, which interfaces without a link do not say.
SPEEDS = "/sys/class/net/*/speed"


def read_netfilter(module: AnsibleModule) -> dict[str, Any]:
    """{printed: {name: [status, output, messages] or None}, settings: {path: value}, speeds: {interface: Mbit/s}}"""
    printed: dict[str, Any] = {}
    for name, command in COMMANDS.items():
        if module.get_bin_path(command[0], opt_dirs=["/usr/sbin", "/sbin"]) is None:
            printed[name] = None
            continue
        status, out, err = module.run_command(command, environ_update={"LC_ALL": "C"})
        printed[name] = [status, out, err]
    found = _files(*SETTINGS)
    settings = {os.path.relpath(path, "/proc/sys/net"): text for path, text in found.items()}
    return {
        "printed": printed,
        "settings": settings,
        "speeds": {path.split("/")[4]: text for path, text in _files(SPEEDS).items()},
    }


def _files(*patterns: str) -> dict[str, str]:
    found = {}
    for path in (path for pattern in patterns for path in glob.glob(pattern)):
        try:
            with open(path, encoding="ascii") as file:
                found[path] = file.read().strip()
        except (OSError, ValueError):
            continue  # an interface that went away meanwhile, or has no link
    return found
