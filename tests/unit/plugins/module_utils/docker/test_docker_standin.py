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
