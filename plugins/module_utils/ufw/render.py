# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rules and settings -> the text of user.rules, and the chains that ufw has in the kernel with them.

Both follow ufw 0.36.2: the file is what its own command writes, the chains are what /lib/ufw/ufw-init loads.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import BUILTIN
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import FileRules, TableRules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import PREFIX, Rule, format_tuple, iptables_lines

WAYS = ("input", "output", "forward")
# The chains that hang in each built-in chain, in ufw's order.
HOOKS = ("before-logging", "before", "after", "after-logging", "reject", "track")
_LEVEL = {"off": 0, "low": 1, "medium": 2, "high": 3, "full": 4}
_LIMIT = "-m limit --limit 3/min --limit-burst 10"
_NEW = "-m conntrack --ctstate NEW "
_LIMIT_LOG = '-m limit --limit 3/minute -j LOG --log-prefix "[UFW LIMIT BLOCK] "'

Chains = dict[str, list[str]]


class Settings(NamedTuple):
    """ufw's settings. Policies are allow, deny or reject; ``logging`` is off, low, medium, high or full."""

    incoming: str
    outgoing: str
    routed: str
    logging: str
    ipv6: bool

    def policy(self, way: str) -> str:
        """The default policy of the packets of one way: input, output or forward."""
        return {"input": self.incoming, "output": self.outgoing, "forward": self.routed}[way]


def hook_chains(prefix: str, builtin: str) -> list[str]:
    """The chains that a built-in chain jumps to, in order."""
    return [f"{prefix}-{hook}-{builtin.lower()}" for hook in HOOKS]


# -- logging ---------------------------------------------------------------------------------------------------------


def _log(label: str, *conditions: str) -> str:
    return " ".join([f'-j LOG --log-prefix "[UFW {label}] "'] + [word for word in conditions if word])


def logging_lines(settings: Settings, prefix: str) -> list[tuple[str, str, str]]:
    """The rules of a log level: (``A`` for append or ``I`` for insert, chain, specification), in ufw's order."""
    level = _LEVEL[settings.logging]
    if not level:
        # Off keeps the rules' own log lines and returns before them.
        return [("I", f"{prefix}-user-logging-{way}", "-j RETURN") for way in WAYS]
    limit = _LIMIT if level < _LEVEL["high"] else ""
    lines = []
    for way in WAYS:
        chain = f"{prefix}-after-logging-{way}"
        if settings.policy(way) != "allow":
            lines.append(("A", chain, _log("BLOCK", limit)))
        elif level >= _LEVEL["medium"]:
            lines.append(("A", chain, _log("ALLOW", limit)))
    deny = prefix + "-logging-deny"
    invalid = "-m conntrack --ctstate INVALID "
    if level < _LEVEL["medium"]:
        lines.append(("I", deny, " ".join([invalid + "-j RETURN", limit]).rstrip()))
    else:
        lines.append(("A", deny, invalid + _log("AUDIT INVALID", limit)))
    lines.append(("A", deny, _log("BLOCK", limit)))
    lines.append(("A", prefix + "-logging-allow", _log("ALLOW", limit)))
    if level >= _LEVEL["medium"]:
        audit = [_NEW.rstrip() if level < _LEVEL["high"] else "", _LIMIT if level < _LEVEL["full"] else ""]
        lines += [("I", f"{prefix}-before-logging-{way}", _log("AUDIT", *audit)) for way in WAYS]
    return lines


def _limit_lines(settings: Settings, prefix: str) -> list[tuple[str, str]]:
    lines = [] if settings.logging == "off" else [(prefix + "-user-limit", _LIMIT_LOG)]
    return lines + [(prefix + "-user-limit", "-j REJECT"), (prefix + "-user-limit-accept", "-j ACCEPT")]


def _own_chains(prefix: str) -> list[str]:
    """The chains that user.rules declares, in its order."""
    kinds = ("user", "before-logging", "user-logging", "after-logging")
    chains = [f"{prefix}-{kind}-{way}" for kind in kinds for way in WAYS]
    return chains + [prefix + name for name in ("-logging-deny", "-logging-allow", "-user-limit", "-user-limit-accept")]


# -- the file --------------------------------------------------------------------------------------------------------


def rules_file(rules: Iterable[Rule], settings: Settings, family: int) -> str:
    """The text of user.rules or user6.rules, as ufw writes it."""
    prefix = PREFIX[family]
    lines = ["*filter"]
    lines += [f":{chain} - [0:0]" for chain in _own_chains(prefix)]
    lines.append("### RULES ###")
    for rule in rules:
        lines += ["", format_tuple(rule)]
        lines += ["-A {} {}".format(*line) for line in iptables_lines(rule, family)]
    lines += ["", "### END RULES ###", "", "### LOGGING ###"]
    lines += ["-{} {} {}".format(*line) for line in logging_lines(settings, prefix)]
    lines += ["### END LOGGING ###", "", "### RATE LIMITING ###"]
    lines += ["-A {} {}".format(*line) for line in _limit_lines(settings, prefix)]
    lines += ["### END RATE LIMITING ###", "COMMIT", ""]
    return "\n".join(lines)


# -- the kernel ------------------------------------------------------------------------------------------------------


class Keep(NamedTuple):
    """Whose rules stay: patterns (fnmatch) of the comments of ufw rules, and of the chains and sets that rules of the
    kernel lead to."""

    comments: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()

    def comment(self, comment: str) -> bool:
        """Whether a ufw rule of this comment is another program's."""
        return any(fnmatch.fnmatchcase(comment, pattern) for pattern in self.comments)

    def rules(self, rules: Iterable[str]) -> list[str]:
        """Those rules of a chain that are another program's."""
        return [rule for rule in rules if self._is_theirs(rule)] if self.chains else []

    def _is_theirs(self, rule: str) -> bool:
        names = _LEADS_TO.findall(rule)
        return any(fnmatch.fnmatchcase(name, pattern) for name in names for pattern in self.chains)


KEEP_NONE = Keep()
#: The chain that a rule jumps to, and the sets that it asks.
_LEADS_TO = re.compile(r"(?:^| )(?:-[jg]|--match-set) (\S+)")


class KernelPlan(NamedTuple):
    """The filter table that ufw wants for one family.

    ``exact`` are the chains that are ufw's alone; ``framework`` those that before.rules and after.rules fill, where an
    operator may have written what cannot be compared word for word; ``hooks`` the jumps that each built-in chain must
    have in this order, among the rules of others; ``first`` rules that a built-in chain must have somewhere.
    ``own`` are chains that before.rules and after.rules declare beside ufw's, in which other programs may have rules, too;
    ``present`` rules that they add to built-in chains. ``certain`` is whether these three are in the kernel's own words;
    ``unread`` whether they have lines that are not understood.
    ``gone`` are chains that must not be there; ``edits`` are (what is wrong, (how, chain, rule)) pairs; ``keep`` says
    which rules of other programs stay where they are in ufw's chains.
    """

    policies: dict[str, str]
    exact: Chains
    framework: Chains
    hooks: Chains
    first: Chains
    gone: list[str]
    edits: list[tuple[str, tuple[str, str, str]]]
    keep: Keep = KEEP_NONE
    own: Chains = {}
    present: Chains = {}
    inserted: frozenset[str] = frozenset()
    certain: bool = False
    unread: bool = False


def kernel_plan(rules: Iterable[Rule], settings: Settings, family: int, framework: Sequence[FileRules]) -> KernelPlan:
    """What ufw has in the kernel; ``framework`` is before.rules and after.rules as ``framework.read_file`` has them."""
    prefix = PREFIX[family]
    exact: Chains = {chain: [] for chain in _own_chains(prefix)}
    for rule in rules:
        for chain, specification in iptables_lines(rule, family):
            exact[chain].append(specification)
    for how, chain, specification in logging_lines(settings, prefix):
        exact[chain].insert(0 if how == "I" else len(exact[chain]), specification)
    for chain, specification in _limit_lines(settings, prefix):
        exact[chain].append(specification)
    policies = {}
    for builtin in BUILTIN:
        way = builtin.lower()
        policy = settings.policy(way)
        policies[builtin] = "ACCEPT" if policy == "allow" else "DROP"
        exact[f"{prefix}-reject-{way}"] = ["-j REJECT"] if policy == "reject" else []
        exact[f"{prefix}-track-{way}"] = (
            [f"-p {proto} -m conntrack --ctstate NEW -j ACCEPT" for proto in ("tcp", "udp")]
            if policy == "allow"
            else []
        )
        exact[f"{prefix}-skip-to-policy-{way}"] = [
            "-j " + {"allow": "ACCEPT", "deny": "DROP", "reject": "REJECT"}[policy]
        ]
    hooks = {builtin: ["-j " + chain for chain in hook_chains(prefix, builtin)] for builtin in BUILTIN}
    filters = [file.table("filter") for file in framework]
    ufws, own = _declared(prefix, filters, exact)
    present: Chains = {}
    for table in filters:
        for chain, specification in table.rules:
            place = ufws if chain in ufws else own if chain in own else present if chain in BUILTIN else {}
            place.setdefault(chain, []).append(specification)
    for way in WAYS:
        ufws[f"{prefix}-before-{way}"].append(f"-j {prefix}-user-{way}")
    return KernelPlan(
        policies,
        exact,
        ufws,
        hooks,
        {},
        [],
        [],
        own=own,
        present=present,
        inserted=frozenset().union(*(table.inserted for table in filters)),
        certain=all(file.certain for file in framework),
        unread=any(file.unread for file in framework),
    )


def _declared(prefix: str, filters: Sequence[TableRules], exact: Chains) -> tuple[Chains, Chains]:
    """The chains of before.rules and after.rules, empty: ufw's own ones, and others."""
    ufws: Chains = {f"{prefix}-{kind}-{way}": [] for kind in ("before", "after") for way in WAYS}
    own: Chains = {}
    for table in filters:
        for name in table.declared:
            if name not in exact:
                (ufws if name.startswith(prefix + "-") else own).setdefault(name, [])
    return ufws, own


def kernel_plan_without_ipv6(present: Iterable[str]) -> KernelPlan:
    """With IPV6=no ufw drops all of IPv6 but the loopback; chains that an earlier setting left are emptied."""
    prefix = PREFIX[6] + "-"
    return KernelPlan(
        policies=dict.fromkeys(BUILTIN, "DROP"),
        exact={chain: [] for chain in present if chain.startswith(prefix)},
        framework={},
        hooks={},
        first={"INPUT": ["-i lo -j ACCEPT"], "OUTPUT": ["-o lo -j ACCEPT"]},
        gone=[],
        edits=[],
    )
