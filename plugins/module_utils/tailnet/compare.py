# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who gains and who loses between two policies, whatever the documents look like.

Exact over everybody and everything that one of the two documents mentions, and over one representative of all others:
any other user, any other tag, the rest of the internet and of the private addresses, the ports and protocols in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet import grammar
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.document import Document, Rule, Traffic
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.evaluate import OTHER_USER, Atom, Policy
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.grammar import Endpoint, Kind, Net
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.hujson import same

#: Stands for all protocols that neither document names.
OTHER_PROTOCOL = -1
#: The own devices of a user who is not mentioned.
OWN = "the same user's devices"
REST = {"internet": "the rest of the internet", "private": "other private addresses"}


@dataclass(frozen=True)
class Change:
    """Access that all of ``sources`` gain or lose to all of ``destinations``: ``allow`` says what, in the policy's words."""

    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    allow: tuple[str, ...]

    def plain(self) -> dict[str, list[str]]:
        """As a result's value."""
        return {"from": list(self.sources), "to": list(self.destinations), "allow": list(self.allow)}

    def __str__(self) -> str:
        return f"{', '.join(self.sources)} -> {', '.join(self.destinations)}: {' '.join(self.allow)}"


def changes(before: Document, after: Document) -> tuple[list[Change], list[Change]]:
    """What is gained and what is lost by going from one policy to the other."""
    scale = _Scale((before, after))
    old, new = _Access(before, after, scale), _Access(after, before, scale)
    return _joined(new.beyond(old)), _joined(old.beyond(new))


class _Scale:
    """The protocols and pieces of ports that two documents tell apart, each a bit."""

    def __init__(self, documents: Iterable[Document]) -> None:
        every = [
            traffic
            for document in documents
            for rule in document.rules or ()
            for target in rule.targets
            for traffic in target.traffic
        ]
        numbers = {number for traffic in every for number in traffic.protocols or ()} | grammar.DEFAULT
        edges = sorted({0, *(edge for traffic in every for first, last in traffic.ports for edge in (first, last + 1))})
        edges = [edge for edge in edges if edge <= grammar.LAST_PORT]
        self.pieces = [(first, after - 1) for first, after in zip(edges, [*edges[1:], grammar.LAST_PORT + 1])]
        self.bits: dict[tuple[int, Optional[int]], int] = {}
        for number in [*sorted(numbers), OTHER_PROTOCOL]:
            for piece in range(len(self.pieces)) if number in grammar.PORTED else (None,):
                self.bits[number, piece] = 1 << len(self.bits)
        self.all = (1 << len(self.bits)) - 1
        self._masks: dict[Traffic, int] = {}
        self._words: dict[int, list[str]] = {}

    def mask(self, traffic: Traffic) -> int:
        """What a rule's traffic is, as bits."""
        if traffic not in self._masks:
            self._masks[traffic] = sum(self._each(traffic))
        return self._masks[traffic]

    def _each(self, traffic: Traffic) -> Iterator[int]:
        protocols = grammar.DEFAULT if traffic.protocols is None else traffic.protocols
        for (number, piece), bit in self.bits.items():
            if number not in protocols:
                continue
            if piece is None:
                # Clients let ICMP pass where anything does; said only where a rule is not about ports alone.
                wanted = traffic.ports == grammar.EVERY_PORT
            else:
                low, high = self.pieces[piece]
                wanted = any(first <= low and high <= last for first, last in traffic.ports)
            if wanted:
                yield bit

    def words(self, mask: int) -> list[str]:
        """Bits in the words of a grant's `ip`; many pairs have the same."""
        if mask not in self._words:
            self._words[mask] = self._worded(mask) if mask else []
        return self._words[mask]

    def _worded(self, mask: int) -> list[str]:
        if mask == self.all:
            return ["any protocol"]
        ports = {number: self._ports(mask, number) for number in sorted(grammar.PORTED)}
        bare = [number for (number, piece), bit in self.bits.items() if piece is None and mask & bit]
        tcp, udp = grammar.PROTOCOLS["tcp"], grammar.PROTOCOLS["udp"]
        found = []
        if ports[tcp] and ports[tcp] == ports[udp]:
            found.append(grammar.written_ports(ports[tcp]))
            ports[tcp] = ports[udp] = ()
            if found == ["*"] and set(bare) >= grammar.ICMP:
                bare = [number for number in bare if number not in grammar.ICMP]
        found += [f"{_name(number)}:{grammar.written_ports(given)}" for number, given in ports.items() if given]
        return found + [f"{_name(number)}:*" for number in bare]

    def _ports(self, mask: int, number: int) -> grammar.Ports:
        merged: list[tuple[int, int]] = []
        for piece, (first, last) in enumerate(self.pieces):
            if not mask & self.bits.get((number, piece), 0):
                continue
            if merged and merged[-1][1] + 1 == first:
                merged[-1] = (merged[-1][0], last)
            else:
                merged.append((first, last))
        return tuple(merged)


def _name(number: int) -> str:
    return "any other protocol" if number == OTHER_PROTOCOL else grammar.NAMES.get(number, str(number))


@dataclass
class _Access:
    """All that one document allows: bits for each pair of atoms and condition, and what is no packet, as words."""

    document: Document
    other: Document
    scale: _Scale
    packets: dict[tuple[str, str, str], int] = field(default_factory=dict)
    rights: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.policy = Policy(self.document, also=self.other)
        self.atoms = _atoms(self.policy, (self.document, self.other))
        self._chosen: dict[tuple[Endpoint, bool], list[Atom]] = {}
        if self.document.rules is None:
            for source in self.atoms:
                for destination in self.atoms:
                    self.packets["", source.name, destination.name] = self.scale.all
        for rule in self.document.rules or ():
            self._add(rule)
        self.conditions = sorted({condition for condition, _source, _destination in self.packets if condition})
        self._add_rights()

    def _who(self, end: Endpoint, sends: bool) -> list[Atom]:
        key = (end, sends)
        if key not in self._chosen:
            self._chosen[key] = [atom for atom in self.atoms if self.policy.names(end, atom, sends)]
        return self._chosen[key]

    def _add(self, rule: Rule) -> None:
        condition = " ".join([*(f"via {tag}" for tag in rule.via), *(f"with {posture}" for posture in rule.postures)])
        sources = list({atom.name: atom for end in rule.sources for atom in self._who(end, True)}.values())
        for target in rule.targets:
            mask = 0
            for traffic in target.traffic:
                mask |= self.scale.mask(traffic)
            own = target.endpoint.text == "autogroup:self"
            for source in sources:
                for destination in [source] if own else self._who(target.endpoint, False):
                    if own and (source.user is None or source.tags) or rule.via and destination.device:
                        continue
                    for name in _names(source, destination, own):
                        key = (condition, source.name, name)
                        self.packets[key] = self.packets.get(key, 0) | mask
                        for app in rule.apps:
                            self.rights.setdefault(key[1:], set()).add(f"app {app}{_digest(rule.apps[app])}")

    def _add_rights(self) -> None:
        for login in self.document.ssh:
            way = " after a check" if login.action == "check" else ""
            for target in login.targets:
                for source in (atom for end in login.sources for atom in self._who(end, True)):
                    own = target.text == "autogroup:self"
                    if own and (source.user is None or source.tags):
                        continue
                    ends = [source] if own else self._who(target, False)
                    for name in (name for end in ends for name in _names(source, end, own)):
                        self.rights.setdefault((source.name, name), set()).update(
                            f"ssh as {user}{way}" for user in login.users
                        )
        for tag, owners in self.document.tag_owners.items():
            self._give(owners, tag, "give a device the tag")
        for route, approvers in self.document.routes.items():
            self._give(approvers, route, "route without approval")
        self._give(self.document.exit_node, "autogroup:internet", "be an exit node without approval")

    def _give(self, owners: Iterable[Endpoint], to: str, right: str) -> None:
        for source in (atom for end in owners for atom in self._who(end, True)):
            self.rights.setdefault((source.name, to), set()).add(right)

    def _words(self, more: int, condition: str, other: _Access, source: str, destination: str) -> list[str]:
        """Bits in words; those that the other document has under a condition are more only where that does not hold."""
        if not more:
            return []
        if condition:
            return [f"{word} {condition}" for word in self.scale.words(more)]
        found = []
        for still in other.conditions:
            narrowed = more & other.packets.get((still, source, destination), 0)
            found += [f"{word} except {still}" for word in self.scale.words(narrowed)]
            more &= ~narrowed
        return self.scale.words(more) + found

    def beyond(self, other: _Access) -> dict[tuple[str, str], list[str]]:
        """What is allowed here and not there, for each pair, in words."""
        found: dict[tuple[str, str], list[str]] = {}
        for (condition, source, destination), mask in self.packets.items():
            more = mask & ~other.packets.get(("", source, destination), 0)
            if condition:  # with a condition it is only more than what goes without
                more &= ~other.packets.get((condition, source, destination), 0)
                more &= ~self.packets.get(("", source, destination), 0)
            words = self._words(more, condition, other, source, destination)
            if words:
                found.setdefault((source, destination), []).extend(words)
        for pair, rights in self.rights.items():
            more_rights = rights - other.rights.get(pair, set())
            if more_rights:
                found.setdefault(pair, []).extend(sorted(more_rights))
        return found


def _names(source: Atom, destination: Atom, own: bool) -> list[str]:
    """What a destination is called. One name stands for many other users, so that their own devices have another."""
    if destination.user != OTHER_USER or source.name != destination.name:
        return [destination.name]
    return [OWN] if own else [destination.name, OWN]


def _digest(value: Any) -> str:
    """What an app is given, where it is short; two that differ are two rights."""
    text = "" if same(value, [{}]) or same(value, []) else repr(value)
    return f" {text}" if text else ""


def _atoms(policy: Policy, documents: tuple[Document, Document]) -> list[Atom]:
    """Everybody, and the pieces of addresses that a rule names; of the other addresses one of each sort."""
    named = [end.net for document in documents for end in _endpoints(document) if end.net is not None]
    named += [net for document in documents for net in document.hosts.values()]
    named += [net for document in documents for net in map(grammar.network, document.routes) if net is not None]
    found: list[Atom] = [*policy.people(), *policy.tagged(), *policy.opaque()]
    seen: set[str] = set()
    for atom in policy.addresses():
        net = atom.net
        if net is None:
            continue
        if any(one.covers(net) for one in named):
            found.append(atom)
            continue
        sort = _sort(policy, net)
        if sort and sort not in seen:
            seen.add(sort)
            found.append(Atom(REST[sort], net=net))
    return found


def _sort(policy: Policy, net: Net) -> str:
    """What addresses are that no rule names; the tailnet's own are those of its devices, which are listed as such."""
    piece = Atom("", net=net)
    if policy.names(Endpoint(Kind.AUTOGROUP, "autogroup:internet"), piece, False):
        return "internet"
    return "" if policy.names(Endpoint(Kind.ANY, "*"), piece, True) else "private"


def _endpoints(document: Document) -> Iterator[Endpoint]:
    for rule in document.rules or ():
        yield from rule.sources
        yield from (target.endpoint for target in rule.targets)


def _joined(found: dict[tuple[str, str], list[str]]) -> list[Change]:
    """The same access of several to the same, as one line: sources with equal lines first, then destinations."""
    by_source: dict[str, dict[str, tuple[str, ...]]] = {}
    for (source, destination), words in found.items():
        by_source.setdefault(source, {})[destination] = tuple(words)
    alike: dict[tuple[tuple[str, tuple[str, ...]], ...], list[str]] = {}
    for source, access in by_source.items():
        alike.setdefault(tuple(sorted(access.items())), []).append(source)
    lines = []
    for pairs, sources in alike.items():
        by_words: dict[tuple[str, ...], list[str]] = {}
        for destination, allow in pairs:
            by_words.setdefault(allow, []).append(destination)
        lines += [Change(tuple(sorted(sources)), tuple(to), allow) for allow, to in by_words.items()]
    return sorted(lines, key=lambda change: (change.sources, change.destinations))
