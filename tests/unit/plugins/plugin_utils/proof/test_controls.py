from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import (
    Address,
    Hears,
    Listening,
    Noted,
    Socket,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import code_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.controls import (
    as_service,
    controls_of,
    is_absent,
    never_sent,
    served,
    silent,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import checked

OWN, OWN6 = "10.0.3.11", "fd00::3"
SSH, DNS = Socket("tcp", OWN, 22), Socket("udp", OWN, 53)
PORTS = [("tcp", 22), ("udp", 53)]
KEY = b"k" * 32
HEARS = Hears(True, True)


def listening(*services, unusable=(), hears=HEARS, addresses=(OWN,)):
    return Listening(
        tuple(Address(address, 24, "eth0", False) for address in addresses),
        services=tuple(Noted(one, "") for one in services),
        unusable=tuple(Noted(one, "Permission denied") for one in unusable),
        hears=hears,
    )


def controls(said, ports=tuple(PORTS)):
    return {Socket(job.proto, job.dest, job.port): job for job in controls_of("mon1", 3, said, ports)}


def signed(job, key=KEY):
    mac = code_of(key, "run", job.proto, job.id, "mon1", OWN, job.dest, job.port)
    return checked(job, Result(job.id, Verdict.ALLOWED, peer=OWN, mac=mac), KEY, "run")


def test_every_socket_of_the_listener_and_every_service_is_probed_from_the_host_itself():
    exporter = Socket("tcp", OWN, 9100)
    found = controls(listening(exporter, SSH))
    assert set(found) == {SSH, DNS, exporter}
    assert {one for one, job in found.items() if job.service} == {SSH, exporter}
    assert all(job.source is None and job.host == "mon1" and job.listening for job in found.values())
    assert len({job.id for job in found.values()}) == 3 and all(job.id.startswith("3/self/") for job in found.values())


def test_what_could_not_be_bound_is_not_probed():
    assert set(controls(listening(unusable=[SSH]))) == {DNS}


def test_an_answer_that_is_late_is_asked_for_again():
    assert all(job.again for job in controls(listening()).values())
    assert all(job.again for job in controls(listening(SSH, DNS)).values())


@pytest.mark.parametrize("hears", [HEARS, Hears()])
def test_a_datagram_to_a_service_is_not_sent_again_where_no_listener_hears_it(hears):
    ntp, ntp6, web6 = Socket("udp", OWN, 123), Socket("udp", OWN6, 123), Socket("tcp", OWN6, 80)
    found = controls(listening(ntp, ntp6, web6, hears=hears), [])
    assert {one: job.again for one, job in found.items()} == {ntp: hears.passed, ntp6: hears.passed, web6: True}


def test_a_socket_that_answered_its_host_is_not_silent():
    assert silent([(job, signed(job)) for job in controls(listening()).values()]) == {}


def test_a_port_at_which_another_answers_the_host_itself_is_served_and_not_silent():
    pairs = [(job, Result(job.id, Verdict.MISDIRECTED, detail="no listener")) for job in controls(listening()).values()]
    assert served(pairs) == {SSH} and set(silent(pairs)) == {DNS}  # a connection tells, a datagram does not


def test_what_is_served_is_judged_as_a_service_and_a_listener_s_name_is_no_service():
    taken = Result("1", Verdict.MISDIRECTED, detail="what answered is not a listener of this run")
    job = Job("1", "tcp", OWN, 22)
    assert as_service(job, taken, {SSH}).verdict is Verdict.ALLOWED
    assert as_service(Job("1", "tcp", "10.0.3.1", 80, end=OWN, end_port=22), taken, {SSH}).verdict is Verdict.ALLOWED
    for found in (taken._replace(by="web1"), taken._replace(mac="0" * 32), taken._replace(verdict=Verdict.REJECTED)):
        assert as_service(job, found, {SSH}) == found and not served([(job, found)])
    assert as_service(job, taken, {DNS}) == taken
    assert as_service(Job("1", "udp", OWN, 53), taken, {DNS}) == taken


@pytest.mark.parametrize("verdict", [Verdict.DROPPED, Verdict.MISDIRECTED, Verdict.INCONCLUSIVE, Verdict.REJECTED])
def test_a_socket_that_did_not_answer_its_host_is_silent(verdict):
    job = controls(listening())[DNS]
    assert silent([(job, Result(job.id, verdict))]) == {DNS: f"a probe from the host itself: {verdict.value}"}


def test_an_answer_that_another_process_gives_is_no_control():
    found = controls(listening())
    assert set(silent([(job, signed(job, key=b"x" * 32)) for job in found.values()])) == {SSH, DNS}
    served = controls(listening(SSH, DNS)).values()  # a service knows no key
    assert silent([(job, checked(job, Result(job.id, Verdict.ALLOWED), KEY, "run")) for job in served]) == {}


def test_a_host_that_did_not_probe_has_no_control():
    assert never_sent(controls_of("mon1", 3, listening(), PORTS)) == dict.fromkeys(
        (SSH, DNS), "the host did not probe itself"
    )


@pytest.mark.parametrize(
    ("verdict", "port", "absent"),
    [
        (Verdict.REJECTED, 9100, True),
        (Verdict.DROPPED, 9100, True),
        (Verdict.ALLOWED, 9100, False),  # whoever answered there, it is open
        (Verdict.DROPPED, 22, False),  # a port that the listener was asked to have: nothing is proven there
        (Verdict.DROPPED, 9200, False),  # it answered its host
    ],
)
def test_a_port_that_is_bound_for_other_addresses_alone_is_not_judged(verdict, port, absent):
    silences = {Socket("tcp", OWN, 9100): "", SSH: ""}
    for job in (Job("1", "tcp", OWN, port), Job("1", "tcp", "10.0.3.1", 80, end=OWN, end_port=port)):
        assert is_absent(job, Result("1", verdict), silences, PORTS) is absent
