"""stack_lint's two halves: the controller's result of files, and the module that reads an engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import CONNECTION_ARGUMENTS
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.arguments import LINT_ARGUMENTS
from ansible_collections.bulkhead.tiers.plugins.modules import stack_lint
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.lint import heard, lint_files, result
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.docker.running import run
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import DEFAULTS
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.test_stack_running import BAD, Recorded

NOWHERE = "unix:///nowhere.sock"
GOOD = "services: {db: {image: 'redis:7', networks: [private]}}\nnetworks: {private: {name: net-private}}\n"
BROKEN = GOOD.replace("private", "public")


@pytest.fixture(name="task")
def fixture_task(tmp_path, monkeypatch):
    """task(text, **options): the result of one stack's file, shop.yml in the working directory."""
    monkeypatch.chdir(tmp_path)

    def of(text, write=True, **options):
        (tmp_path / "shop.yml").write_text(text)
        stacks = [{"name": "shop", "kind": "compose", "files": ["shop.yml"]}]
        params = {**DEFAULTS, "stacks": stacks, **options}
        return result(lint_files(params), params, write)

    return of


def test_a_clean_stack_passes_and_changes_nothing(task):
    said = task(GOOD)
    assert "failed" not in said and (said["changed"], said["findings"], said["text"]) == (False, [], [])
    assert said["counts"] == {"error": 0, "warning": 0, "note": 0, "waived": 0}


def test_a_broken_stack_fails_with_every_finding_in_the_message(task):
    said = task(BROKEN)
    assert said["failed"] and said["changed"] is False
    assert said["msg"].startswith(
        "The stacks do not keep the rules: 1 error, 0 warnings, 0 notes, 0 waived.\nshop.yml:1: error BT001"
    )
    assert [(item["rule"], item["file"], item["line"]) for item in said["findings"]] == [("BT001", "shop.yml", 1)]


def test_the_result_has_the_same_keys_in_every_mode(task):
    keys = set(task(GOOD))
    assert set(task(BROKEN, write=False)) == set(task(BROKEN)) == keys | {"failed"}
    assert set(task(BROKEN, fail_on="never")) == keys


def test_sarif_is_written_also_when_it_fails_but_not_in_check_mode(task, tmp_path):
    sarif = tmp_path / "out/lint.sarif"
    assert task(BROKEN, write=False, sarif=str(sarif))["failed"]
    assert not sarif.exists()
    assert task(BROKEN, sarif=str(sarif))["failed"]
    assert json.loads(sarif.read_text())["runs"][0]["results"][0]["ruleId"] == "BT001"


def test_relative_files_start_at_the_directory(task, tmp_path, monkeypatch):
    task(BROKEN)
    monkeypatch.chdir("/")
    assert task(BROKEN, directory=str(tmp_path), fail_on="never")["counts"]["error"] == 1
    assert "No such file" in task(BROKEN)["msg"]


def test_what_runs_is_read_from_the_engine(monkeypatch):
    monkeypatch.setattr(stack_lint, "connect", lambda params: Recorded("26_1"))
    said = run(stack_lint, NOWHERE, running=True)
    assert (said["failed"], said["changed"]) == (False, False)
    items = heard(said, "h1")
    assert {(item["rule"], item["service"]) for item in items if not item["waived"]} == BAD
    assert all(item["file"] is None and item["line"] is None and item["host"] == "h1" for item in items)


def test_an_engine_that_does_not_answer_is_named():
    said = run(stack_lint, NOWHERE, running=True)
    assert said["failed"] and "unix:///nowhere.sock did not answer" in said["msg"]


def test_wrong_arguments_are_named_all_at_once(monkeypatch):
    monkeypatch.setattr(stack_lint, "connect", lambda params: Recorded("26_1"))
    said = run(stack_lint, NOWHERE, networks={"a": 1, "b": {"zon": 1}})
    assert said["failed"] and [text.partition(":")[0] for text in said["errors"]] == ["networks.a", "networks.b.zon"]


def test_the_documentation_has_every_argument_with_its_type_and_default():
    options = yaml.safe_load(Path(stack_lint.__file__).with_suffix(".yml").read_text())["DOCUMENTATION"]["options"]
    assert set(options) == set(LINT_ARGUMENTS)
    for name, spec in LINT_ARGUMENTS.items():
        assert options[name]["type"] == spec["type"]
        assert options[name].get("default") == spec.get("default")
        assert options[name].get("choices") == spec.get("choices")
    assert not set(CONNECTION_ARGUMENTS) & set(LINT_ARGUMENTS)
