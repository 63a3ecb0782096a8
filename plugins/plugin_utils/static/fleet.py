# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The hosts of a site as the static proof sees them: their groups and addresses, by what the inventory makes of them, and all
that gets from one place to another.

    fleet = Fleet(site, members, nodes)
    for reached in fleet.reached(4): ...        all packets of one sender's place to one receiver's
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DST,
    SRC,
    Box,
    Intervals,
    common,
    complement,
    merged,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import Node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import GATEWAY, INTERNET, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_address
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.groups import Group, groups_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.hooks import Hooks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.intent import OF_NO_HOST, intervals_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.region import ANYTHING, meet, narrowed
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.spread import Arrival, Overflow, Place, Spread
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.ways import TOP

#: The most addresses of one host that take part.
MOST_ADDRESSES = 64


class End(NamedTuple):
    """Some addresses of one place. group: the hosts that have them, None for addresses of no host that was read."""

    place: str
    addresses: Intervals
    group: Optional[Group]

    @property
    def is_router(self) -> bool:
        return self.place == GATEWAY


class Reached(NamedTuple):
    """What gets from one end to another. arrivals: the sets of packets; why: what makes all of it unknown, "" if nothing."""

    source: End
    destination: End
    arrivals: tuple[Arrival, ...]
    why: str = ""


class Fleet:
    """members: every host of the inventory; nodes: those that were read."""

    def __init__(
        self,
        site: Site,
        members: Mapping[str, Member],
        nodes: Mapping[str, Node],
        hooks: Optional[Hooks] = None,
        hosts_lead_out: bool = False,
    ) -> None:
        """hosts_lead_out: whether what a host itself exchanges with the internet counts where its router is none of the
        fleet's."""
        self._hosts_lead_out = hosts_lead_out
        self.site, self.members = site, members
        self.nodes = {name: node for name, node in nodes.items() if members[name].part in (Part.TIER, Part.GATEWAY)}
        #: Whether a router of the site was read. Without one the hosts' own rules are all there is to be proven: what comes in
        #: to a host from the internet, and not what it sends there or to an address that no host has.
        self.is_routed = any(members[name].gateway and any(node.forwards.values()) for name, node in self.nodes.items())
        self.hooks = hooks or Hooks()
        #: {host: its addresses that the site does not know}, {address: the hosts that have it}.
        self.unknown: dict[str, list[str]] = {}
        self.claimed: dict[str, list[str]] = {}
        self.addresses = self._addresses()
        kinds = {name: (member.part, member.tiers) for name, member in members.items()}
        self.groups = groups_of(self.nodes, self.addresses, kinds)
        self.spreads: dict[int, Spread] = {}
        self.settle()

    def settle(self) -> None:
        """Once more, after the groups' addresses were changed."""
        self.spreads = {family: Spread(self.groups, family, self.hooks) for family in (4, 6)}

    # -- who has which address ----------------------------------------------------------------------------------------

    def _addresses(self) -> dict[str, list[str]]:
        """{host: the addresses that others reach it at}: each of one host, and one that the host may have."""
        known: dict[str, list[str]] = {}
        owners: dict[str, list[str]] = {}
        for name, node in self.nodes.items():
            member = self.members[name]
            known[name] = []
            for text in node.outward:
                address = parse_address(text)
                if self._of_tailnet(address):
                    continue
                if len(known[name]) < MOST_ADDRESSES and self.may_have(member, address):
                    known[name].append(text)
                    owners.setdefault(text, []).append(name)
                else:
                    self.unknown.setdefault(name, []).append(text)
        self.claimed = {text: names for text, names in owners.items() if len(names) > 1}
        return {name: [text for text in texts if text not in self.claimed] for name, texts in known.items()}

    def _of_tailnet(self, address: Net) -> bool:
        return self.site.tailnet is not None and any(net.holds(address) for net in self.site.tailnet.prefixes)

    def may_have(self, member: Member, address: Net) -> bool:
        """Whether the site knows a host of these tiers at an address: in its tiers, or of a router a leg or an outer one."""
        if member.gateway and (address in self.site.legs or not self.site.is_own(address)):
            return True
        return any(net.holds(address) for net in self.site.subnets_of(member.tiers))

    # -- ends ---------------------------------------------------------------------------------------------------------

    def ends(self, family: int) -> list[End]:
        """All hosts, by place."""
        found = []
        for group in self.groups:
            own = group.addresses(family)
            member = self.members[group.node.name]
            places = [(GATEWAY, own)] if member.gateway else []
            for name in () if member.gateway else member.tiers:
                places.append((name, common(own, intervals_of(self.site.tiers[name].subnets, family))))
            found += [End(place, part, group) for place, part in places if part]
        return found

    def others(self, family: int) -> list[End]:
        """The addresses of tiers that no host has that was read, which only a router's rules can be asked about."""
        if not self.is_routed:
            return []
        taken = merged([*self.spreads[family].owners.everything, *intervals_of(self.site.legs, family)])
        found = []
        for tier in self.site.tiers.values():
            subnets = intervals_of(tier.subnets, family)
            edges = [(at, at) for first, last in subnets if last - first > 1 for at in (first, last)]
            free = common(subnets, complement(merged([*taken, *edges]), 0, TOP[family]))
            if free:
                found.append(End(tier.name, free, None))
        return found

    def internet(self, family: int) -> Intervals:
        """The addresses of the internet: of no host, and none that no host can have."""
        whole = common(intervals_of(self.site.outside, family), complement(OF_NO_HOST[family], 0, TOP[family]))
        return common(whole, complement(self.spreads[family].owners.everything, 0, TOP[family]))

    def outside(self, family: int) -> Intervals:
        """Those of them to which some router has a way; without a router, some host."""
        spread, whole = self.spreads[family], self.internet(family)
        hosts = self._hosts_lead_out or not self.is_routed
        return merged(interval for group in self.groups for interval in spread.leads_out(group, whole, hosts))

    def unrouted(self, family: int) -> Intervals:
        """Those to which no router has one."""
        spread, left = self.spreads[family], self.internet(family)
        for group in self.groups:
            if group.node.forwards[family]:
                left = common(left, spread.leads_nowhere(group, left)) if left else left
        return left

    # -- what gets where ----------------------------------------------------------------------------------------------

    def reached(self, family: int) -> Iterator[Reached]:
        """For each two ends, what gets from the one to the other."""
        spread = self.spreads[family]
        ends, outside = self.ends(family), self.outside(family)
        internet = [End(INTERNET, outside, None)] if outside else []
        away = internet if self.is_routed or self._hosts_lead_out else []
        targets = [*ends, *away, *self.others(family)]
        dst = merged(interval for end in targets for interval in end.addresses)
        for group in self.groups:
            own = [end for end in ends if end.group is group]
            if own:
                try:
                    arrivals, why = spread.sent_by(group, dst), ""
                except Overflow as error:
                    arrivals, why = [], str(error)
                yield from _sorted(own, targets, arrivals, why)
        for end in internet:
            try:
                arrivals, why = spread.from_outside(outside, dst), ""
            except Overflow as error:
                arrivals, why = [], str(error)
            yield from _sorted([end], [target for target in targets if target.place != INTERNET], arrivals, why)


def _sorted(sources: list[End], targets: list[End], arrivals: list[Arrival], why: str) -> Iterator[Reached]:
    by_end: dict[int, list[Arrival]] = {}
    for one in arrivals:
        key = id(one.end) if isinstance(one.end, Group) else -1 if one.end is Place.BEYOND else -2
        by_end.setdefault(key, []).append(one)
    lost = by_end.get(-2, [])
    for source in sources:
        for target in targets:
            alone = target.group is not None and target.group is source.group and target.group.single
            # Neighbours in one subnet meet no filter but their own, and of one that was not read nothing is known.
            if alone or (target.group is None and target.place == source.place):
                continue
            if source.is_router and target.group is None:
                continue  # what a router itself sends is filtered by its receiver alone
            found = by_end.get(id(target.group) if target.group is not None else -1, [])
            ends = narrowed(narrowed(ANYTHING, SRC, source.addresses), DST, target.addresses)
            yield Reached(source, target, tuple(_within(ends, [*found, *lost])), why)


def _within(ends: Box, arrivals: list[Arrival]) -> Iterator[Arrival]:
    for one in arrivals:
        box = meet(one.box, ends)
        if box is not None:
            yield one._replace(box=box)
