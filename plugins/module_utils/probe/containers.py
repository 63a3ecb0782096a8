# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The containers of a host as places to listen at and to probe from. Linux and a Docker Engine; standard library only.

The engine says which containers run, on which networks and with which addresses; nothing is asked of a container. A process
of the host enters a container's *network* namespace and no other: it keeps the host's files, users and Python, the container
cannot see it, and it ends with the proof. The listener's control socket stays outside, where no container reaches it.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import PROTOS, Job, Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.hostnet import own_addresses
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listener import Listener
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Stopped
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import probe_all
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.start import spawn

#: Where the engine listens. Where there is none, the host has no containers.
ENGINE = "/var/run/docker.sock"
#: Seconds for an answer of the engine, and its bytes at most.
TIMEOUT, LONGEST = 10.0, 1 << 24
#: The most containers of a host that take part, the first by name: each has a process of its own meanwhile.
MOST = 32
CLONE_NEWNET = 0x40000000


class EngineError(Exception):
    """The engine did not answer, or not as it should."""


class Container(NamedTuple):
    """A running container. networks: {name: its addresses there}; published: its ports on the host, (proto, port)."""

    id: str
    name: str
    networks: Mapping[str, Sequence[str]]
    published: Sequence[tuple[str, int]] = ()

    @property
    def addresses(self) -> list[str]:
        return [address for own in self.networks.values() for address in own]


def running(networks: Collection[str]) -> list[Container]:
    """The containers of this host that are on one of these networks, by name. Raises EngineError."""
    if not os.path.exists(ENGINE):
        return []
    found = []
    for one in _get("/containers/json"):
        own = {name: _addresses(at) for name, at in one["NetworkSettings"]["Networks"].items() if name in networks}
        if any(own.values()):
            at = {
                (str(port["Type"]), int(port["PublicPort"]))
                for port in one.get("Ports") or ()
                if port.get("PublicPort")
            }
            found.append(Container(str(one["Id"]), str(one["Names"][0]).lstrip("/"), own, sorted(at)))
    return sorted(found, key=lambda one: one.name)


def _addresses(at: Mapping[str, Any]) -> list[str]:
    return [str(at[key]) for key in ("IPAddress", "GlobalIPv6Address") if at.get(key)]


def _get(path: str) -> Any:
    """What the engine answers to a GET. HTTP/1.0: the answer comes whole, and ends with the connection."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(TIMEOUT)
            sock.connect(ENGINE)
            sock.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            said = b""
            while len(said) < LONGEST:
                data = sock.recv(1 << 16)
                if not data:
                    break
                said += data
        head, _blank, body = said.partition(b"\r\n\r\n")
        status = head.split(b" ", 2)[1].decode("ascii", "replace")
        if status != "200":
            raise EngineError(f"the Docker Engine answered {status} to {path}")
        return json.loads(body.decode())
    except (OSError, ValueError, IndexError) as error:
        raise EngineError(f"the Docker Engine did not answer {path}: {error}") from error


def enter(container: str) -> None:
    """Move this process into a container's network namespace. Raises EngineError.

    A process may end and its number be another one's at any moment, so the engine is asked again once the namespace is open.
    """
    pid = _pid(container)
    with open(f"/proc/{pid}/ns/net", "rb") as there:
        if _pid(container) != pid or os.path.samestat(os.fstat(there.fileno()), os.stat("/proc/self/ns/net")):
            raise EngineError("the container has ended meanwhile, or has the host's own network")
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise EngineError(f"its network namespace cannot be entered: {os.strerror(ctypes.get_errno())}")


def _pid(container: str) -> int:
    state = _get(f"/containers/{quote(container, safe='')}/json")["State"]
    if not state["Running"] or int(state["Pid"]) <= 1:
        raise EngineError("the container does not run")
    return int(state["Pid"])


# Listen


class _Said(Stopped):
    """What the listener in a container heard, with the container that it is in."""

    inside: str

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "inside": self.inside}


class _Inside(Listener):
    """The listener in a container."""

    def __init__(self, token: str, name: str, key: bytes, container: str) -> None:
        super().__init__(token, name, key)
        self.container = container

    def _open_control(self, name: str) -> None:
        super()._open_control(name)
        try:
            enter(self.container)
        except EngineError as error:
            raise OSError(str(error)) from error

    def _all_that_was_heard(self, peers: set[str]) -> Stopped:
        said = _Said(*super()._all_that_was_heard(peers))
        said.inside = self.container
        return said


def listen(
    token: str, name: str, key: bytes, ttl: int, networks: Collection[str], ports: Sequence[tuple[str, int]]
) -> dict[str, Any]:
    """Start a listener in each container that is on one of these networks; it calls itself NAME/CONTAINER.

    Returns {containers: [{id, name, networks, published, own, unusable, error}], more: how many took no part}. published: its
    ports on the host; own: all addresses of its namespace, which the container may have set; unusable: sockets that its
    listener does not have. Raises EngineError.
    """
    found = running(networks)
    said = []
    for one in found[:MOST]:
        entry: dict[str, Any] = {
            "id": one.id,
            "name": one.name,
            "networks": {k: list(v) for k, v in one.networks.items()},
            # What has neither TCP nor UDP is no port of the proof's.
            "published": [{"proto": proto, "port": port} for proto, port in one.published if proto in PROTOS],
        }
        try:
            opened = spawn(lambda one=one: _Inside(token, f"{name}/{one.name}", key, one.id), ttl, one.addresses, ports)  # type: ignore[misc]
            entry["unusable"] = [lost.to_dict("error") for lost in (*opened.busy, *opened.unusable)]
            entry["own"] = _in_child(one.id, lambda: [own.address for own in own_addresses()])
        except Exception as error:  # one container that cannot be entered is no reason to leave the others
            entry["error"] = str(error)
        said.append(entry)
    return {"containers": said, "more": len(found) - len(said)}


# Probe


def probe_in(jobs: Mapping[str, Sequence[Job]], token: str, timeout: float) -> list[dict[str, Any]]:
    """Run the jobs of each container in its network namespace, all at once; as probe_all's results."""
    pipes = {container: _begin(container, _Probing(asked, token, timeout)) for container, asked in jobs.items()}
    results: list[dict[str, Any]] = []
    for container, pipe in pipes.items():
        said = _end(pipe)
        results += said if isinstance(said, list) else []
    return results


class _Probing:
    """What a child does in a container's namespace."""

    def __init__(self, jobs: Sequence[Job], token: str, timeout: float) -> None:
        self.jobs, self.token, self.timeout = jobs, token, timeout

    def __call__(self) -> Any:
        results: list[Result] = probe_all(self.jobs, self.token, self.timeout)
        return [result.to_dict() for result in results]


def _in_child(container: str, work: Any) -> Any:
    return _end(_begin(container, work))


def _begin(container: str, work: Any) -> tuple[int, int]:
    """Start a child that enters the container and does some work: (its number, where it writes what came of it)."""
    here, there = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(here)
            enter(container)
            with os.fdopen(there, "w") as pipe:
                json.dump(work(), pipe)
        finally:
            os._exit(0)
    os.close(there)
    return child, here


def _end(child: tuple[int, int]) -> Any:
    """What the child's work came to; None where it came to nothing."""
    with os.fdopen(child[1]) as pipe:
        text = pipe.read()
    os.waitpid(child[0], 0)
    return json.loads(text) if text else None
