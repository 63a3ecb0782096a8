"""VLANs as files of a network stack."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.host import names_in, stack_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.render import (
    FOLDER,
    INTERFACES,
    MARKER,
    STACKS,
    YAML,
    files,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.wanted import Route, Vlan, Wanted

WANTED = Wanted(
    "eth1",
    (
        Vlan(
            10,
            "eth1.10",
            "web",
            ("10.0.1.11/24", "fd10::11/64"),
            (Route("0.0.0.0/0", "10.0.1.1"), Route("::/0", "fd10::1")),
        ),
        Vlan(20, "db0", "db"),
    ),
)


@pytest.mark.parametrize("stack", STACKS)
def test_every_file_begins_with_the_marker_and_tells_its_interfaces_and_stack_again(stack):
    made = files(stack, WANTED, "20-trunk.network")
    assert made and all(file.text.startswith(MARKER + "\n") for file in made.values())
    assert names_in(made) == ["eth1.10", "db0"] and stack_of(made) == stack


@pytest.mark.parametrize("stack", STACKS)
def test_no_vlan_is_no_file(stack):
    assert files(stack, Wanted("eth1", ()), "20-trunk.network") == {}


def test_netplan_reads_what_is_meant():
    text = files("netplan", WANTED)[YAML].text
    assert yaml.safe_load(text)["network"] == {
        "version": 2,
        "vlans": {
            "eth1.10": {
                "id": 10,
                "link": "eth1",
                "addresses": ["10.0.1.11/24", "fd10::11/64"],
                "routes": [{"to": "0.0.0.0/0", "via": "10.0.1.1"}, {"to": "::/0", "via": "fd10::1"}],
            },
            "db0": {"id": 20, "link": "eth1"},
        },
    }
    assert files("netplan", WANTED)[YAML].mode == 0o600


def test_networkd_has_a_file_of_each_interface_and_a_drop_in_for_the_trunk():
    made = files("networkd", WANTED, "20-trunk.network")
    assert sorted(made) == [
        f"{FOLDER}/20-bulkhead-db0.netdev",
        f"{FOLDER}/20-bulkhead-db0.network",
        f"{FOLDER}/20-bulkhead-eth1.10.netdev",
        f"{FOLDER}/20-bulkhead-eth1.10.network",
        f"{FOLDER}/20-trunk.network.d/50-bulkhead-vlans.conf",
    ]
    assert made[f"{FOLDER}/20-trunk.network.d/50-bulkhead-vlans.conf"].text.splitlines()[1:] == [
        "[Network]",
        "VLAN=eth1.10",
        "VLAN=db0",
    ]
    assert "Kind=vlan\n\n[VLAN]\nId=10\n" in made[f"{FOLDER}/20-bulkhead-eth1.10.netdev"].text
    network = made[f"{FOLDER}/20-bulkhead-eth1.10.network"].text
    assert "Address=10.0.1.11/24\nAddress=fd10::11/64\n" in network and "Destination=::/0\nGateway=fd10::1" in network


def test_ifupdown_makes_the_interface_with_the_first_address_and_ends_it_with_the_last():
    lines = files("ifupdown", WANTED)[INTERFACES].text.splitlines()
    first, second = lines.index("iface eth1.10 inet static"), lines.index("iface eth1.10 inet6 static")
    made = next(
        number for number, line in enumerate(lines) if "ip link add link eth1 name eth1.10 type vlan id 10" in line
    )
    ended = next(number for number, line in enumerate(lines) if "post-down ip link delete dev eth1.10" in line)
    assert first < made < second < ended
    assert "iface db0 inet manual" in lines
