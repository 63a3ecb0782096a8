# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole run: lock, read, parse, plan, apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import read_profiles
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_block import DockerWish
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import InputErrors
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import PROFILES, Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import WantedRules, parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.pending import clear_the_way
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import Plan, Wish, make_plan, wanted_settings
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.state import State, read_state

Params = dict[str, Any]
# Less than a new SSH connection may take is no chance at all; more than an hour is no rollback.
SHORTEST, LONGEST = 5, 3600
_NO_CHANGE: Params = {"opened": [], "closed": [], "unclear": [], "unlisted": [], "flushed": 0}


def converge(host: Host, params: Params, check_mode: bool) -> dict[str, Any]:
    """Make the host as the parameters say (the module's, see its documentation); the module's return values, and
    ``pending`` where the change waits for its confirmation. RulesetError where that cannot be done: then nothing was
    changed, or everything was brought back."""
    if params["purge"] and params["rules"] is None:
        raise InputErrors(["purge: is true without rules; list the rules to keep, or write rules: [] to remove all"])
    seconds = _timeout(params)
    done = _NO_CHANGE
    with host.lock():
        warnings = clear_the_way(host, check_mode)
        state, plan, wanted = _plan(host, params, warnings)
        if plan.changed:
            from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.change import change, switch_off

            done, more = change(host, state, plan, params, seconds, check_mode)
            warnings += more
    if plan.switch == "disable" and not check_mode:
        switch_off(host, state, plan)
    return {
        "changed": plan.changed,
        "added": plan.added,
        "removed": plan.removed,
        "reordered": plan.reordered,
        "settings": plan.settings,
        "drift": plan.drift,
        "shadowed": wanted.shadowed if wanted else [],
        **done,
        "warnings": warnings + (wanted.warnings if wanted else []),
        "diff": {
            "before": plan.before,
            "after": plan.after,
            "before_header": "ufw ruleset",
            "after_header": "ufw ruleset",
        },
    }


def _timeout(params: Params) -> int:
    """Seconds until a change is rolled back that nobody confirms; 0 where it is not to wait."""
    seconds = (params.get("confirm") or {}).get("timeout") or 0
    if seconds and not SHORTEST <= seconds <= LONGEST:
        raise InputErrors(
            [f"confirm.timeout: got {seconds}; expected {SHORTEST}-{LONGEST} seconds, or 0 for no confirmation"]
        )
    return seconds


def _plan(host: Host, params: Params, warnings: list[str]) -> tuple[State, Plan, WantedRules | None]:
    state = read_state(host)
    policies = {name: value for name, value in (params["default"] or {}).items() if value is not None}
    wish = Wish(params["state"] == "enabled", policies, params["logging"], params["ipv6"], None, params["purge"])
    use_ipv6 = wanted_settings(state.settings, wish).ipv6 and state.has_ipv6
    rules, published = _parse(host, params, use_ipv6)
    if published:
        from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import check_host

        warnings += check_host(host, state, published, use_ipv6)
    wish = wish._replace(rules=rules, docker=published)
    return state, make_plan(state, wish), rules


def _parse(host: Host, params: Params, use_ipv6: bool) -> tuple[WantedRules | None, DockerWish | None]:
    """The parts of the input that are more than words; InputErrors holds the mistakes of both."""
    rules, published = None, None
    errors: list[str] = []
    try:
        if params["rules"] is not None:
            rules = parse_rules(params["rules"], use_ipv6, _profiles(host))
    except InputErrors as error:
        errors += error.errors
    try:
        if params.get("docker") is not None:
            from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import parse_docker

            published = parse_docker(params["docker"], use_ipv6, host.interfaces())
    except InputErrors as error:
        errors += error.errors
    if errors:
        raise InputErrors(errors)
    return rules, published


def _profiles(host: Host) -> Callable[[], dict[str, str]]:
    """The application profiles, read the first time that a rule names one."""
    cache: list[dict[str, str]] = []

    def load() -> dict[str, str]:
        if not cache:
            cache.append(read_profiles(host.path(PROFILES)))
        return cache[0]

    return load
