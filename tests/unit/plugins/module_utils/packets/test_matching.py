# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Matches at their place on a packet's way: states, directions, first packets, types of addresses."""

from __future__ import annotations

import pytest
from asking import ask, rules, table

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import accepted
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import FIELD_NAMES
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import (
    ALLOWED,
    DENIED,
    EVERY,
    UNKNOWN,
    Question,
)

OWN = ("10.0.9.9/24", "fd00::9/64")


def answer(words, **more):
    family = more.pop("family", 4)
    return ask(rules(f"-A INPUT {words} -j ACCEPT", family=family), **more).answer


@pytest.mark.parametrize("state", ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"])
def test_a_state_matches_itself_alone(state):
    for other in ("NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"):
        same = state == other
        assert answer(f"-m conntrack --ctstate {other}", state=state) == (ALLOWED if same else DENIED)
        assert answer(f"-m conntrack ! --ctstate {other}", state=state) == (DENIED if same else ALLOWED)


@pytest.mark.parametrize(
    ("words", "more", "expected"),
    [
        ("--ctstate DNAT", {"translated": True}, ALLOWED),
        ("--ctstate DNAT", {"translated": False}, DENIED),
        ("! --ctstate DNAT", {"translated": True}, DENIED),
        ("--ctstate NEW,DNAT", {"translated": False}, ALLOWED),
        ("--ctstate DNAT", {"translated": True, "state": "UNTRACKED"}, DENIED),
        ("--ctstate SNAT", {}, DENIED),
        ("--ctstate SNAT", {"state": "ESTABLISHED"}, UNKNOWN),
        ("--ctstate SNAT", {"state": "UNTRACKED"}, DENIED),
        ("--ctstate SNAT", {"state": "INVALID"}, DENIED),
        ("--ctstate DNAT", {"translated": True, "state": "INVALID"}, DENIED),
        ("--ctstate NEW,SNAT", {"family": 6}, ALLOWED),
        ("--ctstate DNAT", {"family": 6}, DENIED),
        ("--ctdir ORIGINAL", {}, ALLOWED),
        ("--ctdir REPLY", {}, DENIED),
        ("! --ctdir REPLY", {}, ALLOWED),
        ("--ctdir ORIGINAL", {"state": "ESTABLISHED"}, UNKNOWN),
        ("--ctorigsrc 10.0.0.0/24", {}, ALLOWED),
        ("--ctorigsrc 10.0.1.0/24", {}, DENIED),
        ("! --ctorigdst 10.0.9.9", {}, DENIED),
        ("--ctorigdstport 22", {}, ALLOWED),
        ("--ctorigdstport 22", {"state": "RELATED"}, UNKNOWN),
        ("--ctorigdstport 8022", {"translated": True, "original": ("10.0.9.1", 8022)}, ALLOWED),
        ("--ctorigdstport 22", {"translated": True, "original": ("10.0.9.1", 8022)}, DENIED),
        ("--ctorigdst 10.0.9.1", {"translated": True, "original": ("10.0.9.1", 8022)}, ALLOWED),
        ("--ctorigsrcport 40000", {"translated": True}, ALLOWED),
    ],
)
def test_a_connections_properties_are_those_of_its_first_packet(words, more, expected):
    assert answer(f"-m conntrack {words}", **more) == expected


@pytest.mark.parametrize(
    ("words", "new", "later"),
    [
        ("--syn", ALLOWED, UNKNOWN),
        ("! --syn", DENIED, UNKNOWN),
        ("--tcp-flags SYN,ACK SYN", ALLOWED, UNKNOWN),
        ("--tcp-flags ACK ACK", DENIED, UNKNOWN),
        ("--tcp-flags ACK NONE", ALLOWED, UNKNOWN),
        ("--tcp-flags ALL SYN", ALLOWED, UNKNOWN),
        ("--tcp-flags ALL NONE", DENIED, UNKNOWN),
    ],
)
def test_a_new_packet_of_tcp_has_one_flag(words, new, later):
    assert answer(f"-p tcp -m tcp {words}") == new
    assert answer(f"-p tcp -m tcp {words}", state="ESTABLISHED") == later


@pytest.mark.parametrize("kind", [*range(126, 137), *range(138, 146)])
def test_neighbour_discovery_is_untracked_and_the_rest_of_icmpv6_is_not(kind):
    untracked = kind in (130, 131, 132, 133, 134, 135, 136, 143)
    states = {"NEW": ALLOWED, "UNTRACKED": DENIED, "INVALID": DENIED}
    if untracked:
        states.update(NEW=DENIED, UNTRACKED=ALLOWED)
    for state, expected in states.items():
        one = {"family": 6, "proto": "ipv6-icmp", "port": kind * 256 + 1}
        assert answer(f"-m conntrack --ctstate {state}", **one) == expected
        assert answer(f"-m conntrack ! --ctstate {state}", **one) == (DENIED if expected == ALLOWED else ALLOWED)
        assert answer("-m conntrack --ctstate NEW,UNTRACKED", **one) == ALLOWED
    assert answer("-m conntrack --ctstate NEW", family=6) == ALLOWED
    assert answer("-m conntrack --ctstate UNTRACKED", family=6) == DENIED
    assert answer("-m conntrack --ctstate NEW", proto="icmp", port=kind * 256) == ALLOWED


def test_a_redirect_of_icmpv6_is_untracked_or_invalid_and_never_new():
    one = {"family": 6, "proto": "ipv6-icmp", "port": 137 * 256}
    for states, expected in (
        ("NEW", DENIED),
        ("UNTRACKED", UNKNOWN),
        ("INVALID", UNKNOWN),
        ("UNTRACKED,INVALID", ALLOWED),
        ("NEW,INVALID", UNKNOWN),
    ):
        assert answer(f"-m conntrack --ctstate {states}", **one) == expected
    assert answer("-m conntrack ! --ctstate NEW", **one) == ALLOWED
    assert answer("-m conntrack --ctstate NEW,INVALID", family=6) == ALLOWED
    assert answer("-m conntrack --ctstate INVALID", family=6) == DENIED
    found = ask(rules("-A INPUT -m conntrack --ctstate INVALID -j ACCEPT", family=6), "ipv6-icmp", 137 * 256)
    assert [condition.text for condition in found.conditions] == ["state INVALID"]


@pytest.mark.parametrize(
    "words", ["-p tcp --dport 0:65535", "-s ::/0", "-i +", "-p tcp -m multiport --ports 0:65535", "! -s ::/128"]
)
def test_a_match_that_leaves_nothing_out_is_met(words):
    assert answer(words, family=6) == ALLOWED


@pytest.mark.parametrize("states", ["DNAT", "DNAT,UNTRACKED", "DNAT,INVALID"])
def test_what_may_have_been_translated_is_not_told_in_ipv6_either(states):
    translation = "-A PREROUTING -p tcp -m tcp --dport 22 -m mark --mark 1 -j DNAT --to-destination [fd00::9]:22"
    accepts = table("filter", ":INPUT DROP", f"-A INPUT -m conntrack --ctstate {states} -j ACCEPT")
    assert ask(parse(accepts + table("nat", ":PREROUTING ACCEPT", translation), 6)).answer == UNKNOWN


@pytest.mark.parametrize(
    ("source_port", "port", "expected"),
    [(7, 22, DENIED), (7, 80, UNKNOWN), (9, 22, UNKNOWN), (9, 80, ALLOWED), (22, 7, ALLOWED), (22, 22, UNKNOWN)],
)
def test_of_two_denied_ports_one_alone_is_told_by_the_release(source_port, port, expected):
    assert answer("-p tcp -m tcp ! --sport 7 ! --dport 22", source_port=source_port, port=port) == expected


def test_every_protocol_has_a_first_packet():
    whole = accepted(rules("-A INPUT -j ACCEPT"), Question(addresses=EVERY))
    assert accepted(rules("-A INPUT -m conntrack --ctdir ORIGINAL -j ACCEPT"), Question(addresses=EVERY)) == whole


@pytest.mark.parametrize("family", [4, 6])
def test_either_port_or_both(family):
    both = {"source_port": 7}
    assert answer("-p tcp -m multiport --ports 7,9", family=family, port=22, **both) == ALLOWED
    assert answer("-p tcp -m multiport --ports 22,9", family=family, port=22, **both) == ALLOWED
    assert answer("-p tcp -m multiport --ports 8,9", family=family, port=22, **both) == DENIED
    assert answer("-p tcp -m multiport ! --ports 7,9", family=family, port=22, **both) == DENIED
    assert answer("-p tcp -m multiport --ports 22 -m tcp --sport 9", family=family, port=22, source_port=22) == DENIED
    assert answer("-p tcp -m multiport --ports 22 -m tcp --sport 7", family=family, port=22, **both) == ALLOWED
    assert answer("-p tcp -m multiport ! --ports 22,9", family=family, port=22, **both) == DENIED
    assert answer("-p tcp -m multiport ! --ports 8,9", family=family, port=22, **both) == ALLOWED


@pytest.mark.parametrize(
    ("words", "target", "expected"),
    [
        ("--dst-type LOCAL", "10.0.9.9", ALLOWED),
        ("--dst-type LOCAL", "10.0.9.255", DENIED),
        ("--dst-type BROADCAST", "10.0.9.255", ALLOWED),
        ("--dst-type BROADCAST", "255.255.255.255", ALLOWED),
        ("--dst-type BROADCAST", "0.1.2.3", ALLOWED),
        ("--dst-type MULTICAST", "224.0.0.1", ALLOWED),
        ("--dst-type MULTICAST", "239.255.255.255", ALLOWED),
        ("--dst-type UNICAST", "10.0.9.9", DENIED),
        ("--dst-type LOCAL,MULTICAST", "224.0.0.1", ALLOWED),
        ("! --dst-type LOCAL,MULTICAST", "224.0.0.1", DENIED),
        ("! --dst-type LOCAL", "10.0.9.255", ALLOWED),
        ("! --dst-type LOCAL", "0.0.0.0", ALLOWED),
        ("--src-type UNICAST", "10.0.9.9", ALLOWED),
        ("--src-type LOCAL", "10.0.9.9", DENIED),
        ("--dst-type BLACKHOLE", "10.0.9.9", UNKNOWN),
        ("--dst-type LOCAL", "127.1.2.3", ALLOWED),
    ],
)
def test_the_type_of_an_address_is_told_by_the_hosts_own(words, target, expected):
    assert answer(f"-m addrtype {words}", target=target, addresses=OWN) == expected


@pytest.mark.parametrize(
    ("words", "target", "expected"),
    [
        ("--dst-type LOCAL", "fd00::9", ALLOWED),
        ("--dst-type UNICAST", "fd00::9", ALLOWED),
        ("--dst-type LOCAL,UNICAST", "fd00::9", ALLOWED),
        ("--dst-type LOCAL,MULTICAST", "fd00::9", DENIED),
        ("--dst-type MULTICAST", "ff02::1", ALLOWED),
        ("--dst-type UNICAST", "ff02::1", DENIED),
        ("--dst-type LOCAL", "::1", ALLOWED),
        ("--dst-type UNICAST", "::1", ALLOWED),
        ("--src-type LOCAL", "fd00::9", DENIED),
        ("--src-type UNICAST", "fd00::9", ALLOWED),
    ],
)
def test_in_ipv6_an_address_has_all_of_the_types_that_are_named(words, target, expected):
    assert answer(f"-m addrtype {words}", family=6, target=target, addresses=OWN) == expected


@pytest.mark.parametrize(
    ("hook", "words", "expected"),
    [
        ("INPUT", "--dst-type LOCAL", ALLOWED), ("INPUT", "--src-type LOCAL", UNKNOWN), ("OUTPUT", "--src-type LOCAL", ALLOWED),
        ("OUTPUT", "--dst-type LOCAL", UNKNOWN), ("FORWARD", "--dst-type LOCAL", DENIED), ("FORWARD", "--src-type LOCAL", DENIED),
        ("FORWARD", "--dst-type UNICAST", ALLOWED), ("OUTPUT", "--dst-type MULTICAST", DENIED),
    ],
)  # fmt: skip
@pytest.mark.parametrize("family", [4, 6])
def test_on_no_host_in_particular_the_hook_tells_types(family, hook, words, expected):
    ruleset = rules(f"-A {hook} -m addrtype {words} -j ACCEPT", family=family, hook=hook)
    assert ask(ruleset, hook=hook, addresses=EVERY).answer == expected


@pytest.mark.parametrize(
    ("chain", "words", "answers"),
    [  # what is first sent to 10.0.9.1 port 8022, and then to 10.0.9.9 port 22: translated, not, not known
        ("PREROUTING", "-d 10.0.9.1", (DENIED, ALLOWED, UNKNOWN)),
        ("PREROUTING", "-p tcp --dport 8022", (DENIED, ALLOWED, UNKNOWN)),
        ("PREROUTING", "-p tcp --dport 22", (ALLOWED, DENIED, UNKNOWN)),
        ("INPUT", "-p tcp --dport 22", (DENIED, DENIED, DENIED)),
        ("INPUT", "-d 10.0.9.1", (ALLOWED, ALLOWED, ALLOWED)),
        ("PREROUTING", "-s 10.0.0.1", (DENIED, DENIED, DENIED)),
        ("PREROUTING", "-m addrtype --dst-type LOCAL", (UNKNOWN, DENIED, UNKNOWN)),
    ],
)
def test_before_a_translation_a_packet_has_its_first_destination(chain, words, answers):
    nat = table("nat", ":PREROUTING ACCEPT", "-A PREROUTING -p tcp --dport 8022 -j DNAT --to-destination 10.0.9.9:22")
    text = table("filter", ":INPUT ACCEPT") + table("mangle", f":{chain} ACCEPT", f"-A {chain} {words} -j DROP") + nat
    for translated, expected in zip((True, False, None), answers):
        found = ask(parse(text, 4), translated=translated, original=("10.0.9.1", 8022))
        assert found.answer == expected, translated


def test_raw_comes_before_the_connection_is_known():
    for words in ("--ctstate NEW", "! --ctstate NEW", "--ctdir ORIGINAL", "--ctorigsrc 10.0.0.1"):
        text = table("raw", ":PREROUTING ACCEPT", f"-A PREROUTING -m conntrack {words} -j DROP") + table(
            "filter", ":INPUT ACCEPT"
        )
        assert ask(parse(text, 4)).answer == UNKNOWN


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("-m addrtype ! --dst-type BLACKHOLE", "not destination type BLACKHOLE"),
        ("-m conntrack --ctstate SNAT", "state SNAT"),
        ("-m conntrack ! --ctdir REPLY", "not REPLY"),
        ("-p tcp -m tcp ! --tcp-flags SYN,ACK NONE", "not flags none of ACK,SYN"),
        ("-m conntrack --ctorigdst 10.0.0.1", "the connection's first destination"),
        ("-m mark --mark 1 -m limit --limit 1/sec", "mark --mark 1; limit --limit 1/sec"),
        ("-m limit --limit 1/sec -m limit --limit 1/sec", "limit --limit 1/sec"),
    ],
)
def test_what_an_answer_depends_on_is_said(words, text):
    found = ask(rules(f"-A INPUT {words} -j ACCEPT"), state="ESTABLISHED")
    assert [condition.text for condition in found.conditions] == [text]
    assert found.rate_limited == (text == "limit --limit 1/sec")


def test_the_type_of_icmp_is_not_translated():
    text = table("filter", ":INPUT ACCEPT") + table(
        "mangle", ":PREROUTING ACCEPT", "-A PREROUTING -p icmp -m icmp --icmp-type 8 -j DROP"
    )
    ruleset = parse(text, 4)
    assert ask(ruleset, "icmp", 8 * 256, translated=True, original=("10.0.9.1", 0)).answer == DENIED
    assert ask(ruleset, "icmp", 3 * 256, translated=True, original=("10.0.9.1", 8 * 256)).answer == ALLOWED


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--ctorigsrc 10.0.0.1", "the connection's first source"),
        ("--ctorigdst 10.0.0.1", "the connection's first destination"),
        ("--ctorigsrcport 5", "the connection's first source port"),
        ("--ctorigdstport 5", "the connection's first port"),
    ],
)
def test_a_field_is_called_by_its_name_where_it_is_not_known(option, text):
    found = ask(rules(f"-A INPUT -m conntrack {option} -j ACCEPT"), state="ESTABLISHED")
    assert [condition.text for condition in found.conditions] == [text]
    assert FIELD_NAMES == (
        "in",
        "out",
        "protocol",
        "source",
        "destination",
        "source port",
        "port",
        "original destination",
        "original port",
    )


def test_a_rule_that_is_not_understood_is_said_to_be_so():
    found = ask(rules("-A INPUT -m unheard --of -f -j DROP"))
    assert [condition.text for condition in found.conditions] == [
        "-A INPUT -m unheard --of -f -j DROP; (not understood)"
    ]


@pytest.mark.parametrize("table_name", ["raw", "mangle", "nat"])
@pytest.mark.parametrize("words", ["-d 10.0.9.1", "-p tcp --dport 8022"])
def test_every_table_before_the_translation_sees_the_first_destination(table_name, words):
    text = table("filter", ":INPUT ACCEPT", "-A INPUT -m conntrack --ctstate INVALID -j DROP")
    text += table(table_name, ":PREROUTING ACCEPT", f"-A PREROUTING {words} -j DROP")
    assert ask(parse(text, 4), translated=True, original=("10.0.9.1", 8022)).answer == DENIED
    assert ask(parse(text, 4), translated=False).answer == ALLOWED


@pytest.mark.parametrize(
    ("chain", "state", "answer"),
    [
        ("PREROUTING", "NEW", ALLOWED),  # it is translated behind mangle's PREROUTING
        ("PREROUTING", "ESTABLISHED", DENIED),
        ("INPUT", "NEW", DENIED),
        ("INPUT", "ESTABLISHED", DENIED),
    ],
)
def test_a_new_connection_is_no_translated_one_before_its_translation(chain, state, answer):
    text = table("filter", ":INPUT ACCEPT")
    text += table("mangle", f":{chain} ACCEPT", f"-A {chain} -m conntrack --ctstate DNAT -j DROP")
    assert ask(parse(text, 4), state=state, translated=True, original=("10.0.9.1", 8022)).answer == answer
    assert ask(parse(text, 4), state=state, translated=False).answer == ALLOWED


@pytest.mark.parametrize(
    "words",
    [
        "--ctorigsrc fd00::/64",
        "! --ctorigsrc fd01::/64",
        "--ctorigdst fd00::/64",
        "--ctproto ipv6-icmp",
        "! --ctproto tcp",
        "--ctdir ORIGINAL",
    ],
)
def test_what_belongs_to_no_connection_has_no_properties_of_one(words):
    """The kernel tracks no neighbour discovery: conntrack does not match it, negated or not."""
    ruleset = rules(f"-A INPUT -m conntrack {words} -j ACCEPT", family=6)
    assert ask(ruleset, "ipv6-icmp", 128 * 256).answer == ALLOWED
    for kind in (130, 133, 135, 136, 137, 143):
        assert ask(ruleset, "ipv6-icmp", kind * 256).answer == UNKNOWN
    if "icmp" not in words:
        assert ask(ruleset, "udp", 53).answer == ALLOWED


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize(
    ("state", "answer"),
    [("NEW", ALLOWED), ("ESTABLISHED", ALLOWED), ("RELATED", UNKNOWN), ("INVALID", UNKNOWN), ("UNTRACKED", UNKNOWN)],
)
def test_a_connections_protocol_is_known_where_the_packet_is_of_it(family, state, answer):
    ruleset = rules("-A INPUT -m conntrack --ctproto tcp -j ACCEPT", family=family)
    assert ask(ruleset, state=state).answer == answer
    assert ask(ruleset, "udp", state=state).answer == (DENIED if answer == ALLOWED else answer)
