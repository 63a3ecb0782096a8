# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import calendar
import time

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic.log import (
    Clock,
    Packet,
    Unread,
    message_of,
    packet_of,
)

MAC = "MAC=02:42:0a:d9:00:0c:02:42:ab:88:7b:3d:08:00"
#: Messages of the kernel (Linux 4.18 to 6.x), as they stand in logs.
TCP = (
    f"[UFW BLOCK] IN=eth0 OUT= {MAC} SRC=10.217.0.1 DST=10.217.0.12 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=52940 DF PROTO=TCP "
    "SPT=47556 DPT=22 WINDOW=64240 RES=0x00 SYN URGP=0 "
)
UDP6 = (
    "[UFW BLOCK] IN=leak0 OUT= MAC=82:0e:04:e8:53:8e:5e:d8:e4:dc:17:99:86:dd SRC=fd00:0bad:0000:0000:0000:0000:0000:0001 "
    "DST=fd00:0bad:0000:0000:0000:0000:0000:0002 LEN=49 TC=0 HOPLIMIT=64 FLOWLBL=607467 PROTO=UDP SPT=33304 DPT=4444 LEN=9 "
)
ROUTED = (
    "[UFW BLOCK] IN=eth4 OUT=eth2 MAC=02:42:0a:74:00:01:02:42:0a:74:00:0b:08:00 SRC=10.116.0.11 DST=10.0.3.11 LEN=60 TOS=0x00 "
    "PREC=0x00 TTL=63 ID=1 DF PROTO=TCP SPT=36060 DPT=9998 WINDOW=64240 RES=0x00 SYN URGP=0"
)
OUT = (
    "[UFW BLOCK] IN= OUT=eth0 SRC=192.0.2.17 DST=192.0.2.65 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=9 DF PROTO=TCP SPT=44810 DPT=514 "
    "WINDOW=64240 RES=0x00 SYN URGP=0 "
)
ECHO = (
    f"[UFW BLOCK] IN=eth0 OUT= {MAC} SRC=10.0.1.5 DST=10.0.3.11 LEN=84 TOS=0x00 PREC=0x00 TTL=63 ID=7 DF PROTO=ICMP TYPE=8 CODE=0 "
    "ID=5 SEQ=1 "
)
ERROR = (
    f"[UFW BLOCK] IN=eth0 OUT= {MAC} SRC=10.0.1.1 DST=10.0.3.11 LEN=88 TOS=0x00 PREC=0xC0 TTL=64 ID=7 PROTO=ICMP TYPE=3 CODE=3 "
    "[SRC=10.0.3.11 DST=10.0.1.1 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=7 PROTO=UDP SPT=53 DPT=4444 LEN=40 ] "
)
SOLICIT = (
    "[UFW BLOCK] IN=eth0 OUT= MAC=33:33:ff:00:00:02:02:42:ac:11:00:03:86:dd SRC=fe80:0000:0000:0000:0042:acff:fe11:0003 "
    "DST=ff02:0000:0000:0000:0000:0001:ff00:0002 LEN=72 TC=0 HOPLIMIT=255 FLOWLBL=0 PROTO=ICMPv6 TYPE=135 CODE=0 "
)
IGMP = f"[UFW BLOCK] IN=eth0 OUT= {MAC} SRC=10.0.1.1 DST=224.0.0.1 LEN=32 TOS=0x00 PREC=0xC0 TTL=1 ID=0 DF PROTO=2 "
LATE = TCP.replace("SYN URGP", "ACK FIN URGP")
FRAGMENT = f"[UFW BLOCK] IN=eth0 OUT= {MAC} SRC=10.0.1.5 DST=10.0.3.11 LEN=28 TOS=0x00 PREC=0x00 TTL=64 ID=7 FRAG:185 PROTO=UDP "


def read(text):
    _head, label, words = message_of(text)
    return packet_of(label, words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (TCP, Packet("in", "eth0", "10.217.0.1", "10.217.0.12", "tcp", 22, 0, True, False)),
        (UDP6, Packet("in", "leak0", "fd00:bad::1", "fd00:bad::2", "udp", 4444, 0, True, False)),
        (ROUTED, Packet("routed", "eth4", "10.116.0.11", "10.0.3.11", "tcp", 9998, 0, True, False)),
        (OUT, Packet("out", "eth0", "192.0.2.17", "192.0.2.65", "tcp", 514, 0, True, False)),
        (ECHO, Packet("in", "eth0", "10.0.1.5", "10.0.3.11", "icmp", 8, 0, True, False)),
        (ERROR, Packet("in", "eth0", "10.0.1.1", "10.0.3.11", "icmp", 3, 0, True, False)),
        (SOLICIT, Packet("in", "eth0", "fe80::42:acff:fe11:3", "ff02::1:ff00:2", "icmpv6", 135, 0, True, False)),
        (IGMP, Packet("in", "eth0", "10.0.1.1", "224.0.0.1", "igmp", -1, 0, True, False)),
        (LATE, Packet("in", "eth0", "10.217.0.1", "10.217.0.12", "tcp", 22, 0, False, False)),
        (FRAGMENT, Packet("in", "eth0", "10.0.1.5", "10.0.3.11", "udp", -1, 0, True, False)),
        (
            TCP.replace("BLOCK", "LIMIT BLOCK"),
            Packet("in", "eth0", "10.217.0.1", "10.217.0.12", "tcp", 22, 0, True, True),
        ),
        (
            TCP.replace("SPT=47556 DPT=22", "SPT=53 DPT=40000"),
            Packet("in", "eth0", "10.217.0.1", "10.217.0.12", "tcp", 40000, 53, True, False),
        ),
    ],
    ids="tcp udp6 routed out echo error solicitation igmp late fragment limit answer".split(),
)
def test_a_message_of_the_kernel_is_a_packet(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [TCP[:90], TCP.replace("SRC=10.217.0.1 ", "SRC=host "), TCP.replace("DPT=22", "DPT=99999"), "[UFW BLOCK] hello"],
)
def test_a_message_that_is_cut_off_or_is_none_is_no_packet(text):
    with pytest.raises(Unread):
        read(text)


def test_a_line_without_a_label_is_no_message():
    assert message_of("Nov 30 00:46:56 web1 kernel: [1.0] eth0: link up") == ("", "", "")


NOON = calendar.timegm((2026, 11, 30, 12, 0, 0, 0, 0, 0))


@pytest.fixture(name="clock")
def fixture_clock(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield Clock(NOON, NOON - 40000)
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("head", "before"),
    [
        ("2026-11-30T11:59:00.123456+00:00 web1 kernel: ", 59.876544),
        ("2026-11-30T12:59:00.123+01:00 web1 kernel: [12.5] ", 59.877),
        ("2026-11-30T11:59:00Z web1 kernel: ", 60),
        ("Nov 30 11:59:00 web1 kernel: [36654.029528] ", 60),
        ("Nov  3 12:00:00 web1 kernel: ", 27 * 86400),
        # No year: one that has not come is last year's.
        ("Dec 31 12:00:00 web1 kernel: ", 334 * 86400),
        (f"{NOON - 60}.000001 web1 kernel: ", 59.999999),
        ("[39940.000000] ", 60),
        ("[   60.000000] ", 39940),
    ],
)
def test_the_time_of_a_line_is_read_in_every_form(clock, head, before):
    assert NOON - clock.when(head) == pytest.approx(before, abs=1e-3)


@pytest.mark.parametrize(
    "head", ["", "kernel: ", "Nov 31", "Foo 30 11:59:00 ", "Nov 30 noon", "2026-13-45T99 x", "[x] "]
)
def test_a_line_without_a_time_that_is_understood_has_none(clock, head):
    assert clock.when(head) is None
