"""swarm_network_info against stand-ins of both recorded engines."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.modules import swarm_network, swarm_network_info
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.docker.running import run
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.docker.standin import VERSIONS, StandIn


@pytest.fixture(name="engine", params=VERSIONS)
def fixture_engine(tmp_path, request):
    with StandIn(tmp_path, request.param) as engine:
        run(
            swarm_network,
            engine.url,
            networks=[
                {"name": "web", "subnet": "172.30.1.0/24"},
                {"name": "local", "driver": "bridge", "subnet": "10.91.0.0/24"},
            ],
        )
        yield engine


def test_every_network_is_listed_in_the_shape_of_swarm_network(engine):
    result = run(swarm_network_info, engine.url)
    assert [network["name"] for network in result["networks"]] == engine.names
    asked = run(swarm_network, engine.url, networks=[{"name": "web"}])["networks"][0]
    web = next(network for network in result["networks"] if network["name"] == "web")
    assert asked.items() <= web.items()
    assert result["changed"] is False and result["conflicts"] == []


def test_names_restrict_what_is_returned(engine):
    assert [
        network["name"] for network in run(swarm_network_info, engine.url, names=["web", "none-such"])["networks"]
    ] == ["web"]


def test_users_and_addresses_are_named(engine):
    engine.in_use(overlay=engine.named("web")["Id"], bridge=engine.named("local")["Id"])
    local, web = run(swarm_network_info, engine.url, names=["web", "local"])["networks"]
    assert web["users"] == [
        "container new-ov",
        "container running-ov",
        "container stopped-ov",
        "service new_svc",
        "service old_svc",
    ]
    assert local["users"] == ["container new-br", "container running-br", "container stopped-br"]
    assert local["addresses"] == {"running-br": ["10.91.0.2"]}


def test_the_node_and_the_pools_are_named(engine):
    result = run(swarm_network_info, engine.url)
    assert result["node"]["role"] == "manager" and result["node"]["engine"].startswith(("20.10", "26.1"))
    assert result["pools"] == {"engine": [], "swarm": [{"base": "10.78.0.0/16", "size": 24}]}
    engine.info["DefaultAddressPools"] = [{"Base": "192.168.0.0/18", "Size": 24}]
    assert run(swarm_network_info, engine.url)["pools"]["engine"] == [{"base": "192.168.0.0/18", "size": 24}]


def test_overlaps_of_a_bridge_and_an_overlay_are_found_though_the_engine_allows_them(engine):
    engine.create(
        {
            "Name": "clash",
            "Driver": "bridge",
            "Options": {},
            "Labels": {},
            "IPAM": {"Config": [{"Subnet": "172.30.1.128/25"}]},
        }
    )
    assert run(swarm_network_info, engine.url)["conflicts"] == [
        "'web' with 172.30.1.0/24 and 'clash' with 172.30.1.128/25"
    ]


@pytest.mark.parametrize("role", ["worker", "outside", "leaderless"])
def test_a_node_that_is_no_manager_is_read_as_well(tmp_path, role):
    with StandIn(tmp_path, "20_10", role) as engine:
        result = run(swarm_network_info, engine.url)
        assert result["node"]["role"] == {"outside": "inactive"}.get(role, role)
        assert not any(path.startswith("/services") for method, path in engine.calls)


def test_an_unallocated_overlay_is_marked(engine):
    engine.create(
        {
            "Name": "clash",
            "Driver": "overlay",
            "Options": {},
            "Labels": {},
            "IPAM": {"Config": [{"Subnet": "172.30.1.0/25"}]},
        }
    )
    clash = run(swarm_network_info, engine.url, names=["clash"])["networks"][0]
    assert (clash["pending"], clash["subnets"]) == (True, [])
