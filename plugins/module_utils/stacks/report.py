# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings as data and as text."""

from __future__ import annotations

import os

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.catalogue import RULES, SEVERITIES


def as_data(findings):
    """[{rule, name, severity, message, fix, file, line, stack, service, host, waived}] in the order of the places.

    file and line are null for what runs; which host that is, only the caller knows.
    """
    items = [
        {
            "rule": finding.rule,
            "name": RULES[finding.rule].name,
            "severity": RULES[finding.rule].severity,
            "message": finding.message,
            "fix": finding.fix,
            "file": shown(finding.place.file) or None,
            "line": finding.place.line or None,
            "stack": finding.stack,
            "service": finding.service,
            "host": None,
            "waived": finding.waived,
        }
        for finding in dict.fromkeys(findings)
    ]
    return sorted(items, key=lambda item: (item["file"] or "", item["line"] or 0, item["rule"], item["message"]))


def shown(file):
    """A path as people name it: relative where it lies below the working directory."""
    if not file:
        return ""
    relative = os.path.relpath(file)
    return file if relative.startswith(os.pardir) else relative


def counts(items):
    """{error, warning, note, waived}: how many findings there are of each."""
    found = {
        severity: sum(item["severity"] == severity and item["waived"] is None for item in items)
        for severity in SEVERITIES
    }
    found["waived"] = sum(item["waived"] is not None for item in items)
    return found


def as_lines(items):
    """A line for each finding, what was waived last."""
    return [_line(item) for item in sorted(items, key=lambda item: item["waived"] is not None)]


def _line(item):
    where = f"{item['file']}:{item['line']}" if item["file"] else item["host"] or "what runs"
    said = f"{where}: {item['severity']} {item['rule']} {item['name']}: {item['message']}"
    if item["waived"] is not None:
        return f"{said}; waived: {item['waived']}"
    return f"{said}; fix: {item['fix']}"


def summary(items):
    """One line for all."""
    found = counts(items)
    parts = [f"{found[key]} {key}{'' if found[key] == 1 else 's'}" for key in SEVERITIES]
    return ", ".join(parts) + f", {found['waived']} waived"
