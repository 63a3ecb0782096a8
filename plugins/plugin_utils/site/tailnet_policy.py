# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a site's flows mean for a connection over the tailnet: the intent that compiled policies and rules are held against.

Like policy.py it knows of no rule and of no document of a control server.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    AUTOGROUP,
    GATEWAY,
    GROUP,
    INTERNET,
    MEMBER,
    NETWORK,
    OWN,
    TAG,
    TAGGED,
    TIER,
    USER,
    Endpoint,
    Flow,
    Site,
    Tailnet,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import destination_spans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY, WITH_PORTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_point
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.wellknown import exit_space


class Identity(NamedTuple):
    """Who a node is to control: the user whose device it is, or the tags that it has instead of a user."""

    user: str = ""
    tags: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return self.user or ", ".join(sorted(self.tags))


def identity_of(site: Site, tiers: Collection[str], gateway: bool) -> Optional[Identity]:
    """Who a host of some tiers is on the tailnet; None where it is no node of it."""
    tags = site.tailnet.tags_of(tiers, gateway) if site.tailnet else ()
    return Identity(tags=frozenset(tags)) if tags else None


def known_identities(tailnet: Tailnet) -> list[Identity]:
    """Everyone whom a declaration names: the nodes of each place, a node of each tag that no place has, each user."""
    places = {tag for tags in tailnet.tags.values() for tag in tags}
    ends = [end for flow in tailnet.flows for pair in flow.pairs for end in pair]
    users = dict.fromkeys([*(user for users in tailnet.groups.values() for user in users), *tailnet.users])
    users.update((end.name, None) for end in ends if end.kind == USER)
    return [
        *(Identity(tags=frozenset(tags)) for tags in tailnet.tags.values()),
        *(Identity(tags=frozenset([tag])) for tag in tailnet.tag_owners if tag not in places),
        *(Identity(user=user) for user in users),
    ]


def stands_for(tailnet: Tailnet, end: Endpoint, identity: Identity, role: bool = False) -> bool:
    """Whether an endpoint stands for a node. role: the answer for people with a role, whom only control knows."""
    if end.kind in (TIER, GATEWAY):
        return not identity.tags.isdisjoint(tailnet.own_tags.get(end.name, ()))
    if end.kind == TAG:
        return end.name in identity.tags
    if end.kind == GROUP:
        return identity.user in tailnet.groups.get(end.name.removeprefix("group:"), ())
    if end.kind == USER:
        return identity.user == end.name
    if end.kind != AUTOGROUP:
        return False
    if end.name in (TAGGED, MEMBER, OWN):
        return bool(identity.tags if end.name == TAGGED else identity.user)
    return role and bool(identity.user)


class TailnetPolicy:
    """Answers whether the flows over the tailnet allow a connection, by both planes: the control server's policy and the
    rules of the hosts. Two nodes of one host in two tiers are one identity with the tags of both."""

    def __init__(self, site: Site, roles: bool = False) -> None:
        """roles: whether every user is taken to have every role (autogroup:admin ...): only control knows who has."""
        self.site = site
        self.roles = roles
        ends: dict[Endpoint, int] = {}
        self._grants = [
            (ends.setdefault(pair.source, len(ends)), ends.setdefault(pair.destination, len(ends)), flow)
            for flow in (site.tailnet.flows if site.tailnet else ())
            for pair in flow.pairs
        ]
        self._ends = ends
        self._senders: dict[Identity, int] = {}
        self._targets: dict[Union[Identity, str], int] = {}
        self._candidates: dict[tuple[int, int], list[Flow]] = {}

    def flow_for(
        self,
        source: Identity,
        destination: Union[Identity, str],
        proto: str,
        port: Optional[int] = None,
        by: Collection[str] = (),
    ) -> Optional[Flow]:
        """The first flow that allows it, or None. A flow with a limit is the answer only where none without one is.

        destination: a node, or an address behind a route or, through an exit node, outside of the site. proto: tcp or
        udp. by: the places of the node that passes it on to an address; without them, any router and exit node counts.
        """
        tailnet = self.site.tailnet
        if tailnet is None:
            return None
        for flow in self._flows(self._sender(tailnet, source), self._target(tailnet, source, destination)):
            if any(
                (ports.proto == ANY and proto in WITH_PORTS)
                or (ports.proto == proto and (port is None or ports.first <= port <= ports.last))
                for ports in flow.all_ports
            ) and (not by or isinstance(destination, Identity) or _passes(tailnet, flow, destination, by)):
                return flow
        return None

    def _flows(self, sources: int, destinations: int) -> list[Flow]:
        """The flows between two sets of endpoints, in the declared order, those with a limit last; remembered by set."""
        key = (sources, destinations)
        if key not in self._candidates:
            found = dict.fromkeys(
                number
                for number, (source, destination, _flow) in enumerate(self._grants)
                if sources >> source & 1 and destinations >> destination & 1
            )
            flows = {id(self._grants[number][2]): self._grants[number][2] for number in found}
            self._candidates[key] = sorted(flows.values(), key=lambda flow: flow.limit)
        return self._candidates[key]

    def _sender(self, tailnet: Tailnet, source: Identity) -> int:
        """The endpoints that stand for a sender, as bits."""
        if source not in self._senders:
            self._senders[source] = sum(
                1 << number for end, number in self._ends.items() if stands_for(tailnet, end, source, self.roles)
            )
        return self._senders[source]

    def _target(self, tailnet: Tailnet, source: Identity, destination: Union[Identity, str]) -> int:
        """The endpoints that stand for a destination, as bits. What is a user's own depends on who asks."""
        if destination not in self._targets:
            self._targets[destination] = sum(
                1 << number for end, number in self._ends.items() if self._is_at(tailnet, end, destination)
            )
        own = isinstance(destination, Identity) and bool(source.user) and source.user == destination.user
        mine = sum(1 << number for end, number in self._ends.items() if own and end.name == OWN)
        return self._targets[destination] | mine

    def _is_at(self, tailnet: Tailnet, end: Endpoint, destination: Union[Identity, str]) -> bool:
        if isinstance(destination, Identity):
            return end.name != OWN and stands_for(tailnet, end, destination)
        point = parse_point(destination)
        if end.kind == INTERNET:
            return _in(self.site.outside, point) and _in(exit_space(), point)
        # Like the LAN's: the routers' own addresses are a destination only where they are named.
        return routed(end) and _in(destination_spans(self.site, end), point)


def _passes(tailnet: Tailnet, flow: Flow, address: str, by: Collection[str]) -> bool:
    """Whether a node of some places passes on what a flow leads to."""
    if flow.exit:
        return flow.exit in by
    return any(_in(tailnet.routes.get(place, ()), parse_point(address)) for place in by)


def _in(spans: Iterable[Net], point: int) -> bool:
    return any(span.first <= point <= span.last for span in spans)


def routed(end: Endpoint) -> bool:
    """Whether a destination of a flow over the tailnet is addresses behind routes, and no node."""
    return end.kind in (ADDRESS, NETWORK)
