from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe import start
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Result, Socket, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import code_of

SSH, DNS = Socket("tcp", "10.0.3.11", 22), Socket("udp", "10.0.3.11", 53)
KEY = b"k" * 32


def signed(job):
    mac = code_of(KEY, "run", job.proto, job.id, "mon1", "10.0.3.11", job.dest, job.port)
    return Result(job.id, Verdict.ALLOWED, peer="10.0.3.11", mac=mac)


@pytest.fixture(name="rounds")
def fixture_rounds(monkeypatch):
    """What each round of controls finds: a list of {port: verdict}, all others are answered; it becomes what was asked."""
    script, asked = [], []

    def probe_all(jobs, token, timeout):
        found = script[len(asked)] if len(asked) < len(script) else {}
        asked.append((sorted(job.port for job in jobs), timeout))
        return [Result(job.id, found[job.port]) if job.port in found else signed(job) for job in jobs]

    monkeypatch.setattr(start, "probe_all", probe_all)
    return script, asked


def control(services=()):
    return start._self_control("run", "mon1", KEY, {SSH, DNS}, services)


def test_controls_that_are_answered_are_asked_once(rounds):
    assert control() == {} and rounds[1] == [([22, 53], 1.0)]


@pytest.mark.parametrize("late", [Verdict.DROPPED, Verdict.MISDIRECTED, Verdict.INCONCLUSIVE])
def test_a_control_that_is_late_is_asked_again_with_more_patience(rounds, late):
    script, asked = rounds
    script += [{22: late, 53: late}, {53: late}]
    assert control() == {}
    assert asked == [([22, 53], 1.0), ([22, 53], 2.0), ([53], 4.0)]


def test_a_control_that_is_never_answered_is_given_up_after_a_bounded_time(rounds):
    script, asked = rounds
    script += [{53: Verdict.DROPPED}] * 9
    assert control() == {DNS: "a probe from the host itself: DROPPED"}
    assert len(asked) == len(start.CONTROL_TIMEOUTS)


def test_a_refusal_is_not_late(rounds):
    script, asked = rounds
    script += [{22: Verdict.REJECTED}]
    assert control() == {SSH: "a probe from the host itself: REJECTED"} and len(asked) == 1


def test_an_answer_that_another_process_gives_is_no_control(monkeypatch):
    monkeypatch.setattr(start, "probe_all", lambda jobs, *_more: [signed(job)._replace(mac="0" * 32) for job in jobs])
    assert set(control()) == {SSH, DNS}
    assert set(control(services=[SSH, DNS])) == set()  # a service knows no key
