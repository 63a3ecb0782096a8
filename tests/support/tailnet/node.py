# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host with a real tailscaled, and a TUN device."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from hosts.machine import ROOT, Machine, wait

from .peers import PLACE, mount

UNIT = ROOT / "roles" / "tailnet" / "files" / "tailscaled.service"
SOCKET = "/run/tailscale/tailscaled.sock"
#: The relay of the lab speaks plain HTTP, no packet of the lab leaves the machine, and nothing is sent to the vendor's log.
LAB = """\
[Service]
Environment=TS_DEBUG_USE_DERP_HTTP=1 TS_ASSUME_NETWORK_UP_FOR_TEST=1 TS_DISABLE_PORTMAPPER=1 TS_NO_LOGS_NO_SUPPORT=1
"""


class Node(Machine):
    """A host whose tailscaled runs and has joined nothing yet. ``tun=False``: one without the device."""

    def __init__(self, prefix: str, net: str, number: int, release: str, control: str = "", tun: bool = True) -> None:
        super().__init__(prefix, net, number, release)
        self.control, self.tun = control, tun

    def start(self) -> None:
        self.options = [*mount(), *(["--device=/dev/net/tun"] if self.tun else [])]
        super().start()

    def ready(self) -> None:
        super().ready()
        self.install()
        self.daemon("start")
        wait(self.answers, 60, what=f"{self.name}: tailscaled does not answer")

    def install(self) -> None:
        """What the vendor's package would bring, and the lab's own settings."""
        self.put("/etc/systemd/system/tailscaled.service", UNIT.read_text())
        self.put("/etc/systemd/system/tailscaled.service.d/lab.conf", LAB)
        self.put("/etc/default/tailscaled", 'PORT="41641"\nFLAGS=""\n')
        links = f"ln -sfn {PLACE}/tailscaled /usr/sbin/tailscaled; ln -sfn {PLACE}/tailscale /usr/bin/tailscale"
        self.shell(f"{links}; systemctl daemon-reload; systemctl enable --quiet tailscaled")

    def daemon(self, verb: str) -> None:
        """start, stop, restart or kill tailscaled."""
        self.shell(f"systemctl {verb} {'--signal=KILL ' if verb == 'kill' else ''}tailscaled")

    def log(self) -> str:
        return self.shell("journalctl --unit tailscaled --no-pager --output cat")

    # -- LocalAPI ------------------------------------------------------------------------------------------------

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """(status, JSON or text) of a request to the LocalAPI, sent by the host's own Python and not by our client."""
        script = (
            "import http.client, json, socket, sys\n"
            "c = http.client.HTTPConnection('local-tailscaled.sock', timeout=30)\n"
            "c.sock = socket.socket(socket.AF_UNIX)\n"
            f"c.sock.connect({SOCKET!r})\n"
            f"c.request({method!r}, '/localapi/v0/' + {path!r}, sys.stdin.read() or None)\n"
            "r = c.getresponse()\n"
            "print(json.dumps([r.status, r.read().decode()]))"
        )
        stdin = "" if body is None else json.dumps(body)
        status, text = json.loads(self.shell(f"python3 -c {shlex.quote(script)}", stdin=stdin))
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text

    def answers(self) -> bool:
        try:
            return self.api("GET", "status?peers=false")[0] == 200
        except RuntimeError:
            return False

    def status(self) -> dict[str, Any]:
        """The status with its peers."""
        return dict(self.api("GET", "status")[1])

    def prefs(self) -> dict[str, Any]:
        return dict(self.api("GET", "prefs")[1])

    def state(self) -> str:
        """BackendState: NeedsLogin, Running, ..."""
        return str(self.api("GET", "status?peers=false")[1]["BackendState"])

    def until(self, state: str, seconds: float = 60.0) -> None:
        wait(lambda: self.state() == state, seconds, what=f"{self.name} is {self.state()}, not {state}")

    # -- by the command, as a person would -----------------------------------------------------------------------

    def tailscale(self, *words: object, check: bool = True) -> str:
        return self.shell(shlex.join(["tailscale", *(str(word) for word in words)]), check=check)

    def join(self, key: str, *flags: object) -> None:
        """Join the control server with a pre-authentication key."""
        self.tailscale("up", "--login-server", self.control, "--auth-key", key, "--timeout=60s", *flags)
        self.until("Running")

    def address(self) -> str:
        """Its IPv4 address in the tailnet; empty before it has joined."""
        found = [each for each in self.status()["Self"].get("TailscaleIPs") or [] if ":" not in each]
        return found[0] if found else ""

    def reaches(self, address: str, port: int, timeout: float = 3.0) -> str:
        """open, refused (reached, but nothing listens there) or blocked: a TCP connection from this host."""
        script = (
            "import socket\n"
            "try:\n"
            f"    socket.create_connection(({address!r}, {port}), {timeout}).close(); print('open')\n"
            "except ConnectionRefusedError: print('refused')\n"
            "except OSError: print('blocked')"
        )
        return self.shell(f"python3 -c {shlex.quote(script)}").strip()
