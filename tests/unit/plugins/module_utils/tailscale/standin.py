"""A stand-in for tailscaled: its answers are those that a real one gave (record.py), changed by what it is asked to do.

What it does not take from a recording it does as tailscaled 1.98.9 was seen to: PATCH takes what has a Set beside it and
passes over what it does not know; start replaces all preferences; a login goes on until the key is one of ``keys``.
"""

from __future__ import annotations

import contextlib
import copy
import http.server
import json
import os
import socket
import socketserver
import threading
import time
from pathlib import Path
from typing import Any, Optional

RECORDED = Path(__file__).parent / "recorded"
NEEDS_LOGIN, RUNNING, EXPIRED = "needs_login", "running", "expired"


def recorded(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RECORDED / f"{name}.json").read_text(encoding="utf-8"))
    return found


def answer_of(name: str, method: str, path: str, number: int = 0) -> dict[str, Any]:
    """One of a recording's answers."""
    return [one for one in recorded(name) if (one["method"], one["path"]) == (method, path)][number]


class StandIn:
    """One daemon, on a socket in a folder. ``calls`` are [method, path, body] of each request.

    state: RUNNING or NEEDS_LOGIN. keys: those that control takes; without one in it every login fails with ``login_error``.
    faults: {"METHOD path": what happens}, a status with a text, "half" or "silent". unknown: preferences that this version
    does not know. tags: what control grants; None for what is asked for.
    """

    def __init__(self, folder: Path, state: str = RUNNING) -> None:
        self.path = str(folder / "tailscaled.sock")
        self.status: dict[str, Any] = json.loads(answer_of(state, "GET", "status")["answer"])
        self.prefs: dict[str, Any] = json.loads(answer_of(state, "GET", "prefs")["answer"])
        self.keys: set[str] = set()
        self.used: list[str] = []
        self.calls: list[tuple[str, str, Any]] = []
        self.faults: dict[str, Any] = {}
        self.unknown: set[str] = set()
        self.tags: Optional[list[str]] = None
        self.polls = 2
        self.login_error = ""
        self._waiting = 0
        self._key = ""
        self._server: Optional[_Server] = None

    def __enter__(self) -> StandIn:
        self._server = _Server(self.path, self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()
        if os.path.exists(self.path):
            os.unlink(self.path)

    def writes(self) -> list[tuple[str, str]]:
        return [(method, path) for method, path, _body in self.calls if method != "GET"]

    # -- what it does --------------------------------------------------------------------------------------------

    def do(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """(status, answer) of a request; the answer is a text, or JSON."""
        if (method, path) in (("GET", "status"), ("GET", "status?peers=false")):
            return 200, self._look(path)
        if (method, path) == ("GET", "prefs"):
            return 200, self.prefs
        if (method, path) == ("PATCH", "prefs"):
            return self._patch(body)
        if (method, path) == ("POST", "check-prefs"):
            return 200, {"Error": wrong} if (wrong := refused(body)) else {}
        if (method, path) == ("POST", "start"):
            return self._start(body)
        if (method, path) == ("POST", "login-interactive"):
            self._begin()
            return 204, None
        if (method, path) == ("POST", "logout"):
            self._forget()
            return 204, None
        if (method, path) == ("GET", "profiles/current"):
            return 200, {"ID": "ab12"}
        if (method, path) == ("DELETE", "profiles/ab12"):
            self._forget()
            return 204, None
        return 404, answer_of(NEEDS_LOGIN, "GET", "nonsense")["answer"]

    def _look(self, path: str) -> dict[str, Any]:
        if self._waiting:
            self._waiting -= 1
            if not self._waiting:
                self._arrive()
        shown = copy.deepcopy(self.status)
        if path.endswith("false"):
            shown["Peer"] = None
        return shown

    def _patch(self, body: dict[str, Any]) -> tuple[int, Any]:
        then = copy.deepcopy(self.prefs)
        # adjustEditPrefsLocked of tailscaled: seen to clear the exit node that was asked for, too.
        if (
            body.get("AutoExitNodeSet")
            and not body.get("AutoExitNode")
            and then.get("AutoExitNode")
            and not then["ExitNodeID"]
        ):
            body = {**body, "ExitNodeID": "", "ExitNodeIDSet": True}
        if (body.get("ExitNodeIDSet") or body.get("ExitNodeIPSet")) and not body.get("AutoExitNodeSet"):
            body = {**body, "AutoExitNode": "", "AutoExitNodeSet": True}
        for name, mask in body.items():
            key = name[:-3] if name.endswith("Set") else ""
            if not key or key not in body or key in self.unknown:
                continue
            if isinstance(mask, dict):
                then[key].update({inner: body[key][inner] for inner in body[key] if mask.get(f"{inner}Set")})
            else:
                then[key] = body[key]
        for key in ("AutoExitNode", "OperatorUser", "ProfileName", "RelayServerPort", "RelayServerStaticEndpoints"):
            if not then.get(key) and then.get(key) != 0:
                then.pop(key, None)
        wrong = refused(then)
        if wrong:
            return 400, {"Error": wrong}
        if then["WantRunning"] and not self.prefs["WantRunning"]:
            self.status["BackendState"] = "Starting"
            self._waiting = self.polls
        if not then["WantRunning"] and self.status["BackendState"] == "Running":
            self.status["BackendState"] = "Stopped"
        if then["AdvertiseTags"] != self.prefs["AdvertiseTags"] and self.status["BackendState"] == "Running":
            self._grant(then["AdvertiseTags"])
        self.prefs = then
        return 200, self.prefs

    def _grant(self, asked: Any) -> None:
        self.status["Self"]["Tags"] = self.tags if self.tags is not None else asked

    def _start(self, body: dict[str, Any]) -> tuple[int, Any]:
        wanted = body.get("UpdatePrefs")
        if wanted is not None:
            if refused(wanted):
                return 500, refused(wanted)
            self.prefs = {**wanted, "Config": None}
        self._key = body.get("AuthKey", "")
        self.status["Health"] = []
        if self._key in self.keys and self.status.get("HaveNodeKey") and not self.prefs["LoggedOut"]:
            self.used.append(self._key)
        if self.prefs["WantRunning"] and self.status.get("HaveNodeKey") and not self._key:
            self.status["BackendState"] = "Starting"
            self._waiting = self.polls
        elif not self.status.get("HaveNodeKey"):
            self.status["BackendState"] = "NeedsLogin"
        return 204, None

    def _begin(self) -> None:
        if self._key in self.keys:
            self.used.append(self._key)
            self.prefs["LoggedOut"] = False
            self.status["BackendState"] = "Starting"
            self._waiting = self.polls
            return
        self.status["BackendState"] = "NeedsLogin"
        said = (
            f"You are logged out. The last login error was: {self.login_error}"
            if self.login_error
            else "You are logged out."
        )
        self.status["Health"] = [said]

    def _arrive(self) -> None:
        came: dict[str, Any] = json.loads(answer_of(RUNNING, "GET", "status")["answer"])
        if self._key:
            came["Self"]["PublicKey"] = f"nodekey:{len(self.used):064d}"
        self.status = came
        if self.tags is not None or self.prefs["AdvertiseTags"]:
            self._grant(self.prefs["AdvertiseTags"])

    def _forget(self) -> None:
        self.status = json.loads(answer_of(NEEDS_LOGIN, "GET", "status")["answer"])
        self.prefs = json.loads(answer_of(NEEDS_LOGIN, "GET", "prefs")["answer"])


def refused(prefs: dict[str, Any]) -> str:
    """What tailscaled does not take, in its words, as they were recorded."""
    routes = prefs.get("AdvertiseRoutes") or []
    if "10.0.0.1/24" in routes:
        return str(json.loads(answer_of(NEEDS_LOGIN, "PATCH", "prefs", 0)["answer"])["Error"])
    if "0.0.0.0/0" in routes and (prefs.get("ExitNodeIP") or prefs.get("ExitNodeID")):
        return str(json.loads(answer_of(NEEDS_LOGIN, "PATCH", "prefs", 2)["answer"])["Error"])
    return ""


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str, daemon: StandIn) -> None:
        self.daemon = daemon
        super().__init__(path, _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def address_string(self) -> str:
        return "peer"

    def log_message(self, *_words: object) -> None:
        pass

    def handle_any(self) -> None:
        daemon = self.server.daemon
        path = self.path.removeprefix("/localapi/v0/")
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
        daemon.calls.append((self.command, path, body))
        fault = daemon.faults.get(f"{self.command} {path}")
        if fault == "silent":
            time.sleep(3)
            self.close_connection = True
            return
        status, answer = fault if isinstance(fault, tuple) else daemon.do(self.command, path, body)
        text = "" if answer is None else answer if isinstance(answer, str) else json.dumps(answer, indent="\t")
        self.send_response(status)
        self.send_header("Tailscale-Version", "1.98.9")
        self.send_header("Content-Type", "text/plain" if isinstance(answer, str) else "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        sent = text.encode()
        with contextlib.suppress(BrokenPipeError):  # who asked may not read all of it
            self.wfile.write(sent[: len(sent) // 2] if fault == "half" else sent)
        if fault == "half":
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = handle_any
