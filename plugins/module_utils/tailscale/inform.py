# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tailscale_node_info says of a node: the other module's input, and what of it can be read only."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale import render
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import LocalApi
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import options_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.status import Status, read_status

#: The most peers that are returned; a tailnet may have some 10,000.
MOST_PEERS = 5000


def report(api: LocalApi, peers: bool) -> dict[str, Any]:
    """The module's result: two requests."""
    status = read_status(api, peers=True)
    prefs = api.get("prefs")
    shown = [asdict(peer) for peer in status.peers[:MOST_PEERS]] if peers else []
    for peer in shown:
        peer["exit_node_option"] = peer.pop("exit_node")
    return {
        "changed": False,
        **render.facts(options_of(prefs if isinstance(prefs, dict) else {}), status),
        "version": status.version,
        "tun": status.tun,
        "tailnet": status.tailnet,
        "online": status.online and status.running,
        "expired": is_expired(status, time.time()),
        "auth_url": status.auth_url,
        "peers": [{**peer, **{key: list(peer[key]) for key in ("ips", "tags", "routes")}} for peer in shown],
        "peers_left_out": max(0, len(status.peers) - len(shown)) if peers else len(status.peers),
        "requests": api.requests,
    }


def is_expired(status: Status, now: float) -> bool:
    """Whether the node's key has run out: control says so, or its time is over."""
    return status.expired or (status.expiry is not None and status.expiry <= now)
