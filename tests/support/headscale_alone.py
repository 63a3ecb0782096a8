"""A real Headscale as a process of this machine, on a port of its own, with nodes that are only entries of it: enough to ask
what it makes of a policy."""

from __future__ import annotations

import json
import pathlib
import secrets
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Optional

from tailnet.peers import binaries

_CONFIG = """\
server_url: http://127.0.0.1:{port}
listen_addr: 127.0.0.1:{port}
metrics_listen_addr: ""
grpc_listen_addr: 127.0.0.1:{grpc}
noise: {{private_key_path: {folder}/noise}}
prefixes: {{v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48"}}
database: {{type: sqlite, sqlite: {{path: {folder}/db}}}}
derp:
  server:
    {{enabled: true, region_id: 999, region_code: t, region_name: t, ipv4: 127.0.0.1,
     stun_listen_addr: "127.0.0.1:{stun}", private_key_path: {folder}/derp}}
  urls: []
  auto_update_enabled: false
dns: {{base_domain: ts.test, magic_dns: false, override_local_dns: false}}
policy: {{mode: database}}
unix_socket: {folder}/socket
disable_check_updates: true
"""


class Refused(Exception):
    """The server does not take a policy; the message is its own."""


class Headscale:
    """A server that is there within a `with`."""

    def __enter__(self) -> Headscale:
        self._folder = tempfile.TemporaryDirectory(prefix="headscale")
        self._config = pathlib.Path(self._folder.name, "config.yaml")
        ports = _free_ports()
        self._port, self._key = ports[0], ""
        self._config.write_text(
            _CONFIG.format(folder=self._folder.name, port=ports[0], grpc=ports[1], stun=ports[2]), encoding="utf-8"
        )
        log = pathlib.Path(self._folder.name, "log").open("w", encoding="utf-8")
        self._server = subprocess.Popen([*self._command, "serve"], stdout=log, stderr=subprocess.STDOUT)
        for _dummy in range(300):
            if subprocess.run([*self._command, "users", "list"], capture_output=True, check=False).returncode == 0:
                return self
            time.sleep(0.1)
        self.__exit__(None, None, None)
        raise TimeoutError("Headscale does not answer")

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self._server.terminate()
        self._server.wait(30)
        self._folder.cleanup()

    @property
    def _command(self) -> list[str]:
        return [str(binaries() / "headscale"), "--config", str(self._config)]

    def _run(self, *words: str) -> Any:
        done = subprocess.run(
            [*self._command, *words, "-o", "json"], capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            raise Refused(done.stdout + done.stderr)
        return json.loads(done.stdout) if done.stdout[:1] in ("{", "[", '"') else None

    def user(self, email: str) -> None:
        self._run("users", "create", email.partition("@")[0], "--email", email)

    def node(self, name: str, user: str, tags: Sequence[str] = (), routes: Sequence[str] = ()) -> int:
        """An entry without a machine behind it; its id."""
        key = f"hskey-authreq-{secrets.token_urlsafe(18)}"
        owner = user.partition("@")[0]
        more = [word for route in routes for word in ("--route", route)]
        self._run("debug", "create-node", "--name", name, "--user", owner, "--key", key, *more)
        number = int(self._run("auth", "register", "--auth-id", key, "--user", owner)["id"])
        if tags:
            self.tag(number, tags)
        return number

    def tag(self, number: int, tags: Sequence[str]) -> None:
        """Make a node one with tags; the policy has to know them."""
        self._ask("POST", f"node/{number}/tags", {"tags": list(tags)})

    def put(self, policy: Mapping[str, Any]) -> None:
        """Load a policy; Refused where one of its tests fails, and for all else that the server does not like."""
        self._ask("PUT", "policy", {"policy": json.dumps(policy)})

    def _ask(self, method: str, path: str, body: Mapping[str, Any]) -> None:
        if not self._key:
            made = self._run("apikeys", "create")
            self._key = made["key"] if isinstance(made, dict) else str(made)
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._port}/api/v1/{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"},
            method=method,
        )
        try:
            urllib.request.urlopen(request, timeout=60).close()
        except urllib.error.HTTPError as error:
            raise Refused(f"{method} {path}: {error.code} {error.read().decode()}") from error


def _free_ports() -> list[int]:
    sockets = [socket.socket() for _dummy in range(3)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
