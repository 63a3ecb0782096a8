"""What the tiers' roles have made of the lab's hosts."""

from __future__ import annotations

import json

import pytest
import testinfra
from hosts.machine import wait


def lab(name):
    return testinfra.get_host("docker://bulkhead-lab-" + name)


@pytest.mark.parametrize("name", ["gw1", "mgmt1", "prov1", "mon1", "swarm1", "swarm2", "swarm3"])
def test_a_host_denies_what_no_rule_allows(name):
    status = lab(name).check_output("ufw status verbose")
    assert "Status: active" in status
    assert "Default: deny (incoming), allow (outgoing), deny (routed)" in status


def test_the_router_forwards_and_drops_forged_sources():
    assert lab("gw1").sysctl("net.ipv4.ip_forward") == 1
    assert lab("gw1").sysctl("net.ipv4.conf.all.rp_filter") == 1


def test_the_tiers_are_vlans_in_maas(run_module):
    answer = run_module(
        "prov1",
        "bulkhead.tiers.maas_vlan_info",
        {"url": "http://127.0.0.1:5240/MAAS", "api_key": "lab:standin:nosecret"},
        True,
    )
    (fabric,) = (fabric for fabric in answer["tree"]["fabrics"] if fabric["name"] == "gough")
    vlans = {vlan["vid"]: vlan for vlan in fabric["vlans"]}
    assert {vid: vlan["name"] for vid, vlan in vlans.items() if vid} == {
        10: "management",
        20: "provisioning",
        30: "monitoring",
        40: "swarm_workers",
    }
    assert [vid for vid, vlan in vlans.items() if vlan["dhcp_on"]] == [20]
    assert vlans[20]["primary_rack"] == "rack1"


def test_the_swarm_has_one_manager_and_two_workers_of_both_releases():
    def found():
        said = lab("swarm1").check_output("docker node ls --format '{{json .}}'")
        return [json.loads(line) for line in said.splitlines()]

    # A busy machine's node is late with its heartbeat, and is called down until the next one.
    wait(lambda: {node["Status"] for node in found()} == {"Ready"}, 90, what="every node of the Swarm is ready")
    nodes = found()
    assert {node["Hostname"]: node["ManagerStatus"] for node in nodes} == {
        "swarm1": "Leader",
        "swarm2": "",
        "swarm3": "",
    }
    assert {node["EngineVersion"].split(".")[0] for node in nodes} == {"20", "26"}


def test_no_network_of_an_engine_lies_on_a_vlan():
    pools = {"docker0": "172.28.", "docker_gwbridge": "172.28."}
    for name in ("swarm1", "swarm2", "swarm3"):
        for interface, prefix in pools.items():
            assert lab(name).interface(interface).addresses[0].startswith(prefix), (name, interface)
    ingress = json.loads(lab("swarm1").check_output("docker network inspect ingress"))[0]
    assert ingress["IPAM"]["Config"][0]["Subnet"].startswith("172.29.")


def test_the_overlays_have_their_pinned_subnets():
    for name, subnet, internal in (("apps-private", "172.30.0.0/24", True), ("apps-public", "172.30.1.0/24", False)):
        overlay = json.loads(lab("swarm1").check_output("docker network inspect " + name))[0]
        assert (overlay["IPAM"]["Config"][0]["Subnet"], overlay["Internal"]) == (subnet, internal)


def test_the_container_network_is_the_document_s():
    network = json.loads(lab("mgmt1").check_output("docker network inspect maas-network"))[0]
    (pool,) = network["IPAM"]["Config"]
    assert (pool["Subnet"], pool["Gateway"], pool["IPRange"]) == ("172.20.0.0/16", "172.20.0.1", "172.20.0.0/24")
    assert lab("mgmt1").interface("gough-br0").exists
