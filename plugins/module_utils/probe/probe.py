# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The prober: thousands of TCP and UDP probes at once from one process. Standard library only; Linux.

A probe is a nonce that the listener (listener.py) of the right host has to answer; its verdict says what happened:

    ALLOWED       the nonce was answered (or, for a service that was there before, a connection was made)
    REJECTED      refused, although something listens there; or an ICMP message says that a filter refused it
    DROPPED       no answer within the timeout
    NO_LISTENER   refused, and nothing listens there: the packet may have passed or not
    NO_ROUTE      it never left, or a router says that there is no way
    MISDIRECTED   something else than the expected listener answered: an address translation to the wrong host
    INCONCLUSIVE  the probe itself failed

ONE_WAY (the packet was let in, its answer was lost) cannot be seen from this end: the judge says it, from what the
listener heard.
"""

from __future__ import annotations

import collections
import errno
import heapq
import json
import os
import select
import socket
import struct
import time

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.hostnet import allow_descriptors, family_of

# The first four bytes. They differ, or else two listeners that hear raw packets would answer each other's answers for
# ever.
ASKS, ANSWERS = b"bhq ", b"bha "
LONGEST = 1024  # bytes of a question or an answer

# A reject of IPv6 reaches a connecting TCP socket only after 1.03 s, and Linux sends a SYN again after 1 s and 3 s:
# under 3.2 s a reject reads as a drop, and a lost packet as a block.
TIMEOUT = 3.2
RESEND_AT = (0.25, 0.5)  # an unanswered datagram is sent again after these parts of the timeout
BATCH, PAUSE = 100, 0.01  # probes begun at once, and the rest (s) after: a burst overflows the receiver's backlog
SPARE_DESCRIPTORS = 64

# <linux/in.h>, <linux/in6.h>, <linux/errqueue.h>; the socket module has no names for them.
IP_RECVERR, IPV6_RECVERR, IP_BIND_ADDRESS_NO_PORT = 11, 25, 24
ORIGIN_ICMP, ORIGIN_ICMP6 = 2, 3
UNREACHABLE, UNREACHABLE6 = 3, 1
# ICMP "destination unreachable" codes that say that there is no way, rather than that somebody forbids it.
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


def question(token, job_id):
    """The nonce of a probe. Datagrams are found by their first bytes, so ASKS and the run's token come first."""
    return ASKS + token.encode() + b" " + job_id.encode() + b"\n"


def read_question(token, data):
    """The probe's id, or None if these bytes are not a question of this run."""
    start = ASKS + token.encode() + b" "
    return data[len(start) :].split(b"\n", 1)[0].decode("ascii", "replace") if data.startswith(start) else None


def answer(token, job_id, name, peer, at, port):
    """What the listener `name` says to a question that came from the address `peer` to its own address and port."""
    said = {"id": job_id, "name": name, "peer": peer, "at": at, "port": port}
    return ANSWERS + token.encode() + b" " + json.dumps(said).encode() + b"\n"


def read_answer(token, data):
    """{id, name, peer, at, port}, or None if these bytes are not an answer of this run."""
    start = ANSWERS + token.encode() + b" "
    if not data.startswith(start):
        return None
    try:
        said = json.loads(data[len(start) :].decode())
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


class Probe:
    """One probe on its way. `finish` is called once, with the verdict."""

    __slots__ = ("job", "sock", "began", "connected", "heard", "result")

    def __init__(self, job):
        self.job = job
        self.sock = None
        self.began = None
        self.connected = False
        self.heard = b""
        self.result = None

    def finish(self, verdict, detail="", **more):
        """Keep the verdict with what is known of it; a field without a value is left out: there are thousands of
        results."""
        self.result = {"id": self.job["id"], "verdict": verdict, "ms": round((time.monotonic() - self.began) * 1000, 1)}
        if detail:
            self.result["detail"] = detail
        self.result.update((key, value) for key, value in more.items() if value)


class Prober:
    """Runs jobs over non-blocking sockets and one epoll."""

    def __init__(self, token, timeout):
        self.token = token
        self.timeout = timeout
        self.epoll = select.epoll()
        self.live = {}  # descriptor -> Probe
        self.timers = []  # heap of (when, n, Probe, what to do then)
        self.timer_number = 0

    def run(self, jobs):
        """Probe all jobs; the results are in the jobs' order."""
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
        return [probe.result for probe in probes]

    def _rest(self, more):
        if more and len(self.timers) == 0:
            return 0
        until = max(0.0, self.timers[0][0] - time.monotonic()) if self.timers else 0.0
        return min(PAUSE, until) if more else until

    def _run_timers(self):
        now = time.monotonic()
        while self.timers and self.timers[0][0] <= now:
            _dummy, _dummy, probe, action = heapq.heappop(self.timers)
            if probe.result is None:
                action(probe)

    def _after(self, seconds, probe, action):
        self.timer_number += 1
        heapq.heappush(self.timers, (probe.began + seconds, self.timer_number, probe, action))

    # Begin

    def _begin(self, probe):
        probe.began = time.monotonic()
        try:
            self._open(probe)
        except OSError as error:
            self._failed(probe, error.errno)
            self._close(probe)
            return
        self.live[probe.sock.fileno()] = probe
        self._after(self.timeout, probe, self._expire)

    def _open(self, probe):
        job = probe.job
        family = family_of(job["dest"])
        kind = socket.SOCK_STREAM if job["proto"] == "tcp" else socket.SOCK_DGRAM
        probe.sock = sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        if job.get("source"):
            # Without this option a bind takes the local port for this socket alone: 28,000 probes and no more.
            sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
            sock.bind((job["source"], 0))
        if kind == socket.SOCK_DGRAM:
            sock.connect((job["dest"], job["port"]))
            self.epoll.register(sock.fileno(), select.EPOLLIN)
            self._send(probe)
            for part in RESEND_AT:
                self._after(self.timeout * part, probe, self._send)
            return
        self.epoll.register(sock.fileno(), select.EPOLLOUT)
        code = sock.connect_ex((job["dest"], job["port"]))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))

    def _send(self, probe):
        """Send the nonce. An error that a datagram met earlier is reported here as well: both ways lead to _failed."""
        try:
            probe.sock.send(question(self.token, probe.job["id"]))
        except BlockingIOError:  # the queue of the device is full; the datagram is sent again
            pass
        except OSError as error:
            if probe.began is None or probe.sock.fileno() not in self.live:
                raise
            self._end(probe, error.errno)

    # What happens

    def _event(self, probe):
        if probe.connected or probe.job["proto"] == "udp":
            self._receive(probe)
        else:
            self._connect_done(probe)

    def _connect_done(self, probe):
        code = probe.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._end(probe, code)
        elif probe.job.get("service"):
            # Not ours: it is not for us to send it bytes that it does not understand.
            probe.finish("ALLOWED", "connected to the service that listens there")
            self._close(probe)
        else:
            probe.connected = True
            self.epoll.modify(probe.sock.fileno(), select.EPOLLIN)
            self._send(probe)

    def _receive(self, probe):
        try:
            data = probe.sock.recv(LONGEST)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(probe, error.errno)
            return
        if probe.job["proto"] == "udp":
            self._answered(probe, data)
            return
        probe.heard += data
        if probe.heard.endswith(b"\n") or not data or len(probe.heard) > LONGEST:
            self._answered(probe, probe.heard)

    def _answered(self, probe, data):
        job = probe.job
        said = read_answer(self.token, data)
        if said is None:
            if job["proto"] == "udp" and job.get("service"):
                probe.finish("ALLOWED", "the service that listens there answered")
            else:
                probe.finish("MISDIRECTED", "what answered is not a listener of this run")
        elif said.get("id") != job["id"]:
            return  # a late answer to another probe
        elif job.get("host") and said.get("name") != job["host"]:
            probe.finish("MISDIRECTED", "%s answered, at %s" % (said.get("name"), said.get("at")), by=said.get("name"))
        elif (said.get("at"), said.get("port")) != (job["dest"], job["port"]):
            where = "it arrived at %s port %s" % (said.get("at"), said.get("port"))
            probe.finish("MISDIRECTED", where, by=said.get("name"))
        else:
            translated = job.get("source") and said.get("peer") != job["source"]
            probe.finish(
                "ALLOWED",
                "its source arrived as %s" % said.get("peer") if translated else "",
                peer=said.get("peer") if translated else None,
            )
        self._close(probe)

    def _expire(self, probe):
        if probe.connected:
            probe.finish("MISDIRECTED", "a connection was made, but nobody answered the nonce")
        else:
            probe.finish("DROPPED")
        self._close(probe)

    # End

    def _end(self, probe, code):
        self._failed(probe, code)
        self._close(probe)

    def _failed(self, probe, code):
        """The verdict of an error: what the ICMP message says where there is one, else what the error number says."""
        icmp = self._icmp(probe)
        if probe.connected:
            probe.finish("MISDIRECTED", "a connection was made and broken before the nonce was answered")
        elif icmp and (icmp["type"], icmp["code"]) in NO_WAY:
            probe.finish("NO_ROUTE", "ICMP %(type)d/%(code)d from %(from)s" % icmp, icmp=icmp)
        elif icmp:
            refused = "REJECTED"
            if (icmp["type"], icmp["code"]) in PORT_UNREACHABLE and not probe.job.get("listening"):
                refused = "NO_LISTENER"
            probe.finish(refused, "ICMP %(type)d/%(code)d from %(from)s" % icmp, icmp=icmp)
        elif code in REFUSALS:
            probe.finish("REJECTED" if probe.job.get("listening") else "NO_LISTENER", "refused")
        elif code in NO_WAYS:
            probe.finish("NO_ROUTE", os.strerror(code))
        elif code == errno.ETIMEDOUT:
            probe.finish("DROPPED")
        else:
            probe.finish("INCONCLUSIVE", os.strerror(code))

    def _icmp(self, probe):
        """{type, code, from} of the ICMP message that ended the probe, or None. See ip(7), IP_RECVERR."""
        try:
            _dummy, ancillary, _dummy, _dummy = probe.sock.recvmsg(LONGEST, 512, socket.MSG_ERRQUEUE)
        except (OSError, AttributeError):  # no message, or there was no socket
            return None
        for level, kind, data in ancillary:
            if (level, kind) in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)) and len(
                data
            ) >= 16:
                origin, icmp_type, icmp_code = struct.unpack_from("=BBB", data, 4)
                if origin == ORIGIN_ICMP:
                    return {"type": icmp_type, "code": icmp_code, "from": socket.inet_ntop(socket.AF_INET, data[20:24])}
                if origin == ORIGIN_ICMP6:
                    return {
                        "type": icmp_type,
                        "code": icmp_code,
                        "from": socket.inet_ntop(socket.AF_INET6, data[24:40]),
                    }
        return None

    def _close(self, probe):
        if probe.sock is None:
            return
        self.live.pop(probe.sock.fileno(), None)
        if probe.connected:
            # A reset leaves neither a TIME_WAIT here nor one there.
            probe.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        probe.sock.close()


def probe_all(jobs, token, timeout=TIMEOUT):
    """Run every job and return one result for each, in the same order.

    jobs: dicts with
        id         text without blanks, unique in the run
        proto      tcp or udp
        source     own address to send from, or None for the kernel's choice
        dest, port where to
        host       name of the listener that has to answer, or None
        listening  whether something is known to listen there: tells a reject from a closed port
        service    whether that is a service which was there before, and that knows nothing of nonces
    timeout: seconds that each probe may take.
    Returns dicts {id, verdict, ms} and, where they are known, detail (text), by (who answered instead), peer (the
    source as the listener saw it, where it was translated), icmp {type, code, from}.
    """
    return Prober(token, timeout).run(jobs)
