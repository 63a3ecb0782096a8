# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an AWX is asked before anything is made: who we are, what we may, and what must be there already. It only reads.

One request creates nothing though it is a POST: an organization without a name, which AWX refuses with 400 where the token may
write and with 403 where it may not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit

from ansible.module_utils.urls import open_url

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: Seconds that an answer may take.
TIMEOUT = 30
#: Of an answer, more is not read.
LARGEST = 8 << 20
#: What would go with an organization, or stay behind without one.
OWNED = (
    "job_templates",
    "workflow_job_templates",
    "projects",
    "inventories",
    "credentials",
    "teams",
    "notification_templates",
    "execution_environments",
    "labels",
)


class Answer(NamedTuple):
    """A status, and the JSON that came with it; {} where none did."""

    status: int
    body: Mapping[str, Any]


Send = Callable[[str, str, Optional[Mapping[str, Any]]], Answer]


class Known(NamedTuple):
    """What was found. organization: whether it is there by now; shared: whether it holds anything of others; kinds: of
    the credentials that are to be taken away, those that have a type still."""

    organization: bool
    shared: bool
    kinds: list[str]
    version: str


def sender(host: str, token: str, *, validate_certs: bool) -> Send:
    """Asks an AWX. Refused where it cannot be reached at all."""

    def send(method: str, path: str, body: Optional[Mapping[str, Any]] = None) -> Answer:
        try:
            reply = open_url(
                f"{host.rstrip('/')}/api/v2/{path}",
                method=method,
                data=None if body is None else json.dumps(body),
                headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
                validate_certs=validate_certs,
                timeout=TIMEOUT,
                follow_redirects="none",
            )
            return Answer(reply.status, _json(reply.read(LARGEST)))
        except HTTPError as error:
            return Answer(error.code, _json(error.read(LARGEST)))
        except (URLError, OSError, ValueError) as error:
            why = printable(getattr(error, "reason", error))
            raise Refused(
                [Mistake("awx_host", f"{printable(host)} ({why})", "an AWX that answers", "correct it")]
            ) from error

    return send


def _json(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def settings(host: Any, token: Any) -> Iterator[Mistake]:
    """What is wrong with where AWX is, before it is asked."""
    address = urlsplit(str(host or ""))
    if address.scheme not in ("http", "https") or not address.hostname:
        yield Mistake("awx_host", printable(host or "nothing"), "https://NAME", "set it, or CONTROLLER_HOST")
    if not token:
        yield Mistake("awx_token", "nothing", "the token of an administrator", "set it, or CONTROLLER_OAUTH_TOKEN")


def look(send: Send, found: Mapping[str, Any], *, write: bool, absent: bool) -> Known:
    """Ask what has to be so for the run to go through; Refused with all that is not.

    found: as in definition.py; write: whether the run writes; absent: whether all is taken away, which needs no credentials.
    """
    who = send("GET", "me/", None)
    if who.status == 401:
        got = "a token that AWX does not know (HTTP 401)"
        raise Refused(
            [Mistake("awx_token", got, "a valid one", "make a new one: it may have ended, or been taken back")]
        )
    users = who.body.get("results") or [{}]
    if who.status != 200 or not isinstance(users[0], Mapping):
        raise Refused([Mistake("awx_host", f"HTTP {who.status} for /api/v2/me/", "the API of an AWX", "correct it")])
    if not users[0].get("is_superuser"):
        name = printable(users[0].get("username", "an unknown user"))
        raise Refused(
            [
                Mistake(
                    "awx_token",
                    f"one of {name}, who is no administrator of AWX (HTTP 403 would follow)",
                    "the token of an administrator",
                    "credential types and organizations are made by administrators alone",
                )
            ]
        )
    if write and send("POST", "organizations/", {}).status == 403:
        expected = "one of scope write, unless in check mode"
        raise Refused([Mistake("awx_token", "a token that only reads (HTTP 403)", expected, "make one of that scope")])
    listed = _list(send, "organizations/", name=found["organization"])
    wrong = [] if absent else list(_absent_credentials(send, found, len(listed)))
    if wrong:
        raise Refused(wrong)
    shared = absent and bool(listed) and _shared(send, listed[0].get("id"), found["prefix"])
    kinds = [name for name in found["credentials"] if _has_type(send, name, found["prefix"])] if absent else []
    return Known(bool(listed), shared, kinds, str(send("GET", "ping/", None).body.get("version", "")))


def _has_type(send: Send, name: str, prefix: str) -> bool:
    return name == "ssh" or bool(_list(send, "credential_types/", name=f"{prefix} {name}"))


def _shared(send: Send, organization: Any, prefix: str) -> bool:
    """Whether an organization holds what this role has not made: it is then not deleted, for much would go with it."""
    return any(
        not str(item.get("name", "")).startswith(f"{prefix} ") and item.get("name") != prefix
        for plural in OWNED
        for item in _list(send, f"{plural}/", organization=str(organization), page_size="200")
    )


def _absent_credentials(send: Send, found: Mapping[str, Any], organizations: int) -> Iterator[Mistake]:
    """The credentials that this run does not make, and that are not there."""
    wanted = {
        f"{found['prefix']} {name}": f"awx_credential_inputs.{name}"
        for name in found["credentials"]
        if name not in found["credential_inputs"]
    }
    if found["project"].get("credential"):
        wanted[found["project"]["credential"]] = "awx_project_credential"
    for name, variable in wanted.items():
        asked = organizations or variable == "awx_project_credential"
        count = len(_list(send, "credentials/", name=name)) if asked else 0
        if count != 1:
            got = f"nothing, and AWX has {count or 'no'} credential{'s' if count > 1 else ''} called {printable(name)}"
            yield Mistake(
                variable, got, "what it holds, or one that is there", "set it in a vault, or make the credential"
            )


def _list(send: Send, path: str, **query: str) -> list[Mapping[str, Any]]:
    """The first items of a list, 25 unless the query asks for more."""
    answer = send("GET", f"{path}?{urlencode(query)}", None)
    results = answer.body.get("results")
    if answer.status != 200 or not isinstance(results, list):
        raise Refused([Mistake("awx_host", f"HTTP {answer.status} for /api/v2/{path}", "a list", "see AWX's log")])
    return [item for item in results if isinstance(item, Mapping)]
