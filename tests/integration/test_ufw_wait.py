# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs that come to a host over SSH while the change of a run whose controller is gone still waits there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from hosts import Host, fleet
from hosts.machine import Play


@pytest.fixture(name="host", scope="module")
def fixture_host() -> Iterator[Host]:
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    with fleet(("trixie",)) as (host,):
        host.install()
        host.shell("ufw allow 22/tcp; ufw --force enable")
        yield host


def wish(port: int) -> dict:
    rules = [{"rule": "allow", "proto": "tcp", "to_port": str(each)} for each in (22, port)]
    # Long enough that nothing is rolled back before this test does that, however busy the machine is.
    return {"purge": True, "rules": rules, "confirm": {"timeout": 600}}


def left_behind(host: Host, port: int) -> str:
    """Leave an unconfirmed change on the host; its token."""
    pending = host.driver(wish(port))["pending"]
    assert pending["waited"] == 0
    return pending["token"]


def play(host: Host, port: int, *options: str) -> Play:
    # A connection that both shared would be closed by the first one that confirms.
    paths = str(host.folder / f"cp{port}")
    return Play(
        host.name,
        host.inventory(),
        [{"bulkhead.tiers.ufw_ruleset": wish(port)}],
        options=options,
        ANSIBLE_SSH_CONTROL_PATH_DIR=paths,
    )


def test_two_runs_wait_for_the_rollback_and_one_of_them_for_the_other_ones_confirmation(host: Host) -> None:
    token = left_behind(host, 8001)
    plays = {port: play(host, port) for port in (8002, 8003)}
    host.roll_back(token, runs=2)
    results = {port: each.results()[0][1] for port, each in plays.items()}
    assert [each.get("confirmation") for each in results.values()] == ["confirmed over a new connection"] * 2, results
    ends = {port: result["warnings"][0].rpartition(" was ")[2] for port, result in results.items()}
    assert sorted(ends.values()) == ["kept", "rolled back"], results
    # The one that waited for the other one took its rule away, as it does not list it.
    ((last, _end),) = [each for each in ends.items() if each[1] == "kept"]
    found = host.shell("cat /etc/ufw/user.rules; iptables-save")
    assert [port for port in (8001, *plays) if f"dport {port}" in found] == [last]


def test_a_check_predicts_what_a_run_does_after_the_rollback(host: Host) -> None:
    token = left_behind(host, 8001)
    check = play(host, 8001, "--check")
    host.roll_back(token, runs=1)
    ((_task, result),) = check.results()
    assert result["changed"] and "rolled back" in result["warnings"][0], result
    assert "8001" in str(result["added"])
