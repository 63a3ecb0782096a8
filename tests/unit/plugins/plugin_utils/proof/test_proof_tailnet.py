"""The proof over the tailnet: what is proven by an answer, by a silence, and by a node's own preferences."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Address, Listening, Socket
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.tailnet import host_tailnet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.claims import Named, claims_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import BOUNDARY, DECLARED, LIVE, Target
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import Host
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import Malformed
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import Status
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.tailnet import (
    Live,
    Probe,
    TailnetProof,
    drift_of,
    jobs_between,
    nodes_of,
    prove,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import TailnetPolicy

SITE = parse_site(
    {
        "bulkhead_tiers": {
            "web": {"vlan": 1, "subnet": "10.0.1.0/24"},
            "data": {"vlan": 2, "subnet": "10.0.2.0/24"},
            "guests": {"vlan": 3, "subnet": "10.0.3.0/24"},
            "plain": {"vlan": 4, "subnet": "10.0.4.0/24"},
        },
        "bulkhead_services": {"ssh": "22/tcp", "db": "5432/tcp"},
        "bulkhead_tailnet": {
            "control": "https://headscale.example",
            "groups": {"admins": ["alice@"]},
            "tags": {"web": ["tag:web"], "data": ["tag:data"], "guests": ["tag:guest"]},
        },
        "bulkhead_flows": [{"from": "web", "to": "data", "allow": "db", "via": "tailnet"}],
    },
    date(2026, 1, 1),
)
MEMBERS = {
    name: Member(name, Part.TIER, (tier,))
    for name, tier in {"web1": "web", "db1": "data", "guest1": "guests", "plain1": "plain"}.items()
}
WEB, DATA, GUEST = "100.64.0.1", "100.64.0.2", "100.64.0.3"
ADDRESSES = {"web1": WEB, "db1": DATA, "guest1": GUEST}
PORTS = {("tcp", 22): DECLARED, ("tcp", 5432): DECLARED, ("tcp", 9999): LIVE, ("tcp", 5433): BOUNDARY}
PLANS: dict[str, Any] = {name: host_tailnet(SITE, MEMBERS[name].tiers, False) for name in ADDRESSES}


def listening(*addresses: str, interface: str = "tailscale0") -> Listening:
    return Listening(tuple(Address(address, 32, interface, False) for address in addresses))


def live(name: str, **more: Any) -> Live:
    node = {"login_server": "https://headscale.example", "netfilter_mode": "nodivert", "advertise_routes": []}
    node.update({"advertise_exit_node": False, "ssh": False, "accept_routes": False, **more.pop("node", {})})
    return Live.from_dict({"state": "Running", "online": True, "tags": PLANS[name]["tags"], "node": node, **more})


class Lab:
    """Three nodes that do as declared; what is set here is found otherwise."""

    def __init__(self) -> None:
        self.said = {name: listening(address) for name, address in ADDRESSES.items()}
        self.verdicts: dict[tuple[str, str, int], Verdict] = {(WEB, DATA, 5432): Verdict.ALLOWED}
        self.hosts = {name: Host(name, ()) for name in ADDRESSES}
        self.live: dict[str, Live | None] = {name: live(name) for name in ADDRESSES}

    def prove(self) -> TailnetProof:
        nodes, trouble = nodes_of(SITE, MEMBERS, self.said)
        targets = {name: Target(PORTS) for name in nodes}
        pairs = [
            (job, self._result(job))
            for number, name in enumerate(nodes)
            for job in jobs_between(name, number, nodes, targets, TailnetPolicy(SITE))
        ]
        return prove(SITE, nodes, trouble, self.hosts, pairs, self.live, PLANS)

    def _result(self, job: Job) -> Result:
        verdict = self.verdicts.get((job.source or "", job.dest, job.port), Verdict.DROPPED)
        return Result(job.id, verdict, mac="signed" if verdict is Verdict.ALLOWED else "")

    def probe(self, source: str, dest: str, port: int) -> Probe:
        names = {address: name for name, address in ADDRESSES.items()}
        found = [
            probe
            for probe in self.prove().probes
            if (probe.source, probe.dest, probe.port) == (names[source], names[dest], port)
        ]
        assert len(found) == 1
        return found[0]


@pytest.fixture(name="lab")
def fixture_lab() -> Lab:
    return Lab()


def test_a_tailnet_that_does_what_the_site_declares_holds(lab: Lab) -> None:
    proof = lab.prove()
    assert proof.holds
    assert [probe.status for probe in proof.probes].count(Status.ALLOWED) == 1
    assert len(proof.probes) == 18 and {probe.status for probe in proof.probes} == {Status.ALLOWED, Status.DENIED}
    assert lab.probe(WEB, DATA, 5432).flow == "bulkhead_flows[0]"


def test_every_port_that_the_site_or_a_live_rule_names_is_probed_between_nodes_and_no_host_beside_them() -> None:
    nodes, trouble = nodes_of(SITE, MEMBERS, {name: listening(address) for name, address in ADDRESSES.items()})
    service = Target(PORTS, [Socket("tcp", DATA, 22)])
    jobs = jobs_between("web1", 7, nodes, {"web1": service, "db1": service, "guest1": service}, TailnetPolicy(SITE))
    assert (set(nodes), trouble) == (set(ADDRESSES), {})
    assert {(job.source, job.dest, job.port, job.service, job.again) for job in jobs} == {
        (WEB, DATA, 22, True, False),
        (WEB, DATA, 5432, False, True),
        (WEB, DATA, 9999, False, False),
        (WEB, GUEST, 22, False, False),
        (WEB, GUEST, 5432, False, False),
        (WEB, GUEST, 9999, False, False),
    }
    assert len({job.id for job in jobs}) == 6 and all(job.id.startswith("7/") for job in jobs)


def test_an_answer_that_no_flow_allows_is_open(lab: Lab) -> None:
    lab.verdicts[GUEST, DATA, 22] = Verdict.ALLOWED
    probe = lab.probe(GUEST, DATA, 22)
    assert probe.status is Status.OPEN and "no flow via tailnet allows it" in probe.cause
    assert not lab.prove().holds


def test_a_packet_that_was_let_in_and_not_answered_is_open(lab: Lab) -> None:
    lab.hosts["db1"] = Host("db1", (), passed={(GUEST, DATA, "tcp"): frozenset([22])})
    assert lab.probe(GUEST, DATA, 22).status is Status.OPEN


def test_a_flow_that_is_not_answered_says_which_plane_lacks_it(lab: Lab) -> None:
    del lab.verdicts[WEB, DATA, 5432]
    assert lab.probe(WEB, DATA, 5432).status is Status.BLOCKED
    assert "the control server's policy lacks the flow" in lab.probe(WEB, DATA, 5432).cause
    lab.hosts["db1"] = Host("db1", (), arrived={(WEB, DATA, "tcp"): frozenset([5432])})
    assert "whose firewall does not let it in from tailscale0" in lab.probe(WEB, DATA, 5432).cause
    lab.hosts["db1"] = Host("db1", (), passed={(WEB, DATA, "tcp"): frozenset([5432])})
    assert "its answer is lost on the way back" in lab.probe(WEB, DATA, 5432).cause


@pytest.mark.parametrize("away", [{"state": "NeedsLogin"}, {"online": False}, {"expired": True}], ids=str)
def test_the_silence_of_a_node_that_may_not_be_in_the_tailnet_proves_nothing(lab: Lab, away: dict[str, Any]) -> None:
    lab.live["guest1"] = live("guest1", **away)
    probe = lab.probe(GUEST, DATA, 22)
    assert probe.status is Status.INCONCLUSIVE and probe.cause.startswith("guest1 may not be in the tailnet")
    # A packet that came as far as the other host met its firewall, whatever the node says of itself.
    lab.hosts["db1"] = Host("db1", (), arrived={(GUEST, DATA, "tcp"): frozenset([22])})
    assert lab.probe(GUEST, DATA, 22).status is Status.DENIED


def test_a_node_that_was_answered_is_in_the_tailnet_whatever_it_says(lab: Lab) -> None:
    lab.live["web1"] = None
    assert lab.probe(WEB, GUEST, 22).status is Status.DENIED
    assert lab.prove().trouble == {"web1": "it did not say what its node is"}


@pytest.mark.parametrize(
    "change", [{"running": False}, {"lost": 3}, {"unusable": {Socket("tcp", DATA, 22): "busy"}}], ids=str
)
def test_the_silence_of_a_listener_that_may_have_missed_it_proves_nothing(lab: Lab, change: dict[str, Any]) -> None:
    lab.hosts["db1"] = Host("db1", (), **change)
    assert lab.probe(GUEST, DATA, 22).status is Status.INCONCLUSIVE


def test_the_wrong_host_is_no_answer(lab: Lab) -> None:
    lab.verdicts[WEB, DATA, 5432] = Verdict.MISDIRECTED
    assert lab.probe(WEB, DATA, 5432).status is Status.MISDIRECTED


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (listening("10.0.1.1", interface="eth0"), "no address on tailscale0"),
        (listening(WEB, interface="eth0"), "no address on tailscale0"),
        (listening("192.0.2.1"), "no address on tailscale0"),
        (listening(WEB, "100.64.0.9"), "several addresses"),
        (listening(DATA), "another host claims its address"),
    ],
    ids=["none", "of another interface", "of another network", "two", "of another host"],
)
def test_a_host_without_an_address_of_its_own_is_no_silent_success(lab: Lab, said: Listening, why: str) -> None:
    lab.said["web1"] = said
    proof = lab.prove()
    assert why in proof.trouble["web1"] and not proof.holds
    assert not any("web1" in (probe.source, probe.dest) for probe in proof.probes)


@pytest.mark.parametrize(
    ("node", "line"),
    [
        ({"netfilter_mode": "on"}, "netfilter_mode: got on; expected nodivert"),
        ({"advertise_routes": ["10.9.0.0/24"]}, "advertise_routes: got 10.9.0.0/24; expected none"),
        ({"advertise_exit_node": True}, "advertise_exit_node: got True; expected False"),
        ({"ssh": True}, "ssh: got True; expected False"),
        ({"accept_routes": True}, "accept_routes: got True; expected False"),
        ({"shields_up": True}, "shields_up: got True; expected False"),
        ({"exit_node": "other1.ts.example"}, "exit_node: got other1.ts.example; expected none"),
        ({"exit_node": "auto:any"}, "exit_node: got auto:any; expected none"),
        (
            {"login_server": "https://other.example"},
            "login_server: got https://other.example; expected https://headscale.example",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_node_that_is_not_as_the_site_says_fails_the_proof(lab: Lab, node: dict[str, Any], line: str) -> None:
    lab.live["web1"] = live("web1", node=node)
    proof = lab.prove()
    assert not proof.holds and any(f"web1: {line}; run site.yml" in text for text in proof.lines())


@pytest.mark.parametrize(
    ("used", "wanted", "drifts"),
    [
        ("gate1.ts.example", "gate1", False),
        ("gate1.ts.example", "Gate1.ts.example.", False),
        ("gate2.ts.example", "gate1", True),
        ("gate10.ts.example", "gate1", True),
        ("", "gate1", True),
        ("gate1.ts.example", "100.64.0.7", False),
        ("", "100.64.0.7", True),
        ("auto:any", "auto:any", False),
        ("auto:any", "gate1", True),
    ],
)
def test_a_node_uses_the_exit_node_that_the_inventory_says(lab: Lab, used: str, wanted: str, drifts: bool) -> None:
    lab.live["web1"] = Live.from_dict(live("web1", node={"exit_node": used})._replace(uses=wanted).to_dict())
    lines = [text for text in lab.prove().lines() if "exit_node" in text]
    assert len(lines) == drifts and all(f"got {used or 'none'}; expected {wanted}" in text for text in lines)


def test_the_tags_are_those_that_the_control_server_has_granted(lab: Lab) -> None:
    lab.live["web1"] = live("web1", tags=["tag:web", "tag:data"])
    assert drift_of("web1", lab.live["web1"], PLANS["web1"]) == [
        "web1: advertise_tags: got tag:web, tag:data; expected tag:web; run site.yml, which restores it"
    ]


@pytest.mark.parametrize(
    "said",
    [
        None,
        [],
        {"state": 5},
        {"state": "Running", "online": "yes"},
        {"state": "Running", "tags": "tag:web"},
        {"state": "Running", "node": [1]},
        {"state": "Running", "node": {"advertise_routes": 3}},
        {"state": "Running", "tags": ["tag:x"] * 1000},
    ],
    ids=str,
)
def test_a_host_that_says_something_else_is_not_believed(said: Any) -> None:
    with pytest.raises(Malformed):
        Live.from_dict(said)


def test_what_a_host_says_is_printable() -> None:
    said = Live.from_dict(
        {"state": "Run\x1b[2Jning", "tags": ["tag:\x1b[31m"], "node": {"netfilter_mode": "\x1b]0;x\x07"}}
    )
    assert "\x1b" not in "".join([said.state, *said.tags, *map(str, said.options.values())])


def test_an_address_of_the_tailnet_is_no_leg_on_the_lan() -> None:
    said = Listening((Address("10.0.1.11", 24, "eth0", False), Address(WEB, 32, "tailscale0", False)))
    found = claims_of(SITE, MEMBERS["web1"], said, Named())
    assert ([leg.address for leg in found.legs], found.unknown) == (["10.0.1.11"], ())


WEB6, DATA6 = "fd7a:115c:a1e0::1", "fd7a:115c:a1e0::2"


def both(lab: Lab) -> Lab:
    """web1 and db1 have an address of each IP version, guest1 has one of IPv4."""
    lab.said["web1"] = Listening(
        tuple(Address(address, 128, "tailscale0", False) for address in (WEB, WEB6, "fe80::1", "2001:db8::1"))
    )
    lab.said["db1"] = listening(DATA, DATA6)
    lab.verdicts[WEB6, DATA6, 5432] = Verdict.ALLOWED
    return lab


def test_both_addresses_of_a_node_are_probed_each_in_its_own_ip_version(lab: Lab) -> None:
    proof = both(lab).prove()
    assert proof.holds and not proof.trouble
    assert [probe.version for probe in proof.probes if probe.status is Status.ALLOWED] == [4, 6]
    assert sum(probe.version == 6 for probe in proof.probes) == 6
    nodes, _none = nodes_of(SITE, MEMBERS, lab.said)
    targets = {name: Target(PORTS) for name in nodes}
    jobs = jobs_between("web1", 7, nodes, targets, TailnetPolicy(SITE))
    assert all((":" in (job.source or "")) == (":" in job.dest) for job in jobs)
    assert len({job.id for job in jobs}) == len(jobs) == 9


def test_what_is_open_over_the_tailnet_in_ipv6_alone_is_found_and_says_so(lab: Lab) -> None:
    both(lab).verdicts[DATA6, WEB6, 22] = Verdict.ALLOWED
    proof = lab.prove()
    assert [(probe.source, probe.dest, probe.version) for probe in proof.failures] == [("db1", "web1", 6)]
    assert any(line.startswith("db1 -> web1 22/tcp over IPv6: open") for line in proof.lines())


def test_an_ipv6_address_that_another_node_claims_is_no_one_s(lab: Lab) -> None:
    both(lab).said["db1"] = listening(DATA, WEB6)
    proof = lab.prove()
    assert set(proof.trouble) == {"web1", "db1"} and WEB6 in proof.trouble["web1"]
