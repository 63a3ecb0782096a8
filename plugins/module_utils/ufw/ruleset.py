# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole run: lock, read, parse, plan, apply; and the live ruleset as input for the next one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .apply import Transaction, write_files
from .apps import read_profiles
from .errors import InputErrors, RulesetError
from .files import PROFILES, Host
from .kernel import BUILTIN
from .parse import WantedRules, parse_rules
from .plan import Plan, Wish, file_drift, kernel_drift, kernel_repairs, make_plan, twins, wanted_settings
from .render import hook_chains
from .rule import PREFIX, Rule, has_both_families, is_anywhere
from .state import State, merge_families, read_state

Params = dict[str, Any]
_LOG_NAMES = {"": "off", "log": "new", "log-all": "all"}


def converge(host: Host, params: Params, check_mode: bool) -> dict[str, Any]:
    """Make the host as the parameters say (the module's, see its documentation); the module's return values.
    RulesetError where that cannot be done: then nothing was changed, or everything was brought back."""
    if params["purge"] and params["rules"] is None:
        raise InputErrors(["purge: is true without rules; list the rules to keep, or write rules: [] to remove all"])
    with host.lock():
        state, plan, wanted = _plan(host, params)
        if plan.changed and not check_mode:
            _apply(host, state, plan)
    if plan.switch and not check_mode:
        _switch(host, state, plan, params)
    return {
        "changed": plan.changed,
        "added": plan.added,
        "removed": plan.removed,
        "reordered": plan.reordered,
        "settings": plan.settings,
        "drift": plan.drift,
        "shadowed": wanted.shadowed if wanted else [],
        "warnings": wanted.warnings if wanted else [],
        "diff": {
            "before": plan.before,
            "after": plan.after,
            "before_header": "ufw ruleset",
            "after_header": "ufw ruleset",
        },
    }


def _plan(host: Host, params: Params) -> tuple[State, Plan, WantedRules | None]:
    state = read_state(host)
    policies = {name: value for name, value in (params["default"] or {}).items() if value is not None}
    wish = Wish(params["state"] == "enabled", policies, params["logging"], params["ipv6"], None, params["purge"])
    rules = None
    if params["rules"] is not None:
        use_ipv6 = wanted_settings(state.settings, wish).ipv6 and state.has_ipv6
        rules = parse_rules(params["rules"], use_ipv6, _profiles(host))
    wish = wish._replace(rules=rules)
    return state, make_plan(state, wish), rules


def _profiles(host: Host) -> Callable[[], dict[str, str]]:
    """The application profiles, read the first time that a rule names one."""
    cache: list[dict[str, str]] = []

    def load() -> dict[str, str]:
        if not cache:
            cache.append(read_profiles(host.path(PROFILES)))
        return cache[0]

    return load


def _apply(host: Host, state: State, plan: Plan) -> None:
    transaction = Transaction(host, plan.repairs, plan.files, state.texts)
    transaction.prepare()
    transaction.load()
    transaction.persist()


def _switch(host: Host, old: State, plan: Plan, params: Params) -> None:
    """Switch ufw on or off with its own command, which takes the lock itself; what it reads is written already."""
    argv = ["ufw", "--force", plan.switch]
    done = host.run(argv)
    if done.status:
        with host.lock():
            write_files(host, {path: old.texts[path] for path in plan.files})
        raise RulesetError(
            f"`{' '.join(argv)}` failed (status {done.status}): {(done.err + done.out).strip()}; "
            f"ufw's files are as they were"
        )
    if plan.switch == "enable":
        # What ufw has loaded is compared like any other ruleset: it leaves IPv6's limit chains empty the first time.
        with host.lock():
            state, rest, _wanted = _plan(host, params)
            if rest.switch:
                raise RulesetError(
                    "`{}` reported success, but ufw is not active; `ufw status` and the journal of "
                    "ufw.service say more".format(" ".join(argv))
                )
            _apply(host, state, rest)


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
