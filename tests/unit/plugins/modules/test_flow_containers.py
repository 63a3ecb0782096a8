from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.bulkhead.tiers.plugins.action import flow_containers as action
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.containers import EngineError
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import Job
from ansible_collections.bulkhead.tiers.plugins.modules import flow_containers

KEY = "0123456789abcdef" * 4
JOB = {"inside": "4f2a", "id": "1", "proto": "tcp", "dest": "172.26.1.3", "port": 80, "host": "a1/web"}


def main(capsys, **arguments):
    with patch_module_args({"token": "run", **arguments}), pytest.raises(SystemExit):
        flow_containers.main()
    return json.loads(capsys.readouterr().out)


def test_listen_asks_for_each_port_once_and_shows_no_key(capsys, monkeypatch):
    made = []
    monkeypatch.setattr(flow_containers, "listen", lambda *asked: made.append(asked) or {"containers": [], "more": 0})
    port = {"proto": "tcp", "port": 80}
    said = main(capsys, mode="listen", name="a1", key=KEY, networks=["front"], listen=[port, port], ttl=9)
    assert made == [("run", "a1", bytes.fromhex(KEY), 9, ["front"], [("tcp", 80)])]
    assert said["changed"] is False and said["containers"] == [] and KEY not in json.dumps(said)


@pytest.mark.parametrize("check_mode", [False, True])
def test_probes_are_sent_by_container_in_check_mode_too(capsys, monkeypatch, check_mode):
    made = []
    monkeypatch.setattr(flow_containers, "probe_in", lambda *asked: made.append(asked) or [])
    jobs = [JOB, {**JOB, "id": "2", "inside": "77aa"}, {**JOB, "id": "3"}]
    assert main(capsys, mode="probe", jobs=jobs, _ansible_check_mode=check_mode)["results"] == []
    ((by_container, token, timeout),) = made
    assert {one: [job.id for job in asked] for one, asked in by_container.items()} == {
        "4f2a": ["1", "3"],
        "77aa": ["2"],
    }
    assert by_container["4f2a"][0] == Job("1", "tcp", "172.26.1.3", 80, host="a1/web") and (token, timeout) == (
        "run",
        3.2,
    )


def test_an_engine_that_does_not_answer_is_a_failure_in_its_words(capsys, monkeypatch):
    def fail(*_asked):
        raise EngineError("the Docker Engine did not answer /containers/json: timed out")

    monkeypatch.setattr(flow_containers, "listen", fail)
    said = main(capsys, mode="listen", name="a1", key=KEY)
    assert said["failed"] and said["msg"] == "the Docker Engine did not answer /containers/json: timed out"


def test_wrong_arguments_are_told_all_at_once_before_any_host_is_asked():
    plugin = action.ActionModule.__new__(action.ActionModule)
    jobs = [JOB, {**JOB, "port": 0, "dest": "web"}]
    plugin._task = SimpleNamespace(
        args={"token": "two words", "mode": "listen", "name": "a", "key": "no", "jobs": jobs}
    )
    said = plugin.run()
    assert said["failed"]
    for text in (
        "key: got something else",
        "jobs[1].port: got 0",
        "jobs[1].dest: got web",
        "jobs: got an id twice",
        "token: got",
    ):
        assert text in said["msg"]
