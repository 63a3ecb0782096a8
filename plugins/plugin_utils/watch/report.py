# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a watch found, as lines, as Markdown and as JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import BAD, DIM, HEAD, Line, count, some
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.fold import Folded, Kind, Row, Watch
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.heard import Heard, Log

#: Seconds by which a host's clock may differ before it is said.
SKEW = 60
#: Addresses and hosts that a row names.
_NAMED = 3
LOWER = "The numbers are lower bounds: of each logging rule UFW writes 10 packets at once, and then 3 a minute."
HEADS = {
    Kind.DECLARED: "Declared, and blocked by a host",
    Kind.UNDECLARED: "Not declared",
    Kind.FORBIDDEN: "Forbidden",
    Kind.LIMITED: "Limited",
    Kind.BESIDE: "Beside the LAN: a tailnet or a network of containers",
    Kind.LATE: "Of no connection that the firewall knows: late packets, answers, errors",
    Kind.NOISE: "To everybody on a link",
}
OPEN = {
    Kind.UNDECLARED: "Open now, not declared",
    Kind.FORBIDDEN: "Open now, forbidden",
    Kind.BESIDE: "Open now, beside the LAN",
    Kind.DECLARED: "Open now, declared",
}
ASKED = "Asked for now, without an answer yet"


class Found(NamedTuple):
    """since: seconds since 1970, by the controller's clock; now: that clock; folded; notes: what limits the answer;
    hosts: how many were read."""

    site: str
    since: float
    now: float
    folded: Folded
    notes: tuple[str, ...]
    hosts: int
    watch: Watch


def summary(found: Found) -> str:
    """The first line."""
    blocked = found.folded.blocked
    drift = sum(row.count for row in blocked if row.key.kind is Kind.DECLARED)
    undeclared = sum(row.count for row in blocked if row.key.kind in (Kind.UNDECLARED, Kind.FORBIDDEN))
    opened = sum(row.count for row in found.folded.open_now if row.key.kind in (Kind.UNDECLARED, Kind.FORBIDDEN))
    total = sum(row.count for row in blocked)
    return (
        f"Since {_time(found.since)}: {count(total, 'blocked packet')} logged on {count(found.hosts, 'host')}, "
        f"{undeclared:,} of what no flow declares, {drift:,} of declared flows; "
        f"{count(opened, 'connection')} open now that no flow declares"
    )


# -- rows ------------------------------------------------------------------------------------------------------------


def sentence(row: Row, connections: bool = False) -> str:
    """``management -> monitoring 9100/tcp, 412 times from 2 hosts, no flow declares it``"""
    key = row.key
    noun = "connection" if connections else ""
    times = count(row.count, noun) if noun else f"{row.count:,} time{'s' if row.count != 1 else ''}"
    ends = f"{key.source.word} -> {key.destination.word} {key.what}"
    # Two addresses of different versions may be one host's.
    both = len({":" in source for source in row.sources}) > 1
    text = f"{ends}, {times} from {count(len(row.sources), *(('address', 'addresses') if both else ('host',)))}"
    odd = f" (source: {key.odd})" if key.odd else ""
    return f"{text}{odd}, {_verdict(row, connections)}" if _verdict(row, connections) else f"{text}{odd}"


def _verdict(row: Row, connections: bool) -> str:
    kind, path = row.key.kind, row.key.path
    if kind is Kind.DECLARED:
        return f"{path} declares it" if connections else f"{path} declares it, and {some(sorted(row.by))} blocked it"
    return {
        Kind.UNDECLARED: "no flow declares it",
        Kind.BESIDE: "no flow of the LAN declares it",
        Kind.FORBIDDEN: f"{path} forbids it",
        Kind.LIMITED: f"the limit of {path}",
    }.get(kind, "")


def details(watch: Watch, row: Row, connections: bool = False) -> list[str]:
    """What stands below a row."""
    ends = f"{_named(row.sources)} -> {_named(row.destinations)}"
    if connections:
        return [f"{ends}; seen by {some(sorted(row.by))}", *watch.advice(row)]
    ways = some([f"{host} ({', '.join(sorted(ways))})" for host, ways in sorted(row.by.items())])
    lines = [f"{ends}; blocked by {ways}; last {_time(row.last)}"]
    if row.key.kind is Kind.DECLARED:
        lines.append("drift, unless it is older than the flow: run site.yml, then prove.yml")
    return [*lines, *watch.advice(row)]


def _named(addresses: set[str]) -> str:
    return some(sorted(addresses), _NAMED)


def _time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(seconds))


def _sections(folded: Folded) -> Iterator[tuple[str, list[Row], bool]]:
    for kind, head in HEADS.items():
        yield head, [row for row in folded.blocked if row.key.kind is kind], False
    for kind, head in OPEN.items():
        yield head, [row for row in folded.open_now if row.key.kind is kind], True
    yield ASKED, list(folded.unanswered), True


# -- formats ---------------------------------------------------------------------------------------------------------


def report_lines(found: Found, limit: int) -> Iterator[Line]:
    """For a terminal: at most so many rows of each section."""
    yield summary(found), None
    for head, rows, connections in _sections(found.folded):
        if not rows:
            continue
        yield "", None
        yield head, HEAD
        for row in rows[:limit]:
            yield f"  {sentence(row, connections)}", BAD if head in _LOUD else None
            if row.key.kind not in (Kind.LATE, Kind.NOISE) and head != OPEN[Kind.DECLARED]:
                for line in details(found.watch, row, connections):
                    yield f"    {line}", DIM
        if len(rows) > limit:
            rest = sum(row.count for row in rows[limit:])
            yield f"  and {len(rows) - limit:,} more, {rest:,} times", DIM
    yield "", None
    for note in found.notes:
        yield note, DIM


#: Sections that something is to be done about.
_LOUD = (HEADS[Kind.DECLARED], OPEN[Kind.FORBIDDEN], OPEN[Kind.UNDECLARED])


def report_dict(found: Found, limit: int) -> dict[str, Any]:
    """For programs: the same rows, without their sections."""
    return {
        "site": found.site,
        "since": found.since,
        "now": found.now,
        "hosts": found.hosts,
        "blocked": [_row_dict(found.watch, row, False) for row in found.folded.blocked[:limit]],
        "blocked_left": max(len(found.folded.blocked) - limit, 0),
        "connections": [
            {**_row_dict(found.watch, row, True), "answered": answered}
            for rows, answered in ((found.folded.open_now, True), (found.folded.unanswered, False))
            for row in rows[:limit]
        ],
        "connections_left": sum(max(len(rows) - limit, 0) for rows in (found.folded.open_now, found.folded.unanswered)),
        "notes": list(found.notes),
    }


def _row_dict(watch: Watch, row: Row, connections: bool) -> dict[str, Any]:
    key = row.key
    times = {} if connections else {"first": row.first, "last": row.last}
    return {
        "kind": key.kind.value,
        "from": key.source.word,
        "to": key.destination.word,
        "what": key.what,
        "count": row.count,
        "sources": sorted(row.sources)[:20],
        "source_count": len(row.sources),
        "destinations": sorted(row.destinations)[:20],
        "reported_by": sorted(row.by)[:20],
        "decided_by": key.path,
        "odd_source": key.odd,
        "text": sentence(row, connections),
        "advice": watch.advice(row),
        **times,
    }


def report_metrics(found: Found, limit: int) -> str:
    """For Prometheus: the blocked packets by row, in its text format, as node exporter's textfile collector reads it."""
    lines = [
        "# HELP bulkhead_blocked_packets Blocked packets in the logs of UFW between since and made: a lower bound.",
        "# TYPE bulkhead_blocked_packets gauge",
    ]
    counts: dict[str, int] = {}
    for row in found.folded.blocked[:limit]:
        key = row.key
        labels = {
            "kind": key.kind.value,
            "from": key.source.word,
            "to": key.destination.word,
            "what": key.what,
            "decided_by": key.path,
        }
        told = ",".join(f'{name}="{_label(value)}"' for name, value in labels.items())
        counts[told] = counts.get(told, 0) + row.count
    lines += [f"bulkhead_blocked_packets{{{told}}} {number}" for told, number in counts.items()]
    for name, value in (("since_seconds", found.since), ("made_seconds", found.now), ("hosts", found.hosts)):
        lines += [f"# TYPE bulkhead_blocked_{name} gauge", f"bulkhead_blocked_{name} {value:.0f}"]
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    """A label's value, as the text format escapes it."""
    return printable(text, 200).replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")


def report_markdown(found: Found, limit: int) -> str:
    """For people who were not there."""
    lines = [f"# What was blocked: {_cell(found.site)}", "", summary(found), ""]
    for head, rows, connections in _sections(found.folded):
        if not rows:
            continue
        lines += [
            f"## {head}",
            "",
            "| from | to | service | number | hosts | |",
            "| --- | --- | --- | ---: | ---: | --- |",
        ]
        for row in rows[:limit]:
            source = f"{row.key.source.word} ({row.key.odd})" if row.key.odd else row.key.source.word
            remark = "; ".join(filter(None, [_verdict(row, connections), *found.watch.advice(row)]))
            cells = (source, row.key.destination.word, row.key.what, f"{row.count:,}", str(len(row.sources)), remark)
            lines.append(f"| {' | '.join(map(_cell, cells))} |")
        lines += [*([f"| and {len(rows) - limit:,} more | | | | | |"] if len(rows) > limit else []), ""]
    return "\n".join([*lines, "## What limits this answer", "", *(f"- {_cell(note)}" for note in found.notes), ""])


def _cell(text: str) -> str:
    escaped = printable(text, 600).replace("\\", "\\\\")
    for char in "|<>`*_[]":
        escaped = escaped.replace(char, f"\\{char}" if char not in "<>" else {"<": "&lt;", ">": "&gt;"}[char])
    return escaped


# -- what limits the answer ------------------------------------------------------------------------------------------


def notes_of(heard: Mapping[str, Heard], trouble: Mapping[str, str], asked_at: Mapping[str, float]) -> Iterator[str]:
    """Each thing to know, with the hosts that it is about. trouble: {host: why it was not read}; asked_at: the controller's clock
    when a host answered."""
    yield LOWER
    found: dict[str, set[str]] = {}
    for host, answer in heard.items():
        for text in [*_of_host(answer, asked_at.get(host, answer.now)), *_of_logs(answer.logs)]:
            found.setdefault(text, set()).add(host)
    for host, why in trouble.items():
        found.setdefault(f"not read: {why}", set()).add(host)
    for text, hosts in found.items():
        yield f"{some(sorted(hosts))}: {text}"


def _of_host(answer: Heard, asked_at: float) -> Iterator[str]:
    if answer.enabled not in ("", "yes"):
        yield "UFW is not on: it blocks and logs nothing"
    elif answer.level == "off":
        yield "UFW's logging is off: what it blocks is not known (`ufw logging low`, which site.yml sets)"
    if answer.tracked == "":
        yield "tracked connections are not known: neither /proc/net/nf_conntrack nor the program conntrack is there"
    if answer.connections_left:
        yield f"{count(answer.connections_left, 'tracked connection')} more than are listed"
    if abs(answer.now - asked_at) > SKEW:
        yield f"its clock is {abs(answer.now - asked_at):,.0f} s {'ahead' if answer.now > asked_at else 'behind'}"


def _of_logs(logs: Sequence[Log]) -> Iterator[str]:
    for log in logs:
        where = f"{log.sender}'s log" if log.sender else "its log"
        if not log.source:
            yield "no log of UFW: neither /var/log/ufw.log nor a journal, kern.log, syslog or messages"
            continue
        if log.cut:
            yield f"{where} is longer than is read; the newest part was"
        elif not log.whole and log.oldest is not None:
            yield f"{where} ({log.source}) goes back to {_time(log.oldest)} alone"
        for number, text in (
            (log.left, "blocked packets are counted, and not told apart"),
            (log.unread, "lines are cut off or have no time"),
            (log.future, "lines have a time that has not come"),
            (log.suppressed, "messages of the kernel say that it left out others"),
        ):
            if number:
                yield f"{where}: {number:,} {text}"
        yield from (f"{where}: {text}" for text in log.beside)
        if log.sender:
            yield "it collects what others send. A datagram's source address is its sender's to choose"
