# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A table of the kernel on the way from one ruleset to another, and back, while other programs write to it too.

A change is undone against the table as it is then, not as it was: fail2ban may have put a jump into INPUT meanwhile,
Docker a network, and `systemctl restart ufw` may have loaded the files anew. Standard library only: this file is part of
the program that guard.py is on a host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import BUILTIN
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.edits import Edit, Section, transactions

_JUMP = re.compile(r"-[jg] (\S+)")


class Table(NamedTuple):
    """One table: the built-in chains' policies, and every chain's rules as iptables-save prints them."""

    policies: dict[str, str]
    chains: dict[str, list[str]]


class Part(NamedTuple):
    """What a change does to one table.

    policies: built-in chains that get another policy. whole: chains that are ufw's or ours as a whole. shared: of other
    chains the rules that are ours. ends: see Ends, the chains alone. old and new: these chains before and after.
    """

    family: int
    table: str
    policies: list[str]
    whole: list[str]
    shared: dict[str, list[str]]
    ends: dict[str, str]
    old: Table
    new: Table

    def to_dict(self) -> dict[str, Any]:
        """For JSON; from_dict takes it back."""
        return {**self._asdict(), "old": self.old._asdict(), "new": self.new._asdict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Part:
        return cls(**{**values, "old": Table(**values["old"]), "new": Table(**values["new"])})

    def cut(self, table: Table) -> Table:
        """The chains and policies that this part is about."""
        names = [*self.whole, *self.shared]
        return Table(
            {name: table.policies.get(name, "ACCEPT") for name in self.policies},
            {name: table.chains[name] for name in names if name in table.chains},
        )

    def as_printed(self, live: Table) -> Part:
        """With what the kernel holds after the change, in its own words: rules of ours too, where those are others."""
        new, shared = self.cut(live), {}
        for name, ours in self.shared.items():
            before, after = self.old.chains.get(name, []), new.chains.get(name, [])
            known, was, now = set(ours), set(before), set(after)
            asked = known & set(self.new.chains.get(name, []))
            other = [] if asked <= now else [rule for rule in after if rule not in was]
            shared[name] = ours + [rule for rule in other if rule not in known]
        return self._replace(new=new, shared=shared)


def read_table(text: str) -> Table:
    """iptables-save's output of one table."""
    table = Table({}, {})
    for line in text.split("\n"):
        if line.startswith("-A "):
            chain, _space, rule = line[3:].partition(" ")
            table.chains[chain].append(rule)
        elif line.startswith(":"):
            name, policy = line[1:].split()[:2]
            table.chains[name] = []
            if policy != "-":
                table.policies[name] = policy
    return table


def part_of(family: int, sections: Iterable[Section], ends: dict[str, str]) -> Part:
    """What transactions on one table do, but for what is there before and after."""
    part = Part(family, "", [], [], {}, ends, Table({}, {}), Table({}, {}))
    edited: dict[str, dict[str, None]] = {}
    for section in sections:
        part = part._replace(table=section.table)
        part.policies.extend(name for name in section.policies if name not in part.policies)
        part.whole.extend(name for name in (*section.chains, *section.gone) if name not in part.whole)
        for edit in section.edits:
            edited.setdefault(edit.chain, {})[edit.rule] = None
    return part._replace(shared={name: list(rules) for name, rules in edited.items() if name not in part.whole})


# -- what is in force ------------------------------------------------------------------------------------------------


def not_in_force(part: Part, live: Table) -> list[str]:
    """The chains in which the new rules are not in force, rules of others among them or not, and the policies."""
    lost = [
        f"policy of {name}" for name in part.policies if live.policies.get(name, "ACCEPT") != part.new.policies[name]
    ]
    for name in [*part.whole, *part.shared]:
        wanted = part.new.chains.get(name)
        if name in part.shared:
            ours = set(part.shared[name])
            wanted = [rule for rule in wanted or [] if rule in ours]
        if wanted is None:
            lost += [name] if live.chains.get(name) else []
        elif name not in live.chains or inserted(live.chains[name], wanted) is None:
            lost.append(name)
    return lost


def inserted(live: list[str], base: list[str]) -> Optional[list[int]]:
    """The places in ``live`` of what was put in between the rules of ``base``; None where some of those are gone."""
    extra, queue = [], list(reversed(base))
    for place, rule in enumerate(live):
        if queue and rule == queue[-1]:
            queue.pop()
        else:
            extra.append(place)
    return None if queue else extra


# -- the way there ---------------------------------------------------------------------------------------------------


def payload_to(part: Part, live: Table, back: bool, seen: bool, leave: bool = False) -> str:
    """The input of iptables-restore -n that takes a table from what it is to the old ruleset (``back``) or the new one;
    empty where it is there. What others put in stays.

    seen: ``part.new`` is as the kernel printed it after the change; if not, it is what the change was to load, and in
    chains that are ours as a whole nothing can be told apart. leave: a chain or policy that someone else has set anew
    meanwhile stays as it is.
    """
    target, base = (part.old, part.new) if back else (part.new, part.old)
    chains: dict[str, list[str]] = {}
    gone: list[str] = []
    for name in part.whole:
        missing: Optional[list[str]] = [] if name in BUILTIN else None  # a table without rules may not be there at all
        found, wanted = live.chains.get(name, missing), target.chains.get(name, missing)
        was = base.chains.get(name, [])
        if found == wanted or (seen and found and _is_there(found, wanted, was)):
            continue
        extra = inserted(found or [], was) if seen else []
        if extra is None:
            if leave:
                continue
            extra = []
        chains[name] = _with(wanted or [], found or [], extra)
        if wanted is None and not extra:
            gone.append(name)
    edits, shared = _shared_edits(part, live, target)
    policies = {
        name: target.policies[name]
        for name in part.policies
        if live.policies.get(name, "ACCEPT") != target.policies[name]
        and not (leave and seen and live.policies.get(name, "ACCEPT") != base.policies[name])
    }
    rules = {**live.chains, **chains, **shared}
    used = _jumped_to(rules) if gone else set()
    gone = [name for name in gone if name not in used]
    chains = {name: lines for name, lines in chains.items() if name in gone or lines != live.chains.get(name)}
    ends = {
        name: (end, rules[end])
        for name, end in part.ends.items()
        if name in policies and end in rules and end not in gone
    }
    sections = transactions(part.table, policies, ends, edits, chains, gone, live.chains)
    return "".join(section.render() for section in sections)


def _is_there(live: list[str], target: Optional[list[str]], base: list[str]) -> bool:
    """Whether a chain is what it should become, with rules of others among it: where it can be read as the one before as
    well, because one of the two is a part of the other, it is the longer one. Of one that should go (None), whether all
    that is left are rules of others."""
    if target is None or inserted(live, target) is not None:
        return inserted(live, base) is None or inserted(target or [], base) is not None
    return False


def _with(rules: list[str], live: list[str], extra: list[int]) -> list[str]:
    """Rules, and what others put into the live chain, each behind what it stands behind there."""
    result = list(rules)
    for place in extra:
        _put(result, live[place], live[:place], live[place + 1 :], 0)
    return result


def _put(rules: list[str], rule: str, before: list[str], behind: list[str], default: int) -> None:
    """Insert a rule next to its neighbours: behind the nearest one before it, else before the nearest one behind it."""
    for other in reversed(before):
        if other in rules:
            rules.insert(rules.index(other) + 1, rule)
            return
    place = next((rules.index(other) for other in behind if other in rules), default)
    rules.insert(place, rule)


def _shared_edits(part: Part, live: Table, target: Table) -> tuple[list[Edit], dict[str, list[str]]]:
    """Commands for the chains that others use too, and what is in those then: only our own rules are taken out and put
    in, so that what others do at the same moment is not lost."""
    edits: list[Edit] = []
    results: dict[str, list[str]] = {}
    for name, rules in part.shared.items():
        found, wanted = live.chains.get(name, []), target.chains.get(name, [])
        ours, there = set(rules), set(wanted)
        if [rule for rule in found if rule in there] == wanted and not ours - there & set(found):
            results[name] = found
            continue
        others = [rule for rule in found if rule not in ours]
        first = next((place for place, rule in enumerate(found) if rule in ours), len(others))
        result = list(others)
        for place, rule in enumerate(wanted):
            if rule in ours:
                _put(result, rule, wanted[:place], wanted[place + 1 :], first)
        results[name] = result
        if result != found:
            edits += [Edit("-D", name, rule) for rule in found if rule in ours]
            edits += [Edit("-I", name, rule, place) for place, rule in enumerate(result, 1) if rule in ours]
    return edits, results


def _jumped_to(chains: dict[str, list[str]]) -> set[str]:
    """The chains that are jumped to: the kernel would refuse to remove them, and they stay, empty."""
    return {name for rules in chains.values() for rule in rules for name in _JUMP.findall(rule)}
