# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""docker_engine_config where no engine runs, and what forbids a change. With real engines: tests/integration/test_docker_engine_config.py."""

from __future__ import annotations

import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import daemon_apply, daemon_host
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.daemon_file import Holdings
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.daemon_host import Daemon, EngineTrouble, State
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused


@pytest.fixture(name="host")
def fixture_host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


class Host:
    """A host whose engine is what ``daemon`` and ``state`` say; ``done`` are the restarts and reloads."""

    def __init__(self, tmp_path, monkeypatch):
        self.file = tmp_path / "etc" / "daemon.json"
        self.daemon, self.state = Daemon(config=str(self.file)), State()
        self.done, self.copies, self.removes, self.trouble, self.verdict = [], [], [], [], ""
        for name, value in {
            "find_daemon": lambda run: self.daemon,
            "read_state": lambda api: self.state,
            "displaced": lambda run, packages: self.removes,
            "await_live_restore": lambda api: self.done.append("live-restore is on"),
            "bring_over": self._bring_over,
            "validate": lambda run, daemon, path: self.verdict,
        }.items():
            monkeypatch.setattr(daemon_host, name, value)

    def _bring_over(self, run, daemon, api, action, running):
        self.done.append((action, sorted(running)))
        if self.trouble:
            raise EngineTrouble(self.trouble.pop(0))
        return []

    def runs(self, text, **state):
        self.file.parent.mkdir(exist_ok=True)
        self.file.write_text(text)
        self.daemon = Daemon("/usr/bin/dockerd", "docker.service", 4711, str(self.file))
        self.state = State(**state)

    def apply(self, check=False, allow_loss=False, **settings):
        settings = {key.replace("_", "-"): value for key, value in settings.items()}
        params = {"settings": settings, "allow_loss": allow_loss}
        return daemon_apply.configure(lambda argv: (0, "", ""), params, check, self.copies.append)

    def pending(self):
        return self.file.with_name("daemon.json.bulkhead-pending")


def test_a_host_without_an_engine_gets_the_file_that_its_first_start_reads(host):
    foreseen = host.apply(check=True, bip="10.0.0.1/24")
    assert not host.file.parent.exists()
    done = host.apply(bip="10.0.0.1/24")
    assert done == foreseen and done["changed"] and done["effect"] == "start" and done["diff"]["before"] == ""
    assert json.loads(host.file.read_text()) == {"bip": "10.0.0.1/24"} and host.file.stat().st_mode & 0o777 == 0o644
    again = host.apply(bip="10.0.0.1/24")
    assert not again["changed"] and again["effect"] == "none" and host.done == host.copies == []
    assert not host.pending().exists()


def test_a_file_that_says_it_all_is_not_touched_and_the_engine_not_asked(host):
    host.runs('{"bip":"10.0.0.1/24",   "x":1}')
    host.state = None
    assert not host.apply(bip="10.0.0.1/24")["changed"]
    assert host.file.read_text() == '{"bip":"10.0.0.1/24",   "x":1}'


def test_the_former_file_is_kept_as_a_copy_with_its_mode(host):
    host.runs('{"debug": true}')
    host.file.chmod(0o600)
    host.apply(bip="10.0.0.1/24")
    assert host.copies == [str(host.file)] and host.file.stat().st_mode & 0o777 == 0o600


def test_a_link_of_a_configuration_management_stays_a_link(host, tmp_path):
    host.runs("{}")
    real = tmp_path / "real.json"
    host.file.rename(real)
    host.file.symlink_to(real)
    host.daemon = Daemon("/usr/bin/dockerd", "docker.service", 0, daemon_host.os.path.realpath(host.file))
    host.apply(bip="10.0.0.1/24")
    assert host.file.is_symlink() and "bip" in real.read_text()


def test_live_restore_is_switched_on_before_a_restart_needs_it(host):
    host.runs("{}", running={"1": "web"})
    assert host.apply(bip="10.0.0.1/24", live_restore=True)["stopped_meanwhile"] == []
    assert host.done == [("reload", []), "live-restore is on", ("restart", ["1"])]


def test_live_restore_that_is_switched_off_saves_no_container(host):
    host.runs('{"live-restore": true}', survives=True, running={"1": "web"})
    assert host.apply(bip="10.0.0.1/24", live_restore=False)["stopped_meanwhile"] == ["web"]


def test_a_container_that_ends_with_the_engine_for_good_forbids_its_restart_alone(host):
    """Even with live-restore: Engine 20.10 removes it at its next start."""
    host.runs('{"live-restore": true}', survives=True, running={"1": "web"}, fleeting=("job",))
    with pytest.raises(Refused, match=r"\(--rm\): job"):
        host.apply(bip="10.0.0.1/24")
    assert host.apply(debug=True)["effect"] == "reload"
    assert host.apply(allow_loss=True, bip="10.0.0.1/24")["stopped_meanwhile"] == []


def test_a_node_of_a_swarm_gets_no_live_restore(host):
    host.runs("{}", has=Holdings(swarm=True))
    with pytest.raises(Refused, match="a node of a Swarm"):
        host.apply(live_restore=True)


def test_an_engine_that_no_unit_runs_is_reloaded_but_not_restarted(host):
    host.runs("{}")
    host.daemon = Daemon("/opt/dockerd", "", 4711, str(host.file))
    done = host.apply(debug=True)
    # The role has no unit to start, and needs none.
    assert done["effect"] == "reload" and done["engine"] == {
        "present": True,
        "running": True,
        "enabled": False,
        "unit": "",
    }
    with pytest.raises(Refused, match="no systemd unit runs"):
        host.apply(bip="10.0.0.1/24")


def test_an_installation_that_removes_a_package_is_refused(host):
    host.removes = ["containerd.io"]
    with pytest.raises(Refused, match="would remove containerd.io; expected one where it removes nothing"):
        host.apply(check=True)


def test_settings_that_dockerd_refuses_are_not_written(host):
    host.runs("{}")
    host.verdict = "unknown directive"
    with pytest.raises(EngineTrouble, match="nothing was changed: unknown directive"):
        host.apply(bip="x")
    assert host.file.read_text() == "{}" and [path.name for path in host.file.parent.iterdir()] == ["daemon.json"]


@pytest.mark.parametrize("old", ['{"debug": true}', None])
def test_a_file_that_the_engine_does_not_start_with_is_put_back(host, old):
    host.runs(old or "")
    if old is None:
        host.file.unlink()
    host.trouble = ["it died"]
    with pytest.raises(EngineTrouble, match="it died.*again as it was, and the engine runs with it"):
        host.apply(bip="x")
    assert (host.file.read_text() if host.file.exists() else None) == old and not host.pending().exists()


def test_an_engine_that_does_not_come_back_at_all_is_said_and_tried_again_by_the_next_run(host):
    host.runs("{}")
    host.trouble = ["it died", "and again"]
    with pytest.raises(EngineTrouble, match="does not start with it either: and again"):
        host.apply(bip="x")
    assert host.pending().exists()


def test_a_run_that_was_cut_off_before_the_restart_is_finished_by_the_next_one(host):
    host.runs('{"bip": "10.0.0.1/24"}')
    host.pending().write_text(json.dumps({"action": "restart", "running": {"1": "web"}}))
    assert host.apply(check=True, bip="10.0.0.1/24")["effect"] == "restart" and host.done == []
    assert host.apply(bip="10.0.0.1/24")["changed"] and host.done == [("restart", ["1"])]
    assert not host.apply(bip="10.0.0.1/24")["changed"]


def test_the_next_run_has_back_what_ran_before_a_restart_that_was_cut_off(host):
    """The engine did not come up: it says of no container any more that it runs."""
    host.runs("{}", running={"1": "web"})
    host.trouble = ["it died", "and again"]
    with pytest.raises(EngineTrouble):
        host.apply(bip="10.0.0.1/24")
    host.state = State()
    assert host.apply(bip="10.0.0.1/24")["stopped_meanwhile"] == ["web"] and host.done[-1] == ("restart", ["1"])


def test_a_pending_restart_that_would_lose_containers_is_refused_too(host):
    host.runs('{"data-root": "/new"}', has=Holdings("/old", containers=("db",)))
    host.pending().write_text("no JSON")
    with pytest.raises(Refused, match="1 container"):
        host.apply()


def test_a_loss_that_is_allowed_lets_no_other_mistake_through(host):
    host.runs("{}", has=Holdings("/var/lib/docker", swarm=True, containers=("db",)))
    host.daemon = Daemon("/opt/dockerd", "", 4711, str(host.file), {"hosts": ["fd://"]})
    with pytest.raises(Refused) as refused:
        host.apply(allow_loss=True, data_root="/new", hosts=["unix:///x"], live_restore=True)
    paths = [mistake.path for mistake in refused.value.mistakes]
    assert paths == ["settings.hosts", "settings.live-restore", "settings.data-root"]
    assert "no systemd unit runs" in str(refused.value) and "where the engine has" not in str(refused.value)
