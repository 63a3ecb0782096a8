# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which dockerd a host has, and what one that does not run keeps on its disk."""

from __future__ import annotations

import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import daemon_host
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.daemon_host import Daemon

#: As systemd 252 answers on Debian 12.
SHOWN = (
    "MainPID=0\n"
    "ExecStart={ path=/usr/bin/dockerd ; argv[]=/usr/bin/dockerd -H fd:// --config-file=/etc/own.json $DOCKER_OPTS ; "
    "ignore_errors=no ; start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }\n"
    "LoadState=%s\n"
)


@pytest.fixture(name="bare", autouse=True)
def fixture_bare(monkeypatch):
    """A host without any dockerd, but with systemd and apt."""
    monkeypatch.setattr(daemon_host, "_processes", lambda: iter(()))
    monkeypatch.setattr(
        daemon_host.shutil, "which", lambda name, path=None: None if name == "dockerd" else f"/bin/{name}"
    )


def systemd(text):
    return lambda argv: (0, text, "")


def test_a_unit_that_does_not_run_is_the_hosts_engine():
    daemon = daemon_host.find_daemon(systemd(SHOWN % "loaded"))
    assert daemon == Daemon(
        "/usr/bin/dockerd", "docker.service", 0, "/etc/own.json", {"hosts": ["fd://"], "config-file": ["/etc/own.json"]}
    )
    assert daemon.present and "docker.io" not in daemon_host.missing_packages(daemon)


def test_a_host_without_one_has_none():
    daemon = daemon_host.find_daemon(systemd(SHOWN % "not-found"))
    assert daemon == Daemon(config=daemon_host.os.path.realpath(daemon_host.CONFIG)) and not daemon.present
    assert "docker.io" in daemon_host.missing_packages(daemon)


@pytest.mark.parametrize("load", ["not-found", "loaded"])
def test_a_dockerd_of_another_unit_is_the_hosts_engine(monkeypatch, load):
    monkeypatch.setattr(daemon_host, "_processes", lambda: iter([(4711, "snap.docker.dockerd.service")]))
    line = "dockerd\0--config-file=/var/snap/daemon.json\0--data-root=/var/snap/docker\0"
    monkeypatch.setattr(daemon_host, "_read", lambda path: line if path == "/proc/4711/cmdline" else "")
    daemon = daemon_host.find_daemon(systemd(SHOWN % load))
    assert (daemon.pid, daemon.unit, daemon.config) == (4711, "snap.docker.dockerd.service", "/var/snap/daemon.json")
    assert daemon.flags["data-root"] == ["/var/snap/docker"]


def test_packages_that_an_installation_would_remove_are_read_from_apts_simulation():
    said = "Inst docker.io (20.10)\nRemv containerd.io [1.6]\nRemv kubeadm [1.30]\n"
    assert daemon_host.displaced(systemd(said), ["docker.io"]) == ["containerd.io", "kubeadm"]
    assert daemon_host.displaced(systemd(said), []) == []


def test_a_stopped_engine_has_what_is_on_its_disk(tmp_path):
    for name in (
        "containers/abc",
        "containers/def",
        "volumes/data",
        "image/overlay2/imagedb/content/sha256/1",
        "swarm",
    ):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "containers/abc/config.v2.json").write_text(json.dumps({"Name": "/db"}))
    (tmp_path / "volumes/metadata.db").write_text("")
    (tmp_path / "swarm/docker-state.json").write_text("{}")
    has = daemon_host.read_holdings({"data-root": str(tmp_path)}, {})
    assert (has.driver, has.containers, has.volumes, has.images, has.swarm) == ("overlay2", ("db", "def"), 1, 1, True)
    nested = daemon_host.read_holdings({"data-root": str(tmp_path.parent), "userns-remap": "default"}, {})
    assert nested.remapped and not nested.containers


def test_the_socket_is_the_one_that_the_engine_listens_at():
    daemon = Daemon(flags={"hosts": ["fd://", "unix:///srv/d.sock"]})
    assert daemon_host.api_of(daemon, {}).path == "/srv/d.sock"
    assert daemon_host.api_of(Daemon(), {"hosts": ["tcp://0.0.0.0:2376", "unix:///srv/e.sock"]}).path == "/srv/e.sock"
    assert daemon_host.api_of(Daemon(), {}).path == daemon_host.SOCKET
