# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel against what ufw wants: what differs, in words, and the edits that make it so.

The edits name only the chains that differ: iptables-restore -n replaces those in one transaction and leaves
everything else, with its counters, alone. Nothing is ever flushed first and filled later.

How rules and policies change one after the other, and how a change is taken back, is in tables.py.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import BUILTIN
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.edits import Edit, Section, transactions
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import TableRules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import (
    Kernel,
    canonical,
    is_plain,
    jump_target,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import KernelPlan


class Repair(NamedTuple):
    """What to do to the kernel for one family: the transactions that make it as wanted, in their order, and in words
    what differs. ``doubts`` are the chains that are left alone, because it is not known whether they differ; ``files`` is
    whether chains of before.rules or after.rules are among what differs."""

    sections: tuple[Section, ...]
    drift: list[str]
    doubts: tuple[str, ...] = ()
    files: bool = False

    @property
    def payload(self) -> str:
        """The input of iptables-restore -n; empty where nothing differs."""
        return "".join(section.render() for section in self.sections)

    def then(self, more: Repair) -> Repair:
        """Both repairs, one after the other."""
        return Repair(
            self.sections + more.sections, self.drift + more.drift, self.doubts + more.doubts, self.files or more.files
        )


def applied(kernel: Kernel, sections: Iterable[Section]) -> Kernel:
    """The tables of a family after these transactions."""
    for section in sections:
        if section.table == "filter":
            kernel = _applied(kernel, section)
        elif section.table == "security":
            kernel = kernel._replace(security=_applied(kernel.security or EMPTY, section))
        else:
            others = kernel.others or {}
            kernel = kernel._replace(
                others={**others, section.table: _applied(others.get(section.table, Kernel({}, {})), section)}
            )
    return kernel


def _applied(kernel: Kernel, section: Section) -> Kernel:
    """One table after one transaction."""
    policies = {**kernel.policies, **section.policies}
    chains = {name: list(rules) for name, rules in kernel.chains.items()}
    chains.update((name, []) for name in section.chains)
    for edit in section.edits:
        chains.setdefault(edit.chain, [])  # a table without rules may not be there at all
        if edit.how == "-D":
            chains[edit.chain].remove(edit.rule)
        else:
            place = edit.place - 1 if edit.how == "-I" else len(chains[edit.chain])
            chains[edit.chain].insert(place, edit.rule)
    for name, rules in section.chains.items():
        chains[name] += rules
    for name in section.gone:
        del chains[name]
    return kernel._replace(policies=policies, chains=chains)


#: A table without any rule.
EMPTY = Kernel(dict.fromkeys(BUILTIN, "ACCEPT"), {name: [] for name in BUILTIN})


def repair(plan: KernelPlan, kernel: Kernel, check_framework: bool = True, table: str = "filter") -> Repair:
    """Compare and make the edits of one table. ``check_framework=False`` where an executable before.init or
    after.init may have added rules of its own to ufw's before and after chains."""
    drift: list[str] = []
    policies = {name: value for name, value in plan.policies.items() if kernel.policies.get(name) != value}
    drift += [f"policy of {name} is {kernel.policies.get(name)}, expected {value}" for name, value in policies.items()]
    chains: dict[str, list[str]] = {}
    for name, wanted in plan.exact.items():
        kept = plan.keep.rules(kernel.chains.get(name, ()))
        found = differences(name, wanted, _without(kernel.chains.get(name), kept))
        if found:
            drift += found
            chains[name] = kept + wanted
    doubts = _compare_files(plan, kernel, check_framework, chains, drift)
    edits = _hook_edits(plan, kernel, drift)
    drift += [text for text, _edit in plan.edits if text]
    edits += [Edit(*edit) for _text, edit in plan.edits]
    for name in plan.gone:
        drift.append(f"chain {name} is left over")
        chains[name] = []
    added = _present_edits(plan, kernel, drift)
    edits += added
    files = bool(doubts or added or (set(chains) & {*plan.framework, *plan.own}))
    last = {builtin: plan.hooks[builtin][-1] for builtin in policies if builtin in plan.hooks}
    ends = {builtin: (jump_target(jump), plan.exact[jump_target(jump)]) for builtin, jump in last.items()}
    sections = transactions(table, policies, ends, edits, chains, plan.gone, kernel.chains)
    return Repair(sections, drift, doubts, files)


def _without(rules: Optional[list[str]], kept: list[str]) -> Optional[list[str]]:
    """A chain's rules without those of others that stay."""
    theirs = set(kept)
    return rules and [rule for rule in rules if rule not in theirs]


def _compare_files(
    plan: KernelPlan, kernel: Kernel, check_framework: bool, chains: dict[str, list[str]], drift: list[str]
) -> tuple[str, ...]:
    """Compare the chains of before.rules and after.rules; those that are left alone in doubt."""
    doubts = []
    for name, wanted in {**plan.framework, **plan.own}.items():
        actual = kernel.chains.get(name)
        if actual and not check_framework and name not in plan.own:
            continue
        kept = plan.keep.rules(actual or ())
        left = _without(actual, kept)
        found = differences(name, wanted, left)
        if not found or (name in plan.own and left and _holds_all(wanted, left)):
            continue
        if left and (plan.unread or not (plan.certain or _is_certain(wanted, left))):
            doubts.append(name)
            continue
        drift += found
        chains[name] = kept + wanted
    return tuple(doubts)


def _holds_all(wanted: list[str], actual: list[str]) -> bool:
    """Whether a chain has all of these rules in their order, among others."""
    forms = iter([canonical(rule) for rule in actual])
    return all(canonical(rule) in forms for rule in wanted)


def _is_certain(wanted: list[str], actual: list[str]) -> bool:
    """Whether chains differ for certain, though the file's words are not the kernel's: a rule in plain words is not there,
    or there are more or fewer rules than the file's others can be."""
    want = Counter(canonical(rule) for rule in wanted)
    have = Counter(canonical(rule) for rule in actual)
    missing = list((want - have).elements())
    if not missing and not have - want:
        return True  # only their order
    return any(is_plain(rule) for rule in missing) or sum(map(_rules_of, missing)) != sum((have - want).values())


def _rules_of(rule: tuple[str, ...]) -> int:
    """How many rules the kernel has for one: a list of addresses is one for each."""
    return math.prod(1 + option.count(",") for option in rule if option.startswith(("-s ", "-d ")))


def _present_edits(plan: KernelPlan, kernel: Kernel, drift: list[str]) -> list[Edit]:
    """Rules that ufw's files add to built-in chains, and that are not there."""
    edits = []
    for chain, wanted in plan.present.items():
        missing = _missing(wanted, kernel.chains.get(chain, []))
        if plan.unread or not (plan.certain or all(is_plain(canonical(rule)) for rule in missing)):
            continue
        drift += [f"{chain} lacks {rule}" for rule in missing]
        how, rules = ("-I", missing[::-1]) if chain in plan.inserted else ("-A", missing)
        edits += [Edit(how, chain, rule) for rule in rules]
    return edits


def _missing(wanted: list[str], actual: list[str]) -> list[str]:
    """Those of the wanted rules that are not among the actual ones, as often as they are wanted."""
    left = Counter(canonical(rule) for rule in actual)
    missing = []
    for rule in wanted:
        form = canonical(rule)
        if left[form]:
            left[form] -= 1
        else:
            missing.append(rule)
    return missing


def repair_table(table: str, rules: TableRules, kernel: Kernel, certain: bool) -> Repair:
    """What ufw's files have for another table than the filter's (nat, mangle, raw), against the kernel: the chains that
    they declare, and their rules in built-in ones; what others have there stays."""
    drift: list[str] = []
    chains: dict[str, list[str]] = {}
    edits: list[Edit] = []
    wanted: dict[str, list[str]] = {name: [] for name in rules.declared}
    for chain, rule in rules.rules:
        wanted.setdefault(chain, []).append(rule)
    for name, lines in wanted.items():
        actual = kernel.chains.get(name)
        if name in rules.declared:
            found = differences(name, lines, actual)
            if found and not (actual and _holds_all(lines, actual)):
                drift += found
                chains[name] = lines
            continue
        missing = _missing(lines, actual or [])
        drift += [f"{name} lacks {rule}" for rule in missing]
        how, missing = ("-I", missing[::-1]) if name in rules.inserted else ("-A", missing)
        edits += [Edit(how, name, rule) for rule in missing]
    if not (chains or edits):
        return Repair((), [])
    if not certain:
        return Repair((), [], (f"table {table}",), True)
    section = Section(table, {}, edits, chains, [])
    return Repair((section,), [f"table {table}: {line}" for line in drift], files=True)


def differences(chain: str, wanted: list[str], actual: Optional[list[str]]) -> list[str]:
    """What differs in a chain, in words; empty when it is as wanted."""
    if actual is None:
        return [f"chain {chain} is missing"]
    if not actual:
        return [f"{chain} lacks {rule}" for rule in wanted]
    if wanted == actual or (want := [*map(canonical, wanted)]) == (have := [*map(canonical, actual)]):
        return []
    missing, extra = Counter(want) - Counter(have), Counter(have) - Counter(want)
    lines = [f"{chain} has {rule}" for rule in _named(extra, have, actual)]
    lines += [f"{chain} lacks {rule}" for rule in _named(missing, want, wanted)]
    return lines or [f"{chain} has its rules in another order"]


def _named(rules: Counter, forms: list[tuple[str, ...]], texts: list[str]) -> list[str]:
    """The texts of the counted rules, each as often as it counts, in the order of the chain."""
    left = Counter(rules)
    names = []
    for form, text in zip(forms, texts):
        if left[form] > 0:
            left[form] -= 1
            names.append(text)
    return names


def _hook_edits(plan: KernelPlan, kernel: Kernel, drift: list[str]) -> list[Edit]:
    """The commands that put ufw's jumps back into the built-in chains; those of other programs stay where they are."""
    edits: list[Edit] = []
    for builtin, wanted in plan.hooks.items():
        actual = kernel.chains[builtin]
        present = [rule for rule in actual if rule in wanted]
        if present != wanted:
            drift.append(f"{builtin} does not jump to ufw's chains in their order")
            edits += [Edit("-D", builtin, rule) for rule in present]
            edits += [Edit("-A", builtin, rule) for rule in wanted]
    for builtin, wanted in plan.first.items():
        there = set(kernel.chains[builtin])
        for rule in wanted:
            if rule not in there:
                drift.append(f"{builtin} lacks {rule}")
                edits.append(Edit("-I", builtin, rule))
    return edits
