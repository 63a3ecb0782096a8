# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hosts that others have set up: sudo users, rules, containers. Nothing on them is made for this collection."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from hosts import NET, PREFIX, Host
from hosts.engine import _MAKE_IMAGE, SERVICE_IMAGE
from hosts.machine import wait

from .mirror import Mirror

BASE = f"10.{NET}.0"
#: The operator's password for sudo, where it asks.
PASSWORD = "correct horse"
#: What the operator has set in daemon.json.
DAEMON = {"data-root": "/var/lib/docker/theirs", "log-driver": "local", "registry-mirrors": ["https://mirror.example"]}
#: The rules of the operator's, as arguments of ufw, and how `ufw show added` has them.
RULES = [
    f"allow proto tcp from {BASE}.1 to any port 22 comment 'the way in'",
    "deny from 203.0.113.0/24 comment 'they scan'",
    f"allow proto tcp from {BASE}.1 to any port 9100",
]
#: Their own line in before.rules.
BEFORE = "-A ufw-before-input -p tcp --dport 7 -s 198.51.100.7 -j DROP"


class Kind(NamedTuple):
    """A host as it is found: its tier, its place in the network, and what is on it."""

    tier: str
    number: int
    release: str
    fresh: bool = False  # no ufw, and no python3-apt
    engine: bool = False  # with containers, a data-root and settings of its own
    rules: bool = False  # ufw is on, with rules
    password: bool = False  # sudo asks for one


FLEETS = {
    "small": {
        "web1": Kind("web", 1, "trixie", fresh=True, password=True),
        "app1": Kind("app", 2, "bookworm", engine=True, rules=True),
    },
    "whole": {
        "web1": Kind("web", 1, "bullseye", fresh=True),
        "app1": Kind("app", 2, "bookworm", engine=True),
        "app2": Kind("app", 3, "bullseye", engine=True, rules=True, password=True),
        "db1": Kind("db", 4, "trixie", rules=True),
        "db2": Kind("db", 5, "trixie", fresh=True, password=True),
    },
}
#: Each tier's network, its first address the next hop, which is no host of the inventory.
SUBNETS = {"web": f"{BASE}.16/28", "app": f"{BASE}.32/28", "db": f"{BASE}.48/28"}
GATEWAYS = {"web": f"{BASE}.17", "app": f"{BASE}.33", "db": f"{BASE}.49"}


def site_of(kinds: dict[str, Kind]) -> dict[str, Any]:
    """What the operator declares: their own rules are flows of it."""
    tiers = {kind.tier for kind in kinds.values()}
    flows = [
        {"from": "controller", "to": "tiers", "allow": "ssh", "why": "the operator's way in"},
        {"from": "controller", "to": "app", "allow": ["shop", "node_exporter"]},
        {"from": "web", "to": "app", "allow": "shop"},
        {"from": "app", "to": "db", "allow": "postgres"},
        {"from": "controller", "to": "db", "allow": "node_exporter"},
    ]
    services = {"ssh": "22/tcp", "shop": "8080/tcp", "postgres": "5432/tcp", "node_exporter": "9100/tcp"}
    flows = [flow for flow in flows if flow["to"] in {*tiers, "tiers"}]
    return {
        "bulkhead_tiers": {
            name: {"vlan": vlan, "subnet": SUBNETS[name], "gateway": GATEWAYS[name]}
            for vlan, name in enumerate(SUBNETS, 10)
            if name in tiers
        },
        "bulkhead_addresses": {"controller": f"{BASE}.1"},
        "bulkhead_services": {name: port for name, port in services.items() if name in str(flows)},
        "bulkhead_flows": flows,
        "bulkhead_pools": {"engine": "172.28.0.0/16"},
        "bulkhead_networks": {"front": {"driver": "bridge", "on": "app", "subnet": "192.168.90.0/24"}},
    }


class Newcomer(Host):
    """A host over SSH, with a user who may use sudo."""

    def __init__(self, name: str, kind: Kind, folder: Path) -> None:
        super().__init__(kind.number, kind.release, folder)
        self.kind = kind
        self.name = f"{PREFIX}-{name}"
        first = int(GATEWAYS[kind.tier].rpartition(".")[2])
        self.addresses = {4: f"{BASE}.{first + kind.number}", 6: f"fd00:{NET}::1{kind.number}"}
        self.address = self.addresses

    def settle(self, mirror: Mirror) -> None:
        """What its operator has done in the years before."""
        self.put("/etc/apt/sources.list", mirror.source(self.release))
        quiet = "export DEBIAN_FRONTEND=noninteractive; "
        self.shell(quiet + "apt-get update -q && apt-get install -qy --no-install-recommends sudo")
        self.shell("useradd --create-home --shell /bin/bash ops")
        self.put("/etc/sudoers.d/ops", f"ops ALL=(ALL) {'' if self.kind.password else 'NOPASSWD: '}ALL\n", "440")
        self.shell(f"echo 'ops:{PASSWORD}' | chpasswd")
        self.shell("install -d -o ops -m 700 /home/ops/.ssh; cp /root/.ssh/authorized_keys /home/ops/.ssh/")
        self.shell("chown -R ops /home/ops/.ssh; rm /root/.ssh/authorized_keys")
        missing = ["ufw", "rsyslog", "python3-apt"] if self.kind.fresh else []
        missing += [] if self.kind.engine else ["docker.io", "python3-docker"]
        self.shell(quiet + f"apt-get purge -qy {' '.join(missing)}" if missing else "true")
        if self.kind.engine:
            self._run_containers()
        if self.kind.rules:
            self._set_rules()

    def _run_containers(self) -> None:
        self.put("/etc/docker/daemon.json", json.dumps(DAEMON))
        self.shell("echo nameserver 127.0.0.1 >/etc/resolv.conf; systemctl enable --now docker")
        wait(lambda: self.shell("docker info --format '{{.ServerVersion}}'", check=False).strip(), 60)
        self.shell(_MAKE_IMAGE.replace("NAME", SERVICE_IMAGE))
        self.shell("docker network create theirs; docker volume create kept")
        shop = f"{SERVICE_IMAGE} -m http.server 8080 --directory /usr"
        self.shell(f"docker run -d --name shop --restart always --network theirs -p 8080:8080 -v kept:/kept {shop}")
        self.shell(f"docker run -d --name batch {SERVICE_IMAGE} -c 'import time; time.sleep(1e6)'")
        self.shell("echo precious >$(docker volume inspect --format '{{.Mountpoint}}' kept)/data")

    def _set_rules(self) -> None:
        for rule in RULES:
            self.shell(f"ufw {rule}")
        self.shell(f"sed -i '/^COMMIT/i {BEFORE}' /etc/ufw/before.rules; ufw --force enable")

    def theirs(self) -> dict[str, Any]:
        """All on it that is its operator's, as it is now."""
        found: dict[str, Any] = {"a way in": self.shell("cat /home/ops/.ssh/authorized_keys /etc/sudoers.d/ops")}
        if self.kind.rules:
            added = self.shell("ufw show added").splitlines()
            # The site's own have the flow in their comments.
            found["rules"] = [line for line in added if "->" not in line]
            found["before.rules"] = BEFORE in self.shell("cat /etc/ufw/before.rules")
            found["kernel"] = [line for line in self.shell("iptables -S").splitlines() if "203.0.113" in line]
        if self.kind.engine:
            running = self.shell("docker ps --no-trunc --format '{{.ID}} {{.Names}} {{.Ports}}'").splitlines()
            found["containers"] = sorted(re.sub(r", (::|\[::\]):8080->8080/tcp", "", line) for line in running)
            found["data-root"] = self.shell("docker info --format '{{.DockerRootDir}}'").strip()
            daemon = json.loads(self.shell("cat /etc/docker/daemon.json"))
            found["daemon.json"] = {name: daemon.get(name) for name in DAEMON}
            found["volume"] = self.shell("cat $(docker volume inspect --format '{{.Mountpoint}}' kept)/data")
            networks = self.shell("docker network inspect theirs --format '{{.Id}} {{json .IPAM.Config}}'")
            found["networks"] = networks.strip()
            found["the engine's package"] = self.shell("dpkg-query -W docker.io")
        return found

    def inventory(self, family: int = 4) -> dict:
        """As the README has it, with the key and the password of this host's operator."""
        known = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        variables = {
            "ansible_host": self.address[family],
            "ansible_ssh_private_key_file": str(self.folder / "key"),
            "ansible_ssh_common_args": known,
        }
        variables |= {"ansible_become_password": PASSWORD} if self.kind.password else {}
        return variables


def inventory_of(hosts: dict[str, Newcomer], keep: bool = True) -> dict[str, Any]:
    """hosts.yml. ``keep``: the rules of a host that has some stay."""
    groups: dict[str, Any] = {"all": {"vars": {"ansible_user": "ops"}}}
    for name, host in hosts.items():
        kept = {"firewall_purge": False} if keep and host.kind.rules else {}
        groups.setdefault(host.kind.tier, {"hosts": {}})["hosts"][name] = {**host.inventory(), **kept}
    return groups
