# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole run of a ruleset: lock, read, compare, apply. Sent to hosts on which something changes."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import Profile, name_problem, profiles_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.boot import check_boot
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.change import change, switch_off
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.effect import candidates
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.pending import clear_the_way
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import Wish, make_first_plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.review import review
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ruleset import (
    NO_CHANGE,
    Comparison,
    Params,
    compare,
    is_yet_to_be_installed,
    parse_input,
    read_request,
    result,
)


def converge(host: Host, params: Params, check_mode: bool) -> dict[str, Any]:
    """Make the host as the parameters say (the module's, see its documentation); the module's return values, and
    ``pending`` where the change waits for its confirmation. Refused where the input has mistakes; RulesetError where
    the change cannot be made: then nothing was changed, or everything was brought back."""
    request = read_request(params)
    if is_yet_to_be_installed(host, check_mode):
        return _foresee(host, params, request.wish)
    done = NO_CHANGE
    with host.lock():
        warnings = clear_the_way(host, check_mode)
        found = compare(host, params, request.wish)
        plan = found.plan
        warnings += found.warnings
        if plan.changed:
            warnings += check_boot(host, found.state, plan)
            done, more = change(host, found.state, plan, params, request.seconds, check_mode)
            warnings += more
    if plan.changed:  # without the lock: nothing of the host is looked at
        done = {**done, **_review(found, warnings)}
        done["unlisted"] = [*done["unlisted"], *done.pop("unexamined")]
    if plan.switch == "disable" and not check_mode:
        switch_off(host, found.state, plan)
    return result(plan, done, warnings)


def _foresee(host: Host, params: Params, wish: Wish) -> dict[str, Any]:
    """What would come on a host that ufw is yet to be installed on: check mode takes it for installed."""
    has_ipv6 = host.exists("/proc/sys/net/ipv6")
    to_come = _profiles_to_come(host, params["rules"])
    profiles = {**profiles_of(host)(), **to_come}
    rules, published = parse_input(host, params, wish.ipv6 is not False and has_ipv6, {}, lambda: profiles)
    plan = make_first_plan(wish._replace(rules=rules, docker=published), has_ipv6)
    warnings = ["ufw is not installed yet: shown is what the ruleset would be once it is"]
    if to_come:
        warnings.append(f"the application profiles {', '.join(to_come)} are not there yet: a run fails without them")
    found = result(plan, NO_CHANGE, [*warnings, *(rules.warnings if rules else [])])
    return {**found, "changed": bool(plan.switch or plan.added or plan.settings)}


def _profiles_to_come(host: Host, rules: Any) -> dict[str, Profile]:
    """Of a host that ufw is yet to be installed on, the profiles that rules name and that no file has so far: they come
    with ufw's package or another one. Their ports are not known; the ruleset as it is shown has their names alone."""
    there = {name.lower() for name in profiles_of(host)()}
    items = [item for item in rules if isinstance(item, dict)] if isinstance(rules, (list, tuple)) else []
    named = [item.get(key) for item in items for key in ("app", "name", "from_app")]
    names = [name for name in named if isinstance(name, str) and name.lower() not in there and not name_problem(name)]
    return {name: Profile(name, (("any", "tcp"),)) for name in names}


def _review(found: Comparison, warnings: list[str]) -> Params:
    """What the rules do to each other in the ruleset as it will be; a warning for each of the listed ones that an earlier
    one with another answer leaves nothing."""
    state, plan, listed = found.state, found.plan, found.listed
    if plan.switch == "disable" or not plan.repairs:
        return {"dead": [], "conflicting": [], "unexamined": []}
    seen = review(plan.rules, candidates(state.kernel, plan.repairs, plan.switch))
    asked = {*listed.v4, *listed.v6} if listed else set()
    warnings += dict.fromkeys(text for rule, text in seen.lost.items() if rule in asked)
    return {"dead": seen.dead, "conflicting": seen.conflicting, "unexamined": seen.unlisted}
