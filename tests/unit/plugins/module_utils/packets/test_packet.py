# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A set of packets as text says just that set: the text is read back, word by word."""

from __future__ import annotations

import ipaddress
import random

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets import fields
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    ICMP,
    IIF,
    ODST,
    OIF,
    OPORT,
    PROTO,
    SPORT,
    SRC,
    interface_range,
    merged,
    top,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import Packet, PacketSet, packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import PROTOCOLS

NAMES = {"icmpv6": 58, **PROTOCOLS}
#: The words before a field, in their order.
PLACES = ((SRC, "from "), (SPORT, " port "), (DST, " to "), (ODST, " first sent to "), (OPORT, " first sent to port "))


def complement(low, high, intervals):
    return fields.complement(merged(intervals), low, high)


def numbers(text, high):
    """ "any but 1,3:4" -> intervals."""
    if text.startswith("any but "):
        return complement(0, high, numbers(text[8:], high))
    ends = [part.partition(":")[::2] for part in text.split(",")]
    return merged((int(first), int(last or first)) for first, last in ends)


def protocols(text):
    if text.startswith("any but "):
        return complement(0, 255, protocols(text[8:]))
    found = []
    for part in text.split(","):
        first, _colon, last = part.removeprefix("protocol ").partition(":")
        low = int(first) if first.isdigit() else NAMES[first]
        found.append((low, int(last or low)))
    return merged(found)


def types(text):
    if text.startswith("any but "):
        return complement(0, 65535, types(text[8:]))
    found = []
    for part in text.split(","):
        first, _colon, last = part.partition(":")
        ends = [end.partition("/") for end in (first, last or first)]
        low, high = (int(kind) * 256 + int(code or spare) for (kind, _slash, code), spare in zip(ends, (0, 255)))
        found.append((low, high))
    return merged(found)


def addresses(text, family):
    if text.startswith("any but "):
        return complement(0, top(SRC, family), addresses(text[8:], family))
    found = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        net = ipaddress.ip_network(first)
        found.append((int(net[0]), int(ipaddress.ip_address(last)) if dash else int(net[-1])))
    return merged(found)


def names(text):
    if text.startswith("any but "):
        return complement(1, fields.LAST_NAME, names(text[8:]))
    return merged(interface_range(part) for part in text.split(","))


def read(text, family):
    """The sides of a set; what the text leaves out is any."""
    sides = dict.fromkeys(fields.FIELDS)
    for field, word in ((OIF, " out on "), (IIF, " in on ")):
        text, _word, value = text.partition(word) if word in text else (text, "", "any")
        sides[field] = None if value == "any" else names(value)
    for field, word in reversed(PLACES):
        if field == ODST and word + "port " in text:
            continue
        if word in text or (field == SRC and text.startswith(word)):
            text, _word, value = text.rpartition(word)
            if value == "any":
                continue
            sides[field] = addresses(value, family) if field in (SRC, DST, ODST) else numbers(value, 65535)
    text = text.strip()
    words = text.split(" type ")
    if len(words) > 1:
        sides[DPORT] = None if words[1] == "any" else types(words[1])
    else:
        # The ports stand behind the protocols, a number or "any but" and a number.
        for place in [at for at, sign in enumerate(text) if sign == " "]:
            rest = text[place + 1 :]
            port = rest.removeprefix("any but ")
            before = text[:place]
            if port[:1].isdigit() and not before.endswith(("protocol", "any but", "but")):
                words = [before, rest]
                sides[DPORT] = numbers(rest, 65535)
                break
    sides[PROTO] = None if words[0] == "any" else protocols(words[0])
    return tuple(sides[field] for field in fields.FIELDS)


def some(rng, low, high):
    """None, or some intervals between the two: their ends are near each other or near the ends of the field."""
    if rng.random() < 0.4:
        return None
    near = [low, low + 1, low + 2, high, high - 1, rng.randint(low, high)]
    near += [near[-1] + 1, near[-1] + 2, near[-1] + 3, near[-1] + 255, near[-1] + 256]
    ends = [
        (first, first + rng.choice((0, 0, 1, 2, 3, 255, high))) for first in rng.sample(near, rng.choice((1, 1, 2, 3)))
    ]
    found = merged((first, min(last, high)) for first, last in ends if first <= high)
    return None if found in ((), ((low, high),)) else found


def some_names(rng):
    if rng.random() < 0.5:
        return None
    chosen = merged(
        interface_range(name) for name in rng.sample(["eth0", "eth1", "lo", "wg+", "docker0"], rng.randint(1, 3))
    )
    return chosen if rng.random() < 0.7 else complement(1, fields.LAST_NAME, chosen)


def some_protocols(rng, family):
    if rng.random() < 0.3:
        return None
    if rng.random() < 0.3:
        return ((ICMP[family],) * 2,)
    if rng.random() < 0.5:
        return ((rng.choice((6, 17, 33, 132, 136, 50)),) * 2,)
    return (
        some(rng, 0, 255)
        if rng.random() < 0.5
        else rng.choice((((6, 6), (17, 17)), ((50, 51),), ((1, 2),), ((4, 6),), ((46, 50),)))
    )


@pytest.mark.parametrize("family", [4, 6])
def test_the_text_of_a_set_says_just_that_set(family):
    rng = random.Random(family)
    for _round in range(1500):
        sides = [None] * len(fields.FIELDS)
        for field in (SRC, DST, ODST):
            sides[field] = some(rng, 0, top(field, family))
        for field in (SPORT, DPORT, OPORT):
            sides[field] = some(rng, 0, 65535)
        sides[PROTO], sides[IIF], sides[OIF] = some_protocols(rng, family), some_names(rng), some_names(rng)
        proto = sides[PROTO]
        ports = proto is None or all(low == high and low in fields.WITH_PORTS for low, high in proto)
        text = PacketSet(family, tuple(sides)).text()
        if not ports:  # what has no ports is not told by them; ICMP has its type there
            sides[SPORT] = None
            if proto != ((ICMP[family],) * 2,):
                sides[DPORT] = None
        assert read(text, family) == tuple(sides), text


def test_the_shorter_of_two_texts_is_taken():
    def text(field, intervals):
        sides = [None] * len(fields.FIELDS)
        sides[field] = intervals
        return PacketSet(4, tuple(sides)).text()

    assert text(SPORT, ((0, 9), (11, 65535))) == "any from any port any but 10 to any"
    assert text(SPORT, ((1, 9), (11, 19), (21, 65535))) == "any from any port 1:9,11:19,21:65535 to any"
    assert text(SPORT, ((0, 9), (11, 65534))) == "any from any port 0:9,11:65534 to any"
    assert text(SPORT, ((0, 65535),)) == "any from any to any".replace(" to", " port any to")
    assert text(SRC, ((0, 9), (11, 2**32 - 1))) == "any from any but 0.0.0.10 to any"
    assert text(SRC, ((1, 2**32 - 1),)) == "any from 0.0.0.1-255.255.255.255 to any"
    assert text(IIF, ((0, 0),)) == "any from any to any"
    assert text(PROTO, ((4, 4), (6, 6))) == "ipencap,tcp from any to any"
    assert text(PROTO, ((50, 51),)) == "esp,ah from any to any"
    assert text(PROTO, ((1, 2), (4, 4), (6, 6))) == "icmp,igmp,ipencap,tcp from any to any"
    assert text(PROTO, ((58, 58),)) == "icmpv6 from any to any"
    assert text(PROTO, ((17, 17), (132, 132), (136, 136))) == "udp,sctp,udplite from any to any"


def test_a_packet_in_words_has_its_fields():
    one = packet(4, "10.0.0.1", "10.0.0.2", "udp", 53, 1234, inside="eth0", outside="wg0", original=("10.0.0.3", 54))
    low = 0x0A000000
    names = [interface_range(name)[0] for name in ("eth0", "wg0")]
    assert one == Packet(*names, 17, low + 1, low + 2, 1234, 53, low + 3, 54)
    assert one.text(4) == "udp 53 from 10.0.0.1 port 1234 to 10.0.0.2 in on eth0 out on wg0"
    plain = packet(6, "fd00::1", "fd00::2")
    assert (plain.proto, plain.sport, plain.dport, plain.iif, plain.oif) == (6, 40000, 0, 0, 0)
    assert (plain.odst, plain.oport) == (plain.dst, plain.dport)
    assert plain.text(6) == "tcp 0 from fd00::1 port 40000 to fd00::2"
