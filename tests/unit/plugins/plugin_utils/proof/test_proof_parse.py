from __future__ import annotations

import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Icmp, Job, Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import (
    Address,
    Heard,
    Hears,
    Listening,
    Noted,
    Socket,
    Stopped,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import (
    MOST_ADDRESSES,
    MOST_SERVICES,
    Malformed,
    parse_address,
    parse_heard,
    parse_listening,
    parse_result,
    parse_stopped,
)

JOB = Job("1/2", "tcp", "10.0.3.11", 22, "10.0.1.11", "mon1", True, False, True)
RESULT = Result("1/2", Verdict.REJECTED, 0.3, "ICMP 3/3 from 10.0.3.11", icmp=Icmp(3, 3, "10.0.3.11"))
SOCKET = Socket("tcp", "10.0.3.11", 22)
LISTENING = Listening(
    (Address("10.0.3.11", 24, "eth0", False),),
    (Address("8.8.8.8", 32, "lo", False),),
    (Noted(SOCKET, "sshd"),),
    (Noted(Socket("udp", "10.0.3.11", 53), "Permission denied"),),
    Hears(True, False, "Operation not permitted"),
    7,
    True,
)
HEARD = Heard("10.0.1.11", "10.0.3.11", "tcp", (22, 9999))
STOPPED = Stopped(True, 1, 2, (HEARD,), (HEARD,), ())


def through_json(value):
    return json.loads(json.dumps(value))


def test_each_type_is_read_as_it_was_written():
    assert Job.from_dict(through_json(JOB.to_dict())) == JOB
    assert parse_result(through_json(RESULT.to_dict())) == RESULT
    assert parse_listening(through_json(LISTENING.to_dict())) == LISTENING
    assert parse_stopped(through_json(STOPPED.to_dict())) == STOPPED
    assert parse_stopped(through_json(Stopped().to_dict())) == Stopped()


RESULTS = [
    ("verdict", "ONE_WAY"),
    ("verdict", None),
    ("verdict", 1),
    ("ms", "1"),
    ("ms", True),
    ("ms", -1),
    ("ms", 1e300),
    ("ms", float("nan")),
    ("ms", float("inf")),
    pytest.param("ms", 10**5000, id="ms-of-5000-digits"),
    ("id", 7),
    ("detail", ["x"]),
    ("peer", "nowhere"),
    ("peer", "10.0.0.01"),
    ("peer", "1" * 5000),
    ("mac", {}),
    ("icmp", []),
    ("icmp", {"type": 300, "code": 0, "from": "10.0.0.1"}),
    ("icmp", {"type": 3, "code": True, "from": "10.0.0.1"}),
]


@pytest.mark.parametrize(("key", "value"), RESULTS)
def test_a_result_of_other_types_or_bounds_is_malformed(key, value):
    with pytest.raises(Malformed):
        parse_result({**RESULT.to_dict(), key: value})


@pytest.mark.parametrize("value", [None, [], "x", 7, {}])
def test_what_is_no_mapping_at_all_is_malformed(value):
    for parse in (parse_result, parse_heard, parse_address):
        with pytest.raises(Malformed):
            parse(value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("addresses", {}),
        ("addresses", [{"address": "10.0.3.11", "prefix": 33, "interface": "eth0", "bridge": False}]),
        ("addresses", [{"address": "10.0.3.11", "prefix": 24, "interface": "eth0", "bridge": "no"}]),
        ("addresses", [LISTENING.addresses[0].to_dict()] * (MOST_ADDRESSES + 1)),
        ("services", [Noted(SOCKET, "x").to_dict("process")] * (MOST_SERVICES + 1)),
        ("services", [{"proto": "icmp", "address": "10.0.3.11", "port": 22}]),
        ("services", [{"proto": "tcp", "address": "10.0.3.11", "port": 0}]),
        ("services", [{"proto": "tcp", "address": "10.0.3.11", "port": 10**5000}]),
        ("hears", {"wire": 1}),
        ("hears", None),
        ("replaced", "yes"),
    ],
)
def test_a_listener_s_words_of_other_types_or_bounds_are_malformed(key, value):
    with pytest.raises(Malformed):
        parse_listening({**LISTENING.to_dict(), key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("running", 1),
        ("lost", -1),
        ("lost", None),
        ("lost_wire", True),
        ("passed", {"10.0.1.11 10.0.3.11 tcp": [22]}),
        ("arrived", [{**HEARD.to_dict(), "ports": [0]}]),
        ("arrived", [{**HEARD.to_dict(), "ports": ["22"]}]),
        ("left", [{**HEARD.to_dict(), "source": "mon1"}]),
    ],
)
def test_what_was_heard_of_other_types_or_bounds_is_malformed(key, value):
    with pytest.raises(Malformed):
        parse_stopped({**STOPPED.to_dict(), key: value})


def test_foreign_text_is_printable_and_bounded():
    result = parse_result({**RESULT.to_dict(), "detail": "\x1b[2J\u202e" + "x" * 100000})
    assert result.detail.isprintable() and len(result.detail) < 400
    listening = parse_listening(
        {
            **LISTENING.to_dict(),
            "services": [{"proto": "tcp", "address": "10.0.3.11", "port": 22, "process": "\x1b]0;x\x07"}],
        }
    )
    assert listening.services[0].text == "\\x1b]0;x\\x07"


def test_a_malformed_value_is_quoted_printable_and_short():
    with pytest.raises(Malformed) as error:
        parse_result({**RESULT.to_dict(), "verdict": "\x1b[2J" * 1000})
    assert str(error.value).isprintable() and len(str(error.value)) < 300
