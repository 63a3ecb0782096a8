# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import pathlib
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
import yaml
from ansible import constants
from ansible._internal._datatag._tags import TrustedAsTemplate
from ansible.parsing.dataloader import DataLoader
from ansible.playbook.task import Task
from ansible.template import Templar

from ansible_collections.bulkhead.tiers.plugins.action.site import ActionModule
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan import plan

LAB = pathlib.Path(__file__).parents[4] / "inventories/lab/group_vars/all"


@pytest.fixture(autouse=True)
def fixture_settings(monkeypatch):
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", False)


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
    module._display = SimpleNamespace(display=lambda line, color=None: printed.append(line))
    return module.run(task_vars=task_vars), printed


@pytest.mark.parametrize("check_mode", [False, True])
def test_the_check_of_a_good_site_sets_no_fact_and_warns(declaration, check_mode):
    result, printed = run(declaration, ["all", "monitoring", "other"], check_mode=check_mode)
    assert (result["changed"], printed) == (False, []) and "ansible_facts" not in result
    assert [text.split(":")[0] for text in result["warnings"]] == ["bulkhead_networks.maas-network.ip_range"]


@pytest.mark.parametrize("name", ["bulkhead_flows", "bulkhead_host", "swarm_managers", "group_names"])
def test_a_host_whose_facts_set_what_decides_is_refused_before_anything_is_touched(declaration, name):
    result, _printed = run(dict(declaration, ansible_facts={name: []}), ["monitoring"])
    assert result["failed"] and result["msg"].startswith("A host tries to set what is done; nothing was touched.")
    assert name in result["msg"]


PLANNED = {"site_plan": {"revision": "aaa"}, "awx_project_revision": "aaa"}


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"change_until": "2020-01-31"}, "change_until: got 2020-01-31; expected today"),
        ({"change_until": "soon"}, "change_until: got soon; expected a day, as 2027-06-30"),
        ({"change_tiers": ["monitoring", "mars"]}, "change_tiers: got mars; expected tiers of the site (management"),
        (
            {**PLANNED, "awx_project_revision": "bbb"},
            "the project's revision: got bbb; expected aaa, which was planned",
        ),
    ],
)
def test_a_run_that_is_not_to_begin_is_refused_before_anything_is_touched(declaration, answers, said):
    result, _printed = run({**declaration, **answers}, ["monitoring"], answers=True)
    assert result["failed"] and said in result["msg"], result
    assert "failed" not in run({**declaration, **answers}, ["monitoring"])[0]


@pytest.mark.parametrize(
    "answers",
    [
        {"change_until": "2999-12-31", "change_tiers": ["monitoring"], **PLANNED},
        {"change_until": "", "change_tiers": [], "site_plan": {}, "awx_project_revision": "b"},
        # It goes back to another commit, which has not what was asked for, at any time.
        {
            "change_rollback": True,
            "change_tiers": "mars",
            "change_until": "2020-01-31",
            **PLANNED,
            "awx_project_revision": "b",
        },
    ],
)
def test_a_run_that_may_begin(declaration, answers):
    assert "failed" not in run({**declaration, **answers}, ["monitoring"], answers=True)[0]


def test_the_plan_says_of_which_commit_it_is(declaration):
    result, _printed = run({**declaration, "awx_project_revision": "aaa"}, report=True)
    assert result["summary"]["revision"] == "aaa" and run(declaration, report=True)[0]["summary"]["revision"] == ""


@pytest.mark.parametrize("name", ["site", "tailnet"])
def test_what_applies_looks_at_the_answers_before_any_host_is_touched(name):
    plays = yaml.safe_load((LAB.parents[3] / "playbooks" / f"{name}.yml").read_text())
    first = next(play for play in plays if "tasks" in play)["tasks"][0]
    assert first["bulkhead.tiers.site"]["answers"] is True and first["tags"] == "always"


def test_facts_that_become_variables_are_warned_of(declaration, monkeypatch):
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", True)
    assert "inject_facts_as_vars = false" in run(declaration, ["monitoring"])[0]["warnings"][-1]


def test_a_manager_in_another_tier_is_said_by_that_host(declaration):
    result, _printed = run(declaration, ["monitoring"], "swarm1")
    assert result["failed"] and "bulkhead_swarm.managers: got swarm1, a host of monitoring" in result["msg"]


def test_templates_in_the_declaration_are_resolved(declaration):
    declaration["bulkhead_tiers"]["management"]["vlan"] = TrustedAsTemplate().tag("{{ base_vlan + 5 }}")
    declaration["bulkhead_services"]["ssh"] = TrustedAsTemplate().tag("{{ ssh_port }}/tcp")
    result = run(dict(declaration, base_vlan=5, ssh_port=2222), ["provisioning"], report=True)[0]
    assert result["plan"]["tiers"]["management"]["vlan"] == 10 and "2222" in json.dumps(result["plan"])


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
    result = run({"bulkhead_tiers": "rubbish"}, ["monitoring"], declaration=declaration, report=True)[0]
    assert list(result["plan"]["tiers"])[0] == "management"


def test_the_report_is_printed_and_returned(declaration):
    result, printed = run(declaration, ["monitoring"], report=True)
    assert printed[0].startswith("SITE  4 tiers") and "hosts: mgmt1" in "\n".join(printed)
    # Each is an event in AWX, which shows 1,024 bytes of one.
    assert max(len(piece.encode()) for piece in printed) < 1024
    assert set(result["plan"]["tiers"]) == {"management", "provisioning", "monitoring", "swarm_workers"}
    assert "warnings" not in result


def test_the_rules_of_a_report_are_compiled_once(declaration, monkeypatch):
    compiled, host_rules = [], plan.host_rules
    monkeypatch.setattr(plan, "host_rules", lambda *asked: (compiled.append(asked[1:]), host_rules(*asked))[1])
    result, printed = run(declaration, ["monitoring"], report=True)
    assert len(compiled) == len(set(compiled)) == 5  # four tiers, and the gateways
    assert any(f"{len(rules)} rules" in "\n".join(printed) for rules in result["plan"]["rules"].values())


def test_the_compiled_rules_are_proven_without_a_host(declaration):
    result, printed = run(declaration, ["monitoring"], report=True, static=True)
    assert not result.get("failed") and result["static"]["holds"], printed
    assert any("let through what is declared and nothing else" in line for line in printed)


def test_rules_that_let_through_more_than_is_declared_fail_the_plan(declaration, monkeypatch):
    from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Declaration

    compiled = Declaration.plan
    more = {"rule": "allow", "proto": "udp", "from_ip": "any", "to_ip": "any", "to_port": "161", "comment": ""}

    def plan(self, host, place):
        found = compiled(self, host, place)
        return {**found, "rules": [more, *found["rules"]]}

    monkeypatch.setattr(Declaration, "plan", plan)
    result, printed = run(declaration, ["monitoring"], report=True, static=True)
    assert result["failed"] and "not what is declared" in result["msg"] and "161" in "\n".join(printed)


def test_an_unknown_option_is_refused(declaration):
    with pytest.raises(Exception, match="reprot"):
        run(declaration, reprot=True)


STACK = """
services:
  web: {image: "web:1", networks: [front]}
networks:
  front: {external: true, name: NAME}
"""


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("swarm", "mgmt-lan", "is a bridge of one host, and shop is a Swarm stack"),
        ("compose", "closed", "is an overlay that is not attachable, and shop is a Compose stack"),
        ("compose", "mgmt-lan", "is on no host of monitoring, where shop runs"),
        ("swarm", "closd", "is external, and neither the site nor another stack declares it"),
        ("swarm", "closed", None),
    ],
)
def test_the_plan_says_which_networks_the_stacks_cannot_join(declaration, tmp_path, kind, name, said):
    on = {"on": "monitoring"} if kind == "compose" else {}
    declaration["bulkhead_stacks"] = {"shop": {"file": "shop.yml", "kind": kind, **on}}
    declaration["bulkhead_networks"] = {
        "mgmt-lan": {"driver": "bridge", "subnet": "10.99.1.0/24", "on": "management"},
        "closed": {"driver": "overlay", "subnet": "10.99.2.0/24"},
    }
    declaration["bulkhead_allocations"] = {}
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "shop.yml").write_text(STACK.replace("NAME", name))
    result, printed = run(dict(declaration, inventory_dir=str(tmp_path / "inventory")), ["monitoring"], report=True)
    found = [text for text in result["plan"]["warnings"] if text.startswith("bulkhead_stacks.shop: ")]
    assert (len(found), all(said in text and name in text for text in found)) == (said is not None, True)
    assert not found or "shop.yml:5)" in found[0] and "bulkhead_stacks.shop" in "\n".join(printed)


def test_the_plan_names_a_stack_whose_file_is_not_there(declaration, tmp_path):
    declaration["bulkhead_stacks"] = {"shop": {"file": "shop.yml", "kind": "swarm"}}
    result = run(dict(declaration, stacks_directory=str(tmp_path)), ["monitoring"], report=True)[0]
    assert any("bulkhead_stacks.shop: " in text and "shop.yml" in text for text in result["plan"]["warnings"])
    assert not any(
        "bulkhead_stacks" in text for text in run(declaration, ["monitoring"], report=True)[0]["plan"]["warnings"]
    )
