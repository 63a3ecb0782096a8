# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A site: what is declared, checked, and resolved down to networks and ports. Nothing here does I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, complement, version_of, widest
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import link_space

#: Kinds of endpoints.
TIER, GATEWAY, ADDRESS, NETWORK, INTERNET = "tier", "gateway", "address", "network", "internet"
#: What is sent, or heard, on one link alone: to a broadcast address or a multicast group, by a host that has no address
#: yet. Its name is that of the tier whose hosts are on the link, or gateway for the routers' legs.
LINK = "link"
#: Kinds of endpoints that only the tailnet knows. Their names are as written: tag:web, group:admins, alice@example.com.
TAG, GROUP, USER, AUTOGROUP = "tag", "group", "user", "autogroup"
#: Of the autogroups: all devices of people, all nodes with a tag, a person's own other devices.
MEMBER, TAGGED, OWN = "autogroup:member", "autogroup:tagged", "autogroup:self"
#: What flows follow from that are not declared themselves.
FROM_TAILNET, FROM_DHCP = "tailnet", "dhcp"
#: The dialects of a tailnet's policy.
TAILSCALE, HEADSCALE = "tailscale", "headscale"


@dataclass(frozen=True)
class Dhcp:
    """The addresses that a tier's DHCP server hands out, and the MAAS rack controller that does.

    servers: where the DHCP servers answer, empty for any host of the tier. relays: of those that are elsewhere, the
    addresses in the tier of what passes the clients' requests on; empty for the gateways.
    """

    span: Optional[Net]
    rack: Optional[str]
    servers: tuple[Net, ...] = ()
    relays: tuple[Net, ...] = ()


@dataclass(frozen=True)
class Bandwidth:
    """What a tier's links must and should carry, in Mbit/s."""

    minimum: Optional[int]
    recommended: Optional[int]


@dataclass(frozen=True)
class Tier:
    """A group of hosts in a VLAN of its own.

    internet: True lets the tier reach everything outside of the site, False is an invariant (never anything), None
    leaves it to the flows. masquerade: the IP versions for which its hosts go there with the router's address.
    """

    name: str
    vlan: Optional[int]
    subnets: tuple[Net, ...]
    gateways: tuple[Net, ...] = ()
    internet: Optional[bool] = None
    dhcp: Optional[Dhcp] = None
    bandwidth: Optional[Bandwidth] = None
    description: str = ""
    masquerade: tuple[int, ...] = ()

    def holds(self, nets: Collection[Net]) -> bool:
        """Whether all of some blocks, at least one, lie inside of the tier's subnets."""
        return bool(nets) and all(any(subnet.holds(net) for subnet in self.subnets) for net in nets)


@dataclass(frozen=True)
class Endpoint:
    """One end of a flow. nets is empty for the internet, which is everything that the site is not."""

    kind: str
    name: str
    nets: tuple[Net, ...] = ()


class Pair(NamedTuple):
    """A source and a destination of a flow, with lists, `tiers` and `self` resolved."""

    source: Endpoint
    destination: Endpoint


class Forward(NamedTuple):
    """At which address of the routers (None: any that they have), and at which port (None: the host's own) a flow is asked
    for."""

    address: Optional[Net] = None
    port: Optional[int] = None


@dataclass(frozen=True)
class Flow:
    """What one entry of bulkhead_flows allows, or one of bulkhead_never forbids.

    path: where it is declared. sources, destinations and services are the names as declared, pairs and ports what they
    come to. limit: whether a source that opens connections too fast is refused for a while (ufw's `limit`).
    forward: where the routers are asked for what they forward to the destination, None where nothing is forwarded.
    tailnet: whether it runs over the tailnet, and not over the LAN. exit: for what leaves the tailnet to the internet, the
    name of the tier (or gateway) whose hosts are the exit nodes. derived: what it follows from, where it is not declared
    itself: FROM_TAILNET or FROM_DHCP.
    """

    path: str
    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    services: tuple[str, ...]
    pairs: tuple[Pair, ...]
    ports: Mapping[str, tuple[Ports, ...]]
    why: str = ""
    until: Optional[date] = None
    limit: bool = False
    forward: Optional[Forward] = None
    tailnet: bool = False
    exit: str = ""
    derived: str = ""

    @cached_property
    def all_ports(self) -> tuple[Ports, ...]:
        """The ports of all services, as declared."""
        return tuple(ports for name in self.services for ports in self.ports[name])

    def __str__(self) -> str:
        sources, destinations, services = map(", ".join, (self.sources, self.destinations, self.services))
        way = ", via tailnet" if self.tailnet else ""
        text = f"{sources} -> {destinations} {services}{', limited' if self.limit else ''}{way}"
        return f"{text} ({self.why})" if self.why else text


@dataclass(frozen=True)
class Network:
    """A Docker network. subnets are the declared, the pinned or newly allocated ones; with one of the last it is not
    `settled`.

    sizes: the prefix lengths that it asks a pool for, one for each IP version at most. gateways, ip_ranges: one for each
    subnet at most. addresses: {container: its fixed addresses}.
    """

    name: str
    driver: str
    subnets: tuple[Net, ...] = ()
    settled: bool = True
    sizes: tuple[int, ...] = ()
    pool: Optional[str] = None
    gateways: tuple[Net, ...] = ()
    ip_ranges: tuple[Net, ...] = ()
    zone: str = ""
    internal: bool = False
    attachable: bool = False
    encrypted: bool = False
    ipv4: Optional[bool] = None
    ipv6: Optional[bool] = None
    public: bool = False
    mtu: Optional[int] = None
    options: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    addresses: Mapping[str, tuple[Net, ...]] = field(default_factory=dict)
    tiers: tuple[str, ...] = ()

    @property
    def open_sizes(self) -> tuple[int, ...]:
        """The sizes for which it has no subnet yet."""
        return tuple(size for size in self.sizes if all(net.version != version_of(size) for net in self.subnets))

    def home_of(self, net: Net) -> Optional[Net]:
        """The subnet that holds a block, or None."""
        return next((subnet for subnet in self.subnets if subnet.holds(net)), None)

    @property
    def masquerades(self) -> bool:
        """Whether what leaves the network carries its host's address (the engine's default for bridges)."""
        return self.driver == "bridge" and self.options.get(
            "com.docker.network.bridge.enable_ip_masquerade", "true"
        ).lower() in ("true", "1")


@dataclass(frozen=True)
class PoolTerms:
    """What a pool of networks leaves out (``exclude``), and what part of it stays free for growth, in percent: new
    networks are not allocated from it, pinned ones may lie in it. ``public``: it may be public address space."""

    exclude: tuple[Net, ...] = ()
    reserve: int = 0
    public: bool = False


@dataclass(frozen=True)
class Swarm:
    """Who manages the Swarm (inventory name to the address that the other nodes reach it at; the first one starts the
    Swarm), the tier that it lives in, and the labels of its nodes by inventory name."""

    managers: Mapping[str, Net] = field(default_factory=dict)
    tier: Optional[str] = None
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def first(self) -> str:
        """The manager that makes the overlays and deploys the stacks; "" where there is none."""
        return next(iter(self.managers), "")

    def is_first(self, hostname: str) -> bool:
        """Whether a host of the inventory is that manager."""
        return bool(self.managers) and hostname == self.first


@dataclass(frozen=True)
class Engine:
    """What daemon.json of a tier's hosts says, in its own words. bridge: the network of docker0 by its `bip`."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    bridge: Optional[Net] = None


@dataclass(frozen=True)
class Stack:
    """Services that are deployed together, of the Compose files in `files`.

    kind: swarm (the first manager deploys it) or compose (each host of `tiers` does). demands: the zones that services
    must be on, by pattern of their names.
    """

    name: str
    kind: str
    files: tuple[str, ...]
    tiers: tuple[str, ...] = ()
    demands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Changes:
    """What is asked of a change before it is made. reason: whether a reason must be given; stop_on: what stops the run, of
    never (always), opened and unknown."""

    reason: bool = False
    stop_on: frozenset[str] = frozenset(("never",))


@dataclass(frozen=True)
class SshRule:
    """Who may open Tailscale SSH sessions where, and as which users of the host."""

    path: str
    sources: tuple[Endpoint, ...]
    destinations: tuple[Endpoint, ...]
    users: tuple[str, ...]


@dataclass(frozen=True)
class Tailnet:
    """The tailnet. A place is the name of a tier, or gateway; those in `tags` are on it.

    control: the login server, "" for Tailscale's own. direct: whether the nodes' WireGuard port is open from anywhere.
    tags: of each place, in the declared order. tag_owners: {tag: who may give it to a device}. groups: {name without
    group:: its users}. users: everyone that is known, empty where that is not declared. exit_nodes: {place: who may use
    it}. routes: {place: the subnets that its hosts advertise}. outward: flows of the LAN to control and DERP servers.
    flows: what runs over the tailnet, and after it what may leave by exit nodes.
    """

    control: str
    dialect: str
    prefixes: tuple[Net, ...]
    port: int
    direct: bool = True
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tag_owners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    users: tuple[str, ...] = ()
    exit_nodes: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    routes: Mapping[str, tuple[Net, ...]] = field(default_factory=dict)
    ssh: tuple[SshRule, ...] = ()
    outward: tuple[Flow, ...] = ()
    flows: tuple[Flow, ...] = ()

    @cached_property
    def own_tags(self) -> dict[str, tuple[str, ...]]:
        """{place: the tags that no other place has}: what a place stands for over the tailnet."""
        counts: dict[str, int] = {}
        for tags in self.tags.values():
            for tag in tags:
                counts[tag] = counts.get(tag, 0) + 1
        return {place: tuple(tag for tag in tags if counts[tag] == 1) for place, tags in self.tags.items()}

    def tags_of(self, tiers: Collection[str], gateway: bool) -> tuple[str, ...]:
        """The tags of a host, in the declared order; none where it is no node of the tailnet."""
        found = [tag for place in self.places_of(tiers, gateway) for tag in self.tags[place]]
        return tuple(dict.fromkeys(found))

    def places_of(self, tiers: Collection[str], gateway: bool) -> list[str]:
        """The places on the tailnet that a host is in."""
        return [place for place in self.tags if place in tiers or (gateway and place == GATEWAY)]


@dataclass(frozen=True)
class Site:
    """The whole declaration. flows are those of the LAN; what runs over the tailnet is in `tailnet`. warnings are texts,
    each with the path that it is about. serves: {name of an address: the services that are all it serves}."""

    tiers: Mapping[str, Tier]
    addresses: Mapping[str, tuple[Net, ...]] = field(default_factory=dict)
    serves: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    services: Mapping[str, tuple[Ports, ...]] = field(default_factory=dict)
    flows: tuple[Flow, ...] = ()
    never: tuple[Flow, ...] = ()
    pools: Mapping[str, tuple[Net, ...]] = field(default_factory=dict)
    pool_terms: Mapping[str, PoolTerms] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    swarm: Swarm = field(default_factory=Swarm)
    engines: Mapping[str, Engine] = field(default_factory=dict)
    stacks: Mapping[str, Stack] = field(default_factory=dict)
    tailnet: Optional[Tailnet] = None
    changes: Changes = field(default_factory=Changes)
    warnings: tuple[str, ...] = ()

    @cached_property
    def legs(self) -> dict[Net, str]:
        """The gateways' own addresses: {Net: tier name}."""
        return {leg: tier.name for tier in self.tiers.values() for leg in tier.gateways}

    @cached_property
    def own(self) -> dict[Net, str]:
        """What the site consists of, and the internet does not: {Net: what it is}; no block lies in another one."""
        owners: dict[Net, str] = {}
        for tier in self.tiers.values():
            owners.update((net, tier.name) for net in tier.subnets)
        for name, nets in self.pools.items():
            owners.update((net, f"pool {name}") for net in nets)
        for network in self.networks.values():
            for net in network.subnets:
                owners.setdefault(net, f"network {network.name}")
        if self.tailnet:
            owners.update((net, "the tailnet") for net in self.tailnet.prefixes)
        return {net: owners[net] for net in widest(owners)}

    @cached_property
    def outside(self) -> tuple[Net, ...]:
        """The internet: the spans of both families that no part of the site is in, and that lead beyond a link."""
        return tuple(complement([*self.own, *link_space()]))

    def subnets_of(self, tiers: Collection[str]) -> list[Net]:
        """Where hosts of some tiers have their addresses."""
        return [subnet for name in tiers for subnet in self.tiers[name].subnets]

    def bridges_of(self, tiers: Collection[str]) -> list[Network]:
        """The bridge networks that hosts of some tiers have."""
        return [network for network in self.networks.values() if not set(network.tiers).isdisjoint(tiers)]

    def is_own(self, net: Net) -> bool:
        """Whether a block lies wholly inside of the site."""
        return any(own.holds(net) for own in self.own)
