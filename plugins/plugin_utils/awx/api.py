# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an AWX is asked before anything is made: who we are, what we may, and what must be there already. It only reads.

One request creates nothing though it is a POST: an organization without a name, which AWX refuses with 400 where the token may
write and with 403 where it may not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit

from ansible.module_utils.urls import open_url

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.awx.definition import CREDENTIALS, PASSWORD

#: Seconds that an answer may take.
TIMEOUT = 30
#: Of an answer, more is not read.
LARGEST = 8 << 20
#: Pages of a list, of 200 items each.
PAGES = 100
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
    "applications",
)
#: What other objects refer to by name: a check can look at none that refers to what is not there.
REFERRED = tuple(plural for plural in OWNED if plural not in ("labels", "applications"))


class Answer(NamedTuple):
    """A status, and the JSON that came with it; {} where none did."""

    status: int
    body: Mapping[str, Any]


Item = Mapping[str, Any]
Send = Callable[[str, str, Optional[Mapping[str, Any]]], Answer]


class Gone(NamedTuple):
    """What this role has made and no longer has: of inventories and templates also what it is in."""

    job_templates: list[str]
    schedules: list[dict[str, str]]
    inventory_sources: list[dict[str, str]]


class Known(NamedTuple):
    """What was found. organization: whether it is there by now; missing: in a check, the names of what others refer to and is
    not there; shared: whether it holds anything of others; kinds: of all credentials, those that have a type, where they are
    taken away; gone: what is to be taken away though nothing is said of it any more."""

    organization: bool
    missing: list[str]
    shared: bool
    kinds: list[str]
    gone: Gone
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
    try:
        address = urlsplit(str(host or ""))
    except ValueError:  # brackets that hold no address
        address = urlsplit("")
    if PASSWORD.search(str(host)):
        yield Mistake("awx_host", "a URL with a password in it", "https://NAME", "AWX is asked with awx_token")
    elif address.scheme not in ("http", "https") or not address.hostname:
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
    if who.status != 200 or not isinstance(users, list) or not isinstance(users[0], Mapping):
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
    organization = str(listed[0].get("id")) if listed else ""
    wrong = [] if absent else list(_absent_credentials(send, found, organization))
    if wrong:
        raise Refused(wrong)
    plurals = OWNED if absent else ("job_templates", "inventories") if write else REFERRED
    held = {name: _list(send, f"{name}/", organization=organization) for name in plurals} if listed else {}
    gone = _gone(send, found, held, absent=absent)
    return Known(
        organization=bool(listed),
        missing=[] if write or absent else _missing(found, held),
        shared=absent and _shared(found, held, gone),
        kinds=[name for name in CREDENTIALS if _has_type(send, name, found["prefix"])] if absent else [],
        gone=gone,
        version=str(send("GET", "ping/", None).body.get("version", "")),
    )


def _has_type(send: Send, name: str, prefix: str) -> bool:
    return name == "ssh" or bool(_list(send, "credential_types/", name=f"{prefix} {name}"))


def _names(found: Mapping[str, Any]) -> dict[str, set[str]]:
    """The names of what this run makes in the organization, by plural."""
    templates = {f"{found['prefix']} {template.get('name')}" for template in found["templates"]}
    return {**{plural: set(names) for plural, names in found["own"].items()}, "job_templates": templates}


def _missing(found: Mapping[str, Any], held: Mapping[str, Sequence[Item]]) -> list[str]:
    if not held:
        return [str(found["organization"])]
    own = _names(found)
    return sorted(
        name for plural in REFERRED for name in own[plural] - {str(item.get("name")) for item in held[plural]}
    )


def _gone(send: Send, found: Mapping[str, Any], held: Mapping[str, Sequence[Item]], *, absent: bool) -> Gone:
    """What this role has made, by its names and the label of its templates, and has no longer; all of it, where all is taken away."""
    own, start = _names(found), f"{found['prefix']} "
    ours = {
        item.get("id"): str(item["name"])
        for item in held.get("job_templates", ())
        if str(item.get("name", "")).startswith(start) and found["prefix"] in _labels(item)
    }
    templates = [name for name in ours.values() if absent or name not in own["job_templates"]]
    if absent or not held:
        # With the others goes what they have.
        return Gone(templates, [], [])
    schedules = {(f"{start}{one['name']}", f"{start}{one['template']}") for one in found["schedules"]}
    sources = {(one["name"], one["inventory"]) for one in found["sources"]}
    stale = [
        {"name": str(item["name"]), "template": ours[item["unified_job_template"]]}
        for item in _list(send, "schedules/")
        if item.get("unified_job_template") in ours and str(item.get("name", "")).startswith(start)
    ]
    inventories = [one for one in held["inventories"] if one.get("name") in found["inventories"]]
    left = [
        {"name": str(item["name"]), "inventory": str(inventory["name"])}
        for inventory in inventories
        for item in _list(send, "inventory_sources/", inventory=str(inventory.get("id")))
        if str(item.get("name", "")).startswith(start)
    ]
    return Gone(
        templates,
        [one for one in stale if one["template"] not in templates and (one["name"], one["template"]) not in schedules],
        [one for one in left if (one["name"], one["inventory"]) not in sources],
    )


def _labels(item: Item) -> list[Any]:
    """The names of an object's labels; of many, AWX shows the first ones."""
    labels = (item.get("summary_fields") or {}).get("labels") or {}
    return [label.get("name") for label in labels.get("results") or ()]


def _shared(found: Mapping[str, Any], held: Mapping[str, Sequence[Item]], gone: Gone) -> bool:
    """Whether an organization holds what this role has not made: it is then not deleted, for much would go with it."""
    own, prefix = _names(found), found["prefix"]
    own["job_templates"] |= {*gone.job_templates}
    own["credentials"] |= {f"{prefix} {name}" for name in CREDENTIALS}
    own["notification_templates"] |= {f"{prefix} notification"}
    return any(item.get("name") not in own.get(plural, ()) for plural, items in held.items() for item in items)


def _absent_credentials(send: Send, found: Mapping[str, Any], organization: str) -> Iterator[Mistake]:
    """The credentials that this run does not make, and that are not there."""
    prefix, named = found["prefix"], found["project"].get("credential")
    counts: dict[tuple[str, str], int] = {}
    for name in found["credentials"]:
        if name not in found["credential_inputs"]:
            # Of this organization and this type, as the templates ask for it.
            kind = "Machine" if name == "ssh" else f"{prefix} {name}"
            called = f"{prefix} {name}"
            items = _list(send, "credentials/", name=called, organization=organization) if organization else []
            kinds = [((item.get("summary_fields") or {}).get("credential_type") or {}).get("name") for item in items]
            counts[called, f"awx_credential_inputs.{name}"] = kinds.count(kind)
    if named:
        counts[named, "awx_project_credential"] = len(_list(send, "credentials/", name=named))
    for (name, variable), number in counts.items():
        if number != 1:
            got = (
                f"nothing, and AWX has {number or 'no'} credential{'s' if number > 1 else ''} called {printable(name)}"
            )
            yield Mistake(
                variable, got, "what it holds, or one that is there", "set it in a vault, or make the credential"
            )


def _list(send: Send, path: str, **query: str) -> list[Item]:
    """All items of a list."""
    found: list[Item] = []
    for page in range(1, PAGES + 1):
        answer = send("GET", f"{path}?{urlencode({**query, 'page_size': '200', 'page': str(page)})}", None)
        results = answer.body.get("results")
        if answer.status != 200 or not isinstance(results, list):
            got = f"HTTP {answer.status} for /api/v2/{path}"
            raise Refused([Mistake("awx_host", got, "a list", "see AWX's log")])
        found += [item for item in results if isinstance(item, Mapping)]
        if not answer.body.get("next"):
            return found
    raise Refused([Mistake("awx_host", f"/api/v2/{path} without an end", "a list", "see AWX's log")])
