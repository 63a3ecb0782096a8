"""tailscale_node and tailscale_node_info from their arguments to what Ansible gets, against the stand-in."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale import converge, cut, waiting
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.arguments import ARGUMENTS
from ansible_collections.bulkhead.tiers.plugins.modules import tailscale_node, tailscale_node_info
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.tailscale.standin import (
    EXPIRED,
    NEEDS_LOGIN,
    RUNNING,
    StandIn,
)


@pytest.fixture(name="start", autouse=True)
def fixture_start(tmp_path, monkeypatch):
    """Starts a stand-in in a state. The tests' own connection is none that a change may cut."""
    monkeypatch.setattr(cut, "find_way", lambda status, ask, root: None)
    monkeypatch.setattr(converge, "clear_the_way", lambda guard, check_mode: [])
    monkeypatch.setattr(waiting, "REFUSED_FOR", 0.2)
    with contextlib.ExitStack() as stack:
        yield lambda state=RUNNING: stack.enter_context(StandIn(tmp_path, state))


def run(module, node, check=False, **arguments):
    """The module's result as Ansible gets it."""
    arguments = {"socket": node.path, "_ansible_check_mode": check, "_ansible_diff": True, **arguments}
    output = io.StringIO()
    with patch_module_args(arguments), contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        module.main()
    return {"failed": False, **json.loads(output.getvalue())}


def test_what_a_node_is_told_of_it_changes_nothing_when_it_is_applied(start):
    node = start()
    live = run(tailscale_node_info, node)
    assert live["changed"] is False and live["requests"] == 2 and node.writes() == []
    said = run(tailscale_node, node, **live["node"])
    assert said["changed"] is False and said["failed"] is False, said
    assert live["node"] == said["node"]


def test_the_live_node_is_told_of_with_its_peers(start):
    live = run(tailscale_node_info, start())
    assert live["state"] == "Running" and live["dns_name"] == "aye.ts.test" and live["ips"][0] == "100.64.0.2"
    (peer,) = live["peers"]
    assert peer["dns_name"] == "bee.ts.test" and peer["exit_node_option"] is True and peer["online"] is True
    assert (
        live["peers_left_out"] == 0
        and live["expired"] is False
        and live["online"] is True
        and live["key_expiry"] is None
    )


def test_peers_are_left_out_where_they_are_not_asked_for(start):
    live = run(tailscale_node_info, start(), peers=False)
    assert live["peers"] == [] and live["peers_left_out"] == 1


def test_a_node_whose_key_expired_is_not_online_whatever_it_says(start):
    live = run(tailscale_node_info, start(EXPIRED))
    assert live["expired"] is True and live["online"] is False and live["key_expiry"].startswith("2026-")


def test_a_node_that_never_joined_is_told_of(start):
    live = run(tailscale_node_info, start(NEEDS_LOGIN))
    assert live["node"]["state"] == "logged_out" and live["tags"] == [] and "auto_update" not in live["node"]


def test_a_key_is_hidden_in_what_the_module_was_called_with_and_in_what_it_says(start):
    node = start(NEEDS_LOGIN)
    node.login_error = "no such key: hskey-auth-secret1"
    said = run(tailscale_node, node, auth_key="hskey-auth-secret1", timeout=5)
    assert said["failed"] and said["kinds"] == ["login"] and "hskey-auth-secret1" not in json.dumps(said)


def test_all_mistakes_are_told_at_once_with_their_options(start):
    said = run(tailscale_node, start(), advertise_routes=["10.0.0.1/24"], advertise_tags=["1"], timeout=0)
    assert (
        said["failed"]
        and len(said["errors"]) == 3
        and said["errors"][0].startswith("advertise_tags[0]: got 1; expected")
    )


def test_a_warning_is_one_of_ansible_s(start, monkeypatch):
    node, warned = start(), []
    # Where Ansible's controller is loaded in the same process, a warning goes there and not into the result.
    monkeypatch.setattr(tailscale_node.AnsibleModule, "warn", lambda self, text, **more: warned.append(text))
    node.status["Self"]["KeyExpiry"] = "2020-01-01T00:00:00Z"
    said = run(tailscale_node, node, renew_before="14d")
    assert "notes" not in said and len(warned) == 1 and "renew it" in warned[0]


def test_every_option_is_documented_with_its_type():
    with open(tailscale_node.__file__.replace(".py", ".yml"), encoding="utf-8") as stream:
        documented = yaml.safe_load(stream)["DOCUMENTATION"]["options"]
    assert set(documented) == set(ARGUMENTS)
    assert {name: option["type"] for name, option in documented.items()} == {
        name: option["type"] for name, option in ARGUMENTS.items()
    }
