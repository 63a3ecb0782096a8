"""Glasck: each item of its checklist, its bridge services arrow by arrow, and every never as a failing attempt. docs/systems.md has the table."""

from __future__ import annotations

import json

import pytest
import yaml

NODES = {"swarm1": "10.0.4.11", "swarm2": "10.0.4.12", "swarm3": "10.0.4.13"}
MANAGEMENT = "10.0.1.11"
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
# Outside, where nothing listens: refused is an answer, from there.
OUTSIDE = "198.51.100.10:443"

# What the document warns of, started by hand and past every check: its pitfalls 1, 2 and 3, and the network of pitfall 4.
PITFALLS = """
version: "3.9"
services:
  database:
    image: localhost:1/postgres
    ports: [{target: 5432, published: 5432, mode: host}]
    networks: [public]
    deploy: &here {endpoint_mode: dnsrr, placement: {constraints: [node.hostname == swarm2]}}
  inside:
    image: localhost:1/postgres
    ports: [{target: 5432, published: 5433, mode: host}]
    networks: [private]
    deploy: *here
  unlabelled:
    image: localhost:1/frontend
    networks: [public, private]
    deploy: {<<: *here, labels: {traefik.enable: "true", "traefik.http.routers.x.rule": "Host(`x.glasck.example`)"}}
  caller:
    image: localhost:1/worker
    networks: [private, own]
    deploy: {<<: *here, labels: {bulkhead.egress: "true"}}
networks:
  public: {external: true, name: glasck_public-facing}
  private: {external: true, name: glasck_internal-backend}
  own: {driver: overlay, attachable: true, internal: true}
"""


@pytest.fixture(name="page", scope="module")
def fixture_page(running, system, tools):
    """What the API answers the internet, once it has found its data."""

    def reached():
        page = system["outside1"].page(NODES["swarm1"], 443, "api.glasck.example")
        assert not any("failed" in str(answer) for answer in page["peers"].values()), page
        return page

    return tools.until(reached, "the API reaches everything")


def _on(running, name):
    """The networks of each task of a service."""
    return [sorted(each.addresses()) for each in running[name]]


# -- the overlays ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SUBNETS)
def test_checklist_the_overlays_have_mtu_1450(name, system):
    (found,) = json.loads(system["swarm1"].run("docker", "network", "inspect", name))
    assert (found["Driver"], found["Options"]["com.docker.network.driver.mtu"]) == ("overlay", "1450")
    assert found["Attachable"] == (name in (PUBLIC, PRIVATE))


@pytest.mark.parametrize("name", SUBNETS)
def test_checklist_the_network_of_the_databases_is_internal(name, system):
    (found,) = json.loads(system["swarm1"].run("docker", "network", "inspect", name))
    assert found["Internal"] == (name in (PRIVATE, SOCKET))


@pytest.mark.parametrize("service", ["api", "frontend"])
def test_checklist_frontend_and_api_are_on_both_overlays(service, running):
    assert _on(running, "glasck_" + service) == [[PRIVATE, PUBLIC]] * 2


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_runs_on_exactly_its_networks(service, running):
    count, networks = SERVICES[service]
    assert _on(running, service) == [networks] * count
    assert set(running) == set(SERVICES)


@pytest.mark.parametrize("service", ["api", "frontend"])
def test_a_service_on_two_networks_has_an_address_on_each(service, running):
    for each in running["glasck_" + service]:
        addresses = each.addresses()
        assert addresses[PUBLIC].startswith("172.30.0.") and addresses[PRIVATE].startswith("172.30.1.")


def test_redis_is_healthy(running, tools):
    state = running["glasck_redis"][0]
    tools.until(lambda: state.inspect()["State"]["Health"]["Status"] == "healthy", "redis-cli ping")


def test_networks_yml_shows_every_overlay_with_zone_size_and_services(networks, running):
    assert {name: (each["subnets"], each["zone"], each["users"]) for name, each in networks.items()} == {
        name: ([subnet], zone, ["service " + each for each, (_count, on) in SERVICES.items() if name in on])
        for name, (subnet, zone) in SUBNETS.items()
    }


# -- the bridge services: what is on the public side and on the internal one -------------------------------------------


@pytest.mark.parametrize("port", [80, 443])
def test_arrow_internet_to_traefik_to_the_api(port, page, system):
    assert system["outside1"].page(NODES["swarm1"], port, "api.glasck.example")["service"] == "api"


@pytest.mark.parametrize("port", [80, 443])
def test_arrow_internet_to_traefik_to_the_frontend(port, running, system, tools):
    def answered():
        return system["outside1"].page(NODES["swarm1"], port, "glasck.example")["service"] == "frontend"

    tools.until(answered, "the frontend")


@pytest.mark.parametrize("target", ["api:3001", "frontend:3000"])
def test_arrow_traefik_to_what_it_publishes(target, running):
    assert running["infrastructure_traefik"][0].connect(target) == {target: "open"}


def test_arrow_traefik_to_the_health_of_the_api(running):
    assert running["infrastructure_traefik"][0].fetch("api", 3001, "api", "/api/health")[0] == 200


def test_arrow_frontend_to_the_api(running, system, tools):
    def reached():
        return system["outside1"].page(NODES["swarm1"], 443, "glasck.example")["peers"] == {"api:3001": "reached"}

    tools.until(reached, "the API from the frontend")


def test_arrow_api_to_redis(page, running, system):
    count = system["outside1"].page(NODES["swarm1"], 443, "api.glasck.example")["peers"]["redis:6379"]
    assert count > page["peers"]["redis:6379"]
    assert running["glasck_redis"][0].run("redis-cli", "get", "hits") == str(count)


def test_arrow_api_to_postgresql(page):
    assert page["peers"]["postgres:5432"] == "reached"


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("service", ["api", "frontend", "worker"])
def test_arrow_internal_services_to_the_data(service, data, running):
    """What is on the internal network finds what else is there."""
    target = "%s:%d" % (data, DATA[data])
    for each in running["glasck_" + service]:
        assert each.connect(target) == {target: "open"}


def test_arrow_traefik_to_the_docker_api_through_the_proxy_and_no_more_of_it_than_it_needs(running):
    proxy = running["infrastructure_traefik"][0]
    assert proxy.fetch("socket-proxy", 2375, "socket-proxy", "/services")[0] == 200
    assert proxy.fetch("socket-proxy", 2375, "socket-proxy", "/secrets")[0] == 403


def test_checklist_a_worker_with_a_second_network_has_its_way_out(running):
    assert running["glasck_worker"][0].connect(OUTSIDE) == {OUTSIDE: "refused"}


# -- never -----------------------------------------------------------------------------------------------------------


def test_checklist_never_the_database_from_the_proxy(running, forbidden):
    assert running["infrastructure_traefik"][0].connect(*forbidden) == forbidden


def test_never_the_database_from_a_container_on_the_public_overlay(system, forbidden, running):
    expected = {"api:3001": "open", "socket-proxy:2375": "unknown", **forbidden}
    assert system["swarm2"].attached(PUBLIC, *expected) == expected
    # The same container is let in where the databases are: it is the overlay that keeps it out.
    assert system["swarm2"].attached(PRIVATE, *forbidden) == dict.fromkeys(forbidden, "open")


@pytest.mark.parametrize("name", ["glasck_redis", "glasck_postgres", "infrastructure_socket-proxy"])
def test_checklist_never_a_way_out_of_an_internal_network(name, running):
    assert running[name][0].connect(OUTSIDE) == {OUTSIDE: "blocked"}


def test_checklist_a_worker_without_the_second_network_has_no_way_out(system, running):
    assert system["swarm2"].attached(PRIVATE, OUTSIDE, "redis:6379") == {OUTSIDE: "blocked", "redis:6379": "open"}


def test_never_a_published_port_of_the_databases(running, system):
    form = "{{.Spec.Name}} {{json .Endpoint.Ports}}"
    lines = system["swarm1"].run("docker", "service", "inspect", "--format", form, *SERVICES).splitlines()
    assert {line.split(" ", 1)[0] for line in lines if json.loads(line.split(" ", 1)[1])} == {"infrastructure_traefik"}


def test_never_the_docker_socket_but_in_the_proxy(running):
    mounted = {name for name, (each, *_rest) in running.items() if "docker.sock" in str(each.inspect()["Mounts"])}
    assert mounted == {"infrastructure_socket-proxy"}


def test_never_anything_but_the_proxys_ports_on_the_manager_and_those_only_from_outside(system, running):
    ports = (22, 80, 443, 2375, 2377, 3000, 3001, 5432, 6379, 7946)
    targets = ["%s:%d" % (address, port) for address in NODES.values() for port in ports]
    allowed = {"%s:%d" % (NODES["swarm1"], port) for port in (80, 443)}
    found = system["outside1"].connect(*targets)
    assert {target for target, what in found.items() if what == "open"} == allowed
    # No flow leads from management to them, but ssh.
    assert "open" not in system["mgmt1"].connect(*(each for each in targets if not each.endswith(":22"))).values()


def test_never_anything_of_management_from_the_internet(system):
    targets = ["%s:%d" % (MANAGEMENT, port) for port in (22, 80, 443, 2375, 5432, 6379)]
    assert system["outside1"].connect(*targets) == dict.fromkeys(targets, "blocked")


def _findings(ask_module):
    """{(rule, service)} of what the linter finds in what runs, held against the site."""
    networks = "{{ lookup('bulkhead.tiers.host_plan', 'stack_lint').networks }}"
    said = ask_module("swarm1", "bulkhead.tiers.stack_lint", {"running": True, "networks": networks})
    return {(one["rule"], one["service"]) for one in said["findings"]}


def test_what_the_site_deployed_has_no_finding(running, ask_module):
    assert _findings(ask_module) == set()


# -- an application that comes and goes -------------------------------------------------------------------------------


@pytest.fixture(name="trial", scope="module")
def fixture_trial(running, system, playbook, tools, tmp_path_factory):
    """An application on the infrastructure's networks, and one of its own: what it reached, and what of it is there once it is removed."""
    directory, declared = tools.copied_stacks("glasck", tmp_path_factory.mktemp("trial"))
    service = {
        "image": "localhost:1/api",
        "networks": ["public", "private", "own"],
        "deploy": {"endpoint_mode": "dnsrr", "placement": {"constraints": ["node.hostname == swarm1"]}},
    }
    networks = {
        "public": {"external": True, "name": PUBLIC},
        "private": {"external": True, "name": PRIVATE},
        "own": {"driver": "overlay", "internal": True},
    }
    (directory / "glasck" / "trial.yml").write_text(
        yaml.safe_dump({"version": "3.9", "services": {"trial": service}, "networks": networks})
    )
    variables = {
        "bulkhead_stacks": {**declared, "trial": {"file": "glasck/trial.yml", "kind": "swarm"}},
        "stacks_directory": str(directory),
    }
    before = _networks(system)
    try:
        playbook("stacks", "--extra-vars", json.dumps(variables))
        counts = {name: count for name, (count, _networks) in SERVICES.items()}
        found = system.running(list(NODES), {**counts, "trial_trial": 1})
        (container,) = found["trial_trial"]
        reached = tools.until(lambda: _all_open(container.connect("redis:6379", "postgres:5432")), "the data")
        seen = (sorted(container.addresses()), reached, _networks(system).keys() - before.keys())
    finally:
        playbook("stacks", "--extra-vars", "stacks_remove=true")
    # The node removes a container a moment after the Swarm has forgotten its task.
    tools.until(lambda: not _left(system, "container"), "the last container has gone")
    left = {kind: _left(system, kind) for kind in ("container", "network", "volume")}
    return seen, left, before, _networks(system)


def _left(system, kind):
    """What nodes still have of the application."""
    words = ["docker", kind, "ls", "--quiet", "--filter", "label=com.docker.stack.namespace=trial"]
    words += ["--all"] if kind == "container" else []
    return [each for node in NODES for each in system[node].run(*words).split()]


def _all_open(found):
    return set(found.values()) == {"open"} and found


def _networks(system):
    """{name: id} of the Swarm's networks."""
    lines = system["swarm1"].run(
        "docker", "network", "ls", "--no-trunc", "--filter", "scope=swarm", "--format", "{{.Name}} {{.ID}}"
    )
    return dict(line.split() for line in lines.splitlines())


def test_checklist_an_application_stack_deploys_on_the_networks_of_the_infrastructure(trial):
    (networks, _reached, new), _left, _before, _after = trial
    assert networks == [PRIVATE, PUBLIC, "trial_own"]
    assert new == {"trial_own"}


def test_checklist_a_stack_that_is_removed_leaves_nothing_and_the_networks_before_it_stay(trial):
    _seen, left, before, after = trial
    assert left == {"container": [], "network": [], "volume": []}
    assert after == before and set(SUBNETS) <= set(after)


# -- the pitfalls, at work --------------------------------------------------------------------------------------------


@pytest.fixture(name="pitfalls", scope="module")
def fixture_pitfalls(running, system, tools, trial):
    """The stack of PITFALLS, started by hand; gone again, but for the network that a container holds."""
    manager = system["swarm1"]
    manager.run("sh", "-c", "cat >/tmp/pitfalls.yml <<'END'\n%s\nEND" % PITFALLS)
    holder = ("docker", "rm", "--force", "holder")
    try:
        manager.run(
            "docker", "stack", "deploy", "--resolve-image", "never", "--compose-file", "/tmp/pitfalls.yml", "pitfalls"
        )
        counts = {name: count for name, (count, _networks) in SERVICES.items()}
        counts |= dict.fromkeys(("pitfalls_database", "pitfalls_inside", "pitfalls_unlabelled", "pitfalls_caller"), 1)
        yield system.running(list(NODES), counts)
    finally:
        manager.run(*holder)
        manager.run("sh", "-c", "docker stack rm pitfalls || true")
        tools.until(lambda: not any("pitfalls" in name for name in _networks(system)), "the stack has gone")


@pytest.fixture(name="findings", scope="module")
def fixture_findings(pitfalls, ask_module):
    """Of what the site deployed and of the pitfalls beside it."""
    return _findings(ask_module)


@pytest.mark.parametrize(
    ("rule", "service"),
    [
        ("BT001", "database"),  # 1: everything on one network
        ("BT002", "database"),  # 1: with a published port of the database
        ("BT006", "unlabelled"),  # 2: several networks without the label
        ("BT010", "caller"),  # 3: an internal network that blocks what it needs outside
    ],
)
def test_checklist_a_pitfall_that_runs_is_found(rule, service, findings):
    assert (rule, service) in findings


def test_checklist_a_published_port_on_the_internal_network_is_unreachable(pitfalls, system):
    # Both the database on the public overlay and the one on the internal: neither port is in any flow.
    targets = ["%s:%d" % (NODES["swarm2"], port) for port in (5432, 5433)]
    assert system["outside1"].connect(*targets) == dict.fromkeys(targets, "blocked")
    assert "open" not in system["mgmt1"].connect(*targets).values()


def test_never_what_the_pitfall_would_open_to_the_proxy(pitfalls, running):
    """The counter-proof of isolation: a database that is on the public overlay is reached from there, and the one inside is not."""
    outside = pitfalls["pitfalls_database"][0].addresses()[PUBLIC] + ":5432"
    inside = pitfalls["pitfalls_inside"][0].addresses()[PRIVATE] + ":5432"
    assert running["infrastructure_traefik"][0].connect(outside, inside) == {outside: "open", inside: "blocked"}


def test_checklist_a_network_that_is_left_behind_is_named_with_what_holds_it_and_removed_once_free(
    pitfalls, system, playbook, tools
):
    """Pitfall 4. The last of these tests: it takes the stack away."""
    manager = system["swarm1"]
    before = {name: number for name, number in _networks(system).items() if not name.startswith("pitfalls_")}
    manager.run("docker", "run", "--detach", "--name", "holder", "--network", "pitfalls_own", "localhost:1/worker")
    # It ends badly: the network is in use.
    manager.run("sh", "-c", "docker stack rm pitfalls || true")
    tools.until(lambda: not any("pitfalls" in name for name in _services(manager)), "the services have gone")
    assert "pitfalls_own" in _networks(system)
    assert "pitfalls_own" in playbook("networks").stdout
    said = playbook("cleanup", "--extra-vars", "cleanup_remove=true").stdout
    assert "holder" in said and "pitfalls_own" in _networks(system)
    manager.run("docker", "rm", "--force", "holder")
    playbook("cleanup", "--extra-vars", "cleanup_remove=true")
    tools.until(lambda: _networks(system) == before, "the network has gone, and no other")


def _services(manager):
    return manager.run("docker", "service", "ls", "--format", "{{.Name}}").splitlines()
