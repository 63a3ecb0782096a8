# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar

from ansible_collections.bulkhead.tiers.plugins.action.networks_report import ActionModule

SITE = {
    "bulkhead_tiers": {"apps": {"vlan": 10, "subnet": "10.0.1.0/24"}},
    "bulkhead_pools": {"engine": "172.28.0.0/16", "bridge": "192.168.0.0/18"},
    "bulkhead_networks": {"vnet": {"driver": "bridge", "size": 29, "on": "apps"}},
    "bulkhead_allocations": {"vnet": "192.168.0.0/29"},
}


def live(subnet):
    """What swarm_network_info returned of a host with one bridge."""
    return {
        "node": {"name": "n", "role": "inactive", "detail": "", "engine": "20.10"},
        "pools": {"engine": [{"base": "172.28.0.0/16", "size": 24}], "swarm": []},
        "networks": [
            {
                "name": "vnet",
                "id": "1",
                "driver": "bridge",
                "scope": "local",
                "pending": False,
                "labels": {},
                "managed": True,
                "users": ["container web"],
                "used": 1,
                "usable": 5,
                "stack": None,
                "orphan": False,
                "subnets": [subnet],
            }
        ],
    }


def run(hosts, path, check_mode=False, site=None, everybody=(), members=None):
    """Run the action with {host: what it registered}; (result, what it printed)."""
    raw = {name: {"__networks_live": said} for name, said in hosts.items()}
    task_vars = {
        **(site or SITE),
        "ansible_play_hosts_all": list(hosts),
        "hostvars": SimpleNamespace(raw_get=raw.__getitem__),
        "groups": {"all": [*hosts, *everybody], "apps": list(hosts) if members is None else members},
    }
    task = MagicMock(
        Task, args={"report": str(path), "directory": str(path.parent)}, async_val=0, check_mode=check_mode, diff=False
    )
    task.resolved_action = "bulkhead.tiers.networks_report"
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    loader = DataLoader()
    module = ActionModule(task, connection, SimpleNamespace(), loader, Templar(loader, task_vars), None)
    printed = []
    module._display = SimpleNamespace(display=lambda line, color=None: printed.append(line))
    return module.run(task_vars=task_vars), "\n".join(printed)


def test_a_fleet_without_conflict_is_printed_and_written(tmp_path):
    hosts = {"h1": live("192.168.0.0/29"), "gw": {"skipped": True, "changed": False}}
    result, printed = run(hosts, tmp_path / "reports" / "networks.json", everybody=["elsewhere"])
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["msg"] == "1 network on 1 host, no conflict"
    assert "h1  vnet     bridge  192.168.0.0/29  1/5     -     container web" in printed
    assert "gw: no Docker Engine runs here" in printed and "1 host of the inventory not asked (elsewhere)" in printed
    report = json.loads((tmp_path / "reports" / "networks.json").read_text())
    assert report["networks"][0]["name"] == "vnet" and report["pools"]["bridge"]["next"]["/29"] == "192.168.0.8/29"


def test_a_conflict_fails_and_the_report_is_written_all_the_same(tmp_path):
    result, printed = run({"h1": live("10.0.1.0/25")}, tmp_path / "networks.json")
    assert result["failed"] and "2 conflicts" in result["msg"] and (tmp_path / "networks.json").exists()
    assert "h1: network vnet (10.0.1.0/25) overlaps tier apps (10.0.1.0/24)" in printed
    assert {conflict["how"] for conflict in result["conflicts"]} == {"overlaps", "is declared as"}


def test_check_mode_reports_but_writes_nothing(tmp_path):
    result, printed = run({"h1": live("192.168.0.0/29")}, tmp_path / "networks.json", check_mode=True)
    assert not (tmp_path / "networks.json").exists() and "was not written" in printed and "report" not in result


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"failed": True, "msg": "The Docker Engine\n did not answer"}, "h2: The Docker Engine did not answer"),
        ({}, "h2: it was not reached"),
    ],
)
def test_a_host_that_could_not_be_asked_is_named_with_the_reason_and_fails(tmp_path, said, why):
    result, printed = run({"h1": live("192.168.0.0/29"), "h2": said}, tmp_path / "networks.json")
    assert why in printed and result["failed"] and "nothing is known of h2" in result["msg"]
    assert json.loads((tmp_path / "networks.json").read_text())["unknown"] == ["h2"]


def test_a_host_whose_result_is_not_what_a_module_returns_is_named_and_fails(tmp_path):
    result, printed = run({"h1": {"networks": [{"subnets": ["10.0.0.0/99"]}]}}, tmp_path / "networks.json")
    assert result["failed"] and "networks[0].subnets[0]" in printed


def test_an_inventory_of_another_fleet_fails_though_its_networks_have_no_conflict(tmp_path):
    result, _printed = run({"h1": live("192.168.0.0/29")}, tmp_path / "n.json", members=[])
    assert result["failed"] and "no host is in a tier of the site." in result["msg"]
    assert "inventory: got 1 host in no tier (h1); expected each in a group named like a tier (apps)" in result["msg"]
    result, _printed = run({"h1": live("192.168.0.0/29")}, tmp_path / "n.json", members=["h1"])
    assert not result["failed"]


def test_a_site_with_mistakes_is_no_report(tmp_path):
    result, printed = run({"h1": live("192.168.0.0/29")}, tmp_path / "n.json", site={"bulkhead_tiers": 1})
    assert result["failed"] and "mistakes" in result["msg"] and not (tmp_path / "n.json").exists()
