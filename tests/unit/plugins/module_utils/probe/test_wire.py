from __future__ import annotations

import socket
import struct

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import answer, question
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.wire import (
    ONLY_PROBES,
    SYN,
    SYN_ACK,
    TCP,
    UDP,
    read_packet,
    udp_datagram,
)

SOURCE, DEST = "10.0.1.11", "10.0.3.11"


def packet(proto, body, options=b"", ttl=64):
    words = 5 + len(options) // 4
    header = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | words,
        0,
        words * 4 + len(body),
        0,
        0,
        ttl,
        proto,
        0,
        socket.inet_aton(SOURCE),
        socket.inet_aton(DEST),
    )
    return header + options + body


def tcp(flags):
    return struct.pack("!HHIIBBHHH", 40000, 22, 0, 0, 0x50, flags, 0, 0, 0)


def filtered(data):
    """Run the classic BPF program over a packet, as the kernel does: the number of bytes to keep."""
    accumulator = index = at = 0
    while True:
        code, jump, other, operand = ONLY_PROBES[at]
        at += 1
        try:
            if code == 0x06:
                return operand
            if code == 0x30:
                accumulator = data[operand]
            elif code == 0xB1:
                index = (data[operand] & 0xF) * 4
            elif code == 0x50:
                accumulator = data[index + operand]
            elif code == 0x40:
                accumulator = struct.unpack_from("!I", data, index + operand)[0]
            elif code == 0x54:
                accumulator &= operand
            elif code == 0x15:
                at += jump if accumulator == operand else other
        except (IndexError, struct.error):
            return 0


@pytest.mark.parametrize("options", [b"", bytes(8)])
def test_a_syn_and_a_question_are_read_and_pass_the_filter(options):
    syn = packet(TCP, tcp(SYN), options)
    asked = packet(UDP, udp_datagram(SOURCE, 40000, DEST, 4789, question("run", "mgmt1/7")), options)
    assert read_packet("run", syn) == (SOURCE, DEST, "tcp", 22, 40000, None)
    assert read_packet("run", asked) == (SOURCE, DEST, "udp", 4789, 40000, "mgmt1/7")
    assert filtered(syn) and filtered(asked)


@pytest.mark.parametrize(
    "data",
    [
        packet(TCP, tcp(SYN_ACK)),
        packet(TCP, tcp(0x10)),
        packet(1, bytes(20)),
        packet(UDP, udp_datagram(SOURCE, 40000, DEST, 53, b"a real request")),
        packet(
            UDP,
            udp_datagram(SOURCE, 40000, DEST, 53, answer("run", b"key", "udp", "mgmt1/7", "mon1", SOURCE, DEST, 53)),
        ),
    ],
    ids=["syn-ack", "ack", "icmp", "datagram", "answer"],
)
def test_nothing_else_is_read_or_passes_the_filter(data):
    assert read_packet("run", data) is None
    assert filtered(data) == 0


def test_a_question_of_another_run_is_not_ours():
    asked = packet(UDP, udp_datagram(SOURCE, 40000, DEST, 4789, question("other", "mgmt1/7")))
    assert read_packet("run", asked) is None


@pytest.mark.parametrize("length", range(0, 60, 3))
def test_a_packet_that_is_cut_short_is_not_read(length):
    whole = packet(UDP, udp_datagram(SOURCE, 40000, DEST, 4789, question("run", "mgmt1/7")))[:length]
    assert read_packet("run", whole) is None or length >= 20 + 8 + len("bhq run ")
    assert read_packet("run", packet(TCP, tcp(SYN))[: min(length, 33)]) is None


@pytest.mark.parametrize("payload", [b"", b"odd", b"even", bytes(range(255))])
def test_the_checksum_of_a_datagram_is_right(payload):
    datagram = udp_datagram(SOURCE, 4789, DEST, 40000, payload)
    data = socket.inet_aton(SOURCE) + socket.inet_aton(DEST) + struct.pack("!BBH", 0, UDP, len(datagram)) + datagram
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF


@pytest.mark.parametrize("flags", [SYN | 0x01, SYN | 0x04, SYN | 0x20, SYN | 0x08])
def test_flags_that_no_kernel_sends_are_no_evidence_of_a_filter(flags):
    """A firewall drops them as invalid, whatever it thinks of the port."""
    assert read_packet("run", packet(TCP, tcp(flags))) is None


@pytest.mark.parametrize("flags", [SYN | 0x40, SYN | 0xC0])
def test_a_syn_that_offers_congestion_notification_is_one(flags):
    assert read_packet("run", packet(TCP, tcp(flags))).port == 22


@pytest.mark.parametrize("ttl", [0, 1])
def test_a_packet_that_no_router_would_pass_on_is_no_evidence_of_a_filter(ttl):
    assert read_packet("run", packet(TCP, tcp(SYN), ttl=ttl)) is None
    asked = packet(UDP, udp_datagram(SOURCE, 40000, DEST, 4789, question("run", "1/7")), ttl=ttl)
    assert read_packet("run", asked) is None
