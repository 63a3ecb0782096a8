# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a tailnet adds to a site's flows, and what only the whole of them shows: the LAN's part of it, and invariants.

The LAN's part: the nodes' WireGuard port, the way to control and DERP, and what routers pass on with their own address.
An invariant holds over both planes together. A host is the same host by whichever way it is reached: its node on the
tailnet, its address behind a route, and what an exit node lets it reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    AUTOGROUP,
    FROM_TAILNET,
    GATEWAY,
    GROUP,
    INTERNET,
    NETWORK,
    OWN,
    TAG,
    TIER,
    USER,
    Endpoint,
    Flow,
    Pair,
    Site,
    Tailnet,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import destination_spans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ALL, ANY, Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import EVERYTHING, Net
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.tailnet_policy import (
    Identity,
    routed,
    stands_for,
)

#: The name of what the nodes talk to each other beneath the tailnet.
WIREGUARD = "WireGuard"


def exit_flows(tailnet: Tailnet) -> tuple[Flow, ...]:
    """What bulkhead_tailnet.exit_nodes stands for: out to the internet, by the hosts of a place."""
    return tuple(
        Flow(
            path=f"bulkhead_tailnet.exit_nodes.{place}",
            sources=tuple(end.name for end in users),
            destinations=(INTERNET,),
            services=(ANY,),
            pairs=tuple(Pair(end, Endpoint(INTERNET, INTERNET)) for end in users),
            ports={ANY: (ALL,)},
            why=f"exit node {place}",
            tailnet=True,
            exit=place,
        )
        for place, users in tailnet.exit_nodes.items()
        if users
    )


# -- the LAN's part --------------------------------------------------------------------------------------------------


def lan_flows(site: Site) -> Iterator[Flow]:
    """The flows of the LAN without which the tailnet's cannot work."""
    tailnet = site.tailnet
    if tailnet is None:
        return
    if tailnet.direct and tailnet.tags:
        yield _wireguard(site, tailnet)
    yield from tailnet.outward
    for flow in tailnet.flows:
        pairs = tuple(dict.fromkeys(pair for each in flow.pairs for pair in _passed_on(site, tailnet, each)))
        if pairs:
            sources = tuple(dict.fromkeys(pair.source.name for pair in pairs))
            why = f"for {', '.join(flow.sources)} of the tailnet"
            yield replace(
                flow,
                path=f"{flow.path}.via",
                sources=sources,
                pairs=pairs,
                why=why,
                tailnet=False,
                derived=FROM_TAILNET,
            )


def _wireguard(site: Site, tailnet: Tailnet) -> Flow:
    """From anywhere: what is no WireGuard of a known peer gets no answer."""
    anywhere = Endpoint(NETWORK, "anywhere", EVERYTHING)
    ends = [
        Endpoint(GATEWAY, GATEWAY, tuple(site.legs))
        if place == GATEWAY
        else Endpoint(TIER, place, site.tiers[place].subnets)
        for place in tailnet.tags
    ]
    return Flow(
        path="bulkhead_tailnet.port",
        sources=("anywhere",),
        destinations=tuple(end.name for end in ends),
        services=(WIREGUARD,),
        pairs=tuple(Pair(anywhere, end) for end in ends),
        ports={WIREGUARD: (Ports("udp", tailnet.port, tailnet.port),)},
        why="the tailnet beneath; direct: false closes it",
        derived=FROM_TAILNET,
    )


def _passed_on(site: Site, tailnet: Tailnet, pair: Pair) -> Iterator[Pair]:
    """What the routers between the tiers pass on: from their leg in the destination's subnet, whose address it gets."""
    routes = tailnet.routes.get(GATEWAY, ())
    for net in pair.destination.nets if routed(pair.destination) else ():
        # A leg of theirs they reach themselves.
        if net in site.legs or not any(route.holds(net) for route in routes):
            continue
        for tier in site.tiers.values():
            for subnet in tier.subnets:
                legs = tuple(leg for leg in tier.gateways if subnet.holds(leg))
                # Of two CIDR blocks that meet, one lies in the other.
                if legs and subnet.meets(net):
                    part = net if subnet.holds(net) else subnet
                    end = Endpoint(pair.destination.kind, pair.destination.name, (part,))
                    yield Pair(Endpoint(NETWORK, GATEWAY, legs), end)


# -- what routers in tiers need --------------------------------------------------------------------------------------


def check_routers(reader: Reader, site: Site) -> None:
    """Note what arrives behind the routers of a tier with an address of theirs, from which no flow of the LAN lets it on."""
    tailnet = site.tailnet
    if tailnet is None:
        return
    for flow in tailnet.flows:
        for end in dict.fromkeys(pair.destination for pair in flow.pairs):
            for net in end.nets if routed(end) else ():
                _check_router(reader, site, tailnet, flow, end, net)


def _check_router(reader: Reader, site: Site, tailnet: Tailnet, flow: Flow, end: Endpoint, net: Net) -> None:
    places = [place for place, routes in tailnet.routes.items() if any(route.holds(net) for route in routes)]
    if GATEWAY in places:
        return
    for place in places:
        homes = [subnet for subnet in site.tiers[place].subnets if subnet.holds(net)]
        missing = [ports for ports in flow.all_ports if not all(_covers(site, home, net, ports) for home in homes)]
        if missing:
            shown = f"{end.name} ({net})" if str(net) != end.name else end.name
            reader.note(
                flow.path,
                f"{shown}, behind the routers of {place}",
                f"a flow of the LAN from {place} to it at {', '.join(map(str, missing))}, for that is whose address it gets",
                f"add one without via: {{from: {place}, to: {end.name}, allow: {_services(flow)}}}",
                "no-way-on",
            )


def _services(flow: Flow) -> str:
    return flow.services[0] if len(flow.services) == 1 else f"[{', '.join(flow.services)}]"


def _covers(site: Site, source: Net, net: Net, ports: Ports) -> bool:
    # A network in a tier holds the router's leg, which a tier as a destination does not.
    parts = destination_spans(site, Endpoint(NETWORK, str(net), (net,)))
    return any(
        any(theirs.covers(ports) for theirs in flow.all_ports)
        and any(
            any(start.holds(source) for start in pair.source.nets)
            and all(any(span.holds(part) for span in destination_spans(site, pair.destination)) for part in parts)
            for pair in flow.pairs
        )
        for flow in site.flows
    )


# -- invariants ------------------------------------------------------------------------------------------------------


class Reach(NamedTuple):
    """What an end of a flow or of an invariant comes to. nodes: bits of the cast's identities; spans: addresses."""

    nodes: int
    spans: tuple[Net, ...] = ()

    def meets(self, other: Reach) -> bool:
        return bool(self.nodes & other.nodes) or any(
            span.first <= rival.last and rival.first <= span.last for span in self.spans for rival in other.spans
        )


class Cast:
    """Everyone whom a declaration tells apart: the hosts of each place, a node with each tag alone, each user, and a user
    whom it does not name."""

    def __init__(self, site: Site, tailnet: Tailnet) -> None:
        self._site, self._tailnet = site, tailnet
        ends = [end for flow in tailnet.flows + site.never for pair in flow.pairs for end in pair]
        users = dict.fromkeys(user for group in tailnet.groups.values() for user in group)
        users.update((user, None) for user in tailnet.users)
        users.update((end.name, None) for end in ends if end.kind == USER)
        tags = dict.fromkeys([*tailnet.tag_owners, *(end.name for end in ends if end.kind == TAG)])
        self.places = list(tailnet.tags)
        self.identities = [
            *(Identity(tags=frozenset(tailnet.tags[place])) for place in self.places),
            *(Identity(tags=frozenset([tag])) for tag in tags),
            *(Identity(user=user) for user in users),
            Identity(user="another user"),
        ]
        self._known: dict[Endpoint, Reach] = {}

    def reach(self, end: Endpoint) -> Reach:
        """What an end of an invariant means, and what one of a flow over the tailnet can reach at most."""
        if end not in self._known:
            self._known[end] = self._reach(end)
        return self._known[end]

    def _reach(self, end: Endpoint) -> Reach:
        if end.kind == INTERNET:
            return Reach(0, self._site.outside)
        nodes = sum(
            1 << number
            for number, identity in enumerate(self.identities)
            if stands_for(self._tailnet, end, identity, role=True)
        )
        for number, place in enumerate(self.places):
            if self._lies_in(end, place):
                nodes |= 1 << number
        # What a node is reached at is its own: addresses count where they are what a flow or an invariant names.
        return Reach(nodes, destination_spans(self._site, end) if end.nets else ())

    def _lies_in(self, end: Endpoint, place: str) -> bool:
        """Whether hosts of a place may have addresses of an endpoint."""
        if end.kind in (TIER, GATEWAY):
            return end.name == place
        homes: Iterable[Net] = self._site.legs if place == GATEWAY else self._site.tiers[place].subnets
        return any(home.meets(net) for home in homes for net in end.nets)

    def people(self, owners: Iterable[str]) -> int:
        """The users whom the owners of a tag are or hold, as bits."""
        ends = [Endpoint(GROUP if name.startswith("group:") else USER, name) for name in owners]
        return sum(
            1 << number
            for number, identity in enumerate(self.identities)
            if any(stands_for(self._tailnet, end, identity) for end in ends)
        )

    def place(self, place: str) -> Reach:
        """The hosts of a place, as a source."""
        nets = tuple(self._site.legs) if place == GATEWAY else self._site.tiers[place].subnets
        return self.reach(Endpoint(GATEWAY if place == GATEWAY else TIER, place, nets))


def check_never(reader: Reader, site: Site) -> None:
    """Note every flow over the tailnet that allows what an invariant forbids, by whichever way."""
    tailnet = site.tailnet
    if tailnet is None or not site.never:
        return
    cast = Cast(site, tailnet)
    for flow in tailnet.flows:
        for never in site.never:
            found = _forbidden(cast, flow, never)
            if found:
                reader.note(
                    flow.path,
                    str(flow),
                    f"nothing that {never.path} forbids: {never}",
                    f"over the tailnet both have {found}: change one of them",
                    "never-tailnet",
                )


def _forbidden(cast: Cast, flow: Flow, never: Flow) -> str:
    """What a flow and an invariant have in common, as text; "" for nothing."""
    ports = next((mine for mine in flow.all_ports for theirs in never.all_ports if mine.meets(theirs)), None)
    if ports is None:
        return ""
    for pair in flow.pairs:
        # What an exit node passes on leaves with its own address: it is the source of it as well.
        via = cast.place(flow.exit) if flow.exit else None
        for forbidden in never.pairs:
            if _meet(cast, pair, forbidden) or (via and _by(cast, via, pair, forbidden)):
                return f"{pair.source.name} -> {pair.destination.name} {ports}"
    return ""


def _meet(cast: Cast, pair: Pair, forbidden: Pair) -> bool:
    source, target = cast.reach(pair.source), cast.reach(pair.destination)
    # The internet has none of them: control knows who a node is.
    sources = source.nodes & cast.reach(forbidden.source).nodes
    if not sources:
        return False
    if pair.destination.name == OWN:
        return bool(sources & target.nodes & cast.reach(forbidden.destination).nodes)
    return target.meets(cast.reach(forbidden.destination))


def _by(cast: Cast, via: Reach, pair: Pair, forbidden: Pair) -> bool:
    return via.meets(cast.reach(forbidden.source)) and cast.reach(pair.destination).meets(
        cast.reach(forbidden.destination)
    )


def owner_warnings(site: Site) -> Iterator[str]:
    """Who is kept from something by an invariant, and may give a device the tag with which it is let there."""
    tailnet = site.tailnet
    if tailnet is None:
        return
    people = [
        (never, pair) for never in site.never for pair in never.pairs if pair.source.kind in (GROUP, USER, AUTOGROUP)
    ]
    if not people:
        return
    cast = Cast(site, tailnet)
    owners = {tag: cast.people(names) for tag, names in tailnet.tag_owners.items()}
    let_in = _let_in(cast, tailnet)
    for never, pair in people:
        kept, target = cast.reach(pair.source).nodes, cast.reach(pair.destination)
        for tag, reached in let_in.items():
            if kept & owners.get(tag, 0):
                flows = (flow for flow, end in reached if end.meets(target) and _share_ports(flow, never))
                found = next(flows, None)
                if found:
                    yield (
                        f"{never.path}: {pair.source.name} may give a device {tag} (bulkhead_tailnet.tag_owners), and "
                        f"{found.path} lets that reach {pair.destination.name}"
                    )


def _let_in(cast: Cast, tailnet: Tailnet) -> dict[str, list[tuple[Flow, Reach]]]:
    """{tag: where flows let a device with it}."""
    devices = {tag: cast.reach(Endpoint(TAG, tag)).nodes for tag in tailnet.tag_owners}
    found: dict[str, list[tuple[Flow, Reach]]] = {tag: [] for tag in devices}
    for flow in tailnet.flows:
        for source, destination in flow.pairs:
            if destination.name == OWN:
                continue
            senders, target = cast.reach(source).nodes, cast.reach(destination)
            for tag, nodes in devices.items():
                if nodes & senders:
                    found[tag].append((flow, target))
    return found


def _share_ports(flow: Flow, never: Flow) -> bool:
    return any(mine.meets(theirs) for mine in flow.all_ports for theirs in never.all_ports)
