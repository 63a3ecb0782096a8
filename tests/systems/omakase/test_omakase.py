"""Omakase: each item of its checklist, its web request flow arrow by arrow, and every never as a failing attempt. docs/systems.md has the table.

What needs its own inventory, and not its services alone, is in test_omakase_whole.py.
"""

from __future__ import annotations

import ipaddress
import json
import os

import pytest

# Molecule's scenario `stacks` runs the same services on another host.
SERVER, CLIENT, ADDRESS = os.environ.get("OMAKASE", "server1 outside1 10.0.5.11").split()

# Site: (its service, what it must have reached; int: a counter in Redis or the containers that the Docker API knows).
SITES = {
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
# Network: (its subnet, whether it is internal).
NETWORKS = {
    "vnet-ingress": ("192.168.90.0/24", False),
    "vnet-socket": ("192.168.91.0/24", True),
    "vnet-traefik": ("192.168.10.0/29", False),
    "vnet-authelia": ("192.168.20.16/29", True),
    "vnet-immich": ("192.168.20.32/29", True),
    "vnet-local-ai": ("192.168.21.16/28", False),
    "vnet-paperless": ("192.168.0.0/29", True),
}
SHARED = {"vnet-ingress", "vnet-socket"}
# Each data service: its network, its port, and the only service that may reach it.
DATA = {
    "authelia-redis": ("vnet-authelia", 6379, "authelia"),
    "immich-redis": ("vnet-immich", 6379, "immich-server"),
    "immich-postgres": ("vnet-immich", 5432, "immich-server"),
    "paperless-redis": ("vnet-paperless", 6379, "paperless"),
    "qdrant": ("vnet-local-ai", 6333, "open-webui"),
}
MONITORING = ("dozzle", "homepage")
SESSION = "authelia_session=alice1"


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


@pytest.fixture(name="signed_in", scope="module")
def fixture_signed_in(running, outside, tools):
    """Alice has signed in: Authelia has her session, and Traefik serves every site."""
    assert running["authelia-redis"].run("redis-cli", "set", "session:alice1", "alice") == "OK"
    for site in SITES:
        tools.until(lambda site=site: outside.page(ADDRESS, 80, site, SESSION), site)


# -- the networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SHARED))
def test_checklist_two_shared_networks_at_their_subnets(name, server):
    (found,) = json.loads(server.run("docker", "network", "inspect", name))
    assert [each["Subnet"] for each in found["IPAM"]["Config"]] == [NETWORKS[name][0]]
    assert (found["Driver"], found["Internal"]) == ("bridge", NETWORKS[name][1])


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - SHARED))
def test_checklist_a_service_has_a_network_of_its_own_of_the_right_size(name, server):
    """/29 for one or two containers, /28 for three and more; where it lies is no sequence, and stays."""
    (found,) = json.loads(server.run("docker", "network", "inspect", name))
    subnet, internal = NETWORKS[name]
    assert ([each["Subnet"] for each in found["IPAM"]["Config"]], found["Internal"]) == ([subnet], internal)
    of_its_own = [service for service, networks in SERVICES.items() if name in networks.split()]
    # Immich has a server and two databases in a /29: the document gives it that subnet.
    small = len(of_its_own) <= 2 or name == "vnet-immich"
    assert ipaddress.ip_network(subnet).prefixlen == (29 if small else 28)
    assert len(found["Containers"]) == len(of_its_own)


def test_checklist_five_or_more_services_have_networks_of_their_own_and_none_overlaps(server):
    names = server.run("docker", "network", "ls", "--format", "{{.Name}}", "--filter", "driver=bridge").splitlines()
    found = json.loads(server.run("docker", "network", "inspect", *names))
    subnets = [ipaddress.ip_network(each["Subnet"]) for network in found for each in network["IPAM"]["Config"]]
    assert len(set(NETWORKS) - SHARED) >= 5 and set(NETWORKS) <= set(names)
    assert not [(one, other) for one in subnets for other in subnets if one is not other and one.overlaps(other)]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_on_exactly_its_networks(service, running):
    assert " ".join(sorted(running[service].addresses())) == SERVICES[service]
    assert set(running) == set(SERVICES)


def test_nothing_restarts(running):
    assert {name: each.inspect()["RestartCount"] for name, each in running.items()} == dict.fromkeys(SERVICES, 0)


def test_checklist_networks_yml_shows_every_network_with_its_size_zone_and_users(networks):
    assert {name: (each["subnets"], each["zone"], each["used"]) for name, each in networks.items()} == {
        name: (
            [subnet],
            {"vnet-ingress": "public"}.get(name, name.removeprefix("vnet-")),
            sum(name in on.split() for on in SERVICES.values()),
        )
        for name, (subnet, _internal) in NETWORKS.items()
    }
    assert networks["vnet-socket"]["users"] == [
        "container monitoring-dozzle-1",
        "container monitoring-homepage-1",
        "container traefik-cetusguard-1",
        "container traefik-traefik-1",
    ]


# -- a web request: 80, 443 -> Traefik -> CrowdSec analyses -> Authelia authenticates -> service -> database -------------


@pytest.mark.parametrize("port", [80, 443])
def test_arrow_internet_to_traefik(port, outside, tools):
    tools.until(lambda: outside.page(ADDRESS, port, "auth.omakase.example")["service"] == "authelia", "Traefik")


@pytest.mark.parametrize("site", [*SITES, "auth.omakase.example"])
def test_arrow_traefik_to_crowdsec_which_analyses(site, outside, running, signed_in):
    """CrowdSec sees the address that a request comes from: once it has decided against that, no site answers."""
    path = "/v1/decisions?ip=192.0.2.1"
    assert running["traefik"].fetch("crowdsec", 8080, "crowdsec", path)[::2] == [200, "null"]
    source = outside.run("ip", "-4", "route", "get", ADDRESS).split(" src ")[1].split()[0]
    ban = "open('/tmp/banned', 'w').write('%s')"
    running["crowdsec"].run("python3", "-c", ban % source)
    try:
        assert outside.fetch(ADDRESS, 443, site, cookie=SESSION)[0] == 403
    finally:
        running["crowdsec"].run("python3", "-c", ban % "")
    assert outside.fetch(ADDRESS, 443, site, cookie=SESSION)[0] == 200


@pytest.mark.parametrize("cookie", ["", "authelia_session=mallory"])
@pytest.mark.parametrize("site", SITES)
def test_arrow_crowdsec_to_authelia_which_authenticates(site, cookie, outside, signed_in):
    status, headers, body = outside.fetch(ADDRESS, 443, site, cookie=cookie)
    assert (status, headers["Location"]) == (302, "https://auth.omakase.example/")
    assert "peers" not in body


@pytest.mark.parametrize("port", [80, 443])
@pytest.mark.parametrize("site", SITES)
def test_arrow_authelia_to_the_service(site, port, outside, signed_in):
    page = outside.page(ADDRESS, port, site, SESSION)
    assert (page["service"], page["user"]) == (SITES[site][0], "alice")


@pytest.mark.parametrize("site", SITES)
def test_arrow_service_to_its_database(site, outside, signed_in):
    peers = outside.page(ADDRESS, 443, site, SESSION)["peers"]
    assert set(peers) == set(SITES[site][1])
    for peer, expected in SITES[site][1].items():
        assert isinstance(peers[peer], int) if expected is int else peers[peer] == expected


def test_checklist_a_request_through_the_whole_chain_is_counted_in_redis_itself(outside, running, signed_in):
    before = int(running["paperless-redis"].run("redis-cli", "get", "hits"))
    page = outside.page(ADDRESS, 443, "papers.omakase.example", SESSION)
    assert page == {"service": "paperless", "peers": {"paperless-redis:6379": before + 1}, "user": "alice"}
    assert running["paperless-redis"].run("redis-cli", "get", "hits") == str(before + 1)


def test_never_a_site_that_is_not_declared(outside, signed_in):
    assert outside.fetch(ADDRESS, 80, "nowhere.omakase.example", cookie=SESSION)[2] == ""


# -- databases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", DATA)
def test_checklist_a_database_is_reachable_from_its_service_alone(data, running):
    network, port, owner = DATA[data]
    target = "%s:%d" % (data, port)
    assert running[owner].connect(target) == {target: "open"}
    for name, each in running.items():
        if network not in SERVICES[name].split():
            assert (name, each.connect(target)) == (name, {target: "unknown"})


@pytest.mark.parametrize("name", SERVICES)
def test_checklist_service_a_cannot_reach_the_database_of_service_b(name, running):
    networks = SERVICES[name].split()
    expected = {}
    for data, (network, port, _owner) in DATA.items():
        if network not in networks:
            expected["%s:%d" % (data, port)] = "unknown"
            # Of every network that it is really on.
            expected.update({"%s:%d" % (each, port): "blocked" for each in running[data].addresses().values()})
    assert expected
    assert running[name].connect(*expected) == expected


@pytest.mark.parametrize("data", DATA)
def test_never_a_database_on_the_ingress(data, running):
    assert set(running[data].addresses()) == {DATA[data][0]}


def test_never_anything_but_the_proxy_from_outside(outside, running):
    targets = ["%s:%d" % (ADDRESS, port) for port in (2283, 2375, 5432, 6333, 6379, 8000, 9091, 11434)]
    assert "open" not in outside.connect(*targets).values()
    published = {name for name, each in running.items() if any(each.inspect()["NetworkSettings"]["Ports"].values())}
    assert published == {"traefik"}


@pytest.mark.parametrize("name", ["authelia-redis", "immich-postgres", "immich-redis", "paperless-redis", "cetusguard"])
def test_never_a_way_out_of_an_internal_network(name, running, outside):
    # Nothing listens there: refused is an answer, from outside. Models are fetched, and Ollama has a way out.
    target = outside.run("ip", "-4", "route", "get", ADDRESS).split(" src ")[1].split()[0] + ":443"
    assert running[name].connect(target) == {target: "blocked"}
    assert running["ollama"].connect(target) == {target: "refused"}


# -- the Docker API --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MONITORING)
def test_checklist_monitoring_reads_the_docker_api_through_the_proxy_and_only_what_that_permits(name, running):
    assert running[name].fetch("cetusguard", 2375, "cetusguard", "/containers/json")[0] == 200
    for path in ("/containers/%s/export" % running["immich-postgres"].name, "/secrets", "/images/json"):
        assert running[name].fetch("cetusguard", 2375, "cetusguard", path)[0] == 403


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"cetusguard"}))
def test_checklist_no_container_mounts_the_docker_socket_but_the_proxy(name, running):
    assert "docker.sock" not in str(running[name].inspect()["Mounts"])
    assert "docker.sock" in str(running["cetusguard"].inspect()["Mounts"])


@pytest.mark.parametrize("name", sorted(name for name, on in SERVICES.items() if "vnet-socket" not in on.split()))
def test_never_the_docker_api_from_what_has_no_need_of_it(name, running):
    targets = {"%s:2375" % each: "blocked" for each in running["cetusguard"].addresses().values()}
    assert running[name].connect("cetusguard:2375", *targets) == {"cetusguard:2375": "unknown", **targets}


@pytest.mark.parametrize("name", MONITORING)
def test_never_monitoring_on_the_network_of_a_service(name, running):
    assert set(running[name].addresses()) == SHARED
