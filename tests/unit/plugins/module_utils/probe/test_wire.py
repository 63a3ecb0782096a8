from __future__ import annotations

import socket
import struct

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import question
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import answer
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.wire import (
    AUXDATA,
    ONLY_PROBES,
    ONLY_SEGMENTS,
    SYN,
    SYN_ACK,
    TCP,
    UDP,
    is_regular,
    read_packet,
    read_segment,
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


def filtered(data, steps=tuple(ONLY_PROBES)):
    """Run a classic BPF program over a packet, as the kernel does: the number of bytes to keep."""
    accumulator = index = at = 0
    while True:
        code, jump, other, operand = steps[at]
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
            elif code == 0x20:
                accumulator = struct.unpack_from("!I", data, operand)[0]
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


# IPv6

SOURCE6, DEST6 = "2001:db8:1::11", "2001:db8:3::11"


def packet6(proto, body, hops=64, first=0x60, length=None):
    ends = socket.inet_pton(socket.AF_INET6, SOURCE6) + socket.inet_pton(socket.AF_INET6, DEST6)
    return struct.pack("!BBHHBB", first, 0, 0, len(body) if length is None else length, proto, hops) + ends + body


def whole6(segment):
    """A SYN with its checksum, which covers the addresses."""
    segment = segment[:16] + bytes(2) + segment[18:]
    pseudo = packet6(TCP, b"")[8:40] + struct.pack("!II", len(segment), TCP)
    return segment[:16] + struct.pack("!H", ones(pseudo + segment)) + segment[18:]


SYN6 = packet6(TCP, whole6(tcp(SYN)))
DATAGRAM6 = udp_datagram(SOURCE6, 40000, DEST6, 4789, question("run", "mgmt1/7"))
ASKED6 = packet6(UDP, DATAGRAM6)


def test_probes_of_ipv6_are_read_and_pass_the_filter():
    assert read_packet("run", SYN6) == (SOURCE6, DEST6, "tcp", 22, 40000, None)
    assert read_packet("run", ASKED6) == (SOURCE6, DEST6, "udp", 4789, 40000, "mgmt1/7")
    assert filtered(SYN6) and filtered(ASKED6)
    assert all(is_regular(data, own, 0) for data in (SYN6, ASKED6, SYN6 + bytes(20)) for own in (True, False))


@pytest.mark.parametrize("flags", [SYN_ACK, 0x10, 0x04])
def test_no_other_segment_of_ipv6_passes_the_filter(flags):
    data = packet6(TCP, tcp(flags))
    assert read_packet("run", data) is None and not filtered(data) and not filtered(tcp(flags), ONLY_SEGMENTS[TCP])


@pytest.mark.parametrize(
    "data",
    [
        packet6(58, bytes(40)),
        packet6(0, b"\x06\0\0\0\0\0\0\0" + tcp(SYN)),
        packet6(44, b"\x06\0\0\0\0\0\0\0" + tcp(SYN)),
        packet6(UDP, udp_datagram(SOURCE6, 40000, DEST6, 53, b"a real request")),
    ],
    ids=["ICMPv6", "hop-by-hop options", "a fragment", "a datagram"],
)
def test_nothing_else_of_ipv6_is_read_or_passes_the_filter(data):
    assert read_packet("run", data) is None and not filtered(data)


def test_what_a_raw_socket_of_ipv6_is_given_is_read_without_its_header():
    """The kernel has taken the IP headers off, extension headers too."""
    assert filtered(SYN6[40:], ONLY_SEGMENTS[TCP]) and filtered(DATAGRAM6, ONLY_SEGMENTS[UDP])
    assert read_segment("run", TCP, SYN6[40:], SOURCE6, DEST6) == read_packet("run", SYN6)
    assert read_segment("run", UDP, DATAGRAM6, SOURCE6, DEST6) == read_packet("run", ASKED6)
    assert not any(read_segment("run", UDP, DATAGRAM6[:length], SOURCE6, DEST6) for length in range(16))
    assert not any(read_segment("run", TCP, SYN6[40 : 40 + length], SOURCE6, DEST6) for length in range(14))


@pytest.mark.parametrize(("hops", "own", "regular"), [(1, False, False), (1, True, True), (0, True, False)])
def test_an_ipv6_packet_at_its_last_hop_is_no_evidence_of_a_filter(hops, own, regular):
    assert is_regular(packet6(TCP, whole6(tcp(SYN)), hops=hops), own, 0) is regular


@pytest.mark.parametrize(
    "data",
    [
        SYN6[:-3],
        packet6(TCP, whole6(tcp(SYN)), length=7),
        packet6(TCP, whole6(tcp(SYN)), length=2000),
        packet6(TCP, whole6(tcp(SYN) + b"data")),
        packet6(TCP, whole6(struct.pack("!H", 7) + tcp(SYN)[2:])),
        packet6(UDP, DATAGRAM6[:6] + bytes(2) + DATAGRAM6[8:]),
        SYN6[:-1] + b"\x01",
        b"\x50" + SYN6[1:],
    ],
    ids=["cut short", "too short", "too long", "data", "a port below", "no checksum", "a wrong one", "version 5"],
)
def test_an_ipv6_packet_of_an_odd_form_is_no_evidence_of_a_filter(data):
    assert not is_regular(data, True, 0)
