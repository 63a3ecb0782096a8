# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kernel against what ufw wants: what differs, in words, and the one payload that mends it.

The payload names only the chains that differ: iptables-restore -n replaces those in one transaction and leaves
everything else, with its counters, alone. Nothing is ever flushed first and filled later.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from .kernel import BUILTIN, Kernel, canonical, is_known
from .render import KernelPlan


class Repair(NamedTuple):
    """What to do to the kernel for one family: ``payload`` and ``undo`` are inputs of iptables-restore -n (empty when
    nothing differs), ``drift`` says what differs."""

    payload: str
    undo: str
    drift: list[str]


def repair(plan: KernelPlan, kernel: Kernel, check_framework: bool = True) -> Repair:
    """Compare and make the payload. ``check_framework=False`` where an executable before.init or after.init may have
    added rules of its own to ufw's before and after chains."""
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
    payload = _payload(policies, list(chains), edits, chains)
    if plan.gone:
        payload = payload.replace("COMMIT\n", "".join(f"-X {name}\n" for name in plan.gone) + "COMMIT\n")
    return Repair(payload, _undo(policies, chains, bool(edits), kernel), drift)


def _compare(chain: str, wanted: list[str], actual, strict: bool) -> list[str]:
    """What differs in a chain, in words; empty when it is as wanted."""
    if actual is None:
        return [f"chain {chain} is missing"]
    if wanted == actual:
        return []
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


def _payload(policies: dict[str, str], declared: list[str], edits: list[str], chains: dict[str, list[str]]) -> str:
    lines = ["*filter"]
    lines += [":{} {} [0:0]".format(*item) for item in policies.items()]
    # A declared chain is emptied, or made: all of them first, because rules jump to one another.
    lines += [f":{name} - [0:0]" for name in declared]
    lines += edits
    lines += [f"-A {name} {rule}" for name, rules in chains.items() for rule in rules]
    lines += ["COMMIT", ""]
    return "\n".join(lines)


def _undo(policies: dict[str, str], chains: dict[str, list[str]], hooks: bool, kernel: Kernel) -> str:
    """The payload that brings back what was there, from the snapshot that the comparison read."""
    old_policies = {name: kernel.policies.get(name, "ACCEPT") for name in policies}
    edits = []
    if hooks:
        for builtin in BUILTIN:
            edits.append("-F " + builtin)
            edits += [f"-A {builtin} {rule}" for rule in kernel.chains[builtin]]
    old_chains = {name: kernel.chains.get(name, []) for name in chains}
    text = _payload(old_policies, list(chains), edits, old_chains)
    made = [name for name in chains if name not in kernel.chains]
    return text.replace("COMMIT\n", "".join(f"-X {name}\n" for name in made) + "COMMIT\n") if made else text
