"""A connection that is established when its rule goes: it lives on, unless the task cuts it.

Each host serves, and the other one is its client.
"""

from __future__ import annotations

import time

import pytest
import testinfra
import yaml

testinfra_hosts = ["ansible://scratch"]

PORT = 8000
SERVE = f"""
import socket
with socket.create_server(("", {PORT})) as server:
    while True:
        client = server.accept()[0]
        with client:
            while (word := client.recv(64)):
                client.sendall(word)
"""
# One word after the other over one connection; the file counts those that came back.
TALK = f"""
import socket, sys, time
with socket.create_connection((sys.argv[1], {PORT}), 3) as server:
    for count in range(10000):
        server.sendall(b"word")
        assert server.recv(64)
        with open("/run/flush.count", "w") as file:
            file.write(str(count))
        time.sleep(0.1)
"""


def start(host, name, program, *words):
    """Run a Python program on a host that outlives this command."""
    host.check_output(
        f"cat >/run/{name}.py <<'END'\n{program}END\n"
        f"setsid python3 /run/{name}.py {' '.join(words)} >/dev/null 2>&1 </dev/null & echo $! >/run/{name}.pid"
    )


class Session:
    """A connection from the peer to the host that is in use all the time."""

    def __init__(self, host, peer, address):
        self.host, self.peer, self.address = host, peer, address

    def open(self):
        start(self.peer, "flush-talk", TALK, self.address)

    def lives(self):
        """Whether words still come back; asked for three seconds, in which a busy machine says at least one."""
        count = "cat /run/flush.count 2>/dev/null"
        before = self.peer.run(count).stdout
        end = time.monotonic() + 3
        while time.monotonic() < end:
            if self.peer.run(count).stdout not in ("", before):
                return True
            time.sleep(0.2)
        return False

    def can_be_opened(self):
        ask = f"import socket; socket.create_connection(('{self.address}', {PORT}), 2)"
        return self.peer.run(f'python3 -c "{ask}"').rc == 0


@pytest.fixture(name="session")
def fixture_session(host, request):
    inventory = request.config.getoption("ansible_inventory")
    name = host.backend.host
    other = {"scratch12": "scratch13", "scratch13": "scratch12"}[name]
    peer = testinfra.get_host(f"ansible://{other}", ansible_inventory=inventory)
    start(host, "flush-serve", SERVE)
    session = Session(host, peer, host.ansible.get_variables()["lab_addresses"]["scratch"])
    session.open()
    yield session
    peer.run("kill $(cat /run/flush-talk.pid); rm -f /run/flush*")
    host.run("kill $(cat /run/flush-serve.pid); rm -f /run/flush*")


@pytest.fixture(name="apply")
def fixture_apply(host, run_module):
    """apply(rules, flush_established) -> the module's answer; the ruleset of converge.yml is back in the end."""
    with open("converge.yml", encoding="utf-8") as file:
        arguments = yaml.safe_load(file)[0]["tasks"][0]["bulkhead.tiers.ufw_ruleset"]

    def apply(rules, flush):
        wish = {**arguments, "rules": rules, "flush_established": flush}
        return run_module(host.backend.host, "bulkhead.tiers.ufw_ruleset", wish, check=False)

    yield lambda keep, flush: apply([rule for rule in arguments["rules"] if keep or "8000" not in str(rule)], flush)
    apply(arguments["rules"], False)


def test_a_connection_outlives_its_rule_unless_the_task_cuts_it(session, apply):
    assert session.lives(), "the connection is there"
    answer = apply(keep=False, flush=False)
    assert answer["flushed"] == 0 and any("8000" in rule for rule in answer["removed"])
    assert not session.can_be_opened(), "the rule is gone"
    assert session.lives(), "what is established stays"

    apply(keep=True, flush=False)
    assert session.lives()
    assert apply(keep=False, flush=True)["flushed"] >= 1
    assert not session.lives(), "it was cut"
    assert not session.can_be_opened()


def test_a_connection_that_is_still_let_in_is_not_cut(session, apply):
    assert session.lives()
    answer = apply(keep=True, flush=True)
    assert (answer["changed"], answer["flushed"]) == (False, 0)
    session.host.check_output("ufw allow 9999/tcp")
    answer = apply(keep=True, flush=True)
    assert answer["changed"] is True and answer["flushed"] == 0
    assert session.lives()
