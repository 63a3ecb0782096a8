# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import pathlib
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import yaml
from ansible._internal._datatag._tags import TrustedAsTemplate
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar

from ansible_collections.bulkhead.tiers.plugins.action.site import ActionModule

LAB = pathlib.Path(__file__).parents[4] / "inventories/lab/group_vars/all"


@pytest.fixture
def declaration():
    return {name: value for file in LAB.glob("*.yml") for name, value in yaml.safe_load(file.read_text()).items()}


def run(variables, groups=(), host="h1", check_mode=False, **args):
    """Run the action as a worker does; returns (result, what it printed)."""
    task_vars = dict(variables, inventory_hostname=host, group_names=list(groups), groups={"management": ["mgmt1"]})
    task = MagicMock(Task, args=args, action="bulkhead.tiers.site", async_val=0, check_mode=check_mode, diff=False)
    task.resolved_action = "bulkhead.tiers.site"
    loader = DataLoader()
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir=None))
    module = ActionModule(
        task, connection, SimpleNamespace(check_mode=check_mode), loader, Templar(loader, task_vars), None
    )
    printed = []
    module._display = SimpleNamespace(display=printed.append)
    return module.run(task_vars=task_vars), printed


def plan_of(result):
    return result["ansible_facts"]["bulkhead_host"]


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_host_gets_its_tiers_and_rules(declaration, check_mode):
    result, printed = run(declaration, ["all", "monitoring", "other"], check_mode=check_mode)
    assert plan_of(result)["tiers"] == ["monitoring"] and len(plan_of(result)["rules"]) == 7
    assert (result["changed"], printed) == (False, [])
    assert [text.split(":")[0] for text in result["warnings"]] == ["bulkhead_networks.maas-network.ip_range"]


def test_the_gateway_and_the_manager_know_what_they_are(declaration):
    gateway, manager = (
        plan_of(run(declaration, [group], host)[0]) for group, host in (("gateway", "gw1"), ("swarm_workers", "swarm1"))
    )
    assert gateway["gateway"] and gateway["tiers"] == [] and any(rule.get("route") for rule in gateway["rules"])
    assert manager["manager"] and [net["name"] for net in manager["networks"]] == [
        "apps-private",
        "apps-public",
    ]


def test_a_host_of_no_tier_gets_an_empty_plan(declaration):
    assert plan_of(run(declaration, ["outside"])[0])["rules"] == []


def test_a_fact_of_an_earlier_run_is_no_part_of_the_declaration(declaration):
    first = run(declaration, ["monitoring"])[0]
    again = run(dict(declaration, **first["ansible_facts"]), ["monitoring"])[0]
    assert plan_of(again) == plan_of(first)
    assert "failed" not in run(dict(declaration, bulkhead_host=TrustedAsTemplate().tag("{{ nowhere }}")))[0]


def test_templates_in_the_declaration_are_resolved(declaration):
    declaration["bulkhead_tiers"]["management"]["vlan"] = TrustedAsTemplate().tag("{{ base_vlan + 5 }}")
    declaration["bulkhead_services"]["ssh"] = TrustedAsTemplate().tag("{{ ssh_port }}/tcp")
    result = run(dict(declaration, base_vlan=5, ssh_port=2222), ["provisioning"])[0]
    assert "2222" in plan_of(result)["rules"][0]["to_port"]


def test_a_template_that_fails_is_named_with_its_variable(declaration):
    declaration["bulkhead_swarm"] = TrustedAsTemplate().tag("{{ nowhere }}")
    result = run(declaration, ["monitoring"])[0]
    assert result["failed"]
    assert (
        result["msg"].splitlines()[1]
        == "bulkhead_swarm: got a template that fails; expected a value; 'nowhere' is undefined"
    )


def test_all_problems_are_in_one_message_each_on_a_line(declaration):
    declaration["bulkhead_tiers"]["management"]["vlan"] = 4095
    declaration["bulkhead_flow"] = []
    result, printed = run(declaration, ["monitoring"])
    assert result["failed"] and "ansible_facts" not in result
    head, *lines = result["msg"].splitlines()
    assert head == "The site's declaration has 2 problems; nothing was touched."
    assert [line.split(":")[0] for line in lines] == ["bulkhead_flow", "bulkhead_tiers.management.vlan"]


def test_no_declaration_at_all_says_where_to_write_one():
    assert "bulkhead_tiers: got nothing; expected the site's tiers; declare them in" in run({}, [])[0]["msg"]


def test_a_declaration_that_is_handed_over_takes_the_place_of_the_hosts_variables(declaration):
    result = run({"bulkhead_tiers": "rubbish"}, ["monitoring"], declaration=declaration)[0]
    assert plan_of(result)["tiers"] == ["monitoring"]


def test_the_report_is_printed_and_returned(declaration):
    result, printed = run(declaration, ["monitoring"], report=True)
    assert printed[0].startswith("SITE  4 tiers") and "hosts: mgmt1" in printed[0]
    assert set(result["plan"]["tiers"]) == {"management", "provisioning", "monitoring", "swarm_workers"}
    assert "warnings" not in result


def test_an_unknown_option_is_refused(declaration):
    with pytest.raises(Exception, match="reprot"):
        run(declaration, reprot=True)
