"""Maple: each item of its checklist, its routing arrow by arrow, and every never as a failing attempt. docs/systems.md has the table."""

from __future__ import annotations

import ipaddress
import json
import re

import pytest
import yaml

NODES = {"swarm1": "10.116.0.11", "swarm2": "10.116.0.12", "worker6": "10.116.0.16", "worker7": "10.116.0.17"}
CADDY = {"worker6": "getmaplepress-ca.localhost", "worker7": "getmaplepress-com.localhost"}
BACKEND, FRONTEND = CADDY.values()
MANAGEMENT = "10.0.1.11"
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
REACHED = {name + ":%d" % port: "reached" for name, port in DATA.items() if name != "redis"}
PROXIES = ["backend", "frontend"]


@pytest.fixture(name="page", scope="module")
def fixture_page(running, system, tools):
    """What the backend answers the internet, once it has found everything."""

    def reached():
        page = system["outside1"].page(NODES["worker6"], 443, BACKEND)
        assert not any("failed" in str(answer) for answer in page["peers"].values()), page
        return page

    return tools.until(reached, "the backend reaches everything")


def _on(running, suffix):
    """{service: [the networks of each of its tasks]} of the services whose names end so."""
    return {
        name: [sorted(each.addresses()) for each in found] for name, found in running.items() if name.endswith(suffix)
    }


# -- the overlays ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "internal"), [(PRIVATE, True), (PUBLIC, False)])
def test_checklist_two_overlays_attachable_with_pinned_subnets_outside_of_the_nodes(name, internal, system):
    (found,) = json.loads(system["swarm1"].run("docker", "network", "inspect", name))
    assert (found["Driver"], found["Attachable"], found["Internal"]) == ("overlay", True, internal)
    subnets = [each["Subnet"] for each in found["IPAM"]["Config"]]
    assert subnets == [{PRIVATE: "172.30.0.0/24", PUBLIC: "172.30.1.0/24"}[name]]
    assert not ipaddress.ip_network(subnets[0]).overlaps(ipaddress.ip_network("10.116.0.0/16"))


@pytest.mark.parametrize("data", DATA)
def test_checklist_databases_are_on_the_private_overlay_only(data, running):
    assert _on(running, "_" + data) == {"infrastructure_" + data: [[PRIVATE]]}


@pytest.mark.parametrize("proxy", PROXIES)
def test_checklist_proxies_are_on_the_public_overlay_only(proxy, running):
    name = "maplepress_maplepress-%s-caddy" % proxy
    assert _on(running, name) == {name: [[PUBLIC]]}


def test_checklist_backends_are_on_both_overlays(running):
    assert _on(running, "-backend") == {"maplepress_maplepress-backend": [[PRIVATE, PUBLIC]] * 2}


def test_every_service_runs_as_often_as_it_should_and_there_is_no_other(running):
    assert {name: len(found) for name, found in running.items()} == {
        name: count for name, (count, _on) in SERVICES.items()
    }


@pytest.mark.parametrize(("network", "finds"), [(PRIVATE, True), (PUBLIC, False)])
def test_checklist_names_resolve_on_each_overlay(network, finds, system, running):
    """Whatever is on an overlay is found there by its name, and nothing else."""
    proxies = ["maplepress-backend-caddy:443", "maplepress-frontend-caddy:443"]
    data = ["%s:%d" % item for item in DATA.items()]
    expected = {
        "maplepress-backend:8000": "open",
        **dict.fromkeys(proxies, "unknown" if finds else "open"),
        **dict.fromkeys(data, "open" if finds else "unknown"),
    }
    assert system["swarm2"].attached(network, *expected) == expected


def test_checklist_networks_yml_shows_who_is_on_what(networks, running):
    assert {name: (each["subnets"], each["zone"], each["users"]) for name, each in networks.items()} == {
        name: ([subnet], zone, ["service " + each for each, (_count, on) in SERVICES.items() if name in on])
        for name, subnet, zone in ((PRIVATE, "172.30.0.0/24", "private"), (PUBLIC, "172.30.1.0/24", "public"))
    }


# -- routing: internet -> Caddy (public) -> backend (public and private) -> databases and cache (private) ---------------


@pytest.mark.parametrize("node", CADDY)
def test_arrow_internet_to_caddy(node, running, system):
    status, headers, _body = system["outside1"].fetch(NODES[node], 80, CADDY[node])
    # From plain HTTP it leads to TLS, which it ends.
    assert (status, headers["Location"]) == (308, "https://%s/" % CADDY[node])
    assert system["outside1"].fetch(NODES[node], 443, CADDY[node])[0] == 200


def test_arrow_caddy_to_the_backend(page, running):
    assert page["service"] == "backend"
    target = "maplepress-backend:8000"
    assert running["maplepress_maplepress-backend-caddy"][0].connect(target) == {target: "open"}


def test_caddy_serves_the_files_of_the_frontend(running, system):
    status, _headers, body = system["outside1"].fetch(NODES["worker7"], 443, FRONTEND)
    assert (status, "MaplePress" in body) == (200, True)


@pytest.mark.parametrize("data", DATA)
def test_arrow_backend_to_its_databases_and_cache(data, page, running):
    target = "%s:%d" % (data, DATA[data])
    assert isinstance(page["peers"][target], int) if data == "redis" else page["peers"][target] == "reached"
    for backend in running["maplepress_maplepress-backend"]:
        assert backend.connect(target) == {target: "open"}


def test_what_the_backend_counts_is_in_redis(page, running, system):
    count = system["outside1"].page(NODES["worker6"], 443, BACKEND)["peers"]["redis:6379"]
    assert count > page["peers"]["redis:6379"]
    assert running["infrastructure_redis"][0].run("redis-cli", "get", "hits") == str(count)


# -- never -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("proxy", PROXIES)
def test_never_a_database_from_a_proxy(proxy, running, forbidden):
    assert running["maplepress_maplepress-%s-caddy" % proxy][0].connect(*forbidden) == forbidden


def test_never_a_database_from_a_container_on_the_public_overlay(system, forbidden, running):
    assert system["swarm2"].attached(PUBLIC, *forbidden) == forbidden
    # The same container is let in where the databases are: it is the overlay that keeps it out.
    assert set(system["swarm2"].attached(PRIVATE, *forbidden).values()) == {"open"}


@pytest.mark.parametrize("source", ["outside1", "mgmt1"])
def test_never_a_database_from_outside(source, system, running):
    addresses = [each for data in DATA for each in running["infrastructure_" + data][0].addresses().values()]
    targets = ["%s:%d" % (address, port) for address in (*NODES.values(), *addresses) for port in set(DATA.values())]
    assert "open" not in system[source].connect(*targets).values()


def test_never_a_port_of_what_is_on_the_private_overlay_alone(running, system):
    """Neither of the ingress nor of a node."""
    form = "{{.Spec.Name}} {{json .Endpoint.Ports}}"
    lines = system["swarm1"].run("docker", "service", "inspect", "--format", form, *SERVICES).splitlines()
    published = {line.split(" ", 1)[0] for line in lines if json.loads(line.split(" ", 1)[1])}
    assert published == {"maplepress_maplepress-backend-caddy", "maplepress_maplepress-frontend-caddy"}


@pytest.mark.parametrize("data", DATA)
def test_never_a_way_out_of_the_private_overlay(data, running, system):
    target = "198.51.100.10:443"
    assert running["infrastructure_" + data][0].connect(target) == {target: "blocked"}
    # Nothing listens there: refused is an answer, from outside. The public overlay has a way out.
    assert running["maplepress_maplepress-backend"][0].connect(target) == {target: "refused"}


@pytest.mark.parametrize("node", NODES)
def test_never_ssh_the_docker_api_or_a_port_of_the_swarm_from_the_internet(node, system):
    targets = ["%s:%d" % (NODES[node], port) for port in (22, 2375, 2376, 2377, 7946)]
    assert system["outside1"].connect(*targets) == dict.fromkeys(targets, "blocked")


def test_never_anything_of_management_from_the_internet(system):
    targets = ["%s:%d" % (MANAGEMENT, port) for port in (22, 80, 443, 2375, 6379, 9042)]
    assert system["outside1"].connect(*targets) == dict.fromkeys(targets, "blocked")


# -- the nodes' firewall ---------------------------------------------------------------------------------------------


def test_checklist_80_and_443_on_the_caddy_nodes_only(system, running):
    ports = (80, 443, 2375, 2377, 6379, 7700, 8000, 9042)
    targets = ["%s:%d" % (address, port) for address in NODES.values() for port in ports]
    allowed = {"%s:%d" % (NODES[node], port) for node in CADDY for port in (80, 443)}
    found = system["outside1"].connect(*targets)
    assert {target for target, what in found.items() if what == "open"} == allowed
    # No flow leads from management to them.
    assert "open" not in system["mgmt1"].connect(*targets).values()


@pytest.mark.parametrize("node", NODES)
def test_checklist_ports_of_the_swarm_from_its_own_subnet_only(node, system):
    others = [name for name in NODES if name != node]
    target = NODES[node] + ":7946"
    assert {name: system[name].connect(target) for name in others} == dict.fromkeys(others, {target: "open"})
    targets = ["%s:%d" % (NODES[node], port) for port in (2377, 7946)]
    for source in ("mgmt1", "outside1"):
        assert "open" not in system[source].connect(*targets).values()
    # Each rule without its comment, as words: `ufw allow from 10.116.0.0/16 to 10.116.0.0/16 port 2377,7946 proto tcp`.
    added = system[node].run("ufw", "show", "added").splitlines()
    rules = [re.split("[ ,]", line.split(" comment ")[0].replace("/tcp", "").replace("/udp", "")) for line in added]
    swarm = [rule for rule in rules if {"2377", "7946", "4789"} & set(rule)]
    assert swarm and all("from" in rule and rule[rule.index("from") + 1] == "10.116.0.0/16" for rule in swarm)


# -- a second application, private first, public later -----------------------------------------------------------------


@pytest.fixture(name="second", scope="module")
def fixture_second(running, system, playbook, tools, tmp_path_factory):
    """A second application: one more line, one more file. What its first stage allowed, and what of the infrastructure was replaced by it."""
    directory, declared = tools.copied_stacks("maple", tmp_path_factory.mktemp("second"))
    stacks = {**declared, "maplefile": {"file": "maple/maplefile.yml", "kind": "swarm"}}
    first = yaml.safe_load((directory / "maple" / "maplepress.yml").read_text())
    services = {
        "maplefile-backend": first["services"]["maplepress-backend"],
        "maplefile-backend-caddy": {
            **first["services"]["maplepress-backend-caddy"],
            "command": "caddy reverse-proxy --from maplefile-ca.localhost --to maplefile-backend:8000",
        },
    }
    # Its proxy would have ports on a node of its own, worker-8; there is none.
    del services["maplefile-backend-caddy"]["ports"]

    def deploy(services, networks):
        text = {
            "version": first["version"],
            "services": services,
            "networks": {name: {"external": True} for name in networks},
        }
        (directory / "maple" / "maplefile.yml").write_text(yaml.safe_dump(text))
        variables = {"bulkhead_stacks": stacks, "stacks_directory": str(directory)}
        playbook("stacks", "--extra-vars", json.dumps(variables))
        counts = {name: count for name, (count, _networks) in SERVICES.items()}
        counts |= {"maplefile_" + name: each.get("deploy", {}).get("replicas", 1) for name, each in services.items()}

        def updated():
            found = system.running(list(NODES), counts)
            return _on(found, "maplefile-backend") == {"maplefile_maplefile-backend": [sorted(networks)] * 2} and found

        # A second backend starts before the first one ends.
        return tools.until(updated, "the second application")

    def infrastructure(found):
        return {
            each.name for name, containers in found.items() if name.startswith("infrastructure_") for each in containers
        }

    try:
        private = {"maplefile-backend": {**services["maplefile-backend"], "networks": [PRIVATE]}}
        found = deploy(private, [PRIVATE])["maplefile_maplefile-backend"]
        targets = ["maplefile-backend:8000", *("%s:8000" % each.addresses()[PRIVATE] for each in found)]
        stage = (targets, system["swarm2"].attached(PUBLIC, *targets), system["swarm2"].attached(PRIVATE, *targets))
        after = deploy(services, [PRIVATE, PUBLIC])
        yield stage, after, infrastructure(after) ^ infrastructure(running)
    finally:
        playbook("stacks", "--extra-vars", "stacks_remove=true")


def test_checklist_a_second_application_is_one_file_and_no_change_of_the_infrastructure(second, tools):
    _stage, found, replaced = second
    assert not replaced
    asker = found["maplepress_maplepress-backend-caddy"][0]

    def reached():
        page = asker.page("maplefile-backend-caddy", 443, "maplefile-ca.localhost")
        assert not any("failed" in str(answer) for answer in page["peers"].values()), page
        return page

    page = tools.until(reached, "the second application")
    assert page["service"] == "backend" and page["peers"].keys() == {*REACHED, "redis:6379"}


def test_checklist_staged_migration_private_first_public_later(second):
    (targets, from_public, from_private), found, _replaced = second
    assert from_private == dict.fromkeys(targets, "open")
    assert from_public == {targets[0]: "unknown", **dict.fromkeys(targets[1:], "blocked")}
    # Later it is on both, and the proxies find it.
    assert _on(found, "maplefile-backend") == {"maplefile_maplefile-backend": [[PRIVATE, PUBLIC]] * 2}
    assert found["maplefile_maplefile-backend-caddy"][0].connect(targets[0]) == {targets[0]: "open"}
