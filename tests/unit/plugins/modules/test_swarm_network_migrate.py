"""swarm_network with ``recreate: migrate``, against stand-ins of both recorded engines.

The recorded service ``svc`` and the containers ``static``, ``dynamic``, ``stopped`` and ``new`` are on the network.
"""

from __future__ import annotations

import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import compare, waiting
from ansible_collections.bulkhead.tiers.plugins.modules import swarm_network
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.docker.running import run
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.docker.standin import VERSIONS, StandIn

SHOP = {"name": "shop", "subnet": "10.90.0.0/24", "attachable": True, "labels": {"zone": "private"}}
# The containers' static addresses lie in both subnets.
WIDE = {**SHOP, "subnet": "10.90.0.0/23"}
LOCAL = {"name": "local", "driver": "bridge", "subnet": "10.90.0.0/24"}


@pytest.fixture(name="engine", params=VERSIONS)
def fixture_engine(tmp_path, request):
    with StandIn(tmp_path, request.param) as engine:
        run(swarm_network, engine.url, networks=[SHOP])
        engine.populate("shop")
        engine.calls.clear()
        yield engine


@pytest.fixture(name="newest")
def fixture_newest(tmp_path):
    with StandIn(tmp_path, VERSIONS[-1]) as engine:
        run(swarm_network, engine.url, networks=[SHOP])
        engine.populate("shop")
        engine.calls.clear()
        yield engine


@pytest.fixture(name="hurry", autouse=True)
def fixture_hurry(monkeypatch):
    monkeypatch.setattr(waiting, "ALLOCATION_SECONDS", 0.3)
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.005)


def migrate(engine, *networks, **arguments):
    return run(swarm_network, engine.url, networks=list(networks or [WIDE]), recreate="migrate", **arguments)


def ends_of(engine, name):
    """{network name: endpoint} of a container."""
    container = next(item for item in engine.containers if item["Names"] == [f"/{name}"])
    return container["NetworkSettings"]["Networks"]


def everything_moved(engine, subnet="10.90.0.0/23"):
    """All are on the new network alone, and the temporary one is gone."""
    shop = engine.named("shop")
    assert shop["IPAM"]["Config"][0]["Subnet"] == subnet and "shop-moving" not in engine.names
    networks = engine.services[0]["Spec"]["TaskTemplate"]["Networks"]
    assert networks == [{"Target": shop["Id"], "Aliases": ["alias"]}]
    for name in ("static", "dynamic", "stopped", "new"):
        assert [end["NetworkID"] for end in ends_of(engine, name).values()] == [shop["Id"]], name


def test_everything_on_the_network_moves_to_the_new_one(engine):
    result = migrate(engine)
    assert (result["failed"], result["changed"], result["migrated"]) == (False, True, ["shop"])
    assert (result["created"], result["removed"], result["recreated"]) == ([], [], [])
    assert result["networks"][0]["id"] == engine.named("shop")["Id"]
    everything_moved(engine)
    assert engine.named("shop")["Labels"] == {"zone": "private", "bulkhead.tiers.managed": "true"}
    again = migrate(engine)
    assert (again["changed"], again["migrations"]) == (False, [])


def test_aliases_and_static_addresses_are_kept(engine):
    migrate(engine)
    static, stopped = ends_of(engine, "static")["shop"], ends_of(engine, "stopped")["shop"]
    assert static["IPAddress"] == "10.90.0.9" and stopped["IPAddress"] == "10.90.0.10"
    assert "alias" in static["Aliases"] and "alias" in stopped["Aliases"]
    # Neither the engine's own addition to the aliases nor the note of the migration stays.
    assert all(len(alias) != 12 for alias in static["Aliases"])
    assert not (static["DriverOpts"] or {})


def test_everybody_gets_the_next_network_before_they_leave_the_last(engine):
    """At every call, all that move share a network."""
    seen = []

    def look(*unused):
        live = {network["Id"] for network in engine.networks}
        places = [
            {end["Target"] for end in service["Spec"]["TaskTemplate"].get("Networks") or service["Spec"]["Networks"]}
            for service in engine.services
        ]
        places += [
            {end["NetworkID"] or engine.named("shop")["Id"] for end in ends_of(engine, name).values()}
            for name in ("static", "dynamic")
        ]
        seen.append(set.intersection(*places) & live)

    connect, disconnect = engine.connect, engine.disconnect
    engine.connect = lambda *asked: (look(), connect(*asked))[1]
    engine.disconnect = lambda *asked: (look(), disconnect(*asked))[1]
    engine.before_update = engine.before_remove = look
    migrate(engine)
    assert len(seen) > 10 and all(seen)


def test_the_services_spec_is_written_back_whole(engine):
    spec = engine.services[0]["Spec"]
    spec["TaskTemplate"]["Networks"] = spec["TaskTemplate"].get("Networks") or spec.pop("Networks")
    spec["TaskTemplate"]["Networks"].append({"Target": "other", "Aliases": ["x"], "DriverOpts": {"a": "b"}})
    spec["UpdateConfig"] = {"Parallelism": 2, "Order": "start-first"}
    spec["RollbackConfig"] = {"Parallelism": 1}
    spec["Labels"] = {"com.docker.stack.namespace": "shop"}
    before = json.loads(json.dumps(spec))
    old = engine.named("shop")["Id"]
    migrate(engine)
    text = json.dumps(before).replace(old, engine.named("shop")["Id"])
    assert engine.services[0]["Spec"] == json.loads(text)


def test_the_temporary_network_is_as_closed_as_the_old_one(newest):
    newest.named("shop").update(Internal=True)
    newest.named("shop")["Options"]["encrypted"] = "true"
    migrate(newest, {**WIDE, "internal": False, "encrypted": False})
    temporary = next(body for body in newest.bodies if body["Name"] == "shop-moving")
    assert temporary["Internal"] is True and temporary["Options"]["encrypted"] == "true"
    assert newest.named("shop")["Internal"] is False


def test_check_mode_lists_everything_that_it_would_touch_and_touches_nothing(engine):
    foreseen = migrate(engine, check=True)
    assert engine.writes == []
    (migration,) = foreseen["migrations"]
    assert (migration["network"], migration["temporary"], migration["resumed"]) == ("shop", "shop-moving", False)
    assert migration["services"] == ["svc"]
    containers = {container["name"]: container for container in migration["containers"]}
    assert sorted(containers) == ["dynamic", "new", "static", "stopped"]
    assert containers["static"]["aliases"] == ["alias"] and containers["static"]["addresses"] == ["10.90.0.9"]
    assert "its address 10.90.0.9 until it is back" in containers["static"]["lost"]
    assert "its MAC address" in containers["static"]["lost"]
    done = migrate(engine)
    for key in ("changed", "migrated", "migrations", "diff", "created", "removed", "recreated"):
        assert foreseen[key] == done[key], key


def test_the_diff_names_everybody_who_moves(newest):
    diff = migrate(newest, check=True)["diff"]
    assert "  subnet: 10.90.0.0/24\n" in diff["before"] and "  subnet: 10.90.0.0/23\n" in diff["after"]
    assert "  moved by rolling updates: service svc\n" in diff["after"]
    assert "  moved: container static, keeps 10.90.0.9, loses its address 10.90.0.9 until" in diff["after"]


def test_a_network_that_nobody_uses_is_made_again_without_a_detour(newest):
    newest.containers, newest.services, newest.tasks, newest.attachments = [], [], [], []
    result = migrate(newest)
    assert (result["recreated"], result["migrated"]) == (["shop"], [])
    assert [body["Name"] for body in newest.bodies][-1] == "shop"


def test_a_network_that_is_right_is_left_alone(newest):
    assert migrate(newest, SHOP)["changed"] is False
    assert newest.writes == []


def test_a_difference_names_migrate_as_a_way(newest):
    assert "recreate: migrate to move" in run(swarm_network, newest.url, networks=[WIDE])["msg"]


def test_a_static_address_outside_of_the_new_subnet_is_refused_where_it_is_surely_one(newest):
    """Of a running container on an overlay an engine does not say who chose its address."""
    result = migrate(newest, {**SHOP, "subnet": "10.91.0.0/24"})
    assert [error.split(";")[0] for error in result["errors"]] == [
        "networks[0].subnet: got 10.91.0.0/24 with the static address 10.90.0.10 of container stopped"
    ]
    assert newest.writes == []
    newest.containers = [item for item in newest.containers if item["Names"] != ["/stopped"]]
    result = migrate(newest, {**SHOP, "subnet": "10.91.0.0/24"})
    lost = {container["name"]: container["lost"] for container in result["migrations"][0]["containers"]}
    assert "its address 10.90.0.9, which is not in the new subnet" in lost["static"]
    everything_moved_but_stopped = ends_of(newest, "static")["shop"]["IPAddress"]
    assert everything_moved_but_stopped.startswith("10.91.0.")


def _foreign(engine):
    task = json.loads(json.dumps(engine.attachments[0]))
    task["Spec"]["NetworkAttachmentSpec"]["ContainerID"] = "f" * 64
    task["NodeID"] = engine.nodes[0]["ID"]
    engine.attachments.append(task)


def _job(engine):
    engine.services[0]["Spec"]["Mode"] = {"ReplicatedJob": {}}


def _paused(engine):
    engine.services[0]["UpdateStatus"] = {"State": "paused", "Message": "update paused due to failure"}


def _half(engine):
    engine.services[0]["Spec"]["Mode"] = {"Replicated": {"Replicas": 2}}


def _name_taken(engine):
    body = {"Name": "shop-moving", "Driver": "overlay", "Options": {}, "Labels": {}}
    engine.create({**body, "IPAM": {"Config": [{"Subnet": "10.99.0.0/24"}]}})


@pytest.mark.parametrize(
    ("obstacle", "change", "message"),
    [
        (_foreign, {}, "networks[0].name: got container ffffffffffff on "),
        (_job, {}, "networks[0].name: got service svc on 'shop', a job"),
        (_paused, {}, "whose update is paused (update paused due to failure)"),
        (_half, {}, "networks[0].name: got service svc on 'shop' with 1 of 2 tasks running"),
        (_name_taken, {}, "networks[0].name: got a live network 'shop-moving'"),
        (None, {"attachable": False}, "networks[0].attachable: got false with container dynamic, new, static, stopped"),
        (None, {"driver": "bridge", "attachable": None}, "networks[0].driver: got overlay on the live network 'shop'"),
    ],
)
def test_what_stands_in_the_way_is_said_before_anything_is_touched(newest, obstacle, change, message):
    if obstacle:
        obstacle(newest)
    for check in (True, False):
        result = migrate(newest, {**WIDE, **change}, check=check)
        assert result["failed"] and len(result["errors"]) == 1 and message in result["errors"][0]
    assert newest.writes == []


@pytest.mark.parametrize(
    ("subnet", "message"),
    [
        ("10.99.0.1/24", "temporary_subnet: got '10.99.0.1/24' (10.99.0.1/24 has host bits set)"),
        ("10.90.1.0/24", "temporary_subnet: got 10.90.1.0/24; expected a subnet apart from network 'shop' with"),
        ("10.99.0.0/30", "temporary_subnet: got room for 1 addresses; expected 8, for everything on 'shop'"),
    ],
)
def test_a_temporary_subnet_that_cannot_serve_is_refused(newest, subnet, message):
    result = migrate(newest, temporary_subnet=[subnet])
    assert result["failed"] and message in result["msg"] and newest.writes == []


def test_the_temporary_network_lies_where_it_is_told(newest):
    migrate(newest, temporary_subnet=["10.99.0.0/28"])
    temporary = next(body for body in newest.bodies if body["Name"] == "shop-moving")
    assert temporary["IPAM"]["Config"] == [{"Subnet": "10.99.0.0/28"}]


def test_a_choice_of_the_engine_that_overlaps_is_taken_back(newest):
    """A Swarm looks at its overlays alone."""
    auto = newest._template("ov-auto")["IPAM"]["Config"][0]["Subnet"]
    body = {"Name": "theirs", "Driver": "bridge", "Options": {}, "Labels": {}, "IPAM": {"Config": [{"Subnet": auto}]}}
    newest.create(body)
    result = migrate(newest)
    assert result["failed"] and f"{auto}, which overlaps 'theirs' with {auto}; it was removed again" in result["msg"]
    assert "shop-moving" not in newest.names and "Give another subnet with temporary_subnet" in result["msg"]
    assert ends_of(newest, "static").keys() == {"shop"}


@pytest.mark.parametrize("call", range(1, 25))
def test_a_run_that_is_cut_off_anywhere_says_where_it_stands_and_the_next_one_finishes(newest, call):
    """The engine dies at the n-th call that changes something."""
    written = []
    answer = newest.answer

    def dying(method, path, body):
        if method != "GET":
            written.append(path)
            if len(written) == call:
                return None
        return answer(method, path, body)

    newest.answer = dying
    result = migrate(newest)
    assert result["failed"], "it has no so many calls: lower the range"
    assert "The migration of 'shop' stands at step " in result["msg"] or call == 1
    newest.answer = answer
    if call > 1:
        refused = run(swarm_network, newest.url, networks=[WIDE])
        assert "set recreate: migrate to have it finished" in refused["msg"]
        assert "shop-moving" in run(swarm_network, newest.url, networks=[WIDE], recreate="if_unused")["msg"]
        # A purge does not take the temporary network away from under them.
        assert migrate(newest, WIDE, purge=True, check=True)["removed"] == []
    finished = migrate(newest)
    assert (finished["failed"], finished["migrated"]) == (False, ["shop"])
    assert finished["migrations"][0]["resumed"] is (call > 1)
    everything_moved(newest)
    assert ends_of(newest, "static")["shop"]["IPAddress"] == "10.90.0.9"
    assert ends_of(newest, "stopped")["shop"]["Aliases"] == ["alias"]
    assert migrate(newest)["changed"] is False


def test_the_whole_of_a_migration_is_cut_off_somewhere_above(newest):
    migrate(newest)
    assert len(newest.writes) == 24


def test_what_was_not_said_survives_an_interruption(newest):
    """The old network is gone by then: what it was stands on the temporary one."""
    newest.named("shop").update(Internal=True)
    removed = []

    def cut(network_id):
        newest.before_create = die

    def die(name):
        removed.append(name)
        newest.before_create = lambda name: None
        raise ConnectionError

    newest.before_remove = cut
    assert migrate(newest, {"name": "shop", "mtu": 1400})["failed"]
    assert removed == ["shop"] and "shop" not in newest.names
    newest.before_remove = lambda network_id: None
    migrate(newest, {"name": "shop", "mtu": 1400})
    everything_moved(newest, "10.90.0.0/24")
    shop = newest.named("shop")
    assert (shop["Internal"], shop["Attachable"], shop["Labels"]["zone"]) == (True, True, "private")


def test_an_update_that_somebody_else_overtakes_is_tried_again(newest):
    def overtake(name):
        newest.before_update = lambda name: None
        newest.services[0]["Version"]["Index"] += 1

    newest.before_update = overtake
    assert migrate(newest)["migrated"] == ["shop"]
    everything_moved(newest)


def test_a_service_that_is_removed_meanwhile_is_no_obstacle(newest):
    def remove(name):
        newest.services.clear()
        newest.tasks.clear()

    newest.before_update = remove
    assert migrate(newest)["migrated"] == ["shop"]


@pytest.mark.parametrize("state", ["paused", "rollback_completed"])
def test_an_update_that_fails_stops_the_migration_and_says_where(newest, state):
    newest.stuck["svc"] = state
    result = migrate(newest)
    assert f"The update of service svc is {state}: update {state}" in result["msg"]
    assert "stands at step 1 of 4" in result["msg"] and result["changed"]


def test_an_update_that_does_not_end_is_waited_for_as_long_as_it_was_asked(newest, monkeypatch):
    newest.stuck["svc"] = "updating"
    newest.services[0]["Spec"]["UpdateConfig"] = {"Monitor": 10**8}
    newest.services[0]["Spec"]["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] = 10**8
    result = migrate(newest, wait_timeout=0)
    assert "Service svc has 0 of 1 tasks running on its new networks" in result["msg"]


def test_an_update_of_ours_that_was_paused_is_resumed(newest):
    newest.stuck["svc"] = "paused"
    assert migrate(newest)["failed"]
    newest.stuck.clear()
    assert migrate(newest)["migrated"] == ["shop"]
    everything_moved(newest)


def test_two_networks_are_migrated_one_at_a_time_and_only_in_an_order_that_works(newest):
    other = {"name": "zoo", "subnet": "10.95.0.0/24", "attachable": True}
    run(swarm_network, newest.url, networks=[SHOP, other])
    text = json.dumps(newest.services[0]).replace(newest.named("shop")["Id"], newest.named("zoo")["Id"])
    second = json.loads(text.replace('"svc"', '"keeper"').replace(newest.services[0]["ID"], "z" * 25))
    task = json.loads(json.dumps(newest.tasks[0]).replace(newest.services[0]["ID"], "z" * 25))
    newest.services.append(second)
    newest.tasks.append(task)
    away, heir = {**other, "subnet": "10.96.0.0/24"}, {**SHOP, "subnet": ["10.90.0.0/24", "10.95.0.0/24"]}
    result = migrate(newest, heir, away)
    assert "networks[0].subnet: got 10.95.0.0/24; expected a subnet apart from the live network 'zoo'" in result["msg"]
    assert newest.writes == [] or all("create" in path for method, path in newest.writes)
    result = migrate(newest, away, heir)
    assert (result["failed"], result["migrated"]) == (False, ["shop", "zoo"])


@pytest.mark.parametrize("role", ["outside", "worker"])
def test_a_bridge_is_migrated_with_its_containers_on_any_node(tmp_path, role):
    with StandIn(tmp_path, "20_10", role) as engine:
        run(swarm_network, engine.url, networks=[{**LOCAL, "options": {"com.docker.network.bridge.name": "br-local"}}])
        engine.populate("local", "bridge")
        result = migrate(engine, {**LOCAL, "subnet": "10.90.0.0/23"})
        assert (result["failed"], result["migrated"]) == (False, ["local"])
        local = engine.named("local")["Id"]
        for name in ("static", "dynamic", "stopped", "new"):
            assert [end["NetworkID"] for end in ends_of(engine, name).values()] == [local]
        temporary = next(body for body in engine.bodies if body["Name"] == "local-moving")
        # Two bridges cannot have one name in the kernel.
        assert "com.docker.network.bridge.name" not in temporary["Options"]
        assert engine.named("local")["Options"]["com.docker.network.bridge.name"] == "br-local"


def test_an_attachment_that_a_failed_start_left_behind_is_named_with_its_remedy(newest):
    """Its container is one of this engine's, and not on the network any more: nothing foresees it."""
    newest.held["shop-moving"] = 10**6

    def leave(name):
        task = json.loads(json.dumps(newest.attachments[0]))
        task["Spec"]["Networks"] = [{"Target": newest.named("shop-moving")["Id"]}]
        newest.attachments.append(task)

    newest.before_update = leave
    result = migrate(newest, wait_timeout=0)
    container = newest.attachments[0]["Spec"]["NetworkAttachmentSpec"]["ContainerID"][:12]
    host = newest.nodes[0]["Description"]["Hostname"]
    assert f"The swarm holds it for container {container} on {host}" in result["msg"]
    assert "a restart of that node's engine ends it" in result["msg"] and "stands at step 4 of 4" in result["msg"]
    newest.held.clear()
    assert migrate(newest)["migrated"] == ["shop"]


def names_of(engine, name):
    """The keys of a container's endpoints: what its next start looks for."""
    return list(ends_of(engine, name))


@pytest.mark.parametrize("services", [True, False])
def test_a_stopped_container_moves_where_the_engine_knows_none_of_its_overlays(engine, services):
    """Nothing else runs there on them: the engine then finds the container's endpoints by the word of the call alone."""
    if not services:
        engine.services, engine.tasks = [], []
    engine.unknown = {"shop", "shop-moving"}
    assert migrate(engine)["migrated"] == ["shop"]
    for name in ("static", "dynamic", "stopped", "new"):
        assert names_of(engine, name) == ["shop"], name
    assert ends_of(engine, "stopped")["shop"]["NetworkID"] in ("", engine.named("shop")["Id"])
    assert ends_of(engine, "stopped")["shop"]["IPAMConfig"] == {"IPv4Address": "10.90.0.10"}
    assert ends_of(engine, "stopped")["shop"]["Aliases"] == ["alias"]
    assert migrate(engine)["changed"] is False


def test_a_stopped_container_moves_where_the_engine_gets_to_know_its_overlays_meanwhile(engine):
    """The service's tasks bring them. What stood under an id could not leave any more."""
    engine.unknown = {"shop", "shop-moving"}

    def task_comes(name):
        engine.unknown = set()

    engine.before_update = task_comes
    assert migrate(engine)["migrated"] == ["shop"]
    assert (names_of(engine, "stopped"), names_of(engine, "new")) == (["shop"], ["shop"])


def test_a_stopped_container_that_cannot_leave_is_named_with_its_remedy(newest):
    """Somebody connected it by id, and then the engine got to know the network."""
    container = next(item for item in newest.containers if item["Names"] == ["/stopped"])
    ends = container["NetworkSettings"]["Networks"]
    ends[newest.named("shop")["Id"]] = {**ends.pop("shop"), "NetworkID": ""}
    for dummy in range(2):
        result = migrate(newest)
        assert result["failed"] and "stands at step 2 of 4" in result["msg"]
        assert (
            "Container stopped (exited) still needs 'shop' for its next start: start it (docker start)" in result["msg"]
        )
    assert "shop" in newest.names
    ends["shop"] = {**ends.pop(newest.named("shop")["Id"]), "NetworkID": newest.named("shop")["Id"]}
    container["State"] = "running"
    assert migrate(newest)["migrated"] == ["shop"]
    assert names_of(newest, "stopped") == ["shop"]


def test_a_name_that_is_the_beginning_of_an_id_is_not_used(newest):
    """An engine that does not know the name would take it for that network."""
    decoy = newest.named("ingress")
    decoy["Id"] = "shop" + decoy["Id"][4:]
    newest.unknown = {"shop-moving"}
    assert migrate(newest)["migrated"] == ["shop"]
    shop = [path.split("/")[2] for method, path in newest.writes if path.endswith("connect")]
    assert "shop" not in shop and "shop-moving" in shop


def test_a_container_that_cannot_get_the_next_network_does_not_leave_the_last(newest):
    """HTTP 404 may mean that the container is gone, or that the swarm does not know the network."""
    connect = newest.connect
    newest.connect = lambda word, body: (404, {"message": "Could not attach to network: not found"})
    result = migrate(newest)
    assert result["failed"] and "refused to connect container" in result["msg"] and "step 1 of 4" in result["msg"]
    assert names_of(newest, "static") == ["shop"]
    newest.connect = connect
    assert migrate(newest)["migrated"] == ["shop"]
    everything_moved(newest)


def test_a_container_whose_start_failed_is_named_in_a_warning(newest, monkeypatch):
    """An engine that was killed leaves it stopped; a migration does not start what it moves."""
    newest.start_errors = {"stopped": "network abc not found", "static": "an older one: it runs"}
    for check in (True, False):
        # ansible-core hands the same warning out once in a process.
        said = []
        monkeypatch.setattr(compare, "warn", said.append)
        migrate(newest, check=check)
        (warning,) = [text for text in said if "last start failed" in text]
        assert (
            "Container stopped on 'shop' is not running, for its last start failed (network abc not found)" in warning
        )
        assert "docker start stopped" in warning


def test_an_attachment_that_holds_a_containers_next_network_is_named_with_its_remedy(newest):
    """The swarm cannot give the container's address twice: the engine says no more than that its time is over."""

    def refuse(word, body):
        task = json.loads(json.dumps(newest.attachments[0]))
        task["Spec"]["NetworkAttachmentSpec"]["ContainerID"] = whose or body["Container"]
        task["Spec"]["Networks"] = [{"Target": newest.named("shop-moving")["Id"]}]
        if state:
            task["Status"]["State"] = state
        newest.attachments.append(task)
        return 500, {"message": "attaching to network failed: context deadline exceeded"}

    connect, newest.connect = newest.connect, refuse
    before = list(newest.attachments)
    for state, whose, remedy in (("shutdown", None, False), (None, "f" * 64, False), (None, None, True)):
        newest.attachments = list(before)
        result = migrate(newest)
        assert "context deadline exceeded" in result["msg"] and "stands at step 1 of 4" in result["msg"]
        assert ("a restart of that node's engine ends it" in result["msg"]) is remedy
    newest.attachments, newest.connect = before, connect
    assert migrate(newest)["migrated"] == ["shop"]


def another_service(engine, name, networks, running=True):
    """A second service beside ``svc``, with one task on these networks."""
    service, task = json.loads(json.dumps([engine.services[0], engine.tasks[0]]))
    ends = [{"Target": engine.named(network)["Id"]} for network in networks]
    service.update(ID=f"{name}-id")
    service["Spec"].update(Name=name)
    service["Spec"].pop("Networks", None)
    service["Spec"]["TaskTemplate"]["Networks"] = ends
    task.update(ID=f"{name}-task", ServiceID=service["ID"])
    task["Status"]["State"] = "running" if running else "pending"
    task["Spec"]["Networks"] = ends
    task["NetworksAttachments"] = [{"Network": {"ID": end["Target"]}, "Addresses": ["10.95.0.5/24"]} for end in ends]
    engine.services.append(service)
    engine.tasks.append(task)
    return service


def updates(engine):
    """How often each service was updated, by its id."""
    paths = [path.split("/")[2] for method, path in engine.calls if method == "POST" and path.startswith("/services/")]
    return {service: paths.count(service) for service in paths}


@pytest.mark.parametrize("networks", [[], ["zoo"]], ids=["on no network", "on another network"])
@pytest.mark.parametrize("state", ["sick", "paused", "a job"])
def test_a_service_that_is_not_on_the_network_is_left_alone_whatever_its_state(newest, networks, state):
    run(swarm_network, newest.url, networks=[SHOP, {"name": "zoo", "subnet": "10.95.0.0/24", "attachable": True}])
    other = another_service(newest, "other", networks, running=state != "sick")
    if state == "paused":
        other["UpdateStatus"] = {"State": "paused", "Message": "update paused due to failure"}
    elif state == "a job":
        other["Spec"]["Mode"] = {"ReplicatedJob": {}}
    before = json.dumps(other)
    newest.calls.clear()
    foreseen = migrate(newest, WIDE, check=True)
    assert foreseen["migrations"][0]["services"] == ["svc"] and "other" not in foreseen["diff"]["after"]
    assert migrate(newest, WIDE)["migrated"] == ["shop"]
    assert json.dumps(other) == before and updates(newest) == {newest.services[0]["ID"]: 4}
    everything_moved(newest)


def test_a_service_on_both_networks_keeps_the_one_that_is_not_migrated(newest):
    run(swarm_network, newest.url, networks=[SHOP, {"name": "zoo", "subnet": "10.95.0.0/24", "attachable": True}])
    other = another_service(newest, "other", ["zoo", "shop"])
    zoo = newest.named("zoo")["Id"]
    seen = []
    newest.before_update = lambda name: seen.append(
        [end["Target"] for end in other["Spec"]["TaskTemplate"]["Networks"]]
    )
    assert migrate(newest)["migrated"] == ["shop"]
    assert seen and all(targets[0] == zoo for targets in seen)
    assert [end["Target"] for end in other["Spec"]["TaskTemplate"]["Networks"]] == [zoo, newest.named("shop")["Id"]]


def keep(engine, containers):
    """The tasks' containers, and so many of those that were attached by hand."""
    tasks = [item for item in engine.containers if item["Names"][0].startswith("/svc")]
    engine.containers = tasks + [item for item in engine.containers if item not in tasks][:containers]
    kept = {item["Id"] for item in engine.containers}
    engine.attachments = [
        item for item in engine.attachments if item["Spec"]["NetworkAttachmentSpec"]["ContainerID"] in kept
    ]


def ended_and_distant_tasks(engine):
    """Tasks that need no address of the temporary network."""
    run(swarm_network, engine.url, networks=[SHOP, {"name": "zoo", "subnet": "10.95.0.0/24", "attachable": True}])
    another_service(engine, "other", ["zoo"])
    for state in ("shutdown", "failed", "complete"):
        ended = json.loads(json.dumps(engine.tasks[0]))
        ended.update(ID=f"ended-{state}", DesiredState="shutdown")
        ended["Status"]["State"] = state
        engine.tasks.append(ended)


@pytest.mark.parametrize("given", [True, False], ids=["a given subnet", "the swarm's pool"])
@pytest.mark.parametrize(
    ("prefix", "containers", "needed", "remedy"),
    # A /29 has five addresses for others than its gateway, a /28 thirteen: two for the task, and one each for the service,
    # the node and every container.
    [(29, 1, 5, None), (29, 2, 6, 28), (29, 4, 8, 28), (28, 4, 8, None), (30, 0, 4, 29)],
)
def test_everything_has_room_in_the_temporary_network_or_nothing_is_touched(
    newest, given, prefix, containers, needed, remedy
):
    keep(newest, containers)
    ended_and_distant_tasks(newest)
    cluster = newest.info["Swarm"]["Cluster"]
    cluster["SubnetSize"], cluster["DefaultAddrPool"] = (24 if given else prefix), ["10.78.0.0/16"]
    newest.calls.clear()
    # With a check alone: the stand-in has one recorded subnet for whatever the swarm chooses.
    result = migrate(newest, check=True, **({"temporary_subnet": [f"10.99.0.0/{prefix}"]} if given else {}))
    assert result["failed"] is (remedy is not None)
    if remedy:
        room, whose = 2 ** (32 - prefix) - 3, "" if given else " (the swarm's own choice)"
        assert result["errors"] == [
            f"temporary_subnet: got room for {room} addresses{whose}; expected {needed}, for everything on 'shop' while it is "
            f"updated; give a CIDR with a prefix of at most {remedy}"
        ]
    assert newest.writes == []


def test_a_second_task_and_its_node_need_room_too(newest):
    keep(newest, 1)
    another_service(newest, "other", ["shop"])
    newest.tasks[1]["NodeID"] = "elsewhere"
    # Two tasks twice, two services, two nodes, one container.
    result = migrate(newest, check=True, temporary_subnet=["10.99.0.0/29"])
    assert "got room for 5 addresses; expected 9" in result["msg"]


@pytest.mark.parametrize("at", range(1, 5))
def test_an_update_that_was_paused_at_any_of_the_four_steps_is_written_once_more_and_no_other_one(newest, at):
    """The swarm goes on with a paused update when the same spec is written again. Nothing else resumes it."""
    other = another_service(newest, "other", ["shop"])
    count = [0]

    def pause(name):
        count[0] += name == "svc"
        newest.stuck = {"svc": "paused"} if count[0] == at else {}

    newest.before_update = pause
    failed = migrate(newest)
    assert "The update of service svc is paused" in failed["msg"]
    assert f"stands at step {at} of 4" in failed["msg"]
    newest.before_update, newest.stuck = (lambda name: None), {}
    spec = json.dumps(newest.services[0]["Spec"])
    newest.calls.clear()
    first = []
    newest.before_update = lambda name: first.append((name, json.dumps(newest.services[0]["Spec"])))
    assert migrate(newest)["migrated"] == ["shop"]
    assert ("svc", spec) in first
    # The paused one is written again, and then what was left of the four updates of each.
    done = 4 - at + 1
    assert updates(newest)[newest.services[0]["ID"]] == done
    assert updates(newest).get(other["ID"], 0) <= done
    everything_moved(newest)


def test_an_update_that_is_still_on_its_way_is_awaited_and_not_written_again(newest):
    """A run was killed; the swarm goes on by itself."""
    newest.stuck["svc"] = "updating"
    newest.services[0]["Spec"]["UpdateConfig"] = {"Monitor": 10**7}
    newest.services[0]["Spec"]["TaskTemplate"]["ContainerSpec"]["StopGracePeriod"] = 10**7
    assert "0 of 1 tasks running on its new networks" in migrate(newest, wait_timeout=0)["msg"]
    service, task = newest.services[0], newest.tasks[0]
    newest.stuck.clear()
    # Of a service that has no update of ours this would be refused.
    task["Status"]["State"] = "starting"
    polled = []
    answer = newest.answer

    def goes_on(method, path, body):
        """It ends after some polls."""
        if service["UpdateStatus"]["State"] == "updating" and path.startswith("/tasks?"):
            polled.append(path)
            if len(polled) == 4:
                ends = service["Spec"]["TaskTemplate"]["Networks"]
                service["UpdateStatus"]["State"] = "completed"
                task["Status"]["State"] = "running"
                task["Spec"]["Networks"] = ends
                task["NetworksAttachments"] = [
                    {"Network": {"ID": end["Target"]}, "Addresses": ["10.90.0.5/24"]} for end in ends
                ]
        return answer(method, path, body)

    newest.answer = goes_on
    newest.calls.clear()
    assert migrate(newest, wait_timeout=30)["migrated"] == ["shop"]
    assert updates(newest)[service["ID"]] == 3 and len(polled) == 4
    everything_moved(newest)


@pytest.mark.parametrize("state", ["rollback_started", "rollback_paused"])
def test_an_update_of_ours_that_the_swarm_is_rolling_back_is_not_resumed(newest, state):
    newest.stuck["svc"] = "paused"
    assert migrate(newest)["failed"]
    newest.stuck.clear()
    newest.services[0]["UpdateStatus"] = {"State": state, "Message": "rolled back"}
    newest.calls.clear()
    assert f"whose update is {state} (rolled back)" in migrate(newest)["msg"] and newest.writes == []


def test_an_update_of_ours_that_was_rolled_back_is_begun_again(newest):
    before = json.loads(json.dumps(newest.services[0]["Spec"]))
    newest.stuck["svc"] = "rollback_completed"
    assert "The update of service svc is rollback_completed" in migrate(newest)["msg"]
    newest.stuck.clear()
    newest.services[0]["Spec"] = before
    assert migrate(newest)["migrated"] == ["shop"]
    everything_moved(newest)


def test_a_paused_update_of_a_service_that_is_not_on_the_temporary_network_is_its_owners(newest):
    newest.stuck["svc"] = "paused"
    assert migrate(newest)["failed"]
    newest.stuck.clear()
    other = another_service(newest, "other", ["shop"])
    other["UpdateStatus"] = {"State": "paused", "Message": "update paused due to failure"}
    newest.calls.clear()
    result = migrate(newest)
    assert [error.split(",")[0] for error in result["errors"]] == ["networks[0].name: got service other on 'shop'"]
    assert newest.writes == []


@pytest.mark.parametrize("late", ["the state", "the tasks"])
def test_nothing_goes_on_before_the_swarm_and_every_task_are_done_with_an_update(newest, late):
    """A swarm may call an update completed whose tasks are still to come, and tasks may run before it says so."""
    service, task, answer = newest.services[0], newest.tasks[0], newest.answer
    left, early, waits = [0], [], []

    def slow(method, path, body):
        if method != "GET" and left[0]:
            early.append(path)
        old = json.loads(json.dumps(task["Spec"]["Networks"]))
        status = answer(method, path, body)
        if method == "POST" and path.startswith("/services/"):
            left[0], new = 3, json.loads(json.dumps(task["Spec"]["Networks"]))
            waits.append(path)
            if late == "the tasks":
                task["Spec"]["Networks"], newest.coming = old, new
            else:
                service["UpdateStatus"]["State"] = "updating"
        elif left[0] and path.startswith("/tasks?") and "service" in path:
            left[0] -= 1
            if not left[0] and late == "the tasks":
                task["Spec"]["Networks"] = newest.coming
            elif not left[0]:
                service["UpdateStatus"]["State"] = "completed"
        return status

    newest.answer = slow
    assert migrate(newest, wait_timeout=30)["migrated"] == ["shop"]
    assert (len(waits), early) == (4, [])
    everything_moved(newest)
