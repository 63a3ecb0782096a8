# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A review, as lines and as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.review.fold import Review, Row, Stray, Use, last_used
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import BAD, DIM, HEAD, Line, count, some

#: Addresses and hosts that a line names.
_NAMED = 4


class Found(NamedTuple):
    """site: its name; now: by the controller's clock; hosts: how many were read; trouble: {host: why it was not};
    before: {flow, in words: its row of the review before}."""

    site: str
    now: float
    hosts: int
    trouble: Mapping[str, str]
    review: Review
    before: Mapping[str, Mapping[str, Any]]


def summary(found: Found) -> str:
    """The first line."""
    rows = found.review.rows
    unused = sum(row.use is Use.UNUSED for row in rows)
    return (
        f"{count(len(rows), 'flow')} reviewed by the counters of {count(found.hosts, 'host')}: {unused} unused, "
        f"{sum(row.use is Use.UNKNOWN for row in rows)} not known; {count(len(found.review.unused), 'rule')} that counted nothing, "
        f"{len(found.review.foreign)} of no flow"
    )


def report_lines(found: Found, limit: int) -> Iterator[Line]:
    """The lines for a terminal. limit: rows of each section."""
    yield summary(found), HEAD
    yield "A counter begins anew whenever the rules are loaded: each row says since when, at the earliest.", DIM
    for host, why in found.trouble.items():
        yield f"{host} was not read: {why}", BAD
    heads = {Use.UNUSED: "Not used", Use.UNKNOWN: "Not known", Use.USED: "Used"}
    for use, head in heads.items():
        rows = [row for row in found.review.rows if row.use is use]
        yield from _section(head, [_row_text(found, row) for row in rows], limit)
    for head, strays in (
        ("Rules of no flow", found.review.foreign),
        ("Rules that counted nothing", found.review.unused),
    ):
        yield from _section(head, [_stray_text(stray) for stray in strays], limit)


def _section(head: str, texts: Sequence[str], limit: int) -> Iterator[Line]:
    if texts:
        yield "", None
        yield head, HEAD
        yield from ((f"  {text}", None) for text in texts[:limit])
        if len(texts) > limit:
            yield f"  and {len(texts) - limit:,} more: see the file", DIM


def _row_text(found: Found, row: Row) -> str:
    flow = f"{row.flow.path}: {row.flow}"
    if row.use is Use.UNUSED:
        return f"{flow}; nothing since {when(row.since)} on {some(sorted(row.packets), _NAMED)}{_last(found, row)}"
    if row.use is Use.UNKNOWN:
        return f"{flow}; no rule of a host that was read{_last(found, row)}"
    counts = [f"{host} {packets:,}" for host, packets in sorted(row.packets.items()) if packets]
    told = [f"{some(counts, _NAMED)} since {when(row.since)}"] if counts else []
    told += [f"now by {some(row.by, _NAMED)}"] if row.by else []
    return f"{flow}; {'; '.join(told)}"


def _last(found: Found, row: Row) -> str:
    last = last_used(row, found.now, found.before.get(str(row.flow)))
    return f"; last used before {when(last)}" if last else ""


def _stray_text(stray: Stray) -> str:
    packets = f"{stray.packets:,} packets" if stray.packets else "nothing"
    return f"{stray.host}: {stray.text}; {packets} since {when(stray.since)}"


def when(seconds: Optional[float]) -> str:
    """A time, in UTC."""
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds)) if seconds else "never"


def report_json(found: Found, limit: int) -> dict[str, Any]:
    """{made, hosts, trouble, flows, foreign, unused}; the next review reads flows."""
    return {
        "site": found.site,
        "made": found.now,
        "hosts": found.hosts,
        "trouble": dict(found.trouble),
        "flows": [_row_json(found, row) for row in found.review.rows[:limit]],
        "foreign": [stray._asdict() for stray in found.review.foreign[:limit]],
        "unused": [stray._asdict() for stray in found.review.unused[:limit]],
    }


def _row_json(found: Found, row: Row) -> dict[str, Any]:
    return {
        "flow": str(row.flow),
        "path": row.flow.path,
        "use": row.use.value,
        "packets": row.packets,
        "since": row.since,
        "by": list(row.by),
        "last_used": last_used(row, found.now, found.before.get(str(row.flow))),
    }


def earlier_rows(text: object) -> dict[str, dict[str, Any]]:
    """{flow, in words: its row} of the file of the review before; {} where it is none."""
    flows = text.get("flows") if isinstance(text, dict) else None
    found = {}
    for row in flows if isinstance(flows, list) else ():
        last = row.get("last_used") if isinstance(row, dict) else None
        if isinstance(row, dict) and (last is None or isinstance(last, (int, float))):
            found[printable(row.get("flow"), 4000)] = {**row, "last_used": last}
    return found
