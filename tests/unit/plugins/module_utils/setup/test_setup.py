# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.bulkhead.tiers.plugins.action import host_setup as action
from ansible_collections.bulkhead.tiers.plugins.module_utils.setup.blocks import with_block
from ansible_collections.bulkhead.tiers.plugins.module_utils.setup.packages import missing_packages
from ansible_collections.bulkhead.tiers.plugins.modules import host_setup

MARKER = "# {mark} ansible"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "# BEGIN ansible\na\nb\n# END ansible\n"),
        ("theirs", "theirs\n# BEGIN ansible\na\nb\n# END ansible\n"),
        ("x\n# BEGIN ansible\nold\n# END ansible\ny\n", "x\n# BEGIN ansible\na\nb\n# END ansible\ny\n"),
        ("# BEGIN ansible\ny\n", "# BEGIN ansible\na\nb\n# END ansible\ny\n"),
    ],
    ids=["no file", "a file of theirs", "an older block", "a block without its end"],
)
def test_a_block_takes_the_place_of_the_one_before_and_leaves_what_is_around_it(before, after):
    assert with_block(before, "a\nb\n", MARKER) == after
    assert with_block(after, "a\nb", MARKER) == after


@pytest.mark.parametrize(
    ("out", "missing"),
    [
        ("ufw installed\nrsyslog installed\n", []),
        ("ufw config-files\nrsyslog:amd64 installed\n", ["ufw"]),
        ("", ["ufw", "rsyslog"]),
    ],
)
def test_what_is_missing_is_what_dpkg_does_not_call_installed(out, missing):
    assert missing_packages(lambda _argv: (1, out, "no packages found"), ["ufw", "rsyslog"]) == missing


@pytest.fixture(name="run")
def fixture_run(monkeypatch, capsys, tmp_path):
    """The module, on a host that has some packages; its answer."""

    def run(installed=(), check=False, **arguments):
        out = "".join(f"{name} installed\n" for name in installed)

        def command(_self, argv, **_options):
            return (0, out, "") if argv[0] == "dpkg-query" else (argv.endswith("bad"), "", "it is bad")

        monkeypatch.setattr(host_setup.AnsibleModule, "run_command", command)
        with patch_module_args({**arguments, "_ansible_check_mode": check, "_ansible_remote_tmp": str(tmp_path)}):
            with pytest.raises(SystemExit):
                host_setup.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_a_file_is_written_once_and_check_mode_foresees_it(run, tmp_path):
    path = tmp_path / "conf"
    wish = {"packages": ["ufw"], "files": [{"path": str(path), "block": "a", "marker": MARKER, "mode": "0640"}]}
    foreseen = run(["ufw"], True, **wish)
    assert foreseen["changed"] and not path.exists()
    done = run(["ufw"], **wish)
    assert (done["files"], done["diff"]) == (foreseen["files"], foreseen["diff"]) and done["changed"]
    assert path.read_text() == "# BEGIN ansible\na\n# END ansible\n" and path.stat().st_mode & 0o777 == 0o640
    assert not run(["ufw"], **wish)["changed"]
    path.chmod(0o600)
    assert run(["ufw"], **wish)["files"] == [str(path)] and path.stat().st_mode & 0o777 == 0o640


def test_files_wait_for_the_packages_and_check_mode_takes_those_for_installed(run, tmp_path):
    wish = {"packages": ["ufw"], "files": [{"path": str(tmp_path / "conf"), "block": "a", "marker": MARKER}]}
    foreseen = run([], True, **wish)
    assert foreseen["missing"] == ["ufw"] and foreseen["files"] and foreseen["changed"]
    assert "ufw: installed" in foreseen["diff"][0]["after"]
    waiting = run([], **wish)
    assert waiting["missing"] == ["ufw"] and not waiting["files"] and not (tmp_path / "conf").exists()


def test_a_file_that_its_check_does_not_pass_leaves_the_old_one(run, tmp_path):
    path = tmp_path / "conf"
    path.write_text("theirs\n")
    said = run(files=[{"path": str(path), "block": "a", "marker": MARKER, "validate": "check %s bad"}])
    assert said["failed"] and "it is bad" in said["msg"] and path.read_text() == "theirs\n"
    folder = run(files=[{"path": str(tmp_path), "block": "a", "marker": MARKER}])
    assert folder["failed"] and f"{tmp_path}: got Is a directory" in folder["msg"]


SEEN = {"invocation": {}, "changed": False}


@pytest.fixture(name="act")
def fixture_act(monkeypatch):
    """The action on a host that answers in this order; (result, [modules that were run])."""

    def act(*answers, check=False):
        left, calls = list(answers), []
        plugin = action.ActionModule.__new__(action.ActionModule)
        plugin._task = SimpleNamespace(args={"packages": ["ufw"]}, check_mode=check)

        def execute(module_name, module_args, task_vars):
            calls.append((module_name.rpartition(".")[2], module_args.get("update_cache")))
            return left.pop(0)

        plugin._execute_module = execute
        monkeypatch.setattr(action.ActionBase, "run", lambda self, tmp, task_vars: {})
        return plugin.run(task_vars={"inventory_hostname": "web1"}), calls

    return act


def test_a_host_that_has_everything_is_asked_once(act):
    result, calls = act({**SEEN, "missing": []})
    assert calls == [("host_setup", None)] and not result["changed"]


def test_apt_is_asked_for_what_is_missing_with_fresh_lists_where_it_finds_nothing(act):
    lacks, there = {**SEEN, "missing": ["ufw"]}, {**SEEN, "missing": [], "changed": True, "diff": [{"after": "conf"}]}
    result, calls = act(lacks, {"failed": True, "msg": "No package"}, {"changed": True}, there)
    assert calls == [("host_setup", None), ("apt", None), ("apt", True), ("host_setup", None)]
    assert result["changed"] and result["missing"] == ["ufw"] and len(result["diff"]) == 2
    assert act(lacks, check=True)[1] == [("host_setup", None)]


@pytest.mark.parametrize(
    ("answers", "words", "unsaid"),
    [
        ([{"failed": True, "msg": "sudo: a password is required"}], "apt was not asked", "apt mirror"),
        ([{**SEEN, "missing": ["ufw"]}, *[{"failed": True, "msg": "No package"}] * 2], "apt mirror", "become"),
        ([{**SEEN, "failed": True, "msg": "conf: it is bad"}], "conf: it is bad", "apt"),
    ],
    ids=["the module was not run", "apt has none", "a file is refused"],
)
def test_a_failure_is_put_down_to_its_reason(act, answers, words, unsaid):
    result, _calls = act(*answers)
    assert result["failed"] and words in result["msg"] and unsaid not in result["msg"]
