# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import canonical, is_plain, parse_save


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
    ],
)
def test_rules_that_differ_are_not_taken_for_the_same(one, other):
    assert canonical(one) != canonical(other)


@pytest.mark.parametrize(
    "rule",
    [
        "-p tcp ! --dport 22 -j ACCEPT",
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
