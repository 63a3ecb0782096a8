# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What tests/support/mesh does without a node: AWX's way of slicing, what a slice knows, and where slices go when nodes die."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mesh import Job, Slice, cut
from mesh import run as running

INVENTORY: dict[str, Any] = {
    "_meta": {"hostvars": {"a1": {"x": 1}, "a2": {"x": 2}, "b1": {"x": 3}}},
    "all": {"children": ["web", "db", "none"], "vars": {"site": "s"}},
    "web": {"hosts": ["a1", "a2"]},
    "db": {"hosts": ["b1"], "vars": {"y": 1}},
    "none": {"hosts": []},
}


def test_hosts_are_cut_as_a_real_awx_cut_them():
    # Of its 24.6.1: six hosts in two slices, however the inventory orders them.
    assert cut(["r3", "manual1", "r5", "r1", "r2", "r4"], 2) == [["manual1", "r2", "r4"], ["r1", "r3", "r5"]]
    assert cut(["b", "a"], 13) == [["a"], ["b"]] and cut(["b", "a"], 1) == [["a", "b"]] and cut(["a"], 0) == [["a"]]


def test_a_slice_knows_its_own_hosts_and_all_groups():
    job = Job("site.yml", INVENTORY, "key")
    assert job.hosts == ["a1", "a2", "b1"]
    part = job.part(["a1"])
    assert part["_meta"]["hostvars"] == {"a1": {"x": 1}}
    assert (part["web"]["hosts"], part["db"], part["none"]["hosts"]) == (["a1"], {"hosts": [], "vars": {"y": 1}}, [])
    assert part["all"] == INVENTORY["all"] and "a2" not in json.dumps(part)


@pytest.mark.parametrize(("number", "sliced"), [(None, False), (0, True), (3, True)])
def test_a_job_is_a_slice_where_its_workflow_has_its_templates_name(tmp_path: Path, number, sliced):
    Job("site.yml", INVENTORY, "key", template="t").write(tmp_path, ["a1"], number)
    given = json.loads((tmp_path / "env/extravars").read_text())
    assert (given.get("awx_workflow_job_name") == given["awx_job_template_name"]) is sliced
    assert (tmp_path / "env/ssh_key").stat().st_mode & 0o777 == 0o600


class Nodes:
    """Nodes that die at the first slices that they are given. lives: {node: how many it ends before}."""

    def __init__(self, lives: dict[str, int]) -> None:
        self.nodes, self.lives = list(lives), dict(lives)
        self.death = threading.Event()

    def is_up(self, node: str) -> bool:
        return self.lives[node] >= 0


def dispatched(monkeypatch, folder: Path, lives: dict[str, int], slices: int = 4) -> running.Done:
    mesh = Nodes(lives)

    def follow(_run: Any, _one: Slice, _unit: str, node: str) -> str | None:
        mesh.lives[node] -= 1
        if not mesh.is_up(node):
            mesh.death.set()
        # The others do not take all of it before the first one dies.
        mesh.death.wait(30)
        return "successful" if mesh.is_up(node) else None

    monkeypatch.setattr(running._Run, "submit", lambda *_args: "unit")
    monkeypatch.setattr(running._Run, "follow", follow)
    job = SimpleNamespace(hosts=[f"h{number}" for number in range(slices)], write=lambda *_args: None)
    return running.run_slices(mesh, job, slices, folder)  # type: ignore[arg-type]


def test_a_slice_whose_node_dies_is_named_and_goes_to_another(monkeypatch, tmp_path: Path):
    done = dispatched(monkeypatch, tmp_path, {"n1": 0, "n2": 100})
    (lost,) = [one for one in done.slices if one.lost]
    assert done.ok and (lost.lost, lost.tried) == (["n1"], ["n1", "n2"])
    assert [line for line in done.said if "LOST" in line and lost.hosts[0] in line]
    assert all(one.tried == ["n2"] for one in done.slices if one is not lost)


def test_a_slice_that_no_node_is_left_for_is_named_and_the_run_fails(monkeypatch, tmp_path: Path):
    done = dispatched(monkeypatch, tmp_path, {"n1": 0, "n2": 2})
    left = [one for one in done.slices if one.status != "successful"]
    assert not done.ok and len(left) == 2
    assert all(any("no node is left" in line and one.hosts[0] in line for line in done.said) for one in left)


def test_a_slice_that_fails_by_itself_is_not_run_again(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(running._Run, "submit", lambda *_args: "unit")
    monkeypatch.setattr(running._Run, "follow", lambda *_args: "failed")
    mesh = Nodes({"n1": 100, "n2": 100})
    job = SimpleNamespace(hosts=["h1", "h2"], write=lambda *_args: None)
    done = running.run_slices(mesh, job, 2, tmp_path)  # type: ignore[arg-type]
    assert not done.ok and [len(one.tried) for one in done.slices] == [1, 1]
