"""Waiting for a node, by what it says of itself."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale import waiting
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.waiting import NotUp, wait_for

LOGIN = "You are logged out. The last login error was: invalid key"
PEERS = "Some peers are advertising routes but --accept-routes is false"


class Daemon:
    """Says one state after the other, the last one for good; time passes with each look."""

    def __init__(self, monkeypatch, *says):
        self.says, self.now, self.looks = list(says), 0.0, 0
        monkeypatch.setattr(waiting, "time", self)

    def get(self, what):
        self.looks += 1
        return self.says.pop(0) if len(self.says) > 1 else self.says[0]

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def state(name, *health, **more):
    return {"BackendState": name, "Health": list(health), **more}


def is_running(status):
    return status.state == "Running"


def test_a_login_that_is_refused_is_not_waited_for_to_the_end(monkeypatch):
    daemon = Daemon(monkeypatch, state("NeedsLogin"), state("NeedsLogin", LOGIN))
    with pytest.raises(NotUp, match="invalid key"):
        wait_for(daemon, is_running, 60, "https://headscale.example", key=True)
    assert waiting.REFUSED_FOR < daemon.now < 2 * waiting.REFUSED_FOR + 2


def test_a_control_server_that_is_restarted_is_got_over(monkeypatch):
    daemon = Daemon(monkeypatch, *[state("NeedsLogin", LOGIN)] * 5, state("Running"))
    assert wait_for(daemon, is_running, 60, "", key=True).state == "Running"


def test_a_node_that_is_up_says_that_its_new_login_is_refused(monkeypatch):
    daemon = Daemon(monkeypatch, state("Running", PEERS), state("Running", PEERS, LOGIN))
    with pytest.raises(NotUp) as error:
        wait_for(daemon, lambda status: False, 60, "", key=True, known=[PEERS])
    assert daemon.now < 20 and error.value.mistakes[0].kind == "login"


def test_what_was_wrong_before_says_nothing_of_a_login_that_takes_its_time(monkeypatch):
    daemon = Daemon(monkeypatch, *[state("Running", PEERS)] * 40, state("Running", PEERS, Self={"PublicKey": "new"}))
    found = wait_for(daemon, lambda status: status.public_key == "new", 60, "", key=True, known=[PEERS])
    assert found.public_key == "new" and daemon.now > 2 * waiting.REFUSED_FOR


def test_a_wait_without_a_key_goes_on_to_its_end(monkeypatch):
    daemon = Daemon(monkeypatch, state("Starting", "no DERP"))
    with pytest.raises(NotUp, match="no DERP"):
        wait_for(daemon, is_running, 60, "")
    assert daemon.now >= 60
