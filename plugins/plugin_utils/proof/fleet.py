# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run of the proof put together: the hosts and what each of them said, matched with what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Heard, Listening, Socket, Stopped
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.claims import Claims, settle
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.containers import (
    Asked,
    ContainersProof,
    Evidence,
    Question,
    Vantage,
    networks_of,
    parse_vantages,
    uncovered,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.containers import judge as judge_containers
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.controls import (
    Pair,
    as_service,
    controls_of,
    is_absent,
    never_sent,
    served,
    silent,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.coverage import Choice, Coverage, choose, kind_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.firewall import Firewall
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.forwards import Forwards
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import Leg, Port, Target, by_host, jobs_from
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import (
    HeardPorts,
    Host,
    Judge,
    checked,
    declared,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.live import Live
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import (
    Malformed,
    parse_listening,
    parse_result,
    parse_stopped,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.report import Proof
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Record, Run, Step
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.tailnet import Live as LiveNode
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.tailnet import (
    Node,
    TailnetProof,
    jobs_between,
    nodes_of,
    prove,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import TailnetPolicy
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import some

#: Gives the firewall that is compiled for a member.
Compile = Callable[[Member], Firewall]
#: Gives what a member is to be in the tailnet; None where it is no node of it.
NodePlan = Callable[[Member], Optional[Mapping[str, Any]]]


class Listener(NamedTuple):
    """What is kept of a host that listens: what it said, its legs, the ports that it was asked to open, and its kind (see
    coverage.py)."""

    said: Listening
    claims: Claims
    named: tuple[str, ...]
    ports: Mapping[Port, str]
    kind: str = ""


class Probes(NamedTuple):
    """The jobs of a host, each with its own result. controls: of its own sockets; trouble: what is wrong with the results
    as a whole."""

    pairs: tuple[Pair, ...]
    controls: tuple[Pair, ...] = ()
    trouble: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {
            **{
                key: [[job.to_dict(), result.to_dict()] for job, result in getattr(self, key)]
                for key in ("pairs", "controls")
            },
            "trouble": self.trouble,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Probes:
        pairs, controls = (
            tuple((Job.from_dict(job), parse_result(result)) for job, result in found[key])
            for key in ("pairs", "controls")
        )
        return cls(pairs, controls, found["trouble"])


def match(
    jobs: Sequence[Job], said: Any, key_of: Callable[[str], bytes], token: str, controls: Sequence[Job] = ()
) -> Probes:
    """Each job with the one result that has its id, of what a host returned.

    A job whose result is missing, there twice or malformed is INCONCLUSIVE. Results that were not asked for are trouble.
    key_of: the key of a host's listener.
    """
    asked = [*jobs, *controls]
    found: dict[str, list[Any]] = {job.id: [] for job in asked}
    strangers = 0
    results = said if isinstance(said, (list, tuple)) else ()
    for value in results[: 2 * len(asked) + 1]:
        job_id = value.get("id") if isinstance(value, Mapping) else None
        if isinstance(job_id, str) and job_id in found:
            found[job_id].append(value)
        else:
            strangers += 1
    keys: dict[str, bytes] = {}
    pairs = []
    for job in asked:
        host = job.host or ""
        if host not in keys:
            keys[host] = key_of(host)
        pairs.append((job, checked(job, _only(job, found[job.id]), keys[host], token)))
    more = len(results) > 2 * len(asked) + 1
    trouble = "it returned results that were not asked for" if strangers or more else ""
    return Probes(tuple(pairs[: len(jobs)]), tuple(pairs[len(jobs) :]), trouble)


def _only(job: Job, values: Sequence[Any]) -> Result:
    if len(values) != 1:
        why = "the host returned no result for it" if not values else "the host returned several results for it"
        return Result(job.id, Verdict.INCONCLUSIVE, detail=why)
    try:
        return parse_result(values[0])
    except Malformed as error:
        return Result(job.id, Verdict.INCONCLUSIVE, detail=f"the host returned a malformed result: {error}")


class Fleet:
    """What is known so far of all hosts; of one and the gateways, with the record of its own steps."""

    def __init__(self, run: Run, site: Site, record: Optional[Record] = None) -> None:
        self.run = run
        self.site = site
        self.record = record or run.record
        left_out = set(self.record.left_out)
        #: The hosts that take part, by name, in the inventory's order.
        self.members = {
            name: member
            for name, member in self.record.members.items()
            if member.part is not Part.NONE and name not in left_out and name not in self.record.trouble
        }

    def share_out(self) -> None:
        """Keep for each host what its own steps need to know of the record: itself, and the gateways."""
        gateways = {name: member for name, member in self.members.items() if member.part is Part.GATEWAY}
        for name, member in self.members.items():
            own = self.record._replace(members={**gateways, name: member}, left_out=(), trouble={})
            self.run.keep(Step.OWN, name, own.to_dict())

    # What hosts have in common is kept once: their live rules, and the ports at which they are probed.

    def keep_live(self, name: str, live: Live) -> None:
        self.run.keep(Step.LIVE, name, self.run.share(live.to_dict()))

    def live(self, name: str) -> Optional[Live]:
        """The live firewall of a host; None for a host that needs none, or that did not say."""
        key = self.run.kept(Step.LIVE, name)
        if key is None:
            return None
        if key not in self._lives:
            self._lives[key] = Live.from_dict(self.run.shared(key))
        return self._lives[key]

    @cached_property
    def _lives(self) -> dict[str, Live]:
        return {}

    def kind(self, member: Member) -> str:
        """What a host has in common with those that are alike."""
        return kind_of(member, self.run.kept(Step.LIVE, member.name))

    def keep_listener(self, name: str, listener: Listener) -> None:
        ports = [[proto, port, why] for (proto, port), why in sorted(listener.ports.items())]
        kept = {
            "said": listener.said.to_dict(),
            "claims": listener.claims.to_dict(),
            "named": list(listener.named),
            "ports": self.run.share(ports),
            "kind": listener.kind,
        }
        self.run.keep(Step.LISTENING, name, kept)

    @cached_property
    def listeners(self) -> dict[str, Listener]:
        """The hosts that listen, each address with one of them at most."""
        found: dict[str, Listener] = {}
        ports: dict[str, dict[Port, str]] = {}
        for name in self.members:
            kept = self.run.kept(Step.LISTENING, name)
            if kept:
                key = kept["ports"]
                if key not in ports:
                    ports[key] = {(proto, port): why for proto, port, why in self.run.shared(key)}
                claims = Claims.from_dict(kept["claims"])
                named = tuple(kept["named"])
                found[name] = Listener(parse_listening(kept["said"]), claims, named, ports[key], kept["kind"])
        claims_by_name = settle(
            {name: one.claims for name, one in found.items()}, {name: one.named for name, one in found.items()}
        )
        return {name: one._replace(claims=claims_by_name[name]) for name, one in found.items()}

    @cached_property
    def legs(self) -> list[Leg]:
        """The legs of all hosts that listen."""
        return [leg for one in self.listeners.values() for leg in one.claims.legs]

    @cached_property
    def _tailnet(self) -> tuple[dict[str, Node], dict[str, str]]:
        return nodes_of(self.site, self.members, {name: one.said for name, one in self.listeners.items()})

    @property
    def nodes(self) -> dict[str, Node]:
        """The hosts that are in the tailnet, by name."""
        return self._tailnet[0]

    @property
    def addresses(self) -> list[str]:
        """Every address that is probed, or probed from."""
        over = [address for node in self.nodes.values() for address in node.addresses]
        return [*(leg.address for leg in self.legs), *over]

    # Containers

    @cached_property
    def containers(self) -> dict[str, dict[str, Any]]:
        """What is kept of each host that was asked for its containers."""
        kept = {name: self.run.kept(Step.CONTAINERS, name) for name in self.members}
        return {name: found for name, found in kept.items() if found}

    @cached_property
    def _read_containers(self) -> tuple[list[Vantage], dict[str, str]]:
        """(the containers that take part, {container or host: why it cannot})."""
        vantages: list[Vantage] = []
        trouble: dict[str, str] = {}
        for name, said in self.containers.items():
            if "trouble" in said:
                trouble[f"the containers of {name}"] = said["trouble"]
                continue
            found, wrong = parse_vantages(self.site, name, said, networks_of(self.site, self.members[name].tiers))
            vantages += found
            trouble.update((f"the containers of {name}", line) for line in wrong)
        trouble.update((one.label, one.error) for one in vantages if one.error)
        return vantages, trouble

    @property
    def vantages(self) -> list[Vantage]:
        """The containers that take part."""
        return self._read_containers[0]

    @property
    def inside_addresses(self) -> list[str]:
        """Every address that containers can send from."""
        return [address for one in self.vantages for address in (*one.addresses, *one.own)]

    @cached_property
    def _asked(self) -> Asked:
        return Asked(self.site, self.vantages, self.legs, self.record.seed)

    def questions(self, name: str) -> list[Question]:
        """What the containers of one host are to probe."""
        return self._asked.of(name, self._numbers[name], self._targets)

    def _prove_containers(self, hosts: Mapping[str, Host]) -> Optional[ContainersProof]:
        """What was found from inside the containers; None where the site has no networks."""
        if not self.site.networks:
            return None
        vantages, trouble = self._read_containers
        heard: dict[tuple[str, str], Stopped] = {}
        pairs: list[tuple[Question, Result]] = []
        for name in self.containers:
            for one, said in (self.run.kept(Step.CONTAINERS_HEARD, name) or {}).items():
                heard[name, one] = parse_stopped(said)
            questions = {question.job.id: question for question in self.questions(name)}
            kept = self.run.kept(Step.CONTAINERS_PROBED, name)
            pairs += [
                (questions[job.id], self._found(job, result))
                for job, result in (Probes.from_dict(kept).pairs if kept else ())
                if job.id in questions
            ]
        evidence = Evidence(heard, hosts)
        asked = {network for name in self.containers for network in networks_of(self.site, self.members[name].tiers)}
        gaps = uncovered(self.site, vantages, asked.__contains__)
        return ContainersProof(tuple(vantages), tuple(judge_containers(self._asked, pairs, evidence)), gaps, trouble)

    @cached_property
    def choice(self) -> Choice:
        """The pairs of hosts that are probed."""
        kinds = {name: one.kind for name, one in self.listeners.items()}
        return choose(kinds, self.record.seed, Coverage(self.record.coverage))

    @cached_property
    def forwards(self) -> Forwards:
        """What the gateways forward between these legs."""
        return Forwards(self.site, self.legs)

    def rules_for(self, name: str) -> list[Mapping[str, Any]]:
        """The live rules that name ports to probe at a host: its own, and the gateways'."""
        live = [
            self.live(other) for other, member in self.members.items() if other == name or member.part is Part.GATEWAY
        ]
        return [rule for one in live if one for rule in one.rules]

    def services(self, name: str) -> dict[Socket, str]:
        """What listened on a host's legs before, and its process."""
        return self._services_at(name, {leg.address for leg in self.listeners[name].claims.legs})

    def _services_at(self, name: str, own: Collection[str]) -> dict[Socket, str]:
        listener = self.listeners[name]
        return {one.socket: one.text for one in listener.said.services if one.socket.address in own}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Of the hosts, so that the ids of their jobs are unique in the run."""
        return {name: number for number, name in enumerate(self.record.members)}

    @cached_property
    def _targets(self) -> dict[str, Target]:
        return {host: Target(one.ports, self.services(host)) for host, one in self.listeners.items()}

    @cached_property
    def _targets_over(self) -> dict[str, Target]:
        """The same over the tailnet."""
        return {
            host: Target(self.listeners[host].ports, self._services_at(host, node.addresses))
            for host, node in self.nodes.items()
        }

    @cached_property
    def _legs_of(self) -> dict[str, list[Leg]]:
        return by_host(self.legs)

    @cached_property
    def _dests(self) -> dict[str, dict[str, bool]]:
        return self.choice.by_source()

    @cached_property
    def _policies(self) -> tuple[Policy, TailnetPolicy]:
        return Policy(self.site), TailnetPolicy(self.site)

    def jobs(self, name: str) -> list[Job]:
        """The jobs of one host."""
        number = self._numbers[name]
        policy, over = self._policies
        tailnet = jobs_between(name, number, self.nodes, self._targets_over, over)
        lan = jobs_from(
            name,
            number,
            self._legs_of,
            self._targets,
            lambda *flow: declared(policy, *flow),
            self.record.seed,
            self.forwards.arrival,
            self._dests.get(name, {}),
        )
        return [*lan, *tailnet]

    def controls(self, name: str, number: Optional[int] = None) -> list[Job]:
        """The jobs of one host to its own sockets. number: of the host, where this is a fleet of its own steps."""
        listener = self.listeners.get(name)
        known = self._numbers[name] if number is None else number
        return controls_of(name, known, listener.said, listener.ports) if listener else []

    def ask_all(self) -> int:
        """Keep what each host is to probe, and the addresses that it may hear from: put together once, for all of them. How many
        probes that is, of the hosts themselves."""
        probes = 0
        # A container's listener has its host's key, and a name of its own.
        owners = {one.label: one.host for one in self.vantages}
        peers = self.run.share([*self.addresses, *self.inside_addresses])
        for name in self.members:
            inside = self.questions(name) if name in self.containers else []
            jobs = self.jobs(name)
            probes += len(jobs)
            kept = {
                "jobs": [job.to_dict() for job in jobs],
                "number": self._numbers[name],
                "inside": [[one.vantage.id, one.job.to_dict()] for one in inside],
                "owners": {label: owners[label] for label in {one.job.host for one in inside} if label in owners},
                "peers": peers,
            }
            self.run.keep(Step.ASKED, name, kept)
        return probes

    def asked(self, name: str) -> dict[str, Any]:
        """What one host is to probe, empty where the step ask did not run: {number: the host's, jobs: [job], inside: [[container, job]],
        owners: {container's label: its host}, peers: [address]}."""
        kept = self.run.kept(Step.ASKED, name)
        if kept is None:
            return {"number": 0, "jobs": [], "inside": [], "owners": {}, "peers": []}
        return {**kept, "peers": self.run.shared(kept["peers"])}

    @cached_property
    def probed(self) -> dict[str, Probes]:
        """What the hosts that probed have found."""
        kept = {name: self.run.kept(Step.PROBED, name) for name in self.members}
        return {name: Probes.from_dict(found) for name, found in kept.items() if found}

    @cached_property
    def silences(self) -> dict[str, dict[Socket, str]]:
        """{host: {socket: why}} of those that did not answer their own host."""
        return {
            name: silent(self.probed[name].controls) if name in self.probed else never_sent(self.controls(name))
            for name in self.listeners
        }

    @cached_property
    def _served(self) -> dict[str, set[Socket]]:
        """{host: its sockets at which a service answers that was not known before}."""
        return {name: served(probes.controls) for name, probes in self.probed.items()}

    def _found(self, job: Job, result: Result) -> Result:
        """What a probe found, told with what its destination itself finds at that socket."""
        return as_service(job, result, self._served.get(job.host or "", ()))

    def _is_absent(self, job: Job, result: Result) -> bool:
        host = job.host or ""
        if host not in self.listeners or host not in self.probed:
            return False
        return is_absent(job, result, self.silences[host], self.listeners[host].ports)

    def proof_without_packets(self, seconds: float) -> Proof:
        """What is left of it where none were sent: the hosts that were not read, and those that are no part of it."""
        missing = {**self._no_parts(), **self.record.trouble}
        have_rules = [name for name, member in self.members.items() if member.part is not Part.INTERNET]
        for name in have_rules:
            trouble = self.run.kept(Step.TROUBLE, name)
            if trouble or self.run.kept(Step.LIVE, name) is None:
                missing[name] = trouble or "it was not reached"
        if not have_rules:
            missing["the inventory"] = "no host of this run is in a tier or in the group gateway"
        return Proof(
            self.site,
            {},
            (),
            {},
            missing,
            self.record.seed,
            seconds,
            self.record.left_out,
            self.record.limit,
            packets=False,
        )

    def _no_parts(self) -> dict[str, str]:
        """The hosts of this run that are no part of the proof, and why."""
        return {
            name: _no_part(member, self.record.outside)
            for name, member in self.record.members.items()
            if member.part is Part.NONE and name not in self.record.left_out
        }

    def proof(self, compile_for: Compile, seconds: float, node_plan: NodePlan = lambda _member: None) -> Proof:
        """Judge what all hosts found."""
        hosts: dict[str, Host] = {}
        missing = {**self._no_parts(), **self.record.trouble}
        pairs: list[tuple[Job, Result]] = []
        addresses = set(self.addresses)
        for name, member in self.members.items():
            probes = self.probed.get(name)
            listener = self.listeners.get(name)
            trouble = self.run.kept(Step.TROUBLE, name) or ""
            if listener and listener.claims.legs:
                hosts[name] = self._host(member, listener, compile_for)
            if listener is None or probes is None:
                missing[name] = trouble or "it was not reached"
            else:
                if any(not {job.source, job.dest, job.arriving.dest} <= addresses for job, _dummy in probes.pairs):
                    trouble = trouble or "addresses changed while it probed"
                trouble = trouble or listener.claims.trouble or probes.trouble
                if trouble:
                    missing[name] = trouble
                pairs += [(job, self._found(job, said)) for job, said in probes.pairs if not self._is_absent(job, said)]
        verdicts = Judge(Policy(self.site), hosts).judge(pairs)
        return Proof(
            self.site,
            hosts,
            verdicts,
            {name: one.ports for name, one in self.listeners.items()},
            missing,
            self.record.seed,
            seconds,
            self.record.left_out,
            self.record.limit,
            self._remarks(),
            self._prove_tailnet(hosts, pairs, node_plan),
            self._prove_containers(hosts),
            self.choice,
            {name: one.kind for name, one in self.listeners.items()},
        )

    def _prove_tailnet(
        self, hosts: Mapping[str, Host], pairs: Sequence[tuple[Job, Result]], node_plan: NodePlan
    ) -> Optional[TailnetProof]:
        """What was found over the tailnet; None where the site has none."""
        if self.site.tailnet is None:
            return None
        plans = {name: node_plan(member) for name, member in self.members.items()}
        wanted = {name: plan for name, plan in plans.items() if plan is not None}
        kept = {name: self.run.kept(Step.NODE, name) for name in wanted}
        live = {name: LiveNode.from_dict(found) if found else None for name, found in kept.items()}
        nodes, trouble = self._tailnet
        return prove(self.site, nodes, trouble, hosts, pairs, live, wanted)

    def _host(self, member: Member, listener: Listener, compile_for: Compile) -> Host:
        kept = self.run.kept(Step.STOPPED, member.name)
        stopped = parse_stopped(kept) if kept else Stopped()
        live = self.live(member.name)
        firewalled = member.part is not Part.INTERNET
        return Host(
            name=member.name,
            legs=listener.claims.legs,
            live=live.firewall() if firewalled and live else None,
            compiled=compile_for(member) if firewalled else None,
            running=stopped.running,
            hears=listener.said.hears.wire,
            lost=stopped.lost,
            lost_wire=stopped.lost_wire,
            unusable={**{one.socket: one.text for one in listener.said.unusable}, **self.silences[member.name]},
            services=self.services(member.name),
            passed=_ports(stopped.passed),
            arrived=_ports(stopped.arrived),
            left=_ports(stopped.left),
        )

    def _remarks(self) -> list[str]:
        """What a person should know of the inventory, and of what hosts claim."""
        members = self.record.members.values()
        found = [
            f"tier {tier} has no host: nothing is proven about it"
            for tier in self.site.tiers
            if not any(tier in member.tiers for member in members)
        ]
        found += self._without_a_version()
        if len(self.site.tiers) > 1 and not any(member.part is Part.GATEWAY for member in members):
            found.append("no host is in group gateway: no packet between the tiers can be followed on its way")
        if not any(member.part is Part.INTERNET for member in members):
            found.append(f"no host is in group {self.record.outside}: nothing is proven about the internet")
        if self.forwards.unproven:
            found.append(
                f"no host of the proof has {some(self.forwards.unproven)}: what the gateways forward there is not proven"
            )
        for name, one in self.listeners.items():
            if one.claims.unknown:
                found.append(
                    f"{name} has {some(one.claims.unknown)}, unknown to the site: not probed (if it is to be, name it in "
                    "the host's prove_addresses)"
                )
        return found

    def _without_a_version(self) -> list[str]:
        """The hosts that have no IPv6 address, or no IPv4 one, in a tier that has a subnet of it: what is not probed there."""
        found = []
        for tier in self.site.tiers.values():
            for version in sorted({net.version for net in tier.subnets}):
                hosts = [
                    name
                    for name, one in self.listeners.items()
                    if tier.name in self.members[name].tiers
                    and not any(leg.place == tier.name and leg.version == version for leg in one.claims.legs)
                ]
                if hosts and len({net.version for net in tier.subnets}) > 1:
                    found.append(
                        f"{some(hosts)} in {tier.name}: no address of its IPv{version} subnet, so not probed there"
                    )
        return found


def _no_part(member: Member, outside: str) -> str:
    groups = f"its groups: {', '.join(member.groups)}" if member.groups else "it is in no group"
    return f"it is in no tier, no gateway and not in {outside} ({groups}): leave it out with --limit, or correct its groups"


def _ports(heard: Sequence[Heard]) -> HeardPorts:
    ports: dict[tuple[str, str, str], frozenset[int]] = {}
    for flow in heard:
        key = flow.source, flow.dest, flow.proto
        ports[key] = ports.get(key, frozenset()).union(flow.ports)
    return ports
