# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of Gough's checklist follows from its declaration, inventories/gough. What needs hosts: tests/systems/gough."""

from __future__ import annotations

import copy
from datetime import date
from pathlib import Path

import pytest
import yaml

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.host import host_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.maas import maas_vlans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.plan import plan_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy

INVENTORY = Path(__file__).parents[2] / "inventories" / "gough"
TODAY = date(2026, 11, 21)
MANAGEMENT, PROVISIONING, MONITORING = "10.0.1.50", "10.0.2.50", "10.0.3.11"
MAAS, PORTAL, OUTSIDE = "10.0.2.10", "10.0.1.11", "198.51.100.10"


@pytest.fixture(name="declared", scope="module")
def fixture_declared():
    found = {}
    for file in (INVENTORY / "group_vars" / "all").glob("*.yml"):
        found.update(yaml.safe_load(file.read_text(encoding="utf-8")))
    return {name: value for name, value in found.items() if name.startswith("bulkhead_")}


@pytest.fixture(name="site", scope="module")
def fixture_site(declared):
    return parse_site(declared, TODAY)


@pytest.fixture(name="policy", scope="module")
def fixture_policy(site):
    return Policy(site)


def test_checklist_tiers_and_vlans_as_in_the_table(site):
    assert {
        tier.name: (tier.vlan, [str(net) for net in tier.subnets], tier.internet)
        for tier in site.tiers.values()
        if tier.name != "swarm_workers"
    } == {
        "management": (10, ["10.0.1.0/24"], True),
        "provisioning": (20, ["10.0.2.0/24"], False),
        "monitoring": (30, ["10.0.3.0/24"], None),
    }


def test_checklist_a_duplicate_of_a_static_address_is_refused(declared):
    twice = copy.deepcopy(declared)
    twice["bulkhead_networks"]["maas-network"]["addresses"]["grafana"] = "172.20.0.60"
    with pytest.raises(Refused) as caught:
        parse_site(twice, TODAY)
    assert [one.path for one in caught.value.mistakes] == ["bulkhead_networks.maas-network.addresses.grafana"]


#: From, to, what is open there (the allow lists and the matrix between the VLANs), what is not.
LISTS = [
    (MANAGEMENT, PORTAL, [443, 22, 5240, 8443, 3000, 9090], [80, 8000, 5432, 3306, 6379, 2375]),
    (MANAGEMENT, "10.0.2.11", [443, 22, 5240, 8443, 3000, 9090], [80, 8000]),
    (MANAGEMENT, MONITORING, [443, 22, 5240, 8443, 3000, 9090], [80, 8000]),
    (PROVISIONING, MAAS, [80, 443, 22], [5240, 8000, 8443, 9090]),
    (PROVISIONING, "10.0.2.11", [22], [80, 443]),
    (PROVISIONING, PORTAL, [], [443, 8000, 8443, 22, 9090]),
    (PROVISIONING, MONITORING, [], [22, 514, 5514, 9090]),
    (MONITORING, PORTAL, [8443, 9090], [22, 80, 443, 3000, 5240, 8000]),
    (MONITORING, "10.0.3.12", [9090, 9323, 514, 5514], [22, 80, 8443]),
    (MONITORING, MAAS, [], [22, 80, 443, 9100]),
    (OUTSIDE, PORTAL, [], [22, 80, 443, 8443]),
]


@pytest.mark.parametrize(("source", "destination", "opened", "closed"), LISTS)
def test_checklist_allow_lists_default_deny_and_the_matrix_between_the_vlans(
    source, destination, opened, closed, policy
):
    found = {port: policy.flow_for(source, destination, "tcp", port) is not None for port in (*opened, *closed)}
    assert found == {**dict.fromkeys(opened, True), **dict.fromkeys(closed, False)}


@pytest.mark.parametrize("port", [67, 69, 53])
def test_checklist_pxe_ports_of_provisioning(port, policy):
    assert policy.flow_for(PROVISIONING, MAAS, "udp", port)
    assert not policy.flow_for(MANAGEMENT, MAAS, "udp", port)


def test_checklist_a_server_without_an_address_reaches_dhcp(policy):
    assert policy.flow_for("0.0.0.0", "255.255.255.255", "udp", 67).path == "bulkhead_tiers.provisioning.dhcp"


def test_checklist_no_internet_from_provisioning(site, policy):
    assert not any(policy.flow_for(PROVISIONING, OUTSIDE, "tcp", port) for port in (22, 80, 443))
    assert any(never.path == "bulkhead_tiers.provisioning.internet" for never in site.never)


def test_checklist_bandwidth_of_the_tiers(site):
    assert {tier.name: (tier.bandwidth.minimum, tier.bandwidth.recommended) for tier in site.tiers.values()} == {
        "management": (10, 100),
        "provisioning": (100, 1000),
        "monitoring": (10, 100),
        "swarm_workers": (1000, 10000),
    }


def test_checklist_maas_tree_of_the_vlans_with_dhcp_on_20_alone(site):
    vlans = {vlan["vid"]: vlan for vlan in maas_vlans(site)}
    assert {vid: vlan["dhcp_on"] for vid, vlan in vlans.items()} == {10: False, 20: True, 30: False, 40: False}
    assert vlans[20]["subnets"][0]["ranges"] == [{"type": "dynamic", "start_ip": "10.0.2.100", "end_ip": "10.0.2.200"}]


def test_checklist_logs_from_all_to_the_collector_but_from_provisioning(policy):
    for source in (MANAGEMENT, "10.116.0.11", MONITORING):
        assert policy.flow_for(source, "10.0.3.11", "tcp", 514) and policy.flow_for(source, "10.0.3.11", "tcp", 5514)
        assert policy.flow_for(source, "10.0.3.11", "udp", 514)
    assert not policy.flow_for(PROVISIONING, "10.0.3.11", "tcp", 514)


def test_checklist_metrics_of_every_tier_are_open_to_prometheus_and_to_no_other_tier(policy):
    for target in (MAAS, MONITORING, "10.116.0.11", PORTAL, "10.0.1.1"):
        assert all(policy.flow_for(MANAGEMENT, target, "tcp", port) for port in (9100, 9323))
    assert all(policy.flow_for("172.20.0.60", PORTAL, "tcp", port) for port in (9100, 9323))
    assert not policy.flow_for(MONITORING, "10.116.0.11", "tcp", 9100)


@pytest.mark.parametrize(("host", "tier", "mtu"), [("mgmt1", "management", 1500), ("swarm2", "swarm_workers", 1450)])
def test_checklist_daemon_settings_with_the_resolutions(host, tier, mtu, site):
    settings = host_plan(site, host, [tier], False)["engine"]["settings"]
    assert settings["mtu"] == mtu and settings["bip"] == "172.28.255.1/24"
    assert settings["metrics-addr"] == "0.0.0.0:9323"
    assert "iptables" not in settings


def test_checklist_generated_address_plan(site):
    text = plan_text(site)
    for words in ("10  management", "20  provisioning", "10.0.2.100-200", "30  monitoring", "172.20.0.0/16"):
        assert words in text


def test_the_first_manager_labels_the_nodes_and_no_other_host_does(site):
    assert host_plan(site, "swarm1", ["swarm_workers"], False)["swarm"]["labels"] == {
        "swarm1": {"edge": "true"},
        "swarm2": {"data": "true"},
    }
    assert "labels" not in host_plan(site, "swarm2", ["swarm_workers"], False)["swarm"]
