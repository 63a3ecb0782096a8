# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waivers: who accepts which finding, and why.

db:  # bulkhead: allow BT001 -- moves next week      the block that begins on this line
# bulkhead: allow BT001, BT002 -- moves next week    the block that begins on the next line
labels: {bulkhead.allow.BT001: moves next week}      this service; also where it runs
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.catalogue import RULES
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Finding, Place

_COMMENT = re.compile(r"bulkhead:\s*(?P<rest>.*)\Z")
_ALLOW = re.compile(r"allow\b(?P<rules>.*?)(?:--(?P<reason>.*))?\Z")
_LABEL = "bulkhead.allow."
_EXAMPLE = "write it like: # bulkhead: allow BT003 -- the reason"


@dataclass
class _Waiver:
    """One rule that is waived: in the lines of a block (first, last) of a file, or for a service (stack, name)."""

    rule: str
    reason: str
    place: Place
    block: tuple[int, int]
    service: tuple[str, str]
    used: bool = False

    def waives(self, finding):
        if finding.rule != self.rule:
            return False
        if self.service:
            return (finding.stack, finding.service) == self.service
        file, line = finding.place
        return file == self.place.file and self.block[0] <= line <= self.block[1]


def apply_waivers(findings, sources, services):
    """The findings, each with the reason of its waiver, and what is wrong with the waivers themselves.

    sources: of source.Source; services: of model.Service, whose labels may be waivers.
    """
    waivers, problems = [], []
    for source in sources:
        for line, alone, text in source.comments:
            _read_comment(source, line, alone, text, waivers, problems)
    for service in services:
        _read_labels(service, waivers, problems)
    result = []
    for finding in findings:
        matching = [waiver for waiver in waivers if waiver.waives(finding)]
        for waiver in matching:
            waiver.used = True
        result.append(replace(finding, waived=matching[0].reason) if matching else finding)
    for waiver in waivers:
        if not waiver.used:
            name = RULES[waiver.rule].name
            problems.append(
                Finding(
                    "BT091",
                    f"the waiver of {waiver.rule} ({name}) waives nothing",
                    "remove it",
                    waiver.place,
                    *waiver.service,
                )
            )
    return result + problems


def _read_comment(source, line, alone, text, waivers, problems):
    said = _COMMENT.match(text)
    if not said:
        return
    place = Place(source.file, line)
    allow = _ALLOW.match(said.group("rest"))
    if not allow:
        problems.append(Finding("BT092", f"'{said.group('rest')}' is no waiver", _EXAMPLE, place))
        return
    # A comment on a line of its own speaks of the next line on which something begins.
    first = min((start for start in source.extents if start > line), default=line) if alone else line
    block = (first, source.extents.get(first, first))
    ids = allow.group("rules").replace(",", " ").split()
    _add(ids, allow.group("reason"), place, block, (), waivers, problems)


def _read_labels(service, waivers, problems):
    for labels in (service.labels, service.unread_labels):
        for label, text in labels.items():
            if label.startswith(_LABEL):
                owner = (service.stack, service.name)
                _add([label[len(_LABEL) :]], text.value, text.place, (0, 0), owner, waivers, problems)


def _add(ids, reason, place, block, owner, waivers, problems):
    reason = " ".join((reason or "").split())
    if not ids:
        problems.append(Finding("BT092", "the waiver names no rule", _EXAMPLE, place, *owner))
    for rule in ids:
        if rule not in RULES:
            problems.append(Finding("BT092", f"there is no rule {rule}", "name one of the rules' ids", place, *owner))
        elif not reason:
            message = f"the waiver of {rule} ({RULES[rule].name}) gives no reason, and waives nothing"
            problems.append(Finding("BT090", message, _EXAMPLE, place, *owner))
        else:
            waivers.append(_Waiver(rule, reason, place, block, owner))
