# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One request to a control server at a time: bounded in time and size, no redirect followed, no secret in any message."""

from __future__ import annotations

import contextlib
import errno
import http.client
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Optional
from urllib.parse import urlsplit

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: Answers that say: nothing was done, ask again later.
BUSY = (429, 503)
#: Answers of a proxy that got none: the request may have been carried out.
UNANSWERED = (502, 504)
#: A connection that never came about: nothing was sent.
UNSENT = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL)
#: Seconds; the cap on a `Retry-After` that would hang a play.
LONGEST_PAUSE = 30.0
#: Bytes of one answer. A policy of 2,000,000 characters is 6 MB when every one is escaped.
LARGEST_BODY = 12_000_000
#: Characters of a server's own words in a message.
QUOTED = 1500


class ControlError(Exception):
    """A failure whose text may be shown: it never holds a secret. ``kind`` is what code decides by.

    auth, forbidden, busy, unreachable, lost (a write may have happened), refused (the server's no to a policy),
    conflict, answer (of another shape than the server's API).
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Answer:
    """Status, text and headers (names in lower case) of one answer."""

    status: int
    text: str
    headers: Mapping[str, str]


@dataclass
class Server:
    """Where a control server is, and how it is talked to.

    timeout: seconds for one whole answer. retries: further attempts where nothing was done. ``connect``, ``sleep`` are
    there for tests. ``secrets`` are cut out of every text that is shown. ``sent`` counts requests.
    """

    scheme: str
    host: str
    port: int
    root: str
    ca: Optional[str] = None
    validate_certs: bool = True
    timeout: float = 30.0
    retries: int = 4
    sleep: Callable[[float], None] = time.sleep
    secrets: list[str] = field(default_factory=list, repr=False)
    sent: int = 0

    @classmethod
    def at(cls, url: str, ca: Optional[str], validate_certs: bool, timeout: float, retries: int) -> Server:
        """The server of a URL; ``ControlError`` where an option cannot be used."""
        expected = "expected http(s)://HOST[:PORT]"
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError:
            raise ControlError(f"url: got {printable(url, 200)!r}; {expected}; correct it", "input") from None
        if parts.username or parts.password:
            raise ControlError(
                "url: got a user or a password; give the key as token; leave them out of the URL", "input"
            )
        odd = not url.strip().isascii() or any(char <= " " for char in url.strip())
        if odd or parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ControlError(f"url: got {printable(url, 200)!r}; {expected}; correct it", "input")
        if ca and not os.path.isfile(ca):
            raise ControlError(
                f"ca: got {printable(ca)}; expected a file on the host that runs this task; correct the path", "input"
            )
        if timeout <= 0 or retries < 0:
            raise ControlError(
                "timeout, retries: expected more than 0 s and at least 0 attempts; correct them", "input"
            )
        root = parts.path.rstrip("/")
        return cls(
            parts.scheme,
            parts.hostname,
            port or (443 if parts.scheme == "https" else 80),
            root,
            ca,
            validate_certs,
            timeout,
            retries,
        )

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.root}"

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: Optional[str] = None, again: bool = False
    ) -> Answer:
        """The answer to one request, whatever its status, but for 429, 503 and redirects.

        again: whether it may be sent once more where no whole answer came; a GET may. ``ControlError`` otherwise.
        """
        where = f"{method} {self}{path}"
        attempt = 0
        while True:
            attempt += 1
            pause = 0.5 * 2 ** (attempt - 1)
            try:
                answer = self._once(method, path, headers, body)
            except ssl.SSLCertVerificationError as error:
                reason = printable(error.verify_message, 200)
                raise ControlError(
                    f"{where}: its certificate is not trusted ({reason}); give the CA that signed it as ca",
                    "unreachable",
                ) from None
            except (OSError, http.client.HTTPException, ValueError) as error:
                kind, trouble = _trouble(error, self.timeout)
            else:
                if answer.status not in (*BUSY, *UNANSWERED):
                    return self._own(answer, where)
                kind, trouble = "busy", f"the server asks to wait ({answer.status})"
                if answer.status in UNANSWERED:
                    kind, trouble = "lost", f"a proxy on the way got no answer ({answer.status})"
                pause = _retry_after(answer.headers.get("retry-after"), pause)
            if kind == "lost" and not (again or method == "GET"):
                raise ControlError(f"{where}: {trouble}", "lost")
            if attempt > self.retries:
                raise ControlError(f"{where}: {trouble}, after {attempt} attempts; run this again later", kind)
            self.sleep(min(LONGEST_PAUSE, pause))

    def redacted(self, text: str, limit: int = QUOTED) -> str:
        """A server's words without any secret, on one line, fit for a terminal."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return printable(" ".join(text.split()), limit)

    def _own(self, answer: Answer, where: str) -> Answer:
        if 300 <= answer.status < 400:
            target = self.redacted(answer.headers.get("location", "elsewhere"), 200)
            raise ControlError(
                f"{where}: answered with a redirect to {target}; it is not followed; give that address as url", "answer"
            )
        return answer

    def _once(self, method: str, path: str, headers: Mapping[str, str], body: Optional[str]) -> Answer:
        self.sent += 1
        connection = self._connect()
        data = None if body is None else body.encode("utf-8")
        try:
            with _deadline(connection, self.timeout) as bound:
                connection.connect()
                bound(connection.sock)
                connection.request(method, self.root + path, data, {"User-Agent": "bulkhead.tiers", **headers})
                response = connection.getresponse()
                read = response.read(LARGEST_BODY + 1)
                expected = response.getheader("Content-Length")
        finally:
            connection.close()
        if len(read) > LARGEST_BODY:
            raise ControlError(
                f"{method} {self}{path}: got more than {LARGEST_BODY} bytes; is url a control server's?", "answer"
            )
        if expected is not None and expected.isdigit() and len(read) < int(expected) and method != "HEAD":
            raise http.client.IncompleteRead(read)
        try:
            text = read.decode("utf-8")
        except UnicodeDecodeError:
            raise ControlError(
                f"{method} {self}{path}: got an answer that is no UTF-8; is url a control server's?", "answer"
            ) from None
        return Answer(response.status, text, {name.lower(): value for name, value in response.getheaders()})

    def _connect(self) -> http.client.HTTPConnection:
        if self.scheme == "http":
            return http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (ssl.SSLError, OSError):
            raise ControlError(
                f"ca: {printable(self.ca or '')} holds no usable certificate; give one in PEM", "input"
            ) from None
        if not self.validate_certs:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout, context=context)


class TooSlow(OSError):
    """An answer that was not whole when its time was over."""


@contextlib.contextmanager
def _deadline(connection: http.client.HTTPConnection, seconds: float) -> Iterator[Callable[[socket.socket], None]]:
    """Cuts a connection when a request takes too long as a whole: a socket's own timeout starts anew with every byte. Yields what
    takes the socket to cut: the connection forgets it as soon as an answer says that it is the last one, and has another one while it
    agrees on TLS."""
    passed = threading.Event()
    sockets: list[socket.socket] = []

    def cut() -> None:
        passed.set()
        for sock in (*sockets, connection.sock):
            with contextlib.suppress(OSError, AttributeError):  # it may be closed already, or not be open yet
                sock.shutdown(socket.SHUT_RDWR)

    def bound(sock: socket.socket) -> None:
        sockets.append(sock)
        if passed.is_set():
            raise TooSlow()

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield bound
    except (OSError, http.client.HTTPException, ValueError):
        if passed.is_set():
            raise TooSlow() from None
        raise
    finally:
        timer.cancel()
    if passed.is_set():
        raise TooSlow()


def _trouble(error: Exception, timeout: float) -> tuple[str, str]:
    """A failed connection: whether the request may have arrived, and why in words; nothing that was sent is in them."""
    if isinstance(error, socket.gaierror):
        return "unreachable", "the name cannot be resolved"
    if isinstance(error, OSError) and error.errno in UNSENT:
        return "unreachable", f"{os.strerror(error.errno).lower()}; does the control server listen there?"
    if isinstance(error, ssl.SSLError):
        return "lost", f"TLS failed ({printable(error.reason or error.__class__.__name__, 100)})"
    if isinstance(error, (TooSlow, socket.timeout)):
        return "lost", f"no whole answer within {timeout:g} s"
    if isinstance(error, http.client.IncompleteRead):
        return "lost", "the answer broke off"
    if isinstance(error, (ConnectionResetError, http.client.RemoteDisconnected, BrokenPipeError)):
        return "lost", "the connection was cut before an answer"
    if isinstance(error, http.client.HTTPException):
        return "lost", "the answer is no HTTP; is url a control server's?"
    return "lost", f"the connection failed ({error.__class__.__name__})"


def _retry_after(value: Optional[str], otherwise: float) -> float:
    """Seconds asked for by a `Retry-After`; a date, or what is no number, counts as not said."""
    if value is None or not value.strip().isdigit():
        return otherwise
    return float(value.strip()[:6])
