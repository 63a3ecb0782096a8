"""The smallest change: from what a real node answered to what is to be done."""

from __future__ import annotations

import dataclasses
import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.plan import make
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import TAILSCALE
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.status import parse_status, seconds_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.wanted import parse
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.tailscale.standin import (
    EXPIRED,
    NEEDS_LOGIN,
    RUNNING,
    answer_of,
)

NOW = 1_795_989_600.0
DAY = 86400.0


def node(state=RUNNING, **prefs):
    return (
        {**json.loads(answer_of(state, "GET", "prefs")["answer"]), "ExitNodeID": "", **prefs},
        parse_status(json.loads(answer_of(state, "GET", "status")["answer"])),
    )


def plan(live, **params):
    return make(parse(params), live[0], live[1], NOW)


def refusal(live, **params):
    with pytest.raises(Refused) as refused:
        plan(live, **params)
    (mistake,) = refused.value.mistakes
    return mistake


def changed(live, **status):
    return live[0], dataclasses.replace(live[1], **status)


def test_a_node_that_is_as_it_should_be_needs_nothing():
    live = node()
    assert plan(live, login_server=live[0]["ControlURL"] + "/", accept_dns=True).empty


def test_only_what_differs_is_in_the_change():
    found = plan(node(), ssh=True, accept_dns=True, hostname="aye")
    assert found.changed == ("ssh",) and found.mask == {"RunSSH": True, "RunSSHSet": True} and found.actions == ["set"]


def test_routes_beside_an_exit_node_stay_when_the_other_one_is_asked_for():
    live = node(AdvertiseRoutes=["10.0.3.0/24", "0.0.0.0/0", "::/0"])
    assert plan(live, advertise_exit_node=False).mask["AdvertiseRoutes"] == ["10.0.3.0/24"]
    assert plan(live, advertise_routes=[]).mask["AdvertiseRoutes"] == ["0.0.0.0/0", "::/0"]
    assert plan(live, advertise_routes=["10.0.3.0/24"], advertise_exit_node=True).empty


# -- logins ----------------------------------------------------------------------------------------------------------


def test_a_key_is_not_needed_by_a_node_that_is_up():
    assert plan(node(), auth_key="hskey-auth-rotated").empty


@pytest.mark.parametrize("state", [NEEDS_LOGIN, EXPIRED])
def test_a_node_that_is_not_logged_in_joins_with_a_key(state):
    found = plan(node(state), auth_key="hskey-auth-x")
    assert found.login == "join" and found.after["up"] is True


def test_a_node_whose_key_expired_is_not_up_though_it_says_that_it_is_online():
    live = node(EXPIRED)
    assert live[1].online and live[1].expired and live[1].health == (), "so it was recorded"
    mistake = refusal(live)
    assert mistake.path == "auth_key" and mistake.kind == "no-key" and "expired at 2026-" in mistake.got


def test_without_a_key_a_login_by_hand_is_told_of():
    live = changed(node(NEEDS_LOGIN), auth_url="https://login.tailscale.com/a/123")
    assert "https://login.tailscale.com/a/123" in refusal(live).remedy


def test_a_node_that_is_to_be_down_logs_in_nowhere():
    assert plan(node(NEEDS_LOGIN), state="down", hostname="x").login == ""
    found = plan(node(), state="down")
    assert found.actions == ["down"] and found.mask == {"WantRunning": False, "WantRunningSet": True}


def test_another_control_server_is_another_login():
    assert plan(node(), login_server="https://headscale.example", auth_key="k").login == "move"
    assert refusal(node(), login_server="https://headscale.example").kind == "no-key"
    assert refusal(node(), login_server="https://headscale.example", state="down").path == "login_server"
    assert plan(node(NEEDS_LOGIN), login_server="https://headscale.example", state="down").changed == ("login_server",)


@pytest.mark.parametrize(("left", "login"), [(13.9, "renew"), (14.1, ""), (-1, "renew")])
def test_a_key_is_renewed_within_the_window(left, login):
    live = changed(node(), expiry=NOW + left * DAY)
    assert plan(live, renew_before="14d", auth_key="k").login == login
    assert plan(live, auth_key="k").login == "", "only where it is asked for"
    found = plan(live, renew_before="14d")
    assert found.empty and bool(found.warnings) == bool(login), "without a key it is a warning"


def test_a_key_that_does_not_expire_is_not_renewed():
    assert plan(node(), renew_before="14d", auth_key="k").empty


# -- tags ------------------------------------------------------------------------------------------------------------


def test_tags_are_compared_with_those_that_control_granted():
    live = changed(node(AdvertiseTags=None), tags=("tag:web",))
    assert plan(live, advertise_tags=["web"]).empty, "a key with tags leaves the preference empty"
    asked = changed(node(AdvertiseTags=["tag:web"]), tags=())
    assert plan(asked, advertise_tags=["web"], auth_key="k").login == "retag"


def test_tailscale_s_own_server_is_asked_for_tags_and_headscale_wants_a_key_with_them():
    own = node(ControlURL=TAILSCALE)
    assert plan(own, advertise_tags=["web"]).mask == {"AdvertiseTags": ["tag:web"], "AdvertiseTagsSet": True}
    assert plan(own, advertise_tags=["web"]).login == ""
    assert plan(node(), advertise_tags=["web"], auth_key="k").login == "retag"
    assert refusal(node(), advertise_tags=["web"]).kind == "no-key"


# -- exit nodes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bee", "BEE", "bee.ts.test", "bee.ts.test.", "100.64.0.1", "fd7a:115c:a1e0::1", "1"])
def test_an_exit_node_is_found_by_each_of_its_names(name):
    found = plan(node(), exit_node=name)
    assert found.mask["ExitNodeID"] == "1" and "AutoExitNode" not in found.mask
    assert plan(node(ExitNodeID="1"), exit_node=name).empty
    assert plan(node(ExitNodeIP="100.64.0.1"), exit_node=name).empty, "an address that was not looked up yet"


@pytest.mark.parametrize(
    ("name", "got"),
    [("nobody", "no peer that this node sees"), ("100.64.0.2", "this node itself"), ("aye.ts.test", "itself")],
)
def test_an_exit_node_that_is_none_is_refused(name, got):
    mistake = refusal(node(), exit_node=name)
    assert got in mistake.got and "bee.ts.test" in mistake.expected and mistake.kind == "exit_node"


def test_a_peer_that_is_no_exit_node_is_refused_though_tailscaled_would_take_it():
    live = node()
    plain = tuple(dataclasses.replace(peer, exit_node=False) for peer in live[1].peers)
    mistake = refusal(changed(live, peers=plain), exit_node="bee")
    assert "no exit node" in mistake.got and "approve" in mistake.remedy and "there is none" in mistake.expected


def test_a_name_that_two_peers_have_is_refused():
    live = node()
    twice = (*live[1].peers, dataclasses.replace(live[1].peers[0], id="9", ips=("100.64.0.9",)))
    assert "address" in refusal(changed(live, peers=twice), exit_node="bee").remedy


def test_an_exit_node_and_offering_to_be_one_exclude_each_other_across_tasks():
    assert refusal(node(ExitNodeID="1"), advertise_exit_node=True).path == "advertise_exit_node"
    assert not plan(node(ExitNodeID="1"), advertise_exit_node=True, exit_node="").empty


def test_an_exit_node_is_looked_for_when_the_node_is_up():
    found = plan(node(NEEDS_LOGIN), exit_node="bee", auth_key="k")
    assert found.later == "bee" and "ExitNodeID" not in found.mask and not found.empty
    assert plan(node(NEEDS_LOGIN), exit_node="bee", state="down").later == ""


# -- leaving, and times ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["logged_out", "absent"])
def test_a_node_that_left_needs_nothing_and_one_that_has_not_leaves(state):
    assert plan(node(NEEDS_LOGIN), state=state, hostname="x").empty
    for live in (node(), node(EXPIRED)):
        assert plan(live, state=state).actions == ["logout"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-11-29T21:57:58Z", 1795989478.0),
        ("2026-11-29T21:57:58.003815587Z", 1795989478.0),
        ("2026-11-29T23:57:58+02:00", 1795989478.0),
        ("2026-11-29T16:27:58-05:30", 1795989478.0),
        ("0001-01-01T00:00:00Z", None),
        ("soon", None),
        (None, None),
    ],
)
def test_a_time_is_read_whatever_its_zone(text, seconds):
    assert seconds_of(text) == seconds


def test_an_answer_without_anything_in_it_is_a_node_of_which_nothing_is_known():
    found = parse_status({"Self": 3, "Peer": [], "Health": "x", "TailscaleIPs": [1]})
    assert found.state == "NoState" and found.peers == () and found.health == () and found.ips == ()
