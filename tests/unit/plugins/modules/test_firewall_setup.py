# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.bulkhead.tiers.plugins.module_utils import patience
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.guard import Guard
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.system import CHANGE
from ansible_collections.bulkhead.tiers.plugins.modules import firewall_setup
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.ufw.fake import FakeHost

RULESET = {"state": "enabled", "purge": True, "rules": [{"rule": "allow", "proto": "tcp", "to_port": "22"}]}
WISH = {
    "default": None,
    "logging": None,
    "ipv6": None,
    "confirm": {"timeout": 0},
    **RULESET,
}


@pytest.fixture(name="host")
def fixture_host(tmp_path, monkeypatch):
    host = FakeHost(tmp_path)
    monkeypatch.setattr(firewall_setup, "Host", lambda: host)
    return host


@pytest.fixture(name="run")
def fixture_run(monkeypatch, capsys, tmp_path):
    def run(installed=("ufw",), **arguments):
        out = "".join(f"{name} installed\n" for name in installed)
        monkeypatch.setattr(firewall_setup.AnsibleModule, "run_command", lambda *_any, **_more: (0, out, ""))
        with patch_module_args({"packages": ["ufw"], **arguments, "_ansible_remote_tmp": str(tmp_path)}):
            with pytest.raises(SystemExit):
                firewall_setup.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_it_says_whether_the_ruleset_is_as_it_should_be_and_changes_none(run, host):
    before = host.file("/etc/ufw/user.rules").read_text()
    assert run(ruleset=RULESET)["ruleset"] == {"changed": False, "same": False}
    assert host.file("/etc/ufw/user.rules").read_text() == before
    converge(host, WISH, False)
    said = run(ruleset=RULESET)
    assert said["ruleset"]["same"] is True and said["changed"] is False


def test_a_host_without_its_packages_is_not_asked_for_its_ruleset(run, host):
    assert run(installed=(), ruleset=RULESET)["ruleset"] is None


def test_files_that_come_later_are_compared_and_not_written(run, host, tmp_path):
    path = tmp_path / "later"
    wish = {"path": str(path), "block": "a", "marker": "# {mark}"}
    said = run(ruleset=RULESET, after=[wish])
    assert (said["after"], said["changed"], said["files"]) == (False, False, []) and not path.exists()
    run(ruleset=RULESET, files=[wish])
    assert run(ruleset=RULESET, after=[wish])["after"] is True
    path.chmod(0o600)
    assert run(ruleset=RULESET, after=[wish])["after"] is False


@pytest.mark.parametrize(
    "ruleset",
    [{**RULESET, "logging": "loud"}, {**RULESET, "rules": [{"rule": "let"}]}, {**RULESET, "policy": "deny"}],
    ids=["an argument", "a rule", "an option that there is none of"],
)
def test_what_is_wrong_with_a_ruleset_is_left_to_its_own_task(run, host, ruleset):
    said = run(ruleset=ruleset)
    assert said["ruleset"] is None and not said.get("failed")


def test_to_look_changes_nothing_and_reads_what_decides_where_packets_go(run, host, tmp_path):
    path = tmp_path / "now"
    wish = {"path": str(path), "block": "a", "marker": "# {mark}"}
    said = run(ruleset=RULESET, files=[wish], look=True)
    assert said["changed"] is False and said["setup"]["files"] == [str(path)] and not path.exists()
    assert said["setup"]["ruleset"] == {"changed": False, "same": False}
    assert set(said["netfilter"]) == {"printed", "settings", "speeds"}


def test_to_look_waits_for_a_change_that_may_be_rolled_back(run, host, monkeypatch):
    warnings, before = [], host.tables[4].save()
    monkeypatch.setattr(firewall_setup.AnsibleModule, "warn", lambda _module, text: warnings.append(text))
    converge(host, {**WISH, "confirm": {"timeout": 20}}, False)
    guard = Guard(host.root, host.run)
    monkeypatch.setattr(patience, "time", SimpleNamespace(sleep=lambda seconds: guard.settle("too late")))
    monkeypatch.setattr(firewall_setup, "read_netfilter", lambda module: {"printed": host.tables[4].save()})
    said = run(ruleset=RULESET, look=True)
    assert said["netfilter"]["printed"] == before
    assert warnings == ["waited 0 s for another change, which was settled"]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"token": "a"}', '{"token": "a", "deadline": "x"}', '{"token": "a", "deadline": -1e9}']
)
def test_a_change_that_is_none_is_not_waited_for(run, host, text):
    path = host.file(CHANGE)
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert run(ruleset=RULESET, look=True)["netfilter"]["printed"]


def test_where_to_look_at_its_setup_fails_a_host_is_read_all_the_same(run, tmp_path):
    wish = {"path": str(tmp_path), "block": "a", "marker": "# {mark}"}
    said = run(ruleset=RULESET, files=[wish], look=True)
    assert said["setup"] is None and said["netfilter"]["printed"]
