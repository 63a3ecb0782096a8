"""What foreign texts look like once they reach a person."""

from __future__ import annotations

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, naïve → text", "plain, naïve → text"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("two\nlines\r", "two\\nlines\\r"),
        ("csi \x9b31m", "csi \\x9b31m"),
        ("bidi \u202e txt\u2066", "bidi \\u202e txt\\u2066"),
        ("line \u2028 separator", "line \\u2028 separator"),
        ("lone \ud800 surrogate", "lone \\ud800 surrogate"),
        (b"bytes", "b'bytes'"),
    ],
)
def test_every_character_is_visible_and_stays_on_its_line(text, shown):
    assert printable(text) == shown


def test_a_long_text_is_cut_and_what_is_cut_off_is_counted():
    assert printable("x" * 12, 10) == "x" * 10 + "… (2 more characters)"
