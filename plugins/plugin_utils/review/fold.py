# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the rules of a fleet counted, folded into the flows that they come from: which nothing has used.

A rule counts what opens a connection; what belongs to one is let in before it. Its counter begins when the rules are loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import parse_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Place
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.firewall import LETS_IN, text_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Flow, Site

#: Rules of one host that are read, as many as a proof does.
MOST_RULES = 20000


class Use(str, Enum):
    """What is known of a flow, the most urgent first."""

    UNUSED = "unused"
    #: No rule counts it: its hosts were not read, have no rule of it, or publish ports, which ufw's rules do not count.
    UNKNOWN = "unknown"
    USED = "used"


class Counter(NamedTuple):
    """A live rule in the shape of ufw_ruleset, and the packets that it counted."""

    rule: Mapping[str, Any]
    packets: int


@dataclass(frozen=True)
class Counted:
    """What one host says. since: when its rules were loaded at the earliest, in seconds since 1970; publishes: whether its
    engine publishes ports, of which ufw's rules see nothing."""

    place: Place
    counters: Sequence[Counter]
    since: float
    publishes: bool = False


@dataclass
class Row:
    """A flow. packets: {host: what its rules of it counted}; since: from when on all of them did; by: who uses it now."""

    flow: Flow
    packets: dict[str, int] = field(default_factory=dict)
    since: float = 0.0
    unseen: bool = False
    by: tuple[str, ...] = ()

    @property
    def use(self) -> Use:
        if self.by or any(self.packets.values()):
            return Use.USED
        return Use.UNKNOWN if self.unseen or not self.packets else Use.UNUSED


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
    found: list[RuleKey] = []
    for item in rules:
        try:
            parsed = parse_rules([dict(item)], True, dict)
        except Refused:
            continue
        found += [(rule.match, rule.action) for rule in (*parsed.v4, *parsed.v6)]
    return found


class Rules:
    """Which flow a rule comes from, by the tiers of its host: the same compiler, asked of each flow alone."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[Place, dict[RuleKey, list[Flow]]] = {}

    def of(self, place: Place) -> Mapping[RuleKey, list[Flow]]:
        if place not in self._known:
            tiers, gateway = place
            common = {rule.match for rule in host_rules(replace(self._site, flows=()), tiers, gateway)}
            found: dict[RuleKey, list[Flow]] = {}
            for flow in self._site.flows:
                rules = host_rules(replace(self._site, flows=(flow,)), tiers, gateway)
                own = [rule.to_dict() for rule in rules if rule.action in LETS_IN and rule.match not in common]
                for key in dict.fromkeys(keys_of(own)):
                    found.setdefault(key, []).append(flow)
            self._known[place] = found
        return self._known[place]


def fold(site: Site, counted: Mapping[str, Counted], users: Mapping[str, Sequence[str]]) -> Review:
    """counted: {host: what it says}; users: {path of a flow: the addresses that have a connection of it now}."""
    rules = Rules(site)
    rows = {flow.path: Row(flow, by=tuple(users.get(flow.path, ()))) for flow in site.flows}
    unused: list[Stray] = []
    foreign: list[Stray] = []
    for host, said in counted.items():
        flows = rules.of(said.place)
        for counter in said.counters[:MOST_RULES]:
            keys = keys_of([counter.rule])
            mine = {flow.path: flow for key in keys for flow in flows.get(key, ())}
            for path in mine:
                row = rows[path]
                row.packets[host] = row.packets.get(host, 0) + counter.packets
                row.since = max(row.since, said.since)
                row.unseen = row.unseen or said.publishes
            stray = Stray(host, _text(counter.rule), counter.packets, said.since)
            if mine and not counter.packets and not said.publishes:
                unused.append(stray)
            elif not mine and counter.rule.get("rule") in LETS_IN:
                foreign.append(stray)
    order = list(Use)
    return Review(tuple(sorted(rows.values(), key=lambda row: order.index(row.use))), tuple(unused), tuple(foreign))


def _text(rule: Mapping[str, Any]) -> str:
    try:
        parsed = parse_rules([dict(rule)], True, dict)
        found = next(iter((*parsed.v4, *parsed.v6)), None)
    except Refused:
        found = None
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
