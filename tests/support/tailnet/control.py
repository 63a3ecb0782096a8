# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real Headscale on a host of its own, with its own DERP relay."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from hosts.machine import Machine, wait

from .peers import PLACE, mount

PORT = 8080
CONFIG = """\
server_url: {url}
listen_addr: 0.0.0.0:{port}
metrics_listen_addr: 127.0.0.1:9090
grpc_listen_addr: 127.0.0.1:50443
noise: {{private_key_path: /var/lib/headscale/noise_private.key}}
prefixes: {{v4: 100.64.0.0/10, v6: "fd7a:115c:a1e0::/48", allocation: sequential}}
database: {{type: sqlite, sqlite: {{path: /var/lib/headscale/db.sqlite, write_ahead_log: true}}}}
derp:
  server:
    enabled: true
    region_id: 999
    region_code: lab
    region_name: lab
    ipv4: {address}
    stun_listen_addr: 0.0.0.0:3478
    private_key_path: /var/lib/headscale/derp_private.key
    automatically_add_embedded_derp_region: true
  urls: []
  paths: []
  auto_update_enabled: false
dns: {{magic_dns: true, base_domain: ts.test, override_local_dns: false, nameservers: {{global: []}}}}
policy: {{mode: database}}
unix_socket: /run/headscale/headscale.sock
unix_socket_permission: "0770"
disable_check_updates: true
log: {{level: info, format: text}}
"""
UNIT = """\
[Unit]
Description=Headscale
[Service]
ExecStart=/usr/bin/headscale serve
RuntimeDirectory=headscale
StateDirectory=headscale
Restart=no
"""


class Headscale(Machine):
    """The control server. ``url`` is what a node's --login-server gets; nothing is allowed until ``set_policy``
    (a new Headscale without a policy lets everything through)."""

    def __init__(self, prefix: str, net: str, number: int = 1, release: str = "bookworm") -> None:
        super().__init__(prefix, net, number, release)
        self.url = f"http://{self.addresses[4]}:{PORT}"

    def start(self) -> None:
        self.options = mount()
        super().start()

    def ready(self) -> None:
        super().ready()
        install(self, self.url, self.addresses[4])
        self.serve()

    @classmethod
    def on(cls, name: str, address: str) -> Headscale:
        """The one that runs on a host that is there already, such as the lab's, which ``install`` has put it on."""
        found = cls(name, address.rpartition(".")[0])
        found.name, found.addresses, found.url = name, {4: address}, f"http://{address}:{PORT}"
        return found

    def serve(self) -> None:
        """Start the server, and wait until it answers."""
        self.shell("systemctl start headscale")
        wait(self.is_serving, 60, what=f"{self.name}: Headscale does not answer")

    def stop(self) -> None:
        """The control server is down; its host stays up."""
        self.shell("systemctl stop headscale")

    def is_serving(self) -> bool:
        return bool(self.shell("headscale users list --output json 2>/dev/null", check=False).strip())

    def log(self) -> str:
        return self.shell("journalctl --unit headscale --no-pager --output cat")

    def headscale(self, *words: object, stdin: str | None = None) -> Any:
        """What a command of headscale's says in JSON; a RuntimeError with its message where it fails."""
        command = " ".join("'{}'".format(str(word).replace("'", "'\\''")) for word in ("headscale", *words))
        said = self.shell(f"{command} --output json", stdin=stdin)
        return json.loads(said) if said.strip() else None

    # -- users and keys ------------------------------------------------------------------------------------------

    def user(self, name: str) -> int:
        """The id of a user, who is made where there is none of the name."""
        for user in self.headscale("users", "list") or []:
            if user["name"] == name:
                return int(user["id"])
        return int(self.headscale("users", "create", name)["id"])

    def key(
        self,
        user: str | None = None,
        tags: Sequence[str] = (),
        reusable: bool = False,
        expiration: str = "1h",
        ephemeral: bool = False,
    ) -> str:
        """A pre-authentication key: of a user, or with tags (what joins with it has these tags and no user).
        With neither it is one of the user ``lab``."""
        words: list[object] = ["--expiration", expiration]
        if tags:
            words += ["--tags", ",".join(tags)]
        if user or not tags:
            words += ["--user", self.user(user or "lab")]
        words += ["--reusable"] * reusable + ["--ephemeral"] * ephemeral
        return str(self.headscale("preauthkeys", "create", *words)["key"])

    def api_key(self, expiration: str = "1h") -> str:
        """A key of the HTTP API."""
        return str(self.headscale("apikeys", "create", "--expiration", expiration))

    # -- policy --------------------------------------------------------------------------------------------------

    def policy(self) -> str:
        """The text that stands on the server; empty where there is none."""
        return self.shell("headscale policy get 2>/dev/null", check=False)

    def set_policy(self, policy: Mapping[str, Any] | str) -> None:
        """Put a policy; a RuntimeError with the server's reason where it refuses it, e.g. since a test of it fails."""
        self._with_policy("set", policy)

    def check_policy(self, policy: Mapping[str, Any] | str) -> None:
        """As ``set_policy``, and the server keeps what it has."""
        self._with_policy("check", policy)

    def _with_policy(self, verb: str, policy: Mapping[str, Any] | str) -> None:
        text = policy if isinstance(policy, str) else json.dumps(policy, indent=2)
        self.put("/run/policy.hujson", text)
        self.shell(f"headscale policy {verb} --file /run/policy.hujson")

    # -- nodes ---------------------------------------------------------------------------------------------------

    def nodes(self) -> list[dict[str, Any]]:
        """Every node that the server knows, in its own words."""
        return self.headscale("nodes", "list") or []

    def node(self, name: str) -> dict[str, Any]:
        """A node by the name of its host, of which the server hears late, or by an address; a LookupError where none has it."""
        for node in self.nodes():
            if name in (node.get("given_name"), node.get("name"), *(node.get("ip_addresses") or ())):
                return node
        raise LookupError(name)

    def expire(self, name: str) -> None:
        """The node's key is not valid any more, from now on."""
        self.headscale("nodes", "expire", "--identifier", self.node(name)["id"])

    def delete(self, hostname: str) -> None:
        self.headscale("nodes", "delete", "--identifier", self.node(hostname)["id"], "--force")

    def approve(self, hostname: str, *routes: str) -> None:
        """The node's routes that are approved: these and no others (0.0.0.0/0 and ::/0: it is an exit node)."""
        self.headscale(
            "nodes", "approve-routes", "--identifier", self.node(hostname)["id"], "--routes", ",".join(routes)
        )


def install(machine: Machine, url: str, address: str) -> None:
    """A Headscale on any host that has the folder of ``peers.mount``; it is not started yet."""
    machine.put("/etc/headscale/config.yaml", CONFIG.format(url=url, port=PORT, address=address))
    machine.put("/etc/systemd/system/headscale.service", UNIT)
    machine.shell(f"ln -sfn {PLACE}/headscale /usr/bin/headscale && systemctl daemon-reload")
