# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from types import SimpleNamespace

import pytest

from ansible_collections.bulkhead.tiers.plugins.action import swarm_network

ARGUMENTS = {"networks": [{"name": "shop"}]}


@pytest.fixture(name="run")
def fixture_run(monkeypatch):
    """The result, and the modules that were run; ``plan`` is what the comparison says."""

    def run(plan, check_mode=False, async_val=0):
        modules = []

        def compare(module_name, module_args, task_vars):
            modules.append((module_name.rpartition(".")[2], module_args))
            return dict(plan)

        def whole(self, tmp, task_vars):
            modules.append(("swarm_network", self._task.args))
            return {"changed": True}

        action = swarm_network.ActionModule.__new__(swarm_network.ActionModule)
        action._task = SimpleNamespace(args=ARGUMENTS, check_mode=check_mode, async_val=async_val)
        action._execute_module = compare
        monkeypatch.setattr(swarm_network.ActionBase, "run", lambda self, tmp, task_vars: {})
        monkeypatch.setattr(swarm_network.HostAction, "run", whole)
        return action.run(task_vars={}), modules

    return run


COMPARED, WHOLE = ("swarm_network_plan", ARGUMENTS), ("swarm_network", ARGUMENTS)


def test_nothing_to_change_is_one_small_module(run):
    assert run({"changed": False, "same": True, "created": []}) == ({"changed": False, "created": []}, [COMPARED])


def test_a_change_is_made_by_the_whole_module(run):
    assert run({"changed": False, "same": False}) == ({"changed": True}, [COMPARED, WHOLE])


def test_check_mode_needs_no_more_than_the_comparison(run):
    answer = {"changed": True, "same": False, "created": ["shop"]}
    assert run(answer, check_mode=True) == ({"changed": True, "created": ["shop"]}, [COMPARED])


def test_a_comparison_that_fails_is_the_answer_and_nothing_is_made(run):
    assert run({"failed": True, "msg": "no \x1b[2J"}) == ({"failed": True, "msg": "no \\x1b[2J"}, [COMPARED])


def test_a_task_that_runs_in_the_background_is_the_whole_module_alone(run):
    assert run({"same": True}, async_val=60) == ({"changed": True}, [WHOLE])
