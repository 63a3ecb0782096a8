# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import random

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import make_profile
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import check_rules, parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import describe

PORTS = {"OpenSSH": "22/tcp", "Bonjour": "5353/udp|5298", "WWW Full": "80,443/tcp", "www full": "8080/tcp"}
PROFILES = {
    name: make_profile(name, {"title": "t", "description": "d", "ports": ports})
    for name, ports in {**PORTS, "Twice": "53/tcp|53/tcp", "Bad": "70000/tcp"}.items()
}


def parse(*rules, ipv6=True):
    return parse_rules(list(rules), ipv6, lambda: PROFILES)


def errors_of(*rules, ipv6=True):
    with pytest.raises(Refused) as caught:
        parse(*rules, ipv6=ipv6)
    return caught.value.errors


SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}

MISTAKES = {
    "a port out of range": ({"to_port": 70000}, "to_port: got 70000; expected a port 1-65535"),
    "port zero": ({"to_port": "0"}, "to_port: got 0;"),
    "a negative port": ({"to_port": "-1"}, "to_port: got -1;"),
    "a port in words": (
        {"to_port": "nosuchservice"},
        "to_port: got nosuchservice, which is no service of /etc/services for tcp; expected a port 1-65535",
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
    "a list of what are no ports": ({"to_port": [80, True]}, "to_port: got [80, True]; expected a port 1-65535"),
    "a list without a protocol": ({"proto": "any", "to_port": "80,443"}, "without a protocol"),
    "a port of a protocol without ports": ({"proto": "esp"}, "to_port: got 22 with proto esp, which has no ports"),
    "an unknown protocol": ({"proto": "sctp"}, "proto: got 'sctp'; expected one of any, tcp"),
    "an unknown action": ({"rule": "permit"}, "rule: got 'permit'; expected one of allow, deny, reject, limit"),
    "no action": ({"rule": None}, "rule: got nothing; expected one of allow"),
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
    "both families": (
        {"from_ip": "10.0.0.1", "to_ip": "2001:db8::1"},
        "to_ip: got IPv6 where from_ip is IPv4; expected both ends of one family",
    ),
    "IPv6 for a protocol without": ({"proto": "igmp", "to_port": None, "to_ip": "::1"}, "proto: got igmp with an IPv6"),
    "an alias of an interface": ({"interface": "eth0:1"}, "interface: got 'eth0:1'; expected the name of a network"),
    "an interface name too long": ({"interface_in": "a" * 16}, "interface_in: got 'aaaaaaaaaaaaaaaa';"),
    "the other interface": ({"interface_out": "eth0"}, "interface_out: got 'eth0' for a rule of direction in"),
    "two names for one interface": ({"interface": "eth0", "interface_in": "eth1"}, "interface: got the same as"),
    "a direction of a routed rule": ({"route": True, "direction": "out"}, "direction: got out for a routed rule"),
    "every interface beside one that is named": (
        {"route": True, "interface_in": "+", "interface_out": "eth0"},
        "interface_in: got '+' beside another interface, which ufw reads back as no rule",
    ),
    "a name that ufw does not read back": (
        {"route": True, "interface_in": "eth0", "interface_out": ".x"},
        "interface_out: got '.x' beside another interface",
    ),
    "an unknown key": (
        {"prot": "tcp"},
        "prot: got 'prot', which is not an option of a rule; expected one of rule, direction",
    ),
    "two names of one option": ({"port": 23}, "port: got another name of to_port, which is set too"),
    "a comment that ufw's command refuses": ({"comment": "it's"}, "comment: got \"it's\"; expected text that ufw's"),
    "a comment that is a list": ({"comment": ["a"]}, "comment: got ['a']; expected text"),
    "a profile and a port": ({"proto": None, "app": "OpenSSH"}, "to_port: got set together with app"),
    "a profile and only the protocol of its port": (
        {"to_port": None, "app": "OpenSSH"},
        "proto: got tcp together with an application",
    ),
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
    assert "; expected " in errors[0] and errors[0].count("; ") >= 2, "path: got; expected; remedy"


@pytest.mark.parametrize("bad", [7, "allow 22", None, ["allow"], True])
def test_a_rule_that_is_no_mapping_is_named_by_its_index(bad):
    assert errors_of(SSH, bad)[0].startswith(f"rules[1]: got {bad!r}; expected a mapping")


def test_rules_that_are_no_list_are_refused():
    (mistake,) = check_rules("allow 22")
    assert str(mistake).startswith("rules: got 'allow 22'; expected a list of rules; write rules: [{")


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
    assert path(interface_in="+") == ("in", "+", "") and path(interface_out=".x") == ("out", "", ".x")
    assert path(direction="out", interface="eth1", interface_in="eth0") == ("in", "eth0", "eth1")


def test_a_profile_becomes_a_rule_for_each_of_its_ports():
    rules = parse({"rule": "allow", "app": "Bonjour"}).v4
    assert [(rule.proto, rule.dport, rule.dapp) for rule in rules] == [
        ("udp", "5353", "Bonjour"),
        ("any", "5298", "Bonjour"),
    ]
    assert parse({"rule": "allow", "app": "openssh"}).v4[0].dapp == "OpenSSH"


def test_a_port_that_a_profile_names_twice_is_one_rule():
    assert len(parse({"rule": "allow", "app": "Twice"}).v4) == 1


def test_one_profile_at_both_ends_gives_each_port_with_itself():
    rules = parse({"rule": "allow", "app": "Bonjour", "from_app": "Bonjour"}).v4
    assert [(rule.dport, rule.sport) for rule in rules] == [("5353", "5353"), ("5298", "5298")]


# -- rules against each other ------------------------------------------------------------------------------------------


def test_the_same_rule_twice_is_an_error_that_names_both():
    assert errors_of(SSH, {**SSH, "comment": "again"}) == [
        "rules[1]: got allow in proto tcp from any to any port 22  # again, the same rule as rules[0] "
        "(allow in proto tcp from any to any port 22); expected one; remove one of them"
    ]


def test_the_same_match_with_another_action_or_log_is_an_error_that_names_both():
    for change in ({"rule": "deny"}, {"log": "all"}):
        (error,) = errors_of(SSH, {"rule": "allow", "to_port": 1}, {**SSH, **change})
        assert error.startswith("rules[2]: got ")
        assert "contradicts rules[0]" in error


def test_rules_of_different_families_are_no_conflict():
    parse({**SSH, "from_ip": "0.0.0.0/0"}, {**SSH, "from_ip": "::/0", "rule": "deny"})


def test_the_order_of_the_input_is_kept():
    ports = [9, 3, 7, 1]
    rules = parse(*({**SSH, "to_port": port} for port in ports)).v4
    assert [int(rule.dport) for rule in rules] == ports
    assert describe(parse(SSH).v4[0]) == describe(parse(SSH).v6[0])


# -- nothing is normalised before it is checked ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "port",
    [
        "22 80",
        "4 43",
        "1 2",
        "22\t80",
        "8000: 8100",
        "8000 :8100",
        " 22 80",
        "22\n",
        "\u00a022",
        "22\u2009",
        "022",
        "0022",
        "80,0443",
        "020:030",
        "08",
        "+22",
        "2_2",
        "٢٢",
        "２２",
        "22.0",
        22.0,
        "0x16",
        "1e3",
        ["22 80"],
        ["022"],
        [[22]],
        [],
        True,
        "",
        " ",
    ],
)
@pytest.mark.parametrize("key", ["to_port", "from_port"])
def test_a_port_that_has_to_be_changed_before_it_is_one_is_a_mistake(key, port):
    (error,) = errors_of({"rule": "allow", "proto": "tcp", key: port})
    assert error.startswith(f"rules[0].{key}: got ")


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.0/024",
        "10.0.0.0/ 24",
        "10.0.0.0/+24",
        "10.0.0.0/٢٤",
        "10.0.0.0 /24",
        "010.0.0.1",
        "10.0.0.1 ",
        "10.0.0.1\n",
    ]
    + ["10.0.0.0/255.255.255.000", "2001:db8::/064", "::1%lo", "1", "10.1", "0x0a000001", "", " ", "١٠.0.0.1"],
)
@pytest.mark.parametrize("key", ["from_ip", "to_ip"])
def test_an_address_that_has_to_be_changed_before_it_is_one_is_a_mistake(key, address):
    (error,) = errors_of({**SSH, key: address})
    assert error.startswith(f"rules[0].{key}: got ")


@pytest.mark.parametrize("name", ["interface", "interface_in", "app", "from_app", "proto", "rule", "direction", "log"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_text_does_not_silently_mean_any(name, value):
    errors = errors_of({"rule": "deny", "proto": "tcp", name: value})
    assert any(error.startswith(f"rules[0].{name}: got {value!r}; expected a value") for error in errors)


def test_an_interface_with_blanks_around_it_is_a_mistake():
    assert "interface: got ' eth0'" in errors_of({**SSH, "interface": " eth0"})[0]


def test_the_octal_reading_of_a_port_is_named_in_the_remedy():
    assert (
        "write 22 without the zero in front, or 18 if you mean what the kernel makes of it"
        in errors_of({**SSH, "to_port": "022"})[0]
    )
    assert errors_of({**SSH, "to_port": "089"})[0].endswith("write 89 without the zero in front")


@pytest.mark.parametrize(("port", "written"), [(1343, "22:23"), (1221, "20:21"), (3239, "53:59"), (1559, "25:59")])
def test_what_yaml_makes_of_a_range_without_quotes_is_a_warning(port, written):
    for value in (port, [port], [80, port]):
        (warning,) = parse({**SSH, "to_port": value}).warnings
        assert warning.startswith(f"rules[0].to_port: got the number {port}") and f'write "{written}"' in warning


@pytest.mark.parametrize("port", [22, 80, 443, 3306, 3389, 8080, 5432, 2380, 6443, "1343", ["1343"], [22, 80]])
def test_an_ordinary_port_is_no_warning(port):
    assert parse({**SSH, "to_port": port}).warnings == []


# -- what people paste -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"to_port": "ssh"}, ("tcp", "22", "any")),
        ({"to_port": "domain"}, ("any", "53", "any")),
        ({"to_port": "domain", "proto": "udp"}, ("udp", "53", "any")),
        ({"from_port": "ntp"}, ("udp", "any", "123")),
        ({"to_port": "ssh", "from_port": "domain"}, ("tcp", "22", "53")),
        ({"to_port": [443, "80"], "proto": "tcp"}, ("tcp", "80,443", "any")),
        ({"to_port": ["http", "https"], "proto": "tcp"}, ("tcp", "80,443", "any")),
        ({"to_port": ["8000:8100", 80], "proto": "udp"}, ("udp", "80,8000:8100", "any")),
        ({"to_port": "80, 443", "proto": "tcp"}, ("tcp", "80,443", "any")),
        ({"to_port": [22]}, ("any", "22", "any")),
    ],
)
def test_service_names_and_lists_are_the_ports_that_ufw_makes_of_them(given, stored):
    rule = parse({"rule": "allow", **given}).v4[0]
    assert (rule.proto, rule.dport, rule.sport) == stored


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"to_port": "ssh", "proto": "udp"}, "no service of /etc/services for udp"),
        ({"to_port": "http,https"}, "its protocol in proto"),
        ({"to_port": "ntp", "from_port": "ssh"}, "no service of /etc/services for tcp"),
        ({"to_port": "22/tcp"}, "write the protocol in proto: to_port: 22, proto: tcp"),
        ({"to_port": "OpenSSH", "proto": "tcp"}, "name an application profile in app"),
        ({"app": "ssh"}, "to_port: 22 instead of app"),
        ({"app": "22"}, "to_port: 22 instead of app"),
        ({"app": "Bad"}, "ufw skips this one"),
        ({"insert": 1}, "write position: first"),
        ({"insert_relative_to": "first-ipv4"}, "write position: first"),
        ({"policy": "deny"}, "default: {incoming: deny}"),
        ({"state": "absent"}, "write delete: true"),
        ({"logging": "on"}, "logging: low beside rules"),
        ({"position": 1}, "expected one of first"),
        ({"interface_out": "eth0"}, "set direction: out if the rule is for packets that leave this host, route: true"),
    ],
)
def test_what_cannot_be_taken_is_answered_with_the_line_that_does_it(given, answer):
    (error,) = errors_of({"rule": "allow", **given})
    assert answer in error


def test_log_true_is_new():
    for word in (True, "yes", "true", "on"):
        assert parse({**SSH, "log": word}) == parse({**SSH, "log": "new"})
    for word in (False, "no", "off"):
        assert parse({**SSH, "log": word}) == parse(SSH)


def test_a_rule_that_is_to_go_is_no_rule_that_is_wanted():
    wanted = parse(SSH, {**SSH, "to_port": 23, "delete": True})
    assert [rule.dport for rule in wanted.v4] == ["22"]
    assert [rule.dport for rule in wanted.gone[6]] == ["23"]
    assert "contradicts" in errors_of(SSH, {**SSH, "delete": True})[0]


@pytest.mark.parametrize("name", ["all", "any", "Any", "ALL"])
def test_an_interface_called_all_or_any_is_a_warning(name):
    (warning,) = parse({"rule": "deny", "interface": name}).warnings
    assert f"got {name}, " in warning
    assert "the name of one interface" in warning and "leave the option away" in warning


@pytest.mark.parametrize("mask", ["0.255.255.255", "0.0.0.255", "255.0.255.0"])
def test_a_mask_with_holes_is_taken_as_ufw_takes_it_with_a_warning(mask):
    """A wildcard mask, as routers have it, is most likely."""
    wanted = parse({**SSH, "from_ip": f"10.0.0.0/{mask}"})
    assert wanted.v4[0].src.endswith(f"/{mask}")
    (warning,) = wanted.warnings
    assert f"got 10.0.0.0/{mask}, a mask with holes" in warning and "prefix length" in warning
    assert parse({**SSH, "from_ip": "10.0.0.0/255.255.0.0"}).warnings == []


# -- profiles ----------------------------------------------------------------------------------------------------------


def test_a_profile_may_have_a_list_or_a_range_at_the_other_end():
    """ufw takes it: the profile brings the protocol."""
    for ports in ("80,90", "1000:2000"):
        rule = parse({"rule": "allow", "app": "OpenSSH", "from_port": ports}).v4[0]
        assert (rule.proto, rule.dport, rule.sport, rule.dapp) == ("tcp", "22", ports, "OpenSSH")
        rule = parse({"rule": "allow", "from_app": "OpenSSH", "to_port": ports}).v4[0]
        assert (rule.proto, rule.dport, rule.sport, rule.sapp) == ("tcp", ports, "22", "OpenSSH")


def test_one_port_of_a_profile_is_a_rule_of_its_own_and_the_profile_is_not_asked():
    rule = parse({"rule": "allow", "app": "Gone", "proto": "tcp", "to_port": "8,9"}).v4[0]
    assert (rule.proto, rule.dport, rule.dapp) == ("tcp", "8,9", "Gone")
    assert parse({"rule": "allow", "app": "Gone", "proto": "tcp", "to_port": 8}).profiles == frozenset()
    assert parse({"rule": "allow", "app": "Bonjour"}).profiles
    assert (
        "expected the name of an application profile"
        in errors_of({"rule": "allow", "app": "a/b", "proto": "tcp", "to_port": 8})[0]
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        # What ufw refuses, too.
        (
            {"app": "OpenSSH", "from_port": "ssh"},
            "from_port: got a service of tcp alone together with an application profile",
        ),
        ({"from_app": "OpenSSH", "to_port": "ntp"}, "to_port: got a service of udp alone"),
        (
            {"app": "Bonjour", "from_port": "80,90"},
            "from_port: got a list or a range together with a profile that has a port",
        ),
        ({"from_app": "Bonjour", "to_port": "1:9"}, "to_port: got a list or a range"),
    ],
)
def test_a_profile_goes_with_no_other_protocol(given, message):
    (error,) = errors_of({"rule": "allow", **given})
    assert error.startswith("rules[0]." + message)


def test_a_list_needs_no_protocol_where_a_service_at_the_other_end_has_one():
    for given in ({"from_port": "80,443", "to_port": "ssh"}, {"from_port": "ssh", "to_port": "1000:2000"}):
        assert parse({"rule": "allow", **given}).v4[0].proto == "tcp"
