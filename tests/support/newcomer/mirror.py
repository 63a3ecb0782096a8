# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Debian mirror within reach of hosts that have no way out: it passes on what this machine's own mirror has.

apt on the hosts checks the signatures of what comes, as with any mirror.
"""

from __future__ import annotations

import shutil
import subprocess
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

#: Seconds that this machine's mirror may take to begin with an answer.
PATIENCE = 60


def upstream() -> str:
    """The mirror of Debian that this machine's apt is set up with."""
    asked = ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()
    debian = next((uri for uri in found if uri.rstrip("/").endswith("/debian")), None)
    if debian is None:
        raise RuntimeError(f"the sources of this machine's apt name no mirror of Debian: {found}")
    return debian


class Mirror:
    """``with Mirror("10.77.0.1") as mirror``: mirror.source("trixie") is a line of a host's sources.list."""

    def __init__(self, address: str) -> None:
        self._server = ThreadingHTTPServer((address, 0), _handler(upstream().rstrip("/")))

    def __enter__(self) -> Mirror:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def source(self, release: str) -> str:
        host, port = self._server.server_address[:2]
        return f"deb http://{host!s}:{port}/debian {release} main\n"


def _handler(mirror: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                with urllib.request.urlopen(mirror + self.path.removeprefix("/debian"), timeout=PATIENCE) as answer:
                    self.send_response(200)
                    for name in ("Content-Length", "Content-Type", "Last-Modified"):
                        if answer.headers[name]:
                            self.send_header(name, answer.headers[name])
                    self.end_headers()
                    shutil.copyfileobj(answer, self.wfile)
            except urllib.error.HTTPError as error:
                self.send_error(error.code)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
