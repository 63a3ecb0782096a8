# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is to be in AWX is checked as a whole: templates, surveys, workflow, rights, schedules."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml
from awx_server.surveys import refusal

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.awx.definition import CREDENTIALS, mistakes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.awx.surveys import read_surveys, required
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import ROLE_VARIABLES

QUESTION = {"question_name": "Why?", "variable": "change_reason", "type": "text", "required": True, "default": ""}
TIERS = {"question_name": "Which?", "variable": "change_tiers", "type": "multiselect", "required": False, "choices": []}
SURVEY = {"name": "Change", "description": "", "spec": [QUESTION, TIERS]}
DEFINITION: dict[str, Any] = {
    "organization": "o",
    "prefix": "p",
    "project": {"url": "https://git.example/x", "credential": ""},
    "execution_environment": "registry.example/ee:1",
    "inventories": ["p site"],
    "sources": [{"name": "p site inventory", "inventory": "p site"}],
    "numbers": {"awx_slices": "4", "awx_forks": 0},
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
        (
            "project/url",
            "https://me:secret@git.example/x",
            "awx_project_url: got a URL with a password in it; expected",
        ),
        ("prefix", "a+b", "awx_prefix: got a+b"),
        ("organization", "12", "awx_organization: got 12"),
        ("organization", "o ", "awx_organization: got o "),
        ("numbers/awx_slices", 0, "awx_slices: got 0; expected a whole number from 1"),
        ("numbers/awx_forks", "many", "awx_forks: got 'many'"),
        ("sources/0/credential", "p maas", "awx_credentials: got no maas"),
        ("templates/0/name", "site inventory", "template site inventory: got two of that name"),
        ("templates/0/name", ["plan"], "template ['plan'].name: got ['plan']; expected a text"),
        ("templates/0/asks", "limit", "template plan.asks: got 'limit'; expected a list"),
        ("templates/0/credentials", None, "template plan.credentials: got None; expected a list"),
        ("templates/0/credentials", [["ssh"]], "template plan.credentials: got ['ssh']"),
        ("templates/0/slices", "some", "template plan.slices: got some"),
        ("templates/0/job_type", "scan", "template plan.job_type: got scan"),
        ("templates/0/limits", "web", "template plan.limits: got no key of a template"),
        ("schedules/0/template", ["plan"], "schedule n.template: got ['plan']"),
        ("schedules/0/name", None, "schedule 0.name: got None"),
        ("schedules/0/answers", "x", "schedule n.answers: got 'x'"),
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


#: What stands anywhere in a definition or a survey, by mistake.
STRANGE = (None, True, -1, 1.5, "", "x", "$encrypted$", [], ["x"], [[]], {}, {"x": []}, "\n", 1 << 40)


def broken(drawn: random.Random, value: Any) -> Any:
    """The value with one thing in it replaced, or taken away."""
    found = copy.deepcopy(value)
    places = [(None, None)]
    waiting: list[Any] = [found]
    for place in waiting:
        keys = list(place) if isinstance(place, dict) else range(len(place)) if isinstance(place, list) else ()
        places += [(place, key) for key in keys]
        waiting += [place[key] for key in keys]
    place, key = drawn.choice(places[1:])
    if drawn.random() < 0.2:
        del place[key]
    else:
        place[key] = drawn.choice(STRANGE)
    return found


def test_what_is_taken_of_a_survey_awx_takes_too(tmp_path: Path) -> None:
    drawn, taken = random.Random(18), 0
    kinds = {
        "multiplechoice": {"choices": "a\nb", "default": "a"},
        "integer": {"min": 1, "max": 9, "default": 3},
        "float": {"default": 1.5},
    }
    spec = [QUESTION, TIERS, *({**QUESTION, "variable": kind, "type": kind, **more} for kind, more in kinds.items())]
    for _number in range(3000):
        survey = broken(drawn, {**SURVEY, "spec": spec})
        try:
            found = read(tmp_path, survey)["change"]
        except Refused:
            continue
        taken += 1
        assert refusal(found, {}) is None, (refusal(found, {}), survey)
    assert taken > 100


def test_no_definition_ends_in_a_traceback() -> None:
    drawn = random.Random(18)
    for _number in range(3000):
        # The role's argument specification sees to it that these are lists of mappings.
        wrong = {
            name: [item for item in broken(drawn, DEFINITION[name]) if isinstance(item, dict)]
            for name in ("templates", "schedules")
        }
        list(mistakes({**DEFINITION, **wrong}, {"change": SURVEY}))


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


def test_what_a_team_may_start_applies_nothing_and_asks_for_nothing_that_would() -> None:
    known = yaml.safe_load((Path(__file__).parents[5] / "roles/awx/vars/main.yml").read_text(encoding="utf-8"))
    rights, templates = (known["__awx_definition"]["rights"], {one["name"]: one for one in known["__awx_templates"]})
    started = {name for right in rights if right["role"] != "read" for name in right["templates"]}
    assert started == {"plan", "prove", "networks", "drift", "review"}
    for name in started:
        template = templates[name]
        assert (
            template["playbook"] in ("plan.yml", "prove.yml", "networks.yml", "review.yml")
            or template["job_type"] == "check"
        )
        assert set(template.get("asks", ())) <= {"limit", "job_slice_count"} and "extra_vars" not in template


def test_the_role_has_a_type_and_a_name_for_each_credential_and_what_they_give_are_variables_of_roles() -> None:
    known = yaml.safe_load((Path(__file__).parents[5] / "roles/awx/vars/main.yml").read_text(encoding="utf-8"))
    types = known["__awx_credential_types"]
    assert {"ssh", *types} == set(known["__awx_credential_urls"]) == set(CREDENTIALS)
    given = {name for kind in types.values() for name in kind["injectors"]["extra_vars"]}
    assert given <= ROLE_VARIABLES


def test_the_surveys_of_the_role_are_right() -> None:
    folder = Path(__file__).parents[5] / "roles" / "awx" / "files" / "surveys"
    assert set(read_surveys(str(folder), ["web", "db"])) == {"change"}
