# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the rules of a fleet counted, folded into the flows that they come from: which nothing has used.

A rule counts what opens a connection; what belongs to one is let in before it. Its counter begins when the rules are loaded.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import Rule as UfwRule
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Place
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.firewall import LETS_IN, text_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.live import port_ranges
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Flow, Site

#: Rules of one host that are read, as many as a proof does.
MOST_RULES = 20000


class Use(str, Enum):
    """What is known of a flow, the most urgent first."""

    UNUSED = "unused"
    #: No rule counts it: its hosts were not read, or have no rule of it.
    UNKNOWN = "unknown"
    USED = "used"


class Counter(NamedTuple):
    """A live rule in the shape of ufw_ruleset, and the packets that it counted."""

    rule: Mapping[str, Any]
    packets: int


class Published(NamedTuple):
    """What the list of published ports counted of one entry: ufw's own rules never see such a packet."""

    proto: str
    source: str
    destination: str
    first: int
    last: int
    packets: int


@dataclass(frozen=True)
class Counted:
    """What one host says. since: when its rules were loaded at the earliest, in seconds since 1970."""

    place: Place
    counters: Sequence[Counter]
    since: float
    published: Sequence[Published] = ()


@dataclass
class Row:
    """A flow. packets: {host: what its rules of it counted}; since: from when on all of them did; by: who uses it now."""

    flow: Flow
    packets: dict[str, int] = field(default_factory=dict)
    since: float = 0.0
    by: tuple[str, ...] = ()

    @property
    def use(self) -> Use:
        if self.by or any(self.packets.values()):
            return Use.USED
        return Use.UNUSED if self.packets else Use.UNKNOWN


class Stray(NamedTuple):
    """A rule that lets something in, of no flow, or of one that never counted. text: in ufw's words."""

    host: str
    text: str
    packets: int
    since: float


class Review(NamedTuple):
    """rows: every flow, the unused first. unused: rules of flows, which counted nothing; foreign: rules of no flow."""

    rows: tuple[Row, ...]
    unused: tuple[Stray, ...]
    foreign: tuple[Stray, ...]


#: What tells rules of ufw apart: (match, action).
RuleKey = tuple[Any, str]


def keys_of(rules: Iterable[Mapping[str, Any]]) -> list[RuleKey]:
    """The keys of rules in ufw_ruleset's shape, for both IP versions; what cannot be read has none."""
    return [(rule.match, rule.action) for rule in _parsed(rules)]


def _parsed(rules: Iterable[Mapping[str, Any]]) -> Iterator[UfwRule]:
    for item in rules:
        try:
            parsed = parse_rules([dict(item)], True, dict)
        except Refused:
            continue
        yield from (*parsed.v4, *parsed.v6)


class Rules:
    """Which flow a rule comes from, by the tiers of its host: the same compiler, asked of each flow alone."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[Place, dict[RuleKey, list[Flow]]] = {}
        self._entries: dict[Place, list[tuple[UfwRule, Flow]]] = {}

    def publishing(self, place: Place, entry: Published) -> list[Flow]:
        """The flows whose rules are an entry of the list of published ports: one is made of each rule and port."""
        self.of(place)
        return [
            flow
            for rule, flow in self._entries[place]
            if rule.proto == entry.proto
            and _same(rule.src, entry.source)
            and _same(rule.dst, entry.destination)
            and (
                rule.dport == "any"
                or any(low <= entry.first and entry.last <= high for low, high in port_ranges(rule.dport))
            )
        ]

    def of(self, place: Place) -> Mapping[RuleKey, list[Flow]]:
        if place not in self._known:
            tiers, gateway = place
            common = {rule.match for rule in host_rules(replace(self._site, flows=()), tiers, gateway)}
            found: dict[RuleKey, list[Flow]] = {}
            entries: list[tuple[UfwRule, Flow]] = []
            for flow in self._site.flows:
                rules = host_rules(replace(self._site, flows=(flow,)), tiers, gateway)
                own = [rule.to_dict() for rule in rules if rule.action in LETS_IN and rule.match not in common]
                for key in dict.fromkeys(keys_of(own)):
                    found.setdefault(key, []).append(flow)
                entries += [(rule, flow) for rule in _parsed(own)]
            self._known[place], self._entries[place] = found, entries
        return self._known[place]


def fold(site: Site, counted: Mapping[str, Counted], users: Mapping[str, Sequence[str]]) -> Review:
    """counted: {host: what it says}; users: {path of a flow: the addresses that have a connection of it now}."""
    rules = Rules(site)
    rows = {flow.path: Row(flow, by=tuple(dict.fromkeys(users.get(flow.path, ())))) for flow in site.flows}
    unused: list[Stray] = []
    foreign: list[Stray] = []
    for host, said in counted.items():
        flows = rules.of(said.place)
        published = _published(rules, said)
        for counter in said.counters[:MOST_RULES]:
            keys = keys_of([counter.rule])
            mine = {flow.path: flow for key in keys for flow in flows.get(key, ())}
            for path in mine:
                row = rows[path]
                row.packets[host] = row.packets.get(host, 0) + counter.packets
                row.since = max(row.since, said.since)
            stray = Stray(host, _text(counter.rule), counter.packets, said.since)
            if mine and not counter.packets and not any(published.get(path) for path in mine):
                unused.append(stray)
            elif not mine and counter.rule.get("rule") in LETS_IN:
                foreign.append(stray)
        for path, number in published.items():
            rows[path].packets[host] = rows[path].packets.get(host, 0) + number
    order = list(Use)
    return Review(tuple(sorted(rows.values(), key=lambda row: order.index(row.use))), tuple(unused), tuple(foreign))


def _published(rules: Rules, said: Counted) -> dict[str, int]:
    """{path of a flow: the packets of it that came to published ports}."""
    found: dict[str, int] = {}
    for entry in said.published:
        for flow in rules.publishing(said.place, entry) if entry.packets else ():
            found[flow.path] = found.get(flow.path, 0) + entry.packets
    return found


@cache
def _same(net: str, other: str) -> bool:
    """Whether two texts are one network: a kernel writes 10.0.2.10/32."""
    try:
        return ipaddress.ip_network(net, strict=False) == ipaddress.ip_network(other, strict=False)
    except ValueError:
        return False


def _text(rule: Mapping[str, Any]) -> str:
    found = next(_parsed([rule]), None)
    return printable(text_of(found) if found else str(dict(rule)), 300)


def last_used(row: Row, now: float, before: Optional[Mapping[str, Any]]) -> Optional[float]:
    """When a flow was used last, as far as this review and the one before know; None for never.

    before: the row of the review before, with its last_used, since and packets. A counter that has not moved since then, and
    was not reset, says nothing new.
    """
    earlier = before.get("last_used") if before else None
    if row.by:
        return now
    if row.use is not Use.USED:
        return earlier
    still = before is not None and before.get("since") == row.since and before.get("packets") == row.packets
    return earlier if still and earlier is not None else now
