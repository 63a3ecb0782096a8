# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node as results and diffs have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.plan import Plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import EXIT_NODE, UP
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.status import NEEDS_LOGIN, Status, text_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.wanted import DOWN, LOGGED_OUT, PRESENT


def facts(options: Mapping[str, Any], status: Status) -> dict[str, Any]:
    """The keys that both modules return of a node."""
    return {
        "state": status.state,
        "node": as_input(options, status),
        "ips": list(status.ips),
        "dns_name": status.dns_name,
        "tags": list(status.tags),
        "key_expiry": text_of(status.expiry) or None,
        "health": list(status.health),
    }


def as_input(options: Mapping[str, Any], status: Status) -> dict[str, Any]:
    """The node as the module's own options; what tailscaled has no value for is left out. Applied to the same node it
    changes nothing."""
    found = {name: value for name, value in options.items() if value is not None and name != UP}
    found[EXIT_NODE] = _called(str(options[EXIT_NODE]), status)
    if status.state == NEEDS_LOGIN and not status.has_key:
        return {"state": LOGGED_OUT, **found}
    return {"state": PRESENT if options[UP] else DOWN, **found}


def _called(exit_node: str, status: Status) -> str:
    """An exit node by its name, where its peer is known; an address that ends with the name serves as well."""
    for peer in status.peers:
        if exit_node in (peer.id, *peer.ips):
            return peer.dns_name or exit_node
    return exit_node


def diff(plan: Plan, after: Mapping[str, Any], status: Status) -> dict[str, str]:
    """Before and after, an option a line."""
    if plan.logout:
        return {"before": _text(plan.before, "logged in", status), "after": "state: logged out\n"}
    was = f"{plan.login} needed" if plan.login else ""
    now = "logged in" if plan.login else ""
    return {"before": _text(plan.before, was, status), "after": _text(after, now, status, plan.later)}


def _text(options: Mapping[str, Any], login: str, status: Status, later: str = "") -> str:
    shown = {name: value for name, value in options.items() if name != UP}
    shown[EXIT_NODE] = later or _called(str(options[EXIT_NODE]), status)
    lines = [f"state: {'up' if options[UP] else 'down'}", *([f"login: {login}"] if login else ())]
    lines += [f"{name}: {_value(value)}" for name, value in shown.items()]
    return "".join(f"{line}\n" for line in lines)


def _value(value: Any) -> str:
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(printable(item) for item in value) or "none"
    return printable(value) or "''"
