# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings as data and as text."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import SEVERITIES, Finding
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.catalogue import RULES

#: Characters of a message, which names networks and services.
_LONGEST = 1000

#: A finding as data; see as_data.
Item = dict[str, Any]


def as_data(findings: Iterable[Finding]) -> list[Item]:
    """[{rule, name, severity, message, fix, file, line, stack, service, host, waived}] in the order of the places.

    file and line are null for what runs; which host that is, only the caller knows. What files and engines say is made
    printable here, once for messages, logs and SARIF.
    """
    items = [
        {
            "rule": finding.rule,
            "name": RULES[finding.rule].name,
            "severity": RULES[finding.rule].severity,
            "message": printable(finding.message, _LONGEST),
            "fix": printable(finding.fix, _LONGEST),
            "file": printable(shown(finding.place.file), _LONGEST) or None,
            "line": finding.place.line or None,
            "stack": printable(finding.stack),
            "service": printable(finding.service),
            "host": None,
            "waived": None if finding.waived is None else printable(finding.waived, _LONGEST),
        }
        for finding in dict.fromkeys(findings)
    ]
    return sorted(items, key=lambda item: (item["file"] or "", item["line"] or 0, item["rule"], item["message"]))


def shown(file: str) -> str:
    """A path as it is named: relative where it lies below the working directory."""
    if not file:
        return ""
    relative = os.path.relpath(file)
    return file if relative.startswith(os.pardir) else relative


def counts(items: Sequence[Item]) -> dict[str, int]:
    """{error, warning, note, waived}: how many findings there are of each."""
    found = {
        severity: sum(item["severity"] == severity and item["waived"] is None for item in items)
        for severity in SEVERITIES
    }
    found["waived"] = sum(item["waived"] is not None for item in items)
    return found


def as_lines(items: Iterable[Item]) -> list[str]:
    """A line for each finding, what was waived last."""
    return [_line(item) for item in sorted(items, key=lambda item: item["waived"] is not None)]


def _line(item: Item) -> str:
    where = f"{item['file']}:{item['line']}" if item["file"] else item["host"] or "what runs"
    said = f"{where}: {item['severity']} {item['rule']} {item['name']}: {item['message']}"
    if item["waived"] is not None:
        return f"{said}; waived: {item['waived']}"
    return f"{said}; fix: {item['fix']}"


def summary(items: Sequence[Item]) -> str:
    """One line for all."""
    found = counts(items)
    parts = [f"{found[key]} {key}{'' if found[key] == 1 else 's'}" for key in SEVERITIES]
    return ", ".join(parts) + f", {found['waived']} waived"
