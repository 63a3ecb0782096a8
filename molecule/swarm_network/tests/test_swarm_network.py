"""What the engine itself says of networks that the module applied."""

from __future__ import annotations

import json

import pytest
import testinfra
import yaml

testinfra_hosts = ["ansible://scratch12"]


@pytest.fixture(name="arguments", scope="module")
def fixture_arguments():
    """The arguments of the last task in converge.yml."""
    with open("converge.yml", encoding="utf-8") as file:
        return yaml.safe_load(file)[2]["tasks"][0]["bulkhead.tiers.swarm_network"]


@pytest.fixture(name="apply")
def fixture_apply(run_module):
    """apply(arguments, check, host name) -> the module's answer, by default of a run that changes nothing."""

    def apply(arguments, check=True, name="scratch12"):
        return run_module(name, "bulkhead.tiers.swarm_network", arguments, check)

    return apply


def inspect(host, name):
    return json.loads(host.check_output("docker network inspect %s", name))[0]


def test_an_overlay_has_the_declared_subnet_and_flags(host):
    private, public = inspect(host, "private"), inspect(host, "public")
    assert (private["Driver"], private["Scope"], private["Internal"], private["Attachable"]) == (
        "overlay",
        "swarm",
        True,
        True,
    )
    assert private["IPAM"]["Config"][0]["Subnet"] == "172.30.1.0/24"
    assert private["Options"]["com.docker.network.driver.mtu"] == "1450"
    assert private["Labels"]["zone"] == "private"
    assert "encrypted" in public["Options"]
    assert public["IPAM"]["Config"][0]["IPRange"] == "172.30.2.128/25"


def test_a_bridge_has_the_declared_subnet_and_interface(host):
    assert inspect(host, "local")["IPAM"]["Config"][0]["Subnet"] == "192.168.90.0/24"
    assert host.interface("br-local").exists


def test_a_network_that_nobody_declares_goes_if_the_collection_made_it(host, apply, arguments):
    extra = dict(
        arguments, networks=[*arguments["networks"], {"name": "extra", "driver": "overlay", "subnet": "172.30.3.0/24"}]
    )
    host.check_output("docker network create --subnet 192.168.95.0/24 somebodys")
    try:
        assert apply(extra, check=False)["created"] == ["extra"]
        assert apply(arguments)["removed"] == ["extra"], "check mode foresees it"
        assert inspect(host, "extra"), "check mode removes nothing"
        assert apply(arguments, check=False)["removed"] == ["extra"]
        assert inspect(host, "somebodys")
    finally:
        host.run("docker network rm somebodys")
    assert apply(arguments)["changed"] is False


def test_a_subnet_that_is_taken_is_refused_and_nothing_is_created(host, apply, arguments):
    clash = [
        {"name": "first", "driver": "overlay", "subnet": "172.30.4.0/24"},
        {"name": "second", "driver": "overlay", "subnet": "172.30.1.128/25"},
    ]
    message = apply({"networks": clash}, check=False)["msg"]
    assert "networks[1].subnet" in message and "private" in message
    assert "first" not in host.check_output("docker network ls")


def test_a_worker_is_told_to_ask_a_manager(apply):
    worker = testinfra.get_host("docker://bulkhead-lab-scratch13")
    assert worker.check_output("docker info --format '{{.Swarm.LocalNodeState}}'") == "active"
    answer = apply(
        {"networks": [{"name": "mine", "driver": "overlay", "subnet": "172.30.5.0/24"}]}, check=False, name="scratch13"
    )
    assert answer["failed"] and "worker" in answer["msg"] and "manager" in answer["msg"]
