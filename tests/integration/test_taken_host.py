"""A host that was taken over says what Ansible's variables are to be. It gets nothing by it.

No host and no engine is needed: see tests/support/taken. To see what the attacks did before, name a checkout of then:
TAKEN_CHECKOUT=/path python -m pytest tests/integration/test_taken_host.py
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from taken import CHECKOUT, Fleet, Outcome

MANAGERS = {"manager1": "10.0.4.11", "taken": "10.0.4.66"}
EVIL = "http://evil.example/MAAS"
#: Everything that the hosts' plan could be replaced by, where it is read from facts.
PLAN: dict[str, Any] = {
    "tiers": ["apps"],
    "gateway": False,
    "manager": True,
    "rules": [],
    "default": {},
    "docker": {},
    "vlans": [],
    "networks": [],
    "engine": {},
    "swarm": {"manager": True, "managers": MANAGERS, "tier": "swarm_workers"},
    "stack_lint": {},
}


@pytest.fixture(name="fleet")
def fixture_fleet(tmp_path: Path) -> Fleet:
    return Fleet(tmp_path)


@pytest.fixture(name="inject", params=[True, False], ids=["facts are variables", "facts are facts"])
def fixture_inject(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def stacks_of(fleet: Fleet) -> list[dict[str, Any]]:
    """Two stacks: a file of the controller, and one whose folder beside it is a folder of the controller."""
    return [
        {"name": "one", "kind": "compose", "files": [str(fleet.secret)]},
        {"name": fleet.keys.name, "kind": "compose", "files": [str(fleet.secret)]},
    ]


def attack(fleet: Fleet) -> dict[str, Any]:
    """Every variable that a host would want to set, at once."""
    return {
        "swarm_managers": MANAGERS,
        "stacks_deploy": stacks_of(fleet),
        "stacks_lint": {"stacks": []},
        "stacks_directory": str(fleet.folder),
        "stacks_sarif": str(fleet.secret),
        "provisioning_maas_url": EVIL,
        "provisioning_maas_delegate": "taken",
        "prove_report": str(fleet.secret),
        "bulkhead_networks": {"evil": {"driver": "overlay", "size": 24}},
        "bulkhead_host": {**PLAN, "stacks": stacks_of(fleet)},
    }


def effects(fleet: Fleet, outcome: Outcome) -> list[str]:
    """What the taken host got by a run."""
    secret, key = "the controller's secret", "the controller's key"
    got = {
        "the Swarm's manager token": any(
            call.arguments.get("join_token") == "manager-token" for call in outcome.of("community.docker.docker_swarm")
        ),
        "a file of the controller": any(secret in call.content for call in outcome.of("ansible.builtin.copy")),
        "a folder of the controller": any(key in call.content for call in outcome.of("ansible.builtin.copy")),
        "MAAS's key, sent elsewhere": any(
            call.arguments.get("url") != "http://maas.example/MAAS"
            for host in ("controller", "taken")
            for call in outcome.of("bulkhead.tiers.maas_vlan", host)
        ),
        "MAAS's key, on the host itself": bool(outcome.of("bulkhead.tiers.maas_vlan")),
        "a file of the controller, written": not fleet.secret.exists() or secret not in fleet.secret.read_text("utf-8"),
        "a line of the inventory": "evil" in fleet.pins.read_text("utf-8"),
        "a line of a file, printed": secret in outcome.output,
    }
    return [name for name, happened in got.items() if happened]


def test_without_an_attack_the_fleet_converges_and_each_gets_its_own(fleet: Fleet):
    outcome = fleet.run("site.yml", {"fqdn": "taken.example", "tier_web": {"device": "tier_web"}}, True)
    if Path(__file__).parents[2] == CHECKOUT:
        assert outcome.status == 0, outcome.output[-3000:]
    tokens = {call.host: call.arguments.get("join_token") for call in outcome.calls if "docker_swarm" in call.module}
    assert tokens == {"manager1": None, "taken": "worker-token", "worker1": "worker-token"}
    assert [call.host for call in outcome.calls if call.module.endswith("maas_vlan")] == ["controller"]
    assert effects(fleet, outcome) == []


def test_a_host_that_answers_with_variables_from_the_first_task_on_gets_nothing(fleet: Fleet, inject: bool):
    outcome = fleet.run("site.yml", attack(fleet), inject)
    assert effects(fleet, outcome) == []
    assert outcome.status != 0 and "facts of taken" in outcome.output
    # It harms itself alone: the tiers' other hosts are done. (All hosts of the tier provisioning are taken: the run ends there.)


@pytest.mark.parametrize("playbook", ["stacks.yml", "prove.yml", "allocate.yml"])
def test_no_playbook_gives_a_host_anything_that_sets_variables(fleet: Fleet, playbook: str):
    outcome = fleet.run(playbook, attack(fleet), True)
    assert effects(fleet, outcome) == []
    assert outcome.status != 0
    # Of the proof's steps nothing that a host returns becomes a variable: there is no fact to be refused.
    assert ("facts of taken" in outcome.output) == (playbook != "prove.yml")


def test_variables_that_come_just_before_the_token_are_refused_by_the_task_that_sends_it(fleet: Fleet):
    outcome = fleet.run("swarm_workers.yml", attack(fleet), True, modules=["ansible.builtin.systemd_service"])
    assert effects(fleet, outcome) == []
    assert outcome.of("ansible.builtin.systemd_service") and outcome.status != 0


def test_variables_that_come_between_two_items_of_a_loop_are_refused_at_the_next_item(fleet: Fleet):
    stacks = [{"name": name, "kind": "compose", "files": ["shop.yml", "shop.yml"]} for name in ("one", "ssh")]
    (fleet.secret.with_name("shop.yml")).write_text("x-secret: the controller's secret\n", encoding="utf-8")
    outcome = fleet.run(
        "stacks.yml",
        {"stacks_directory": str(fleet.secret.parent), "__stacks_beside": "ssh"},
        True,
        modules=["ansible.builtin.copy"],
        variables={"stacks_deploy": stacks, "stacks_lint": {"stacks": []}},
    )
    assert outcome.of("ansible.builtin.copy") and effects(fleet, outcome) == []
    assert outcome.status != 0 and "facts of taken" in outcome.output


def test_a_variable_that_a_declared_one_refers_to_sends_no_key_elsewhere(fleet: Fleet):
    outcome = fleet.run("provisioning.yml", {"maas_host": "evil.example"}, True)
    assert effects(fleet, outcome) == []
    assert outcome.status != 0 and "maas_host" in outcome.output


def test_every_playbook_refuses_a_host_whose_cached_facts_set_variables(tmp_path: Path):
    def run(playbook: Path) -> Outcome:
        fleet = Fleet(tmp_path / playbook.stem)
        return fleet.run(playbook.name, {"swarm_managers": MANAGERS}, False, cached=True)

    # inventory.yml, lab.yml and plan.yml ask no host; awx.yml is the next test's.
    without = ("inventory", "lab", "plan", "awx")
    playbooks = [path for path in sorted((CHECKOUT / "playbooks").glob("*.yml")) if path.stem not in without]
    with ThreadPoolExecutor(2) as threads:
        outcomes = dict(zip(playbooks, threads.map(run, playbooks)))
    wrong = {
        playbook.name: outcome.output[-1500:]
        for playbook, outcome in outcomes.items()
        if outcome.status == 0 or "facts of taken: got swarm_managers" not in outcome.output or reached(outcome)
    }
    assert wrong == {}


def test_the_playbook_of_awx_has_no_variable_of_a_hosts_and_reaches_none(tmp_path: Path):
    """It runs on the controller alone, so that there are no facts of a host to be refused: they do not come in at all."""
    awx = "http://127.0.0.1:1"
    facts = {"awx_host": EVIL, "awx_token": "evil", "bulkhead_tiers": {}, "swarm_managers": MANAGERS}
    settings = {"awx_project_url": "https://git.example/site.git", "awx_execution_environment": "image"}
    environment = {"CONTROLLER_HOST": awx, "CONTROLLER_OAUTH_TOKEN": "the token"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        outcome = Fleet(tmp_path).run("awx.yml", facts, True, cached=True, variables=settings)
    assert outcome.calls == () and "evil" not in outcome.output
    assert outcome.status != 0 and awx in outcome.output, outcome.output


def reached(outcome: Outcome) -> list[str]:
    """The modules that the taken host was given."""
    return [call.module for call in outcome.calls if call.host == "taken"]
