# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host, Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import (
    canonical,
    is_plain,
    jump_target,
    parse_save,
    parse_tables,
    read_security,
    read_table,
    start_reading,
)


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("-p tcp --dport 22 -j ACCEPT", "-p tcp -m tcp --dport 22 -j ACCEPT"),
        ("-p vrrp -j ACCEPT", "-p 112 -j ACCEPT"),
        ("-p gre -j ACCEPT", "-p 47 -j ACCEPT"),
        ("-d 10.0.0.1 -j DROP", "-d 10.0.0.1/32 -j DROP"),
        ("-s 2001:db8::5/64 -j DROP", "-s 2001:db8::/64 -j DROP"),
        ("-s 2001:db8:0:0::1 -j DROP", "-s 2001:db8::1/128 -j DROP"),
        ("-s 0.0.0.0/0 -j DROP", "-j DROP"),
        ("-j REJECT", "-j REJECT --reject-with icmp-port-unreachable"),
        ("-j REJECT", "-j REJECT --reject-with icmp6-port-unreachable"),
        (
            "-m conntrack --ctstate NEW -m recent --set",
            "-m conntrack --ctstate NEW -m recent --set --name DEFAULT --mask 255.255.255.255 --rsource",
        ),
        (
            '-m limit --limit 3/minute -j LOG --log-prefix "[UFW LIMIT BLOCK] "',
            '-m limit --limit 3/min -j LOG --log-prefix "[UFW LIMIT BLOCK] "',
        ),
        (
            '-j LOG --log-prefix "[UFW BLOCK] " -m limit --limit 3/min --limit-burst 10',
            '-m limit --limit 3/min --limit-burst 10 -j LOG --log-prefix "[UFW BLOCK] "',
        ),
        (
            "-p tcp --dport 22 -j ACCEPT -m comment --comment 'dapp_OpenSSH'",
            "-p tcp -m tcp --dport 22 -m comment --comment \"\\'dapp_OpenSSH\\'\" -j ACCEPT",
        ),
        ("-p icmp --icmp-type echo-request -j ACCEPT", "-p icmp -m icmp --icmp-type 8 -j ACCEPT"),
        ("-p icmpv6 --icmpv6-type packet-too-big -j ACCEPT", "-p ipv6-icmp -m icmp6 --icmpv6-type 2 -j ACCEPT"),
        ("-m limit --limit 1/second --limit-burst 5 -j LOG", "-m limit --limit 1/sec -j LOG"),
        ("--protocol udp --source 10.0.0.0/8 --jump DROP", "-s 10.0.0.0/8 -p udp -j DROP"),
        (
            "-m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ),
        ("-m state --state NEW,ESTABLISHED -j ACCEPT", "-m conntrack --ctstate ESTABLISHED,NEW -j ACCEPT"),
        ("--proto all -j DROP", "-j DROP"),
        ("-p icmp6 --icmpv6-type 1", "-p icmp6 -m icmp6 --icmpv6-type destination-unreachable"),
        ("-p icmpv6 -m icmpv6 --icmpv6-type 1", "-p 58 -m ipv6-icmp --icmpv6-type 1"),
        ("-p udp -m udp --sport 53", "-p 17 --sport 53"),
        ("-p tcp -m multiport --dports 80,443", "-p 6 --dports 80,443"),
        ("-m addrtype --dst-type LOCAL", "--dst-type LOCAL"),
        ("-m hl --hl-eq 255", "--hl-eq 255"),
        ("-m rt --rt-type 0", "-m rt --rt-type 0 --rt-segsleft 0:4294967295"),
        ("-m comment --comment x", "--comment x"),
        (
            "-m recent --update --name x",
            "-m recent --update --name x --rsource --mask ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ),
        ("-j LOG", "-j LOG --log-level warning"),
        ("-j LOG", "-j LOG --log-level 4"),
        ("-m limit --limit 1/second", "-m limit --limit 1/sec --limit-burst 5"),
        ("-s 10.0.0.1/255.255.255.255 -j DROP", "-s 10.0.0.1 -j DROP"),
        ("-s ::/0 -j DROP", "-j DROP"),
        ("-i + -p tcp --dport 81 -j DROP", "-p tcp -m tcp --dport 81 -j DROP"),
        ("-i + -o eth+ -j ACCEPT", "-o eth+ -j ACCEPT"),
        ("-d 0.0.0.0/0 -j DROP", "-j DROP"),
        ("! -s 2001:db8::5/64", "! -s 2001:db8::/64"),
        ("! -d 10.0.0.1/32", "! -d 10.0.0.1"),
        ("--ctorigdst 10.0.0.1/32", "--ctorigdst 10.0.0.1"),
        ("-m comment --comment x", '-m comment --comment "x"'),
        ("-m comment --comment a\\b", '-m comment --comment "a\\\\b"'),
        ('-m comment --comment "a\\"b" -j DROP', '-j DROP -m comment --comment "a\\"b"'),
        # To iptables-restore single quotes are signs as any other.
        ("-m comment --comment 'x'", "-m comment --comment \"\\'x\\'\""),
        ("-m comment --comment 'sapp_X Y'", "-m comment --comment \"\\'sapp_X Y\\'\""),
        ("-m mark --mark -1 -j DROP", "--mark -1 -m mark -j DROP"),
    ],
)
def test_a_rule_is_the_same_as_what_iptables_save_prints_of_it(written, printed):
    assert canonical(written) == canonical(printed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("-p tcp --dport 22 -j ACCEPT", "-p tcp --dport 22 -j DROP"),
        ("-p tcp --dport 22 -j ACCEPT", "-p tcp --sport 22 -j ACCEPT"),
        ("-p tcp --dport 22 -j ACCEPT", "-p udp --dport 22 -j ACCEPT"),
        ("-p tcp --dport 22 -j ACCEPT", "-p tcp ! --dport 22 -j ACCEPT"),
        ("-s 10.0.0.0/8 -j DROP", "-d 10.0.0.0/8 -j DROP"),
        ("-s 10.0.0.0/8 -j DROP", "! -s 10.0.0.0/8 -j DROP"),
        ("-s 2001:db8::/64 -j DROP", "-s 2001:db8::/63 -j DROP"),
        ("-i eth0 -j DROP", "-i eth1 -j DROP"),
        ("-j REJECT", "-j REJECT --reject-with tcp-reset"),
        ("-m limit --limit 3/min --limit-burst 10 -j LOG", "-m limit --limit 3/min -j LOG"),
        ("-m socket -j ACCEPT", "-j ACCEPT"),
        ("-j ACCEPT", "-m mark --mark 0x1 -j ACCEPT"),
        ('-j LOG --log-prefix "[UFW BLOCK] "', '-j LOG --log-prefix "[UFW ALLOW] "'),
        ("-m comment --comment \"\\'x\\'\"", "-m comment --comment x"),
        ("-j LOG --log-level 4", "-j LOG --log-level 5"),
        ("-m rt -j DROP", "-j DROP"),
        ("-m recent --set --name a", "-m recent --set --name b"),
        ("-s 10.0.0.1 -j DROP", "-s 10.0.0.1/31 -j DROP"),
        ("-s 2001:db8::1 -j DROP", "-s 2001:db8::1/127 -j DROP"),
        ("-p icmp --icmp-type 8", "-p icmp --icmp-type 0"),
        ("-m mark --mark -1 -j DROP", "-m mark --mark 1 -j DROP"),
        ("! -i eth0 -o eth1 -j DROP", "-i eth0 ! -o eth1 -j DROP"),
    ],
)
def test_rules_that_differ_are_not_taken_for_the_same(one, other):
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (1, "icmp"),
        (2, "igmp"),
        (6, "tcp"),
        (17, "udp"),
        (41, "ipv6"),
        (47, "gre"),
        (50, "esp"),
        (51, "ah"),
        (58, "ipv6-icmp"),
        (58, "icmpv6"),
        (112, "vrrp"),
    ],
)
def test_a_protocol_is_the_same_by_number_and_by_name(number, name):
    assert canonical(f"-p {number} -j DROP") == canonical(f"-p {name} -j DROP") != canonical("-p 99 -j DROP")


@pytest.mark.parametrize(
    "rule",
    [
        "-p tcp ! --dport 22 -j ACCEPT",
        "-o eth0 -g x",
        "-p tcp --sport 1024:65535 --dports 80,443 --sports 5,6:7 -j REJECT --reject-with tcp-reset",
        "-m recent --update --seconds 30 --hitcount 6 --name x",
        "-m recent --set --name x",
        "-p ipv6-icmp --icmpv6-type 133 -m hl --hl-eq 255",
        "-p icmp --icmp-type 3/4",
        "-m rt --rt-type 0",
        "-m addrtype --src-type LOCAL --dst-type MULTICAST,BROADCAST",
        "-m conntrack --ctstate ESTABLISHED,RELATED",
        "-m limit --limit 3/sec",
        "-m limit --limit 3/hour",
        "-m limit --limit 3/day",
        '-m comment --comment "a\nb"',
        "! -s 10.0.0.0/8 ! -d 2001:db8::1",
        "-s 10.0.0.1/32",
        "-s 2001:db8::1/128",
        "-s 10.0.0.0/8 -d 10.1.2.3 -i eth0 -j DROP",
        "-m limit --limit 3/min --limit-burst 10 -j x",
        '-j LOG --log-prefix "[UFW] "',
        "-p icmp --icmp-type 8 -j ACCEPT",
        "-s 2001:db8::/32 -j DROP",
    ],
)
def test_a_rule_in_the_kernels_own_words_is_plain(rule):
    assert is_plain(canonical(rule))


@pytest.mark.parametrize(
    "rule",
    [
        "-m set --match-set bad src -j DROP",
        "-p tcp --dport ssh -j ACCEPT",
        "-p TCP -j ACCEPT",
        "-p tcp --dport 6000: -j ACCEPT",
        "-p tcp --dport 022 -j ACCEPT",
        "-s 10.0.0.1/8 -j DROP",
        "-s 10.0.0.0/255.0.0.0 -j DROP",
        "-s 10.0.0.1,10.0.0.2 -j DROP",
        "-s example.com -j DROP",
        "-m limit --limit 1/s -j ACCEPT",
        "-m limit -j ACCEPT",
        "-p icmp --icmp-type fragmentation-needed-x -j ACCEPT",
        "-m connlimit --connlimit-above 3 -j DROP",
        "-m statistic --mode random --probability 0.5 -j ACCEPT",
        "-m conntrack --ctstate new -j ACCEPT",
        "-m recent --rcheck --seconds 30",
        "-m recent --seconds x",
        "-s 10.0.0.0/33",
        "-s 2001:db8::/129",
        "-s fe:1/16 -j DROP",
        "-s 2001:db8::/256.0 -j DROP",
        "-p icmp --icmp-type 3/x",
        "-m limit --limit 3/week",
        "-j",
    ],
)
def test_a_rule_in_words_that_the_kernel_prints_otherwise_or_that_are_not_known_is_not_plain(rule):
    assert not is_plain(canonical(rule))


def test_a_match_that_has_defaults_is_not_every_packet():
    assert canonical("-m limit -j ACCEPT") != canonical("-j ACCEPT")
    assert canonical("-m limit --limit 3/min -j ACCEPT") == canonical("--limit 3/min -j ACCEPT")


def test_iptables_save_is_taken_apart_into_policies_and_chains():
    kernel = parse_save("# x\n*filter\n:INPUT DROP [1:2]\n:mine - [0:0]\n-A INPUT -j mine\n-A mine -j ACCEPT\nCOMMIT\n")
    assert kernel.policies == {"INPUT": "DROP", "FORWARD": "ACCEPT", "OUTPUT": "ACCEPT"}
    assert kernel.chains["INPUT"] == ["-j mine"]
    assert kernel.chains["mine"] == ["-j ACCEPT"]


def test_a_kernel_without_a_filter_table_accepts_everything():
    kernel = parse_save("")
    assert set(kernel.policies.values()) == {"ACCEPT"}
    assert kernel.chains == {"INPUT": [], "FORWARD": [], "OUTPUT": []}


# -- iptables-save -----------------------------------------------------------------------------------------------------

EMPTY = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n"
PLAIN = "*filter\n" + EMPTY


class Answers(Host):
    """Commands that answer as they are told: {command line: Result}; others are missing."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def start(self, argv, stdin=""):
        if " ".join(argv) not in self.answers:
            raise RulesetError("the command is missing: " + " ".join(argv))
        return lambda: self.answers[" ".join(argv)]


SAVE4, SAVE6 = "iptables-save -t filter", "ip6tables-save -t filter"


def test_each_family_is_read_and_what_must_not_fail_is_an_error():
    dropping = PLAIN.replace("INPUT ACCEPT", "INPUT DROP")
    both = {SAVE4: Result(0, PLAIN, ""), SAVE6: Result(0, dropping, "")}
    found = start_reading(Answers(both), (4, 6))()
    assert [found[family].policies["INPUT"] for family in (4, 6)] == ["ACCEPT", "DROP"]
    assert list(start_reading(Answers({SAVE4: both[SAVE4]}), (4, 6), (6,))()) == [4]
    refused = {**both, SAVE6: Result(3, "", "no such module\n")}
    assert list(start_reading(Answers(refused), (4, 6), (6,))()) == [4]
    with pytest.raises(RulesetError, match=r"ip6tables-save failed \(status 3\): no such module; check that"):
        start_reading(Answers(refused), (4, 6))()
    with pytest.raises(RulesetError, match="is missing: ip6"):
        start_reading(Answers({SAVE4: both[SAVE4]}), (4, 6), (4,))
    with pytest.raises(RulesetError, match=r"iptables-save failed \(status 1\): no message"):
        start_reading(Answers({SAVE4: Result(1, "", " ")}), (4,))()


@pytest.mark.parametrize(("table", "is_error"), [("filter", True), ("nat", False)])
def test_rules_that_iptables_cannot_show_are_an_error_in_the_table_that_counts(table, is_error):
    text = PLAIN + f"# Table `{table}' is incompatible, use 'nft' tool.\n"
    host = Answers({SAVE4: Result(0, text, "")})
    if is_error:
        with pytest.raises(RulesetError, match="Table `filter' is incompatible.*rules that iptables cannot show"):
            start_reading(host, (4,))()
    else:
        assert start_reading(host, (4,))()[4].policies["INPUT"] == "ACCEPT"


def test_the_security_table_of_ipv6_is_read_where_docker_is_in_the_filter_table():
    docker = PLAIN.replace("COMMIT", ":DOCKER-USER - [0:0]\nCOMMIT")
    security = Result(0, "*security\n:INPUT DROP [0:0]\n:x - [0:0]\n-A x -j DROP\nCOMMIT\n", "")
    answers = {SAVE4: Result(0, docker, ""), SAVE6: Result(0, docker, ""), "ip6tables-save -t security": security}
    found = start_reading(Answers(answers), (4, 6))()
    assert found[4].security is None
    assert found[6].security.chains["x"] == ["-j DROP"] and found[6].security.policies["INPUT"] == "DROP"
    answers[SAVE6] = Result(0, PLAIN, "")
    assert start_reading(Answers(answers), (6,))()[6].security is None
    answers["ip6tables-save -t security"] = Result(1, security.out, "no such table")
    assert read_security(Answers(answers)).chains == {"INPUT": [], "FORWARD": [], "OUTPUT": []}


def test_another_table_is_read_by_its_name():
    nat = Result(0, "*nat\n:POSTROUTING ACCEPT [0:0]\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n", "")
    host = Answers({"iptables-save -t nat": nat, "iptables-save -t raw": Result(0, "", "")})
    assert read_table(host, 4, "nat").chains == {"POSTROUTING": ["-j MASQUERADE"]}
    assert read_table(host, 4, "raw") == ({}, {}, None, None)
    host.answers["ip6tables-save -t nat"] = Result(3, "", "\n")
    with pytest.raises(RulesetError, match=r"`ip6tables-save -t nat` failed \(status 3\): no message"):
        read_table(host, 6, "nat")


def test_several_tables_are_kept_apart_and_one_without_a_name_is_the_filters():
    text = "*nat\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -j A\nCOMMIT\n*filter\n:OUTPUT DROP [0:0]\n:x - [0:0]\n-A OUTPUT -j x\nCOMMIT\n"
    found = parse_tables(text)
    assert list(found) == ["nat", "filter"]
    assert found["nat"].chains == {"OUTPUT": ["-j A"]} and found["nat"].policies == {"OUTPUT": "ACCEPT"}
    assert found["filter"].chains == {"OUTPUT": ["-j x"], "x": []} and found["filter"].policies == {"OUTPUT": "DROP"}
    assert parse_tables(":x - [0:0]\n-A x -j DROP\n")["filter"].chains == {"x": ["-j DROP"]}
    assert parse_tables("") == {}


def test_the_target_of_a_rule_is_its_jump():
    assert jump_target("-p tcp -j LOG --log-prefix x") == "LOG"
    assert jump_target("-p tcp") == ""
