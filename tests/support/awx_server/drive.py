# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""playbooks/awx.yml against the stand-in: what it is given, what it says, and which requests it makes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from .serve import Server

CHECKOUT = Path(__file__).parents[3]
SETTINGS: dict[str, Any] = {
    "awx_project_url": "https://git.example/site.git",
    "awx_execution_environment": "registry.example/bulkhead/ee:1.0.0",
    "awx_maas_inventory_path": "inventories/site/region.maas.yml",
    "awx_credentials": ["ssh", "maas", "tailnet"],
    "awx_credential_inputs": {
        "ssh": {"username": "ansible", "password": "words"},
        "maas": {"url": "https://maas.example/MAAS", "api_key": "a:b:c"},
        "tailnet": {"auth_key": "words"},
    },
    "awx_notification_url": "https://hook.example/awx",
}


class Run(NamedTuple):
    """What a run came to. requests: [(method, target, status)] in order."""

    status: int
    said: str
    requests: list[tuple[str, str, int]]

    @property
    def changed(self) -> int:
        return int(re.findall(r"changed=(\d+)", self.said)[-1])

    @property
    def writes(self) -> list[tuple[str, str, int]]:
        return [one for one in self.requests if one[0] != "GET"]


class Awx:
    """A stand-in with an administrator's token, and the playbook. site: the variables of the inventory's `all`."""

    def __init__(self, folder: Path, server: Server, site: Mapping[str, Any]) -> None:
        self.folder, self.server, self.front = folder, server, server.front
        self.store = server.front.controller.store
        self.token = self.front.token(1)
        self.declare(site)

    def declare(self, site: Mapping[str, Any]) -> None:
        (self.folder / "site.json").write_text(json.dumps({"all": {"vars": dict(site)}}), encoding="utf-8")

    def play(self, *arguments: str, **settings: Any) -> Run:
        before = len(self.front.log)
        given = {**SETTINGS, "awx_host": self.server.url, "awx_token": self.token, **settings}
        (self.folder / "settings.json").write_text(json.dumps(given), encoding="utf-8")
        done = subprocess.run(
            [
                Path(sys.executable).parent / "ansible-playbook",
                *("-i", "site.json", CHECKOUT / "playbooks" / "awx.yml", "-e", "@settings.json", *arguments),
            ],
            cwd=self.folder,
            env={
                **os.environ,
                "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
                "ANSIBLE_HOME": str(self.folder / "home"),
            },
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr, self.front.log[before:])

    def names(self, plural: str) -> list[str]:
        return sorted(str(thing["name"]) for thing in self.store.all(plural))
