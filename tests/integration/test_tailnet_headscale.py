# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tailnet_policy against a real Headscale: what it changes, what it leaves, and what it does when something is in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import yaml
from hosts.machine import Play
from tailnet.process import HeadscaleProcess
from tailnet_proxy import Proxy
from tailnet_site import parsed

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet import hujson
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.control import Headscale
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.run import Wish, ensure
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.standing import inform
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.transport import ControlError, Server
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.tailnet import policy_document
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import known_identities

ALICE, BOB = "alice@example.com", "bob@example.com"
POLICY = {
    "groups": {"group:admins": [ALICE]},
    "tagOwners": {"tag:web": ["group:admins"], "tag:db": ["group:admins"]},
    "grants": [{"src": ["group:admins"], "dst": ["tag:web"], "ip": ["tcp:22"]}],
}
MORE = {**POLICY, "grants": [*POLICY["grants"], {"src": ["tag:web"], "dst": ["tag:db"], "ip": ["tcp:5432"]}]}
CONSOLE = """\
// Written by hand.
{
  // who
  "groups": {"group:admins": ["alice@example.com"]}, // one so far
  "tagOwners": {"tag:web": ["group:admins"], "tag:db": ["group:admins"]},
  "grants": [
    // administration
    {"src": ["group:admins"], "dst": ["tag:web"], "ip": ["tcp:22"]},
  ],
  // The storage team's: do not touch.
  "nodeAttrs": [{"target": ["tag:web"], "attr": ["drive:share"]}], // see their wiki
}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with HeadscaleProcess(tmp_path_factory.mktemp("headscale")) as found:
        for name in ("alice", "bob"):
            found.user(name, f"{name}@example.com")
        yield found


@pytest.fixture(autouse=True)
def _text_by_hand(server):
    server.set_policy(CONSOLE)


def client(server, url="", **options):
    given = {"ca": None, "validate_certs": True, "timeout": 60.0, "retries": 4, **options}
    found = Server.at(url or server.url, **given)
    found.sleep = lambda _seconds: None
    return Headscale(found, server.key)


def put(server, policy=None, check_mode=False, url="", **wish):
    return ensure(client(server, url), Wish("headscale", policy=policy, **wish), check_mode)


def test_a_policy_is_put_and_a_second_run_asks_once_and_changes_nothing(server):
    done = put(server, MORE)
    assert done["changed"]
    assert done["gains"] == [{"from": ["tag:web"], "to": ["tag:db"], "allow": ["tcp:5432"]}]
    assert done["loses"] == []
    assert done["etag"] == inform(client(server), "headscale")["etag"]
    again = put(server, MORE)
    assert (again["changed"], again["requests"], again["etag"]) == (False, 1, done["etag"])


def test_a_policy_that_means_the_same_leaves_every_character(server):
    same = {**POLICY, "groups": {"group:admins": [ALICE]}, "ssh": [], "hosts": {}}
    assert not put(server, same)["changed"]
    assert not put(server, text=json.dumps(same))["changed"]
    assert server.policy() == CONSOLE


def test_what_others_wrote_stays_with_its_comments(server):
    put(server, MORE)
    text = server.policy()
    for line in CONSOLE.splitlines():
        assert line in text.splitlines()
    assert '"ip": ["tcp:5432"]' in text


def test_a_text_keeps_its_own_comments_and_the_sections_of_others(server):
    mine = "// from a file\n{\n  // the rules\n" + json.dumps(MORE)[1:-1] + ",\n}\n"
    assert put(server, text=mine)["changed"]
    text = server.policy()
    assert text.startswith("// from a file\n{\n  // the rules\n")
    assert "  // The storage team's: do not touch.\n" in text
    assert "// see their wiki" in text
    assert "administration" not in text
    assert not put(server, text=mine)["changed"]


def test_sections_go_where_nothing_is_merged(server):
    assert put(server, POLICY, merge=())["changed"]
    assert "nodeAttrs" not in server.policy()


def test_a_section_of_others_that_does_not_fit_any_more_is_said_and_nothing_is_put(server):
    without = {"groups": {}, "tagOwners": {}, "grants": []}
    with pytest.raises(Refused) as refused:
        put(server, without)
    assert [mistake.path for mistake in refused.value.mistakes] == ["policy.nodeAttrs[0].target[0]"]
    assert server.policy() == CONSOLE


def test_check_mode_says_exactly_what_a_run_then_does_and_changes_nothing(server):
    said = put(server, MORE, check_mode=True)
    assert server.policy() == CONSOLE
    done = put(server, MORE)
    for key in ("changed", "gains", "loses", "diff", "tests"):
        assert said[key] == done[key]
    assert done["diff"]["before"] == CONSOLE
    assert done["diff"]["after"] == server.policy()
    assert done["diff"]["prepared"] == "who gains (+) and who loses (-):\n+ tag:web -> tag:db: tcp:5432\n"


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_policy_that_headscale_refuses_is_quoted_and_nothing_is_put(server, check_mode):
    refused = {**POLICY, "nodeAttrs": [], "tests": [{"src": "tag:web", "deny": ["tag:db:22"]}]}
    with pytest.raises(ControlError) as error:  # no device has the tag, which only the server knows
        put(server, refused, check_mode)
    assert error.value.kind == "refused"
    assert 'source "tag:web" resolved to no IP addresses' in str(error.value)
    assert str(error.value).isprintable()
    assert server.policy() == CONSOLE


def test_what_headscale_quotes_of_a_policy_is_escaped_and_bounded(server):
    odd = {
        **POLICY,
        "tests": [{"src": f"{'x' * 50}\x1b[2J@example.com", "deny": [f"tag:db:{port}" for port in range(1, 200)]}],
    }
    with pytest.raises(ControlError) as error:
        put(server, odd)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 2000


def test_the_policys_own_tests_are_held_before_anything_is_sent(server):
    wrong = {**POLICY, "tests": [{"src": "tag:web", "accept": ["tag:db:22"]}]}
    with Proxy(server.port) as proxy, pytest.raises(Refused) as refused:
        put(server, wrong, url=proxy.url)
    assert [(mistake.path, mistake.kind) for mistake in refused.value.mistakes] == [("policy.tests[0]", "test")]
    assert proxy.seen == [("GET", "/api/v1/policy")]


@pytest.mark.parametrize("trap", [{"groups": {}}, {"acls": None, "grants": None}, {}])
def test_an_accidental_allow_all_is_refused_before_the_first_request(server, trap):
    with Proxy(server.port) as proxy:
        for wish in ({"policy": trap}, {"text": json.dumps(trap)}):
            with pytest.raises(Refused) as refused:
                put(server, url=proxy.url, **wish)
            assert [mistake.kind for mistake in refused.value.mistakes] == ["allow-all"]
        assert proxy.seen == []
    assert server.policy() == CONSOLE


def test_an_allow_all_that_is_accepted_says_who_gains(server):
    done = put(server, {"groups": {}}, allow_all=True, merge=())
    assert any("any other user" in gain["from"] and gain["allow"] == ["any protocol"] for gain in done["gains"])
    back = put(server, POLICY)
    assert any("any other tag" in loss["from"] for loss in back["loses"])


def test_a_server_without_a_policy_allows_all_and_gets_one(tmp_path):
    with HeadscaleProcess(tmp_path) as fresh:
        assert inform(client(fresh), "headscale")["allows_all"]
        done = put(fresh, POLICY)
        assert done["changed"] and done["loses"]
        assert not put(fresh, POLICY)["changed"]


def test_a_sites_policy_is_put_with_its_tests_where_what_they_ask_for_is_a_second_tags(tmp_path):
    """The site's tiers have tags of their own, by which tests name them, and others, to which flows lead."""
    flows = [
        {"from": "web", "to": "tag:metabase", "allow": "postgres", "via": "tailnet"},
        {"from": "group:admins", "to": "tag:server", "allow": "ssh", "via": "tailnet"},
    ]
    login = {"from": "group:admins", "to": "tag:server", "users": ["ops"]}
    site = parsed(flows=flows, ssh=[login], routes=None, exit_nodes=None)
    with HeadscaleProcess(tmp_path) as fresh:
        for name in ("alice", "bob", "carol"):
            fresh.user(name, f"{name}@example.com")
        assert put(fresh, policy_document(site, present=[]))["changed"]
        for number, one in enumerate(known_identities(site.tailnet)):
            fresh.node(f"node{number}", one.user.partition("@")[0] or "alice", tuple(sorted(one.tags)))
        done = put(fresh, policy_document(site))
        assert done["changed"] and all(done["tests"].values())
        assert not put(fresh, policy_document(site))["changed"]


def test_the_role_has_tests_for_those_who_have_a_node_whatever_the_policy_calls_them(tmp_path):
    """Headscale knows a user by a name and by the address of the login; the policy may say either. The host that the role runs for is no node."""
    with HeadscaleProcess(tmp_path) as fresh:
        fresh.user("alice", "alice@example.com")
        fresh.user("bob")
        fresh.user("carol@example.com")
        fresh.user("dave", "dave@example.com")
        site = {
            "bulkhead_tiers": {"web": {"vlan": 1, "subnet": "10.0.1.0/24"}},
            "bulkhead_services": {"ssh": "22/tcp"},
            "bulkhead_tailnet": {
                "control": fresh.url,
                "tags": {"web": "tag:web"},
                "groups": {"admins": ["alice@example.com", "bob@", "carol@example.com", "dave@example.com"]},
            },
            "bulkhead_flows": [{"from": "group:admins", "to": "web", "allow": "ssh", "via": "tailnet"}],
            "tailnet_policy_token": fresh.key,
            "ansible_connection": "ansible.builtin.local",
            "ansible_python_interpreter": sys.executable,
        }
        tasks = [{"ansible.builtin.include_role": {"name": "bulkhead.tiers.tailnet", "tasks_from": "policy"}}]
        for _run in range(2):
            results = Play("localhost", site, tasks).results()
            assert not [said["msg"] for _task, said in results if said.get("failed")]
            policy = hujson.parse(fresh.policy()).plain()
            if "tests" not in policy:
                for name in ("alice", "bob", "carol@example.com"):
                    fresh.node(name.partition("@")[0], name)
                fresh.node("web1", "alice", ("tag:web",))
        tests = {test["src"]: test.get("accept") for test in policy["tests"]}
        reached = dict.fromkeys(["alice@example.com", "bob@", "carol@example.com"], ["tag:web:22"])
        for wrong, got in (
            ({"tailnet_policy_token": "hskey-wrong"}, "status 401"),
            ({"tailnet_policy_url": "http://127.0.0.1:1"}, "no answer"),
        ):
            said = [
                said["msg"]
                for _task, said in Play("localhost", {**site, **wrong}, tasks).results()
                if said.get("failed")
            ]
            assert len(said) == 1 and f"got {got}; expected the nodes" in said[0] and "tailnet_policy_token" in said[0]
            assert "hskey" not in said[0]
        assert tests == {"tag:web": None, **reached}, (
            "dave has no device yet, and the server would refuse a test about him"
        )


def edit_in_between(server, text, requests):
    """A script of a proxy that has somebody edit the policy right before one of the requests is passed on."""
    count = 0

    def script(_method, _path):
        nonlocal count
        count += 1
        if count == requests:
            server.set_policy(text)
        return ""

    return script


@pytest.mark.parametrize("before_request", [2, 3])
def test_an_edit_on_the_console_in_between_is_not_overwritten(server, before_request):
    edit = CONSOLE.replace('["alice@example.com"]', '["alice@example.com", "bob@example.com"]')
    with (
        Proxy(server.port, edit_in_between(server, edit, before_request)) as proxy,
        pytest.raises(ControlError) as error,
    ):
        put(server, MORE, url=proxy.url)
    assert error.value.kind == "conflict"
    assert f"by that change gain: {BOB} -> tag:web: tcp:22" in str(error.value)
    assert server.policy() == edit


def test_force_overwrites_an_edit_in_between(server):
    with Proxy(server.port, edit_in_between(server, CONSOLE.replace("22", "23"), 2)) as proxy:
        assert put(server, MORE, url=proxy.url, force=True)["changed"]
    assert '"tcp:22"' in server.policy()


def test_an_edit_right_after_the_write_is_found_by_reading_back(server):
    edit = CONSOLE.replace("tcp:22", "tcp:23")
    with Proxy(server.port, edit_in_between(server, edit, 5)) as proxy, pytest.raises(ControlError) as error:
        put(server, MORE, url=proxy.url)
    assert [method for method, _path in proxy.seen] == ["GET", "POST", "GET", "PUT", "GET"]
    assert error.value.kind == "conflict"
    assert "lose: tag:web -> tag:db: tcp:5432" in str(error.value)


def test_a_version_that_does_not_stand_there_any_more_is_refused(server):
    etag = inform(client(server), "headscale")["etag"]
    server.set_policy(CONSOLE.replace("tcp:22", "tcp:23"))
    with pytest.raises(ControlError) as error:
        put(server, POLICY, if_match=etag)
    assert error.value.kind == "conflict"
    assert f"this policy would gain: {ALICE} -> tag:web: tcp:22" in str(error.value)
    assert put(server, POLICY, if_match=inform(client(server), "headscale")["etag"])["changed"]


def test_a_wrong_key_is_one_error_with_the_remedy_and_without_the_key(server):
    given = Server.at(server.url, None, True, 60.0, 4)
    with pytest.raises(ControlError) as error:
        ensure(Headscale(given, "hskey-api-wrong.secret"), Wish("headscale", policy=POLICY), False)
    assert error.value.kind == "auth"
    assert "headscale apikeys create" in str(error.value)
    assert "wrong.secret" not in str(error.value)


def times(count, what):
    """A script that misbehaves so many times and then passes on."""
    left = [count]

    def script(_method, _path):
        left[0] -= 1
        return what if left[0] >= 0 else ""

    return script


def test_a_server_that_asks_to_wait_is_waited_for_within_bounds(server):
    slept = []
    with Proxy(server.port, times(2, 429)) as proxy:
        proxy.headers = {"Retry-After": "86400"}
        control = client(server, proxy.url)
        control.server.sleep = slept.append
        assert ensure(control, Wish("headscale", policy=MORE), False)["changed"]
    assert slept == [30.0, 30.0]


def test_a_server_that_only_asks_to_wait_is_an_error_after_some_attempts(server):
    with Proxy(server.port, lambda _method, _path: 429) as proxy, pytest.raises(ControlError) as error:
        put(server, MORE, url=proxy.url)
    assert error.value.kind == "busy"
    assert len(proxy.seen) == 5


@pytest.mark.parametrize("what", ["half", "cut", "drop"])
def test_a_read_that_breaks_off_is_asked_again(server, what):
    with Proxy(server.port, times(2, what)) as proxy:
        assert put(server, MORE, url=proxy.url)["changed"]


@pytest.mark.parametrize("what", ["half", "cut"])
def test_a_write_whose_answer_was_lost_is_looked_up_and_not_sent_twice(server, what):
    with Proxy(server.port, lambda method, _path: what if method == "PUT" else "") as proxy:
        assert put(server, MORE, url=proxy.url)["changed"]
        assert [method for method, _path in proxy.seen].count("PUT") == 1
    assert "5432" in server.policy()


def test_a_write_that_never_arrived_is_an_error_and_nothing_has_changed(server):
    with (
        Proxy(server.port, lambda method, _path: "drop" if method == "PUT" else "") as proxy,
        pytest.raises(ControlError) as error,
    ):
        put(server, MORE, url=proxy.url)
    assert "as it was; run this again" in str(error.value)
    assert server.policy() == CONSOLE


def test_an_answer_that_drips_is_cut_when_its_time_is_over(server):
    with Proxy(server.port, lambda _method, _path: "slow") as proxy, pytest.raises(ControlError) as error:
        ensure(client(server, proxy.url, timeout=1.0, retries=0), Wish("headscale", policy=MORE), False)
    assert "no whole answer within 1 s" in str(error.value)


def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(server):
    with Proxy(server.port) as other, Proxy(server.port, lambda _method, _path: 302) as proxy:
        proxy.headers = {"Location": f"{other.url}/api/v1/policy"}
        with pytest.raises(ControlError) as error:
            put(server, MORE, url=proxy.url)
        assert other.seen == []
    assert error.value.kind == "answer"
    assert other.url in str(error.value)


def test_a_server_that_is_not_there_is_one_error(server):
    with Proxy(server.port) as gone:
        url = gone.url
    with pytest.raises(ControlError) as error:
        put(server, MORE, url=url)
    assert error.value.kind == "unreachable"


def test_a_policy_that_cannot_be_read_is_not_thrown_away(server):
    """A Headscale in file mode hands out whatever its file holds."""

    class Odd(Headscale):
        def read(self):
            return type(super().read())('{"nodeAttrs": [', "x")

    odd = Odd(Server.at(server.url, None, True, 60.0, 0), server.key)
    with pytest.raises(ControlError) as error:
        ensure(odd, Wish("headscale", policy=POLICY), True)
    assert error.value.kind == "conflict"
    assert ensure(odd, Wish("headscale", policy=POLICY, force=True), True)["gains"] is None


def test_no_word_of_ansibles_output_or_files_has_the_key(server, tmp_path):
    """The modules by a real ansible-playbook at -vvv with a diff, with a good key and with a wrong one."""
    wrong = "hskey-api-000000000000-wrongwrongwrong"
    play = {
        "hosts": "localhost",
        "gather_facts": False,
        "vars": {
            "ansible_python_interpreter": sys.executable,
            "key": "{{ lookup('ansible.builtin.env', 'POLICY_KEY') }}",
        },
        "tasks": [
            {
                "bulkhead.tiers.tailnet_policy": {"url": server.url, "token": "{{ key }}", "policy": MORE},
                "register": "first",
            },
            {
                "bulkhead.tiers.tailnet_policy": {"url": server.url, "token": "{{ key }}", "policy": MORE},
                "register": "second",
            },
            {"bulkhead.tiers.tailnet_policy_info": {"url": server.url, "token": "{{ key }}"}, "register": "live"},
            {
                "ansible.builtin.assert": {
                    "that": [
                        "first is changed",
                        "second is not changed",
                        "live.etag == first.etag",
                        "not live.allows_all",
                        "live.policy.grants | length == 2",
                    ]
                }
            },
            {
                "bulkhead.tiers.tailnet_policy": {"url": server.url, "token": wrong, "policy": POLICY},
                "ignore_errors": True,
            },
        ],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]), encoding="utf-8")
    home = tmp_path / "home"
    home.mkdir()
    environment = {
        **os.environ,
        "POLICY_KEY": server.key,
        "ANSIBLE_LOCAL_TEMP": str(home),
        "ANSIBLE_REMOTE_TMP": str(home),
        "ANSIBLE_KEEP_REMOTE_FILES": "0",
    }
    command = [
        sys.executable,
        "-m",
        "ansible",
        "playbook",
        "-i",
        "localhost,",
        "-c",
        "local",
        "-vvv",
        "--diff",
        str(tmp_path / "play.yml"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-3000:]
    assert "+ tag:web -> tag:db: tcp:5432" in said
    # hskey-api-PREFIX-SECRET; the secret is in base64url, which has hyphens of its own, at its end too.
    secret = server.key.split("-", 3)[3]
    assert len(secret) > 20 and secret not in said
    assert "wrongwrongwrong" not in said
    left = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert server.key.encode() not in left
    assert server.key not in server.log()
