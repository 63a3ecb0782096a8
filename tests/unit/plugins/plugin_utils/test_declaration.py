# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from ansible import constants
from ansible._internal._datatag._tags import TrustedAsTemplate
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.parsing.vault import EncryptedString
from ansible.template import Templar

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import declaration

SITE: dict[str, Any] = {
    "bulkhead_tiers": {
        "web": {"vlan": 10, "subnet": "10.0.1.0/24"},
        "db": {"vlan": 20, "subnet": "10.0.2.0/24"},
    },
    "bulkhead_addresses": {"collector": "10.0.2.5"},
    "bulkhead_services": {"ssh": "22/tcp", "logs": ["514/tcp", "6000-6001/udp"]},
    "bulkhead_flows": [{"from": "web", "to": "db", "allow": "ssh"}],
    "bulkhead_swarm": {"tier": "web", "managers": {"web1": "10.0.1.5"}},
    "bulkhead_pools": {"engine": "172.28.0.0/16", "swarm": "172.29.0.0/16"},
}


def template(text: str) -> str:
    return TrustedAsTemplate().tag(text)


def task(**variables: Any) -> tuple[dict[str, Any], Templar]:
    """The variables of a task on a host of tier web, and its templar."""
    task_vars = {**SITE, "inventory_hostname": "web2", "group_names": ["web"], "ansible_facts": {}, **variables}
    return task_vars, Templar(DataLoader(), task_vars)


def without(task_vars: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in task_vars.items() if name.removeprefix("bulkhead_") not in names}


@pytest.fixture(name="folder")
def fixture_folder(tmp_path, monkeypatch):
    """A run of its own: nothing is in memory, and its temporary folder is empty."""
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    declaration._memory.clear()
    return tmp_path


@pytest.fixture(name="inject", params=[True, False], ids=["injected", "not injected"])
def fixture_inject(request, monkeypatch):
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", request.param)
    return request.param


def test_a_host_gets_the_plan_of_its_groups():
    declared = declaration.read(*task())
    place = declaration.host_place(declared, task()[0])
    assert place == (("web",), False)
    assert declared.plan("web2", place)["tiers"] == ["web"] and not declared.plan("web2", place)["manager"]
    assert declared.plan("web1", place)["manager"]


def test_the_plan_says_what_roles_ask_of_the_whole_site():
    plan = declaration.read(*task()).plan("db1", declaration.Place(("db",), False))
    assert plan["site"]["tiers"] == ["web", "db"] and plan["site"]["addresses"] == {"collector": ["10.0.2.5"]}
    assert plan["site"]["services"]["logs"] == [
        {"proto": "tcp", "first": 514, "last": 514},
        {"proto": "udp", "first": 6000, "last": 6001},
    ]
    assert not plan["runs_docker"]


def test_the_places_of_all_hosts_are_the_inventory_s():
    groups = {"all": ["web1", "both", "gw", "x"], "web": ["web1", "both"], "db": ["both"], "gateway": ["gw"]}
    places = declaration.read(*task()).places(groups)
    assert places == {
        "web1": (("web",), False),
        "both": (("web", "db"), False),
        "gw": ((), True),
        "x": ((), False),
    }


@pytest.mark.parametrize(
    "name",
    [
        "bulkhead_tiers",
        "bulkhead_flows",
        "bulkhead_host",
        "bulkhead_anything",
        *sorted(declaration.ROLE_VARIABLES),
        "group_names",
        "inventory_hostname",
        "groups",
        "omit",
        "lookup",
    ],
)
def test_a_fact_with_the_name_of_a_variable_that_decides_is_refused(name, inject):
    facts = {"fqdn": "web2.example", name: "anything"}
    with pytest.raises(Refused) as refused:
        declaration.read(*task(ansible_facts=facts, **({name: "anything"} if inject else {})))
    assert [mistake.kind for mistake in refused.value.mistakes] == [declaration.INJECTED]
    assert name in str(refused.value)
    with pytest.raises(Refused):
        declaration.value_of("bulkhead_services", *task(ansible_facts=facts))


def test_what_the_last_item_of_a_loop_has_brought_is_refused_too(inject):
    with pytest.raises(Refused):
        declaration.read(*task(ansible_facts={"ansible_facts": {"bulkhead_flows": []}}))


@pytest.mark.parametrize("name", ["swarm_br0", "gateway_lan", "stacks", "tier_web", "default_ipv4", "env", "domain"])
def test_a_fact_that_a_host_has_in_peace_is_none_of_ours(name):
    declaration.read(*task(ansible_facts={name: {"device": name}}))


def test_the_name_of_a_fact_cannot_write_to_the_terminal():
    with pytest.raises(Refused) as refused:
        declaration.read(*task(ansible_facts={"bulkhead_\x1b[2J": 1}))
    assert "\x1b" not in str(refused.value)


def test_a_value_is_templated():
    task_vars, templar = task(maas_url="https://maas", url=template("{{ maas_url }}/MAAS"))
    assert declaration.value_of("url", task_vars, templar) == "https://maas/MAAS"
    task_vars, templar = task(
        subnet="10.0.9.0/24", bulkhead_tiers={"web": {"vlan": 1, "subnet": template("{{ subnet }}")}}
    )
    site = declaration.read(without(task_vars, "flows", "addresses", "swarm"), templar).site
    assert str(site.tiers["web"].subnets[0]) == "10.0.9.0/24"


def test_no_value_is_templated_with_what_a_fact_has_set(monkeypatch):
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", True)
    evil = {"maas_url": "https://evil", "ansible_facts": {"maas_url": "https://evil"}}
    with pytest.raises(AnsibleError, match="undefined"):
        declaration.value_of("url", *task(url=template("{{ maas_url }}/MAAS"), **evil))
    with pytest.raises(Refused, match="set by facts of the host, which declare nothing: maas_url"):
        declaration.read(*task(bulkhead_addresses={"maas": template("{{ maas_url }}")}, **evil))
    with pytest.raises(AnsibleError, match="undefined"):
        declaration.value_of("maas_url", *task(**evil))


def test_a_fact_beside_a_variable_changes_nothing_where_facts_are_no_variables(monkeypatch):
    monkeypatch.setattr(constants, "INJECT_FACTS_AS_VARS", False)
    variables = task(
        url=template("{{ maas_url }}"), maas_url="https://maas", ansible_facts={"maas_url": "https://evil"}
    )
    assert declaration.value_of("url", *variables) == "https://maas"


def test_a_template_that_fails_is_named_with_its_variable():
    with pytest.raises(Refused) as refused:
        declaration.read(*task(bulkhead_flows=template("{{ nowhere }}"), bulkhead_never=template("{{ 1 / 0 }}")))
    assert [mistake.path for mistake in refused.value.mistakes] == ["bulkhead_flows", "bulkhead_never"]


def test_a_date_of_yaml_is_a_date():
    flow = {"from": "web", "to": "db", "allow": "ssh", "until": date(2099, 1, 1)}
    assert declaration.read(*task(bulkhead_flows=[flow])).site.flows[0].until == date(2099, 1, 1)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which sites are parsed from now on."""
    calls: list[str] = []
    parse: Callable[..., Any] = declaration.parse_site

    def parse_and_count(variables: Any, *rest: Any) -> Any:
        calls.append(json.dumps(variables, default=str))
        return parse(variables, *rest)

    monkeypatch.setattr(declaration, "parse_site", parse_and_count)
    return calls


def in_another_process(what: Callable[[], object]) -> int:
    """The exit status of a child process that does it: 0, or 1 if it raises."""
    child = os.fork()
    if not child:
        try:
            what()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_site_is_compiled_once_for_all_processes_of_a_run(folder, monkeypatch):
    place = declaration.Place(("web",), False)
    assert in_another_process(lambda: declaration.read(*task()).plan("web2", place)) == 0
    calls = counted(monkeypatch)
    plan = declaration.read(*task()).plan("web3", place)
    assert calls == [] and plan["tiers"] == ["web"]
    other = declaration.read(*task(bulkhead_flows=[]))
    assert other.plan("web2", place)["rules"] == [] and len(calls) == 1


def test_the_managers_of_the_swarm_have_the_rules_that_are_compiled_for_their_tier(folder, monkeypatch):
    compiled, whole = [], declaration.shared_plan
    monkeypatch.setattr(declaration, "shared_plan", lambda *asked: (compiled.append(asked[1:]), whole(*asked))[1])
    place = declaration.Place(("web",), False)
    read = declaration.read(*task(bulkhead_flows=[{"from": "db", "to": "web", "allow": "ssh"}]))
    plans = [read.plan(host, place) for host in ("web2", "web1", "web3")]
    assert compiled == [(("web",), False)]
    assert [plan["manager"] for plan in plans] == [False, True, False]
    assert plans[0]["rules"] == plans[1]["rules"] != []
    assert read.plan("db1", declaration.Place(("db",), False))["rules"] != plans[0]["rules"] and len(compiled) == 2


def test_a_mistake_is_reported_by_every_host(folder):
    for _host in range(2):
        with pytest.raises(Refused, match="bulkhead_tiers.web.vlan"):
            assert declaration.read(*task(bulkhead_tiers={"web": {"vlan": 4095, "subnet": "10.0.1.0/24"}})).site


def test_what_is_kept_is_this_user_s_alone(folder):
    assert declaration.read(*task()).outline.tiers == ("web", "db")
    kept = folder / "bulkhead"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700 and list(kept.iterdir())


def test_a_folder_that_others_may_write_to_is_not_used(folder, monkeypatch):
    (folder / "bulkhead").mkdir(mode=0o777)
    (folder / "bulkhead").chmod(0o777)
    declaration._made.cache_clear()
    assert declaration.read(*task()).outline.tiers == ("web", "db")
    assert list((folder / "bulkhead").iterdir()) == []


def test_a_check_of_a_host_compiles_no_plan_and_finds_a_manager_in_the_wrong_tier(monkeypatch):
    site = {
        "bulkhead_tiers": {
            "web": {"vlan": 1, "subnet": "198.18.1.0/24"},
            "swarm": {"vlan": 2, "subnet": "198.18.2.0/24"},
        },
        "bulkhead_services": {},
        "bulkhead_flows": [],
        "bulkhead_swarm": {"tier": "swarm", "managers": {"m1": "198.18.2.11"}},
    }
    made = []
    monkeypatch.setattr(
        declaration, "host_plan", lambda *given, _real=declaration.host_plan: made.append(1) or _real(*given)
    )
    declared = declaration.declare(site)
    assert declared.check("w1", ["web", "other"]).tiers == ("web", "swarm")
    assert made == []
    declared.check("m1", ["swarm"])
    with pytest.raises(Refused, match="bulkhead_swarm.managers: got m1, a host of web"):
        declared.check("m1", ["web"])


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"a": [1, "x", None, True]}, True),
        ({"until": date(2027, 6, 30)}, True),
        ({"why": "{{ x }}"}, False),
        ({"why": "#jinja2: x"}, False),
        ({"why": "a (b)"}, False),
        ({"why": object()}, False),
        ({"why": EncryptedString(ciphertext="$ANSIBLE_VAULT;1.1;AES256\n00")}, False),
        ({"why": TrustedAsTemplate().tag("text")}, True),
    ],
)
def test_what_repr_does_not_show_whole_is_gone_over_with_care(value, plain):
    assert declaration._is_plain(repr(value)) is plain


def test_a_declaration_of_the_very_same_values_is_gone_over_once(monkeypatch):
    values = {"bulkhead_tiers": {"web": {"vlan": 1, "subnet": "198.18.1.0/24"}}, "bulkhead_flows": []}
    seen = []
    monkeypatch.setattr(declaration, "_last", None)
    monkeypatch.setattr(
        declaration, "_is_plain", lambda shown, _real=declaration._is_plain: seen.append(1) or _real(shown)
    )

    def key(found):
        return declaration.read(found, Templar(DataLoader(), found)).key

    first = key({**values, "inventory_hostname": "a"})
    assert key({**values, "inventory_hostname": "b"}) == first
    assert len(seen) == 1
    # Equal values that are other objects are gone over again, and so is whatever differs, or is more, or less.
    assert key(json.loads(json.dumps(values))) == first
    assert key({**values, "bulkhead_flows": [{"from": "web", "to": "self", "allow": "ssh"}]}) != first
    assert key({**values, "bulkhead_services": {}}) != first
    assert key({"bulkhead_tiers": values["bulkhead_tiers"]}) != first
    assert len(seen) == 5
