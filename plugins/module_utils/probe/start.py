# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Starts the listener detached. Whether its sockets answer the host itself is for a prober to say. Linux only."""

from __future__ import annotations

import json
import os
import resource
import secrets
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.control import CONTROL, ListenerError, ask
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.hostnet import bound_ports, own_addresses
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listener import Listener
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Hears, Listening, Noted, Socket
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.sockets import allow_descriptors

Network = Union[IPv4Network, IPv6Network]


def start(
    token: str, name: str, key: bytes, ttl: int, ranges: Sequence[Network], ports: Sequence[tuple[str, int]]
) -> Listening:
    """Start the listener of this host, replacing an older one.

    token: what marks the packets of this run. name: what the listener calls itself. key: what it signs answers with.
    ttl: seconds until it ends by itself. ranges: it binds the host's own addresses that are inside one of them. ports:
    [(proto, port)]. Raises ListenerError.
    """
    replaced = ask(None, [])["running"]
    known = own_addresses()
    own = [found for found in known if _inside(found.address, ranges)]
    addresses = [found.address for found in own]
    services = _services(addresses)
    said = spawn(lambda: Listener(token, name, key), ttl, addresses, ports)
    for taken in said.busy:
        services.setdefault(taken.socket, "")
    wanted = {Socket(proto, address, port) for address in addresses for proto, port in ports}
    wanted.difference_update(lost.socket for lost in said.unusable)
    return Listening(
        addresses=tuple(own),
        others=tuple(found for found in known if found not in own and not found.bridge),
        services=tuple(Noted(one, services[one]) for one in sorted(services)),
        unusable=tuple(said.unusable),
        hears=said.hears,
        bound=len(wanted) - len(said.busy),
        replaced=replaced,
    )


def _inside(address: str, ranges: Iterable[Network]) -> bool:
    one = ip_address(address)
    return any(one.version == network.version and one in network for network in ranges)


# The detached process


class Opened:
    """What the process says about its sockets."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.busy, self.unusable = (
            [Noted(Socket(one["proto"], one["address"], one["port"]), one["error"]) for one in said[key]]
            for key in ("busy", "unusable")
        )
        self.hears = Hears(**said["hears"])


def spawn(make: Callable[[], Listener], ttl: int, addresses: Sequence[str], ports: Sequence[tuple[str, int]]) -> Opened:
    """Start the detached process of the listener that `make` returns there; what it says about its sockets. Raises
    ListenerError."""
    end, report = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(end)
        _detach(report, ttl, make, addresses, ports)
    os.close(report)
    os.waitpid(child, 0)
    with os.fdopen(end) as pipe:
        text = pipe.read()
    if not text:
        raise ListenerError(
            "the listener ended before it had bound its ports; try again, or see the host's journal for why"
        )
    said = json.loads(text)
    if "error" in said:
        raise ListenerError(f"the listener could not start: {said['error']}")
    return Opened(said)


def _detach(
    report: int, ttl: int, make: Callable[[], Listener], addresses: Sequence[str], ports: Sequence[tuple[str, int]]
) -> None:
    """In the child: leave the session, bind, tell the parent over the pipe `report`, serve. Never returns."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        # An interval timer whose signal is not handled kills the process, whatever it is stuck in.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, ttl + 1)
        _leave_files(report)
        allow_descriptors()
        listener = make()
        with os.fdopen(report, "w") as pipe:
            try:
                listener.open(f"\0{CONTROL[1:]}{secrets.token_hex(8)}", addresses, ports)
                said: dict[str, Any] = {
                    "busy": [one.to_dict("error") for one in listener.busy],
                    "unusable": [one.to_dict("error") for one in listener.unusable],
                    "hears": listener.hears.to_dict(),
                }
            except OSError as error:
                said = {"error": str(error)}
            json.dump(said, pipe)
        if "error" not in said:
            listener.serve(ttl)
    finally:
        os._exit(0)


def _leave_files(kept: int) -> None:
    """Let go of every file but one: the process that started the module waits for the end of its output."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.closerange(3, kept)
    os.closerange(kept + 1, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16))
    os.chdir("/")


# What is there already


def _services(addresses: Sequence[str]) -> dict[Socket, str]:
    """{socket: process} of what is bound now on these addresses, or on all of them."""
    found: dict[Socket, str] = {}
    for (proto, address, port), process in bound_ports().items():
        for own in addresses:
            # A socket for [::] also takes IPv4, unless it says that it does not: a probe from the host itself shows it.
            if address in (own, "::") or (address == "0.0.0.0" and ":" not in own):
                socket_ = Socket(proto, own, port)
                found[socket_] = process or found.get(socket_, "")
    return found
