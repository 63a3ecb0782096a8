# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An auth key of Tailscale's, made of an OAuth client secret: two requests, both from the controller.

The secret can make keys for as long as it is valid; the key that is made of it is for one node and some minutes. So the
secret stays on the controller. The requests are those of tailscale's own command (feature/oauthkey in its sources).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit

from ansible.module_utils.urls import open_url

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: How a client secret begins, for those who give one as an auth key, as the command takes it.
SECRET = "tskey-client-"
#: Seconds that the key can be used for.
VALID = 600
#: Seconds of one request.
TIMEOUT = 30
#: Bytes of an answer.
_LARGEST = 100_000
#: What may follow a secret after a question mark, and the option of the same meaning.
_ATTRIBUTES = {"ephemeral": "ephemeral", "preauthorized": "preauthorized", "baseURL": "api_url"}
_BOOLEANS = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}


def split_secret(text: str) -> tuple[str, dict[str, Any]]:
    """`tskey-client-x?ephemeral=false` -> the secret, and the options that are said with it. Refused."""
    secret, _mark, query = text.strip().partition("?")
    options: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        option = _ATTRIBUTES.get(name)
        value_of = value if option == "api_url" else _BOOLEANS.get(value.lower())
        if option is None or value_of is None:
            expected = "ephemeral and preauthorized (true or false), or baseURL, after the secret's question mark"
            raise Refused([Mistake("client_secret", f"the attribute {printable(name, 40)}", expected, "correct it")])
        options[option] = value_of
    return secret, options


def make_key(secret: str, tags: Sequence[str], ephemeral: bool, preauthorized: bool, url: str) -> str:
    """The auth key. Refused, with a text that has no part of the secret."""
    if not tags:
        remedy = "give advertise_tags: what is made by an OAuth client belongs to tags, not to a person"
        raise Refused([Mistake("advertise_tags", "none, beside client_secret", "one tag at least", remedy)])
    if urlsplit(url).scheme != "https" and urlsplit(url).hostname not in ("127.0.0.1", "::1", "localhost"):
        raise Refused([Mistake("api_url", printable(url), "an https:// URL", "the secret is sent there")])
    base = url.rstrip("/")
    form = urlencode({"grant_type": "client_credentials", "client_id": "some-client-id", "client_secret": secret})
    token = _ask(f"{base}/api/v2/oauth/token", form, {"Content-Type": "application/x-www-form-urlencoded"}, secret)
    create = {"reusable": False, "ephemeral": ephemeral, "preauthorized": preauthorized, "tags": list(tags)}
    body = {"capabilities": {"devices": {"create": create}}, "expirySeconds": VALID}
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {_part(token, 'access_token', base)}"}
    made = _ask(f"{base}/api/v2/tailnet/-/keys", json.dumps(body), headers, secret)
    return _part(made, "key", base)


def _ask(url: str, data: str, headers: dict[str, str], secret: str) -> Any:
    try:
        with open_url(
            url, data=data, headers=headers, method="POST", timeout=TIMEOUT, follow_redirects="none"
        ) as answer:
            text = answer.read(_LARGEST)
    except HTTPError as error:
        detail = _words_of(error).replace(secret, "***")
        remedy = (
            "check that the OAuth client is not revoked, has the scope auth_keys with write access, and owns the tags of "
            "advertise_tags"
        )
        got = f"HTTP {error.code} from {printable(url)} ({printable(detail, 200)})"
        raise Refused([Mistake("client_secret", got, "an auth key", remedy, "exchange")]) from None
    except (OSError, HTTPException) as error:
        got = f"no answer from {printable(url)} ({printable(str(error).replace(secret, '***'), 200)})"
        raise Refused(
            [Mistake("client_secret", got, "an auth key", "check that the controller reaches it", "exchange")]
        ) from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        got = f"an answer from {printable(url)} that is no JSON"
        raise Refused([Mistake("client_secret", got, "an auth key", "check api_url", "exchange")]) from None


def _words_of(error: HTTPError) -> str:
    """What a refusal says; "" where the server does not come to its end."""
    try:
        return error.read(_LARGEST).decode("utf-8", "replace")
    except (OSError, HTTPException):
        return ""


def _part(answer: Any, name: str, url: str) -> str:
    value = answer.get(name) if isinstance(answer, Mapping) else None
    if not isinstance(value, str) or not value:
        got = f"an answer from {printable(url)} without {name}"
        raise Refused([Mistake("client_secret", got, "an auth key", "check api_url", "exchange")])
    return value
