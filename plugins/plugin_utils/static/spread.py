# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far all packets of a group of hosts get: sets of packets, hop by hop along the hosts' live routes, through nat tables and
filters. What ask/walk.py does with one packet, in the same order.

A set is kept as it was sent; what nat tables have put in the place of its fields since stands beside it. They only ever put
constants there, so that nothing has to be computed backwards.

What is not modelled bounds a set from above and below: it goes on as one that may arrive, with the reason. Where even the way
is not certain it may arrive anywhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    IIF,
    ODST,
    OIF,
    OPORT,
    PROTO,
    SPORT,
    SRC,
    Box,
    Interval,
    Intervals,
    address_text,
    common,
    complement,
    interface_range,
    intersection,
    merged,
    top,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import ALLOWED, DENIED
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import Interface
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.groups import Group, Owners
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.hooks import (
    Change,
    Hooks,
    Rewrite,
    change_of,
    laid_over,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.intent import PROTOCOLS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.region import ANYTHING, narrowed
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.ways import TOP, Part, Toward, Ways

#: Hosts on a way; more are a loop.
MOST_HOPS = 16
#: The most sets of one sender that are followed.
MOST_SETS = 200000
NONE: Intervals = ((0, 0),)


class Place(str, Enum):
    """Where a set of packets comes to, beside a host."""

    #: No host of the fleet: the internet, or what is behind a router of others.
    BEYOND = "beyond"
    #: Not known.
    ANYWHERE = "anywhere"


class Doubt(NamedTuple):
    """Why something is not certain, and on which host."""

    host: str
    why: str

    def __str__(self) -> str:
        return f"{self.host} {self.why}" if self.host else self.why


class Arrival(NamedTuple):
    """Packets that are let through: `box` as they come to their end, before its own nat table, and with the source that
    they were sent with. sent: as they were sent. end: a group, or a Place. container: whether they went on to a container
    there. translated: whether a nat table on the way changed where they go to. hidden: whether one changed who they seem
    to come from. doubt: why that is not certain; None where it is."""

    box: Box
    sent: Box
    end: Group | Place
    container: bool = False
    translated: bool = False
    hidden: bool = False
    limited: bool = False
    doubt: Optional[Doubt] = None


class Overflow(Exception):
    """There are more sets than are followed."""


class _Set(NamedTuple):
    """box: as sent. came: what stands in the place of its fields as it came to this host; now: after its nat table. lost:
    whether it is not known where it goes. via: the host that translated it last, through which its answers have to come."""

    box: Box
    came: Box = ANYTHING
    now: Box = ANYTHING
    doubt: Optional[Doubt] = None
    limited: bool = False
    hops: int = 0
    lost: bool = False
    via: Optional[Group] = None

    def side(self, field: int) -> Optional[Intervals]:
        now = self.now[field]
        return self.box[field] if now is None else now

    def first(self, field: int) -> Optional[Intervals]:
        """As it came to this host."""
        came = self.came[field]
        return self.box[field] if came is None else came

    def narrow(self, field: int, side: Optional[Intervals]) -> Optional[_Set]:
        """Its packets whose field is now in `side`; None where there are none."""
        if side is None:
            return self
        if self.now[field] is None:
            left = intersection(self.box[field], side)
            return self._replace(box=narrowed(self.box, field, left)) if left else None
        left = intersection(self.now[field], side)
        return self._replace(now=narrowed(self.now, field, left)) if left else None

    def narrow_first(self, field: int, side: Optional[Intervals]) -> Optional[_Set]:
        if side is None:
            return self
        if self.came[field] is None:
            left = intersection(self.box[field], side)
            return self._replace(box=narrowed(self.box, field, left)) if left else None
        return self if intersection(self.came[field], side) else None

    def doubted(self, group: Group, why: str) -> _Set:
        return self if not why or self.doubt else self._replace(doubt=Doubt(group.node.name, why))

    @property
    def moved(self) -> bool:
        return (self.came[DST], self.came[DPORT]) != (self.now[DST], self.now[DPORT])

    @property
    def arrived(self) -> Box:
        box = self.box
        for field in (DST, DPORT):
            if self.came[field] is not None:
                box = narrowed(box, field, self.came[field])
        return box


class Spread:
    """The fleet, and how packets spread in it, of one family."""

    def __init__(self, groups: Iterable[Group], family: int, hooks: Hooks) -> None:
        self.groups, self.family, self.hooks = list(groups), family, hooks
        self.owners = Owners(self.groups, family)
        self._ways: dict[int, Ways] = {}
        self._counted = 0

    # -- where it begins ----------------------------------------------------------------------------------------------

    def sent_by(self, group: Group, dst: Intervals) -> list[Arrival]:
        """All that the hosts of a group send themselves, to `dst`. Raises Overflow."""
        self._counted = 0
        own = group.addresses(self.family)
        if group.single:
            dst = common(dst, complement(own, 0, TOP[self.family]))
        if not own or not dst:
            return []
        box = self.start(own, dst)
        return list(self._send(group, _Set(box)))

    def from_outside(self, src: Intervals, dst: Intervals) -> list[Arrival]:
        """All that comes from addresses of no host. It comes in by the hosts whose way back leads out of the fleet. Raises
        Overflow."""
        self._counted = 0
        found: list[Arrival] = []
        for group in self.groups:
            forwards = group.node.forwards[self.family]
            ends = dst if forwards else common(dst, group.addresses(self.family))
            for part in self._outward(group, src) if ends else ():
                one = _Set(self.start(part.dst, ends)).doubted(group, part.toward.doubt)
                found += self._arrive(group, one, part.toward.interface)
        return found

    def leads_out(self, group: Group, outside: Intervals, hosts: bool = False) -> list[Interval]:
        """The addresses to which a router sends what leaves the fleet there; with `hosts` also a host, whose router is none of
        the fleet's."""
        if not (hosts or group.node.forwards[self.family]):
            return []
        return [interval for part in self._outward(group, outside) for interval in part.dst]

    def leads_nowhere(self, group: Group, outside: Intervals) -> Intervals:
        """The addresses to which a router has no route."""
        parts = self.ways(group).of(None, outside)
        return merged(interval for part in parts if part.toward.trouble for interval in part.dst)

    def _outward(self, group: Group, outside: Intervals) -> Iterator[Part]:
        for part in self.ways(group).of(None, outside):
            toward = part.toward
            if not (toward.trouble or toward.local or self._leads_inside(group, toward)):
                yield part

    def start(self, src: Intervals, dst: Intervals) -> Box:
        box = list(ANYTHING)
        box[PROTO], box[SRC], box[DST] = PROTOCOLS[self.family], src, dst
        return tuple(box)

    def _leads_inside(self, group: Group, toward: Toward) -> bool:
        if toward.interface in group.node.bridges:
            return True
        if toward.neighbour is None:
            return False
        owner = self.owners.at(toward.neighbour)
        return owner is not None and (owner[0].node.forwards[self.family] or owner[0] is group)

    # -- hop by hop ---------------------------------------------------------------------------------------------------

    def ways(self, group: Group) -> Ways:
        if id(group) not in self._ways:
            skip = (
                frozenset()
                if group.single
                else frozenset(
                    int(ipaddress.ip_address(text)) for text in group.node.own if (":" in text) == (self.family == 6)
                )
            )
            self._ways[id(group)] = Ways(group.node, self.family, skip)
        return self._ways[id(group)]

    def _routed(self, group: Group, one: _Set, inside: Interface) -> Iterator[tuple[_Set, Toward]]:
        """The parts of a set that go one way; the addresses of a group's hosts are local to the one that has it."""
        src, dst = one.side(SRC), one.side(DST) or ()
        if not group.single:
            own = group.addresses(self.family)
            near = common(dst, own)
            here = one.narrow(DST, near) if near else None
            if here is not None and inside != "lo":
                yield here, Toward(local=True)
            elif here is not None:
                for interface, found in group.owned[self.family].items():
                    own_part = here.narrow(DST, found)
                    if own_part is not None:
                        yield own_part, Toward(interface)
            dst = common(dst, complement(own, 0, TOP[self.family]))
        for part in self.ways(group).of(src, dst, inside):
            found_set = one.narrow(DST, part.dst)
            if found_set is not None and part.src is not None:
                found_set = found_set.narrow(SRC, part.src)
            if found_set is not None:
                yield found_set, part.toward

    def _send(self, group: Group, one: _Set) -> Iterator[Arrival]:
        for part, toward in self._routed(group, one, "lo"):
            if toward.trouble and not toward.doubt:
                continue
            if toward.doubt:
                yield self._lost(part, group, toward)
                continue
            for changed in self._translated(group, part, "OUTPUT", "", toward.interface):
                if changed.lost:
                    yield self._lost(changed, group, toward)
                    continue
                if changed.now == part.now:
                    yield from self._leave(group, changed, toward)
                    continue
                for again, other in self._routed(group, changed, "lo"):
                    if not other.trouble:
                        yield from self._leave(group, again, other)

    def _leave(self, group: Group, one: _Set, toward: Toward) -> Iterator[Arrival]:
        outside = "lo" if toward.local else toward.interface
        for passed in self._filtered(group, "OUTPUT", one, "", outside):
            if toward.local:
                continue  # it does not leave the host
            yield from self._next(group, passed, toward, "")

    def _lost(self, one: _Set, group: Group, toward: Toward) -> Arrival:
        why = Doubt(group.node.name, toward.doubt or toward.trouble)
        return Arrival(one.arrived, one.box, Place.ANYWHERE, doubt=one.doubt or why)

    def _next(self, group: Group, one: _Set, toward: Toward, inside: Interface) -> Iterator[Arrival]:
        """What becomes of a set that leaves a host."""
        for part in self._masqueraded(group, one, toward.interface, inside):
            via = group if inside and one.moved and part.now[SRC] == one.came[SRC] else None
            part = part._replace(came=part.now, hops=part.hops + 1, via=via)
            if part.hops > MOST_HOPS:
                yield self._lost(part, group, Toward(doubt="the packet passes too many hosts: a loop"))
                continue
            if toward.neighbour is None:
                yield from self._on_link(group, part, toward)
            else:
                yield from self._to_router(group, part, toward)

    def _on_link(self, group: Group, one: _Set, toward: Toward) -> Iterator[Arrival]:
        """To neighbours, each at its own address."""
        dst = one.side(DST) or ()
        rest = dst
        for owner, interface, found in self.owners.within(dst):
            rest = common(rest, complement(found, 0, TOP[self.family]))
            part = one.narrow(DST, found)
            if part is None or (owner is group and group.single):
                continue
            if not group.on_link(self.family, toward.interface, found[0][0]):
                part = part.doubted(group, f"{toward.interface} leads to no network that it has an address in")
            yield from self._arrive(owner, part._replace(came=part.now), interface)
        part = one.narrow(DST, rest) if rest else None
        if part is not None:
            inner = toward.interface in group.node.bridges
            yield self._arrival(part, group if inner else Place.BEYOND, container=inner)

    def _to_router(self, group: Group, one: _Set, toward: Toward) -> Iterator[Arrival]:
        neighbour = toward.neighbour or 0
        owner = self.owners.at(neighbour)
        if owner is not None and (owner[0] is not group or not group.single):
            if not group.on_link(self.family, toward.interface, neighbour):
                text = address_text(neighbour, self.family)
                one = one.doubted(group, f"{text} is no neighbour on {toward.interface}")
            yield from self._arrive(owner[0], one, owner[1])
            return
        # A router of others: it may pass on what is for a host of the fleet, or not.
        text = address_text(neighbour, self.family)
        dst = one.side(DST) or ()
        rest = dst
        for host, interface, found in self.owners.within(dst):
            rest = common(rest, complement(found, 0, TOP[self.family]))
            part = one.narrow(DST, found)
            if part is not None and host is not group:
                part = part.doubted(group, f"sends it to {text}, which is no host of the inventory")
                yield from self._arrive(host, part._replace(came=part.now), interface)
        part = one.narrow(DST, rest) if rest else None
        if part is not None:
            yield self._arrival(part, Place.BEYOND)

    def _arrival(self, one: _Set, end: Group | Place, container: bool = False) -> Arrival:
        translated = one.came[DST] is not None or one.came[DPORT] is not None
        return Arrival(
            one.arrived, one.box, end, container, translated, one.now[SRC] is not None, one.limited, one.doubt
        )

    def _arrive(self, group: Group, one: _Set, inside: Interface) -> Iterator[Arrival]:
        """One host: what is for it, and what it passes on."""
        for known in self._believed(group, one, inside):
            for changed in self._translated(group, known, "PREROUTING", inside, ""):
                if changed.lost:
                    yield self._lost(changed, group, Toward())
                    continue
                for part, toward in self._routed(group, changed, inside):
                    if toward.doubt:
                        yield self._lost(part, group, toward)
                    elif toward.trouble:
                        continue
                    elif toward.local:
                        for passed in self._filtered(group, "INPUT", part, inside, ""):
                            yield self._arrival(passed, group)
                    elif group.node.forwards[self.family]:
                        for passed in self._filtered(group, "FORWARD", part, inside, toward.interface):
                            yield from self._forwarded(group, passed, toward, inside)

    def _forwarded(self, group: Group, one: _Set, toward: Toward, inside: Interface) -> Iterator[Arrival]:
        if toward.interface in group.node.bridges and toward.neighbour is None:
            # A published port: what was asked for is an address of the host.
            yield self._arrival(one, group, container=True)
        else:
            yield from self._next(group, one, toward, inside)

    def _believed(self, group: Group, one: _Set, inside: Interface) -> Iterator[_Set]:
        """The packets whose sender the kernel believes: not its own address, and with strict rp_filter only one to which the
        way back leaves where the packet came in."""
        src = one.side(SRC) or ()
        if group.single:
            src = common(src, complement(group.addresses(self.family), 0, TOP[self.family]))
        if one.via is not None:
            src, one = self._back_through(group, one.via, src), one._replace(via=None)
        strict = self.family == 4 and group.node.strict.get(inside) == 1
        if strict:
            own = () if group.single else common(src, group.addresses(self.family))
            near = tuple(
                interval
                for part in self.ways(group).of(None, src)
                if part.toward.local or part.toward.interface == inside or part.toward.doubt
                for interval in part.dst
            )
            src = common(src, tuple(sorted({*near, *own}))) if near or own else ()
        found = one.narrow(SRC, src) if src else None
        if found is not None:
            yield found

    def _back_through(self, group: Group, via: Group, src: Intervals) -> Intervals:
        """The senders to whom answers go back through the host that translated the packet; past it, they mean nothing."""
        found: list[Interval] = []
        for part in self.ways(group).of(None, src):
            neighbour = part.toward.neighbour
            owner = self.owners.at(neighbour) if neighbour is not None else None
            if part.toward.doubt or (owner is not None and owner[0] is via):
                found += part.dst
        return merged(found)

    # -- tables -------------------------------------------------------------------------------------------------------

    def _view(self, one: _Set, inside: Interface, outside: Interface, moved: bool) -> list[Optional[Intervals]]:
        sides: list[Optional[Intervals]] = list(ANYTHING)
        for field in (PROTO, SRC, DST, SPORT, DPORT):
            sides[field] = one.side(field)
        sides[IIF], sides[OIF] = _interface(inside), _interface(outside)
        if moved:
            sides[ODST], sides[OPORT] = one.first(DST), one.first(DPORT)
        return sides

    def _cut(self, one: _Set, product: Box, moved: bool) -> Optional[_Set]:
        found: Optional[_Set] = one
        for field in (PROTO, SRC, DST, SPORT, DPORT):
            found = found.narrow(field, product[field]) if found is not None else None
        for field, other in ((DST, ODST), (DPORT, OPORT)) if moved else ():
            found = found.narrow_first(field, product[other]) if found is not None else None
        return found

    def _filtered(self, group: Group, hook: str, one: _Set, inside: Interface, outside: Interface) -> Iterator[_Set]:
        """What the rules of a hook let through, there and back."""
        moved = one.moved
        diagram = self.hooks.filter(group.node.rulesets[self.family], hook, group.texts, moved)
        for decided, product in laid_over(diagram, self._view(one, inside, outside, moved)):
            if decided.answer == DENIED:
                continue
            part = self._cut(one, product, moved)
            if part is None:
                continue
            self._counted += 1
            if self._counted > MOST_SETS:
                raise Overflow(f"its packets fall into more than {MOST_SETS} sets, many of them on {group.node.name}")
            if decided.limited:
                part = part._replace(limited=True)
            elif decided.answer != ALLOWED:
                part = part.doubted(group, f"{hook}: {decided.why}")
            yield from self._answered(group, hook, part, inside, outside)

    def _answered(self, group: Group, hook: str, one: _Set, inside: Interface, outside: Interface) -> Iterator[_Set]:
        """The parts whose answers come back: each hook the other way round, in state ESTABLISHED."""
        back = {"INPUT": "OUTPUT", "OUTPUT": "INPUT", "FORWARD": "FORWARD"}[hook]
        diagram = self.hooks.filter(group.node.rulesets[self.family], back, group.texts, one.moved, "ESTABLISHED")
        if len(diagram.nodes) == 1 or diagram.nodes[diagram.root][0] == diagram.LEAF:
            decided = diagram.nodes[diagram.root][1]
            if decided.answer == DENIED:
                return
            yield one if decided.answer == ALLOWED else one.doubted(group, f"{back}, the answers: {decided.why}")
            return
        sides = list(ANYTHING)
        sides[PROTO] = one.side(PROTO)
        sides[SRC], sides[DST], sides[SPORT], sides[DPORT] = (one.side(at) for at in (DST, SRC, DPORT, SPORT))
        sides[IIF], sides[OIF] = _interface(outside), _interface(inside)
        for decided, product in laid_over(diagram, sides):
            if decided.answer == DENIED:
                continue
            found: Optional[_Set] = one
            for field, other in ((PROTO, PROTO), (SRC, DST), (DST, SRC), (SPORT, DPORT), (DPORT, SPORT)):
                found = found.narrow(field, product[other]) if found is not None else None
            if found is not None:
                sure = decided.answer == ALLOWED
                yield found if sure else found.doubted(group, f"{back}, the answers: {decided.why}")

    def _translated(self, group: Group, one: _Set, chain: str, inside: Interface, outside: Interface) -> Iterator[_Set]:
        """What PREROUTING or OUTPUT of the nat table makes of a set."""
        own = "" if chain == "OUTPUT" else inside
        yield from self._changed(group, one, chain, inside, outside, own, False)

    def _masqueraded(self, group: Group, one: _Set, outside: Interface, inside: Interface) -> Iterator[_Set]:
        for found in self._changed(group, one, "POSTROUTING", inside, outside, outside, True):
            yield found._replace(lost=False)  # who it seems to come from is not known, where it goes is

    def _changed(
        self,
        group: Group,
        one: _Set,
        chain: str,
        inside: Interface,
        outside: Interface,
        own: Interface,
        translated: bool,
    ) -> Iterator[_Set]:
        diagram = self.hooks.nat(group.node.rulesets[self.family], chain, group.texts, translated)
        if diagram is None:
            yield one
            return
        moved = translated and one.moved
        for rewrite, product in laid_over(diagram, self._view(one, inside, outside, moved)):
            part = self._cut(one, product, moved)
            if part is not None:
                yield from self._rewritten(group, part, rewrite, own)

    def _rewritten(self, group: Group, one: _Set, rewrite: Rewrite, own: Interface) -> Iterator[_Set]:
        if rewrite.rule is None and not rewrite.doubt:
            yield one
            return
        change = change_of(rewrite.rule, self.family, self._first_of(group, own)) if rewrite.rule else Change()
        if rewrite.doubt or change.doubt:
            yield one.doubted(group, rewrite.doubt or change.doubt)._replace(lost=True)
            return
        wanted = ((SRC, change.src), (DST, change.dst), (DPORT, change.dport))
        values = {field: ((value, value),) for field, value in wanted if value is not None}
        now = tuple(values.get(field, side) for field, side in enumerate(one.now))
        # What is already as it would become is not translated (nf_nat_setup_info): no match on the state DNAT meets it.
        same: Optional[_Set] = one
        for field, value in values.items():
            if same is not None:
                other = same.narrow(field, complement(value, 0, top(field, self.family)))
                if other is not None:
                    yield other._replace(now=now)
                same = same.narrow(field, value)
        if same is not None:
            yield same

    def _first_of(self, group: Group, interface: Interface) -> str:
        """The address that REDIRECT and MASQUERADE take: the first of the interface and of the family."""
        for text in group.node.addresses.get(interface, ()):
            found = ipaddress.ip_interface(text)
            if found.version == self.family and not found.is_link_local:
                return str(found.ip)
        return "127.0.0.1" if self.family == 4 else "::1"


def _interface(name: Interface) -> Intervals:
    return (interface_range(name)[:2],) if name else NONE
