"""The stand-in behaves as the engines that it was recorded from."""

from __future__ import annotations

import copy
import json

import pytest

from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.docker.standin import (
    VERSIONS,
    StandIn,
    transcript,
)


def comparable(answer, renamed):
    """An answer as text, with ids in the order of their appearance and without times and VXLAN ids."""
    if isinstance(answer, list):
        answer = sorted(copy.deepcopy(answer), key=lambda item: item["Name"])
        for network in answer:
            network.update(Created="", Id=renamed.get(network["Id"], network["Id"]))
            network["Options"] = {k: v for k, v in (network["Options"] or {}).items() if "vxlanid" not in k}
            network["Labels"] = network["Labels"] or {}
            if not network["Containers"]:
                network["Containers"] = None
    text = json.dumps(answer, sort_keys=True)
    for old, new in renamed.items():
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("scene", ["outside", "manager", "worker", "leaderless"])
def test_recorded_calls_get_the_recorded_answers(tmp_path, version, scene):
    engine = StandIn(tmp_path, version, scene)
    renamed, new_ids = {}, {}
    with engine:
        for call in transcript(version)[scene]:
            path = call["path"]
            for theirs, ours in new_ids.items():
                path = path.replace(theirs, ours)
            status, answer = engine.answer(call["method"], path, call["body"])
            if status == 201:
                new_ids[call["answer"]["Id"]] = answer["Id"]
                renamed[answer["Id"]] = call["answer"]["Id"]
            # What a network's own pool of the engine's choice is depends on everything that was made before.
            if path == "/networks" and any(network["Name"].endswith("-auto") for network in answer):
                answer = [network for network in answer if not network["Name"].endswith("-auto")]
                call["answer"] = [network for network in call["answer"] if not network["Name"].endswith("-auto")]
            assert status == call["status"], call
            assert comparable(answer, renamed) == comparable(call["answer"], renamed), call


def made(engine, calls):
    """Make the networks of recorded calls; {recorded id: id}."""
    return {call["answer"]["Id"]: engine.answer(call["method"], call["path"], call["body"])[1]["Id"] for call in calls}


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_migration_asks_for_gets_the_recorded_answers(tmp_path, version):
    """The recorded calls in their order, on the recorded service and containers."""
    calls = transcript(version)["move"]
    with StandIn(tmp_path, version) as engine:
        renamed = made(engine, calls[:2])
        engine.populate("ov-from")
        connected = []
        for call in calls[2:-1]:
            path, body = json.loads(_renamed([call["path"], call["body"]], renamed))
            status, answer = engine.answer(call["method"], path, body)
            assert status == call["status"], call
            if status >= 400:
                assert answer == call["answer"]
            elif path.startswith("/containers/") and "all=1" not in path:
                places = [
                    (name, end["Aliases"], end["DriverOpts"], end["IPAMConfig"] is not None)
                    for name, end in sorted(answer["NetworkSettings"]["Networks"].items())
                ]
                connected.append((answer["Name"], len(places)))
                theirs = call["answer"]["NetworkSettings"]["Networks"]
                assert len(theirs) == len(places)
            elif path == "/containers/json?all=1":
                for container in call["answer"] + answer:
                    for end in container["NetworkSettings"]["Networks"].values():
                        assert not end["Aliases"] and not end["DriverOpts"]
        assert {name for name, count in connected} == {"/static", "/dynamic", "/stopped", "/new"}
        engine.services.clear()
        assert engine.answer(calls[-1]["method"], calls[-1]["path"], None) == (404, calls[-1]["answer"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_stopped_containers_overlays_that_the_engine_does_not_know_are_found_by_the_word_alone(tmp_path, version):
    """The recorded calls in their order. What each leaves of the container's endpoints is compared, too."""
    calls = transcript(version)["unknown"]
    with StandIn(tmp_path, version) as engine:
        renamed = made(engine, calls[:2])
        engine.containers = json.loads(_renamed(calls[2]["answer"], renamed))
        engine.unknown = {"ov-from", "ov-to"}
        endings = [call["status"] for call in calls if call["path"].endswith("/disconnect")]
        assert endings == [500, 200, 200, 500, 500]
        for call in calls[3:]:
            if call is calls[-4]:  # a running container has brought it
                engine.unknown = {"ov-from"}
            path, body = json.loads(_renamed([call["path"], call["body"]], renamed))
            status, answer = engine.answer(call["method"], path, body)
            assert status == call["status"], call
            if status >= 400:
                assert answer == json.loads(_renamed(call["answer"], renamed))
            elif call["method"] == "GET":
                theirs = json.loads(_renamed(call["answer"]["NetworkSettings"]["Networks"], renamed))
                ours = answer["NetworkSettings"]["Networks"]
                assert {key: end["NetworkID"] for key, end in ours.items()} == {
                    key: end["NetworkID"] for key, end in theirs.items()
                }, call


def _renamed(answer, renamed) -> str:
    text = json.dumps(answer)
    for theirs, ours in renamed.items():
        text = text.replace(theirs, ours)
    return text
