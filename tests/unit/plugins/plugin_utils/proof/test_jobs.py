from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import (
    BOUNDARY,
    CHANCE,
    DECLARED,
    LIMITED_CONNECTIONS,
    LIVE,
    SAMPLE,
    TWIN,
    Target,
    by_host,
    jobs_from,
    ports_of,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import declared

SEED = "1"


def test_both_ends_of_every_declared_range_are_probed_and_their_neighbours(lab):
    ports = ports_of(lab.site, [], SEED)
    assert {key for key, why in ports.items() if why == DECLARED} == {
        ("tcp", 22),
        ("tcp", 80),
        ("tcp", 8000),
        ("tcp", 8009),
        ("udp", 53),
    }
    for key in [("tcp", 21), ("tcp", 23), ("tcp", 7999), ("tcp", 8001), ("tcp", 8010), ("udp", 52), ("udp", 54)]:
        assert ports[key] == BOUNDARY
    assert ports["udp", 22] == ports["tcp", 53] == TWIN


def test_what_a_live_rule_names_is_probed_whatever_else_is_declared(lab):
    rules = [
        {"rule": "allow", "proto": "tcp", "to_port": "9999"},
        {"rule": "allow", "to_port": 70},
        {"rule": "allow", "proto": "udp", "to_port": "600,1000:2000"},
        {"rule": "allow", "proto": "esp"},
        {"rule": "allow"},
    ]
    ports = ports_of(lab.site, rules, SEED)
    assert {key for key, why in ports.items() if why == LIVE} == {
        ("tcp", 9999),
        ("tcp", 70),
        ("udp", 70),
        ("udp", 600),
        ("udp", 1000),
        ("udp", 2000),
    }


def test_the_same_seed_draws_the_same_ports_and_another_one_others(lab):
    assert ports_of(lab.site, [], "a") == ports_of(lab.site, [], "a") != ports_of(lab.site, [], "b")
    assert sum(why == CHANCE for why in ports_of(lab.site, [], "a").values()) == SAMPLE


def test_no_neighbour_lies_outside_of_the_ports(lab):
    ports = ports_of(lab.site, [{"rule": "allow", "proto": "tcp", "to_port": port} for port in (1, 65535)], SEED)
    assert all(1 <= port <= 65535 for _dummy, port in ports)


def test_every_host_probes_every_other_one_and_never_itself(lab):
    for name in lab.tiers:
        others = set(lab.tiers) - {name} - ({"world"} if name == "router" else set())
        assert {job.host for job in lab.jobs(name)} == others


def test_every_job_has_an_id_of_its_own(lab):
    ids = [job.id for name in lab.tiers for job in lab.jobs(name)]
    assert len(ids) == len(set(ids)) > 500


def test_a_router_sends_from_its_leg_in_the_subnet_that_it_probes(lab):
    assert {(job.source, job.host) for job in lab.jobs("router")} == {
        ("10.0.1.1", "desk"),
        ("10.0.2.1", "pump1"),
        ("10.0.2.1", "pump2"),
    }


def test_the_near_address_is_probed_at_every_port_and_the_others_at_what_is_named(lab):
    whole = lab.ports("router")
    probed = {}
    for job in lab.jobs("desk"):
        probed.setdefault((job.host, job.dest), set()).add((job.proto, job.port))
    assert probed["router", "10.0.1.1"] == set(whole)
    named = {key for key, why in whole.items() if why in (DECLARED, LIVE)}
    assert probed["router", "10.0.2.1"] == probed["router", "203.0.113.1"] == named


def test_the_internet_probes_from_each_of_its_addresses(lab):
    assert {job.source for job in lab.jobs("world")} == {"203.0.113.10", "198.51.100.10"}
    outer = [job for job in lab.jobs("world") if job.dest == "203.0.113.1" and job.source == "203.0.113.10"]
    assert len(outer) == len(lab.ports("router"))


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_a_service_that_listens_already_is_probed_too_and_named_as_one(lab, proto):
    lab.services["pump1"] = {(proto, "10.0.2.11", 9100): "exporter"}
    jobs = [job for job in lab.jobs("desk") if job.host == "pump1" and job.port == 9100]
    assert [(job.proto, job.service) for job in jobs] == [(proto, True)]
    assert not any(job.service for job in lab.jobs("desk") if job.port != 9100)


def test_silence_is_asked_again_only_where_an_answer_is_declared(lab):
    again = {(job.host, job.proto, job.port) for job in lab.jobs("desk") if job.again}
    assert ("pump1", "tcp", 22) in again and ("pump1", "udp", 53) not in again
    assert all(lab.policy.flow_for(job.source, job.dest, job.proto, job.port) for job in lab.jobs("desk") if job.again)


def limited_jobs(lab, seed):
    targets = {host: Target(lab.ports(host)) for host in lab.tiers}
    found = jobs_from("desk", 0, by_host(lab.legs), targets, lambda *flow: declared(lab.policy, *flow), seed)
    return [
        job for job in found if (flow := lab.policy.flow_for(job.source, job.dest, job.proto, job.port)) and flow.limit
    ]


def test_no_more_ports_with_a_limit_are_probed_than_it_lets_in(limited_lab, lab):
    declared_ports = [job for job in lab.jobs("desk") if job.dest.startswith("10.0.2.1") and job.again]
    assert len(declared_ports) > 2 * LIMITED_CONNECTIONS
    assert len(limited_jobs(limited_lab, "a")) == LIMITED_CONNECTIONS
    assert limited_jobs(limited_lab, "a") == limited_jobs(limited_lab, "a")
    assert len({tuple(job.id for job in limited_jobs(limited_lab, seed)) for seed in "abcdef"}) > 1


def test_what_is_not_limited_is_probed_as_before(limited_lab, lab):
    spared = {(job.dest, job.proto, job.port) for job in lab.jobs("desk")} - {
        (job.dest, job.proto, job.port) for job in limited_lab.jobs("desk")
    }
    assert spared and all(lab.policy.flow_for("10.0.1.11", *flow) for flow in spared)
    others = [[(job.dest, job.proto, job.port) for job in one.jobs("pump1")] for one in (lab, limited_lab)]
    assert others[0] == others[1]


def test_each_ip_version_is_probed_by_itself_at_every_port(dual_lab):
    jobs = [job for job in dual_lab.jobs("desk") if job.host == "pump1"]
    ways = {(job.source, job.dest) for job in jobs}
    assert ways == {("10.0.1.11", "10.0.2.11"), ("fd00:1::11", "fd00:2::11")}
    for way in ways:
        assert len([job for job in jobs if (job.source, job.dest) == way]) == len(dual_lab.ports("pump1"))
    assert any(":" in job.dest and job.again for job in jobs)


def test_a_host_without_ipv6_is_probed_by_ipv4_alone(dual_lab):
    assert {(job.source, job.dest) for job in dual_lab.jobs("desk") if job.host == "pump2"} == {
        ("10.0.1.11", "10.0.2.12")
    }
    assert not any(":" in job.dest for job in dual_lab.jobs("pump2"))


def test_a_router_sends_from_its_ipv6_leg_in_the_subnet_that_it_probes(dual_lab):
    assert {job.source for job in dual_lab.jobs("router") if job.dest == "fd00:2::11"} == {"fd00:2::1"}
