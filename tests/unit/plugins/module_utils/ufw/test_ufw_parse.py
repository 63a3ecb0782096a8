# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import random

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import InputErrors
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import check_rules, parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import describe

PROFILES = {"OpenSSH": "22/tcp", "Bonjour": "5353/udp|5298", "WWW Full": "80,443/tcp", "www full": "8080/tcp"}


def parse(*rules, ipv6=True):
    return parse_rules(list(rules), ipv6, lambda: PROFILES)


def errors_of(*rules, ipv6=True):
    with pytest.raises(InputErrors) as caught:
        parse(*rules, ipv6=ipv6)
    return caught.value.errors


SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}

MISTAKES = {
    "a port out of range": ({"to_port": 70000}, "to_port: got 70000; expected a port 1-65535"),
    "port zero": ({"to_port": "0"}, "to_port: got 0;"),
    "a negative port": ({"to_port": "-1"}, "to_port: got -1;"),
    "a port in words": (
        {"to_port": "ssh"},
        "to_port: got ssh; expected a port 1-65535, a list such as 80,443 or a "
        "range such as 8000:8100; service names are not looked up",
    ),
    "a port with its protocol": ({"to_port": "22/tcp"}, "write the protocol in proto"),
    "a range with a dash": ({"to_port": "1-5"}, "write a range with a colon"),
    "a range backwards": ({"to_port": "9:5"}, "to_port: got 9:5;"),
    "a range of one": ({"to_port": "5:5"}, "to_port: got 5:5;"),
    "a range of three": ({"to_port": "1:2:3"}, "to_port: got 1:2:3;"),
    "an empty place in a list": ({"to_port": "80,,443"}, "to_port: got 80,,443;"),
    "digits of another script": ({"to_port": "٢٢"}, "to_port: got ٢٢;"),
    "too many ports": ({"to_port": ",".join(str(port) for port in range(1, 17))}, "expected at most 15 ports"),
    "too many ranges": ({"from_port": ",".join("%d:%d" % (n, n + 1) for n in range(1, 99, 3))}, "at most 15 ports"),
    "a list of ports as YAML": ({"to_port": [80, 443]}, "to_port: got [80, 443]; expected text"),
    "a list without a protocol": ({"proto": "any", "to_port": "80,443"}, "without a protocol"),
    "a port of a protocol without ports": ({"proto": "esp"}, "to_port: got 22 with proto esp, which has no ports"),
    "an unknown protocol": ({"proto": "sctp"}, "proto: got 'sctp'; expected one of any, tcp"),
    "an unknown action": ({"rule": "permit"}, "rule: got 'permit'; expected one of allow, deny, reject, limit"),
    "no action": ({"rule": None}, "rule: is missing; expected one of allow"),
    "an unknown direction": ({"direction": "sideways"}, "direction: got 'sideways'; expected one of in, out"),
    "a bad flag": ({"route": "maybe"}, "route: got 'maybe'; expected true or false"),
    "an unknown log": ({"log": "loud"}, "log: got 'loud'; expected one of off, new, all"),
    "a host name": ({"from_ip": "example.com"}, "from_ip: got 'example.com'; expected any, an address or a network"),
    "an octet out of range": ({"from_ip": "10.0.0.256"}, "from_ip: got '10.0.0.256';"),
    "a prefix out of range": ({"from_ip": "10.0.0.0/33"}, "from_ip: got '10.0.0.0/33';"),
    "an IPv6 prefix out of range": ({"from_ip": "2001:db8::/129"}, "from_ip: got '2001:db8::/129';"),
    "an IPv6 zone": ({"from_ip": "fe80::1%eth0"}, "from_ip: got 'fe80::1%eth0';"),
    "an empty mask": ({"to_ip": "10.0.0.0/"}, "to_ip: got '10.0.0.0/';"),
    "an address with a port": ({"to_ip": "10.0.0.1:22"}, "to_ip: got '10.0.0.1:22';"),
    "an address as a number": ({"to_ip": True}, "to_ip: got True; expected text"),
    "both families": ({"from_ip": "10.0.0.1", "to_ip": "2001:db8::1"}, "to_ip: is IPv6 but from_ip is IPv4"),
    "IPv6 for a protocol without": ({"proto": "igmp", "to_port": None, "to_ip": "::1"}, "proto: got igmp with an IPv6"),
    "an alias of an interface": ({"interface": "eth0:1"}, "interface: got 'eth0:1'; expected the name of a network"),
    "an interface name too long": ({"interface_in": "a" * 16}, "interface_in: got 'aaaaaaaaaaaaaaaa';"),
    "the other interface": ({"interface_out": "eth0"}, "interface_out: got 'eth0' for a rule of direction in"),
    "two names for one interface": ({"interface": "eth0", "interface_in": "eth1"}, "interface: is the same as"),
    "a direction of a routed rule": ({"route": True, "direction": "out"}, "direction: got out for a routed rule"),
    "an unknown key": ({"prot": "tcp"}, "prot: is not an option of a rule; expected one of rule, direction"),
    "two names of one option": ({"port": 23}, "port: is another name of to_port, which is set too"),
    "a comment of two lines": ({"comment": "a\nb"}, "comment: got 'a\\nb'; expected one line of text"),
    "a comment that is a list": ({"comment": ["a"]}, "comment: got ['a']; expected text"),
    "a profile and a port": ({"proto": "any", "app": "OpenSSH"}, "to_port: is set together with app"),
    "a profile and a protocol": ({"to_port": None, "app": "OpenSSH"}, "proto: got tcp together with an application"),
    "an unknown profile": ({"proto": "any", "to_port": None, "app": "Nope"}, "app: got 'Nope'; expected a profile of"),
    "a profile of two spellings": (
        {"proto": "any", "to_port": None, "app": "WWW FULL"},
        "matches the profiles WWW Full",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_gives_one_error_with_the_index_and_the_key_of_the_rule(name):
    change, message = MISTAKES[name]
    errors = errors_of({"rule": "deny", "to_port": 1, "proto": "tcp"}, {**SSH, **change})
    assert len(errors) == 1, errors
    assert errors[0].startswith("rules[1].")
    assert message in errors[0]


@pytest.mark.parametrize("bad", [7, "allow 22", None, ["allow"], True])
def test_a_rule_that_is_no_mapping_is_named_by_its_index(bad):
    assert errors_of(SSH, bad)[0].startswith("rules[1]: got %r; expected a mapping" % (bad,))


def test_rules_that_are_no_list_are_refused():
    assert check_rules("allow 22") == ["rules: got 'allow 22'; expected a list of rules"]


def test_all_mistakes_of_all_rules_are_reported_at_once():
    errors = errors_of({**SSH, "to_port": 0, "proto": "x"}, SSH, {**SSH, "from_ip": "?", "log": "x"}, {"route": 1})
    assert sorted(error.partition(":")[0] for error in errors) == [
        "rules[0].proto",
        "rules[0].to_port",
        "rules[2].from_ip",
        "rules[2].log",
        "rules[3].rule",
    ]


def test_five_hundred_generated_mistakes_each_give_one_error_with_the_index():
    rng = random.Random(4)
    names = list(MISTAKES)
    for dummy in range(500):
        index = rng.randrange(20)
        rules = [{**SSH, "to_port": 1000 + number} for number in range(20)]
        change, message = MISTAKES[rng.choice(names)]
        rules[index] = {**SSH, **change}
        errors = errors_of(*rules)
        assert len(errors) == 1
        assert errors[0].startswith("rules[%d]." % index)
        assert message in errors[0]


# -- what is right -----------------------------------------------------------------------------------------------------


def test_a_rule_without_an_address_goes_to_both_families_and_an_address_decides():
    def counts(**more):
        rules = parse({**SSH, **more})
        return len(rules.v4), len(rules.v6)

    assert counts() == (1, 1)
    assert counts(from_ip="any", to_ip="ANY") == (1, 1)
    assert counts(from_ip="10.0.0.1") == (1, 0)
    assert counts(to_ip="2001:DB8::1") == (0, 1)
    assert counts(from_ip="0.0.0.0/0") == (1, 0)
    assert counts(from_ip="::/0") == (0, 1)
    assert counts(proto="igmp", to_port=None) == (1, 0)


def test_where_ufw_does_not_filter_ipv6_a_rule_for_both_is_ipv4_and_one_for_ipv6_is_an_error():
    assert parse(SSH, ipv6=False).v6 == []
    assert "set ipv6: true" in errors_of({**SSH, "from_ip": "::1"}, ipv6=False)[0]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("10.0.0.1/32", "10.0.0.1"),
        ("10.0.0.1/255.255.255.255", "10.0.0.1"),
        ("10.1.2.3/8", "10.0.0.0/8"),
        ("10.1.2.3/255.255.0.0", "10.1.0.0/16"),
        ("10.1.2.3/0", "0.0.0.0/0"),
        ("10.1.2.3/255.0.255.0", "10.0.2.0/255.0.255.0"),
        ("10.1.2.3/0.0.0.0", "0.0.0.0/0"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
        ("2001:db8::1/128", "2001:db8::1"),
        ("2001:db8::1/64", "2001:db8::1/64"),
    ],
)
def test_addresses_are_stored_the_way_ufw_stores_them(given, stored):
    rules = parse({**SSH, "from_ip": given})
    assert (rules.v4 + rules.v6)[0].src == stored


def test_the_words_of_community_general_ufw_are_understood():
    theirs = {"rule": "deny", "src": "10.0.0.1", "dest": "10.0.0.2", "port": 80, "protocol": "tcp", "if": "eth0"}
    ours = {
        "rule": "deny",
        "from_ip": "10.0.0.1",
        "to_ip": "10.0.0.2",
        "to_port": "80",
        "proto": "tcp",
        "interface": "eth0",
    }
    assert parse(theirs) == parse(ours)


def test_an_option_that_comes_under_both_of_its_names_with_one_value_is_taken():
    assert parse({**SSH, "port": 22}) == parse(SSH)


def test_a_bare_yaml_off_is_taken_for_the_word():
    assert parse({**SSH, "log": False}) == parse(SSH)


def test_the_direction_of_a_routed_rule_follows_from_its_interfaces():
    def path(**more):
        rule = parse({"rule": "allow", "route": True, **more}).v4[0]
        return rule.direction, rule.interface_in, rule.interface_out

    assert path() == ("in", "", "")
    assert path(interface_in="eth0") == ("in", "eth0", "")
    assert path(interface_out="eth1") == ("out", "", "eth1")
    assert path(interface_in="eth0", interface_out="eth1") == ("in", "eth0", "eth1")
    assert path(direction="out", interface="eth1", interface_in="eth0") == ("in", "eth0", "eth1")


def test_a_profile_becomes_a_rule_for_each_of_its_ports():
    rules = parse({"rule": "allow", "app": "Bonjour"}).v4
    assert [(rule.proto, rule.dport, rule.dapp) for rule in rules] == [
        ("udp", "5353", "Bonjour"),
        ("any", "5298", "Bonjour"),
    ]
    assert parse({"rule": "allow", "app": "openssh"}).v4[0].dapp == "OpenSSH"


def test_a_port_that_a_profile_names_twice_is_one_rule():
    assert len(parse_rules([{"rule": "allow", "app": "Twice"}], True, lambda: {"Twice": "53/tcp|53/tcp"}).v4) == 1


def test_one_profile_at_both_ends_gives_each_port_with_itself():
    rules = parse({"rule": "allow", "app": "Bonjour", "from_app": "Bonjour"}).v4
    assert [(rule.dport, rule.sport) for rule in rules] == [("5353", "5353"), ("5298", "5298")]


# -- rules against each other ------------------------------------------------------------------------------------------


def test_the_same_rule_twice_is_an_error_that_names_both():
    assert errors_of(SSH, {**SSH, "comment": "again"}) == [
        "rules[1]: got allow in proto tcp from any to any port 22  # again, the same rule as rules[0] "
        "(allow in proto tcp from any to any port 22); remove one of them"
    ]


def test_the_same_match_with_another_action_or_log_is_an_error_that_names_both():
    for change in ({"rule": "deny"}, {"log": "all"}):
        (error,) = errors_of(SSH, {"rule": "allow", "to_port": 1}, {**SSH, **change})
        assert error.startswith("rules[2]: got ")
        assert "contradicts rules[0]" in error


def test_rules_of_different_families_are_no_conflict():
    parse({**SSH, "from_ip": "0.0.0.0/0"}, {**SSH, "from_ip": "::/0", "rule": "deny"})


SHADOWS = [
    ({"to_port": None}, {}),
    ({"proto": "any"}, {}),
    ({"proto": "any", "to_port": None}, {"proto": "esp", "to_port": None}),
    ({"from_ip": "10.0.0.0/8"}, {"from_ip": "10.1.0.0/16"}),
    ({"from_ip": "2001:db8::/32"}, {"from_ip": "2001:db8:1::5"}),
    ({"to_port": "20:30"}, {}),
    ({"to_port": "1,20:30,50:60"}, {"to_port": "22,55:57"}),
    ({}, {"interface": "eth0"}),
    ({"rule": "reject"}, {"from_port": "99"}),
]


@pytest.mark.parametrize(("first", "second"), SHADOWS)
def test_a_rule_that_an_earlier_one_takes_all_packets_of_is_reported_with_both(first, second):
    rules = parse({**SSH, **first}, {**SSH, **second, "rule": "deny"})
    assert rules.shadowed
    assert all(text.startswith("rules[1] (deny ") and "rules[0]" in text for text in rules.shadowed)
    assert rules.warnings == rules.shadowed


@pytest.mark.parametrize(("first", "second"), SHADOWS)
def test_the_finer_rule_before_the_coarser_one_is_not_shadowed(first, second):
    assert parse({**SSH, **second, "rule": "deny"}, {**SSH, **first}).shadowed == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"proto": "any"}, {"proto": "any", "to_port": None}),
        ({"proto": "any", "to_port": "22"}, {"proto": "esp", "to_port": None}),
        ({"from_ip": "10.1.0.0/16"}, {"from_ip": "10.0.0.0/8"}),
        ({"from_ip": "10.0.0.0/16"}, {"from_ip": "10.0.0.0/8"}),
        ({"from_ip": "10.0.0.0/255.0.255.0"}, {"from_ip": "10.1.0.0/16"}),
        ({"from_ip": "0.0.0.0/0"}, {"from_ip": "2001:db8::1"}),
        ({"interface": "eth0"}, {}),
        ({"direction": "out"}, {}),
        ({"route": True}, {}),
        ({"to_port": "20:21"}, {}),
        ({"from_port": "5"}, {}),
    ],
)
def test_a_rule_that_still_gets_packets_is_not_shadowed(first, second):
    assert parse({**SSH, **first}, {**SSH, **second, "rule": "deny"}).shadowed == []


def test_a_superfluous_rule_of_the_same_action_is_reported_but_is_no_warning():
    rules = parse({**SSH, "to_port": None}, SSH)
    assert len(rules.shadowed) == 1
    assert rules.warnings == []


def test_the_order_of_the_input_is_kept():
    ports = [9, 3, 7, 1]
    rules = parse(*({**SSH, "to_port": port} for port in ports)).v4
    assert [int(rule.dport) for rule in rules] == ports
    assert describe(parse(SSH).v4[0]) == describe(parse(SSH).v6[0])
