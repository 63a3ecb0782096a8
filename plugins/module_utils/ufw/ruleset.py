# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole run: lock, read, parse, plan, apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import profiles_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_block import DockerWish
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import DEFAULTS, Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import WantedRules, check_rules, parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.pending import clear_the_way
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import (
    Plan,
    Wish,
    make_first_plan,
    make_plan,
    wanted_settings,
    with_boot,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.settings import (
    parse_default,
    parse_keep,
    parse_timeout,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.startup import look_at_boot
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State, read_state, spell_out

Params = dict[str, Any]
_NO_CHANGE: Params = {
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


def converge(host: Host, params: Params, check_mode: bool) -> dict[str, Any]:
    """Make the host as the parameters say (the module's, see its documentation); the module's return values, and
    ``pending`` where the change waits for its confirmation. Refused where the input has mistakes; RulesetError where
    the change cannot be made: then nothing was changed, or everything was brought back."""
    request = read_request(params)
    done = _NO_CHANGE
    if check_mode and request.wish.enabled and not host.exists(DEFAULTS):
        return _foresee(host, params, request.wish)
    with host.lock():
        warnings = clear_the_way(host, check_mode)
        state, plan, rules = _plan(host, params, request.wish, warnings)
        if request.wish.enabled:
            plan = _add_boot(host, state, plan)
        if plan.changed:
            from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.boot import check_boot
            from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.change import change, switch_off

            warnings += check_boot(host, state, plan)
            done, more = change(host, state, plan, params, request.seconds, check_mode)
            warnings += more
    if plan.changed:  # without the lock: nothing of the host is looked at
        done = {**done, **_review(state, plan, rules, warnings)}
        done["unlisted"] = [*done["unlisted"], *done.pop("unexamined")]
    if plan.switch == "disable" and not check_mode:
        switch_off(host, state, plan)
    return _result(plan, done, warnings)


def _foresee(host: Host, params: Params, wish: Wish) -> dict[str, Any]:
    """What would come on a host that ufw is yet to be installed on: check mode takes it for installed."""
    has_ipv6 = host.exists("/proc/sys/net/ipv6")
    rules, published = _parse(host, params, wish.ipv6 is not False and has_ipv6, {})
    plan = make_first_plan(wish._replace(rules=rules, docker=published), has_ipv6)
    warnings = ["ufw is not installed yet: shown is what the ruleset would be once it is"]
    return _result(plan, _NO_CHANGE, [*warnings, *(rules.warnings if rules else [])])


def _result(plan: Plan, done: Params, warnings: list[str]) -> dict[str, Any]:
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


def _review(state: State, plan: Plan, listed: WantedRules | None, warnings: list[str]) -> Params:
    """What the rules do to each other in the ruleset as it will be; a warning for each of the listed ones that an earlier
    one with another answer leaves nothing."""
    from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.effect import candidates
    from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.review import review

    if plan.switch == "disable" or not plan.repairs:
        return {"dead": [], "conflicting": [], "unexamined": []}
    found = review(plan.rules, candidates(state.kernel, plan.repairs, plan.switch))
    asked = {*listed.v4, *listed.v6} if listed else set()
    warnings += dict.fromkeys(text for rule, text in found.lost.items() if rule in asked)
    return {"dead": found.dead, "conflicting": found.conflicting, "unexamined": found.unlisted}


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
    return mistakes


def _plan(host: Host, params: Params, wish: Wish, warnings: list[str]) -> tuple[State, Plan, WantedRules | None]:
    state = read_state(host, True, wish.ipv6)
    use_ipv6 = wanted_settings(state.settings, wish).ipv6 and state.has_ipv6
    rules, published = _parse(host, params, use_ipv6, state.kernel)
    warnings += [*state.notes, *(rules.warnings if rules else [])]
    if published:
        from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import check_host

        warnings += [*published.warnings, *check_host(host, state, published, use_ipv6)]
    wish = wish._replace(rules=rules, docker=published)
    warnings += _check_line_ends(state, wish.enabled)
    state, plan = _settle(host, state, wish)
    if plan.doubts:
        warnings.append(
            f"{', '.join(plan.doubts)}: left alone. before.rules or after.rules have lines that cannot be compared with the "
            "kernel here, because no network namespace can be made to have it say what they mean (unshare --net)"
        )
    return state, plan, rules


def _check_line_ends(state: State, enabled: bool) -> list[str]:
    if not state.carriage_returns:
        return []
    from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.boot import check_line_ends

    return check_line_ends(state, enabled)


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


def _add_boot(host: Host, state: State, plan: Plan) -> Plan:
    """The plan with what the next boot needs; RulesetError where it would not come up with this ruleset."""
    return with_boot(plan, look_at_boot(host, plan.goal.ipv6 and state.has_ipv6))


def _parse(
    host: Host, params: Params, use_ipv6: bool, kernel: Mapping[int, Kernel]
) -> tuple[WantedRules | None, DockerWish | None]:
    """The parts of the input that are more than words; Refused holds the mistakes of both."""
    rules, published = None, None
    mistakes: list[Mistake] = []
    try:
        if params["rules"] is not None:
            rules = parse_rules(params["rules"], use_ipv6, profiles_of(host))
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
    if mistakes:
        raise Refused(mistakes)
    return rules, published
