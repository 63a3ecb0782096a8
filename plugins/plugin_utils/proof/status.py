# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a probe proves: what was found (`probe.flows.Verdict`), held against what the site declares."""

from __future__ import annotations

from enum import Enum


class Status(str, Enum):
    """The outcome of one probe."""

    #: As declared.
    ALLOWED = "allowed"
    DENIED = "denied"
    #: Refused by the limit that its flow declares; another probe under the same flow was let through.
    LIMITED = "limited"
    #: Failures of the proof, the worst first.
    OPEN = "open"
    BLOCKED = "blocked"
    MISDIRECTED = "misdirected"
    INCONCLUSIVE = "inconclusive"


FAILURES = (Status.OPEN, Status.BLOCKED, Status.MISDIRECTED, Status.INCONCLUSIVE)
