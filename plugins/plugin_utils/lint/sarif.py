# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings as SARIF 2.1.0 (OASIS, https://docs.oasis-open.org/sarif/sarif/v2.1.0/)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.catalogue import RULES, Rule
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.report import Item
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import write_json

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def as_sarif(items: Sequence[Item]) -> dict[str, Any]:
    """The SARIF log of one run."""
    used = [rule for rule in RULES if any(item["rule"] == rule for item in items)]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "bulkhead.tiers.stack_lint",
                        "rules": [_sarif_rule(RULES[rule]) for rule in used],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "results": [_sarif_result(item, used.index(item["rule"])) for item in items],
            }
        ],
    }


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in rule.name.split("-")),
        "shortDescription": {"text": rule.demand},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.demand} {rule.why}"},
        "defaultConfiguration": {"level": rule.severity},
    }


def _sarif_result(item: Item, index: int) -> dict[str, Any]:
    result = {
        "ruleId": item["rule"],
        "ruleIndex": index,
        "level": item["severity"],
        "message": {"text": f"{item['message']}. Fix: {item['fix']}."},
        "locations": [_sarif_location(item)],
        # The same finding keeps its identity when lines move.
        "partialFingerprints": {"bulkhead/v1": _fingerprint(item)},
    }
    if item["waived"] is not None:
        result["suppressions"] = [{"kind": "inSource", "justification": item["waived"]}]
    return result


def _sarif_location(item: Item) -> dict[str, Any]:
    location: dict[str, Any] = {}
    if item["file"]:
        artifact = {"uri": quote(item["file"].replace(os.sep, "/"))}
        if not os.path.isabs(item["file"]):
            artifact["uriBaseId"] = "%SRCROOT%"
        location["physicalLocation"] = {"artifactLocation": artifact, "region": {"startLine": item["line"]}}
    name = "/".join(part for part in (item["host"], item["stack"], item["service"]) if part)
    if name:
        location["logicalLocations"] = [{"fullyQualifiedName": name, "kind": "resource"}]
    return location


def _fingerprint(item: Item) -> str:
    parts = [str(item[key] or "") for key in ("rule", "file", "host", "stack", "service", "message")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def write_sarif(path: str, items: Sequence[Item]) -> None:
    """Write the log whole or not at all; raises Refused where it cannot be written."""
    write_json(path, as_sarif(items))
