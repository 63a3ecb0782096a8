# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The live ruleset as the module's own input, what it counts, and how the kernel and the files differ."""

from __future__ import annotations

import re
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import BUILTIN
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import docker_block
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import SAVE, canonical
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.pending import waiting
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import (
    file_drift,
    kernel_drift,
    kernel_repairs,
    twins,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import hook_chains
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import (
    PREFIX,
    Rule,
    describe,
    has_both_families,
    iptables_lines,
    is_anywhere,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State, merge_families, read_state

_LOG_NAMES = {"": "off", "log": "new", "log-all": "all"}
_COUNTED = re.compile(r"\[(\d+):(\d+)\] -A (\S+) (.+)")

# (chain, the rule in its one form) -> [(packets, bytes)], in the order of the chain.
Counters = dict[tuple[str, tuple[str, ...]], list[tuple[int, int]]]


def inform(host: Host) -> dict[str, Any]:
    """The live ruleset in the shape of the module's input, and how the kernel and the files differ."""
    with host.lock():
        state = read_state(host)
        counted = {family: read_counters(host, family) for family in state.kernel} if state.active else {}
        pending = waiting(host)
    drift = state.malformed + file_drift(state)
    if state.active:
        drift += kernel_drift(kernel_repairs(state, state.settings, state.rules))
    settings = state.settings
    items = _items(state.rules[4], state.rules[6] if state.filters_ipv6 else [], state.filters_ipv6)
    return {
        "active": state.active,
        "enabled": state.enabled,
        "default": {"incoming": settings.incoming, "outgoing": settings.outgoing, "routed": settings.routed},
        "logging": settings.logging,
        "ipv6": settings.ipv6,
        "rules": [item for item, _rules in items],
        "counters": [_count(rules, counted) for _item, rules in items],
        "drift": drift,
        "pending": pending,
        "docker": docker_block.export_docker(state),
        "foreign": foreign_rules(state) if state.active else [],
    }


def foreign_rules(state: State) -> list[str]:
    """Rules of others in the built-in chains that stand before ufw's, and so decide before it: shown, never touched."""
    lines = []
    for family, kernel in state.kernel.items():
        for builtin in BUILTIN:
            jumps = {"-j " + chain for chain in hook_chains(PREFIX[family], builtin)}
            rules = kernel.chains[builtin]
            first = next((place for place, rule in enumerate(rules) if rule in jumps), 0)
            lines += [f"IPv{family} {builtin}: {rule}" for rule in rules[:first]]
    return lines


def export_rules(v4: list[Rule], v6: list[Rule], use_ipv6: bool) -> list[dict[str, Any]]:
    """Rules as the module's input: applied with purge they give the same rules."""
    return [item for item, _rules in _items(v4, v6, use_ipv6)]


def _items(v4: list[Rule], v6: list[Rule], use_ipv6: bool) -> list[tuple[dict[str, Any], list[tuple[int, Rule]]]]:
    """The items of the input, and the rules of each family that each of them stands for."""
    items: list[tuple[dict[str, Any], list[tuple[int, Rule]]]] = []
    last: tuple | None = None
    for four, six in merge_families(v4, v6, twins(v6)):
        rule = four or six
        single = use_ipv6 and not (four and six) and has_both_families(rule)
        # A profile's ports are one rule of the input: the tuples after the first one go without saying.
        group = rule.app_match and (rule.app_match, rule.action, rule.log, rule.comment, bool(four), bool(six))
        if group is None or group != last:
            items.append((_export(rule, single), []))
        items[-1][1].extend((family, one) for family, one in ((4, four), (6, six)) if one)
        last = group
    return items


def _export(rule: Rule, single: bool) -> dict[str, Any]:
    item: dict[str, Any] = {"rule": rule.action}
    if rule.route:
        item["route"] = True
    elif rule.direction == "out":
        item["direction"] = "out"
    values = {
        "interface_in": rule.interface_in,
        "interface_out": rule.interface_out,
        "proto": "" if rule.proto == "any" or rule.dapp or rule.sapp else rule.proto,
        # Written out, anywhere is of one family; left away it is both.
        "from_ip": "" if is_anywhere(rule.src) and not single else rule.src,
        "from_port": "" if rule.sport == "any" or rule.sapp else rule.sport,
        "from_app": rule.sapp,
        "to_ip": "" if is_anywhere(rule.dst) else rule.dst,
        "to_port": "" if rule.dport == "any" or rule.dapp else rule.dport,
        "app": rule.dapp,
        "log": "" if not rule.log else _LOG_NAMES[rule.log],
        "comment": rule.comment,
    }
    item.update({name: value for name, value in values.items() if value})
    return item


# -- what the kernel counts ------------------------------------------------------------------------------------------


def read_counters(host: Host, family: int) -> Counters:
    """The counters of the chains that hold ufw's rules; RulesetError where iptables-save fails."""
    command = [SAVE[family], "-c", "-t", "filter"]
    done = host.run(command)
    if done.status:
        raise RulesetError(f"`{' '.join(command)}` failed (status {done.status}): {done.err.strip() or 'no message'}")
    counters: Counters = {}
    for packets, octets, chain, specification in _COUNTED.findall(done.out):
        if chain.startswith(PREFIX[family] + "-user-"):
            counters.setdefault((chain, canonical(specification)), []).append((int(packets), int(octets)))
    return counters


def _count(rules: list[tuple[int, Rule]], counted: dict[int, Counters]) -> dict[str, Any]:
    """What the rules of one item decided, both families together; None where the kernel lacks a part of them."""
    found: list[Optional[tuple[int, int]]] = []
    for family, rule in rules:
        counters = counted.get(family, {})
        lines = [line for line in iptables_lines(rule, family) if _decides(*line)]
        found += [next(iter(counters.get((chain, canonical(line)), ())), None) for chain, line in lines]
    whole = None not in found
    return {
        "rule": describe(rules[0][1]),
        "packets": sum(each[0] for each in found) if whole else None,
        "bytes": sum(each[1] for each in found) if whole else None,
    }


def _decides(chain: str, line: str) -> bool:
    """Whether a packet that meets a rule's line is done with: not a log line, and not the `recent --set` of a limit."""
    return "-user-logging-" not in chain + line and " -j " in " " + line
