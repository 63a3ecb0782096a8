"""swarm_network from its arguments to its result, against stand-ins of both recorded engines."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import client, node, waiting
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import compare as converging
from ansible_collections.bulkhead.tiers.plugins.modules import swarm_network, swarm_network_plan
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.docker.running import run
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.docker.standin import VERSIONS, StandIn

PRIVATE = {
    "name": "private",
    "subnet": "172.30.1.0/24",
    "internal": True,
    "attachable": True,
    "labels": {"zone": "private"},
}
PUBLIC = {
    "name": "public",
    "subnet": ["172.30.2.0/24", "fd00:30:2::/64"],
    "gateway": "172.30.2.254",
    "encrypted": True,
    "mtu": 1400,
}
BRIDGE = {
    "name": "local",
    "driver": "bridge",
    "subnet": "192.168.90.0/24",
    "ip_range": "192.168.90.128/25",
    "options": {"com.docker.network.bridge.name": "br-local"},
}
ALL = [PRIVATE, PUBLIC, BRIDGE]


@pytest.fixture(name="engine", params=VERSIONS)
def fixture_engine(tmp_path, request):
    with StandIn(tmp_path, request.param) as engine:
        yield engine


@pytest.fixture(name="newest")
def fixture_newest(tmp_path):
    with StandIn(tmp_path, VERSIONS[-1]) as engine:
        yield engine


@pytest.fixture(name="hurry", autouse=True)
def fixture_hurry(monkeypatch):
    monkeypatch.setattr(waiting, "ALLOCATION_SECONDS", 0.3)
    monkeypatch.setattr(waiting, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(node, "STARTING_SECONDS", 0.3)
    monkeypatch.setattr(node, "POLL_SECONDS", 0.01)


def converge(engine, networks, **arguments):
    return run(swarm_network, engine.url, networks=networks, **arguments)


def changed(item, **changes):
    return {**item, **changes}


def test_an_engine_that_has_just_started_is_waited_for(engine):
    converge(engine, ALL)
    engine.starting = 3
    assert converge(engine, ALL)["changed"] is False
    assert engine.starting == 0


def test_an_engine_that_does_not_find_its_swarm_is_an_error_that_says_so(engine):
    engine.starting = 1000
    said = converge(engine, ALL)
    assert said["failed"] and "has not found its swarm ('pending')" in said["msg"]
    assert not [call for call in engine.calls if call[0] == "POST"]


def test_networks_are_created_as_declared(engine):
    result = converge(engine, ALL)
    assert (result["changed"], result["created"]) == (True, ["local", "private", "public"])
    private, public, local = (engine.named(name) for name in ("private", "public", "local"))
    assert (private["Scope"], private["Internal"], private["Attachable"]) == ("swarm", True, True)
    assert private["Labels"] == {"zone": "private", "bulkhead.tiers.managed": "true"}
    assert public["EnableIPv6"] is True
    assert public["IPAM"]["Config"][0] == {"Subnet": "172.30.2.0/24", "Gateway": "172.30.2.254"}
    assert public["Options"]["com.docker.network.driver.mtu"] == "1400"
    assert "encrypted" in public["Options"]
    assert (local["Scope"], local["IPAM"]["Config"]) == (
        "local",
        [{"Subnet": "192.168.90.0/24", "IPRange": "192.168.90.128/25"}],
    )
    assert local["Options"] == {"com.docker.network.bridge.name": "br-local"}


def test_the_result_describes_the_networks_in_the_order_of_the_request(engine):
    result = converge(engine, ALL)
    assert [network["name"] for network in result["networks"]] == ["private", "public", "local"]
    public = result["networks"][1]
    assert public["id"] == engine.named("public")["Id"]
    assert public["subnets"] == ["172.30.2.0/24", "fd00:30:2::/64"]
    assert public["gateways"] == ["172.30.2.254", "fd00:30:2::1"]
    assert (public["encrypted"], public["mtu"], public["options"], public["managed"]) == (True, 1400, {}, True)


def test_the_same_again_changes_nothing_and_costs_one_list(engine):
    converge(engine, ALL)
    engine.calls.clear()
    result = converge(engine, ALL)
    assert (result["changed"], result["diff"]) == (False, {"before": "", "after": ""})
    assert [path.split("?")[0] for method, path in engine.calls] == ["/version", "/networks", "/info"]


def test_a_network_that_only_says_its_name_is_left_as_it_is(engine):
    converge(engine, ALL)
    names = [{"name": "private"}, {"name": "public"}, {"name": "local", "driver": "bridge"}]
    assert converge(engine, names)["changed"] is False


@pytest.mark.parametrize(
    ("change", "field", "live", "wanted"),
    [
        ({"subnet": "172.30.9.0/24"}, "subnet", "172.30.1.0/24", "172.30.9.0/24"),
        ({"gateway": "172.30.1.9"}, "gateway", "172.30.1.1", "172.30.1.9"),
        ({"ip_range": "172.30.1.128/25"}, "ip_range", "of the engine's choice", "172.30.1.128/25"),
        ({"internal": False}, "internal", "true", "false"),
        ({"attachable": False}, "attachable", "true", "false"),
        ({"encrypted": True}, "encrypted", "false", "true"),
        ({"mtu": 1400}, "mtu", "the engine's default", "1400"),
        ({"labels": {}}, "labels", "zone=private", "empty"),
        ({"options": {"a": "b"}}, "options", "empty", "a=b"),
        ({"driver": "bridge", "attachable": None}, "driver", "overlay", "bridge"),
    ],
)
def test_a_difference_is_refused_and_named_unless_recreation_is_asked_for(newest, change, field, live, wanted):
    converge(newest, [PRIVATE])
    before = newest.named("private")
    result = converge(newest, [changed(PRIVATE, **change)])
    assert result["failed"] and newest.named("private") is before
    assert f"networks[0].{field}: got {live} on the live network 'private'; expected {wanted}; " in result["msg"]
    assert "recreate: if_unused" in result["msg"]
    result = converge(newest, [changed(PRIVATE, **change)], recreate="if_unused")
    assert (result["recreated"], result["created"], result["removed"]) == (["private"], [], [])
    assert converge(newest, [changed(PRIVATE, **change)])["changed"] is False


def test_a_recreation_takes_over_what_is_not_said(engine):
    converge(engine, [changed(PUBLIC, labels={"a": "b"}, options={"x": "y"}, attachable=True, internal=True)])
    result = converge(engine, [{"name": "public", "mtu": 1300}], recreate="if_unused")
    assert result["recreated"] == ["public"]
    network = result["networks"][0]
    assert (network["mtu"], network["encrypted"], network["attachable"], network["internal"]) == (
        1300,
        True,
        True,
        True,
    )
    assert (network["labels"], network["options"]) == ({"a": "b"}, {"x": "y"})
    assert (network["subnets"], network["gateways"][0]) == (["172.30.2.0/24", "fd00:30:2::/64"], "172.30.2.254")


def test_a_recreation_keeps_the_mtu_that_nobody_spoke_of(engine):
    converge(engine, [PUBLIC])
    result = converge(engine, [{"name": "public", "internal": True}], recreate="if_unused")
    assert (result["recreated"], result["networks"][0]["mtu"]) == (["public"], 1400)


def test_the_engine_is_asked_to_refuse_a_second_network_of_the_same_name(engine):
    """An engine takes two bridges of one name unless it is told not to."""
    converge(engine, ALL)
    assert [body["CheckDuplicate"] for body in engine.bodies] == [True, True, True]


def test_a_network_that_somebody_else_removes_meanwhile_counts_as_removed(engine):
    converge(engine, [PRIVATE])
    engine.before_remove = engine.remove
    assert converge(engine, [{"name": "private", "state": "absent"}])["removed"] == ["private"]


def test_an_overlay_that_another_run_is_just_making_is_waited_for(engine):
    engine.allocation_lag = 3
    body = {"Name": "private", "Driver": "overlay", "Options": {}, "Labels": {"bulkhead.tiers.managed": "true"}}
    engine.create({**body, "IPAM": {"Config": [{"Subnet": "172.30.1.0/24"}]}})
    assert converge(engine, [{"name": "private", "subnet": "172.30.1.0/24"}])["changed"] is False


def test_two_networks_can_swap_their_subnets(engine):
    one, two = {"name": "one", "subnet": "10.1.0.0/24"}, {"name": "two", "subnet": "10.2.0.0/24"}
    converge(engine, [one, two])
    swapped = [changed(one, subnet="10.2.0.0/24"), changed(two, subnet="10.1.0.0/24")]
    assert converge(engine, swapped, recreate="if_unused")["recreated"] == ["one", "two"]
    assert engine.named("one")["IPAM"]["Config"][0]["Subnet"] == "10.2.0.0/24"


def test_an_empty_options_mapping_clears_the_mtu_too(engine):
    converge(engine, [changed(PRIVATE, mtu=1400)])
    assert "networks[0].mtu" in converge(engine, [changed(PRIVATE, options={})])["msg"]


def test_the_mtu_may_be_spelled_as_a_driver_option(engine):
    converge(engine, [changed(PRIVATE, mtu=1400)])
    spelled = changed(PRIVATE, options={"com.docker.network.driver.mtu": 1400})
    assert converge(engine, [spelled])["changed"] is False


def test_check_mode_says_what_a_run_does_and_touches_nothing(engine):
    converge(engine, ALL)
    wanted = [changed(PRIVATE, subnet="172.30.7.0/24"), {"name": "public", "state": "absent"}, {"name": "new"}]
    engine.calls.clear()
    foreseen = converge(engine, wanted, check=True, recreate="if_unused", purge=True)
    assert engine.writes == []
    done = converge(engine, wanted, recreate="if_unused", purge=True)
    for key in ("changed", "created", "removed", "recreated", "diff"):
        assert foreseen[key] == done[key], key
    assert (done["created"], done["removed"], done["recreated"]) == (["new"], ["local", "public"], ["private"])
    assert foreseen.keys() == done.keys()
    assert [network["id"] for network in foreseen["networks"]] == [None, None]


@pytest.mark.parametrize("check", [False, True])
def test_a_comparison_answers_what_the_whole_module_answers_and_touches_nothing(engine, check):
    def compared(networks, **arguments):
        engine.calls.clear()
        answer = run(swarm_network_plan, engine.url, networks=networks, check=check, **arguments)
        assert engine.writes == []
        return answer

    foreseen = converge(engine, ALL, check=True)
    assert compared(ALL) == {**foreseen, "same": False, "changed": check}
    converge(engine, ALL)
    same = compared(ALL)
    assert same == {**converge(engine, ALL, check=check), "same": True}
    other = [changed(PRIVATE, subnet="172.30.7.0/24"), PUBLIC]
    assert compared(other)["msg"] == converge(engine, other, check=check)["msg"] != ""
    assert compared(other, recreate="if_unused", purge=True)["same"] is False


def test_the_diff_is_text_that_a_person_reads(engine):
    converge(engine, [PRIVATE, BRIDGE])
    diff = converge(
        engine, [changed(PRIVATE, subnet="172.30.7.0/24"), PUBLIC], check=True, recreate="if_unused", purge=True
    )["diff"]
    assert diff["before"] == (
        "local:\n  driver: bridge\n  subnet: 192.168.90.0/24 (range 192.168.90.128/25)\n"
        "  option com.docker.network.bridge.name: br-local\n  managed: true\n"
        "private:\n  driver: overlay\n  subnet: 172.30.1.0/24\n  internal: true\n  attachable: true\n"
        "  label zone: private\n  managed: true\n"
        "public: absent\n"
    )
    assert diff["after"] == (
        "local: absent\n"
        "private:\n  driver: overlay\n  subnet: 172.30.7.0/24\n  internal: true\n  attachable: true\n"
        "  label zone: private\n  managed: true\n"
        "public:\n  driver: overlay\n  subnet: 172.30.2.0/24 (gateway 172.30.2.254)\n  subnet: fd00:30:2::/64\n"
        "  encrypted: true\n  mtu: 1400\n  managed: true\n"
    )


def test_absent_removes_a_network_by_its_id_and_is_content_when_there_is_none(engine):
    converge(engine, [PRIVATE])
    network_id = engine.named("private")["Id"]
    engine.calls.clear()
    assert converge(engine, [{"name": "private", "state": "absent"}])["removed"] == ["private"]
    assert engine.writes == [("DELETE", f"/networks/{network_id}")]
    assert converge(engine, [{"name": "private", "state": "absent"}])["changed"] is False


def test_absent_with_another_driver_is_refused(engine):
    converge(engine, [PRIVATE])
    result = converge(engine, [{"name": "private", "state": "absent", "driver": "bridge"}])
    assert "networks[0].driver: got overlay on the live network 'private'; expected bridge" in result["msg"]


def test_purge_removes_what_carries_our_label_and_nothing_else(engine):
    converge(engine, ALL)
    for name, driver, labels in (("theirs", "bridge", {}), ("almost", "overlay", {"bulkhead.tiers.managed": "false"})):
        engine.create({"Name": name, "Driver": driver, "Options": {}, "Labels": labels})
    others = [name for name in engine.names if name not in ("private", "local")]
    result = converge(engine, [PUBLIC], purge=True)
    assert result["removed"] == ["local", "private"]
    assert engine.names == others


def test_without_purge_nothing_is_removed(engine):
    converge(engine, ALL)
    assert converge(engine, [PUBLIC])["changed"] is False


def test_a_network_without_our_label_can_be_managed(engine):
    engine.create(
        {
            "Name": "theirs",
            "Driver": "overlay",
            "Options": {},
            "Labels": {},
            "IPAM": {"Config": [{"Subnet": "10.7.0.0/24"}]},
        }
    )
    result = converge(engine, [{"name": "theirs", "subnet": "10.7.0.0/24"}], purge=True)
    assert (result["changed"], result["networks"][0]["managed"]) == (False, False)
    result = converge(engine, [{"name": "theirs", "subnet": "10.7.1.0/24"}], recreate="if_unused")
    assert result["networks"][0]["managed"] is True


def test_networks_in_use_are_neither_removed_nor_recreated_and_all_users_are_named(engine):
    converge(engine, [PRIVATE, BRIDGE])
    engine.in_use(overlay=engine.named("private")["Id"], bridge=engine.named("local")["Id"])
    engine.calls.clear()
    for arguments in (
        {"networks": [], "purge": True},
        {"networks": [{"name": "private", "state": "absent"}, {"name": "local", "state": "absent"}]},
        {"networks": [changed(PRIVATE, subnet="10.1.0.0/24"), changed(BRIDGE, ip_range=[])], "recreate": "if_unused"},
    ):
        for check in (True, False):
            result = run(swarm_network, engine.url, check=check, **arguments)
            assert (
                "network 'private' in use by container new-ov, container running-ov, container stopped-ov, "
                "service new_svc, service old_svc;"
            ) in result["msg"]
            assert (
                "network 'local' in use by container new-br, container running-br, container stopped-br;"
                in result["msg"]
            )
            assert len(result["errors"]) == 2
    assert engine.writes == []


def test_a_removal_waits_until_the_tasks_of_a_removed_service_have_ended(newest):
    converge(newest, [PRIVATE])
    newest.in_use(overlay=newest.named("private")["Id"])
    newest.containers = [one for one in newest.containers if one["Labels"]]
    newest.services = []
    result = converge(newest, [{"name": "private", "state": "absent"}], wait_timeout=0)
    assert "Tasks of removed services still hold addresses" in result["msg"]
    assert (result["changed"], "private" in newest.names) == (False, True)
    for task in newest.tasks:
        task["Status"]["State"] = "shutdown"
    assert converge(newest, [{"name": "private", "state": "absent"}], wait_timeout=0)["removed"] == ["private"]


def test_a_refusal_because_of_another_nodes_container_is_tried_again_within_the_bound(engine):
    converge(engine, [PRIVATE])
    engine.held["private"] = 3
    assert converge(engine, [{"name": "private", "state": "absent"}])["removed"] == ["private"]
    converge(engine, [PRIVATE])
    engine.held["private"] = 1000
    result = converge(engine, [{"name": "private", "state": "absent"}], wait_timeout=0)
    assert "is in use by task" in result["msg"] and "A service may have been made just now" in result["msg"]


def test_a_removal_waits_until_the_engine_no_longer_lists_the_network(engine):
    converge(engine, [PRIVATE])
    engine.lag = 3
    assert converge(engine, [changed(PRIVATE, mtu=1300)], recreate="if_unused")["recreated"] == ["private"]
    engine.lag = 1000
    result = converge(engine, [{"name": "private", "state": "absent"}], wait_timeout=0)
    assert "still lists the removed networks private" in result["msg"] and result["removed"] == ["private"]


BAD = [
    (
        {"name": "x", "subnet": "10.0.0.5/24"},
        "subnet: got 10.0.0.5/24 with host bits; expected a network address; write 10.0.0.0/24",
    ),
    ({"name": "x", "subnet": "10.0.0.0"}, "subnet: got '10.0.0.0'; expected a CIDR with its prefix length"),
    ({"name": "x", "subnet": "10.0.0.256/24"}, "subnet: got '10.0.0.256/24'; expected an IPv4 or IPv6 CIDR"),
    ({"name": "x", "subnet": "10.0.0.0/31"}, "subnet: got 10.0.0.0/31; expected /30 or larger"),
    (
        {"name": "x", "subnet": "127.0.0.0/24"},
        "subnet: got 127.0.0.0/24; expected addresses that a container can have: 127.0.0.0/8 is loopback",
    ),
    (
        {"name": "x", "subnet": "0.0.0.0/0"},
        "subnet: got 0.0.0.0/0; expected addresses that a container can have: 0.0.0.0/8 is this network",
    ),
    ({"name": "x", "subnet": "fd00::/64"}, "subnet: got fd00::/64 alone; expected an IPv4 subnet beside it"),
    ({"name": "x", "subnet": []}, "subnet: got an empty list; expected at least one CIDR"),
    (
        {"name": "x", "subnet": ["10.0.0.0/24", "10.0.0.0/25"]},
        "subnet: got 10.0.0.0/25 and 10.0.0.0/24; expected subnets that are apart",
    ),
    (
        {"name": "x", "driver": "bridge", "subnet": ["10.0.0.0/24", "10.0.1.0/24"]},
        "subnet: got 10.0.0.0/24, 10.0.1.0/24; expected one IPv4 subnet",
    ),
    (
        {"name": "x", "subnet": "10.0.0.0/24", "gateway": "10.0.1.1"},
        "gateway: got 10.0.1.1; expected inside 10.0.0.0/24",
    ),
    (
        {"name": "x", "subnet": "10.0.0.0/24", "gateway": "10.0.0.255"},
        "gateway: got 10.0.0.255; expected an address that a host of 10.0.0.0/24 can have",
    ),
    (
        {"name": "x", "subnet": "10.0.0.0/24", "gateway": ["10.0.0.1", "10.0.0.2"]},
        "gateway: got 10.0.0.1 and 10.0.0.2; expected one in 10.0.0.0/24",
    ),
    ({"name": "x", "subnet": "10.0.0.0/24", "gateway": "gw"}, "gateway: got 'gw'; expected an IPv4 or IPv6 address"),
    ({"name": "x", "gateway": "10.0.0.1"}, "gateway: got 10.0.0.1; expected a subnet that it lies in"),
    (
        {"name": "x", "subnet": "10.0.0.0/24", "ip_range": "10.0.0.0/23"},
        "ip_range: got 10.0.0.0/23; expected inside 10.0.0.0/24",
    ),
    ({"name": "x", "subnet": "10.0.0.0/24", "ip_range": "10.0.0.3/25"}, "ip_range: got 10.0.0.3/25 with host bits"),
    ({"name": "x", "driver": "macvlan"}, "driver: got 'macvlan'; expected overlay or bridge"),
    ({"name": "x", "driver": "bridge", "encrypted": True}, "encrypted: got true on a bridge; expected an overlay"),
    ({"name": "x", "driver": "bridge", "attachable": True}, "attachable: got true on a bridge; expected an overlay"),
    ({"name": "bad name"}, "name: got 'bad name'; expected 1 to 63 letters"),
    ({"name": "a.b"}, "name: got 'a.b'; expected 1 to 63 letters"),
    ({"name": "x" * 64}, "expected 1 to 63 letters"),
    ({"name": "-x", "driver": "bridge"}, "name: got '-x'; expected letters, digits"),
    ({"name": "ingress"}, "name: got 'ingress'; expected a name that is not Docker's own"),
    (
        {"name": "docker_gwbridge", "state": "absent"},
        "name: got 'docker_gwbridge'; expected a name that is not Docker's own",
    ),
    ({"name": "x", "mtu": 67}, "mtu: got 67; expected 68 to 65535 bytes"),
    ({"name": "x", "mtu": 65536}, "mtu: got 65536; expected 68 to 65535 bytes"),
    ({"name": "x", "mtu": 1279, "subnet": ["10.0.0.0/24", "fd00::/64"]}, "mtu: got 1279; expected 1280 to 65535 bytes"),
    (
        {"name": "x", "options": {"com.docker.network.driver.mtu": "big"}},
        "options.com.docker.network.driver.mtu: got 'big'; expected 68 to 65535",
    ),
    (
        {"name": "x", "mtu": 1400, "options": {"com.docker.network.driver.mtu": 1500}},
        "mtu: got 1400, and '1500' as options.",
    ),
    ({"name": "x", "options": {"encrypted": ""}}, "options.encrypted: got ''; expected the key `encrypted`"),
    ({"name": "x", "options": {"a": ["b"]}}, "options.a: got ['b']; expected a string"),
    (
        {"name": "x", "options": {"com.docker.network.driver.overlay.vxlanid_list": "1"}},
        "expected nothing: the engine sets it by itself",
    ),
    (
        {"name": "x", "labels": {"bulkhead.tiers.managed": "true"}},
        "labels.bulkhead.tiers.managed: got 'true'; expected nothing",
    ),
]


@pytest.mark.parametrize(("item", "message"), BAD, ids=[message[:40] for item, message in BAD])
def test_bad_input_is_refused_with_its_key_path_and_nothing_is_touched(newest, item, message):
    result = converge(newest, [{"name": "first"}, item])
    assert result["failed"] and len(result["errors"]) == 1
    assert result["errors"][0].startswith("networks[1].") and message in result["errors"][0]
    assert newest.writes == []


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_networks(newest):
    items = [
        changed(item, name=item["name"] if item["name"] != "x" else f"x{index}")
        for index, (item, unused) in enumerate(BAD)
    ]
    errors = converge(newest, items)["errors"]
    indexes = [int(error.split("[")[1].split("]")[0]) for error in errors]
    assert set(indexes) == set(range(len(BAD))) and indexes == sorted(indexes)


def test_a_mistake_in_one_network_does_not_hide_the_live_conflict_of_another(newest):
    converge(newest, [PRIVATE])
    errors = converge(
        newest,
        [{"name": "a", "mtu": 1}, {"name": "b", "subnet": "172.30.1.128/25"}, {"name": "private", "internal": False}],
    )["errors"]
    assert [error.split(":")[0] for error in errors] == [
        "networks[0].mtu",
        "networks[1].subnet",
        "networks[2].internal",
    ]


def test_duplicate_names_and_overlapping_requests_are_refused(newest):
    errors = converge(newest, [PRIVATE, {"name": "b", "subnet": "172.30.0.0/16"}, {"name": "private"}])["errors"]
    assert errors == [
        "networks[1].subnet: got 172.30.0.0/16; expected a subnet apart from networks[0] 'private' with 172.30.1.0/24; "
        "give one of the two another subnet",
        "networks[2].name: got 'private'; expected a name that networks[0] does not have; name each network once",
    ]


@pytest.mark.parametrize(
    ("subnet", "name"), [("172.17.9.0/24", "bridge"), ("10.78.0.0/25", "ingress"), ("172.30.0.0/16", "private")]
)
def test_an_overlap_with_any_live_network_is_refused_and_named(engine, subnet, name):
    converge(engine, [PRIVATE])
    engine.calls.clear()
    result = converge(engine, [{"name": "mine", "subnet": subnet}])
    assert f"networks[0].subnet: got {subnet}; expected a subnet apart from the live" in result["msg"]
    assert f"network '{name}' with" in result["msg"] and engine.writes == []


def test_the_subnet_of_a_network_that_goes_away_is_free(engine):
    converge(engine, [PRIVATE])
    heir = {"name": "heir", "subnet": PRIVATE["subnet"]}
    assert converge(engine, [heir], purge=True)["created"] == ["heir"]
    assert converge(engine, [{"name": "heir", "state": "absent"}, PRIVATE])["created"] == ["private"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("role", "text"),
    [
        ("worker", "is a swarm worker (managers: 10.77.0.1"),
        ("outside", "is a node outside any swarm"),
        ("leaderless", "is a swarm manager whose swarm has no leader (rpc error: "),
    ],
)
def test_overlays_elsewhere_than_on_a_manager_are_one_clear_error(tmp_path, version, role, text):
    with StandIn(tmp_path, version, role) as engine:
        for networks in ([PRIVATE, PUBLIC, BRIDGE], [{"name": "private", "state": "absent", "driver": "overlay"}]):
            result = converge(engine, networks)
            assert len(result["errors"]) == 1 and text in result["errors"][0]
            assert "private" in result["errors"][0] and "local" not in result["errors"][0]
            assert "manager" in result["errors"][0].rsplit("; ", 1)[1]
        assert engine.writes == []


@pytest.mark.parametrize("role", ["worker", "outside"])
def test_bridges_are_managed_on_any_node(tmp_path, role):
    with StandIn(tmp_path, "20_10", role) as engine:
        assert converge(engine, [BRIDGE])["created"] == ["local"]
        assert converge(engine, [BRIDGE])["changed"] is False
        assert converge(engine, [], purge=True)["removed"] == ["local"]


def test_a_purge_without_a_quorum_is_refused_because_it_would_see_half(tmp_path):
    with StandIn(tmp_path, "26_1", "leaderless") as engine:
        assert (
            "purge: got true on swdev-13 is a swarm manager whose swarm has no leader"
            in converge(engine, [], purge=True)["msg"]
        )


def test_a_purge_on_a_worker_leaves_the_swarms_networks_alone(tmp_path):
    with StandIn(tmp_path, "26_1", "worker") as engine:
        converge(engine, [BRIDGE])
        engine.named("ingress")["Labels"] = {"bulkhead.tiers.managed": "true"}
        engine.networks.append({**engine.named("ingress"), "Name": "seen-here", "Id": "1" * 25, "Ingress": False})
        assert converge(engine, [], purge=True)["removed"] == ["local"]


def test_absence_of_an_open_driver_is_not_claimed_where_overlays_are_out_of_sight(tmp_path):
    gone = [{"name": "gone", "state": "absent"}]
    with StandIn(tmp_path, "26_1", "worker") as engine:
        assert "gone on swdev-13 is a swarm worker" in converge(engine, gone)["msg"]
    (tmp_path / "engine.sock").unlink()
    with StandIn(tmp_path, "26_1", "outside") as engine:
        assert converge(engine, gone)["changed"] is False


def test_a_slow_allocation_is_waited_for(engine):
    engine.allocation_lag = 3
    assert converge(engine, [PRIVATE])["networks"][0]["subnets"] == ["172.30.1.0/24"]


def test_an_overlay_that_the_swarm_does_not_allocate_is_taken_back_and_the_conflict_named(engine):
    def somebody_else(name):
        engine.before_create = lambda name: None
        engine.create(
            {
                "Name": "theirs",
                "Driver": "overlay",
                "Options": {},
                "Labels": {},
                "IPAM": {"Config": [{"Subnet": "172.30.0.0/20"}]},
            }
        )

    engine.before_create = somebody_else
    result = converge(engine, [PRIVATE, changed(PUBLIC, subnet=["10.5.0.0/24"], gateway=None), BRIDGE])
    assert (
        "The swarm did not allocate network 'private' (172.30.1.0/24), which was removed again: it overlaps 'theirs' "
        "with 172.30.0.0/20."
    ) in result["msg"]
    assert (result["failed"], result["changed"], result["created"]) == (True, True, ["public", "local"])
    assert "private" not in engine.names and {"public", "local", "theirs"} < set(engine.names)


def test_a_network_that_somebody_else_makes_meanwhile_is_taken_if_it_is_right(engine):
    def somebody_else(name):
        engine.before_create = lambda name: None
        engine.create(
            {
                "Name": name,
                "Driver": "overlay",
                "Options": {},
                "Labels": {},
                "IPAM": {"Config": [{"Subnet": "172.30.1.0/24"}]},
            }
        )

    engine.before_create = somebody_else
    assert converge(engine, [{"name": "private", "subnet": "172.30.1.0/24"}])["failed"] is False
    engine.remove(engine.named("private")["Id"])
    engine.before_create = somebody_else
    result = converge(engine, [PRIVATE])
    assert "is not what networks[0] asks for after its creation: internal is false, not true" in result["msg"]
    assert "private" in engine.names


def test_a_network_that_an_interrupted_run_left_unallocated_is_made_again(engine):
    engine.allocation_lag = 10**6
    assert "did not allocate network 'private'" in converge(engine, [PRIVATE])["msg"]
    engine.allocation_lag = 0
    engine.networks.append({**engine._template("ov-overlap"), "Name": "private"})
    engine.networks[-1]["Labels"] = {"bulkhead.tiers.managed": "true"}
    result = converge(engine, [PRIVATE])
    assert (result["recreated"], result["networks"][0]["subnets"]) == (["private"], ["172.30.1.0/24"])
    assert "(never allocated by the swarm)" in result["diff"]["before"]


def test_an_unallocated_network_of_somebody_else_needs_leave_to_be_made_again(engine):
    engine.networks.append({**engine._template("ov-overlap"), "Name": "private", "Labels": None})
    assert (
        "networks[0].subnet: got not allocated by the swarm on the live network" in converge(engine, [PRIVATE])["msg"]
    )
    assert converge(engine, [PRIVATE], recreate="if_unused")["recreated"] == ["private"]


@pytest.mark.parametrize("broken", [(500, "context canceled"), None])
def test_an_engine_that_fails_on_the_way_gives_a_clear_error_and_the_next_run_finishes(engine, broken):
    engine.broken[("POST", 2)] = broken
    result = converge(engine, ALL)
    assert result["failed"] and (result["changed"], result["created"]) == (True, ["private"])
    assert "create network public" in result["msg"] and "Created so far: private." in result["msg"]
    assert "run again for the rest" in result["msg"]
    assert ("context canceled (HTTP 500)" if broken else "did not answer") in result["msg"]
    engine.broken.clear()
    assert converge(engine, ALL)["created"] == ["local", "public"]
    assert converge(engine, ALL)["changed"] is False


@pytest.mark.parametrize("broken", [(503, "shutting down"), None])
def test_an_engine_that_fails_in_a_removal_gives_a_clear_error_and_the_next_run_finishes(engine, broken):
    converge(engine, ALL)
    engine.broken[("DELETE", 2)] = broken
    result = converge(engine, [], purge=True)
    assert result["failed"] and result["removed"] == ["local"] and "Removed so far: local." in result["msg"]
    engine.broken.clear()
    assert converge(engine, [], purge=True)["removed"] == ["private", "public"]


def test_an_engine_that_does_not_run_is_a_clear_error(tmp_path):
    result = run(swarm_network, f"unix://{tmp_path}/none.sock", networks=[PRIVATE])
    assert "did not answer (connect)" in result["msg"] and "systemctl status docker" in result["msg"]


def test_mistakes_are_reported_even_where_no_engine_runs(tmp_path):
    result = run(swarm_network, f"unix://{tmp_path}/none.sock", networks=[{"name": "x", "mtu": 1}])
    assert len(result["errors"]) == 1 and "networks[0].mtu" in result["msg"]


def test_a_host_without_the_sdk_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(client, "SDK_TRACEBACK", "ImportError")
    result = run(swarm_network, f"unix://{tmp_path}/none.sock", networks=[PRIVATE])
    assert "python3-docker" in result["msg"] and result["failed"]


def test_two_live_networks_of_one_name_are_refused(engine):
    converge(engine, [PRIVATE])
    engine.networks.append({**engine.named("private"), "Id": "2" * 25})
    result = converge(engine, [{"name": "private", "state": "absent"}])
    assert "networks[0].name: got 2 live networks called 'private'" in result["msg"]
    assert "docker network rm ID" in result["msg"]


def test_an_option_that_the_daemon_adds_by_itself_is_named(engine):
    made = engine._made
    engine._made = lambda body, template: made({**body, "Options": {**body["Options"], "added": "1"}}, template)
    result = converge(engine, [changed(PRIVATE, options={})])
    assert "options is added=1, not empty" in result["msg"] and result["created"] == ["private"]


def test_a_hundred_networks_take_one_list_before_and_one_after(newest):
    hundred = [{"name": f"n{number}", "subnet": f"10.100.{number}.0/24"} for number in range(100)]
    assert len(converge(newest, hundred)["created"]) == 100
    assert [path.split("?")[0] for method, path in newest.calls if method == "GET"] == [
        "/version",
        "/networks",
        "/info",
        "/networks",
    ]


@pytest.mark.parametrize("sdk", [True, False])
def test_check_mode_takes_a_host_without_an_engine_for_one_without_networks(tmp_path, monkeypatch, sdk):
    if not sdk:
        monkeypatch.setattr(client, "SDK_TRACEBACK", "no module named docker")
    said: list[str] = []
    # ansible-core hands the same warning out once in a process.
    monkeypatch.setattr(converging, "warn", said.append)
    url, networks = f"unix://{tmp_path}/none.sock", [{"name": "shop", "subnet": "10.60.1.0/24"}]
    foreseen = run(swarm_network, url, check=True, networks=networks, purge=True)
    assert foreseen["changed"] and foreseen["created"] == ["shop"] and foreseen["removed"] == []
    (warning,) = said
    assert "takes it for an engine without networks" in warning
    assert "shop:" in foreseen["diff"]["after"] and foreseen["networks"][0]["id"] is None
    assert run(swarm_network, url, networks=networks)["failed"]


def test_an_engine_that_is_there_and_does_not_answer_is_an_error_in_check_mode_too(tmp_path):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/dead.sock")
    said = run(swarm_network, f"unix://{tmp_path}/dead.sock", check=True, networks=[{"name": "shop"}])
    assert said["failed"] and "did not answer" in said["msg"]


def test_what_an_engine_says_cannot_write_lines_or_colours_of_its_own(newest):
    """A name or a label that another client gave to a network, and the engine's own words."""
    converge(newest, [PRIVATE])
    newest.named("private")["Labels"]["evil"] = "x\nlocal: absent\x1b[31m"
    foreseen = converge(newest, [{"name": "private", "state": "absent"}], check=True)["diff"]["before"]
    assert "  label evil: x\\nlocal: absent\\x1b[31m" in foreseen.split("\n")
    newest.named("private")["Name"] = "x\nfake: error\x1b[31m"
    errors = converge(newest, [{"name": "b", "subnet": "172.30.1.0/25"}])["errors"]
    assert len(errors) == 1 and "'x\\nfake: error\\x1b[31m' with 172.30.1.0/24" in errors[0]
    newest.broken = {
        ("POST", sum(method == "POST" for method, _path in newest.calls) + 1): (500, "no\x1b[2J\nok: done")
    }
    failed = converge(newest, [BRIDGE])
    assert "no\\x1b[2J\\nok: done (HTTP 500)" in failed["msg"] and "\n" not in failed["msg"]


def test_a_network_that_compose_could_not_mean_is_not_made_but_may_be_removed(engine):
    assert (
        "networks[0].name: got 'default'; expected a name that is not Docker's own"
        in converge(engine, [{"name": "default"}])["msg"]
    )
    engine.create(
        {
            "Name": "default",
            "Driver": "bridge",
            "Options": {},
            "Labels": {},
            "IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]},
        }
    )
    assert converge(engine, [{"name": "default", "state": "absent", "driver": "bridge"}])["removed"] == ["default"]


SIX = {"name": "six", "driver": "bridge", "subnet": "fd00:9::/64", "enable_ipv4": False}


def versions(network):
    """(IPv4 subnets, IPv6 subnets) of an answer."""
    subnets = [pool["Subnet"] for pool in network["IPAM"]["Config"]]
    return [subnet for subnet in subnets if ":" not in subnet], [subnet for subnet in subnets if ":" in subnet]


def test_a_network_with_ipv6_alone_stays_one_when_it_is_made_again(newest):
    newest.newer = True
    assert converge(newest, [SIX])["created"] == ["six"] and versions(newest.named("six")) == ([], ["fd00:9::/64"])
    assert not converge(newest, [SIX])["changed"]
    assert converge(newest, [{**SIX, "mtu": 1400}], recreate="if_unused")["recreated"] == ["six"]
    # What is not said is taken over.
    assert converge(newest, [{"name": "six", "driver": "bridge", "mtu": 1380}], recreate="if_unused")["recreated"] == [
        "six"
    ]
    assert versions(newest.named("six")) == ([], ["fd00:9::/64"]) and newest.named("six")["EnableIPv4"] is False


def test_ipv4_beside_ipv6_alone_is_a_difference(newest):
    newest.newer = True
    converge(newest, [SIX])
    both = {**SIX, "subnet": ["fd00:9::/64", "10.9.0.0/24"], "enable_ipv4": None}
    errors = converge(newest, [both])["errors"]
    assert any("networks[0].enable_ipv4: got false on the live network 'six'; expected true" in text for text in errors)
    assert converge(newest, [both], recreate="if_unused")["recreated"] == ["six"]
    assert versions(newest.named("six")) == (["10.9.0.0/24"], ["fd00:9::/64"])


def test_an_engine_with_ipv6_by_default_adds_none_to_a_network_that_says_its_subnets(newest):
    newest.newer = newest.ipv6_by_default = True
    four = {"name": "four", "driver": "bridge", "subnet": "10.9.0.0/24"}
    assert converge(newest, [four])["created"] == ["four"] and versions(newest.named("four")) == (["10.9.0.0/24"], [])
    assert not converge(newest, [four])["changed"]


def test_one_that_says_nothing_takes_what_the_engine_gives_and_ipv6_can_be_asked_for_or_not(newest):
    newest.newer = newest.ipv6_by_default = True
    any_one = {"name": "any", "driver": "bridge"}
    converge(newest, [any_one])
    assert all(versions(newest.named("any"))) and not converge(newest, [any_one])["changed"]
    without = {**any_one, "enable_ipv6": False}
    assert (
        "networks[0].enable_ipv6: got true on the live network 'any'; expected false"
        in converge(newest, [without])["msg"]
    )


def test_an_engine_that_gives_every_network_ipv4_is_told_before_anything_is_made(engine):
    result = converge(engine, [PRIVATE, SIX])
    (error,) = result["errors"]
    assert error.startswith("networks[1].enable_ipv4: got false; expected Engine 28 or newer") and engine.writes == []


@pytest.mark.parametrize("recreated", [False, True])
def test_an_overlay_with_ipv6_is_refused_where_the_swarm_allocates_none(newest, recreated):
    both = {"name": "both", "subnet": ["10.9.0.0/24", "fd00:9::/64"]}
    if recreated:
        newest.newer = False
        assert converge(newest, [both])["created"] == ["both"]
    newest.newer = True
    wanted = {**both, "mtu": 1400} if recreated else both
    (error,) = converge(newest, [wanted], recreate="if_unused")["errors"]
    assert error.startswith("networks[0].subnet: got fd00:9::/64; expected IPv4 alone: this engine's Swarm allocates")
    # One that is there stays, and a bridge may have both.
    assert not recreated or not converge(newest, [both])["changed"]
    assert converge(newest, [{**both, "name": "b", "driver": "bridge", "subnet": ["10.8.0.0/24", "fd00:8::/64"]}])[
        "created"
    ]


@pytest.mark.parametrize("said", [True, False])
def test_what_was_not_said_of_ip_versions_is_left_to_the_engine(engine, said):
    converge(engine, [{"name": "x", "driver": "bridge", **({"subnet": "10.9.0.0/24"} if said else {})}])
    assert ("EnableIPv6" in engine.bodies[-1]) is said and "EnableIPv4" not in engine.bodies[-1]


INTERFACE = "com.docker.network.bridge.name"


@pytest.mark.parametrize("name", ["docker0", "docker_gwbridge", "br-own", None])
def test_a_bridge_does_not_take_another_networks_interface_over(engine, name):
    own = {"name": "own", "driver": "bridge", "subnet": "10.8.0.0/24", "options": {INTERFACE: "br-own"}}
    converge(engine, [own, {"name": "plain", "driver": "bridge", "subnet": "10.7.0.0/24"}])
    name = name or f"br-{engine.named('plain')['Id'][:12]}"
    made = len(engine.writes)
    result = converge(
        engine, [{"name": "new", "driver": "bridge", "subnet": "10.9.0.0/24", "options": {INTERFACE: name}}]
    )
    assert result["failed"] and f"networks[0].options.{INTERFACE}: got '{name}'" in result["msg"]
    assert len(engine.writes) == made


def test_a_network_keeps_its_own_interface_when_it_is_made_again_or_leaves_it_to_another_one(engine):
    own = {"name": "own", "driver": "bridge", "subnet": "10.8.0.0/24", "options": {INTERFACE: "br-own"}}
    converge(engine, [own])
    assert converge(engine, [{**own, "mtu": 1400}], recreate="if_unused")["recreated"] == ["own"]
    heir = {**own, "name": "heir"}
    assert converge(engine, [{"name": "own", "state": "absent"}, heir])["created"] == ["heir"]


def test_an_interface_of_the_host_that_no_network_has_is_named_in_a_warning(engine, monkeypatch, tmp_path):
    said: list[str] = []
    monkeypatch.setattr(converging, "warn", said.append)
    monkeypatch.setattr(converging, "INTERFACES", str(tmp_path / "net"))
    for name in ("br0", "br-own"):
        (tmp_path / "net" / name).mkdir(parents=True)
    own = {"name": "own", "driver": "bridge", "subnet": "10.8.0.0/24", "options": {INTERFACE: "br0"}}
    assert converge(engine, [own], check=True)["changed"]
    (warning,) = said
    assert warning.startswith(
        "networks[0]: the host has an interface br0, which no Docker network has: network own takes"
    )
    said.clear()
    # The interface of a network that is there already, or is made again, is its own.
    converge(engine, [{**own, "options": {INTERFACE: "br-new"}}])
    (tmp_path / "net" / "br-new").mkdir()
    assert converge(engine, [{**own, "mtu": 1400, "options": {INTERFACE: "br-new"}}], recreate="if_unused")["recreated"]
    assert said == []


def test_two_requests_for_one_interface_are_refused(engine):
    one = {"name": "a", "driver": "bridge", "subnet": "10.8.0.0/24", "options": {INTERFACE: "br-own"}}
    (error,) = converge(engine, [one, {**one, "name": "b", "subnet": "10.9.0.0/24"}])["errors"]
    assert error.startswith(
        f"networks[1].options.{INTERFACE}: got 'br-own'; expected an interface that networks[0] 'a'"
    )


@pytest.mark.parametrize(
    ("pools", "text"),
    [
        (
            [{"Base": "10.98.0.0/24", "Size": 25}],
            "Its address pool 10.98.0.0/24 has no free /25 left. Give the network",
        ),
        (
            [{"Base": "10.98.0.0/23", "Size": 25}],
            "The network gives no subnet, and the engine chose none. Give the network",
        ),
    ],
)
def test_a_bridge_that_the_engines_pools_have_no_room_for_is_told_what_to_do(engine, pools, text):
    engine.info["DefaultAddressPools"] = pools
    converge(engine, [{"name": f"n{i}", "driver": "bridge", "subnet": f"10.98.0.{i * 128}/25"} for i in range(2)])
    # As 20.10 and 26.1 answer.
    said = "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network"
    engine.broken = {("POST", 3): (404, said)}
    result = converge(engine, [{"name": "full", "driver": "bridge"}])
    assert result["failed"] and said in result["msg"] and text in result["msg"]
    assert "larger default-address-pools (the site's bulkhead_pools.engine)" in result["msg"]
