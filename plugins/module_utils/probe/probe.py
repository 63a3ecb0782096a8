# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The prober: thousands of TCP and UDP probes at once from one process. Standard library only; Linux.

A probe is a nonce that the listener (listener.py) of the right host has to answer; its verdict (flows.py) says what
happened. The prober does not know the listeners' keys: it hands over the code of each answer, and the controller checks
it. ONE_WAY cannot be seen from this end: the judge says it, from what the listener heard.
"""

from __future__ import annotations

import collections
import errno
import heapq
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import (
    Icmp,
    Job,
    Result,
    Verdict,
    question,
    read_answer,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import LONGEST
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.sockets import allow_descriptors, family_of

# A reject of IPv6 reaches a connecting TCP socket only after 1.03 s, and Linux sends a SYN again after 1 s and 3 s:
# under 3.2 s a reject reads as a drop, and a lost packet as a block.
TIMEOUT = 3.2
RESEND_AT = (0.25, 0.5)  # an unanswered datagram is sent again after these parts of the timeout
BATCH, PAUSE = 100, 0.01  # probes begun at once, and the rest (s) after: a burst overflows the receiver's backlog
SPARE_DESCRIPTORS = 64
#: How often a probe is sent once more where an answer is expected and none came in time, and for how many timeouts:
#: on a loaded machine an answer is late, which says nothing about a firewall.
AGAIN, PATIENCE = 2, 2

# <linux/in.h>, <linux/in6.h>, <linux/errqueue.h>; the socket module has no names for them.
IP_RECVERR, IPV6_RECVERR, IP_BIND_ADDRESS_NO_PORT = 11, 25, 24
RECVERR = ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR))
ORIGIN_ICMP, ORIGIN_ICMP6 = 2, 3
UNREACHABLE, UNREACHABLE6 = 3, 1
# ICMP "destination unreachable" codes that say that there is no way, rather than that a filter forbids it.
NO_WAY = {
    (UNREACHABLE, 0),
    (UNREACHABLE, 1),
    (UNREACHABLE, 5),
    (UNREACHABLE, 6),
    (UNREACHABLE, 7),
    (UNREACHABLE6, 0),
    (UNREACHABLE6, 3),
}
PORT_UNREACHABLE = {(UNREACHABLE, 3), (UNREACHABLE6, 4)}
REFUSALS = {errno.ECONNREFUSED, errno.EACCES, errno.EPERM}
NO_WAYS = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ENETDOWN, errno.EADDRNOTAVAIL, errno.EINVAL}


class Probe:
    """One probe on its way. `finish` is called once, with the verdict."""

    __slots__ = ("job", "sock", "began", "connected", "heard", "result", "late")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.sock: Any = None  # a socket, once it is open
        self.began = 0.0
        self.connected = False
        self.heard = b""
        self.result: Optional[Result] = None
        self.late = False  # whether the verdict is silence, which may be a matter of time

    def finish(self, verdict: Verdict, detail: str = "", late: bool = False, **more: Any) -> None:
        """Keep the verdict with what is known of it: by, peer, mac, icmp, as Result names them."""
        ms = round((time.monotonic() - self.began) * 1000, 1)
        self.result = Result(self.job.id, verdict, ms, detail, **more)
        self.late = late


class Prober:
    """Runs jobs over non-blocking sockets and one epoll."""

    def __init__(self, token: str, timeout: float) -> None:
        self.token = token
        self.timeout = timeout
        self.epoll = select.epoll()
        self.live: dict[int, Probe] = {}  # by descriptor
        self.timers: list[tuple[float, int, Probe, Callable[[Probe], None]]] = []  # heap: when, n, what to do then
        self.timer_number = 0

    def run(self, jobs: Sequence[Job]) -> list[Probe]:
        """Probe all jobs."""
        probes = [Probe(job) for job in jobs]
        waiting = collections.deque(probes)
        most = max(1, allow_descriptors() - SPARE_DESCRIPTORS)
        with self.epoll:
            while waiting or self.live:
                for _dummy in range(min(BATCH, len(waiting), most - len(self.live))):
                    self._begin(waiting.popleft())
                for descriptor, _event in self.epoll.poll(self._rest(bool(waiting))):
                    if descriptor in self.live:
                        self._event(self.live[descriptor])
                self._run_timers()
        return probes

    def _rest(self, more: bool) -> float:
        if more and len(self.timers) == 0:
            return 0
        until = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else 0.0
        return min(PAUSE, until) if more else until

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self.timers and self.timers[0][0] <= now:
            _dummy, _dummy, probe, action = heapq.heappop(self.timers)
            if probe.result is None:
                action(probe)

    def _after(self, seconds: float, probe: Probe, action: Callable[[Probe], None]) -> None:
        self.timer_number += 1
        heapq.heappush(self.timers, (probe.began + seconds, self.timer_number, probe, action))

    # Begin

    def _begin(self, probe: Probe) -> None:
        probe.began = time.monotonic()
        try:
            self._open(probe)
        except OSError as error:
            self._failed(probe, error.errno)
            self._close(probe)
            return
        self.live[probe.sock.fileno()] = probe
        self._after(self.timeout, probe, self._expire)

    def _open(self, probe: Probe) -> None:
        job = probe.job
        family = family_of(job.dest)
        kind = socket.SOCK_STREAM if job.proto == "tcp" else socket.SOCK_DGRAM
        probe.sock = sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if job.source:
            # Without this option a bind takes the local port for this socket alone: 28,000 probes and no more.
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((job.source, 0))
        if kind == socket.SOCK_DGRAM:
            sock.connect((job.dest, job.port))
            self.epoll.register(sock.fileno(), select.EPOLLIN)
            self._send(probe)
            for part in RESEND_AT:
                self._after(self.timeout * part, probe, self._send)
            return
        self.epoll.register(sock.fileno(), select.EPOLLOUT)
        code = sock.connect_ex((job.dest, job.port))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))

    def _send(self, probe: Probe) -> None:
        """Send the nonce. An error that a datagram met earlier is reported here as well: both ways lead to _failed."""
        try:
            probe.sock.send(question(self.token, probe.job.id))
        except BlockingIOError:  # the queue of the device is full; the datagram is sent again
            pass
        except OSError as error:
            if probe.sock.fileno() not in self.live:
                raise
            self._end(probe, error.errno)

    # What happens

    def _event(self, probe: Probe) -> None:
        if probe.connected or probe.job.proto == "udp":
            self._receive(probe)
        else:
            self._connect_done(probe)

    def _connect_done(self, probe: Probe) -> None:
        code = probe.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._end(probe, code)
        elif probe.job.service:
            # Not ours: it is not for us to send it bytes that it does not understand.
            probe.finish(Verdict.ALLOWED, "connected to the service that listens there")
            self._close(probe)
        else:
            probe.connected = True
            self.epoll.modify(probe.sock.fileno(), select.EPOLLIN)
            self._send(probe)

    def _receive(self, probe: Probe) -> None:
        try:
            data = probe.sock.recv(LONGEST)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(probe, error.errno)
            return
        if probe.job.proto == "udp":
            self._answered(probe, data)
            return
        probe.heard += data
        if probe.heard.endswith(b"\n") or not data or len(probe.heard) > LONGEST:
            self._answered(probe, probe.heard)

    def _answered(self, probe: Probe, data: bytes) -> None:
        job = probe.job
        said = read_answer(self.token, data)
        if said is None:
            if job.proto == "udp" and job.service:
                probe.finish(Verdict.ALLOWED, "the service that listens there answered")
            else:
                probe.finish(Verdict.MISDIRECTED, "what answered is not a listener of this run", late=not data)
            self._close(probe)
            return
        # Whatever sent this: it is text that the network brought.
        job_id, name, peer, at, port, mac = (
            printable(said.get(key, ""), 64) for key in ("id", "name", "peer", "at", "port", "mac")
        )
        if job_id != job.id:
            return  # a late answer to another probe
        if job.host and said.get("name") != job.host:
            probe.finish(Verdict.MISDIRECTED, f"{name} answered, at {at}", by=name)
        elif (at, port) != (job.arriving.dest, str(job.arriving.port)):
            probe.finish(Verdict.MISDIRECTED, f"it arrived at {at} port {port}", by=name)
        else:
            translated = peer if peer != job.source else ""
            detail = f"its source arrived as {peer}" if translated and job.source else ""
            probe.finish(Verdict.ALLOWED, detail, peer=translated, mac=mac)
        self._close(probe)

    def _expire(self, probe: Probe) -> None:
        if probe.connected:
            probe.finish(Verdict.MISDIRECTED, "a connection was made, but the nonce was not answered", late=True)
        else:
            probe.finish(Verdict.DROPPED, late=probe.job.again)
        self._close(probe)

    # End

    def _end(self, probe: Probe, code: Optional[int]) -> None:
        self._failed(probe, code)
        self._close(probe)

    def _failed(self, probe: Probe, code: Optional[int]) -> None:
        """The verdict of an error: what the ICMP message says where there is one, else what the error number says."""
        icmp = self._icmp(probe)
        refused = Verdict.REJECTED if probe.job.listening else Verdict.NO_LISTENER
        if probe.connected:
            probe.finish(
                Verdict.MISDIRECTED, "a connection was made and broken before the nonce was answered", late=True
            )
        elif icmp and (icmp.type, icmp.code) in NO_WAY:
            probe.finish(Verdict.NO_ROUTE, str(icmp), icmp=icmp)
        elif icmp:
            closed = (icmp.type, icmp.code) in PORT_UNREACHABLE
            probe.finish(refused if closed else Verdict.REJECTED, str(icmp), icmp=icmp)
        elif code in REFUSALS:
            probe.finish(refused, "refused")
        elif code in NO_WAYS:
            probe.finish(Verdict.NO_ROUTE, os.strerror(code or 0))
        elif code == errno.ETIMEDOUT:
            probe.finish(Verdict.DROPPED, late=probe.job.again)
        else:
            probe.finish(Verdict.INCONCLUSIVE, os.strerror(code or 0))

    def _icmp(self, probe: Probe) -> Optional[Icmp]:
        """The ICMP message that ended the probe, or None. See ip(7), IP_RECVERR."""
        try:
            ancillary = probe.sock.recvmsg(LONGEST, 512, socket.MSG_ERRQUEUE)[1]
        except (OSError, AttributeError):  # no message, or there was no socket
            return None
        for level, kind, data in ancillary:
            if (level, kind) not in RECVERR or len(data) < 16:
                continue
            origin, icmp_type, icmp_code = struct.unpack_from("=BBB", data, 4)
            if origin == ORIGIN_ICMP:
                return Icmp(icmp_type, icmp_code, socket.inet_ntop(socket.AF_INET, data[20:24]))
            if origin == ORIGIN_ICMP6:
                return Icmp(icmp_type, icmp_code, socket.inet_ntop(socket.AF_INET6, data[24:40]))
        return None

    def _close(self, probe: Probe) -> None:
        if probe.sock is None:
            return
        self.live.pop(probe.sock.fileno(), None)
        if probe.connected:
            # A reset leaves neither a TIME_WAIT here nor one there.
            probe.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        probe.sock.close()


def probe_all(jobs: Sequence[Job], token: str, timeout: float = TIMEOUT) -> list[Result]:
    """Run every job; one Result each, found by its id.

    timeout: seconds that each probe may take. What looks late (a connection without an answer; silence, for jobs that
    are to be asked `again`) is probed again, AGAIN times at most, and waits PATIENCE timeouts then.
    """
    results: dict[str, Result] = {}
    for attempt in range(1 + AGAIN):
        late = []
        for probe in Prober(token, timeout * (PATIENCE if attempt else 1)).run(jobs):
            if probe.result:
                results[probe.job.id] = probe.result
            if probe.late:
                late.append(probe.job)
        jobs = late
        if not jobs:
            break
    return list(results.values())
