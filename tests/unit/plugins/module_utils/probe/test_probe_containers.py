"""The containers of a host, by an engine's recorded answers. That a namespace is entered: tests/integration/test_prove_containers.py."""

from __future__ import annotations

import os
import socket
import threading

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe import containers
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.containers import EngineError, enter, running

HEAD = "HTTP/1.0 {}\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\nServer: Docker/20.10.24+dfsg1 (linux)\r\n\r\n"
# Engine 20.10.24, what is not read left out.
TWO = """[{"Id":"553de27587285ba7d7b3e25ca12034e41c8e08dd88b171c8c944d5094932f375","Names":["/live-2"],"State":"running",
"NetworkSettings":{"Networks":{"live":{"IPAMConfig":{"IPv4Address":"10.213.1.12"},"Links":null,"Gateway":"10.213.1.1",
"IPAddress":"10.213.1.12","IPPrefixLen":24,"IPv6Gateway":"fd00:213:1::1","GlobalIPv6Address":"fd00:213:1::12"}}},
"Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},{"IP":"::","PrivatePort":80,"PublicPort":8080,
"Type":"tcp"},{"PrivatePort":443,"Type":"tcp"}]},
{"Id":"6e4e11346e4bc0beb11087d75e49f50a2f598718a874dd0b20cc5a626e856c5c","Names":["/live-1"],"State":"running",
"NetworkSettings":{"Networks":{"live":{"IPAddress":"10.213.1.11","GlobalIPv6Address":""},
"other":{"IPAddress":"10.9.9.9","GlobalIPv6Address":""}}}}]"""
STATE = '{"State":{"Status":"running","Running":%s,"Pid":%d}}'


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Serves answers, one for each connection, at the engine's place; returns the requests that came."""
    path = str(tmp_path / "docker.sock")
    monkeypatch.setattr(containers, "ENGINE", path)
    asked = []

    def serve(*answers):
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen(8)

        def work():
            for text in answers:
                with server.accept()[0] as connection:
                    asked.append(connection.recv(1000).decode())
                    for at in range(0, len(text), 100):  # it comes in pieces
                        connection.sendall(text[at : at + 100].encode())

        threading.Thread(target=work, daemon=True).start()
        return asked

    return serve


def answer(body, status="200 OK"):
    return HEAD.format(status) + body


def test_the_containers_on_a_network_are_listed_by_name_with_their_addresses_there(engine):
    asked = engine(answer(TWO))
    found = running(["live"])
    assert [(one.name, one.networks) for one in found] == [
        ("live-1", {"live": ["10.213.1.11"]}),
        ("live-2", {"live": ["10.213.1.12", "fd00:213:1::12"]}),
    ]
    assert [one.published for one in found] == [[], [("tcp", 8080)]]
    assert asked == ["GET /containers/json HTTP/1.0\r\nHost: docker\r\n\r\n"]


def test_a_host_without_an_engine_has_none(engine):
    assert running(["live"]) == []


@pytest.mark.parametrize("text", [answer("", "500 Internal Server Error"), answer("no json"), "", "HTTP/1.0", HEAD])
def test_an_engine_that_does_not_answer_as_one_is_an_error(engine, text):
    engine(text)
    with pytest.raises(EngineError):
        running(["live"])


@pytest.mark.parametrize(
    "states",
    [
        [STATE % ("false", 0)],
        [STATE % ("true", 0)],
        [STATE % ("true", os.getpid())] * 2,  # its network is the host's own
        [STATE % ("true", os.getpid()), STATE % ("true", 1 << 22)],  # another process has its number by now
    ],
    ids=["ended", "no process", "the host's network", "another process"],
)
def test_what_is_not_for_sure_a_container_s_own_namespace_is_not_entered(engine, states, monkeypatch):
    engine(*map(answer, states))
    before = os.stat("/proc/self/ns/net").st_ino
    with pytest.raises(EngineError):
        enter("553de27587")
    assert os.stat("/proc/self/ns/net").st_ino == before


def test_a_container_s_id_is_no_path_of_the_engine_s(engine):
    asked = engine(answer(STATE % ("false", 0)))
    with pytest.raises(EngineError):
        enter("../images/x?y")
    assert asked[0].startswith("GET /containers/..%2Fimages%2Fx%3Fy/json ")
