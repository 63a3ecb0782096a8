# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A ruleset as it is wanted beside the one that is there: read, parse, plan. What only a change needs is in converge.py,
so that a host on which nothing changes is not sent it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import profiles_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_block import DockerWish
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import DEFAULTS, Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.nat_block import (
    NatWish,
    check_hook,
    hook_boot,
    with_table,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.nat_input import check_nat, parse_nat
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import (
    Profiles,
    WantedRules,
    check_rules,
    parse_rules,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import (
    Plan,
    Wish,
    make_plan,
    wanted_settings,
    with_boot,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.settings import (
    parse_default,
    parse_keep,
    parse_timeout,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.startup import check_files, look_at_boot
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State, read_state, spell_out
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import CHANGE, JOURNAL

Params = dict[str, Any]
#: What a run that changes nothing says of its effect.
NO_CHANGE: Params = {
    "opened": [],
    "closed": [],
    "unclear": [],
    "unlisted": [],
    "flushed": 0,
    "dead": None,
    "conflicting": None,
}


class Request(NamedTuple):
    """The task's options, checked as far as they say the same on every host; ``seconds`` is the time that a change may
    wait for its confirmation."""

    wish: Wish
    seconds: int


class Comparison(NamedTuple):
    """What the host has, and what it takes to make it as wanted. ``listed`` are the task's rules, where it has some."""

    state: State
    plan: Plan
    listed: Optional[WantedRules]
    warnings: list[str]


def look(host: Host, params: Params, check_mode: bool) -> Optional[Params]:
    """The module's return values where the host is as the parameters say; None where it is not, or where an earlier
    change was not settled: that is for ``converge``, which reads and compares again. The mistakes of ``converge``."""
    request = read_request(params)
    if is_yet_to_be_installed(host, check_mode):
        return None
    with host.alone():
        if any(map(host.exists, (CHANGE, JOURNAL))):
            return None
        found = compare(host, params, request.wish)
    return None if found.plan.changed else result(found.plan, NO_CHANGE, found.warnings)


def plan(host: Host, params: Params, check_mode: bool) -> Params:
    """What a run that changes nothing returns, or that it is none."""
    found = look(host, params, check_mode)
    return {"changed": False, "same": False} if found is None else {**found, "same": True}


def compare(host: Host, params: Params, wish: Wish) -> Comparison:
    """Read the host and plan. Refused where the input has mistakes; RulesetError where the host is
    one that must not be touched."""
    found = _plan(host, params, wish)
    if not wish.enabled:
        return found
    boot = look_at_boot(host, found.plan.goal.ipv6 and found.state.has_ipv6)
    return found._replace(plan=with_boot(found.plan, boot), warnings=[*found.warnings, *boot.warnings])


def is_yet_to_be_installed(host: Host, check_mode: bool) -> bool:
    """Whether check mode takes ufw for installed though it is not there."""
    return check_mode and not host.exists(DEFAULTS)


def result(plan: Plan, done: Params, warnings: list[str]) -> dict[str, Any]:
    """The module's return values, with what came of the plan."""
    return {
        "changed": plan.changed,
        "added": plan.added,
        "removed": plan.removed,
        "reordered": plan.reordered,
        "settings": plan.settings,
        "drift": plan.drift,
        **done,
        "warnings": warnings,
        "diff": {
            "before": plan.before,
            "after": plan.after,
            "before_header": "ufw ruleset",
            "after_header": "ufw ruleset",
        },
    }


def read_request(params: Params) -> Request:
    """The options that need no host; Refused holds every mistake of all of them."""
    mistakes: list[Mistake] = []
    policies = parse_default(params.get("default"), mistakes)
    keep = parse_keep(params.get("keep"), mistakes)
    seconds = parse_timeout(params.get("confirm"), mistakes)
    if params["purge"] and params["rules"] is None:
        mistakes.append(
            Mistake("purge", "true without rules", "rules", "list the rules to keep, or write rules: [] to remove all")
        )
    if mistakes:
        raise Refused([*mistakes, *check_input(params)])
    wish = Wish(
        params["state"] == "enabled",
        policies,
        params["logging"],
        params["ipv6"],
        None,
        params["purge"],
        keep=keep,
    )
    return Request(wish, seconds)


def check_input(params: Params) -> list[Mistake]:
    """What is wrong with the lists on any host."""
    mistakes = check_rules(params["rules"]) if params.get("rules") is not None else []
    if params.get("docker") is not None:
        from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import check_docker

        mistakes += check_docker(params["docker"])
    return mistakes + (check_nat(params["nat"]) if params.get("nat") is not None else [])


def _plan(host: Host, params: Params, wish: Wish) -> Comparison:
    state = read_state(host, True, wish.ipv6)
    use_ipv6 = wanted_settings(state.settings, wish).ipv6 and state.has_ipv6
    rules, published, nat = parse_input(host, params, use_ipv6, state.kernel, profiles_of(host))
    warnings = [*state.notes, *(rules.warnings if rules else [])]
    if published:
        from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import check_host

        warnings += [*published.warnings, *check_host(host, state, published, use_ipv6)]
    wish = wish._replace(rules=rules, docker=published, nat=nat)
    warnings += nat.warnings if nat else ()
    check_hook(state, nat)
    state = with_table(host, state, nat)
    warnings += check_files(state, wish.enabled)
    state, plan = _settle(host, state, wish)
    unloaded = [
        f"{file.path}: {file.unloaded}" for files in state.framework.values() for file in files if file.unloaded
    ]
    warnings += [
        f"{line}: so iptables-restore says of a network namespace of its own; unless it names what only this host has, ufw loses "
        "the file at its next start, and so at the next boot"
        for line in unloaded
    ]
    if plan.doubts:
        why = "they could not be loaded" if unloaded else "no network namespace can be made"
        warnings.append(
            f"{', '.join(plan.doubts)}: left alone. before.rules or after.rules have lines that cannot be compared with the "
            f"kernel here, because {why} to have it say what they mean (unshare --net)"
        )
    return Comparison(state, with_boot(plan, hook_boot(state, nat)), rules, warnings)


def _settle(host: Host, state: State, wish: Wish) -> tuple[State, Plan]:
    """The plan, with what ufw's hand-written files say in the kernel's own words where that may make a difference."""
    if not wish.enabled:
        return state, make_plan(state, wish)
    filtered = [files for family, files in state.framework.items() if family == 4 or state.filters_ipv6]
    if not all(file.is_plain for files in filtered for file in files[:2]):
        state = spell_out(host, state, False)
    plan = make_plan(state, wish)
    if plan.switch == "enable" or plan.files_differ:
        state = spell_out(host, state, True)
        plan = make_plan(state, wish)
    return state, plan


def parse_input(
    host: Host, params: Params, use_ipv6: bool, kernel: Mapping[int, Kernel], profiles: Profiles
) -> tuple[WantedRules | None, DockerWish | None, NatWish | None]:
    """The parts of the input that are more than words; Refused holds the mistakes of all of them."""
    rules, published, nat = None, None, None
    mistakes: list[Mistake] = []
    try:
        if params["rules"] is not None:
            rules = parse_rules(params["rules"], use_ipv6, profiles)
    except Refused as error:
        mistakes += error.mistakes
    try:
        if params.get("docker") is not None:
            from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import (
                is_for_nothing,
                parse_docker,
            )

            idle = is_for_nothing(params["docker"], host, kernel)
            wanted = parse_docker(params["docker"], use_ipv6, () if idle else host.interfaces())
            published = None if idle else wanted
    except Refused as error:
        mistakes += error.mistakes
    try:
        if params.get("nat") is not None:
            nat = parse_nat(params["nat"], use_ipv6)
    except Refused as error:
        mistakes += error.mistakes
    if mistakes:
        raise Refused(mistakes)
    return rules, published, nat
