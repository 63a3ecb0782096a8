# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HTTP and OAuth in front of the stand-in `Region`, on loopback or without any socket.

`Front.answer` takes a request as it comes over the wire (headers, body) and answers it; `Loopback`
offers it to a client in the form of an ``http.client`` connection; `Server` puts it on a socket.
"""

from __future__ import annotations

import email
import http.server
import json
import re
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Optional
from urllib.parse import parse_qsl, unquote, urlsplit

from .region import API, Region, Reply

HTML = "text/html; charset=utf-8"
MEASURED = {
    "GET fabrics/": 0.16,
    "GET fabrics/N/vlans/": 1.15,
    "GET subnets/": 1.6,
    "GET ipranges/": 2.6,
    "GET spaces/": 2.4,
    "write": 0.13,
}
"""Seconds that a MAAS with 100 VLANs took; for a benchmark that shall feel them."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    ``kind``: ``timeout`` and ``reset`` give no answer, ``status`` gives ``reply``.
    ``done``: MAAS carries the request out all the same, and only the answer is lost.
    """

    kind: str
    done: bool = False
    reply: Optional[Reply] = None


@dataclass
class Front:
    """Checks the signature, counts, and hands on to the region, one request at a time.

    ``log`` has (method, path below the API, form, status) of each request, with status 0 where there was no
    answer; ``faults`` is asked for a `Fault` with (number of the request from 0, method, path).  ``key`` is
    ``consumer:token:secret``.
    """

    region: Region
    key: str = "consumerkey1:tokenkey222:secretsecret3333"
    faults: Optional[Callable[[int, str, str], Optional[Fault]]] = None
    clock: Callable[[], float] = time.time
    latency: dict = field(default_factory=dict)
    log: list = field(default_factory=list)

    def __post_init__(self) -> None:
        self._nonces: set = set()
        self._lock = threading.Lock()

    @property
    def writes(self) -> list:
        return [(method, path, data) for method, path, data, status in self.log if method != "GET"]

    def answer(self, method: str, target: str, headers: dict, body: str) -> Any:
        """A `Reply`, or a `Fault` that has none."""
        with self._lock:
            path = unquote(urlsplit(target).path)
            short = path[len(API) :] if path.startswith(API) else path
            fault = self.faults(len(self.log), method, short) if self.faults else None
            reply = None
            if fault is None or fault.done:
                reply = self._serve(method, path, headers, body or urlsplit(target).query)
            if fault is not None:
                reply = fault.reply
            sent = _form(headers, body or urlsplit(target).query) or {}
            self.log.append((method, short, sent, reply.status if reply else 0))
        self._wait(method, short)
        return fault if reply is None else reply

    def _serve(self, method: str, path: str, headers: dict, body: str) -> Reply:
        refused = self.refusal(headers.get("authorization"))
        if refused is not None:
            return refused
        if not path.startswith(API):
            return Reply(404, f"Unknown API endpoint: {path}.", "text/plain; charset=utf-8")
        data = _form(headers, body)
        if data is None:
            return Reply(400, "Bad Request", "text/plain")
        return self.region.handle(method, path[len(API) :], data)

    def refusal(self, header: Optional[str]) -> Optional[Reply]:
        """The 401 for this ``Authorization`` header, or None."""
        if not header:
            return Reply(401, "Forbidden", "text/plain")
        sent = dict(re.findall(r'(\w+)="([^"]*)"', header))
        consumer, token, secret = self.key.split(":")
        now = int(self.clock())
        given = int(sent.get("oauth_timestamp") or 0)
        if (sent.get("oauth_consumer_key"), sent.get("oauth_token")) != (consumer, token):
            return Reply(
                401, "Authorization Error: Invalid API key.", HTML, {"WWW-Authenticate": 'OAuth realm="OAuth"'}
            )
        if abs(now - given) > 300:
            return _unauthorised(
                f"Expired timestamp: given {given} and now {now} has a greater difference than threshold 300"
            )
        if unquote(sent.get("oauth_signature", "")) != "&" + secret:
            # This is what MAAS does: the body of a 401 holds the secret.
            return _unauthorised(f"Invalid signature. Expected signature base string: &{secret}")
        if sent.get("oauth_nonce") in self._nonces:
            return _unauthorised("Nonce already used: {}".format(sent.get("oauth_nonce")))
        self._nonces.add(sent.get("oauth_nonce"))
        return None

    def _wait(self, method: str, path: str) -> None:
        if self.latency:
            name = "{} {}".format(method, re.sub(r"/\d+/", "/N/", path)) if method == "GET" else "write"
            time.sleep(self.latency.get(name, 0.0))


def _unauthorised(text: str) -> Reply:
    return Reply(401, f"Authorization Error: '{text}'", HTML, {"WWW-Authenticate": 'OAuth realm="OAuth"'})


def _form(headers: dict, body: str) -> Optional[dict]:
    """Urlencoded, JSON or multipart (which MAAS's OpenAPI names) as ``{name: text}``; None for a broken one."""
    if not body:
        return {}
    kind = headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        return _multipart(kind, body)
    if "json" in kind or body.startswith("{"):
        try:
            decoded = json.loads(body)
        except ValueError:
            return None
        return {name: _text(value) for name, value in decoded.items()}
    return dict(parse_qsl(body, keep_blank_values=True))


def _multipart(kind: str, body: str) -> Optional[dict]:
    message = email.message_from_string(f"Content-Type: {kind}\r\n\r\n{body}")
    if not message.is_multipart():
        return None
    return {part.get_param("name", header="content-disposition"): part.get_payload() for part in message.get_payload()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def encoded(reply: Reply) -> bytes:
    text = json.dumps(reply.body) if "json" in reply.content_type else reply.body
    return text.encode()


class Loopback:
    """An ``http.client.HTTPConnection`` whose other end is a `Front` in the same process."""

    def __init__(self, front: Front):
        self._front = front
        self._reply: Any = None

    def request(self, method: str, url: str, body: Optional[str] = None, headers: Optional[dict] = None) -> None:
        lower = {name.lower(): value for name, value in (headers or {}).items()}
        self._reply = self._front.answer(method, url, lower, body or "")

    def getresponse(self) -> _Response:
        if isinstance(self._reply, Fault):
            raise TimeoutError() if self._reply.kind == "timeout" else ConnectionResetError()
        return _Response(self._reply)

    def close(self) -> None:
        self._reply = None


class _Response:
    """As much of ``http.client.HTTPResponse`` as a client reads."""

    def __init__(self, reply: Reply):
        self.status = reply.status
        self._reply = reply

    def read(self, limit: int = -1) -> bytes:
        found = encoded(self._reply)
        return found if limit < 0 else found[:limit]

    def getheader(self, name: str) -> Optional[str]:
        return self._reply.headers.get(name)


class _Handler(http.server.BaseHTTPRequestHandler):
    """HTTP/1.1 with kept-alive connections."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _respond(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        lower = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.front.answer(self.command, self.path, lower, body)  # type: ignore[attr-defined]
        if isinstance(reply, Fault):
            if reply.kind == "timeout":
                self.server.released.wait(30)  # type: ignore[attr-defined]
            self.close_connection = True
            return
        payload = encoded(reply)
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(payload)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if reply.status != 204:
            self.wfile.write(payload)

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _respond

    def log_message(self, *_args: Any) -> None:
        """Silent: `Front.log` has the requests."""


class Server(http.server.ThreadingHTTPServer):
    """The stand-in on a real socket; a context manager that serves from a thread.

    ``connections`` counts accepted connections.  ``tls``: (certificate file, key file).
    """

    daemon_threads = True

    def __init__(self, front: Front, address: tuple = ("127.0.0.1", 0), tls: Optional[tuple] = None):
        super().__init__(address, _Handler)
        self.front = front
        self.connections = 0
        self.released = threading.Event()
        self._scheme = "http"
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self._scheme = "https"

    @property
    def url(self) -> str:
        return "%s://%s:%s/MAAS" % ((self._scheme,) + self.server_address[:2])

    def get_request(self) -> tuple:
        request = super().get_request()
        self.connections += 1
        return request

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what the fault tests do."""

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_exception: Any) -> None:
        self.released.set()
        self.shutdown()
        self.server_close()
