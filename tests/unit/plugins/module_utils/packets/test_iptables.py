# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reader of iptables-save. The fixtures are what it printed on Debian 12 and 13 hosts after ufw and Docker had made the rules."""

from __future__ import annotations

import pathlib

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets import fields
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    IIF,
    OIF,
    PROTO,
    SPORT,
    SRC,
    address_range,
    complement,
    interface_range,
    merged,
    protocol_number,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import UNREAD, RulesetError, parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.matches import (
    BothPorts,
    Direction,
    EitherPort,
    First,
    Flags,
    Never,
    State,
    Type,
    Unmodelled,
    Within,
)

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
ALL_PORTS = 65535


def rule(words, family=4):
    text = "*filter\n:INPUT DROP [0:0]\n:other - [0:0]\n-A INPUT %s\nCOMMIT\n" % words
    return parse(text, family).chain("filter", "INPUT").rules[0]


def matches(words, family=4):
    return list(rule(words + " -j ACCEPT", family).matches)


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("*.v[46]")))
def test_every_line_of_a_real_host_is_read_and_no_rule_is_lost(name):
    text = (FIXTURES / name).read_text()
    ruleset = parse(text, 4 if name.endswith("4") else 6)
    rules = [rule for chains in ruleset.tables.values() for chain in chains.values() for rule in chain.rules]
    assert sorted(rule.text for rule in rules) == sorted(line for line in text.splitlines() if line.startswith("-A"))
    assert all(
        rule.number == number for c in ruleset.tables["filter"].values() for number, rule in enumerate(c.rules, 1)
    )


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.glob("ufw_*")))
def test_of_what_ufw_writes_only_rates_and_hop_limits_are_not_modelled(name):
    ruleset = parse((FIXTURES / name).read_text(), 4 if name.endswith("4") else 6)
    rules = [rule for chain in ruleset.tables["filter"].values() for rule in chain.rules]
    labels = {match for rule in rules for match in rule.matches if isinstance(match, Unmodelled)}
    assert {match.label.split()[0] for match in labels if match.rate} == {"limit", "recent"}
    assert {match.label for match in labels if not match.rate} <= {"hl --hl-eq 255", "hl --hl-eq 1"}
    assert not any(rule.target == UNREAD for rule in rules)


NET = (0x0A000100, 0x0A0001FF)


@pytest.mark.parametrize(
    "words,found",
    [
        ("-s 10.0.1.0/24", [Within(SRC, (NET,))]),
        ("-d 10.0.1.0/255.255.255.0", [Within(DST, (NET,))]),
        ("-s 10.0.1.7", [Within(SRC, ((0x0A000107, 0x0A000107),))]),
        ("! -s 10.0.1.0/24", [Within(SRC, ((0, NET[0] - 1), (NET[1] + 1, 2**32 - 1)))]),
        ("-s 0.0.0.0/0", [Within(SRC, ((0, 2**32 - 1),))]),
        ("-p tcp", [Within(PROTO, ((6, 6),))]),
        ("! -p udp", [Within(PROTO, ((0, 16), (18, 255)))]),
        ("-p 112", [Within(PROTO, ((112, 112),))]),
        ("-p all", []),
        ("-p tcp -m tcp --dport 22", [Within(PROTO, ((6, 6),)), Within(DPORT, ((22, 22),))]),
        ("-p udp -m udp --sport 1000:2000", [Within(PROTO, ((17, 17),)), Within(SPORT, ((1000, 2000),))]),
        ("-p udp -m udp ! --sport 1:65535", [Within(PROTO, ((17, 17),)), Within(SPORT, ((0, 0),))]),
        ("-p tcp --dport :80", [Within(PROTO, ((6, 6),)), Within(DPORT, ((0, 80),))]),
        ("-p tcp --dport 80:", [Within(PROTO, ((6, 6),)), Within(DPORT, ((80, ALL_PORTS),))]),
        ("-p tcp -m multiport --dports 80,443,8000:8010", [Within(PROTO, ((6, 6),)), Within(DPORT, ((80, 80), (443, 443), (8000, 8010)))]),
        ("-p tcp -m multiport --dports 81,80", [Within(PROTO, ((6, 6),)), Within(DPORT, ((80, 81),))]),
        ("-p tcp -m multiport ! --sports 0:79,81:65535", [Within(PROTO, ((6, 6),)), Within(SPORT, ((80, 80),))]),
        ("-p tcp -m multiport --ports 80", [Within(PROTO, ((6, 6),)), EitherPort(((80, 80),))]),
        ("-p tcp -m multiport ! --ports 0:65534", [Within(PROTO, ((6, 6),)), BothPorts(((65535, 65535),))]),
        ("-p icmp -m icmp --icmp-type 8", [Within(PROTO, ((1, 1),)), Within(DPORT, ((2048, 2303),))]),
        ("-p icmp -m icmp --icmp-type 3/4", [Within(PROTO, ((1, 1),)), Within(DPORT, ((772, 772),))]),
        ("-p icmp -m icmp --icmp-type echo-request", [Within(PROTO, ((1, 1),)), Within(DPORT, ((2048, 2303),))]),
        ("-p icmp -m icmp --icmp-type any", [Within(PROTO, ((1, 1),))]),
        ("-m conntrack --ctstate RELATED,ESTABLISHED", [State(frozenset(("RELATED", "ESTABLISHED")), False)]),
        ("-m state ! --state NEW", [State(frozenset(("NEW",)), True)]),
        ("-m conntrack --ctdir ORIGINAL", [Direction("ORIGINAL", False)]),
        ("-m conntrack --ctorigdstport 8080", [First(DPORT, ((8080, 8080),))]),
        ("-m conntrack --ctorigsrc 10.0.1.0/24", [First(SRC, (NET,))]),
        ("-m addrtype --dst-type LOCAL", [Type(DST, frozenset(("LOCAL",)), False)]),
        ("-m iprange --src-range 10.0.1.0-10.0.1.255", [Within(SRC, (NET,))]),
        ("-p tcp -m tcp --syn", [Within(PROTO, ((6, 6),)), Flags(frozenset(("FIN", "SYN", "RST", "ACK")), frozenset(("SYN",)), False)]),
        ("-f", [Never()]),
        ("! -f", []),
        ("-m comment --comment sometext", []),
        ('-m comment --comment "-j DROP \\"x\\" ! -s 1.2.3.4"', []),
        ("-m limit --limit 3/min --limit-burst 10", [Unmodelled("limit --limit 3/min --limit-burst 10", True)]),
        ("-m recent --set --name DEFAULT --mask 255.255.255.255 --rsource", []),
        ("-m recent --update --seconds 30 --hitcount 6", [Unmodelled("recent --update --seconds 30 --hitcount 6", True)]),
        ("-m mark --mark 0x1/0xff", [Unmodelled("mark --mark 0x1/0xff")]),
        ("-m mark ! --mark 0x1", [Unmodelled("mark ! --mark 0x1")]),
        ("-m set --match-set blocked src", [Unmodelled("set --match-set blocked src")]),
        ("-m socket", [Unmodelled("socket")]),
        ("-m owner --uid-owner 0", [Unmodelled("owner --uid-owner 0")]),
        ("-m physdev --physdev-in eth0", [Unmodelled("physdev --physdev-in eth0")]),
        ("-m policy --dir in --pol ipsec --proto esp", [Unmodelled("policy --dir in --pol ipsec --proto esp")]),
        ("-m conntrack --ctstatus EXPECTED", [Unmodelled("conntrack --ctstatus EXPECTED")]),
        ("-p tcp -m tcp --tcp-option 2", [Within(PROTO, ((6, 6),)), Unmodelled("tcp --tcp-option 2")]),
        ("-m addrtype --dst-type LOCAL --limit-iface-in", [Type(DST, frozenset(("LOCAL",)), False), Unmodelled("addrtype --limit-iface-in LOCAL")]),
        ("-s 10.0.0.1/255.0.255.0", [Unmodelled("-s 10.0.0.1/255.0.255.0")]),
        ("-p tcp -m tcp --dport ssh", [Within(PROTO, ((6, 6),)), Unmodelled("tcp --dport ssh")]),
        ("--something new", [Unmodelled("--something new")]),
    ],
)  # fmt: skip
def test_a_match_is_an_interval_or_it_is_labelled(words, found):
    assert matches(words) == found
    assert [type(match) for match in matches(words)] == [type(match) for match in found]


@pytest.mark.parametrize("module", ["rt --rt-type 0", "frag --fragmore", "hbh --hbh-len 4", "srh --srh-tag 1"])
def test_a_match_on_an_extension_header_never_meets_an_ordinary_packet(module):
    assert matches("-m " + module, 6) == [Never()]


def test_an_interface_is_an_interval_of_names():
    ((field, eth),) = matches("-i eth+")
    assert field == IIF
    inside = [name for name in ("eth", "eth0", "eth10", "ethx.5", "et", "eti0", "lo", "wlan0") if within(eth, name)]
    assert inside == ["eth", "eth0", "eth10", "ethx.5"]
    ((field, other),) = matches("! -o eth0")
    assert field == OIF
    assert [name for name in ("eth", "eth0", "eth00", "eth1") if within(other, name)] == ["eth", "eth00", "eth1"]
    assert [name for name in ("a", "eth0") if within((interface_range("+"),), name)] == ["a", "eth0"]


def within(intervals, name):
    low, high = interface_range(name)
    assert low == high
    return any(first <= low <= last for first, last in intervals)


def test_ipv6_has_addresses_of_its_own():
    assert matches("-s fd00::/64", 6) == [Within(SRC, ((0xFD00 << 112, (0xFD00 << 112) + 2**64 - 1),))]
    assert matches("-p ipv6-icmp -m icmp6 --icmpv6-type 128/0", 6)[1] == Within(DPORT, ((32768, 32768),))


def test_targets_are_read_with_their_options():
    assert (rule("-j REJECT --reject-with tcp-reset").target, rule("-j REJECT --reject-with tcp-reset").options) == (
        "REJECT",
        ("--reject-with", "tcp-reset"),
    )
    assert rule("-g other").goto
    assert not rule("-j other").goto
    assert rule("-p tcp").target is None
    assert rule('-j LOG --log-prefix "[UFW BLOCK] "').options == ("--log-prefix", "[UFW BLOCK] ")


def test_counters_comments_and_other_tables_are_no_hindrance():
    text = (
        "# Generated\n*nat\n:PREROUTING ACCEPT [140:8596]\n[3:180] -A PREROUTING -p tcp --dport 80 -j DNAT --to 10.0.0.2:8080\nCOMMIT\n"
        "*filter\n:INPUT ACCEPT [0:0]\n[7:420] -A INPUT -s 10.0.0.1/32 -j DROP\nCOMMIT\n# Completed\n"
    )
    ruleset = parse(text, 4)
    assert ruleset.chain("nat", "PREROUTING").rules[0].target == "DNAT"
    assert ruleset.chain("filter", "INPUT").rules[0].text == "-A INPUT -s 10.0.0.1/32 -j DROP"
    assert (ruleset.chain("filter", "INPUT").policy, ruleset.chain("filter", "OUTPUT")) == ("ACCEPT", None)


def test_all_the_errors_of_a_text_come_at_once():
    text = "-A INPUT -j ACCEPT\n*filter\n:INPUT DROP [0:0]\n-A INPUT -j nowhere\n-A other -j DROP\nnonsense\n-A INPUT -s\n:short\n"
    with pytest.raises(RulesetError) as error:
        parse(text, 4)
    lines = str(error.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "line 1",
        "line 5",
        "line 6",
        "line 7",
        "line 8",
        "line 4",
        "the end",
    ]
    assert (
        "line 4: '-A INPUT -j nowhere' goes to the chain nowhere, which does not exist; expected a declared chain"
        in lines
    )


@pytest.mark.parametrize("family", [5, "4"])
def test_a_family_is_4_or_6(family):
    with pytest.raises(ValueError, match="expected 4 or 6"):
        parse("", family)


def test_intervals_are_merged_and_turned_round():
    assert merged([(5, 6), (1, 2), (3, 3), (8, 9), (6, 7)]) == ((1, 3), (5, 9))
    assert complement(((1, 3), (5, 9)), 0, 10) == ((0, 0), (4, 4), (10, 10))
    assert complement((), 0, 10) == ((0, 10),)
    assert complement(((0, 10),), 0, 10) == ()
    assert complement(((0, 3), (20, 30)), 5, 25) == ((5, 19),)


@pytest.mark.parametrize("text", ["10.0.0.0/33", "10.0.0.0/x", "host.example", "10.0.0.0/255.0.255.0", "::1"])
def test_what_is_no_network_is_refused(text):
    with pytest.raises(ValueError):
        address_range(text, 4)


def test_names_of_protocols_do_not_depend_on_the_machine(monkeypatch):
    def no_such_file(name):
        raise OSError(name)

    monkeypatch.setattr(fields.socket, "getprotobyname", no_such_file)
    protocol_number.cache_clear()
    assert [protocol_number(name) for name in ("tcp", "esp", "ipv6-icmp", "gre", "igmp", "vrrp", "47")] == [
        6,
        50,
        58,
        47,
        2,
        112,
        47,
    ]
    with pytest.raises(ValueError):
        protocol_number("unheard-of")
    protocol_number.cache_clear()
