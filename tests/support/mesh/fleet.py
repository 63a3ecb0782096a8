# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small site on throw-away hosts, for runs in slices: what is declared, and what the hosts have of it."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hosts import NET, Host
from hosts.machine import run, started
from playbook import playbook

from .job import Job

BASE = f"10.{NET}.0"
#: {host: (its tier, its number)}; the numbers lie in the tier's subnet.
FLEET = {
    "web1": ("web", 2),
    "web2": ("web", 3),
    "db1": ("db", 4),
    "db2": ("db", 5),
    "mon1": ("mon", 6),
    "mon2": ("mon", 7),
}
SITE: dict[str, Any] = {
    "bulkhead_tiers": {
        "web": {"vlan": 10, "subnet": [f"{BASE}.12/31", f"fd00:{NET}::12/127"]},
        "db": {"vlan": 20, "subnet": [f"{BASE}.14/31", f"fd00:{NET}::14/127"]},
        "mon": {"vlan": 30, "subnet": [f"{BASE}.16/31", f"fd00:{NET}::16/127"]},
    },
    "bulkhead_addresses": {"controller": f"{BASE}.1"},
    "bulkhead_services": {"ssh": "22/tcp", "postgres": "5432/tcp", "https": "443/tcp", "exporter": "9100/tcp"},
    "bulkhead_flows": [
        {"from": "controller", "to": "tiers", "allow": "ssh"},
        {"from": "web", "to": "db", "allow": "postgres"},
        {"from": "internet", "to": "web", "allow": "https", "limit": True},
        {"from": "mon", "to": "tiers", "allow": "exporter"},
    ],
    "bulkhead_never": [{"from": "internet", "to": "db", "deny": "postgres"}],
}
#: Packet counters, and when it was saved.
_COUNTERS = re.compile(r"\[\d+:\d+\]|^#.*$", re.MULTILINE)


class Site:
    """Hosts that are up, and their site."""

    def __init__(self, folder: Path, hosts: dict[str, Host]) -> None:
        self.folder, self.hosts = folder, hosts
        self.declared = copy.deepcopy(SITE)
        self.declare(9100)

    @property
    def source(self) -> Path:
        """The inventory as a file, of what is declared now."""
        groups: dict[str, dict[str, Any]] = {}
        for name, host in self.hosts.items():
            known = {key: value for key, value in host.inventory().items() if key != "ansible_ssh_private_key_file"}
            groups.setdefault(FLEET[name][0], {"hosts": {}})["hosts"][name] = known
        tree = {"all": {"children": groups, "vars": {**self.declared, "ansible_become": False}}}
        path = self.folder / "hosts.json"
        path.write_text(json.dumps(tree))
        return path

    def declare(self, port: int) -> None:
        """Another port of the exporter: every host's rules change."""
        self.port = port
        self.declared["bulkhead_services"]["exporter"] = f"{port}/tcp"

    def job(self, playbook: str = "bulkhead.tiers.site", **more: Any) -> Job:
        return Job.of(playbook, self.source, self.folder / "key", **more)

    def whole(self, name: str = "site", *arguments: str) -> subprocess.CompletedProcess[str]:
        """The playbook on all hosts at once, without a mesh."""
        words = ("--private-key", self.folder / "key", *arguments)
        return playbook(name, self.source, *words, folder=self.folder, seconds=900)

    def reset(self) -> None:
        """Hosts without a firewall, as they were made."""
        for host in self.hosts.values():
            host.shell("ufw --force disable >/dev/null; ufw --force reset >/dev/null; rm -f /etc/ufw/*.rules.*")

    def rules(self) -> dict[str, str]:
        """{host: all of its rules, byte for byte, without counters and times}"""
        save = "iptables-save; ip6tables-save"
        return {name: _COUNTERS.sub("", host.shell(save)) for name, host in self.hosts.items()}


def changed(said: str) -> dict[str, int]:
    """{host: changed tasks} of a playbook's recap."""
    return {name: int(number) for name, number in re.findall(r"^(\S+) +: ok=.* changed=(\d+)", said, re.MULTILINE)}


@contextmanager
def site(names: tuple[str, ...] = tuple(FLEET)) -> Iterator[Site]:
    """Hosts that are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bulkhead-slices-") as name:
        folder = Path(name)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
        hosts = {name: Host(FLEET[name][1], ("bookworm", "trixie")[FLEET[name][1] % 2], folder) for name in names}
        with started(list(hosts.values())):
            yield Site(folder, hosts)
