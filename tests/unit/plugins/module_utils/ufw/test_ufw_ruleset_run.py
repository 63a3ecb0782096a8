# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import INIT
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import TREE
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost, inform

SSH = {"rule": "allow", "proto": "tcp", "to_port": "22", "comment": "ssh"}
WEB = {"rule": "allow", "proto": "tcp", "to_port": "80,443"}
SITE = [SSH, {"rule": "deny", "from_ip": "10.77.0.0/16"}, {"rule": "reject", "to_port": "25", "direction": "out"}]


def params(**more):
    return {"state": "enabled", "default": None, "logging": None, "ipv6": None, "purge": False, "rules": None, **more}


@pytest.fixture(name="host", params=["debian12", "debian13"])
def fixture_host(tmp_path, request):
    return FakeHost(tmp_path, request.param)


def commands(host):
    return [line.replace(" -w 10", "") for line in host.ran]


# -- no change ---------------------------------------------------------------------------------------------------------


def test_nothing_asked_of_a_host_that_is_in_order_changes_nothing_and_starts_no_ufw(host):
    before = host.snapshot()
    inodes = {path: os.stat(path).st_ino for path in before if path.startswith("/")}
    result = converge(host, params(), False)
    assert result["changed"] is False
    assert result["diff"]["before"] == result["diff"]["after"]
    assert commands(host) == ["iptables-save -t filter", "ip6tables-save -t filter"]
    assert host.snapshot() == before
    assert {path: os.stat(path).st_ino for path in inodes} == inodes


def test_a_second_run_changes_nothing(host):
    wish = params(
        purge=True, rules=SITE, default={"incoming": "reject", "outgoing": None, "routed": "allow"}, logging="full"
    )
    assert converge(host, wish, False)["changed"] is True
    host.ran.clear()
    before = host.snapshot()
    result = converge(host, wish, False)
    assert (result["changed"], result["added"], result["removed"], result["settings"], result["drift"]) == (
        False,
        [],
        [],
        {},
        [],
    )
    assert len(host.ran) == 2
    assert host.snapshot() == before


def test_what_is_exported_changes_nothing_when_it_is_applied(host):
    info = inform(host)
    assert info["active"] is True
    assert info["drift"] == []
    assert {"rule": "allow", "app": "WWW Full", "from_app": "WWW Full"} in info["rules"]
    assert {"rule": "limit", "proto": "tcp", "from_ip": "10.0.0.0/8", "to_port": "2222", "log": "all"} in info["rules"]
    wish = params(purge=True, rules=info["rules"], default=info["default"], logging=info["logging"], ipv6=info["ipv6"])
    assert converge(host, wish, False)["changed"] is False


def test_rules_of_others_that_decide_before_ufw_are_shown_and_left_alone(host):
    host.tables[4].chains["DOCKER-USER"] = []
    host.tables[4].step("-I FORWARD -j DOCKER-USER")
    host.tables[6].step("-A INPUT -p tcp --dport 7 -j ACCEPT")
    assert inform(host)["foreign"] == ["IPv4 FORWARD: -j DOCKER-USER"]
    assert converge(host, params(), False)["changed"] is False


# -- change ------------------------------------------------------------------------------------------------------------


def test_with_purge_the_rules_are_exactly_the_list(host):
    result = converge(host, params(purge=True, rules=SITE), False)
    assert result["added"] == [
        "allow in proto tcp from any to any port 22  # ssh",
        "deny in from 10.77.0.0/16 to any",
        "reject out from any to any port 25",
    ]
    assert "limit in from any to any port 161" in result["removed"]
    assert [rule["rule"] for rule in inform(host)["rules"]] == ["allow", "deny", "reject"]
    assert host.tables[4].chains["ufw-user-forward"] == []


def test_without_purge_the_other_rules_stay(host):
    count = len(inform(host)["rules"])
    result = converge(host, params(rules=SITE), False)
    assert result["removed"] == ["allow in log proto tcp from any to any port 22  # ssh é"]
    assert len(result["added"]) == 3
    assert len(inform(host)["rules"]) == count + 2


def test_an_empty_list_with_purge_removes_all_rules_and_without_purge_none(host):
    assert converge(host, params(rules=[]), False)["changed"] is False
    assert converge(host, params(rules=[], purge=True), False)["changed"] is True
    assert inform(host)["rules"] == []


def test_another_order_of_the_list_is_a_change(host):
    converge(host, params(purge=True, rules=SITE), False)
    result = converge(host, params(purge=True, rules=SITE[::-1]), False)
    assert (result["changed"], result["reordered"], result["added"], result["removed"]) == (True, True, [], [])
    assert result["diff"]["before"] != result["diff"]["after"]


def test_check_mode_returns_what_a_run_returns_and_touches_nothing(host):
    wish = params(purge=True, rules=SITE, default={"incoming": "reject"}, logging="high")
    before = host.snapshot()
    checked = converge(host, wish, True)
    assert host.snapshot() == before
    assert commands(host) == [
        "iptables-save -t filter",
        "ip6tables-save -t filter",
        "iptables-restore -n --test",
        "ip6tables-restore -n --test",
        "iptables-save",
        "nft list tables",
        "ip6tables-save",
        "nft list tables",
    ]
    assert checked == converge(host, wish, False)


def test_the_kernel_is_tested_first_then_loaded_and_the_files_come_last(host):
    seen = []
    run = host.run

    def watch(argv, stdin=""):
        if "restore" in argv[0]:
            seen.append((argv[0], "--test" in argv, "10.77.0.0" in host.file("/etc/ufw/user.rules").read_text()))
        return run(argv, stdin)

    host.run = watch
    converge(host, params(purge=True, rules=SITE), False)
    assert seen == [
        ("iptables-restore", True, False),
        ("ip6tables-restore", True, False),
        ("iptables-restore", False, False),
        ("ip6tables-restore", False, False),
    ]
    assert "10.77.0.0" in host.file("/etc/ufw/user.rules").read_text()


def test_settings_are_edited_in_their_place_and_the_rest_of_the_files_stays(host):
    path = host.file("/etc/default/ufw")
    path.write_text(path.read_text().replace("\nIPT_MODULES=", "\nMINE=1 # keep\nIPT_MODULES="))
    old = path.read_text()
    result = converge(host, params(default={"incoming": "reject", "routed": None}, logging="medium"), False)
    assert result["settings"] == {"incoming": "reject", "logging": "medium"}
    assert path.read_text() == old.replace('DEFAULT_INPUT_POLICY="DROP"', 'DEFAULT_INPUT_POLICY="REJECT"')
    assert "LOGLEVEL=medium\n" in host.file("/etc/ufw/ufw.conf").read_text()
    assert host.tables[4].chains["ufw-reject-input"] == ["-j REJECT"]
    assert host.tables[6].chains["ufw6-skip-to-policy-input"] == ["-j REJECT"]


def test_the_mode_of_the_files_is_kept_and_no_temporary_file_is_left(host):
    host.file("/etc/ufw/user.rules").chmod(0o640)
    converge(host, params(purge=True, rules=SITE), False)
    assert host.file("/etc/ufw/user.rules").stat().st_mode & 0o7777 == 0o640
    assert not [name for name in os.listdir(host.path("/etc/ufw")) if name.startswith(".")]


def test_the_diff_shows_settings_and_rules_one_a_line(host):
    converge(host, params(purge=True, rules=[SSH]), False)
    result = converge(host, params(purge=True, rules=[{**SSH, "rule": "deny"}], logging="off"), True)
    assert result["diff"]["before"] == (
        "state: enabled\ndefault: deny (incoming), allow (outgoing), deny (routed)\nlogging: low\nipv6: yes\n"
        "allow in proto tcp from any to any port 22  # ssh\n"
    )
    assert result["diff"]["after"] == (
        "state: enabled\ndefault: deny (incoming), allow (outgoing), deny (routed)\nlogging: off\nipv6: yes\n"
        "deny in proto tcp from any to any port 22  # ssh\n"
    )


def test_rules_of_one_family_alone_say_so_in_the_diff(host):
    result = converge(host, params(purge=True, rules=[{**SSH, "from_ip": "0.0.0.0/0"}]), True)
    assert result["added"] == ["allow in proto tcp from any to any port 22 (v4)  # ssh"]


# -- drift -------------------------------------------------------------------------------------------------------------


def test_a_rule_that_is_in_the_kernel_alone_is_drift_that_is_shown_and_mended(host):
    host.tables[6].step("-A ufw6-user-input -p tcp --dport 9999 -j ACCEPT")
    result = converge(host, params(), False)
    assert result["drift"] == ["IPv6 kernel: ufw6-user-input has -p tcp --dport 9999 -j ACCEPT"]
    assert "drift: IPv6 kernel: ufw6-user-input has -p tcp --dport 9999 -j ACCEPT\n" in result["diff"]["before"]
    assert "drift" not in result["diff"]["after"]
    again = ["iptables-save -t filter", "ip6tables-save -t filter"]  # whether it still is so, under the lock
    assert commands(host)[2:] == [
        "ip6tables-restore -n --test",
        "ip6tables-save",
        "nft list tables",
        *again,
        "ip6tables-restore -n",
    ]
    assert converge(host, params(), False)["changed"] is False


def test_the_lost_update_of_ufw_is_drift(host):
    # Two ufw commands at once: both rules reach the kernel, one of them the file.
    path = host.file("/etc/ufw/user.rules")
    text = path.read_text()
    start = text.index("### tuple ### allow vrrp")
    path.write_text(text[:start] + text[text.index("### tuple ###", start + 5) :])
    assert inform(host)["drift"] == [
        "IPv4 kernel: ufw-user-input has %s" % rule
        for rule in host.tables[4].chains["ufw-user-input"]
        if rule in ("-p vrrp -j ACCEPT", "-p 112 -j ACCEPT")
    ]
    converge(host, params(), False)
    assert inform(host)["drift"] == []


def test_iptables_lines_that_were_edited_in_the_file_are_drift(host):
    path = host.file("/etc/ufw/user.rules")
    text = path.read_text()
    path.write_text(text.replace("-A ufw-user-input -p vrrp -j ACCEPT\n", "-A ufw-user-input -j ACCEPT\n"))
    result = converge(host, params(), False)
    assert result["drift"] == ["/etc/ufw/user.rules: the iptables lines are not those of its rules and settings"]
    assert path.read_text() == text
    assert not any("restore" in line for line in host.ran), "the kernel was right"


def test_a_change_of_rules_alone_is_no_drift(host):
    assert converge(host, params(purge=True, rules=SITE), False)["drift"] == []


def test_a_tuple_that_ufw_would_skip_stops_the_run_unless_the_rules_are_replaced_anyway(host):
    path = host.file("/etc/ufw/user.rules")
    path.write_text(path.read_text().replace("### tuple ### allow vrrp", "### tuple ### permit vrrp"))
    with pytest.raises(RulesetError, match=r"user.rules line \d+: action is permit.*repair or remove the line"):
        converge(host, params(rules=SITE), False)
    result = converge(host, params(rules=SITE, purge=True), False)
    assert result["drift"][0].startswith("/etc/ufw/user.rules line ")


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "what",
    [
        "iptables-restore -n -w 10 --test",
        "ip6tables-restore -n -w 10 --test",
        "iptables-restore -n -w 10",
        "ip6tables-restore -n -w 10",
    ],
)
def test_whatever_iptables_refuses_leaves_everything_as_it_was(host, what):
    before = host.snapshot()
    host.fail = {what: "Error occurred at line: 2"}
    with pytest.raises(RulesetError, match="refused the IPv[46] ruleset.*the old ruleset is in force"):
        converge(host, params(purge=True, rules=SITE), False)
    assert host.snapshot() == before
    assert not [name for name in os.listdir(host.path("/etc/ufw")) if name.startswith(".")]


@pytest.mark.parametrize("command", ["iptables-restore", "ip6tables-restore"])
def test_check_mode_says_what_iptables_would_refuse(host, command):
    before = host.snapshot()
    host.fail = {f"{command} -n -w 10 --test": "Error occurred at line: 2"}
    with pytest.raises(RulesetError, match=f"{command} -n -w 10 --test refused the IPv[46] ruleset"):
        converge(host, params(purge=True, rules=SITE), True)
    assert host.snapshot() == before


def test_when_ipv6_fails_after_ipv4_was_loaded_ipv4_is_brought_back(host):
    before = host.snapshot()
    run = host.run

    def fail_second(argv, stdin=""):
        if argv[0] == "ip6tables-restore" and "--test" not in argv:
            assert host.tables[4].save() != before["v4"], "IPv4 must have been loaded by now"
            host.fail = {"ip6tables-restore": "kernel says no"}
        return run(argv, stdin)

    host.run = fail_second
    with pytest.raises(RulesetError, match="kernel says no"):
        converge(host, params(purge=True, rules=SITE), False)
    assert host.snapshot() == before


def test_a_file_that_cannot_be_replaced_brings_kernel_and_files_back(host, monkeypatch):
    before = host.snapshot()
    rename, calls = os.rename, []

    def fail_second(source, target):
        if target.startswith(host.path("/etc/")):
            calls.append(target)
            if len(calls) == 3:  # the decision, the first file, the second
                raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_second)
    with pytest.raises(RulesetError, match="No space left on device"):
        converge(host, params(purge=True, rules=SITE, logging="high"), False)
    assert host.snapshot() == before


def test_a_full_disk_is_noticed_before_the_kernel_is_touched(host, monkeypatch):
    before = host.snapshot()
    found = os.statvfs(host.root)
    full = SimpleNamespace(f_bavail=0, f_frsize=found.f_frsize)
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    with pytest.raises(RulesetError, match="nothing was changed"):
        converge(host, params(purge=True, rules=SITE), False)
    assert host.snapshot() == before
    assert not any(line.startswith("iptables-restore") and "--test" not in line for line in host.ran)


def test_bad_input_is_reported_before_anything_is_touched(host):
    before = host.snapshot()
    with pytest.raises(Refused, match=r"rules\[1\].to_port: got 70000"):
        converge(host, params(purge=True, rules=[SSH, {**SSH, "to_port": 70000}]), False)
    assert host.snapshot() == before


def test_purge_without_rules_is_refused(host):
    with pytest.raises(Refused, match="purge: got true without rules"):
        converge(host, params(purge=True), False)


def test_a_host_without_ufw_says_what_to_install(host):
    host.file("/etc/default/ufw").unlink()
    with pytest.raises(RulesetError, match="install the package ufw"):
        converge(host, params(), False)


def test_a_kernel_that_does_not_answer_is_an_error(host):
    host.fail = {"ip6tables-save": "modprobe: FATAL"}
    with pytest.raises(RulesetError, match="ip6tables-save failed .*modprobe: FATAL"):
        converge(host, params(), False)


def test_manage_builtins_is_refused(host):
    path = host.file("/etc/default/ufw")
    path.write_text(path.read_text().replace("MANAGE_BUILTINS=no", "MANAGE_BUILTINS=yes"))
    with pytest.raises(RulesetError, match="MANAGE_BUILTINS is yes.*set MANAGE_BUILTINS=no"):
        converge(host, params(rules=SITE), False)


def test_a_default_policy_that_ufw_does_not_know_is_an_error(host):
    path = host.file("/etc/default/ufw")
    path.write_text(path.read_text().replace('INPUT_POLICY="DROP"', 'INPUT_POLICY="DENY"'))
    with pytest.raises(RulesetError, match="DEFAULT_INPUT_POLICY is deny; expected"):
        converge(host, params(), False)


# -- on and off --------------------------------------------------------------------------------------------------------


def test_ufw_is_switched_on_by_its_own_start_once_while_the_files_are_still_the_old_ones(host):
    host.inactive()
    run, before = host.run, host.snapshot()

    def watch(argv, stdin=""):
        if argv[0] == INIT:
            tree = Path(argv[2])
            assert "10.77.0.0" in (tree / "etc/ufw/user.rules").read_text()
            assert "ENABLED=yes" in (tree / "etc/ufw/ufw.conf").read_text()
            assert 'DEFAULT_FORWARD_POLICY="REJECT"' in (tree / "etc/default/ufw").read_text()
            assert (tree / "etc/ufw/before.rules").exists()
            assert {
                path: text for path, text in host.snapshot().items() if path in before and "bulk" not in path
            } == before
        return run(argv, stdin)

    host.run = watch
    wish = params(purge=True, rules=SITE, default={"routed": "reject"})
    result = converge(host, wish, False)
    assert result["settings"] == {"routed": "reject", "state": "enabled"}
    assert [line.split()[-1] for line in host.ran if line.startswith(INIT)] == ["start"]
    assert not [line for line in host.ran if line.startswith("ufw ")]
    assert inform(host)["active"] is True
    assert inform(host)["drift"] == []
    assert converge(host, wish, False)["changed"] is False


def test_a_host_whose_rules_were_flushed_is_switched_on_again(host):
    for table in host.tables.values():
        for name in [name for name in table.chains if name.startswith("ufw")]:
            del table.chains[name]
        table.chains.update({name: [] for name in ("INPUT", "FORWARD", "OUTPUT")})
    assert converge(host, params(), True)["changed"] is True
    converge(host, params(), False)
    assert any(line.startswith(INIT) for line in host.ran)
    assert inform(host)["drift"] == []


def test_when_only_ipv6_was_flushed_it_is_built_again_without_the_ufw_command(host):
    table = host.tables[6]
    for name in [name for name in table.chains if name.startswith("ufw")]:
        del table.chains[name]
    table.chains.update({name: [] for name in ("INPUT", "FORWARD", "OUTPUT")})
    table.policies.update(dict.fromkeys(table.policies, "ACCEPT"))
    converge(host, params(), False)
    assert not any(line.startswith("ufw") for line in host.ran)
    assert host.tables[6].policies["INPUT"] == "DROP"
    assert inform(host)["drift"] == []


def test_a_failing_enable_brings_the_files_back(host):
    host.inactive()
    before = host.snapshot()
    host.fail = {INIT + " --datadir %s start" % host.path(TREE): "ERROR: problem running ufw-init"}
    with pytest.raises(RulesetError, match="problem running ufw-init.*files are as they were"):
        converge(host, params(purge=True, rules=SITE, default={"routed": "reject"}), False)
    assert host.snapshot() == before


def test_disabling_stores_the_rules_and_switches_off_once(host):
    result = converge(host, params(state="disabled", purge=True, rules=SITE), False)
    assert result["settings"] == {"state": "disabled"}
    assert [line for line in host.ran if line.startswith("ufw")] == ["ufw --force disable"]
    assert len(inform(host)["rules"]) == 3
    assert inform(host)["active"] is False
    assert converge(host, params(state="disabled", purge=True, rules=SITE), False)["changed"] is False


def test_a_fresh_package_that_stays_disabled_is_left_as_it_is(host):
    host.inactive()
    path = host.file("/etc/ufw/user6.rules")
    path.write_text("*filter\n:ufw6-user-input - [0:0]\n### RULES ###\nCOMMIT\n")
    assert converge(host, params(state="disabled"), False)["changed"] is False


# -- IPv6 --------------------------------------------------------------------------------------------------------------


def test_switching_ipv6_off_drops_it_all_and_keeps_its_rules_for_later(host):
    stored = host.file("/etc/ufw/user6.rules").read_text()
    result = converge(host, params(ipv6=False), False)
    assert result["settings"] == {"ipv6": False}
    assert host.tables[6].policies["OUTPUT"] == "DROP"
    assert "IPV6=no\n" in host.file("/etc/default/ufw").read_text()
    assert converge(host, params(purge=True, rules=[SSH]), False)["changed"] is True
    assert host.file("/etc/ufw/user6.rules").read_text() == stored
    result = converge(host, params(ipv6=True), False)
    assert inform(host)["drift"] == []
    assert host.tables[6].policies["OUTPUT"] == "ACCEPT"


def test_a_kernel_without_ipv6_is_not_asked_about_it(host):
    os.rmdir(host.path("/proc/sys/net/ipv6"))
    converge(host, params(purge=True, rules=[SSH]), False)
    assert not any(line.startswith("ip6tables") for line in host.ran)
    with pytest.raises(Refused, match="does not filter IPv6"):
        converge(host, params(rules=[{**SSH, "from_ip": "::1"}]), False)


# -- other -------------------------------------------------------------------------------------------------------------


def test_a_missing_log_level_is_set_to_the_one_that_ufw_assumes(host):
    path = host.file("/etc/ufw/ufw.conf")
    path.write_text(path.read_text().replace("LOGLEVEL=low\n", ""))
    assert converge(host, params(), False)["changed"] is True
    assert "LOGLEVEL=low\n" in path.read_text()
    assert converge(host, params(), False)["changed"] is False


def test_an_executable_init_hook_may_have_rules_of_its_own_in_the_framework_chains(host):
    host.tables[4].step("-A ufw-before-input -p tcp --dport 9 -j ACCEPT")
    assert converge(host, params(), True)["changed"] is True
    hook = host.file("/etc/ufw/after.init")
    hook.write_text("#!/bin/sh\n")
    hook.chmod(0o750)
    assert converge(host, params(), True)["changed"] is False


def test_a_rule_that_another_one_shadows_is_returned_and_warned_about(host):
    late = {"rule": "deny", "proto": "tcp", "to_port": "22", "from_ip": "10.0.0.1"}
    result = converge(host, params(rules=[SSH, late]), True)
    (text,) = result["warnings"]
    assert text in result["dead"]
    assert text.startswith(
        "`deny in proto tcp from 10.0.0.1 to any port 22` decides about no packet: `allow in proto tcp"
    )
    assert inform(host)["dead"] != result["dead"], "nothing was applied"
    converge(host, params(rules=[SSH, late]), False)
    assert inform(host)["dead"] == result["dead"]


def test_a_dead_rule_with_the_same_answer_is_listed_and_is_no_warning(host):
    late = {"rule": "allow", "proto": "tcp", "to_port": "22", "from_ip": "10.0.0.1"}
    result = converge(host, params(rules=[SSH, late]), True)
    assert any(text.startswith("`allow in proto tcp from 10.0.0.1 to any port 22`") for text in result["dead"])
    assert result["warnings"] == []


def test_several_rules_together_leave_a_later_one_nothing(host):
    """No single one of them does: what an engine finds and a comparison of pairs does not."""
    halves = [{**SSH, "from_ip": net} for net in ("10.0.0.0/9", "10.128.0.0/9")]
    result = converge(host, params(purge=True, rules=[*halves, {**SSH, "rule": "deny", "from_ip": "10.0.0.0/8"}]), True)
    (text,) = result["warnings"]
    assert "10.0.0.0/9" in text and "10.128.0.0/9" in text


def test_rules_whose_order_matters_are_listed(host):
    first, second = {**SSH, "from_ip": "10.0.0.0/16"}, {"rule": "deny", "from_ip": "10.0.1.0/24"}
    result = converge(host, params(purge=True, rules=[first, second]), True)
    assert result["dead"] == []
    (text,) = result["conflicting"]
    assert text.startswith(
        "`allow in proto tcp from 10.0.0.0/16 to any port 22  # ssh` decides before `deny in from 10.0.1.0/24"
    )
    assert converge(host, params(purge=True, rules=[first, SSH]), True)["conflicting"] == []


def test_without_a_change_nothing_is_examined(host):
    converge(host, params(rules=[SSH]), False)
    result = converge(host, params(rules=[SSH]), False)
    assert (result["changed"], result["dead"], result["conflicting"]) == (False, None, None)


# -- rules of other programs -------------------------------------------------------------------------------------------

BAN = {"rule": "reject", "from_ip": "203.0.113.9", "comment": "by Fail2Ban after 5 attempts against sshd"}


def test_fail2bans_bans_stay_where_they_stand_under_purge(host):
    converge(host, params(purge=True, rules=[BAN, SSH]), False)
    result = converge(host, params(purge=True, rules=[WEB, SSH]), False)
    assert not any("203.0.113.9" in line for line in result["removed"])
    assert [rule["from_ip"] for rule in inform(host)["rules"][:1]] == ["203.0.113.9"]
    assert converge(host, params(purge=True, rules=[WEB, SSH]), False)["changed"] is False


def test_what_is_kept_can_be_said(host):
    mine = {"rule": "deny", "from_ip": "203.0.113.7", "comment": "honeypot 7"}
    converge(host, params(purge=True, rules=[BAN, mine, SSH]), False)
    result = converge(host, params(purge=True, rules=[SSH], keep={"comments": ["honeypot *"]}), False)
    assert ["203.0.113.9" in line for line in result["removed"]] == [True]
    result = converge(host, params(purge=True, rules=[SSH], keep={"comments": []}), False)
    assert ["203.0.113.7" in line for line in result["removed"]] == [True]


def test_jumps_of_known_programs_stay_in_ufws_chains_and_others_do_not(host):
    table = host.tables[4]
    for step in (":f2b-sshd - [0:0]", "-I ufw-user-input -j f2b-sshd", "-A ufw-user-input -p tcp --dport 9 -j ACCEPT"):
        table.step(step)
    converge(host, params(), False)
    assert table.chains["ufw-user-input"][0] == "-j f2b-sshd"
    assert "-p tcp --dport 9 -j ACCEPT" not in table.chains["ufw-user-input"]
    assert converge(host, params(), False)["changed"] is False
    converge(host, params(keep={"chains": []}), False)
    assert "-j f2b-sshd" not in table.chains["ufw-user-input"]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("keep", "all", "keep: got 'all'; expected a mapping"),
        ("keep", {"comment": []}, "keep.comment: got 'comment', which is not an option of keep"),
        ("keep", {"comments": "by *"}, "keep.comments: got 'by *'; expected a list of patterns"),
        ("default", {"incoming": "drop"}, "default.incoming: got 'drop'; expected one of allow, deny, reject"),
        ("default", "drop", "default.incoming: got 'drop'; expected one of allow, deny, reject"),
        ("default", ["deny"], "default: got ['deny']; expected a mapping"),
        ("default", {"in": "deny"}, "default.in: got 'in', which is not an option of default"),
    ],
)
def test_mistakes_of_the_other_options_are_told_together_with_those_of_the_rules(host, option, value, message):
    with pytest.raises(Refused) as caught:
        converge(host, params(rules=[{**SSH, "to_port": 0}], **{option: value}), False)
    assert caught.value.errors[0].startswith(message)
    assert caught.value.errors[1].startswith("rules[0].to_port: got 0;")


def test_a_default_of_one_word_is_that_of_incoming_packets(host):
    assert converge(host, params(default="reject"), True)["settings"] == {"incoming": "reject"}


def test_logging_on_is_low_where_it_is_off_and_leaves_any_other_level(host):
    assert converge(host, params(logging="on"), True)["settings"] == {}
    converge(host, params(logging="off"), False)
    assert converge(host, params(logging="on"), True)["settings"] == {"logging": "low"}


def test_one_rule_goes_and_all_others_stay(host):
    converge(host, params(purge=True, rules=[SSH, WEB, {**SSH, "to_port": "23", "log": "new", "comment": "x"}]), False)
    gone = {**SSH, "to_port": "23", "delete": True}
    result = converge(host, params(rules=[gone]), False)
    assert len(result["removed"]) == 1 and "port 23" in result["removed"][0] and result["added"] == []
    assert converge(host, params(rules=[gone]), False)["changed"] is False
    result = converge(host, params(rules=[{**SSH, "rule": "deny", "delete": True}]), False)
    assert result["changed"] is False, "of another action"


def test_a_rule_goes_before_all_that_are_not_listed(host):
    converge(host, params(purge=True, rules=[SSH, WEB]), False)
    deny = {"rule": "deny", "from_ip": "203.0.113.0/24", "position": "first"}
    converge(host, params(rules=[deny]), False)
    assert inform(host)["rules"][0] == {"rule": "deny", "from_ip": "203.0.113.0/24"}
    assert converge(host, params(rules=[deny]), False)["changed"] is False
    assert converge(host, params(rules=[WEB, deny]), False)["reordered"] is False


# -- docker: {state: auto} -----------------------------------------------------------------------------------------------

AUTO = {"state": "auto", "published": [{"from_ip": "10.0.3.0/24", "proto": "tcp", "port": "8080"}]}


def test_published_ports_are_left_alone_where_no_engine_is(host):
    before = host.snapshot()
    assert converge(host, params(docker=AUTO), False)["changed"] is False
    assert host.snapshot() == before


@pytest.mark.parametrize("sign", ["/usr/bin/dockerd", "/run/docker.pid", "/run/snap.docker", "kernel"])
def test_published_ports_are_closed_where_an_engine_is_that_was_not_declared(host, sign):
    if sign == "kernel":
        host.tables[4].step(":DOCKER - [0:0]")
    else:
        host.file(sign).parent.mkdir(parents=True, exist_ok=True)
        host.file(sign).touch()
    assert converge(host, params(docker=AUTO), False)["changed"] is True
    assert "-A bulkhead-docker" in host.snapshot()["v4"]
    # The engine goes, and its rules with it: what was closed stays closed.
    assert converge(host, params(docker=AUTO), False)["changed"] is False


def test_a_mistake_in_the_list_is_one_on_every_host(host):
    with pytest.raises(Refused, match="docker.published"):
        converge(host, params(docker={"state": "auto", "published": [{"port": "70000", "proto": "tcp"}]}), False)


def test_a_profile_of_any_port_is_stored_as_ufw_stores_it_and_comes_back_from_an_export(host):
    host.file("/etc/ufw/applications.d/any").write_text("[Any]\ntitle=t\ndescription=d\nports=any/tcp|53/udp\n")
    wish = params(rules=[SSH, {"rule": "allow", "app": "Any"}], purge=True)
    assert converge(host, wish, False)["changed"] is True
    assert (
        "### tuple ### allow tcp any 0.0.0.0/0 any 0.0.0.0/0 Any - in\n" in host.file("/etc/ufw/user.rules").read_text()
    )
    assert converge(host, wish, False)["changed"] is False
    assert converge(host, params(rules=inform(host)["rules"], purge=True), False)["changed"] is False


def test_a_chain_of_both_hand_written_files_is_what_the_second_one_makes_of_it(host):
    for name, verdict in (("before", "DROP"), ("after", "RETURN")):
        path = host.file(f"/etc/ufw/{name}.rules")
        mine = f":mine - [0:0]\n-A mine -s 10.9.0.0/16 -j {verdict}\nCOMMIT\n"
        path.write_text(path.read_text().replace("COMMIT\n", mine, 1))
    host.tables[4].chains["mine"] = ["-s 10.9.0.0/16 -j RETURN"]
    assert converge(host, params(), False)["changed"] is False
    host.tables[4].chains["mine"] = ["-s 10.9.0.0/16 -j DROP"]
    assert converge(host, params(), False)["changed"] is True
    assert host.tables[4].chains["mine"] == ["-s 10.9.0.0/16 -j RETURN"]


# -- a host without ufw --------------------------------------------------------------------------------------------------


def test_check_mode_shows_the_whole_ruleset_of_a_host_that_has_no_ufw_yet(host):
    wish = params(purge=True, rules=SITE, default={"incoming": "deny", "outgoing": None, "routed": "deny"}, docker=AUTO)
    there = converge(host, {**wish, "docker": {**AUTO, "state": "present"}}, True)
    shutil.rmtree(host.file("/etc"))
    host.file("/usr/bin").mkdir(parents=True)
    host.file("/usr/bin/dockerd").touch()
    host.ran.clear()
    result = converge(host, wish, True)
    assert result["changed"] and result["diff"]["before"] == "" and set(result) == set(there)
    assert result["diff"]["after"].splitlines()[4:] == there["diff"]["after"].splitlines()[4:]
    assert "allow in proto tcp from any to any port 22" in result["diff"]["after"]
    assert any("8080" in line for line in result["added"]) and result["settings"]["state"] == "enabled"
    assert host.ran == [] and not host.file("/etc").exists()


@pytest.fixture(name="bare")
def fixture_bare(host):
    """The same host before ufw is installed."""
    shutil.rmtree(host.file("/etc"))
    return host


def test_check_mode_before_the_installation_takes_profiles_that_come_with_a_package(bare):
    folder = bare.file("/etc/ufw/applications.d")
    folder.mkdir(parents=True)
    (folder / "openssh-server").write_text("[OpenSSH]\ntitle=SSH\ndescription=SSH\nports=22/tcp\n")
    rules = [
        {"rule": "allow", "app": "openssh"},
        {"rule": "allow", "name": "Nginx Full", "from": "10.0.0.0/8"},
        {"rule": "deny", "from_app": "CUPS", "to_port": "80,443"},
    ]
    result = converge(bare, params(rules=rules, purge=True), True)
    assert result["added"] == [
        "allow in from any to any app 'OpenSSH'",
        "allow in from 10.0.0.0/8 to any app 'Nginx Full'",
        "deny in from any app 'CUPS' to any port 80,443",
    ]
    assert "Nginx Full, CUPS are not there yet" in result["warnings"][1]
    with pytest.raises(Refused, match="to_port: 22 instead of app"):
        converge(bare, params(rules=[{"rule": "allow", "app": "ssh"}]), True)
    (folder / "broken").write_text("[Nginx Full]\ntitle=x\n")
    with pytest.raises(Refused, match="it has no description"):
        converge(bare, params(rules=rules), True)


@pytest.mark.parametrize(
    ("wish", "changed", "settings"),
    [
        ({"ipv6": False}, True, {"state": "enabled", "ipv6": False}),
        (
            {"rules": SITE, "purge": True, "keep": {"comments": ["mine*"], "chains": ["f2b-*"]}},
            True,
            {"state": "enabled"},
        ),
        ({"rules": [], "logging": "on"}, True, {"state": "enabled"}),
        ({"state": "disabled"}, False, {}),
        ({"state": "disabled", "rules": [SSH]}, True, {}),
        (
            {"state": "disabled", "default": {"incoming": "reject", "outgoing": None, "routed": None}},
            True,
            {"incoming": "reject"},
        ),
    ],
)
def test_check_mode_before_the_installation_foresees_every_option(bare, wish, changed, settings):
    result = converge(bare, params(**wish), True)
    assert (result["changed"], result["settings"]) == (changed, settings)
    assert ("state: " + wish.get("state", "enabled")) in result["diff"]["after"]
    assert not bare.file("/etc").exists() and bare.ran == []


def test_a_host_without_ufw_is_an_error_where_something_is_to_be_changed(host):
    shutil.rmtree(host.file("/etc"))
    with pytest.raises(RulesetError, match="not installed"):
        converge(host, params(rules=SITE), False)


# -- hosts that lack something -----------------------------------------------------------------------------------------


def test_without_ip6tables_ipv6_can_be_left_unfiltered(host):
    host.fail = {"ip6tables": "modprobe: can't change directory"}
    with pytest.raises(RulesetError, match="ip6tables-save failed"):
        converge(host, params(rules=[SSH]), False)
    result = converge(host, params(rules=[SSH], ipv6=False), False)
    assert result["changed"] is True and "IPv6 is not filtered here" in str(result["warnings"])
    assert converge(host, params(rules=[SSH], ipv6=False), False)["changed"] is False
    assert inform(host)["ipv6"] is False


def test_without_the_command_ip6tables_save_too(host, monkeypatch):
    start = host.start

    def without(argv, stdin=""):
        if argv[0].startswith("ip6tables"):
            raise RulesetError("the command ip6tables-save is missing")
        return start(argv, stdin)

    monkeypatch.setattr(host, "start", without)
    assert converge(host, params(rules=[SSH], ipv6=False), False)["changed"] is True
    with pytest.raises(RulesetError, match="is missing"):
        converge(host, params(rules=[SSH], ipv6=True), False)
