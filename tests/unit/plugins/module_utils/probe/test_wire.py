from __future__ import annotations

import socket
import struct

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import answer, question
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.wire import (
    AUXDATA,
    ONLY_PROBES,
    SYN,
    SYN_ACK,
    TCP,
    UDP,
    is_regular,
    read_packet,
    status_of,
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


def whole(data):
    """The same packet with the checksums of its headers."""
    data = data[:10] + bytes(2) + data[12:]
    at = (data[0] & 0xF) * 4
    data = data[:10] + struct.pack("!H", ones(data[:at])) + data[12:]
    if data[9] == TCP:
        segment = data[at : at + 16] + bytes(2) + data[at + 18 :]
        pseudo = data[12:20] + struct.pack("!BBH", 0, TCP, len(segment))
        data = data[: at + 16] + struct.pack("!H", ones(pseudo + segment)) + data[at + 18 :]
    return data


def ones(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


SYN_PACKET = whole(packet(TCP, tcp(SYN)))
ASKED = whole(packet(UDP, udp_datagram(SOURCE, 40000, DEST, 4789, question("run", "mgmt1/7"))))
LEFT, GOOD, TAGGED = 0x8, 0x80, 0x10


@pytest.mark.parametrize("data", [SYN_PACKET, ASKED, SYN_PACKET + bytes(20)], ids=["SYN", "question", "padded"])
@pytest.mark.parametrize("own", [True, False])
def test_what_the_prober_sends_is_regular(data, own):
    assert is_regular(data, own, 0)


def test_a_question_is_regular_whatever_bytes_its_ports_and_its_checksum_are():
    """A newline ends a question; port 7946 has one in it too."""
    ports = [1024 + 37 * number for number in range(1700)] + [0x1F0A, 0x0A0A, 0x0A7E]
    for sport, dport in [(40000, port) for port in ports] + [(port, 7946) for port in ports]:
        asked = packet(UDP, udp_datagram(SOURCE, sport, DEST, dport, question("run", "1/7")))
        assert is_regular(whole(asked), True, 0), (sport, dport)


@pytest.mark.parametrize("flags", [SYN | 0x01, SYN | 0x04, SYN | 0x20, SYN | 0x08])
def test_flags_that_no_kernel_sends_are_no_evidence_of_a_filter(flags):
    """A firewall drops them as invalid, whatever it thinks of the port; one that it lets in is heard."""
    data = whole(packet(TCP, tcp(flags)))
    assert not is_regular(data, True, 0)
    assert read_packet("run", data).port == 22


@pytest.mark.parametrize("flags", [SYN | 0x40, SYN | 0xC0])
def test_a_syn_that_offers_congestion_notification_is_one(flags):
    data = whole(packet(TCP, tcp(flags)))
    assert read_packet("run", data).port == 22 and is_regular(data, False, 0)


@pytest.mark.parametrize(
    ("ttl", "own", "regular"), [(1, False, False), (1, True, True), (0, True, False), (2, False, True)]
)
def test_a_packet_that_no_router_would_pass_on_is_no_evidence_of_a_filter(ttl, own, regular):
    asked = packet(UDP, udp_datagram(SOURCE, 40000, DEST, 4789, question("run", "1/7")), ttl=ttl)
    for data in (packet(TCP, tcp(SYN), ttl=ttl), asked):
        assert is_regular(whole(data), own, 0) is regular
        assert read_packet("run", data) is not None


@pytest.mark.parametrize("at", range(20))
def test_a_header_with_one_bit_changed_is_not_regular(at):
    data = bytearray(SYN_PACKET)
    data[at] ^= 0x04
    assert not is_regular(bytes(data), True, LEFT)


@pytest.mark.parametrize("data", [SYN_PACKET, ASKED], ids=["SYN", "question"])
def test_a_checksum_counts_unless_a_device_makes_or_has_checked_it(data):
    wrong = data[:-1] + bytes([data[-1] ^ 1]) if data is SYN_PACKET else data[:-2] + b"x" + data[-1:]
    assert not is_regular(wrong, True, 0)
    assert is_regular(wrong, True, LEFT) and is_regular(wrong, True, GOOD)


@pytest.mark.parametrize(
    "data",
    [
        packet(TCP, tcp(SYN), bytes(8)),
        packet(TCP, tcp(SYN) + b"data"),
        packet(TCP, tcp(SYN)[:12] + b"\x40" + tcp(SYN)[13:]),
        packet(TCP, tcp(SYN)[:12] + b"\xf0" + tcp(SYN)[13:]),
        packet(TCP, struct.pack("!H", 7) + tcp(SYN)[2:]),
        packet(UDP, udp_datagram(SOURCE, 40000, DEST, 53, question("run", "1/7") + b"x" * 1400)),
        packet(UDP, udp_datagram(SOURCE, 40000, DEST, 53, question("run", "1/7") + b"\n")),
        packet(UDP, udp_datagram(SOURCE, 40000, DEST, 53, question("run", "1/7"))[:-1]),
        packet(UDP, udp_datagram(SOURCE, 40000, DEST, 53, question("run", "7" * 600))),
    ],
    ids=[
        "IP options",
        "data in a SYN",
        "a header cut short",
        "a header too long",
        "a port below",
        "too long for some way",
        "more than a question",
        "UDP cut short",
        "a question too long",
    ],
)
def test_a_form_that_the_prober_does_not_send_is_no_evidence_of_a_filter(data):
    assert not is_regular(whole(data), True, LEFT)


@pytest.mark.parametrize("fragment", [0x2000, 0x0001, 0x1FFF])
def test_a_part_of_a_packet_is_no_evidence_of_a_filter(fragment):
    data = SYN_PACKET[:6] + struct.pack("!H", fragment) + SYN_PACKET[8:]
    assert not is_regular(whole(data), True, 0)
    assert is_regular(whole(SYN_PACKET[:6] + struct.pack("!H", 0x4000) + SYN_PACKET[8:]), True, 0)


@pytest.mark.parametrize(("tag", "regular"), [(7, False), (0x2000, True)], ids=["VLAN 7", "priority"])
def test_a_packet_of_a_vlan_that_the_device_does_not_have_is_no_evidence_of_a_filter(tag, regular):
    told = AUXDATA.pack(LEFT | TAGGED, 60, 60, 0, 0, tag, 0x8100)
    assert is_regular(SYN_PACKET, True, status_of([(263, 8, told)])) is regular


@pytest.mark.parametrize("told", [[], [(263, 9, bytes(20))], [(263, 8, bytes(8))]])
def test_without_the_kernel_s_word_the_checksum_is_looked_at(told):
    assert status_of(told) == 0
