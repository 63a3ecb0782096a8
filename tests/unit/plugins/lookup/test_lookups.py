# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lookups as a template calls them; what they stand on is tested in plugin_utils/test_declaration.py."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from ansible import constants
from ansible._internal._datatag._tags import TrustedAsTemplate
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

from ansible_collections.bulkhead.tiers.plugins.lookup import declared, host_plan, stack_file, tailnet_policy, waves

SITE: dict[str, Any] = {
    "bulkhead_tiers": {
        "web": {"vlan": 10, "subnet": "10.0.1.0/24"},
        "db": {"vlan": 20, "subnet": "10.0.2.0/24"},
        "edge": {"vlan": 30, "subnet": "10.0.3.0/24"},
    },
    "bulkhead_services": {"ssh": "22/tcp"},
    "bulkhead_flows": [{"from": "web", "to": "db", "allow": "ssh"}],
    "bulkhead_stacks": {"shop": {"file": "shop.yml", "kind": "compose", "on": "web"}},
}


def ask(plugin: Any, *terms: str, variables: dict[str, Any] | None = None, **options: Any) -> Any:
    """What a lookup says to a host of tier web."""
    seen = {**SITE, "inventory_hostname": "web1", "group_names": ["web"], "ansible_facts": {}, **(variables or {})}
    loader = DataLoader()
    lookup = plugin.LookupModule(loader=loader, templar=Templar(loader, seen))
    lookup._load_name = f"bulkhead.tiers.{plugin.__name__.rpartition('.')[2]}"
    (answer,) = lookup.run(list(terms), seen, **options)
    return answer


def test_the_plan_of_a_host_or_a_part_of_it():
    assert ask(host_plan)["tiers"] == ["web"]
    assert ask(host_plan, "site", "tiers") == ["web", "db", "edge"]
    with pytest.raises(AnsibleError, match="host_plan has no site.nets"):
        ask(host_plan, "site", "nets")


@pytest.mark.parametrize(
    ("groups", "roles"),
    [
        (["web"], ["tier"]),
        (["monitoring"], ["tier"]),  # a group of that name, which is no tier of this site
        ([], ["tier"]),
    ],
)
def test_a_tier_of_any_name_is_applied_by_the_role_of_all_tiers(groups, roles):
    assert ask(host_plan, "roles", variables={"group_names": groups}) == roles


def test_a_tier_with_a_role_of_its_own_is_applied_by_that_role():
    tiers = {name: {"vlan": vlan, "subnet": f"10.0.{vlan}.0/24"} for vlan, name in enumerate(("web", "monitoring"), 1)}
    variables = {"bulkhead_tiers": tiers, "bulkhead_flows": [], "group_names": ["web", "monitoring"]}
    assert ask(host_plan, "roles", variables=variables) == ["monitoring"]


@pytest.mark.parametrize("plugin", [host_plan, declared, stack_file])
def test_a_host_that_sets_what_decides_gets_no_answer(plugin, tmp_path):
    variables = {"ansible_facts": {"stacks_directory": "/etc"}, "stacks_directory": str(tmp_path)}
    with pytest.raises(AnsibleError, match="facts of web1: got stacks_directory"):
        ask(plugin, "stacks_directory", variables=variables)


def test_a_declared_value_is_templated():
    variables = {"url": TrustedAsTemplate().tag("https://{{ name }}"), "name": "maas"}
    assert ask(declared, "url", variables=variables) == "https://maas"
    with pytest.raises(AnsibleError, match="nowhere: nowhere is undefined"):
        ask(declared, "nowhere")


@pytest.fixture(name="stacks")
def fixture_stacks(tmp_path):
    """A folder of stacks, and a secret beside it."""
    (tmp_path / "secret").write_text("key")
    (tmp_path / "stacks" / "shop" / "conf").mkdir(parents=True)
    (tmp_path / "stacks" / "shop.yml").write_text("services: {}\n")
    return tmp_path / "stacks"


def test_a_file_of_a_stack_is_found_below_the_folder_of_stacks(stacks):
    variables = {"stacks_directory": str(stacks)}
    assert ask(stack_file, "shop.yml", variables=variables) == str(stacks / "shop.yml")
    assert ask(stack_file, "shop/../shop.yml", variables=variables) == str(stacks / "shop.yml")
    assert ask(stack_file, "shop", variables=variables) == str(stacks / "shop")
    assert ask(stack_file, "none", variables=variables, missing=True) == str(stacks / "none")
    with pytest.raises(AnsibleError, match="got none; expected a file below"):
        ask(stack_file, "none", variables=variables)


def test_a_folder_that_is_a_link_itself_is_followed(stacks, tmp_path):
    (tmp_path / "link").symlink_to(stacks)
    assert ask(stack_file, "shop.yml", variables={"stacks_directory": str(tmp_path / "link")}) == str(
        stacks / "shop.yml"
    )


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "shop/../../secret", "out", "shop", "folder/x", "~/.ssh"])
def test_a_path_that_leads_out_of_the_folder_of_stacks_is_refused(stacks, path):
    (stacks / "out").symlink_to("../secret")
    (stacks / "shop" / "conf" / "deep").symlink_to(stacks.parent / "secret")
    (stacks / "folder").symlink_to("..")
    if path == "~/.ssh":
        # Nothing expands it: it is a name like any other, and there is none.
        with pytest.raises(AnsibleError, match="there is none"):
            ask(stack_file, path, variables={"stacks_directory": str(stacks)})
        return
    with pytest.raises(AnsibleError, match="expected a path below .*; move it there, or set stacks_directory") as error:
        ask(stack_file, path, variables={"stacks_directory": str(stacks)})
    assert "key" not in str(error.value)


class HostVars(dict):
    raw_get = dict.__getitem__


def play(hosts: dict[str, list[str]], here: list[str] | None = None, **facts: dict) -> dict[str, Any]:
    """The variables of a play whose inventory has these hosts, in these groups."""
    groups: dict[str, list[str]] = {"all": list(hosts)}
    for host, names in hosts.items():
        for name in names:
            groups.setdefault(name, []).append(host)
    seen = {host: {**SITE, "inventory_hostname": host, "ansible_facts": facts.get(host, {})} for host in hosts}
    return {"ansible_play_hosts_all": here or list(hosts), "groups": groups, "hostvars": HostVars(seen)}


HOSTS = {"e1": ["edge"], "d1": ["db"], "both": ["web", "edge"], "w1": ["web"], "gw": ["gateway"], "x": ["outside"]}


def test_tiers_come_in_declared_order_and_a_host_once():
    assert ask(waves, variables=play(HOSTS)) == {
        "hosts": ["web", "db", "edge"],
        "serial": [2, 1, 1],
        "stacks": ["both", "w1"],
        "whole": True,
    }


def test_a_limited_run_has_the_tiers_of_its_hosts():
    assert ask(waves, variables=play(HOSTS, ["e1", "x"])) == {
        "hosts": ["edge"],
        "serial": [1],
        "stacks": ["all", "!all"],
        "whole": True,
    }
    assert ask(waves, variables=play(HOSTS, ["both", "e1"]))["serial"] == [1, 1]


def test_a_run_without_a_host_of_a_tier_matches_no_host():
    assert ask(waves, variables=play(HOSTS, ["x"])) == {
        "hosts": ["all", "!all"],
        "serial": [],
        "stacks": ["all", "!all"],
        "whole": True,
    }


def test_before_any_play_the_hosts_are_all_but_the_routers():
    assert ask(waves, variables={"ansible_play_hosts_all": ["w1"]})["hosts"] == ["all", "!gateway"]


def test_a_host_cannot_change_the_order_of_the_tiers():
    evil = {"bulkhead_tiers": {"db": {"vlan": 1, "subnet": "10.0.9.0/24"}}}
    assert ask(waves, variables=play(HOSTS, e1=evil))["hosts"] == ["web", "db", "edge"]
    with pytest.raises(AnsibleError, match="facts of e1"):
        ask(waves, variables=play({"e1": ["edge"]}, e1=evil))


def test_a_wrong_declaration_is_the_error_of_the_play():
    variables = play({"w1": ["web"]})
    variables["hostvars"]["w1"]["bulkhead_flows"] = [{}]
    with pytest.raises(AnsibleError, match="bulkhead_flows"):
        ask(waves, variables=variables)


@pytest.fixture(name="options", scope="module")
def fixture_options():
    """Ansible's loader of plugins does this, which no test here goes through."""
    options = yaml.safe_load(tailnet_policy.DOCUMENTATION)["options"]
    name = "bulkhead.tiers.tailnet_policy"
    constants.config.initialize_plugin_configuration_definitions("lookup", name, options)


TAILNET: dict[str, Any] = {
    "bulkhead_tailnet": {"control": "https://headscale.example", "tags": {"web": "tag:web", "db": "tag:db"}},
    "bulkhead_flows": [{"from": "web", "to": "db", "allow": "ssh", "via": "tailnet"}],
}


def test_the_policy_of_the_tailnet_or_a_part_of_it(options):
    grants = [{"src": ["tag:web"], "dst": ["tag:db"], "ip": ["tcp:22"]}]
    assert ask(tailnet_policy, "grants", variables=TAILNET) == grants
    assert ask(tailnet_policy) == {"grants": []}
    assert "tests" in ask(tailnet_policy, variables=TAILNET) and "tests" not in ask(
        tailnet_policy, variables=TAILNET, present=[]
    )
    with pytest.raises(AnsibleError, match="tailnet_policy has no acls"):
        ask(tailnet_policy, "acls", variables=TAILNET)
    with pytest.raises(AnsibleError, match="bulkhead_tailnet.tags.wbe: got"):
        ask(tailnet_policy, variables={"bulkhead_tailnet": {"tags": {"wbe": "tag:web"}}})


def test_the_tests_of_the_policy_know_of_hosts_in_several_tiers(options):
    groups = {"all": ["web1", "db1"], "web": ["web1", "db1"], "db": ["db1"]}
    tests = ask(tailnet_policy, "tests", variables={**TAILNET, "groups": groups})
    denied = {(test["src"], end) for test in tests for end in test.get("deny", ())}
    assert ("tag:web", "tag:web:22") not in denied and ("tag:web", "tag:web:22") in {
        (test["src"], end) for test in ask(tailnet_policy, "tests", variables=TAILNET) for end in test.get("deny", ())
    }


def test_a_node_of_the_tailnet_has_its_part_in_the_plan():
    assert ask(host_plan, "tailnet", variables=TAILNET)["tags"] == ["tag:web"]
    assert ask(host_plan, "tailnet") is None


def test_an_answer_to_a_survey_narrows_a_run_to_tiers():
    asked = {**play(HOSTS), "change_tiers": ["db"]}
    assert ask(waves, variables=asked)["hosts"] == ["db"]
    assert ask(waves, variables={**asked, "change_tiers": []})["hosts"] == ask(waves, variables=play(HOSTS))["hosts"]
    with pytest.raises(AnsibleError, match=r"change_tiers: got mars; expected tiers of the site \(web, db, edge\)"):
        ask(waves, variables={**asked, "change_tiers": ["db", "mars"]})
    # What is rolled back may have no such tier.
    back = {**asked, "change_tiers": ["mars"], "change_rollback": True}
    assert ask(waves, variables=back)["hosts"] == ask(waves, variables=play(HOSTS))["hosts"]


SLICE = {"awx_job_template_name": "bulkhead site", "awx_workflow_job_name": "bulkhead site"}


def test_a_slice_of_awx_is_known_as_one_and_a_job_of_a_workflow_is_none():
    assert ask(waves, variables={**play(HOSTS), **SLICE})["whole"] is False
    assert ask(waves, variables={**play(HOSTS), **SLICE, "awx_workflow_job_name": "bulkhead change"})["whole"] is True


def test_the_tailnets_policy_is_not_made_from_a_slice(options):
    said = "job slices: got a slice of the inventory, by the template bulkhead site; expected the whole inventory"
    with pytest.raises(AnsibleError, match=said):
        ask(tailnet_policy, variables={**play(HOSTS), **SLICE})
