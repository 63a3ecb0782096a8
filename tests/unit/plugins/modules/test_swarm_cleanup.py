"""swarm_cleanup against stand-ins of both recorded engines."""

from __future__ import annotations

import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import waiting
from ansible_collections.bulkhead.tiers.plugins.modules import swarm_cleanup, swarm_network, swarm_network_info
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.docker.running import run
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.docker.standin import VERSIONS, StandIn

STACK = "com.docker.stack.namespace"


@pytest.fixture(name="engine", params=VERSIONS)
def fixture_engine(tmp_path, request):
    """Networks of the stack ``old``, which has no service, and of ``new``, which has one."""
    with StandIn(tmp_path, request.param) as engine:
        for number, (name, labels) in enumerate(
            [
                ("old_a", {STACK: "old"}),
                ("old_b", {STACK: "old"}),
                ("new_a", {STACK: "new"}),
                ("made", {}),
                ("old_ours", {STACK: "old", "bulkhead.tiers.managed": "true"}),
            ]
        ):
            pools = {"Config": [{"Subnet": f"10.90.{number}.0/24"}]}
            engine.create({"Name": name, "Driver": "overlay", "Options": {}, "Labels": labels, "IPAM": pools})
        engine.populate("old_b")
        engine.services[0]["Spec"].update(Labels={STACK: "new"}, Networks=[], Name="new_svc")
        engine.services[0]["Spec"]["TaskTemplate"]["Networks"] = []
        engine.tasks.clear()
        engine.attachments.clear()
        engine.calls.clear()
        yield engine


@pytest.fixture(name="hurry", autouse=True)
def fixture_hurry(monkeypatch):
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.005)


def test_by_default_it_only_lists_what_is_left_and_what_holds_it(engine):
    result = run(swarm_cleanup, engine.url)
    assert (result["changed"], result["removed"]) == (False, []) and engine.writes == []
    left = {item["name"]: item for item in result["leftovers"]}
    assert sorted(left) == ["old_a", "old_b", "old_ours"]
    assert (
        left["old_a"]["removable"] and left["old_a"]["stack"] == "old" and left["old_a"]["subnets"] == ["10.90.0.0/24"]
    )
    assert left["old_b"]["held_by"] == [f"container {name}" for name in ("dynamic", "new", "static", "stopped")]
    assert not left["old_b"]["removable"]
    assert left["old_ours"]["kept"].startswith("it was made on purpose")


def test_what_nothing_holds_is_removed_when_it_is_asked_for(engine):
    foreseen = run(swarm_cleanup, engine.url, remove=True, check=True)
    assert engine.writes == []
    done = run(swarm_cleanup, engine.url, remove=True)
    assert foreseen["changed"] and foreseen["removed"] == done["removed"] == ["old_a"]
    assert foreseen["diff"] == done["diff"] == {"before": "old_a of stack old\n", "after": ""}
    assert {"old_b", "old_ours", "new_a", "made"} <= set(engine.names) and "old_a" not in engine.names
    assert run(swarm_cleanup, engine.url, remove=True)["changed"] is False


def test_a_declared_network_stays_whoever_made_it(engine):
    result = run(swarm_cleanup, engine.url, remove=True, declared=["old_a"])
    assert result["removed"] == []
    assert next(item for item in result["leftovers"] if item["name"] == "old_a")["kept"] == "it is declared"


def test_only_the_named_stacks_are_looked_at(engine):
    assert run(swarm_cleanup, engine.url, remove=True, stacks=["other"])["leftovers"] == []


def test_a_container_of_another_node_holds_a_network_as_well(engine):
    scene = next(call["answer"] for call in engine.scenes["move"] if call["path"] == "/tasks?runtime=attachment")
    task = json.loads(json.dumps(scene[0]))
    task["Spec"]["NetworkAttachmentSpec"]["ContainerID"] = "f" * 64
    task["Spec"]["Networks"] = [{"Target": engine.named("old_a")["Id"]}]
    task["NodeID"] = engine.nodes[0]["ID"]
    engine.attachments.append(task)
    result = run(swarm_cleanup, engine.url, remove=True)
    host = engine.nodes[0]["Description"]["Hostname"]
    assert result["removed"] == []
    assert result["leftovers"][0]["held_by"] == [f"container ffffffffffff on {host}"]
    task["Status"]["State"] = "shutdown"
    assert run(swarm_cleanup, engine.url, remove=True)["removed"] == ["old_a"]


def test_a_removal_waits_until_the_last_tasks_have_ended(engine):
    task = {"ID": "t1", "ServiceID": "gone", "DesiredState": "remove", "Status": {"State": "running"}}
    task["NetworksAttachments"] = [{"Network": {"ID": engine.named("old_a")["Id"]}}]
    engine.tasks.append(task)
    assert run(swarm_cleanup, engine.url)["leftovers"][0]["ending"] == ["t1"]
    result = run(swarm_cleanup, engine.url, remove=True, wait_timeout=0)
    assert result["failed"] and "still hold addresses" in result["msg"] and "old_a" in engine.names
    engine.tasks.clear()
    assert run(swarm_cleanup, engine.url, remove=True)["removed"] == ["old_a"]


@pytest.mark.parametrize("role", ["worker", "outside", "leaderless"])
def test_a_node_that_is_no_manager_is_refused(tmp_path, role):
    with StandIn(tmp_path, "26_1", role) as engine:
        result = run(swarm_cleanup, engine.url, remove=True)
        assert "expected a swarm manager: no other node knows which stacks have services" in result["msg"]


def test_the_list_of_networks_marks_orphans_too(engine):
    networks = {network["name"]: network for network in run(swarm_network_info, engine.url)["networks"]}
    assert {name for name, network in networks.items() if network["orphan"]} == {"old_a", "old_b", "old_ours"}
    assert (networks["new_a"]["stack"], networks["made"]["stack"]) == ("new", None)


def test_addresses_in_use_are_counted(engine):
    run(swarm_network, engine.url, networks=[{"name": "shop", "subnet": "10.95.0.0/24", "attachable": True}])
    engine.populate("shop")
    engine.services[0]["Endpoint"] = {
        "VirtualIPs": [{"NetworkID": engine.named("shop")["Id"], "Addr": "10.95.0.2/24"}, {"NetworkID": "x"}]
    }
    shop = next(item for item in run(swarm_network_info, engine.url)["networks"] if item["name"] == "shop")
    # One task, two containers that run, the service's virtual address, and the node's load balancer.
    assert (shop["used"], shop["usable"]) == (5, 253)
