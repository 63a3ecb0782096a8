# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole run: lock, read, parse, plan, apply; and the live ruleset as input for the next one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from . import docker
from .apply import CRASH_TIMEOUT, Transaction, clear_the_way, write_files
from .apps import read_profiles
from .drift import Repair
from .effect import NO_EFFECT, Effect, candidates, effect_of, find_flows, require_conntrack
from .errors import InputErrors, RulesetError
from .files import PROFILES, Host
from .guard import PROGRAM
from .kernel import BUILTIN, Kernel, read_kernel
from .lockout import find_session, interfaces, prove
from .parse import WantedRules, parse_rules
from .plan import Plan, Wish, file_drift, kernel_drift, kernel_repairs, make_plan, twins, wanted_settings
from .render import hook_chains
from .rule import PREFIX, Rule, has_both_families, is_anywhere
from .state import State, merge_families, read_state

Params = dict[str, Any]
# Less than a new SSH connection may take is no chance at all; more than an hour is no rollback.
SHORTEST, LONGEST = 5, 3600
_LOG_NAMES = {"": "off", "log": "new", "log-all": "all"}


def converge(host: Host, params: Params, check_mode: bool) -> dict[str, Any]:
    """Make the host as the parameters say (the module's, see its documentation); the module's return values, and
    ``pending`` where the change waits for its confirmation. RulesetError where that cannot be done: then nothing was
    changed, or everything was brought back."""
    if params["purge"] and params["rules"] is None:
        raise InputErrors(["purge: is true without rules; list the rules to keep, or write rules: [] to remove all"])
    seconds = _timeout(params)
    pending: dict[str, Any] = {}
    effect, flows = NO_EFFECT, 0
    with host.lock():
        warnings = clear_the_way(host, check_mode)
        state, plan, wanted = _plan(host, params, warnings)
        if plan.changed:
            after = candidates(state.kernel, plan.repairs, plan.switch)
            warnings += _prove(host, plan, after, params, bool(seconds))
            effect = effect_of(state.kernel, after)
            flush = bool(params.get("flush_established") and effect.stopped)
            if flush:
                require_conntrack(host)
            if check_mode:
                flows = len(find_flows(host, effect)) if flush else 0
            else:
                # What takes nothing away cannot cut the connection.
                wait = seconds if plan.switch != "disable" and plan.touches_kernel else 0
                flows = _apply(host, state, plan, wait, effect if flush else NO_EFFECT, pending)
    if plan.switch == "disable" and not check_mode:
        _disable(host, state, plan)
    result = {
        "changed": plan.changed,
        "added": plan.added,
        "removed": plan.removed,
        "reordered": plan.reordered,
        "settings": plan.settings,
        "drift": plan.drift,
        "shadowed": wanted.shadowed if wanted else [],
        **effect.lists,
        "unlisted": effect.unlisted,
        "flushed": flows,
        "warnings": warnings + (wanted.warnings if wanted else []),
        "diff": {
            "before": plan.before,
            "after": plan.after,
            "before_header": "ufw ruleset",
            "after_header": "ufw ruleset",
        },
    }
    return {**result, "pending": pending} if pending else result


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
        warnings += docker.check_host(host, state, published, use_ipv6)
    wish = wish._replace(rules=rules, docker=published)
    return state, make_plan(state, wish), rules


def _parse(host: Host, params: Params, use_ipv6: bool) -> tuple[WantedRules | None, docker.DockerWish | None]:
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
            published = docker.parse_docker(params["docker"], use_ipv6, host.interfaces())
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


def _prove(host: Host, plan: Plan, after: dict[int, Kernel], params: Params, remote: bool) -> list[str]:
    """Warnings; LockoutError where the candidate would cut the connection that the task came by."""
    if plan.switch == "disable" or not plan.repairs:
        return []
    session = find_session(host)
    if session is None:
        unseen = "the connection of this task was not found in the environment of its processes (SSH_CONNECTION)"
        return [unseen + ": whether the new ruleset lets it in is left to the confirmation"] if remote else []
    if session.family not in after:
        return []
    finding = prove(session, after[session.family], plan.rules[session.family], interfaces(host))
    if finding.refused:
        message = f"the new ruleset would cut the connection of this task, {session.text()}: {finding.refused}"
        if not params.get("accept_lockout"):
            raise RulesetError(
                f"{message}; nothing was changed. Allow the connection by an earlier rule, or set accept_lockout: true"
            )
        return [message]
    return [f"the connection of this task, {session.text()}: {finding.doubt}"] if finding.doubt else []


def _apply(host: Host, state: State, plan: Plan, wait: int, cut: Effect, pending: dict[str, Any]) -> int:
    """Load, and persist at once or leave that to the confirmation, which ``pending`` tells of. How many flows it cuts."""

    def rest() -> dict[int, Repair]:
        """What ufw's own start leaves to do: IPv6's limit chains are empty the first time."""
        fresh = docker.with_files(state, plan.files)._replace(
            kernel={family: read_kernel(host, family) for family in state.kernel}
        )
        if not fresh.loaded:
            raise RulesetError("ufw's own start reported success, but its rules are not there; see the journal of ufw")
        return kernel_repairs(fresh, plan.goal, plan.rules)

    start = rest if plan.switch == "enable" else None
    transaction = Transaction(host, plan.repairs, plan.files, state.texts, start)
    transaction.prepare()
    transaction.arm(wait or CRASH_TIMEOUT)
    transaction.load()
    # Looked up as late as this: from now on no new flow of theirs can begin.
    flows = find_flows(host, cut)
    transaction.when_kept(flows)
    if wait:
        pending.update(token=transaction.token, timeout=wait, program=host.path(PROGRAM), python=sys.executable)
    else:
        transaction.persist()
    return len(flows)


def _disable(host: Host, old: State, plan: Plan) -> None:
    """Switch ufw off with its own command, which takes the lock itself; the files are written already."""
    argv = ["ufw", "--force", "disable"]
    done = host.run(argv)
    if done.status:
        with host.lock():
            write_files(host, {path: old.texts[path] for path in plan.files})
        raise RulesetError(
            f"`{' '.join(argv)}` failed (status {done.status}): {(done.err + done.out).strip()}; "
            f"ufw's files are as they were"
        )


# -- the export ------------------------------------------------------------------------------------------------------


def inform(host: Host) -> dict[str, Any]:
    """The live ruleset in the shape of the module's input, and how the kernel and the files differ."""
    with host.lock():
        state = read_state(host)
    drift = state.malformed + file_drift(state)
    if state.active:
        drift += kernel_drift(kernel_repairs(state, state.settings, state.rules))
    settings = state.settings
    return {
        "active": state.active,
        "enabled": state.enabled,
        "default": {"incoming": settings.incoming, "outgoing": settings.outgoing, "routed": settings.routed},
        "logging": settings.logging,
        "ipv6": settings.ipv6,
        "rules": export_rules(state.rules[4], state.rules[6] if state.filters_ipv6 else [], state.filters_ipv6),
        "drift": drift,
        "docker": docker.export_docker(state),
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
    rules: list[dict[str, Any]] = []
    last: tuple | None = None
    for four, six in merge_families(v4, v6, twins(v6)):
        rule = four or six
        single = use_ipv6 and not (four and six) and has_both_families(rule)
        # A profile's ports are one rule of the input: the tuples after the first one go without saying.
        group = rule.app_match and (rule.app_match, rule.action, rule.log, rule.comment, bool(four), bool(six))
        if group is None or group != last:
            rules.append(_export(rule, single))
        last = group
    return rules


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
