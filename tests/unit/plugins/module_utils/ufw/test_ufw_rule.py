# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import (
    MalformedTuple,
    Rule,
    describe,
    format_tuple,
    iptables_lines,
    parse_tuple,
    sort_ports,
    valid_interface,
)
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import RECORDED

RULES = sorted(RECORDED.rglob("*.rules"))
USER_RULES = [path for path in RULES if path.name.startswith("user") or path.parent.name == "levels"]


@pytest.mark.parametrize("path", USER_RULES, ids=lambda path: "-".join(path.parts[-4:]))
def test_every_rule_that_ufw_wrote_is_read_and_written_back_the_same(path):
    family = 6 if path.name.startswith("user6") else 4
    text = path.read_text()
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("### tuple")]
    assert blocks
    for block in blocks:
        rule = parse_tuple(block[0])
        assert format_tuple(rule) == block[0]
        assert ["-A %s %s" % line for line in iptables_lines(rule, family)] == block[1:]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("allow tcp 22 0.0.0.0/0 any", "has 5 fields"),
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 a b c in", "has 10 fields"),
        ("permit tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", "action is permit"),
        ("allow_loud tcp 22 0.0.0.0/0 any 0.0.0.0/0 in", "log type is loud"),
        ("allow sctp 22 0.0.0.0/0 any 0.0.0.0/0 in", "protocol is sctp"),
        ("allow tcp ssh 0.0.0.0/0 any 0.0.0.0/0 in", "port is ssh"),
        ("allow tcp 22 10.0.0.300 any 0.0.0.0/0 in", "address is 10.0.0.300"),
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 sideways", "direction is sideways"),
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in_eth0:1", "is not an interface name"),
        ("allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 in comment=xyz", "comment is not in hexadecimal"),
    ],
)
def test_a_tuple_that_ufw_skips_is_malformed_and_says_why(line, complaint):
    with pytest.raises(MalformedTuple, match=complaint):
        parse_tuple("### tuple ### " + line)


def test_a_tuple_of_an_old_ufw_without_a_direction_is_an_incoming_rule():
    assert parse_tuple("### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0").direction == "in"


def test_ports_are_sorted_by_number_and_a_single_port_stands_before_a_range_that_starts_with_it():
    assert sort_ports("443,80,1000:2000,1000,9") == "9,80,443,1000,1000:2000"


@pytest.mark.parametrize("name", ["eth0", "br-1a2b3c4d5e6f", "eth0.10", "tun+", "veth@x", "a" * 15])
def test_interface_names_of_the_kernel_are_valid(name):
    assert valid_interface(name)


@pytest.mark.parametrize("name", ["", ".", "..", "eth0:1", "a!b", "a b", "a/b", "a" * 16, "eth0\n"])
def test_interface_names_that_the_kernel_or_ufw_cannot_hold_are_not_valid(name):
    assert not valid_interface(name)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (
            Rule("allow", "tcp", "22", "0.0.0.0/0", "any", "10.0.1.0/24"),
            "allow in proto tcp from 10.0.1.0/24 to any port 22",
        ),
        (
            Rule("deny", "any", "any", "::/0", "any", "::/0", "out", comment="no way"),
            "deny out from any to any  # no way",
        ),
        (
            Rule("limit", "udp", "53", "0.0.0.0/0", "53", "0.0.0.0/0", "in", "eth0", log="log-all"),
            "limit in on eth0 log-all proto udp from any port 53 to any port 53",
        ),
        (
            Rule("reject", "tcp", "80", "10.0.0.1", "any", "0.0.0.0/0", "in", "eth0", "eth1", True, "log"),
            "route reject in on eth0 out on eth1 log proto tcp from any to 10.0.0.1 port 80",
        ),
        (
            Rule("allow", "tcp", "80,443", "0.0.0.0/0", "any", "0.0.0.0/0", dapp="WWW Full"),
            "allow in from any to any app 'WWW Full'",
        ),
    ],
)
def test_a_rule_reads_like_the_ufw_command(rule, text):
    assert describe(rule) == text


def test_rules_of_the_same_match_differ_only_in_action_log_and_comment():
    rule = Rule("allow", "tcp", "22", "0.0.0.0/0", "any", "0.0.0.0/0")
    assert rule.match == rule._replace(action="deny", log="log", comment="x").match
    changes = {
        "proto": "udp",
        "dport": "23",
        "dst": "10.0.0.1",
        "sport": "1",
        "src": "10.0.0.2",
        "direction": "out",
        "interface_in": "eth0",
        "interface_out": "eth1",
        "route": True,
        "dapp": "A",
        "sapp": "B",
    }
    for name, value in changes.items():
        assert rule.match != rule._replace(**{name: value}).match, name
