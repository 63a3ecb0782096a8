# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel against what ufw wants: what differs, in words, and the edits that make it so.

The edits name only the chains that differ: iptables-restore -n replaces those in one transaction and leaves
everything else, with its counters, alone. Nothing is ever flushed first and filled later.

A policy is no part of that transaction to a packet: nf_tables shows it the new rules and, some microseconds later, the
new policies (nf_tables_commit: the generation first, then the chains). A port that a policy denied before and a rule
denies after is open in between; about one packet in ten million gets through. So rules and policies never change
together: the rules come with a stand-in for the policy, then come the policies, and then the stand-in goes.
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


class Edit(NamedTuple):
    """One command about one rule: ``how`` is -A, -I or -D."""

    how: str
    chain: str
    rule: str

    def render(self) -> str:
        return f"{self.how} {self.chain} {self.rule}"


class Section(NamedTuple):
    """One transaction of iptables-restore -n on one table: policies that are set, chains that are filled anew (those
    that are not built in are made where they are missing), edits of single rules, chains that are removed."""

    table: str
    policies: dict[str, str]
    edits: list[Edit]
    chains: dict[str, list[str]]
    gone: list[str]

    def render(self) -> str:
        """The transaction as iptables-restore takes it; empty where nothing is in it."""
        lines = [f":{name} {policy} [0:0]" for name, policy in self.policies.items()]
        # A declared chain is emptied, or made: all of them first, because rules jump to one another.
        lines += [f":{name} - [0:0]" for name in self.chains if name not in BUILTIN]
        lines += [f"-F {name}" for name in self.chains if name in BUILTIN]  # to declare it would not empty it
        lines += [edit.render() for edit in self.edits]
        lines += [f"-A {name} {rule}" for name, rules in self.chains.items() for rule in rules]
        lines += [f"-X {name}" for name in self.gone]
        return "\n".join(["*" + self.table, *lines, "COMMIT", ""]) if lines else ""

    def applied(self, kernel: Kernel) -> Kernel:
        """The table after the transaction."""
        policies = {**kernel.policies, **self.policies}
        chains = {name: list(rules) for name, rules in kernel.chains.items()}
        chains.update((name, []) for name in self.chains)
        for how, name, rule in self.edits:
            if how == "-D":
                chains[name].remove(rule)
            else:
                chains[name].insert(0 if how == "-I" else len(chains[name]), rule)
        for name, rules in self.chains.items():
            chains[name] += rules
        for name in self.gone:
            del chains[name]
        return kernel._replace(policies=policies, chains=chains)


class Repair(NamedTuple):
    """What to do to the kernel for one family: the transactions that make it as wanted and those that bring it back,
    in their order, and in words what differs."""

    sections: tuple[Section, ...]
    back: tuple[Section, ...]
    drift: list[str]

    @property
    def payload(self) -> str:
        """The input of iptables-restore -n; empty where nothing differs."""
        return "".join(section.render() for section in self.sections)

    @property
    def undo(self) -> str:
        """The input of iptables-restore -n that brings back what was there."""
        return "".join(section.render() for section in self.back)

    def then(self, more: Repair) -> Repair:
        """Both repairs, one after the other."""
        return Repair(self.sections + more.sections, self.back + more.back, self.drift + more.drift)


def applied(kernel: Kernel, sections: Iterable[Section]) -> Kernel:
    """The tables of a family after these transactions."""
    for section in sections:
        if section.table == "filter":
            kernel = section.applied(kernel)
        elif section.table == "security":
            kernel = kernel._replace(security=section.applied(kernel.security or EMPTY))
    return kernel


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
        return Repair((), (), [])
    last = {builtin: plan.hooks[builtin][-1] for builtin in policies if builtin in plan.hooks}
    ends = {builtin: (jump_target(jump), plan.exact[jump_target(jump)]) for builtin, jump in last.items()}
    sections = _sections(table, policies, ends, edits, chains, plan.gone, kernel)
    return Repair(sections, _back(table, policies, ends, chains, bool(edits), kernel), drift)


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


#: The chain that each built-in chain comes to last of all, where ufw is in force, and the rules that belong into it.
Ends = dict[str, tuple[str, list[str]]]


def _sections(
    table: str,
    policies: dict[str, str],
    ends: Ends,
    edits: list[Edit],
    chains: dict[str, list[str]],
    gone: list[str],
    kernel: Kernel,
) -> tuple[Section, ...]:
    """The rules and the policies, each in transactions of their own; ``kernel`` is what is there before."""
    stand_in = dict(ends.values())
    meanwhile = {
        chain: [*rules, *_behind(chain, kernel.chains[builtin]), "-j " + policies[builtin]]
        for builtin, (chain, rules) in ends.items()
    }
    # Where ufw has no chain to put the stand-in into, what is stricter comes first.
    strict = {name: value for name, value in policies.items() if name not in ends and value != "ACCEPT"}
    others = {name: value for name, value in policies.items() if name not in strict}
    sections = (
        Section(table, strict, [], {}, []),
        Section(table, {}, edits, {**chains, **meanwhile}, gone),
        Section(table, others, [], {}, []),
        Section(table, {}, [], stand_in, []),
    )
    return tuple(section for section in sections if any(section[1:]))


def _behind(chain: str, rules: list[str]) -> list[str]:
    """The rules of others that stand behind the jump to ufw's last chain: the stand-in must not be quicker than they."""
    jump = "-j " + chain
    return rules[rules.index(jump) + 1 :] if jump in rules else []


def _back(
    table: str, policies: dict[str, str], ends: Ends, chains: dict[str, list[str]], hooks: bool, kernel: Kernel
) -> tuple[Section, ...]:
    """What brings back what was there, from the snapshot that the comparison read."""
    old_policies = {name: kernel.policies.get(name, "ACCEPT") for name in policies}
    old_ends = {name: (end, kernel.chains[end]) for name, (end, _rules) in ends.items() if end in kernel.chains}
    touched = [*chains, *(chain for chain, _rules in ends.values() if chain not in chains)]
    old_chains = {name: kernel.chains.get(name, []) for name in touched}
    if hooks:
        old_chains.update((builtin, kernel.chains[builtin]) for builtin in BUILTIN)
    made = [name for name in touched if name not in kernel.chains]
    return _sections(table, old_policies, old_ends, [], old_chains, made, kernel)
