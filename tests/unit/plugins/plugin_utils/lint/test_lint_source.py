"""YAML that is there to be expensive, deep or wrong: one message, and the other stacks are checked all the same."""

from __future__ import annotations

import json

import pytest
import yaml

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint import source
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.sarif import as_sarif, write_sarif
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.source import (
    MOST_NESTED,
    MOST_NODES,
    MOST_WAIVERS,
    NotCompose,
    Source,
)
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import lint, rules

GOOD = "services: {db: {image: redis:7, network_mode: host}}\n"
SERVICE = "services: {a: {image: x, network_mode: none, %s}}\n"


def bomb(anchors, key="a", width=2):
    """Lines of anchors that each stand for `width` times the one before."""
    lines = [f"x-0: &{key}0 {{v: x}}"]
    for number in range(1, anchors):
        inner = ", ".join(f"k{index}: *{key}{number - 1}" for index in range(width))
        lines.append(f"x-{key}{number}: &{key}{number} {{{inner}}}")
    return "\n".join(lines) + "\n"


HOSTILE = {
    "lists in lists": (SERVICE % f"x-a: {'[' * 400}{']' * 400}", "nested more than"),
    "lists deep in lists": (SERVICE % f"x-a: {'[' * 5000}{']' * 5000}", ""),
    "mappings in mappings": (SERVICE % f"x-a: {'{a: ' * 5000}{'}' * 5000}", "nested more than"),
    "blocks in blocks": (
        "services:\n" + "".join(f"{' ' * depth}a{depth}:\n" for depth in range(1, 400)),
        "nested more",
    ),
    "lists without an end": (SERVICE % f"x-a: {'[' * 20000}", ""),
    "an alias bomb in a service": (bomb(40) + "services: {a: {image: x, deploy: *a39}}\n", "the aliases in services"),
    "a wide alias bomb": (bomb(12, width=9) + "services: {a: {labels: *a11}}\n", "the aliases in services"),
    "an alias bomb under extends": (
        bomb(40) + "services:\n  b: {image: x, deploy: *a39}\n  a: {extends: b, deploy: *a39}\n",
        "the aliases in services",
    ),
    "an alias bomb in networks": (bomb(40) + "services: {}\nnetworks: {n: {ipam: *a39}}\n", "the aliases in networks"),
    "deep aliases": (bomb(3000, width=1) + "services: {a: {image: x, deploy: *a2999}}\n", "nested more than"),
    "aliases of merge keys": (
        "x-0: &a0 {a: x}\n"
        + "".join(f"x-{number}: &a{number} {{<<: *a{number - 1}, k{number}: x}}\n" for number in range(1, 2000))
        + "services: {}\n",
        f"more than {MOST_NODES:,} values",
    ),
    "many values": ("services: {}\nx-a: [" + "1," * (MOST_NODES + 1) + "]\n", f"more than {MOST_NODES:,} values"),
    "many waivers": (
        "services:\n  a:\n    network_mode: none\n    command:\n" + "      - x # bulkhead: allow BT001 -- r\n" * 4000,
        f"more than {MOST_WAIVERS:,} waivers",
    ),
    "an alias without its anchor": ("services: *hunter2\n", "an alias without its anchor"),
    "an anchor that holds itself": ("services: &a {a: *a}\n", "holds itself"),
    "a key that is a mapping": ("services: {{{ app }}: {image: x}}\n", "a key is a mapping or a list"),
    "a key that is an alias of a list": ("x-a: &a [hunter2]\nservices: {*a : x}\n", "a key is a mapping or a list"),
    "a merge of a text": ("services: {a: {<<: hunter2}}\n", "<< merges a text"),
    "an unknown tag handle": ("services: !hunter2!x {}\n", "it is no YAML (line 1, column 11"),
    "a control character": ("services: {a: {image: 'hunter2\x07'}}\n", "it is no YAML (line 1, column"),
    "an unknown escape": ('services: {a: {image: "hunter2\\q"}}\n', "it is no YAML (line 1, column"),
    "a tab": ("services:\n\thunter2: x\n", "it is no YAML (line 2, column 1"),
    "an open quote": ("services: {a: {image: 'hunter2}}\n", "it is no YAML (line 2, column 1"),
    "an undefined directive": ("%hunter2 1\n%YAML 3.0\n---\nservices: {}\n", "it is no YAML (line"),
    "variables without an end": (SERVICE % f"command: '{'${a' * 30000}'", None),
    "defaults in defaults": (SERVICE % f"command: '{'${a:-' * 5000}{'}' * 5000}'", "variables are nested more than 20"),
    "variables that grow": (
        SERVICE % f"command: '{'$COMPOSE_PROJECT_NAME$BIG' * 30000}'",
        "variables make a text of more",
    ),
}


@pytest.fixture(name="either", params=["CSafeLoader", "SafeLoader"])
def fixture_either(request, monkeypatch):
    """Both of PyYAML's readers: the fast one where it was built with libyaml, and its own."""
    if not hasattr(yaml, request.param):
        pytest.fail("PyYAML was built without libyaml here")
    monkeypatch.setattr(source, "LOADER", getattr(yaml, request.param))


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gives_one_message_that_quotes_nothing_and_stops_no_other(name, tmp_path):
    text, message = HOSTILE[name]
    items = lint(tmp_path, {"bad.yml": text, "good.yml": GOOD}, environment={"BIG": "x" * 100})
    about = [item for item in items if item["stack"] == "bad"]
    assert {"BT002", "BT015"} <= {item["rule"] for item in items if item["stack"] == "good"}
    if message is None:
        assert "BT000" not in rules(about)
    else:
        assert rules(about) == ["BT000"] and message in about[0]["message"]
    assert "hunter2" not in str(items)
    assert all(len(item["message"]) < 1100 for item in items)


def test_a_bomb_that_nothing_refers_to_is_never_unfolded(tmp_path):
    assert lint(tmp_path, bomb(40) + "services: {a: {network_mode: none}}\n") == []


@pytest.mark.parametrize("port", ["9" * 5000, f"{'9' * 5000}:80", f"1-{'9' * 5000}", "٣٣٠٦", "80-", "-80", "99999999"])
def test_a_port_of_thousands_of_digits_is_no_port(port, tmp_path):
    for key in ("ports", "expose"):
        assert "BT000" not in rules(lint(tmp_path, SERVICE % f"{key}: ['{port}']"))
    assert "BT000" not in rules(lint(tmp_path, SERVICE % f"ports: [{{target: '{port}'}}]"))


def test_numbers_of_thousands_of_digits_are_taken_nowhere(tmp_path):
    long = "1" * 5000
    text = f"services: {{}}\nnetworks: {{n: {{ipam: {{config: [{{subnet: '{long}.0.0.0/{long}'}}]}}}}}}\n"
    assert rules(lint(tmp_path, text)) == ["BT016"]


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("value", ["\\ud800", "\\udfff x", "\\x1b[31m", "\\u202e", "\\x07"])
def test_surrogates_and_escape_sequences_reach_neither_text_nor_sarif(value, tmp_path):
    text = (
        f'services: {{"a": {{image: "redis:{value}", networks: [public]}}}}\nnetworks: {{public: {{name: public}}}}\n'
    )
    items = lint(tmp_path, text)
    assert rules(items) in (["BT001"], ["BT000"])
    write_sarif(str(tmp_path / "out.sarif"), items)
    written = (tmp_path / "out.sarif").read_text()
    assert written.replace("\n", "").isprintable() and json.loads(written) == as_sarif(items)


@pytest.mark.usefixtures("either")
def test_both_readers_make_the_same_tree_with_the_same_lines():
    text = (
        "# bulkhead: allow BT001 -- a\nx-a: &a\n  one: 1 # bulkhead: allow BT002 -- b\n  two: |\n    # no\n    lines\n\n"
        "services:\n  a: {<<: *a, list: [a,\n    'b c',\n    \"d\"], none: , null: ~}\n  b: >-\n    x\n\n    y\n  c: !reset []\n"
    )
    found = Source("f", text, {})
    assert found.comments == [(1, True, "bulkhead: allow BT001 -- a"), (3, False, "bulkhead: allow BT002 -- b")]
    services = found.root.get("services")
    a = services.get("a")
    assert {key: node.value for key, node in a.items() if key != "list"} == {
        "one": "1",
        "two": "# no\nlines\n",
        "none": None,
        "null": None,
    }
    assert [(node.value, node.place.line) for node in a.each("list")] == [("a", 9), ("b c", 10), ("d", 11)]
    assert [services.at(key).line for key in "abc"] == [9, 12, 16] and services.get("c").tag == "!reset"
    assert services.get("b").value == "x\ny" and found.extents[9] == 11


def test_a_trouble_says_its_line_and_column_and_not_what_stands_there():
    with pytest.raises(NotCompose) as caught:
        Source("f", "a: 1\nhunter2: [x: {}}\n", {})
    assert caught.value.place == ("f", 2) and "line 2, column 16" in str(caught.value)
    assert MOST_NESTED < 1000, "the interpreter's own recursion ends there"
