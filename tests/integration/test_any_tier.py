"""A site whose tiers have names that the collection has never heard of, on hosts over SSH: planned, applied, proven, and the same again."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import NET, RELEASES, Host
from hosts.machine import run, started

CHECKOUT = Path(__file__).parents[2]
BASE = f"10.{NET}.0"
#: Inventory name: (its group, its number in the network). The addresses are 10.NET.0.11 to 14.
FLEET = {"w1": ("web", 1), "d1": ("db", 2), "d2": ("db", 3), "e1": ("edge-1", 4)}
#: In an order that is neither the alphabet's nor the inventory's.
SITE = {
    "bulkhead_tiers": {
        "edge-1": {"vlan": 30, "subnet": f"{BASE}.14/31"},
        "web": {"vlan": 10, "subnet": f"{BASE}.10/31"},
        "db": {"vlan": 20, "subnet": f"{BASE}.12/31"},
    },
    "bulkhead_addresses": {"controller": f"{BASE}.1"},
    "bulkhead_services": {"ssh": "22/tcp", "http": "80/tcp", "postgres": "5432/tcp"},
    "bulkhead_flows": [
        {"from": "controller", "to": "tiers", "allow": "ssh"},
        {"from": "edge-1", "to": "web", "allow": "http"},
        {"from": "web", "to": "db", "allow": "postgres"},
        {"from": "db", "to": "self", "allow": "postgres"},
    ],
    "bulkhead_pools": {"engine": "172.28.0.0/16"},
    "bulkhead_networks": {"front": {"driver": "bridge", "on": "web", "subnet": "192.168.90.0/24"}},
}


class Site:
    """The inventory, and how its playbooks are run."""

    def __init__(self, folder: Path, hosts: dict[str, Host]) -> None:
        self.folder, self.hosts = folder, hosts
        groups: dict[str, dict] = {}
        for name, host in hosts.items():
            groups.setdefault(FLEET[name][0], {"hosts": {}})["hosts"][name] = host.inventory()
        inventory = {"all": {"children": groups, "vars": {**SITE, "ansible_become": False}}}
        (folder / "hosts.json").write_text(json.dumps(inventory))

    def run(self, playbook: str, *arguments: str) -> subprocess.CompletedProcess:
        """A playbook on the fleet, as from a checkout's folder of another name."""
        ansible = Path(sys.executable).parent / "ansible-playbook"
        paths = {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.folder / "cp"), "ANSIBLE_NOCOLOR": "1"}
        return subprocess.run(
            [ansible, "-i", self.folder / "hosts.json", CHECKOUT / "playbooks" / f"{playbook}.yml", *arguments],
            cwd=self.folder,
            env={**os.environ, "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"), **paths},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


def recap(done: subprocess.CompletedProcess) -> dict[str, dict[str, int]]:
    """{host: {what: how often}} of a run."""
    return {
        host: {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)", counts)}
        for host, counts in re.findall(r"^(\w+)\s+: (ok=.*)$", done.stdout, re.MULTILINE)
    }


@pytest.fixture(name="site", scope="module")
def fixture_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    # A test that cannot run has not passed.
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    folder = tmp_path_factory.mktemp("any-tier")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
    hosts = {name: Host(number, RELEASES[number % 2], folder) for name, (_group, number) in FLEET.items()}
    with started(list(hosts.values())):
        yield Site(folder, hosts)


# One after the other: each test goes on where the one before has stopped.


def test_it_is_planned(site: Site):
    done = site.run("plan")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SITE  3 tiers" in done.stdout and "edge-1" in done.stdout


def test_it_is_applied_tier_by_tier_in_declared_order(site: Site):
    done = site.run("site")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    applied = done.stdout.split("Apply the ruleset] ")[1:]
    assert [set(re.findall(r"^changed: \[(\w+)\]", part.split("TASK [")[0], re.MULTILINE)) for part in applied] == [
        {"e1"},
        {"w1"},
        {"d1", "d2"},
    ]
    for host in site.hosts.values():
        assert "Status: active" in host.shell("ufw status verbose")
    assert "192.168.90.0/24" in site.hosts["w1"].shell("docker network inspect front")
    # No engine where the site has nothing for one.
    assert site.hosts["d1"].shell("systemctl is-active docker", check=False).strip() != "active"


def test_it_is_proven(site: Site):
    done = site.run("prove")
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert "0 wrong, 0 inconclusive" in done.stdout
    assert re.search(r"^web +→ db +postgres$", done.stdout, re.MULTILINE)


def test_a_second_run_changes_nothing(site: Site):
    done = site.run("site")
    assert done.returncode == 0 and {counts["changed"] for counts in recap(done).values()} == {0}, done.stdout[-4000:]
    assert set(recap(done)) == set(FLEET)


def test_a_limited_run_touches_its_own_hosts_alone(site: Site):
    done = site.run("site", "--limit", "d2", "--tags", "firewall")
    assert done.returncode == 0 and set(recap(done)) == {"d2"}, done.stdout[-4000:]
