# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change in terms of flows, before it is made: the hosts as they are, the hosts as their plans would leave them, and what passes
between them in one of the two alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Chain, Rule, Ruleset
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import canonical
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import PREFIX
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import FAMILIES, Node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import GATEWAY, INTERNET, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.changes import Change, Way, changes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.fleet import Fleet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.hooks import Hooks
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.planned import with_plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.prove import Difference, Findings, compare
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import Kind
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count, some

#: Rows of one kind that a record holds.
MOST = 1000
#: Parts of what no flow declares that are named of two places.
_PARTS = 3


class Told(NamedTuple):
    """One thing that a change does. hosts: how many hosts it is about; path: the flow or invariant."""

    way: str
    source: str
    destination: str
    service: str
    path: str
    never: str
    hosts: int

    def text(self) -> str:
        """``management -> monitoring ssh, on 2 hosts: bulkhead_flows[0] declares it``"""
        declared = f"{self.path} declares it" if self.path else "no flow declares it"
        perhaps = "perhaps, though " if self.never and self.way == Way.UNKNOWN.value else ""
        why = f"{perhaps}{self.never} forbids it" if self.never else declared
        return f"{self.source} -> {self.destination} {self.service}, on {count(self.hosts, 'host')}: {why}"


class Judged(NamedTuple):
    """unchanged: declared services between two places that are neither opened nor closed. broken: what an invariant forbids and
    would pass, in words. touched: hosts whose rules change; read: hosts that were read; missing: {host: why it was not}."""

    opened: tuple[Told, ...]
    closed: tuple[Told, ...]
    unknown: tuple[Told, ...]
    unchanged: int
    broken: tuple[str, ...]
    touched: tuple[str, ...]
    read: int
    missing: Mapping[str, str]

    @property
    def nothing(self) -> bool:
        return not (self.opened or self.closed or self.unknown or self.touched)


def judge(
    site: Site,
    members: Mapping[str, Member],
    nodes: Mapping[str, Node],
    plans: Mapping[str, Mapping[str, Any]],
    missing: Mapping[str, str],
    routers_elsewhere: bool = False,
) -> Judged:
    """nodes: the hosts that were read; plans: of each of them what its firewall is to be (rules, default, docker, nat, keeps).
    routers_elsewhere: whether there may be routers that the inventory does not show, as in a slice of it."""
    planned = {name: as_planned(node, plans[name]) for name, node in nodes.items()}
    touched = tuple(name for name, node in nodes.items() if not _alike(node, planned[name]))
    hooks = Hooks()
    after = Fleet(site, members, planned, hooks, hosts_lead_out=True)
    found = changes(Fleet(site, members, nodes, hooks, hosts_lead_out=True), after) if touched else []
    told = {way: _folded([change for change in found if change.way is way], members, nodes) for way in Way}
    broken, doubts = _forbidden(after, routers_elsewhere)
    moved = {(one.source, one.destination, one.service) for one in (*told[Way.OPENED], *told[Way.CLOSED]) if one.path}
    declared = sum(len(flow.pairs) * len(flow.services) for flow in site.flows)
    return Judged(
        told[Way.OPENED],
        told[Way.CLOSED],
        (*told[Way.UNKNOWN], *doubts),
        max(declared - len(moved), 0),
        broken,
        touched,
        len(nodes),
        missing,
    )


def _folded(found: Sequence[Change], members: Mapping[str, Member], nodes: Mapping[str, Node]) -> tuple[Told, ...]:
    """Each thing once, of all IP versions; what is forbidden first, then what no flow declares. Where much of that changes between
    two places, it is one line: the parts of a set of packets are of no interest."""
    parts: dict[tuple[str, ...], list[str]] = {}
    for change in found:
        name = change.service if change.flow else ""
        key = (change.way.value, change.source, change.destination, name, change.flow, change.never)
        parts.setdefault(key, []).append(change.service)
    told = []
    for (way, source, destination, name, path, never), services in parts.items():
        texts = list(dict.fromkeys(services))
        shown = name or (f"much ({some(texts, _PARTS)})" if len(texts) > _PARTS else ", ".join(texts))
        place = destination if destination != INTERNET else source
        hosts = sum(
            host in nodes and (member.gateway if place == GATEWAY else place in member.tiers)
            for host, member in members.items()
        )
        told.append(Told(way, source, destination, printable(shown, 300), path, never, hosts))
    return tuple(sorted(told, key=lambda one: (not one.never, bool(one.path), one[1:4])))


def _forbidden(fleet: Fleet, routers_elsewhere: bool) -> tuple[tuple[str, ...], tuple[Told, ...]]:
    """(what an invariant forbids and gets to a host that was read, or out, in words with the rule that lets it through; what perhaps
    does). Of an address that no host has that was read, nothing is known: a run with --limit leaves hosts out, and so does a slice."""
    if not fleet.site.never:
        return (), ()
    _cells, differences = compare(fleet)
    known = [one for one in differences if one.kind is Kind.NEVER and _is_known(fleet, one, routers_elsewhere)]
    broken, doubts = [], []
    for finding in Findings(fleet.site, fleet.nodes).of(known):
        if finding.kind is Kind.UNKNOWN:
            ends = finding.cells[0] if finding.cells else ("", "")
            text = printable(finding.what, 300)
            doubts.append(Told(Way.UNKNOWN.value, *ends, text, "", finding.path, 1))
        else:
            broken.append(printable(finding.what, 600))
    return tuple(broken), tuple(doubts)


def _is_known(fleet: Fleet, one: Difference, routers_elsewhere: bool) -> bool:
    """Whether all that may stop a packet was read. A router that --limit or a slice leaves out may; so may one that is none of
    the site's, where a host sends to the internet."""
    source, destination = one.reached.source, one.reached.destination
    routers = [name for name, member in fleet.members.items() if member.gateway]
    unread = routers_elsewhere or any(name not in fleet.nodes for name in routers)
    if destination.place == INTERNET:
        tier = fleet.site.tiers.get(source.place)
        behind = tier is None or bool(tier.gateways)
        return bool(routers) and not unread and behind
    if source.place == INTERNET and unread:
        return False
    return destination.group is not None


# -- the hosts as planned --------------------------------------------------------------------------------------------


def as_planned(node: Node, plan: Mapping[str, Any]) -> Node:
    """A host after its plan. Where rules are kept that are not declared (firewall_purge, firewall_keep), all of its own
    rules count as kept."""
    found = with_plan(node, plan)
    if not plan.get("keeps"):
        return found
    return found._replace(
        rulesets={family: _kept(node.rulesets[family], found.rulesets[family]) for family in FAMILIES}
    )


@lru_cache(maxsize=4096)
def _kept(live: Ruleset, planned: Ruleset) -> Ruleset:
    prefix = f"{PREFIX[live.family]}-user-"
    tables = {name: dict(chains) for name, chains in planned.tables.items()}
    chains = tables.get("filter", {})
    for name, old in live.tables.get("filter", {}).items():
        if name.startswith(prefix) and name in chains:
            there = {_form(rule) for rule in old.rules}
            copy = Chain(name, chains[name].policy)
            new = [rule for rule in chains[name].rules if _form(rule) not in there]
            copy.rules = [*new, *old.rules]
            chains[name] = copy
    return Ruleset(planned.family, tables, planned.unseen)


def _alike(one: Node, other: Node) -> bool:
    """Whether two hosts have the same rules, whatever words they are written in. What only logs decides nothing."""
    return all(_forms(one.rulesets[family]) == _forms(other.rulesets[family]) for family in FAMILIES)


def _forms(ruleset: Ruleset) -> dict[tuple[str, str], tuple[Any, ...]]:
    found = {
        (table, name): (chain.policy, *(_form(rule) for rule in chain.rules if not _logs(rule.target or "")))
        for table, chains in ruleset.tables.items()
        for name, chain in chains.items()
        if not _logs(name)
    }
    return {place: forms for place, forms in found.items() if forms != (None,)}


def _logs(name: str) -> bool:
    """A target that logs, or a chain of ufw's that does and lets every packet go on."""
    return name == "LOG" or "-user-logging-" in name


def _form(rule: Rule) -> tuple[str, ...]:
    """A rule as it is compared: `-A chain` is not a part of it."""
    return _canonical(rule.text.split(" ", 2)[-1])


@lru_cache(maxsize=1 << 16)
def _canonical(words: str) -> tuple[str, ...]:
    return canonical(words)
