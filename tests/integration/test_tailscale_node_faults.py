"""What can go wrong with a node: one clear error each, nothing half-set, and the host is reached as before."""

from __future__ import annotations

import json
import os

import pytest
from hosts.machine import wait
from tailnet import Node, tailnet
from tailnet.drive import drive, send

PREFIX = os.environ.get("BULKHEAD_FAULT_PREFIX", "bulkhead-fault") + "-tsf"
NET = f"10.{os.environ.get('BULKHEAD_FAULT_NET', '77')}.6"
#: A control server that answers badly, by the host's own Python: 429 to everything, or a third of an answer.
BAD_SERVER = """\
import http.server, sys
class Bad(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if sys.argv[2] == "429":
            self.send_response(429); self.send_header("Retry-After", "3600"); self.send_header("Content-Length", "0"); self.end_headers()
        else:
            self.send_response(200); self.send_header("Content-Length", "3000"); self.end_headers(); self.wfile.write(b'{"publicKey": "mkey:')
    do_POST = do_GET
    def log_message(self, *words): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Bad).serve_forever()
"""


@pytest.fixture(name="lab", scope="module")
def fixture_lab():
    with tailnet(PREFIX, NET, ["bookworm"]) as (control, nodes):
        send(nodes[0])
        control.user("lab")
        yield control, nodes[0]


@pytest.fixture(name="fresh")
def fixture_fresh(lab):
    """A node that has joined nothing, and its preferences."""
    control, node = lab
    # A unit that is started many times in a short time is not started again by itself.
    node.shell(
        "cd /; systemctl stop tailscaled; rm -rf /var/lib/tailscale/*; systemctl reset-failed tailscaled; systemctl start tailscaled"
    )
    wait(node.answers, 60, what="tailscaled answers")
    node.until("NeedsLogin")
    return control, node, node.prefs()


@pytest.fixture(name="member")
def fixture_member(fresh):
    control, node, _prefs = fresh
    said = run(node, login_server=control.url, auth_key=control.key(), hostname="one")
    assert said["state"] == "Running"
    return control, node, node.prefs()


def run(node: Node, check: bool = False, user: str = "root", **params):
    return drive(node, [(params, check)], user)[0]


def failure(node: Node, kind: str, *words: str, check: bool = False, user: str = "root", **params):
    said = run(node, check, user, **params)
    assert said.get("failed") and said["kinds"] == [kind], said
    assert "\n" not in said["msg"] and all(word in said["msg"] for word in words), said["msg"]
    return said


@pytest.mark.parametrize("kind", ["bad", "expired", "used up"])
def test_a_key_that_control_does_not_take(fresh, kind):
    control, node, before = fresh
    key = control.key(expiration="1s") if kind == "expired" else control.key()
    if kind == "bad":
        key = key[:-8] + "AAAAAAAA"
    if kind == "used up":
        assert run(node, login_server=control.url, auth_key=key)["state"] == "Running"
        assert run(node, state="absent")["changed"]
        before = node.prefs()
    if kind == "expired":
        node.shell("sleep 2")
    said = failure(
        node, "login", "check auth_key", control.url, login_server=control.url, auth_key=key, ssh=True, hostname="x"
    )
    assert key not in json.dumps(said)
    assert node.prefs() == before and node.state() == "NeedsLogin"


def test_a_key_that_is_bad_leaves_a_node_that_renews_as_it_was(member):
    control, node, before = member
    control.headscale(
        "nodes", "expire", "--identifier", control.node(node.address())["id"], "--expiry", "2037-01-01T00:00:00Z"
    )
    # Headscale does not tell a node that is up of its new expiry.
    node.daemon("restart")
    wait(lambda: run(node, True).get("key_expiry"), what="the expiry has come to the node")
    failure(node, "login", auth_key="hskey-auth-bad", renew_before="9000d", accept_cut=True)
    assert node.state() == "Running" and node.prefs() == before


@pytest.mark.parametrize("how", ["down", "429", "half"])
def test_a_control_server_that_is_not_there_or_answers_badly(fresh, how):
    control, node, before = fresh
    server = "http://127.0.0.1:8099"
    if how != "down":
        node.put("/srv/bad.py", BAD_SERVER)
        node.shell(f"systemd-run --quiet --collect --unit bad python3 /srv/bad.py 8099 {how}")
    try:
        said = run(node, login_server=server, auth_key=control.key(), hostname="x", timeout=12)
        assert said.get("failed") and said["kinds"][0] in ("login", "NoState"), said
        assert server in said["msg"]
        wait(lambda: node.prefs() == before, 90, what="the preferences are as they were")
    finally:
        node.shell("systemctl stop bad", check=False)
    assert run(node, login_server=control.url, auth_key=control.key())["state"] == "Running", "and then it joins"


def test_a_control_server_that_is_down_does_not_matter_to_a_node_that_is_up(member):
    control, node, _before = member
    control.stop()
    try:
        assert run(node, hostname="one")["changed"] is False
        assert run(node, accept_dns=False)["changes"] == ["accept_dns"]
        said = run(node, state="logged_out")
        assert said["failed"] and said["kinds"] == ["logout"], said
        assert node.prefs()["WantRunning"] is True and node.prefs()["LoggedOut"] is False
        gone = run(node, state="absent")
        assert gone["changed"] and "remove the node there" in gone["notes"][0], gone
        assert node.state() == "NeedsLogin" and not node.status().get("HaveNodeKey")
    finally:
        control.serve()


def test_a_socket_that_is_missing_and_a_daemon_that_is_stopped(member):
    _control, node, before = member
    failure(node, "missing", "systemctl enable --now tailscaled", socket="/run/none.sock")
    node.daemon("stop")
    try:
        said = run(node)
        assert said["failed"] and said["kinds"][0] in ("missing", "stopped") and "systemctl" in said["msg"]
    finally:
        node.daemon("start")
        wait(node.answers, 60, what="tailscaled answers")
    assert node.prefs() == before


def test_a_host_without_a_tun_device(member):
    _control, node, _before = member
    node.daemon("stop")
    node.shell("mv /dev/net/tun /dev/net/away; systemctl start tailscaled", check=False)
    try:
        # Its unit starts it again and again: the module may meet it as it ends, once without an answer.
        texts = []

        def is_named() -> bool:
            said = run(node)
            assert said["failed"] and set(said["kinds"]) <= {"missing", "stopped", "broken"}, said
            texts.append(said["msg"])
            return "no /dev/net/tun" in said["msg"] and "modprobe tun" in said["msg"]

        wait(is_named, 90, what="the missing device is named")
        assert not any("\n" in text for text in texts), texts
    finally:
        node.shell("mv /dev/net/away /dev/net/tun; systemctl reset-failed tailscaled; systemctl restart tailscaled")
        wait(node.answers, 60, what="tailscaled answers")


def test_a_config_file_that_is_locked(fresh):
    control, node, _before = fresh
    config = {"version": "alpha0", "locked": True, "serverURL": control.url, "hostname": "locked"}
    node.put("/etc/tailscale.json", json.dumps(config))
    node.put("/etc/default/tailscaled", 'PORT="41641"\nFLAGS="--config=/etc/tailscale.json"\n')
    node.shell("systemctl restart tailscaled")
    try:
        wait(node.answers, 60, what="tailscaled answers")
        before = node.prefs()
        for check in (True, False):
            failure(node, "refused", "config file is locked", check=check, state="down", ssh=True)
        assert node.prefs() == before
    finally:
        node.put("/etc/default/tailscaled", 'PORT="41641"\nFLAGS=""\n')
        node.shell("systemctl restart tailscaled")


def test_a_user_who_may_not_change_the_node(member):
    _control, node, before = member
    node.shell("chmod -R go+rX /srv/bulkhead-drive")
    failure(node, "denied", "become: true", "operator", user="nobody", accept_dns=False)
    failure(node, "denied", "become: true", user="nobody", accept_dns=False, check=True)
    assert run(node, user="nobody", hostname="one")["changed"] is False, "to look is everybody's"
    assert node.prefs() == before
    assert run(node, operator="nobody")["changed"]
    assert run(node, user="nobody", accept_dns=False)["changed"]


def test_tailscaled_is_killed_in_the_middle_of_a_join(fresh):
    control, node, _before = fresh
    key = control.key(reusable=True)
    node.shell(
        "(sleep 0.4; systemctl kill --signal=KILL tailscaled; sleep 1; systemctl start tailscaled) >/dev/null 2>&1 &"
    )
    said = run(node, login_server=control.url, auth_key=key, hostname="killed")
    assert said.get("state") == "Running" or said.get("failed"), said
    wait(node.answers, 60, what="tailscaled answers")
    again = run(node, login_server=control.url, auth_key=key, hostname="killed")
    assert again["state"] == "Running" and node.prefs()["Hostname"] == "killed"
    assert run(node, login_server=control.url, auth_key=key, hostname="killed")["changed"] is False
