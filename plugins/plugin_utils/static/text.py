# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The static proof as lines for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import Finding, Severity, Static
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import BAD, DIM, GOOD, HEAD, Line, count, wrap

WIDTH = 120
#: The most findings of each severity that are printed; the report has them all.
MOST = 20


def static_summary(static: Static) -> str:
    """One line: what it found."""
    wrong = sum(not cell.holds for cell in static.cells)
    errors = sum(finding.severity is Severity.ERROR for finding in static.findings)
    of = f"{count(static.hosts, 'host')}, {count(static.groups, 'kind')} of them"
    if static.holds and not wrong:
        return f"By their rules ({of}), the hosts let through what is declared and nothing else: {count(len(static.cells), 'cell')}."
    if static.holds:
        return f"By their rules ({of}), {wrong} of {count(len(static.cells), 'cell')} cannot be told for sure; no error was found."
    return f"By their rules ({of}), the hosts are not as declared: {count(errors, 'error')}, {wrong} of {count(len(static.cells), 'cell')}."


def planned_summary(static: Static) -> str:
    """The same of compiled rules that no host has yet."""
    cells = count(len(static.cells), "cell")
    if static.holds:
        return f"The compiled rules let through what is declared and nothing else: {cells}."
    errors = sum(finding.severity is Severity.ERROR for finding in static.findings)
    return f"The compiled rules are not what is declared: {count(errors, 'error')} in {cells}. Report it: nothing was touched."


def static_lines(static: Static, summary: str = "") -> list[Line]:
    """The proof as lines of at most WIDTH columns."""
    lines: list[Line] = [("", None), ("What the rules let through, by sets of packets", HEAD)]
    lines.append((summary or static_summary(static), GOOD if static.holds else BAD))
    for severity in Severity:
        found = [finding for finding in static.findings if finding.severity is severity]
        for finding in found[:MOST]:
            lines += _finding(finding)
        if len(found) > MOST:
            lines.append((f"  {len(found) - MOST} more of severity {severity.value} stand in the report", DIM))
    lines += [(line, DIM) for note in static.notes for line in wrap(printable(note, 400), WIDTH, "  note: ", "    ")]
    return lines


def _finding(finding: Finding) -> Iterator[Line]:
    color = {Severity.ERROR: BAD, Severity.WARNING: None, Severity.NOTE: DIM}[finding.severity]
    where = f"{printable(finding.host)}: " if finding.host else ""
    times = f" ({finding.times} times alike)" if finding.times > 1 else ""
    head = f"{finding.severity.value} {finding.kind.value}: {where}{printable(finding.what, 1000)}{times}"
    yield from ((line, color) for line in wrap(head, WIDTH, "  ", "    "))
    if finding.severity is not Severity.ERROR:
        return
    more = []
    if finding.witness:
        more.append(f"such as {printable(finding.witness)}")
    more += [f"{printable(hop.host)} {printable(hop.chain)}: {printable(hop.rule, 400)}" for hop in finding.hops]
    if finding.path:
        more.append(f"declared at {printable(finding.path)}")
    more.append(finding.remedy)
    for text in more:
        yield from ((line, DIM) for line in wrap(printable(text, 1000), WIDTH, "      ", "        "))
