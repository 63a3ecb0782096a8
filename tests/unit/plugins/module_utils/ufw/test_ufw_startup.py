# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
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


# -- other firewalls ---------------------------------------------------------------------------------------------------


def put(host, name, text=""):
    path = host.file(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


FLUSHES = "#!/usr/sbin/nft -f\n\nflush ruleset\n\ntable inet filter {\n}\n"


def nftables(host, text=FLUSHES):
    put(host, "/etc/nftables.conf", text)
    host.enable("nftables.service")


def nftables_that_includes(host):
    put(host, "/etc/nftables.d/first.nft", FLUSHES)
    nftables(host, 'include "/etc/nftables.d/*.nft"\n')


def persistent(host):
    put(host, "/etc/iptables/rules.v6", "*filter\nCOMMIT\n")
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


@pytest.mark.parametrize(
    "install",
    [
        lambda host: put(host, "/etc/nftables.conf", FLUSHES),
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
        put(host, f"/usr/sbin/xtables-{kind}-multi")
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
