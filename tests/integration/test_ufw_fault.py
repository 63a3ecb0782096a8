# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A few of the lock-outs and kills of tests/fault, on hosts of its own. `make fault` has all of them."""

from __future__ import annotations

import shutil

import hosts as fault_hosts
import pytest
import ufw_boot
import ufw_confirm
import ufw_kill
import ufw_lockout
import ufw_user

GOOD = ufw_lockout.GOOD


@pytest.fixture(autouse=True, scope="module")
def fixture_means():
    """A test that cannot run has not passed."""
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"


@pytest.fixture(name="fleet", scope="module")
def fixture_fleet():
    with fault_hosts.fleet(("trixie", "bookworm")) as found:
        yield {host.release: host for host in found}


@pytest.fixture(name="host", scope="module")
def fixture_host(fleet):
    return fleet["trixie"]


@pytest.fixture(name="users", params=["trixie", "bookworm"], scope="module")
def fixture_users(fleet, request):
    """A host with what a user without rights on it runs."""
    ufw_user.prepare(fleet[request.param])
    return fleet[request.param]


# One that cuts new connections, one that cuts the answers of the present one too, and one that switches ufw on.
@pytest.mark.parametrize("kind", ["wrong subnet", "no answer", "switched on"])
def test_a_ruleset_that_cuts_the_connection_is_refused_and_rolled_back_if_it_is_applied_all_the_same(host, kind):
    case = next(case for case in ufw_lockout.cases() if case.kind == kind)
    result = ufw_lockout.try_case(host, case, 5, late=55)
    assert result.problems == []
    assert result.cut and result.back


def test_a_change_is_confirmed_over_a_new_connection_and_the_next_run_needs_none(host):
    wish = {**GOOD, "rules": [ufw_lockout.SSH, {"rule": "allow", "proto": "tcp", "to_port": "8080"}]}
    assert host.task(wish)["confirmation"] == "confirmed over a new connection"
    answer = host.task(wish)
    assert (answer["changed"], answer["confirmation"]) == (False, "nothing to confirm")
    assert "8080" in host.shell("cat /etc/ufw/user.rules")


@pytest.fixture(name="bench", scope="module")
def fixture_bench(host):
    return ufw_kill.Bench(host)


@pytest.mark.parametrize(
    ("role", "how", "every", "offset"),
    [
        (ufw_kill.MODULE, "kill", 12, 11),  # in the middle, and at the end
        (ufw_kill.KEEP, "kill", 7, 5),  # among the renames
        (ufw_kill.KEEP, "stop", 40, 10),  # the whole host, among the renames
    ],
    ids=["module", "confirmation", "host"],
)
def test_after_a_kill_the_old_or_the_new_ruleset_is_there_as_a_whole(bench, role, how, every, offset):
    row = ufw_kill.try_role(bench, role, how, every, offset)
    assert row.problems == []
    assert row.tried >= 1


# The lock that others can open when the module comes; a lock file that root would wait for without end; and the rollback
# without room for its outcome. `make fault` has all of them.
@pytest.mark.parametrize(
    "name",
    [
        "a shared lock of the open file",
        "a FIFO as lock file",
        "/run filled up",
    ],
)
def test_a_user_without_rights_does_not_stop_the_rollback(users, name):
    attack = next(each for each in ufw_user.ATTACKS if each.name == name)
    assert ufw_user.try_attack(users, attack) == []


# Each undisturbed and killed once, with a boot at the end. `make fault` has all of them at many steps.
@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("/run full", ufw_kill.KEEP),
        ("inserted, ufw restarted", ufw_kill.KEEP),
        ("rules inserted", ufw_kill.BACK),
        ("everything flushed", ufw_kill.BACK),
    ],
)
def test_whatever_others_do_while_a_change_waits_kernel_and_files_agree_and_so_they_do_after_a_boot(bench, name, role):
    trouble = next(each for each in ufw_confirm.TROUBLES if each.name == name)
    row = ufw_confirm.try_trouble(bench, trouble, role, every=1000, turn=6)
    assert row.problems == []
    assert row.tried == 2


# One that is put right, one that is refused, and one whose own settings only ufw's start reads. `make fault` has all of them.
@pytest.mark.parametrize("name", ["unit masked", "a condition that is not met", "a policy in small letters"])
def test_the_next_boot_is_what_the_module_said(boots, name):
    row = ufw_boot.try_kind(boots, next(kind for kind in ufw_boot.KINDS if kind.name == name))
    assert row.problems == []


@pytest.fixture(name="boots", scope="module")
def fixture_boots(host):
    return ufw_boot.Boots(host)
