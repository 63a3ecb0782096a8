# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The smallest change that makes a node what is wanted: pure, from what was read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import (
    AUTO,
    EXIT,
    EXIT_NODE,
    TAILSCALE,
    UP,
    mask_of,
    options_of,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.status import (
    NEEDS_LOGIN,
    NO_STATE,
    RUNNING,
    Status,
    text_of,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.wanted import DOWN, PRESENT, Wanted

#: Why a node logs in: it is not; its key runs out; it moves to another control server; control has not granted its tags.
JOIN, RENEW, MOVE, RETAG = "join", "renew", "move", "retag"
#: Beside logins, what a change can be.
LOGOUT, SET, UP_AGAIN, GO_DOWN = "logout", "set", "up", "down"

_TAGS, _SERVER = "advertise_tags", "login_server"
#: How many names a message lists.
_MOST_NAMES = 8


@dataclass(frozen=True)
class Plan:
    """before, after: all options, by name. changed: those that differ. mask: what PATCH prefs takes for them. login: why a
    login is needed, "" where none is. logout: whether the node leaves. later: an exit node that can only be looked for when
    the node is up. warnings: for people."""

    before: dict[str, Any]
    after: dict[str, Any]
    changed: tuple[str, ...] = ()
    mask: dict[str, Any] = field(default_factory=dict)
    login: str = ""
    logout: bool = False
    later: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.changed or self.login or self.logout or self.later)

    @property
    def actions(self) -> list[str]:
        """What is done, in one word each, in that order."""
        turned = [UP_AGAIN if self.after[UP] else GO_DOWN] if UP in self.changed and not self.login else []
        options = [SET] if set(self.changed) - {UP} or self.later else []
        return [*([LOGOUT] if self.logout else ()), *([self.login] if self.login else ()), *options, *turned]


def make(wanted: Wanted, prefs: Mapping[str, Any], status: Status, now: float) -> Plan:
    """What there is to be done. Refused where it cannot be: an exit node that is none, a login without a key.

    prefs: as GET prefs has them. status: with peers where an exit node is wanted by name. now: seconds since 1970.
    """
    before = options_of(prefs)
    if wanted.leaves:
        gone = status.state in (NEEDS_LOGIN, NO_STATE) and not status.has_key
        return Plan(before, {**before, UP: False}, logout=not gone)
    mistakes: list[Mistake] = []
    after = {**before, **wanted.options, UP: wanted.state != DOWN}
    later = _choose_exit_node(wanted, status, before, after, mistakes)
    if after[EXIT] and after[EXIT_NODE] and not mistakes:
        mistakes.append(
            Mistake(
                EXIT,
                f"true on a node that uses the exit node {printable(after[EXIT_NODE])}",
                "one of the two",
                "say exit_node: '' as well",
            )
        )
    login, warnings = _login(wanted, status, before, after, now, mistakes)
    if mistakes:
        raise Refused(mistakes)
    if not login and status.state == RUNNING and wanted.options.get(_TAGS) == list(status.tags):
        # Granted, whatever the preference says: with a key that has tags it is empty.
        after[_TAGS] = before[_TAGS]
    changed = tuple(option for option in after if after[option] != before[option])
    return Plan(before, after, changed, mask_of(after, dict.fromkeys(changed)), login, False, later, tuple(warnings))


# -- the exit node ---------------------------------------------------------------------------------------------------


def _choose_exit_node(
    wanted: Wanted, status: Status, before: Mapping[str, Any], after: dict[str, Any], mistakes: list[Mistake]
) -> str:
    """Put the exit node into ``after`` as tailscaled has it; its name where it can only be found when the node is up."""
    name = wanted.options.get(EXIT_NODE)
    if not name or name == AUTO:
        return ""
    if status.state != RUNNING:
        after[EXIT_NODE] = before[EXIT_NODE]
        # A node that is down keeps what it has: its peers are not known, so nothing can be compared.
        return name if wanted.state == PRESENT and name != before[EXIT_NODE] else ""
    found = status.find(name)
    if len(found) == 1 and found[0].exit_node:
        peer = found[0]
        after[EXIT_NODE] = before[EXIT_NODE] if before[EXIT_NODE] in (peer.id, *peer.ips) else peer.id
        return ""
    mistakes.append(_no_exit_node(name, status, len(found)))
    return ""


def _no_exit_node(name: str, status: Status, found: int) -> Mistake:
    offered = sorted(peer.dns_name or peer.name for peer in status.peers if peer.exit_node)
    names = ", ".join(offered[:_MOST_NAMES]) or "there is none at the moment"
    own = name.lower().rstrip(".") in (*status.ips, status.dns_name.lower())
    if own:
        got, remedy = "is this node itself", "say advertise_exit_node: true for it to be one"
    elif found > 1:
        got, remedy = f"is the name of {found} peers", "name it by its address"
    elif found:
        got = "is a peer that is no exit node"
        remedy = (
            "have it offer to be one (advertise_exit_node: true there) and approve that on the control server; tailscaled "
            "would take it all the same, and drop all traffic to the internet"
        )
    else:
        got, remedy = "is no peer that this node sees", "check the name, and whether the policy lets this node see it"
    return Mistake(
        EXIT_NODE, f"{printable(name)}, which {got}", f"a peer that is an exit node ({names})", remedy, EXIT_NODE
    )


# -- logins ----------------------------------------------------------------------------------------------------------


def _login(
    wanted: Wanted,
    status: Status,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    now: float,
    mistakes: list[Mistake],
) -> tuple[str, list[str]]:
    """Why the node has to log in, "" where it need not; and warnings. A missing key is a mistake."""
    logged_in = status.has_key and status.state != NEEDS_LOGIN
    moves = logged_in and after[_SERVER] != before[_SERVER]
    if wanted.state == DOWN:
        if moves:
            remedy = "log it in there with state: present, or out with state: logged_out first"
            mistakes.append(Mistake(_SERVER, f"{after[_SERVER]} for a node of {before[_SERVER]}", "its own", remedy))
        return "", []
    if not logged_in:
        why = JOIN
    elif moves:
        why = MOVE
    elif _tags_are_not_granted(wanted, status, before):
        why = RETAG
    else:
        return _renewal(wanted, status, now)
    if not wanted.at_hand:
        mistakes.append(no_key(why, status))
    return why, []


def _tags_are_not_granted(wanted: Wanted, status: Status, before: Mapping[str, Any]) -> bool:
    """Whether control has other tags than the node has asked for already, so that only a login can change them."""
    tags = wanted.options.get(_TAGS)
    if tags is None or status.state != RUNNING or tags == list(status.tags):
        return False
    return bool(tags == before[_TAGS]) or before[_SERVER] != TAILSCALE


def _renewal(wanted: Wanted, status: Status, now: float) -> tuple[str, list[str]]:
    if wanted.renew_before is None or status.expiry is None or status.expiry - now > wanted.renew_before:
        return "", []
    if wanted.at_hand:
        return RENEW, []
    text = f"the node's key expires at {text_of(status.expiry)}, and the task has no auth_key to renew it with"
    return "", [text]


_REASONS = {
    JOIN: "a node that is not logged in",
    MOVE: "a node that is logged in to another control server",
    RETAG: "a node whose tags are not those of advertise_tags",
}


def no_key(why: str, status: Status) -> Mistake:
    """A login is needed, and there is nothing to log in with."""
    reason = _REASONS[why]
    if why == JOIN and status.expired:
        reason = f"a node whose key expired at {text_of(status.expiry) or 'an unknown time'}"
    if why == RETAG:
        reason += f" (it has {', '.join(status.tags) or 'none'})"
    by_hand = f"; or log in by hand at {status.auth_url}" if status.auth_url else ""
    remedy = f"give auth_key, or client_secret{by_hand}"
    return Mistake("auth_key", f"none, for {reason}", "a key to log in with", remedy, "no-key")


def expiry_of(status: Status) -> Optional[str]:
    """The expiry for a result."""
    return text_of(status.expiry) or None
