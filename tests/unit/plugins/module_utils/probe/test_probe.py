from __future__ import annotations

import socket

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.hostnet import _address, bound_ports, own_addresses
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.probe import (
    ANSWERS,
    ASKS,
    answer,
    probe_all,
    question,
    read_answer,
    read_question,
)


def test_a_question_and_its_answer_are_read_as_they_were_written():
    assert read_question("run", question("run", "mgmt1/7")) == "mgmt1/7"
    assert read_answer("run", answer("run", "mgmt1/7", "mon 1", "10.0.1.1", "10.0.3.1", 22)) == {
        "id": "mgmt1/7",
        "name": "mon 1",
        "peer": "10.0.1.1",
        "at": "10.0.3.1",
        "port": 22,
    }


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        answer("other", "1", "a", "b", "c", 1),
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
    assert read_question("run", answer("run", "1", "a", "b", "c", 1)) is None


def test_no_jobs_give_no_results():
    assert probe_all([], "run", 0.1) == []


def test_an_address_that_is_not_the_host_s_own_cannot_be_a_source():
    job = {"id": "1", "proto": "tcp", "source": "192.0.2.1", "dest": "127.0.0.1", "port": 9}
    assert [result["verdict"] for result in probe_all([job], "run", 0.2)] == ["NO_ROUTE"]


def test_results_keep_the_order_of_the_jobs_and_what_has_no_value_is_left_out():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        jobs = [
            {"id": "open", "proto": "tcp", "source": None, "dest": "127.0.0.1", "port": port, "service": True},
            {"id": "mute", "proto": "tcp", "source": None, "dest": "127.0.0.1", "port": port},
        ]
        opened, mute = probe_all(jobs, "run", 0.3)
    assert (
        opened["id"] == "open" and opened["verdict"] == "ALLOWED" and set(opened) == {"id", "verdict", "ms", "detail"}
    )
    assert mute["id"] == "mute" and mute["verdict"] == "MISDIRECTED"


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
    assert not [found for found in own_addresses() if found["address"].startswith(("127.", "fe80:"))]
