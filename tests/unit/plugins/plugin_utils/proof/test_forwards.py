from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import code_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import checked
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import Status

WORLD, PUMP1, OUTER = "203.0.113.10", "10.0.2.11", "203.0.113.1"


def jobs_to(lab, dest, port, name="world"):
    return [job for job in lab.jobs(name) if (job.dest, job.proto, job.port) == (dest, "tcp", port)]


def test_a_forwarded_port_is_asked_of_the_gateway_and_answered_by_the_host_behind_it(nat_lab):
    (job,) = [job for job in jobs_to(nat_lab, OUTER, 2222) if job.source == WORLD]
    assert (job.host, job.again) == ("pump1", True)
    arriving = job.arriving
    assert (arriving.dest, arriving.port, arriving.id) == (PUMP1, 22, job.id)
    key = b"pump1"
    mac = code_of(key, "run", "tcp", job.id, "pump1", WORLD, PUMP1, 22)
    answer = Result(job.id, Verdict.ALLOWED, mac=mac)
    assert checked(job, answer, key, "run").verdict is Verdict.ALLOWED
    assert checked(job, answer, b"router", "run").verdict is Verdict.MISDIRECTED


def test_what_is_forwarded_is_as_declared_and_nothing_beside_it_is(nat_lab):
    proof = nat_lab.proof()
    assert proof.holds and set(proof.count) == {Status.ALLOWED, Status.DENIED}
    for port in (2221, 2223):
        found = [
            one for one in proof.verdicts if (one.source.address, one.dest.address, one.port) == (WORLD, OUTER, port)
        ]
        assert [one.status for one in found if one.proto == "tcp"] == [Status.DENIED]


def test_a_forward_that_does_not_work_fails_the_proof(nat_lab):
    nat_lab.verdicts[WORLD, PUMP1, "tcp", 22] = "DROPPED"
    assert not nat_lab.proof().holds


@pytest.mark.parametrize("limit", [False, True])
@pytest.mark.parametrize("direct", [True, False], ids=["a direct way is open", "there is no direct way"])
def test_a_forward_without_its_translation_is_blocked_although_it_is_declared(nat_lab_of, limit, direct):
    lab = nat_lab_of(limit)
    lab.untranslated.add((OUTER, 2222))
    if not direct:
        lab.verdicts[WORLD, PUMP1, "tcp", 22] = "DROPPED"
        lab.silent.add("world")
    found = [
        one for one in lab.proof().verdicts if one.asked and one.source.address == WORLD and one.asked.address == OUTER
    ]
    assert [(one.status, one.ended) for one in found] == [(Status.BLOCKED, "router")]
    assert found[0].cause.startswith(
        f"router was asked at {OUTER} port 2222, and did not forward it to {PUMP1} port 22"
    )


def test_a_source_that_comes_outside_as_it_is_is_blocked_where_a_masquerade_is_declared(nat_lab):
    nat_lab.masquerades = False
    wrong = [one for one in nat_lab.proof().verdicts if one.status is not Status.DENIED and one.dest.host == "world"]
    assert wrong and {(one.status, one.source.host) for one in wrong} == {(Status.BLOCKED, "desk")}
    assert all("router does not masquerade it" in one.cause for one in wrong)


def test_what_is_forwarded_to_a_host_that_is_no_part_of_the_proof_is_named(nat_lab_of):
    assert nat_lab_of(to="10.0.2.99").forwards.unproven == ["10.0.2.99"] and nat_lab_of().forwards.unproven == []


def test_who_the_flow_does_not_name_is_not_forwarded(nat_lab):
    assert jobs_to(nat_lab, OUTER, 2222, "desk")
    assert all(job.arriving == job and job.host == "router" for job in jobs_to(nat_lab, OUTER, 2222, "desk"))


def test_a_real_service_outside_sees_the_gateway_s_address_in_the_place_of_a_masqueraded_host_s(nat_lab):
    nat_lab.services["world"]["tcp", WORLD, 443] = "nginx"
    assert nat_lab.proof().holds
    nat_lab.silent.add("desk")
    nat_lab.passes["10.0.1.11", WORLD, "tcp", 443] = False
    wrong = [one for one in nat_lab.proof().verdicts if one.status is Status.MISDIRECTED]
    assert [(one.source.host, one.dest.address, one.port) for one in wrong] == [("desk", WORLD, 443)]
    nat_lab.claimed["world"] = [(OUTER, WORLD, "tcp", 443)]
    assert not [one for one in nat_lab.proof().verdicts if one.status is Status.MISDIRECTED]
