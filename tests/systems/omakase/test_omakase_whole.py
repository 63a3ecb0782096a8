"""Omakase with its inventory: networks.yml, allocate.yml and the linter on the system at work. What its services do is in test_omakase.py."""

from __future__ import annotations

import shutil

import pytest
import yaml

# Each rule of the document, broken by a container that is started by hand: (the linter's rule, options of its `docker run`, image).
BROKEN = {
    "databases never on ingress": ("BT001", ["--network", "vnet-ingress"], "redis"),
    "no port of a database": ("BT002", ["--network", "vnet-ingress", "--publish", "6379:6379"], "redis"),
    "the socket is never mounted": (
        "BT003",
        ["--network", "vnet-ingress", "--volume", "/var/run/docker.sock:/s.sock"],
        "dozzle",
    ),
    "data and control are separate": (
        "BT005",
        ["--network", "vnet-ingress", "--env", "DOCKER_HOST=tcp://cetusguard:2375"],
        "dozzle",
    ),
    "default deny: never on a network that nothing declares": ("BT014", [], "paperless"),
}


@pytest.fixture(name="server", scope="module")
def fixture_server(tools):
    return tools.Host("bulkhead-lab-server1")


@pytest.mark.parametrize("rule", BROKEN)
def test_checklist_lint_catches_each_broken_rule(rule, server, ask_module):
    """In what runs; in the files: tests/unit/plugins/module_utils/stacks/test_stack_references.py."""
    expected, options, image = BROKEN[rule]
    running = ["docker", "run", "--detach", "--rm", "--name", "byhand", *options, "localhost:1/" + image]
    arguments = {"running": True, "networks": "{{ lookup('bulkhead.tiers.host_plan', 'stack_lint').networks }}"}

    def found():
        said = ask_module("server1", "bulkhead.tiers.stack_lint", arguments)
        return {(one["rule"], one["service"]) for one in said["findings"] if one["waived"] is None}

    assert not found()
    server.run(*running, *(["redis-server"] if image == "redis" else []))
    try:
        assert (expected, "byhand") in found()
    finally:
        server.run("docker", "rm", "--force", "byhand")


def test_checklist_networks_yml_finds_a_conflict_put_in_by_hand(server, playbook):
    server.run("docker", "network", "create", "--subnet", "10.0.1.128/25", "byhand")
    try:
        done = playbook("networks", check=False)
    finally:
        server.run("docker", "network", "rm", "byhand")
    assert done.returncode
    assert "server1: network byhand (10.0.1.128/25) overlaps tier management (10.0.1.0/24)" in done.stdout
    playbook("networks")


@pytest.fixture(name="allocations", scope="module")
def fixture_allocations(server, tools, playbook, tmp_path_factory):
    """What allocate.yml pins of two more services, on a server where a network that nothing declares has the next fitting subnet."""
    inventories = tmp_path_factory.mktemp("allocate")
    for name in ("omakase", "stacks"):
        shutil.copytree(tools.CHECKOUT / "inventories" / name, inventories / name)
    group_vars = inventories / "omakase" / "group_vars" / "all"
    site = (group_vars / "site.yml").read_text()
    more = """bulkhead_networks:
  vnet-wiki: {driver: bridge, zone: wiki, size: 28, pool: service, "on": apps}
  vnet-notes: {driver: bridge, zone: notes, size: 29, pool: service, "on": apps}
"""
    (group_vars / "site.yml").write_text(site.replace("bulkhead_networks:\n", more))

    def pins():
        return yaml.safe_load((group_vars / "allocations.yml").read_text())["bulkhead_allocations"]

    server.run("docker", "network", "create", "--subnet", "192.168.0.16/28", "byhand")
    try:
        playbook("allocate", inventory=inventories / "omakase")
        first = pins()
    finally:
        server.run("docker", "network", "rm", "byhand")
    again = playbook("allocate", inventory=inventories / "omakase")
    return first, pins(), again.stdout


def test_checklist_a_new_service_gets_the_next_fitting_subnet(allocations):
    first, _second, _said = allocations
    # The first gap of just this size, so that larger ones stay whole: beside Paperless's /29; and beside Traefik's, for what would come before it
    # is the hand-made network's.
    assert first == {
        "vnet-paperless": "192.168.0.0/29",
        "vnet-notes": "192.168.0.8/29",
        "vnet-wiki": "192.168.10.16/28",
    }


def test_checklist_and_it_is_pinned(allocations):
    """Also when what lies before it is free again."""
    first, second, said = allocations
    assert second == first
    assert "changed=0" in said and "changed=1" not in said
