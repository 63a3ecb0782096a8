# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar

from ansible_collections.bulkhead.tiers.plugins.action.allocations import ActionModule

SITE = {
    "bulkhead_tiers": {"apps": {"vlan": 10, "subnet": "10.0.1.0/24"}},
    "bulkhead_swarm": {"tier": "apps", "managers": {"m1": "10.0.1.5"}},
    "bulkhead_pools": {"engine": "172.28.0.0/16", "swarm": "172.29.0.0/16", "overlay": "172.30.0.0/16"},
    "bulkhead_networks": {
        "web": {"driver": "overlay", "size": 24},
        "api": {"driver": "overlay", "size": 28},
        "fixed": {"driver": "overlay", "subnet": "172.30.7.0/24"},
    },
}


@pytest.fixture(name="file")
def fixture_file(tmp_path):
    return tmp_path / "inventory" / "group_vars" / "all" / "allocations.yml"


def run(file, site=None, check_mode=False, hosts=None, everybody=()):
    """Run the action against an inventory with the site, and with the file's pins as Ansible would have read them.

    hosts: {host: what it registered of its networks}."""
    held = yaml.safe_load(file.read_text()) if file.exists() else {}
    inventory = file.parents[2]
    inventory.mkdir(parents=True, exist_ok=True)
    task_vars = {**(site or SITE), **(held if isinstance(held, dict) else {})}
    task_vars["ansible_inventory_sources"] = ["localhost,", str(inventory)]
    raw = {name: {"found": said} if said else {} for name, said in (hosts or {}).items()}
    task_vars["ansible_play_hosts_all"] = list(raw)
    task_vars["hostvars"] = SimpleNamespace(raw_get=raw.__getitem__)
    task_vars["groups"] = {"all": [*raw, *everybody]}
    args = {} if hosts is None else {"live": "found"}
    task = MagicMock(Task, args=args, async_val=0, check_mode=check_mode, diff=True)
    task.resolved_action = "bulkhead.tiers.allocations"
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    loader = DataLoader()
    return ActionModule(task, connection, SimpleNamespace(), loader, Templar(loader, task_vars), None).run(
        task_vars=task_vars
    )


def test_new_subnets_are_pinned_beside_the_inventory(file):
    result = run(file)
    assert (result["changed"], result["path"]) == (True, str(file))
    assert result["pinned"] == {"web": "172.30.6.0/24", "api": "172.30.4.0/28"}
    assert yaml.safe_load(file.read_text()) == {"bulkhead_allocations": result["pinned"]}
    assert "api: 172.30.4.0/28" in result["diff"]["after"] and result["diff"]["before"] == ""
    again = run(file)
    assert (again["changed"], again["pinned"]) == (False, {}) and "diff" not in again


def test_a_pinned_subnet_never_moves_whatever_is_declared_later(file):
    run(file)
    more = {"aaa": {"driver": "overlay", "size": 24}, **SITE["bulkhead_networks"]}
    result = run(file, {**SITE, "bulkhead_networks": more})
    assert result["pinned"] == {"aaa": "172.30.5.0/24"}
    assert yaml.safe_load(file.read_text())["bulkhead_allocations"]["web"] == "172.30.6.0/24"


def test_a_network_that_gets_ipv6_as_well_keeps_its_ipv4_subnet_and_its_line(file):
    run(file)
    site = {
        **SITE,
        "bulkhead_pools": {**SITE["bulkhead_pools"], "overlay": ["172.30.0.0/16", "fd00:30::/48"]},
        "bulkhead_networks": {**SITE["bulkhead_networks"], "web": {"driver": "overlay", "size": [24, 64]}},
    }
    result = run(file, site)
    assert result["pinned"] == {"web": ["172.30.6.0/24", "fd00:30::/64"]}
    held = {"api": "172.30.4.0/28", **result["pinned"]}
    assert yaml.safe_load(file.read_text()) == {"bulkhead_allocations": held}
    assert run(file, site)["changed"] is False


def test_check_mode_writes_nothing(file):
    result = run(file, check_mode=True)
    assert result["changed"] and not file.exists()
    assert result["diff"]["after"] == (run(file), file.read_text())[1]


def test_comments_and_permissions_of_the_file_stay(file):
    file.parent.mkdir(parents=True)
    file.write_text("---\n# mine\nbulkhead_allocations:\n  web: 172.30.9.0/24  # moved here\n")
    file.chmod(0o640)
    run(file)
    assert file.read_text() == (
        "---\n# mine\nbulkhead_allocations:\n  web: 172.30.9.0/24  # moved here\n  api: 172.30.6.0/28\n"
    )
    assert file.stat().st_mode & 0o777 == 0o640 and [path.name for path in file.parent.iterdir()] == [file.name]


def test_pins_of_another_file_are_an_error_because_one_would_hide_the_other(file):
    result = run(file, {**SITE, "bulkhead_allocations": {"web": "172.30.9.0/24"}})
    assert result["failed"] and not file.exists()
    assert "got no pin; expected web: 172.30.9.0/24, which the inventory has; move all pins" in result["msg"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bulkhead_allocations: {web: 172.30.9.0/24}\n", "without braces"),
        ("- a list\n", "got no mapping"),
    ],
)
def test_a_file_that_cannot_be_extended_is_left_alone(file, text, message):
    file.parent.mkdir(parents=True)
    file.write_text(text)
    result = run(file)
    assert result["failed"] and message in result["msg"] and file.read_text() == text


def test_a_file_that_cannot_be_written_is_an_answer_and_no_traceback(file):
    file.parent.parent.mkdir(parents=True, exist_ok=True)
    file.parent.write_text("no folder")
    result = run(file)
    assert result["failed"] and result["msg"].startswith(f"Nothing was pinned.\n{file}: got ")
    assert "expected a file that can be written" in result["msg"]


def test_a_site_with_problems_pins_nothing(file):
    result = run(file, {**SITE, "bulkhead_pools": {"overlay": "172.30.0.0/33"}})
    assert result["failed"] and "Nothing was pinned" in result["msg"] and not file.exists()


def lives(**networks):
    """What swarm_network_info returned of a host, as far as it matters."""
    return {"networks": [{"name": name, "subnets": [subnet]} for name, subnet in networks.items()]}


NO_ENGINE = {"skipped": True, "changed": False}


def test_what_lives_on_the_hosts_is_left_alone_and_who_lives_already_stays(file):
    hosts = {"m1": lives(old="172.30.0.0/22", web="172.30.9.0/24"), "w1": lives(vnet="172.30.4.0/24"), "gw": NO_ENGINE}
    result = run(file, hosts=hosts)
    assert result["pinned"] == {"web": "172.30.9.0/24", "api": "172.30.5.0/28"} and "warnings" not in result
    assert not run(file, hosts=hosts)["changed"]


def test_nothing_is_pinned_where_a_host_could_not_be_asked(file):
    dead = {"failed": True, "msg": "The Docker Engine at unix:///x did not answer"}
    result = run(file, hosts={"m1": lives(), "w1": dead, "w2": None, "gw": NO_ENGINE})
    assert result["failed"] and not file.exists()
    assert result["msg"] == (
        "Nothing was pinned.\nlive networks: got none of w1: The Docker Engine at unix:///x did not answer; w2: it was not "
        "reached; expected those of every host; fix it, or leave the host out with --limit"
    )


def test_hosts_that_were_left_out_are_a_warning(file):
    result = run(file, hosts={"m1": lives()}, everybody=["w1", "w2"])
    assert result["changed"] and result["warnings"] == [
        "2 hosts of the inventory not asked (w1, w2): what lives there is not known"
    ]
    assert "warnings" not in run(file, hosts={"m1": lives()}, everybody=["w1", "w2"])
