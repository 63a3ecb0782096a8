"""Glasck: what its document says works, and what it forbids does not."""

from __future__ import annotations

import pytest

NODES = {"swarm1": "10.0.4.11", "swarm2": "10.0.4.12", "swarm3": "10.0.4.13"}
PUBLIC, PRIVATE, EGRESS, SOCKET = "glasck_public-facing", "glasck_internal-backend", "glasck_egress", "glasck_socket"
# Every service: how many tasks, its networks.
SERVICES = {
    "glasck_api": (2, [PRIVATE, PUBLIC]),
    "glasck_frontend": (2, [PRIVATE, PUBLIC]),
    "glasck_postgres": (1, [PRIVATE]),
    "glasck_redis": (1, [PRIVATE]),
    "glasck_worker": (1, [EGRESS, PRIVATE]),
    "infrastructure_socket-proxy": (1, [SOCKET]),
    "infrastructure_traefik": (1, [PUBLIC, SOCKET]),
}
DATA = {"redis": 6379, "postgres": 5432}
SUBNETS = {
    PUBLIC: ("172.30.0.0/24", "public"),
    PRIVATE: ("172.30.1.0/24", "private"),
    EGRESS: ("172.30.2.0/24", "egress"),
    SOCKET: ("172.30.3.0/28", "socket"),
}


def test_every_service_runs_on_exactly_its_networks(running):
    found = {name: [sorted(each.addresses()) for each in containers] for name, containers in running.items()}
    assert found == {name: [networks] * count for name, (count, networks) in SERVICES.items()}


def test_redis_is_healthy(running):
    assert running["glasck_redis"][0].inspect()["State"]["Health"]["Status"] == "healthy"


def test_the_overlays_have_the_mtu_of_a_vxlan(system):
    form = '{{index .Options "com.docker.network.driver.mtu"}}'
    for name in SUBNETS:
        assert system["swarm1"].run("docker", "network", "inspect", "--format", form, name) == "1450"


@pytest.mark.parametrize("port", [80, 443])
def test_the_api_answers_through_the_proxy_and_has_reached_its_data(port, running, system, tools):
    def reached():
        page = system["outside1"].page(NODES["swarm1"], port, "api.glasck.example")
        assert not any("failed" in str(answer) for answer in page["peers"].values()), page
        return page

    page = tools.until(reached, "the API reaches everything")
    count = page["peers"].pop("redis:6379")
    assert page == {"service": "api", "peers": {"postgres:5432": "reached"}}
    assert running["glasck_redis"][0].run("redis-cli", "get", "hits") == str(count)


@pytest.mark.parametrize("port", [80, 443])
def test_the_frontend_answers_through_the_proxy_and_has_reached_the_api(port, running, system, tools):
    wanted = {"service": "frontend", "peers": {"api:3001": "reached"}}
    tools.until(lambda: system["outside1"].page(NODES["swarm1"], port, "glasck.example") == wanted, "the frontend")


def test_the_proxy_reaches_what_it_publishes_and_no_data(running, forbidden):
    expected = {"api:3001": "open", "frontend:3000": "open", "socket-proxy:2375": "open", **forbidden}
    assert running["infrastructure_traefik"][0].connect(*expected) == expected


def test_a_container_that_somebody_attaches_to_the_public_overlay_reaches_no_data(system, forbidden, running):
    expected = {"api:3001": "open", "socket-proxy:2375": "unknown", **forbidden}
    assert system["swarm2"].attached(PUBLIC, *expected) == expected
    data = list(forbidden)
    assert system["swarm2"].attached(PRIVATE, *data) == dict.fromkeys(data, "open")


def test_only_the_proxy_s_ports_on_the_manager_are_reachable_and_only_from_outside(system, running):
    ports = (80, 443, 2375, 2377, 3000, 3001, 5432, 6379)
    targets = ["%s:%d" % (address, port) for address in NODES.values() for port in ports]
    allowed = {"%s:%d" % (NODES["swarm1"], port) for port in (80, 443)}
    found = system["outside1"].connect(*targets)
    assert {target for target, what in found.items() if what == "open"} == allowed
    # No flow leads from management to them.
    assert "open" not in system["mgmt1"].connect(*targets).values()


def test_the_worker_s_second_network_is_its_way_out_and_data_has_none(running):
    # Nobody listens there: refused is an answer, from outside.
    target = "198.51.100.10:443"
    assert running["glasck_worker"][0].connect(target, "redis:6379") == {target: "refused", "redis:6379": "open"}
    for name in ("glasck_redis", "glasck_postgres", "infrastructure_socket-proxy"):
        assert running[name][0].connect(target) == {target: "blocked"}


def test_the_proxy_reads_of_the_docker_api_what_it_needs_alone(running):
    proxy = running["infrastructure_traefik"][0]
    assert proxy.fetch("socket-proxy", 2375, "socket-proxy", "/services")[0] == 200
    assert proxy.fetch("socket-proxy", 2375, "socket-proxy", "/secrets")[0] == 403


def test_networks_yml_shows_every_overlay_with_zone_size_and_services(networks, running):
    assert {name: (each["subnets"], each["zone"], each["users"]) for name, each in networks.items()} == {
        name: ([subnet], zone, ["service " + each for each, (_count, on) in SERVICES.items() if name in on])
        for name, (subnet, zone) in SUBNETS.items()
    }
