# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each probe proves: what it found, held against what the site declares.

A probe that was answered is proof by itself: its listener's key signed the answer. One that was not is proof only if its
packet is known to have met a filter: the destination's listener answered the host itself, and a host other than the
sender saw the packet come in, the destination or a gateway on the way. (Where the destination's listener may not see
packets, another probe between the same two addresses that was answered serves.) Otherwise nothing is proven, and that is
a failure of the proof. So no host decides what it is seen to reach, nor what is said of others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job, Result, Verdict, answers
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Socket
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.firewall import Decision, Firewall, Packet, text_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import GATEWAY, INTERNET, Leg, is_beside
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import Status
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import INTERNET as INTERNET_END
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Flow
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import parse_address

#: The remedy where the hosts are not as declared.
APPLY = "run site.yml, which restores it"
#: Who holds a port that Docker publishes, with and without userland-proxy.
DOCKER = ("docker-proxy", "dockerd")
#: What the engine serves itself: its API, a Swarm's managers and gossip.
ENGINE = (("tcp", 2375), ("tcp", 2376), ("tcp", 2377), ("tcp", 7946), ("udp", 7946))

#: What a listener heard: the ports by source, destination and protocol.
HeardPorts = Mapping[tuple[str, str, str], frozenset[int]]


@dataclass(frozen=True)
class Host:
    """A host of the proof: what it is, what its rules are and should be, and what its listener heard.

    unusable: sockets that cannot be judged, and why. services: what listened before, and its process. hears: whether
    the wire is heard; lost: packets past INPUT that it could not keep; lost_wire: those on the devices.
    """

    name: str
    legs: tuple[Leg, ...]
    live: Optional[Firewall] = None
    compiled: Optional[Firewall] = None
    running: bool = True
    hears: bool = True
    lost: int = 0
    lost_wire: int = 0
    unusable: Mapping[Socket, str] = field(default_factory=dict)
    services: Mapping[Socket, str] = field(default_factory=dict)
    passed: HeardPorts = field(default_factory=dict)
    arrived: HeardPorts = field(default_factory=dict)
    left: HeardPorts = field(default_factory=dict)


class Judged(NamedTuple):
    """One judged probe. flow: the declared flow, if there is one. cause and remedy: only where it is a failure."""

    status: Status
    source: Leg
    dest: Leg
    proto: str
    port: int
    found: Verdict  # what the prober saw, or ONE_WAY
    detail: str
    flow: Optional[Flow]
    ended: str  # where the packet was seen last, if it was dropped
    cause: str = ""
    remedy: str = ""
    asked: Optional[Socket] = None  # where a router was asked for it, if it forwards it


#: A reason why something proves nothing, and what to do.
Doubt = tuple[str, str]


def checked(job: Job, result: Result, key: bytes, token: str) -> Result:
    """The result, or MISDIRECTED where it says that the listener answered and the answer lacks the listener's code.

    key: of the listener that had to answer. A real service knows no key: the judge asks whether the packet came.
    """
    if result.verdict is not Verdict.ALLOWED or answers(job, result, key, token):
        return result
    if job.service and not result.mac:
        return result
    return result._replace(
        verdict=Verdict.MISDIRECTED, detail=f"what answered does not have the key of {job.host}'s listener"
    )


class Judge:
    """Judges probes between hosts under one policy."""

    def __init__(self, policy: Policy, hosts: Mapping[str, Host]) -> None:
        self.policy = policy
        self.hosts = hosts
        self.legs = {leg.address: leg for host in hosts.values() for leg in host.legs}
        self.gateways = [host for host in hosts.values() if any(leg.place == GATEWAY for leg in host.legs)]
        self.met: set[tuple[Optional[str], str]] = set()  # (source, dest) between which a listener answered
        self.reached: set[tuple[Optional[str], str, str, int]] = set()  # as they arrived: what a listener answered
        self.within: set[tuple[str, str]] = set()  # (source, path of a flow with a limit) under which one answered

    def judge(self, probed: Sequence[tuple[Job, Result]]) -> list[Judged]:
        """probed: of all hosts, each job with its own result, `checked`."""
        self.met = {
            (job.source, job.arriving.dest)
            for job, result in probed
            if result.verdict is Verdict.ALLOWED and result.mac
        }
        self.reached = {
            _path(job.arriving) for job, result in probed if result.verdict is Verdict.ALLOWED and result.mac
        }
        known = [(job, result) for job, result in probed if job.source in self.legs and job.arriving.dest in self.legs]
        for sent, result in known if any(flow.limit for flow in self.policy.site.flows) else ():
            job = sent.arriving
            if result.verdict is Verdict.ALLOWED and result.mac:
                source = self.legs[job.source or ""]
                flow = self._flow(source, self.legs[job.dest], job.proto, job.port)
                if flow and flow.limit:
                    self.within.add((source.address, flow.path))
        return [self._judged(job, result) for job, result in known]

    def _judged(self, sent: Job, result: Result) -> Judged:
        # What a router forwards is answered, and judged, where it arrives.
        job = sent.arriving
        source, dest = self.legs[job.source or ""], self.legs[job.dest]
        found, detail = result.verdict, result.detail
        passed = _has(self.hosts[dest.host].passed, job)
        if sent.end and result.verdict is not Verdict.ALLOWED and _path(job) in self.reached:
            passed = False  # what was let in is the packet of another probe, which took another way
        if passed and found is Verdict.DROPPED:  # let in, and yet no answer: the way back is cut
            found = Verdict.ONE_WAY
        if found is Verdict.ALLOWED and not result.mac and self._never_came(job):
            found, detail = Verdict.MISDIRECTED, f"a service answered, but no packet ever came to {dest.host}"
        flow = self._flow(source, dest, job.proto, job.port)
        ended = self._ended(sent, source, dest)
        judged = Judged(Status.INCONCLUSIVE, source, dest, job.proto, job.port, found, detail, flow, ended)
        if sent.end:
            judged = judged._replace(asked=Socket(sent.proto, sent.dest, sent.port))
        if result.mac and not result.peer and found is Verdict.ALLOWED and self._is_masqueraded(job):
            return self._not_masqueraded(judged)
        return self._decide(judged, passed)

    def _not_masqueraded(self, judged: Judged) -> Judged:
        """The host that stands for the internet has a way back to the source; the internet has none."""
        gateways = " or ".join(gateway.name for gateway in self.gateways) or "no gateway"
        return judged._replace(
            status=Status.BLOCKED,
            cause=f"{judged.dest.host} saw {judged.source.address} itself: {gateways} does not masquerade it, and no answer "
            "of the internet would come back to it",
            remedy=APPLY,
        )

    def _never_came(self, job: Job) -> bool:
        """Whether a real service answered elsewhere: it knows no nonce, but the right host saw the packet come in."""
        dest = self.hosts[job.host or ""]
        if not dest.hears or dest.lost_wire:
            return False
        senders = self._masquerading(job)
        came = any(_has(dest.arrived, job._replace(source=address)) for address in (job.source, *senders))
        return not came and (senders != [] or not self._is_masqueraded(job))

    def _is_masqueraded(self, job: Job) -> bool:
        """Whether a gateway puts its own address in the place of the source's."""
        source = self.legs[job.source or ""]
        tier = self.policy.site.tiers.get(source.place)
        return bool(tier and source.version in tier.masquerade) and self.legs[job.dest].place == INTERNET

    def _masquerading(self, job: Job) -> list[str]:
        """The addresses that a gateway may put there: those of its legs that are in no tier."""
        own = [net for tier in self.policy.site.tiers.values() for net in tier.subnets]
        return [
            leg.address
            for gateway in self.gateways
            for leg in gateway.legs
            if self._is_masqueraded(job)
            and leg.version == self.legs[job.source or ""].version
            and not any(net.holds(parse_address(leg.address)) for net in own)
        ]

    def _flow(self, source: Leg, dest: Leg, proto: str, port: int) -> Optional[Flow]:
        """The flow that declares this, or None."""
        return declared(self.policy, source, dest, proto, port)

    def _decide(self, verdict: Judged, passed: bool) -> Judged:
        if verdict.found is Verdict.MISDIRECTED:
            return verdict._replace(
                status=Status.MISDIRECTED,
                cause=verdict.detail,
                remedy="look for an address translation on the way (iptables -t nat -S)",
            )
        if verdict.flow:
            if verdict.found is Verdict.ALLOWED:
                return verdict._replace(status=Status.ALLOWED)
            return self._not_answered(verdict, passed)
        if verdict.found is Verdict.ALLOWED or passed:
            cause, remedy = self._why_open(verdict)
            return verdict._replace(status=Status.OPEN, cause=cause, remedy=remedy)
        doubt = self._doubt(verdict)
        if doubt:
            return verdict._replace(status=Status.INCONCLUSIVE, cause=doubt[0], remedy=doubt[1])
        return verdict._replace(status=Status.DENIED)

    # Where it ended

    def _ended(self, sent: Job, source: Leg, dest: Leg) -> str:
        """The host at which the packet was seen last and that did not let it on; "" where that is not known."""
        host, job = self.hosts[dest.host], sent.arriving
        # Where another probe arrives as this one would, only what this one was asked for tells the two apart.
        ambiguous = bool(sent.end) and _path(job) in self.reached
        if _has(host.arrived, job) and not ambiguous:
            return host.name
        if is_beside(source, dest) and not sent.end:
            return ""  # no gateway is on the way: what one says of it is no evidence
        for gateway in self.gateways:
            if gateway.name in (source.host, dest.host) or gateway.lost_wire:
                continue
            # It comes as it was sent, and leaves as it is to arrive.
            left = _has(gateway.left, sent) or (_has(gateway.left, job) and not ambiguous)
            if _has(gateway.arrived, sent) and not left:
                return gateway.name
        return ""

    # Denied: can it be trusted?

    def _doubt(self, judged: Judged) -> Optional[Doubt]:
        """Why a silence proves nothing, or None."""
        dest = self.hosts[judged.dest.host]
        if judged.found is Verdict.INCONCLUSIVE:
            return judged.detail or "the probe failed", "run it again"
        if not dest.running:
            return f"{dest.name}'s listener was gone before the end", "run it again, with a longer prove_ttl"
        if dest.lost:
            return f"{dest.name}'s listener lost {dest.lost} packets, and this may be among them", "run it again"
        error = dest.unusable.get(Socket(judged.proto, judged.dest.address, judged.port))
        if error:
            return f"no listener can answer there: {error}", f"see what holds that port on {dest.name}"
        met = (judged.source.address, judged.dest.address) in self.met
        if judged.ended or (met and not dest.hears):
            return None
        detail = f" ({judged.detail})" if judged.detail else ""
        return (
            f"{judged.found.value}{detail}, and {self._where(judged)}: no filter is known to have met it",
            _see_the_way(judged),
        )

    def _where(self, judged: Judged) -> str:
        """Where a packet that was not seen is missing."""
        source, dest = self.hosts[judged.source.host], self.hosts[judged.dest.host]
        if not dest.hears:
            return f"{dest.name}'s listener may not see packets"
        sent = source.left.get((judged.source.address, judged.dest.address, judged.proto), ())
        if source.hears and judged.port not in sent:
            return f"it was not seen to leave {source.name}"
        return f"it was seen at no gateway and not at {dest.name}"

    # Declared, and not answered

    def _not_answered(self, verdict: Judged, passed: bool) -> Judged:
        dest = self.hosts[verdict.dest.host]
        if verdict.found is Verdict.ONE_WAY:
            return verdict._replace(
                status=Status.BLOCKED,
                cause=f"{dest.name} let it in, but its answer is lost on the way back",
                remedy=f"see the way from {dest.name} to {verdict.source.host}: routes, and rules for outgoing packets",
            )
        # A limit refuses; what a router does not forward is dropped there.
        limited = not (verdict.asked and verdict.found is Verdict.DROPPED)
        if verdict.flow and verdict.flow.limit and limited and not passed and not self._is_denied(verdict):
            return self._limited(verdict, verdict.flow)
        doubt = self._doubt(verdict)
        if passed and not doubt:
            doubt = f"{dest.name} let it in, but refused it: what listened there is gone", "run it again"
        if doubt:
            return verdict._replace(status=Status.INCONCLUSIVE, cause=doubt[0], remedy=doubt[1])
        return verdict._replace(status=Status.BLOCKED, cause=self._why_blocked(verdict), remedy=APPLY)

    def _limited(self, verdict: Judged, flow: Flow) -> Judged:
        """Every rule that is known lets it in, up to a rate: other connections of the same source count as well."""
        if (verdict.source.address, flow.path) in self.within:
            return verdict._replace(status=Status.LIMITED)
        return verdict._replace(
            cause=f"{verdict.found.value}, which may be its limit: 6 new connections of {verdict.source.host} in 30 s",
            remedy=f"run it again when {verdict.source.host} has opened none for 30 s",
        )

    def _is_denied(self, verdict: Judged) -> bool:
        """Whether a rule, or a rule that is missing, denies it on a host on its way."""
        return any(
            not (host.live.publishes(packet) if published else host.live.decide(packet).allows)
            for host, packet in self._filters(verdict)
            if host.live is not None
            for published in [self._is_published(verdict, host) and host.live.published is not None]
        )

    def _why_blocked(self, verdict: Judged) -> str:
        """The rule that is missing, or the one in the way, on the host where the packet ended."""
        filters = self._filters(verdict)
        known = [(host, packet) for host, packet in filters if host.name == verdict.ended] or filters
        for host, packet in known:
            if host.live is None or host.compiled is None:
                continue
            if self._is_published(verdict, host) and host.live.published is not None:
                if host.live.publishes(packet):
                    continue
                return _not_listed(host, packet)
            live, compiled = host.live.decide(packet), host.compiled.decide(packet)
            if live.allows:
                continue
            if compiled.allows and compiled.rule and not host.live.has(compiled.rule):
                return f"{host.name} lacks the rule `{text_of(compiled.rule)}`{_before(live)}"
            if live.rule:
                return f"{host.name}'s rule `{text_of(live.rule)}` stands before what lets it in"
            return f"{host.name}'s default policy for {_kind(packet)} packets denies it, and no rule is compiled for it"
        if verdict.asked and verdict.ended != verdict.dest.host:
            asked = f"{verdict.asked.address} port {verdict.asked.port}"
            return (
                f"{verdict.ended or 'the gateway'} was asked at {asked}, and did not forward it to {verdict.dest.address} "
                f"port {verdict.port}: its address translation is missing, or another rule is before it"
            )
        where = f": it was last seen at {verdict.ended}" if verdict.ended else ""
        return f"no UFW rule explains it{where}"

    # Not declared, and let in

    def _why_open(self, verdict: Judged) -> Doubt:
        """(the rule that let it in, what to do)."""
        filters = [(host, host.live, packet) for host, packet in self._filters(verdict) if host.live is not None]
        declare = f"{APPLY}, or declare a flow for it"
        if not filters:
            return "no host on the way filters it", "put a gateway between them, or declare a flow for it"
        published = [item for item in filters if self._is_published(verdict, item[0]) and item[1].active]
        # A published port is translated, and then no rule for incoming packets is asked.
        decisions = [
            (host, packet, live.decide(packet))
            for host, live, packet in filters
            if (host, live, packet) not in published
        ]
        causes = [
            _let_in(host, packet, decision)
            for host, packet, decision in decisions
            if decision.allows and host.compiled is not None and not host.compiled.decide(packet).allows
        ]
        if published:
            cause, remedy = _why_published(*published[0], declare)
            return "; ".join([*causes, cause]), remedy
        if causes:
            return "; ".join(causes), declare
        denied = [(host, live) for host, _dummy, live in decisions if not live.allows]
        if denied:
            return self._unexplained(verdict, denied)
        rules = [f"{host.name}'s `{text_of(live.rule)}`" for host, _dummy, live in decisions if live.rule]
        by = " and ".join(rules or ["the compiled policies"])
        return (
            f"let in by {by}, which the site compiles though no flow declares it",
            "report it: the compiler and the policy disagree",
        )

    def _unexplained(self, verdict: Judged, denied: Sequence[tuple[Host, Decision]]) -> Doubt:
        unsure = [rule for _dummy, live in denied for rule in live.unsure]
        if unsure:
            return f"no UFW rule explains it for sure; it may be `{unsure[0]}` on {denied[0][0].name}", APPLY
        by = " and ".join(host.name for host, _dummy in denied)
        return (
            f"no UFW rule explains it: by {by}'s rules it is denied",
            f"see the whole filter of {verdict.dest.host} (iptables-save)",
        )

    def _is_published(self, verdict: Judged, host: Host) -> bool:
        """Whether the packet is for a port that Docker publishes on this host."""
        if host.name != verdict.dest.host or (verdict.proto, verdict.port) in ENGINE:
            return False
        if verdict.dest.version == 6:
            return False  # unless its daemon.json says otherwise, the engine's own process takes it, behind INPUT
        return host.services.get(Socket(verdict.proto, verdict.dest.address, verdict.port)) in DOCKER

    def _filters(self, verdict: Judged) -> list[tuple[Host, Packet]]:
        """[(Host, Packet)]: what filters a packet on its way, the gateways first."""
        source, dest = verdict.source, verdict.dest
        packet = Packet("input", source.address, dest.address, verdict.proto, verdict.port)
        filters = []
        if not is_beside(source, dest) and dest.place != GATEWAY:
            for gateway in self.gateways:
                if gateway.name != source.host:
                    filters.append(
                        (
                            gateway,
                            packet._replace(
                                hook="forward",
                                interface_in=_towards(gateway, source),
                                interface_out=_towards(gateway, dest),
                            ),
                        )
                    )
        if dest.place != INTERNET:
            near = _towards(self.hosts[dest.host], source)
            filters.append(
                (self.hosts[dest.host], packet._replace(interface_in=near or _only_interface(self.hosts[dest.host])))
            )
        return filters


def _see_the_way(judged: Judged) -> str:
    """What to do where a packet was seen nowhere."""
    if judged.dest.version == 6 and judged.found is Verdict.NO_ROUTE:
        return (
            f"see whether neighbour discovery is answered on the way to {judged.dest.address} (ip -6 neigh; ICMPv6 types 133-137 "
            f"must pass each firewall, as UFW's before6.rules let them), and the route (ip -6 route get {judged.dest.address})"
        )
    return f"see the route from {judged.source.host} to {judged.dest.address} (ip route get {judged.dest.address})"


def _names(flow: Flow, dest: Leg) -> bool:
    """Whether a flow names this address of a router. Its outer address is outside of the site, but it is not the
    internet."""
    address = parse_address(dest.address)
    return any(
        net.holds(address)
        for pair in flow.pairs
        if pair.destination.kind != INTERNET_END
        for net in pair.destination.nets
    )


def declared(policy: Policy, source: Leg, dest: Leg, proto: str, port: int) -> Optional[Flow]:
    """The flow that declares a packet, or None."""
    flow = policy.flow_for(source.address, dest.address, proto, port)
    return None if flow and dest.place == GATEWAY and not _names(flow, dest) else flow


def _path(job: Job) -> tuple[Optional[str], str, str, int]:
    """What a listener sees of a packet."""
    return job.source, job.dest, job.proto, job.port


def _has(heard: HeardPorts, job: Job) -> bool:
    return job.port in heard.get((job.source or "", job.dest, job.proto), ())


def _towards(host: Host, leg: Leg) -> str:
    """The interface of a host on the subnet of another address, or ""."""
    return next((own.interface for own in host.legs if is_beside(leg, own)), "")


def _only_interface(host: Host) -> str:
    interfaces = {leg.interface for leg in host.legs}
    return interfaces.pop() if len(interfaces) == 1 else ""


def _kind(packet: Packet) -> str:
    return "routed" if packet.hook == "forward" else "incoming"


def _let_in(host: Host, packet: Packet, live: Decision) -> str:
    if host.live is None or not host.live.active:
        return f"{host.name}'s firewall is off"
    if live.rule:
        return f"let in by {host.name}'s rule `{text_of(live.rule)}`, which the site does not declare"
    return f"let in by {host.name}'s default policy, which allows {_kind(packet)} packets"


def _why_published(host: Host, live: Firewall, packet: Packet, declare: str) -> Doubt:
    """(why a port that Docker publishes is open, what to do)."""
    if live.published is None:
        return (
            f"Docker publishes that port on {host.name}, and published ports bypass UFW's rules for incoming packets",
            "who may reach it is for ufw_ruleset's option docker to say (docs/docker_published.md)",
        )
    entry = live.publishes(packet)
    if entry:
        return f"let in by {host.name}'s list of published ports, `{text_of(entry)}`", declare
    return (
        f"Docker publishes that port, and {host.name}'s list of published ports denies it",
        "see whether FORWARD asks DOCKER-USER first, and what it says (iptables -S FORWARD; iptables -S DOCKER-USER); "
        f"{APPLY}",
    )


def _not_listed(host: Host, packet: Packet) -> str:
    """Why DOCKER-USER drops a packet to a port that Docker publishes."""
    entry = host.compiled.publishes(packet) if host.compiled else None
    if entry:
        return (
            f"{host.name}'s list of published ports lacks `{text_of(entry)}`: its chain bulkhead-docker, asked by "
            "DOCKER-USER, drops it"
        )
    return (
        f"Docker publishes that port, and no entry of {host.name}'s list of published ports lets it in: DOCKER-USER "
        "drops it"
    )


def _before(live: Decision) -> str:
    """What decides instead of the rule that is missing."""
    return f", and its rule `{text_of(live.rule)}` denies it" if live.rule else ""


def strays(host: Host) -> tuple[list[str], list[str]]:
    """(texts of the rules that a host has and the site does not compile, texts of those that it lacks)."""
    if host.live is None or host.compiled is None or not host.live.active:
        return [], []
    more = [text_of(rule) for rule in host.live.rules if not host.compiled.has(rule)] + list(host.live.not_read)
    less = [text_of(rule) for rule in host.compiled.rules if not host.live.has(rule)]
    # A rule for anywhere is one of each IP version, in the same words.
    return list(dict.fromkeys(more)), list(dict.fromkeys(less))
