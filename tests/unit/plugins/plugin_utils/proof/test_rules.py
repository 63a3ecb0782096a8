from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.rules import Packet, matches, read_firewall, text_of

SSH = Packet("input", "10.0.1.11", "10.0.3.11", "tcp", 22)


def decide(rules, packet=SSH, active=True, **default):
    return read_firewall(active, {"incoming": "deny", "outgoing": "allow", "routed": "deny", **default}, rules).decide(
        packet
    )


def test_the_first_rule_that_matches_decides():
    deny = {"rule": "deny", "proto": "tcp", "from_ip": "10.0.1.11", "to_port": "22"}
    allow = {"rule": "allow", "proto": "tcp", "from_ip": "10.0.1.0/24", "to_port": "22"}
    assert decide([deny, allow]).allows is False
    assert decide([allow, deny]).allows is True
    assert text_of(decide([allow, deny]).rule) == "allow in proto tcp from 10.0.1.0/24 to any port 22"


def test_without_a_rule_the_default_policy_of_the_hook_decides():
    assert decide([]) == (False, None, ())
    assert decide([], incoming="allow").allows is True
    assert decide([], SSH._replace(hook="forward"), incoming="allow").allows is False
    assert decide([], SSH._replace(hook="forward"), routed="allow").allows is True


def test_a_firewall_that_is_off_lets_everything_in():
    assert decide([{"rule": "deny"}], active=False) == (True, None, ())


@pytest.mark.parametrize(
    "rule",
    [
        {"proto": "udp"},
        {"to_port": "23"},
        {"proto": "tcp", "to_port": "23:80"},
        {"proto": "tcp", "to_port": "21,23"},
        {"from_ip": "10.0.2.0/24"},
        {"to_ip": "10.0.3.12"},
        {"route": True},
        {"direction": "out"},
        {"interface": "eth1"},
    ],
)
def test_a_rule_for_something_else_does_not_decide(rule):
    assert decide([{"rule": "allow", **rule}], SSH._replace(interface_in="eth0")).allows is False


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"proto": "any"},
        {"to_port": "22"},
        {"proto": "tcp", "to_port": "20:30"},
        {"proto": "tcp", "to_port": "21,22"},
        {"from_ip": "any"},
        {"from_ip": "10.0.0.0/8", "to_ip": "10.0.3.0/24"},
        {"interface": "eth0"},
        {"rule": "limit"},
    ],
)
def test_a_rule_that_holds_the_packet_decides(rule):
    assert decide([{"rule": "allow", **rule}], SSH._replace(interface_in="eth0")).allows is True


def test_a_rule_whose_interface_or_source_port_is_not_known_decides_nothing_and_is_named():
    by_interface = {"rule": "allow", "interface": "eth7"}
    by_source_port = {"rule": "allow", "proto": "tcp", "from_port": "1024:65535"}
    decision = decide([by_interface, by_source_port])
    assert decision.allows is False
    assert decision.unsure == ("allow in on eth7 from any to any", "allow in proto tcp from any port 1024:65535 to any")


def test_an_application_profile_is_not_guessed():
    assert decide([{"rule": "allow", "app": "OpenSSH"}]).unsure == ("allow app OpenSSH",)


def test_a_rule_for_ipv6_is_left_out():
    assert read_firewall(True, {}, [{"rule": "allow", "from_ip": "2001:db8::/32"}]).rules == ()


def test_a_routed_rule_is_matched_by_both_interfaces():
    rule = read_firewall(True, {}, [{"rule": "allow", "route": True, "interface_in": "a", "interface_out": "b"}]).rules[
        0
    ]
    packet = SSH._replace(hook="forward")
    assert matches(rule, packet._replace(interface_in="a", interface_out="b")) is True
    assert matches(rule, packet._replace(interface_in="a", interface_out="c")) is False
    assert matches(rule, packet._replace(interface_in="a")) is None


def test_a_rule_is_known_by_its_match_and_its_action_not_by_its_comment():
    firewall = read_firewall(True, {}, [{"rule": "allow", "to_port": "22", "proto": "tcp", "comment": "one"}])
    same = read_firewall(
        True, {}, [{"rule": "allow", "to_port": 22, "proto": "tcp", "from_ip": "any", "comment": "two"}]
    ).rules[0]
    other = read_firewall(True, {}, [{"rule": "deny", "to_port": "22", "proto": "tcp"}]).rules[0]
    assert firewall.has(same) and not firewall.has(other)
