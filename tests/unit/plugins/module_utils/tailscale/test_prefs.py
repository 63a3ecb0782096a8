"""Options and preferences: read both ways, masks, and their undoing."""

from __future__ import annotations

import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale import prefs as table
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.arguments import PREFERENCES
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.tailscale.standin import NEEDS_LOGIN, answer_of

FRESH = json.loads(answer_of(NEEDS_LOGIN, "GET", "prefs")["answer"])


def test_every_option_of_the_module_is_a_preference_and_the_reverse():
    assert {*PREFERENCES, table.UP} == set(table.OPTIONS)


def test_what_a_fresh_node_has_is_read_from_what_a_real_one_answered():
    found = table.options_of(FRESH)
    assert found["accept_dns"] is True and found["snat_subnet_routes"] is True
    assert found["stateful_filtering"] is False, "NoStatefulFiltering is true: it is stored the other way round"
    assert found["auto_update"] is None, "not decided yet"
    assert found["netfilter_mode"] == "on" and found["login_server"] == table.TAILSCALE
    assert found["advertise_routes"] == [] and found["advertise_exit_node"] is False and found["up"] is False


@pytest.mark.parametrize(
    ("option", "value", "mask"),
    [
        ("ssh", True, {"RunSSH": True, "RunSSHSet": True}),
        ("snat_subnet_routes", False, {"NoSNAT": True, "NoSNATSet": True}),
        ("stateful_filtering", True, {"NoStatefulFiltering": False, "NoStatefulFilteringSet": True}),
        ("netfilter_mode", "nodivert", {"NetfilterMode": 1, "NetfilterModeSet": True}),
        ("auto_update", True, {"AutoUpdate": {"Apply": True}, "AutoUpdateSet": {"ApplySet": True}}),
        ("advertise_connector", True, {"AppConnector": {"Advertise": True}, "AppConnectorSet": True}),
        ("relay_server_port", "", {"RelayServerPort": None, "RelayServerPortSet": True}),
        ("relay_server_port", "0", {"RelayServerPort": 0, "RelayServerPortSet": True}),
        ("up", False, {"WantRunning": False, "WantRunningSet": True}),
    ],
)
def test_a_mask_names_one_preference_and_no_other(option, value, mask):
    assert table.mask_of({**table.options_of(FRESH), option: value}, {option: None}) == mask


def test_two_settings_of_the_same_preference_are_one_mask():
    after = {**table.options_of(FRESH), "auto_update": False, "update_check": False}
    assert table.mask_of(after, {"auto_update": None, "update_check": None}) == {
        "AutoUpdate": {"Apply": False, "Check": False},
        "AutoUpdateSet": {"ApplySet": True, "CheckSet": True},
    }


def test_routes_and_the_exit_node_are_one_preference_and_neither_loses_the_other():
    after = {**table.options_of(FRESH), "advertise_routes": ["10.0.3.0/24"], "advertise_exit_node": True}
    mask = table.mask_of(after, {"advertise_exit_node": None})
    assert mask == {"AdvertiseRoutes": ["10.0.3.0/24", "0.0.0.0/0", "::/0"], "AdvertiseRoutesSet": True}
    found = table.options_of({**FRESH, "AdvertiseRoutes": mask["AdvertiseRoutes"]})
    assert found["advertise_routes"] == ["10.0.3.0/24"] and found["advertise_exit_node"] is True
    assert table.options_of({**FRESH, "AdvertiseRoutes": ["0.0.0.0/0"]})["advertise_exit_node"] is False


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("nABC", {"ExitNodeID": "nABC", "ExitNodeIP": ""}),
        ("auto:any", {"AutoExitNode": "any", "ExitNodeID": "", "ExitNodeIP": ""}),
        ("", {"AutoExitNode": "", "ExitNodeID": "", "ExitNodeIP": ""}),
    ],
)
def test_an_exit_node_is_three_preferences_of_which_those_that_must_be_are_set_together(value, stored):
    mask = table.mask_of({**table.options_of(FRESH), "exit_node": value}, {"exit_node": None})
    assert mask == {**stored, **{f"{name}Set": True for name in stored}}
    assert table.options_of({**FRESH, **mask})["exit_node"] == value


@pytest.mark.parametrize("url", ["", "https://controlplane.tailscale.com", "https://login.tailscale.com/"])
def test_tailscale_s_own_server_has_more_than_one_name(url):
    assert table.options_of({**FRESH, "ControlURL": url})["login_server"] == table.TAILSCALE


def test_an_undo_brings_back_what_a_mask_changes_and_nothing_else():
    after = {**table.options_of(FRESH), "ssh": True, "operator": "ops", "exit_node": "n1", "relay_server_port": "7"}
    mask = table.mask_of(after, dict.fromkeys(("ssh", "operator", "exit_node", "relay_server_port")))
    undo = table.undo_of(FRESH, mask)
    assert undo["RunSSH"] is False and undo["OperatorUser"] == "" and undo["RelayServerPort"] is None
    assert undo["ExitNodeID"] == "" and undo["AutoExitNode"] == ""
    assert set(undo) >= set(mask), "every one that was set is set again"


@pytest.mark.parametrize(
    ("was", "undo"),
    [
        ({"AutoExitNode": "any", "ExitNodeID": "n7"}, {"AutoExitNode": "any", "ExitNodeID": "", "ExitNodeIP": ""}),
        ({"ExitNodeID": "n7"}, {"ExitNodeID": "n7", "ExitNodeIP": ""}),
        ({"ExitNodeIP": "100.64.0.9"}, {"ExitNodeID": "", "ExitNodeIP": "100.64.0.9"}),
    ],
)
@pytest.mark.parametrize("value", ["n1", "auto:any", ""])
def test_an_exit_node_comes_back_as_it_was_chosen(value, was, undo):
    before = {**FRESH, **was}
    mask = table.mask_of({**table.options_of(before), "exit_node": value}, {"exit_node": None})
    assert table.undo_of(before, mask) == {**undo, **{f"{name}Set": True for name in undo}}
    then = table.options_of(table.whole(before, mask))
    assert then["exit_node"] == value, "in a login too"


def test_the_whole_has_every_preference_but_the_keys():
    found = table.whole(FRESH, {"AutoUpdate": {"Apply": True}, "AutoUpdateSet": {"ApplySet": True}, "Hostname": "x"})
    assert "Config" not in found and found["AutoUpdate"] == {"Check": True, "Apply": True} and found["Hostname"] == "x"
    assert not [key for key in found if key.endswith("Set")]
