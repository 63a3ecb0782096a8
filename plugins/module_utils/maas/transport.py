# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One kept-alive connection to the MAAS API, signed afresh for every attempt.

Behaviour read off a MAAS 3.6.5: success is 200 (204 for a DELETE), busy is 409 or 503 with
``Retry-After``, a nonce is good for one request, and **the 401 body of a bad signature contains
the secret**.  For that reason no text of a 401 leaves this file, and every other text that does
is first cleaned of the three parts of the key.

A write that got no answer may have happened.  A PUT or a DELETE is then simply repeated; a POST
is looked up first (``settle``), because a second one would be refused or make a second thing.
"""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import os
import socket
import ssl
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Any, Callable, Optional
from urllib.parse import quote, urlencode, urlsplit

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

API = "/api/2.0/"
BUSY = (409, 503)
"""MAAS rolled the request back and asks for another try."""

UNANSWERED = (502, 504)
"""A proxy in front of MAAS lost the answer: the request may have been carried out."""

LONGEST_PAUSE = 30.0
"""Seconds; the cap on a ``Retry-After`` that would hang a play."""

LARGEST_BODY = 64 * 1024 * 1024
"""Bytes of one answer; 10,000 machines of MAAS 3.6.5 take about 40 MB (4 kB each, measured)."""

NONCE_USED = "Authorization Error: 'Nonce already used"
EXPIRED = "Authorization Error: 'Expired timestamp"


class MaasError(Exception):
    """A failure whose text may be shown: it never holds a part of the API key."""


class RequestRefused(MaasError):
    """MAAS answered, and the answer is no.  ``status`` is the HTTP status."""

    def __init__(self, message: str, status: int):
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class ApiKey:
    """The three parts of ``consumer:token:secret``; its repr shows none of them."""

    consumer: str = field(repr=False)
    token: str = field(repr=False)
    secret: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> ApiKey:
        parts = text.strip().split(":")
        if len(parts) != 3 or not all(parts) or any(not part.isalnum() for part in parts):
            raise MaasError(
                f"api_key: got {len(parts)} part(s) separated by ':', expected three of letters and digits, as `maas apikey` prints them: "
                "consumer:token:secret"
            )
        return cls(*parts)

    def header(self, now: float) -> str:
        """The ``Authorization`` header of one attempt: a new nonce and the time in seconds."""
        fields = (
            ("oauth_version", "1.0"),
            ("oauth_signature_method", "PLAINTEXT"),
            ("oauth_consumer_key", self.consumer),
            ("oauth_token", self.token),
            ("oauth_signature", "%26" + quote(self.secret, safe="")),
            ("oauth_nonce", uuid.uuid4().hex),
            ("oauth_timestamp", str(int(now))),
        )
        return "OAuth " + ", ".join('{}="{}"'.format(*pair) for pair in fields)

    def redact(self, text: str) -> str:
        """``text`` without any part of the key."""
        for part in (self.secret, self.token, self.consumer):
            text = text.replace(part, "***")
        return text


@dataclass(frozen=True)
class Endpoint:
    """Where the API is, and how its certificate is checked."""

    scheme: str
    host: str
    port: int
    root: str
    ca_path: Optional[str] = None
    validate_certs: bool = True
    timeout: float = 30.0

    @classmethod
    def parse(
        cls, url: str, ca_path: Optional[str] = None, validate_certs: bool = True, timeout: float = 30.0
    ) -> Endpoint:
        """Accepts what people have at hand: ``http://maas:5240``, ``.../MAAS``, ``.../MAAS/api/2.0/``."""
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError as error:
            raise MaasError(f"url: got {url!r}, expected http(s)://HOST[:PORT]/MAAS ({error})") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise MaasError(f"url: got {url!r}, expected http(s)://HOST[:PORT]/MAAS")
        if parts.username or parts.password:
            raise MaasError("url: it holds a user or password; MAAS takes neither, give the key as api_key")
        path = parts.path.rstrip("/")
        if path.endswith("/api/2.0"):
            path = path[: -len("/api/2.0")]
        if ca_path and not os.path.exists(ca_path):
            raise MaasError(f"ca_path: {ca_path} does not exist on the host that runs this task")
        if timeout <= 0:
            raise MaasError(f"timeout: got {timeout}, expected seconds greater than 0")
        return cls(
            scheme=parts.scheme,
            host=parts.hostname,
            port=port or (443 if parts.scheme == "https" else 80),
            root=(path or "/MAAS") + API,
            ca_path=ca_path,
            validate_certs=validate_certs,
            timeout=timeout,
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.root}"

    def connect(self) -> http.client.HTTPConnection:
        """A connection object; the first request opens the socket."""
        if self.scheme == "http":
            return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=self._tls())

    def _tls(self) -> ssl.SSLContext:
        folder = self.ca_path is not None and os.path.isdir(self.ca_path)
        try:
            context = ssl.create_default_context(
                cafile=None if folder else self.ca_path, capath=self.ca_path if folder else None
            )
        except (ssl.SSLError, OSError) as error:
            raise MaasError(f"ca_path: {self.ca_path} holds no usable certificate ({error})") from None
        if not self.validate_certs:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def encode(value: Any) -> str:
    """A value as MAAS reads it in a form; only ``true`` and ``false`` are booleans to it (``0`` is true)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(str(item) for item in value)
    return str(value)


def retry_after(value: Optional[str], now: float) -> Optional[float]:
    """Seconds asked for by a ``Retry-After`` header (a number or a date), or None."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (TypeError, ValueError):
        return None


class TooSlow(OSError):
    """An answer that was not whole when its time was over."""


class _Deadline:
    """Cuts a connection when a request has taken too long as a whole.

    A socket's own timeout starts anew with every byte: a server that sends one a second would hold a play for ever.
    """

    def __init__(self, connection: Any, seconds: float):
        self._connection = connection
        self._seconds = seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self.passed = False

    def _cut(self) -> None:
        self.passed = True
        sock = getattr(self._connection, "sock", None)
        if sock is not None:
            with contextlib.suppress(OSError):  # it may be closed already
                sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self._timer.cancel()
        # What a cut looks like from inside depends on where the answer was: too short a line, body or nothing at all.
        if self.passed and (kind is None or issubclass(kind, (OSError, http.client.HTTPException, ValueError))):
            raise TooSlow(f"no whole answer within {self._seconds:g} s") from None


@dataclass
class Answer:
    """Status, headers that matter and text of one response."""

    status: int
    text: str
    retry_after: Optional[str] = None
    location: Optional[str] = None


class Client:
    """GET, POST, PUT and DELETE below ``/api/2.0/``, one after the other on one connection.

    ``retries`` is the number of further attempts; ``connect``, ``sleep`` and ``clock`` are there for tests.
    ``sent`` counts attempts by method.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: ApiKey,
        retries: int = 4,
        connect: Optional[Callable[[], Any]] = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ):
        self._endpoint = endpoint
        self._key = key
        self._retries = retries
        self._connect = connect or endpoint.connect
        self._sleep = sleep
        self._clock = clock
        self._connection: Optional[Any] = None
        self.sent = {"GET": 0, "POST": 0, "PUT": 0, "DELETE": 0}

    def get(self, path: str) -> Any:
        """The decoded JSON at ``path``."""
        return self._decoded("GET", path, self._call("GET", path, None))

    def put(self, path: str, fields: dict) -> Any:
        """The thing at ``path`` after the change; fields that are not sent stay."""
        return self._decoded("PUT", path, self._call("PUT", path, fields))

    def delete(self, path: str) -> None:
        """Deletes; gone already (404) is what was wanted, whoever did it."""
        try:
            self._call("DELETE", path, None)
        except RequestRefused as error:
            if error.status != 404:
                raise

    def post(self, path: str, fields: dict, settle: Callable[[], Optional[dict]]) -> tuple:
        """Creates; answers ``(thing, mine)``.

        ``settle`` looks for the thing and answers it or None.  It is asked where an attempt got no answer,
        and where MAAS refuses because the thing is there (a second writer was quicker).  ``mine`` is False
        when the thing was found and not seen being made: its other fields are then to be compared.
        """
        try:
            answer = self._call("POST", path, fields, settle)
        except RequestRefused as error:
            found = settle() if error.status == 400 else None
            if found is None:
                raise
            return found, False
        if isinstance(answer, Answer):
            return self._decoded("POST", path, answer), True
        return answer, False

    def close(self) -> None:
        """Lets go of the socket; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _call(self, method: str, path: str, fields: Optional[dict], settle: Optional[Callable] = None) -> Any:
        attempt = 0
        while True:
            attempt += 1
            trouble, pause, lost = None, None, False
            try:
                answer = self._once(method, path, fields)
            except ssl.SSLCertVerificationError as error:
                self.close()
                raise MaasError(
                    f"{self._endpoint}: its certificate is not trusted ({error.verify_message}); give the CA that signed it as ca_path"
                ) from None
            except (OSError, http.client.HTTPException) as error:
                self.close()
                trouble, lost = _reason(error, self._patience(method)), True
                if method == "GET" and isinstance(error, (TooSlow, socket.timeout)):
                    # MAAS goes on working on it (131 machines took it up to 14 s): asked again, it has two to do.
                    raise MaasError(
                        f"GET {self._shown(path)}: {trouble}; it was not sent again, because MAAS still works on it; "
                        "wait longer with a larger timeout"
                    ) from None
            else:
                if 200 <= answer.status < 300:
                    return answer
                if answer.status in BUSY:
                    trouble = f"MAAS is busy ({answer.status})"
                    pause = retry_after(answer.retry_after, self._clock())
                elif answer.status in UNANSWERED:
                    trouble, lost = f"the proxy in front of MAAS got no answer ({answer.status})", True
                elif answer.status == 401 and answer.text.startswith(NONCE_USED):
                    trouble = "MAAS has seen the request's nonce before (401)"
                else:
                    raise self._refusal(method, path, answer)
            if attempt > self._retries:
                raise MaasError(f"{method} {self._shown(path)}: {trouble}, after {attempt} attempts")
            self._sleep(min(LONGEST_PAUSE, pause if pause is not None else 0.5 * 2 ** (attempt - 1)))
            if lost and settle is not None:
                found = settle()
                if found is not None:
                    return found

    def _patience(self, method: str) -> float:
        """Seconds for one answer. A GET is sent once and gets the time of all its attempts: MAAS works on a list to its end,
        whether anybody still waits for it or not."""
        return self._endpoint.timeout * (self._retries + 1 if method == "GET" else 1)

    def _once(self, method: str, path: str, fields: Optional[dict]) -> Answer:
        if self._connection is None:
            self._connection = self._connect()
        headers = {
            "Authorization": self._key.header(self._clock()),
            "Accept": "application/json",
            "User-Agent": "bulkhead.tiers",
        }
        body = None
        if fields is not None:
            body = urlencode([(name, encode(value)) for name, value in fields.items()])
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self.sent[method] += 1
        patience = self._patience(method)
        # A list takes MAAS long, and it sends nothing meanwhile.
        self._connection.timeout = patience
        if getattr(self._connection, "sock", None) is not None:
            self._connection.sock.settimeout(patience)
        with _Deadline(self._connection, patience):
            self._connection.request(method, self._endpoint.root + path, body=body, headers=headers)
            response = self._connection.getresponse()
            read = response.read(LARGEST_BODY + 1)
        if len(read) > LARGEST_BODY:
            self.close()
            raise MaasError(
                f"{method} {self._shown(path)}: got an answer of more than {LARGEST_BODY >> 20} MiB; expected a list of "
                "the MAAS API; is url the region controller's?"
            )
        text = read.decode("utf-8", "replace")
        return Answer(response.status, text, response.getheader("Retry-After"), response.getheader("Location"))

    def _decoded(self, method: str, path: str, answer: Answer) -> Any:
        try:
            return json.loads(answer.text)
        except (ValueError, RecursionError):
            raise MaasError(
                f"{method} {self._shown(path)}: got an answer that is not JSON, expected the MAAS API; is url the region controller's?"
            ) from None

    def _shown(self, path: str) -> str:
        return str(self._endpoint) + path

    def _refusal(self, method: str, path: str, answer: Answer) -> RequestRefused:
        """The error for an answer that another attempt would not change.  Never the text of a 401."""
        where = f"{method} {self._shown(path)}"
        if answer.status == 401:
            if answer.text.startswith(EXPIRED):
                text = (
                    "MAAS refuses the time of the request (401): the clocks differ by more than 300 s; set them right"
                )
            else:
                text = "MAAS refuses the API key (401): it is wrong or was revoked; make one with `maas apikey`"
            return RequestRefused(f"{where}: {text}", 401)
        if answer.status == 403:
            return RequestRefused(f"{where}: the API key's user may not do this (403); use an administrator's", 403)
        if 300 <= answer.status < 400:
            target = printable(self._key.redact(answer.location or "elsewhere"))
            return RequestRefused(
                f"{where}: answered with a redirect to {target}; give that address as url", answer.status
            )
        text = printable(self._key.redact(_flat(answer.text))) or "(no text)"
        return RequestRefused(f"{where}: MAAS answered {answer.status}: {text}", answer.status)


def _flat(text: str) -> str:
    """A 400's ``{"field": ["message"]}`` as ``field: message; ...``; other text on one line."""
    try:
        decoded = json.loads(text)
    except (ValueError, RecursionError):
        decoded = None
    if isinstance(decoded, dict):
        parts = []
        for name, messages in decoded.items():
            said = " ".join(str(item) for item in messages) if isinstance(messages, list) else str(messages)
            parts.append(said if name == "__all__" else f"{name}: {said}")
        return "; ".join(parts)
    return " ".join(text[:2000].split())


def _reason(error: Exception, timeout: float) -> str:
    """A connection's failure in words; nothing that was sent is in them."""
    if isinstance(error, TooSlow):
        return str(error)
    if isinstance(error, (socket.timeout, TimeoutError)):
        return f"no answer within {timeout:g} s"
    if isinstance(error, ConnectionResetError):  # http.client.RemoteDisconnected is one
        return "the connection was cut before an answer"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused; does MAAS listen there?"
    if isinstance(error, socket.gaierror):
        return "the name cannot be resolved"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error.__class__.__name__})"
    return f"the connection failed ({error.__class__.__name__})"
