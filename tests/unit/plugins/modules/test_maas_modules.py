# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two modules as Ansible runs them: over a socket, with their argument specs, their results and their silence."""

from __future__ import annotations

import contextlib
import io
import json
import pathlib
from types import SimpleNamespace

import pytest
import yaml
from ansible.module_utils import basic
from ansible.module_utils.testing import patch_module_args
from ansible.plugins.action import ActionBase
from maas_server import harness
from maas_server.serve import Server

from ansible_collections.bulkhead.tiers.plugins.action import maas_vlan as action_maas_vlan
from ansible_collections.bulkhead.tiers.plugins.action import maas_vlan_info as action_maas_vlan_info
from ansible_collections.bulkhead.tiers.plugins.doc_fragments.maas import ModuleDocFragment
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas import shapes, transport
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.arguments import TREE, connection
from ansible_collections.bulkhead.tiers.plugins.modules import maas_vlan, maas_vlan_info
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import HostAction

FABRICS = [
    {
        "name": "gough",
        "vlans": [
            {
                "vid": 20,
                "name": "provisioning",
                "dhcp_on": True,
                "primary_rack": "rack1",
                "subnets": [
                    {
                        "cidr": "10.0.2.0/24",
                        "gateway_ip": "10.0.2.1",
                        "ranges": [{"type": "dynamic", "start_ip": "10.0.2.100", "end_ip": "10.0.2.200"}],
                    }
                ],
            }
        ],
    }
]


@pytest.fixture
def region():
    front = harness.front()
    with Server(front) as server:
        yield front, server.url


def run(module, region, **options):
    """The module's result; ``text`` is everything that it printed."""
    front, url = region
    args = {"url": url, "api_key": front.key, "fabrics": FABRICS}
    args.update(options)
    output = io.StringIO()
    with patch_module_args(args), contextlib.redirect_stdout(output):
        with pytest.raises(SystemExit):
            module.main()
    result = json.loads(output.getvalue())
    result["text"] = output.getvalue()
    return result


def act(name, region, check_mode=False, **options):
    """(the result of a task of this module, the modules that its host was sent); texts as `run` has them."""
    front, url = region
    sent = []
    task = SimpleNamespace(
        args={"url": url, "api_key": front.key, "fabrics": FABRICS, **options}, check_mode=check_mode, async_val=0
    )

    def execute(module_name, module_args, task_vars):
        sent.append(module_name.rpartition(".")[2])
        return {"failed": False, **run(maas_vlan_info, region, **{"fabrics": None, **module_args})}

    def whole(self, tmp, task_vars):
        sent.append("maas_vlan")
        return {"failed": False, **run(maas_vlan, region, **self._task.args, _ansible_check_mode=check_mode)}

    plugin = {"maas_vlan": action_maas_vlan, "maas_vlan_info": action_maas_vlan_info}[name]
    action = plugin.ActionModule.__new__(plugin.ActionModule)
    action._task, action._execute_module = task, execute
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})
        patch.setattr(HostAction, "run", whole)
        return action.run(task_vars={}), sent


def test_a_region_that_is_as_it_should_be_is_one_trip_with_a_module_that_only_reads(region):
    first, sent = act("maas_vlan", region)
    assert first["changed"] and sent == ["maas_vlan_info", "maas_vlan"]
    again, sent = act("maas_vlan", region)
    assert not again["changed"] and again["requests"] == {"reads": 4, "writes": 0} and sent == ["maas_vlan_info"]
    assert again["operations"] == [] and again["diff"]["before"] == again["diff"]["after"]


@pytest.mark.parametrize(
    "options",
    [
        {"fabrics": [{"name": "gough", "vlans": [{"vid": 20, "mtu": 9000}]}]},
        {"fabrics": [{"name": "gough", "vlans": []}], "purge": ["vlans"]},
        {"fabrics": [{"name": "gough", "state": "absent"}]},
        {"fabrics": [{"name": "gough", "vlans": [{"vid": 30, "space": "new"}]}], "spaces": [{"name": "new"}]},
        {"fabrics": [{"name": "gough", "vlans": [{"vid": 4095}]}]},
        {"fabrics": [{"name": "gough", "vlans": [{"vid": 20, "primary_rack": "rack9"}]}]},
        {"fabrics": [{"vlans": []}]},
        {"no_such_option": 1},
    ],
)
def test_the_module_itself_does_whatever_is_a_change_or_a_mistake(region, options):
    run(maas_vlan, region)
    answer, sent = act("maas_vlan", region, check_mode=True, **options)
    assert sent[-1] == "maas_vlan" and (answer["failed"] or answer["changed"])


def test_a_region_that_cannot_be_read_is_asked_once(region):
    answer, sent = act("maas_vlan", region, api_key="consumerkey1:tokenkey222:wrongsecret9")
    assert answer["failed"] and not answer["changed"] and answer["operations"] == []
    assert answer["errors"] == [answer["msg"]] and "refuses the API key" in answer["msg"]
    assert sent == ["maas_vlan_info"]


@pytest.mark.parametrize("odd", [None, [], {}, {"fabrics/": 5}, {"fabrics/": [{"id": 1}]}])
def test_what_a_host_returns_in_place_of_a_region_changes_and_reports_nothing(region, monkeypatch, odd):
    monkeypatch.setattr(maas_vlan_info, "take", lambda region, paths: odd)
    answer, _sent = act("maas_vlan_info", region)
    assert answer["failed"] and answer["msg"].startswith("fabrics")
    assert act("maas_vlan", region)[1] == ["maas_vlan_info", "maas_vlan"]


def test_the_report_reads_what_hangs_on_a_subnet_that_is_declared_absent(region):
    run(maas_vlan, region)
    gone = json.loads(json.dumps(FABRICS))
    gone[0]["vlans"][0]["subnets"] = [{"cidr": "10.0.2.0/24", "state": "absent"}]
    gone[0]["vlans"][0]["dhcp_on"] = False
    live, sent = act("maas_vlan_info", region, fabrics=gone)
    assert "subnet 10.0.2.0/24: should not be" in live["drift"] and sent == ["maas_vlan_info"] * 2
    assert any(path.startswith("dhcp-snippets/") for _method, path, *_rest in region[0].log)


@pytest.mark.parametrize("path", ["fabrics/", "subnets/", "rackcontrollers/", "nodes/"])
def test_a_host_sends_the_fields_that_are_used_and_no_others(region, path):
    run(maas_vlan, region)
    whole = region[0].region.handle("GET", path, {}).body[0]
    cut = run(maas_vlan_info, region, lists=[path])["answers"][path][0]
    assert set(cut) == set(shapes.LISTS[path][0]) < set(whole)
    assert {key: whole[key] for key in cut if not isinstance(cut[key], (dict, list))}.items() <= cut.items()


def test_an_answer_that_is_none_of_maas_ends_on_the_host(region, monkeypatch):
    monkeypatch.setattr(transport.Client, "get", lambda self, path: [{"id": "x" * 1000}])
    said = run(maas_vlan_info, region, lists=["fabrics/"])
    assert said["failed"] and "fabrics[0].id: got" in said["msg"] and len(said["msg"]) < 400


def test_a_host_is_asked_for_lists_of_the_api_alone(region):
    said = run(maas_vlan_info, region, lists=["users/"])
    assert said["failed"] and "got users/; expected lists of the API" in said["msg"]


def test_create_again_change_and_absent(region):
    first = run(maas_vlan, region)
    assert first["changed"] and len(first["operations"]) == 5
    again = run(maas_vlan, region)
    assert not again["changed"] and again["requests"] == {"reads": 4, "writes": 0}
    changed = json.loads(json.dumps(FABRICS))
    changed[0]["vlans"][0]["mtu"] = 9000
    assert run(maas_vlan, region, fabrics=changed)["operations"] == ["update vlan gough/20: mtu=9000"]
    gone = [{"name": "gough", "vlans": [{"vid": 20, "state": "absent", "orphans_to": {"vid": 0}}]}]
    assert run(maas_vlan, region, fabrics=gone)["operations"][-1] == "delete vlan gough/20"


def test_check_mode_foresees_the_run_and_writes_nothing(region):
    check = run(maas_vlan, region, _ansible_check_mode=True, _ansible_diff=True)
    assert region[0].writes == []
    real = run(maas_vlan, region, _ansible_diff=True)
    assert check["operations"] == real["operations"] and check["diff"] == real["diff"]
    assert {key for key in check if key != "text"} == {key for key in real if key != "text"}


def test_bad_input_fails_with_every_reason(region):
    bad = [{"name": "fabric-7", "vlans": [{"vid": 4095}]}]
    result = run(maas_vlan, region, fabrics=bad)
    assert result["failed"] and not result["changed"] and len(result["errors"]) == 2
    assert result["msg"] == "\n".join(result["errors"])


def test_warnings_reach_the_user(region, monkeypatch):
    # In one process with the controller's code, Ansible would show them instead of returning them.
    said = []
    monkeypatch.setattr(maas_vlan.AnsibleModule, "warn", lambda _module, text: said.append(text))
    nested = [{"name": "gough", "vlans": [{"vid": 10, "subnets": [{"cidr": "10.0.0.0/16"}, {"cidr": "10.0.1.0/24"}]}]}]
    run(maas_vlan, region, fabrics=nested)
    assert len(said) == 1 and "a subnet inside 10.0.0.0/16" in said[0]


def test_the_report_is_input_for_the_other_module(region):
    run(maas_vlan, region)
    live, _sent = act("maas_vlan_info", region)
    assert live["drift"] == [] and not live["changed"]
    assert [rack["hostname"] for rack in live["racks"]] == ["rack1", "rack2", "rack3"]
    assert run(maas_vlan, region, **live["tree"])["operations"] == []


@pytest.mark.parametrize(("module", "options"), [(maas_vlan, {}), (maas_vlan_info, {"lists": ["fabrics/"]})])
@pytest.mark.parametrize("key", [None, "consumerkey1:tokenkey222:wrongsecret9", "junk"])
def test_no_part_of_the_key_is_in_any_output(region, module, options, key):
    result = run(
        module, region, **options, **({"api_key": key} if key else {}), _ansible_diff=True, _ansible_verbosity=4
    )
    # The invocation is what Ansible itself prints, with no_log values masked.
    for part in (region[0].key + ":" + (key or "")).split(":"):
        assert not part or part not in result["text"]
    assert bool(key) == bool(result.get("failed"))


def test_the_environment_stands_in_for_address_and_key(region, monkeypatch):
    front, url = region
    monkeypatch.setenv("MAAS_URL", url)
    monkeypatch.setenv("MAAS_API_KEY", front.key)
    output = io.StringIO()
    with patch_module_args({"fabrics": FABRICS}), contextlib.redirect_stdout(output), pytest.raises(SystemExit):
        maas_vlan.main()
    assert json.loads(output.getvalue())["changed"]


def test_the_documentation_names_exactly_the_options_of_the_spec():
    def same(documented, spec, path=""):
        assert documented.keys() == spec.keys(), path
        for name, option in spec.items():
            text = documented[name]
            assert text["type"] == option["type"], path + name
            assert text.get("default") == option.get("default"), path + name
            assert text.get("choices") == option.get("choices"), path + name
            assert text.get("elements") == option.get("elements"), path + name
            assert bool(text.get("required")) == bool(option.get("required")), path + name
            same(text.get("suboptions", {}), option.get("options", {}), f"{path}{name}.")

    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    same(documented, connection())
    same(yaml.safe_load(ModuleDocFragment.TREE)["options"], TREE)


@pytest.mark.parametrize("module", [maas_vlan, maas_vlan_info])
def test_main_is_at_most_thirty_lines(module):
    text = pathlib.Path(module.__file__).read_text()
    body = text[text.index("def main()") : text.index('if __name__ == "__main__"')]
    assert len(body.strip().splitlines()) <= 30


def test_the_key_is_declared_as_a_secret():
    assert connection()["api_key"]["no_log"] is True
    assert basic.AnsibleModule is maas_vlan.AnsibleModule
