# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The words of a line and the lines of a text, as iptables-restore and iptables-save have them."""

from __future__ import annotations

import random
import string

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import PASSES
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import (
    BUILTIN,
    ICMP_TYPES,
    MATCHES,
    PROTOCOLS,
    SPELLINGS,
    TARGETS,
    Quoted,
    Unclosed,
    is_open,
    logical_lines,
    words,
)


@pytest.mark.parametrize(
    "line,found",
    [
        ("-A INPUT -j DROP", ["-A", "INPUT", "-j", "DROP"]),
        ("-A  INPUT\t-j\tDROP ", ["-A", "INPUT", "-j", "DROP"]),
        ('--comment "a b" -j X', ["--comment", "a b", "-j", "X"]),
        (r'--comment "a \"b\" \\ c" -j X', ["--comment", 'a "b" \\ c', "-j", "X"]),
        ('--name "-i" --rsource', ["--name", "-i", "--rsource"]),
        ('--comment "" -j X', ["--comment", "", "-j", "X"]),
        ('"a"b', ["a", "b"]),
        ('a"b c"d', ["ab c", "d"]),
        ("a\u2028b\x0bc\x1cd\x85e\xa0f\rg", ["a\u2028b\x0bc\x1cd\x85e\xa0f\rg"]),
        ('"a\u2028b" c', ["a\u2028b", "c"]),
        ('"two\nlines" c', ["two\nlines", "c"]),
    ],
)  # fmt: skip
def test_a_line_is_split_at_blanks_and_tabs_alone_and_a_quote_holds_its_word_together(line, found):
    assert words(line) == found


def test_what_stood_in_quotes_is_known():
    assert [isinstance(word, Quoted) for word in words('--name "-i" -j "-x"')] == [False, True, False, True]


@pytest.mark.parametrize("line", ['-m comment --comment "open', '"', 'a "b" "c', r'"a\"', '"a\\'])
def test_a_quote_that_is_not_closed_is_refused(line):
    assert is_open(line)
    with pytest.raises(Unclosed):
        words(line)


def test_whatever_iptables_save_quotes_comes_back_as_it_was():
    rng = random.Random(5)
    for _round in range(300):
        value = "".join(rng.choice(string.printable + '"\\ -!\u2028') for _sign in range(rng.randint(0, 12)))
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("'", "\\'")
        line = f'-A INPUT -m comment --comment "{escaped}" -j DROP'
        assert words(line)[5] == value
        assert words(line)[6:] == ["-j", "DROP"]
        assert not is_open(line)


@pytest.mark.parametrize("sign", ["\u2028", "\u2029", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\r"])
def test_only_a_line_feed_ends_a_line(sign):
    line = f'-A INPUT -m comment --comment "a{sign}b" -j DROP'
    assert list(logical_lines(f"*filter\n{line}\nCOMMIT\n")) == [(1, "*filter"), (2, line), (3, "COMMIT")]


def test_a_line_feed_between_quotes_belongs_to_the_value():
    text = '*filter\n-A INPUT -m comment --comment "one \ntwo\n\n three" -j DROP\nCOMMIT'
    assert list(logical_lines(text)) == [
        (1, "*filter"),
        (2, '-A INPUT -m comment --comment "one \ntwo\n\n three" -j DROP'),
        (6, "COMMIT"),
    ]


@pytest.mark.parametrize(
    "following", ["-A INPUT -j ACCEPT", "COMMIT", ":x - [0:0]", "*nat", "# note", "[1:2] -A INPUT"]
)
def test_an_open_quote_before_a_line_of_its_own_stays_open(following):
    text = f'-A INPUT --comment "open -j DROP\n{following}\n-A INPUT --comment "x" -j DROP'
    lines = [line for _number, line in logical_lines(text)]
    assert lines == text.split("\n")
    assert is_open(lines[0])


def test_line_ends_of_another_system_are_taken_for_line_ends():
    assert [line for _number, line in logical_lines("*filter\r\n:INPUT DROP [0:0]\r\n\r\nCOMMIT\r\n")] == [
        "*filter",
        ":INPUT DROP [0:0]",
        "COMMIT",
    ]
    assert [line for _number, line in logical_lines("*filter\r\nCOMMIT\n")] == ["*filter", "COMMIT"]
    assert [line for _number, line in logical_lines('"a\r\nb"\r\n')] == ['"a\r\nb"']


def test_the_filters_own_chains_are_the_hooks():
    assert set(BUILTIN) == set(PASSES)


def test_options_are_known_with_the_number_of_their_values():
    assert MATCHES["tcp"] == {"--sport": 1, "--dport": 1, "--tcp-option": 1, "--syn": 0, "--tcp-flags": 2}
    assert MATCHES["icmp6"] is MATCHES["ipv6-icmp"]
    assert (MATCHES["set"]["--match-set"], MATCHES["recent"]["--name"], MATCHES["recent"]["--rsource"]) == (2, 1, 0)
    assert (TARGETS["SET"]["--add-set"], TARGETS["LOG"]["--log-prefix"], TARGETS["ACCEPT"]) == (2, 1, {})


#: As `iptables -p icmp -h` and `ip6tables -p ipv6-icmp -h` list them, by the numbers of RFC 792 and RFC 4443.
ICMP = {
    4: """0 echo-reply pong  3 destination-unreachable  3/0 network-unreachable  3/1 host-unreachable  3/2 protocol-unreachable
        3/3 port-unreachable  3/4 fragmentation-needed  3/5 source-route-failed  3/6 network-unknown  3/7 host-unknown
        3/9 network-prohibited  3/10 host-prohibited  3/11 tos-network-unreachable  3/12 tos-host-unreachable
        3/13 communication-prohibited  3/14 host-precedence-violation  3/15 precedence-cutoff  4 source-quench  5 redirect
        5/0 network-redirect  5/1 host-redirect  5/2 tos-network-redirect  5/3 tos-host-redirect  8 echo-request ping
        9 router-advertisement  10 router-solicitation  11 time-exceeded ttl-exceeded  11/0 ttl-zero-during-transit
        11/1 ttl-zero-during-reassembly  12 parameter-problem  12/0 ip-header-bad  12/1 required-option-missing
        13 timestamp-request  14 timestamp-reply  17 address-mask-request  18 address-mask-reply""",
    6: """1 destination-unreachable  1/0 no-route  1/1 communication-prohibited  1/2 beyond-scope  1/3 address-unreachable
        1/4 port-unreachable  1/5 failed-policy  1/6 reject-route  2 packet-too-big  3 time-exceeded ttl-exceeded
        3/0 ttl-zero-during-transit  3/1 ttl-zero-during-reassembly  4 parameter-problem  4/0 bad-header
        4/1 unknown-header-type  4/2 unknown-option  128 echo-request ping  129 echo-reply pong  133 router-solicitation
        134 router-advertisement  135 neighbor-solicitation neighbour-solicitation  136 neighbor-advertisement
        neighbour-advertisement  137 redirect""",
}
LONG = """-A append  -s source src  -d destination dst  -p protocol  -i in-interface  -o out-interface  -f fragment  -m match  -j jump
    -g goto  -c set-counters  -4 ipv4  -6 ipv6  --sport source-port  --dport destination-port  --sports source-ports
    --dports destination-ports"""


def listed(text):
    """{name: what stands before it}"""
    found, value = {}, ""
    for word in text.split():
        if word[0] == "-" or word[0].isdigit():
            value = word
        else:
            found[word] = value
    return found


def test_names_have_the_numbers_and_the_short_forms_that_iptables_gives_them():
    assert {family: listed(text) for family, text in ICMP.items()} == ICMP_TYPES
    assert {f"--{name}": short for name, short in listed(LONG).items()} == SPELLINGS


def test_protocols_have_the_numbers_of_iana():
    names = (
        "icmp 1 igmp 2 ipencap 4 tcp 6 udp 17 dccp 33 ipv6 41 rsvp 46 gre 47 esp 50 ah 51 ipv6-icmp 58 ospf 89 "
        "pim 103 ipcomp 108 vrrp 112 l2tp 115 sctp 132 mh 135 udplite 136"
    ).split()
    assert {name: PROTOCOLS[name] for name in names[::2]} == dict(zip(names[::2], map(int, names[1::2])))
    assert (PROTOCOLS["ipip"], PROTOCOLS["icmpv6"], PROTOCOLS["ipv6-mh"], len(PROTOCOLS)) == (
        4,
        58,
        135,
        len(names) // 2 + 3,
    )
