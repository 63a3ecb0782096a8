# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP, tokens and passwords in front of the stand-in `Controller`, on loopback."""

from __future__ import annotations

import base64
import http.server
import json
import secrets
import threading
from dataclasses import dataclass, field
from typing import Any, Optional
from urllib.parse import urlsplit

from .controller import DENIED, NOT_FOUND, Controller, Reply, Who
from .store import API

UNKNOWN = {
    "detail": "Authentication credentials were not provided. To establish a login session, visit /api/login/.",
}
HTML = "text/html; charset=utf-8"
MIME = (
    "You did not use correct Content-Type in your HTTP request. If you are using our REST API, the Content-Type must be "
    "application/json"
)


@dataclass
class Front:
    """Finds out who asks, reads the body, and hands on to the controller, one request at a time.

    ``passwords``: {user name: password}; ``tokens``: {token: who}; ``log``: (method, path, status) of each request.
    """

    controller: Controller
    passwords: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, tuple[int, Who]] = field(default_factory=dict)
    log: list[tuple[str, str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    @property
    def writes(self) -> list[tuple[str, str, int]]:
        return [entry for entry in self.log if entry[0] != "GET"]

    def user(self, name: str, password: str, **fields: Any) -> int:
        """A user who can log in; the id."""
        known = [thing for thing in self.controller.store.all("users") if thing["username"] == name]
        thing = known[0] if known else self.controller.store.add("users", {"username": name, **fields})
        self.passwords[name] = password
        return thing.id

    def token(self, user: int, *, write: bool = True) -> str:
        """A token of a user."""
        text = secrets.token_hex(16)
        self.tokens[text] = (self.controller.store.sequence("tokens"), Who(user, write))
        return text

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        with self._lock:
            reply = self._answer(method, target, headers, body)
            self.log.append((method, target, reply.status))
            return reply

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Reply:
        address = urlsplit(target)
        if address.path == "/api/":
            versions = {"v2": API}
            return Reply(
                200,
                {
                    "description": "AWX REST API",
                    "current_version": API,
                    "available_versions": versions,
                    "oauth2": "/api/o/",
                    "custom_logo": "",
                    "custom_login_info": "",
                    "login_redirect_override": "",
                },
            )
        who = self.who(headers.get("authorization", ""))
        if who is None and address.path != f"{API}ping/":
            return Reply(401, UNKNOWN)
        content: Any = None
        if body:
            if not headers.get("content-type", "").startswith("application/json"):
                return Reply(415, {"detail": MIME})
            try:
                content = json.loads(body)
            except ValueError as error:
                return Reply(400, {"detail": f"JSON parse error - {error}\nPossible cause: trailing comma."})
        if address.path.startswith(f"{API}tokens/") and who:
            return self._tokens(method, address.path, content, who)
        return self.controller.handle(method, address.path, address.query, content, who or Who(0, False))

    def who(self, header: str) -> Optional[Who]:
        """Who an Authorization header is; None for a wrong one, and for none."""
        kind, _blank, value = header.partition(" ")
        if kind == "Bearer":
            return self.tokens[value][1] if value in self.tokens else None
        if kind != "Basic":
            return None
        name, _colon, password = base64.b64decode(value).decode().partition(":")
        if not password or self.passwords.get(name) != password:
            return None
        return next((Who(thing.id) for thing in self.controller.store.all("users") if thing["username"] == name), None)

    def _tokens(self, method: str, path: str, body: Any, who: Who) -> Reply:
        if method == "POST":
            text = self.token(who.user, write=(body or {}).get("scope", "write") == "write")
            number = self.tokens[text][0]
            shown = {
                "id": number,
                "type": "o_auth2_access_token",
                "url": f"{API}tokens/{number}/",
                "related": {
                    "user": f"{API}users/{who.user}/",
                    "activity_stream": f"{API}tokens/{number}/activity_stream/",
                },
                "summary_fields": {"user": {"id": who.user}},
                "description": (body or {}).get("description", ""),
                "user": who.user,
                "token": text,
                "refresh_token": None,
                "application": None,
                "scope": (body or {}).get("scope", "write"),
            }
            return Reply(201, shown)
        number = path.strip("/").rpartition("/")[2]
        held = [text for text, (one, _who) in self.tokens.items() if str(one) == number]
        if method != "DELETE" or not held:
            return Reply(404, NOT_FOUND) if method != "DELETE" else Reply(404, {"detail": "Not found."})
        if self.tokens[held[0]][1].user != who.user:
            return Reply(403, DENIED)
        del self.tokens[held[0]]
        return Reply(204)


class _Handler(http.server.BaseHTTPRequestHandler):
    """HTTP/1.1 with kept-alive connections."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        lower = {name.lower(): value for name, value in self.headers.items()}
        reply: Reply = self.server.front.answer(self.command, self.path, lower, body)  # type: ignore[attr-defined]
        text = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
        payload = text.encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", HTML if isinstance(reply.body, str) and reply.body else "application/json")
        if reply.status == 301:
            self.send_header("Location", f"{self.path.partition('?')[0]}/")
        if reply.status == 401:
            self.send_header("WWW-Authenticate", "Bearer realm=api authorization_url=/api/o/authorize/")
        if reply.status not in (401, 404):
            self.send_header("X-API-Product-Name", "AWX")
            self.send_header("X-API-Product-Version", "24.6.1")
        if reply.status != 204:
            self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if reply.status != 204:
            self.wfile.write(payload)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = _respond

    def log_message(self, *_args: Any) -> None:
        """Silent: `Front.log` has the requests."""


class Server(http.server.ThreadingHTTPServer):
    """The stand-in on a real socket; a context manager that serves from a thread."""

    daemon_threads = True

    def __init__(self, front: Front, address: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        super().__init__(address, _Handler)
        self.front = front

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exception: Any) -> None:
        self.shutdown()
        self.server_close()
