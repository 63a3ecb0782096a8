"""A site whose tiers have names that the collection has never heard of, on hosts over SSH: planned, applied, proven, and the same again."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import NET, RELEASES, Host
from hosts.machine import run, started
from playbook import playbook

CHECKOUT = Path(__file__).parents[2]
BASE = f"10.{NET}.0"
#: Inventory name: (its group, its number in the network). The addresses are 10.NET.0.11 to 14.
FLEET = {"w1": ("web", 1), "d1": ("db", 2), "d2": ("db", 3), "e1": ("edge-1", 4), "w2": ("web", 5)}
#: The host that nothing is applied to.
FRESH = "w2"
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
            if name == FRESH and len(hosts) > 1:
                continue
            groups.setdefault(FLEET[name][0], {"hosts": {}})["hosts"][name] = host.inventory()
        inventory = {"all": {"children": groups, "vars": {**SITE, "ansible_become": False}}}
        (folder / "hosts.json").write_text(json.dumps(inventory))

    def run(self, name: str, *arguments: str) -> subprocess.CompletedProcess:
        """A playbook on the fleet, as from a checkout's folder of another name."""
        return playbook(name, self.folder / "hosts.json", *arguments, folder=self.folder)


def applied_hosts() -> list[str]:
    return [name for name in FLEET if name != FRESH]


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


@pytest.fixture(name="fresh", scope="module")
def fixture_fresh(site: Site) -> Site:
    """The same site on one host alone that has nothing of what the roles install. A package never comes back: no mirror is in reach."""
    folder = site.folder / "fresh"
    folder.mkdir()
    site.hosts["w2"].shell(
        "DEBIAN_FRONTEND=noninteractive apt-get purge --yes ufw rsyslog python3-apt docker.io python3-docker"
    )
    return Site(folder, {"w2": site.hosts["w2"]})


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
    for name in applied_hosts():
        assert "Status: active" in site.hosts[name].shell("ufw status verbose")
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
    assert set(recap(done)) - {"localhost"} == set(applied_hosts())


def test_a_limited_run_touches_its_own_hosts_alone(site: Site):
    done = site.run("site", "--limit", "d2", "--tags", "firewall")
    assert done.returncode == 0 and set(recap(done)) == {"d2"}, done.stdout[-4000:]


def test_the_first_look_at_a_fresh_host_shows_the_whole_ruleset_that_would_come(site: Site, fresh: Site):
    done = fresh.run("site", "--check", "--diff")
    counts = recap(done)["w2"]
    assert done.returncode == 0 and counts["failed"] == 0 and counts["changed"] > 0, done.stdout[-6000:] + done.stderr
    shown = {line[1:] for line in done.stdout.splitlines() if line.startswith("+") and not line.startswith("+++")}
    there = Site(fresh.folder, {"w1": site.hosts["w1"]}).run("site", "--check", "--diff", "--tags", "firewall")
    assert recap(there)["w1"]["changed"] == 0
    assert {"state: enabled", "default: deny (incoming), allow (outgoing), deny (routed)"} <= shown
    # What its neighbour in the tier has by now.
    assert f"allow in proto tcp from {BASE}.14/31 to {BASE}.10/31 port 80" in "\n".join(shown)
    assert "not installed" in " ".join((done.stdout + done.stderr).split())


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ({"ansible_python_interpreter": "/usr/bin/python9"}, "ansible_python_interpreter"),
        ({"ansible_become": True, "ansible_user": "nobody"}, "become"),
    ],
)
def test_what_keeps_tasks_from_running_is_not_put_down_to_apt(site: Site, reason: dict[str, Any], words: str):
    if "ansible_user" in reason:
        site.hosts["d2"].shell(
            "usermod --shell /bin/sh nobody; mkdir -p /tmp/nobody/.ssh; usermod --home /tmp/nobody nobody; "
            "cp /root/.ssh/authorized_keys /tmp/nobody/.ssh/; chown -R nobody /tmp/nobody; chmod -R go= /tmp/nobody"
        )
    done = site.run("site", "--limit", "d2", "--extra-vars", json.dumps(reason))
    said = " ".join(done.stdout.split())
    assert done.returncode != 0 and words in said and "apt was not asked" in said and "apt mirror" not in said, said[
        -3000:
    ]
