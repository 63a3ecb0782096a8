# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A server in MAAS's place that holds, floods, or lies: a bounded run, one clear error, nothing of it on a terminal."""

from __future__ import annotations

import copy
import itertools
import json
import socket
import threading

import pytest
from maas_server import harness
from maas_server.region import Reply
from maas_server.serve import Fault

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas import transport
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.run import failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import read
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import MaasError
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.maas.region import report

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture
def server():
    """server(chunks): the URL of a server that sends these chunks to whoever asks, one every 20 ms, until it is cut."""
    listener = socket.create_server(("127.0.0.1", 0))
    gone = threading.Event()

    def serve(chunks):
        def answer():
            while not gone.is_set():
                try:
                    peer, _address = listener.accept()
                except OSError:
                    return
                with peer:
                    try:
                        peer.recv(65536)
                        for chunk in chunks():
                            peer.sendall(chunk)
                            if gone.wait(0.02):
                                return
                    except OSError:
                        continue

        threading.Thread(target=answer, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    gone.set()
    listener.close()


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        HEAD + b"Content-Length: 100000\r\n\r\n[",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\n",
    ],
    ids=["before the status line", "in the headers", "in a body of known length", "in a chunk"],
)
@pytest.mark.parametrize("method", ["get", "put"])
def test_a_server_that_sends_a_byte_now_and_then_is_cut_when_the_time_of_the_whole_answer_is_over(
    server, start, method
):
    url = server(lambda: itertools.chain([start] if start else [], itertools.repeat(b"x")))
    client = harness.socket_client(url, harness.front(), timeout=0.3, retries=1)
    with pytest.raises(MaasError, match="no whole answer within 0.[36] s"):
        client.get("fabrics/") if method == "get" else client.put("vlans/1/", {"mtu": 1500})


@pytest.mark.parametrize(
    "head",
    [b"Content-Length: 99999999999\r\n\r\n", b"\r\n", b"Transfer-Encoding: chunked\r\n\r\n"],
    ids=["with its length", "to the end of the connection", "in chunks"],
)
def test_an_answer_without_an_end_is_given_up_at_its_bound(server, head, monkeypatch):
    monkeypatch.setattr(transport, "LARGEST_BODY", 300_000)
    block = b"x" * 65536
    if b"chunked" in head:
        block = b"10000\r\n" + block + b"\r\n"
    url = server(lambda: itertools.chain([HEAD + head], itertools.repeat(block)))
    with pytest.raises(MaasError, match="an answer of more than"):
        harness.socket_client(url, harness.front(), timeout=60).get("fabrics/")


def answering(path, body, content_type="application/json; charset=utf-8", status=200):
    """A client of a region whose list at ``path`` is this one."""
    front = harness.front()
    reply = Reply(status, body, content_type)
    front.faults = lambda index, method, asked: Fault("status", reply=reply) if asked == path else None
    return harness.client(front, retries=0)


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "1" * 5000, '{"a":' * 100_000, "\x00", ""], ids=["nested", "digits", "maps", "nul", "empty"]
)
def test_an_answer_that_no_parser_survives_is_one_error(text):
    with pytest.raises(MaasError, match="not JSON"):
        answering("fabrics/", text, "text/plain").get("fabrics/")


def lists():
    """What a sound region answers for each list that a report reads."""
    front = harness.front()
    harness.run(
        front,
        {
            "spaces": [{"name": "dmz"}],
            "fabrics": [
                {
                    "name": "gough",
                    "vlans": [
                        {"vid": 10, "subnets": [{"cidr": "10.0.1.0/24"}]},
                        {
                            "vid": 20,
                            "space": "dmz",
                            "subnets": [
                                {
                                    "cidr": "10.0.2.0/24",
                                    "ranges": [{"type": "dynamic", "start_ip": "10.0.2.9", "end_ip": "10.0.2.20"}],
                                    "static_routes": [{"destination": "10.0.1.0/24", "gateway_ip": "10.0.2.3"}],
                                }
                            ],
                        },
                    ],
                }
            ],
        },
    )
    names = ("fabrics/", "subnets/", "ipranges/", "spaces/", "static-routes/", "rackcontrollers/", "nodes/")
    return {name: front.region.handle("GET", name, {}).body for name in names}


SOUND = lists()
WRONG = [None, True, -7, 2**70, 1.5, "", "\x1b[2J\x9b31m", "x" * 100_000, [], [[]], {}, {"id": {}}]


def places(value, path=()):
    """The path of every value in a list of things, of its first item."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def changed(value, path, new):
    made = copy.deepcopy(value)
    if not path:
        return new
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = new
    return made


@pytest.mark.parametrize("name", sorted(SOUND))
def test_a_wrong_value_at_any_place_of_any_list_is_an_error_that_names_it_or_harmless(name):
    refused = 0
    for path in places(SOUND[name]):
        for wrong in WRONG:
            client = answering(name, changed(SOUND[name], path, wrong))
            try:
                client.get("spaces/") if name == "nodes/" else report(harness.asking(client), {})
            except MaasError as error:
                text = json.dumps(failure(error), ensure_ascii=False)
                assert "\x1b" not in text and "\x9b" not in text and len(text) < 2000
                refused += "from MAAS" in text or "no such field" in text
    assert refused or name == "nodes/"


@pytest.mark.parametrize("name", ["fabrics/", "subnets/", "ipranges/"])
def test_a_missing_field_is_named(name):
    body = copy.deepcopy(SOUND[name])
    del body[0]["id"]
    with pytest.raises(MaasError, match=rf"{name[:-1]}\[0\].id: got no such field; expected it"):
        read(answering(name, body))


@pytest.mark.parametrize("status", [400, 403, 404, 302, 418])
def test_what_a_server_says_is_shown_without_its_control_characters(status):
    reply = Reply(status, "\x1b]0;owned\x07\nline\u202e", "text/plain", {"Location": "http://x/\x1b[2J"})
    front = harness.front(faults=lambda *request: Fault("status", reply=reply))
    with pytest.raises(MaasError) as caught:
        harness.client(front).get("fabrics/")
    assert str(caught.value).isprintable()
