"""tailscale_node on real nodes of a real Headscale."""

from __future__ import annotations

import json
import os
import random
import time

import pytest
from hosts.machine import wait
from tailnet import Headscale, Node, tailnet
from tailnet.drive import drive, send

PREFIX = os.environ.get("BULKHEAD_FAULT_PREFIX", "bulkhead-fault") + "-ts"
NET = f"10.{os.environ.get('BULKHEAD_FAULT_NET', '77')}.5"
#: Random sets of preferences of which check mode is held against a run; `make bench` takes 1,000.
SETS = int(os.environ.get("BULKHEAD_TAILSCALE_SETS", "60"))
#: Each option: its preference, two values, and how tailscaled has them. Written down here a second time, on purpose.
TOGGLED = [
    ("accept_dns", "CorpDNS", (False, False), (True, True)),
    ("accept_routes", "RouteAll", (True, True), (False, False)),
    ("advertise_connector", "AppConnector", (True, {"Advertise": True}), (False, {"Advertise": False})),
    (
        "advertise_routes",
        "AdvertiseRoutes",
        (["10.8.0.0/24", "fd00:8::/64"], ["10.8.0.0/24", "fd00:8::/64"]),
        ([], None),
    ),
    ("advertise_exit_node", "AdvertiseRoutes", (True, ["0.0.0.0/0", "::/0"]), (False, None)),
    ("auto_update", "AutoUpdate", (True, {"Apply": True}), (False, {"Apply": False})),
    ("exit_node_allow_lan_access", "ExitNodeAllowLANAccess", (True, True), (False, False)),
    ("hostname", "Hostname", ("other", "other"), ("", "")),
    ("netfilter_mode", "NetfilterMode", ("nodivert", 1), ("off", 0)),
    ("netfilter_mode", "NetfilterMode", ("on", 2), ("nodivert", 1)),
    ("nickname", "ProfileName", ("lab", "lab"), ("", None)),
    ("operator", "OperatorUser", ("nobody", "nobody"), ("", None)),
    ("relay_server_port", "RelayServerPort", ("40000", 40000), ("", None)),
    (
        "relay_server_static_endpoints",
        "RelayServerStaticEndpoints",
        (["192.0.2.1:40000"], ["192.0.2.1:40000"]),
        ([], None),
    ),
    ("report_posture", "PostureChecking", (True, True), (False, False)),
    ("shields_up", "ShieldsUp", (True, True), (False, False)),
    ("snat_subnet_routes", "NoSNAT", (False, True), (True, False)),
    ("ssh", "RunSSH", (True, True), (False, False)),
    ("stateful_filtering", "NoStatefulFiltering", (True, False), (False, True)),
    ("update_check", "AutoUpdate", (False, {"Check": False}), (True, {"Check": True})),
    ("webclient", "RunWebClient", (True, True), (False, False)),
]


@pytest.fixture(name="lab", scope="module")
def fixture_lab():
    """(Headscale, two nodes): the first one has joined."""
    with tailnet(PREFIX, NET, ["bookworm", "trixie"]) as (control, nodes):
        for node in nodes:
            send(node)
            node.shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
        control.user("lab")
        yield control, nodes


def run(node: Node, check: bool = False, **params):
    return drive(node, [(params, check)])[0]


def member(control: Headscale, node: Node, **params):
    """A node that is up, whatever was done to it before."""
    said = run(node, login_server=control.url, auth_key=control.key(reusable=True), accept_cut=True, **params)
    assert not said.get("failed"), said
    return said


def test_a_node_joins_once_and_a_rotated_key_changes_nothing(lab):
    control, (node, _other) = lab
    key = control.key()
    said = run(node, login_server=control.url, auth_key=key, hostname="one")
    assert said["actions"] == ["join", "set"] and said["state"] == "Running" and said["dns_name"] == "one.ts.test"
    assert key not in json.dumps(said) and control.node(node.address())["online"]
    again = run(node, login_server=control.url, auth_key=control.key(), hostname="one")
    assert again["changed"] is False and again["requests"] <= 3
    assert run(node, True, auth_key="hskey-auth-x")["changed"] is False


@pytest.mark.parametrize(
    ("option", "pref", "first", "second"), TOGGLED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_preference_is_set_both_ways_and_reads_back_as_asked(lab, option, pref, first, second):
    control, (node, _other) = lab
    member(control, node, advertise_routes=[], advertise_exit_node=False)
    for value, stored in (first, second):
        said = run(node, **{option: value})
        assert not said.get("failed"), said
        found = node.prefs().get(pref)
        if isinstance(stored, dict):
            assert {key: found[key] for key in stored} == stored
        else:
            assert found == stored or (not stored and not found)
        assert run(node, **{option: value})["changed"] is False
    # What a change does to the node comes after its preference.
    assert wait(lambda: node.state() == "Running", what="the node is up again")


def sets(number: int, peer: str):
    """Random preference sets that a node may have."""
    chance = random.Random(number)
    picked = {}
    for option, _pref, first, second in chance.sample(TOGGLED, chance.randint(1, 9)):
        picked[option] = chance.choice((first[0], second[0]))
    if chance.random() < 0.3:
        picked["exit_node"] = chance.choice((peer, "auto:any", ""))
    if picked.get("exit_node") or picked.get("advertise_exit_node"):
        picked.update({"exit_node": ""} if picked.get("advertise_exit_node") else {"advertise_exit_node": False})
    return picked


def test_check_mode_predicts_exactly_what_a_run_changes(lab):
    control, (node, other) = lab
    member(control, node)
    member(control, other, hostname="exit", advertise_exit_node=True)
    control.approve("exit", "0.0.0.0/0", "::/0")
    wait(
        lambda: run(node, True, exit_node="exit", advertise_exit_node=False).get("state"), what="the exit node is seen"
    )
    for begin in range(0, SETS, 100):
        chosen = [sets(number, "exit") for number in range(begin, min(begin + 100, SETS))]
        calls = [call for params in chosen for call in ((params, True), (params, False), (params, True))]
        said = drive(node, calls)
        for number, params in enumerate(chosen):
            check, done, after = said[3 * number : 3 * number + 3]
            if done.get("failed") or check.get("failed"):
                assert check.get("msg") == done.get("msg"), (params, check, done)
                continue
            for key in ("changed", "changes", "node", "diff"):
                assert check[key] == done[key], (key, params, check[key], done[key])
            assert after["changed"] is False, (params, after["changes"])
    member(control, node, exit_node="", advertise_exit_node=False)


def test_an_exit_node_is_found_by_name_and_one_that_is_none_is_refused(lab):
    control, (node, other) = lab
    member(control, node, exit_node="", advertise_exit_node=False)
    member(control, other, hostname="exit", advertise_exit_node=True)
    control.approve("exit")
    wait(lambda: run(node, True, exit_node="exit").get("failed"), what="the exit node is not approved any more")
    said = run(node, exit_node="exit")
    assert said["failed"] and said["kinds"] == ["exit_node"] and node.prefs()["ExitNodeID"] == ""
    control.approve("exit", "0.0.0.0/0", "::/0")
    wait(lambda: not run(node, True, exit_node="exit").get("failed"), what="the exit node is approved")
    said = run(node, exit_node="exit")
    assert said["changed"] and said["node"]["exit_node"] == "exit.ts.test"
    assert run(node, exit_node=other.address())["changed"] is False
    assert run(node, **said["node"])["changed"] is False, "an export changes nothing"
    assert run(node, exit_node="")["changed"] is True


def test_routes_of_a_host_that_forwards_nothing_are_refused_with_what_to_set(lab):
    control, (node, _other) = lab
    member(control, node, advertise_routes=[], advertise_exit_node=False)
    node.shell("sysctl -qw net.ipv4.ip_forward=0")
    try:
        said = run(node, advertise_routes=["10.7.0.0/24"])
        assert said["kinds"] == ["forwarding"] and "net.ipv4.ip_forward=1" in said["msg"]
        assert not node.prefs()["AdvertiseRoutes"]
    finally:
        node.shell("sysctl -qw net.ipv4.ip_forward=1")


def test_an_expired_key_is_told_of_and_a_new_login_brings_the_node_back(lab):
    control, (node, _other) = lab
    member(control, node, hostname="one")
    address = node.address()
    control.expire(address)
    node.until("NeedsLogin")
    said = run(node)
    assert said["kinds"] == ["no-key"] and "expired at" in said["msg"]
    assert run(node, auth_key=control.key())["actions"] == ["join"]
    assert node.state() == "Running" and node.address() == address


def test_a_key_that_runs_out_soon_is_renewed_in_its_window_and_once(lab):
    control, (node, _other) = lab
    member(control, node, hostname="one")
    address = node.address()
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3 * 86400))
    control.headscale("nodes", "expire", "--identifier", control.node(address)["id"], "--expiry", soon)
    # Headscale does not tell a node that is up of its new expiry.
    node.daemon("restart")
    wait(lambda: node.answers() and run(node, True).get("key_expiry") == soon, what="the expiry has come to the node")
    key = control.key()
    assert run(node, renew_before="1d", auth_key=key)["changed"] is False, "it is not time yet"
    without = run(node, renew_before="9d")
    assert without["changed"] is False and soon in without["notes"][0], "nothing to renew it with"
    assert run(node, True, renew_before="9d", auth_key=key)["actions"] == ["renew"]
    said = run(node, renew_before="9d", auth_key=key)
    assert said["actions"] == ["renew"] and said["key_expiry"] != soon and node.state() == "Running", said
    assert node.address() == address, "it is the same node"
    assert run(node, renew_before="9d", auth_key=control.key())["changed"] is False


def test_tags_are_those_that_control_grants(lab):
    control, (node, _other) = lab
    member(control, node, hostname="one")
    assert run(node, advertise_tags=["tag:web"])["kinds"] == ["no-key"]
    said = run(node, advertise_tags=["web", "db"], auth_key=control.key(tags=["tag:web", "tag:db"]))
    assert said["actions"][0] == "retag" and said["tags"] == ["tag:db", "tag:web"]
    assert run(node, advertise_tags=["web", "db"], auth_key="hskey-auth-other")["changed"] is False
    wrong = run(node, advertise_tags=["web"], auth_key=control.key(tags=["tag:other"]))
    assert wrong["failed"] and "headscale nodes tag" in wrong["msg"], "a Headscale leaves a node with its tags"
    assert wrong["msg"].count("tag:db, tag:web") and node.state() == "Running"


def test_a_node_goes_down_comes_up_and_leaves(lab):
    control, (_node, other) = lab
    member(control, other, hostname="leaver")
    for state, action in (("down", "down"), ("present", "up"), ("logged_out", "logout")):
        assert run(other, True, state=state)["actions"] == [action]
        assert run(other, state=state)["actions"] == [action]
        assert run(other, state=state, auth_key="hskey-auth-x")["changed"] is False
    member(control, other)
    assert run(other, state="absent")["changed"] is True and run(other, state="absent")["changed"] is False
