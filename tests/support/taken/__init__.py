"""A fleet without hosts, one of which was taken over: its Python answers what it likes.

Every host's interpreter is a program of this folder. It runs no module: it notes which one it was given, with its
arguments and the file that came with it, and answers from a table. The taken host's adds facts to what it answers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import snapshot_of

#: The checkout whose playbooks are run; another one may be named, to see what they did before.
CHECKOUT = Path(os.environ.get("TAKEN_CHECKOUT") or Path(__file__).parents[3])
INTERPRETER = Path(__file__).with_name("interpreter.py")

SITE: dict[str, Any] = {
    "bulkhead_tiers": {
        "management": {"vlan": 10, "subnet": "10.0.1.0/24"},
        "provisioning": {"vlan": 20, "subnet": "10.0.2.0/24"},
        "monitoring": {"vlan": 30, "subnet": "10.0.3.0/24"},
        "swarm_workers": {"vlan": 40, "subnet": "10.0.4.0/24"},
        "apps": {"vlan": 50, "subnet": "10.0.5.0/24"},
    },
    "bulkhead_services": {"ssh": "22/tcp", "swarm": ["2377/tcp", "7946/tcp", "7946/udp", "4789/udp"]},
    "bulkhead_flows": [{"from": "swarm_workers", "to": "self", "allow": "swarm"}],
    "bulkhead_pools": {"engine": "172.28.0.0/16", "swarm": "172.29.0.0/16", "overlay": "172.30.0.0/16"},
    "bulkhead_swarm": {"tier": "swarm_workers", "managers": {"manager1": "10.0.4.11"}},
    "bulkhead_stacks": {"shop": {"file": "shop.yml", "kind": "compose", "on": "apps"}},
    "maas_host": "maas.example",
    "provisioning_maas_url": "http://{{ maas_host }}/MAAS",
    "provisioning_maas_api_key": "consumer:token:maas-secret",
    "provisioning_maas_delegate": "controller",
}
#: In this order: what a play does once, it does with the taken host's variables.
HOSTS = {
    "taken": ["gateway", "management", "provisioning", "monitoring", "swarm_workers", "apps"],
    "manager1": ["swarm_workers"],
    "worker1": ["swarm_workers"],
    "apps1": ["apps"],
    "controller": [],
}


@dataclass(frozen=True)
class Call:
    """A module that a host was given."""

    host: str
    module: str
    arguments: Mapping[str, Any]
    #: The text of the file that was copied there for it.
    content: str


@dataclass(frozen=True)
class Outcome:
    """What a run of a playbook has come to."""

    status: int
    output: str
    calls: tuple[Call, ...]

    def of(self, module: str, host: str = "taken") -> list[Call]:
        return [call for call in self.calls if (call.module, call.host) == (module, host)]


class Fleet:
    """The inventory, the secrets of the controller, and the hosts' interpreters, below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.inventory = folder / "inventory"
        self.pins = self.inventory / "group_vars" / "all" / "allocations.yml"
        self.secret = folder / "controller" / "secret.yml"
        self.keys = folder / "controller" / "ssh"
        self._log = folder / "calls"
        for path, text in {
            self.inventory / "group_vars" / "all" / "site.json": json.dumps(
                {**SITE, "stacks_directory": str(folder / "stacks")}
            ),
            self.inventory / "hosts.json": json.dumps(self._hosts()),
            self.pins: "---\n",
            folder / "ansible.cfg": "[defaults]\n",
            folder / "stacks" / "shop.yml": "services: {}\n",
            self.secret: "services: {}\nx-secret: the controller's secret\n",
            self.keys / "id_ed25519": "the controller's key\n",
        }.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for host in HOSTS:
            self._interpreter(host).write_text(
                f"#!{sys.executable} -S\n"
                + INTERPRETER.read_text(encoding="utf-8").replace(
                    'HOST, FOLDER, SNAPSHOT = "", "", ""',
                    f"HOST, FOLDER, SNAPSHOT = {host!r}, {str(folder)!r}, {snapshot_of()!r}",
                ),
                encoding="utf-8",
            )
            self._interpreter(host).chmod(0o755)

    def _interpreter(self, host: str) -> Path:
        return self.folder / f"python-{host}"

    def _hosts(self) -> dict:
        groups: dict[str, Any] = {}
        for host, names in HOSTS.items():
            for name in names or ["outside"]:
                groups.setdefault(name, {"hosts": {}})["hosts"][host] = {}
        hosts = {
            host: {"ansible_connection": "local", "ansible_python_interpreter": str(self._interpreter(host))}
            for host in HOSTS
        }
        return {"all": {"hosts": hosts, "vars": {"ansible_become": False}, "children": groups}}

    def run(
        self,
        playbook: str,
        facts: Mapping[str, Any],
        inject: bool,
        modules: Collection[str] = (),
        cached: bool = False,
        variables: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Run a playbook while the taken host answers with facts.

        inject: whether Ansible makes variables of facts; modules: those whose answers hold them, none: all; cached:
        whether an earlier run has left them in a fact cache; variables: extra ones of the run.
        """
        (self.folder / "attack").write_text(json.dumps({"facts": facts, "modules": list(modules)}), encoding="utf-8")
        self._log.write_text("", encoding="utf-8")
        cache = self.folder / "cache"
        cache.mkdir(exist_ok=True)
        # As ansible-core 2.19 and newer keep them.
        payload = json.dumps({"__payload__": json.dumps(facts if cached else {})})
        (cache / "s1_taken").write_text(payload, encoding="utf-8")
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "ansible-playbook"),
                *("-i", self.inventory, CHECKOUT / "playbooks" / playbook, "--extra-vars", json.dumps(variables or {})),
            ],
            cwd=self.folder,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"),
                "ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".venv" / "collections"),
                "ANSIBLE_INJECT_FACT_VARS": str(inject),
                "ANSIBLE_CACHE_PLUGIN": "jsonfile" if cached else "memory",
                "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(cache),
                "ANSIBLE_GATHERING": "explicit",
                "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_HOME": str(self.folder / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                "ANSIBLE_DEPRECATION_WARNINGS": "0",
                "ANSIBLE_FORKS": "4",
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        calls = tuple(Call(**json.loads(line)) for line in self._log.read_text(encoding="utf-8").splitlines())
        # The callback wraps long lines.
        return Outcome(done.returncode, " ".join((done.stdout + done.stderr).split()), calls)
