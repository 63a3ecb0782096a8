# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the rules of a ruleset do to each other: which never decide, and whose order matters. Exact, by the packet engine
over the whole filter table, so that what stands before ufw's rules counts too. Imported where something changes, and by
ufw_ruleset_info."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.findings import Findings, examine
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import RulesetError as Unreadable
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import EVERY, Budget, Question, TooComplex
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import BUILTIN
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.lockout import read_ruleset, save_text
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import PREFIX, Rule, describe, iptables_lines

#: How many of each kind are listed.
LISTED = 200
#: What the engine may take for a hook, in segments, and for all of them in seconds of the processor's time.
SEGMENTS, SECONDS = 200000, 1.0
#: How many of the rules that leave a dead one nothing are named.
_NAMED = 3

#: A rule's place in the kernel: chain and number, from 1.
Place = tuple[str, int]


class Review(NamedTuple):
    """In words: rules of ufw that decide about no packet; pairs of rules whose order matters; what was not examined.
    ``lost`` are the dead rules whose packets have another answer than theirs, with their texts."""

    dead: list[str]
    conflicting: list[str]
    unlisted: list[str]
    lost: dict[Rule, str]


def review(rules: Mapping[int, list[Rule]], kernels: Mapping[int, Kernel]) -> Review:
    """Examine ufw's rules as they stand in these filter tables."""
    dead: dict[str, None] = {}
    lost: dict[Rule, str] = {}
    conflicting: dict[str, None] = {}
    unlisted: list[str] = []
    end = time.process_time() + SECONDS
    for family, kernel in kernels.items():
        owners, parts = _places(rules[family], family)
        try:
            ruleset = read_ruleset(save_text(kernel), family)
        except Unreadable as error:
            unlisted.append(f"dead, conflicting: IPv{family}: {error}")
            continue
        for hook in BUILTIN:
            chain = f"{PREFIX[family]}-user-{hook.lower()}"
            if not any(where == chain for where, _number in owners):
                continue
            budget = Budget(SEGMENTS, max(end - time.process_time(), 0.0), clock=time.process_time)
            try:
                found = examine(ruleset, Question(hook, "NEW", EVERY), budget)
            except TooComplex as error:
                unlisted.append(f"dead, conflicting: IPv{family} {hook}: {error}")
                continue
            for rule, text, matters in _dead(found, owners, parts):
                dead[text] = None
                if matters:
                    lost[rule] = text
            conflicting.update(dict.fromkeys(_conflicting(found, owners)))
    return Review(_cut("dead", dead, unlisted), _cut("conflicting", conflicting, unlisted), unlisted, lost)


def _cut(name: str, lines: Iterable[str], unlisted: list[str]) -> list[str]:
    listed = list(lines)
    if len(listed) > LISTED:
        unlisted.append(f"{name}: {len(listed) - LISTED} more")
    return listed[:LISTED]


def _places(rules: list[Rule], family: int) -> tuple[dict[Place, Rule], dict[Rule, int]]:
    """The rule that each line of ufw's user chains belongs to, and in how many lines each rule decides."""
    owners: dict[Place, Rule] = {}
    parts: dict[Rule, int] = {}
    length: dict[str, int] = {}
    for rule in rules:
        for chain, line in iptables_lines(rule, family):
            if "-user-logging-" in chain:
                continue
            length[chain] = length.get(chain, 0) + 1
            # A log line, and the `recent --set` of a limit, decide nothing.
            if "-user-logging-" not in line and "-j " in line:
                owners[chain, length[chain]] = rule
                parts[rule] = parts.get(rule, 0) + 1
    return owners, parts


def _owner(rule: Any, owners: dict[Place, Rule]) -> Rule | None:
    return owners.get((rule.chain, rule.number))


def _dead(found: Findings, owners: dict[Place, Rule], parts: dict[Rule, int]) -> Iterator[tuple[Rule, str, bool]]:
    """(rule, text, whether its packets fare otherwise than it says); a rule of ufw is dead where each of its lines is."""
    by: dict[Rule, dict[str, bool]] = {}
    lines: dict[Rule, int] = {}
    for dead in found.dead:
        rule = _owner(dead.rule, owners)
        if rule is None:
            continue
        lines[rule] = lines.get(rule, 0) + 1
        for other in dead.covered_by:
            owner = _owner(other, owners)
            if owner != rule:
                name = f"`{describe(owner) if owner else other.text}`"
                by.setdefault(rule, {})[name] = owner is None or (owner.action in _LET_IN) != (rule.action in _LET_IN)
    for rule, count in lines.items():
        if count == parts[rule]:
            names = by.get(rule, {})
            take = "take" if len(names) > 1 else "takes"
            text = f"`{describe(rule)}` decides about no packet: {_some(list(names))} before it {take} all of them"
            yield rule, text, any(names.values())


_LET_IN = ("allow", "limit")


def _some(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED] or ["what stands"]) + (f" and {more} more" if more > 0 else "")


def _conflicting(found: Findings, owners: dict[Place, Rule]) -> list[str]:
    lines = []
    for first, second in found.conflicting:
        one, other = _owner(first, owners), _owner(second, owners)
        if one and other and one != other:
            lines.append(
                f"`{describe(one)}` decides before `{describe(other)}`, which has another answer for some packets"
            )
    return lines
