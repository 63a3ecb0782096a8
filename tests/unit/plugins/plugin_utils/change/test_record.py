# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
import os
import pathlib
import stat
import subprocess

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change import record as records
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.change.judge import Judged, Told

JUDGED = Judged(
    (Told("opened", "web", "db", "ssh", "bulkhead_flows[0]", "", 2),),
    (Told("closed", "web", "db", "tcp 9", "", "", 2),),
    (),
    7,
    (),
    ("db1", "db\x1b[2J2"),
    4,
    {"db9": "no route"},
)
ABOUT = {
    "who": {"user": "ann", "controller": "admin1", "awx_user_name": "bob"},
    "site": "lab",
    "inventory": ["/srv/inventories/lab"],
    "revision": {"commit": "0123abc", "changed_since": True},
    "limit": "",
    "tags": [],
    "accepted": [],
    "planes_since": None,
    "proof_before": None,
}
PROOF = {"holds": True, "summary": "The isolation holds", "time": "2026-11-30T01:00:00Z"}


@pytest.fixture(name="folder")
def fixture_folder(tmp_path):
    return str(tmp_path / "reports" / "changes")


def read(path):
    return pathlib.Path(path).read_text(encoding="utf-8")


def record(result="begun", reason="CHG-1 | <b>", **more):
    return {**records.new_record(JUDGED, {"VLANs": (["web: VLAN 3"], [])}, reason, ABOUT), "result": result, **more}


def test_a_record_says_who_when_why_and_what(folder):
    path = records.write_record(folder, record())
    found = json.loads(read(path))
    assert found["who"]["awx_user_name"] == "bob" and found["why"] == "CHG-1 | <b>" and found["unchanged"] == 7
    assert found["opened"][0]["declared_by"] == "bulkhead_flows[0]" and found["closed"][0]["text"].startswith(
        "web -> db tcp 9"
    )
    assert found["planes"] == {"VLANs": {"new": ["web: VLAN 3"], "gone": []}}
    assert found["hosts"]["touched"] == ["db1", "db\\x1b[2J2"] and found["hosts"]["not_read"] == {"db9": "no route"}


def test_the_markdown_says_the_same_and_no_text_breaks_out_of_it(folder):
    path = records.write_record(folder, record())
    text = read(path.replace(".json", ".md"))
    assert "| why | CHG-1 \\| &lt;b&gt; |" in text and "## Opened" in text and "- web -&gt; db ssh, on 2 hosts" in text
    assert "0123abc, with changes that are not committed" in text and "\x1b" not in text


def test_records_are_their_owners_alone_and_stay_so(folder):
    path = records.write_record(folder, record())
    records.end_record(path, records.FINISHED, [])
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert {stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode) for name in os.listdir(folder)} == {0o600}


def test_two_records_of_one_second_are_two(folder):
    assert records.write_record(folder, record()) != records.write_record(folder, record())


def test_the_end_is_noted_with_the_hosts_that_did_not_finish(folder):
    path = records.write_record(folder, record())
    records.end_record(path, records.FAILED, ["db1"])
    found = records.read_json(path)
    assert (found["result"], found["hosts"]["not_finished"]) == ("failed", ["db1"]) and found["ended"]


def test_a_proof_is_noted_once_in_the_last_change_that_was_made(folder):
    old = records.write_record(folder, record("finished"), "20261130T010000Z-000001")
    last = records.write_record(folder, record("finished"), "20261130T020000Z-000002")
    for number, result in enumerate(("planned", "stopped")):
        records.write_record(folder, record(result), f"20261130T03000{number}Z-000003")
    assert records.note_proof(folder, PROOF) == last
    assert records.read_json(last)["proof_after"] == PROOF and records.read_json(old)["proof_after"] is None
    assert "The isolation holds (2026-11-30T01:00:00Z)" in read(last.replace(".json", ".md"))
    assert records.note_proof(folder, PROOF) is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"result": 5}', "[" * 100000])
def test_a_file_that_is_no_record_is_passed_over(folder, content):
    path = records.write_record(folder, record("finished"), "20261130T010000Z-000001")
    with open(os.path.join(folder, "20261130T990000Z-000009.json"), "w", encoding="utf-8") as file:
        file.write(content)
    assert records.note_proof(folder, PROOF) == path


def test_without_a_folder_there_is_nothing_to_note(folder):
    assert records.note_proof(folder, PROOF) is None


def test_a_folder_that_cannot_be_written_is_a_mistake_with_its_path(tmp_path):
    (tmp_path / "changes").mkdir()
    (tmp_path / "changes" / "x.json").mkdir()
    with pytest.raises(Refused, match="x.json: got Is a directory"):
        records.write_record(str(tmp_path / "changes"), record(), "x")


def test_the_verdict_of_the_last_proof_is_read(tmp_path):
    path = tmp_path / "proof.json"
    assert records.verdict_of(str(path)) is None
    path.write_text('{"holds": false, "summary": "not\\u001b proven"}')
    found = records.verdict_of(str(path))
    assert (found["holds"], found["summary"]) == (False, "not\\x1b proven") and found["time"].endswith("Z")
    path.write_text('{"holds": true, "static": {"holds": false}}')
    assert records.verdict_of(str(path))["holds"] is False
    path.write_text('{"holds": "yes"}')
    assert records.verdict_of(str(path)) is None


def test_the_revision_is_that_of_the_inventorys_repository(tmp_path):
    assert records.revision(str(tmp_path)) is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    (tmp_path / "hosts").write_text("a")
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    found = records.revision(str(tmp_path))
    assert len(found["commit"]) == 40 and found["changed_since"] is False
    (tmp_path / "hosts").write_text("b")
    assert records.revision(str(tmp_path))["changed_since"] is True


def test_who_is_the_user_here_and_the_one_of_awx(monkeypatch):
    monkeypatch.setenv("SUDO_USER", "ann")
    found = records.who({"awx_user_name": "bob\x1b[2J"})
    assert found["user"] and found["sudo_user"] == "ann" and found["awx_user_name"] == "bob\\x1b[2J"
