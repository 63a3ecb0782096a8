# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host gets the same rules, byte for byte, whatever part of the inventory a run has: AWX's slices, --limit, a fact cache."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.hostvars import HostVars
from ansible.vars.manager import VariableManager

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.sliced import SLICED, refuse_slice

TIERS = ("web", "db", "mon", "edge", "swarm")
SITE: dict[str, Any] = {
    "bulkhead_tiers": {
        name: {"vlan": number, "subnet": f"10.0.{number}.0/24", "gateway": f"10.0.{number}.1"}
        for number, name in enumerate(TIERS, 1)
    },
    "bulkhead_addresses": {"collector": "10.0.3.10", "monitor": "{{ monitor_address }}"},
    "monitor_address": "10.0.3.11",
    "bulkhead_services": {"ssh": "22/tcp", "https": "443/tcp", "postgres": "5432/tcp", "syslog": "514/udp"},
    "bulkhead_flows": [
        {"from": "mon", "to": "tiers", "allow": "ssh"},
        {"from": "internet", "to": ["web", "edge"], "allow": "https", "limit": True},
        {"from": "web", "to": "db", "allow": "postgres"},
        {"from": "tiers", "to": "collector", "allow": "syslog"},
        {"from": "monitor", "to": "gateway", "allow": "ssh"},
    ],
    "bulkhead_networks": {"apps": {"driver": "bridge", "zone": "public", "subnet": "10.9.0.0/24", "on": "web"}},
}
#: What a declaration must not do: it takes an address from another host's variables, or from who is in a group.
OF_ANOTHER = {
    "variables of a host": "{{ hostvars['h07'].address }}",
    "hosts of a group": "{{ '10.0.3.' ~ (100 + groups['web'] | length) }}",
}


def fleet(seed: str) -> dict[str, list[str]]:
    """{host: its groups} of 13 hosts and more: most in one tier, some in two, one a router, one outside."""
    chance = random.Random(seed)
    hosts = {
        f"h{number:02}": chance.sample(TIERS, chance.choice((1, 1, 1, 2))) for number in range(chance.randint(13, 16))
    }
    hosts["gw"] = ["gateway"]
    hosts["out"] = ["outside"]
    return hosts


class Part:
    """A run with some hosts of a fleet, as Ansible reads its inventory."""

    def __init__(self, folder: Path, hosts: Mapping[str, list[str]], site: Mapping[str, Any], facts: bool) -> None:
        groups: dict[str, Any] = {name: {"hosts": {}} for name in (*TIERS, "gateway", "outside")}
        for host, names in hosts.items():
            for name in names:
                groups[name]["hosts"][host] = {"address": f"10.0.3.{20 + zlib.crc32(host.encode()) % 200}"}
        source = folder / "inventory.json"
        source.write_text(json.dumps({"all": {"vars": dict(site), "children": groups}}), encoding="utf-8")
        self.loader = DataLoader()
        self.inventory = InventoryManager(self.loader, [str(source)])
        self.manager = VariableManager(self.loader, self.inventory)
        self.hostvars = HostVars(self.inventory, self.manager, self.loader)
        if facts:
            for host in hosts:
                self.manager.set_host_facts(host, {"ansible_facts": {"distribution": "Debian", "fqdn": host}})

    def plan(self, host: str) -> str:
        """A host's plan as bytes, or what stands against it."""
        variables = self.manager.get_vars(host=self.inventory.get_host(host))
        variables["hostvars"] = self.hostvars
        try:
            declared = declaration.read(variables, Templar(self.loader, variables))
            return json.dumps(declared.plan(host, declaration.host_place(declared, variables)), sort_keys=True)
        except Refused as error:
            return f"refused: {error}"


def slices(hosts: Mapping[str, list[str]], count: int) -> list[dict[str, list[str]]]:
    """As AWX cuts them: sorted by name, every count-th host to a slice."""
    names = sorted(hosts)
    return [{name: hosts[name] for name in names[first::count]} for first in range(count)]


def differing(folder: Path, seed: str, count: int, site: Mapping[str, Any], facts: bool = False) -> list[str]:
    """The hosts that get something else in a slice than in a run with all of them."""
    hosts = fleet(seed)
    run = Part(folder, hosts, site, False)
    whole = {host: run.plan(host) for host in hosts}
    assert not [text for text in whole.values() if text.startswith("refused")], "the whole of it must be right"
    found = []
    for part in slices(hosts, count):
        run = Part(folder, part, site, facts)
        found += [host for host in part if run.plan(host) != whole[host]]
    return sorted(found)


@pytest.mark.parametrize("count", [1, 2, 5, 13])
@pytest.mark.parametrize("facts", [False, True], ids=["no facts", "cached facts"])
def test_a_host_gets_the_same_in_a_slice(tmp_path: Path, count: int, facts: bool) -> None:
    assert differing(tmp_path, "slices", count, SITE, facts) == []


def test_a_host_gets_the_same_in_a_hundred_random_slicings(tmp_path: Path) -> None:
    chance = random.Random("slicings")
    for number in range(100):
        count, facts = chance.randint(1, 13), chance.random() < 0.5
        assert differing(tmp_path, f"fleet {number}", count, SITE, facts) == [], (number, count, facts)


def test_a_host_gets_the_same_alone(tmp_path: Path) -> None:
    hosts = fleet("limits")
    whole = Part(tmp_path, hosts, SITE, False)
    for host in hosts:
        assert Part(tmp_path, {host: hosts[host]}, SITE, False).plan(host) == whole.plan(host)


@pytest.mark.parametrize("template", OF_ANOTHER.values(), ids=OF_ANOTHER)
def test_a_declaration_that_uses_another_hosts_variables_is_noticed(tmp_path: Path, template: str) -> None:
    wrong = {**SITE, "monitor_address": template}
    assert differing(tmp_path, "slices", 1, wrong) == []
    assert differing(tmp_path, "slices", 5, wrong) != []


def test_what_needs_the_whole_inventory_says_so_in_a_slice() -> None:
    refuse_slice({}, "a plan")
    refuse_slice({"awx_job_template_name": "a", "awx_workflow_job_name": "b"}, "a plan")
    refuse_slice({"awx_job_template_name": "a"}, "a plan")
    for prefix in ("awx", "tower"):
        with pytest.raises(Refused, match="give it a template with one slice") as error:
            refuse_slice({f"{prefix}_job_template_name": "a", f"{prefix}_workflow_job_name": "a"}, "a plan")
        assert [mistake.kind for mistake in error.value.mistakes] == [SLICED]
