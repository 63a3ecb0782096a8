# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two control servers' APIs for a policy: read it, have one judged, put one, never over another's edit.

Headscale: `GET/PUT /api/v1/policy` and `POST /api/v1/policy/check`, as a 0.29.2 answers. It knows no versions of a
policy, so the text that stands there is compared right before the PUT.

Tailscale: `GET/POST /api/v2/tailnet/-/acl` and `POST .../acl/validate`, from its documentation. An ETag comes with the
text and goes back as `If-Match`; `validate` answers 200 to a policy that it refuses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional, Protocol
from urllib.parse import quote, urlencode

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.transport import Answer, ControlError, Server

TAILSCALE = "https://api.tailscale.com"
HUJSON = "application/hujson"
#: Where a Headscale says that no policy was ever put (500, code 2): nothing else tells it from other failures.
NO_POLICY = "acl policy not found"


@dataclass(frozen=True)
class Live:
    """What stands on the server: the text ("" where there is none) and the version that it is known by."""

    text: str
    etag: str


class Conflict(Exception):
    """The policy on the server is not the one that was read; ``live`` is what stands there now."""

    def __init__(self, live: Live) -> None:
        super().__init__("the policy on the server has changed")
        self.live = live


class Control(Protocol):
    """A control server. Every method raises ``ControlError``."""

    server: Server

    def read(self) -> Live:
        """What stands there."""

    def check(self, text: str) -> None:
        """Has the server judge a policy with its own users and devices; nothing is changed. kind `refused`: its no."""

    def write(self, text: str, before: Optional[Live]) -> None:
        """Puts a policy in the place of the one that was read (of any, where that is None); ``Conflict``."""


class Headscale:
    """Headscale's REST API, with a key of `headscale apikeys create`."""

    def __init__(self, server: Server, token: str) -> None:
        self.server = server
        server.secrets.append(token)
        self._headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }

    def read(self) -> Live:
        answer = self._ask("GET", "/api/v1/policy")
        said = _object(answer)
        if answer.status == 500 and NO_POLICY in str(said.get("message")):
            return _hashed("")
        if answer.status != 200:
            raise _refusal(self.server, answer, "the policy cannot be read")
        text = said.get("policy")
        if not isinstance(text, str):
            raise _strange(self.server, "GET", "/api/v1/policy")
        return _hashed(text)

    def check(self, text: str) -> None:
        answer = self._ask("POST", "/api/v1/policy/check", text, again=True)
        if answer.status != 200:
            raise _refusal(self.server, answer, "Headscale refuses the policy")

    def write(self, text: str, before: Optional[Live]) -> None:
        if before is not None:
            now = self.read()
            if now.text != before.text:
                raise Conflict(now)
        answer = self._ask("PUT", "/api/v1/policy", text)
        if answer.status != 200:
            raise _refusal(self.server, answer, "Headscale refuses the policy")

    def _ask(self, method: str, path: str, text: Optional[str] = None, again: bool = False) -> Answer:
        body = None if text is None else json.dumps({"policy": text})
        answer = self.server.request(method, path, self._headers, body, again)
        if answer.status in (401, 403):
            raise ControlError(
                f"{method} {self.server}{path}: the server does not take the API key ({answer.status}); it is wrong, has expired or was "
                "revoked; make one with `headscale apikeys create`",
                "auth",
            )
        return answer


class Tailscale:
    """Tailscale's own API, with an access token, or with an OAuth client that may write the policy file."""

    def __init__(
        self, server: Server, tailnet: str, token: str = "", client_id: str = "", client_secret: str = ""
    ) -> None:
        self.server = server
        self._acl = f"/api/v2/tailnet/{quote(tailnet, safe='')}/acl"
        self._token = token
        self._client = (client_id, client_secret)
        server.secrets += [secret for secret in (token, client_secret) if secret]

    def read(self) -> Live:
        answer = self._ask("GET", self._acl)
        if answer.status != 200:
            raise _refusal(self.server, answer, "the policy cannot be read")
        etag = answer.headers.get("etag", "").strip().removeprefix("W/").strip('"')
        if not etag:
            raise ControlError(
                f"GET {self.server}{self._acl}: got a policy without an ETag; is url Tailscale's API?", "answer"
            )
        return Live(answer.text, etag)

    def check(self, text: str) -> None:
        answer = self._ask("POST", f"{self._acl}/validate", text, again=True)
        said = _object(answer) if answer.text.strip() else {}
        if answer.status != 200 or said.get("message") or said.get("data"):
            raise _refusal(self.server, answer, "Tailscale refuses the policy")

    def write(self, text: str, before: Optional[Live]) -> None:
        match = {} if before is None else {"If-Match": f'"{before.etag}"'}
        answer = self._ask("POST", self._acl, text, match)
        if answer.status == 412:
            raise Conflict(self.read())
        if answer.status != 200:
            raise _refusal(self.server, answer, "Tailscale refuses the policy")

    def _ask(
        self,
        method: str,
        path: str,
        text: Optional[str] = None,
        more: Optional[Mapping[str, str]] = None,
        again: bool = False,
    ) -> Answer:
        headers = {
            "Authorization": f"Bearer {self._bearer()}",
            "Accept": HUJSON if method == "GET" else "application/json",
        }
        if text is not None:
            headers["Content-Type"] = HUJSON
        answer = self.server.request(method, path, {**headers, **(more or {})}, text, again)
        if answer.status == 401:
            raise ControlError(
                f"{method} {self.server}{path}: the server does not take the token (401); it is wrong or has expired; make one on the Keys page",
                "auth",
            )
        if answer.status == 403:
            raise ControlError(
                f"{method} {self.server}{path}: the token may not do this (403); give it the scope policy_file",
                "forbidden",
            )
        return answer

    def _bearer(self) -> str:
        """The access token; an OAuth client's is asked for once and lives for an hour."""
        if not self._token:
            client, secret = self._client
            form = urlencode({"client_id": client, "client_secret": secret, "grant_type": "client_credentials"})
            headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
            answer = self.server.request("POST", "/api/v2/oauth/token", headers, form, again=True)
            token = _object(answer).get("access_token") if answer.status == 200 else None
            if not isinstance(token, str) or not token:
                raise ControlError(
                    f"POST {self.server}/api/v2/oauth/token: the server does not take the OAuth client ({answer.status}); check client_id and "
                    "client_secret, and that the client was not revoked",
                    "auth",
                )
            self._token = token
            self.server.secrets.append(token)
        return self._token


def _hashed(text: str) -> Live:
    return Live(text, "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())


def _object(answer: Answer) -> dict[str, Any]:
    """The answer as a JSON object; {} where it is none."""
    try:
        said = json.loads(answer.text)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _strange(server: Server, method: str, path: str) -> ControlError:
    return ControlError(
        f"{method} {server}{path}: got an answer of another shape; expected the API of a control server; check url",
        "answer",
    )


def _refusal(server: Server, answer: Answer, what: str) -> ControlError:
    """The server's own words, bounded and escaped, every error of them."""
    said = _object(answer)
    words = [str(said.get("message") or "")] if said else [answer.text]
    data = said.get("data")
    for entry in data if isinstance(data, list) else ():
        if isinstance(entry, dict):
            errors = entry.get("errors")
            lines = [str(line) for line in errors] if isinstance(errors, list) else [str(errors)]
            words += [f"{entry.get('user', '')}: {line}" for line in lines]
    text = server.redacted("; ".join(word for word in words if word)) or "no reason given"
    return ControlError(f"{what} ({answer.status}): {text}", "refused")
