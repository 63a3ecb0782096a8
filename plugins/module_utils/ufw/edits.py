# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Edits of a table of the kernel, and the transactions that they are loaded in. Standard library only: this file is part of
the program that guard.py is on a host."""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import BUILTIN

#: The chain that each built-in chain comes to last of all, where ufw is in force, and the rules that belong into it.
Ends = dict[str, tuple[str, list[str]]]


class Edit(NamedTuple):
    """One command about one rule: ``how`` is -A, -I or -D; ``place``, for -I, counts from 1."""

    how: str
    chain: str
    rule: str
    place: int = 1

    def render(self) -> str:
        place = f"{self.place} " if self.how == "-I" and self.place > 1 else ""
        return f"{self.how} {self.chain} {place}{self.rule}"


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


def transactions(
    table: str,
    policies: dict[str, str],
    ends: Ends,
    edits: list[Edit],
    chains: dict[str, list[str]],
    gone: list[str],
    before: dict[str, list[str]],
) -> tuple[Section, ...]:
    """The rules and the policies, each in transactions of their own; ``before`` are the chains that are there before.

    A policy is no part of a transaction to a packet: nf_tables shows it the new rules and, some microseconds later, the
    new policies (nf_tables_commit: the generation first, then the chains). A port that a policy denied before and a rule
    denies after is open in between; about one packet in ten million gets through. So rules and policies never change
    together: the rules come with a stand-in for the policy, then come the policies, and then the stand-in goes.
    """
    stand_in = dict(ends.values())
    meanwhile = {
        chain: [*rules, *_behind(chain, before.get(builtin, [])), "-j " + policies[builtin]]
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
