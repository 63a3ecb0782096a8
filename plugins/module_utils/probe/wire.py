# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What packets say: the filter that picks probes out of all traffic, and the flow that a packet begins. Linux only."""

from __future__ import annotations

import array
import socket
import struct
from collections.abc import Sequence
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import ASKS, LONGEST, read_question

SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_MEMINFO = 26, 33, 55
SOL_PACKET, PACKET_STATISTICS, PACKET_AUXDATA = 263, 6, 8
#: struct tpacket_auxdata of <linux/if_packet.h>: status, length, kept, where the headers are, VLAN tag, its protocol.
AUXDATA = struct.Struct("=IIIHHHH")
#: Of its status: the checksum is left to a device, or was checked by one; a VLAN's tag came with the packet.
SUM_LEFT, SUM_GOOD, VLAN_TAG = 0x8, 0x80, 0x10
#: Bytes of a packet of the prober at most, options of TCP and the longest id of a job included.
LONGEST_PROBE = 576
#: Bytes of IPv6's header. What follows it in a prober's packet is the segment, and no further header.
HEADER6 = 40
#: More fragments, and the offset of one.
FRAGMENT = 0x3FFF
#: Below, ports are for root; a kernel that chooses one takes none of them.
FIRST_PORT = 1024
#: Bytes of unread packets at most: all hosts probe at once. A router's devices see all of it twice.
BUFFER, BUFFER_WIRE = 8 << 20, 32 << 20
TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
SYN, SYN_ACK = 0x02, 0x12
#: FIN, SYN, RST, PSH, ACK and URG: a packet that begins a connection has SYN alone.
FLAGS = 0x3F

# Classic BPF (linux/filter.h): (code, jump if true, jump if false, operand).
LD_WORD, LD_BYTE, LD_WORD_ABS, LD_BYTE_ABS, LDX_IHL = 0x40, 0x50, 0x20, 0x30, 0xB1
AND, JEQ, RETURN = 0x54, 0x15, 0x06
_ASKS = struct.unpack("!I", ASKS)[0]
_KEEP = [(RETURN, 0, 0, LONGEST), (RETURN, 0, 0, 0)]
#: For packets that start with their IP header, of either family.
ONLY_PROBES = [
    (LD_BYTE_ABS, 0, 0, 0),
    (AND, 0, 0, 0xF0),
    (JEQ, 10, 0, 0x60),
    (LD_BYTE_ABS, 0, 0, 9),
    (JEQ, 1, 0, TCP),
    (JEQ, 4, 16, UDP),
    (LDX_IHL, 0, 0, 0),
    (LD_BYTE, 0, 0, 13),
    (AND, 0, 0, SYN_ACK),
    (JEQ, 11, 12, SYN),
    (LDX_IHL, 0, 0, 0),
    (LD_WORD, 0, 0, 8),
    (JEQ, 8, 9, _ASKS),
    (LD_BYTE_ABS, 0, 0, 6),
    (JEQ, 4, 0, UDP),
    (JEQ, 0, 6, TCP),
    (LD_BYTE_ABS, 0, 0, HEADER6 + 13),
    (AND, 0, 0, SYN_ACK),
    (JEQ, 2, 3, SYN),
    (LD_WORD_ABS, 0, 0, HEADER6 + 8),
    (JEQ, 0, 1, _ASKS),
    *_KEEP,
]
#: For what a raw socket of IPv6 is given, which has lost its IP headers: by protocol.
ONLY_SEGMENTS = {
    TCP: [(LD_BYTE_ABS, 0, 0, 13), (AND, 0, 0, SYN_ACK), (JEQ, 0, 1, SYN), *_KEEP],
    UDP: [(LD_WORD_ABS, 0, 0, 8), (JEQ, 0, 1, _ASKS), *_KEEP],
}


class Packet(NamedTuple):
    """The flow that a packet begins. job_id: of the question that it carries, None in a SYN."""

    source: str
    dest: str
    proto: str
    port: int
    source_port: int
    job_id: Optional[str]


class Header(NamedTuple):
    """An IP header. length, total: bytes of it, and of the packet; ends: the addresses."""

    length: int
    total: int
    hops: int
    proto: int
    ends: bytes


def read_packet(token: str, packet: bytes) -> Optional[Packet]:
    """What a packet begins, or None.

    packet: bytes from the IP header on. TCP counts with its SYN alone; a SYN carries no nonce.
    """
    header = _header(packet)
    if header is None:
        return None
    family = socket.AF_INET if len(header.ends) == 8 else socket.AF_INET6
    half = len(header.ends) // 2
    source, dest = (socket.inet_ntop(family, end) for end in (header.ends[:half], header.ends[half:]))
    return read_segment(token, header.proto, packet[header.length :], source, dest)


def read_segment(token: str, proto: int, segment: bytes, source: str, dest: str) -> Optional[Packet]:
    """The same of what stands behind the IP headers."""
    if len(segment) < 8:
        return None
    sport, dport = struct.unpack_from("!HH", segment)
    if proto == UDP:
        job_id = read_question(token, segment[8:])
        return Packet(source, dest, "udp", dport, sport, job_id) if job_id is not None else None
    if proto != TCP or len(segment) < 14 or segment[13] & SYN_ACK != SYN:
        return None
    return Packet(source, dest, "tcp", dport, sport, None)


def _header(packet: bytes) -> Optional[Header]:
    """None for what is no whole header."""
    if len(packet) >= 28 and packet[0] >> 4 == 4:
        total = struct.unpack_from("!H", packet, 2)[0]
        return Header((packet[0] & 0xF) * 4, total, packet[8], packet[9], packet[12:20])
    if len(packet) >= HEADER6 and packet[0] >> 4 == 6:
        total = HEADER6 + struct.unpack_from("!H", packet, 4)[0]
        return Header(HEADER6, total, packet[7], packet[6], packet[8:HEADER6])
    return None


def is_regular(packet: bytes, own: bool, status: int) -> bool:
    """Whether a packet that `read_packet` reads is one that the prober's kernel sends, and that each kernel on its way
    takes, so that nothing but a filter explains its end. Any other is no evidence of a filter: a sender that wants to
    look shut out can have it dropped for its form.

    packet: as it came in, its padding included; own: whether its destination is an address of this host; status: of its
    tpacket_auxdata.
    """
    header = _header(packet)
    if header is None or not header.length + 8 <= header.total <= min(len(packet), LONGEST_PROBE):
        return False
    if header.hops <= (0 if own else 1) or status & VLAN_TAG:
        return False
    if packet[0] >> 4 == 4 and (
        packet[0] != 0x45 or struct.unpack_from("!H", packet, 6)[0] & FRAGMENT or _sum(packet[:20]) != 0xFFFF
    ):
        return False
    segment = packet[header.length : header.total]
    if struct.unpack_from("!H", segment)[0] < FIRST_PORT:
        return False
    if header.proto == TCP:
        whole = len(segment) >= 20 and (segment[12] >> 4) * 4 == len(segment) and segment[13] & FLAGS == SYN
    else:
        whole = struct.unpack_from("!H", segment, 4)[0] == len(segment) and segment.find(b"\n", 8) == len(segment) - 1
    if not whole:
        return False
    pseudo = header.ends + struct.pack("!HH", header.proto, len(segment))
    return bool(status & (SUM_LEFT | SUM_GOOD)) or _sum(pseudo + segment) == 0xFFFF


def _sum(data: bytes) -> int:
    """The ones' complement sum of 16-bit words (RFC 1071): 0xFFFF where a checksum in it is right."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def status_of(ancillary: Sequence[tuple[int, int, bytes]]) -> int:
    """The status of a packet's tpacket_auxdata, 0 without one. One with a tag of VLAN 0 has a priority and no VLAN."""
    for level, kind, data in ancillary:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA) and len(data) >= AUXDATA.size:
            status, _length, _kept, _mac, _net, tag, _proto = AUXDATA.unpack_from(data)
            return int(status if tag & 0xFFF else status & ~VLAN_TAG)
    return 0


def udp_datagram(source: str, sport: int, dest: str, dport: int, payload: bytes) -> bytes:
    """A UDP header with its checksum (RFC 768, RFC 8200), and the payload: what a raw socket sends for another's port."""
    length = 8 + len(payload)
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    pseudo = socket.inet_pton(family, source) + socket.inet_pton(family, dest) + struct.pack("!HH", UDP, length)
    header = struct.pack("!HHHH", sport, dport, length, 0)
    total = _sum(pseudo + header + payload)
    return struct.pack("!HHHH", sport, dport, length, (~total & 0xFFFF) or 0xFFFF) + payload


def hearing(sock: socket.socket) -> socket.socket:
    """The same raw or packet socket, with the filter for probes and a large buffer."""
    steps = ONLY_SEGMENTS[sock.proto] if sock.family == socket.AF_INET6 else ONLY_PROBES
    code = array.array("B", b"".join(struct.pack("HBBI", *step) for step in steps))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(steps), code.buffer_info()[0]))
    size = BUFFER_WIRE if sock.family == socket.AF_PACKET else BUFFER
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, size)
    except OSError:  # no CAP_NET_ADMIN: as much as any process may have
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    sock.setblocking(False)
    return sock


def lost_by_raw(sock: socket.socket) -> int:
    """How many packets did not fit into a raw socket's buffer: SK_MEMINFO_DROPS, the ninth word of SO_MEMINFO."""
    return int(struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))[8])


def lost_by_wire(sock: socket.socket) -> int:
    """The same of a packet socket; see packet(7), PACKET_STATISTICS. Reading it sets it to 0."""
    return int(struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))[1])
