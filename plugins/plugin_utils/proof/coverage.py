# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which pairs of hosts are probed: of hosts that are alike, each once as the source and once as the destination of every kind,
so that a proof grows with the hosts and their kinds, and not with the square of the hosts. In a very large fleet each host is
the source and the destination of some of these, drawn by chance.

Alike are hosts of the same part and tiers whose live rules are the same. What a host says of its rules can put it into a kind
of its own, which costs more probes; it can spare it none of those that every host takes part in.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member

#: A fleet of no more hosts is probed from each to each.
SMALL = 16
#: How many ports, drawn by chance, a pair is probed at that is not the one which stands for its two kinds.
FEW = 8

#: The most pairs that are probed at FEW ports, or as many as there are hosts: where hosts and kinds make more, they are drawn by chance.
MOST_PAIRS = 100_000

#: (source, destination), by name.
Pair = tuple[str, str]


class Coverage(str, Enum):
    """The option `coverage`."""

    CLASSES = "classes"
    FULL = "full"


class Choice(NamedTuple):
    """whole: pairs that are probed at every port; few: those at FEW of them. kinds: how many kinds of hosts there are; total:
    how many pairs of hosts."""

    whole: frozenset[Pair]
    few: frozenset[Pair]
    kinds: int
    total: int

    @property
    def is_full(self) -> bool:
        return len(self.whole) == self.total

    def by_source(self) -> dict[str, dict[str, bool]]:
        """{source: {destination: whether it is probed at FEW ports}}, by name."""
        found: dict[str, dict[str, bool]] = {}
        for few, pairs in ((False, self.whole), (True, self.few)):
            for source, dest in sorted(pairs):
                found.setdefault(source, {})[dest] = few
        return found


def kind_of(member: Member, live: Any) -> str:
    """What hosts that are alike have in common, as a short text. live: what stands for the live firewall, None for none."""
    said = json.dumps([member.part.value, sorted(member.tiers), live], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def choose(kinds: Mapping[str, str], seed: str, coverage: Coverage = Coverage.CLASSES) -> Choice:
    """The pairs of hosts. kinds: {host: its kind}."""
    names = list(kinds)
    total = len(names) * (len(names) - 1)
    alike: dict[str, list[str]] = {}
    for name, kind in kinds.items():
        alike.setdefault(kind, []).append(name)
    if coverage is Coverage.FULL or len(names) <= SMALL:
        whole = frozenset((one, other) for one in names for other in names if one != other)
        return Choice(whole, frozenset(), len(alike), total)
    chance = random.Random(f"{seed}/coverage")
    groups = [chance.sample(group, len(group)) for group in alike.values()]
    first: set[Pair] = set()
    more: set[Pair] = set()
    for sources in groups:
        for dests in groups:
            pairs = _ring(sources, dests)
            first.update(pairs[:1])
            more.update(pairs[1:])
    more -= first
    if len(more) > MOST_PAIRS:
        ring = chance.sample(names, len(names))
        each = set(_ring(ring, ring)) - first
        more = each.union(chance.sample(sorted(more - each), max(MOST_PAIRS - len(each), 0)))
    return Choice(frozenset(first), frozenset(more), len(alike), total)


def _ring(sources: Sequence[str], dests: Sequence[str]) -> list[Pair]:
    """Pairs in which each source and each destination stands at least once."""
    number = max(len(sources), len(dests))
    shift = 1 if sources is dests else 0
    pairs = [(sources[at % len(sources)], dests[(at + shift) % len(dests)]) for at in range(number)]
    return [pair for pair in pairs if pair[0] != pair[1]]
