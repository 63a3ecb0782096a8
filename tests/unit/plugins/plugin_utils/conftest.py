"""A site of two tiers with a router and the internet, and the proof of it, with every packet made up."""

from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Socket
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import DEFAULTS, host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.firewall import read_firewall
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.forwards import Forwards
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import Leg, Target, by_host, jobs_from, ports_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import Host, Judge, declared
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.report import Proof
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy

DECLARATION = {
    "bulkhead_tiers": {
        "office": {"vlan": 1, "subnet": "10.0.1.0/24", "gateway": "10.0.1.1", "internet": True},
        "plant": {"vlan": 2, "subnet": "10.0.2.0/24", "gateway": "10.0.2.1"},
    },
    "bulkhead_services": {"ssh": "22/tcp", "web": ["80/tcp", "8000-8009/tcp"], "dns": "53/udp", "tunnel": "esp"},
    "bulkhead_flows": [
        {"from": "office", "to": "plant", "allow": ["ssh", "web"], "why": "administration"},
        {"from": "plant", "to": "self", "allow": "dns"},
        {"from": "office", "to": "gateway", "allow": "ssh"},
    ],
}
SEED = "1"


class Lab:
    """Hosts whose packets all arrive, and of which the policy says what is answered; a test then breaks something."""

    def __init__(self, declaration=None, further=()):
        self.site = parse_site(declaration or DECLARATION, date(2026, 1, 1))
        self.policy = Policy(self.site)
        self.legs = [
            Leg("router", "10.0.1.1", 24, "a", "gateway"),
            Leg("router", "10.0.2.1", 24, "b", "gateway"),
            Leg("router", "203.0.113.1", 24, "c", "gateway"),
            Leg("desk", "10.0.1.11", 24, "eth0", "office"),
            Leg("pump1", "10.0.2.11", 24, "eth0", "plant"),
            Leg("pump2", "10.0.2.12", 24, "eth0", "plant"),
            Leg("world", "203.0.113.10", 24, "eth0", "internet"),
            Leg("world", "198.51.100.10", 32, "lo", "internet"),
            *further,
        ]
        self.forwards = Forwards(self.site, self.legs)
        self.tiers = {"router": [], "desk": ["office"], "pump1": ["plant"], "pump2": ["plant"], "world": None}
        self.live = {name: self.compiled(name) for name in self.tiers}
        self.default = {name: dict(DEFAULTS) for name in self.tiers}
        self.active = dict.fromkeys(self.tiers, True)
        self.docker = {}  # host: (the live option docker of ufw_ruleset, the compiled one)
        self.services = {name: {} for name in self.tiers}  # {(proto, address, port): process}
        self.unusable = {name: {} for name in self.tiers}
        self.running = dict.fromkeys(self.tiers, True)
        self.hears = dict.fromkeys(self.tiers, True)
        self.lost = dict.fromkeys(self.tiers, 0)
        self.lost_wire = dict.fromkeys(self.tiers, 0)
        self.verdicts = {}  # (source, dest, proto, port): the prober's verdict instead of the usual one
        self.details = {}
        self.passes = {}  # the same key: whether it is heard past INPUT
        self.untranslated = set()  # (dest, port) at which the router does not forward what it is asked for
        self.held = set()  # the same keys: packets that end at the router
        self.silent = set()  # hosts whose packets are not seen to arrive
        self.claimed = {}  # host: the keys of packets that it claims to have seen arrive
        self.masquerades = True
        self.missing = {}
        self.left_out, self.limit = (), ""

    def compiled(self, name):
        tiers = self.tiers[name]
        return [] if tiers is None else [rule.to_dict() for rule in host_rules(self.site, tiers, name == "router")]

    def firewall(self, name, rules):
        return (
            None
            if self.tiers[name] is None
            else read_firewall(self.active[name], self.default[name], rules, self.docker.get(name, (None, None))[0])
        )

    def ports(self, name):
        return ports_of(self.site, [rule for other in (name, "router") for rule in self.live[other]], SEED)

    def jobs(self, name):
        targets = {host: Target(self.ports(host), [Socket(*key) for key in self.services[host]]) for host in self.tiers}
        number = list(self.tiers).index(name)
        return jobs_from(
            name,
            number,
            by_host(self.legs),
            targets,
            lambda *flow: declared(self.policy, *flow),
            SEED,
            self.forwards.arrival,
        )

    def proof(self):
        heard = {name: {"passed": {}, "arrived": {}, "left": {}} for name in self.tiers}
        probed = []
        for name in self.tiers:
            for job in self.jobs(name):
                probed.append((job, self.packet(job, heard, name)))
        for name, keys in self.claimed.items():
            for *flow, port in keys:
                heard[name]["arrived"].setdefault(tuple(flow), set()).add(port)
        hosts = {
            name: Host(
                name=name,
                legs=tuple(leg for leg in self.legs if leg.host == name),
                live=self.firewall(name, self.live[name]),
                compiled=None
                if self.tiers[name] is None
                else read_firewall(True, DEFAULTS, self.compiled(name), self.docker.get(name, (None, None))[1]),
                running=self.running[name],
                hears=self.hears[name],
                lost=self.lost[name],
                lost_wire=self.lost_wire[name],
                unusable={Socket(*key): why for key, why in self.unusable[name].items()},
                services={Socket(*key): process for key, process in self.services[name].items()},
                **heard[name],
            )
            for name in self.tiers
        }
        verdicts = Judge(self.policy, hosts).judge(probed)
        return Proof(
            self.site,
            hosts,
            verdicts,
            {name: self.ports(name) for name in self.tiers},
            self.missing,
            SEED,
            9.6,
            self.left_out,
            self.limit,
        )

    def packet(self, sent, heard, name):
        """What the prober and the listeners say of one job."""
        job = sent.arriving
        if (sent.dest, sent.port) in self.untranslated:
            for host, where in ((name, "left"), ("router", "arrived")):
                heard[host][where].setdefault((sent.source, sent.dest, sent.proto), set()).add(sent.port)
            return Result(job.id, Verdict.DROPPED, 1.0)
        key = job.source, job.dest, job.proto, job.port
        flow = self.policy.flow_for(*key)
        answered = bool(flow) and job.dest != "203.0.113.1"
        verdict = self.verdicts.get(key, "ALLOWED" if answered else "DROPPED")
        flow_key, port = key[:3], {job.port}

        def hear(host, where):
            heard[host][where].setdefault(flow_key, set()).update(port)

        hear(name, "left")
        if name not in self.silent:
            crosses = subnet(job.source) != subnet(job.dest) and "router" not in (name, job.host)
            if crosses:
                heard["router"]["arrived"].setdefault((sent.source, sent.dest, sent.proto), set()).add(sent.port)
            if key not in self.held and (not crosses or answered or verdict == "ALLOWED"):
                hear(job.host, "arrived")
                if crosses:
                    hear("router", "left")
        if self.passes.get(key, verdict == "ALLOWED"):
            hear(job.host, "passed")
            hear(job.host, "arrived")
        signed = "a code" if verdict == "ALLOWED" and not job.service else ""
        # What a router masquerades comes to the outside with the router's address.
        masquerades = name == "desk" and job.host == "world" and self.site.tiers["office"].masquerade
        peer = "203.0.113.1" if masquerades and self.masquerades and signed else ""
        return Result(job.id, Verdict(verdict), 1.0, self.details.get(key, ""), peer=peer, mac=signed)


def subnet(address):
    return address.rpartition(":" if ":" in address else ".")[0]


@pytest.fixture
def lab():
    return Lab()


@pytest.fixture
def dual_lab():
    """The same in both IP versions; pump2 has no IPv6 address."""
    tiers = {
        name: {**tier, "subnet": [tier["subnet"], f"fd00:{vlan}::/64"], "gateway": [tier["gateway"], f"fd00:{vlan}::1"]}
        for vlan, (name, tier) in enumerate(DECLARATION["bulkhead_tiers"].items(), 1)
    }
    further = [
        Leg("router", "fd00:1::1", 64, "a", "gateway"),
        Leg("router", "fd00:2::1", 64, "b", "gateway"),
        Leg("desk", "fd00:1::11", 64, "eth0", "office"),
        Leg("pump1", "fd00:2::11", 64, "eth0", "plant"),
        Leg("world", "2001:db8::10", 64, "eth0", "internet"),
    ]
    return Lab({**DECLARATION, "bulkhead_tiers": tiers}, further)


@pytest.fixture
def limited_lab():
    """The same with a limit on what the office may do in the plant."""
    first, *others = DECLARATION["bulkhead_flows"]
    return Lab({**DECLARATION, "bulkhead_flows": [{**first, "limit": True}, *others]})


@pytest.fixture
def nat_lab_of():
    """The same with a port of the router that is forwarded to a pump, and an office that is masqueraded."""

    def lab_of(limit=False, to="10.0.2.11"):
        office = {**DECLARATION["bulkhead_tiers"]["office"], "masquerade": True}
        forward = {"from": "internet", "to": to, "allow": "ssh", "limit": limit, "forward": {"port": 2222}}
        return Lab(
            {
                **DECLARATION,
                "bulkhead_tiers": {**DECLARATION["bulkhead_tiers"], "office": office},
                "bulkhead_flows": [*DECLARATION["bulkhead_flows"], forward],
            }
        )

    return lab_of


@pytest.fixture
def nat_lab(nat_lab_of):
    """nat_lab_of, as it is."""
    return nat_lab_of()


@pytest.fixture
def tailnet_lab():
    """The same, and both tiers on a tailnet, over which alone the office asks the plant's name servers."""
    return Lab(
        {
            **DECLARATION,
            "bulkhead_tailnet": {"tags": {"office": "tag:office", "plant": "tag:plant"}},
            "bulkhead_flows": [
                *DECLARATION["bulkhead_flows"],
                {"from": "office", "to": "plant", "allow": "dns", "via": "tailnet"},
            ],
        }
    )
