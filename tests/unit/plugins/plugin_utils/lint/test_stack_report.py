"""Findings as text and as SARIF."""

from __future__ import annotations

import json
import os

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import SEVERITIES
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.catalogue import RULES
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.lint import result
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.report import as_lines, counts
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.sarif import as_sarif, write_sarif
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import DEFAULTS, lint

TEXT = """services:
  db:
    image: redis:7
    networks: [public]
    ports: ["6379:6379"]  # bulkhead: allow BT002 -- a dump on Fridays
networks: {public: {name: net-public}}
"""


def items_of(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lint(tmp_path, TEXT)


def test_every_finding_is_a_line_with_file_line_severity_rule_and_fix(tmp_path, monkeypatch):
    assert as_lines(items_of(tmp_path, monkeypatch)) == [
        "shop.yml:4: error BT001 data-on-public: shop/db keeps data (by its image redis:7) and is on net-public (zone "
        "public); fix: leave it on a private network alone, and put what needs it there too",
        "shop.yml:5: error BT002 data-port-published: shop/db keeps data (by its image redis:7) and publishes "
        "6379:6379; waived: a dump on Fridays",
    ]


def test_the_log_is_sarif_with_rules_places_and_suppressions(tmp_path, monkeypatch):
    items = items_of(tmp_path, monkeypatch)
    log = as_sarif(items)
    assert log["version"] == "2.1.0" and log["$schema"].endswith("sarif-schema-2.1.0.json")
    run = log["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["BT001", "BT002"]
    open_one, waived = run["results"]
    assert rules[open_one["ruleIndex"]]["id"] == open_one["ruleId"] == "BT001"
    assert open_one["level"] == "error" and "suppressions" not in open_one
    assert open_one["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "shop.yml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 4},
    }
    assert open_one["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": "shop/db", "kind": "resource"}]
    assert waived["suppressions"] == [{"kind": "inSource", "justification": "a dump on Fridays"}]


def test_a_fingerprint_stays_when_lines_move(tmp_path, monkeypatch):
    def prints(items):
        return [found["partialFingerprints"] for found in as_sarif(items)["runs"][0]["results"]]

    before = prints(items_of(tmp_path, monkeypatch))
    assert prints(lint(tmp_path, "\n\n# a comment\n" + TEXT)) == before
    assert len({json.dumps(item) for item in before}) == 2


def test_the_file_is_written_whole_and_nothing_beside_it(tmp_path, monkeypatch):
    items = items_of(tmp_path, monkeypatch)
    write_sarif("reports/lint.sarif", items)
    assert json.loads((tmp_path / "reports/lint.sarif").read_text()) == as_sarif(items)
    assert os.listdir(tmp_path / "reports") == ["lint.sarif"]


def test_a_run_fails_by_the_severity_that_is_asked_for(tmp_path):
    note = "services: {a: {network_mode: none, image: $X}}"
    error = "services: {a: {image: redis:7, networks: [public]}}\nnetworks: {public: {name: public}}"

    def fails(text, fail_on):
        return result(lint(tmp_path, text), {**DEFAULTS, "fail_on": fail_on}, False).get("failed", False)

    assert [fails(note, level) for level in ("error", "warning", "note", "never")] == [False, False, True, False]
    assert [fails(error, level) for level in ("error", "warning", "note", "never")] == [True, True, True, False]


def test_waived_findings_do_not_fail_a_run(tmp_path, monkeypatch):
    items = [item for item in items_of(tmp_path, monkeypatch) if item["waived"]]
    assert counts(items) == {"error": 0, "warning": 0, "note": 0, "waived": 1}
    assert "failed" not in result(items, DEFAULTS, False)


def test_ids_names_and_severities_are_sound():
    assert all(rule_id == rule.id and rule.severity in SEVERITIES for rule_id, rule in RULES.items())
    assert len({rule.name for rule in RULES.values()}) == len(RULES)
