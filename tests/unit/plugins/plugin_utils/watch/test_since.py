# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from datetime import datetime

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.watch.since import seconds_since

NOW = datetime(2026, 11, 30, 12).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90m", 5400),
        ("2h", 7200),
        ("1 d", 86400),
        ("30s", 30),
        ("1w", 604800),
        ("2026-11-30 11:00", 3600),
        ("2026-11-30", 43200),
        ("2026-11-30T11:59:00", 60),
    ],
)
def test_a_span_and_a_time_are_read(text, seconds):
    assert seconds_since(text, NOW) == seconds + 1


@pytest.mark.parametrize("text", ["", "yesterday", "-1h", "0h", "2026-12-01", "1000000w", "9" * 30 + "d", "2026-02-30"])
def test_anything_else_is_refused_with_the_form(text):
    with pytest.raises(Refused, match="^since: got "):
        seconds_since(text, NOW)
