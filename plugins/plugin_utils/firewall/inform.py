# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The live ruleset of a host's snapshot, as ufw_ruleset's own input; what it counts, how the kernel and the files differ,
and what the rules do to each other."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any, NamedTuple, Optional, TypeVar

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import BUILTIN
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import docker_block, nat_block
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import canonical
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import Profiles, parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import (
    compare_kernel,
    file_drift,
    kernel_drift,
    kernel_repairs,
    twins,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import hook_chains
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.review import review
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import (
    PREFIX,
    Rule,
    describe,
    has_both_families,
    iptables_lines,
    is_anywhere,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.snapshot import counters_command
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import (
    State,
    merge_families,
    one_of,
    read_state,
    spell_out,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.replay import NotRead, Replay

_LOG_NAMES = {"": "off", "log": "new", "log-all": "all"}
_COUNTED = re.compile(r"\[(\d+):(\d+)\] -A (\S+) (.+)")

# (chain, the rule in its one form) -> [(packets, bytes)], in the order of the chain.
Counters = dict[tuple[str, tuple[str, ...]], list[tuple[int, int]]]


#: Packs a snapshot of the host of this depth; it is asked again where more has to be read.
Ask = Callable[[str], Any]


def inform(ask: Ask, findings: bool = True, depth: str = "kernel") -> dict[str, Any]:
    """The live ruleset in the shape of ufw_ruleset's input, how the kernel and the files differ, and what the rules do to
    each other (unless ``findings`` is off: None). RulesetError where ufw is not installed as it should be, or where the
    host returned no snapshot."""
    try:
        return _understood(lambda host: _inform(host, findings), ask(depth))
    except NotRead:
        return _of_the_deepest(lambda host: _inform(host, findings), ask("files"))


def configuration(packed: Any) -> dict[str, Any]:
    """What of it is declared: {active, default, rules, docker}, of a snapshot of any depth."""

    def answer(host: Replay) -> dict[str, Any]:
        state = read_state(host)
        items = _exported(state, host)
        return {
            "active": state.active,
            "default": _policies(state),
            "rules": [exported.item for exported in items],
            "docker": docker_block.export_docker(state),
        }

    return _of_the_deepest(answer, packed)


def reviewed(packed: Any) -> dict[str, Any]:
    """How a snapshot of the depth `kernel` differs from its files, and what its rules do to each other: {drift, dead,
    conflicting, unlisted}. What would have to be read of the host once more is left out."""

    def answer(host: Replay) -> dict[str, Any]:
        state = read_state(host)
        with contextlib.suppress(
            NotRead
        ):  # hand-written files that do not read plainly: what cannot be compared is left alone
            state = settled(host, nat_block.with_table(host, state, None) if state.active else state)
        drift = state.malformed + file_drift(state)
        if state.active:
            drift += kernel_drift(kernel_repairs(state, state.settings, state.rules))
        else:
            drift.append("the firewall is off")
        return {"drift": drift, **_review(state)}

    return _of_the_deepest(answer, packed)


Answer = TypeVar("Answer")


def _understood(answer: Callable[[Replay], Answer], packed: Any) -> Answer:
    """What ``answer`` makes of a snapshot. The same code reads a host that it runs on; texts of a host that says what no
    kernel prints are a failure of that host, and none of the controller."""
    host = Replay(packed)
    try:
        return answer(host)
    except (KeyError, IndexError, ValueError, TypeError, RecursionError) as error:
        raise RulesetError(f"what the host returned is not understood: {type(error).__name__}: {error}") from error


def _of_the_deepest(answer: Callable[[Replay], Answer], packed: Any) -> Answer:
    try:
        return _understood(answer, packed)
    except NotRead as error:
        raise RulesetError(f"the host returned no snapshot of its firewall: it lacks {error}") from error


def _inform(host: Replay, findings: bool) -> dict[str, Any]:
    state = read_state(host)
    state = settled(host, nat_block.with_table(host, state, None) if state.active else state)
    counted = {family: read_counters(host, family) for family in state.kernel} if state.active else {}
    drift = state.malformed + file_drift(state)
    if state.active:
        drift += kernel_drift(kernel_repairs(state, state.settings, state.rules))
    items = _exported(state, host)
    return {
        "active": state.active,
        "enabled": state.enabled,
        "default": _policies(state),
        "logging": state.settings.logging,
        "ipv6": state.settings.ipv6,
        "rules": [exported.item for exported in items],
        "counters": [_count(exported.rules, counted) for exported in items],
        "drift": drift,
        "pending": host.pending,
        "docker": docker_block.export_docker(state),
        "nat": nat_block.export_nat(state),
        "foreign": foreign_rules(state) if state.active else [],
        "notes": list(state.notes),
        **(_review(state) if findings else {"dead": None, "conflicting": None, "unlisted": []}),
    }


def _policies(state: State) -> dict[str, str]:
    settings = state.settings
    return {"incoming": settings.incoming, "outgoing": settings.outgoing, "routed": settings.routed}


def _exported(state: State, host: Replay) -> list[Exported]:
    six = state.rules[6] if state.filters_ipv6 else []
    return export_rules(state.rules[4], six, state.filters_ipv6, lambda: host.profiles)


def _review(state: State) -> dict[str, Any]:
    """What ufw's rules do to each other in the kernel as it is; nothing where they are not there as they stand."""
    if not state.active:
        return {"dead": [], "conflicting": [], "unlisted": []}
    found = review(state.rules, state.kernel)
    return {"dead": found.dead, "conflicting": found.conflicting, "unlisted": found.unlisted}


def settled(host: Host, state: State) -> State:
    """The state with ufw's hand-written files in the kernel's own words, where that may make a difference."""
    if not state.active:
        return state
    state = spell_out(host, state, False)
    found = compare_kernel(state, state.settings, state.rules)
    return spell_out(host, state, True) if any(fix.files for fix in found.values()) else state


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


class Exported(NamedTuple):
    """One item of the module's input, and the rules of each family that it stands for."""

    item: dict[str, Any]
    rules: list[tuple[int, Rule]]


def export_rules(v4: list[Rule], v6: list[Rule], use_ipv6: bool, profiles: Profiles) -> list[Exported]:
    """Rules as the module's input: applied with purge they give the same rules in the same order. ``profiles`` reads
    the application profiles (called only where a rule names one)."""
    exported: list[Exported] = []
    for pairs in _runs(merge_families(v4, v6, twins(v6))):
        rules = [one_of(*pair) for pair in pairs]
        single = use_ipv6 and None in pairs[0] and has_both_families(rules[0])
        if not rules[0].app_match or _is_whole(rules, profiles):
            exported.append(Exported(_export(rules[0], single, False), _members(pairs)))
        else:
            # Parts of a profile, in an order of their own, or of a profile that is another one now.
            exported += [Exported(_export(one_of(*pair), single, True), _members([pair])) for pair in pairs]
    return exported


Pair = tuple[Optional[Rule], Optional[Rule]]


def _runs(pairs: list[Pair]) -> list[list[Pair]]:
    """Rules one by one, but those of one profile that stand beside each other together."""
    runs: list[list[Pair]] = []
    last: Optional[tuple[Any, ...]] = None
    for four, six in pairs:
        rule = one_of(four, six)
        group = rule.app_match and (rule.app_match, rule.action, rule.log, rule.comment, bool(four), bool(six))
        if group and group == last:
            runs[-1].append((four, six))
        else:
            runs.append([(four, six)])
        last = group
    return runs


def _members(pairs: list[Pair]) -> list[tuple[int, Rule]]:
    return [(family, rule) for pair in pairs for family, rule in zip((4, 6), pair) if rule]


def _is_whole(rules: list[Rule], profiles: Profiles) -> bool:
    """Whether the module makes just these rules of the names of their profiles."""
    item = _export(rules[0]._replace(comment=""), False, False)
    try:
        wanted = parse_rules([item], True, profiles)
    except Refused:
        return False
    found = wanted.v4 or wanted.v6
    return [(rule.proto, rule.dport, rule.sport) for rule in rules] == [
        (rule.proto, rule.dport, rule.sport) for rule in found
    ]


def _export(rule: Rule, single: bool, part: bool) -> dict[str, Any]:
    """A rule as an item of the input. ``single`` is whether it stands for one family though it names no address,
    ``part`` whether it is one port of its profile alone."""
    item: dict[str, Any] = {"rule": rule.action}
    if rule.route:
        item["route"] = True
    elif rule.direction == "out":
        item["direction"] = "out"
    profiled = bool(rule.dapp or rule.sapp)
    values = {
        "interface_in": rule.interface_in,
        "interface_out": rule.interface_out,
        "proto": rule.proto if part or (rule.proto != "any" and not profiled) else "",
        # Written out, anywhere is of one family; left away it is both.
        "from_ip": "" if is_anywhere(rule.src) and not single else rule.src,
        "from_port": "" if rule.sport == "any" or (rule.sapp and not part) else rule.sport,
        "from_app": rule.sapp,
        "to_ip": "" if is_anywhere(rule.dst) else rule.dst,
        "to_port": "" if rule.dport == "any" or (rule.dapp and not part) else rule.dport,
        "app": rule.dapp,
        "log": "" if not rule.log else _LOG_NAMES[rule.log],
        "comment": rule.comment,
    }
    item.update({name: value for name, value in values.items() if value})
    return item


# -- what the kernel counts ------------------------------------------------------------------------------------------


def read_counters(host: Host, family: int) -> Counters:
    """The counters of the chains that hold ufw's rules; RulesetError where iptables-save fails."""
    command = counters_command(family)
    done = host.run(command)
    if done.status:
        raise RulesetError(f"`{' '.join(command)}` failed (status {done.status}): {done.err.strip() or 'no message'}")
    counters: Counters = {}
    for packets, octets, chain, specification in _COUNTED.findall(done.out):
        if chain.startswith(PREFIX[family] + "-user-"):
            counters.setdefault((chain, canonical(specification)), []).append((int(packets), int(octets)))
    return counters


def published_counters(packed: Any) -> list[dict[str, Any]]:
    """What the list of published ports let in over IPv4, as its kernel says: [{proto, source, destination, first, last,
    packets}]. RulesetError where the host returned no snapshot of the depth `kernel`."""

    def answer(host: Replay) -> list[dict[str, Any]]:
        done = host.run(counters_command(4))
        found = []
        for packets, _octets, chain, specification in _COUNTED.findall(done.out):
            words = specification.split()
            if chain != docker_block.OWN_CHAIN or words[-2:] != ["-j", "RETURN"]:
                continue
            named = dict(zip(words, words[1:], strict=False))
            first, _colon, last = (named.get("--ctorigdstport") or named.get("--dport") or "0:65535").partition(":")
            found.append(
                {
                    "proto": named.get("-p", "any"),
                    "source": named.get("-s", "0.0.0.0/0"),
                    "destination": named.get("--ctorigdst") or named.get("-d", "0.0.0.0/0"),
                    "first": int(first),
                    "last": int(last or first),
                    "packets": int(packets),
                }
            )
        return found

    return _of_the_deepest(answer, packed)


def _count(rules: list[tuple[int, Rule]], counted: dict[int, Counters]) -> dict[str, Any]:
    """What the rules of one item decided, both families together; None where the kernel lacks a part of them."""
    found: list[tuple[int, int]] = []
    whole = True
    for family, rule in rules:
        counters = counted.get(family, {})
        for chain, line in iptables_lines(rule, family):
            if _decides(chain, line):
                lines = counters.get((chain, canonical(line)), [])
                found += lines[:1]
                whole = whole and bool(lines)
    return {
        "rule": describe(rules[0][1]),
        "packets": sum(packets for packets, _octets in found) if whole else None,
        "bytes": sum(octets for _packets, octets in found) if whole else None,
    }


def _decides(chain: str, line: str) -> bool:
    """Whether a packet that meets a rule's line is done with: not a log line, and not the `recent --set` of a limit."""
    return "-user-logging-" not in chain + line and " -j " in " " + line
