# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change that waits for its confirmation, as a run finds it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.patience import LATE, Patience
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import (
    BACK,
    CHANGE,
    JOURNAL,
    KEPT,
    Change,
    Guard,
    GuardError,
    now,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import PROGRAM

_WORDS = {KEPT: "in force and in the files now", BACK: "rolled back"}


@contextlib.contextmanager
def undisturbed(host: Host, check_mode: bool) -> Iterator[tuple[list[str], int]]:
    """Before anything is read, and until the run is done: other runs are kept out, and no other change waits. One that does is waited for,
    without a lock; what a killed process left is brought to an end. Warnings, and the seconds that it waited; RulesetError."""
    guard = Guard(host.root, host.run)
    patience = Patience(_is_overdue, lambda token: guard.outcome(token).state)
    while True:
        with host.alone():
            change = _change(guard)
            if not patience.waits_for(change):
                cleared = _clear(host, guard, change, check_mode)
                yield [*patience.said(), *cleared], patience.waited
                return
        patience.pause()


def _is_overdue(change: Change) -> bool:
    return change.deadline + LATE <= now()


def _clear(host: Host, guard: Guard, change: Optional[Change], check_mode: bool) -> list[str]:
    if change and not _is_overdue(change):
        raise RulesetError(
            f"another change of the ruleset waits for its confirmation: expected none; it is rolled back in "
            f"{max(change.deadline - now(), 0):.0f} s unless it is confirmed: run the task again then, or on the host at once "
            f"`python3 {PROGRAM} back` (or `keep`)"
        )
    if check_mode:
        left_over = change or host.exists(JOURNAL)
        return ["a change that a killed process left is brought to an end first"] if left_over else []
    try:
        with host.lock():
            state = guard.settle("its timer was lost")
    except (GuardError, OSError) as error:
        raise RulesetError(
            f"a change that a killed process left cannot be brought to an end: {error}; when the ruleset is as it "
            f"should be, remove {' and '.join(name for name in (CHANGE, JOURNAL) if host.exists(name))}"
        ) from error
    return [f"a change that a killed process left was found; it is {_WORDS[state]}"] if state else []


def _change(guard: Guard) -> Optional[Change]:
    try:
        return guard.change()
    except GuardError as error:
        raise RulesetError(f"{error}; when the ruleset is as it should be, remove {CHANGE}") from error
