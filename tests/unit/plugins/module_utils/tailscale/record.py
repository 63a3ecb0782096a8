"""Write what a real tailscaled answers into recorded/, for the stand-in of the unit tests.

    PYTHONPATH=.venv/collections python tests/unit/plugins/module_utils/tailscale/record.py SOCKET NAME

NAME is the state that the node of SOCKET is in: each answer is written to recorded/NAME.json, headers too, with the
node's own keys cut short. The node is changed by the requests of CHANGES, each of which is taken back.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import sys
from pathlib import Path
from typing import Any, Optional

RECORDED = Path(__file__).parent / "recorded"
LOOKS = ("status", "status?peers=false", "prefs", "profiles/current")
ROUTED = {"AdvertiseRoutes": ["10.0.0.1/24"], "AdvertiseRoutesSet": True}
BOTH = {
    "AdvertiseRoutes": ["0.0.0.0/0", "::/0"],
    "AdvertiseRoutesSet": True,
    "ExitNodeIP": "100.64.0.99",
    "ExitNodeIPSet": True,
}
#: Requests that are refused, or that change nothing.
CHANGES: tuple[tuple[str, str, Any], ...] = (
    ("PATCH", "prefs", ROUTED),
    ("PATCH", "prefs", {"AdvertiseRoutes": ["x"], "AdvertiseRoutesSet": True}),
    ("PATCH", "prefs", BOTH),
    ("PATCH", "prefs", {"Nonsense": True, "NonsenseSet": True}),
    ("POST", "check-prefs", {"AdvertiseRoutes": ["10.0.0.1/24"]}),
    ("POST", "check-prefs", {"AdvertiseRoutes": ["10.0.0.0/24"]}),
    ("GET", "nonsense", None),
)
#: Keys of a node, and what identifies it, are shortened.
_KEYS = re.compile(r"(nodekey|mkey|discokey):[0-9a-f]{8}[0-9a-f]+")


class Connection(http.client.HTTPConnection):
    """HTTP by the path of a socket."""

    def __init__(self, path: str) -> None:
        super().__init__("local-tailscaled.sock", timeout=20)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask(path: str, method: str, what: str, body: Optional[Any]) -> dict[str, Any]:
    connection = Connection(path)
    connection.request(method, f"/localapi/v0/{what}", None if body is None else json.dumps(body))
    answer = connection.getresponse()
    text = _KEYS.sub(r"\1:" + "0" * 8, answer.read().decode())
    connection.close()
    names = ("Content-Type", "Tailscale-Version", "Tailscale-Cap")
    return {
        "method": method,
        "path": what,
        "body": body,
        "status": answer.status,
        "headers": {name: answer.headers[name] for name in names if name in answer.headers},
        "answer": text,
    }


def main(path: str, name: str) -> None:
    found = [ask(path, "GET", what, None) for what in LOOKS]
    found += [ask(path, method, what, body) for method, what, body in CHANGES]
    (RECORDED / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
