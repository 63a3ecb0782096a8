# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A run that comes to a host on which the change of another run waits for its confirmation: it waits too, and then goes on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.local import now

#: Seconds that a run waits in all, whatever the host's files say: the longest confirmation that the modules allow. And between two looks.
LONGEST, _PAUSE = 3600, 0.5
#: Seconds after its deadline that a change which still waits has lost its timer.
LATE = 10
_WORDS = {"kept": "kept", "back": "rolled back", "waiting": "not settled in time"}


class Patience:
    """Of one run, for all the changes that it meets. is_overdue: whether a change has lost its timer; state: what became of one, by its
    token.

    What the other run needs to keep its change or to take it back is not to be held in ``pause``."""

    def __init__(self, is_overdue: Callable[[Any], bool], state: Callable[[str], str]) -> None:
        self._is_overdue, self._state = is_overdue, state
        self._began, self._token = now(), ""

    def waits_for(self, change: Any) -> bool:
        """Whether a change, None for none, is still to be waited for."""
        if change is None or self._is_overdue(change) or self.waited >= LONGEST:
            return False
        self._token = change.token
        return True

    def pause(self) -> None:
        time.sleep(_PAUSE)

    @property
    def waited(self) -> int:
        """Whole seconds since the run came to the host, at most LONGEST."""
        return min(LONGEST, int(now() - self._began))

    def said(self) -> list[str]:
        """What the user reads of it."""
        if not self._token:
            return []
        end = _WORDS.get(self._state(self._token), "settled")
        return [f"waited {self.waited} s for another change, which was {end}"]
