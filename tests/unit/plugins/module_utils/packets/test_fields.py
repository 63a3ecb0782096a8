# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Intervals beside plain sets, and numbers beside the standard library."""

from __future__ import annotations

import ipaddress
import itertools
import random

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets import fields
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    address_range,
    common,
    complement,
    interface_name,
    interface_range,
    intersection,
    merged,
    networks,
    number,
    port_range,
    protocol_number,
    top,
)

SMALL = range(8)
#: Every set of SMALL, as intervals.
SETS = [
    merged((value, value) for value in chosen)
    for count in range(len(SMALL) + 1)
    for chosen in itertools.combinations(SMALL, count)
]


def values(intervals):
    return {value for low, high in intervals for value in range(low, high + 1)}


def apart(intervals):
    """Whether they are disjoint, ascending and not adjacent."""
    return all(low <= high for low, high in intervals) and all(
        one[1] + 1 < other[0] for one, other in zip(intervals, intervals[1:])
    )


def test_the_complement_of_a_set_is_every_other_value():
    for one in SETS:
        for low, high in ((0, 7), (2, 5), (0, 0), (7, 7), (3, 9)):
            found = complement(one, low, high)
            assert values(found) == set(range(low, high + 1)) - values(one)
            assert apart(found)


def test_two_sets_have_in_common_what_is_in_both():
    rng = random.Random(3)
    for one, other in [(rng.choice(SETS), rng.choice(SETS)) for _round in range(2000)]:
        found = common(one, other)
        assert values(found) == values(one) & values(other)
        assert apart(found)
        assert intersection(one, other) == found
        assert intersection(None, one) == intersection(one, None) == one
    assert intersection(None, None) is None


def test_intervals_in_any_order_become_one_set():
    rng = random.Random(4)
    for _round in range(500):
        loose = [tuple(sorted((rng.choice(SMALL), rng.choice(SMALL)))) for _part in range(rng.randint(0, 5))]
        found = merged(loose)
        assert values(found) == values(loose)
        assert apart(found)


@pytest.mark.parametrize("family,kind", [(4, ipaddress.IPv4Network), (6, ipaddress.IPv6Network)])
def test_networks_and_netmasks_are_what_the_standard_library_takes_them_for(family, kind):
    rng = random.Random(family)
    bits = fields.BITS[family]
    for length in range(bits + 1):
        net = kind((rng.getrandbits(bits), length), strict=False)
        expected = (int(net.network_address), int(net.broadcast_address))
        inside = kind((rng.randint(*expected), bits)).network_address
        assert address_range(f"{inside}/{length}", family) == expected
        assert address_range(f"{inside}/{net.netmask}", family) == expected
        assert address_range(str(inside), family) == (int(inside), int(inside))
        assert fields.address_text(int(inside), family) == str(inside)
    for wrong in (bits + 1, -1, "x", ""):
        with pytest.raises(ValueError):
            address_range(f"{inside}/{wrong}", family)


@pytest.mark.parametrize("family,kind", [(4, ipaddress.IPv4Address), (6, ipaddress.IPv6Address)])
def test_an_interval_of_addresses_is_the_fewest_networks(family, kind):
    rng = random.Random(family)
    bits = fields.BITS[family]
    ends = [(0, 2**bits - 1), (0, 0), (2**bits - 1,) * 2, (0, 6), (1, 2**bits - 1), (2**bits - 5, 2**bits - 1)]
    ends += [tuple(sorted(rng.getrandbits(bits) for _end in range(2))) for _round in range(50)]
    for first, last in ends:
        expected = ipaddress.summarize_address_range(kind(first), kind(last))
        assert networks(first, last, bits) == [(int(net.network_address), net.prefixlen) for net in expected]


@pytest.mark.parametrize(
    "text,value",
    [("0", 0), ("7", 7), ("255", 255), ("010", 8), ("00", 0), ("0x1F", 31), ("0Xff", 255), ("0377", 255)],
)
def test_a_number_is_read_as_c_reads_it(text, value):
    assert number(text, 255) == value
    with pytest.raises(ValueError):
        number(text, value - 1)


@pytest.mark.parametrize("text", ["", "-1", "+1", "1 ", " 1", "08", "0x", "0xg", "1x", "256", "1\n", "\u0661", "1e1"])
def test_what_c_reads_no_number_from_is_refused(text):
    with pytest.raises(ValueError):
        number(text, 255)


@pytest.mark.parametrize(
    "text,found",
    [
        ("0", (0, 0)), ("65535", (65535, 65535)), ("1:65535", (1, 65535)), (":9", (0, 9)), ("9:", (9, 65535)), (":", (0, 65535)),
        ("9:9", (9, 9)), ("65536", None), ("1:65536", None), ("9:8", None), ("", None), ("1:2:3", None), ("http", None),
    ],
)  # fmt: skip
def test_a_range_of_ports_has_two_ends_or_one_that_goes_without_saying(text, found):
    if found is None:
        with pytest.raises(ValueError):
            port_range(text)
    else:
        assert port_range(text) == found


@pytest.mark.parametrize("text", ["022", "1:022", "022:99", "00"])
def test_a_leading_zero_is_read_where_its_meaning_is_known(text):
    with pytest.raises(ValueError, match="leading zero"):
        port_range(text)
    assert port_range(text, True) == {"022": (18, 18), "1:022": (1, 18), "022:99": (18, 99), "00": (0, 0)}[text]


def test_names_of_interfaces_are_numbers_that_keep_the_order_of_their_bytes():
    names = ["a", "eth", "eth0", "eth00", "eth1", "lo", "tailscale0", "wg0", "x" * 15, "\u00fc"]
    numbers = [interface_range(name) for name in names]
    assert all(low == high for low, high in numbers)
    assert sorted(numbers) == numbers
    assert [interface_name(low) for low, _high in numbers] == names
    for name in names:
        for stem in names:
            low, high = interface_range(stem + "+")
            assert (low <= interface_range(name)[0] <= high) == name.startswith(stem)
    assert interface_range("x" * 15 + "+") == interface_range("x" * 15)
    with pytest.raises(ValueError, match="at most 15 bytes"):
        interface_range("x" * 16)


def test_every_field_has_its_highest_value():
    assert [top(field, 4) for field in fields.FIELDS] == [
        fields.LAST_NAME,
        fields.LAST_NAME,
        255,
        2**32 - 1,
        2**32 - 1,
        65535,
        65535,
        2**32 - 1,
        65535,
    ]
    assert {top(field, 6) for field in (fields.SRC, fields.DST, fields.ODST)} == {2**128 - 1}
    assert int.from_bytes(b"\xff" * 15, "big") == fields.LAST_NAME


def test_protocols_with_ports_are_those_that_have_a_destination_port():
    assert {protocol_number(name) for name in ("tcp", "udp", "dccp", "sctp", "udplite")} == fields.WITH_PORTS
    assert {4: protocol_number("icmp"), 6: protocol_number("ipv6-icmp")} == fields.ICMP
    assert [protocol_number(text) for text in ("all", "0", "ALL", "0x11", "255")] == [0, 0, 0, 17, 255]
    with pytest.raises(ValueError):
        protocol_number("256")


@pytest.mark.parametrize("text", ["1.2.3", "1.2.3.4.5", "256.0.0.1", "", "::1", "1.2.3.4 ", "1.2.3.4\0"])
def test_what_is_no_address_is_refused_by_name(text):
    with pytest.raises(ValueError, match="is not an IPv4 address"):
        address_range(text, 4)


@pytest.mark.parametrize("family", [4, 6])
def test_what_people_write_for_every_address_is_every_address(family):
    for text in ("0/0", "any/0"):
        assert address_range(text, family) == (0, 2 ** fields.BITS[family] - 1)
    for text in ("0", "any", "0/1", "here/0", "any/1", "/0"):
        with pytest.raises(ValueError):
            address_range(text, family)
