"""Waivers: what they reach, and what is wrong with them."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.tests.unit.plugins.module_utils.stacks.linting import lint, rules

TEXT = """
services:
  a:{service}
    image: redis:7
    networks:{networks}
      - public{item}
    command: ["x # bulkhead: allow BT001 -- in a text"]
  b:
    image: redis:7
    networks: [public]
networks:
  public: {{name: net-public}}
"""
WAIVER = "  # bulkhead: allow BT001 -- until it moves"
ABOVE = "\n  # bulkhead: allow BT001 -- until it moves\n"


def waived(tmp_path, text):
    items = lint(tmp_path, text)
    return {item["service"]: item["waived"] for item in items if item["rule"] == "BT001"}, [
        item for item in items if item["rule"] != "BT001"
    ]


def test_nothing_is_waived_without_a_waiver(tmp_path):
    assert waived(tmp_path, TEXT.format(service="", networks="", item="")) == ({"a": None, "b": None}, [])


@pytest.mark.parametrize("place", ["service", "networks", "item"])
def test_a_waiver_at_the_end_of_a_line_reaches_what_begins_there(place, tmp_path):
    places = {"service": "", "networks": "", "item": "", place: WAIVER}
    assert waived(tmp_path, TEXT.format(**places)) == ({"a": "until it moves", "b": None}, [])


def test_a_waiver_on_a_line_of_its_own_reaches_what_begins_on_the_next_one(tmp_path):
    text = TEXT.format(service="", networks="", item="")
    assert waived(tmp_path, text.replace("  a:\n", WAIVER + "\n  a:\n"))[0] == {"a": "until it moves", "b": None}
    assert waived(tmp_path, text.replace("      - public", "\n" + WAIVER + "\n\n      - public"))[0]["a"]
    assert waived(tmp_path, text.replace("services:\n", WAIVER + "\nservices:\n"))[0] == dict.fromkeys(
        "ab", "until it moves"
    )


def test_a_waiver_of_another_rule_or_another_place_waives_nothing_and_is_noted(tmp_path):
    text = TEXT.format(service="  # bulkhead: allow BT002 -- because", networks="", item="")
    found, others = waived(tmp_path, text)
    assert found == {"a": None, "b": None}
    assert [(item["rule"], item["severity"], item["line"]) for item in others] == [("BT091", "note", 3)]


@pytest.mark.parametrize(
    ("comment", "rule"),
    [
        ("# bulkhead: allow BT001", "BT090"),
        ("# bulkhead: allow BT001 --", "BT090"),
        ("# bulkhead: allow BT001 --   ", "BT090"),
        ("# bulkhead: allow BT999 -- why", "BT092"),
        ("# bulkhead: allow -- why", "BT092"),
        ("# bulkhead: ignore BT001 -- why", "BT092"),
    ],
)
def test_a_waiver_without_a_reason_or_a_rule_is_an_error_and_waives_nothing(comment, rule, tmp_path):
    found, others = waived(tmp_path, TEXT.format(service="  " + comment, networks="", item=""))
    assert found == {"a": None, "b": None}
    assert [(item["rule"], item["line"]) for item in others] == [(rule, 3)]


def test_several_rules_are_waived_at_once(tmp_path):
    text = TEXT.format(service="  # bulkhead: allow BT001, BT002 -- both", networks="", item="")
    text = text.replace(
        "    image: redis:7\n    networks:\n", '    image: redis:7\n    ports: ["1:1"]\n    networks:\n', 1
    )
    assert rules(lint(tmp_path, text)) == ["BT001"], "b's"


def test_a_label_waives_for_its_service(tmp_path):
    text = "services: {a: {image: redis:7, networks: [public], labels: {%s}}}\nnetworks: {public: {name: public}}"
    items = lint(tmp_path, text % "bulkhead.allow.BT001: until it moves")
    assert [(item["rule"], item["waived"]) for item in items] == [("BT001", "until it moves")]
    assert sorted(rules(lint(tmp_path, text % "bulkhead.allow.BT001: ''"))) == ["BT001", "BT090"]
    assert sorted(rules(lint(tmp_path, text % "bulkhead.allow.BT1: x"))) == ["BT001", "BT092"]
    assert sorted(rules(lint(tmp_path, text % "bulkhead.allow.BT003: x"))) == ["BT001", "BT091"]


def test_a_hash_in_a_text_is_no_waiver(tmp_path):
    text = "services:\n  a:\n    network_mode: none\n    command: |\n      # bulkhead: allow BT001\n    image: 'x # bulkhead: y'\n"
    assert lint(tmp_path, text) == []
