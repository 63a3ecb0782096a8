# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import re
import subprocess

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Result
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import read_file, spelled
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import BACK, Guard
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.startup import TMPFILES
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost

SSH = {"rule": "allow", "proto": "tcp", "to_port": "22"}
WANTS = "/etc/systemd/system/multi-user.target.wants"


def params(timeout=0, **more):
    wish = {"state": "enabled", "default": None, "logging": None, "ipv6": None, "purge": False, "rules": None}
    return {**wish, "confirm": {"timeout": timeout}, **more}


@pytest.fixture(name="host")
def fixture_host(tmp_path):
    host = FakeHost(tmp_path)
    host.systemd()
    return host


def systemctl(host):
    return [line for line in host.ran if line.startswith("systemctl")]


# -- the unit ----------------------------------------------------------------------------------------------------------


def disable(host):
    host.file(f"{WANTS}/ufw.service").unlink()


def mask(host):
    host.file("/etc/systemd/system/ufw.service").symlink_to("/dev/null")


def mask_by_an_empty_file(host):
    host.file("/etc/systemd/system/ufw.service").touch()


def keep_a_file_in_the_place_of_the_link(host):
    disable(host)
    host.file(f"{WANTS}/ufw.service").touch()  # systemd wants a link there


@pytest.mark.parametrize(
    ("damage", "word", "commands"),
    [
        (disable, "not enabled", ["enable"]),
        (mask, "masked", ["unmask"]),
        (mask_by_an_empty_file, "masked", ["unmask"]),
        (keep_a_file_in_the_place_of_the_link, "not enabled", ["enable"]),
        (lambda host: [disable(host), mask(host)], "masked", ["unmask", "enable"]),
    ],
)
def test_a_unit_that_the_boot_does_not_start_is_a_change_that_check_mode_says_and_a_run_makes(
    host, damage, word, commands
):
    assert converge(host, params(), False)["changed"] is False
    damage(host)
    host.ran.clear()
    said = converge(host, params(), True)
    assert said["changed"] is True and not systemctl(host)
    assert any(f"boot: ufw.service is {word}" in line for line in said["drift"])
    assert f"drift: boot: ufw.service is {word}" in said["diff"]["before"]
    assert "boot:" not in said["diff"]["after"]
    assert converge(host, params(), False)["drift"] == said["drift"]
    assert systemctl(host) == [f"systemctl {command} ufw.service" for command in commands]


def test_where_ufw_is_to_be_off_the_boot_is_left_alone(host):
    disable(host)
    assert not [line for line in converge(host, params(state="disabled"), True)["drift"] if "boot" in line]


def test_a_unit_that_cannot_be_enabled_is_an_error(host):
    disable(host)
    host.fail = {"systemctl enable": "Failed to enable unit"}
    with pytest.raises(RulesetError, match="systemctl enable ufw.service.*Failed to enable unit"):
        converge(host, params(), False)
    with pytest.raises(RulesetError, match="in force and in the files, but the next boot is not set up"):
        converge(host, params(rules=[SSH, {"rule": "allow", "to_port": "80"}]), False)


def test_the_unit_is_enabled_when_the_change_is_kept_and_not_when_it_is_rolled_back(host):
    disable(host)
    for decide in ("back", "keep"):
        host.ran.clear()
        converge(host, params(timeout=20, rules=[SSH, {"rule": "allow", "to_port": "80"}]), False)
        guard = Guard(host.root, host.run)
        assert "systemctl enable ufw.service" not in host.ran
        if decide == "back":
            assert guard.settle("too late") == BACK
        else:
            guard.keep(guard.change())
        assert ("systemctl enable ufw.service" in host.ran) == (decide == "keep")


def test_the_lock_file_is_roots_alone_from_the_boot_on(host):
    host.file(TMPFILES).unlink()
    said = converge(host, params(), False)
    assert said["changed"] is True and any("/run/ufw.lock" in line for line in said["drift"])
    assert "\nf /run/ufw.lock 0600 root root -\n" in host.file(TMPFILES).read_text()
    assert host.file(TMPFILES).stat().st_mode & 0o777 == 0o644
    assert converge(host, params(), False)["changed"] is False


# -- what the unit does -----------------------------------------------------------------------------------------------

LOCAL = "/etc/systemd/system/ufw.service.d/local.conf"


def other_target(host, text):
    host.put("/etc/systemd/system/shop.target", text)
    host.file("/etc/systemd/system/default.target").symlink_to("/etc/systemd/system/shop.target")


def met(host, status):
    """What `systemd-analyze condition` answers."""
    host.fail = {"systemd-analyze condition": "not met"} if status else {}


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (
            lambda host: host.put(LOCAL, "[Service]\nExecStart=\nExecStart=/bin/true\n"),
            f"{LOCAL} has it start /bin/true",
        ),
        (lambda host: host.put(LOCAL, "[Service]\nExecStart=\n"), "has it start nothing"),
        (
            lambda host: host.put("/etc/systemd/system/ufw.service", "[Service]\nExecStart=/usr/local/sbin/fw start\n"),
            "/etc/systemd/system/ufw.service has it start /usr/local/sbin/fw start",
        ),
        (
            lambda host: host.put("/run/systemd/system/ufw.service.d/x.conf", "[Service]\nExecStartPre=/bin/false\n"),
            "/bin/false",
        ),
        (lambda host: host.put(LOCAL, "[Service]\nExecCondition=/bin/false\n"), "ExecCondition=-/bin/false"),
        (lambda host: host.put(LOCAL, "[Service]\nExecStartPost=/sbin/iptables -F\n"), "takes all rules away"),
        (lambda host: host.put(LOCAL, "[Service]\nExecStart=/sbin/iptables --flush INPUT\n"), "takes all rules away"),
        (lambda host: host.put(LOCAL, "[Unit]\nRequires=gone.service\n"), "gone.service"),
        (lambda host: host.put(LOCAL, "[Unit]\nBindsTo=basic.target gone.socket\n"), "gone.socket"),
        (lambda host: host.put(LOCAL, "[Service]\nUser=nobody\n"), "User=nobody"),
        (lambda host: [host.put(LOCAL, "[Unit]\nConditionPathExists=/nowhere\n"), met(host, 1)], "which is not met"),
        (
            lambda host: [
                host.put("/etc/systemd/system/service.d/all.conf", "[Unit]\nAssertPathExists=/nowhere\n"),
                met(host, 1),
            ],
            "service.d/all.conf has AssertPathExists=/nowhere",
        ),
        (lambda host: host.file("/lib/ufw/ufw-init").chmod(0o644), "/lib/ufw/ufw-init cannot be executed"),
        (lambda host: other_target(host, "[Unit]\nWants=ssh.service\n"), "systemctl set-default multi-user.target"),
    ],
)
def test_a_unit_that_does_not_start_ufw_is_refused_in_every_mode_with_its_file(host, damage, named):
    damage(host)
    before = host.snapshot()
    for check_mode in (True, False):
        with pytest.raises(RulesetError) as error:
            converge(host, params(), check_mode)
        assert named in str(error.value) and str(error.value).startswith("boot: ")
    assert host.snapshot() == before
    assert converge(host, params(state="disabled"), True)["changed"] is True


@pytest.mark.parametrize(
    "harmless",
    [
        lambda host: host.put(
            LOCAL, "[Unit]\nAfter=network.target\n# ExecStart=/bin/true\n[Service]\nExecStartPre=-/bin/false\n"
        ),
        lambda host: host.put(LOCAL, "[Service]\nExecStart=\nExecStart=-/lib/ufw/ufw-init  start\nUser=root\n"),
        lambda host: host.put(LOCAL, "[Service]\nExecStartPre=/bin/false\nExecStartPre=\n"),
        lambda host: host.put(LOCAL, "[Service]\nExecStartPost=/sbin/iptables -F DOCKER-USER\n"),
        lambda host: host.put(LOCAL + ".off", "[Service]\nExecStart=\n"),
        lambda host: [
            host.put("/usr/lib/systemd/system/ufw.service.d/x.conf", "[Service]\nExecStart=\n"),
            host.put("/etc/systemd/system/ufw.service.d/x.conf"),
        ],
        lambda host: other_target(host, "[Unit]\nRequires=multi-user.target\n"),
        lambda host: other_target(host, "[Unit]\nWants=other.target \\\n  multi-user.target\n"),
    ],
    ids=[
        "order",
        "the same start",
        "taken back",
        "a chain of Docker's",
        "no drop-in",
        "hidden",
        "leads on",
        "two lines",
    ],
)
def test_a_unit_that_starts_ufw_all_the_same_is_no_matter(host, harmless):
    harmless(host)
    said = converge(host, params(), False)
    assert (said["changed"], said["warnings"]) == (False, [])


@pytest.mark.parametrize("line", ["ConditionPathExists=/etc", "Requires=basic.target", "Requisite=srv.mount"])
def test_what_only_the_boot_will_show_is_a_warning(host, line):
    host.put(LOCAL, f"[Unit]\n{line}\n")
    said = converge(host, params(), False)
    assert said["changed"] is False
    assert len(said["warnings"]) == 1 and line.split("=")[1] in said["warnings"][0] and LOCAL in said["warnings"][0]


def test_a_link_in_a_target_that_no_boot_comes_to_does_not_start_it(host):
    host.file(f"{WANTS}/ufw.service").unlink()
    host.put("/etc/systemd/system/never.target", "[Unit]\n")
    host.put("/etc/systemd/system/never.target.wants/x")
    host.file("/etc/systemd/system/never.target.wants/ufw.service").symlink_to("/lib/systemd/system/ufw.service")
    assert any("not enabled" in line for line in converge(host, params(), True)["drift"])


# -- ufw's settings as its start reads them ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "line", "kept"),
    [
        ("/etc/ufw/ufw.conf", "ENABLED=Yes", "ENABLED=yes"),
        ("/etc/ufw/ufw.conf", 'ENABLED="yes" and more', "ENABLED=yes"),
        ("/etc/default/ufw", 'DEFAULT_INPUT_POLICY="drop"', 'DEFAULT_INPUT_POLICY="DROP"'),
        ("/etc/default/ufw", "DEFAULT_FORWARD_POLICY=Drop", 'DEFAULT_FORWARD_POLICY="DROP"'),
        ("/etc/default/ufw", "IPV6=Yes", "IPV6=yes"),
    ],
)
def test_a_setting_that_ufws_start_does_not_take_is_written_as_it_does(host, name, line, kept):
    option = line.partition("=")[0]
    path = host.file(name)
    rest = [each for each in path.read_text().splitlines() if not each.startswith(option)]
    path.write_text("\n".join([*rest, line, ""]))
    said = converge(host, params(), True)
    assert said["changed"] is True and any(f"boot: {name}: {option} is" in each for each in said["drift"])
    assert converge(host, params(), False)["drift"] == said["drift"]
    assert kept in path.read_text().splitlines() and line not in path.read_text().splitlines()
    again = converge(host, params(), False)
    assert (again["changed"], again["drift"]) == (False, [])


@pytest.mark.parametrize(
    "line",
    [
        "export LOGLEVEL=low",
        "  ENABLED=yes",
        "ENABLED=yes # the firewall",
        "ENABLED=YES",
        'IPT_MODULES="a b"',
        "A=$B",
        "\t# x",
    ],
)
def test_a_setting_in_a_spelling_that_both_take_is_left_alone(host, line):
    path = host.file("/etc/ufw/ufw.conf")
    path.write_text(path.read_text() + line + "\n")
    assert converge(host, params(), False)["changed"] is False


@pytest.mark.parametrize("name", ["/etc/ufw/ufw.conf", "/etc/default/ufw"])
@pytest.mark.parametrize("line", ["ENABLED = yes", "hello", "yes=", "2=3"])
def test_a_line_at_which_the_shell_of_ufws_start_ends_is_refused(host, name, line):
    path = host.file(name)
    path.write_text(path.read_text() + line + "\n")
    number = path.read_text().count("\n")
    if line == "yes=":
        assert converge(host, params(), False)["changed"] is False
        return
    for check_mode in (True, False):
        with pytest.raises(RulesetError, match=f"{name} line {number}: got a line that sets nothing"):
            converge(host, params(), check_mode)


# -- ufw's files as its start loads them -------------------------------------------------------------------------------

BEFORE = "/etc/ufw/before.rules"


def edit(host, name, old, new):
    path = host.file(name)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def add(host, line, declared=""):
    """A line of before.rules that is in the kernel too, and so no difference; and what declares a chain before it."""
    edit(host, BEFORE, "\nCOMMIT", f"\n{declared}{line}\nCOMMIT")
    chain, rule = line.split(" ", 2)[1:]
    host.tables[4].chains.setdefault(chain, []).append(rule)


def chain_of_another(host):
    host.tables[4].chains["f2b-late"] = []


RENAMED = "-E mine yours"
REPLACED = "-R ufw-before-input 1 -s 10.9.0.1 -j DROP"


def write_before(host, *lines):
    """before.rules with these lines in it; its place, and the number of the first of them."""
    path = host.file("/etc/ufw/before.rules")
    head, end, tail = path.read_text().partition("# End required lines\n")
    path.write_text("".join((head, end, *(f"{line}\n" for line in lines), tail)))
    return head.count("\n") + 2


def load(line, status, message="", made=True):
    """A network namespace, if it can be made, in which iptables-restore says this of a file with that line."""
    said = ("bulkhead: namespace made\n" if made else "") + message

    def scratch(family, text):
        return Result(status, "", said) if line in text or not made else Result(0, text, said)

    return scratch


@pytest.mark.parametrize(
    ("line", "status", "message", "named"),
    [
        (
            RENAMED,
            4,
            "iptables-restore: line {}: CHAIN_RENAME failed: chain yours",
            "'-E mine yours': iptables-restore:",
        ),
        (REPLACED, 139, "Segmentation fault", "Segmentation fault (status 139)"),
        (REPLACED + "\n-A ufw-before-input -j SET --add-set x src", 139, "", "no message (status 139)"),
    ],
)
def test_a_file_that_iptables_restore_takes_and_then_does_not_load_is_refused(host, line, status, message, named):
    number = write_before(host, line)
    prelude = 0

    def scratch(family, text):
        nonlocal prelude
        prelude = text.partition("COMMIT\n")[0].count("\n") + 1
        return load(line, status, message.format(number + prelude))(family, text)

    host.scratch = scratch
    before = host.snapshot()
    with pytest.raises(RulesetError, match="before.rules: iptables-restore does not load it: .*the next boot") as error:
        converge(host, params(), False)
    assert named in str(error.value) and prelude > 30
    assert any(
        "unshare --net -- sh -c echo bulkhead: namespace made >&2; iptables-restore" in line for line in host.ran
    )
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ("family", "chain"), [(4, "ufw-before-input"), (4, "ufw-before-forward"), (6, "ufw6-before-input")]
)
def test_a_line_that_the_kernel_refuses_where_its_chain_is_come_from_is_found_before_anything_is_touched(
    host, family, chain
):
    """-m owner is for what leaves the host: the kernel takes it in a chain that nothing leads to, and not at the boot."""
    path = host.file("/etc/ufw/before.rules" if family == 4 else "/etc/ufw/before6.rules")
    line = f"-A {chain} -m owner --uid-owner 0 -j DROP"
    head, commit, tail = path.read_text().rpartition("COMMIT")
    path.write_text("".join((head, line, "\n", commit, tail)))
    hook = f"-A {chain.rpartition('-')[2].upper()} -j {chain}\n"

    def scratch(which, text):
        if line in text and hook in text.partition("COMMIT\n")[0]:
            return Result(4, "", "bulkhead: namespace made\nRULE_APPEND failed (Invalid argument)")
        return Result(0, text, "bulkhead: namespace made\n")

    host.scratch = scratch
    for state in ("on", "off"):
        if state == "off":
            host.inactive()
        before = host.snapshot()
        with pytest.raises(RulesetError, match="does not load it: RULE_APPEND failed .*the next boot"):
            converge(host, params(), False)
        assert host.snapshot() == before and Guard(host.root, host.run).change() is None


def test_what_leads_to_the_chains_in_the_namespace_is_no_line_of_the_file(host):
    host.scratch = lambda family, text: Result(0, text, "")
    text = "*filter\n-A INPUT -s 10.9.0.0/16 -j DROP\n-A INPUT -j ufw-user-input\nCOMMIT\n"
    found = spelled(host, 4, read_file("before.rules", text), None)
    assert found.table("filter").rules == (("INPUT", "-s 10.9.0.0/16 -j DROP"), ("INPUT", "-j ufw-user-input"))


@pytest.mark.parametrize(
    ("line", "status", "message", "warned"),
    [
        ("-A ufw-before-input -j SET --add-set theirs src", 1, "line 40: Set theirs doesn't exist", True),
        ("-A ufw-before-input -m unheard --of it -j DROP", 2, "line 40: unknown option", True),
        (REPLACED, 124, "", True),
        (REPLACED, 4, "Another app is currently holding the xtables lock", True),
        (
            "-A ufw-before-input -m unheard --of it -j DROP",
            1,
            "unshare: unshare failed: Operation not permitted",
            False,
        ),
    ],
)
def test_what_a_namespace_may_lack_or_be_too_busy_for_is_a_warning(host, line, status, message, warned):
    write_before(host, line)
    if line != REPLACED:  # in other words: whether the kernel has it is not known here
        host.tables[4].chains["ufw-before-input"].append("-m other -j OTHER")
    host.scratch = load(line, status, message, made=not message.startswith("unshare"))
    before = host.snapshot()
    warnings = converge(host, params(), False)["warnings"]
    assert (
        any("of a network namespace of its own" in text and f"(status {status})" in text for text in warnings) == warned
    )
    assert any("no network namespace can be made" in text for text in warnings) == (not warned)
    assert host.snapshot() == before


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda host: edit(host, BEFORE, "\nCOMMIT", ""), f"{BEFORE}: the table filter has no COMMIT"),
        (
            lambda host: host.file("/etc/ufw/after6.rules").write_text("# rules\n*filter\n"),
            "after6.rules: the table filter has no",
        ),
        (lambda host: host.file(BEFORE).write_text("\n"), f"{BEFORE} is empty"),
        (lambda host: host.file("/etc/ufw/after6.rules").write_text(""), "/etc/ufw/after6.rules is empty"),
        (lambda host: add(host, "-A ufw-nowhere -p tcp -j ACCEPT"), "a rule of the chain ufw-nowhere"),
        (
            lambda host: [chain_of_another(host), add(host, "-A ufw-before-input -p tcp -j f2b-late")],
            "jumps to the chain f2b-late of another program",
        ),
        (
            lambda host: [chain_of_another(host), add(host, "-A ufw-before-forward -g f2b-late")],
            "jumps to the chain f2b-late of another program",
        ),
    ],
)
def test_a_file_that_the_next_start_does_not_load_is_refused_though_the_kernel_does_not_show_it(host, damage, named):
    damage(host)
    before = host.snapshot()
    for check_mode in (True, False):
        with pytest.raises(RulesetError, match="next start, and so at the next boot: repair it") as error:
            converge(host, params(), check_mode)
        assert named in str(error.value)
    assert host.snapshot() == before
    said = converge(host, params(state="disabled"), True)
    assert any(named in text for text in said["warnings"])


@pytest.mark.parametrize(
    ("line", "declared"),
    [
        ("-A ufw-before-input -p tcp -j f2b-late", ":f2b-late - [0:0]\n"),
        ('-A ufw-before-input -p tcp -m comment --comment "was -j f2b-late" -j ACCEPT', ""),
        ("-A ufw-before-input -p tcp -j ufw-user-input", ""),
    ],
)
def test_one_that_it_loads_is_not(host, line, declared):
    chain_of_another(host)
    add(host, line, declared)
    converge(host, params(), True)


def test_ufw_that_is_enabled_and_not_in_the_kernel_is_a_difference_that_is_said(host):
    host.inactive()
    edit(host, "/etc/ufw/ufw.conf", "ENABLED=no", "ENABLED=yes")
    said = converge(host, params(), True)
    assert said["changed"] is True and said["drift"] == ["ufw is enabled, and its rules are not in the kernel"]
    assert converge(host, params(), False)["drift"] == said["drift"]
    assert converge(host, params(), False)["changed"] is False


# -- other firewalls ---------------------------------------------------------------------------------------------------


FLUSHES = "#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n}\n"


def nftables(host, text=FLUSHES):
    host.put("/etc/nftables.conf", text)
    host.enable("nftables.service")


def nftables_that_includes(host):
    host.put("/etc/nftables.d/first.nft", FLUSHES)
    nftables(host, 'include "/etc/nftables.d/*.nft"\n')


def persistent(host):
    host.put("/etc/iptables/rules.v6", "*filter\nCOMMIT\n")
    host.enable("netfilter-persistent.service")


@pytest.mark.parametrize(
    ("install", "named"),
    [
        (nftables, "systemctl disable nftables.service"),
        (nftables_that_includes, "nftables.service is enabled, and /etc/nftables.conf flushes"),
        (persistent, "netfilter-persistent.service is enabled, and puts /etc/iptables/rules.v6"),
        (lambda host: host.enable("firewalld.service"), "firewalld.service is enabled"),
        (lambda host: host.enable("shorewall.service"), "shorewall.service is enabled"),
    ],
)
def test_another_firewall_that_starts_at_the_boot_is_refused_in_every_mode_with_what_to_do(host, install, named):
    install(host)
    before = host.snapshot()
    for check_mode in (True, False):
        with pytest.raises(RulesetError) as error:
            converge(host, params(), check_mode)
        assert named in str(error.value) and "systemctl disable" in str(error.value)
    assert host.snapshot() == before
    assert converge(host, params(state="disabled"), True)["changed"] is True


def own_unit(host, command, name="fw"):
    host.put(f"/etc/systemd/system/{name}.service", f"[Service]\nType=oneshot\nExecStart={command}\n")
    host.enable(f"{name}.service")


@pytest.mark.parametrize(
    "command",
    [
        "/sbin/iptables-restore /etc/fw.v4",
        "/bin/sh -c 'ip6tables-restore -w </etc/fw.v6'",
        "/usr/sbin/iptables -F",
        '/bin/sh -c "iptables -w 5 --flush; iptables -P INPUT ACCEPT"',
        "/usr/sbin/nft flush ruleset",
        "/usr/sbin/nft -f /etc/fw.nft",
    ],
)
def test_a_unit_of_the_hosts_own_that_takes_all_rules_away_is_refused(host, command):
    host.put("/etc/fw.nft", FLUSHES)
    own_unit(host, command)
    with pytest.raises(RulesetError, match="fw.service is enabled, and its ExecStart=.*systemctl disable fw.service"):
        converge(host, params(), False)


@pytest.mark.parametrize(
    "command",
    [
        "/sbin/iptables-restore -n /etc/fw.v4",
        "/sbin/iptables-restore --noflush -w /etc/fw.v4",
        "/sbin/iptables-restore --test /etc/fw.v4",
        "/usr/sbin/iptables -F DOCKER-USER",
        "/usr/sbin/iptables -t nat -F",
        "/usr/sbin/iptables -A INPUT -s 192.0.2.1 -j DROP",
        "/usr/sbin/nft -f /etc/other.nft",
    ],
)
def test_one_that_leaves_ufws_rules_is_no_matter(host, command):
    host.put("/etc/other.nft", "table inet mine {\n}\n")
    own_unit(host, command)
    said = converge(host, params(), False)
    assert (said["changed"], said["warnings"]) == (False, [])


SCRIPT = "#!/bin/sh\n# a firewall\niptables -P INPUT ACCEPT\niptables -F\n"


@pytest.mark.parametrize(
    ("install", "named"),
    [
        (
            lambda host: [host.put("/usr/local/sbin/fw", SCRIPT), own_unit(host, "/usr/local/sbin/fw up")],
            "/usr/local/sbin/fw, which fw.service runs",
        ),
        (lambda host: host.put("/etc/rc.local", SCRIPT).chmod(0o755), "/etc/rc.local"),
        (lambda host: host.put("/etc/network/if-pre-up.d/fw", SCRIPT).chmod(0o755), "/etc/network/if-pre-up.d/fw"),
        (
            lambda host: host.put(
                "/etc/network/interfaces", "iface eth0 inet dhcp\n  pre-up iptables-restore < /etc/fw\n"
            ),
            "/etc/network/interfaces",
        ),
        (lambda host: host.put("/etc/cron.d/fw", "@reboot root iptables-restore /etc/fw.v4\n"), "/etc/cron.d/fw"),
    ],
)
def test_a_script_that_looks_as_if_it_took_all_rules_away_at_the_boot_is_a_warning(host, install, named):
    install(host)
    said = converge(host, params(), False)
    assert said["changed"] is False
    assert len(said["warnings"]) == 1 and said["warnings"][0].startswith(f"boot: {named} has a command")


@pytest.mark.parametrize(
    "install",
    [
        lambda host: host.put("/etc/rc.local", SCRIPT).chmod(0o644),
        lambda host: host.put("/etc/rc.local", "#!/bin/sh\n# iptables -F\nexit 0\n").chmod(0o755),
        lambda host: host.put(
            "/etc/network/interfaces", "iface eth0 inet dhcp\n  # up iptables -F\n  down iptables -F\n"
        ),
        lambda host: host.put("/etc/cron.d/fw", "5 * * * * root iptables-save\n"),
    ],
)
def test_one_that_does_not_run_then_is_none(host, install):
    install(host)
    assert converge(host, params(), False)["warnings"] == []


@pytest.mark.parametrize(
    "install",
    [
        lambda host: host.put("/etc/nftables.conf", FLUSHES),
        lambda host: nftables(host, "# flush ruleset\ntable inet mine {\n}\n"),
        lambda host: [nftables(host), host.file("/etc/systemd/system/nftables.service").symlink_to("/dev/null")],
        lambda host: [nftables(host), xtables(host, "legacy")],
        lambda host: host.enable("netfilter-persistent.service"),
    ],
    ids=["not enabled", "no flush", "masked", "of another kind", "no rules"],
)
def test_one_that_does_not_start_or_takes_nothing_away_is_no_matter(host, install):
    install(host)
    assert converge(host, params(), False)["changed"] is False


# -- iptables ----------------------------------------------------------------------------------------------------------


def xtables(host, *kinds):
    """The alternatives of iptables, iptables-save and iptables-restore."""
    for place, name in enumerate(("iptables", "iptables-save", "iptables-restore")):
        kind = kinds[place % len(kinds)]
        host.put(f"/usr/sbin/xtables-{kind}-multi")
        host.file(f"/usr/sbin/{name}").symlink_to(f"xtables-{kind}-multi")


def test_commands_of_two_kinds_are_refused(host):
    xtables(host, "nft", "nft", "legacy")
    with pytest.raises(
        RulesetError, match="iptables-restore is xtables-legacy-multi.*update-alternatives --auto iptables"
    ):
        converge(host, params(), False)


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_commands_of_one_kind_are_not(host, kind):
    xtables(host, kind)
    assert converge(host, params(), False)["changed"] is False


# -- line ends ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "got", "repaired"),
    [
        (lambda text: text.replace("\n", "\r\n"), "lines that end with a carriage return (CRLF)", lambda text: text),
        (
            lambda text: text.replace("\n", "\r\n", 3),
            "lines that end with a carriage return",
            lambda text: text,
        ),
        (lambda text: text.replace("\n", "\r"), "a carriage return within line 1", lambda text: text),
        (
            lambda text: "# one\n# two\r# three\r\n" + text,
            "a carriage return within line 2",
            lambda text: "# one\n# two\n# three\n" + text,
        ),
    ],
)
@pytest.mark.parametrize("name", ["/etc/ufw/before.rules", "/etc/ufw/after6.rules", "/etc/default/ufw"])
def test_a_carriage_return_is_an_error_whose_command_takes_it_away(host, name, change, got, repaired):
    text = host.file(name).read_text()
    host.file(name).write_bytes(change(text).encode())
    with pytest.raises(RulesetError) as error:
        converge(host, params(), False)
    assert f"{name}: got {got}" in str(error.value)
    command = re.search(r"run (sed -i '[^']+') (\S+)", str(error.value))
    subprocess.run(f"{command[1]} {host.path(command[2])}", shell=True, check=True)
    assert host.file(name).read_bytes().decode().rstrip() == repaired(text).rstrip()
