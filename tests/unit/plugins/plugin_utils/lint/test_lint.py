"""The whole of a run: what hosts answer is not believed, and no file makes it take for ever."""

from __future__ import annotations

import json

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.lint import heard, result
from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import DEFAULTS, lint, rules

SOUND = {"rule": "BT001", "message": "a", "fix": "b", "stack": "s", "service": "d"}


def test_a_hosts_findings_are_taken_as_this_collection_says_them():
    (item,) = heard({"findings": [{**SOUND, "severity": "note", "name": "x", "file": "/etc/shadow", "line": 1}]}, "h1")
    assert (item["rule"], item["severity"], item["name"]) == ("BT001", "error", "data-on-public")
    assert (item["file"], item["line"], item["host"]) == (None, None, "h1")


@pytest.mark.parametrize(
    "odd",
    [
        None,
        5,
        [],
        "x",
        {},
        {"rule": 5},
        {"rule": ["BT001"]},
        {"rule": "BT999"},
    ],
)
def test_what_is_no_finding_is_left_out(odd):
    assert rules(heard({"findings": [odd, SOUND]}, "h1")) == ["BT001"]


def test_a_hosts_texts_reach_a_terminal_or_sarif_only_as_visible_characters(tmp_path):
    odd = {
        **SOUND,
        "message": "a\x1b[2J\n\u202eb\ud800",
        "fix": {"a": "\x07"},
        "stack": 5,
        "service": "x" * 9999,
    }
    waiver = {"stack": "5", "service": "x" * 9999, "rule": "BT001", "reason": ["\x1b[2J"]}
    items = heard({"findings": [odd, SOUND], "waivers": [waiver]}, "h1")
    assert [item["waived"] is not None for item in items] == [False, True]
    said = result(items, {**DEFAULTS, "sarif": str(tmp_path / "x.sarif")}, write=True)
    assert all(text.isprintable() for text in (*said["text"], *said["msg"].splitlines()))
    assert json.loads((tmp_path / "x.sarif").read_text())["runs"]
    assert len(items[1]["service"]) < 600


@pytest.mark.parametrize(
    "answer",
    [
        {"failed": True, "msg": "no\x1b[31m engine", "ansible_facts": {"stacks_deploy": "x"}},
        {"msg": 5},
        {"findings": {"rule": "BT001"}},
        {"findings": "x", "failed": False},
        {},
    ],
)
def test_an_answer_without_findings_is_an_error_of_that_host(answer):
    with pytest.raises(Refused) as caught:
        heard(answer, "h1")
    assert str(caught.value).replace("\n", "").isprintable() and caught.value.mistakes[0].path == "h1"


def test_a_label_of_a_service_waives_what_was_found_of_it_and_one_that_waives_nothing_is_named():
    label = {"stack": "s", "service": "d", "rule": "BT001", "reason": "moves next week"}
    items = heard({"findings": [SOUND], "waivers": [label, {**label, "service": "other"}]}, "h1")
    assert [(item["rule"], item["service"], item["waived"]) for item in items] == [
        ("BT001", "d", "moves next week"),
        ("BT091", "other", None),
    ]


@pytest.mark.parametrize("odd", [None, 5, {}, "x", [None, 5, "x", []], [{"rule": ["BT001"]}, {"stack": {}}]])
def test_what_is_no_waiver_waives_nothing(odd):
    assert {"rule": "BT001", "waived": None}.items() <= heard({"findings": [SOUND], "waivers": odd}, "h1")[0].items()


def test_a_million_findings_of_a_host_are_cut():
    assert len(heard({"findings": [{**SOUND, "message": str(number)} for number in range(20_000)]}, "h1")) == 10_000


def names(count, form):
    return ", ".join(form.format(number) for number in range(count))


#: Each of them took minutes in one reader or rule when it was first tried, or would.
EXPENSIVE = {
    "keys that are nearly known": f"services: {{a: {{network_mode: none, build: {{{names(20000, 'contxt{}: x')}}}}}}}\n",
    "a path of many parts": f"services: {{a: {{network_mode: none, env_file: '{'a/' * 400000}'}}}}\n",
    "an include of many parts": f"include: ['{'a/' * 400000}']\n",
    "a service on many networks that is linked to many": (
        f"services: {{a: {{networks: [{names(15000, 'n{}')}], links: [{names(15000, 'x{}')}]}},"
        f" b: {{networks: {{m: {{aliases: [{names(15000, 'x{}')}]}}}}}}}}\nnetworks: {{m: , {names(15000, 'n{}: ')}}}\n"
    ),
    "many ranges of ports and many that wait": (
        f"services: {{a: {{networks: [n], ports: [{names(10000, '1-100')}]}},"
        f" b: {{networks: [n], depends_on: [{names(1, 'a')}]}}, {names(5000, 's{}: {{{{networks: [n], depends_on: [a]}}}}')}}}\n"
        "networks: {n: }\n"
    )
    .replace("{{", "{")
    .replace("}}", "}"),
    "a socket proxy on many networks": (
        f"services: {{p: {{image: cetusguard, networks: [{names(8000, 'n{}')}]}},"
        f" a: {{networks: [{names(8000, 'n{}')}], environment: {{{names(8000, 'V{}_URL: x')}}}}}}}\n"
        f"networks: {{{names(8000, 'n{}: ')}}}\n"
    ),
    "a long command": f'services: {{a: {{network_mode: none, command: "{"x " * 300000}"}}}}\n',
    "a long image": f"services: {{a: {{network_mode: none, image: '{'redis-' * 100000}'}}}}\n",
    "many variables": f"services: {{a: {{network_mode: none, command: '{'$A' * 400000}'}}}}\n",
    "many duplicates": "services:\n  a: {network_mode: none}\n" + "  a: {network_mode: none}\n" * 20000,
}


@pytest.mark.parametrize("name", EXPENSIVE)
def test_a_file_that_would_take_minutes_is_read_like_another(name, tmp_path):
    items = lint(tmp_path, {"bad.yml": EXPENSIVE[name], "good.yml": "services: {g: {network_mode: host}}\n"})
    assert "BT015" in rules(items)
    assert all(len(item["message"]) < 1100 for item in items)
