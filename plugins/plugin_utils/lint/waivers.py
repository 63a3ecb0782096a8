# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waivers: who accepts which finding, and why.

db:  # bulkhead: allow BT001 -- moves next week      the block that begins on this line
# bulkhead: allow BT001, BT002 -- moves next week    the block that begins on the next line
labels: {bulkhead.allow.BT001: moves next week}      this service; also where it runs
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Optional, Protocol

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Finding, Place, Waiving
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.catalogue import RULES

_COMMENT = re.compile(r"bulkhead:\s*(?P<rest>.*)\Z")
_ALLOW = re.compile(r"allow\b(?P<rules>.*?)(?:--(?P<reason>.*))?\Z")
_EXAMPLE = "write it like: # bulkhead: allow BT003 -- the reason"


class Commented(Protocol):
    """A file with comments that may waive: lint's source.Source."""

    @property
    def file(self) -> str:
        """Its path."""

    @property
    def extents(self) -> Mapping[int, int]:
        """{line: last line of the key or item that begins there}."""

    @property
    def comments(self) -> Sequence[tuple[int, bool, str]]:
        """(line, whether it has the line for itself, text) of each."""


@dataclass
class _Waiver:
    """One rule that is waived: in the lines of a block (first, last) of a file, or for a service (stack, name)."""

    rule: str
    reason: str
    place: Place
    block: tuple[int, int] = (0, 0)
    service: Optional[tuple[str, str]] = None
    used: bool = False

    @property
    def scope(self) -> tuple[str, object]:
        """What a finding must have in common with it, but for the lines."""
        return self.rule, self.service or self.place.file


class _Waivers:
    """The waivers of a run, and what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[Finding] = []
        self._all: list[_Waiver] = []
        self._by_scope: dict[tuple[str, object], list[_Waiver]] = {}

    def add(
        self,
        rules: Sequence[str],
        reason: Optional[str],
        place: Place,
        block: tuple[int, int] = (0, 0),
        service: Optional[tuple[str, str]] = None,
    ) -> None:
        """One waiver as it is written: the rules that it names, and its reason."""
        reason = " ".join((reason or "").split())
        if not rules:
            self.wrong("BT092", "the waiver names no rule", _EXAMPLE, place, service)
        for rule in rules:
            if rule not in RULES:
                self.wrong("BT092", f"there is no rule {rule}", "name one of the rules' ids", place, service)
            elif not reason:
                message = f"the waiver of {rule} ({RULES[rule].name}) gives no reason, and waives nothing"
                self.wrong("BT090", message, _EXAMPLE, place, service)
            else:
                waiver = _Waiver(rule, reason, place, block, service)
                self._all.append(waiver)
                self._by_scope.setdefault(waiver.scope, []).append(waiver)

    def wrong(self, rule: str, message: str, fix: str, place: Place, service: Optional[tuple[str, str]] = None) -> None:
        """Something is wrong with a waiver."""
        self.problems.append(Finding(rule, message, fix, place, *(service or ())))

    def applied(self, finding: Finding) -> Finding:
        """The finding, with the reason where a waiver waives it."""
        own = self._by_scope.get((finding.rule, (finding.stack, finding.service)), ())
        here = self._by_scope.get((finding.rule, finding.place.file), ())
        matching = [*own, *(waiver for waiver in here if waiver.block[0] <= finding.place.line <= waiver.block[1])]
        for waiver in matching:
            waiver.used = True
        return replace(finding, waived=matching[0].reason) if matching else finding

    def unused(self) -> list[Finding]:
        """A finding for each waiver that waives nothing."""
        for waiver in self._all:
            if not waiver.used:
                message = f"the waiver of {waiver.rule} ({RULES[waiver.rule].name}) waives nothing"
                self.wrong("BT091", message, "remove it", waiver.place, waiver.service)
        return self.problems


def apply_waivers(
    findings: Iterable[Finding], sources: Iterable[Commented], labels: Iterable[Waiving]
) -> list[Finding]:
    """The findings, each with the reason of its waiver, and what is wrong with the waivers themselves.

    labels: of services.
    """
    waivers = _Waivers()
    for source in sources:
        starts = sorted(source.extents)
        for line, alone, text in source.comments:
            _read_comment(source, starts, line, alone, text, waivers)
    for label in labels:
        waivers.add([label.rule], label.reason.value, label.reason.place, service=(label.stack, label.service))
    return [waivers.applied(finding) for finding in findings] + waivers.unused()


def _read_comment(
    source: Commented, starts: Sequence[int], line: int, alone: bool, text: str, waivers: _Waivers
) -> None:
    """starts: the lines of the source on which something begins, in order."""
    said = _COMMENT.match(text)
    if not said:
        return
    place = Place(source.file, line)
    allow = _ALLOW.match(said.group("rest"))
    if not allow:
        waivers.wrong("BT092", f"'{said.group('rest')}' is no waiver", _EXAMPLE, place)
        return
    # A comment on a line of its own speaks of the next line on which something begins.
    after = bisect_right(starts, line)
    first = starts[after] if alone and after < len(starts) else line
    block = (first, source.extents.get(first, first))
    waivers.add(allow.group("rules").replace(",", " ").split(), allow.group("reason"), place, block)
