# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import ipaddress
import random
import subprocess
import sys
from datetime import date

import pytest
from ansible.errors import AnsibleError
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.overlap import overlaps as hosts_overlaps
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site import subnets
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import (
    V6,
    Net,
    address_set,
    blocks_of,
    complement,
    overlaps,
    parse_address,
    parse_net,
    point_text,
    spans_of,
    subtract,
    widest,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable


def nets(*cidrs):
    return [parse_net(cidr) for cidr in cidrs]


@pytest.mark.parametrize("text", ["10.0.1.0/24", "0.0.0.0/0", "172.16.0.0/12", "fd00:116::/64", "::/0", "fd00::/127"])
def test_a_network_reads_back_as_it_was_written(text):
    assert str(parse_net(text)) == text
    assert parse_net(text).version == ipaddress.ip_network(text).version


def test_one_address_is_written_without_a_prefix_length():
    assert str(parse_address("10.0.1.1")) == "10.0.1.1"
    assert str(parse_net("10.0.1.1/32")) == "10.0.1.1"
    assert str(parse_address("FD00:0::1")) == "fd00::1"


@pytest.mark.parametrize(
    ("text", "expected", "remedy"),
    [
        ("10.0.1.1/24", "a network without host bits", "write 10.0.1.0/24"),
        ("fd00::1/64", "a network without host bits", "write fd00::/64"),
        ("10.0.1.0", "a network in CIDR notation", "add the prefix length, as in 10.0.1.0/24"),
        ("10.0.1.0/33", "a prefix length of at most 32", "correct the prefix length"),
        ("10.0.1.0/255.255.255.0", "a network in CIDR notation", "write the prefix length as a number"),
        ("10.0.1/24", "a network in CIDR notation", "write it like 10.0.1.0/24"),
        ("10.0.1.0/-1", "a network in CIDR notation", "write the prefix length as a number"),
        ("", "a network in CIDR notation", "add the prefix length"),
    ],
)
def test_what_is_no_network_says_what_to_write(text, expected, remedy):
    with pytest.raises(Unreadable) as caught:
        parse_net(text)
    assert caught.value.expected == expected
    assert caught.value.remedy.startswith(remedy)


@pytest.mark.parametrize("text", ["10.0.1.0/24", "10.0.1", "host", "fe80::1%eth0", "10.0.1.256"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(Unreadable):
        parse_address(text)


def test_the_two_families_never_meet():
    assert not parse_net("0.0.0.0/0").meets(parse_net("::/0"))
    assert not parse_net("::/0").holds(parse_address("0.0.0.1"))


def test_the_widest_blocks_swallow_those_inside_of_them():
    assert widest(nets("10.0.1.0/24", "10.0.0.0/8", "fd00::/64", "10.0.1.0/24")) == nets("10.0.0.0/8", "fd00::/64")


def test_the_complement_is_everything_else_of_both_families():
    gaps = complement(nets("10.0.0.0/8", "10.0.1.0/24", "192.168.0.0/16"))
    inside = [
        any(gap.holds(parse_address(text)) for gap in gaps)
        for text in ("9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0", "192.168.7.7", "::", "ffff::")
    ]
    assert inside == [True, False, False, True, False, True, True]


def test_each_overlap_is_found_with_the_closest_block_last():
    claims = [
        (net, str(net)) for net in nets("10.0.0.0/8", "10.0.1.0/24", "10.0.1.128/25", "10.0.2.0/24", "11.0.0.0/8")
    ]
    found = [(inner[1], outer[1]) for outer, inner in overlaps(claims)]
    assert found == [
        ("10.0.1.0/24", "10.0.0.0/8"),
        ("10.0.1.128/25", "10.0.0.0/8"),
        ("10.0.1.128/25", "10.0.1.0/24"),
        ("10.0.2.0/24", "10.0.0.0/8"),
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 255), st.integers(24, 32)), max_size=14))
def test_the_sweep_finds_every_two_blocks_that_meet(shapes):
    claims = [
        (
            Net(
                base >> (32 - prefix) << (32 - prefix),
                (base >> (32 - prefix) << (32 - prefix)) + 2 ** (32 - prefix) - 1,
            ),
            index,
        )
        for index, (base, prefix) in enumerate(shapes)
    ]
    found = [frozenset((one, other)) for (_net, one), (_other, other) in overlaps(claims)]
    assert len(set(found)) == len(found)
    blocks = [(ipaddress.ip_network((net.first, net.prefix)), index) for net, index in claims]
    assert found == [frozenset((one, other)) for (_net, one), (_other, other) in hosts_overlaps(blocks)]
    assert set(found) == {
        frozenset((one, other)) for net, one in claims for rival, other in claims if one < other and net.meets(rival)
    }


def test_neighbouring_blocks_are_one_span():
    found = spans_of(address_set(nets("10.0.0.0/25", "10.0.0.128/26", "10.0.1.0/24", "fd00::/64")))
    assert [(net.first, net.last) for net in found] == [
        (net.first, last.last)
        for net, last in zip(
            nets("10.0.0.0/25", "10.0.1.0/24", "fd00::/64"), nets("10.0.0.128/26", "10.0.1.0/24", "fd00::/64")
        )
    ]


# netaddr beside the standard library: what reads the same, is written the same, and what neither may accept.

#: A lot of what people and programs write for an address, and a little of what they must not.
_SEEDS = (
    "10.0.1.0",
    "255.255.255.255",
    "0.0.0.0",
    "fd00::1",
    "::",
    "1::8",
    "::ffff:10.0.0.1",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "1:2:3:4:5:6:1.2.3.4",
    "010.0.0.1",
    "10.1",
    "167772161",
    "0x0a000001",
    "fe80::1%eth0",
    "10.0.0.1-9",
    "10.0.0.*",
)
_LETTERS = "0123456789abcdefABCDEF.:/%-*x \t\n\x00\u0663\uff11\u00b2"


def by_the_standard_library(text):
    """(first, last) of an address or a CIDR as ``ipaddress`` reads it, IPv6 above IPv4; None where it is refused."""
    address, slash, prefix = text.partition("/")
    if "%" in text or (slash and not (prefix.isascii() and prefix.isdecimal())):
        return None
    try:
        network = ipaddress.ip_network(f"{address}/{int(prefix)}" if slash else address)
    except ValueError:
        return None
    base = V6 if network.version == 6 else 0
    return int(network.network_address) + base, int(network.broadcast_address) + base


def by_the_site(text):
    try:
        net = parse_net(text) if "/" in text else parse_address(text)
    except Unreadable:
        return None
    return net.first, net.last


def scribbled(chance):
    """A text that may name an address: one of the seeds with up to three characters changed, or any characters."""
    if chance.random() < 0.1:
        return "".join(chance.choice(_LETTERS) for _place in range(chance.randint(0, 12)))
    letters = list(chance.choice(_SEEDS))
    for _change in range(chance.randint(0, 3)):
        place = chance.randrange(len(letters) + 1)
        how = chance.random()
        if how < 0.3:
            letters[place : place + 1] = []
        elif how < 0.6:
            letters[place:place] = chance.choice(_LETTERS)
        else:
            letters[place : place + 1] = chance.choice(_LETTERS)
    prefix = chance.choice(
        ("", "", "/24", "/8", "/64", "/0", "/32", "/128", "/033", "/+8", "/2 4", "/\u0662\u0664", "/-1")
    )
    return "".join(letters) + prefix


def test_netaddr_reads_an_address_exactly_where_the_standard_library_does():
    chance, accepted = random.Random(20260101), 0
    for _round in range(40000):
        text = scribbled(chance)
        expected = by_the_standard_library(text)
        assert by_the_site(text) == expected, text
        accepted += expected is not None
    # Enough of both, or it shows nothing.
    assert 1500 < accepted < 38500


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=45))
def test_no_text_is_read_that_the_standard_library_refuses(text):
    assert by_the_site(text) == by_the_standard_library(text)


@pytest.mark.parametrize(
    "text",
    ["10.1", "10", "010.0.0.1", "10.0.0.01", "0x0a.0.0.1", "10.0.0.1 ", " 10.0.0.1", "10.0.0.1\n", "10.0.0.0/024x"]
    + ["10.0.0.0/255.255.255.0", "10.0.0.0/0.0.0.255", "10.0.0.0-10.0.0.9", "10.0.0.*", "1::2::3", "fd00::1/64", "10/8"]
    + ["10.0.0.0/" + "9" * 5000, "::1%", "\u0661\u0660.0.0.1", "10.0.0.0/\u0662\u0664", ""],
)
def test_what_other_tools_read_leniently_is_no_address(text):
    assert by_the_site(text) is None


@settings(max_examples=500, deadline=None)
@given(st.integers(0, 2**32 - 1) | st.integers(0, 2**128 - 1).map(lambda value: value + V6))
def test_an_address_is_written_as_the_standard_library_writes_it(point):
    expected = ipaddress.IPv6Address(point - V6) if point >= V6 else ipaddress.IPv4Address(point)
    if expected.version == 6 and int(expected) >> 48 == 0:
        return  # of IPv4 in IPv6 the libraries write the last part differently: ::ffff:a00:1, ::ffff:10.0.0.1
    text = point_text(point)
    assert parse_address(text).first == point
    assert text == str(expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1023), st.integers(22, 32)), max_size=8),
    st.lists(st.tuples(st.integers(0, 1023), st.integers(22, 32)), max_size=8),
)
def test_what_is_subtracted_is_gone_and_nothing_else(blocks, taken):
    def cut(shapes):
        return [
            Net(start, start + 2 ** (32 - bits) - 1)
            for base, bits in shapes
            for start in [base >> (32 - bits) << (32 - bits)]
        ]

    left = subtract(cut(blocks), cut(taken))
    for point in range(1024):
        inside = any(net.first <= point <= net.last for net in cut(blocks))
        out = any(net.first <= point <= net.last for net in cut(taken))
        assert any(net.first <= point <= net.last for net in left) == (inside and not out)
    assert all(one.last + 1 < other.first for one, other in zip(left, left[1:], strict=False))


@pytest.mark.parametrize(("cidr", "first", "last"), [("10.0.0.5", "10.0.0.9", 3), ("fd00::1", "fd00::8", 4)])
def test_a_span_is_cut_into_the_fewest_blocks(cidr, first, last):
    span = Net(parse_address(cidr).first, parse_address(first).last)
    blocks = blocks_of(span)
    assert len(blocks) == last and sum(block.size for block in blocks) == span.size
    assert spans_of(address_set(blocks)) == [span]


def test_without_netaddr_one_message_names_the_package_and_the_interpreter(monkeypatch):
    monkeypatch.setattr(subnets, "netaddr", None)
    with pytest.raises(AnsibleError) as caught:
        parse_site({"bulkhead_tiers": "nonsense"}, date(2026, 1, 1))
    assert "(netaddr)" in str(caught.value) and sys.executable in str(caught.value)


def test_without_netaddr_every_plugin_still_loads_so_that_it_can_say_so():
    """Run in a process of its own: what is imported here is imported already."""
    program = (
        "import sys; sys.modules['netaddr'] = None\n"
        "from importlib import import_module\n"
        "base = 'ansible_collections.bulkhead.tiers.plugins.'\n"
        "for name in ('action.site', 'action.allocations', 'action.networks_report', 'action.prove', 'lookup.reach',\n"
        "             'plugin_utils.plan.plan', 'plugin_utils.networks.report'):\n"
        "    import_module(base + name)\n"
        "from datetime import date\n"
        "try:\n"
        "    import_module(base + 'plugin_utils.site.parse').parse_site({}, date(2026, 1, 1))\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("AnsibleError ") and "netaddr" in done.stdout and sys.executable in done.stdout
