# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""read -> plan -> check -> apply, for the module that changes a node."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.clearing import clear_the_way
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.session import Ask
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale import apply, cut, keeping, render
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.forwarding import check_forwarding
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.guard import Guard
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import (
    MISSING,
    STOPPED,
    DaemonError,
    LocalApi,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.plan import RETAG, Plan, make
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import (
    AUTO,
    EXIT,
    EXIT_NODE,
    ROUTES,
    UP,
    mask_of,
    options_of,
    undo_of,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.status import (
    NEEDS_LOGIN,
    NO_STATE,
    RUNNING,
    Peer,
    Status,
    read_status,
    text_of,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.waiting import wait_for
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.wanted import ABSENT, PRESENT, Wanted

#: How often a node is looked at again after a change that control has a say in.
_ROUNDS = 4
_TAGS, _SERVER = "advertise_tags", "login_server"
#: Seconds that control may take to grant tags that were asked for.
_TAGS_SECONDS = 10.0
#: Seconds that a daemon which has just been started gets to read what it knows.
_START_SECONDS = 5.0


class Run:
    """One call: the node as it was found, what was done, and what is said of it."""

    def __init__(self, wanted: Wanted, api: LocalApi, ask: Ask, root: str = "") -> None:
        self.wanted, self.api = wanted, api
        self._ask = ask
        self.warnings: list[str] = []
        self.actions: list[str] = []
        self.changes: set[str] = set()
        #: As they were read last: for names of exit nodes.
        self._peers: tuple[Peer, ...] = ()
        self._root = root
        self._keeping: Optional[keeping.Keeping] = None

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self) -> tuple[dict[str, Any], Status]:
        """GET status (with the peers only where an exit node is looked for among them), GET prefs."""
        name = self.wanted.options.get(EXIT_NODE)
        peers = bool(name) and name != AUTO and not self.wanted.leaves
        status = read_status(self.api, peers)
        if status.state == NO_STATE and status.has_key:
            apply.wait_until_known(self.api, _START_SECONDS)
            status = read_status(self.api, peers)
        self._peers = status.peers
        prefs = self.api.get("prefs")
        return (prefs if isinstance(prefs, dict) else {}), status

    # -- the whole -----------------------------------------------------------------------------------------------

    def converge(self, check_mode: bool) -> dict[str, Any]:
        """The module's result. Refused."""
        self.warnings += clear_the_way(Guard(self._root), check_mode)
        try:
            prefs, status = self.read()
        except DaemonError as error:
            if self.wanted.state == ABSENT and error.kind in (MISSING, STOPPED):
                return self._without_a_daemon(error)
            raise
        plan = make(self.wanted, prefs, status, time.time())
        self.warnings += plan.warnings
        self._check_host(plan, status)
        touched = self._cuts(plan, status)
        if check_mode:
            if plan.mask and not plan.logout:
                apply.check(self.api, prefs, plan.mask)
            return self._result(plan, plan.after, status, touched, prefs)
        if self._asks_for_the_key(plan):
            return {"changed": False, "needs_key": True, "why": plan.login or RETAG}
        self._begin(plan, prefs, touched)
        try:
            after, status = self._carry_out(plan, prefs, status)
        except BaseException as error:
            if self._keeping:
                self._keeping.back(f"the change did not come about: {type(error).__name__}")
            raise
        result = self._result(plan, after, status, touched, prefs)
        return {**result, "pending": self._keeping.wait()} if self._keeping else result

    def _begin(self, plan: Plan, prefs: Mapping[str, Any], touched: list[cut.Cut]) -> None:
        """Have the host take a change back that may cut the connection, before it is made. What certainly cuts it was
        accepted: no confirmation could come."""
        answers = {one.answer for one in touched}
        if not self.wanted.confirm or not answers or cut.ENDS in answers or plan.logout:
            return
        options = dict.fromkeys((*plan.changed, *([EXIT_NODE] if plan.later else ())))
        waits = self.wanted.state == PRESENT and bool(plan.login or UP in plan.changed)
        undo = undo_of(prefs, mask_of(plan.after, options))
        if undo or plan.login:
            self._keeping = keeping.Keeping(undo, bool(plan.login), self.api.path, self.wanted.confirm, self._root)
            self._keeping.begin(2 * int(self.wanted.timeout) if waits else 0)

    def _asks_for_the_key(self, plan: Plan) -> bool:
        """Whether the key is needed that the controller has: a host that is as it should be is never sent it. Tags may
        turn out to need a login."""
        here = bool(self.wanted.key) or not self.wanted.at_hand
        return not here and bool(plan.login or (_TAGS in plan.changed and self.wanted.state == PRESENT))

    def _check_host(self, plan: Plan, status: Status) -> None:
        if plan.logout or not (plan.after[ROUTES] or plan.after[EXIT]):
            mistakes = []
        else:
            mistakes = check_forwarding(plan.after, self._root) if status.tun else []
        if mistakes and {ROUTES, EXIT} & set(self.wanted.options):
            raise Refused(mistakes)
        self.warnings += [str(mistake) for mistake in mistakes]
        through = [name for name in (EXIT_NODE, "accept_routes") if self.wanted.options.get(name)]
        if through and not status.tun and status.state == RUNNING:
            self.warnings.append(
                f"tailscaled runs without a TUN device (--tun=userspace-networking): {' and '.join(through)} has no effect on "
                "what this host sends by itself; load the kernel's module tun and start tailscaled without that option"
            )

    def _cuts(self, plan: Plan, status: Status) -> list[cut.Cut]:
        """What of the plan touches the connection of the task; Refused where that is not accepted."""
        if plan.empty:
            return []
        way = cut.find_way(status, self._ask, self._root)
        found = cut.cuts(plan, way) if way else []
        refused = cut.refusals(found, way) if way and not self.wanted.accept_cut else []
        if refused:
            raise Refused(refused, "The change is refused, and nothing was touched:")
        return found

    # -- a change ------------------------------------------------------------------------------------------------

    def _carry_out(self, plan: Plan, prefs: dict[str, Any], status: Status) -> tuple[dict[str, Any], Status]:
        """All options and the status afterwards."""
        for _round in range(_ROUNDS):
            if plan.logout:
                return self._leave(plan, prefs)
            if plan.login:
                if plan.login in self.actions:
                    raise Refused([_not_granted(plan, self.wanted, status)])
                status = apply.log_in(self.api, plan, self.wanted, prefs, status)
                prefs = self.api.get("prefs")
            elif plan.mask:
                prefs = apply.change(self.api, plan, prefs)
            self.actions += [action for action in plan.actions if action not in self.actions]
            self.changes.update(plan.changed)
            status = self._settled(plan, status)
            again = plan.login or plan.later or _TAGS in plan.changed
            if not again:
                return options_of(prefs), status
            prefs, status = self.read()
            plan = make(self.wanted, prefs, status, time.time())
            if plan.empty:
                return options_of(prefs), status
        raise Refused([_never_as_wanted(plan)])

    def _settled(self, plan: Plan, status: Status) -> Status:
        """The status once the node is up, where it is to be; with its tags granted, where they were asked for."""
        if self.wanted.state != PRESENT:
            return read_status(self.api, peers=False) if plan.changed else status
        if status.state != RUNNING or plan.changed:
            server = plan.after[_SERVER]
            status = wait_for(self.api, _is_running, self.wanted.timeout, server, key=bool(self.wanted.key))
        if _TAGS in plan.changed and not plan.login:
            status = self._tagged(status)
        return status

    def _tagged(self, status: Status) -> Status:
        end = time.monotonic() + _TAGS_SECONDS
        while status.state == RUNNING and list(status.tags) != self.wanted.options[_TAGS] and time.monotonic() < end:
            time.sleep(0.2)
            status = read_status(self.api, peers=False)
        return status

    def _leave(self, plan: Plan, prefs: dict[str, Any]) -> tuple[dict[str, Any], Status]:
        self.actions += plan.actions
        self.warnings += apply.log_out(self.api, self.wanted, prefs)
        status = wait_for(self.api, lambda now: not now.has_key and now.state == NEEDS_LOGIN, self.wanted.timeout, "")
        return options_of(self.api.get("prefs")), status

    def _without_a_daemon(self, error: DaemonError) -> dict[str, Any]:
        """A node whose tailscaled is not there any more cannot be logged out."""
        self.warnings.append(
            f"{error}; without it the node cannot be logged out: where it ever was in a tailnet, remove it on the control "
            "server, and /var/lib/tailscale/tailscaled.state on this host"
        )
        return {
            "changed": False,
            "actions": [],
            "changes": [],
            "state": "absent",
            "node": None,
            "notes": self.warnings,
            "requests": self.api.requests,
            "diff": {"before": "", "after": ""},
        }

    # -- the result ----------------------------------------------------------------------------------------------

    def _result(
        self, plan: Plan, after: dict[str, Any], status: Status, touched: list[cut.Cut], prefs: Mapping[str, Any]
    ) -> dict[str, Any]:
        actions = self.actions or plan.actions
        changes = [] if plan.logout else sorted(self.changes or (*plan.changed, *([EXIT_NODE] if plan.later else ())))
        status = dataclasses.replace(status, peers=status.peers or self._peers)
        return {
            "changed": bool(actions),
            "actions": actions,
            "changes": changes,
            "cuts": cut.as_options(touched),
            **render.facts(after, status),
            "notes": self.warnings,
            "requests": self.api.requests,
            "diff": render.diff(plan, after, status),
        }


def _is_running(status: Status) -> bool:
    return status.state == RUNNING


def _not_granted(plan: Plan, wanted: Wanted, status: Status) -> Mistake:
    """A login went through, and control has not done what it was for."""
    if plan.login == RETAG:
        return Mistake(
            _TAGS,
            f"{', '.join(status.tags) or 'none'} from {plan.before[_SERVER]} after a login",
            ", ".join(wanted.options[_TAGS]) or "none",
            "give a key with these tags (`headscale preauthkeys create --tags`); a Headscale leaves a node that has tags with them: "
            "change them there (`headscale nodes tag`), or delete the node and run the task again",
            RETAG,
        )
    return Mistake(
        "auth_key",
        f"a login after which the key still expires at {text_of(status.expiry) or 'no time'}",
        "one that control renews the node's key for",
        "look at the node on the control server",
        plan.login,
    )


def _never_as_wanted(plan: Plan) -> Mistake:
    option = (*plan.changed, plan.login, "state")[0] or "state"
    return Mistake(
        option,
        f"{plan.before.get(option)} after {_ROUNDS} rounds",
        f"{plan.after.get(option)}",
        "look at what the control server grants this node (its tags, its policy)",
        "never",
    )
