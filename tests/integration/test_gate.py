# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The gate at the beginning of site.yml, on hosts over SSH: what it says, what it stops, and the record that it leaves."""

from __future__ import annotations

import copy
import json
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hosts import NET, RELEASES, Host
from hosts.machine import run, started
from playbook import playbook

CHECKOUT = Path(__file__).parents[2]
BASE = f"10.{NET}.0"
FLEET = {"w1": ("web", 1), "d1": ("db", 2)}
SITE: dict[str, Any] = {
    "bulkhead_tiers": {
        "web": {"vlan": 10, "subnet": f"{BASE}.10/31"},
        "db": {"vlan": 20, "subnet": f"{BASE}.12/31"},
    },
    "bulkhead_addresses": {"controller": f"{BASE}.1"},
    "bulkhead_services": {"ssh": "22/tcp", "postgres": "5432/tcp", "redis": "6379/tcp", "exporter": "9100/tcp"},
    "bulkhead_flows": [
        {"from": "controller", "to": "tiers", "allow": "ssh"},
        {"from": "web", "to": "db", "allow": "postgres"},
    ],
    "bulkhead_never": [{"from": "web", "to": "db", "deny": "redis"}],
}


class Site:
    """The inventory, and how site.yml is run."""

    def __init__(self, folder: Path, hosts: dict[str, Host]) -> None:
        self.folder, self.hosts = folder, hosts
        self.declared = copy.deepcopy(SITE)

    def run(self, *arguments: str, name: str = "site") -> subprocess.CompletedProcess:
        groups: dict[str, dict] = {}
        for each, host in self.hosts.items():
            groups.setdefault(FLEET[each][0], {"hosts": {}})["hosts"][each] = host.inventory()
        # Hosts of no tier are in the plays as well, and are to be stopped with the others.
        if name == "site":
            groups["elsewhere"] = {"hosts": {"x1": {"ansible_connection": "local"}}}
        tree = {"all": {"children": groups, "vars": {**self.declared, "ansible_become": False}}}
        (self.folder / "hosts.json").write_text(json.dumps(tree))
        return playbook(name, self.folder / "hosts.json", *arguments, folder=self.folder)

    def records(self) -> list[dict[str, Any]]:
        folder = self.folder / "reports" / "changes"
        paths = sorted(folder.glob("2*.json"), key=lambda path: path.stat().st_mtime)
        return [json.loads(path.read_text()) for path in paths]


@pytest.fixture(name="site", scope="module")
def fixture_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    folder = tmp_path_factory.mktemp("gate")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
    hosts = {name: Host(number, RELEASES[number % 2], folder) for name, (_group, number) in FLEET.items()}
    with started(list(hosts.values())):
        yield Site(folder, hosts)


#: What the gate does after its judgment, on the controller: it hands on to AWX what was found, also where it stops the run.
HANDED_ON = "bulkhead.tiers.change : Hand on what was found"


def touched(done: subprocess.CompletedProcess) -> bool:
    """Whether any other task, or any play, was begun after the gate."""
    after = done.stdout.partition("TASK [bulkhead.tiers.change : Say what would open and close")[2]
    assert after, "the gate was not asked"
    tasks, plays = (re.findall(rf"^{word} \[(.+)\] \*", after, re.MULTILINE) for word in ("TASK", "PLAY"))
    return bool(plays) or any(task != HANDED_ON for task in tasks)


# One after the other: each test goes on where the one before has stopped.


def test_the_first_run_closes_what_nobody_declared_and_leaves_a_record(site: Site):
    done = site.run("-e", "change_reason='CHG-1: the first one'")
    assert done.returncode == 0 and touched(done), done.stdout[-6000:] + done.stderr
    assert "the rules of 2 hosts change" in done.stdout
    (record,) = site.records()
    assert (record["result"], record["why"]) == ("finished", "CHG-1: the first one")
    assert sorted(record["hosts"]["touched"]) == ["d1", "w1"] and record["closed"] and record["opened"] == []
    assert record["hosts"]["not_finished"] == [] and record["proof_before"] is None
    for path in (site.folder / "reports" / "changes").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_run_that_changes_nothing_says_so_in_a_line_and_leaves_no_record(site: Site):
    done = site.run("-vvv")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert "Nothing changes: the rules of 2 hosts are as they are to be." in done.stdout
    # The gate has asked for all that the tier's role would ask: each host has one trip in the whole run.
    for host in site.hosts.values():
        trips = re.findall(rf"^<{re.escape(host.address[4])}> SSH: EXEC ", done.stdout, re.MULTILINE)
        assert len(trips) == 1, trips
    assert len(site.records()) == 1


def test_check_says_which_flow_would_open_and_on_which_tier(site: Site):
    site.declared["bulkhead_flows"].append({"from": "web", "to": "db", "allow": "exporter"})
    done = site.run("--check")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert "opened    web -> db exporter, on 1 host: bulkhead_flows[2] declares it" in done.stdout
    record = site.records()[-1]
    assert (record["result"], record["closed"]) == ("planned", [])
    assert [(one["from"], one["to"], one["service"]) for one in record["opened"]] == [("web", "db", "exporter")]
    assert "5432" in site.hosts["d1"].shell("ufw status") and "9100" not in site.hosts["d1"].shell("ufw status")


def test_a_site_that_stops_on_what_opens_is_stopped_before_a_host_is_touched(site: Site):
    site.declared["bulkhead_changes"] = {"stop_on": ["opened"]}
    done = site.run()
    assert done.returncode != 0 and not touched(done)
    assert "bulkhead_changes.stop_on: got 1 opened" in done.stdout + done.stderr
    assert site.records()[-1]["result"] == "stopped"
    assert "9100" not in site.hosts["d1"].shell("ufw status")


def test_what_another_run_has_opened_and_nobody_confirmed_is_still_to_be_opened(site: Site):
    host = site.hosts["d1"]
    host.install()
    rule = {"rule": "allow", "proto": "tcp", "from_ip": f"{BASE}.10/31", "to_port": "9100"}
    token = host.driver({"rules": [rule], "confirm": {"timeout": 600}})["pending"]["token"]
    with ThreadPoolExecutor() as pool:
        running = pool.submit(site.run)
        host.roll_back(token, runs=1)
        done = running.result()
    assert done.returncode != 0 and not touched(done), done.stdout[-6000:]
    assert "bulkhead_changes.stop_on: got 1 opened" in done.stdout + done.stderr
    assert "for another change, which was settled" in done.stdout + done.stderr
    assert "9100" not in host.shell("iptables-save")


def test_a_reason_is_asked_for_where_the_site_says_so(site: Site):
    site.declared["bulkhead_changes"] = {"reason": "required"}
    done = site.run()
    assert done.returncode != 0 and not touched(done)
    assert "change_reason: got nothing; expected why this change is made" in done.stdout + done.stderr


def test_a_foreign_rule_that_breaks_an_invariant_stops_the_run(site: Site):
    rule = f"INPUT -s {BASE}.10/31 -p tcp --dport 6379 -j ACCEPT"
    site.hosts["d1"].shell(f"iptables -I {rule}")
    try:
        done = site.run("-e", "change_reason=x")
    finally:
        site.hosts["d1"].shell(f"iptables -D {rule}")
    assert done.returncode != 0 and not touched(done)
    assert "bulkhead_never: got" in done.stdout + done.stderr
    assert "6379" in json.dumps(site.records()[-1]["broken"])


def test_an_accepted_change_with_a_reason_is_made_and_its_proof_is_noted(site: Site):
    site.declared["bulkhead_changes"] = {"reason": "required", "stop_on": ["opened"]}
    done = site.run("-e", "change_reason=CHG-2", "-e", "change_accept=opened")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert "9100" in site.hosts["d1"].shell("ufw status")
    record = site.records()[-1]
    assert (record["result"], record["accepted"], record["proof_after"]) == ("finished", ["opened"], None)
    proven = site.run(name="prove")
    record = site.records()[-1]
    assert record["proof_after"]["holds"] is (proven.returncode == 0)
    assert record["proof_after"]["summary"] and "Noted in the record of the last change" in proven.stdout


def test_a_rule_of_another_hand_is_closed_and_the_gate_says_so(site: Site):
    site.hosts["d1"].shell("ufw allow 8080/tcp")
    done = site.run("-e", "change_reason=CHG-3")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    record = site.records()[-1]
    assert record["opened"] == [] and record["hosts"]["touched"] == ["d1"]
    assert any("8080" in one["text"] and one["to"] == "db" for one in record["closed"])
    assert record["proof_before"] == site.records()[-2]["proof_after"]


def test_the_gate_can_be_left_out(site: Site):
    site.hosts["d1"].shell("ufw allow 8080/tcp")
    before = len(site.records())
    done = site.run("-e", "change_gate=false")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    assert "Nothing changes" not in done.stdout and len(site.records()) == before
    assert not re.search("8080", site.hosts["d1"].shell("ufw status"))
