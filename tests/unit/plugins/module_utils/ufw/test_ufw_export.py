# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import pending as waiting_program
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.export import inform
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ruleset import converge
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost
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
