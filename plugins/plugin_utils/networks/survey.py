# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The live networks of a fleet against its site: who overlaps whom, what is of no use any more, and what is free."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.networks.answer import (
    Answer,
    Heard,
    LiveNetwork,
    Silence,
    Silent,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.allocator import Buddies
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.claims import Kind, Owner, declared_claims
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Network, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.pools import RESERVED_POOLS, Live, within_reserve
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, address_set, overlaps, spans_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import engine_defaults

#: The sizes whose next free subnet is named, by IP version.
SIZES = {4: (24, 25, 26, 27, 28, 29), 6: (64,)}
#: The engine makes these by itself; none of them is an orphan, used or not.
ENGINES_OWN = ("bridge", "docker_gwbridge", "host", "ingress", "none")
#: The place of an overlay.
SWARM = "the Swarm"


#: Overlaps of one host that are looked at. No engine gives one subnet to two networks; a host that lies says so of thousands.
MOST_OVERLAPS = 50_000


class Conflict(NamedTuple):
    """Addresses that two claim. host: where it was seen; one, other: the two, as text; how: the verb between them."""

    host: str
    one: str
    other: str
    how: str = "overlaps"

    def __str__(self) -> str:
        return f"{self.host}: {self.one} {self.how} {self.other}"


class Orphan(NamedTuple):
    """A network that seems to be of no use any more."""

    host: str
    network: str
    why: str


class Missing(NamedTuple):
    """A network that the site declares for a host, and the host has not."""

    host: str
    network: str


class Taker(NamedTuple):
    """What an engine or a Swarm takes its subnets from; pool: the pool of the site that is meant for it."""

    pool: str
    text: str

    def __str__(self) -> str:
        return self.text


#: Who is found on addresses.
Claimant = Union[Owner, LiveNetwork, Taker]


@dataclass(frozen=True)
class Row:
    """A live network as the best informed host sees it. place: its host, or SWARM for an overlay; hosts: all that have
    it."""

    place: str
    network: LiveNetwork
    declared: bool
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Room:
    """What is free in a pool: spans of addresses, and {prefix length: the next free subnet, or None}."""

    pool: str
    nets: tuple[Net, ...]
    reserve: int
    free: tuple[Net, ...]
    following: Mapping[int, Optional[Net]]


@dataclass(frozen=True)
class Fleet:
    """Everything that the report is made of. asked: {host: its node}; silent: {host: why it has none};
    unasked: the hosts of the inventory that were not part of the run."""

    asked: Mapping[str, Mapping[str, str]]
    silent: Mapping[str, Silent]
    unasked: tuple[str, ...]
    rows: tuple[Row, ...]
    conflicts: tuple[Conflict, ...]
    orphans: tuple[Orphan, ...]
    missing: tuple[Missing, ...]
    rooms: tuple[Room, ...]

    @property
    def unknown(self) -> list[str]:
        """The hosts of the run of which nothing is known: they may have any network."""
        return [host for host, silent in self.silent.items() if silent.kind is not Silence.NO_ENGINE]

    @property
    def holds(self) -> bool:
        """Whether at least one host was asked, every one of them is known, and no two have the same addresses."""
        return bool(self.asked or self.silent) and not self.conflicts and not self.unknown


def survey(site: Site, heard: Heard, planned: Mapping[str, Collection[str]], unasked: Collection[str] = ()) -> Fleet:
    """The Fleet of a site.

    planned: {host: names of the networks that the site wants there}; unasked: the hosts of the inventory that were left
    out.
    """
    answers = heard.answers
    names = {host: {network.name for network in answer.networks} for host, answer in answers.items()}
    names.update((host, set()) for host, silent in heard.silent.items() if silent.kind is Silence.NO_ENGINE)
    return Fleet(
        asked={host: answer.node for host, answer in answers.items()},
        silent=heard.silent,
        unasked=tuple(unasked),
        rows=tuple(_rows(site, answers)),
        conflicts=tuple(sorted(set(_conflicts(site, answers)))),
        orphans=tuple(_orphans(site, answers)),
        missing=tuple(
            Missing(host, name)
            for host, wanted in planned.items()
            if host in names
            for name in wanted
            if name not in names[host]
        ),
        rooms=tuple(_rooms(site, answers)),
    )


def live_networks(answers: Mapping[str, Answer]) -> tuple[Live, ...]:
    """Every subnet of every host's networks as pools.Live."""
    return tuple(
        Live(net, network.name, host)
        for host, answer in answers.items()
        for network in answer.networks
        for net in network.subnets
    )


def _by_knowledge(answers: Mapping[str, Answer]) -> list[str]:
    """The hosts, managers first: what they say of an overlay is the whole truth."""
    return sorted(answers, key=lambda host: not answers[host].is_manager)


def _rows(site: Site, answers: Mapping[str, Answer]) -> Iterator[Row]:
    """Overlays once, as the best informed host sees them, then every host's own networks."""
    overlays: dict[str, tuple[LiveNetwork, list[str]]] = {}
    for host in _by_knowledge(answers):
        for network in answers[host].networks:
            if network.is_swarms:
                overlays.setdefault(network.id, (network, []))[1].append(host)
    for network, hosts in sorted(overlays.values(), key=lambda pair: pair[0].name):
        yield Row(SWARM, network, network.name in site.networks, tuple(hosts))
    for host, answer in answers.items():
        for network in answer.networks:
            if not network.is_swarms and network.subnets:
                yield Row(host, network, network.name in site.networks, (host,))


def _conflicts(site: Site, answers: Mapping[str, Answer]) -> Iterator[Conflict]:
    declared: list[tuple[Net, Claimant]] = [
        (net, owner) for net, owner in declared_claims(site) if owner.kind is not Kind.EXCLUSION
    ]
    for host in _by_knowledge(answers):
        answer = answers[host]
        for network in answer.networks:
            wanted = site.networks.get(network.name)
            if wanted:
                yield from _not_as_declared(host, network, wanted)
        live: list[tuple[Net, Claimant]] = [(net, network) for network in answer.networks for net in network.subnets]
        yield from _overlapping(site, host, [*declared, *live, *_takers(answer)])


def _not_as_declared(host: str, network: LiveNetwork, wanted: Network) -> Iterator[Conflict]:
    """A live network on other subnets than the declared ones, or without one of an IP version that is declared."""
    for version in (4, 6):
        declared = [net for net in wanted.subnets if net.version == version]
        live = [net for net in network.subnets if net.version == version]
        for net in live if declared else ():
            if net not in declared:
                yield Conflict(host, f"{network} ({net})", " and ".join(map(str, declared)), "is declared as")
        for net in declared if network.subnets and not live else ():
            yield Conflict(host, f"{network} ({', '.join(map(str, network.subnets))})", str(net), "lacks the declared")


def _takers(answer: Answer) -> Iterator[tuple[Net, Claimant]]:
    """What the engine and the Swarm of a host take by themselves."""
    for net in answer.engine:
        yield net, Taker("engine", "a pool of the engine")
    for net in () if answer.engine else engine_defaults():
        yield net, Taker("engine", "a built-in pool of the engine")
    for net in answer.swarm if answer.is_manager else ():
        yield net, Taker("swarm", "a pool of the Swarm")


def _overlapping(site: Site, host: str, claims: Collection[tuple[Net, Claimant]]) -> Iterator[Conflict]:
    """Each that has addresses of what the site gave to others, and each network with the closest one around it."""
    nested: dict[tuple[Net, str], Conflict] = {}
    for number, (outer, inner) in enumerate(overlaps(claims)):
        if number == MOST_OVERLAPS:
            yield Conflict(
                host,
                "what it says of its networks",
                f"itself more than {MOST_OVERLAPS:,} times: the rest is not listed",
            )
            break
        # What is live comes first: it is what is not as declared.
        (net, one), (other_net, other) = (outer, inner) if isinstance(inner[1], Owner) else (inner, outer)
        conflict = Conflict(host, f"{one} ({net})", f"{other} ({other_net})")
        if isinstance(other, Owner) and not _may_have(site, one, other):
            yield conflict
        elif isinstance(one, LiveNetwork) and isinstance(other, LiveNetwork) and one is not other:
            nested[net, one.name] = conflict
    yield from nested.values()


def _may_have(site: Site, one: Claimant, owner: Owner) -> bool:
    """Whether a live network, an engine or a Swarm may have addresses that the site gave to an owner."""
    if isinstance(one, Owner):
        return True
    if isinstance(one, Taker):
        return owner.kind is Kind.POOL and owner.name == one.pool
    if owner.kind is Kind.NETWORK:
        return owner.name == one.name
    if owner.kind is not Kind.POOL:
        return False
    if owner.name in RESERVED_POOLS:
        return one.is_swarms == (owner.name == "swarm")
    declared = site.networks.get(one.name)
    return declared is not None and declared.pool == owner.name


def _orphans(site: Site, answers: Mapping[str, Answer]) -> Iterator[Orphan]:
    seen = set()
    for host in _by_knowledge(answers):
        for network in answers[host].networks:
            why = _why_orphan(site, network, answers[host])
            if why and network.id not in seen:
                seen.add(network.id)
                yield Orphan(host, network.name, why)


def _why_orphan(site: Site, network: LiveNetwork, answer: Answer) -> str:
    if network.name in site.networks or network.name in ENGINES_OWN:
        return ""
    if network.orphan:
        return f"its stack {network.stack} has no service any more"
    if network.managed:
        return "this collection made it, and the site does not declare it"
    if not network.users and (not network.is_swarms or answer.is_manager):
        return "the site does not declare it, and nothing uses it"
    return ""


def _rooms(site: Site, answers: Mapping[str, Answer]) -> Iterator[Room]:
    live = [item.net for item in live_networks(answers)]
    for pool, nets in site.pools.items():
        if pool in RESERVED_POOLS:
            continue
        terms = site.pool_terms.get(pool)
        own = (Kind.POOL, pool)
        taken = live + [net for net, owner in declared_claims(site) if (owner.kind, owner.name) != own]
        buddies = Buddies(nets, taken)
        sizes = [
            size
            for version, sizes in SIZES.items()
            for size in sizes
            if any(net.version == version and net.prefix <= size for net in nets)
        ]
        yield Room(
            pool=pool,
            nets=nets,
            reserve=terms.reserve if terms else 0,
            free=tuple(spans_of(address_set(buddies.free()))),
            following={
                size: buddies.peek(size) if within_reserve(nets, terms, {"": size}, taken) else None for size in sizes
            },
        )
