# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import nat_block, nat_input
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import BEFORE_INIT
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ruleset import look
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost, inform
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.test_ufw_ruleset_run import params

WISH = {
    "masquerade": [{"rule": "none", "from_ip": "10.0.1.0/24", "to_ip": "10.0.0.0/16"}, {"from_ip": "10.0.1.0/24"}],
    "forward": [
        {"rule": "none", "from_ip": "10.0.0.0/16"},
        {"proto": "tcp", "port": 443, "target": "10.0.1.10", "target_port": 8443, "comment": "web"},
        {"proto": "udp", "port": "5000:5010", "to_ip": "203.0.113.1", "target": "10.0.1.11"},
    ],
}
FORWARD, MASQUERADE = "-j bulkhead-forward", "-j bulkhead-masquerade"
DOCKER = ["-m addrtype --dst-type LOCAL -j DOCKER"]
BEFORE = "/etc/ufw/before.rules"


@pytest.fixture(name="host", params=["debian12", "debian13"])
def fixture_host(tmp_path, request):
    host = FakeHost(tmp_path, request.param)
    host.file(BEFORE_INIT).chmod(0o640)
    host.table(4, "nat").chains.update({"DOCKER": [], "PREROUTING": list(DOCKER), "POSTROUTING": ["-j ts-postrouting"]})
    return host


def run(host, *nat, check=False, **more):
    """nat: WISH without one."""
    return converge(host, params(nat=nat[0] if nat else WISH, **more), check)


def chains(host, family=4):
    return host.table(family, "nat").chains


# -- what is loaded ----------------------------------------------------------------------------------------------------


def test_what_is_declared_is_loaded_beside_the_rules_of_others(host):
    result = run(host)
    assert (result["changed"], result["drift"]) == (True, [])
    found = chains(host)
    assert found["PREROUTING"] == [FORWARD, *DOCKER] and found["POSTROUTING"] == ["-j ts-postrouting", MASQUERADE]
    assert found["bulkhead-forward"] == [
        "-s 10.0.0.0/16 -j RETURN",
        "-p tcp -m tcp --dport 443 -m addrtype --dst-type LOCAL -j DNAT --to-destination 10.0.1.10:8443",
        "-d 203.0.113.1 -p udp -m udp --dport 5000:5010 -j DNAT --to-destination 10.0.1.11",
    ]
    assert found["bulkhead-masquerade"] == ["-s 10.0.1.0/24 -d 10.0.0.0/16 -j RETURN", "-s 10.0.1.0/24 -j MASQUERADE"]
    assert not any("bulkhead" in name for name in chains(host, 6)), "nothing of it is for IPv6"
    assert "nat forward proto tcp from any to this host port 443 -> 10.0.1.10 port 8443  # web" in result["added"]
    assert "nat masquerade from 10.0.1.0/24 to any" in result["added"]


def test_a_second_run_changes_nothing_and_the_short_module_says_so(host):
    run(host)
    before = host.snapshot()
    again = run(host)
    assert (again["changed"], again["drift"]) == (False, []) and host.snapshot() == before
    assert look(host, params(nat=WISH), False) is not None


def test_check_mode_says_what_a_run_does_and_touches_nothing(host):
    before, table = host.snapshot(), host.table(4, "nat").save()
    foreseen = run(host, check=True)
    assert host.snapshot() == before and host.table(4, "nat").save() == table
    done = run(host)
    assert {name: foreseen[name] for name in ("changed", "added", "removed", "diff")} == {
        name: done[name] for name in ("changed", "added", "removed", "diff")
    }


def test_ipv6_is_translated_where_it_is_asked_for(host):
    run(
        host,
        {
            "masquerade": [{"from_ip": "fd00:1::/64"}],
            "forward": [{"proto": "tcp", "port": 80, "target": "fd00:1::10", "target_port": 8080}],
        },
    )
    found = chains(host, 6)
    assert found["bulkhead-masquerade"] == ["-s fd00:1::/64 -j MASQUERADE"]
    assert found["bulkhead-forward"][0].endswith("-j DNAT --to-destination [fd00:1::10]:8080")
    assert "bulkhead-forward" not in chains(host, 4)
    assert not run(host, inform(host)["nat"])["changed"]


def test_what_is_exported_changes_nothing_when_it_is_applied(host):
    run(host)
    exported = inform(host)["nat"]
    assert exported["forward"][1] == {
        "rule": "forward",
        "proto": "tcp",
        "port": "443",
        "target": "10.0.1.10",
        "target_port": "8443",
        "comment": "web",
    }
    assert not run(host, exported)["changed"]


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_file_holds_one_block_and_its_own_text_as_it_was(host):
    own = host.read(BEFORE)
    run(host)
    text = host.read(BEFORE)
    assert text.startswith(own) and text.count(nat_block.NAT_BEGIN) == 1
    run(host, {})
    assert host.read(BEFORE) == own


def test_before_init_takes_our_jumps_away_and_is_executable_as_long_as_they_are_there(host):
    own = host.read(BEFORE_INIT)
    run(host)
    assert host.file(BEFORE_INIT).stat().st_mode & 0o777 == 0o750
    assert host.read(BEFORE_INIT).startswith(own.partition("\n")[0] + "\n" + nat_block.NAT_BEGIN)
    run(host, {})
    assert host.read(BEFORE_INIT) == own and host.file(BEFORE_INIT).stat().st_mode & 0o777 == 0o640


def test_the_hook_takes_away_every_jump_of_ours_and_fails_for_no_word(host, tmp_path):
    """The script itself, with commands that count."""
    run(host)
    tools, log = tmp_path / "tools", tmp_path / "log"
    tools.mkdir()
    for name in ("iptables", "ip6tables"):
        tool = tools / name
        tool.write_text(f'#!/bin/sh\necho "{name} $*" >> {log}\n[ "$(grep -cxF -- "{name} $*" {log})" -lt 3 ]\n')
        tool.chmod(0o755)
    for word, lines in (("status", 0), ("start", 12), ("stop", 12), ("flush-all", 12)):
        log.write_text("")
        done = subprocess.run(
            ["sh", str(host.file(BEFORE_INIT)), word], env={"PATH": f"{tools}:/usr/bin:/bin"}, check=False
        )
        assert done.returncode == 0
        found = log.read_text().splitlines()
        assert len(found) == lines and all("-t nat -D" in line and "bulkhead-" in line for line in found)


def test_a_before_init_with_commands_of_its_own_is_kept_and_runs_as_before(host):
    own = "#!/bin/bash\necho hello > /run/hello\n"
    host.file(BEFORE_INIT).write_text(own)
    with pytest.raises(RulesetError, match="has commands of its own and is not executable"):
        run(host)
    host.file(BEFORE_INIT).chmod(0o750)
    run(host)
    assert host.read(BEFORE_INIT).endswith("\necho hello > /run/hello\n")
    run(host, {})
    assert host.read(BEFORE_INIT) == own and host.file(BEFORE_INIT).stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("text", ["#!/usr/bin/python3\nprint()\n", "", None])
def test_a_before_init_that_is_no_shell_script_or_missing_is_refused_and_nothing_is_touched(host, text):
    if text is None:
        host.file(BEFORE_INIT).unlink()
    else:
        host.file(BEFORE_INIT).write_text(text)
    before, table = host.snapshot(), host.table(4, "nat").save()
    with pytest.raises(RulesetError, match="before.init"):
        run(host)
    assert host.snapshot() == before and host.table(4, "nat").save() == table


def test_a_hook_that_was_edited_or_is_not_run_any_more_is_put_right(host):
    run(host)
    host.file(BEFORE_INIT).chmod(0o640)
    assert any("before.init is not executable" in line for line in run(host)["drift"])
    assert host.file(BEFORE_INIT).stat().st_mode & 0o777 == 0o750
    good = host.read(BEFORE_INIT)
    host.file(BEFORE_INIT).write_text(good.replace("stop | ", ""))
    host.file(BEFORE_INIT).chmod(0o750)
    assert run(host)["drift"] == ["/etc/ufw/before.init: the block of bulkhead.tiers was edited"]
    assert host.read(BEFORE_INIT) == good


def test_our_own_hook_does_not_hide_what_others_did_to_ufws_chains(host):
    run(host)
    host.tables[4].chains["ufw-before-input"].append("-p tcp -m tcp --dport 9 -j ACCEPT")
    assert any("ufw-before-input" in line for line in run(host)["drift"])


# -- drift -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "drift"),
    [
        (lambda found: found["PREROUTING"].remove(FORWARD), "table nat: PREROUTING lacks -j bulkhead-forward"),
        (
            lambda found: found["POSTROUTING"].append(MASQUERADE),
            "table nat: POSTROUTING has -j bulkhead-masquerade 2 times",
        ),
        (
            lambda found: found["bulkhead-forward"].insert(
                0, "-p tcp -m tcp --dport 22 -j DNAT --to-destination 10.9.9.9"
            ),
            "table nat: bulkhead-forward has -p tcp -m tcp --dport 22 -j DNAT --to-destination 10.9.9.9",
        ),
        (
            lambda found: found["bulkhead-masquerade"].pop(),
            "table nat: bulkhead-masquerade lacks -s 10.0.1.0/24 -j MASQUERADE",
        ),
    ],
)
def test_what_somebody_did_to_our_chains_is_found_and_repaired(host, damage, drift):
    run(host)
    good = host.table(4, "nat").save()
    damage(chains(host))
    assert f"IPv4 kernel: {drift}" in inform(host)["drift"]
    assert f"IPv4 kernel: {drift}" in run(host)["drift"]
    assert host.table(4, "nat").save() == good


def test_a_block_that_was_edited_is_written_anew(host):
    run(host)
    good = host.read(BEFORE)
    host.file(BEFORE).write_text(good.replace(":8443", ":22"))
    assert any("the block of bulkhead.tiers was edited" in line or "lacks" in line for line in run(host)["drift"])
    assert host.read(BEFORE) == good


def test_a_block_without_its_end_is_refused(host):
    host.file(BEFORE).write_text(host.read(BEFORE) + nat_block.NAT_BEGIN + "\n")
    with pytest.raises(RulesetError, match="END bulkhead.tiers nat"):
        run(host)


# -- the way back ------------------------------------------------------------------------------------------------------


def test_without_the_declaration_nothing_of_it_is_left(host):
    table = host.table(4, "nat").save()
    run(host)
    result = run(host, {})
    assert "nat masquerade from 10.0.1.0/24 to any" in result["removed"]
    assert host.table(4, "nat").save() == table and not run(host, {})["changed"]


def test_an_absent_option_leaves_it_alone(host):
    run(host)
    before, table = host.snapshot(), host.table(4, "nat").save()
    assert not run(host, None)["changed"]
    assert host.snapshot() == before and host.table(4, "nat").save() == table


def test_with_ufw_off_nothing_is_translated(host):
    table = host.table(4, "nat").save()
    run(host)
    run(host, WISH, state="disabled")
    assert host.table(4, "nat").save() == table


def test_a_load_that_fails_leaves_nothing_of_it(host):
    before, table = host.snapshot(), host.table(4, "nat").save()
    host.tables[4].restore = None  # the filter's transaction ends in an error of the program
    rules = [{"rule": "allow", "proto": "tcp", "to_port": "80"}]
    with pytest.raises((RulesetError, TypeError)):
        run(host, WISH, rules=rules)
    del host.tables[4].restore
    assert host.table(4, "nat").save() == table
    assert {name: text for name, text in host.snapshot().items() if name.startswith("/")} == {
        name: text for name, text in before.items() if name.startswith("/")
    }


# -- input -------------------------------------------------------------------------------------------------------------


def test_all_mistakes_are_named_at_once_with_their_place():
    wish = {
        "forward": [
            {"proto": "tcp", "target": "10.0.1.10"},
            {"proto": "tcp", "port": 443},
            {"proto": "tcp", "port": "80,443", "target": "10.0.1.10", "target_port": 8080},
            {"proto": "esp", "port": 443, "target": "10.0.1.10"},
            {"rule": "none"},
            {"rule": "none", "from_ip": "10.0.0.0/8", "target": "10.0.1.1"},
            {"proto": "tcp", "port": 443, "target": "fd00::1", "to_ip": "203.0.113.1"},
        ],
        "masquerade": [{}, {"from_ip": "10.0.1.300"}, {"rule": "snat", "from_ip": "10.0.1.0/24"}, "10.0.1.0/24"],
        "hairpin": True,
    }
    with pytest.raises(Refused) as found:
        nat_input.parse_nat(wish, True)
    assert {mistake.path for mistake in found.value.mistakes} >= {
        "nat.hairpin",
        "nat.forward[0].port",
        "nat.forward[1].target",
        "nat.forward[2].target_port",
        "nat.forward[3].proto",
        "nat.forward[4].from_ip",
        "nat.forward[5].target",
        "nat.forward[6].target",
        "nat.masquerade[0].from_ip",
        "nat.masquerade[1].from_ip",
        "nat.masquerade[2].rule",
        "nat.masquerade[3]",
    }
    for raw in ([], "yes", {"forward": {}}, {"masquerade": "10.0.1.0/24"}):
        if raw != {"forward": {}}:
            assert nat_input.check_nat(raw)


_ends = st.sampled_from(["any", "10.0.1.0/24", "10.0.2.5", "2001:db8::/32", "fd00::1"])
_items = st.fixed_dictionaries(
    {"port": st.sampled_from(["80", "80,443", "8000:8100"]), "target": st.sampled_from(["10.0.1.9", "fd00::9"])},
    optional={
        "proto": st.sampled_from(["any", "tcp", "udp"]),
        "from_ip": _ends,
        "to_ip": _ends,
        "target_port": st.just(8080),
        "comment": st.sampled_from(["B\u00fcro", nat_block.NAT_BEGIN, "COMMIT", "-A bulkhead-forward -j RETURN"]),
    },
)
_sources = st.fixed_dictionaries(
    {"from_ip": _ends}, optional={"to_ip": _ends, "rule": st.sampled_from(["none", "masquerade"])}
)


@given(st.lists(_items, max_size=3), st.lists(_sources, max_size=3))
def test_a_block_that_is_read_back_is_the_one_that_was_written(forward, masquerade):
    try:
        wish = nat_input.parse_nat({"forward": forward, "masquerade": masquerade}, True)
    except Refused:
        return
    for family, block in wish.blocks.items():
        text = nat_block.edit("*filter\nCOMMIT\n", block)
        assert nat_block.read_block(text, family) == block
        assert nat_block.edit(text, block) == text
        assert nat_block.edit(text, None) == "*filter\nCOMMIT\n"
