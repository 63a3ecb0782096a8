# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""UFW's log on its encrypted way to the collector: rsyslogd to rsyslogd, over SSH-managed hosts that site.yml has applied."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosts import NET, Host
from hosts.kernel_log import DEVICE, logged_namespaces, read_own_messages
from hosts.machine import run, started, wait
from playbook import playbook

CHECKOUT = Path(__file__).parents[2]
BASE = f"10.{NET}.0"
COLLECTOR, SENDER = f"{BASE}.11", f"{BASE}.12"
NAME = "collector.example"
FOLDER = "/etc/ssl/logs"
SITE: dict[str, Any] = {
    "bulkhead_tiers": {
        "monitoring": {"vlan": 10, "subnet": f"{BASE}.10/31"},
        "web": {"vlan": 20, "subnet": f"{BASE}.12/31"},
    },
    "bulkhead_addresses": {"controller": f"{BASE}.1", "collector": COLLECTOR},
    "bulkhead_services": {"ssh": "22/tcp", "logs": "6514/tcp"},
    "bulkhead_flows": [
        {"from": "controller", "to": "tiers", "allow": "ssh"},
        {"from": "web", "to": "collector", "allow": "logs"},
    ],
    "firewall_log_collector": "collector",
    "firewall_log_service": "logs",
    "firewall_log_tls": {"ca": f"{FOLDER}/ca.crt", "name": NAME},
    "monitoring_log_tls": {
        "service": "logs",
        "ca": f"{FOLDER}/ca.crt",
        "cert": f"{FOLDER}/used.crt",
        "key": f"{FOLDER}/used.key",
    },
    "change_gate": False,
    "ansible_become": False,
}
#: Of the file that the collector writes for the sender.
RECEIVED = f"/var/log/bulkhead/{SENDER}/ufw.log"


def authority(folder: Path, name: str, common: str) -> None:
    """A certificate authority NAME-ca, and the collector's certificate NAME of it."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca, cert = folder / f"{name}-ca", folder / name
    run(
        "openssl",
        "req",
        "-x509",
        *key,
        "-days",
        2,
        "-subj",
        f"/CN={name} CA",
        "-keyout",
        f"{ca}.key",
        "-out",
        f"{ca}.crt",
    )
    run("openssl", "req", *key, "-subj", f"/CN={common}", "-keyout", f"{cert}.key", "-out", f"{cert}.csr")
    (folder / "san").write_text(f"subjectAltName=DNS:{common}")
    signer = ["-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial", "-extfile", folder / "san"]
    run("openssl", "x509", "-req", "-days", 2, "-in", f"{cert}.csr", *signer, "-out", f"{cert}.crt")


class Logs:
    """The collector and one host that sends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.collector, self.sender = Host(1, "trixie", folder), Host(2, "bookworm", folder)
        self.port = 2000

    def put(self) -> None:
        """The authority's certificate on both, and on the collector three of its own: one with the right name, one with another,
        and one with the right name that another authority signed."""
        authority(self.folder, "right", NAME)
        authority(self.folder, "stranger", NAME)
        for host in (self.collector, self.sender):
            host.shell(f"mkdir -p {FOLDER}")
            run("docker", "cp", self.folder / "right-ca.crt", f"{host.name}:{FOLDER}/ca.crt")
        authority(self.folder, "misnamed", "elsewhere.example")
        for name in ("right", "stranger", "misnamed"):
            for kind in ("crt", "key"):
                run("docker", "cp", self.folder / f"{name}.{kind}", f"{self.collector.name}:{FOLDER}/{name}.{kind}")
        self.use("right", restart=False)

    def use(self, name: str, restart: bool = True) -> None:
        copy = "; ".join(f"cp {FOLDER}/{name}.{kind} {FOLDER}/used.{kind}" for kind in ("crt", "key"))
        self.collector.shell(f"{copy}; {'systemctl restart rsyslog' if restart else ':'}")

    def site(self, **variables: Any) -> subprocess.CompletedProcess[str]:
        groups = {
            "monitoring": {"hosts": {"m1": self.collector.inventory()}},
            "web": {"hosts": {"w1": self.sender.inventory()}},
        }
        tree = {"all": {"children": groups, "vars": {**SITE, **variables}}}
        (self.folder / "hosts.json").write_text(json.dumps(tree))
        return playbook("site", self.folder / "hosts.json", folder=self.folder)

    def deny(self) -> str:
        """Have the sender's UFW log a packet; what its line has and no other. UFW logs few in a minute: it is tried until it did."""
        self.port += 1
        mark = f"DPT={self.port} "

        def logged() -> bool:
            self.collector.shell(f"timeout 1 bash -c '</dev/tcp/{SENDER}/{self.port}' 2>/dev/null || true")
            return mark in self.sender.shell("cat /var/log/ufw.log 2>/dev/null || true")

        wait(logged, what=f"{mark} in the sender's own log")
        return mark

    def received(self, mark: str) -> bool:
        return mark in self.collector.shell(f"cat {RECEIVED} 2>/dev/null || true")


@pytest.fixture(name="logs", scope="module")
def fixture_logs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logs]:
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    folder = tmp_path_factory.mktemp("logs")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
    found = Logs(folder)
    found.sender.options = [DEVICE]
    with logged_namespaces(), started([found.collector, found.sender]):
        read_own_messages(found.sender)
        found.put()
        done = found.site()
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr
        yield found


def test_what_a_host_blocks_arrives_at_the_collector_over_tls(logs: Logs):
    mark = logs.deny()
    wait(lambda: logs.received(mark), what=f"{mark} at the collector")
    again = logs.site()
    assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout[-6000:]


def test_what_is_sent_there_in_the_clear_is_no_message(logs: Logs):
    logs.sender.shell(
        f"echo '<13>Jan  1 00:00:00 w1 x: in the clear' | timeout 5 bash -c 'cat >/dev/tcp/{COLLECTOR}/6514' || true"
    )
    mark = logs.deny()
    wait(lambda: logs.received(mark), what=f"{mark} at the collector")
    assert "in the clear" not in logs.collector.shell("cat /var/log/bulkhead/*/*")


@pytest.mark.parametrize("name", ["stranger", "misnamed"])
def test_a_collector_that_is_not_who_it_should_be_gets_nothing_and_the_right_one_all_of_it(logs: Logs, name: str):
    """rsyslogd says why, and keeps what waits."""
    logs.use(name)
    # Each of the sender's tries is a line; it has had one when a line is newer than the change.
    said = "grep -c 'rsyslogd.*\\(certificate\\|peer\\)' /var/log/syslog || true"
    before = int(logs.sender.shell(said))
    mark = logs.deny()
    wait(lambda: int(logs.sender.shell(said)) > before, what="the sender refuses the collector")
    assert not logs.received(mark)
    logs.use("right")
    wait(lambda: logs.received(mark), what=f"{mark} at the collector")


def test_a_service_without_tcp_is_refused(logs: Logs):
    services = {"ssh": "22/tcp", "logs": "6514/udp"}
    done = logs.site(bulkhead_services=services)
    assert done.returncode != 0 and "for UDP has no TLS" in done.stdout + done.stderr
