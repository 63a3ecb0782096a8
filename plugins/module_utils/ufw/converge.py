# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole run of a ruleset: read, compare, prove, and apply under ufw's lock. Sent to hosts on which something
changes."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import Profile, name_problem, profiles_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.boot import check_boot
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.change import (
    carry_out,
    count_flows,
    prepare,
    switch_off,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.effect import candidates
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.first import make_first_plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.pending import undisturbed
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import Wish
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.review import review
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ruleset import (
    NO_CHANGE,
    Comparison,
    Params,
    Request,
    compare,
    is_yet_to_be_installed,
    parse_input,
    read_request,
    result,
)

#: How often a change is worked out without ufw's lock, before the lock is held for it throughout.
TRIES = 3
#: Of rules that are not examined.
UNSEEN: Params = {"dead": [], "conflicting": [], "unexamined": ["dead, conflicting: not examined, for the same reason"]}


def converge(host: Host, params: Params, check_mode: bool) -> dict[str, Any]:
    """Make the host as the parameters say (the module's, see its documentation); the module's return values, and
    ``pending`` where the change waits for its confirmation. Refused where the input has mistakes; RulesetError where
    the change cannot be made: then nothing was changed, or everything was brought back."""
    request = read_request(params)
    if is_yet_to_be_installed(host, check_mode):
        return _foresee(host, params, request.wish)
    with undisturbed(host, check_mode) as (warnings, waited):
        found, done, more = _settle(host, params, request, check_mode)
    if "pending" in done:
        done["pending"]["waited"] = waited
    if found.plan.switch == "disable" and not check_mode:
        switch_off(host, found.state, found.plan)
    return result(found.plan, done, warnings + more)


def _settle(host: Host, params: Params, request: Request, check_mode: bool) -> tuple[Comparison, Params, list[str]]:
    """Compare, prove and apply; what was compared, the return values of the change, and warnings. Others may change the
    host until ufw's lock is taken: then all of it is done again, at last with the lock held throughout."""
    changed = ""
    for number in range(TRIES + 1):
        last = number == TRIES
        with host.lock() if last else contextlib.nullcontext():
            found = compare(host, params, request.wish)
            state, plan = found.state, found.plan
            if not plan.changed:
                return found, NO_CHANGE, found.warnings
            warnings = found.warnings + check_boot(host, state, plan)
            ready = prepare(host, state, plan, params, request.seconds, describe=not last)
            warnings += ready.warnings
            seen = dict(UNSEEN) if last else _review(found, warnings)
            if check_mode:
                flows = count_flows(host, params, ready)
            else:
                changed, flows = carry_out(host, state, plan, params, request.seconds, ready)
        if not changed:
            unlisted = [*ready.effect.unlisted, *seen.pop("unexamined")]
            done = {**ready.effect.lists, **seen, "unlisted": unlisted, "flushed": flows}
            return found, {**done, "pending": ready.pending} if "token" in ready.pending else done, warnings
    raise RulesetError(
        f"other programs change the firewall faster than a change of it can be proven: {changed} changed again each of "
        f"{TRIES + 1} times; nothing was changed: run the task again when they are done"
    )


def _foresee(host: Host, params: Params, wish: Wish) -> dict[str, Any]:
    """What would come on a host that ufw is yet to be installed on: check mode takes it for installed."""
    has_ipv6 = host.exists("/proc/sys/net/ipv6")
    to_come = _profiles_to_come(host, params["rules"])
    profiles = {**profiles_of(host)(), **to_come}
    rules, published, nat = parse_input(host, params, wish.ipv6 is not False and has_ipv6, {}, lambda: profiles)
    plan = make_first_plan(wish._replace(rules=rules, docker=published, nat=nat), has_ipv6)
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
