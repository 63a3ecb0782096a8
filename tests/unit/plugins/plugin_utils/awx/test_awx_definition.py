# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be in AWX is checked as a whole: templates, surveys, workflow, rights, schedules."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.awx.definition import mistakes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.awx.surveys import read_surveys, required

QUESTION = {"question_name": "Why?", "variable": "change_reason", "type": "text", "required": True, "default": ""}
TIERS = {"question_name": "Which?", "variable": "change_tiers", "type": "multiselect", "required": False, "choices": []}
SURVEY = {"name": "Change", "description": "", "spec": [QUESTION, TIERS]}
DEFINITION: dict[str, Any] = {
    "organization": "o",
    "prefix": "p",
    "project": {"url": "https://git.example/x", "credential": ""},
    "execution_environment": "registry.example/ee:1",
    "inventories": ["p site"],
    "credentials": ["ssh"],
    "credential_inputs": [],
    "templates": [
        {"name": "plan", "playbook": "plan.yml", "inventory": "p site"},
        {"name": "site", "playbook": "site.yml", "inventory": "p site", "survey": "change", "asks": ["limit"]},
    ],
    "workflow": {
        "name": "change",
        "survey": "change",
        "nodes": [
            {"identifier": "site", "template": "site"},
            {"identifier": "ask", "approval": "Approve", "success": ["site"]},
            {"identifier": "plan", "template": "plan", "success": ["ask"]},
        ],
    },
    "rights": [{"team": "t", "role": "execute", "templates": ["plan"], "workflows": ["change"]}],
    "schedules": [{"name": "n", "template": "plan", "rrule": "DTSTART:20260101T010000Z RRULE:FREQ=DAILY;INTERVAL=1"}],
}


def said(change: dict[str, Any] | None = None) -> list[str]:
    """What is said of the definition with one part of it replaced, {path: value}."""
    found = copy.deepcopy(DEFINITION)
    for path, value in (change or {}).items():
        *parents, last = path.split("/")
        place: Any = found
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place[name]
        place[int(last) if isinstance(place, list) else last] = value
    return [str(mistake) for mistake in mistakes(found, {"change": SURVEY})]


def test_a_definition_that_is_right_has_no_mistake() -> None:
    assert said() == []


@pytest.mark.parametrize(
    ("path", "value", "start"),
    [
        ("project/url", "", "awx_project_url: got nothing"),
        ("execution_environment", "https://x y", "awx_execution_environment: got https://x y"),
        ("credentials", ["ssh", "tape"], "awx_credentials: got tape"),
        ("credential_inputs", ["maas"], "awx_credential_inputs: got maas"),
        ("templates/0/inventory", "", "template plan.inventory: got nothing"),
        ("templates/0/inventory", "other", "template plan.inventory: got other; expected one of p site"),
        ("templates/0/playbook", "", "template plan.playbook: got nothing"),
        ("templates/0/credentials", ["maas"], "template plan.credentials: got maas"),
        ("templates/1/asks", ["moon"], "template site.asks: got moon"),
        ("templates/1/survey", "none", "template site.survey: got none; expected a file of awx_surveys (change)"),
        ("templates/1/name", "plan", "template plan: got two of that name"),
        ("templates/1/name", "change", "template change: got two of that name"),
        ("workflow/nodes/2/success", ["plan"], "workflow node plan.success: got plan"),
        ("workflow/nodes/0/template", "moon", "workflow node site.template: got moon"),
        ("rights/0/templates", ["moon"], "rights of t.templates: got moon"),
        ("schedules/0/template", "moon", "schedule n.template: got moon"),
        ("schedules/0/template", "site", "schedule n.answers: got nothing for change_reason"),
        ("schedules/0/rrule", "RRULE:FREQ=DAILY;INTERVAL=1", "schedule n.rrule: got RRULE"),
        (
            "schedules/0/rrule",
            "DTSTART:20260101T010000Z RRULE:FREQ=SECONDLY;INTERVAL=1",
            "schedule n.rrule: got DTSTART",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(path: str, value: Any, start: str) -> None:
    assert any(text.startswith(start) for text in said({path: value})), said({path: value})


def test_all_mistakes_are_said_at_once() -> None:
    assert len(said({"templates/0/playbook": "", "schedules/0/template": "moon", "project/url": ""})) == 3


def read(folder: Path, survey: Any) -> dict[str, dict[str, Any]]:
    (folder / "change.json").write_text(survey if isinstance(survey, str) else json.dumps(survey), encoding="utf-8")
    return read_surveys(str(folder), ["web", "db"])


def test_a_question_for_tiers_without_choices_has_the_sites(tmp_path: Path) -> None:
    survey = read(tmp_path, SURVEY)["change"]
    assert survey["spec"][1]["choices"] == ["web", "db"]
    assert required(survey) == ["change_reason"]


@pytest.mark.parametrize(
    ("survey", "start"),
    [
        ("{", "survey change.json: got Expecting property name"),
        ([], "survey change.json: got list"),
        ({**SURVEY, "name": 3}, "survey change.json: name: got 3"),
        ({**SURVEY, "spec": []}, "survey change.json: spec: got []"),
        ({**SURVEY, "spec": ["x"]}, "survey change.json: spec[0]: got str"),
        ({**SURVEY, "spec": [QUESTION, QUESTION]}, "survey change.json: spec[1].variable: got change_reason"),
        *(
            ({**SURVEY, "spec": [{**QUESTION, name: value}]}, f"survey change.json: spec[0].{name}: got {value!r:.3}")
            for name, value in (("variable", 3), ("required", "yes"), ("type", "slider"), ("default", 4), ("min", "a"))
        ),
        ({**SURVEY, "spec": [{**QUESTION, "type": "password"}]}, "survey change.json: spec[0].type: got password"),
        (
            {**SURVEY, "spec": [{**QUESTION, "variable": "bulkhead_x"}]},
            "survey change.json: spec[0].variable: got bulkhead_x",
        ),
        ({**SURVEY, "spec": [{**TIERS, "choices": ["mars"]}]}, "survey change.json: spec[0].choices: got mars"),
        ({**SURVEY, "spec": [{**TIERS, "default": "mars"}]}, "survey change.json: spec[0].default: got mars"),
        ({**SURVEY, "spec": [{**TIERS, "variable": "x"}]}, "survey change.json: spec[0].choices: got []"),
    ],
)
def test_a_survey_that_awx_would_refuse_is_refused_before_it_is_asked(tmp_path: Path, survey: Any, start: str) -> None:
    with pytest.raises(Refused) as error:
        read(tmp_path, survey)
    assert any(text.startswith(start) for text in error.value.errors), error.value.errors


def test_the_surveys_of_the_role_are_right() -> None:
    folder = Path(__file__).parents[5] / "roles" / "awx" / "files" / "surveys"
    assert set(read_surveys(str(folder), ["web", "db"])) == {"change"}
