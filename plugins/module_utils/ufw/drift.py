# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel against what ufw wants: what differs, in words, and the one payload that mends it.

The payload names only the chains that differ: iptables-restore -n replaces those in one transaction and leaves
everything else, with its counters, alone. Nothing is ever flushed first and filled later.

A policy is no part of that transaction to a packet: nf_tables shows it the new rules and, some microseconds later, the
new policies (nf_tables_commit: the generation first, then the chains). A port that a policy denied before and a rule
denies after is open in between; about one packet in ten million gets through. So rules and policies never change
together: the rules come with a stand-in for the policy, then come the policies, and then the stand-in goes.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import BUILTIN
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel, canonical, is_known
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import KernelPlan


class Repair(NamedTuple):
    """What to do to the kernel for one family: ``payload`` and ``undo`` are inputs of iptables-restore -n (empty when
    nothing differs), ``drift`` says what differs."""

    payload: str
    undo: str
    drift: list[str]


def repair(plan: KernelPlan, kernel: Kernel, check_framework: bool = True, table: str = "filter") -> Repair:
    """Compare and make the payload for one table. ``check_framework=False`` where an executable before.init or
    after.init may have added rules of its own to ufw's before and after chains."""
    drift: list[str] = []
    policies = {name: value for name, value in plan.policies.items() if kernel.policies.get(name) != value}
    drift += [f"policy of {name} is {kernel.policies.get(name)}, expected {value}" for name, value in policies.items()]
    chains: dict[str, list[str]] = {}
    for name, wanted in plan.exact.items():
        found = _compare(name, wanted, kernel.chains.get(name), strict=True)
        if found:
            drift += found
            chains[name] = wanted
    for name, wanted in plan.framework.items():
        if not check_framework and name in kernel.chains:
            continue
        found = _compare(name, wanted, kernel.chains.get(name), strict=False)
        if found:
            drift += found
            chains[name] = wanted
    edits = _hook_edits(plan, kernel, drift)
    drift += [text for text, _command in plan.edits if text]
    edits += [command for _text, command in plan.edits]
    for name in plan.gone:
        drift.append(f"chain {name} is left over")
        chains[name] = []
    if not (policies or chains or edits):
        return Repair("", "", [])
    last = {builtin: plan.hooks[builtin][-1] for builtin in policies if builtin in plan.hooks}
    ends = {builtin: (_chain(jump), plan.exact[_chain(jump)]) for builtin, jump in last.items()}
    payload = _payload(table, policies, ends, edits, chains, plan.gone, kernel)
    return Repair(payload, _undo(table, policies, ends, chains, bool(edits), kernel), drift)


def _compare(chain: str, wanted: list[str], actual, strict: bool) -> list[str]:
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


def _hook_edits(plan: KernelPlan, kernel: Kernel, drift: list[str]) -> list[str]:
    """The commands that put ufw's jumps back into the built-in chains; those of other programs stay where they are."""
    edits: list[str] = []
    for builtin, wanted in plan.hooks.items():
        actual = kernel.chains[builtin]
        present = [rule for rule in actual if rule in wanted]
        if present != wanted:
            drift.append(f"{builtin} does not jump to ufw's chains in their order")
            edits += [f"-D {builtin} {rule}" for rule in present]
            edits += [f"-A {builtin} {rule}" for rule in wanted]
    for builtin, wanted in plan.first.items():
        for rule in wanted:
            if rule not in kernel.chains[builtin]:
                drift.append(f"{builtin} lacks {rule}")
                edits.append(f"-I {builtin} {rule}")
    return edits


#: The chain that each built-in chain comes to last of all, where ufw is in force, and the rules that belong into it.
Ends = dict[str, tuple[str, list[str]]]


def _chain(jump: str) -> str:
    return jump.partition("-j ")[2]


def _payload(
    table: str,
    policies: dict[str, str],
    ends: Ends,
    edits: list[str],
    chains: dict[str, list[str]],
    gone: list[str],
    kernel: Kernel,
) -> str:
    """The rules and the policies, each in transactions of their own; ``kernel`` is what is there before."""
    stand_in = dict(ends.values())
    meanwhile = {
        chain: [*rules, *_behind(chain, kernel.chains[builtin]), "-j " + policies[builtin]]
        for builtin, (chain, rules) in ends.items()
    }
    # Where ufw has no chain to put the stand-in into, what is stricter comes first.
    strict = {name: value for name, value in policies.items() if name not in ends and value != "ACCEPT"}
    others = {name: value for name, value in policies.items() if name not in strict}
    return "".join(
        _section(table, *parts)
        for parts in (
            (strict, [], {}, []),
            ({}, edits, {**chains, **meanwhile}, gone),
            (others, [], {}, []),
            ({}, [], stand_in, []),
        )
    )


def _behind(chain: str, rules: list[str]) -> list[str]:
    """The rules of others that stand behind the jump to ufw's last chain: the stand-in must not be quicker than they."""
    jump = "-j " + chain
    return rules[rules.index(jump) + 1 :] if jump in rules else []


def _section(
    table: str, policies: dict[str, str], edits: list[str], chains: dict[str, list[str]], gone: list[str]
) -> str:
    """One transaction; nothing where nothing is in it."""
    lines = [":{} {} [0:0]".format(*item) for item in policies.items()]
    # A declared chain is emptied, or made: all of them first, because rules jump to one another.
    lines += [f":{name} - [0:0]" for name in chains if name not in BUILTIN]
    lines += [f"-F {name}" for name in chains if name in BUILTIN]  # to declare it would not empty it
    lines += edits
    lines += [f"-A {name} {rule}" for name, rules in chains.items() for rule in rules]
    lines += [f"-X {name}" for name in gone]
    return "\n".join(["*" + table, *lines, "COMMIT", ""]) if lines else ""


def _undo(
    table: str, policies: dict[str, str], ends: Ends, chains: dict[str, list[str]], hooks: bool, kernel: Kernel
) -> str:
    """The payload that brings back what was there, from the snapshot that the comparison read."""
    old_policies = {name: kernel.policies.get(name, "ACCEPT") for name in policies}
    old_ends = {name: (end, kernel.chains[end]) for name, (end, _rules) in ends.items() if end in kernel.chains}
    edits = []
    if hooks:
        for builtin in BUILTIN:
            edits.append("-F " + builtin)
            edits += [f"-A {builtin} {rule}" for rule in kernel.chains[builtin]]
    touched = [*chains, *(chain for chain, _rules in ends.values() if chain not in chains)]
    old_chains = {name: kernel.chains.get(name, []) for name in touched}
    made = [name for name in touched if name not in kernel.chains]
    return _payload(table, old_policies, old_ends, edits, old_chains, made, kernel)
