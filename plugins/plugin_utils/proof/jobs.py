# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which probes to run: the ports of each host, and the jobs from each host to all others."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import Socket
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.coverage import FEW
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.live import rule_ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Flow, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.nat import forwards
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import WITH_PORTS

#: Places beside the tiers.
GATEWAY, INTERNET = "gateway", "internet"
#: How many ports that nothing names are drawn by chance.
SAMPLE = 16
#: What the probes of one source address to ports with a limit may come to in a run, in new connections: ufw refuses the
#: sixth within 30 s, and a router counts those to all hosts together. A UDP probe is sent three times, and each may count.
LIMITED_CONNECTIONS = 4
_CONNECTIONS = {"tcp": 1, "udp": 3}

#: A protocol and a port.
Port = tuple[str, int]

#: Why a port is probed, the most telling reason first.
DECLARED, LIVE, SERVICE, BOUNDARY, TWIN, CHANCE = (
    "declared",
    "live rule",
    "listens",
    "boundary",
    "other protocol",
    "chance",
)


class Leg(NamedTuple):
    """An address of a host, and where it is: the name of its tier, gateway or internet."""

    host: str
    address: str
    prefix: int
    interface: str
    place: str

    @property
    def version(self) -> int:
        """Its IP version."""
        return 6 if ":" in self.address else 4


class Arrival(NamedTuple):
    """Where a forwarded packet arrives. leg: None where no host of the proof has that address."""

    leg: Optional[Leg]
    port: int


def ports_of(site: Site, live_rules: Iterable[Mapping[str, Any]], seed: str) -> dict[Port, str]:
    """{(proto, port): why it is probed} for one host.

    live_rules: rules in ufw_ruleset's shape, of the host and of the gateways: what was opened by hand is always probed.
    The first and the last port of every declared range and of what the gateways forward, the ones beside them, the same port of the other protocol, and
    some that only the seed knows.
    """
    named: dict[Port, str] = {}
    for ports in [ports for services in site.services.values() for ports in services]:
        if ports.proto in WITH_PORTS:
            named.setdefault((ports.proto, ports.first), DECLARED)
            named.setdefault((ports.proto, ports.last), DECLARED)
    for asked in forwards(site):
        named.setdefault((asked.at.proto, asked.at.first), DECLARED)
        named.setdefault((asked.at.proto, asked.at.last), DECLARED)
    for rule in live_rules:
        for proto, first, last in rule_ports(rule):
            named.setdefault((proto, first), LIVE)
            named.setdefault((proto, last), LIVE)
    found = dict(named)
    for proto, port in named:
        for beside in (port - 1, port + 1):
            if 1 <= beside <= 65535:
                found.setdefault((proto, beside), BOUNDARY)
    for proto, port in named:
        found.setdefault(("udp" if proto == "tcp" else "tcp", port), TWIN)
    chance = random.Random(seed)
    for _dummy in range(SAMPLE):
        found.setdefault((chance.choice(WITH_PORTS), chance.randint(1, 65535)), CHANCE)
    return found


def is_beside(source: Leg, dest: Leg) -> bool:
    """Whether a leg's address is on the subnet of another leg: no router is between them."""
    return _address(source.address) in _network(dest.address, dest.prefix)


@cache
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text)


@cache
def _network(text: str, prefix: int) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(f"{text}/{prefix}", strict=False)


class Target(NamedTuple):
    """What is probed at one host. ports: {(proto, port): why}; services: what listened there before."""

    ports: Mapping[Port, str]
    services: Collection[Socket] = ()


def by_host(legs: Iterable[Leg]) -> dict[str, list[Leg]]:
    """{host: its legs}, in their order."""
    found: dict[str, list[Leg]] = {}
    for leg in legs:
        found.setdefault(leg.host, []).append(leg)
    return found


def jobs_from(
    host: str,
    number: int,
    legs: Mapping[str, Sequence[Leg]],
    targets: Mapping[str, Target],
    declared: Callable[[Leg, Leg, str, int], Optional[Flow]],
    seed: str = "",
    arrival: Callable[[Leg, Leg, str, int], Optional[Arrival]] = lambda *_flow: None,
    dests: Optional[Mapping[str, bool]] = None,
) -> list[Job]:
    """The jobs of one host, for flow_probe.

    number: of the host, so that the jobs' ids are unique in the run. legs: {host: its legs}, of all hosts. declared: the flow,
    if there is one; then an answer is expected, and silence is asked again. seed: which of the ports with a limit are probed,
    where all of them would be refused by it. arrival: where what is asked of a gateway is forwarded to. In each IP version that
    both have, a host's first address is probed from the first address of the others at every port; between further
    addresses (a gateway's other legs, more of the internet) the chance, the neighbours and the other protocol are left out.
    dests: {the hosts that it probes: whether at FEW ports}, None for all of them at every port.
    """
    versions = {version: [leg for leg in legs.get(host, ()) if leg.version == version] for version in (4, 6)}
    jobs: list[Job] = []
    limited: list[Job] = []
    for dest in [leg for name in (legs if dests is None else dests) for leg in legs.get(name, ())]:
        own, few = versions[dest.version], bool(dests and dests[dest.host])
        if dest.host == host or not own or (own[0].place in (GATEWAY, INTERNET) and dest.place == INTERNET):
            continue  # what a router itself sends to the internet, or the internet to itself, is filtered nowhere
        target = targets[dest.host]
        sources = _sources(own, dest)
        main = _main_leg(own, [leg for leg in legs[dest.host] if leg.version == dest.version])
        for source in sources:
            wanted = _wanted(target, dest.address, every=source == sources[0] and dest == main)
            if few and len(wanted) > FEW:
                wanted = random.Random(f"{seed}/{source.address}/{dest.address}").sample(wanted, FEW)
            for proto, port in wanted:
                end, arrives = arrival(source, dest, proto, port) or Arrival(dest, port)
                if end is None or end.host == host:
                    continue  # forwarded to where nothing listens for the proof
                flow = declared(source, end, proto, arrives)
                job = Job(
                    id=f"{number}/{len(jobs)}",
                    proto=proto,
                    source=source.address,
                    dest=dest.address,
                    port=port,
                    host=end.host,
                    listening=True,
                    service=Socket(proto, end.address, arrives) in targets[end.host].services,
                    again=bool(flow),
                )
                if end is not dest:
                    job = job._replace(end=end.address, end_port=arrives)
                jobs.append(job)
                if flow and flow.limit:
                    limited.append(job)
    return _within_limits(jobs, limited, seed)


def _within_limits(jobs: list[Job], limited: list[Job], seed: str) -> list[Job]:
    """The jobs without those to ports with a limit that would be refused by it, drawn by chance."""
    left: dict[Optional[str], int] = {}
    spared: set[str] = set()
    for job in random.Random(f"{seed}/limited").sample(limited, len(limited)):
        room = left.get(job.source, LIMITED_CONNECTIONS) - _CONNECTIONS[job.proto]
        if room < 0:
            spared.add(job.id)
        else:
            left[job.source] = room
    return [job for job in jobs if job.id not in spared] if spared else jobs


def _sources(own: Sequence[Leg], dest: Leg) -> Sequence[Leg]:
    """Where to send from: the leg on the destination's subnet; from the internet, every address; else the first one."""
    if own[0].place == INTERNET:
        return own
    return [leg for leg in own if is_beside(leg, dest)][:1] or own[:1]


def _main_leg(own: Sequence[Leg], others: Sequence[Leg]) -> Leg:
    """The leg at which these addresses meet another host's: the near one of several, else its first."""
    near = [leg for leg in others if any(is_beside(source, leg) for source in own)]
    return (near or others)[0]


def _wanted(target: Target, address: str, *, every: bool) -> list[Port]:
    """The (proto, port) to probe at one address."""
    wanted = {key for key, why in target.ports.items() if every or why in (DECLARED, LIVE)}
    wanted.update((one.proto, one.port) for one in target.services if one.address == address)
    return sorted(wanted)
