# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the host forwards packets: without it a subnet router and an exit node drop everything, and say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import EXIT, ROUTES

#: The setting of each family, and where the kernel has it. A kernel without IPv6 has no such file.
SETTINGS = {
    4: ("net.ipv4.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
    6: ("net.ipv6.conf.all.forwarding", "/proc/sys/net/ipv6/conf/all/forwarding"),
}


def check_forwarding(options: Mapping[str, Any], root: str = "") -> list[Mistake]:
    """What keeps the host from forwarding what its options offer; one mistake for all of it. root: where /proc is."""
    families = {6 if ":" in route else 4 for route in options[ROUTES]} | ({4, 6} if options[EXIT] else set())
    off = [name for family in sorted(families) for name, path in [SETTINGS[family]] if _read(root + path) == "0"]
    if not off:
        return []
    option = EXIT if options[EXIT] else ROUTES
    remedy = " ".join(f"{name}=1" for name in off)
    return [
        Mistake(
            option,
            f"{' and '.join(f'{name} = 0' for name in off)} on this host",
            "a kernel that forwards what the node offers",
            f"set {remedy} with ansible.posix.sysctl (for now: `sysctl -w {remedy}`)",
            "forwarding",
        )
    ]


def _read(path: str) -> Optional[str]:
    try:
        with open(path, encoding="ascii") as stream:
            return stream.read().strip()
    except OSError:
        return None
