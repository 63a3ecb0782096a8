from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import address_text
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import Question
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.nat import translate


def prerouting(rules, port=8080, chains="", family=4, source="10.0.1.5", destination="10.0.2.11"):
    text = f"*nat\n:PREROUTING ACCEPT [0:0]\n{chains}{rules}\nCOMMIT\n"
    one = packet(family, source, destination, port=port, inside="eth0")
    prefix = 24 if family == 4 else 64
    question = Question("INPUT", "NEW", (f"{destination}/{prefix}",), translated=False)
    return translate(parse(text, family), "PREROUTING", one, question, destination)


def end(found, family=4):
    return address_text(found.packet.dst, family), found.packet.dport


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("-p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80", ("172.17.0.2", 80)),
        ("-p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2", ("172.17.0.2", 8080)),
        ("-p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 3128", ("10.0.2.11", 3128)),
        ("-p tcp -m tcp --dport 81 -j DNAT --to-destination 172.17.0.2:80", ("10.0.2.11", 8080)),
        (
            "-p tcp -m tcp --dport 8080 -j ACCEPT\n-A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.2",
            ("10.0.2.11", 8080),
        ),
        ("-p tcp -j RETURN\n-A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.2", ("10.0.2.11", 8080)),
    ],
)
def test_the_first_rule_that_is_met_decides(rule, expected):
    found = prerouting(f"-A PREROUTING {rule}")
    assert (end(found), found.doubt) == (expected, "")


def test_a_chain_is_followed_and_left_again():
    rules = "-A PREROUTING -j A\n-A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.9\n-A A -p udp -j DNAT --to-destination 172.17.0.8"
    assert end(prerouting(rules, chains=":A - [0:0]\n")) == ("172.17.0.9", 8080)


def test_accept_in_a_chain_ends_the_whole_table():
    rules = "-A PREROUTING -j A\n-A PREROUTING -p tcp -j DNAT --to-destination 172.17.0.9\n-A A -p tcp -j ACCEPT"
    found = prerouting(rules, chains=":A - [0:0]\n")
    assert end(found) == ("10.0.2.11", 8080) and found.rule is None


@pytest.mark.parametrize(
    "rule",
    [
        "-p tcp -m statistic --mode random --probability 0.5 -j DNAT --to-destination 172.17.0.2:80",
        "-p tcp -j DNAT --to-destination 172.17.0.2-172.17.0.9",
        "-p tcp -j DNAT --to-destination 172.17.0.2:80-90",
        "-p tcp -m set --match-set bad src -j RETURN",
        "-p tcp -j NETMAP --to 172.17.0.0/24",
    ],
)
def test_what_is_not_certain_is_a_doubt_and_no_guess(rule):
    found = prerouting(f"-A PREROUTING {rule}")
    assert found.doubt and found.rule is None


def test_ipv6_in_brackets():
    found = prerouting(
        "-A PREROUTING -p tcp -j DNAT --to-destination [fd00::2]:80",
        family=6,
        source="fd00:1::5",
        destination="fd00:2::5",
    )
    assert end(found, 6) == ("fd00::2", 80)
