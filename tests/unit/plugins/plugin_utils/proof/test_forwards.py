from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Result, Verdict, code_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import checked
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import Status

WORLD, PUMP1, OUTER = "203.0.113.10", "10.0.2.11", "203.0.113.1"


def jobs_to(lab, dest, port, name="world"):
    return [job for job in lab.jobs(name) if (job.dest, job.proto, job.port) == (dest, "tcp", port)]


def test_a_forwarded_port_is_asked_of_the_gateway_and_answered_by_the_host_behind_it(nat_lab):
    (job,) = [job for job in jobs_to(nat_lab, OUTER, 2222) if job.source == WORLD]
    assert (job.host, job.again) == ("pump1", True)
    arriving = nat_lab.forwards.arriving(job)
    assert (arriving.dest, arriving.port, arriving.id) == (PUMP1, 22, job.id)
    key = b"pump1"
    mac = code_of(key, "run", "tcp", job.id, "pump1", WORLD, PUMP1, 22)
    answer = Result(job.id, Verdict.ALLOWED, mac=mac)
    assert checked(arriving, answer, key, "run").verdict is Verdict.ALLOWED
    assert checked(arriving, answer, b"router", "run").verdict is Verdict.MISDIRECTED


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


def test_who_the_flow_does_not_name_is_not_forwarded(nat_lab):
    job = Job("1/1", "tcp", "10.0.1.11", OUTER, 2222, "router", True)
    assert nat_lab.forwards.arriving(job) == job
    assert all(job.host == "router" for job in jobs_to(nat_lab, OUTER, 2222, "desk"))


def test_a_real_service_outside_sees_the_gateway_s_address_in_the_place_of_a_masqueraded_host_s(nat_lab):
    nat_lab.services["world"]["tcp", WORLD, 443] = "nginx"
    assert nat_lab.proof().holds
    nat_lab.silent.add("desk")
    nat_lab.passes["10.0.1.11", WORLD, "tcp", 443] = False
    wrong = [one for one in nat_lab.proof().verdicts if one.status is Status.MISDIRECTED]
    assert [(one.source.host, one.dest.address, one.port) for one in wrong] == [("desk", WORLD, 443)]
    nat_lab.claimed["world"] = [(OUTER, WORLD, "tcp", 443)]
    assert not [one for one in nat_lab.proof().verdicts if one.status is Status.MISDIRECTED]
