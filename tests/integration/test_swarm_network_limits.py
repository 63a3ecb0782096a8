# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker's limits on real engines: IP versions, interfaces and pools. The table itself: tests/unit/plugins/plugin_utils/site/test_docker.py."""

from __future__ import annotations

import json
import shutil
from datetime import date

import pytest
from hosts import NET, PREFIX
from hosts.engine import Hosts

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.networks import host_networks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

INTERFACE = "com.docker.network.bridge.name"
OWN = {"name": "own", "driver": "bridge", "subnet": "10.8.0.0/24", "options": {INTERFACE: "br-own"}}
BOTH = {"name": "both", "driver": "bridge", "subnet": ["10.9.0.0/24", "fd00:9::/64"], "enable_ipv6": True}


@pytest.fixture(name="hosts", scope="module")
def fixture_hosts():
    # A test that cannot run has not passed.
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    with Hosts(f"{PREFIX}-limits", ["bookworm", "trixie"], f"10.{NET}.8") as hosts:
        for host in hosts:
            # Two subnets, of which the default bridge has one.
            host.put(
                "/etc/docker/daemon.json", json.dumps({"default-address-pools": [{"base": "10.98.0.0/24", "size": 25}]})
            )
            host("systemctl", "restart", "docker")
            host("ip", "link", "delete", "docker0", check=False)
            host("systemctl", "restart", "docker")
        yield hosts


@pytest.fixture(name="host", params=[0, 1], ids=["20.10", "26.1"])
def fixture_host(hosts, request):
    host = hosts[request.param]
    host.module(networks=[], purge=True)
    return host


def shown(host, name):
    return json.loads(host.docker("network", "inspect", name))[0]


def test_ip_versions_are_as_they_are_said_and_the_second_run_changes_nothing(host):
    made = host.module(networks=[OWN, BOTH])
    assert made.get("created") == ["both", "own"], made
    assert shown(host, "both")["EnableIPv6"] is True and shown(host, "own")["EnableIPv6"] is False
    assert host.module(networks=[OWN, BOTH])["changed"] is False
    four = {**BOTH, "subnet": "10.9.0.0/24", "enable_ipv6": None}
    assert "enable_ipv6: got true on the live network 'both'; expected false" in host.module(networks=[four])["msg"]
    assert host.module(networks=[four], recreate="if_unused")["recreated"] == ["both"]
    assert shown(host, "both")["EnableIPv6"] is False


def test_a_site_with_networks_of_both_ip_versions_is_made_on_the_engine_as_it_is_declared(host):
    declared = {
        "bulkhead_tiers": {"apps": {"vlan": 10, "subnet": "203.0.113.0/24"}},
        "bulkhead_pools": {"bridge": ["10.5.0.0/16", "fd00:5::/48"], "engine": "10.98.0.0/24"},
        "bulkhead_networks": {
            "taken": {"driver": "bridge", "on": "apps", "size": [24, 64]},
            "said": {
                "driver": "bridge",
                "on": "apps",
                "subnet": ["fd00:4::/64", "10.4.0.0/24"],
                "gateway": ["10.4.0.9", "fd00:4::9"],
                "ip_range": "10.4.0.128/25",
                "enable_ipv6": True,
            },
        },
    }
    networks = host_networks(parse_site(declared, date(2026, 1, 1)), ["apps"], "h")
    made = host.module(networks=networks)
    assert made.get("created") == ["said", "taken"], made
    configs = {
        name: {(item["Subnet"], item.get("Gateway")) for item in shown(host, name)["IPAM"]["Config"]}
        for name in ("taken", "said")
    }
    assert {subnet for subnet, _gateway in configs["taken"]} == {"10.5.0.0/24", "fd00:5::/64"}
    assert configs["said"] == {("10.4.0.0/24", "10.4.0.9"), ("fd00:4::/64", "fd00:4::9")}
    assert host.module(networks=networks)["changed"] is False


def test_a_network_without_ipv4_is_refused_by_engines_that_make_none(host):
    six = {"name": "six", "driver": "bridge", "subnet": "fd00:6::/64", "enable_ipv4": False}
    assert "networks[0].enable_ipv4: got false; expected Engine 28 or newer" in host.module(networks=[six])["msg"]


def test_no_network_takes_an_interface_over(host):
    host.module(networks=[OWN, {"name": "plain", "driver": "bridge", "subnet": "10.7.0.0/24"}])
    plain = f"br-{shown(host, 'plain')['Id'][:12]}"
    addresses = host("ip", "-o", "-4", "address")
    for name in ("docker0", "br-own", plain):
        refused = host.module(
            networks=[{"name": "new", "driver": "bridge", "subnet": "10.6.0.0/24", "options": {INTERFACE: name}}]
        )
        assert f"options.{INTERFACE}: got '{name}'" in refused["msg"]
    assert host("ip", "-o", "-4", "address") == addresses


def test_a_bridge_for_which_the_pools_have_no_room_is_told_what_to_do(host):
    first = {"name": "first", "driver": "bridge"}
    assert host.module(networks=[first])["created"] == ["first"]
    full = host.module(networks=[first, {"name": "second", "driver": "bridge"}])
    assert (
        full["failed"]
        and "Its address pool 10.98.0.0/24 has no free /25 left. Give the network a subnet" in full["msg"]
    )
    assert host.module(networks=[first, {**OWN, "name": "second"}])["created"] == ["second"]
