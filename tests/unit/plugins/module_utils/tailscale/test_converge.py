"""A node from its options to its result, against the stand-in: each change both ways, check mode, logins, faults."""

from __future__ import annotations

import copy
import random

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale import apply, converge, waiting
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.converge import Run
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import LocalApi
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import TAILSCALE, options_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.wanted import parse
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.tailscale.standin import (
    NEEDS_LOGIN,
    RUNNING,
    StandIn,
)

#: Each option with two values that differ, the first of them not that of the recorded node.
VALUES = {
    "accept_dns": (False, True),
    "accept_routes": (True, False),
    "advertise_connector": (True, False),
    "advertise_exit_node": (True, False),
    "advertise_routes": (["10.0.3.0/24", "fd00:3::/64"], []),
    "auto_update": (True, False),
    "exit_node": ("bee", ""),
    "exit_node_allow_lan_access": (True, False),
    "hostname": ("other", ""),
    "netfilter_mode": ("nodivert", "off"),
    "nickname": ("lab", ""),
    "operator": ("ops", ""),
    "relay_server_port": ("0", ""),
    "relay_server_static_endpoints": (["192.0.2.1:40000"], []),
    "report_posture": (True, False),
    "shields_up": (True, False),
    "snat_subnet_routes": (False, True),
    "ssh": (True, False),
    "stateful_filtering": (True, False),
    "update_check": (False, True),
    "webclient": (True, False),
}


@pytest.fixture(name="node")
def fixture_node(tmp_path):
    with StandIn(tmp_path, RUNNING) as node:
        node.prefs["ExitNodeID"] = ""
        yield node


@pytest.fixture(name="fresh")
def fixture_fresh(tmp_path):
    with StandIn(tmp_path, NEEDS_LOGIN) as node:
        node.keys = {"hskey-auth-good"}
        yield node


@pytest.fixture(name="hurry", autouse=True)
def fixture_hurry(monkeypatch):
    monkeypatch.setattr(waiting, "PAUSE", 0.01)
    monkeypatch.setattr(waiting, "LONGEST_PAUSE", 0.02)
    monkeypatch.setattr(waiting, "REFUSED_FOR", 0.2)
    monkeypatch.setattr(waiting, "_AWAY", 0.2)
    monkeypatch.setattr(converge, "_TAGS_SECONDS", 0.2)
    monkeypatch.setattr(converge, "_START_SECONDS", 0.2)
    monkeypatch.setattr(apply, "LOGOUT_SECONDS", 1.0)


def nothing(_argv):
    return 1, ""


def run(node, check_mode=False, seconds=10.0, **params):
    params.setdefault("timeout", 5)
    api = LocalApi(node.path, seconds)
    try:
        return Run(parse(params), api, nothing, "/nonexistent").converge(check_mode)
    finally:
        api.close()


def refusal(node, **params):
    with pytest.raises(Refused) as refused:
        run(node, **params)
    (mistake,) = refused.value.mistakes
    return mistake


def test_a_node_that_is_as_it_should_be_costs_two_requests(node):
    said = run(node, accept_dns=True, hostname="aye", auth_key="hskey-auth-rotated")
    assert said["changed"] is False and said["requests"] == 2 and node.writes() == [] and node.used == []
    assert said["actions"] == said["changes"] == [] and said["diff"]["before"] == said["diff"]["after"]


@pytest.mark.parametrize("option", sorted(VALUES))
def test_every_option_is_set_both_ways_in_one_request_and_the_same_again_is_nothing(node, option):
    if option != "exit_node_allow_lan_access":
        assert run(node, **{option: VALUES[option][1]})["changed"] in (True, False)
    for value in VALUES[option]:
        node.calls.clear()
        check = run(node, check_mode=True, **{option: value})
        assert node.writes() in ([("POST", "check-prefs")], []) and (check["changed"] or value != VALUES[option][0])
        node.calls.clear()
        said = run(node, **{option: value})
        assert said["changes"] == check["changes"] and said["diff"] == check["diff"] and said["node"] == check["node"]
        assert node.writes() == ([("PATCH", "prefs")] if said["changed"] else [])
        assert run(node, **{option: value})["changed"] is False


def test_check_mode_predicts_what_a_run_changes_for_random_sets(node):
    chance = random.Random(20261129)
    for _round in range(150):
        picked = chance.sample(sorted(VALUES), chance.randint(1, 8))
        wanted = {option: chance.choice(VALUES[option]) for option in picked}
        if wanted.get("advertise_exit_node"):
            wanted["exit_node"] = ""
        elif wanted.get("exit_node"):
            wanted["advertise_exit_node"] = False
        before = copy.deepcopy(node.prefs)
        predicted = run(node, check_mode=True, **wanted)
        assert node.prefs == before, "check mode changes nothing"
        done = run(node, **wanted)
        for key in ("changed", "changes", "node", "diff"):
            assert done[key] == predicted[key], (key, wanted)
        assert options_of(before) == options_of(node.prefs) or done["changed"]


def test_an_exit_node_is_named_after_one_that_was_never_chosen(node):
    run(node, exit_node="auto:any")
    assert node.prefs["AutoExitNode"] == "any" and run(node, exit_node="auto:any")["changed"] is False
    assert run(node, exit_node="bee")["changed"] is True
    assert node.prefs["ExitNodeID"] == "1" and not node.prefs.get("AutoExitNode")


def test_an_export_of_a_node_changes_nothing_when_it_is_applied(node):
    node.prefs["AdvertiseRoutes"] = ["10.0.3.0/24"]
    said = run(node, accept_dns=True, exit_node="bee")
    assert said["node"]["exit_node"] == "bee.ts.test"
    assert run(node, **said["node"])["changed"] is False


# -- logins ----------------------------------------------------------------------------------------------------------


def test_a_join_is_one_start_and_one_login_and_the_key_is_used_once(fresh):
    said = run(fresh, auth_key="hskey-auth-good", login_server="https://headscale.example", hostname="web1", ssh=True)
    assert said["actions"] == ["join", "set"] and said["state"] == "Running"
    assert fresh.writes() == [("POST", "start"), ("POST", "login-interactive")] and fresh.used == ["hskey-auth-good"]
    body = next(body for method, path, body in fresh.calls if path == "start")
    assert body["AuthKey"] == "hskey-auth-good" and "Config" not in body["UpdatePrefs"]
    prefs = body["UpdatePrefs"]
    assert prefs["RunSSH"] is True and prefs["Hostname"] == "web1" and prefs["CorpDNS"] is True, (
        "all of them, not these alone"
    )
    assert (
        prefs["WantRunning"] is True
        and prefs["LoggedOut"] is True
        and prefs["ControlURL"] == "https://headscale.example"
    )
    assert "hskey-auth-good" not in str(said)
    assert run(fresh, auth_key="hskey-auth-other", hostname="web1")["changed"] is False and len(fresh.used) == 1


@pytest.mark.parametrize("state", ["Running", "NeedsLogin"])
def test_a_key_for_one_node_is_used_once_by_a_node_that_has_a_login_already(node, state):
    # Seen with Headscale 0.29.2: `start` alone logs such a node in, and a login after it finds the key used up.
    node.keys, node.status["BackendState"], node.tags = {"k"}, state, ["tag:web"]
    run(node, auth_key="k", advertise_tags=["web"])
    assert node.used == ["k"] and node.prefs["LoggedOut"] is False


def test_a_key_s_login_asks_a_headscale_for_no_tags_and_tailscale_for_all(fresh):
    fresh.tags = ["tag:web"]
    run(fresh, auth_key="hskey-auth-good", login_server="https://headscale.example", advertise_tags=["web"])
    assert next(body for _method, path, body in fresh.calls if path == "start")["UpdatePrefs"]["AdvertiseTags"] is None


def test_tailscale_s_own_server_is_asked_for_the_tags(fresh):
    run(fresh, auth_key="hskey-auth-good", advertise_tags=["web"])
    start = next(body for _method, path, body in fresh.calls if path == "start")
    assert start["UpdatePrefs"]["AdvertiseTags"] == ["tag:web"] and start["UpdatePrefs"]["ControlURL"] in (
        "",
        TAILSCALE,
    )


def test_the_host_asks_for_the_key_that_the_controller_has_before_it_changes_anything(fresh):
    said = run(fresh, key_at_hand=True, hostname="x")
    assert said["needs_key"] is True and said["changed"] is False and fresh.writes() == []
    predicted = run(fresh, key_at_hand=True, hostname="x", check_mode=True)
    assert predicted["actions"] == ["join", "set"] and predicted["changed"] is True


@pytest.mark.parametrize("words", ["authkey expired", "authkey already used", "invalid key"])
def test_a_key_that_control_does_not_take_is_told_of_and_all_is_as_it_was(fresh, words):
    before = copy.deepcopy(fresh.prefs)
    fresh.login_error = words
    mistake = refusal(fresh, auth_key="hskey-auth-bad", login_server="https://headscale.example", ssh=True)
    assert mistake.path == "auth_key" and mistake.kind == "login" and words in mistake.got
    assert "https://headscale.example" in mistake.remedy and "hskey" not in str(mistake)
    assert options_of(fresh.prefs) == options_of(before)


def test_a_renewal_that_is_refused_leaves_the_node_up(node):
    node.status["Self"]["KeyExpiry"] = "2020-01-01T00:00:00Z"
    node.login_error = "invalid key"
    before = options_of(node.prefs)
    assert refusal(node, auth_key="bad", renew_before="14d", accept_cut=True).kind == "login"
    assert options_of(node.prefs) == before and node.status["BackendState"] == "Running"


def test_a_login_that_gives_other_tags_is_not_tried_again(node):
    node.keys, node.tags = {"k"}, ["tag:other"]
    mistake = refusal(node, auth_key="k", advertise_tags=["web"])
    assert mistake.path == "advertise_tags" and "tag:other" in mistake.got and node.used == ["k"]


def test_an_exit_node_is_set_after_the_join(fresh):
    said = run(fresh, auth_key="hskey-auth-good", exit_node="bee")
    assert (
        fresh.prefs["ExitNodeID"] == "1" and said["node"]["exit_node"] == "bee.ts.test" and said["state"] == "Running"
    )
    assert "exit_node" in said["changes"]


def test_a_node_goes_down_and_comes_up_without_a_key(node):
    assert run(node, state="down")["actions"] == ["down"] and node.status["BackendState"] == "Stopped"
    assert run(node, state="down")["changed"] is False
    assert run(node)["actions"] == ["up"] and node.status["BackendState"] == "Running"
    assert run(node)["changed"] is False


@pytest.mark.parametrize("state", ["logged_out", "absent"])
def test_a_node_leaves_once(node, state):
    assert run(node, check_mode=True, state=state)["changed"] is True and node.writes() == []
    assert run(node, state=state)["actions"] == ["logout"] and node.status["BackendState"] == "NeedsLogin"
    assert run(node, state=state)["changed"] is False


def test_a_logout_that_control_does_not_hear_of_is_none_and_absent_removes_the_keys_all_the_same(node):
    node.faults["POST logout"] = (500, "no route to host")
    mistake = refusal(node, state="logged_out")
    assert "no route to host" in mistake.got and "absent" in mistake.remedy
    assert node.prefs["WantRunning"] is True and node.prefs["LoggedOut"] is False and node.status["HaveNodeKey"]
    said = run(node, state="absent")
    assert said["changed"] is True and ("DELETE", "profiles/ab12") in node.writes()
    assert "no route to host" in said["notes"][0] and "remove the node there" in said["notes"][0]


def test_a_host_without_a_daemon_is_absent_and_nothing_else(tmp_path):
    class Gone:
        path = str(tmp_path / "none")

    said = run(Gone, state="absent")
    assert said["changed"] is False and said["notes"]
    for state in ("present", "down", "logged_out"):
        assert refusal(Gone, state=state).kind == "missing"


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_preference_that_this_version_does_not_know_is_found_and_the_others_are_taken_back(node):
    node.unknown = {"PostureChecking"}
    before = options_of(node.prefs)
    mistake = refusal(node, report_posture=True, ssh=True, operator="ops")
    assert mistake.path == "report_posture" and mistake.kind == "not-taken" and "1.98.9" in mistake.got
    assert options_of(node.prefs) == before


def test_check_mode_asks_tailscaled_which_says_what_it_does_not_take(node):
    node.faults["POST check-prefs"] = (
        200,
        {"Error": "can't reconfigure tailscaled when using a config file; config file is locked"},
    )
    mistake = refusal(node, ssh=True, check_mode=True)
    assert "config file is locked" in mistake.got and mistake.kind == "refused"


def test_a_locked_config_file_is_told_of_in_a_run_too(node):
    node.faults["PATCH prefs"] = (
        400,
        {"Error": "can't reconfigure tailscaled when using a config file; config file is locked"},
    )
    before = options_of(node.prefs)
    assert "config file is locked" in refusal(node, ssh=True).got and options_of(node.prefs) == before
    assert run(node, accept_dns=True)["changed"] is False, "what needs no change is no error"


@pytest.mark.parametrize("where", ["PATCH prefs", "GET prefs", "GET status?peers=false", "POST check-prefs"])
@pytest.mark.parametrize("fault", ["half", (403, "access denied"), (500, "internal")])
def test_each_request_may_fail_and_the_error_is_one(node, where, fault):
    node.faults[where] = fault
    refusal(node, ssh=True, check_mode=where == "POST check-prefs")


def test_a_daemon_that_is_killed_while_it_is_waited_for_is_waited_for_a_little(fresh):
    fresh.polls = 10**6
    mistake = refusal(fresh, auth_key="hskey-auth-good", timeout=1)
    assert mistake.path == "state" and mistake.got.startswith("Starting") and "DERP" in mistake.remedy
    assert fresh.prefs["WantRunning"] is True, "control has taken the login: the key is used, and the node is known"


def test_a_node_that_waits_for_its_approval_says_where(fresh):
    fresh.polls = 10**6
    run_one = fresh.do

    def approving(method, path, body):
        if fresh.used:
            fresh.status["BackendState"] = "NeedsMachineAuth"
        return run_one(method, path, body)

    fresh.do = approving
    mistake = refusal(fresh, auth_key="hskey-auth-good", timeout=1, login_server="https://headscale.example")
    assert mistake.kind == "NeedsMachineAuth" and "approve the node" in mistake.remedy


def test_a_node_that_waits_for_a_person_quotes_the_address(fresh):
    fresh.faults["POST login-interactive"] = (204, None)
    fresh.status["AuthURL"] = "https://headscale.example/register/abc"
    mistake = refusal(fresh, auth_key="unused", timeout=1)
    assert "https://headscale.example/register/abc" in mistake.remedy


def test_routes_of_a_host_that_forwards_nothing_are_refused_before_anything_is_sent(node, tmp_path):
    setting = tmp_path / "proc/sys/net/ipv4/ip_forward"
    setting.parent.mkdir(parents=True)
    setting.write_text("0\n")
    node.status["TUN"] = True
    with pytest.raises(Refused, match="net.ipv4.ip_forward=1"):
        Run(parse({"advertise_routes": ["10.0.3.0/24"]}), LocalApi(node.path), nothing, str(tmp_path)).converge(False)
    assert node.writes() == []
