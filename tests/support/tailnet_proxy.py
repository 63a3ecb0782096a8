# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stands between a client and a real control server, and misbehaves as it is told."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Proxy:
    """``url`` is what the client gets. ``script`` is asked for each request, by method and path, and names what is done.

    "" passes it on; a number answers that status; "half" passes it on and sends half of the answer; "cut" passes it on
    and sends nothing; "drop" sends nothing and passes nothing on; "slow" sends the answer byte by byte. ``headers`` go
    into answers of the proxy's own. ``seen`` has the requests that came.
    """

    def __init__(self, port: int, script: Callable[[str, str], Any] = lambda _method, _path: "") -> None:
        self.port = port
        self.script = script
        self.headers: dict[str, str] = {}
        self.seen: list[tuple[str, str]] = []
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                proxy.serve(self)

            do_PUT = do_POST = do_GET

            def log_message(self, *_words: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def serve(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one request as the script says."""
        handler.close_connection = True
        length = int(handler.headers.get("Content-Length") or 0)
        body = handler.rfile.read(length)
        self.seen.append((handler.command, handler.path))
        what = self.script(handler.command, handler.path)
        if isinstance(what, int):
            handler.send_response(what)
            for name, value in self.headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            return
        if what == "drop":
            return
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        passed = {name: value for name, value in handler.headers.items() if name.lower() not in ("host", "connection")}
        connection.request(handler.command, handler.path, body, passed)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if what == "cut":
            return
        handler.send_response(answer.status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        if what == "slow":
            stop = threading.Event()
            for at in range(len(text)):
                handler.wfile.write(text[at : at + 1])
                if stop.wait(0.2):
                    return
        handler.wfile.write(text[: len(text) // 2] if what == "half" else text)
