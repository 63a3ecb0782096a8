# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A group is the VLAN that its machines boot from, in both directions."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys

import pytest
from maas_server import harness, region
from maas_server.serve import Server

from ansible_collections.bulkhead.tiers.plugins.inventory.maas import (
    connection_address,
    gather,
    group_names,
    names_in_hosts,
    own_names,
)

TREE = {
    "fabrics": [
        {
            "name": "gough",
            "vlans": [
                {"vid": 10, "name": "management", "subnets": [{"cidr": "10.0.1.0/24", "gateway_ip": "10.0.1.1"}]},
                {"vid": 20, "name": "swarm workers", "subnets": [{"cidr": "10.0.2.0/24"}, {"cidr": "fd00:2::/64"}]},
            ],
        },
        {"name": "other", "vlans": [{"vid": 10, "name": "lab"}]},
    ]
}


def populated():
    """Two machines on workers (one not deployed), one on management with two addresses, one without boot interface."""
    front = harness.front()
    harness.run(front, TREE)
    region = front.region
    vlans = {vlan["name"]: number for number, vlan in region.vlans.items()}
    subnets = {subnet["cidr"]: number for number, subnet in region.subnets.items()}
    for system_id, name, facts in (
        ("m1", "node1", {"tag_names": ["gpu"]}),
        ("m2", "node2", {"status_name": "Ready"}),
        ("m3", "admin1", {"ip_addresses": ["192.0.2.9", "10.0.1.5"]}),
        ("m4", "lost", {"boot_interface": None, "ip_addresses": []}),
        ("m5", "labbox", {}),
    ):
        region.add_node(system_id, name, 0, facts)
    region.plug(
        "m1", vlans["swarm workers"], ((subnets["fd00:2::/64"], "fd00:2::7"), (subnets["10.0.2.0/24"], "10.0.2.7"))
    )
    region.plug("m2", vlans["swarm workers"])
    region.plug("m3", vlans["management"])
    region.plug("m5", vlans["lab"])
    front.log.clear()
    return front


@pytest.fixture
def source(tmp_path):
    """Writes an inventory file and answers what ansible-inventory makes of it."""
    front = populated()
    with Server(front) as server:

        def inventory(*before, **options):
            config = {"plugin": "bulkhead.tiers.maas", "url": server.url, "api_key": front.key, **options}
            (tmp_path / "site.maas.yml").write_text(json.dumps(config))
            environment = dict(os.environ, ANSIBLE_LOCALHOST_WARNING="False", ANSIBLE_NOCOLOR="1")
            environment["ANSIBLE_COLLECTIONS_PATH"] = str(collections_folder())
            environment["ANSIBLE_INVENTORY_ENABLED"] = "bulkhead.tiers.maas,ansible.builtin.yaml"
            environment["ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED"] = "1"
            tool = pathlib.Path(sys.executable).parent / "ansible-inventory"
            done = subprocess.run(
                [
                    str(tool),
                    *(word for path in before for word in ("-i", str(path))),
                    "-i",
                    str(tmp_path / "site.maas.yml"),
                    "--list",
                ],
                env=environment,
                cwd=str(tmp_path),
                capture_output=True,
                check=False,
                text=True,
                timeout=60,
            )
            assert front.key.split(":")[2] not in done.stdout + done.stderr
            inventory.warnings = " ".join(done.stderr.split())
            if done.returncode:
                return done.stderr
            return json.loads(done.stdout, object_hook=lambda found: found.get("__ansible_unsafe", found))

        inventory.front = front
        yield inventory


def collections_folder():
    """The folder above ansible_collections that this collection was imported from."""
    parts = pathlib.Path(gather.__code__.co_filename).parts
    return pathlib.Path(*parts[: parts.index("ansible_collections")])


def test_machines_are_in_the_group_of_their_boot_vlan(source):
    found = source(fabrics=["gough"])
    assert found["swarm_workers"]["hosts"] == ["node1"] and found["management"]["hosts"] == ["admin1"]
    hosts = found["_meta"]["hostvars"]
    assert hosts["node1"]["ansible_host"] == "10.0.2.7" and hosts["admin1"]["ansible_host"] == "10.0.1.5"
    assert hosts["node1"]["maas_system_id"] == "m1" and hosts["node1"]["maas_tags"] == ["gpu"]
    assert hosts["node1"]["maas_tier"]["subnet"] == ["10.0.2.0/24", "fd00:2::/64"]
    assert hosts["admin1"]["maas_tier"]["vlan"] == 10 and hosts["admin1"]["maas_tier"]["gateway"] == ["10.0.1.1"]
    assert set(hosts) == {"node1", "admin1"}


def test_a_cached_inventory_asks_nothing_and_its_cache_holds_no_key(source, tmp_path):
    options = {
        "cache": True,
        "cache_plugin": "ansible.builtin.jsonfile",
        "cache_connection": str(tmp_path / "cache"),
        "statuses": [],
        "keyed_groups": [{"key": "maas_tags", "prefix": "tag"}],
    }
    first = source(**options)
    count = len(source.front.log)
    assert count == 3
    assert source(**options) == first and len(source.front.log) == count
    assert first["tag_gpu"]["hosts"] == ["node1"] and "lost" in first["ungrouped"]["hosts"]
    assert sorted(first["swarm_workers"]["hosts"]) == ["node1", "node2"]
    text = "".join(path.read_text() for path in (tmp_path / "cache").iterdir())
    assert "node1" in text and not any(part in text for part in source.front.key.split(":"))


def test_a_wrong_key_is_a_clear_error(source):
    assert "MAAS refuses the API key (401)" in source(api_key="consumerkey1:tokenkey222:wrong")


def test_every_vlan_is_a_group_and_every_group_one_vlan():
    data = gather(harness.client(populated()))
    names = group_names(data["tiers"])
    assert len(set(names.values())) == len(names) == len(data["tiers"])
    assert names[("gough", 10)] == "management" and names[("gough", 20)] == "swarm_workers"
    assert names[("gough", 0)] == "gough_vlan0" and names[("fabric-0", 20)] == "fabric_0_vlan20"


def test_names_that_stand_in_two_fabrics_or_become_one_stay_apart():
    tiers = [
        {"fabric": "a", "vlan": 10, "name": "lan"},
        {"fabric": "b", "vlan": 10, "name": "lan"},
        {"fabric": "c", "vlan": 20, "name": "my lan"},
        {"fabric": "c", "vlan": 21, "name": "my-lan"},
    ]
    assert group_names(tiers) == {
        ("a", 10): "a_lan",
        ("b", 10): "b_lan",
        ("c", 20): "c_my_lan_vlan20",
        ("c", 21): "c_my_lan_vlan21",
    }


@pytest.mark.parametrize(
    "addresses, boot, subnets, expected",
    [
        ([], [], [], None),
        (["192.0.2.1", "10.0.1.5"], [], ["10.0.1.0/24"], "10.0.1.5"),
        (["192.0.2.1"], ["10.9.9.9"], ["10.0.1.0/24"], "10.9.9.9"),
        (["10.0.1.5"], ["10.9.9.9"], ["10.0.1.0/24"], "10.9.9.9"),
        (["fd00::1", "192.0.2.1"], [], [], "192.0.2.1"),
        (["fd00::1"], ["fd00::1"], ["fd00::/64"], "fd00::1"),
    ],
)
def test_the_address_to_connect_to(addresses, boot, subnets, expected):
    assert connection_address(addresses, boot, subnets) == expected


def add_machine(front, system_id, name, vlan, address=None, **facts):
    """A deployed machine on a VLAN, by the VLAN's name."""
    region = front.region
    region.add_node(system_id, name, 0, facts)
    (number,) = (number for number, item in region.vlans.items() if item["name"] == vlan)
    links = (
        [(subnet, address) for subnet, item in region.subnets.items() if item["vlan"] == number][:1] if address else []
    )
    region.plug(system_id, number, tuple(links))


def hosts(found):
    return set(found.get("_meta", {}).get("hostvars", {}))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("localhost", "its name is the controller's"),
        ("localhost.localdomain", "its name is the controller's"),
        (socket.gethostname(), "its name is the controller's"),
        ("127.0.0.1", "its name is the controller's"),
        ("2130706433", "its name is the controller's"),
        ("0x7f.1", "its name is the controller's"),
        ("0X7F.0.1", "its name is the controller's"),
        ("localhost6", "its name is the controller's"),
        ("ip6-localhost", "its name is the controller's"),
        ("IP6-loopback", "its name is the controller's"),
        ("web1.localhost", "its name is the controller's"),
        ("management", "management is a group"),
        ("all", "all is a group"),
        ("web1:22", "its name is no host name"),
        ("-oProxyCommand=x", "its name is no host name"),
        ("node1", "2 machines have the name node1"),
    ],
)
def test_a_machine_that_has_another_ones_name_is_refused(source, name, why):
    add_machine(source.front, "evil", name, "management", "10.0.1.66")
    found = source()
    assert "10.0.1.66" not in json.dumps(found["_meta"])
    assert name not in found["management"].get("hosts", [])
    assert why in source.warnings and "is left out" in source.warnings


def test_names_of_the_controller_in_its_own_file_are_the_controller_s(tmp_path):
    own = tmp_path / "hosts"
    own.write_text("127.0.1.1\tvm Alias # us\n192.0.2.66 node7\n::1 ip6 six\nnonsense\n\n# 127.0.0.1 not\n")
    assert names_in_hosts(str(own)) == {"vm", "alias", "ip6", "six"}
    assert names_in_hosts(str(tmp_path / "none")) == set()
    assert names_in_hosts("/etc/hosts") <= own_names()


def test_a_machine_cannot_take_over_a_host_that_another_source_defines(source, tmp_path):
    static = tmp_path / "hosts.yml"
    static.write_text("all: {hosts: {web1: {ansible_host: 10.0.9.9}}}")
    add_machine(source.front, "evil", "web1", "management", "10.0.1.66")
    found = source(static)
    variables = found["_meta"]["hostvars"]["web1"]
    assert variables["ansible_host"] == "10.0.9.9" and not any(name.startswith("maas_") for name in variables)
    assert "web1" not in found["management"].get("hosts", [])
    assert "another source of the inventory has a host web1" in source.warnings


@pytest.mark.parametrize("name", ["all", "gateway", "outside", "ungrouped", "Gateway"])
def test_a_vlan_is_never_a_group_that_means_something_else(source, name):
    (number,) = (number for number, item in source.front.region.vlans.items() if item["name"] == "lab")
    source.front.region.vlans[number]["name"] = name
    found = source()
    assert found[f"other_{name}"]["hosts"] == ["labbox"]
    assert "hosts" not in found.get(name, {}) or "labbox" not in found[name]["hosts"]


def test_a_tag_does_not_put_a_machine_into_a_vlan_or_among_the_routers(source):
    add_machine(source.front, "evil", "tagged", "lab", tag_names=["management", "gateway", "plain"])
    found = source(keyed_groups=[{"key": "maas_tags", "prefix": "", "separator": ""}])
    assert "tagged" not in found["management"]["hosts"] and "tagged" not in found.get("gateway", {}).get("hosts", [])
    assert found["plain"]["hosts"] == ["tagged"]
    assert "tagged is not put into the group gateway" in source.warnings


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_an_address_that_leads_back_to_the_controller_is_not_connected_to(source, address):
    add_machine(source.front, "evil", "evil1", "lab", ip_addresses=[address])
    found = source()
    # Its name would lead there as well: MAAS's own name server has the same address for it.
    assert "evil1" not in hosts(found) and "evil1" not in json.dumps(found)
    assert "evil1.maas is left out: it has no address of its own to connect to" in source.warnings


def test_an_address_of_the_controller_is_its_own():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.fail("this machine has no route, so no address of its own to try")
        own = probe.getsockname()[0]
    assert connection_address([own], [], []) is None
    assert connection_address([own, "192.0.2.7"], [], []) == "192.0.2.7"


def test_no_machine_at_all_is_a_warning_that_names_the_key(source):
    for number in [number for number, node in source.front.region.nodes.items() if node["node_type"] == 0]:
        del source.front.region.nodes[number]
    assert hosts(source()) == set()
    assert "an ordinary user's key sees only machines of its own" in source.warnings


def test_maas_is_asked_for_the_statuses_and_no_list_twice(source):
    source(statuses=["Deployed", "Ready"])
    paths = [path for method, path, *_rest in source.front.log]
    assert sorted(paths) == ["fabrics/", "machines/", "machines/", "subnets/"]
    queries = [data for _method, path, data, _status in source.front.log if path == "machines/"]
    assert queries == [{"status": "deployed"}, {"status": "ready"}]


def test_machines_outside_of_the_fabrics_are_named(source):
    source(fabrics=["gough"], statuses=[])
    assert "2 of MAAS's machines boot from no VLAN of gough: labbox.maas, lost.maas" in source.warnings


def test_the_recorded_machines_are_read():
    recorded = json.loads((pathlib.Path(region.__file__).parent / "transcripts/3.6.5-machines.json").read_text())
    front = populated()
    for shown in recorded[0]["response"]:
        front.region.add_node(shown["system_id"], shown["hostname"], 0, shown)
    data = gather(harness.client(front), ("Deployed",))
    machines = {machine["hostname"]: machine for machine in data["machines"]}
    assert {"deployed1", "noboot1", "bond1", "six1", "nolan1"} <= set(machines) and "ready1" not in machines
    assert machines["deployed1"]["boot_addresses"] == ["10.0.2.50", "fd00:2::50"]
    assert machines["noboot1"]["vlan"] is None and machines["nolan1"]["vlan"] is None
