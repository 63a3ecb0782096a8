# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reader of iptables-save. The fixtures are what it printed on Debian 12 and 13 hosts after ufw and Docker had made the rules."""

from __future__ import annotations

import pathlib

import pytest
from asking import table

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
    NeitherPort,
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
        # All that iptables knows.
        *(
            (f"-m addrtype --dst-type {name}", [Type(DST, frozenset((name,)), False)])
            for name in "UNSPEC UNICAST BROADCAST ANYCAST MULTICAST BLACKHOLE UNREACHABLE PROHIBIT THROW NAT XRESOLVE".split()
        ),
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
    text = "-A INPUT -j ACCEPT\n*filter\n:INPUT DROP [0:0]\n-A INPUT -j nowhere\n-A other -j DROP\nnonsense\n-A INPUT -s\n:short\n: DROP\n"
    with pytest.raises(RulesetError) as error:
        parse(text, 4)
    lines = str(error.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "line 1",
        "line 5",
        "line 6",
        "line 7",
        "line 8",
        "line 9",
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


# -- words that look like something else -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        '-m recent ! --rcheck --name "-i" --rsource',
        "-m recent ! --rcheck --name -i --rsource",
        "-m recent --rcheck --name -j --mask 255.255.255.255 --rsource",
        '-m hashlimit --hashlimit-upto 5/sec --hashlimit-name "-d" --hashlimit-mode srcip',
        '-m string --string "-f" --algo bm --to 65535',
        '-m string --string "-j" --algo kmp',
        '-m string --hex-string "-p" --algo kmp',
        '-m set --match-set "-s" src',
        "-m set ! --match-set -j src,dst",
        '-m connlabel --label "-g" --set',
        '-m helper --helper "-o"',
        '-m owner --uid-owner "-4"',
        '-m unheard --of "-j"',
        "-m unheard --of -x",
        "-m unheard --of value --and another",
        "-m geoip ! --source-country CN",
        "-m unheard --flag --of value",
        "-m nfacct --nfacct-name -i",
    ],
)
def test_a_value_that_looks_like_an_option_is_a_value(words):
    for target in ("ACCEPT", "DROP", "other"):
        one = rule(f"{words} -j {target}")
        assert (one.target, [type(match) for match in one.matches]) == (target, [Unmodelled])
    one = rule(f"-s 10.0.1.0/24 -p tcp {words} -m tcp --dport 22 -j ACCEPT")
    assert [type(match) for match in one.matches] == [Within, Within, Unmodelled, Within]


@pytest.mark.parametrize(
    "words",
    [
        "NFLOG --nflog-prefix -s",
        "NFLOG --nflog-prefix -p --nflog-group 3",
        "LOG --log-prefix -j",
        "SET --add-set -d src",
    ],
)
def test_a_value_of_a_target_that_looks_like_an_option_is_a_value(words):
    one = rule(f"-p tcp -j {words}")
    assert (one.target, one.matches) == (words.partition(" ")[0], (Within(PROTO, ((6, 6),)),))


@pytest.mark.parametrize(
    "words",
    [
        "-m unheard --of -j",  # its value, or a jump without a target
        "-m unheard --of -f",  # its value, or the option -f
        "-m unheard --of -j -m tcp",
        "-m unheard --of ! -s 10.0.0.0/8",
        "-m unheard --of one two",
        "-m unheard --syn -j",
        "stray -p tcp",
        "-p tcp stray",
        "-m recent --rcheck --name a -j ACCEPT --rsource",  # the name `a -j ACCEPT`, which is printed as it is
        "! ! -s 10.0.0.0/8",
        "-m recent --rcheck --name x -s 10.0.0.0/8 -s 10.1.0.0/16 --rsource",
        "-p tcp !",
        "-ieth0",  # iptables-restore takes it for a device of that whole name
        "-p tcp -s10.0.0.1",
    ],
)
def test_what_can_be_read_in_two_ways_may_do_anything_and_never_something(words):
    one = rule(f"{words} -j DROP")
    assert one.target == UNREAD
    assert not one.goto
    assert any(isinstance(match, Unmodelled) and words in match.label for match in one.matches)


def test_of_a_rule_that_is_not_understood_the_certain_matches_stay():
    one = rule("-s 10.0.1.0/24 -p tcp -m unheard --of -f -j DROP")
    assert one.matches[:2] == (Within(SRC, (NET,)), Within(PROTO, ((6, 6),)))
    assert len(one.matches) == 3


@pytest.mark.parametrize(
    "words,same",
    [
        ("-i ! eth0", "! -i eth0"),
        ("-o ! eth0", "! -o eth0"),
        ("-s ! 10.0.0.0/8", "! -s 10.0.0.0/8"),
        ("-p ! tcp", "! -p tcp"),
        ("-m state --state ! NEW", "-m state ! --state NEW"),
        ("-p tcp --dport ! 22", "-p tcp ! --dport 22"),
        ("-p tcp --tcp-flags ! SYN,ACK SYN", "-p tcp ! --tcp-flags SYN,ACK SYN"),
        ("-p icmp --icmp-type ! 8", "-p icmp ! --icmp-type 8"),
        ("-m addrtype --dst-type ! LOCAL", "-m addrtype ! --dst-type LOCAL"),
        ("--in-interface eth0", "-i eth0"),
        ("-p tcp -m multiport --dports 022,0x17", "-p tcp -m multiport --dports 18,23"),
        ("-p icmp --icmp-type redirec", "-p icmp --icmp-type 5"),
        ("-m state --state est,rel", "-m state --state ESTABLISHED,RELATED"),
        ("-m addrtype --src-type loc", "-m addrtype --src-type LOCAL"),
        ("-p tcp -m tcp --tcp-flags syn,ack SYN", "-p tcp -m tcp --tcp-flags SYN,ACK SYN"),
        ("-p tcp --dport=22", "-p tcp --dport 22"),
        ("-p tcp --destination-port 22", "-p tcp --dport 22"),
        ("-p tcp --destination-p 22", "-p tcp --dport 22"),
        ("--sour 10.0.0.0/8", "-s 10.0.0.0/8"),
        ("-p TCP --dport 22", "-p tcp --dport 22"),
        ("-p 6 --dport 22", "-p tcp --dport 22"),
        ("-p tcp --dport 022", "-p tcp --dport 18"),
        ("-p tcp --sport 022", "-p tcp --sport 18"),
        ("-p tcp --dport 0x16", "-p tcp --dport 22"),
        ("-s 10.0.0.0/010", "-s 10.0.0.0/8"),
        ("-s 10.0.1.0/25,10.0.1.128/25", "-s 10.0.1.0/24"),
        ("-m conntrack --ctstate new", "-m conntrack --ctstate NEW"),
        ("-p icmp --icmp-type host-unreachable", "-p icmp --icmp-type 3/1"),
        ("-p icmp --icmp-type Echo-Request", "-p icmp --icmp-type 8"),
        ("-c 12 34 -s 10.0.0.0/8", "-s 10.0.0.0/8"),
        ("-4 -s 10.0.0.0/8", "-s 10.0.0.0/8"),
        ("-p tcp -m comment --comment x --dport 22", "-p tcp --dport 22 -m comment --comment x"),
        ("-m mark --mark 1 -p tcp", "-p tcp -m mark --mark 1"),
    ],
)
def test_every_spelling_that_iptables_takes_means_the_same(words, same):
    assert matches(words) == matches(same)
    assert not any(isinstance(match, Unmodelled) for match in matches(words)) or "mark" in words


@pytest.mark.parametrize(
    "words,same",
    [
        ("-p tcp -m multiport -j ACCEPT --dports 22,80", "-p tcp -m multiport --dports 22,80 -j ACCEPT"),
        ("-j ACCEPT -s 10.0.1.0/24", "-s 10.0.1.0/24 -j ACCEPT"),
        ("-p tcp -j DROP --dport 22", "-p tcp --dport 22 -j DROP"),
        ("-j DROP -p tcp -m tcp --dport 22", "-p tcp -m tcp --dport 22 -j DROP"),
        ("-j LOG --log-prefix x -s 10.0.1.0/24", "-s 10.0.1.0/24 -j LOG --log-prefix x"),
        ("-g other -i eth0", "-i eth0 -g other"),
        ("-j other ! -i eth0", "! -i eth0 -j other"),
        (
            "-m state -j REJECT --state NEW --reject-with tcp-reset",
            "-m state --state NEW -j REJECT --reject-with tcp-reset",
        ),
    ],
)
def test_matches_behind_the_target_count(words, same):
    one, other = rule(words), rule(same)
    assert (one.matches, one.target, one.goto, one.options) == (other.matches, other.target, other.goto, other.options)
    assert one.matches


@pytest.mark.parametrize(
    "words,found",
    [
        ("-p icmp -m icmp ! --icmp-type any", [Within(PROTO, ((1, 1),)), Never()]),
        ("-p icmp -m icmp ! --icmp-type 255", [Within(PROTO, ((1, 1),)), Never()]),
        ("-p icmp -m icmp --icmp-type 255/3", [Within(PROTO, ((1, 1),))]),
        ("! -p all", [Never()]),
        ("! -p 0", [Never()]),
        ("-m addrtype ! --dst-type LOCAL --limit-iface-in", [Unmodelled("addrtype --limit-iface-in not LOCAL")]),
        ("-m addrtype --limit-iface-in ! --dst-type LOCAL", [Unmodelled("addrtype --limit-iface-in not LOCAL")]),
        ("-m addrtype --dst-type UNICAST --limit-iface-out", [Unmodelled("addrtype --limit-iface-out UNICAST")]),
        (
            "-m addrtype ! --dst-type LOCAL --limit-iface-in -m addrtype --src-type LOCAL",
            [Unmodelled("addrtype --limit-iface-in not LOCAL"), Type(SRC, frozenset(("LOCAL",)), False)],
        ),
        ("-m recent ! --set --name x", [Unmodelled("recent ! --set --name x", True)]),
        ("-m recent --name x --set", []),
        ("-m mh --mh-type 1", None),
        ("-m conntrack --ctstate WHATEVER", [Unmodelled("conntrack --ctstate WHATEVER")]),
        ("-m conntrack --ctdir reply", [Direction("REPLY", False)]),
        ("-m conntrack ! --ctdir ORIGINAL", [Direction("ORIGINAL", True)]),
        ("-p udp --dport 022", [Within(PROTO, ((17, 17),)), Unmodelled("udp --dport 022")]),  # 22 to some releases, 18 to others
        ("-p udp --sport 5:0x16", [Within(PROTO, ((17, 17),)), Unmodelled("udp --sport 5:0x16")]),
        ("-p icmp --icmp-type ttl-zero", [Within(PROTO, ((1, 1),)), Unmodelled("icmp --icmp-type ttl-zero")]),
        ("-m addrtype --dst-type HERE", [Unmodelled("addrtype --dst-type HERE")]),
        ("-p tcp --dport 1:2:3", [Within(PROTO, ((6, 6),)), Unmodelled("tcp --dport 1:2:3")]),
        ("-p tcp --dport 9:3", [Within(PROTO, ((6, 6),)), Unmodelled("tcp --dport 9:3")]),
        ("-p tcp --dport 65536", [Within(PROTO, ((6, 6),)), Unmodelled("tcp --dport 65536")]),
        ("-p tcp --dport \u0662\u0662", [Within(PROTO, ((6, 6),)), Unmodelled("tcp --dport \u0662\u0662")]),
        ("-s 10.0.0.0/\u0668", [Unmodelled("-s 10.0.0.0/\u0668")]),
        ("-p tcp -m tcp --tcp-flags SYN,XYZ SYN", [Within(PROTO, ((6, 6),)), Unmodelled("tcp --tcp-flags SYN,XYZ SYN")]),
        ("-p tcp -m tcp --tcp-flags ALL NONE", [Within(PROTO, ((6, 6),)), Flags(frozenset(("FIN", "SYN", "RST", "PSH", "ACK", "URG")), frozenset(), False)]),
        ("-m iprange --src-range 10.0.1.9-10.0.1.1", [Unmodelled("iprange --src-range 10.0.1.9-10.0.1.1")]),
        ("-m iprange --dst-range 10.0.1.9", [Within(DST, ((0x0A000109, 0x0A000109),))]),
        ("-m conntrack --ctorigdst 10.0.1.0/24 ! --ctorigsrcport 5:9", [First(DST, (NET,)), First(SPORT, ((0, 4), (10, 65535)))]),
    ],
)  # fmt: skip
def test_rare_matches_have_their_exact_meaning_or_none(words, found):
    family = 6 if "mh" in words else 4
    expected = [Unmodelled("mh --mh-type 1")] if found is None else found
    assert matches(words, family) == expected
    assert [type(match) for match in matches(words, family)] == [type(match) for match in expected]


# -- lines -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sign", ["\u2028", "\x0b", "\x0c", "\x1c", "\x1e", "\x85", "\u2029", "\r", "\n", "\t", " -j DROP\n"]
)
def test_a_comment_may_hold_any_sign(sign):
    one = rule(f'-m comment --comment "left{sign}right" -p tcp -j ACCEPT')
    assert (one.matches, one.target) == ((Within(PROTO, ((6, 6),)),), "ACCEPT")


def test_a_quote_that_is_never_closed_is_refused_with_its_line():
    with pytest.raises(RulesetError, match="^line 4: .* has a quote that is not closed; expected the line as iptables"):
        rule('-m comment --comment "open -j DROP')


def test_chains_may_bear_any_name_without_blanks():
    text = "*filter\n:INPUT DROP [0:0]\n:a\u2028b\xa0c - [0:0]\n-A INPUT -j a\u2028b\xa0c\n-A a\u2028b\xa0c -j ACCEPT\nCOMMIT\n"
    assert parse(text, 4).chain("filter", "a\u2028b\xa0c").rules[0].target == "ACCEPT"


# -- families --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line,family",
    [
        ("-s 10.0.0.0/8", 6), ("-d 10.0.0.1", 6), ("-m iprange --src-range 10.0.0.1-10.0.0.9", 6), ("-p icmp -m icmp --icmp-type 8", 6),
        ("-m conntrack --ctorigdst 10.0.0.1", 6), ("-m ttl --ttl-eq 1", 6), ("-j REJECT --reject-with icmp-port-unreachable", 6),
        ("-j TTL --ttl-set 3", 6), ("-s fd00::/64", 4), ("! -d ::1", 4), ("-p ipv6-icmp -m icmp6 --icmpv6-type 135", 4),
        ("-m hl --hl-eq 255", 4), ("-m rt --rt-type 0", 4), ("-j REJECT --reject-with icmp6-port-unreachable", 4), ("-j HL --hl-set 3", 4),
        ("-s 10.0.0.1,fd00::1", 4), ("-m iprange --dst-range 10.0.0.1-10.0.0.9", 6), ("-m iprange --dst-range fd00::1-fd00::9", 4),
        ("-m conntrack --ctorigsrc fd00::1", 4),
    ],
)  # fmt: skip
def test_a_text_of_the_other_family_is_refused(line, family):
    with pytest.raises(RulesetError, match=rf"which IPv{family} has not; expected the output of ip6?tables-save"):
        rule(line + ("" if "-j" in line else " -j ACCEPT"), family)


@pytest.mark.parametrize(
    "tool,family", [("iptables-save", 6), ("ip6tables-save", 4), ("iptables-nft-save", 6), ("ip6tables-legacy-save", 4)]
)
def test_a_text_that_says_that_it_is_of_the_other_family_is_refused(tool, family):
    text = f"# Generated by {tool} v1.8.9 on Mon\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n"
    with pytest.raises(RulesetError, match=f"says that it is not of IPv{family}"):
        parse(text, family)
    assert parse(text, 10 - family).chain("filter", "INPUT")


def test_a_chain_may_bear_a_name_of_the_other_family():
    text = "*filter\n:INPUT DROP [0:0]\n:HL - [0:0]\n:TTL - [0:0]\n-A INPUT -j HL\n-A INPUT -j TTL\nCOMMIT\n"
    assert [[one.target for one in parse(text, family).chain("filter", "INPUT").rules] for family in (4, 6)] == [
        ["HL", "TTL"]
    ] * 2


def test_a_line_for_the_other_family_alone_is_left_out():
    def rules(mine, family):
        """How many rules a family takes of a line for IPv4 or IPv6 alone."""
        text = f"*filter\n:INPUT DROP [0:0]\n-A INPUT -{mine} -j DROP\nCOMMIT\n"
        return len(parse(text, family).chain("filter", "INPUT").rules)

    assert [[rules(mine, family) for mine in (4, 6)] for family in (4, 6)] == [[1, 0], [0, 1]]


# -- what is not in the text -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "note,unseen",
    [
        ("# Table `filter' is incompatible, use 'nft' tool.", True),
        ("# Table `raw' is incompatible, use 'nft' tool.", True),
        ("# Table `filter' contains incompatible base-chains, use 'nft' tool to list them.", True),
        ("# Table `mangle' contains incompatible base-chains, use 'nft' tool to list them.", True),
        ("# Warning: iptables-legacy tables present, use iptables-legacy-save to see them", True),
        ("# Warning: ip6tables-legacy tables present, use ip6tables-legacy-save to see them", True),
        ("# Completed on Mon Nov 29", False),
        ("# Generated by iptables-save v1.8.9 (nf_tables) on Mon Nov 29", False),
        ("# incompatible", False),
    ],
)
def test_what_iptables_save_says_that_it_does_not_show_is_kept(note, unseen):
    ruleset = parse(note + "\n*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n" + note, 4)
    assert ruleset.unseen == ((note[2:],) if unseen else ())
    assert parse("", 4, unseen=("legacy", "legacy")).unseen == ("legacy",)


@pytest.mark.parametrize(
    ("proto", "number", "option", "family"),
    [
        ("tcp", 6, "--dport 22", 4), ("udp", 17, "--dport 22", 4), ("udplite", 136, "--dport 22", 4), ("sctp", 132, "--sport 22", 6),
        ("dccp", 33, "--sport 22", 4), ("icmp", 1, "--icmp-type 8", 4), ("ipv6-icmp", 58, "--icmpv6-type 128", 6), ("58", 58, "--icmpv6-type 128", 6),
    ],
)  # fmt: skip
def test_a_protocols_own_options_need_no_module(proto, number, option, family):
    first, second = matches(f"-p {proto} {option}", family)
    assert first == Within(PROTO, ((number, number),))
    assert isinstance(second, Within)


@pytest.mark.parametrize("words", ["-p esp --espspi 5", "-p ah --ahspi 5", "-p 135 --mh-type 1"])
def test_options_of_a_protocol_that_are_not_modelled_are_labelled(words):
    proto, label = matches(words, 6)
    assert isinstance(proto, Within)
    assert isinstance(label, Unmodelled) and label.label.split()[0] in ("esp", "ah", "mh")
    assert rule(words + " -j ACCEPT", 6).target == "ACCEPT"


def test_a_chain_may_be_declared_without_counters():
    assert parse("*filter\n:INPUT DROP\n:own\t-\nCOMMIT\n", 4).chain("filter", "INPUT").policy == "DROP"


@pytest.mark.parametrize("words", ["8/256", "256", "-1", "300/1"])
def test_a_type_of_icmp_that_is_none_is_no_interval(words):
    assert isinstance(matches(f"-p icmp -m icmp --icmp-type {words}")[-1], Unmodelled)
    assert isinstance(rule(f"-p ipv6-icmp -m icmp6 --icmpv6-type {words} -j DROP", 6).matches[-1], Unmodelled)


@pytest.mark.parametrize("module", "limit hashlimit recent connlimit statistic quota connbytes nfacct rateest".split())
def test_a_module_that_lets_some_packets_through_is_a_rate(module):
    assert matches(f"-m {module}") == [Unmodelled(module, True)]


@pytest.mark.parametrize(
    "addresses,ends",
    [
        ("", []),
        ("-s 10.0.1.0/24 ", [Within(SRC, (NET,))]),
        ("-d 10.0.1.0/24 ", [Within(DST, (NET,))]),
        ("-s 10.0.1.0/24 -d 10.0.1.7 ", [Within(SRC, (NET,)), Within(DST, ((0x0A000107, 0x0A000107),))]),
    ],
)
@pytest.mark.parametrize(
    "tail",
    ["-p tcp -m tcp --dport 22 -j DROP", "! -p tcp -j other", "-j LOG --log-prefix x -i eth0", "-m mark --mark 1"],
)
def test_what_many_lines_have_in_common_is_read_the_same_in_each(addresses, ends, tail):
    lines = [f"-A INPUT {addresses}{tail}", f'-A INPUT {addresses}-m comment --comment "x" {tail}']
    lines += [f"-A INPUT {tail}", f"-A INPUT -s 10.9.9.9 {tail}", f"-A other -d 10.9.9.9 {tail}"]
    text = "*filter\n:INPUT DROP [0:0]\n:other - [0:0]\n%s\nCOMMIT\n" % "\n".join(lines)
    ruleset = parse(text, 4)
    one, same, bare, source = ruleset.chain("filter", "INPUT").rules
    (destination,) = ruleset.chain("filter", "other").rules
    assert list(one.matches) == ends + list(bare.matches) == list(same.matches)
    for field, other in ((SRC, source), (DST, destination)):
        assert list(other.matches) == [Within(field, (address_range("10.9.9.9", 4),)), *bare.matches]
    for other in (same, bare, source, destination):
        assert (one.target, one.goto, one.options) == (other.target, other.goto, other.options)
    assert [rule.text for rule in ruleset.chain("filter", "INPUT").rules] == lines[:4]
    assert [rule.number for rule in ruleset.chain("filter", "INPUT").rules] == [1, 2, 3, 4]


@pytest.mark.parametrize("before", ["", "-p tcp ", "-i eth0 -p udp ", "-i eth0 -o eth1 "])
@pytest.mark.parametrize("target", ["", "-d 10.0.1.0/24 ", "-d 10.0.1.7 --dport 22 ", "--dport 22:25 "])
@pytest.mark.parametrize("source", ["", "-s 10.9.9.9 ", "-s 10.9.9.9 --sport 80 ", "! -s 10.9.9.9 ", "-s 10.9.9.9/x "])
def test_a_line_in_the_order_of_ufw_means_what_it_means_word_by_word(before, target, source):
    words = f"{before}{target}{source}-j DROP"
    one, same = rule(words), rule(f'-m comment --comment "x" {words}')
    assert (one.target, one.goto, one.options) == (same.target, same.goto, same.options)
    if one.target != UNREAD and not any(isinstance(match, Unmodelled) for match in same.matches):
        assert sorted(map(repr, one.matches)) == sorted(map(repr, same.matches))
        assert len(one.matches) == len(words.replace("! ", "").split()) // 2 - 1


@pytest.mark.parametrize("words", ["-s 10.0.0.1 -p tcp -s 10.0.0.2", "-d 10.0.0.1 -p tcp -d 10.0.0.2"])
def test_an_address_on_both_sides_of_the_protocol_is_kept_twice(words):
    assert len(matches(words)) == 3


@pytest.mark.parametrize(
    "other,equal",
    [
        ("-A INPUT -p tcp -s 10.0.0.1 --dport 22 -j ACCEPT", True),
        ("-A INPUT -s 10.0.0.1/32 -p tcp -m tcp --dport 23 -j ACCEPT", False),
        ("-A INPUT -s 10.0.0.1/32 -p tcp -m tcp --dport 22 -j DROP", False),
        ("-A INPUT -s 10.0.0.1/32 -p tcp -m tcp --dport 22 -g other", False),
        ("-A other -s 10.0.0.1/32 -p tcp -m tcp --dport 22 -j ACCEPT", False),
        ("# Table `nat' is incompatible, use 'nft' tool.\n-A INPUT -p tcp -s 10.0.0.1 --dport 22 -j ACCEPT", False),
    ],
)
def test_rulesets_are_equal_where_each_rule_says_the_same(other, equal):
    def ruleset(line, policy="DROP"):
        return parse(f"*filter\n:INPUT {policy} [0:0]\n:other - [0:0]\n{line}\nCOMMIT\n", 4)

    line = "-A INPUT -s 10.0.0.1/32 -p tcp -m tcp --dport 22 -j ACCEPT"
    assert ruleset(line).equals(ruleset(other)) == equal
    assert not ruleset(line).equals(ruleset(line, "ACCEPT"))


def test_a_tail_means_in_each_table_what_its_chains_make_of_it():
    line = "-A INPUT -s 10.0.0.1 -j HL"
    own = f"*filter\n:INPUT DROP [0:0]\n:HL - [0:0]\n{line}\nCOMMIT\n"
    assert parse(own, 4).chain("filter", "INPUT").rules[0].target == "HL"
    with pytest.raises(RulesetError, match="line 8: .* has HL, which IPv4 has not"):
        parse(f"{own}*mangle\n:INPUT ACCEPT [0:0]\n{line}\nCOMMIT\n", 4)
    late = f"*filter\n:INPUT DROP [0:0]\n{line}\n:HL - [0:0]\n{line}\nCOMMIT\n"
    with pytest.raises(RulesetError, match="^line 3: [^\n]*$"):
        parse(late, 4)


@pytest.mark.parametrize(
    "words,family",
    [("-s 10.0.0.0/8,10.9.9.9 -j DROP", 4), ("-s 10.0.0.0/255.0.0.0 -j DROP", 4), ("-s fd00::/8,fe80::/10 -j DROP", 6)],
)
def test_a_list_or_a_netmask_before_a_tail_that_was_read_before_is_read_as_well(words, family):
    net = "10.1.0.0/16" if family == 4 else "fd00::/16"
    text = f"*filter\n:INPUT DROP [0:0]\n-A INPUT -s {net} -j DROP\n-A INPUT {words}\nCOMMIT\n"
    parts = words.split()[1].split(",")
    assert parse(text, family).chain("filter", "INPUT").rules[1].matches == (
        Within(SRC, merged(address_range(part, family) for part in parts)),
    )


@pytest.mark.parametrize("again", ["-s 10.1.0.0/16", "--source 10.1.0.0/16"])
def test_an_address_that_comes_twice_is_kept_twice_or_not_understood(again):
    text = "*filter\n:INPUT DROP [0:0]\n-A INPUT -s 10.0.0.0/8 -p tcp %s%s -j DROP\nCOMMIT\n"
    for module, understood in (("", True), ("-m tcp ", False)):
        (one,) = parse(text % (module, again), 4).chain("filter", "INPUT").rules
        assert (one.target == UNREAD) != understood
        assert len(one.matches) == 3


@pytest.mark.parametrize("family,only", [
    (4, "icmp ttl realm TTL ULOG CLUSTERIP"), (6, "icmp6 icmpv6 ipv6-icmp hl rt hbh dst frag mh eui64 ipv6header srh HL"),
])  # fmt: skip
def test_a_module_or_a_target_of_one_family_alone_is_no_word_of_the_other(family, only):
    for name in only.split():
        words = f"-j {name}" if name.isupper() else f"-m {name} -j ACCEPT"
        with pytest.raises(RulesetError, match=f"has {name}, which IPv{10 - family} has not"):
            rule(words, 10 - family)
        assert rule(words, family).target


#: What is wrong with a line, and what would be right; in a table with the chain INPUT alone.
WRONG = {
    "-A": "is not understood; expected *TABLE, :CHAIN POLICY, -A CHAIN ... or COMMIT",
    "-D INPUT -j DROP": "is not understood; expected *TABLE, :CHAIN POLICY, -A CHAIN ... or COMMIT",
    "-A here -j DROP": "adds to the chain here, which is not declared; expected :here - [0:0] before it",
    "-A INPUT -s": "ends within an option; expected a value for it",
    "-A INPUT -p tcp --tcp-flags SYN": "ends within an option; expected a value for it",
    '-A INPUT -j LOG --log-prefix "x': "has a quote that is not closed; expected the line as iptables-save prints it",
    "-A INPUT -j here": "goes to the chain here, which does not exist; expected a declared chain",
    "-A INPUT -g DROP": "goes to the chain DROP, which does not exist; expected a declared chain",
    ":": "declares no chain; expected :NAME POLICY",
    ":here": "declares no chain; expected :NAME POLICY",
    "-A INPUT -s fd00::1": "has fd00::1, which IPv4 has not; expected the output of iptables-save",
    "# Generated by ip6tables-save v1": "says that it is not of IPv4; expected the output of iptables-save",
}


@pytest.mark.parametrize("line,said", WRONG.items())
def test_a_line_that_is_wrong_is_named_with_what_would_be_right(line, said):
    with pytest.raises(RulesetError) as error:
        parse(f"*filter\n:INPUT DROP [0:0]\n-A INPUT -j DROP\n{line}\nCOMMIT\n", 4)
    assert str(error.value) == f"line 4: {line!r} {said}"


def test_a_text_that_ends_too_early_or_begins_too_late_is_refused():
    with pytest.raises(
        RulesetError, match="^the end: the table nat has no COMMIT; expected the whole output of iptables-save$"
    ):
        parse("*filter\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n", 4)
    with pytest.raises(
        RulesetError, match="^line 3: ':INPUT DROP' stands outside a table; expected a line such as .filter before it$"
    ):
        parse("*nat\nCOMMIT\n:INPUT DROP\n", 4)
    with pytest.raises(
        RulesetError,
        match="^line 1: '# Generated by iptables-save v1' says .* IPv6; expected the output of ip6tables-save$",
    ):
        parse("# Generated by iptables-save v1\n", 6)
    assert parse("*filter \t\n:INPUT DROP\nCOMMIT\t\n \t\n", 4).chain("filter", "INPUT")


@pytest.mark.parametrize("counters", ["[0:0] ", "[12:3456] "])
def test_counters_before_a_rule_are_no_part_of_it(counters):
    text = f"*filter\n:INPUT DROP [7:8]\n{counters}-A INPUT -s 10.0.1.0/24 -j DROP \t\n{counters}-A INPUT -p tcp -j ACCEPT\nCOMMIT\n"
    rules = parse(text, 4).chain("filter", "INPUT").rules
    assert [one.text for one in rules] == ["-A INPUT -s 10.0.1.0/24 -j DROP", "-A INPUT -p tcp -j ACCEPT"]
    assert [one.target for one in rules] == ["DROP", "ACCEPT"]


@pytest.mark.parametrize(
    "words",
    ["-p tcp --so 10.0.0.0/8", "-p tcp --s 5", "-p tcp -m multiport --d 22", "-m conntrack --ctorigs 10.0.0.0/8"],
)
def test_an_option_cut_so_short_that_it_may_be_several_is_not_understood(words):
    assert rule(f"{words} -j DROP").target == UNREAD


def test_every_address_in_short_is_every_address():
    assert matches("-s 0/0 -d any/0") == [Within(SRC, ((0, 2**32 - 1),)), Within(DST, ((0, 2**32 - 1),))]


# -- values without quotes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["-p udp", "-s 1.2.3.4", "! -i eth0", "-d 10.0.0.0/8", "-o eth1", "-f"])
@pytest.mark.parametrize(
    "before", ["-m recent --update --name x", "-m hashlimit --hashlimit-upto 1/sec --hashlimit-name x"]
)
def test_what_may_be_a_part_of_a_name_narrows_no_rule(before, words):
    """iptables-save prints such a name without quotes: --name "x -p udp"."""
    found = rule(f"{before} {words} -j ACCEPT")
    assert found.target == "ACCEPT" and all(isinstance(match, Unmodelled) for match in found.matches)
    assert words in " ".join(match.label for match in found.matches)


def test_a_module_behind_a_name_counts_only_where_the_name_is_known_to_have_ended():
    ports = Within(DPORT, ((22, 22),))
    assert ports in matches("-p tcp -m recent --set --name x --mask 255.255.255.255 --rsource -m tcp --dport 22")
    assert ports in matches("-p tcp -m set --match-set x src -m tcp --dport 22")
    assert ports not in matches("-p tcp -m hashlimit --hashlimit-upto 1/sec --hashlimit-name x -m tcp --dport 22")
    assert ports in matches('-p tcp -m hashlimit --hashlimit-upto 1/sec --hashlimit-name "x" -m tcp --dport 22')
    found = rule("-p tcp -m recent --set --name x -m tcp --dport 22 --mask 255.255.255.255 --rsource -j ACCEPT")
    assert found.target == UNREAD and ports not in found.matches


def test_a_name_behind_the_jump_narrows_no_rule_either():
    assert Within(PROTO, ((17, 17),)) not in rule("-j IDLETIMER --timeout 5 --label x -p udp").matches
    assert Within(PROTO, ((17, 17),)) in rule("-p udp -j IDLETIMER --timeout 5 --label x").matches


# -- two ports that are denied -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_two_denied_ports_are_one_match(proto):
    not_a, not_b = (complement(((port, port),), 0, ALL_PORTS) for port in (4000, 22))
    found = matches(f"-p {proto} -m {proto} ! --sport 4000 ! --dport 22")
    assert found[1:] == [NeitherPort(not_a, not_b)]
    assert matches("-p tcp -m tcp ! --sport 4000 ! --dport 22 --syn")[-1] == NeitherPort(not_a, not_b)


@pytest.mark.parametrize(
    "words", ["! --sport 4000 --dport 22", "--sport 4000 ! --dport 22", "! --sport 4000:4001 ! --dport 22"]
)
def test_other_pairs_of_ports_are_two(words):
    assert [type(match) for match in matches("-p tcp -m tcp " + words)] == [Within, Within, Within]


@pytest.mark.parametrize("words", ["--sport 22", "--dport 22", "--syn", "--icmp-type 8", "--espspi 5"])
def test_an_option_of_a_protocol_that_is_not_given_is_none_of_its_module(words):
    found = rule(f"{words} -j ACCEPT")
    assert not any(isinstance(match, Within) for match in found.matches) and found.matches


def test_an_option_that_is_not_known_may_end_the_line():
    found = parse(table("filter", ":INPUT DROP", "-A INPUT -j ACCEPT -m geoip --anywhere"), 4)
    assert set(found.tables["filter"]["INPUT"].rules[-1].matches) == {Unmodelled("geoip"), Unmodelled("--anywhere")}


@pytest.mark.parametrize("words", ["-p6", "-ieth0", "-s10.0.0.1", "-mtcp"])
def test_a_value_in_the_word_of_a_short_option_is_not_understood(words):
    assert rule(f"{words} -j ACCEPT").target == UNREAD


def test_a_table_that_begins_a_second_time_is_read_with_its_own_chains():
    """What an equal line of another table said, where that name is a target, is not what it says here."""
    line = "-A INPUT -p tcp -j SET --add-set seen src"
    ruleset = parse(
        f"*filter\n:INPUT DROP [0:0]\n:SET - [0:0]\nCOMMIT\n*mangle\n:INPUT ACCEPT [0:0]\n{line}\nCOMMIT\n*filter\n{line}\nCOMMIT\n",
        4,
    )
    assert [ruleset.chain(table, "INPUT").rules[0].target for table in ("mangle", "filter")] == ["SET", UNREAD]
    again = (
        "*filter\n:INPUT DROP [0:0]\nCOMMIT\n*mangle\n:INPUT ACCEPT [0:0]\n:TTL - [0:0]\n-A INPUT -p tcp -j TTL\nCOMMIT\n"
        "*filter\n-A INPUT -p tcp -j TTL\nCOMMIT\n"
    )
    with pytest.raises(RulesetError, match="line 10: .* has TTL, which IPv6 has not"):
        parse(again, 6)


@pytest.mark.parametrize("end", ["", "\n", "\n\nmore of it\n"])
def test_a_quote_that_is_open_until_the_text_ends_is_a_mistake_of_its_line(end):
    text = '*filter\n:INPUT DROP [0:0]\n-A INPUT -m comment --comment "never closed' + end
    with pytest.raises(RulesetError, match=r"line 3: .* has a quote that is not closed"):
        parse(text, 4)
