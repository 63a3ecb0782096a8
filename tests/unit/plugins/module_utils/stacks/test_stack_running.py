"""What runs, from recordings of both engines (fixtures/record.py)."""

from __future__ import annotations

import json
import pathlib

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import EngineError
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.running import lint_running, take_running
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.lint import heard
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import DEFAULTS

VERSIONS = ("20_10", "26_1")


class Recorded:
    """An engine that answers what was recorded; `gone` are containers that have ended since they were listed."""

    def __init__(self, version):
        path = pathlib.Path(__file__).parent / "fixtures" / (f"running_{version}.json")
        self.said = json.loads(path.read_text())
        self.gone = set()

    def info(self):
        return self.said["info"]

    def networks(self):
        return self.said["networks"]

    def containers(self):
        return self.said["containers"]

    def services(self):
        return self.said["services"]

    def container(self, container_id):
        if container_id in self.gone:
            raise EngineError("no such container", 404)
        return self.said["inspected"][container_id]


@pytest.fixture(name="engine", params=VERSIONS)
def fixture_engine(request):
    return Recorded(request.param)


def found(engine, **options):
    items = heard(lint_running({**DEFAULTS, **options}, engine), "h1")
    return {(item["rule"], item["service"]) for item in items if item["waived"] is None}


BAD = {
    ("BT001", "bad-db"),
    ("BT001", "bad-redis"),
    ("BT002", "bad-redis"),
    ("BT003", "bad-sock"),
    ("BT006", "bad-svc"),
    ("BT010", "bad-egress"),
    ("BT014", "bad-default"),
    ("BT015", "bad-host"),
}


def test_what_was_started_badly_is_found_and_nothing_else(engine):
    assert found(engine) == BAD


def test_a_label_waives_what_runs(engine):
    items = heard(lint_running(DEFAULTS, engine), "h1")
    assert [(item["rule"], item["waived"]) for item in items if item["service"] == "waived"] == [
        ("BT001", "moves next week")
    ]


def test_services_and_containers_have_their_stacks_names_and_networks(engine):
    stack = take_running(engine)
    services = {service.where: service for service in stack.services}
    backend = services["maplepress/maplepress-backend"]
    assert (backend.kind, sorted(backend.networks)) == ("swarm", ["maple-private-prod", "maple-public-prod"])
    assert backend.environment["REDIS_HOST"].value == "redis" and "maplepress_maplepress-backend" in backend.names
    immich = services["immich/immich-server"]
    assert (immich.kind, sorted(immich.networks)) == ("compose", ["vnet-immich", "vnet-ingress"])
    assert sorted(text.value for text in immich.awaits) == ["immich-postgres", "immich-redis"]
    assert sorted(services["shares"].networks) == ["vnet-ingress"], "it lives in bad-db's network"
    assert services["bad-port"].ports == (), "an internal network publishes nothing"


def test_tasks_of_the_swarm_are_judged_by_their_service_and_on_a_worker_not_at_all(engine):
    names = [service.name for service in take_running(engine).services]
    assert len(names) == len(set(names))
    engine.said["info"]["Swarm"]["ControlAvailable"] = False
    workers = {service.name for service in take_running(engine).services}
    assert "bad-db" in workers and not any("maplepress" in name or name == "bad-svc" for name in workers)


def test_a_service_on_the_hosts_network_is_found(engine):
    host = next(network for network in engine.networks() if network["Name"] == "host")
    service = next(item for item in engine.services() if item["Spec"]["Name"] == "bad-svc")
    service["Spec"]["TaskTemplate"]["Networks"] = [{"Target": host["Id"]}]
    assert ("BT015", "bad-svc") in found(engine)


def test_the_site_is_held_against_what_runs(engine):
    zones = {"vnet-ingress": "public", "vnet-authelia": "a", "vnet-immich": "i", "vnet-paperless": "p"}
    networks = {name: {"zone": zone} for name, zone in zones.items()}
    networks["maple-private-prod"] = {"zone": "private", "internal": True}
    assert found(engine, networks=networks) - BAD == {("BT012", "")}, "maple-public-prod is not declared"
    networks["maple-public-prod"] = {"zone": "public"}
    assert found(engine, networks=networks) == BAD
    networks["vnet-ingress"]["zone"] = "lan"
    assert ("BT001", "bad-db") not in found(engine, networks=networks), "its network is in no public zone now"


def test_overlaps_with_vlans_are_found_but_not_with_the_pool_that_a_network_is_from(engine):
    assert ("BT016", "") not in found(engine, pools={"overlay": ["172.30.0.0/16"]})
    assert ("BT016", "") in found(engine, reserved={"tier apps": ["172.30.0.0/16"]})


def test_a_container_that_ends_meanwhile_is_left_out(engine):
    listed = next(item for item in engine.containers() if item["Names"] == ["/bad-db"])
    engine.gone.add(listed["Id"])
    assert "bad-db" not in {service.name for service in take_running(engine).services}


def test_another_error_of_the_engine_is_not_swallowed(engine):
    engine.said["inspected"].clear()
    with pytest.raises(KeyError):
        take_running(engine)
