"""What the engine's answers mean."""

from __future__ import annotations

import copy
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import creation, model, node, overlap
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.docker.standin import (
    VERSIONS,
    recorded,
    transcript,
)


def block(bits: int, length: int):
    return ip_network((bits >> (32 - length) << (32 - length), length))


@given(st.lists(st.builds(block, st.integers(0x0A000000, 0x0A0000FF), st.integers(22, 32)), max_size=12))
def test_overlaps_are_all_pairs_that_overlap(cidrs):
    owned = [(cidr, index) for index, cidr in enumerate(cidrs)]
    found = sorted(tuple(sorted((one[1], other[1]))) for one, other in overlap.overlaps(owned))
    assert found == [(i, j) for i in range(len(cidrs)) for j in range(i + 1, len(cidrs)) if cidrs[i].overlaps(cidrs[j])]


def test_the_two_families_never_overlap():
    assert list(
        overlap.overlaps([(ip_network("0.0.0.0/0"), 1), (ip_network("::/0"), 2), (ip_network("10.0.0.0/8"), 3)])
    ) == [((ip_network("0.0.0.0/0"), 1), (ip_network("10.0.0.0/8"), 3))]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("role", "kind"),
    [("manager", "manager"), ("worker", "worker"), ("outside", "inactive"), ("leaderless", "leaderless")],
)
def test_the_kind_of_node_is_read_from_info(version, role, kind):
    assert node.read_node(recorded(transcript(version)[role], "GET", "/info")).kind == kind


def test_a_manager_without_a_cluster_id_is_leaderless_even_before_the_engine_says_so():
    info = recorded(transcript("26_1")["leaderless"], "GET", "/info")
    info["Swarm"]["Error"] = ""
    assert node.read_node(info).kind == "leaderless"


@pytest.mark.parametrize("state", ["locked", "error"])
def test_other_swarm_states_keep_their_name(state):
    found = node.read_node({"Name": "n", "Swarm": {"LocalNodeState": state, "ControlAvailable": True}})
    assert (found.kind, str(found)) == (state, f"n is a node whose swarm state is '{state}'")


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_engine_fills_in_is_not_read_as_an_option(version):
    networks = {
        answer["Name"]: model.read_network(answer)
        for answer in recorded(transcript(version)["manager"], "GET", "/networks")
    }
    assert networks["ov-plain"].options == {} and networks["ov-plain"].managed
    full = networks["ov-full"]
    assert (full.options, full.encrypted, full.mtu, full.labels) == ({}, True, 1400, {"zone": "private"})
    assert networks["ov-overlap"].pending and not networks["ov-plain"].pending and not networks["none"].pending


@pytest.mark.parametrize("version", VERSIONS)
def test_the_gateway_that_nobody_gave_is_the_one_that_the_engine_takes(version):
    """The engine writes it down for overlays alone, so a bridge's has to be known."""
    overlay, bridge = (
        model.read_network(
            next(
                answer
                for answer in recorded(transcript(version)["manager"], "GET", "/networks")
                if answer["Name"] == name
            )
        )
        for name in ("ov-plain", "br-plain")
    )
    assert (str(overlay.subnets[0].gateway), str(overlay.subnets[0].effective_gateway)) == ("10.90.0.1", "10.90.0.1")
    assert (bridge.subnets[0].gateway, str(bridge.subnets[0].effective_gateway)) == (None, "10.91.0.1")
    # Tried by hand on both: bridge and overlay take 10.93.0.128 with this range.
    ranged = model.Subnet(ip_network("10.93.0.0/24"), None, ip_network("10.93.0.128/25"))
    assert str(ranged.effective_gateway) == "10.93.0.128"
    assert (
        str(model.Subnet(ip_network("10.93.0.0/24"), None, ip_network("10.93.0.0/25")).effective_gateway) == "10.93.0.1"
    )


@pytest.mark.parametrize("version", VERSIONS)
def test_users_are_found_whatever_state_they_are_in(version):
    scene = transcript(version)["inuse"]
    networks = {answer["Name"]: model.read_network(answer) for answer in recorded(scene, "GET", "/networks")}
    containers, services = recorded(scene, "GET", "/containers/json?all=1"), recorded(scene, "GET", "/services")
    usage = model.read_usage(model.Users(containers, services))
    assert usage.of(networks["br-used"]) == ["container new-br", "container running-br", "container stopped-br"]
    assert usage.of(networks["ov-used"]) == [
        "container new-ov",
        "container running-ov",
        "container stopped-ov",
        "service new_svc",
        "service old_svc",
    ]
    assert usage.of(networks["bridge"]) == []
    seen_by_a_worker = model.read_usage(model.Users(containers)).of(networks["ov-used"])
    assert any("_svc.1." in user for user in seen_by_a_worker)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_task_counts_until_it_has_ended_even_when_it_is_marked_for_removal(version):
    scene = transcript(version)["inuse"]
    network = next(answer for answer in recorded(scene, "GET", "/networks") if answer["Name"] == "ov-used")
    marked = [call["answer"] for call in scene if call["path"] == "/tasks"][1]
    assert {task["DesiredState"] for task in marked} == {"remove"}
    assert len(model.tasks_on(marked, [network["Id"]])) == 2
    assert model.tasks_on(marked, ["another"]) == []
    ended = copy.deepcopy(marked)
    for task in ended:
        task["Status"]["State"] = "complete"
    assert model.tasks_on(ended, [network["Id"]]) == []


def test_addresses_are_compared_by_value_whatever_way_they_were_written():
    network = model.read_network(
        {
            "Name": "n",
            "Id": "i",
            "Driver": "bridge",
            "IPAM": {
                "Config": [
                    {
                        "Subnet": "10.0.0.5/24",
                        "Gateway": "10.0.0.9/24",
                        "IPRange": "10.0.0.129/25",
                        "AuxiliaryAddresses": {"a": "10.0.0.8"},
                    },
                    {"Subnet": "fd00:0:0::/64", "Gateway": "fd00::0001"},
                    {},
                ]
            },
        }
    )
    four, six = network.subnets
    assert (str(four.cidr), str(four.gateway), str(four.ip_range)) == ("10.0.0.0/24", "10.0.0.9", "10.0.0.128/25")
    assert (str(six.cidr), str(six.gateway)) == ("fd00::/64", "fd00::1")
    pools = creation.creation_body(network)["ipam"]["Config"]
    assert pools[0]["AuxiliaryAddresses"] == {"a": "10.0.0.8"} and len(pools) == 2
