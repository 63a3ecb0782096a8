# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tailscaled says of the node and its peers, as values."""

from __future__ import annotations

import calendar
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import LocalApi

#: BackendState: nothing known yet, no usable key of the node, to be approved on the server, down, on the way, up.
NO_STATE, NEEDS_LOGIN, NEEDS_APPROVAL = "NoState", "NeedsLogin", "NeedsMachineAuth"
STOPPED, STARTING, RUNNING = "Stopped", "Starting", "Running"
#: The most that is shown of Health, in entries.
_MOST_HEALTH = 8
#: The year that Go's time without a value is in.
_NEVER = "0001-"
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|([+-])(\d\d):(\d\d))$")


@dataclass(frozen=True)
class Peer:
    """Another node. ``exit_node``: whether it offers to be one, and that is approved. ``last_seen``: only where it is
    offline. Addresses without a prefix length, the DNS name without the dot at its end."""

    id: str
    name: str
    dns_name: str
    ips: tuple[str, ...]
    tags: tuple[str, ...]
    os: str
    online: bool
    exit_node: bool
    routes: tuple[str, ...]
    last_seen: str

    def names(self, suffix: str) -> tuple[str, ...]:
        """All that an option may call it by, in small letters."""
        short = self.dns_name[: -len(suffix) - 1] if suffix and self.dns_name.endswith("." + suffix) else ""
        return tuple(text.lower() for text in (self.id, self.dns_name, short, *self.ips) if text)


@dataclass(frozen=True)
class Status:
    """``expiry`` is in seconds since 1970, None for a key that does not expire. ``tags`` are those that control granted,
    not those asked for. ``peers`` are empty unless they were asked for."""

    state: str
    version: str
    tun: bool
    has_key: bool
    public_key: str
    auth_url: str
    health: tuple[str, ...]
    ips: tuple[str, ...]
    tags: tuple[str, ...]
    expiry: Optional[float]
    expired: bool
    dns_name: str
    suffix: str
    tailnet: str
    online: bool
    peers: tuple[Peer, ...]

    @property
    def running(self) -> bool:
        return self.state == RUNNING

    def find(self, name: str) -> list[Peer]:
        """The peers of that address, name or id."""
        wanted = name.lower().rstrip(".")
        return [peer for peer in self.peers if wanted in peer.names(self.suffix)]


def read_status(api: LocalApi, peers: bool) -> Status:
    return parse_status(api.get("status" if peers else "status?peers=false"))


def parse_status(answer: Any) -> Status:
    """An answer of GET status; what is missing in it is empty."""
    found = answer if isinstance(answer, Mapping) else {}
    own = _mapping(found.get("Self"))
    tailnet = _mapping(found.get("CurrentTailnet"))
    return Status(
        state=_text(found.get("BackendState")) or NO_STATE,
        version=_text(found.get("Version")),
        tun=found.get("TUN") is True,
        has_key=found.get("HaveNodeKey") is True,
        public_key=_text(own.get("PublicKey")),
        auth_url=_text(found.get("AuthURL")),
        health=_texts(found.get("Health"))[:_MOST_HEALTH],
        ips=_texts(found.get("TailscaleIPs")),
        tags=tuple(sorted(_texts(own.get("Tags")))),
        expiry=seconds_of(own.get("KeyExpiry")),
        expired=own.get("Expired") is True,
        dns_name=_text(own.get("DNSName")).rstrip("."),
        suffix=_text(found.get("MagicDNSSuffix")),
        tailnet=_text(tailnet.get("Name")),
        online=own.get("Online") is True,
        peers=tuple(_peer(_mapping(peer)) for peer in _mapping(found.get("Peer")).values()),
    )


def _peer(found: Mapping[str, Any]) -> Peer:
    seen = _text(found.get("LastSeen"))
    return Peer(
        id=_text(found.get("ID")),
        name=_text(found.get("HostName")),
        dns_name=_text(found.get("DNSName")).rstrip("."),
        ips=_texts(found.get("TailscaleIPs")),
        tags=tuple(sorted(_texts(found.get("Tags")))),
        os=_text(found.get("OS")),
        online=found.get("Online") is True,
        exit_node=found.get("ExitNodeOption") is True,
        routes=tuple(sorted(_texts(found.get("PrimaryRoutes")))),
        last_seen="" if seen.startswith(_NEVER) else seen,
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return printable(value) if isinstance(value, str) else ""


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def seconds_of(value: Any) -> Optional[float]:
    """A time of Go's (`2026-12-01T10:00:00.123Z`, or with the offset of the control server, `+02:00`) in seconds since
    1970; None without one."""
    found = _TIME.match(value) if isinstance(value, str) else None
    if found is None or value.startswith(_NEVER):
        return None
    try:
        seconds = float(calendar.timegm(time.strptime(found[1], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return None
    offset = 3600 * int(found[3]) + 60 * int(found[4]) if found[2] else 0
    return seconds + offset if found[2] == "-" else seconds - offset


def text_of(seconds: Optional[float]) -> str:
    """The same time for people, in UTC; "" where there is none."""
    return "" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
