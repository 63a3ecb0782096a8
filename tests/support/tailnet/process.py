# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real Headscale as a process of this machine: for what needs its HTTP API and no packets, and for nodes that have a network with it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

from .peers import binaries

CONFIG = """\
server_url: http://{address}:{port}
listen_addr: {address}:{port}
metrics_listen_addr: 127.0.0.1:{metrics}
grpc_listen_addr: 127.0.0.1:{grpc}
noise: {{private_key_path: {folder}/noise.key}}
prefixes: {{v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48", allocation: random}}
database: {{type: sqlite, sqlite: {{path: {folder}/db.sqlite}}}}
derp:
  server:
    enabled: true
    region_id: 999
    region_code: lab
    region_name: lab
    ipv4: {address}
    stun_listen_addr: {address}:{stun}
    private_key_path: {folder}/derp.key
  urls: []
  paths: []
  auto_update_enabled: false
dns: {{magic_dns: true, base_domain: ts.test, override_local_dns: false, nameservers: {{global: []}}}}
policy: {{mode: database}}
unix_socket: {folder}/headscale.sock
disable_check_updates: true
log: {{level: warn, format: text}}
"""
#: Seconds until the server must answer, on a machine that is busy with other tests.
PATIENCE = 120


class HeadscaleProcess:
    """The server, its address (``url``) and a key of its API (``key``). address: the one of this machine at which it listens."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self.folder, self.address = folder, address
        self.program = binaries() / "headscale"
        ports = dict(zip(("port", "metrics", "grpc", "stun"), free_ports(4), strict=True))
        self.port = ports["port"]
        self.url = f"http://{address}:{self.port}"
        self.config = folder / "config.yaml"
        self.config.write_text(CONFIG.format(folder=folder, address=address, **ports), encoding="utf-8")
        self.key = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.made = 0

    def __enter__(self) -> HeadscaleProcess:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.program, "-c", self.config, "serve"], stdout=log, stderr=log)
        end = time.monotonic() + PATIENCE
        while not self.key:
            said = self.run("apikeys", "create", "-o", "json")
            if said.returncode == 0:
                self.key = json.loads(said.stdout)
            elif time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text(encoding="utf-8", errors="replace")[-2000:])
            else:
                time.sleep(0.2)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(timeout=PATIENCE)
            self.process = None

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of headscale's own."""
        command = [self.program, "-c", self.config, *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    def api(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and answer of one request."""
        connection = http.client.HTTPConnection(self.address, self.port, timeout=PATIENCE)
        data = None if body is None else json.dumps(body)
        connection.request(method, f"/api/v1/{path}", data, {"Authorization": f"Bearer {self.key}"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text)

    def done(self, method: str, path: str, body: object = None) -> Any:
        status, said = self.api(method, path, body)
        if status != 200:
            raise RuntimeError(f"{method} {path}: {status} {said}")
        return said

    def user(self, name: str, email: str = "") -> None:
        self.done("POST", "user", {"name": name, "email": email})

    def node(self, name: str, user: str, tags: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Registers a device that never comes; its addresses. Tags must have an owner in the policy."""
        self.made += 1
        auth = f"hskey-authreq-{self.made:024}"
        self.done("POST", "debug/node", {"user": user, "key": auth, "name": name})
        node = self.done("POST", "auth/register", {"user": user, "authId": auth})["node"]
        if tags:
            self.done("POST", f"node/{node['id']}/tags", {"tags": list(tags)})
        return tuple(node["ipAddresses"])

    def policy(self) -> str:
        """The text that the server keeps; empty where there is none."""
        status, said = self.api("GET", "policy")
        return said["policy"] if status == 200 else ""

    def set_policy(self, text: str) -> None:
        self.done("PUT", "policy", {"policy": text})

    def complaint(self, text: str) -> str:
        """What the server says against a policy; empty where it would take it."""
        status, said = self.api("POST", "policy/check", {"policy": text})
        return "" if status == 200 else said["message"]


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on at the moment."""
    sockets = [socket.socket() for _number in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found
