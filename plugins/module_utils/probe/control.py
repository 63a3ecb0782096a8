# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module's side of the listener: start it detached, see that every socket answers, stop it. Linux only.

The control socket is an abstract one (no file) under a name that no other user can foresee and so take first. A later
run finds it in /proc/net/unix, which shows those of its own network namespace, and asks only what root, or its own
user, runs.
"""

from __future__ import annotations

import json
import os
import resource
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import (
    Hears,
    Job,
    Listening,
    Noted,
    Socket,
    Stopped,
    Verdict,
    answers,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.hostnet import (
    allow_descriptors,
    bound_ports,
    own_addresses,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listener import Listener, peer_uid
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import probe_all

Network = Union[IPv4Network, IPv6Network]

#: What the names of control sockets begin with, as /proc/net/unix prints them (@ is the zero byte).
CONTROL = "@bulkhead.tiers.flow_probe."
#: __SO_ACCEPTCON: the flag of a socket that listens.
LISTENS = 0x10000
#: Seconds for the process to hand over what it heard, and for a control socket with a full queue to have room.
CONTROL_TIMEOUT, BUSY_TIMEOUT = 30, 5
#: Seconds for a probe over the loopback device. A control that is late is asked again, each time with more of them.
CONTROL_TIMEOUTS = (1.0, 2.0, 4.0)
#: What a late answer looks like.
LATE = (Verdict.DROPPED, Verdict.MISDIRECTED, Verdict.INCONCLUSIVE)


class ListenerError(Exception):
    """The listener could not be started or asked; the text says what to do."""


def start(
    token: str, name: str, key: bytes, ttl: int, ranges: Sequence[Network], ports: Sequence[tuple[str, int]]
) -> Listening:
    """Start the listener of this host, replacing an older one, and probe it from the host itself.

    token: what marks the packets of this run. name: what the listener calls itself. key: what it signs answers with.
    ttl: seconds until it ends by itself. ranges: it binds the host's own addresses that are inside one of them. ports:
    [(proto, port)]. Raises ListenerError.
    """
    replaced = ask(None, []).running
    known = own_addresses()
    own = [found for found in known if _inside(found.address, ranges)]
    addresses = [found.address for found in own]
    services = _services(addresses)
    said = _spawn(token, name, key, ttl, addresses, ports)
    for taken in said.busy:
        services.setdefault(taken.socket, "")
    wanted = {Socket(proto, address, port) for address in addresses for proto, port in ports}
    wanted.difference_update(lost.socket for lost in said.unusable)
    silent = _self_control(token, name, key, wanted, services)
    return Listening(
        addresses=tuple(own),
        others=tuple(found for found in known if found not in own and not found.bridge),
        services=tuple(Noted(one, services[one]) for one in sorted(services) if one in wanted or one not in silent),
        unusable=(*said.unusable, *(Noted(one, silent[one]) for one in sorted(silent) if one in wanted)),
        hears=said.hears,
        bound=len(wanted) - len(said.busy),
        replaced=replaced,
    )


def _inside(address: str, ranges: Iterable[Network]) -> bool:
    one = ip_address(address)
    return any(one.version == network.version and one in network for network in ranges)


# The detached process


class _Opened:
    """What the process says about its sockets."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.busy = [Noted.from_dict(one, "error") for one in said["busy"]]
        self.unusable = [Noted.from_dict(one, "error") for one in said["unusable"]]
        self.hears = Hears.from_dict(said["hears"])


def _spawn(
    token: str, name: str, key: bytes, ttl: int, addresses: Sequence[str], ports: Sequence[tuple[str, int]]
) -> _Opened:
    """Start the detached process and return what it says about its sockets."""
    end, report = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(end)
        _detach(report, ttl, lambda: Listener(token, name, key), addresses, ports)
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
    return _Opened(said)


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


# Controls


def _services(addresses: Sequence[str]) -> dict[Socket, str]:
    """{socket: process} of what is bound now on these addresses, or on all of them."""
    found: dict[Socket, str] = {}
    for (proto, address, port), process in bound_ports().items():
        for own in addresses:
            # A socket for [::] also takes IPv4, unless it says that it does not: the probe from the host itself shows
            # it.
            if address in (own, "::") or (address == "0.0.0.0" and ":" not in own):
                socket_ = Socket(proto, own, port)
                found[socket_] = process or found.get(socket_, "")
    return found


def _self_control(
    token: str, name: str, key: bytes, wanted: set[Socket], services: Collection[Socket]
) -> dict[Socket, str]:
    """Probe every socket from the host itself, over loopback: {socket: what went wrong}.

    On a loaded machine an answer may be late: what looks late is asked again, a bounded number of times.
    """
    left = {str(number): one for number, one in enumerate(sorted(wanted.union(services)))}
    wrong: dict[Socket, str] = {}
    for timeout in CONTROL_TIMEOUTS:
        late = {}
        for job, result in _controls(token, name, left, services, timeout):
            good = result.verdict is Verdict.ALLOWED and (job.service or answers(job, result, key, token))
            if good:
                wrong.pop(left[job.id], None)
                continue
            detail = " ".join(filter(None, [result.verdict.value, result.detail]))
            wrong[left[job.id]] = f"a probe from the host itself: {detail}"
            if result.verdict in LATE:
                late[job.id] = left[job.id]
        left = late
        if not left:
            break
    return wrong


def _controls(
    token: str, name: str, sockets: dict[str, Socket], services: Collection[Socket], timeout: float
) -> Iterable[tuple[Job, Any]]:
    jobs = {
        number: Job(number, one.proto, one.address, one.port, host=name, listening=True, service=one in services)
        for number, one in sockets.items()
    }
    return [(jobs[result.id], result) for result in probe_all(list(jobs.values()), token, timeout)]


# Stop


def ask(token: Optional[str], peers: Sequence[str]) -> Stopped:
    """Stop the listener and return what it heard. token: only the one of this run; None: whichever runs here. peers:
    sources to report about."""
    end = time.monotonic() + BUSY_TIMEOUT
    names = _control_names()
    stopped = Stopped()
    while names and time.monotonic() < end:
        busy = []
        for name in names:
            try:
                said = _ask(name, token, peers)
            except BlockingIOError:  # its queue is full of others: they are turned away, and it is asked again
                busy.append(name)
                continue
            if said.running:
                stopped = said
        names = busy
        if names:
            time.sleep(0.01)
    return stopped


def _control_names() -> list[str]:
    """The names of the control sockets in this network namespace, whoever made them. See proc(5), /proc/net/unix."""
    with open("/proc/net/unix", encoding="ascii", errors="replace") as table:
        fields = [line.split() for line in table]
    return sorted(
        {one[7] for one in fields if len(one) == 8 and one[7].startswith(CONTROL) and int(one[3], 16) & LISTENS}
    )


def _ask(name: str, token: Optional[str], peers: Sequence[str]) -> Stopped:
    """Ask one control socket. Raises BlockingIOError where its queue is full."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            sock.connect(f"\0{name[1:]}")
            if peer_uid(sock) not in (0, os.getuid()):
                return Stopped()
            sock.settimeout(CONTROL_TIMEOUT)
            sock.sendall(json.dumps({"token": token, "peers": list(peers)}).encode())
            sock.shutdown(socket.SHUT_WR)
            said = b"".join(iter(lambda: sock.recv(1 << 16), b""))
        except (ConnectionError, FileNotFoundError, socket.timeout):
            return Stopped()
    return Stopped.from_dict(json.loads(said.decode())) if said else Stopped()
