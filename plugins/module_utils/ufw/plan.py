# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""State and wish -> what to do, and how it reads. Nothing here touches the host."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import docker_block, nat_block
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.drift import Repair, repair, repair_table
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import (
    CONF,
    DEFAULTS,
    RULES,
    edit_settings,
    shell_settings,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.framework import FileRules, TableRules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import WantedRules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import (
    KEEP_NONE,
    Keep,
    KernelPlan,
    Settings,
    kernel_plan,
    kernel_plan_without_ipv6,
    rules_file,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import Rule, describe, has_both_families, twin
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.startup import Boot
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import (
    POLICIES,
    POLICY_WORDS,
    State,
    merge_families,
    one_of,
)

_NOT_LOADED = "ufw is enabled, and its rules are not in the kernel"
_POLICY_VALUES = {ours: f'"{theirs.upper()}"' for theirs, ours in POLICY_WORDS.items()}


class Wish(NamedTuple):
    """What the task asks for; None leaves a thing as it is."""

    enabled: bool
    policies: dict[str, str]
    logging: str | None
    ipv6: bool | None
    rules: WantedRules | None
    purge: bool
    docker: docker_block.DockerWish | None = None
    nat: nat_block.NatWish | None = None
    keep: Keep = KEEP_NONE


class Plan(NamedTuple):
    """``files`` are the texts to write by path (without ENABLED=no, which ufw itself writes), ``repairs`` the payloads by
    family; ``switch`` is ``enable``, ``disable`` or empty. ``before`` and ``after`` are the diff, ``goal`` and ``rules``
    what is wanted in the end; ``boot`` what the next boot needs. ``doubts`` are chains of before.rules and after.rules that are left alone, because it is
    not known whether they differ; ``files_differ`` is whether any chain of these files is doubted or differs.
    """

    files: dict[str, str]
    repairs: dict[int, Repair]
    switch: str
    settings: dict[str, Any]
    added: list[str]
    removed: list[str]
    reordered: bool
    drift: list[str]
    before: str
    after: str
    goal: Settings
    rules: dict[int, list[Rule]]
    doubts: list[str]
    files_differ: bool
    boot: Boot = Boot()

    @property
    def touches_kernel(self) -> bool:
        return bool(self.switch or self.repairs)

    @property
    def changed(self) -> bool:
        return bool(self.switch or self.files or self.repairs or self.boot.changed)


def make_plan(state: State, wish: Wish) -> Plan:
    """Compare what is wanted with the files and with the kernel."""
    settings = wanted_settings(state.settings, wish)
    if state.malformed and not (wish.purge and wish.rules is not None):
        raise RulesetError(
            "; ".join(state.malformed) + "; ufw skips such a rule and drops it the next time it writes "
            "the file: repair or remove the line, or set purge: true"
        )
    rules = wanted_rules(state, wish, settings.ipv6 and state.has_ipv6)
    files = _file_changes(state, wish, settings, rules)
    target = docker_block.with_files(state, files)
    switch = _switch(state, wish)
    found, drift = _repairs(state, target, settings, rules, wish.keep) if wish.enabled else (_releases(state), [])
    repairs = {family: fix for family, fix in found.items() if fix.sections}
    if switch:
        # Nothing of it is meant to be in the kernel yet, unless ufw is said to be on.
        drift = [_NOT_LOADED] if state.enabled and wish.enabled else []
    drift = state.malformed + file_drift(state) + docker_block.file_drift(state, wish.docker) + drift
    drift += nat_block.file_drift(state, wish.nat)
    before = rule_lines(state.rules, state.filters_ipv6) + block_lines(state.texts, state.filters_ipv6)
    before += docker_block.strangers(state, wish.docker, wish.keep)
    use_ipv6 = settings.ipv6 and state.has_ipv6
    after = rule_lines(rules, use_ipv6) + block_lines(target.texts, use_ipv6)
    return Plan(
        files=files,
        repairs=repairs,
        switch=switch,
        settings=_setting_changes(state, wish, settings),
        added=_surplus(after, before),
        removed=_surplus(before, after),
        reordered=_is_reordered(state.rules, rules) or docker_block.is_reordered(state.texts, target.texts),
        drift=drift,
        before=ruleset_text(state.enabled, state.settings, before, drift),
        after=ruleset_text(wish.enabled, settings, after, []),
        goal=settings,
        rules=rules,
        doubts=[f"IPv{family} {name}" for family, fix in found.items() for name in fix.doubts],
        files_differ=any(fix.files for fix in found.values()),
    )


def block_lines(texts: dict[str, str], use_ipv6: bool) -> list[str]:
    """What our blocks of before.rules and after.rules say, one line for each rule."""
    return docker_block.describe_blocks(texts, use_ipv6) + nat_block.describe_blocks(texts, use_ipv6)


def with_boot(plan: Plan, boot: Boot) -> Plan:
    """The plan, and what the next boot needs besides."""
    lines = "".join(f"drift: {line}\n" for line in boot.drift)
    was = plan.boot
    both = Boot(was.drift + boot.drift, was.commands + boot.commands, was.files + boot.files)
    return plan._replace(boot=both, drift=plan.drift + list(boot.drift), before=plan.before + lines)


# -- what is wanted --------------------------------------------------------------------------------------------------


def wanted_settings(current: Settings, wish: Wish) -> Settings:
    """The settings with the wish laid over them."""
    changes: dict[str, Any] = dict(wish.policies)
    if wish.logging == "on":  # as `ufw logging on`: the level that is set, low where it is off
        changes["logging"] = "low" if current.logging == "off" else current.logging
    elif wish.logging is not None:
        changes["logging"] = wish.logging
    if wish.ipv6 is not None:
        changes["ipv6"] = wish.ipv6
    return current._replace(**changes)


def wanted_rules(state: State, wish: Wish, use_ipv6: bool) -> dict[int, list[Rule]]:
    """The rules that the files are to hold. Without IPv6 the IPv6 file stays as it is, for the day it is on again."""
    return merge_rules(state.rules, wish, use_ipv6)


def merge_rules(rules: dict[int, list[Rule]], wish: Wish, use_ipv6: bool) -> dict[int, list[Rule]]:
    if wish.rules is None:
        return rules
    listed = {4: wish.rules.v4, 6: wish.rules.v6}
    wanted = {}
    for family in (4, 6):
        current = _without(rules[family], wish.rules.gone[family])
        if wish.purge:
            current = _staying(current, listed[family], wish.keep)
        wanted[family] = merge(current, listed[family], wish.rules.profiles, wish.rules.first[family])
    if not use_ipv6:
        wanted = {4: wanted[4], 6: rules[6]}
    return wanted


def _without(rules: list[Rule], gone: list[Rule]) -> list[Rule]:
    """Rules without those to be removed: of the same match and action, as `ufw delete` takes them."""
    marks = {(rule.match, rule.action) for rule in gone}
    return [rule for rule in rules if (rule.match, rule.action) not in marks] if marks else rules


def _staying(rules: list[Rule], listed: list[Rule], keep: Keep) -> list[Rule]:
    """What of the current rules a purge leaves: those that are listed, and those of other programs."""
    wanted = {rule.match for rule in listed}
    return [rule for rule in rules if rule.match in wanted or keep.comment(rule.comment)]


def merge(
    current: list[Rule],
    listed: list[Rule],
    profiles: Collection[tuple[Any, ...]] = (),
    first: Sequence[Rule] = (),
) -> list[Rule]:
    """Listed rules into current ones. A rule of the same match is replaced where it stands; the listed rules' order is
    kept by filling the places of those that are there in the listed order; a new rule goes right before the next listed
    one that is there, or to the end. The tuples of ``profiles`` (Rule.app_match) that have other ports now are replaced
    too. ``first`` are those of the listed rules that go before everything else."""
    if first:
        moved = {rule.match for rule in first}
        rest = [rule for rule in current if rule.match not in moved]
        placed = set(first)
        return [*first, *merge(rest, [rule for rule in listed if rule not in placed], profiles)]
    wanted = {rule.match for rule in listed}
    ours = [rule.match in wanted or rule.app_match in profiles for rule in current]
    known = {rule.match for rule, is_ours in zip(current, ours) if is_ours}
    queue = iter(listed)
    merged: list[Rule] = []
    for rule, is_ours in zip(current, ours):
        if not is_ours:
            merged.append(rule)
            continue
        for following in queue:
            merged.append(following)
            if following.match in known:
                break
    merged.extend(queue)
    return merged


# -- what to do ------------------------------------------------------------------------------------------------------


def _switch(state: State, wish: Wish) -> str:
    if wish.enabled:
        return "" if state.active else "enable"
    return "disable" if state.enabled or state.loaded else ""


def _file_changes(state: State, wish: Wish, settings: Settings, rules: dict[int, list[Rule]]) -> dict[str, str]:
    policies = {
        POLICIES[name]: _POLICY_VALUES[getattr(settings, name)]
        for name in POLICIES
        if getattr(settings, name) != getattr(state.settings, name)
    }
    if settings.ipv6 != state.settings.ipv6:
        policies["IPV6"] = "yes" if settings.ipv6 else "no"
    level = {}
    if settings.logging != state.settings.logging or (wish.enabled and not state.level_set):
        level["LOGLEVEL"] = settings.logging
    if wish.enabled and not state.enabled:
        level["ENABLED"] = "yes"
    if wish.enabled:
        # What ufw's start, a shell, reads otherwise than ufw's commands is written as both take it.
        names = {option: way for way, option in POLICIES.items()}
        for option in shell_settings(state.texts[DEFAULTS]).odd:
            if option in names:
                policies[option] = _POLICY_VALUES[getattr(settings, names[option])]
            elif option == "IPV6":
                policies[option] = "yes" if settings.ipv6 else "no"
        if "ENABLED" in shell_settings(state.texts[CONF]).odd:
            level["ENABLED"] = "yes"
    texts = {
        DEFAULTS: edit_settings(state.texts[DEFAULTS], policies),
        CONF: edit_settings(state.texts[CONF], level),
    }
    for family in (4, 6):
        if family == 6 and not (settings.ipv6 and state.has_ipv6):
            continue
        # While ufw is off only its rules count: a fresh package's file lacks what ufw adds when it is switched on.
        if wish.enabled or rules[family] != state.rules[family]:
            texts[RULES[family]] = rules_file(rules[family], settings, family)
    texts.update(docker_block.file_changes(state, wish.docker, settings.ipv6 and state.has_ipv6))
    texts.update(nat_block.file_changes(state, wish.nat, settings.ipv6 and state.has_ipv6))
    found = {**state.texts, **{RULES[family]: state.rules_text(family) for family in (4, 6)}}
    return {path: text for path, text in texts.items() if text != found[path]}


def _repairs(
    state: State, target: State, settings: Settings, rules: dict[int, list[Rule]], keep: Keep
) -> tuple[dict[int, Repair], list[str]]:
    """The payloads that make the kernel as wanted, and how the kernel differs from ufw's files as they are now.
    ``target`` is the state with after.rules as it will be."""
    wanted = compare_kernel(target, settings, rules, keep)
    unchanged = settings == state.settings and rules == state.rules and target.framework == state.framework
    current = wanted if unchanged else compare_kernel(state, state.settings, state.rules, keep)
    return wanted, kernel_drift(current)


def kernel_repairs(
    state: State, settings: Settings, rules: dict[int, list[Rule]], keep: Keep = KEEP_NONE
) -> dict[int, Repair]:
    """For each family whose kernel differs from these rules and settings, what makes it so."""
    found = compare_kernel(state, settings, rules, keep)
    return {family: fix for family, fix in found.items() if fix.sections}


def compare_kernel(
    state: State, settings: Settings, rules: dict[int, list[Rule]], keep: Keep = KEEP_NONE
) -> dict[int, Repair]:
    """Each family's kernel against these rules and settings; a repair that is empty where nothing differs."""
    repairs = {}
    for family, kernel in state.kernel.items():
        filters = family == 4 or settings.ipv6
        files = in_force(state.framework[family]) if filters else []
        plan = (
            kernel_plan(rules[family], settings, family, files) if filters else kernel_plan_without_ipv6(kernel.chains)
        )
        plan = plan._replace(keep=keep)
        docker_block.add_chains(plan, files, kernel, family)
        fix = repair(plan, kernel, check_framework=not state.hooks_executable)
        fix = docker_block.with_last_word(fix, state.texts[docker_block.AFTER[family]] if filters else "", kernel, keep)
        for file in files[:2]:
            for table, other in (kernel.others or {}).items():
                fix = fix.then(repair_table(table, file.table(table), other, file.certain))
        fix = fix.then(nat_block.repair_nat(state.framework[family][3] if filters else None, kernel))
        repairs[family] = fix
    return repairs


def _releases(state: State) -> dict[int, Repair]:
    """With ufw off nobody filters published ports either: `ufw disable` itself would leave Docker's chain as it is."""
    releases = {}
    for family, kernel in state.kernel.items():
        plan = KernelPlan({}, {}, {}, {}, {}, [], [])
        docker_block.add_chains(plan, [], kernel, family)
        fix = docker_block.with_last_word(repair(plan, kernel), "", kernel)
        fix = fix.then(nat_block.repair_nat(None, kernel))
        if fix.sections:
            releases[family] = fix
    return releases


def in_force(files: Sequence[FileRules]) -> list[FileRules]:
    """The files, loaded one after the other: without the chains that a later one declares, which empties them."""
    found = []
    for place, file in enumerate(files):
        tables = {}
        for name, table in file.tables.items():
            gone = {chain for later in files[place + 1 :] for chain in later.table(name).declared}
            declared = tuple(chain for chain in table.declared if chain not in gone)
            tables[name] = TableRules(
                declared, tuple(rule for rule in table.rules if rule[0] not in gone), table.inserted
            )
        found.append(file._replace(tables=tables))
    return found


def kernel_drift(repairs: dict[int, Repair]) -> list[str]:
    """What differs in the kernel, one line each."""
    return [f"IPv{family} kernel: {line}" for family, fix in repairs.items() for line in fix.drift]


# -- how it reads ----------------------------------------------------------------------------------------------------


def _setting_changes(state: State, wish: Wish, settings: Settings) -> dict[str, Any]:
    old, new = state.settings._asdict(), settings._asdict()
    changes: dict[str, Any] = {name: value for name, value in new.items() if value != old[name]}
    if wish.enabled != state.enabled:
        changes["state"] = "enabled" if wish.enabled else "disabled"
    return changes


def rule_lines(rules: dict[int, list[Rule]], use_ipv6: bool) -> list[str]:
    """All rules, one line each; a rule of both families is one line, others say their family where it is not plain."""
    if use_ipv6:
        pairs = merge_families(rules[4], rules[6], twins(rules[6]))
    else:
        pairs = [(one, one) for one in rules[4]]
    lines: list[str] = []
    for v4, v6 in pairs:
        rule = one_of(v4, v6)
        line = describe(rule, "" if v4 and v6 else _family_note(v4, v6))
        # The tuples of one profile read the same: they are one rule to the operator.
        if not (rule.app_match and lines and lines[-1] == line):
            lines.append(line)
    return lines


def twins(v6: list[Rule]) -> dict[Rule, Rule]:
    """The v4 rule that each v6 rule without an address would be."""
    return {rule: twin(rule) for rule in v6 if has_both_families(rule)}


def _family_note(v4: Rule | None, v6: Rule | None) -> str:
    if not has_both_families(one_of(v4, v6)):
        return ""
    return "v4" if v4 else "v6"


def _surplus(lines: list[str], others: list[str]) -> list[str]:
    left = Counter(lines) - Counter(others)
    surplus = []
    for line in lines:
        if left[line] > 0:
            left[line] -= 1
            surplus.append(line)
    return surplus


def _is_reordered(old: dict[int, list[Rule]], new: dict[int, list[Rule]]) -> bool:
    """Whether rules that stay change their order among each other."""
    for family in (4, 6):
        both = {rule.match for rule in old[family]} & {rule.match for rule in new[family]}
        if [r.match for r in old[family] if r.match in both] != [r.match for r in new[family] if r.match in both]:
            return True
    return False


def file_drift(state: State) -> list[str]:
    """Files whose iptables lines are not those of their own rules: they were edited, and a boot would load that."""
    return [
        f"{RULES[family]}: the iptables lines are not those of its rules and settings"
        for family in (4, 6)
        if state.enabled
        and state.level_set
        and (family == 4 or state.filters_ipv6)
        and rules_file(state.rules[family], state.settings, family) != state.rules_text(family)
    ]


def ruleset_text(enabled: bool, settings: Settings, rules: list[str], drift: list[str]) -> str:
    """The ruleset as text for the diff: settings, rules, and what is wrong with the kernel or the files."""
    lines = [
        "state: " + ("enabled" if enabled else "disabled"),
        "default: {} (incoming), {} (outgoing), {} (routed)".format(*settings[:3]),
        "logging: " + settings.logging,
        "ipv6: " + ("yes" if settings.ipv6 else "no"),
    ]
    return "\n".join(lines + rules + ["drift: " + line for line in drift] + [""])
