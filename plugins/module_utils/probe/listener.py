# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The listener: one detached process a host, which answers nonces and notes which probes it sees. Linux only.

It hears every probe in up to three places, and so tells *where* a packet ended:

    left      it went out of a device here: sent, or forwarded by a router    (packet socket, after POSTROUTING)
    arrived   it came in by a device here                                     (packet socket, before PREROUTING)
    passed    the firewall's INPUT let it through                             (raw socket, after LOCAL_IN)

The raw socket also hears datagrams for ports that belong to the kernel or to a real service (VXLAN's 4789), and answers
their nonces: so UDP can be judged there as well.

The process lives until it is stopped or its time to live is over, whatever comes first, and leaves nothing on disk: it
is controlled over an abstract UNIX socket, one for each network namespace. A new listener replaces an older one.
"""

from __future__ import annotations

import array
import contextlib
import errno
import ipaddress
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.hostnet import (
    allow_descriptors,
    bound_ports,
    family_of,
    own_addresses,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import (
    ASKS,
    LONGEST,
    answer,
    probe_all,
    read_question,
)

CONTROL = "\0bulkhead.tiers.flow_probe"
CONTROL_TIMEOUT = 10  # seconds for the process to start or to hand over what it heard
SELF_TIMEOUT = 1.0  # seconds for a probe over the loopback device
MOST_FLOWS = 200000  # a flow is noted once; a host that is flooded meanwhile must not run out of memory
BUFFER = 8 << 20  # bytes of unread packets: all hosts probe at once

SO_ATTACH_FILTER, SO_RCVBUFFORCE, IP_PKTINFO = 26, 33, 8
SOL_PACKET, PACKET_STATISTICS = 263, 6
ETH_P_ALL, ETH_P_IP = 0x0003, 0x0800
TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
SYN, SYN_ACK = 0x02, 0x12

# Classic BPF (linux/filter.h): (code, jump if true, jump if false, operand). The packet starts with its IP header.
LD_WORD, LD_BYTE, LD_BYTE_ABS, LDX_IHL = 0x40, 0x50, 0x30, 0xB1
AND, JEQ, RETURN = 0x54, 0x15, 0x06
ONLY_PROBES = [
    (LD_BYTE_ABS, 0, 0, 9),
    (JEQ, 1, 0, TCP),
    (JEQ, 4, 8, UDP),
    (LDX_IHL, 0, 0, 0),
    (LD_BYTE, 0, 0, 13),
    (AND, 0, 0, SYN_ACK),
    (JEQ, 3, 4, SYN),
    (LDX_IHL, 0, 0, 0),
    (LD_WORD, 0, 0, 8),
    (JEQ, 0, 1, struct.unpack("!I", ASKS)[0]),
    (RETURN, 0, 0, LONGEST),
    (RETURN, 0, 0, 0),
]


class ListenerError(Exception):
    """The listener could not be started or asked; the text says what to do."""


# What the packets say


def read_packet(token, packet):
    """The flow that an IPv4 packet begins: (source, dest, proto, port, source port, probe's id), or None.

    packet: bytes from the IP header on. TCP counts with its SYN alone; a SYN carries no nonce: its id is None.
    """
    if len(packet) < 28:
        return None
    at = (packet[0] & 0xF) * 4
    proto = packet[9]
    if len(packet) < at + 8:
        return None
    sport, dport = struct.unpack_from("!HH", packet, at)
    job_id = None
    if proto == UDP:
        job_id = read_question(token, packet[at + 8 :])
        if job_id is None:
            return None
    elif proto != TCP or len(packet) < at + 14 or packet[at + 13] & SYN_ACK != SYN:
        return None
    source, dest = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    return source, dest, "udp" if proto == UDP else "tcp", dport, sport, job_id


def udp_datagram(source, sport, dest, dport, payload):
    """A UDP header with its checksum (RFC 768), and the payload: what a raw socket sends for another's port."""
    length = 8 + len(payload)
    pseudo = socket.inet_aton(source) + socket.inet_aton(dest) + struct.pack("!BBH", 0, UDP, length)
    header = struct.pack("!HHHH", sport, dport, length, 0)
    data = pseudo + header + payload + b"\0" * (length % 2)
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!HHHH", sport, dport, length, (~total & 0xFFFF) or 0xFFFF) + payload


def grouped(flows, peers):
    """{(source, dest, proto, port)} -> {"source dest proto": [ports]} of the sources in peers."""
    ports = {}
    for source, dest, proto, port in flows:
        if source in peers:
            ports.setdefault("%s %s %s" % (source, dest, proto), []).append(port)
    return {key: sorted(found) for key, found in ports.items()}


# The process


class Listener:
    """Sockets and what they heard; lives in the detached process."""

    def __init__(self, token, name):
        self.token = token
        self.name = name
        self.epoll = select.epoll()
        self.handlers = {}  # descriptor -> (socket, method)
        self.owned = set()  # (address, port) of our UDP sockets: the raw socket leaves their questions to them
        self.busy, self.failed = [], []
        self.passed, self.arrived, self.left = set(), set(), set()
        self.hears = {"passed": False, "wire": False}
        self.raw_udp = None
        self.wire, self.lost = None, 0
        self.control = None
        self.stopped = False

    def add(self, sock, handler):
        """Call handler(socket) whenever the socket has something."""
        sock.setblocking(False)
        self.epoll.register(sock.fileno(), select.EPOLLIN)
        self.handlers[sock.fileno()] = (sock, handler)

    def remove(self, sock):
        """Forget a socket and close it."""
        self.handlers.pop(sock.fileno(), None)
        sock.close()

    # Open

    def open(self, addresses, ports):
        """Bind every (proto, port) on every address; note what is taken and what fails."""
        self._open_control()
        self._open_packets()
        for address in addresses:
            for proto, port in ports:
                try:
                    self._bind(proto, address, port)
                except OSError as error:
                    kept = self.busy if error.errno == errno.EADDRINUSE else self.failed
                    kept.append({"proto": proto, "address": address, "port": port, "error": os.strerror(error.errno)})

    def _bind(self, proto, address, port):
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

    def _open_control(self):
        self.control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.control.bind(CONTROL)
        self.control.listen(4)
        self.add(self.control, self._command)

    def _open_packets(self):
        """Raw and packet sockets need CAP_NET_RAW. Without them the proof still runs but sees less: `hears` says so."""
        try:
            self.raw_udp = self._hearing(socket.socket(socket.AF_INET, socket.SOCK_RAW, UDP))
            raw_tcp = self._hearing(socket.socket(socket.AF_INET, socket.SOCK_RAW, TCP))
            self.add(self.raw_udp, self._past_input)
            self.add(raw_tcp, self._past_input)
            self.hears["passed"] = True
            # Only a socket for *every* protocol is shown what goes out.
            wire = self._hearing(socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL)))
            self.add(wire, self._on_wire)
            self.wire = wire
            self.hears["wire"] = True
        except OSError as error:
            self.hears["error"] = os.strerror(error.errno)

    @staticmethod
    def _hearing(sock):
        code = array.array("B", b"".join(struct.pack("HBBI", *step) for step in ONLY_PROBES))
        sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(ONLY_PROBES), code.buffer_info()[0]))
        try:
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        except OSError:  # no CAP_NET_ADMIN: as much as anybody may have
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        return sock

    # Serve

    def serve(self, seconds):
        """Answer until stopped, or until the time to live is over."""
        end = time.monotonic() + seconds
        while not self.stopped and time.monotonic() < end:
            for descriptor, _dummy in self.epoll.poll(max(0.0, min(1.0, end - time.monotonic()))):
                if descriptor in self.handlers:
                    sock, handler = self.handlers[descriptor]
                    handler(sock)

    def _accept(self, sock):
        try:
            connection = sock.accept()[0]
        except OSError:  # the other end has given up already
            return
        self.add(connection, self._stream)

    def _stream(self, sock):
        try:
            job_id = read_question(self.token, sock.recv(LONGEST))
            if job_id is not None:
                sock.sendall(answer(self.token, job_id, self.name, sock.getpeername()[0], *sock.getsockname()[:2]))
                return  # the prober closes it
        except OSError:
            pass
        self.remove(sock)

    def _datagram(self, sock):
        try:
            data, peer = sock.recvfrom(LONGEST)
            job_id = read_question(self.token, data)
            if job_id is not None:
                sock.sendto(answer(self.token, job_id, self.name, peer[0], *sock.getsockname()[:2]), peer)
        except OSError:  # e.g. our own answer is not allowed out: the prober says that it got none
            pass

    def _past_input(self, sock):
        for packet, _dummy in self._packets(sock):
            flow = read_packet(self.token, packet)
            if flow is None:
                continue
            source, dest, proto, port, sport, job_id = flow
            self._note(self.passed, flow)
            if proto == "udp" and (dest, port) not in self.owned:
                said = answer(self.token, job_id, self.name, source, dest, port)
                self._answer_raw(source, dest, udp_datagram(dest, port, source, sport, said))

    def _answer_raw(self, to, own, datagram):
        """Send a datagram from the address that was asked: a router would choose the one on the subnet of the asker."""
        info = struct.pack("=i4s4s", 0, socket.inet_aton(own), bytes(4))
        with contextlib.suppress(OSError):  # an answer that is not allowed out: the prober says that it got none
            self.raw_udp.sendmsg([datagram], [(socket.IPPROTO_IP, IP_PKTINFO, info)], 0, (to, 0))

    def _on_wire(self, sock):
        for packet, where in self._packets(sock):
            interface, protocol, kind = where[:3]
            if interface == "lo" or protocol != ETH_P_IP or kind == socket.PACKET_OTHERHOST:
                continue
            flow = read_packet(self.token, packet)
            if flow:
                self._note(self.left if kind == socket.PACKET_OUTGOING else self.arrived, flow)

    @staticmethod
    def _packets(sock):
        """Yield what is there now, but let other sockets have their turn."""
        for _dummy in range(256):
            try:
                yield sock.recvfrom(LONGEST)
            except OSError:
                return

    @staticmethod
    def _note(flows, flow):
        if len(flows) < MOST_FLOWS:
            flows.add(flow[:4])

    def _count_lost(self):
        """Add up the packets that did not fit into the packet socket's buffer; see packet(7), PACKET_STATISTICS."""
        if self.wire is not None:
            self.lost = struct.unpack("II", self.wire.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1]

    def _command(self, sock):
        """Hand over what was heard to our own user (or root), and end. Another run has to ask without a token."""
        connection = sock.accept()[0]
        with connection:
            connection.settimeout(CONTROL_TIMEOUT)
            uid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
            try:
                asked = json.loads(_read_all(connection).decode())
                if uid not in (0, os.getuid()) or asked["token"] not in (None, self.token):
                    return
                self._count_lost()
                for heard in list(self.handlers.values()):  # whoever asks may bind the same ports at once
                    self.remove(heard[0])
                peers = set(asked["peers"])
                connection.sendall(
                    json.dumps(
                        {
                            "lost": self.lost,
                            "passed": grouped(self.passed, peers),
                            "arrived": grouped(self.arrived, peers),
                            "left": grouped(self.left, peers),
                        }
                    ).encode()
                )
            except (OSError, ValueError, KeyError):
                return
        self.stopped = True


def _read_all(sock):
    data = b""
    while True:
        part = sock.recv(1 << 16)
        if not part:
            return data
        data += part


def _detach(report, token, name, ttl, addresses, ports):
    """In the child: leave the session, bind, tell the parent over the pipe `report`, serve. Never returns."""
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        # An interval timer whose signal nobody handles kills the process, whatever it is stuck in.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, ttl + 1)
        _leave_files(report)
        allow_descriptors()
        listener = Listener(token, name)
        with os.fdopen(report, "w") as pipe:
            try:
                listener.open(addresses, ports)
                said = {"busy": listener.busy, "failed": listener.failed, "hears": listener.hears}
            except OSError as error:
                said = {"error": str(error)}
            json.dump(said, pipe)
        if "error" not in said:
            listener.serve(ttl)
    finally:
        os._exit(0)


def _leave_files(kept):
    """Let go of every file but one: whoever started the module waits for the end of its output."""
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(null, descriptor)
    os.closerange(3, kept)
    os.closerange(kept + 1, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 16))
    os.chdir("/")


# Start and stop


def start(token, name, ttl, ranges, ports):
    """Start the listener of this host, replacing an older one, and probe it from the host itself.

    token: what marks the packets of this run. name: what the listener calls itself. ttl: seconds until it ends by
    itself.
    ranges: [ip_network]; it binds the host's own addresses that are inside one of them. ports: [(proto, port)].
    Returns {replaced: bool, addresses: [{address, prefix, interface, bridge}], bound: how many sockets,
    services: [{proto, address, port, process}] that were there before, failed: [{proto, address, port, error}] that
    cannot be judged, hears: {passed, wire, error}}. Raises ListenerError.
    """
    replaced = ask(None, [])["running"]
    own = [found for found in own_addresses() if _inside(found["address"], ranges)]
    addresses = [found["address"] for found in own]
    services = _services(addresses)
    said = _spawn(token, name, ttl, addresses, ports)
    for taken in said["busy"]:
        services.setdefault((taken["proto"], taken["address"], taken["port"]), "")
    wanted = {(proto, address, port) for address in addresses for proto, port in ports}
    wanted.difference_update((lost["proto"], lost["address"], lost["port"]) for lost in said["failed"])
    silent = _self_control(token, name, wanted, services)
    return {
        "replaced": replaced,
        "addresses": own,
        "bound": len(wanted) - len(said["busy"]),
        "services": [
            _socket(key, process=services[key]) for key in sorted(services) if key in wanted or key not in silent
        ],
        "failed": said["failed"] + [_socket(key, error=silent[key]) for key in sorted(silent) if key in wanted],
        "hears": said["hears"],
    }


def _socket(key, **more):
    return dict(zip(("proto", "address", "port"), key), **more)


def _inside(address, ranges):
    one = ipaddress.ip_address(address)
    return any(one.version == network.version and one in network for network in ranges)


def _spawn(token, name, ttl, addresses, ports):
    """Start the detached process and return what it says about its sockets."""
    end, report = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os.close(end)
        _detach(report, token, name, ttl, addresses, ports)
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
        raise ListenerError("the listener could not start: %s" % said["error"])
    return said


def _services(addresses):
    """{(proto, address, port): process} of what is bound now on these addresses, or on all of them."""
    found = {}
    for (proto, address, port), process in bound_ports().items():
        for own in addresses:
            # A socket for [::] also takes IPv4, unless it says that it does not: the probe from the host itself shows
            # it.
            if address in (own, "::") or (address == "0.0.0.0" and ":" not in own):
                found[proto, own, port] = process or found.get((proto, own, port), "")
    return found


def _self_control(token, name, wanted, services):
    """Probe every socket from the host itself, over loopback: {(proto, address, port): what went wrong}."""
    keys = sorted(wanted.union(services))
    jobs = [
        {
            "id": str(number),
            "proto": proto,
            "source": None,
            "dest": address,
            "port": port,
            "host": name,
            "listening": True,
            "service": (proto, address, port) in services,
        }
        for number, (proto, address, port) in enumerate(keys)
    ]
    results = probe_all(jobs, token, SELF_TIMEOUT)
    return {
        key: "a probe from the host itself: %s" % " ".join(filter(None, [result["verdict"], result.get("detail")]))
        for key, result in zip(keys, results)
        if result["verdict"] != "ALLOWED"
    }


def ask(token, peers):
    """Stop the listener. token: only the one of this run; None: whichever runs here. peers: sources to report about.

    Returns {running: bool} and, if it was running, passed, arrived and left, each {"source dest proto": [ports]}, and
    lost, the number of packets that it could not keep.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(CONTROL_TIMEOUT)
        try:
            sock.connect(CONTROL)
        except (ConnectionRefusedError, FileNotFoundError):
            return {"running": False}
        uid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        if uid not in (0, os.getuid()):
            raise ListenerError("the control socket belongs to user %d, expected our own; end that process" % uid)
        sock.sendall(json.dumps({"token": token, "peers": peers}).encode())
        sock.shutdown(socket.SHUT_WR)
        said = _read_all(sock)
    return dict(json.loads(said.decode()), running=True) if said else {"running": False}
