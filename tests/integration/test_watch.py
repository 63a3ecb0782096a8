# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""watch.yml on a host whose own UFW has blocked real packets, and whose rsyslogd has written them down."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import NET, Host, run, started, wait
from hosts.kernel_log import DEVICE, logged_namespaces, read_own_messages
from playbook import playbook

CHECKOUT = Path(__file__).parents[2]
BASE, BASE6 = f"10.{NET}.0", f"fd00:{NET}::"
SITE = {
    "bulkhead_tiers": {"web": {"vlan": 10, "subnet": [f"{BASE}.10/31", f"{BASE6}10/124"]}},
    "bulkhead_addresses": {"controller": [f"{BASE}.1", f"{BASE6}1"]},
    "bulkhead_services": {"ssh": "22/tcp", "postgres": "5432/tcp", "redis": "6379/tcp"},
    "bulkhead_flows": [{"from": "controller", "to": "web", "allow": ["ssh", "postgres"]}],
    "bulkhead_never": [{"from": "controller", "to": "web", "deny": "redis"}],
}


def knock(host: Host, port: int, times: int, family: int = 4) -> None:
    """So many first packets of connections. A connection that is given up at once sends its packet once."""
    for _number in range(times):
        with socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6) as probe:
            probe.setblocking(False)
            probe.connect_ex((host.address[family], port))


class Site:
    """The inventory, and what watch.yml says."""

    def __init__(self, folder: Path, host: Host) -> None:
        self.folder, self.host = folder, host
        lost = {"ansible_host": f"{BASE}.99", "ansible_user": "root", "ansible_ssh_common_args": "-o ConnectTimeout=1"}
        hosts = {"w1": host.inventory(), "w2": lost}
        groups = {"web": {"hosts": hosts}}
        tree = {"all": {"children": groups, "vars": {**SITE, "ansible_become": False}}}
        (folder / "hosts.json").write_text(json.dumps(tree))

    def watch(self, *arguments: str) -> tuple[str, dict]:
        """(what it printed, the report)"""
        done = playbook("watch", self.folder / "hosts.json", *arguments, folder=self.folder)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr
        return done.stdout, json.loads((self.folder / "reports" / "watch.json").read_text())


@pytest.fixture(name="site", scope="module")
def fixture_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    folder = tmp_path_factory.mktemp("watch")
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key")
    host = Host(1, "bookworm", folder)
    host.options = [DEVICE]
    with logged_namespaces(), started([host]):
        read_own_messages(host)
        host.shell("ufw logging low && ufw allow 22/tcp && ufw --force enable")
        yield Site(folder, host)


def test_blocked_packets_are_told_in_the_sites_words(site: Site):
    host = site.host
    knock(host, 9100, 3)
    knock(host, 5432, 2)
    knock(host, 9100, 1, family=6)
    knock(host, 6379, 1)
    wait(
        lambda: host.shell("grep -c 'UFW BLOCK' /var/log/ufw.log", check=False).strip() == "7",
        what="7 lines of the log",
    )
    said, report = site.watch("-e", "since=1h")
    assert "controller -> web 9100/tcp, 4 times from 2 addresses, no flow declares it" in said, report["blocked"]
    assert "this flow would allow it: {from: controller, to: web, allow: 9100_tcp}" in said
    assert (
        "controller -> web 5432/tcp (postgres), 2 times from 1 host, bulkhead_flows[0] declares it, and w1 blocked it"
        in said
    )
    assert "controller -> web 6379/tcp (redis), 1 time from 1 host, bulkhead_never[0] forbids it" in said
    assert [row["kind"] for row in report["blocked"]] == ["declared", "undeclared", "forbidden"]
    assert report["blocked"][1]["sources"] == [f"{BASE}.1", f"{BASE6}1"]
    assert "w2: not read: " in said
    assert "9100/tcp" in (site.folder / "reports" / "watch.md").read_text()


def test_open_connections_are_told_too(site: Site):
    with socket.create_connection((site.host.address[4], 22), 10):
        _said, report = site.watch("-e", "since=1h")
    (row,) = [row for row in report["connections"] if row["to"] == "web" and row["what"] == "22/tcp (ssh)"]
    assert (row["kind"], row["decided_by"]) == ("declared", "bulkhead_flows[0]")


def test_a_log_that_was_rotated_is_read_on(site: Site):
    site.host.shell("cd /var/log && mv ufw.log ufw.log.1 && gzip ufw.log.1 && systemctl restart rsyslog")
    _said, report = site.watch("-e", "since=1h")
    assert sum(row["count"] for row in report["blocked"]) == 7
    assert any("goes back to" in note for note in report["notes"])


def test_what_is_older_than_was_asked_is_left_out(site: Site):
    site.host.shell("touch -d '2 hours ago' /var/log/ufw.log.1.gz")
    _said, report = site.watch("-e", "since=1h")
    assert report["blocked"] == []


def test_without_a_log_that_is_said(site: Site):
    site.host.shell(
        "rm -f /var/log/ufw.log* /var/log/kern.log /var/log/syslog /var/log/messages; rm -rf /var/log/journal /run/log/journal"
    )
    said, report = site.watch("-e", "since=1h", "-e", "format=json")
    assert report["blocked"] == [] and "w1: no log of UFW" in said
