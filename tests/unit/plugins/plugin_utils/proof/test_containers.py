from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Heard, Socket, Stopped
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.containers import (
    MOST_CONTAINERS,
    Asked,
    ContainersProof,
    Evidence,
    judge,
    networks_of,
    parse_heard,
    parse_vantages,
    ports_inside,
    uncovered,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import DECLARED, Leg, Target
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import Host
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import Malformed
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import Status
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

NETWORKS = {
    "front": {"driver": "bridge", "on": "apps", "subnet": "172.26.1.0/24"},
    "back": {"driver": "bridge", "on": "apps", "subnet": "172.26.2.0/24", "internal": True},
    "quiet": {
        "driver": "bridge",
        "on": "apps",
        "subnet": "172.26.4.0/24",
        "options": {"com.docker.network.bridge.enable_icc": "false"},
    },
    "mesh": {"driver": "overlay", "subnet": "172.26.3.0/24"},
}
SITE = parse_site(
    {
        "bulkhead_tiers": {"apps": {"vlan": 1, "subnet": "10.0.1.0/24"}, "data": {"vlan": 2, "subnet": "10.0.2.0/24"}},
        "bulkhead_services": {"web": "80/tcp", "sql": "5432/tcp"},
        "bulkhead_flows": [{"from": "apps", "to": "data", "allow": "sql"}],
        "bulkhead_swarm": {"tier": "apps", "managers": {"a1": "10.0.1.11"}},
        "bulkhead_pools": {"engine": "172.28.0.0/16", "swarm": "172.29.0.0/16"},
        "bulkhead_networks": NETWORKS,
    },
    date(2026, 1, 1),
)
LEGS = [
    Leg("a1", "10.0.1.11", 24, "eth0", "apps"),
    Leg("a2", "10.0.1.12", 24, "eth0", "apps"),
    Leg("d1", "10.0.2.11", 24, "eth0", "data"),
]
TARGETS = {leg.host: Target({("tcp", 80): DECLARED, ("tcp", 5432): DECLARED}) for leg in LEGS}
PLACES = {
    "a1": {"f1": {"front": ["172.26.1.2"]}, "f2": {"front": ["172.26.1.3"]}, "b1": {"back": ["172.26.2.2"]}},
    "a2": {"f3": {"front": ["172.26.1.2"]}, "m2": {"mesh": ["172.26.3.3"]}},
}
PLACES["a1"]["m1"] = {"mesh": ["172.26.3.2"]}


def said(containers):
    return {
        "containers": [
            {
                "id": f"id-{name}",
                "name": name,
                "networks": networks,
                "own": [a for own in networks.values() for a in own],
            }
            for name, networks in containers.items()
        ],
        "more": 0,
    }


def vantages(places):
    return [
        one
        for host, containers in places.items()
        for one in parse_vantages(SITE, host, said(containers), list(NETWORKS))[0]
    ]


class Lab:
    """Containers whose packets all leave, and of which the declaration says what is answered; a test breaks something."""

    def __init__(self, places=None):
        self.vantages = vantages(places or PLACES)
        self.asked = Asked(SITE, self.vantages, LEGS, "1")
        self.answers = {}  # (source label, dest address, port): a verdict
        self.peers = {}
        self.arrives = set()  # the same keys: what comes to a container
        self.stays = set()  # labels of containers of which nothing leaves
        self.deaf = set()  # labels whose listener does not answer the container itself
        self.hosts = {leg.host: Host(leg.host, (leg,)) for leg in LEGS}
        self.targets = dict(TARGETS)
        self.gone = set()

    def usual(self, question):
        if question.is_control:
            return Verdict.DROPPED if question.vantage.label in self.deaf else Verdict.ALLOWED
        if question.network:
            return Verdict.ALLOWED if question.network != "quiet" else Verdict.DROPPED
        internal = all(SITE.networks[name].internal for name in question.vantage.networks)
        if question.job.dest == "10.0.2.11" and question.job.port == 5432 and not internal:
            return Verdict.ALLOWED
        return Verdict.NO_ROUTE if internal else Verdict.DROPPED

    def prove(self):
        pairs, left, came = [], {}, {}
        for number, host in enumerate(PLACES):
            for question in self.asked.of(host, number, self.targets):
                job, label = question.job, question.vantage.label
                key = label, job.dest, job.port
                verdict = self.answers.get(key, self.usual(question))
                mac = "" if job.service else "signed"
                pairs.append((question, Result(job.id, verdict, peer=self.peers.get(key, ""), mac=mac)))
                if label not in self.stays and verdict is not Verdict.NO_ROUTE:
                    left.setdefault((host, question.vantage.id), []).append(self.heard(question))
                if key in self.arrives:
                    came.setdefault((question.dest.host, question.dest.id), []).append(self.heard(question))
        heard = {
            (one.host, one.id): Stopped(
                True, left=tuple(left.get((one.host, one.id), ())), arrived=tuple(came.get((one.host, one.id), ()))
            )
            for one in self.vantages
            if one.label not in self.gone
        }
        return judge(self.asked, pairs, Evidence(heard, self.hosts))

    def serves(self, host, port):
        """A service of the host's own has the port at its address."""
        at = next(leg.address for leg in LEGS if leg.host == host)
        self.targets[host] = self.targets[host]._replace(services=[Socket("tcp", at, port)])

    def change(self, host, **fields):
        self.hosts[host] = replace(self.hosts[host], **fields)

    def status(self, source, dest, port):
        (found,) = {
            one.status
            for one in self.prove()
            if (one.source, one.dest, one.port, one.proto) == (source, dest, port, "tcp")
        }
        return found

    @staticmethod
    def heard(question):
        return Heard(question.vantage.addresses[0], question.job.dest, question.job.proto, (question.job.port,))

    def between(self, source, dest):
        return {probe.status for probe in self.prove() if (probe.source, probe.dest) == (source, dest)}


@pytest.fixture(name="lab")
def fixture_lab():
    return Lab()


def test_members_reach_each_other_and_others_do_not(lab):
    probes = lab.prove()
    assert {probe.status for probe in probes} == {Status.ALLOWED, Status.DENIED}
    assert lab.between("a1/f1", "a1/f2") == lab.between("a1/m1", "a2/m2") == {Status.ALLOWED}
    assert lab.between("a1/f1", "a1/b1") == lab.between("a1/b1", "a1/m1") == {Status.DENIED}
    # A bridge of the same name on another host is another network.
    assert not lab.between("a1/f1", "a2/f3") and not lab.between("a2/f3", "a1/b1")
    assert len({probe.port for probe in probes if probe.network == "front"}) == len(
        {p for _dummy, p in ports_inside(SITE, "1")}
    )


def test_what_leaves_a_container_may_do_what_its_host_may(lab):
    allowed = {
        (one.source, one.dest, one.port, one.flow)
        for one in lab.prove()
        if one.dest == "d1" and one.status is Status.ALLOWED
    }
    assert ("a1/f1", "d1", 5432, "bulkhead_flows[0]") in allowed
    assert not any(source == "a1/b1" for source, *_more in allowed)  # an internal network has no way out


def test_a_container_is_itself_to_its_own_host(lab):
    lab.answers["a1/f1", "10.0.1.11", 80] = Verdict.ALLOWED
    probe = next(one for one in lab.prove() if one.status is Status.OPEN)
    assert (probe.source, probe.dest, probe.port) == (
        "a1/f1",
        "a1",
        80,
    ) and "no flow lets a container of a1" in probe.cause


def test_a_container_of_a_host_in_two_networks_leaves_by_the_one_that_its_destination_is_in(lab):
    other = Leg("a1", "10.0.2.12", 24, "eth2", "db")
    container = next(one for one in lab.vantages if one.label == "a1/f1")
    dest = next(leg for leg in LEGS if leg.address == "10.0.2.11")
    flows = [
        Asked(SITE, lab.vantages, legs, "1").flow_to(container, dest, "tcp", 5432) for legs in (LEGS, [*LEGS, other])
    ]
    # The flow is from the host's first tier; there is none within the second.
    assert [flow and flow.path for flow in flows] == ["bulkhead_flows[0]", None]


def test_a_container_that_is_not_masqueraded_is_judged_by_its_own_address(lab):
    lab.peers["a1/f1", "10.0.2.11", 5432] = "172.26.1.2"
    assert Status.OPEN in lab.between("a1/f1", "d1")


@pytest.mark.parametrize("way", ["answered", "arrived"])
def test_a_packet_that_comes_to_a_container_of_another_network_is_a_hole_answered_or_not(lab, way):
    port = ports_inside(SITE, "1")[0][1]
    key = "a1/f1", "172.26.2.2", port
    if way == "answered":
        lab.answers[key] = Verdict.ALLOWED
    lab.arrives.add(key)
    assert Status.OPEN in lab.between("a1/f1", "a1/b1")


def test_members_of_a_network_without_talk_among_containers_are_not_to_reach_each_other():
    places = {"a1": {"q1": {"quiet": ["172.26.4.2"]}, "q2": {"quiet": ["172.26.4.3"]}}, "a2": {}}
    lab = Lab(places)
    assert lab.between("a1/q1", "a1/q2") == {Status.DENIED}
    lab.answers["a1/q1", "172.26.4.3", 80] = Verdict.ALLOWED
    assert lab.between("a1/q1", "a1/q2") == {Status.DENIED, Status.OPEN}


def test_members_that_do_not_reach_each_other_are_blocked_and_it_is_said_where(lab):
    lab.answers["a1/m1", "172.26.3.3", 80] = Verdict.DROPPED
    (probe,) = [one for one in lab.prove() if one.status is Status.BLOCKED]
    assert "members of mesh are to reach each other" in probe.cause
    lab.arrives.add(("a1/m1", "172.26.3.3", 80))
    (probe,) = [one for one in lab.prove() if one.status is Status.BLOCKED]
    assert "its own filter or way back stops it" in probe.cause


@pytest.mark.parametrize("what", ["sender", "listener", "hearing"])
def test_the_silence_of_a_container_that_may_be_hostile_proves_nothing(lab, what):
    """It sends nothing, answers nothing, or stops what hears it: none of it makes its isolation look proven."""
    {"sender": lab.stays, "listener": lab.deaf, "hearing": lab.gone}[what].add("a1/f1")
    other = ("a1/b1", "a1/f1") if what == "listener" else ("a1/f1", "a1/b1")
    assert lab.between(*other) == {Status.INCONCLUSIVE}
    # Nothing is said of others because of it.
    assert lab.between("a1/m1", "a2/m2") == {Status.ALLOWED}


def test_no_way_out_is_proof_only_for_an_internal_network(lab):
    assert lab.between("a1/b1", "d1") == {Status.DENIED}
    lab.answers["a1/f1", "10.0.1.12", 80] = Verdict.NO_ROUTE
    assert Status.INCONCLUSIVE in lab.between("a1/f1", "a2")


def test_a_host_whose_listener_is_gone_proves_nothing(lab):
    lab.change("d1", running=False)
    assert Status.INCONCLUSIVE in lab.between("a1/f1", "d1")


def test_a_port_that_a_host_serves_itself_is_judged_by_what_answers_there(lab):
    lab.serves("a2", 80)
    lab.serves("d1", 5432)
    asked = {(one.job.dest, one.job.port): one.job.service for one in lab.asked.of("a1", 0, lab.targets)}
    assert asked["10.0.1.12", 80] and asked["10.0.2.11", 5432] and not asked["10.0.1.12", 5432]
    # Declared: a connection is made. Not declared: dropped, and a connection is a hole.
    lab.change("d1", arrived={("10.0.1.11", "10.0.2.11", "tcp"): frozenset({5432})})
    assert lab.status("a1/f1", "d1", 5432) is Status.ALLOWED and lab.status("a1/f1", "a2", 80) is Status.DENIED
    lab.change("a2", arrived={("10.0.1.11", "10.0.1.12", "tcp"): frozenset({80})})
    lab.answers["a1/f1", "10.0.1.12", 80] = Verdict.ALLOWED
    assert lab.status("a1/f1", "a2", 80) is Status.OPEN


def test_what_the_own_host_serves_is_a_hole_where_no_flow_names_the_container(lab):
    """A Swarm's ingress answers the containers of its node, whatever the flows say of other hosts."""
    lab.serves("a1", 80)
    assert lab.status("a1/f1", "a1", 80) is Status.DENIED
    lab.answers["a1/f1", "10.0.1.11", 80] = Verdict.ALLOWED
    # The bridge itself may have sent it on, so that no device of the host's saw it come.
    assert lab.status("a1/f1", "a1", 80) is Status.OPEN
    lab.stays.add("a1/f1")
    assert lab.status("a1/f1", "a1", 80) is Status.MISDIRECTED
    lab.change("a1", arrived={("172.26.1.2", "10.0.1.11", "tcp"): frozenset({80})})
    assert lab.status("a1/f1", "a1", 80) is Status.OPEN


def test_a_service_that_answers_a_container_elsewhere_is_not_the_declared_one(lab):
    lab.serves("d1", 5432)
    assert lab.status("a1/f1", "d1", 5432) is Status.MISDIRECTED
    # Where the host does not see its devices, no packet is missed.
    lab.change("d1", hears=False)
    assert lab.status("a1/f1", "d1", 5432) is Status.ALLOWED


def test_a_silence_at_a_socket_that_is_silent_to_its_own_host_proves_nothing_from_a_container(lab):
    lab.change("a2", unusable={Socket("tcp", "10.0.1.12", 80): "a probe from the host itself: REJECTED refused"})
    (probe,) = [one for one in lab.prove() if (one.source, one.dest, one.port) == ("a1/f1", "a2", 80)]
    assert probe.status is Status.INCONCLUSIVE and "no listener can answer there" in probe.cause


def test_a_port_behind_which_a_member_of_its_network_is_is_no_port_of_its_host_to_a_container():
    """Members reach each other; an engine lets them do so by the host's address too."""
    lab = Lab()
    lab.vantages = [one._replace(published=(("tcp", 80),)) if one.label == "a1/f2" else one for one in vantages(PLACES)]
    lab.asked = Asked(SITE, lab.vantages, LEGS, "1")
    own = {(one.source, one.port) for one in lab.prove() if one.dest == "a1"}
    assert ("a1/f1", 80) not in own and ("a1/f1", 5432) in own
    assert ("a1/b1", 80) in own and ("a1/m1", 80) in own


def test_the_questions_grow_with_the_containers_and_not_with_their_pairs():
    def count(number):
        places = {"a1": {f"f{n:03}": {"front": [f"172.26.1.{n}"]} for n in range(2, number + 2)}, "a2": {}}
        lab = Lab(places)
        return len(lab.asked.of("a1", 0, TARGETS))

    assert count(30) <= 3 * count(10) + 10


def test_every_container_asks_and_is_asked_in_each_of_its_networks():
    places = {"a1": {f"f{n}": {"front": [f"172.26.1.{n}"]} for n in range(2, 9)}, "a2": {}}
    probes = Lab(places).prove()
    assert len({one.source for one in probes if one.network}) == len({one.dest for one in probes if one.network}) == 7


def test_every_question_has_an_id_of_its_own(lab):
    ids = [one.job.id for number, host in enumerate(PLACES) for one in lab.asked.of(host, number, TARGETS)]
    assert len(ids) == len(set(ids)) > 50


def test_what_a_host_says_of_its_containers_is_not_believed():
    stranger = said({"x": {"front": ["10.0.2.11"]}})
    found, wrong = parse_vantages(SITE, "a1", stranger, ["front"])
    assert not found and wrong == ["a1/x has 10.0.2.11 on front, which is in no subnet of it"]
    assert parse_vantages(SITE, "a1", said({"x": {"host": ["172.26.1.2"]}}), ["front"]) == ([], [])
    for broken in (
        {"containers": "many"},
        {"containers": [7]},
        said({f"c{n}": {"front": ["172.26.1.2"]} for n in range(MOST_CONTAINERS + 1)}),
        said({"x": {"front": ["not an address"]}}),
        {"containers": [{"id": "x", "name": "y", "networks": ["front"]}]},
    ):
        with pytest.raises(Malformed):
            parse_vantages(SITE, "a1", broken, ["front"])
    ((escaped,), _none) = parse_vantages(SITE, "a1", said({"\x1b[2J": {"front": ["172.26.1.2"]}}), ["front"])
    assert "\x1b" not in escaped.label
    assert "a1 has 9 more containers" in parse_vantages(SITE, "a1", {"containers": [], "more": 9}, ["front"])[1][0]


def test_what_listeners_in_containers_heard_is_kept_by_container():
    heard = {"inside": "id-f1", "running": True, "lost": 0, "lost_wire": 0}
    assert parse_heard({"running": True, "containers": [heard]}) == {"id-f1": Stopped(True)}
    assert parse_heard({"running": True}) == {}


def test_a_network_without_a_container_is_said_to_be_not_covered():
    some = [one for one in vantages(PLACES) if one.host == "a1"]
    found = uncovered(SITE, some, lambda name: name != "quiet")
    assert found == {
        "back": "one container is on it, so its members' reach is not proven",
        "quiet": "no host that has it took part",
        "mesh": "one container is on it, so its members' reach is not proven",
    }
    proof = ContainersProof((), (), {"front": "no container is on it"}, {})
    assert proof.holds and proof.lines() == ["not covered: front: no container is on it"]


def test_which_networks_a_host_can_have_follows_from_its_tiers():
    assert networks_of(SITE, ("apps",)) == ["front", "back", "quiet", "mesh"]
    assert networks_of(SITE, ("data",)) == []
