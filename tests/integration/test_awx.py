# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""playbooks/awx.yml against the stand-in for AWX: everything made, nothing changed the second time, all taken away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from awx_server.controller import Controller
from awx_server.drive import Awx, Run
from awx_server.serve import Front, Server
from awx_server.shapes import JOBS

CHECKOUT = Path(__file__).parents[2]
SITE = {
    "bulkhead_tiers": {
        "web": {"vlan": 10, "subnet": "10.0.1.0/24"},
        "db": {"vlan": 20, "subnet": "10.0.2.0/24"},
    },
    "bulkhead_services": {"ssh": "22/tcp"},
    "bulkhead_flows": [{"from": "web", "to": "db", "allow": "ssh"}],
}

#: What a team's own people choose, with a character that an URL has another way.
NAMES = {"awx_operators": "ops", "awx_organization": "R&D"}


@pytest.fixture(name="awx")
def fixture_awx(tmp_path: Path) -> Iterator[Awx]:
    with Server(Front(Controller.fresh())) as server:
        yield Awx(tmp_path, server, SITE)


def rights(awx: Awx) -> dict[str, set[tuple[str, str]]]:
    """{team: {(name of an object, role)}}"""
    held = awx.store.__dict__["held"]
    teams = {team.id: str(team["name"]) for team in awx.store.all("teams")}
    found: dict[str, set[tuple[str, str]]] = {}
    for number, (users, members) in held.items():
        thing, role = awx.store.role(number)  # type: ignore[misc]
        assert not users
        for team in members:
            found.setdefault(teams[team], set()).add((str(thing["name"]), role))
    return found


def test_everything_is_made_once_changed_where_it_is_defined_otherwise_and_taken_away(awx: Awx, tmp_path: Path) -> None:
    made = awx.play(**NAMES)
    assert made.status == 0, made.said
    assert awx.names("job_templates") == sorted(
        f"bulkhead {name}"
        for name in ("plan", "site", "drift", "prove", "networks", "review", "roll back", "tier web", "tier db")
    )
    nodes = {str(node["identifier"]): node for node in awx.store.all("workflow_job_template_nodes")}
    ids = {name: node.id for name, node in nodes.items()}
    assert {name: (node.linked("success_nodes"), node.linked("failure_nodes")) for name, node in nodes.items()} == {
        "plan": ([ids["preview"]], []),
        "preview": ([ids["approve"]], []),
        "approve": ([ids["site"]], []),
        "site": ([ids["prove"]], [ids["roll back"]]),
        "prove": ([], [ids["roll back"]]),
        "roll back": ([], []),
    }
    assert rights(awx) == {
        "ops": {
            *(
                (f"bulkhead {name}", "execute_role")
                for name in ("plan", "prove", "networks", "drift", "review", "change")
            ),
            *((f"bulkhead {name}", "read_role") for name in ("site", "roll back")),
        },
        "bulkhead reviewers": {
            ("bulkhead change", "approval_role"),
            *((f"bulkhead {name}", "read_role") for name in ("plan", "drift", "site", "prove", "roll back")),
        },
    }
    # What is rolled back to is the declaration of that branch, and not its playbooks alone.
    back = next(one for one in awx.store.all("job_templates") if one["name"] == "bulkhead roll back")
    sources = {str(one["name"]): one for one in awx.store.all("inventory_sources")}
    assert {name: (one["inventory"] == back["inventory"], one["scm_branch"]) for name, one in sources.items()} == {
        "bulkhead site inventory": (False, ""),
        "bulkhead site MAAS": (False, ""),
        "bulkhead proven inventory": (True, "proven"),
        "bulkhead proven MAAS": (True, "proven"),
    }
    assert back["scm_branch"] == "proven"
    assert json.loads(back["extra_vars"]) == {"change_rollback": True, "change_accept": ["opened", "unknown"]}
    again = awx.play(**NAMES)
    assert (again.status, again.changed) == (0, 0), again.said
    assert [entry for entry in again.writes if entry[2] != 400] == []
    surveys = tmp_path / "surveys"
    surveys.mkdir()
    survey = json.loads((CHECKOUT / "roles/awx/files/surveys/change.json").read_text(encoding="utf-8"))
    survey["spec"][0]["max"] = 100
    (surveys / "change.json").write_text(json.dumps(survey), encoding="utf-8")
    other = awx.play(awx_surveys=str(surveys), **NAMES)
    written = [target for method, target, status in other.writes if status != 400]
    assert other.status == 0, other.said
    assert written and all(target.endswith("/survey_spec/") for target in written), written
    was = SITE["bulkhead_tiers"]
    awx.declare(
        {**SITE, "bulkhead_tiers": {"web": was["web"], "edge": {**was["db"], "vlan": 30}}, "bulkhead_flows": []}
    )
    what_is_defined_no_more_goes(awx)


def what_is_defined_no_more_goes(awx: Awx) -> None:
    """The tier db is edge now, and the role is given other things; what others have made stays, until all is taken away."""
    schedule = {"name": "n", "template": "drift", "rrule": "DTSTART:20260101T010000Z RRULE:FREQ=DAILY;INTERVAL=1"}
    awx.store.add("schedules", {"name": "by hand", "unified_job_template": 1, "rrule": schedule["rrule"]})
    theirs = awx.store.add("job_templates", {"name": "bulkhead by hand", "organization": 2})
    other = {**NAMES, "awx_maas_inventory_path": "", "awx_schedules": [schedule], "awx_credentials": ["ssh"]}
    other["awx_credential_inputs"] = {}
    looked = awx.play("--check", **other)
    assert (looked.status, looked.writes) == (0, []), looked.said
    assert "Not in AWX, and would be made: bulkhead tier edge." in " ".join(looked.said.split())
    done = awx.play(**other)
    assert done.status == 0, done.said
    assert [name for name in awx.names("job_templates") if "tier" in name] == [
        "bulkhead tier edge",
        "bulkhead tier web",
    ]
    assert "bulkhead by hand" in awx.names("job_templates")
    assert awx.names("schedules") == ["bulkhead n", "by hand"]
    assert awx.names("inventory_sources") == ["bulkhead proven inventory", "bulkhead site inventory"]
    awx.store.forget(theirs)
    gone = awx.play(awx_absent=True, **other)
    assert gone.status == 0, gone.said
    # Jobs that ran stay in AWX's history.
    left = {plural: awx.names(plural) for plural in awx.store.things if plural not in JOBS}
    assert not [name for names in left.values() for name in names if name.startswith(("bulkhead", "ops", "R&D"))], left
    twice = awx.play(awx_absent=True, **other)
    assert (twice.status, twice.changed) == (0, 0), twice.said


def test_an_organization_that_others_use_stays(awx: Awx) -> None:
    organization = awx.store.add("organizations", {"name": "bulkhead"})
    awx.store.add("projects", {"name": "of others", "organization": organization.id})
    awx.store.add("teams", {"name": "bulkhead operators", "organization": organization.id})
    gone = awx.play(awx_absent=True)
    assert gone.status == 0, gone.said
    assert awx.names("organizations") == ["Default", "bulkhead"]
    assert awx.names("teams") == []


def test_a_check_of_an_empty_awx_says_what_would_be_made_and_writes_nothing(awx: Awx) -> None:
    done = awx.play("--check")
    assert (done.status, done.writes) == (0, []), done.said
    assert "Not in AWX, and would be made: bulkhead." in " ".join(done.said.split())


def refused(run: Run) -> str:
    """What a run that was refused says; it has made nothing."""
    assert run.status != 0
    assert [entry for entry in run.writes if entry[2] < 400] == []
    return " ".join(run.said.split())


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"awx_token": "wrong"}, "awx_token: got a token that AWX does not know (HTTP 401)"),
    ({"awx_token": ""}, "awx_token: got nothing; expected the token of an administrator"),
    (
        {"awx_more_templates": [{"name": "mine", "playbook": "mine.yml", "inventory": ""}]},
        "template mine.inventory: got nothing; expected an inventory",
    ),
    (
        {"awx_credential_inputs": {"ssh": {"username": "a"}, "maas": {"url": "u", "api_key": "k"}}},
        "awx_credential_inputs.tailnet: got nothing, and AWX has no credential called bulkhead tailnet",
    ),
    ({"awx_project_url": ""}, "awx_project_url: got nothing; expected the URL of the site's git repository"),
    (
        {
            "awx_schedules": [
                {"name": "n", "template": "tier web", "rrule": "DTSTART:20260101T010000Z RRULE:FREQ=DAILY"}
            ]
        },
        "schedule n.answers: got nothing for change_reason",
    ),
]


@pytest.mark.parametrize(("settings", "said"), WRONG, ids=[said[:40] for _settings, said in WRONG])
def test_a_wrong_input_is_one_error_and_nothing_is_made(awx: Awx, settings: dict[str, Any], said: str) -> None:
    assert said in refused(awx.play(**settings))


def test_a_survey_with_a_tier_that_is_not_the_sites_is_refused(awx: Awx, tmp_path: Path) -> None:
    survey = json.loads((CHECKOUT / "roles/awx/files/surveys/change.json").read_text(encoding="utf-8"))
    survey["spec"][1]["choices"] = ["web", "mars"]
    (tmp_path / "change.json").write_text(json.dumps(survey), encoding="utf-8")
    said = refused(awx.play(awx_surveys=str(tmp_path)))
    assert "survey change.json: spec[1].choices: got mars; expected a tier of the site (web, db)" in said


def test_a_user_who_is_no_administrator_and_a_token_that_only_reads_are_refused(awx: Awx) -> None:
    user = awx.front.user("bob", "words")
    assert "got one of bob, who is no administrator of AWX (HTTP 403 would follow)" in refused(
        awx.play(awx_token=awx.front.token(user))
    )
    reads = awx.front.token(1, write=False)
    assert "awx_token: got a token that only reads (HTTP 403)" in refused(awx.play(awx_token=reads))
    assert awx.play("--check", awx_token=reads).status == 0


def test_no_secret_is_shown(awx: Awx) -> None:
    secret = {"ssh": {"username": "ansible", "password": "s3cret-1"}, "maas": {"url": "u", "api_key": "s3cret-2"}}
    settings = {
        "awx_credentials": ["ssh", "maas"],
        "awx_credential_inputs": secret,
        "awx_more_templates": [{"name": ""}],
    }
    said = awx.play("-vvv", **settings).said
    assert "s3cret" not in said and awx.token not in said
