# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A change as it is printed before it is made, and what stops it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change.judge import Judged, Told
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.changes import NEVER, OPENED, UNKNOWN
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Changes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import BAD, DIM, GOOD, HEAD, Line, count, some

#: Lines of each kind that are printed; the record has more.
SHOWN = 40

Planes = Mapping[str, tuple[Sequence[str], Sequence[str]]]


def summary(judged: Judged, planes: Planes) -> str:
    """One line."""
    if judged.nothing and not planes:
        return f"Nothing changes: the rules of {count(judged.read, 'host')} are as they are to be{_missing(judged)}."
    parts = [f"{len(told):,} {word}" for told, word in ((judged.opened, "opened"), (judged.closed, "closed"))]
    parts += [f"{len(judged.unknown):,} not known"] if judged.unknown else []
    parts += [f"{judged.unchanged:,} unchanged", f"the rules of {count(len(judged.touched), 'host')} change"]
    parts += [f"also {', '.join(planes)}"] if planes else []
    return f"The change: {', '.join(parts)}{_missing(judged)}."


def _missing(judged: Judged) -> str:
    return f"; {count(len(judged.missing), 'host')} not read ({some(sorted(judged.missing))})" if judged.missing else ""


def report_lines(judged: Judged, planes: Planes, since: str) -> Iterator[Line]:
    """since: when the planes beside the rules were applied last, "" where that is not known."""
    yield summary(judged, planes), HEAD if not judged.nothing or planes else GOOD
    for head, told, color in (
        ("opened", judged.opened, BAD),
        ("closed", judged.closed, None),
        ("not known", judged.unknown, BAD),
    ):
        yield from _lines(head, told, color)
    for text in judged.broken[:SHOWN]:
        yield f"  would break an invariant: {text}", BAD
    for plane, (new, gone) in planes.items():
        yield f"  {plane}, against the run of {since}:", None
        yield from ((f"    + {line}", None) for line in new[:SHOWN])
        yield from ((f"    - {line}", None) for line in gone[:SHOWN])
    if judged.touched:
        yield f"  rules change on: {some(judged.touched, 20)}", DIM


def _lines(head: str, told: Sequence[Told], color: str | None) -> Iterator[Line]:
    for one in told[:SHOWN]:
        yield f"  {head:<9} {one.text()}", color if not one.path or one.never else None
    if len(told) > SHOWN:
        yield f"  {head:<9} and {len(told) - SHOWN:,} more", DIM


def stops(
    judged: Judged, planes: Planes, asked: Changes, reason: str, accepted: Collection[str], check: bool
) -> list[str]:
    """Why the run is not to go on: each with what to do."""
    found = []
    if NEVER in asked.stop_on and (judged.broken or any(one.never for one in judged.opened)):
        texts = [*judged.broken, *(one.text() for one in judged.opened if one.never and not judged.broken)]
        found.append(
            f"bulkhead_never: got {count(len(texts), 'way')} through that it forbids ({texts[0]}); expected none after this run; "
            "remove the rule that lets it through, or change the invariant"
        )
    if OPENED in asked.stop_on and judged.opened and OPENED not in accepted:
        found.append(
            f"bulkhead_changes.stop_on: got {len(judged.opened):,} opened; expected nothing that opens; look at it, then say "
            "-e change_accept=opened"
        )
    if UNKNOWN in asked.stop_on and judged.unknown and UNKNOWN not in accepted:
        found.append(
            f"bulkhead_changes.stop_on: got {len(judged.unknown):,} not known; expected a change that is known; look at it, then "
            "say -e change_accept=unknown"
        )
    if asked.reason and not reason.strip() and not check and not (judged.nothing and not planes):
        found.append("change_reason: got nothing; expected why this change is made; say -e \"change_reason='…'\"")
    return found
