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
}


def answering(**answers: Answer) -> Any:
    """An AWX whose lists have one item each, but for what is given by the first word of the path."""

    def send(method: str, path: str, body: Optional[Mapping[str, Any]]) -> Answer:
        word = path.partition("/")[0]
        if method == "POST":
            return answers.get("post", Answer(400, {}))
        plain = {"me": Answer(200, {"results": [{"is_superuser": True}]}), "ping": Answer(200, {"version": "24.6.1"})}
        return answers.get(word) or plain.get(word) or Answer(200, {"count": 1, "results": [{"id": 1, "name": "p x"}]})

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


def test_an_organization_with_something_of_others_is_shared() -> None:
    others = Answer(200, {"count": 1, "results": [{"id": 9, "name": "theirs"}]})
    assert look(answering(projects=others), FOUND, write=True, absent=True).shared is True
    assert look(answering(), FOUND, write=True, absent=True).shared is False


def test_of_the_credentials_those_count_whose_type_is_there() -> None:
    assert look(answering(credential_types=NONE), FOUND, write=True, absent=True).kinds == ["ssh"]
    assert look(answering(), FOUND, write=True, absent=True).kinds == ["ssh", "maas"]


@pytest.mark.parametrize(("host", "token"), [("", "t"), ("awx.example", "t"), ("https://awx.example", "")])
def test_where_awx_is_and_by_which_token_must_be_said(host: str, token: str) -> None:
    assert len(list(settings(host, token))) == 1


def test_an_awx_that_does_not_answer_is_an_error_of_the_settings() -> None:
    with pytest.raises(Refused, match="awx_host: got http://127.0.0.1:1 "):
        sender("http://127.0.0.1:1", "t", validate_certs=True)("GET", "me/", None)
