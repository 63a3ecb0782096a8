# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import snapshot as waiting_program
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import RULES
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import rules_file
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.snapshot import take_snapshot
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import read_rules, read_state
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.inform import published_counters
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost, inform
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.test_ufw_ruleset_run import params

SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
DNS = {"rule": "limit", "to_port": "53", "log": "new"}
SIX = {"rule": "deny", "from_ip": "2001:db8::/64"}


@pytest.fixture(name="host")
def fixture_host(tmp_path):
    host = FakeHost(tmp_path)
    converge(host, params(rules=[SSH, DNS, SIX], purge=True), False)
    return host


def count(host, *lines):
    """As if the kernel had met each of these lines: 10 packets of 600 bytes, then 20 of 1,200, and so on."""
    for number, line in enumerate(lines, 1):
        family = 6 if line.startswith("-A ufw6") else 4
        assert line in host.tables[family].save().splitlines(), line
        host.counters[line] = (10 * number, 600 * number)


def test_both_families_of_a_rule_are_added_up(host):
    count(host, "-A ufw-user-input -p tcp --dport 22 -j ACCEPT", "-A ufw6-user-input -p tcp --dport 22 -j ACCEPT")
    assert inform(host)["counters"] == [
        {"rule": "allow in proto tcp from any to any port 22", "packets": 30, "bytes": 1800},
        {"rule": "limit in log from any to any port 53", "packets": 0, "bytes": 0},
        {"rule": "deny in from 2001:db8::/64 to any", "packets": 0, "bytes": 0},
    ]


def test_a_packet_counts_once_however_many_lines_a_rule_is(host):
    recent = "-m conntrack --ctstate NEW -m recent "
    count(
        host,
        "-A ufw-user-input -p tcp --dport 53 -j ufw-user-logging-input",
        "-A ufw-user-input -p tcp --dport 53 " + recent + "--set",
        "-A ufw-user-input -p tcp --dport 53 " + recent + "--update --seconds 30 --hitcount 6 -j ufw-user-limit",
        "-A ufw-user-input -p tcp --dport 53 -j ufw-user-limit-accept",
        "-A ufw-user-input -p udp --dport 53 -j ufw-user-limit-accept",
    )
    assert inform(host)["counters"][1] == {
        "rule": "limit in log from any to any port 53",
        "packets": 120,
        "bytes": 7200,
    }


def test_the_counters_stand_in_the_order_of_the_rules_and_do_not_disturb_their_way_back(host):
    answer = inform(host)
    assert len(answer["counters"]) == len(answer["rules"])
    assert answer["rules"] == [SSH, DNS, SIX]
    back = params(rules=answer["rules"], purge=True, default=answer["default"], logging=answer["logging"])
    assert converge(host, back, False)["changed"] is False


def test_a_rule_that_the_kernel_lacks_has_no_counters(host):
    host.tables[6].chains["ufw6-user-input"].remove("-p tcp --dport 22 -j ACCEPT")
    assert inform(host)["counters"][0] == {
        "rule": "allow in proto tcp from any to any port 22",
        "packets": None,
        "bytes": None,
    }
    assert [each["packets"] for each in inform(host)["counters"][1:]] == [0, 0]


def test_the_ports_of_a_profile_are_one_rule_with_one_sum(tmp_path):
    host = FakeHost(tmp_path)
    converge(host, params(rules=[{"rule": "allow", "app": "DNS"}], purge=True), False)
    lines = [line for line in host.tables[4].save().splitlines() if "dapp_DNS" in line]
    assert lines
    count(host, *lines)
    expected = sum(10 * number for number in range(1, len(lines) + 1))
    assert [each["packets"] for each in inform(host)["counters"]] == [expected]


def test_a_firewall_that_is_off_counts_nothing(host):
    host.inactive()
    assert {each["packets"] for each in inform(host)["counters"]} == {None}


def test_a_change_that_waits_is_shown_with_the_way_out(host, monkeypatch):
    assert inform(host)["pending"] is None
    answer = converge(host, params(rules=[SSH], purge=True, confirm={"timeout": 60}), False)
    token, now = answer["pending"]["token"], waiting_program.now()
    monkeypatch.setattr(waiting_program, "now", lambda: now + 20)
    assert inform(host)["pending"] == {
        "token": token,
        "seconds": 40,
        "keep": "python3 /run/bulkhead/ufw/guard.py keep " + token,
        "back": "python3 /run/bulkhead/ufw/guard.py back " + token,
    }
    monkeypatch.setattr(waiting_program, "now", lambda: now + 99)
    assert inform(host)["pending"]["seconds"] == 0


# -- export -> apply is the identity -----------------------------------------------------------------------------------

ANY4, ANY6 = "0.0.0.0/0", "::/0"


def tuples(host, family, *lines):
    """Have user.rules hold these tuples, as ufw would have written them."""
    rules, malformed = read_rules("", "".join(f"### tuple ### {line}\n" for line in lines))
    assert not malformed
    name = RULES[family]
    state = read_state(host, need_kernel=False)
    host.file(name).write_text(rules_file(rules, state.settings, family))
    host.tables[family].restore(rules_file(rules, state.settings, family))


def both(line):
    return line.replace("ANY", ANY4), line.replace("ANY", ANY6)


KTORRENT = ["allow tcp 6881 ANY any ANY KTorrent - in", "allow udp 4444 ANY any ANY KTorrent - in"]
SEQUENCES = {
    "a profile in its order": (KTORRENT, KTORRENT),
    "a profile in another order in IPv6": (KTORRENT, KTORRENT[::-1]),
    "a profile in another order": (KTORRENT[::-1], KTORRENT[::-1]),
    "a profile between IPv4-only rules": (
        ["deny any any ANY any 10.0.0.1 in", KTORRENT[0], "deny any any ANY any 10.0.0.2 in", KTORRENT[1]],
        KTORRENT,
    ),
    "a profile around IPv4-only rules, turned round in IPv6": (
        [KTORRENT[0], "deny any any ANY any 10.0.0.2 in", KTORRENT[1], "allow tcp 9 ANY any ANY in"],
        ["allow tcp 9 ANY any ANY in", *KTORRENT[::-1]],
    ),
    "a part of a profile": (KTORRENT[:1], KTORRENT[1:]),
    "a profile with two actions": ([KTORRENT[0], KTORRENT[1].replace("allow", "deny")], []),
    "a profile that is another one now": (["allow tcp 7,9 ANY any ANY OpenSSH - in"], []),
    "a profile that is gone": (["allow any 7 ANY any ANY No%20Such - in"], ["deny udp 7:8 ANY any ANY No%20Such - in"]),
    "a profile as the source": (["allow tcp 80,90 ANY 22 ANY - OpenSSH in"], ["limit tcp any ANY 23 ANY - OpenSSH in"]),
    "two profiles": (
        ["allow tcp 22 ANY 6881 ANY OpenSSH KTorrent in", "allow udp 22 ANY 4444 ANY OpenSSH KTorrent in"],
        [],
    ),
    "one profile at both ends": (["allow tcp 22 ANY 22 ANY OpenSSH OpenSSH in"], []),
    "one family alone": (["allow any any ANY any ANY out"], ["deny any any ANY any ANY in_eth0"]),
    "the families in another order": (
        ["allow tcp 1 ANY any ANY in", "allow tcp 2 ANY any ANY in"],
        ["allow tcp 2 ANY any ANY in", "allow tcp 1 ANY any ANY in"],
    ),
    "comments": (
        [
            f"allow tcp {port} ANY any ANY in comment={text.encode().hex()}"
            for port, text in enumerate(
                ("a\tb", "\x7f", " a ", "  ", "a\nb", "\x1b[31m", "\u2028", "\u202e", "a # b", "\r", "=", "-", "yes"), 1
            )
        ],
        [],
    ),
    "routed and logged": (
        ["route:allow_log tcp 80 ANY any ANY in_eth0!out_eth1", "reject_log-all any any ANY any ANY in"],
        [],
    ),
    "every portless protocol": (
        [f"deny {name} any ANY any ANY in" for name in ("ipv6", "esp", "ah", "igmp", "gre", "vrrp")],
        [],
    ),
    "a mask with holes": (
        ["allow any any 10.0.2.0/255.0.255.0 any ANY in"],
        ["allow any any 2001:db8::1/64 any ANY in"],
    ),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_what_is_exported_changes_nothing_when_it_is_applied(tmp_path, name):
    host = FakeHost(tmp_path)
    for family, anywhere, lines in zip((4, 6), (ANY4, ANY6), SEQUENCES[name]):
        tuples(host, family, *(line.replace("ANY", anywhere) for line in lines))
    before = host.snapshot()
    exported = inform(host)
    assert exported["drift"] == []
    again = converge(host, params(rules=exported["rules"], purge=True, default=exported["default"]), False)
    assert (again["changed"], again["diff"]["before"]) == (False, again["diff"]["after"])
    assert host.snapshot() == before
    converge(host, params(rules=[], purge=True), False)
    converge(host, params(rules=exported["rules"], purge=True), False)
    assert host.snapshot() == before, "the export alone makes the same files and the same kernel"


# -- a zero in front ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stored", "in_force"),
    [("022", "18"), ("0022", "18"), ("022,80", "18,80"), ("020:030", "16:24"), ("80,0100:0200", "64:128,80")],
)
def test_a_port_with_a_zero_in_front_is_what_the_kernel_makes_of_it(tmp_path, stored, in_force):
    """ufw stores `022/tcp` as typed, and iptables reads 18."""
    host = FakeHost(tmp_path)
    tuples(host, 6)
    tuples(host, 4, f"allow tcp {in_force} {ANY4} any {ANY4} in")
    path = host.file(RULES[4])
    text = (
        path.read_text().replace(f"tcp {in_force} ", f"tcp {stored} ").replace(f"port {in_force} ", f"port {stored} ")
    )
    text = text.replace(f"ports {in_force} ", f"ports {stored} ")
    assert stored in text
    path.write_text(text)
    exported = inform(host)
    assert exported["drift"] == [] and exported["rules"][0]["to_port"] == in_force
    assert any("with a zero in front" in note for note in exported["notes"])
    result = converge(host, params(rules=exported["rules"], purge=True), False)
    assert result["changed"] is False and path.read_text() == text
    assert any("octal" in warning for warning in result["warnings"])


@pytest.mark.parametrize("port", ["08", "070000000", "70000", "123456", "0", "٢٢"])
def test_a_stored_port_that_iptables_does_not_load_is_an_error_that_names_the_line(tmp_path, port):
    host = FakeHost(tmp_path)
    path = host.file(RULES[4])
    path.write_text(path.read_text() + f"### tuple ### allow tcp {port} 0.0.0.0/0 any 0.0.0.0/0 in\n")
    with pytest.raises(RulesetError, match="user.rules line .*: port is .*no port 1-65535|expected any or numbers"):
        converge(host, params(rules=[SSH]), False)


def test_what_came_to_published_ports_is_counted_entry_by_entry(host):
    entry = {"rule": "allow", "proto": "tcp", "from_ip": "10.0.1.0/24", "to_ip": "10.0.2.11", "port": "80:81"}
    docker = {"state": "present", "bridges": None, "published": [entry]}
    converge(host, params(rules=[SSH], purge=True, docker=docker), False)
    (line,) = [text for text in host.tables[4].save().splitlines() if "--ctorigdstport 80:81" in text]
    host.counters[line] = (9, 540)
    assert published_counters(take_snapshot(host, "kernel")) == [
        {
            "proto": "tcp",
            "source": "10.0.1.0/24",
            "destination": "10.0.2.11",
            "first": 80,
            "last": 81,
            "packets": 9,
        }
    ]


@pytest.mark.parametrize("packed", [None, 5, "x", ""])
def test_what_is_no_snapshot_has_no_published_ports(packed):
    with pytest.raises(RulesetError):
        published_counters(packed)
