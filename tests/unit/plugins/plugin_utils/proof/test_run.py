from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Record, Run, Step

RECORD = Record(
    seed="1",
    outside="outside",
    began=1.5,
    declaration="d",
    limit="a,b",
    members={"a": Member("a", Part.TIER, ("plant",)), "x": Member("x", Part.NONE, groups=("other",))},
    left_out=("x",),
    trouble={"a": "why"},
)


@pytest.fixture(name="run")
def fixture_run(tmp_path):
    return Run.begin(str(tmp_path), RECORD)


def test_what_one_step_keeps_the_others_read(run, tmp_path):
    run.keep(Step.LIVE, "../a host/", {"active": True})
    again = Run(str(tmp_path), run.id)
    assert again.kept(Step.LIVE, "../a host/") == {"active": True}
    assert again.kept(Step.PROBED, "../a host/") is None and again.kept(Step.LIVE, "another") is None
    assert again.record == RECORD


def test_only_this_user_can_read_it(run, tmp_path):
    run.keep(Step.LIVE, "a", {})
    (folder,) = tmp_path.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(os.stat(folder / name).st_mode) for name in os.listdir(folder)} == {0o600}


def test_each_listener_of_each_run_has_a_key_of_its_own(run, tmp_path):
    other = Run.begin(str(tmp_path), RECORD)
    keys = [one.key_of(host) for one in (run, other) for host in ("a", "b")]
    assert len(set(keys)) == 4 and {len(key) for key in keys} == {32}
    assert Run(str(tmp_path), run.id).key_of("a") == keys[0]
    assert run.id not in keys[0].hex()


@pytest.mark.parametrize("name", ["", "../../etc", "0123456789abcde", "0123456789ABCDEF", "0123456789abcdef\n"])
def test_a_run_has_no_other_name_than_it_was_given(tmp_path, name):
    with pytest.raises(ValueError, match="expected what the step begin returned"):
        Run(str(tmp_path), name)
