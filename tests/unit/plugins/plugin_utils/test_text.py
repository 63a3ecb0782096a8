"""plugin_utils/text: tables, counts, and files that are written whole or not at all."""

import json
import os
import stat

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils import text


@pytest.mark.parametrize(
    ("number", "noun", "plural", "expected"),
    [
        (0, "host", "", "0 hosts"),
        (1, "host", "", "1 host"),
        (2, "host", "", "2 hosts"),
        (12345, "probe", "", "12,345 probes"),
        (1, "entry", "entries", "1 entry"),
        (3, "entry", "entries", "3 entries"),
    ],
)
def test_a_count_has_the_right_form_of_its_noun(number, noun, plural, expected):
    assert text.count(number, noun, plural) == expected


@pytest.mark.parametrize(
    ("items", "expected"), [([], ""), (["a"], "a"), (["a", "b"], "a, b"), (["a", "b", "c", "d"], "a, b and 2 more")]
)
def test_of_many_names_the_first_are_shown_and_the_others_counted(items, expected):
    assert text.some(items, 2) == expected


def test_a_wrapped_text_breaks_no_name():
    name = "x-" * 30
    assert text.wrap(f"the network {name} overlaps", 20, "  ", "    ") == [
        "  the network",
        f"    {name}",
        "    overlaps",
    ]


def test_a_table_is_aligned_and_wraps_its_last_column():
    lines = list(text.table(["n", "name", "why"], [[1, "a", "x " * 20], [100, "long", ""]], 40, right=(0,)))
    assert lines == [
        "    n  name  why",
        "    1  a     " + " ".join("x" * 14),
        "             " + " ".join("x" * 6),
        "  100  long",
    ]


def test_a_table_wider_than_the_terminal_keeps_a_last_column_that_can_be_read():
    (_head, first, *_rest) = text.table(["name", "why"], [["n" * 80, "several words that say why"]], 60)
    assert first == f"  {'n' * 80}  several words that say"


def test_a_file_is_written_with_its_folders(tmp_path):
    path = tmp_path / "a" / "b" / "report.json"
    assert text.write_json(str(path), {"name": "Zürich"}) == str(path)
    assert json.loads(path.read_text(encoding="utf-8")) == {"name": "Zürich"}
    assert "Zürich" in path.read_text(encoding="utf-8")


def test_a_relative_path_starts_at_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert text.write_whole("one.txt", "text") == str(tmp_path / "one.txt")


def test_a_file_keeps_its_mode_and_a_new_one_follows_the_umask(tmp_path):
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text("before", encoding="utf-8")
    old.chmod(0o640)
    before = os.umask(0o027)
    try:
        text.write_whole(str(old), "after")
        text.write_whole(str(new), "after")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (old, new)] == [0o640, 0o640]
    assert old.read_text(encoding="utf-8") == "after"


def test_a_link_stays_a_link(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("before", encoding="utf-8")
    link.symlink_to(target)
    text.write_whole(str(link), "after")
    assert link.is_symlink() and target.read_text(encoding="utf-8") == "after"


@pytest.mark.parametrize("broken", ["fsync", "replace", "chmod"])
def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path, monkeypatch, broken):
    path = tmp_path / "pins.yml"
    path.write_text("before", encoding="utf-8")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, full)
    with pytest.raises(Refused) as error:
        text.write_whole(str(path), "after")
    (mistake,) = error.value.mistakes
    assert (mistake.path, mistake.got, mistake.kind) == (str(path), "No space left on device", "unwritable")
    assert [entry.name for entry in tmp_path.iterdir()] == ["pins.yml"]
    assert path.read_text(encoding="utf-8") == "before"


@pytest.mark.parametrize("place", ["folder", "file/report.json"])
def test_a_path_where_no_file_can_be_is_refused_with_its_name(tmp_path, place):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(Refused, match=f"^{tmp_path / place}: got .*; expected a file that can be written; "):
        text.write_whole(str(tmp_path / place), "text")
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.parametrize(
    "lines", [[], [""], ["a", "", "b"], ["x" * 90] * 50, ["é" * 700, "short", "y" * 3000], ["", "", ""]]
)
def test_a_text_in_pieces_is_the_text_and_no_piece_is_longer_than_awx_shows(lines):
    whole = "\n".join(lines)
    found = list(text.pieces(whole))
    assert "\n".join(found) == whole
    assert all(len(piece.encode()) < 1024 or "\n" not in piece for piece in found)
    # Not a piece for each line either.
    assert len(found) <= 2 + len(whole.encode()) // 480
