# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A job as AWX hands it to an execution node, and its slices."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from hosts.machine import ROOT

#: As in docs/operations.md; a project in AWX has an ansible.cfg of its own.
CONFIG = """[defaults]
inject_facts_as_vars = false
interpreter_python = /usr/bin/python3
host_key_checking = false
[connection]
pipelining = true
"""


def cut(hosts: Sequence[str], count: int) -> list[list[str]]:
    """AWX's slices: hosts sorted by name, every n-th to a slice; never more slices than hosts."""
    ordered = sorted(hosts)
    count = max(min(count, len(ordered)), 1)
    return [ordered[number::count] for number in range(count)]


@dataclass
class Job:
    """What a template of AWX's has. inventory: what `ansible-inventory --list` says of the whole site."""

    playbook: str
    inventory: Mapping[str, Any]
    key: str
    template: str = "bulkhead site"
    forks: int = 5
    #: Where the nodes have the collection; None where an execution environment brings it.
    collections: Optional[Path] = ROOT / ".venv" / "collections"
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, playbook: str, source: Path, key: Path, **more: Any) -> Job:
        """source: an inventory in any form; key: the SSH key that reaches its hosts."""
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-inventory", "-i", source, "--list", "--export"],
            env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            capture_output=True,
            text=True,
            check=True,
        )
        return cls(playbook, json.loads(done.stdout), key.read_text(), **more)

    @property
    def hosts(self) -> list[str]:
        """All of them: those of groups, and those that only have variables."""
        named = {host for group in self.inventory.values() for host in group.get("hosts", ())}
        return sorted(named | set(self.inventory["_meta"]["hostvars"]))

    def part(self, hosts: Sequence[str]) -> dict[str, Any]:
        """What a slice knows: its own hosts, and all groups, some of them empty."""
        here = set(hosts)
        found: dict[str, Any] = {}
        for name, group in self.inventory.items():
            if name != "_meta":
                kept = [host for host in group.get("hosts", ()) if host in here]
                found[name] = {**group, "hosts": kept} if "hosts" in group else dict(group)
        known = self.inventory["_meta"]["hostvars"]
        found["_meta"] = {"hostvars": {host: known[host] for host in hosts if host in known}}
        return found

    def write(self, folder: Path, hosts: Sequence[str], number: Optional[int] = None) -> Path:
        """The folder that ansible-runner transmits, for these hosts. number: of the slice, None for a job that has no slices."""
        files = {
            "project/ansible.cfg": CONFIG,
            "project/play.yml": json.dumps([{"import_playbook": self.playbook}]),
            "env/extravars": json.dumps(self.variables(number)),
            "env/envvars": json.dumps({"ANSIBLE_COLLECTIONS_PATH": str(self.collections)} if self.collections else {}),
            "env/settings": json.dumps({"idle_timeout": 600}),
            "env/cmdline": f"--forks {self.forks}",
            # An inventory script that prints what it was given, as AWX writes one.
            "inventory/hosts": f"#!/usr/bin/env python3\nprint({json.dumps(self.part(hosts))!r})\n",
        }
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        (folder / "inventory/hosts").chmod(0o700)
        secret = os.open(folder / "env/ssh_key", os.O_WRONLY | os.O_CREAT, 0o600)
        with os.fdopen(secret, "w") as stream:
            stream.write(self.key)
        return folder

    def variables(self, number: Optional[int]) -> dict[str, Any]:
        """What AWX adds to a job: a slice is a job of a workflow that has the template's name."""
        found = {
            **self.options,
            "awx_job_template_name": self.template,
            "awx_job_id": 1 if number is None else number + 1,
        }
        if number is not None:
            found.update(awx_workflow_job_name=self.template, awx_workflow_job_id=1)
        return found
