# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One change at a time: what a run does about the change of another one. Of waiting_change.py's guards; ufw has its own lock, and
ufw/pending.py."""

from __future__ import annotations

import os
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import now
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.patience import Patience
from ansible_collections.bulkhead.tiers.plugins.module_utils.waiting_change import GuardError, Waiting, WaitingGuard


def clear_the_way(guard: WaitingGuard, check_mode: bool) -> list[str]:
    """Before anything is read: another change is waited for, and one whose timer was lost is taken back. Warnings; Refused."""
    if not os.path.exists(guard.path(guard.of_ours("change.json"))):
        return []
    patience = Patience(guard.is_overdue, lambda token: guard.outcome(token)["state"])
    try:
        while patience.waits_for(change := guard.change()):
            patience.pause()
        if change is None:
            return patience.said()
        if not guard.is_overdue(change):
            raise _refused(guard, change)
        if check_mode:
            return [*patience.said(), "a change that a killed process left is taken back first"]
        with guard.locked():
            if guard.change() == change:  # no other run was faster
                guard.back(change, "its timer was lost")
    except (GuardError, OSError) as error:
        remedy = f"when all is as it should be on the host, remove {guard.of_ours('change.json')}"
        got = f"a change that a killed process left, and that cannot be taken back ({error})"
        raise Refused([Mistake("confirm", got, "none", remedy, "guard")]) from error
    return [*patience.said(), "a change that a killed process left was found; it was taken back first"]


def begin(guard: WaitingGuard, change: Any, program: bytes) -> None:
    """Note down a change before it is made. Refused where another run was faster, such as one that waited for the same change."""
    with guard.locked():
        other = guard.change()
        if other is not None:
            raise _refused(guard, other)
        guard.arm(change, program)


def _refused(guard: WaitingGuard, change: Waiting) -> Refused:
    got = f"another change that waits for its confirmation, {max(0.0, change.deadline - now()):.0f} s more"
    remedy = f"run the task again then, or on the host at once `python3 {guard.of_ours('guard.py')} back` (or `keep`)"
    return Refused([Mistake("confirm", got, "none", remedy, "waiting")])
