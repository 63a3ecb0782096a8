"""The client of tailscaled's socket: what it sends, and one clear error for all that a daemon may do."""

from __future__ import annotations

import socket

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale import localapi
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import DaemonError, LocalApi
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.tailscale.standin import (
    NEEDS_LOGIN,
    StandIn,
    answer_of,
)


@pytest.fixture(name="daemon")
def fixture_daemon(tmp_path):
    with StandIn(tmp_path, NEEDS_LOGIN) as daemon:
        yield daemon


def ask(daemon, timeout=5.0):
    return LocalApi(daemon.path, timeout)


def kind(call, *words):
    with pytest.raises(DaemonError) as error:
        call(*words)
    (mistake,) = error.value.mistakes
    assert mistake.remedy and "\n" not in str(mistake)
    return error.value.kind, str(mistake)


def test_one_connection_serves_every_request(daemon):
    api = ask(daemon)
    assert api.get("prefs")["CorpDNS"] is True
    assert api.patch("prefs", {"RunSSH": True, "RunSSHSet": True})["RunSSH"] is True
    assert api.post("login-interactive") is None
    assert api.requests == 3 and api.version == "1.98.9"
    api.close()


def test_a_refusal_is_told_in_the_daemon_s_own_words_as_they_were_recorded(daemon):
    api = ask(daemon)
    words = answer_of(NEEDS_LOGIN, "PATCH", "prefs", 0)
    daemon.faults["PATCH prefs"] = (words["status"], words["answer"])
    found, text = kind(api.patch, "prefs", {})
    assert found == "refused" and "route 10.0.0.1/24 has non-address bits set; expected 10.0.0.0/24" in text
    plain = answer_of(NEEDS_LOGIN, "PATCH", "prefs", 1)
    daemon.faults["PATCH prefs"] = (plain["status"], plain["answer"])
    assert "netip.ParsePrefix" in kind(api.patch, "prefs", {})[1], "not every refusal is JSON"


def test_a_user_who_may_not_write_is_told_how_to(daemon):
    daemon.faults["PATCH prefs"] = (403, "prefs write access denied\n")
    found, text = kind(ask(daemon).patch, "prefs", {})
    assert found == "denied" and "become: true" in text and "operator" in text


def test_half_an_answer_is_none(daemon):
    daemon.faults["GET prefs"] = "half"
    assert kind(ask(daemon).get, "prefs")[0] == "broken"


def test_an_answer_that_does_not_come_is_not_waited_for_without_an_end(daemon):
    daemon.faults["GET prefs"] = "silent"
    assert kind(ask(daemon, 0.3).get, "prefs")[0] == "silent"


def test_a_connection_that_broke_is_not_used_again(daemon):
    api = ask(daemon)
    daemon.faults["GET prefs"] = "half"
    kind(api.get, "prefs")
    daemon.faults.clear()
    assert api.get("prefs")["CorpDNS"] is True


@pytest.mark.parametrize("text", ["{", "<html>", "[" * 100_000])
def test_what_is_no_json_is_an_error(daemon, text):
    daemon.faults["GET prefs"] = (200, text)
    assert kind(ask(daemon).get, "prefs")[0] == "broken"


def test_an_answer_without_an_end_is_cut(daemon, monkeypatch):
    monkeypatch.setattr(localapi, "LARGEST", 1000)
    daemon.faults["GET prefs"] = (200, "[" + "1," * 2000 + "1]")
    found, text = kind(ask(daemon).get, "prefs")
    assert found == "broken" and "more than 1000 bytes" in text


def test_a_long_refusal_is_cut_and_the_next_request_has_its_own_answer(daemon):
    api = ask(daemon)
    daemon.faults["PATCH prefs"] = (500, "\x1b[31mno " * 5000)
    found, text = kind(api.patch, "prefs", {})
    assert found == "refused" and len(text) < 2000 and "\x1b" not in text
    assert api.get("prefs")["CorpDNS"] is True


def test_a_missing_socket_is_an_error_with_what_to_start(tmp_path):
    found, text = kind(LocalApi(str(tmp_path / "none")).get, "prefs")
    assert found == "missing" and "systemctl enable --now tailscaled" in text


def test_a_host_without_a_tun_device_is_told_that_it_needs_one(monkeypatch, tmp_path):
    monkeypatch.setattr(localapi, "_TUN", str(tmp_path / "tun"))
    monkeypatch.setattr(localapi, "SOCKET", str(tmp_path / "sock"))
    found, text = kind(LocalApi(str(tmp_path / "sock")).get, "prefs")
    assert found == "missing" and "modprobe tun" in text and "userspace-networking" in text


def test_a_daemon_that_ends_is_no_daemon_that_refuses_the_settings(daemon, monkeypatch, tmp_path):
    daemon.faults["GET prefs"] = (503, "no backend\n")
    found, text = kind(ask(daemon).get, "prefs")
    assert found == "broken" and "503: no backend" in text and "systemctl enable --now tailscaled" in text, text
    monkeypatch.setattr(localapi, "_TUN", str(tmp_path / "tun"))
    monkeypatch.setattr(localapi, "SOCKET", daemon.path)
    assert "modprobe tun" in kind(ask(daemon).get, "prefs")[1]


def test_a_socket_that_no_process_has_open_is_a_daemon_that_was_stopped(tmp_path):
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    assert kind(LocalApi(path).get, "prefs")[0] == "stopped"
    (tmp_path / "file").touch()
    assert kind(LocalApi(str(tmp_path / "file")).get, "prefs")[0] == "stopped"


def test_a_path_that_is_too_long_for_a_socket_is_an_error_too(tmp_path):
    assert kind(LocalApi(str(tmp_path / ("x" * 200))).get, "prefs")[0] == "broken"
