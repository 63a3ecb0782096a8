# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a listener is found and stopped. Linux only.

The control socket is an abstract one (no file) under a name that no other user can foresee and so take first. A later
run finds it in /proc/net/unix, which shows those of its own network namespace, and asks only what root, or its own
user, runs.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Optional

#: What the names of control sockets begin with, as /proc/net/unix prints them (@ is the zero byte).
CONTROL = "@bulkhead.tiers.flow_probe."
#: __SO_ACCEPTCON: the flag of a socket that listens.
LISTENS = 0x10000
#: Seconds for the process to hand over what it heard, and for a control socket with a full queue to have room.
CONTROL_TIMEOUT, BUSY_TIMEOUT = 30, 5


class ListenerError(Exception):
    """The listener could not be started or asked; the text says what to do."""


def peer_uid(sock: socket.socket) -> int:
    """The user at the other end of a UNIX socket."""
    return int(struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1])


def ask(token: Optional[str], peers: Sequence[str]) -> dict[str, Any]:
    """Stop the listener and return what it heard, as listening.Stopped says it; `containers` of those in containers. token:
    only those of this run; None: whichever run here. peers: sources to report about."""
    end = time.monotonic() + BUSY_TIMEOUT
    names = _control_names()
    stopped: dict[str, Any] = {"running": False}
    inside: list[dict[str, Any]] = []
    while names and time.monotonic() < end:
        busy = []
        for name in names:
            try:
                said = _ask(name, token, peers)
            except BlockingIOError:  # its queue is full of others: they are turned away, and it is asked again
                busy.append(name)
                continue
            if said.get("inside"):
                inside.append(said)
            elif said.get("running"):
                stopped = said
        names = busy
        if names:
            time.sleep(0.01)
    return {**stopped, "containers": inside} if inside else stopped


def _control_names() -> list[str]:
    """The names of the control sockets in this network namespace, whoever made them. See proc(5), /proc/net/unix."""
    with open("/proc/net/unix", encoding="ascii", errors="replace") as table:
        fields = [line.split() for line in table]
    return sorted(
        {one[7] for one in fields if len(one) == 8 and one[7].startswith(CONTROL) and int(one[3], 16) & LISTENS}
    )


def _ask(name: str, token: Optional[str], peers: Sequence[str]) -> dict[str, Any]:
    """Ask one control socket. Raises BlockingIOError where its queue is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(f"\0{name[1:]}")
            if peer_uid(sock) not in (0, os.getuid()):
                return {}
            sock.settimeout(CONTROL_TIMEOUT)
            sock.sendall(json.dumps({"token": token, "peers": list(peers)}).encode())
            sock.shutdown(socket.SHUT_WR)
            said = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        except (ConnectionError, FileNotFoundError, socket.timeout):
            return {}
    return dict(json.loads(said.decode())) if said else {}
