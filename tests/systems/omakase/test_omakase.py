"""Omakase: what its document says works, and what it forbids does not."""

from __future__ import annotations

import os

import pytest

# Molecule runs the same services on another host; see molecule/stacks.
SERVER, CLIENT, ADDRESS = os.environ.get("OMAKASE", "server1 outside1 10.0.5.11").split()

# Site: (its service, what it must have reached; a number: a counter in Redis or the containers that the Docker API knows).
SITES = {
    "auth.omakase.example": ("authelia", {"authelia-redis:6379": int}),
    "photos.omakase.example": ("immich", {"immich-postgres:5432": "reached", "immich-redis:6379": int}),
    "papers.omakase.example": ("paperless", {"paperless-redis:6379": int}),
    "ai.omakase.example": ("open-webui", {"ollama:11434": "reached", "qdrant:6333": "reached"}),
    "logs.omakase.example": ("dozzle", {"cetusguard:2375": int}),
    "omakase.example": ("homepage", {"cetusguard:2375": int}),
}
# Every service and the networks that it is on: the whole architecture.
SERVICES = {
    "traefik": "vnet-ingress vnet-socket vnet-traefik",
    "crowdsec": "vnet-traefik",
    "cetusguard": "vnet-socket",
    "authelia": "vnet-authelia vnet-ingress",
    "authelia-redis": "vnet-authelia",
    "immich-server": "vnet-immich vnet-ingress",
    "immich-postgres": "vnet-immich",
    "immich-redis": "vnet-immich",
    "paperless": "vnet-ingress vnet-paperless",
    "paperless-redis": "vnet-paperless",
    "open-webui": "vnet-ingress vnet-local-ai",
    "ollama": "vnet-local-ai",
    "qdrant": "vnet-local-ai",
    "dozzle": "vnet-ingress vnet-socket",
    "homepage": "vnet-ingress vnet-socket",
}
# Each data service: its network, its port, and the only service that may reach it.
DATA = {
    "authelia-redis": ("vnet-authelia", 6379, "authelia"),
    "immich-redis": ("vnet-immich", 6379, "immich-server"),
    "immich-postgres": ("vnet-immich", 5432, "immich-server"),
    "paperless-redis": ("vnet-paperless", 6379, "paperless"),
    "qdrant": ("vnet-local-ai", 6333, "open-webui"),
}


@pytest.fixture(name="server", scope="module")
def fixture_server(tools):
    return tools.Host("bulkhead-lab-" + SERVER)


@pytest.fixture(name="outside", scope="module")
def fixture_outside(tools):
    return tools.Host("bulkhead-lab-" + CLIENT)


@pytest.fixture(name="running", scope="module")
def fixture_running(server):
    """{service: its container}."""
    return {name: found[0] for name, found in server.containers("com.docker.compose.service").items()}


def test_every_service_runs_on_exactly_its_networks(running):
    assert {name: " ".join(sorted(each.addresses())) for name, each in running.items()} == SERVICES


def test_nothing_restarts(running):
    assert {name: each.inspect()["RestartCount"] for name, each in running.items()} == dict.fromkeys(SERVICES, 0)


@pytest.mark.parametrize("port", [80, 443])
@pytest.mark.parametrize("site", SITES)
def test_a_site_answers_through_the_proxy_and_reaches_its_own_data(site, port, outside, tools):
    service, peers = SITES[site]
    page = tools.until(lambda: outside.page(ADDRESS, port, site), site)
    assert (page["service"], set(page["peers"])) == (service, set(peers))
    for peer, expected in peers.items():
        assert isinstance(page["peers"][peer], int) if expected is int else page["peers"][peer] == expected


def test_the_counter_is_in_redis_itself(outside, running):
    before = int(running["paperless-redis"].run("redis-cli", "get", "hits"))
    assert outside.page(ADDRESS, 80, "papers.omakase.example")["peers"] == {"paperless-redis:6379": before + 1}
    assert running["paperless-redis"].run("redis-cli", "get", "hits") == str(before + 1)


def test_a_site_that_nobody_declared_is_not_served(outside):
    _status, _headers, body = outside.fetch(ADDRESS, 80, "nobody.omakase.example")
    assert body == ""


def test_data_is_reached_by_its_own_service(running):
    for data, (_network, port, owner) in DATA.items():
        target = "%s:%d" % (data, port)
        assert running[owner].connect(target) == {target: "open"}


@pytest.mark.parametrize("name", SERVICES)
def test_data_of_another_service_has_no_name_and_no_way(name, running):
    networks = SERVICES[name].split()
    expected = {}
    for data, (network, port, _owner) in DATA.items():
        if network not in networks:
            expected["%s:%d" % (data, port)] = "unknown"
            # Of every network that it is really on.
            expected.update({"%s:%d" % (each, port): "blocked" for each in running[data].addresses().values()})
    assert expected
    assert running[name].connect(*expected) == expected


def test_nothing_but_the_proxy_is_reachable_from_outside(outside, running):
    targets = ["%s:%d" % (ADDRESS, port) for port in (2283, 2375, 5432, 6333, 6379, 8000, 9091, 11434)]
    assert "open" not in outside.connect(*targets).values()
    published = {name for name, each in running.items() if any(each.inspect()["NetworkSettings"]["Ports"].values())}
    assert published == {"traefik"}


def test_the_docker_api_is_read_through_the_proxy_alone(running):
    mounts = {name for name, each in running.items() if "docker.sock" in str(each.inspect()["HostConfig"]["Binds"])}
    assert mounts == {"cetusguard"}
    status, _headers, _body = running["dozzle"].fetch("cetusguard", 2375, "cetusguard", "/containers/json")
    assert status == 200
    for path in ("/containers/%s/export" % running["immich-postgres"].name, "/secrets", "/images/json"):
        assert running["dozzle"].fetch("cetusguard", 2375, "cetusguard", path)[0] == 403


def test_an_internal_network_has_no_way_out_and_the_others_have(running, outside):
    # Nobody listens there: refused is an answer, from outside.
    target = outside.run("ip", "-4", "route", "get", ADDRESS).split(" src ")[1].split()[0] + ":443"
    assert running["ollama"].connect(target) == {target: "refused"}
    for name in ("authelia-redis", "immich-postgres", "paperless-redis", "cetusguard"):
        assert (name, running[name].connect(target)) == (name, {target: "blocked"})


def test_networks_yml_shows_every_network_with_its_size_zone_and_users(networks):
    assert {name: (n["subnets"], n["zone"], n["used"]) for name, n in networks.items()} == {
        "vnet-authelia": (["192.168.20.16/29"], "authelia", 2),
        "vnet-immich": (["192.168.20.32/29"], "immich", 3),
        "vnet-ingress": (["192.168.90.0/24"], "public", 7),
        "vnet-local-ai": (["192.168.21.16/28"], "local-ai", 3),
        "vnet-paperless": (["192.168.0.0/29"], "paperless", 2),
        "vnet-socket": (["192.168.91.0/24"], "socket", 4),
        "vnet-traefik": (["192.168.10.0/29"], "traefik", 2),
    }
    assert networks["vnet-socket"]["users"] == [
        "container monitoring-dozzle-1",
        "container monitoring-homepage-1",
        "container traefik-cetusguard-1",
        "container traefik-traefik-1",
    ]
