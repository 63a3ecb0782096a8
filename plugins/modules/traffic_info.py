#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's firewall blocked since a time, and what connection tracking sees now."""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic.logs import (
    Read,
    read_collected,
    read_own,
    senders,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic.tally import Tally
from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic.tracked import read_tracked

ARGUMENTS = {
    "seconds": {"type": "int", "default": 86400},
    "limit": {"type": "int", "default": 2000},
    "collected": {"type": "bool", "default": False},
    "connections": {"type": "bool", "default": True},
}


def logs(seconds: int, limit: int, collected: bool) -> list[dict[str, Any]]:
    """What is in this host's own log, or in those that it collects: one mapping for each host that blocked."""
    now = time.time()
    since, boot = now - seconds, now - time.monotonic()
    own = read_own(Tally(since, now, boot), since)
    found = [_log("", own, limit)]
    folders = senders() if collected else []
    for folder in folders:
        read = read_collected(folder, Tally(since, now, boot), since, len(folders))
        found.append(_log(os.path.basename(folder.rstrip("/")), read, max(limit // len(folders), 100)))
    return found


def _log(sender: str, read: Read, limit: int) -> dict[str, Any]:
    tally = read.tally
    packets, left = tally.most(limit)
    counts = {name: getattr(tally, name) for name in ("lines", "others", "unread", "future", "suppressed", "oldest")}
    return {
        "sender": sender,
        "source": read.source,
        "whole": read.whole,
        "cut": read.cut,
        "beside": read.beside,
        "packets": packets,
        "left": left,
        **counts,
    }


def addresses(module: AnsibleModule) -> dict[str, list[str]]:
    """{interface: its addresses with their prefix lengths}"""
    status, out, _err = module.run_command(["ip", "-j", "address", "show"], environ_update={"LC_ALL": "C"})
    if status:
        return {}
    return {
        str(link["ifname"]): [
            f"{one['local']}/{one['prefixlen']}" for one in link.get("addr_info", ()) if "local" in one
        ]
        for link in json.loads(out or "[]")
        if link
    }


def settings() -> dict[str, str]:
    """Whether UFW is on, and its log level, as its files say."""
    found = {"ENABLED": "", "LOGLEVEL": ""}
    with contextlib.suppress(OSError), open("/etc/ufw/ufw.conf", encoding="utf-8", errors="replace") as file:
        for line in file.read(65536).splitlines():
            key, equals, value = line.partition("=")
            if equals and key.strip() in found:
                found[key.strip()] = value.strip().strip("\"'")[:20]
    return {"enabled": found["ENABLED"], "level": found["LOGLEVEL"]}


def main() -> None:
    """Entry point of the module."""
    module = AnsibleModule(argument_spec=ARGUMENTS, supports_check_mode=True)
    wanted = module.params
    limit = max(wanted["limit"], 1)
    tracked = read_tracked(limit) if wanted["connections"] else None
    module.exit_json(
        changed=False,
        now=time.time(),
        logs=logs(wanted["seconds"], limit, wanted["collected"]),
        tracked=tracked._asdict() if tracked else None,
        addresses=addresses(module),
        ufw=settings(),
    )


if __name__ == "__main__":
    main()
