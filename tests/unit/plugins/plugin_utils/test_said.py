from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path

import pytest

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import DEEPEST, shown

PLUGINS = Path(__file__).parents[4] / "plugins"
#: What a terminal obeys: an escape sequence, a carriage return, the eight-bit form of one, a mark that turns the text round.
EVIL = "\x1b[31mall is well\r \x9b2J\u202e\x00\x7f"


@dataclasses.dataclass(frozen=True)
class Summary:
    """As ansible-core keeps a warning."""

    msg: str
    details: tuple[str, ...]


@pytest.mark.parametrize(
    "said",
    [
        {"msg": EVIL},
        {"warnings": [EVIL, Summary(EVIL, (EVIL,))]},
        {"deprecations": [{"msg": EVIL, "version": EVIL}]},
        {"exception": Summary(EVIL, ("x", EVIL))},
        {"stdout_lines": [EVIL], "diff": {"before": EVIL, "after": [{EVIL: {EVIL: (EVIL, 1)}}]}},
        {EVIL: True},
    ],
)
def test_nothing_of_a_result_steers_a_terminal(said):
    text = repr(shown(said)).replace("\\\\", "\\")
    assert "\\x1b[31mall is well\\r" in text and "\\x9b2J\\u202e" in text
    assert str(shown(said)).isprintable() and repr(said) != repr(shown(said))


def test_what_is_plain_stays_as_it_is():
    said = {
        "changed": True,
        "rules": [{"port": 22, "comment": "für SSH"}],
        "rate": 0.5,
        "none": None,
        "diff": {"before": "a\n\tb\n"},
    }
    assert shown(said) == said


def test_a_further_line_of_a_message_does_not_begin_as_one_of_ansible():
    found = shown({"msg": "no\nok: [manager1]\n\n  list", "warnings": ["a\nTASK [x]"], "stdout": "a\nb"})
    assert found == {"msg": "no\n  ok: [manager1]\n\n  list", "warnings": ["a\n  TASK [x]"], "stdout": "a\nb"}


def test_a_result_of_thousands_of_levels_is_cut():
    deep: list = []
    for _level in range(5000):
        deep = [deep]
    text = str(shown({"deep": deep}))
    assert text.count("[") <= DEEPEST + 1 and "nested too deeply" in text


def test_every_module_that_runs_on_a_host_has_an_action_that_looks_at_what_it_says():
    for module in sorted((PLUGINS / "modules").glob("*.py")):
        action = PLUGINS / "action" / module.name
        plugin = importlib.import_module(f"ansible_collections.bulkhead.tiers.plugins.action.{action.stem}")
        assert plugin.ActionModule.run.__module__.startswith("ansible_collections.bulkhead.tiers."), module.name
