# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Galaxy of its own, with the collections that are given to it: the part of its API that `ansible-galaxy` asks for."""

from __future__ import annotations

import hashlib
import json
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


class Galaxy:
    """``with Galaxy(artifacts) as galaxy``: galaxy.url is what ANSIBLE_GALAXY_SERVER names."""

    def __init__(self, artifacts: list[Path]) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/api/"
        answers: dict[str, Any] = {"/api/": {"available_versions": {"v3": "v3/"}}}
        for artifact in artifacts:
            answers |= self._answers(artifact)
        self._server.RequestHandlerClass = _handler(answers)

    def _answers(self, artifact: Path) -> dict[str, Any]:
        with tarfile.open(artifact) as tar:
            manifest = tar.extractfile("MANIFEST.json")
            assert manifest is not None
            about = json.load(manifest)["collection_info"]
        place = f"/api/v3/collections/{about['namespace']}/{about['name']}/"
        detail = f"{place}versions/{about['version']}/"
        return {
            f"/{artifact.name}": artifact.read_bytes(),
            place: {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"},
            f"{place}versions/": {
                "meta": {"count": 1},
                "links": {"next": None},
                "data": [{"version": about["version"], "href": detail}],
            },
            detail: {
                "namespace": {"name": about["namespace"]},
                "collection": {"name": about["name"]},
                "version": about["version"],
                "href": detail,
                "download_url": self.url.replace("/api/", f"/{artifact.name}"),
                "artifact": {"sha256": hashlib.sha256(artifact.read_bytes()).hexdigest()},
                "metadata": {"dependencies": about["dependencies"]},
                "signatures": [],
            },
        }

    def __enter__(self) -> Galaxy:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(answers: dict[str, Any]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path.partition("?")[0])
            if answer is None:
                self.send_error(404)
                return
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    return Handler
