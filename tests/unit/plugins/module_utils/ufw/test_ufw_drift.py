# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import copy

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse as parse_table
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import ALLOWED, DENIED, Question
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import unfold
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apply import parts_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.drift import (
    EMPTY,
    Repair,
    applied,
    repair,
    repair_table,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.edits import Edit, Section
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import read_file
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import parse_save, parse_tables
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import in_force
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import (
    Keep,
    KernelPlan,
    Settings,
    kernel_plan,
    kernel_plan_without_ipv6,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import read_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.tables import payload_to, read_table
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import (
    RECORDED,
    FakeTable,
    transactions,
)

ETC = RECORDED / "debian12/etc/ufw"
SAVE = (RECORDED / "debian12/iptables-save").read_text()
RULES, _MALFORMED = read_rules("user.rules", (ETC / "user.rules").read_text())
LOW = Settings("deny", "allow", "deny", "low", True)


def plan(before="", settings=LOW):
    texts = [
        (ETC / "before.rules").read_text().replace("# End required lines\n", "# End required lines\n" + before),
        (ETC / "after.rules").read_text(),
    ]
    return kernel_plan(RULES, settings, 4, [read_file("", text) for text in texts])


def broken(*steps):
    """The recorded kernel after commands of somebody's."""
    table = FakeTable(SAVE)
    for step in steps:
        table.step(step)
    return table


DAMAGE = {
    "a rule added by hand": (
        ["-A ufw-user-input -p tcp --dport 9999 -j ACCEPT"],
        "ufw-user-input has -p tcp --dport 9999 -j ACCEPT",
    ),
    "a rule put in front": (["-I ufw-user-input -j ACCEPT"], "ufw-user-input has -j ACCEPT"),
    "a rule removed": (["-D ufw-user-input -p vrrp -j ACCEPT"], "ufw-user-input lacks -p vrrp -j ACCEPT"),
    "a rule doubled": (["-A ufw-user-input -p vrrp -j ACCEPT"], "ufw-user-input has -p vrrp -j ACCEPT"),
    "rules in another order": (
        ["-D ufw-user-input -p vrrp -j ACCEPT", "-I ufw-user-input -p vrrp -j ACCEPT"],
        "ufw-user-input has its rules in another order",
    ),
    "a flushed chain": (["-F ufw-user-forward"], "ufw-user-forward lacks -i eth0"),
    "a missing chain": (
        ["-D ufw-before-output -j ufw-user-output", "-F ufw-user-output", "-X ufw-user-output"],
        "chain ufw-user-output is missing",
    ),
    "an open policy": ([":INPUT ACCEPT [0:0]"], "policy of INPUT is ACCEPT, expected DROP"),
    "a hole before the user's rules": (
        ["-I ufw-before-input -p tcp --dport 9 -j ACCEPT"],
        "ufw-before-input has -p tcp --dport 9 -j ACCEPT",
    ),
    "a lost rule of before.rules": (["-D ufw-before-input -i lo -j ACCEPT"], "ufw-before-input lacks -i lo -j ACCEPT"),
    "a rule of before.rules changed": (
        [
            "-D ufw-before-input -m conntrack --ctstate INVALID -j DROP",
            "-A ufw-before-input -m conntrack --ctstate INVALID -j ACCEPT",
        ],
        "ufw-before-input has -m conntrack --ctstate INVALID -j ACCEPT",
    ),
    "a way around ufw": (["-D INPUT -j ufw-before-input"], "INPUT does not jump to ufw's chains in their order"),
    "jumps in another order": (
        ["-D INPUT -j ufw-before-input", "-A INPUT -j ufw-before-input"],
        "INPUT does not jump to ufw's chains in their order",
    ),
    "a flushed firewall": (
        ["-F INPUT", "-F FORWARD", "-F OUTPUT"],
        "INPUT does not jump to ufw's chains in their order",
    ),
    "the logging switched off": (["-F ufw-after-logging-input"], "ufw-after-logging-input lacks -j LOG"),
    "the policy chain opened": (
        ["-F ufw-skip-to-policy-input", "-A ufw-skip-to-policy-input -j ACCEPT"],
        "ufw-skip-to-policy-input has -j ACCEPT",
    ),
}


def undo(fix, before, after):
    """What takes the change back, by what the table was before and is after."""
    kernels = [{4: parse_save(table.save())} for table in (before, after)]
    (part,) = parts_of(4, fix, *kernels)
    return payload_to(part, read_table(after.save()), back=True, seen=True)


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_to_the_kernel_is_found_named_mended_and_can_be_brought_back(name):
    steps, complaint = DAMAGE[name]
    table = broken(*steps)
    before = copy.deepcopy(table)
    fix = repair(plan(), parse_save(table.save()))
    assert any(line.startswith(complaint) for line in fix.drift), fix.drift
    table.restore(fix.payload.rstrip("\n"))
    assert repair(plan(), parse_save(table.save())).drift == []
    table.restore(undo(fix, before, table))
    assert {name: rules for name, rules in table.chains.items() if rules} == {
        name: rules for name, rules in before.chains.items() if rules
    }
    assert set(table.chains) == set(before.chains)
    assert table.policies == before.policies


def test_only_the_chain_that_differs_is_replaced_so_that_the_counters_of_the_others_stay():
    fix = repair(plan(), parse_save(broken("-A ufw-user-input -j ACCEPT").save()))
    assert [line for line in fix.payload.splitlines() if line.startswith(":")] == [":ufw-user-input - [0:0]"]


def test_the_rules_of_other_programs_in_the_built_in_chains_are_left_where_they_are():
    table = broken("-I FORWARD -j DOCKER-USER", "-A INPUT -j KUBE", "-D INPUT -j ufw-reject-input")
    table.chains["DOCKER-USER"], table.chains["KUBE"] = [], []
    fix = repair(plan(), parse_save(table.save()))
    table.restore(fix.payload.rstrip("\n"))
    assert table.chains["FORWARD"][0] == "-j DOCKER-USER"
    assert table.chains["INPUT"][0] == "-j KUBE"
    assert table.chains["INPUT"][-2:] == ["-j ufw-reject-input", "-j ufw-track-input"]


def test_words_that_cannot_be_compared_are_left_alone_in_doubt_and_not_taken_for_equal():
    table = broken("-I ufw-before-input -m set --match-set bad src -j DROP")
    fix = repair(plan("-I ufw-before-input -m set --set-name-of-mine bad src -j DROP\n"), parse_save(table.save()))
    assert (fix.sections, fix.drift, fix.doubts, fix.files) == ((), [], ("ufw-before-input",), True)


def test_two_rules_with_matches_that_are_not_known_are_different_where_the_words_are_the_kernels():
    table = broken("-A ufw-before-input -m connlimit --connlimit-above 20 -j DROP")
    wanted = plan("-A ufw-before-input -m statistic --mode random --probability 0.5 -j ACCEPT\n")
    assert repair(wanted, parse_save(table.save())).drift == []
    drift = repair(wanted._replace(certain=True), parse_save(table.save())).drift
    assert "ufw-before-input has -m connlimit --connlimit-above 20 -j DROP" in drift


def test_a_list_of_addresses_is_as_many_rules():
    rules = [
        "-A ufw-before-input -s 10.0.0.1 -d 10.0.0.9 -j DROP",
        "-A ufw-before-input -s 10.0.0.2 -d 10.0.0.9 -j DROP",
    ]
    wanted = plan("-A ufw-before-input -s 10.0.0.1,10.0.0.2 -d 10.0.0.9 -j DROP\n")
    assert repair(wanted, parse_save(broken(*rules).save())).doubts == ("ufw-before-input",)
    assert repair(wanted, parse_save(broken(rules[0]).save())).drift


def test_a_chain_of_a_file_with_lines_that_are_not_understood_is_left_alone():
    table = broken("-I ufw-before-input -p tcp --dport 9 -j DROP")
    fix = repair(plan("-R ufw-before-input 1 -j DROP\n"), parse_save(table.save()))
    assert (fix.sections, fix.doubts) == ((), ("ufw-before-input",))


@pytest.mark.parametrize(
    "line",
    [
        "-A\tufw-before-input\t-p tcp\t--dport 9 -j DROP",
        "[5:300] -A ufw-before-input -p tcp --dport 9 -j DROP",
        "  --append ufw-before-input  -p  tcp --dport 9 -j DROP  ",
        "-A ufw-before-input -j ACCEPT\n-D ufw-before-input -j ACCEPT\n-A ufw-before-input -p tcp --dport 9 -j DROP",
        "-A ufw-before-input --protocol tcp --destination-port 9 --jump DROP",
        "-A ufw-before-input -j ACCEPT\n-F ufw-before-input\n" + "-A ufw-before-input -p tcp --dport 9 -j DROP",
    ],
)
def test_a_line_in_another_spelling_is_the_same_rule(line):
    text = f"*filter\n:ufw-before-input - [0:0]\n{line}\nCOMMIT\n"
    wanted = kernel_plan([], LOW, 4, [read_file("before.rules", text)])
    assert wanted.framework["ufw-before-input"][:-1] in (
        ["-p tcp --dport 9 -j DROP"],
        ["--protocol tcp --destination-port 9 --jump DROP"],
    )
    kernel = FakeTable("*filter\n:x - [0:0]\n:ufw-before-input - [0:0]\nCOMMIT\n")
    kernel.step("-A ufw-before-input -p tcp -m tcp --dport 9 -j DROP")
    kernel.step("-A ufw-before-input -j ufw-user-input")
    found = repair(wanted, parse_save(kernel.save()))
    assert not any(line.startswith("ufw-before-input") for line in found.drift)


@pytest.mark.parametrize(
    ("written", "printed"),  # as iptables-save of Debian 12 and 13 prints what was written
    [
        ("! -p 6 -s 10.8.0.1 -j DROP", "-s 10.8.0.1/32 ! -p tcp -j DROP"),
        ("-p 0 -s 10.8.0.3 -j DROP", "-s 10.8.0.3/32 -j DROP"),
        ("-p 4 -s 10.8.0.5 -j DROP", "-s 10.8.0.5/32 -p ipencap -j DROP"),
        ("-p ospf -s 10.8.0.6 -j DROP", "-s 10.8.0.6/32 -p 89 -j DROP"),
        ("-s 10.8.1 -j DROP", "-s 10.8.1.0/32 -j DROP"),
        ("-s 10.8.2.0/024 -j DROP", "-s 10.8.0.0/20 -j DROP"),
        ("-p tcp --dport 22:22 -j DROP", "-p tcp -m tcp --dport 22 -j DROP"),
        ("-p tcp --dport 123456 -j DROP", "-p tcp -m tcp --dport 57920 -j DROP"),
        ("-p icmp --icmp-type 255 -j DROP", "-p icmp -m icmp --icmp-type any -j DROP"),
        ("-p icmp --icmp-type 010 -j DROP", "-p icmp -m icmp --icmp-type 8 -j DROP"),
        ("-m conntrack --ctstate NEW,REL -j DROP", "-m conntrack --ctstate NEW,RELATED -j DROP"),
        ("-m addrtype --dst-type LOC -j DROP", "-m addrtype --dst-type LOCAL -j DROP"),
        ("-m limit --limit 60/min -j ACCEPT", "-m limit --limit 1/sec -j ACCEPT"),
        ("-m limit --limit 24/day -j ACCEPT", "-m limit --limit 1/hour -j ACCEPT"),
        ("-m recent --update --seconds 030 -j DROP", "-m recent --update --seconds 24 --name DEFAULT --rsource -j DROP"),
        ("-s 10.8.29.2 -j REJECT --reject-with icmp-admin-prohib", "-s 10.8.29.2/32 -j REJECT --reject-with icmp-admin-prohibited"),
        ("-p tcp -j REJECT --reject-with tcp-rst", "-p tcp -j REJECT --reject-with tcp-reset"),
        ("-p tcp -m multiport --dport 22,80 -j DROP", "-p tcp -m multiport --dports 22,80 -j DROP"),
        ("-m limit --limit-burst 9 -j ACCEPT", "-m limit --limit 3/hour --limit-burst 9 -j ACCEPT"),
    ],
)  # fmt: skip
def test_a_spelling_that_the_kernel_does_not_print_is_in_doubt_and_not_changed_for_ever(written, printed):
    table = broken(f"-A ufw-before-input {printed}")
    fix = repair(plan(f"-A ufw-before-input {written}\n"), parse_save(table.save()))
    assert (fix.sections, fix.drift, fix.doubts) == ((), [], ("ufw-before-input",))


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("-m conntrack --ctstate NEW,NEW -j DROP", "-m conntrack --ctstate NEW -j DROP"),
        ("-m comment --comment 'single' -j DROP", r"""-m comment --comment "\'single\'" -j DROP"""),
        ("-j LOG --log-prefix ''", r"""-j LOG --log-prefix "\'\'" """.strip()),
        ("-m comment --comment 'dapp_WWW%20Full' -j DROP", r"""-m comment --comment "\'dapp_WWW%20Full\'" -j DROP"""),
        (
            "-m addrtype --dst-type MULTICAST,BROADCAST,MULTICAST -j DROP",
            "-m addrtype --dst-type BROADCAST,MULTICAST -j DROP",
        ),
        (
            "! -i lo -m addrtype --src-type UNICAST,LOCAL -j DROP",
            "! -i lo -m addrtype --src-type LOCAL,UNICAST -j DROP",
        ),
    ],
)
def test_lists_of_names_in_any_order_and_single_quotes_are_the_same_rule(written, printed):
    table = broken(f"-I ufw-before-input {printed}")
    fix = repair(plan(f"-A ufw-before-input {written}\n"), parse_save(table.save()))
    assert (fix.sections, fix.drift, fix.doubts) == ((), [], ())


@pytest.mark.parametrize(
    "rule",
    [
        "-p tcp --dport 1:65535 -j DROP",
        "-p tcp -m multiport --dports 22,80:81 -j DROP",
        "! -p vrrp -i eth+ -j DROP",
        "-s 10.9.0.0/16 -d 2001:db8::/32 -j DROP",
        "-m limit --limit 59/min --limit-burst 10 -j LOG",
        "-m limit --limit 99/sec -j ACCEPT",
        "-m limit --limit 19/day -j ACCEPT",
        "-m conntrack --ctstate INVALID,UNTRACKED -j DROP",
        "-m addrtype --dst-type ANYCAST -j DROP",
        "-p icmp --icmp-type 3/0 -j DROP",
        "-j REJECT --reject-with icmp6-adm-prohibited",
        "-p tcp -j REJECT --reject-with tcp-reset",
    ],
)
def test_a_rule_in_the_kernels_words_that_is_not_there_is_loaded(rule):
    table = broken("-A ufw-before-input -s 10.9.9.9/32 -j DROP")
    fix = repair(plan(f"-A ufw-before-input {rule}\n"), parse_save(table.save()))
    assert f"ufw-before-input lacks {rule}" in fix.drift


# -- chains and tables of the operator's own ---------------------------------------------------------------------------

OWN = ":myblock - [0:0]\n-A ufw-before-input -j myblock\n-A myblock -s 10.9.0.0/16 -j DROP\n"


def test_a_chain_of_their_own_that_is_not_loaded_is_made_before_something_jumps_to_it():
    table = broken()
    fix = repair(plan(OWN), parse_save(table.save()))
    assert "chain myblock is missing" in fix.drift
    before = copy.deepcopy(table)
    table.restore(fix.payload)
    assert table.chains["myblock"] == ["-s 10.9.0.0/16 -j DROP"]
    assert "-j myblock" in table.chains["ufw-before-input"]
    table.restore(undo(fix, before, table))
    assert table.save() == before.save()


def test_what_others_have_added_to_such_a_chain_stays():
    table = broken()
    table.restore(repair(plan(OWN), parse_save(table.save())).payload)
    table.step("-I myblock -s 10.8.0.1 -j DROP")
    assert repair(plan(OWN), parse_save(table.save())).sections == ()
    table.step("-D myblock -s 10.9.0.0/16 -j DROP")
    assert repair(plan(OWN), parse_save(table.save())).drift


def test_a_rule_of_a_file_in_a_built_in_chain_is_put_there_once():
    wanted = plan("-A INPUT -s 10.9.0.0/16 -j DROP\n-I FORWARD -i tun0 -j DROP\n")
    table = broken()
    fix = repair(wanted, parse_save(table.save()))
    assert fix.drift == ["INPUT lacks -s 10.9.0.0/16 -j DROP", "FORWARD lacks -i tun0 -j DROP"]
    table.restore(fix.payload)
    assert (table.chains["INPUT"][-1], table.chains["FORWARD"][0]) == ("-s 10.9.0.0/16 -j DROP", "-i tun0 -j DROP")
    assert repair(wanted, parse_save(table.save())).sections == ()


def test_a_chain_that_is_declared_again_holds_what_comes_after_it():
    """As iptables-restore loads it: a declaration empties the chain."""
    text = "*filter\n:mine - [0:0]\n-A mine -j DROP\nCOMMIT\n*filter\n:mine - [7:9]\n-A mine -j ACCEPT\nCOMMIT\n"
    assert read_file("", text).table("filter").rules == (("mine", "-j ACCEPT"),)
    raw = "*raw\n:mine - [0:0]\n-A PREROUTING -j mine\n-A mine -j %s\nCOMMIT\n"
    files = [
        read_file("before.rules", text + raw % "DROP"),
        read_file("after.rules", text.replace("ACCEPT", "RETURN") + raw % "LOG"),
    ]
    before, after = in_force(files)
    assert before.table("filter").rules == () == before.table("filter").declared
    assert before.table("raw").rules == (("PREROUTING", "-j mine"),) and after == files[1]
    assert kernel_plan([], LOW, 4, [before, after]).own == {"mine": ["-j RETURN"]}


@pytest.mark.parametrize("chain", ['"ufw-before-input"', "'ufw-before-input'", "ufw-before\\-input"])
def test_a_chain_whose_name_is_quoted_is_none_that_has_no_rules(chain):
    table = broken("-I ufw-before-input -p tcp --dport 9 -j DROP")
    fix = repair(plan(f"-I {chain} -p tcp --dport 9 -j DROP\n"), parse_save(table.save()))
    assert (fix.sections, fix.doubts) == ((), ("ufw-before-input",))


@pytest.mark.parametrize("option", ["-4", "-6", "--ipv4", "--ipv6"])
def test_a_line_of_one_family_is_not_taken_for_one_of_both(option):
    wanted = plan(f"-A ufw-before-input {option} -s 10.9.0.1 -j DROP\n")
    for loaded in ([], ["-A ufw-before-input -s 10.9.0.1/32 -j DROP"]):
        fix = repair(wanted, parse_save(broken(*loaded).save()))
        assert (fix.sections, fix.doubts) == ((), ("ufw-before-input",)) or not (loaded or fix.drift)


NAT = "*nat\n:POSTROUTING ACCEPT [0:0]\n:mine - [0:0]\n-A POSTROUTING -s 10.0.0.0/8 -o eth0 -j MASQUERADE\n-A mine -j RETURN\nCOMMIT\n"


def test_another_table_of_a_file_is_loaded_where_it_is_not_and_what_others_have_there_stays():
    nat = FakeTable(
        "*nat\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\n-A POSTROUTING -s 172.17.0.0/16 -j MASQUERADE\nCOMMIT\n",
        "nat",
    )
    rules = read_file("before.rules", NAT).table("nat")
    kernel = parse_tables(nat.save())["nat"]
    fix = repair_table("nat", rules, kernel, True)
    assert fix.drift[0] == "table nat: chain mine is missing"
    candidate = applied(EMPTY._replace(others={"nat": kernel}), fix.sections)
    nat.restore(fix.payload)
    assert candidate.others == parse_tables(nat.save())
    assert nat.chains["POSTROUTING"] == ["-s 172.17.0.0/16 -j MASQUERADE", "-s 10.0.0.0/8 -o eth0 -j MASQUERADE"]
    assert repair_table("nat", rules, parse_tables(nat.save())["nat"], True).sections == ()
    (part,) = parts_of(4, fix, {4: EMPTY._replace(others={"nat": kernel})}, {4: candidate})
    nat.restore(payload_to(part, read_table(nat.save()), back=True, seen=True))
    assert parse_tables(nat.save())["nat"] == kernel, "and nothing of others went with it"
    assert repair_table("nat", rules, kernel, False).doubts == ("table nat",)


def test_a_rule_that_is_understood_is_found_even_beside_one_that_is_not():
    table = broken("-I ufw-before-input -m set --match-set bad src -j DROP", "-I ufw-before-input -j ACCEPT")
    wanted = plan("-I ufw-before-input -m set --set-name-of-mine bad src -j DROP\n")
    assert any("ufw-before-input has -j ACCEPT" in line for line in repair(wanted, parse_save(table.save())).drift)


def test_a_rule_that_is_understood_is_found_even_when_the_count_is_right():
    table = broken(
        "-I ufw-before-input -m set --match-set bad src -j DROP",
        "-I ufw-before-input -j ACCEPT",
        "-D ufw-before-input -i lo -j ACCEPT",
    )
    wanted = plan("-I ufw-before-input -m set --set-name-of-mine bad src -j DROP\n")
    drift = repair(wanted, parse_save(table.save())).drift
    assert "ufw-before-input has -j ACCEPT" in drift
    assert "ufw-before-input lacks -i lo -j ACCEPT" in drift


def test_rules_that_an_executable_init_hook_may_have_added_are_left_alone_but_a_missing_chain_is_made():
    table = broken("-I ufw-before-input -p tcp --dport 9 -j ACCEPT")
    assert repair(plan(), parse_save(table.save()), check_framework=False).drift == []
    table = broken("-F ufw-not-local", "-X ufw-not-local")
    assert repair(plan(), parse_save(table.save()), check_framework=False).drift == ["chain ufw-not-local is missing"]


def test_without_ipv6_everything_is_dropped_but_the_loopback_and_old_chains_are_emptied():
    table = FakeTable((RECORDED / "debian12/ip6tables-save").read_text())
    wanted = kernel_plan_without_ipv6(table.chains)
    table.restore(repair(wanted, parse_save(table.save())).payload.rstrip("\n"))
    assert table.policies == {"INPUT": "DROP", "FORWARD": "DROP", "OUTPUT": "DROP"}
    assert table.chains["INPUT"][0] == "-i lo -j ACCEPT"
    assert table.chains["OUTPUT"][0] == "-o lo -j ACCEPT"
    assert not any(rules for name, rules in table.chains.items() if name.startswith("ufw6"))
    assert repair(kernel_plan_without_ipv6(table.chains), parse_save(table.save())).drift == []


def kernel_of(*lines):
    """The recorded kernel after commands, as it is read."""
    return parse_save(broken(*lines).save())


def test_what_differs_says_whether_it_is_a_file_written_by_hand():
    assert repair(plan(), kernel_of("-A ufw-user-input -j ACCEPT")).files is False
    assert repair(plan(), kernel_of("-A ufw-before-input -j ACCEPT")).files is True
    assert repair(plan(OWN), kernel_of()).files is True
    assert repair(plan("-A INPUT -s 10.9.0.0/16 -j DROP\n"), kernel_of()).files is True
    assert repair(plan(), kernel_of()) == Repair((), [])


def test_rules_of_a_program_that_stays_are_no_difference_and_stand_first_where_a_chain_is_filled_anew():
    keep = plan()._replace(keep=Keep(chains=("f2b-*",)))
    theirs = [f"-A {chain} -p tcp -j f2b-sshd" for chain in ("ufw-user-input", "ufw-before-input")]
    assert repair(keep, kernel_of(":f2b-sshd - [0:0]", *theirs)).sections == ()
    table = broken(":f2b-sshd - [0:0]", *theirs, "-A ufw-user-input -j ACCEPT", "-A ufw-before-input -j ACCEPT")
    fix = repair(keep, parse_save(table.save()))
    assert sorted(fix.drift) == ["ufw-before-input has -j ACCEPT", "ufw-user-input has -j ACCEPT"]
    table.restore(fix.payload)
    for chain in ("ufw-user-input", "ufw-before-input"):
        assert table.chains[chain].count("-p tcp -j f2b-sshd") == 1 and table.chains[chain][0] == "-p tcp -j f2b-sshd"
    assert repair(keep, parse_save(table.save())).sections == ()
    assert len(repair(plan(), parse_save(table.save())).drift) == 2


def test_a_chain_of_a_file_whose_rules_stand_in_another_order_differs_for_certain():
    odd = "-I ufw-before-input -m set --set-name-of-mine bad src -j DROP"
    loaded = "-m set --set-name-of-mine bad src -j DROP"
    fix = repair(plan(odd + "\n"), kernel_of("-A ufw-before-input " + loaded))
    assert fix.drift == ["ufw-before-input has its rules in another order"] and fix.doubts == ()


@pytest.mark.parametrize(
    ("line", "loaded", "certain"),
    [
        ("-s 10.0.0.1,10.0.0.2 -d 10.0.1.1,10.0.1.2,10.0.1.3 -j DROP", 6, False),
        ("-s 10.0.0.1,10.0.0.2 -d 10.0.1.1,10.0.1.2,10.0.1.3 -j DROP", 5, True),
        ("-s 10.0.0.1 -m multiport --dports 1,2 -m set --match-set a src -j DROP", 1, False),
        ("-s 10.0.0.1 -m multiport --dports 1,2 -m set --match-set a src -j DROP", 2, True),
    ],
)
def test_more_or_fewer_rules_than_a_line_can_be_are_a_difference(line, loaded, certain):
    kernel = kernel_of(*(f"-A ufw-before-input -m mark --mark {number} -j DROP" for number in range(loaded)))
    fix = repair(plan(f"-A ufw-before-input {line}\n"), kernel)
    assert (bool(fix.drift), bool(fix.doubts)) == (certain, not certain)


def test_executable_init_hooks_leave_a_chain_of_the_operators_own_compared():
    table = broken()
    table.restore(repair(plan(OWN), parse_save(table.save())).payload)
    table.step("-D myblock -s 10.9.0.0/16 -j DROP")
    table.step("-A myblock -j ACCEPT")
    drift = repair(plan(OWN), parse_save(table.save()), check_framework=False).drift
    assert drift == ["myblock has -j ACCEPT", "myblock lacks -s 10.9.0.0/16 -j DROP"]


def test_a_rule_of_a_file_in_a_built_in_chain_is_counted_and_left_out_where_it_cannot_be_compared():
    twice = "-A INPUT -s 10.9.0.0/16 -j DROP\n-A INPUT -s 10.9.0.0/16 -j DROP\n"
    fix = repair(plan(twice), kernel_of("-A INPUT -s 10.9.0.0/16 -j DROP"))
    assert fix.drift == ["INPUT lacks -s 10.9.0.0/16 -j DROP"]
    assert repair(plan(twice), kernel_of(*twice.splitlines())).drift == []
    odd = "-A INPUT -m set --match-set bad src -j DROP\n"
    assert repair(plan(odd), kernel_of()) == Repair((), [])
    assert repair(plan(odd)._replace(certain=True), kernel_of()).drift == [
        "INPUT lacks -m set --match-set bad src -j DROP"
    ]
    assert repair(plan("-R x 1 -j DROP\n-A INPUT -j DROP\n"), kernel_of()).drift == []


def test_rules_that_are_put_in_front_keep_their_order():
    table = broken()
    wanted = plan("-I FORWARD -s 10.1.0.0/16 -j DROP\n-I FORWARD -s 10.2.0.0/16 -j DROP\n")
    table.restore(repair(wanted, parse_save(table.save())).payload)
    assert table.chains["FORWARD"][:2] == ["-s 10.2.0.0/16 -j DROP", "-s 10.1.0.0/16 -j DROP"]


def test_chains_that_are_to_go_and_edits_that_have_a_reason_are_differences():
    wanted = plan()._replace(
        gone=["old"],
        edits=[("FORWARD lacks its jump", ("-I", "FORWARD", "-j DROP")), ("", ("-D", "FORWARD", "-j old"))],
    )
    table = broken(":old - [0:0]", "-A old -j DROP", "-A FORWARD -j old")
    fix = repair(wanted, parse_save(table.save()))
    assert fix.drift == ["FORWARD lacks its jump", "chain old is left over"] and not fix.files
    table.restore(fix.payload)
    assert "old" not in table.chains and table.chains["FORWARD"][0] == "-j DROP"
    assert "-j old" not in table.chains["FORWARD"]


def test_a_missing_rule_of_a_built_in_chain_is_put_first():
    bare = KernelPlan({"INPUT": "DROP"}, {}, {}, {}, {"INPUT": ["-i lo -j ACCEPT"]}, [], [])
    fix = repair(bare, EMPTY)
    assert fix.drift == ["policy of INPUT is ACCEPT, expected DROP", "INPUT lacks -i lo -j ACCEPT"]
    after = applied(EMPTY, fix.sections)
    assert (after.policies["INPUT"], after.chains["INPUT"]) == ("DROP", ["-i lo -j ACCEPT"])
    assert repair(bare, after).sections == ()


def test_two_repairs_are_one_after_the_other():
    nat = Section("nat", {}, [Edit("-A", "OUTPUT", "-j ACCEPT")], {}, [])
    both = Repair((nat,), ["a"], ("x",)).then(Repair((nat,), ["b"], ("y",), True))
    assert both == ((nat, nat), ["a", "b"], ("x", "y"), True)
    assert Repair((), [], (), True).then(Repair((), [])).files is True
    assert both.payload == 2 * "*nat\n-A OUTPUT -j ACCEPT\nCOMMIT\n" and Repair((), []).payload == ""


def test_what_transactions_make_of_each_table():
    edits = [
        Edit("-A", "INPUT", "-j A"),
        Edit("-I", "INPUT", "-j B"),
        Edit("-I", "INPUT", "-j C", 2),
        Edit("-A", "INPUT", "-j D"),
    ]
    filters = Section("filter", {"INPUT": "DROP"}, edits, {"x": ["-j y"], "z": []}, ["z"])
    after = applied(EMPTY._replace(chains={**EMPTY.chains, "x": ["-j old"]}), [filters])
    assert after.policies == {**EMPTY.policies, "INPUT": "DROP"}
    assert after.chains == {**EMPTY.chains, "INPUT": ["-j B", "-j C", "-j A", "-j D"], "x": ["-j y"]}
    gone = applied(after, [Section("filter", {}, [Edit("-D", "INPUT", "-j C")], {}, ["x"])])
    assert gone.chains == {**EMPTY.chains, "INPUT": ["-j B", "-j A", "-j D"]}
    assert after.chains["INPUT"][1] == "-j C", "the one before is as it was"
    for table, place in (("security", lambda found: found.security), ("raw", lambda found: found.others["raw"])):
        made = applied(
            after._replace(others={"nat": EMPTY}), [Section(table, {}, [Edit("-A", "OUTPUT", "-j E")], {}, [])]
        )
        assert place(made).chains["OUTPUT"] == ["-j E"] and made.chains == after.chains and made.others["nat"] == EMPTY
        more = applied(made, [Section(table, {"OUTPUT": "DROP"}, [Edit("-I", "OUTPUT", "-j F")], {}, [])])
        assert place(more).chains["OUTPUT"] == ["-j F", "-j E"] and place(more).policies["OUTPUT"] == "DROP"


def test_another_table_that_has_all_of_a_file_among_more_is_no_difference():
    rules = read_file(
        "", NAT + "*raw\n-I PREROUTING -s 10.1.0.0/16 -j DROP\n-I PREROUTING -s 10.2.0.0/16 -j DROP\nCOMMIT\n"
    )
    chains = {"POSTROUTING": ["-j A", "-s 10.0.0.0/8 -o eth0 -j MASQUERADE"], "mine": ["-j B", "-j RETURN", "-j C"]}
    assert repair_table("nat", rules.table("nat"), EMPTY._replace(chains=chains), True) == Repair((), [])
    fix = repair_table("nat", rules.table("nat"), EMPTY._replace(chains={**chains, "mine": []}), True)
    assert fix.drift == ["table nat: mine lacks -j RETURN"] and fix.files
    raw = repair_table("raw", rules.table("raw"), EMPTY._replace(chains={"PREROUTING": ["-j A"]}), True)
    assert raw.drift == [f"table raw: PREROUTING lacks -s 10.{number}.0.0/16 -j DROP" for number in (2, 1)]
    made = applied(EMPTY._replace(others={"raw": EMPTY._replace(chains={"PREROUTING": ["-j A"]})}), raw.sections)
    assert made.others["raw"].chains["PREROUTING"] == ["-s 10.2.0.0/16 -j DROP", "-s 10.1.0.0/16 -j DROP", "-j A"]
    doubt = repair_table("raw", rules.table("raw"), EMPTY, False)
    assert doubt == ((), [], ("table raw",), True)


# -- rules and policies ------------------------------------------------------------------------------------------------

SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
CLOSED = {"rule": "deny", "proto": "tcp", "to_port": "4444"}
# (default for incoming packets, rules) pairs; all of them let in 22, and none of them 4444.
STATES = {
    "deny": ("deny", [SSH]),
    "reject": ("reject", [SSH]),
    "allow": ("allow", [CLOSED]),
    "allow, twice over": ("allow", [CLOSED, SSH]),
}


def a_plan(state):
    incoming, rules = STATES[state]
    settings = LOW._replace(incoming=incoming)
    texts = [(ETC / name).read_text() for name in ("before.rules", "after.rules")]
    found = parse_rules(rules, False, dict).v4
    return kernel_plan(found, settings, 4, [read_file("", text) for text in texts])


def verdicts(policies, chains):
    """What becomes of new connections to 22 and 4444, and of one that only a rule of others behind ufw's lets in."""
    table = FakeTable(SAVE)
    table.policies, table.chains = policies, chains
    program = unfold(parse_table(table.save(), 4), Question("INPUT", "NEW", ["10.0.0.5/24"]))
    asked = (("10.0.0.7", 22), ("10.0.0.7", 4444), ("10.66.0.1", 8080))
    return [program.decide(packet(4, source, "10.0.0.5", "tcp", port, inside="eth0")).answer for source, port in asked]


def between(table, payload):
    """The verdicts on packets that meet the rules of one moment and the policies of the next, or the other way round."""
    seen = []
    for part in transactions(payload):
        old = copy.deepcopy(table)
        table.restore(part)
        seen.append(verdicts(old.policies, table.chains))
        seen.append(verdicts(table.policies, old.chains))
    return seen


@pytest.mark.parametrize("after", STATES)
@pytest.mark.parametrize("before", STATES)
@pytest.mark.parametrize("foreign", [[], ["-A INPUT -s 10.66.0.0/16 -j ACCEPT"]], ids=["ufw alone", "rules of others"])
def test_a_packet_that_meets_new_rules_and_old_policies_fares_as_before_or_after(before, after, foreign):
    table = broken(*foreign)
    table.restore(repair(a_plan(before), parse_save(table.save())).payload)
    start = copy.deepcopy(table)
    fix = repair(a_plan(after), parse_save(table.save()))
    seen = between(table, fix.payload)
    assert (before == after) == (not seen)
    ends = [verdicts(start.policies, start.chains), verdicts(table.policies, table.chains)]
    assert repair(a_plan(after), parse_save(table.save())).drift == []
    seen += between(table, undo(fix, start, table)) if fix.payload else []
    assert (table.policies, table.chains) == (start.policies, start.chains)
    assert [end[:2] for end in ends] == [[ALLOWED, DENIED]] * 2
    for answers in seen:
        assert all(answer in allowed for answer, *allowed in zip(answers, *ends))
