# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel against what ufw wants: what differs, in words, and the edits that make it so.

The edits name only the chains that differ: iptables-restore -n replaces those in one transaction and leaves
everything else, with its counters, alone. Nothing is ever flushed first and filled later.

How rules and policies change one after the other, and how a change is taken back, is in tables.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import BUILTIN
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import (
    Kernel,
    canonical,
    is_known,
    jump_target,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import KernelPlan
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.tables import Edit, Section, transactions


class Repair(NamedTuple):
    """What to do to the kernel for one family: the transactions that make it as wanted, in their order, and in words
    what differs."""

    sections: tuple[Section, ...]
    drift: list[str]

    @property
    def payload(self) -> str:
        """The input of iptables-restore -n; empty where nothing differs."""
        return "".join(section.render() for section in self.sections)

    def then(self, more: Repair) -> Repair:
        """Both repairs, one after the other."""
        return Repair(self.sections + more.sections, self.drift + more.drift)


def applied(kernel: Kernel, sections: Iterable[Section]) -> Kernel:
    """The tables of a family after these transactions."""
    for section in sections:
        if section.table == "filter":
            kernel = _applied(kernel, section)
        elif section.table == "security":
            kernel = kernel._replace(security=_applied(kernel.security or EMPTY, section))
    return kernel


def _applied(kernel: Kernel, section: Section) -> Kernel:
    """One table after one transaction."""
    policies = {**kernel.policies, **section.policies}
    chains = {name: list(rules) for name, rules in kernel.chains.items()}
    chains.update((name, []) for name in section.chains)
    for edit in section.edits:
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
        found = _compare(name, wanted, _without(kernel.chains.get(name), kept), strict=True)
        if found:
            drift += found
            chains[name] = kept + wanted
    for name, wanted in plan.framework.items():
        if not check_framework and name in kernel.chains:
            continue
        kept = plan.keep.rules(kernel.chains.get(name, ()))
        found = _compare(name, wanted, _without(kernel.chains.get(name), kept), strict=False)
        if found:
            drift += found
            chains[name] = kept + wanted
    edits = _hook_edits(plan, kernel, drift)
    drift += [text for text, _edit in plan.edits if text]
    edits += [Edit(*edit) for _text, edit in plan.edits]
    for name in plan.gone:
        drift.append(f"chain {name} is left over")
        chains[name] = []
    if not (policies or chains or edits):
        return Repair((), [])
    last = {builtin: plan.hooks[builtin][-1] for builtin in policies if builtin in plan.hooks}
    ends = {builtin: (jump_target(jump), plan.exact[jump_target(jump)]) for builtin, jump in last.items()}
    return Repair(transactions(table, policies, ends, edits, chains, plan.gone, kernel.chains), drift)


def _without(rules: Optional[list[str]], kept: list[str]) -> Optional[list[str]]:
    """A chain's rules without those of others that stay."""
    return rules if not rules or not kept else [rule for rule in rules if rule not in kept]


def _compare(chain: str, wanted: list[str], actual: Optional[list[str]], strict: bool) -> list[str]:
    """What differs in a chain, in words; empty when it is as wanted."""
    if actual is None:
        return [f"chain {chain} is missing"]
    if wanted == actual:
        return []
    if not actual:
        return [f"{chain} lacks {rule}" for rule in wanted]
    want = [canonical(rule) for rule in wanted]
    have = [canonical(rule) for rule in actual]
    if want == have:
        return []
    missing, extra = Counter(want) - Counter(have), Counter(have) - Counter(want)
    if not strict and len(want) == len(have) and not any(is_known(rule) for rule in list(missing) + list(extra)):
        # The operator's own words in before.rules, which iptables-save prints in words that are not known here.
        return []
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
        for rule in wanted:
            if rule not in kernel.chains[builtin]:
                drift.append(f"{builtin} lacks {rule}")
                edits.append(Edit("-I", builtin, rule))
    return edits
