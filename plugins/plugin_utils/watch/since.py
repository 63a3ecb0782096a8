# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Since when a watch looks: `2h`, or a time."""

from __future__ import annotations

import re
from datetime import datetime

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: The farthest back that is looked, in seconds: ten years.
_MOST = 3653 * 86400


def seconds_since(text: str, now: float) -> int:
    """How many seconds ago a text says. now: this machine's clock, whose time zone counts for a time without one. Refused."""
    span = re.fullmatch(r"([0-9]{1,9})\s*([smhdw])", text.strip())
    if span:
        found: float = int(span[1]) * _UNITS[span[2]]
    else:
        try:
            found = now - datetime.fromisoformat(text.strip()).timestamp()
        except (ValueError, OverflowError, OSError):
            raise _refused(text, "a span such as 90m, 2h, 1d, 1w, or a time such as 2026-11-30 08:00") from None
    if not 0 < found <= _MOST:
        raise _refused(text, "a time in the past, and not more than ten years ago")
    return int(found) + 1


def _refused(text: str, expected: str) -> Refused:
    return Refused([Mistake("since", printable(text, 80), expected, "write it like that")])
