# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The listener: one detached process a host, which answers nonces and notes which probes it sees. Linux only.

It hears every probe in up to three places, and so tells *where* a packet ended:

    left      it went out of a device here: sent, or forwarded by a router    (packet socket, after POSTROUTING)
    arrived   it came in by a device here                                     (packet socket, before PREROUTING)
    passed    the firewall's INPUT let it through                             (raw socket, after LOCAL_IN)

The raw socket also hears datagrams for ports that belong to the kernel or to a real service (VXLAN's 4789), and answers
their nonces: so UDP can be judged there as well.

The process lives until it is stopped or its time to live is over, whatever comes first, and leaves nothing on disk: it
is controlled over an abstract UNIX socket (control.py). Any user of the host may connect to that; only root, or the
user that the listener runs as, is read from, and no read of it ever waits.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import json
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.control import peer_uid
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import (
    PLACES,
    Heard,
    Hears,
    Noted,
    Socket,
    Stopped,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import LONGEST, answer, read_question
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.sockets import family_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.wire import (
    AUXDATA,
    PACKET_AUXDATA,
    SOL_PACKET,
    TCP,
    UDP,
    Packet,
    hearing,
    is_regular,
    lost_by_raw,
    lost_by_wire,
    read_packet,
    read_segment,
    status_of,
    udp_datagram,
)

#: A flow is noted once; a host that is flooded meanwhile must not run out of memory. What is above counts as lost.
MOST_FLOWS = 200000
#: Connections that wait for their nonce at once; the oldest makes room for a new one.
MOST_STREAMS = 4096
#: Packets read from one socket before the others have their turn.
TURN = 256
#: Seconds for what waits in the sockets to be read before the answer. What is left then counts as lost.
DRAIN = 5.0
#: Bytes of a command on the control socket, and seconds for its answer to be taken.
LONGEST_COMMAND, ANSWER_TIMEOUT = 1 << 20, 10
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD

Flow = tuple  # (source, dest, proto, port)


def grouped(flows: set[Flow], peers: set[str]) -> tuple[Heard, ...]:
    """{(source, dest, proto, port)} -> the Heard of the sources in peers."""
    ports: dict[tuple[str, str, str], list[int]] = {}
    for source, dest, proto, port in flows:
        if source in peers:
            ports.setdefault((source, dest, proto), []).append(port)
    return tuple(Heard(*key, tuple(sorted(found))) for key, found in ports.items())


class Listener:
    """Sockets and what they heard; lives in the detached process."""

    def __init__(self, token: str, name: str, key: bytes) -> None:
        self.token = token
        self.name = name
        self.key = key
        self.epoll = select.epoll()
        self.handlers: dict[int, tuple[socket.socket, Callable[[socket.socket], object]]] = {}
        self.owned: set[tuple[str, int]] = set()  # of our UDP sockets: the raw socket leaves their questions to them
        self.busy: list[Noted] = []
        self.unusable: list[Noted] = []
        self.heard: dict[str, set[Flow]] = {place: set() for place in PLACES}
        self.hears = Hears()
        self.addresses: frozenset[str] = frozenset()  # that are served: a packet for one of them has arrived for good
        self.raw: dict[tuple[int, int], socket.socket] = {}  # (family, protocol) -> raw socket
        self.wire: Optional[socket.socket] = None
        self.lost = 0
        self.streams: collections.deque[socket.socket] = collections.deque()
        self.commands: dict[int, bytes] = {}  # descriptor -> what was read of a command
        self.stopped = False

    def add(self, sock: socket.socket, handler: Callable[[socket.socket], object]) -> None:
        """Call handler(socket) whenever the socket has something."""
        sock.setblocking(False)
        self.epoll.register(sock.fileno(), select.EPOLLIN)
        self.handlers[sock.fileno()] = (sock, handler)

    def remove(self, sock: socket.socket) -> None:
        """Forget a socket and close it."""
        self.handlers.pop(sock.fileno(), None)
        self.commands.pop(sock.fileno(), None)
        sock.close()

    # Open

    def open(self, control: str, addresses: Sequence[str], ports: Sequence[tuple[str, int]]) -> None:
        """Bind every (proto, port) on every address; note what is taken and what fails. control: the control socket's
        name."""
        self.addresses = frozenset(addresses)
        self._open_control(control)
        self._open_packets()
        for address in addresses:
            for proto, port in ports:
                try:
                    self._bind(proto, address, port)
                except OSError as error:
                    kept = self.busy if error.errno == errno.EADDRINUSE else self.unusable
                    kept.append(Noted(Socket(proto, address, port), os.strerror(error.errno or 0)))

    def _bind(self, proto: str, address: str, port: int) -> None:
        kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
        sock = socket.socket(family_of(address), kind)
        try:
            if proto == "tcp":
                # Left-overs of earlier connections must not look like a service.
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((address, port))
            if proto == "tcp":
                sock.listen(128)
        except OSError:
            sock.close()
            raise
        if proto == "tcp":
            self.add(sock, self._accept)
        else:
            self.owned.add((address, port))
            self.add(sock, self._datagram)

    def _open_control(self, name: str) -> None:
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        control.bind(name)
        control.listen(128)
        self.add(control, self._control)

    def _open_packets(self) -> None:
        """Raw and packet sockets need CAP_NET_RAW. Without them the proof still runs but sees less: `hears` says so."""
        try:
            for proto in (UDP, TCP):
                self._open_raw(socket.AF_INET, proto)
                with contextlib.suppress(OSError):  # no IPv6 in this kernel, or in this namespace
                    self._open_raw(socket.AF_INET6, proto)
                    self.raw[socket.AF_INET6, proto].setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
            self.hears = Hears(passed=True)
            # Only a socket for *every* protocol is shown what goes out.
            self.wire = hearing(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)))
            self.wire.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
            self.add(self.wire, self._on_wire)
            self.hears = Hears(passed=True, wire=True)
        except OSError as error:
            self.hears = self.hears._replace(error=os.strerror(error.errno or 0))

    def _open_raw(self, family: int, proto: int) -> None:
        self.raw[family, proto] = hearing(socket.socket(family, socket.SOCK_RAW, proto))
        self.add(self.raw[family, proto], self._past_input)

    # Serve

    def serve(self, seconds: float) -> None:
        """Answer until stopped, or until the time to live is over."""
        end = time.monotonic() + seconds
        while not self.stopped and time.monotonic() < end:
            for descriptor, _dummy in self.epoll.poll(max(0.0, min(1.0, end - time.monotonic()))):
                if descriptor in self.handlers:
                    sock, handler = self.handlers[descriptor]
                    handler(sock)

    def _accept(self, sock: socket.socket) -> None:
        try:
            connection = sock.accept()[0]
        except OSError:  # the other end has given up already
            return
        self.streams.append(connection)
        if len(self.streams) > MOST_STREAMS:
            self.remove(self.streams.popleft())
        self.add(connection, self._stream)

    def _stream(self, sock: socket.socket) -> None:
        try:
            job_id = read_question(self.token, sock.recv(LONGEST))
            if job_id is not None:
                at, port = sock.getsockname()[:2]
                sock.sendall(self._answer("tcp", job_id, sock.getpeername()[0], at, port))
                return  # the prober closes it
        except OSError:
            pass
        with contextlib.suppress(ValueError):
            self.streams.remove(sock)
        self.remove(sock)

    def _answer(self, proto: str, job_id: str, peer: str, at: str, port: int) -> bytes:
        return answer(self.token, self.key, proto, job_id, self.name, peer, at, port)

    def _datagram(self, sock: socket.socket) -> None:
        try:
            data, peer = sock.recvfrom(LONGEST)
            job_id = read_question(self.token, data)
            if job_id is not None:
                at, port = sock.getsockname()[:2]
                sock.sendto(self._answer("udp", job_id, peer[0], at, port), peer)
        except OSError:  # e.g. our own answer is not allowed out: the prober says that it got none
            pass

    def _past_input(self, sock: socket.socket) -> bool:
        """Note what a raw socket has. Returns whether there may be more."""
        number = 0
        for packet, where, ancillary in self._frames(sock):
            number += 1
            if sock.family == socket.AF_INET6:  # its packets come without their IP headers
                at = next((data[:16] for _level, kind, data in ancillary if kind == IPV6_PKTINFO), bytes(16))
                dest = socket.inet_ntop(socket.AF_INET6, at)
                flow = read_segment(self.token, sock.proto, packet, where[0], dest)
            else:
                flow = read_packet(self.token, packet)
            if flow is None:
                continue
            self._note("passed", flow)
            if flow.proto == "udp" and (flow.dest, flow.port) not in self.owned:
                said = self._answer("udp", flow.job_id or "", flow.source, flow.dest, flow.port)
                datagram = udp_datagram(flow.dest, flow.port, flow.source, flow.source_port, said)
                self._answer_raw(sock, flow.source, flow.dest, datagram)
        return number == TURN

    @staticmethod
    def _answer_raw(sock: socket.socket, to: str, own: str, datagram: bytes) -> None:
        """Send a datagram from the address that was asked: a router would choose the one on the subnet of the asker."""
        if sock.family == socket.AF_INET6:
            level, kind, info = socket.IPPROTO_IPV6, IPV6_PKTINFO, socket.inet_pton(sock.family, own) + bytes(4)
        else:
            level, kind, info = socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, socket.inet_aton(own), bytes(4))
        with contextlib.suppress(OSError):  # an answer that is not allowed out: the prober says that it got none
            sock.sendmsg([datagram], [(level, kind, info)], 0, (to, 0))

    def _on_wire(self, sock: socket.socket) -> bool:
        """Note what the packet socket has. Returns whether there may be more.

        What has left a host or passed its INPUT was let on, whatever its form. What has come in tells of a filter if it
        does not go on: that takes a packet that nothing else would stop.
        """
        number = 0
        for packet, where, ancillary in self._frames(sock):
            number += 1
            interface, protocol, kind = where[:3]
            if interface == "lo" or protocol not in (ETH_P_IP, ETH_P_IPV6):
                continue
            flow = read_packet(self.token, packet)
            if flow is None:
                continue
            if kind == socket.PACKET_OUTGOING:
                self._note("left", flow)
            elif kind == socket.PACKET_HOST and is_regular(packet, flow.dest in self.addresses, status_of(ancillary)):
                self._note("arrived", flow)
        return number == TURN

    @staticmethod
    def _frames(sock: socket.socket) -> Iterator[tuple[bytes, Any, Any]]:
        """Yield what is there now; other sockets have their turn too."""
        for _dummy in range(TURN):
            try:
                packet, ancillary, _flags, where = sock.recvmsg(LONGEST, socket.CMSG_SPACE(AUXDATA.size))
            except OSError:
                return
            yield packet, where, ancillary

    def _note(self, place: str, packet: Packet) -> None:
        flows, flow = self.heard[place], packet[:4]
        if flow in flows:
            return
        if len(flows) < MOST_FLOWS:
            flows.add(flow)
        else:
            self.lost += 1

    # Stop

    def _control(self, sock: socket.socket) -> None:
        """Let in our own user, or root. Others are turned away before a byte of theirs is read."""
        try:
            connection = sock.accept()[0]
        except OSError:
            return
        if peer_uid(connection) in (0, os.getuid()):
            self.commands[connection.fileno()] = b""
            self.add(connection, self._command)
        else:
            connection.close()

    def _command(self, sock: socket.socket) -> None:
        """Read what is there of a command; whole when its end is closed. Another run has to ask without a token."""
        try:
            data = sock.recv(1 << 16)
            self.commands[sock.fileno()] += data
            if data and len(self.commands[sock.fileno()]) < LONGEST_COMMAND:
                return
            asked = json.loads(self.commands[sock.fileno()].decode())
            if asked["token"] in (None, self.token):
                self._hand_over(sock, set(asked["peers"]))
                return
        except BlockingIOError:
            return
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.remove(sock)

    def _hand_over(self, connection: socket.socket, peers: set[str]) -> None:
        """Read what still waits, let go of all sockets, say what was heard, and end."""
        said = self._all_that_was_heard(peers)
        for sock, _dummy in list(self.handlers.values()):  # the next listener may bind the same ports at once
            if sock is not connection:
                self.remove(sock)
        connection.settimeout(ANSWER_TIMEOUT)
        with contextlib.suppress(OSError), connection:
            connection.sendall(json.dumps(said.to_dict()).encode())
        self.stopped = True

    def _all_that_was_heard(self, peers: set[str]) -> Stopped:
        end = time.monotonic() + DRAIN
        waits = True
        while waits and time.monotonic() < end:
            waits = bool(self.wire and self._on_wire(self.wire))
            for sock in self.raw.values():
                waits = self._past_input(sock) or waits
        lost = self.lost + waits + sum(map(lost_by_raw, self.raw.values()))
        lost_wire = waits + (lost_by_wire(self.wire) if self.wire else 0)
        return Stopped(True, lost, lost_wire, **{place: grouped(self.heard[place], peers) for place in PLACES})
