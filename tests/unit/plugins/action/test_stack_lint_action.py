"""stack_lint's action: files are read here, the engine where the host is."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

CHECKOUT = pathlib.Path(__file__).parents[4]
BAD = "services: {db: {image: 'redis:7', networks: [public]}}\nnetworks: {public: {name: net-public}}\n"
PLAY = """
- hosts: all
  gather_facts: false
  tasks:
    - bulkhead.tiers.stack_lint: %s
      register: result
      ignore_errors: true
    - ansible.builtin.copy:
        content: "{{ result | to_json }}"
        dest: %s/result.json
      delegate_to: localhost
      vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
"""


@pytest.fixture(name="play")
def fixture_play(tmp_path):
    def run(inventory="far ansible_host=192.0.2.1 ansible_connection=ssh", **arguments):
        (tmp_path / "play.yml").write_text(PLAY % (json.dumps(arguments), tmp_path))
        (tmp_path / "hosts").write_text(inventory)
        (tmp_path / "shop.yml").write_text(BAD)
        subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", "-i", tmp_path / "hosts", tmp_path / "play.yml"],
            cwd=CHECKOUT,
            check=True,
            capture_output=True,
        )
        return json.loads((tmp_path / "result.json").read_text())

    return run


def test_files_are_linted_without_a_connection_to_the_host(play, tmp_path):
    result = play(stacks=[{"name": "shop", "files": ["shop.yml"]}], directory=str(tmp_path))
    assert result["failed"] and [item["rule"] for item in result["findings"]] == ["BT001"]
    assert result["msg"].startswith("The stacks do not keep the rules: 1 error")


def test_what_runs_is_read_on_the_host(play):
    local = f"near ansible_connection=local ansible_python_interpreter={sys.executable}"
    result = play(local, running=True, docker_host="unix:///nowhere.sock")
    assert result["failed"] and "unix:///nowhere.sock did not answer" in result["msg"]


def test_wrong_arguments_fail_before_anything_is_read(play):
    assert "networks.a: got 1" in play(networks={"a": 1})["msg"]


@pytest.mark.parametrize("name", ["{tmp}/secret", "reports/../secret", "{tmp}/reports/link", "reports"])
def test_a_report_is_written_below_its_directory_and_nowhere_else(play, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_text("the controller's")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "link").symlink_to(secret)
    stacks = [{"name": "shop", "files": ["shop.yml"]}]
    where = {"directory": str(tmp_path), "sarif_directory": str(tmp_path / "reports")}
    result = play(stacks=stacks, sarif=name.format(tmp=tmp_path), **where)
    assert result["failed"] and result["msg"].startswith("report: got ") and "findings" not in result
    assert secret.read_text() == "the controller's"
    assert play(stacks=stacks, sarif=str(tmp_path / "reports" / "new" / "x.sarif"), **where)["failed"]
    assert json.loads((tmp_path / "reports" / "new" / "x.sarif").read_text())["runs"]
