"""Maple: what its document says works, and what it forbids does not."""

from __future__ import annotations

import pytest

NODES = {"swarm1": "10.116.0.11", "swarm2": "10.116.0.12", "worker6": "10.116.0.16", "worker7": "10.116.0.17"}
PRIVATE, PUBLIC = "maple-private-prod", "maple-public-prod"
# Every service: how many tasks, its networks.
SERVICES = {
    "infrastructure_cassandra-1": (1, [PRIVATE]),
    "infrastructure_cassandra-2": (1, [PRIVATE]),
    "infrastructure_cassandra-3": (1, [PRIVATE]),
    "infrastructure_meilisearch": (1, [PRIVATE]),
    "infrastructure_redis": (1, [PRIVATE]),
    "maplepress_maplepress-backend": (2, [PRIVATE, PUBLIC]),
    "maplepress_maplepress-backend-caddy": (1, [PUBLIC]),
    "maplepress_maplepress-frontend-caddy": (1, [PUBLIC]),
}
# Names and ports of what is on the private overlay alone.
DATA = {"cassandra-1": 9042, "cassandra-2": 9042, "cassandra-3": 9042, "meilisearch": 7700, "redis": 6379}
BACKEND, FRONTEND = "getmaplepress-ca.localhost", "getmaplepress-com.localhost"


def test_every_service_runs_on_exactly_its_networks(running):
    found = {name: [sorted(each.addresses()) for each in containers] for name, containers in running.items()}
    assert found == {name: [networks] * count for name, (count, networks) in SERVICES.items()}


def test_the_backend_answers_through_caddy_and_has_reached_all_data_by_name(running, system, tools):
    def reached():
        page = system["outside1"].page(NODES["worker6"], 443, BACKEND)
        assert not any("failed" in str(answer) for answer in page["peers"].values()), page
        return page

    page = tools.until(reached, "the backend reaches everything")
    count = page["peers"].pop("redis:6379")
    assert page == {
        "service": "backend",
        "peers": {name + ":%d" % port: "reached" for name, port in DATA.items() if name != "redis"},
    }
    assert running["infrastructure_redis"][0].run("redis-cli", "get", "hits") == str(count)


def test_the_frontend_s_files_are_served_by_caddy(running, system):
    status, _headers, body = system["outside1"].fetch(NODES["worker7"], 443, FRONTEND)
    assert (status, "MaplePress" in body) == (200, True)


@pytest.mark.parametrize(("node", "site"), [("worker6", BACKEND), ("worker7", FRONTEND)])
def test_plain_http_leads_to_https(node, site, running, system):
    status, headers, _body = system["outside1"].fetch(NODES[node], 80, site)
    assert (status, headers["Location"]) == (308, "https://%s/" % site)


def test_both_backends_reach_all_data(running):
    targets = ["%s:%d" % item for item in DATA.items()]
    for backend in running["maplepress_maplepress-backend"]:
        assert backend.connect(*targets) == dict.fromkeys(targets, "open")


@pytest.mark.parametrize("proxy", ["backend", "frontend"])
def test_a_proxy_reaches_the_backend_and_no_data(proxy, running, forbidden):
    (container,) = running["maplepress_maplepress-%s-caddy" % proxy]
    expected = {"maplepress-backend:8000": "open", **forbidden}
    assert container.connect(*expected) == expected


def test_a_container_that_somebody_attaches_to_the_public_overlay_reaches_no_data(system, forbidden, running):
    expected = {"maplepress-backend:8000": "open", **forbidden}
    assert system["swarm2"].attached(PUBLIC, *expected) == expected
    assert set(system["swarm2"].attached(PRIVATE, *expected).values()) == {"open"}


def test_only_the_proxies_ports_on_the_proxies_nodes_are_reachable_and_only_from_outside(system, running):
    ports = (80, 443, 2375, 2377, 6379, 7700, 8000, 9042)
    targets = ["%s:%d" % (address, port) for address in NODES.values() for port in ports]
    allowed = {"%s:%d" % (NODES[node], port) for node in ("worker6", "worker7") for port in (80, 443)}
    found = system["outside1"].connect(*targets)
    assert {target for target, what in found.items() if what == "open"} == allowed
    # No flow leads from management to them.
    assert "open" not in system["mgmt1"].connect(*targets).values()


def test_the_private_overlay_has_no_way_out_and_the_public_one_has(running, system):
    # Nobody listens there: refused is an answer, from outside.
    target = "198.51.100.10:443"
    assert running["maplepress_maplepress-backend"][0].connect(target) == {target: "refused"}
    for name in DATA:
        assert running["infrastructure_" + name][0].connect(target) == {target: "blocked"}


def test_networks_yml_shows_both_overlays_with_zone_size_and_services(networks, running):
    assert {name: (each["subnets"], each["zone"], each["users"]) for name, each in networks.items()} == {
        name: ([subnet], zone, ["service " + each for each, (_count, on) in SERVICES.items() if name in on])
        for name, subnet, zone in ((PRIVATE, "172.30.0.0/24", "private"), (PUBLIC, "172.30.1.0/24", "public"))
    }
