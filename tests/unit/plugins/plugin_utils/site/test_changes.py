# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from datetime import date

import pytest

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Changes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.parse import parse_site

TIERS = {"web": {"vlan": 10, "subnet": "10.0.1.0/24"}}


def changes(**declared):
    return parse_site({"bulkhead_tiers": TIERS, **declared}, date(2026, 1, 1)).changes


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({}, Changes(False, frozenset(("never",)))),
        ({"bulkhead_changes": None}, Changes(False, frozenset(("never",)))),
        ({"bulkhead_changes": {"reason": "required"}}, Changes(True, frozenset(("never",)))),
        ({"bulkhead_changes": {"reason": "optional"}}, Changes(False, frozenset(("never",)))),
        ({"bulkhead_changes": {"stop_on": "opened"}}, Changes(False, frozenset(("never", "opened")))),
        ({"bulkhead_changes": {"stop_on": ["unknown", "never"]}}, Changes(False, frozenset(("never", "unknown")))),
    ],
)
def test_what_is_asked_of_a_change_is_read_and_an_invariant_always_stops(declared, expected):
    assert changes(**declared) == expected


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"reason": True}, "bulkhead_changes.reason: got true; expected optional or required; "),
        (
            {"reason": "requird"},
            'bulkhead_changes.reason: got "requird"; expected optional or required; did you mean required?',
        ),
        (
            {"stop_on": ["open"]},
            'bulkhead_changes.stop_on[0]: got "open"; expected one of never, opened, unknown; did you mean opened?',
        ),
        ({"stop_on": []}, "bulkhead_changes.stop_on: got an empty list; "),
        ({"stop_on": 5}, "bulkhead_changes.stop_on: got 5; "),
        ({"why": "x"}, "bulkhead_changes.why: got an unknown key; expected one of reason, stop_on; "),
        ("required", 'bulkhead_changes: got "required"; expected a mapping'),
    ],
)
def test_anything_else_is_a_mistake_with_its_path(declared, message):
    with pytest.raises(Refused) as caught:
        changes(bulkhead_changes=declared)
    assert any(str(mistake).startswith(message) for mistake in caught.value.mistakes), caught.value
