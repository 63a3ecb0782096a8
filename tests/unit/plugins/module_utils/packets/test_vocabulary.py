# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The words of a line and the lines of a text, as iptables-restore and iptables-save have them."""

from __future__ import annotations

import random
import string

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import (
    MATCHES,
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


def test_a_text_with_carriage_returns_throughout_is_read_without_them():
    assert [line for _number, line in logical_lines("*filter\r\n:INPUT DROP [0:0]\r\n\r\nCOMMIT\r\n")] == [
        "*filter",
        ":INPUT DROP [0:0]",
        "COMMIT",
    ]
    assert [line for _number, line in logical_lines("*filter\r\nCOMMIT\n")] == ["*filter\r", "COMMIT"]


def test_options_are_known_with_the_number_of_their_values():
    assert MATCHES["tcp"] == {"--sport": 1, "--dport": 1, "--tcp-option": 1, "--syn": 0, "--tcp-flags": 2}
    assert MATCHES["icmp6"] is MATCHES["ipv6-icmp"]
    assert (MATCHES["set"]["--match-set"], MATCHES["recent"]["--name"], MATCHES["recent"]["--rsource"]) == (2, 1, 0)
    assert (TARGETS["SET"]["--add-set"], TARGETS["LOG"]["--log-prefix"], TARGETS["ACCEPT"]) == (2, 1, {})
