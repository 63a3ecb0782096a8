# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the static proof says: a verdict for each cell, and findings."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import Asked

#: The service of a cell that is about all that no flow declares.
EVERYTHING_ELSE = "everything else"


class Answer(str, Enum):
    """What the hosts' rules do with the packets of a cell: all of them, none, some, or not known."""

    ALLOWED = "allowed"
    DENIED = "denied"
    PARTLY = "partly"
    UNKNOWN = "unknown"


class Kind(str, Enum):
    """What a finding is about."""

    BLOCKED = "blocked"
    OPEN = "open"
    #: What an invariant forbids is open, whatever lets it through.
    NEVER = "never"
    #: What cannot be told from the rules.
    UNKNOWN = "unknown"
    #: Two ways to the same answer differ: a mistake of the proof itself.
    DISAGREEMENT = "disagreement"
    DEAD = "dead"
    REDUNDANT = "redundant"
    CONTRADICTORY = "contradictory"
    DRIFT = "drift"
    #: A flow whose `until` has passed.
    EXPIRED = "expired"
    CAPACITY = "capacity"
    ROUTE = "route"
    ADDRESS = "address"
    #: A host of the inventory of which nothing was read.
    MISSING = "missing"


class Severity(str, Enum):
    """An error fails the proof."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Hop(NamedTuple):
    """What one host does with the witness."""

    host: str
    chain: str
    answer: str
    rule: str


class Finding(NamedTuple):
    """host: where the cause is, "" where it is on none. what: one sentence. witness: a packet, "" without one. path: the
    declaration's key that it is about. cells: [(from place, to place)]. times: how many sets of packets it stands for. asked: the witness as a question."""

    kind: Kind
    severity: Severity
    host: str
    what: str
    remedy: str
    witness: str = ""
    hops: tuple[Hop, ...] = ()
    path: str = ""
    cells: tuple[tuple[str, str], ...] = ()
    times: int = 1
    asked: Optional[Asked] = None

    def to_dict(self) -> dict[str, Any]:
        plain = self._asdict()
        plain.pop("asked")
        return {
            **plain,
            "kind": self.kind.value,
            "severity": self.severity.value,
            "hops": [hop._asdict() for hop in self.hops],
            "cells": [list(cell) for cell in self.cells],
        }


class Cell(NamedTuple):
    """flow: the path of the one that declares the service, "" for everything else. expected: ALLOWED or DENIED."""

    source: str
    destination: str
    service: str
    flow: str
    expected: Answer
    verdict: Answer

    @property
    def holds(self) -> bool:
        return self.expected is self.verdict

    def to_dict(self) -> dict[str, Any]:
        names = {"from": self.source, "to": self.destination, "service": self.service, "flow": self.flow or None}
        return {**names, "expected": self.expected.value, "verdict": self.verdict.value}


class Static(NamedTuple):
    """hosts, groups: how many were read, and how many groups they make. seconds: what it took."""

    cells: tuple[Cell, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()
    hosts: int = 0
    groups: int = 0
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether no finding is an error."""
        return not any(finding.severity is Severity.ERROR for finding in self.findings)

    @property
    def counts(self) -> Mapping[str, int]:
        return {answer.value: sum(cell.verdict is answer for cell in self.cells) for answer in Answer}

    def to_dict(self) -> dict[str, Any]:
        return {
            "holds": self.holds,
            "hosts": self.hosts,
            "groups": self.groups,
            "seconds": round(self.seconds, 2),
            "counts": dict(self.counts),
            "cells": [cell.to_dict() for cell in self.cells],
            "findings": [finding.to_dict() for finding in self.findings],
            "notes": list(self.notes),
        }
