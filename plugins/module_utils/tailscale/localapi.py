# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tailscaled's LocalAPI: HTTP over a unix socket, every answer bounded in bytes and seconds.

The API is not formally stable. What is used of it was recorded from tailscaled 1.98.9: anyone may read, root and the
operator may write (others get 403), a request with an ``Origin`` or a ``Referer`` is refused.
"""

from __future__ import annotations

import contextlib
import errno
import http.client
import json
import os
import socket
import time
from collections.abc import Mapping
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

SOCKET = "/run/tailscale/tailscaled.sock"
#: What tailscaled answers to, besides an empty name.
HOST = "local-tailscaled.sock"
_PREFIX = "/localapi/v0/"
#: Bytes of one answer: a status with 10,000 peers has about 12 MB.
LARGEST = 64 * 1024 * 1024
_CHUNK = 65536
#: Of a refusal, what is read and shown.
_LONGEST_TEXT = 4000
_TUN = "/dev/net/tun"
#: With 503: of a daemon that ends before it ever could work, as one without a TUN device does, or that is just stopped.
_ENDING = "no backend"

#: Kinds of what can be wrong with the daemon.
MISSING, STOPPED, DENIED, SILENT, BROKEN, REFUSED = "missing", "stopped", "denied", "silent", "broken", "refused"


class DaemonError(Refused):
    """tailscaled did not do what it was asked to. ``kind`` is one of those above; ``detail`` its own words; ``status``
    that of HTTP, 0 without an answer."""

    def __init__(self, mistake: Mistake, detail: str = "", status: int = 0) -> None:
        super().__init__([mistake])
        self.kind, self.detail, self.status = mistake.kind, detail, status


class _Connection(http.client.HTTPConnection):
    """A connection of http.client's, by a path in place of a host and a port."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__(HOST, timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class LocalApi:
    """One kept-alive connection. ``timeout`` is in seconds, of each whole answer; ``requests`` counts what was sent;
    ``version`` is the daemon's, known after the first answer."""

    def __init__(self, path: str = SOCKET, timeout: float = 20.0) -> None:
        self.path, self.timeout = path, timeout
        self.requests = 0
        self.version = ""
        self._connection: Optional[_Connection] = None

    def get(self, what: str) -> Any:
        return self._ask("GET", what, None, self.timeout)

    def patch(self, what: str, body: Mapping[str, Any]) -> Any:
        return self._ask("PATCH", what, body, self.timeout)

    def post(self, what: str, body: Optional[Mapping[str, Any]] = None, timeout: Optional[float] = None) -> Any:
        return self._ask("POST", what, body, self.timeout if timeout is None else timeout)

    def delete(self, what: str) -> Any:
        return self._ask("DELETE", what, None, self.timeout)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, method: str, what: str, body: Optional[Mapping[str, Any]], seconds: float) -> Any:
        """The answer as JSON, or None where there is none. DaemonError."""
        end = time.monotonic() + seconds
        self.requests += 1
        try:
            status, data = self._exchange(method, what, body, end)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._unanswered(error, f"{method} {what}", seconds) from None
        if status >= 400:
            raise self._refusal(status, data)
        try:
            return json.loads(data) if data.strip() else None
        except (ValueError, RecursionError):
            raise self._broken(f"{method} {what}", "an answer that is no JSON") from None

    def _exchange(self, method: str, what: str, body: Optional[Mapping[str, Any]], end: float) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = _Connection(self.path, max(0.1, end - time.monotonic()))
        connection = self._connection
        if connection.sock is None:
            connection.connect()
        # http.client lets go of it at the end of an answer that closes the connection.
        sock = connection.sock
        sock.settimeout(max(0.1, end - time.monotonic()))
        data = None if body is None else json.dumps(body)
        connection.request(method, _PREFIX + what, data, {"Content-Type": "application/json"} if data else {})
        response = connection.getresponse()
        self.version = printable(response.headers.get("Tailscale-Version") or self.version, 60)
        limit = LARGEST if response.status < 400 else _LONGEST_TEXT
        parts: list[bytes] = []
        size = 0
        while size <= limit:
            left = end - time.monotonic()
            if left <= 0:
                raise socket.timeout("timed out")
            sock.settimeout(left)
            part = response.read1(_CHUNK)
            if not part:
                break
            parts.append(part)
            size += len(part)
        if size > limit and response.status < 400:
            self.close()
            raise self._broken(f"{method} {what}", f"an answer of more than {limit} bytes")
        if response.length and size <= limit:
            raise http.client.IncompleteRead(b"", response.length)
        response.close()
        if size > limit:
            self.close()  # what is left of it would be taken for the next answer
        return response.status, b"".join(parts)[:limit]

    # -- what went wrong -----------------------------------------------------------------------------------------

    def _unanswered(self, error: Exception, what: str, seconds: float) -> DaemonError:
        number = getattr(error, "errno", None)
        if number == errno.ENOENT:
            return self._error("nothing at " + self.path, _start_remedy(self.path), MISSING)
        if number in (errno.ECONNREFUSED, errno.ENOTSOCK):
            return self._error(f"{self.path}, which no process answers at", _start_remedy(self.path), STOPPED)
        if number == errno.EACCES:
            return self._error(f"{self.path}, which this user may not open", "run the task with become: true", DENIED)
        if isinstance(error, socket.timeout):
            remedy = "look at `journalctl -u tailscaled`, or give the task a longer timeout"
            return self._error(f"no whole answer to {what} within {seconds:.0f} s", remedy, SILENT)
        return self._broken(what, f"a connection that broke ({printable(error) or type(error).__name__})")

    def _broken(self, what: str, got: str) -> DaemonError:
        remedy = "look at `journalctl -u tailscaled` and run the task again"
        return self._error(f"{got} to {what}" if got.startswith("an answer") else f"{got} at {what}", remedy, BROKEN)

    def _error(self, got: str, remedy: str, kind: str) -> DaemonError:
        return DaemonError(Mistake("socket", got, "the LocalAPI of a tailscaled that runs", remedy, kind))

    def _refusal(self, status: int, data: bytes) -> DaemonError:
        text = data.decode("utf-8", "replace").strip()
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            text = str(json.loads(text)["Error"])
        text = printable(text)
        if status == 503 and text == _ENDING:
            return self._error(f"a tailscaled that ends ({status}: {text})", _start_remedy(self.path), BROKEN)
        if status in (401, 403):
            mistake = Mistake(
                "socket",
                f"a refusal ({status}: {text})",
                "the right to change the node",
                "run the task with become: true, or make its user the node's operator (`tailscale set --operator=USER`)",
                DENIED,
            )
        else:
            remedy = "change what it names; nothing was changed by this request"
            mistake = Mistake(
                "tailscaled", f"a refusal ({status}: {text})", "that it takes the settings", remedy, REFUSED
            )
        return DaemonError(mistake, text, status)


def _start_remedy(path: str) -> str:
    if path == SOCKET and not os.path.exists(_TUN):
        return (
            f"this host has no {_TUN}, without which tailscaled does not start: load the module (`modprobe tun`), pass the "
            "device to the container, or start tailscaled with --tun=userspace-networking"
        )
    return "start it (`systemctl enable --now tailscaled`), or name its socket with the option `socket`"
