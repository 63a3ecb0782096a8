# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan -> tailscaled: one PATCH, or one start and one login; read back; on a failure everything is as it was."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import (
    DENIED,
    DaemonError,
    LocalApi,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.plan import Plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import (
    TAILSCALE,
    options_of,
    undo_of,
    whole,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.status import (
    NEEDS_LOGIN,
    NO_STATE,
    RUNNING,
    Status,
    read_status,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.waiting import NotUp, wait_for
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.wanted import ABSENT, Wanted

#: Seconds that control may take to hear of a logout.
LOGOUT_SECONDS = 15.0
_TAGS, _SERVER = "advertise_tags", "login_server"


def check(api: LocalApi, prefs: Mapping[str, Any], mask: Mapping[str, Any]) -> None:
    """Have tailscaled look at the preferences as they would be; nothing is changed. Refused where it would not take them.
    The right to change them is asked for by it, too."""
    answer = api.post("check-prefs", whole(prefs, mask))
    said = answer.get("Error") if isinstance(answer, Mapping) else None
    if said:
        raise refusal(str(said))


def refusal(said: str) -> Refused:
    """What tailscaled does not take, in its own words."""
    remedy = "change what it names; nothing was changed"
    return Refused(
        [Mistake("tailscaled", f"a refusal: {printable(said)}", "that it takes the settings", remedy, "refused")]
    )


def change(api: LocalApi, plan: Plan, prefs: Mapping[str, Any]) -> dict[str, Any]:
    """One PATCH; the preferences as they are read back. Refused, and all as it was, where one of them is not as asked."""
    api.patch("prefs", plan.mask)
    found: dict[str, Any] = api.get("prefs")
    lost = {
        option: value
        for option, value in options_of(found).items()
        if option in plan.changed and value != plan.after[option]
    }
    if lost:
        api.patch("prefs", undo_of(prefs, plan.mask))
        raise Refused([_not_taken(option, plan.after[option], value, api.version) for option, value in lost.items()])
    return found


def _not_taken(option: str, wanted: Any, value: Any, version: str) -> Mistake:
    return Mistake(
        option,
        f"{printable(value)} read back from tailscaled {version}".rstrip(),
        printable(wanted),
        "this tailscaled does not know the setting or does not let it be changed (a policy of the system): all is as it was",
        "not-taken",
    )


def log_in(api: LocalApi, plan: Plan, wanted: Wanted, prefs: Mapping[str, Any], status: Status) -> Status:
    """Start the client with all preferences and the key, and wait for it. Refused, with the preferences and the login as
    they were, where control does not take the key."""
    server = plan.after[_SERVER]
    # As logged out, so that `start` does not use the key for the login that the node has, and the next request once more:
    # a key for one node is used up by then. (A node that is up stays so meanwhile.)
    then = {**whole(prefs, plan.mask), "LoggedOut": True, "WantRunning": True}
    if wanted.key and server != TAILSCALE:
        # Headscale refuses a key's login that asks for tags: the key has them.
        then["AdvertiseTags"] = None
    try:
        api.post("start", {"AuthKey": wanted.key, "UpdatePrefs": then})
        api.post("login-interactive")
        return wait_for(api, _arrived(status), wanted.timeout, server, bool(wanted.key), status.health)
    except (Refused, OSError) as error:
        _back(api, prefs, status, error)
        raise


def _arrived(before: Status) -> Callable[[Status], bool]:
    """Whether the node is up by a key of its own that it did not have before: what it was before the login is shown for a
    while."""
    return lambda now: now.state == RUNNING and now.has_key and now.public_key != before.public_key


def _back(api: LocalApi, prefs: Mapping[str, Any], status: Status, error: Exception) -> None:
    """Undo a login that did not come about. One that control has taken stays: its key is used, and the node is known."""
    if isinstance(error, NotUp) and error.status.state not in (NEEDS_LOGIN, NO_STATE, RUNNING):
        return
    if isinstance(error, DaemonError) and error.kind == DENIED:
        return
    with contextlib.suppress(Refused, OSError):
        api.post("start", {"UpdatePrefs": whole(prefs, {})})
        if status.state == RUNNING:
            wait_for(api, lambda now: now.state == RUNNING, 20.0, "")


def log_out(api: LocalApi, wanted: Wanted, prefs: Mapping[str, Any]) -> list[str]:
    """Log the node out; warnings. Where control does not hear of it, `absent` removes the node's keys here all the same,
    and `logged_out` is Refused with the node as it was."""
    try:
        api.post("logout", timeout=LOGOUT_SECONDS)
        return []
    except DaemonError as error:
        if error.kind == DENIED:
            raise
        detail = error.detail or str(error.mistakes[0].got)
    if wanted.state != ABSENT:
        with contextlib.suppress(Refused, OSError):
            api.patch("prefs", _as_before(prefs))
        remedy = (
            "make the server reachable, or say state: absent, which removes the node's keys from this host in any case"
        )
        got = f"no logout at {options_of(prefs)[_SERVER]} ({printable(detail)})"
        raise Refused([Mistake("state", got, "that the control server hears of it", remedy, "logout")])
    forget(api)
    return [
        f"the control server did not hear of the logout ({printable(detail)}): the node's keys are gone from this host; remove "
        f"the node there, on {options_of(prefs)[_SERVER]}"
    ]


def _as_before(prefs: Mapping[str, Any]) -> dict[str, Any]:
    """tailscaled takes itself down before it asks control."""
    names = ("WantRunning", "LoggedOut")
    return {**{name: prefs.get(name) is True for name in names}, **{f"{name}Set": True for name in names}}


def forget(api: LocalApi) -> None:
    """Remove the node's profile, and its keys with it."""
    profile = api.get("profiles/current")
    name = profile.get("ID") if isinstance(profile, Mapping) else None
    if isinstance(name, str) and name:
        api.delete(f"profiles/{quote(name, safe='')}")


def wait_until_known(api: LocalApi, seconds: float) -> Status:
    """The status of a daemon that may just have been started: what it has of the node is not known at once."""
    end = time.monotonic() + seconds
    status = read_status(api, peers=False)
    while status.state == NO_STATE and time.monotonic() < end:
        time.sleep(0.1)
        status = read_status(api, peers=False)
    return status
