# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The SSH connection that a module was started over: what its change may not cut.

It is known by SSH_CONNECTION in the environment of this process or, since sudo drops it, of the first of its ancestors
that has it. Standard library only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple, Optional

_DEPTH = 64
#: Gives the exit status and the output of a command.
Ask = Callable[[list[str]], tuple[int, str]]


class Session(NamedTuple):
    """A connection to this host: both ends, and the interface it comes in by (empty where that is not known)."""

    family: int
    client: str
    client_port: int
    server: str
    server_port: int
    interface: str

    def text(self) -> str:
        where = f" on {self.interface}" if self.interface else ""
        return f"{self.client} -> {self.server} port {self.server_port}{where}"


def find_session(ask: Ask, root: str = "", process: Optional[int] = None) -> Optional[Session]:
    """The SSH connection that this process was started over, or None. root: where /proc is."""
    number = os.getpid() if process is None else process
    for _generation in range(_DEPTH):
        words = _environment(root, number).get("SSH_CONNECTION", "").split()
        if len(words) == 4:
            return _session(ask, *words)
        number = _parent(root, number)
        if number < 1:
            return None
    return None


def _environment(root: str, process: int) -> dict[str, str]:
    try:
        with open(f"{root}/proc/{process}/environ", "rb") as stream:
            items = stream.read().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(item.split("=", 1) for item in items if "=" in item)


def _parent(root: str, process: int) -> int:
    try:
        with open(f"{root}/proc/{process}/stat", encoding="utf-8", errors="replace") as stream:
            # The name, in brackets, may hold anything, brackets too.
            return int(stream.read().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return 0


def _session(ask: Ask, client: str, client_port: str, server: str, server_port: str) -> Optional[Session]:
    client, _percent, zone = _unmapped(client).partition("%")
    server = _unmapped(server).partition("%")[0]
    if not (client_port.isdigit() and server_port.isdigit()):
        return None
    interface = zone or _interface(ask, client, server)
    return Session(6 if ":" in client else 4, client, int(client_port), server, int(server_port), interface)


def _unmapped(address: str) -> str:
    """The IPv4 address of one that is mapped into IPv6, as a server prints it that listens on both by one socket."""
    return address.rpartition(":")[2] if "." in address.partition("%")[0] else address


def _interface(ask: Ask, client: str, server: str) -> str:
    """The interface of the way back, which is the way in on a host without asymmetric routes; policy routing, such as
    a tailnet's, is followed."""
    try:
        status, out = ask(["ip", "-o", "route", "get", client, "from", server])
    except Exception:  # pylint: disable=broad-except  # without iproute2 every interface is tried
        return ""
    words = out.split()
    return words[words.index("dev") + 1] if not status and "dev" in words[:-1] else ""
