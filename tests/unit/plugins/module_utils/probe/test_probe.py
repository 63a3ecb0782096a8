from __future__ import annotations

import contextlib
import socket
import threading

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Verdict, question, read_answer
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.hostnet import _address, bound_ports, own_addresses
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import (
    ANSWERS,
    ASKS,
    answer,
    code_of,
    read_question,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import AGAIN, probe_all


def test_a_question_and_its_answer_are_read_as_they_were_written():
    assert read_question("run", question("run", "mgmt1/7")) == "mgmt1/7"
    assert read_answer("run", answer("run", b"key", "tcp", "1/7", "mon 1", "10.0.1.1", "10.0.3.1", 22)) == {
        "id": "1/7",
        "name": "mon 1",
        "peer": "10.0.1.1",
        "at": "10.0.3.1",
        "port": 22,
        "mac": code_of(b"key", "run", "tcp", "1/7", "mon 1", "10.0.1.1", "10.0.3.1", 22),
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        answer("other", b"key", "tcp", "1", "a", "b", "c", 1),
        ANSWERS + b"run {",
        ANSWERS + b"run []",
        ANSWERS + b"run \xff",
        question("run", "1"),
    ],
)
def test_what_is_not_an_answer_of_this_run_is_none(data):
    assert read_answer("run", data) is None


def test_an_answer_is_never_read_as_a_question():
    assert ASKS != ANSWERS and len(ASKS) == len(ANSWERS) == 4
    assert read_question("run", answer("run", b"key", "tcp", "1", "a", "b", "c", 1)) is None


def test_no_jobs_give_no_results():
    assert probe_all([], "run", 0.1) == []


def test_an_address_that_is_not_the_host_s_own_cannot_be_a_source():
    job = Job("1", "tcp", "127.0.0.1", 9, source="192.0.2.1")
    assert [result.verdict for result in probe_all([job], "run", 0.2)] == [Verdict.NO_ROUTE]


def test_results_are_found_by_their_id_and_what_has_no_value_is_left_out():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        jobs = [Job("open", "tcp", "127.0.0.1", port, service=True), Job("mute", "tcp", "127.0.0.1", port)]
        found = {result.id: result for result in probe_all(jobs, "run", 0.1)}
    assert found["open"].verdict is Verdict.ALLOWED and set(found["open"].to_dict()) == {
        "id",
        "verdict",
        "ms",
        "detail",
    }
    assert found["mute"].verdict is Verdict.MISDIRECTED


@pytest.mark.parametrize("again", [True, False])
def test_an_answer_that_is_late_is_waited_for_where_one_is_expected(again):
    """The first question is answered long after its time."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        job = Job("1", "udp", "127.0.0.1", port, again=again, host="me")
        asked = []

        def serve():
            while True:
                data, peer = server.recvfrom(1024)
                if data == b"end":
                    return
                asked.append(peer)
                if len(set(asked)) > 1:
                    server.sendto(answer("run", b"key", "udp", "1", "me", peer[0], "127.0.0.1", port), peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            (result,) = probe_all([job], "run", 0.2)
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.sendto(b"end", ("127.0.0.1", port))
            thread.join()
    assert result.verdict is (Verdict.ALLOWED if again else Verdict.DROPPED)


def test_what_is_never_answered_is_asked_a_bounded_number_of_times():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        (result,) = probe_all([Job("1", "udp", *server.getsockname(), again=True)], "run", 0.05)
        server.setblocking(False)
        peers = set()
        with contextlib.suppress(BlockingIOError):
            while True:
                peers.add(server.recvfrom(1024)[1])
    assert result.verdict is Verdict.DROPPED and len(peers) == 1 + AGAIN


@pytest.mark.parametrize(
    "said", [b"[]", b"{}", b'{"id": {}}', b'{"id": "1", "name": ["\x1b[2J"], "at": {}, "port": null}']
)
def test_an_answer_of_other_types_ends_no_prober(said):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        job = Job("1", "udp", *server.getsockname(), host="me")

        def serve():
            peer = server.recvfrom(1024)[1]
            server.sendto(ANSWERS + b"run " + said + b"\n", peer)

        thread = threading.Thread(target=serve)
        thread.start()
        (result,) = probe_all([job], "run", 0.3)
        thread.join()
    assert result.verdict in (Verdict.MISDIRECTED, Verdict.DROPPED)
    assert result.detail.isprintable()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F", "127.0.0.1"),
        ("0B03000A", "10.0.3.11"),
        ("00000000", "0.0.0.0"),
        ("00000000000000000000000001000000", "::1"),
        ("B80D0120000000000000000001000000", "2001:db8::1"),
    ],
)
def test_addresses_of_proc_net_are_read_in_the_machine_s_byte_order(text, address):
    assert _address(text) == address


def test_a_socket_that_listens_is_found_with_its_process():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
    ):
        datagrams.bind(("127.0.0.1", 0))
        found = bound_ports()
        assert found["tcp", "127.0.0.1", server.getsockname()[1]]
        assert ("udp", "127.0.0.1", datagrams.getsockname()[1]) in found


def test_loopback_and_link_local_addresses_are_not_told():
    assert not [found for found in own_addresses() if found.address.startswith(("127.", "fe80:"))]
