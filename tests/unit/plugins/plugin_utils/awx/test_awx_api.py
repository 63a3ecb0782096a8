# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What AWX is asked before anything is made, and what its answers mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.awx.api import Answer, look, sender, settings

FOUND: dict[str, Any] = {
    "organization": "o",
    "prefix": "p",
    "project": {"credential": ""},
    "credentials": ["ssh", "maas"],
    "credential_inputs": ["ssh"],
    "templates": [{"name": "site"}],
    "schedules": [{"name": "n", "template": "site"}],
    "inventories": ["p site"],
    "sources": [{"name": "p site inventory", "inventory": "p site"}],
    "own": {
        "workflow_job_templates": ["p change"],
        "projects": ["p"],
        "inventories": ["p site"],
        "credentials": ["p ssh", "p maas"],
        "teams": ["them"],
        "notification_templates": [],
        "execution_environments": ["p"],
        "labels": ["p"],
    },
}


def listed(*items: dict[str, Any]) -> Answer:
    return Answer(200, {"count": len(items), "results": [{"id": 1 + index, **one} for index, one in enumerate(items)]})


def labelled(name: str, label: str = "p") -> dict[str, Any]:
    return {"name": name, "summary_fields": {"labels": {"results": [{"name": label}]}}}


#: An AWX in which everything is that is to be.
HELD: dict[str, Answer] = {
    **{plural: listed(*({"name": name} for name in names)) for plural, names in FOUND["own"].items()},
    "credentials": listed(
        {"name": "p ssh"}, {"name": "p maas", "summary_fields": {"credential_type": {"name": "p maas"}}}
    ),
    "job_templates": listed(labelled("p site")),
    "schedules": listed({"name": "p n", "unified_job_template": 1}),
    "inventory_sources": listed({"name": "p site inventory"}),
    "applications": listed(),
}


def answering(**answers: Answer) -> Any:
    """An AWX that has everything, but for what is given by the first word of the path."""

    def send(method: str, path: str, body: Optional[Mapping[str, Any]]) -> Answer:
        word = path.partition("/")[0]
        if method == "POST":
            return answers.get("post", Answer(400, {}))
        plain = {"me": Answer(200, {"results": [{"is_superuser": True}]}), "ping": Answer(200, {"version": "24.6.1"})}
        return answers.get(word) or plain.get(word) or HELD.get(word) or listed({"name": "p x"})

    return send


NONE = Answer(200, {"count": 0, "results": []})


def test_an_awx_that_has_what_is_needed() -> None:
    known = look(answering(), FOUND, write=True, absent=False)
    assert (known.organization, known.shared, known.version) == (True, False, "24.6.1")
    assert (
        look(answering(organizations=NONE), {**FOUND, "credentials": ["ssh"]}, write=True, absent=False).organization
        is False
    )


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"me": Answer(401, {})}, "a token that AWX does not know"),
        ({"me": Answer(404, {})}, "got HTTP 404 for /api/v2/me/"),
        ({"me": Answer(200, {})}, "who is no administrator of AWX"),
        ({"me": Answer(200, {"results": {"id": 1}})}, "got HTTP 200 for /api/v2/me/"),
        ({"post": Answer(403, {})}, "a token that only reads"),
        ({"credentials": NONE}, "awx_credential_inputs.maas: got nothing, and AWX has no credential called p maas"),
        ({"organizations": Answer(502, {})}, "got HTTP 502 for /api/v2/organizations/"),
    ],
)
def test_what_would_end_a_run_in_the_middle_ends_it_before(answers: dict[str, Answer], said: str) -> None:
    with pytest.raises(Refused, match=said.replace("(", r"\(")):
        look(answering(**answers), FOUND, write=True, absent=False)


def test_a_check_asks_for_no_right_to_write() -> None:
    assert look(answering(post=Answer(403, {})), FOUND, write=False, absent=False).organization


@pytest.mark.parametrize(
    ("plural", "item"),
    [
        ("projects", {"name": "theirs"}),
        ("teams", {"name": "p others"}),
        ("applications", {"name": "p"}),
        ("job_templates", labelled("p other", "p other")),
    ],
)
def test_an_organization_with_something_of_others_is_shared(plural: str, item: dict[str, Any]) -> None:
    own = HELD[plural].body["results"]
    assert look(answering(**{plural: listed(*own, item)}), FOUND, write=True, absent=True).shared is True


def test_one_with_what_the_role_has_made_is_not_shared() -> None:
    held = answering(
        job_templates=listed(labelled("p site"), labelled("p tier of once")),
        credentials=listed({"name": "p tailnet"}),
        notification_templates=listed({"name": "p notification"}),
    )
    known = look(held, FOUND, write=True, absent=True)
    assert known.shared is False and known.gone.job_templates == ["p site", "p tier of once"]


def test_a_definition_that_is_wrong_is_taken_away_all_the_same() -> None:
    wrong = {**FOUND, "templates": [{"name": "site"}, {"playbook": "x.yml"}]}
    assert look(answering(), wrong, write=True, absent=True).shared is False


def test_what_is_on_the_next_page_of_a_list_is_seen_too() -> None:
    first, second = Answer(200, {"results": [{"name": "p"}], "next": "/more"}), listed({"name": "theirs"})
    plain = answering()

    def send(method: str, path: str, body: Optional[Mapping[str, Any]]) -> Answer:
        if path.startswith("projects/"):
            return second if "page=2" in path else first
        answer: Answer = plain(method, path, body)
        return answer

    assert look(send, FOUND, write=True, absent=True).shared is True


def test_what_is_defined_no_more_is_taken_away_and_what_others_have_made_stays() -> None:
    templates = listed(
        labelled("p site"), labelled("p tier of once"), labelled("theirs"), labelled("p theirs", "q"), {"name": "p x"}
    )
    schedules = listed(
        {"name": "p n", "unified_job_template": 1},
        {"name": "p once", "unified_job_template": 1},
        {"name": "theirs", "unified_job_template": 1},
        {"name": "p n", "unified_job_template": 2},
        {"name": "p n", "unified_job_template": 3},
    )
    sources = listed({"name": "p site inventory"}, {"name": "p site MAAS"}, {"name": "theirs"})
    held = answering(job_templates=templates, schedules=schedules, inventory_sources=sources)
    assert look(held, FOUND, write=True, absent=False).gone == (
        ["p tier of once"],
        [{"name": "p once", "template": "p site"}],
        [{"name": "p site MAAS", "inventory": "p site"}],
    )


def test_a_check_names_what_others_refer_to_and_is_not_there() -> None:
    assert look(answering(), FOUND, write=False, absent=False).missing == []
    fewer = answering(projects=NONE, job_templates=listed(labelled("p plan")))
    assert look(fewer, FOUND, write=False, absent=False).missing == ["p", "p site"]
    assert look(answering(organizations=NONE), {**FOUND, "credentials": []}, write=False, absent=False).missing == ["o"]


def test_a_credential_of_another_type_is_not_the_one_that_is_needed() -> None:
    other = listed({"name": "p maas", "summary_fields": {"credential_type": {"name": "Vault"}}})
    with pytest.raises(Refused, match=r"awx_credential_inputs\.maas: got nothing"):
        look(answering(credentials=other), FOUND, write=True, absent=False)


def test_of_the_credentials_those_count_whose_type_is_there() -> None:
    assert look(answering(credential_types=NONE), FOUND, write=True, absent=True).kinds == ["ssh"]
    assert look(answering(), FOUND, write=True, absent=True).kinds == ["ssh", "tailnet", "tailnet_policy", "maas"]


@pytest.mark.parametrize(
    ("host", "token"),
    [
        ("", "t"),
        ("awx.example", "t"),
        ("https://awx.example", ""),
        ("https://[awx.example", "t"),
        ("https://me:secret@awx.example", "t"),
    ],
)
def test_where_awx_is_and_by_which_token_must_be_said(host: str, token: str) -> None:
    (mistake,) = settings(host, token)
    assert "secret" not in str(mistake)


def test_an_awx_that_does_not_answer_is_an_error_of_the_settings() -> None:
    with pytest.raises(Refused, match="awx_host: got http://127.0.0.1:1 "):
        sender("http://127.0.0.1:1", "t", validate_certs=True)("GET", "me/", None)
