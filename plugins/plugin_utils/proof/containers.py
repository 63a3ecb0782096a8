# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The proof from inside the containers of the declared networks: members of a network reach each other, others do not, and
what leaves a container reaches what flows declare for its host.

A container is a place to send from and to listen at. It may be hostile, and nothing that decides comes from it: the engine
says who is on which network, the answers are signed with its host's key, and what is not let in counts only where the packet
was seen to leave by a listener that is not the container's. A host can lie about its own containers, as about its own filter.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import PORTS, Job, Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Noted, Socket, Stopped
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import DECLARED, Leg, Port, Target, is_beside
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.judge import APPLY, Host, declared
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import (
    Malformed,
    address,
    choice,
    mapping,
    parse_noted,
    parse_stopped,
    sequence,
    text,
    whole,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.status import FAILURES, Status
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Flow, Network, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import Policy
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import WITH_PORTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import parse_address
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import some

#: The most containers of one host, networks of one container and addresses that are believed.
MOST_CONTAINERS, MOST_NETWORKS, MOST_ADDRESSES = 32, 64, 64
#: The most ports that one container publishes and that are believed.
MOST_PUBLISHED = 4096
#: How many ports that nothing names are drawn for each protocol, and how many declared ones a container is probed at.
SAMPLE, MOST_DECLARED = 3, 24
#: The engine's option of a bridge whose members do not talk to each other.
ICC = "com.docker.network.bridge.enable_icc"


class Vantage(NamedTuple):
    """A container that takes part. networks: {declared network: its addresses there}; own: all addresses of its namespace,
    which it may have set itself: only good for finding the packets that left it."""

    host: str
    id: str
    name: str
    networks: Mapping[str, tuple[str, ...]]
    own: tuple[str, ...] = ()
    unusable: tuple[Noted, ...] = ()
    error: str = ""
    published: tuple[Port, ...] = ()  # on its host, as the engine says

    @property
    def label(self) -> str:
        """What its listener calls itself."""
        return f"{self.host}/{self.name}"

    @property
    def addresses(self) -> list[str]:
        return [one for own in self.networks.values() for one in own]

    def to_dict(self) -> dict[str, Any]:
        return {
            **self._asdict(),
            "networks": {name: list(own) for name, own in self.networks.items()},
            "own": list(self.own),
            "unusable": [one.to_dict("error") for one in self.unusable],
            "published": [{"proto": proto, "port": port} for proto, port in self.published],
        }


class Probe(NamedTuple):
    """One judged probe from a container. network: the one that both ends share, "" for none. flow: the path of the flow that
    declares it."""

    status: Status
    source: str
    dest: str
    address: str
    proto: str
    port: int
    found: Verdict
    network: str = ""
    flow: str = ""
    cause: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "status": self.status.value, "found": self.found.value}


class ContainersProof(NamedTuple):
    """What was found from inside the containers. uncovered: {declared network: why nothing is proven about it}; trouble: {a
    container or host: why nothing is proven about it}, each of which fails the proof."""

    vantages: tuple[Vantage, ...]
    probes: tuple[Probe, ...]
    uncovered: Mapping[str, str]
    trouble: Mapping[str, str]

    @property
    def failures(self) -> list[Probe]:
        return [probe for probe in self.probes if probe.status in FAILURES]

    @property
    def holds(self) -> bool:
        return not (self.failures or self.trouble)

    def to_dict(self) -> dict[str, Any]:
        return {
            "holds": self.holds,
            "containers": {one.label: {name: list(own) for name, own in one.networks.items()} for one in self.vantages},
            "probes": [probe.to_dict() for probe in self.probes],
            "uncovered": dict(self.uncovered),
            "missing": dict(self.trouble),
        }

    def lines(self) -> list[str]:
        """The report of this plane, a line each."""
        found = Counter(probe.status for probe in self.probes)
        wrong = sum(found[status] for status in FAILURES)
        lines = []
        if self.vantages:
            lines.append(
                f"{len(self.probes):,} probes from {len(self.vantages)} containers: {found[Status.ALLOWED]:,} allowed, "
                f"{found[Status.DENIED]:,} denied as declared, {wrong:,} not."
            )
        grouped: dict[tuple[str, str, str, str], list[str]] = {}
        for probe in self.failures:
            key = probe.source, probe.dest, probe.status.value, probe.cause
            grouped.setdefault(key, []).append(f"{probe.port}/{probe.proto}")
        lines += [
            f"{source} -> {dest} {some(ports)}: {status}: {cause}"
            for (source, dest, status, cause), ports in grouped.items()
        ]
        lines += [f"{name}: {why}" for name, why in self.trouble.items()]
        return [*lines, *(f"not covered: {name}: {why}" for name, why in self.uncovered.items())]


# -- who takes part ----------------------------------------------------------------------------------------------------


def networks_of(site: Site, tiers: Sequence[str]) -> list[str]:
    """The declared networks that containers of a host of these tiers can be on."""
    swarm = site.swarm.tier in tiers if site.swarm.tier else False
    return [
        network.name
        for network in site.networks.values()
        if (network.driver == "overlay" and swarm) or (network.driver == "bridge" and set(network.tiers) & set(tiers))
    ]


def ports_inside(site: Site, seed: str) -> list[Port]:
    """The ports that listeners in containers have: the first of declared services, and some that the seed draws."""
    named = [
        (ports.proto, ports.first)
        for services in site.services.values()
        for ports in services
        if ports.proto in WITH_PORTS
    ]
    chance = random.Random(f"{seed}/containers")
    drawn = [(proto, chance.randint(20000, 60000)) for proto in WITH_PORTS for _dummy in range(SAMPLE)]
    return sorted({*list(dict.fromkeys(named))[:MOST_DECLARED], *drawn})


def parse_vantages(site: Site, host: str, value: Any, wanted: Sequence[str]) -> tuple[list[Vantage], list[str]]:
    """(the containers of what flow_containers returned, what is wrong with it). Believes no type, no length and no address:
    one that is in no subnet of the declared network is left out. Raises Malformed."""
    found, wrong = [], []
    for item in sequence(mapping(value, "containers").get("containers"), "containers", MOST_CONTAINERS):
        entry = mapping(item, "container")
        name = text(entry, "name", 128)
        own: dict[str, tuple[str, ...]] = {}
        networks = mapping(entry.get("networks") or {}, "networks")
        if len(networks) > MOST_NETWORKS:
            raise Malformed(f"networks: got {len(networks)}, expected at most {MOST_NETWORKS}")
        for network, addresses in networks.items():
            if network not in wanted:
                continue
            at = [address({"address": one}, "address") for one in sequence(addresses, "addresses", MOST_ADDRESSES)]
            inside = [one for one in at if any(net.holds(parse_address(one)) for net in site.networks[network].subnets)]
            wrong += [
                f"{host}/{name} has {one} on {network}, which is in no subnet of it" for one in at if one not in inside
            ]
            if inside:
                own[network] = tuple(inside)
        if not own:
            continue
        found.append(
            Vantage(
                host,
                text(entry, "id", 64),
                name,
                own,
                tuple(address({"a": one}, "a") for one in sequence(entry.get("own"), "own", MOST_ADDRESSES)),
                tuple(parse_noted(one, "error") for one in sequence(entry.get("unusable"), "unusable", 4096)),
                text(entry, "error"),
                tuple(map(_parse_port, sequence(entry.get("published"), "published", MOST_PUBLISHED))),
            )
        )
    if whole({"more": value.get("more", 0)}, "more", 0, 1 << 20):
        wrong.append(f"{host} has {value['more']} more containers on declared networks, which took no part")
    return found, wrong


def _parse_port(value: Any) -> Port:
    found = mapping(value, "a published port")
    return choice(found, "proto", WITH_PORTS), whole(found, "port", *PORTS)


def parse_heard(value: Any) -> dict[str, Stopped]:
    """{container's id: what its listener heard} of what flow_probe returned when it stopped."""
    entries = sequence(mapping(value, "stopped").get("containers"), "containers", MOST_CONTAINERS)
    return {text(mapping(one, "container"), "inside", 64): parse_stopped(one) for one in entries}


# -- what is asked -----------------------------------------------------------------------------------------------------


class Question(NamedTuple):
    """A job from a container, and what it is about."""

    vantage: Vantage
    job: Job
    network: str = ""
    dest: Optional[Vantage] = None  # None: a host
    is_control: bool = False


class Asked:
    """The questions of one run, the same whenever they are put together."""

    def __init__(self, site: Site, vantages: Sequence[Vantage], legs: Sequence[Leg], seed: str) -> None:
        self.site, self.legs = site, legs
        self.policy = Policy(site)
        self.vantages = [one for one in vantages if not one.error]
        self.ports = ports_inside(site, seed)

    def of(self, host: str, number: int, targets: Mapping[str, Target]) -> list[Question]:
        """The questions of one host. number: of the host, so that the jobs' ids are unique in the run."""
        found: list[Question] = []
        for vantage in self.vantages:
            if vantage.host == host:
                found += self._of(vantage, targets)
        return [one._replace(job=one.job._replace(id=f"{number}/inside/{count}")) for count, one in enumerate(found)]

    def _of(self, vantage: Vantage, targets: Mapping[str, Target]) -> list[Question]:
        questions = [
            Question(vantage, self._job(vantage, one, port), dest=vantage, is_control=True)
            for one in vantage.addresses
            for port in self._usable(vantage, one)
        ]
        for name in vantage.networks:
            peer = self._next(
                vantage, [one for one in self.vantages if name in one.networks and self._meet(vantage, one, name)]
            )
            if peer:
                questions += self._between(vantage, peer, name, name)
        for name in self.site.networks:
            strangers = [
                one
                for one in self.vantages
                if name in one.networks
                and self._meet(vantage, one, name)
                and not set(one.networks) & set(vantage.networks)
            ]
            stranger = self._next(vantage, strangers)
            if stranger:
                questions += self._between(vantage, stranger, "", name)
        return questions + self._to_hosts(vantage, targets)

    def _meet(self, one: Vantage, other: Vantage, network: str) -> bool:
        """Whether an address of a network means the same container to both: a bridge is each host's own."""
        return one is not other and (one.host == other.host or self.site.networks[network].driver == "overlay")

    @staticmethod
    def _next(vantage: Vantage, others: Sequence[Vantage]) -> Optional[Vantage]:
        """The one after it in a ring, so that each is asked, and asks, once."""
        ring = sorted(others, key=lambda one: one.label)
        later = [one for one in ring if one.label > vantage.label]
        return next(iter(later or ring), None)

    def _usable(self, vantage: Vantage, at: str) -> list[Port]:
        lost = {(one.socket.proto, one.socket.port) for one in vantage.unusable if one.socket.address == at}
        return [port for port in self.ports if port not in lost]

    def _between(self, vantage: Vantage, dest: Vantage, shared: str, on: str) -> list[Question]:
        return [
            Question(vantage, self._job(dest, at, port, again=bool(shared)), shared, dest)
            for at in dest.networks[on]
            for port in self._usable(dest, at)
        ]

    @staticmethod
    def _job(dest: Vantage, at: str, port: Port, again: bool = True) -> Job:
        return Job("", port[0], at, port[1], host=dest.label, listening=True, again=again)

    def _to_hosts(self, vantage: Vantage, targets: Mapping[str, Target]) -> list[Question]:
        """To its own host, and to one host of each place, at the declared ports; those with a limit are left out."""
        own = [leg for leg in self.legs if leg.host == vantage.host]
        places: dict[tuple[str, int], list[Leg]] = {}
        for leg in self.legs:
            if leg.host != vantage.host:
                places.setdefault((leg.place, leg.version), []).append(leg)
        chosen = [*own, *(legs[hash_of(vantage.label) % len(legs)] for legs in places.values())]
        versions = {6 if ":" in one else 4 for one in vantage.addresses}
        questions = []
        for leg in chosen:
            target = targets.get(leg.host)
            if target is None or leg.version not in versions:
                continue
            taken = {(one.proto, one.port) for one in target.services if one.address == leg.address}
            near = self._members_publish(vantage) if leg.host == vantage.host else ()
            wanted = [port for port, why in target.ports.items() if why == DECLARED and port not in near]
            for proto, port in sorted(wanted)[: 2 * MOST_DECLARED]:
                flow = self.flow_to(vantage, leg, proto, port)
                if flow is None or not flow.limit:
                    job = Job("", proto, leg.address, port, host=leg.host, listening=True, again=bool(flow))
                    questions.append(Question(vantage, job._replace(service=(proto, port) in taken)))
        return questions

    def _members_publish(self, vantage: Vantage) -> set[Port]:
        """The ports of its host behind which a member of one of its own networks is, which it reaches as one: the engine lets
        a packet come back on the bridge that it came from."""
        mates = (one for one in self.vantages if one.host == vantage.host and set(one.networks) & set(vantage.networks))
        return {port for one in mates for port in one.published}

    def flow_to(self, vantage: Vantage, leg: Leg, proto: str, port: int) -> Optional[Flow]:
        """The flow that lets a container reach a host: to its own as itself, to others as its host, whose address it gets on
        the way out. An internal network has no way out."""
        networks = [self.site.networks[name] for name in vantage.networks]
        if leg.host == vantage.host:
            sources = [one for one in vantage.addresses if (":" in one) == (leg.version == 6)]
            return next(
                (flow for one in sources for flow in [self.policy.flow_for(one, leg.address, proto, port)] if flow),
                None,
            )
        if all(network.internal for network in networks):
            return None
        own = [one for one in self.legs if one.host == vantage.host and one.version == leg.version]
        # The host's address on the destination's own network, where it has one: that is the way its routes lead.
        beside = [one for one in own if is_beside(leg, one)]
        source = next(iter([*beside, *own]), None)
        return declared(self.policy, source, leg, proto, port) if source else None


def hash_of(label: str) -> int:
    """A number that stays the same from one process to the next."""
    return sum(label.encode())


# -- the judge ---------------------------------------------------------------------------------------------------------


class Evidence(NamedTuple):
    """What speaks for or against a silence. heard: of the listeners in containers, by (host, id); hosts: with what their own
    listeners heard, by name."""

    heard: Mapping[tuple[str, str], Stopped]
    hosts: Mapping[str, Host]


def judge(asked: Asked, pairs: Iterable[tuple[Question, Result]], evidence: Evidence) -> list[Probe]:
    """What each probe from a container proves. Controls are no probes; a destination counts where it was answered by them."""
    pairs = list(pairs)
    alive = {
        (question.vantage.label, question.job.dest, question.job.proto, question.job.port)
        for question, result in pairs
        if question.is_control and result.verdict is Verdict.ALLOWED
    }
    return [_judged(asked, one, result, evidence, alive) for one, result in pairs if not one.is_control]


def _judged(
    asked: Asked, question: Question, result: Result, evidence: Evidence, alive: set[tuple[str, str, str, int]]
) -> Probe:
    job, vantage = question.job, question.vantage
    leg = next((one for one in asked.legs if one.address == job.dest), None) if question.dest is None else None
    flow = _flow(asked, question, leg, result)
    allowed = bool(flow) or _is_member(asked.site, question)
    network = question.network
    probe = Probe(
        Status.INCONCLUSIVE,
        vantage.label,
        question.dest.label if question.dest else job.host or "",
        job.dest,
        job.proto,
        job.port,
        result.verdict,
        network,
        flow.path if flow else "",
    )
    if result.verdict is Verdict.MISDIRECTED:
        return probe._replace(status=Status.MISDIRECTED, cause=result.detail)
    if (
        result.verdict is Verdict.ALLOWED
        and leg is not None
        and not result.mac
        and _never_came(asked, question, evidence)
    ):
        cause = f"a service answered, but no packet ever came to {leg.host}"
        return probe._replace(status=Status.MISDIRECTED, cause=cause)
    came = question.dest is not None and _heard(evidence, question.dest, vantage, job, "arrived", "passed")
    if result.verdict is Verdict.ALLOWED or (came and not allowed):
        if allowed:
            return probe._replace(status=Status.ALLOWED)
        return probe._replace(status=Status.OPEN, cause=_why_open(question))
    doubt = _doubt(asked.site, question, result, evidence, alive)
    if doubt:
        return probe._replace(cause=doubt)
    if not allowed:
        return probe._replace(status=Status.DENIED)
    if came:
        return probe._replace(
            status=Status.BLOCKED, cause="it came to the container: its own filter or way back stops it"
        )
    where = (
        f"members of {network} are to reach each other" if network else f"its host may, by {flow.path if flow else ''}"
    )
    return probe._replace(
        status=Status.BLOCKED, cause=f"it left {vantage.label} and was not answered, though {where}; {APPLY}"
    )


def _flow(asked: Asked, question: Question, leg: Optional[Leg], result: Result) -> Optional[Flow]:
    """The flow that declares a probe. Who sent it is what the one who answered saw, under its code."""
    job = question.job
    if question.dest is not None:
        own = [one for one in question.vantage.addresses if (":" in one) == (":" in job.dest)]
        found = (asked.policy.flow_for(one, job.dest, job.proto, job.port) for one in own)
        return next((flow for flow in found if flow), None)
    if leg is None:
        return None
    if result.verdict is Verdict.ALLOWED and result.peer in question.vantage.addresses:
        return asked.policy.flow_for(result.peer, leg.address, job.proto, job.port)
    return asked.flow_to(question.vantage, leg, job.proto, job.port)


def _is_member(site: Site, question: Question) -> bool:
    """Whether both ends are on a network whose members reach each other."""
    network: Optional[Network] = site.networks.get(question.network)
    return network is not None and network.options.get(ICC, "true").lower() in ("true", "1")


def _why_open(question: Question) -> str:
    if question.dest is None:
        return f"no flow lets a container of {question.vantage.host} reach {question.job.host} there; {APPLY}"
    if question.network:
        return f"the members of {question.network} are not to reach each other ({ICC}); {APPLY}"
    shared = ", ".join(question.dest.networks)
    return (
        f"{question.vantage.label} is on none of its networks ({shared}), and no flow allows it; see what else joins them: "
        "a network that the site does not declare, or rules before the engine's (iptables -S DOCKER-USER)"
    )


def _doubt(
    site: Site, question: Question, result: Result, evidence: Evidence, alive: set[tuple[str, str, str, int]]
) -> str:
    """Why a silence proves nothing; "" where it does."""
    job, vantage, dest = question.job, question.vantage, question.dest
    internal = all(site.networks[name].internal for name in vantage.networks)
    if result.verdict is Verdict.INCONCLUSIVE:
        return result.detail or "the probe failed; run it again"
    said = evidence.heard.get((vantage.host, vantage.id))
    if said is None or not said.running or said.lost or said.lost_wire:
        return f"the listener in {vantage.label} was gone before the end or lost packets; run it again"
    if dest is not None and (dest.label, job.dest, job.proto, job.port) not in alive:
        return f"the listener in {dest.label} did not answer the container itself; run it again"
    host = evidence.hosts.get(job.host or "") if dest is None else None
    if dest is None and not (host and host.running):
        return f"{job.host}'s listener was gone before the end; run it again, with a longer prove_ttl"
    error = host.unusable.get(Socket(job.proto, job.dest, job.port)) if host else ""
    if error:
        return f"no listener can answer there: {error}; see what holds that port on {job.host}"
    if _heard(evidence, vantage, vantage, job, "left") or (result.verdict is Verdict.NO_ROUTE and internal):
        return ""
    return f"{result.verdict.value}: it was not seen to leave {vantage.label}, so no filter is known to have met it"


def _never_came(asked: Asked, question: Question, evidence: Evidence) -> bool:
    """Whether a real service, which knows no nonce, answered elsewhere: a host that sees its devices saw no packet come."""
    job, vantage = question.job, question.vantage
    host = evidence.hosts.get(job.host or "")
    if host is None or not host.hears or host.lost_wire:
        return False
    # What is translated on its own host's bridge may come to no device of the host's as it was sent: that it left is enough.
    if job.host == vantage.host and _heard(evidence, vantage, vantage, job, "left"):
        return False
    # It comes to its own host as itself, to another one from its host, whose address it gets on the way.
    own = [*vantage.addresses, *vantage.own] if job.host == vantage.host else []
    senders = [*own, *(leg.address for leg in asked.legs if leg.host == vantage.host)]
    return not any(job.port in host.arrived.get((one, job.dest, job.proto), ()) for one in senders)


def _heard(evidence: Evidence, at: Vantage, source: Vantage, job: Job, *places: str) -> bool:
    """Whether the listener in a container heard a probe of another one."""
    said = evidence.heard.get((at.host, at.id))
    senders = {*source.addresses, *source.own}
    return said is not None and any(
        one.source in senders and one.dest == job.dest and one.proto == job.proto and job.port in one.ports
        for place in places
        for one in getattr(said, place)
    )


def uncovered(site: Site, vantages: Sequence[Vantage], asks: Callable[[str], bool]) -> dict[str, str]:
    """{declared network: why nothing, or not all, is proven about it}. asks: whether any host that can have it took part."""
    found = {}
    for network in site.networks.values():
        members = [one for one in vantages if network.name in one.networks and not one.error]
        if not asks(network.name):
            found[network.name] = "no host that has it took part"
        elif not members:
            found[network.name] = "no container is on it"
        elif len(members) == 1 or (
            network.driver == "bridge" and max(Counter(one.host for one in members).values()) == 1
        ):
            found[network.name] = "one container is on it, so its members' reach is not proven"
    return found
