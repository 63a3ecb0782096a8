# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docker_engine_config and the role docker_engine on engines that are somebody's own: with a data root, a log driver and containers."""

from __future__ import annotations

import json
import shutil

import pytest
from hosts import NET, PREFIX
from hosts.engine import SERVICE_IMAGE, Hosts, wait
from hosts.machine import Play

THEIRS = {
    "data-root": "/srv/engine",
    "log-driver": "journald",
    "registry-mirrors": ["https://mirror.example"],
    "log-opts": {"tag": "x"},
}
POOLS = [{"base": "10.98.0.0/16", "size": 24}]
#: Process 1 of a container takes no notice of the signal that others end at: each stop of the engine would wait 10 s for it.
SLEEPER = ("--stop-signal", "KILL", "--entrypoint", "/bin/sleep", SERVICE_IMAGE, "3600")
FILE = "/etc/docker/daemon.json"
#: The role asks the site's plan what the host's tiers say of an engine. This host is in none.
SITE = {"bulkhead_tiers": {"apps": {"vlan": 50, "subnet": "10.0.5.0/24"}}}


@pytest.fixture(name="hosts", scope="module")
def fixture_hosts():
    # A test that cannot run has not passed.
    assert shutil.which("docker"), "needs a Docker Engine: `make engine`"
    with Hosts(f"{PREFIX}-engine", ["bookworm", "trixie"], f"10.{NET}.9") as hosts:
        hosts.swarm()
        for host in hosts:
            host.docker("swarm", "leave", "--force")
        yield hosts


@pytest.fixture(name="host", params=[pytest.param(0, marks=pytest.mark.whole), 1], ids=["20.10", "26.1"])
def fixture_host(hosts, request):
    """An engine of somebody's own, with a container that comes back by itself and one that does not."""
    host = hosts[request.param]
    start(host, THEIRS)
    host("sh", "-c", f"docker image inspect {SERVICE_IMAGE} >/dev/null 2>&1 || docker load -i /root/image.tar")
    host.docker("run", "-d", "--name", "always", "--restart", "always", *SLEEPER)
    host.docker("run", "-d", "--name", "once", "-v", "data:/data", *SLEEPER)
    return host


def start(host, settings):
    """An engine with these settings and nothing in it."""
    host("sh", "-c", f"test -e /root/image.tar || docker save {SERVICE_IMAGE} -o /root/image.tar")
    host("sh", "-c", "systemctl stop docker.socket docker.service; systemctl reset-failed docker.service || true")
    host(
        "sh",
        "-c",
        f"rm -rf /srv/engine /srv/elsewhere {FILE}* /etc/systemd/system/docker.service.d; systemctl daemon-reload",
    )
    host.put(FILE, json.dumps(settings))
    host.start_engine()


def said(host):
    """What the host's daemon.json says."""
    return json.loads(host("cat", FILE))


def state(host):
    """{container: whether it runs}, and the PID of the engine."""
    rows = host.docker("ps", "-a", "--format", "{{.Names}} {{.State}}").splitlines()
    return {row.split()[0]: row.split()[1] == "running" for row in rows}, host(
        "systemctl", "show", "-P", "MainPID", "docker"
    )


def engine(host, check=False, **arguments):
    return host.module("docker_engine_config", check=check, **arguments)


def test_the_settings_are_merged_and_a_restart_brings_every_container_back(host):
    foreseen = engine(host, check=True, settings={"default-address-pools": POOLS})
    assert said(host) == THEIRS
    done = engine(host, settings={"default-address-pools": POOLS})
    assert said(host) == {**THEIRS, "default-address-pools": POOLS}
    assert (done["effect"], done["keys"]) == ("restart", ["default-address-pools"])
    assert done["stopped_meanwhile"] == ["always", "once"]
    assert {key: foreseen[key] for key in ("changed", "effect", "keys", "diff", "stopped_meanwhile")} == {
        key: done[key] for key in ("changed", "effect", "keys", "diff", "stopped_meanwhile")
    }
    wait(lambda: state(host)[0] == {"always": True, "once": True}, 90)
    assert host.docker("info", "--format", "{{.DockerRootDir}} {{.LoggingDriver}}") == "/srv/engine journald"
    assert host.docker("network", "create", "new") and '"10.98.' in host.docker("network", "inspect", "new")
    before = state(host)
    assert engine(host, settings={"default-address-pools": POOLS})["changed"] is False
    assert state(host) == before


def test_what_a_reload_takes_over_needs_no_restart(host):
    before = state(host)
    done = engine(host, settings={"registry-mirrors": ["https://other.example"], "log-opts": {"tag": "x"}})
    assert (done["effect"], done["keys"]) == ("reload", ["registry-mirrors"])
    wait(lambda: "other.example" in host.docker("info"), 90)
    assert state(host) == before


def test_with_live_restore_the_containers_run_on_over_the_restart(host):
    pid = host.docker("inspect", "--format", "{{.State.Pid}}", "once")
    done = engine(host, settings={"live-restore": True, "userland-proxy": False})
    assert (done["effect"], done["stopped_meanwhile"]) == ("restart", [])
    assert host.docker("inspect", "--format", "{{.State.Pid}} {{.State.Running}}", "once") == f"{pid} true"


def test_what_would_lose_containers_is_refused_and_names_them_and_so_is_what_would_not_start(host):
    before = state(host)
    others = [
        ("data-root", "/srv/elsewhere"),
        ("data-root", None),
        ("storage-driver", "btrfs"),
        ("userns-remap", "default"),
    ]
    for key, value in others:
        refused = engine(host, settings={key: value, "debug": True, "bip": "10.97.0.1/24"})
        assert refused["failed"]
        (error,) = refused["errors"]
        assert error.startswith(f"settings.{key}: got ") and "2 containers (always, once)" in error
    (error,) = engine(host, settings={"hosts": ["unix:///run/docker.sock"]})["errors"]
    assert error.startswith("settings.hosts: got a setting that dockerd's command line has as well (fd://)")
    host.docker("run", "-d", "--rm", "--name", "fleeting", *SLEEPER)
    (error,) = engine(host, settings={"userland-proxy": False, "live-restore": True})["errors"]
    assert "(--rm): fleeting;" in error
    assert (said(host), state(host)) == (THEIRS, ({**before[0], "fleeting": True}, before[1]))


def test_a_stopped_engine_keeps_what_it_has_too(host):
    host("systemctl", "stop", "docker.socket", "docker.service")
    (error,) = engine(host, settings={"data-root": "/srv/elsewhere"})["errors"]
    assert "/srv/engine, where the engine has 2 containers (always, once), 1 volume, 1 image" in error
    done = engine(host, settings={"userland-proxy": False})
    assert (done["effect"], said(host)) == ("start", {**THEIRS, "userland-proxy": False})


def test_a_loss_that_is_asked_for_deletes_nothing(host):
    done = engine(host, settings={"data-root": "/srv/elsewhere"}, allow_loss=True)
    assert done["effect"] == "restart" and state(host)[0] == {}
    assert len(done["notes"]) == 0
    engine(host, settings={"data-root": "/srv/engine"}, allow_loss=True)
    assert sorted(state(host)[0]) == ["always", "once"]


def test_a_file_that_the_engine_does_not_start_with_is_put_back(host):
    failed = engine(host, settings={"userland-proxy": False, "no-such-setting": 1})
    assert failed["failed"] and "no-such-setting" in failed["msg"], failed
    assert said(host) == THEIRS
    wait(lambda: state(host)[0] == {"always": True, "once": True}, 90)
    assert "bulkhead" not in host("ls", "-A", "/etc/docker")


def test_a_run_that_was_cut_off_before_the_restart_is_finished_by_the_next_one(host):
    host.put(FILE, json.dumps({**THEIRS, "default-address-pools": POOLS}))
    host.put(FILE + ".bulkhead-pending", json.dumps({"action": "restart", "running": {}}))
    before = state(host)[1]
    done = engine(host, settings={"default-address-pools": POOLS})
    assert (done["changed"], done["keys"], done["effect"]) == (True, [], "restart")
    assert state(host)[1] != before
    assert engine(host, settings={"default-address-pools": POOLS})["changed"] is False


def test_the_role_takes_an_engine_that_apt_does_not_know(host):
    """As docker-ce's: a dockerd with a unit, while the package docker.io is not installed."""
    hide = "dpkg-divert --local --rename --divert /var/lib/dpkg/status.kept /nothing 2>/dev/null; "
    hide += "cp /var/lib/dpkg/status /root/status && sed -i 's/^Package: docker.io$/Package: docker-ce/' /var/lib/dpkg/status"
    host("sh", "-c", hide)
    try:
        (play,) = [Play(host.name, {**host.inventory(), **SITE}, role())]
        results = play.results()
    finally:
        host("cp", "/root/status", "/var/lib/dpkg/status")
    by_name = {task["name"].split(" : ")[-1]: result for task, result in results}
    configured = by_name["Configure the engine"]
    assert not configured.get("failed"), configured["msg"]
    assert configured["missing"] == []
    assert by_name["Install what is missing of the engine and its Python SDK"]["skipped"]
    assert said(host) == {**THEIRS, "userland-proxy": False}
    wait(lambda: state(host)[0] == {"always": True, "once": True}, 90)


def test_check_mode_needs_no_engine_and_the_run_does_what_it_said(hosts):
    """The last test: it takes the engine of the second host away, as on a fresh host. No package can be installed there."""
    host = hosts[1]
    host("sh", "-c", f"systemctl stop docker.socket docker.service; rm -rf /srv/engine {FILE}*")
    host("dpkg", "--purge", "--force-depends", "docker.io", "python3-docker")
    networks = [{"name": "shop", "driver": "bridge", "subnet": "10.60.1.0/24"}]
    tasks = [*role(), {"bulkhead.tiers.swarm_network": {"networks": networks}}]
    play = Play(host.name, {**host.inventory(), **SITE}, tasks, options=["--check", "--diff"])
    by_name = {task["name"].split(" : ")[-1]: result for task, result in play.results()}
    said = by_name["Configure the engine"]
    assert not said.get("failed"), said["msg"]
    assert said["changed"] and said["missing"] == ["docker.io", "python3-docker"]
    assert (said["engine"]["present"], said["effect"]) == (False, "start")
    made = by_name["bulkhead.tiers.swarm_network"]
    assert not made.get("failed") and made["created"] == ["shop"] and "10.60.1.0/24" in made["diff"]["after"]
    assert host("sh", "-c", f"ls {FILE} 2>&1", check=False).endswith("No such file or directory")
    done = engine(host, settings={"userland-proxy": False})
    assert (done["effect"], done["diff"]["after"]) == ("start", said["diff"]["after"])
    assert json.loads(host("cat", FILE)) == {"userland-proxy": False}


def role():
    return [
        {
            "ansible.builtin.include_role": {"name": "bulkhead.tiers.docker_engine"},
            "vars": {"docker_engine_address_pools": []},
        }
    ]
