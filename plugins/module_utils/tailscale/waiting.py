# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for the node: until it is up, or says why it is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.localapi import (
    BROKEN,
    MISSING,
    STOPPED,
    DaemonError,
    LocalApi,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.status import (
    NEEDS_APPROVAL,
    NEEDS_LOGIN,
    NO_STATE,
    RUNNING,
    Status,
    read_status,
)

#: Seconds between two looks, at first and at most.
PAUSE, LONGEST_PAUSE = 0.1, 1.0
#: Seconds that a login may stay refused before the wait ends: tailscaled tries again by itself, and so gets over a control
#: server that is being restarted.
REFUSED_FOR = 5.0
#: Seconds for a daemon that is being started again.
_AWAY = 10.0

Done = Callable[[Status], bool]


class NotUp(Refused):
    """The node did not get where it should. ``status`` is the last one."""

    def __init__(self, mistake: Mistake, status: Status) -> None:
        super().__init__([mistake])
        self.status = status


def wait_for(
    api: LocalApi, done: Done, seconds: float, server: str, key: bool = False, known: Sequence[str] = ()
) -> Status:
    """The status for which ``done`` holds; NotUp with what tailscaled says where it does not come.

    server: the control server, for the message. key: whether the node was given a key to log in with, so that nothing
    waits for a person. known: what tailscaled said was wrong before, which says nothing of the login.
    """
    end = time.monotonic() + seconds
    pause, refused_since, away_since = PAUSE, 0.0, 0.0
    status: Optional[Status] = None
    while True:
        now = time.monotonic()
        try:
            status = read_status(api, peers=False)
            away_since = 0.0
        except DaemonError as error:
            away_since = away_since or now
            if error.kind not in (MISSING, STOPPED, BROKEN) or now - away_since > _AWAY:
                raise
        if status is not None and not away_since:
            if done(status):
                return status
            # A node that was up before is so while its new login is refused.
            news = bool(set(status.health) - set(known)) and (key or status.state == NEEDS_LOGIN)
            refused = status.state in (NEEDS_LOGIN, RUNNING) and bool(news or status.auth_url)
            refused_since = (refused_since or now) if refused else 0.0
            stuck = (key or bool(status.auth_url)) and refused_since and now - refused_since > REFUSED_FOR
            if stuck or now >= end:
                raise NotUp(_why(status, seconds, server, key), status)
        time.sleep(min(pause, max(0.01, end - time.monotonic())))
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _why(status: Status, seconds: float, server: str, key: bool) -> Mistake:
    """Why the node is not up, in tailscaled's own words where it has some."""
    says = f": {'; '.join(printable(text) for text in status.health)}" if status.health else ""
    got, expected = f"{status.state}{says}", f"Running within {seconds:.0f} s"
    if status.state == NEEDS_APPROVAL:
        remedy = f"approve the node {status.dns_name or ''} on {server} and run the task again".replace("  ", " ")
        return Mistake("state", got, expected, remedy, NEEDS_APPROVAL)
    if status.state == NEEDS_LOGIN and status.auth_url and not (key and status.health):
        return Mistake(
            "state", got, expected, f"log the node in at {status.auth_url} and run the task again", NEEDS_LOGIN
        )
    if status.state in (NEEDS_LOGIN, RUNNING) and key:
        remedy = (
            f"check auth_key: whether it is one of {server}, and neither used up nor expired nor revoked; and whether the "
            "host reaches that server"
        )
        return Mistake("auth_key", got, expected, remedy, "login")
    if status.state == NEEDS_LOGIN:
        return Mistake("auth_key", got, expected, "give auth_key, or client_secret", NEEDS_LOGIN)
    if status.state == NO_STATE:
        remedy = f"check that the host reaches {server} (its firewall, DNS, a proxy) and run the task again"
        return Mistake("state", got, expected, remedy, NO_STATE)
    remedy = f"check that the host reaches {server} and its DERP servers, or give the task a longer timeout"
    return Mistake("state", got, expected, remedy, status.state)
