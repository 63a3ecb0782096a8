# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each probe proves: what it found, held against what the site declares.

A probe that was answered is proof by itself. One that was not is proof only if its packet is known to have met a
filter: the destination's listener answered the host itself, and the packet was seen to come in at the destination or at
a gateway (or another probe between the same two addresses was answered). Otherwise nothing is proven, and that is a
failure of the proof.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import GATEWAY, INTERNET, Leg, is_beside
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.rules import Firewall, Packet, text_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import INTERNET as INTERNET_END
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import parse_address

ALLOWED, DENIED = "allowed", "denied"  # as declared
OPEN, BLOCKED, MISDIRECTED, INCONCLUSIVE = "open", "blocked", "misdirected", "inconclusive"  # failures of the proof
FAILURES = (OPEN, BLOCKED, MISDIRECTED, INCONCLUSIVE)
MEND = "run site.yml, which mends it"
# Who holds a port that Docker publishes, with and without userland-proxy.
DOCKER = ("docker-proxy", "dockerd")
# What the engine serves itself: its API, a Swarm's managers and gossip.
ENGINE = (("tcp", 2375), ("tcp", 2376), ("tcp", 2377), ("tcp", 7946), ("udp", 7946))


@dataclass(frozen=True)
class Host:
    """A host of the proof: what it is, what its rules are and should be, and what its listener heard.

    failed: {(proto, address, port): why it cannot be judged}. services: {(proto, address, port): process}.
    passed, arrived, left: {(source, dest, proto): {ports}}. hears: whether the wire is heard; lost: packets it could
    not keep.
    """

    name: str
    legs: tuple[Leg, ...]
    live: Optional[Firewall] = None
    compiled: Optional[Firewall] = None
    running: bool = True
    hears: bool = True
    lost: int = 0
    failed: dict = field(default_factory=dict)
    services: dict = field(default_factory=dict)
    passed: dict = field(default_factory=dict)
    arrived: dict = field(default_factory=dict)
    left: dict = field(default_factory=dict)


class Verdict(NamedTuple):
    """One judged probe. flow: the declared flow, if there is one. cause and remedy: only where it is a failure."""

    status: str
    source: Leg
    dest: Leg
    proto: str
    port: int
    found: str  # what the prober saw, or ONE_WAY
    detail: str
    flow: Optional[object]
    ended: str  # where the packet was seen last, if it was dropped
    cause: str = ""
    remedy: str = ""


class Judge:
    """Judges probes between hosts under one policy."""

    def __init__(self, policy, hosts):
        self.policy = policy
        self.hosts = hosts
        self.legs = {leg.address: leg for host in hosts.values() for leg in host.legs}
        self.gateways = [host for host in hosts.values() if any(leg.place == GATEWAY for leg in host.legs)]
        self.met = set()  # (source, dest) between which something was answered

    def judge(self, probed):
        """probed: [(job, result)] of all hosts, as flow_probe takes and returns them. Returns [Verdict]."""
        self.met = {(job["source"], job["dest"]) for job, result in probed if result["verdict"] == "ALLOWED"}
        return [self._verdict(job, result) for job, result in probed]

    def _verdict(self, job, result):
        source, dest = self.legs[job["source"]], self.legs[job["dest"]]
        proto, port, found = job["proto"], job["port"], result["verdict"]
        passed = _has(self.hosts[dest.host].passed, job)
        if passed and found == "DROPPED":  # let in, and yet no answer: the way back is cut
            found = "ONE_WAY"
        detail = result.get("detail", "")
        if found == "ALLOWED" and job["service"] and self._went_elsewhere(job):
            found, detail = "MISDIRECTED", "a service answered, but no packet ever came to %s" % dest.host
        flow = self._flow(source, dest, proto, port)
        verdict = Verdict("", source, dest, proto, port, found, detail, flow, self._ended(job))
        return self._decide(verdict, passed)

    def _went_elsewhere(self, job):
        """Whether a real service answered elsewhere: it knows no nonce, but the right host saw the packet come in."""
        dest = self.hosts[job["host"]]
        return dest.hears and not dest.lost and not _has(dest.arrived, job)

    def _flow(self, source, dest, proto, port):
        """The flow that declares this, or None."""
        flow = self.policy.flow_for(source.address, dest.address, proto, port)
        if flow and dest.place == GATEWAY and not _names(flow, dest):
            return None
        return flow

    def _decide(self, verdict, passed):
        if verdict.found == "MISDIRECTED":
            return verdict._replace(
                status=MISDIRECTED,
                cause=verdict.detail,
                remedy="look for an address translation on the way (iptables -t nat -S)",
            )
        if verdict.flow:
            return (
                verdict._replace(status=ALLOWED) if verdict.found == "ALLOWED" else self._not_answered(verdict, passed)
            )
        if verdict.found == "ALLOWED" or passed:
            cause, remedy = self._why_open(verdict)
            return verdict._replace(status=OPEN, cause=cause, remedy=remedy)
        doubt = self._doubt(verdict)
        if doubt:
            return verdict._replace(status=INCONCLUSIVE, cause=doubt[0], remedy=doubt[1])
        return verdict._replace(status=DENIED)

    # Where it ended

    def _ended(self, job):
        """The host at which the packet was seen last and that did not let it on; "" where nobody knows."""
        dest = self.hosts[job["host"]]
        if _has(dest.arrived, job):
            return dest.name
        for gateway in self.gateways:
            if _has(gateway.arrived, job) and not _has(gateway.left, job):
                return gateway.name
        return ""

    # Denied: can it be trusted?

    def _doubt(self, verdict):
        """(why a silence proves nothing, what to do), or None."""
        dest = self.hosts[verdict.dest.host]
        if not dest.running:
            return "%s's listener was gone before the end" % dest.name, "run it again, with a longer prove_ttl"
        lost = dest.failed.get((verdict.proto, verdict.dest.address, verdict.port))
        if lost:
            return "nothing can listen there: %s" % lost, "see what holds that port on %s" % dest.name
        if verdict.ended or (verdict.source.address, verdict.dest.address) in self.met:
            return None
        where = "it was seen at no gateway and not at %s" % dest.name
        source = self.hosts[verdict.source.host]
        if not dest.hears:
            where = "%s's listener may not see packets" % dest.name
        elif source.hears and verdict.port not in source.left.get(
            (verdict.source.address, verdict.dest.address, verdict.proto), ()
        ):
            where = "it was not seen to leave %s" % source.name
        detail = " (%s)" % verdict.detail if verdict.detail else ""
        return "%s%s, and %s: no filter is known to have met it" % (verdict.found, detail, where), (
            "see the route from %s to %s (ip route get %s)"
            % (verdict.source.host, verdict.dest.address, verdict.dest.address)
        )

    # Declared, and not answered

    def _not_answered(self, verdict, passed):
        dest = self.hosts[verdict.dest.host]
        if verdict.found == "ONE_WAY":
            return verdict._replace(
                status=BLOCKED,
                cause="%s let it in, but its answer is lost on the way back" % dest.name,
                remedy="see the way from %s to %s: routes, and rules for outgoing packets"
                % (dest.name, verdict.source.host),
            )
        doubt = self._doubt(verdict)
        if passed and not doubt:
            doubt = "%s let it in, but refused it: what listened there is gone" % dest.name, "run it again"
        if doubt:
            return verdict._replace(status=INCONCLUSIVE, cause=doubt[0], remedy=doubt[1])
        return verdict._replace(status=BLOCKED, cause=self._why_blocked(verdict), remedy=MEND)

    def _why_blocked(self, verdict):
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
                return "%s lacks the rule `%s`%s" % (host.name, text_of(compiled.rule), _before(host.name, live))
            if live.rule:
                return "%s's rule `%s` stands before what lets it in" % (host.name, text_of(live.rule))
            return "%s's default policy for %s packets denies it, and no rule is compiled for it" % (
                host.name,
                _kind(packet),
            )
        where = ": it was last seen at %s" % verdict.ended if verdict.ended else ""
        return "no UFW rule explains it%s" % where

    # Not declared, and let in

    def _why_open(self, verdict):
        """(the rule that let it in, what to do)."""
        filters = [(host, packet) for host, packet in self._filters(verdict) if host.live is not None]
        declare = "%s, or declare a flow for it" % MEND
        if not filters:
            return "no host on the way filters it", "put a gateway between them, or declare a flow for it"
        published = [item for item in filters if self._is_published(verdict, item[0]) and item[0].live.active]
        # A published port is translated, and then no rule for incoming packets is asked.
        decisions = [
            (host, packet, host.live.decide(packet)) for host, packet in filters if (host, packet) not in published
        ]
        causes = [
            _let_in(host, packet, live)
            for host, packet, live in decisions
            if live.allows and host.compiled is not None and not host.compiled.decide(packet).allows
        ]
        if published:
            cause, remedy = _why_published(*published[0], declare)
            return "; ".join([*causes, cause]), remedy
        if causes:
            return "; ".join(causes), declare
        denied = [(host, live) for host, _dummy, live in decisions if not live.allows]
        if denied:
            return self._unexplained(verdict, denied)
        rules = ["%s's `%s`" % (host.name, text_of(live.rule)) for host, _dummy, live in decisions if live.rule]
        return "let in by %s, which the site compiles though no flow declares it" % " and ".join(
            rules or ["the compiled policies"]
        ), ("report it: the compiler and the policy disagree")

    def _unexplained(self, verdict, denied):
        unsure = [rule for _dummy, live in denied for rule in live.unsure]
        if unsure:
            return "no UFW rule explains it for sure; it may be `%s` on %s" % (unsure[0], denied[0][0].name), MEND
        hint = "see the whole filter of %s (iptables-save)" % verdict.dest.host
        return "no UFW rule explains it: by %s's rules it is denied" % " and ".join(
            host.name for host, _dummy in denied
        ), hint

    def _is_published(self, verdict, host):
        """Whether the packet is for a port that Docker publishes on this host."""
        if host.name != verdict.dest.host or (verdict.proto, verdict.port) in ENGINE:
            return False
        return host.services.get((verdict.proto, verdict.dest.address, verdict.port)) in DOCKER

    def _filters(self, verdict):
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


def _names(flow, dest):
    """Whether a flow names this address of a router. Its outer address is outside of the site, but it is not the
    internet."""
    address = parse_address(dest.address)
    return any(
        net.holds(address)
        for pair in flow.pairs
        if pair.destination.kind != INTERNET_END
        for net in pair.destination.nets
    )


def _has(heard, job):
    return job["port"] in heard.get((job["source"], job["dest"], job["proto"]), ())


def _towards(host, leg):
    """The interface of a host on the subnet of another address, or ""."""
    return next((own.interface for own in host.legs if is_beside(leg, own)), "")


def _only_interface(host):
    interfaces = {leg.interface for leg in host.legs}
    return interfaces.pop() if len(interfaces) == 1 else ""


def _kind(packet):
    return "routed" if packet.hook == "forward" else "incoming"


def _let_in(host, packet, live):
    if not host.live.active:
        return "%s's firewall is off" % host.name
    if live.rule:
        return "let in by %s's rule `%s`, which the site does not declare" % (host.name, text_of(live.rule))
    return "let in by %s's default policy, which allows %s packets" % (host.name, _kind(packet))


def _why_published(host, packet, declare):
    """(why a port that Docker publishes is open, what to do)."""
    if host.live.published is None:
        return (
            "Docker publishes that port on %s, and published ports bypass UFW's rules for incoming packets" % host.name,
            "who may reach it is for ufw_ruleset's option docker to say (docs/docker_published.md)",
        )
    entry = host.live.publishes(packet)
    if entry:
        return "let in by %s's list of published ports, `%s`" % (host.name, text_of(entry)), declare
    return (
        "Docker publishes that port, and %s's list of published ports denies it" % host.name,
        "see whether FORWARD asks DOCKER-USER first, and what it says (iptables -S FORWARD; iptables -S DOCKER-USER); "
        + MEND,
    )


def _not_listed(host, packet):
    """Why DOCKER-USER drops a packet to a port that Docker publishes."""
    entry = host.compiled.publishes(packet)
    if entry:
        return "%s's list of published ports lacks `%s`: its chain bulkhead-docker, asked by DOCKER-USER, drops it" % (
            host.name,
            text_of(entry),
        )
    return (
        "Docker publishes that port, and no entry of %s's list of published ports lets it in: DOCKER-USER drops it"
        % (host.name)
    )


def _before(name, live):
    """What decides instead of the rule that is missing."""
    return ", and its rule `%s` denies it" % text_of(live.rule) if live.rule else ""


def strays(host):
    """(texts of the rules that a host has and the site does not compile, texts of those that it lacks)."""
    if host.live is None or host.compiled is None or not host.live.active:
        return [], []
    more = [text_of(rule) for rule in host.live.rules if not host.compiled.has(rule)] + list(host.live.not_read)
    return more, [text_of(rule) for rule in host.compiled.rules if not host.live.has(rule)]
