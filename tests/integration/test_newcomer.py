# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The README's "On your own fleet", to the letter: its commands are read from it, and the hosts have rules and containers of their own, over SSH with sudo.

Here two hosts, without Galaxy. BULKHEAD_NEWCOMER=whole (`make systems`) has Debian 11, 12 and 13, an empty Python, and a Galaxy.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hosts import NET
from hosts.machine import run, started
from newcomer import FLEETS, RULES, Desk, Mirror, Newcomer, Run, commands, inventory_of, site_of, takeover

FLEET = os.environ.get("BULKHEAD_NEWCOMER", "small")
PLAN, CHECK, SITE, PROVE = commands("bulkhead.tiers.site")


class Fleet:
    """The hosts, the controller, and what was found before and seen on the way."""

    def __init__(self, hosts: dict[str, Newcomer], desk: Desk) -> None:
        self.hosts, self.desk = hosts, desk
        self.before: dict[str, Any] = {}
        self.runs: dict[str, Run] = {}

    def theirs(self) -> dict[str, Any]:
        return {name: host.theirs() for name, host in self.hosts.items()}

    def go(self, command: str, **environment: str) -> Run:
        """A line of the README, and its output where it fails."""
        done = self.desk.run(command, **environment)
        assert done.status == 0, f"{command}\n{done.output[-8000:]}"
        return done


@pytest.fixture(name="fleet", scope="module")
def fixture_fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    # A test that cannot run has not passed.
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    folder = tmp_path_factory.mktemp("newcomer")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
    hosts = {name: Newcomer(name, kind, folder) for name, kind in FLEETS[FLEET].items()}
    desk = Desk(folder, inventory_of(hosts), site_of(FLEETS[FLEET]), FLEET == "whole")
    with started(list(hosts.values())), Mirror(f"10.{NET}.0.1") as mirror:
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda host: host.settle(mirror), hosts.values()))
        yield Fleet(hosts, desk)


# One after the other: each test goes on where the one before has stopped.


def test_it_installs_as_the_readme_says(fleet: Fleet):
    for done in fleet.desk.install():
        assert done.status == 0, f"{done.command}\n{done.output[-4000:]}"
    listed = fleet.go("ansible-galaxy collection list bulkhead.tiers").output
    assert str(fleet.desk.home) in listed and str(fleet.desk.checkout) not in listed


def test_the_plan_names_every_tier_and_asks_no_host(fleet: Fleet):
    done = fleet.go(PLAN)
    assert all(f" {tier} " in done.output for tier in site_of(FLEETS[FLEET])["bulkhead_tiers"]), done.output[-4000:]


def test_the_takeover_page_keeps_what_every_host_with_a_firewall_has(fleet: Fleet):
    for name, text in takeover.playbooks().items():
        (fleet.desk.folder / name).write_text(text)
    for command in takeover.commands("1."):
        fleet.go(command)
    here = {name for name, host in fleet.hosts.items() if not host.kind.fresh}
    assert {file.stem for file in (fleet.desk.folder / "before").iterdir()} == here


def test_the_check_changes_nothing_of_any_host(fleet: Fleet):
    fleet.before = fleet.theirs()
    fleet.runs["check"] = fleet.go(CHECK)
    assert fleet.theirs() == fleet.before
    for host in fleet.hosts.values():
        assert bool(host.shell("command -v ufw", check=False)) != host.kind.fresh


def test_the_run_takes_nothing_of_theirs_away(fleet: Fleet):
    # What it did is compared with what the check foresaw, so it shows its diffs; that is all that differs from the README.
    fleet.runs["site"] = fleet.go(SITE, ANSIBLE_DIFF_ALWAYS="1")
    assert fleet.theirs() == fleet.before
    for host in fleet.hosts.values():
        assert "Status: active" in host.shell("ufw status verbose")
        if host.kind.engine:
            # What they publish answers whom the site lets in.
            assert urllib.request.urlopen(f"http://{host.address[4]}:8080/", timeout=10).status == 200


def test_the_check_had_said_what_the_run_did(fleet: Fleet):
    check, site = fleet.runs["check"], fleet.runs["site"]
    assert check.changed() == site.changed() and len(check.changed()) > len(fleet.hosts)
    assert check.rules() == site.rules() and len(check.rules()) > len(fleet.hosts)
    assert not [line for line in check.rules() if line.startswith("-")]


def test_a_second_run_changes_nothing(fleet: Fleet):
    done = fleet.go(SITE)
    assert done.changed() == set() and set(done.totals()) - {"localhost"} == set(fleet.hosts), done.output[-4000:]
    assert fleet.theirs() == fleet.before


def test_the_proof_names_the_rules_that_were_kept_and_nothing_else(fleet: Fleet):
    done = fleet.desk.run(PROVE)
    kept = [name for name, host in fleet.hosts.items() if host.kind.rules]
    assert "0 wrong, 0 inconclusive" in done.output, done.output[-6000:]
    named = re.findall(r"^\u2717 (.*?): (\w+)'s `", done.output, re.MULTILINE)
    assert named == [("rule not as declared", name) for name in kept for _rule in RULES], done.output[-6000:]
    assert done.status != 0 and "which removes it unless firewall_purge is false" in " ".join(done.output.split())


def test_rules_that_are_flows_by_now_go_when_they_are_not_kept_and_let_in_what_they_did(fleet: Fleet):
    kept = {name: host for name, host in fleet.hosts.items() if host.kind.rules}
    fleet.desk.write(inventory_of(fleet.hosts, keep=False))
    check = fleet.go(CHECK)
    assert {host for _task, host in check.changed()} == set(kept)
    assert len(check.rules()) == len(kept) * len(RULES) and {line[0] for line in check.rules()} == {"-"}
    site = fleet.go(SITE, ANSIBLE_DIFF_ALWAYS="1")
    assert (site.changed(), site.rules()) == (check.changed(), check.rules())
    for name, found in fleet.theirs().items():
        assert {**found, "rules": 0, "kernel": 0} == {**fleet.before[name], "rules": 0, "kernel": 0}
        if name in kept:
            # Nothing listens there: the host answers that, and does not drop what asks.
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((kept[name].address[4], 9100), 10)


def test_the_proof_holds(fleet: Fleet):
    done = fleet.go(PROVE)
    assert "0 wrong, 0 inconclusive" in done.output and "\u2717" not in done.output, done.output[-6000:]


def test_the_way_back_of_the_takeover_page_leads_back(fleet: Fleet):
    kept = [name for name, host in fleet.hosts.items() if host.kind.rules]
    for name in kept:
        (back,) = takeover.commands("The way back", name)
        assert fleet.go(back).changed()
        assert fleet.hosts[name].theirs() == fleet.before[name]
        # "changes no file in `before`"
        assert fleet.go(f"{takeover.commands('1.')[-1]} --limit {name}").changed() == set()


def test_the_takeover_page_takes_a_host_over_one_step_after_the_other(fleet: Fleet):
    (name, tier) = next((name, host.kind.tier) for name, host in fleet.hosts.items() if host.kind.rules)
    _plan, check = takeover.commands("2.", name, tier)
    foreseen = fleet.go(check)
    assert len([line for line in foreseen.rules() if line.startswith("-")]) == len(RULES)
    kept, taken, whole, prove = takeover.commands("3.", name, tier)
    fleet.go(kept)
    assert fleet.hosts[name].theirs() == fleet.before[name]
    fleet.go(taken)
    assert not [line for line in fleet.hosts[name].theirs()["rules"] if line.startswith("ufw ")]
    fleet.go(whole)
    done = fleet.go(SITE)
    assert set(done.totals()) - {"localhost"} == set(fleet.hosts)
    assert "0 wrong, 0 inconclusive" in fleet.go(prove).output
