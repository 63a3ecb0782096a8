from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.firewall import Packet, read_firewall, text_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.live import (
    MOST_PORTS,
    MOST_RULES,
    Live,
    port_ranges,
    rule_ports,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import Malformed

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


def test_a_rule_decides_the_packets_of_its_own_ip_version():
    rules = [{"rule": "allow", "from_ip": "2001:db8::/32"}, {"rule": "allow", "to_port": 22, "proto": "tcp"}]
    firewall = read_firewall(True, {}, rules)

    def allows(source, dest, port):
        return firewall.decide(Packet("input", source, dest, "tcp", port)).allows

    assert allows("2001:db8::5", "fd00::1", 80) and not allows("fd00::5", "fd00::1", 80)
    assert allows("fd00::5", "fd00::1", 22) and allows("10.0.0.5", "10.0.0.1", 22)
    assert not allows("10.0.0.5", "10.0.0.1", 80)
    assert len(firewall.rules) == 3


def test_a_routed_rule_is_matched_by_both_interfaces():
    firewall = read_firewall(True, {}, [{"rule": "allow", "route": True, "interface_in": "a", "interface_out": "b"}])
    packet = SSH._replace(hook="forward")
    assert firewall.decide(packet._replace(interface_in="a", interface_out="b")).allows is True
    assert firewall.decide(packet._replace(interface_in="a", interface_out="c")) == (False, None, ())
    assert firewall.decide(packet._replace(interface_in="a")).unsure == (
        "route allow in on a out on b from any to any",
    )


def test_a_rule_behind_the_one_that_decides_is_no_doubt():
    deny, allow = {"rule": "deny", "proto": "tcp", "to_port": "22"}, {"rule": "allow", "interface": "eth7"}
    assert decide([deny, allow]).unsure == () and decide([allow, deny]).unsure == ("allow in on eth7 from any to any",)


def test_the_list_of_published_ports_is_asked_by_the_address_and_port_that_were_asked_for():
    entries = [
        {"rule": "deny", "proto": "tcp", "from_ip": "10.0.1.0/28", "port": "8080"},
        {"rule": "limit", "proto": "tcp", "from_ip": "10.0.1.0/24", "port": "8080"},
        {"rule": "allow", "proto": "tcp", "to_ip": "10.0.3.11", "port": "443"},
        {"rule": "allow", "routed": True, "proto": "tcp", "port": "22"},
    ]
    firewall = read_firewall(True, {}, [], {"state": "present", "published": entries})

    def entry(source, port, dest="10.0.3.11"):
        found = firewall.publishes(Packet("input", source, dest, "tcp", port))
        return found and text_of(found)

    assert entry("10.0.1.99", 8080) == "published limit proto tcp from 10.0.1.0/24 to any port 8080"
    assert entry("10.0.1.3", 8080) is None and entry("10.0.2.3", 8080) is None
    assert entry("10.0.2.3", 443) == "published allow proto tcp from any to 10.0.3.11 port 443"
    assert entry("10.0.2.3", 443, "10.0.3.12") is None and entry("10.0.2.3", 22) is None
    assert read_firewall(True, {}, []).publishes(SSH) is None


def test_a_rule_is_known_by_its_match_and_its_action_not_by_its_comment():
    firewall = read_firewall(True, {}, [{"rule": "allow", "to_port": "22", "proto": "tcp", "comment": "one"}])
    same = read_firewall(
        True, {}, [{"rule": "allow", "to_port": 22, "proto": "tcp", "from_ip": "any", "comment": "two"}]
    ).rules[0]
    other = read_firewall(True, {}, [{"rule": "deny", "to_port": "22", "proto": "tcp"}]).rules[0]
    assert firewall.has(same) and not firewall.has(other)


# -- what a host says of its firewall ----------------------------------------------------------------------------------

ALLOW = {"rule": "allow", "proto": "tcp", "to_port": "22"}
SAID = {"active": True, "default": {"incoming": "deny", "routed": "deny"}, "rules": [ALLOW], "docker": None}


def test_what_a_host_says_is_read_as_it_was_written():
    docker = {
        "state": "present",
        "bridges": ["docker0"],
        "published": [{"rule": "allow", "proto": "tcp", "port": "80"}],
    }
    live = Live.from_dict({**SAID, "docker": docker, "counters": [1], "anything": "else"})
    assert live.docker == docker and live.rules == (ALLOW,)
    assert Live.from_dict(live.to_dict()) == live


@pytest.mark.parametrize(
    "change",
    [
        {"active": "yes"},
        {"default": ["deny"]},
        {"default": {"incoming": 1}},
        {"rules": {}},
        {"rules": ["allow 22"]},
        {"rules": [ALLOW] * (MOST_RULES + 1)},
        {"rules": [{**ALLOW, "to_port": {"a": 1}}]},
        {"rules": [{**ALLOW, "to_port": 10**5000}]},
        {"rules": [{"x" * 100: 1}]},
        {"docker": "present"},
        {"docker": {"published": [[]]}},
    ],
    ids=range(11),
)
def test_a_firewall_of_other_types_or_bounds_is_malformed(change):
    with pytest.raises(Malformed):
        Live.from_dict({**SAID, **change})


def test_a_host_cannot_make_the_fleet_probe_thousands_of_ports():
    each = [{**ALLOW, "to_port": str(port)} for port in range(1, MOST_PORTS + 2)]
    with pytest.raises(Malformed, match="they name 4097 ports"):
        Live.from_dict({**SAID, "rules": each})
    assert Live.from_dict({**SAID, "rules": each[1:]})


def test_a_host_s_texts_are_printable():
    (rule,) = Live.from_dict({**SAID, "rules": [{**ALLOW, "comment": "\x1b[2J"}]}).rules
    assert rule["comment"] == "\\x1b[2J"


@pytest.mark.parametrize("ports", ["", "ssh", "0", "65536", "20:10", "-1", "1:2:", "\u0663", "9" * 5000, "1e3"])
def test_what_is_no_port_is_left_out(ports):
    assert port_ranges(ports) == []
    assert port_ranges(f"22,{ports}") == [(22, 22)]


def test_a_rule_for_any_protocol_names_its_ports_for_both():
    assert list(rule_ports({"to_port": 70})) == [("tcp", 70, 70), ("udp", 70, 70)]
    assert list(rule_ports({"proto": "udp", "to_port": "1:2,9"})) == [("udp", 1, 2), ("udp", 9, 9)]
    assert list(rule_ports({"proto": "esp", "to_port": "1"})) == list(rule_ports({})) == []
