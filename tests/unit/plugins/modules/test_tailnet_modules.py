# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two modules as Ansible runs them: their argument specs, their results, what they say of bad input, and their silence."""

from __future__ import annotations

import contextlib
import io
import json
import pathlib

import pytest
import yaml
from ansible.module_utils.testing import patch_module_args
from tailscale_api import CLIENT, TOKEN, TailscaleApi

from ansible_collections.bulkhead.tiers.plugins.action import tailnet_policy as action_policy
from ansible_collections.bulkhead.tiers.plugins.action import tailnet_policy_info as action_info
from ansible_collections.bulkhead.tiers.plugins.doc_fragments.tailnet import ModuleDocFragment
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.arguments import connection, control
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.run import KEPT
from ansible_collections.bulkhead.tiers.plugins.modules import tailnet_policy, tailnet_policy_info
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import HostAction

TEXT = (
    '{"grants": [{"src": ["autogroup:member"], "dst": ["autogroup:self"], "ip": ["*"]}], /* theirs */ "nodeAttrs": []}'
)
POLICY = {"grants": [{"src": ["autogroup:member"], "dst": ["autogroup:internet"], "ip": ["443"]}]}


@pytest.fixture
def api():
    with TailscaleApi(TEXT) as found:
        yield found


def run(module, **options):
    """The module's result; ``text`` is everything that it printed."""
    output = io.StringIO()
    with patch_module_args(options), contextlib.redirect_stdout(output), pytest.raises(SystemExit):
        module.main()
    return {**json.loads(output.getvalue()), "text of all": output.getvalue()}


def options(api, **more):
    return {"dialect": "tailscale", "url": api.url, "token": TOKEN, **more}


def test_create_again_and_check(api):
    checked = run(tailnet_policy, **options(api, policy=POLICY, _ansible_check_mode=True))
    assert checked["changed"] and api.text == TEXT
    done = run(tailnet_policy, **options(api, policy=POLICY))
    assert done["changed"] and done["gains"] == checked["gains"] and done["diff"] == checked["diff"]
    assert "/* theirs */" in api.text
    assert not run(tailnet_policy, **options(api, policy=POLICY))["changed"]


def test_what_is_read_is_input_for_the_other_module(api):
    live = run(tailnet_policy_info, **options(api))
    assert live["text"] == TEXT and live["allows_all"] is False and live["mistakes"] == []
    again = run(tailnet_policy, **options(api, policy=live["policy"], if_match=live["etag"]))
    assert not again["changed"]


def test_a_text_may_be_a_mapping_by_the_time_that_it_arrives(api):
    assert run(tailnet_policy, **options(api, text=POLICY))["changed"]
    assert not run(tailnet_policy, **options(api, text=json.dumps(POLICY)))["changed"]


def test_bad_input_fails_with_every_reason_and_without_a_request(api):
    wrong = {"groups": {"admins": []}, "acls": [{"action": "drop", "src": ["tag:x"], "dst": ["*:*"]}]}
    said = run(tailnet_policy, **options(api, policy=wrong))
    assert said["failed"] and len(said["errors"]) == 3
    assert all(error.startswith("policy.") for error in said["errors"])
    assert said["msg"] == "\n".join(said["errors"])
    said = run(tailnet_policy, **options(api, text='{\n  "grants": [],\n  "grants": []\n}'))
    assert said["errors"] == ["text line 3, column 3: got grants a second time; expected each key once; join the two"]
    assert api.seen == []


@pytest.mark.parametrize(
    "given",
    [
        {"policy": POLICY, "text": "{}", "token": TOKEN},
        {"token": TOKEN},
        {"policy": POLICY},
        {"policy": POLICY, "client_id": "x"},
        {"policy": POLICY, "token": TOKEN, "client_id": "x", "client_secret": "y"},
        {"policy": POLICY, "token": TOKEN, "dialect": "headscale"},
        {"policy": POLICY, "client_id": "x", "client_secret": "y", "dialect": "headscale", "url": "http://127.0.0.1:1"},
        {"policy": POLICY, "token": f"{TOKEN}\n", "url": "http://127.0.0.1:1"},
        {"policy": POLICY, "token": TOKEN, "url": "headscale.example"},
        {"policy": POLICY, "token": TOKEN, "ca": "/nowhere", "url": "https://127.0.0.1:1"},
        {"policy": POLICY, "token": TOKEN, "timeout": 0, "url": "https://127.0.0.1:1"},
    ],
)
def test_options_that_do_not_belong_together_are_refused(given):
    said = run(tailnet_policy, **{"dialect": "tailscale", **given})
    assert said["failed"]
    assert "TOKENTOKEN" not in said["text of all"].replace(json.dumps(given.get("token")), "")


@pytest.mark.parametrize(
    "more", [{"token": TOKEN}, {"token": None, "client_id": CLIENT[0], "client_secret": CLIENT[1]}]
)
@pytest.mark.parametrize("refusal", [None, {"message": f"{TOKEN} {CLIENT[1]}"}])
def test_no_secret_is_in_any_output(api, more, refusal):
    api.refusal = refusal
    for module, extra in ((tailnet_policy, {"policy": POLICY}), (tailnet_policy_info, {})):
        said = run(module, **{**options(api), **more, **extra})["text of all"]
        assert more.get("client_secret") or TOKEN not in said
        assert CLIENT[1] not in said or "client_secret" not in more


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://203.0.113.1", 1),
        ("http://headscale.example", 1),
        ("http://127.0.0.1", 0),
        ("http://[::1]", 0),
        ("https://203.0.113.1", 0),
    ],
)
def test_an_address_that_is_not_encrypted_is_warned_about(url, warned):
    heard = []
    given = {name: option.get("default") for name, option in connection().items()}
    control({**given, "url": url, "token": "key"}, heard.append)
    assert len(heard) == warned
    assert "key" not in "".join(heard).replace("the key", "")


def test_the_documentation_names_exactly_the_options_of_the_spec():
    documented = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["options"]
    spec = connection()
    assert documented.keys() == spec.keys()
    for name, option in spec.items():
        assert {key: documented[name].get(key) for key in ("type", "default", "choices")} == {
            key: option.get(key) for key in ("type", "default", "choices")
        }
    beside = yaml.safe_load(pathlib.Path(tailnet_policy.__file__).with_suffix(".yml").read_text(encoding="utf-8"))
    own = beside["DOCUMENTATION"]["options"]
    assert set(own) == {"policy", "text", "merge", "allow_all", "force", "if_match"}
    assert own["merge"]["default"] == list(KEPT)


def test_secrets_are_declared_as_such():
    assert [name for name, option in connection().items() if option.get("no_log")] == ["token", "client_secret"]


@pytest.mark.parametrize("module", [tailnet_policy, tailnet_policy_info])
def test_main_is_at_most_thirty_lines(module):
    text = pathlib.Path(module.__file__).read_text(encoding="utf-8")
    body = text[text.index("def main()") : text.index('if __name__ == "__main__"')]
    assert len(body.strip().splitlines()) <= 30


@pytest.mark.parametrize("plugin", [action_policy, action_info])
def test_what_a_host_says_is_made_fit_for_a_terminal(plugin):
    assert issubclass(plugin.ActionModule, HostAction)
