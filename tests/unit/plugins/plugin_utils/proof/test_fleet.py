"""A run of two hosts of a tier, an unknown one, and what a taken host may say: nothing of it makes the proof hold."""

from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import (
    Address,
    Heard,
    Hears,
    Listening,
    Noted,
    Socket,
    Stopped,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import code_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.claims import Named, claims_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.firewall import read_firewall
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.fleet import Fleet, Listener, Probes, match
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import DECLARED
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.live import Live
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Record, Run, Step
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import Status
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

SITE = parse_site(
    {
        "bulkhead_tiers": {"plant": {"vlan": 2, "subnet": "10.0.2.0/24"}},
        "bulkhead_services": {"ssh": "22/tcp", "db": "5432/tcp"},
        "bulkhead_flows": [{"from": "plant", "to": "self", "allow": "ssh"}],
    },
    date(2026, 1, 1),
)
A, B = "10.0.2.1", "10.0.2.2"
HOSTS = {"a": A, "b": B}
PORTS = {("tcp", 22): DECLARED, ("tcp", 5432): DECLARED}


class Site:
    """Two hosts that do as declared: ssh is answered, the database's port is dropped at the other end."""

    def __init__(self, base):
        self.members = {name: Member(name, Part.TIER, ("plant",)) for name in HOSTS}
        self.base = str(base)
        self.left_out, self.trouble = (), {}
        self.said = {
            name: Listening((Address(own, 24, "eth0", False),), hears=Hears(True, True)) for name, own in HOSTS.items()
        }
        self.results = {}  # host: what it returns instead
        self.passed = dict.fromkeys(HOSTS, (22,))
        self.arrived = dict.fromkeys(HOSTS, (22, 5432))
        self.unprobed = set()
        self.silent = set()  # sockets that do not answer their own host
        self.served = {}  # what answers the host itself at a socket instead of its listener

    def fleet(self):
        record = Record("1", "outside", 0.0, "d", "", self.members, self.left_out, self.trouble)
        self.run = Run.begin(self.base, record)
        for name, said in self.said.items():
            named = Named.read(SITE, name, (), None)
            listener = Listener(said, claims_of(SITE, self.members[name], said, named), named.texts, PORTS)
            Fleet(self.run, SITE).keep_listener(name, listener)
        fleet = Fleet(self.run, SITE)
        for name in HOSTS:
            other = "b" if name == "a" else "a"
            jobs = fleet.jobs(name) if name in fleet.members else []
            controls = fleet.controls(name) if name in fleet.members else []
            honest = [self.honest(job) for job in jobs]
            returned = self.results.get(name, lambda results: results)(honest)
            if isinstance(returned, list):
                returned = [*map(self.control, controls), *returned]
            if name not in self.unprobed:
                probes = match(jobs, returned, self.run.key_of, self.run.id, controls)
                self.run.keep(Step.PROBED, name, probes.to_dict())
            heard = Heard(HOSTS[other], HOSTS[name], "tcp", (22, 5432))
            arrived = heard._replace(ports=self.arrived[name])
            stopped = Stopped(True, 0, 0, (heard._replace(ports=self.passed[name]),), (arrived,))
            self.run.keep(Step.STOPPED, name, stopped.to_dict())
        return fleet

    def honest(self, job):
        if job.port != 22:
            return {"id": job.id, "verdict": "DROPPED", "ms": 3200.0}
        peer = HOSTS["a" if job.host == "b" else "b"]
        mac = code_of(self.run.key_of(job.host), self.run.id, "tcp", job.id, job.host, peer, job.dest, job.port)
        return {"id": job.id, "verdict": "ALLOWED", "ms": 1.0, "mac": mac}

    def control(self, job):
        if Socket(job.proto, job.dest, job.port) in self.silent:
            return {"id": job.id, "verdict": "DROPPED", "ms": 3200.0}
        if Socket(job.proto, job.dest, job.port) in self.served:
            return {"id": job.id, "ms": 1.0, **self.served[Socket(job.proto, job.dest, job.port)]}
        mac = code_of(self.run.key_of(job.host), self.run.id, "tcp", job.id, job.host, job.dest, job.dest, job.port)
        return {"id": job.id, "verdict": "ALLOWED", "ms": 1.0, "mac": mac, "peer": job.dest}

    def proof(self):
        return self.fleet().proof(lambda member: read_firewall(True, {}, []), 2.0)


@pytest.fixture(name="site")
def fixture_site(tmp_path):
    return Site(tmp_path)


def test_two_hosts_that_do_as_declared_are_proven(site):
    proof = site.proof()
    assert proof.holds and dict(proof.count) == {Status.ALLOWED: 2, Status.DENIED: 2}


@pytest.mark.parametrize(
    "lie",
    [
        lambda results: [],
        lambda results: None,
        lambda results: {"1/0": "ALLOWED"},
        lambda results: results[:1],
        lambda results: [*results, results[1]],
        lambda results: [results[0], {**results[1], "verdict": "FINE"}],
        lambda results: [results[0], {**results[1], "verdict": ["DROPPED"]}],
        lambda results: [results[0], {**results[1], "ms": float("nan")}],
        lambda results: [results[0], {**results[1], "icmp": {"type": 3}}],
        lambda results: [results[0], {**results[1], "id": 1}],
        lambda results: [results[0], [results[1]]],
        lambda results: [*results, {"id": "9/9", "verdict": "DROPPED"}],
        lambda results: [*results, *[{}] * 100000],
    ],
    ids=[
        "none",
        "null",
        "no list",
        "one is missing",
        "one is there twice",
        "an unknown verdict",
        "a verdict of another type",
        "no number",
        "half an ICMP message",
        "an id of another type",
        "nested",
        "an id that was not asked for",
        "very many",
    ],
)
def test_a_result_that_is_missing_twice_unknown_or_malformed_is_no_proof(site, lie):
    site.results["a"] = lie
    proof = site.proof()
    assert not proof.holds
    assert "a" in proof.missing or proof.count[Status.INCONCLUSIVE] > 0
    others = {verdict.status for verdict in proof.verdicts if verdict.source.host == "b"}
    # A host that says nothing of its own sockets either is one at which a silence proves nothing.
    assert others == {Status.ALLOWED, Status.DENIED if isinstance(lie([1, {}]), list) else Status.INCONCLUSIVE}


def test_results_are_matched_by_their_id_whatever_their_order(site):
    site.results["a"] = lambda results: results[::-1]
    assert site.proof().holds


def test_a_prober_that_claims_silence_does_not_hide_what_the_other_side_heard(site):
    site.passed["b"] = (22, 5432)
    (leak,) = [verdict for verdict in site.proof().verdicts if verdict.status is Status.OPEN]
    assert (leak.source.host, leak.dest.host, leak.port, leak.found) == ("a", "b", 5432, Verdict.ONE_WAY)
    site.results["a"] = lambda results: []
    assert [verdict.port for verdict in site.proof().verdicts if verdict.status is Status.OPEN] == [5432]


def test_a_prober_cannot_make_up_an_answer(site):
    site.results["a"] = lambda results: [{**result, "verdict": "ALLOWED", "mac": "0" * 32} for result in results]
    proof = site.proof()
    assert proof.count[Status.MISDIRECTED] == 2 and not proof.holds


def test_a_silence_at_a_socket_that_is_silent_to_its_own_host_proves_nothing(site):
    site.silent.add(Socket("tcp", B, 5432))
    proof = site.proof()
    (doubt,) = [
        verdict for verdict in proof.verdicts if verdict.status is not Status.ALLOWED and verdict.dest.host == "b"
    ]
    assert (doubt.status, doubt.port) == (Status.INCONCLUSIVE, 5432) and not proof.holds
    assert "no listener can answer there: a probe from the host itself: DROPPED" in doubt.cause


def test_a_port_that_a_host_translates_is_judged_by_what_answers_there(site):
    """A Swarm's ingress has the port, and the listener's socket there never hears of it."""
    answered = {"verdict": "MISDIRECTED", "detail": "what answered is not a listener of this run"}
    site.results["a"] = lambda results: [{"id": results[0]["id"], "ms": 1.0, **answered}, *results[1:]]
    assert site.proof().count[Status.MISDIRECTED] == 1  # the host's own listener answers the host: another one's hand
    site.served[Socket("tcp", B, 22)] = answered
    proof = site.proof()
    assert proof.holds and dict(proof.count) == {Status.ALLOWED: 2, Status.DENIED: 2}
    # What no flow declares is open there, and what never came was answered elsewhere.
    site.results["a"] = lambda results: [{"id": result["id"], "ms": 1.0, **answered} for result in results]
    site.served[Socket("tcp", B, 5432)] = answered
    assert site.proof().count[Status.OPEN] == 1
    site.arrived["b"] = (22,)
    assert site.proof().count[Status.MISDIRECTED] == 1


def test_a_service_for_other_addresses_alone_is_not_judged_unless_it_answers(site):
    exporter = Socket("tcp", B, 9100)
    site.said["b"] = site.said["b"]._replace(services=(Noted(exporter, ""),))
    assert [verdict.port for verdict in site.proof().verdicts if verdict.dest.host == "b"] == [22, 5432, 9100]
    site.silent.add(exporter)
    proof = site.proof()
    assert proof.holds and 9100 not in [verdict.port for verdict in proof.verdicts]
    site.results["a"] = lambda results: [
        {**result, "verdict": "ALLOWED"} if number == 2 else result for number, result in enumerate(results)
    ]
    assert 9100 in [verdict.port for verdict in site.proof().verdicts]


def test_the_listener_of_a_host_that_did_not_probe_itself_is_not_known_to_be_alive(site):
    site.unprobed.add("b")
    proof = site.proof()
    assert [verdict.status for verdict in proof.verdicts] == [Status.ALLOWED, Status.INCONCLUSIVE]
    assert "the host did not probe itself" in proof.verdicts[1].cause


def test_a_host_that_leaves_the_play_is_missed(site):
    site.unprobed.add("a")
    assert site.proof().missing == {"a": "it was not reached"}
    fleet = site.fleet()
    fleet.run.keep(Step.TROUBLE, "a", "the step probe failed: gone")
    proof = fleet.proof(lambda member: read_firewall(True, {}, []), 1.0)
    assert proof.missing == {"a": "the step probe failed: gone"} and not proof.holds


def test_a_host_of_no_part_fails_the_proof_unless_it_is_left_out(site):
    site.members["x"] = Member("x", Part.NONE, groups=("databses",))
    proof = site.proof()
    assert not proof.holds and "its groups: databses" in proof.missing["x"] and "--limit" in proof.missing["x"]
    site.left_out = ("x",)
    proof = site.proof()
    assert proof.holds and proof.left_out == ("x",)


def test_a_host_whose_groups_changed_is_not_vouched_for(site):
    site.trouble = {"b": "its groups changed during this run"}
    proof = site.proof()
    assert not proof.holds and proof.missing["b"] == "its groups changed during this run"
    assert not proof.verdicts


def test_two_hosts_that_claim_one_address_prove_nothing_about_it(site):
    site.said["b"] = site.said["b"]._replace(addresses=(Address(A, 24, "eth0", False), Address(B, 24, "eth0", False)))
    proof = site.proof()
    assert not proof.holds and set(proof.missing) == {"a", "b"}


def test_services_at_addresses_that_are_not_the_host_s_are_not_probed(site):
    service = Noted(Socket("tcp", "8.8.8.8", 53), "named")
    site.said["b"] = site.said["b"]._replace(services=(service, Noted(Socket("tcp", B, 9100), "exporter")))
    jobs = site.fleet().jobs("a")
    assert {job.dest for job in jobs} == {B}
    assert [job.port for job in jobs if job.service] == [9100]


def test_what_is_unknown_and_what_has_no_host_is_said(site):
    site.said["b"] = site.said["b"]._replace(others=(Address("8.8.8.8", 32, "eth1", False),))
    remarks = site.proof().remarks
    assert (
        "b has 8.8.8.8, unknown to the site: not probed (if it is to be, name it in the host's prove_addresses)"
        in remarks
    )
    assert "no host is in group outside: nothing is proven about the internet" in remarks


def test_an_empty_inventory_proves_nothing(site):
    site.members.clear()
    site.said.clear()
    proof = site.proof()
    assert not proof.holds
    assert "tier plant has no host: nothing is proven about it" in proof.remarks


def test_without_packets_no_host_with_rules_proves_nothing(site):
    assert set(site.fleet().proof_without_packets(1.0).missing) == set(HOSTS)
    site.members.clear()
    site.members["world"] = Member("world", Part.INTERNET)
    site.said.clear()
    proof = site.fleet().proof_without_packets(1.0)
    assert not proof.holds and set(proof.missing) == {"the inventory"}


def test_what_is_kept_is_read_as_it_was_written(site):
    fleet = site.fleet()
    kept = fleet.run.kept(Step.PROBED, "a")
    assert Probes.from_dict(kept).to_dict() == kept
    fleet.keep_listener("a", fleet.listeners["a"])
    assert Fleet(fleet.run, SITE).listeners == fleet.listeners
    live = Live(True, {"incoming": "deny"}, ({"rule": "allow", "to_port": "22"},), None)
    fleet.keep_live("a", live)
    assert Fleet(fleet.run, SITE).live("a") == live and fleet.live("b") is None


def test_hosts_that_are_alike_share_their_rules_and_ports_and_are_of_one_kind(site):
    fleet = site.fleet()
    ports = [one.ports for one in fleet.listeners.values()]
    assert ports[0] is ports[1]
    live = Live(True, {}, ({"rule": "allow", "to_port": "22"},), None)
    fleet.keep_live("a", live)
    fleet.keep_live("b", Live(*live))
    assert fleet.live("a") is fleet.live("b")
    kinds = {fleet.kind(member) for member in fleet.members.values()}
    fleet.keep_live("b", live._replace(active=False))
    assert len(kinds) == 1 and fleet.kind(fleet.members["b"]) not in kinds


def test_a_host_s_own_steps_know_the_gateways_and_no_other_host(site):
    site.members["router"] = Member("router", Part.GATEWAY, (), True)
    site.members["spare"] = Member("spare", Part.NONE)
    fleet = site.fleet()
    fleet.share_out()
    own = Record.from_dict(fleet.run.kept(Step.OWN, "a"))
    assert set(own.members) == {"a", "router"} and own.seed == fleet.record.seed
    assert set(Record.from_dict(fleet.run.kept(Step.OWN, "router")).members) == {"router"}
    assert fleet.run.kept(Step.OWN, "spare") is None


def test_what_each_host_is_asked_is_what_it_would_put_together_itself(site):
    fleet = site.fleet()
    assert fleet.asked("a")["jobs"] == fleet.asked("a")["peers"] == []
    fleet.share_out()
    fleet.ask_all()
    for name in HOSTS:
        asked = Fleet(fleet.run, SITE).asked(name)
        assert [Job.from_dict(job) for job in asked["jobs"]] == fleet.jobs(name) != []
        own = Fleet(fleet.run, SITE, Record.from_dict(fleet.run.kept(Step.OWN, name)))
        assert own.controls(name, asked["number"]) == fleet.controls(name) != []
        assert sorted(asked["peers"]) == sorted(HOSTS.values())
