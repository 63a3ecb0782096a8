from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.plan.plan import site_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.report.files import site_name, write_plan, write_proof


def test_the_formats_stand_beside_the_json(lab, tmp_path):
    written = write_proof(str(tmp_path / "proof.json"), lab.proof(), "plant", ["html", "junit"])
    assert {key: path.rsplit("/", 1)[1] for key, path in written.items()} == {
        "json": "proof.json",
        "html": "proof.html",
        "junit": "proof.xml",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["proof.html", "proof.json", "proof.xml"]


def test_the_next_proof_says_what_changed(lab, tmp_path):
    path = tmp_path / "proof.json"
    write_proof(str(path), lab.proof(), "plant", ["markdown"])
    lab.verdicts["10.0.2.11", "10.0.1.11", "tcp", 80] = "ALLOWED"
    write_proof(str(path), lab.proof(), "plant", ["html"])
    page = (tmp_path / "proof.html").read_text()
    assert "Since the last proof" in page and "<li>plant → office: web</li>" in page


@pytest.mark.parametrize("text", ["", "{", "[]", '{"probes": 3}', '{"probes": [{"from": 1}]}', "[" * 100000])
def test_a_last_report_that_is_none_is_passed_over(lab, tmp_path, text):
    path = tmp_path / "proof.json"
    path.write_text(text)
    write_proof(str(path), lab.proof(), "plant", ["html"])
    assert json.loads(path.read_text())["holds"]
    assert "Since the last proof" not in (tmp_path / "proof.html").read_text()


def test_a_plan_is_one_page(lab, tmp_path):
    path = write_plan(str(tmp_path / "plan.html"), lab.site, "plant", site_rules(lab.site))
    page = Path(path).read_text(encoding="utf-8")
    assert "<h1>Plan</h1>" in page and "allow" in page
    assert '<span class="mark declared"' in page and '<span class="mark unseen"' not in page


def test_a_report_is_named_after_the_folder_of_its_inventory():
    assert site_name({"inventory_dir": "/srv/sites/gough/"}) == "gough"
    assert site_name({}) == "site"
