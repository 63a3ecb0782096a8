# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a site asks of a change, before it is made: bulkhead_changes."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Changes
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader, suggestion

_EXAMPLE = "{reason: required, stop_on: [opened]}"
_REASONS = ("optional", "required")
#: What may stop a run. A `never` that would be broken always does.
NEVER, OPENED, UNKNOWN = "never", "opened", "unknown"
STOPS = (NEVER, OPENED, UNKNOWN)


def read_changes(reader: Reader, raw: object) -> Changes:
    """The default where nothing is declared."""
    path = "bulkhead_changes"
    if raw is None:
        return Changes()
    kept = reader.fields(path, raw, ("reason", "stop_on"), _EXAMPLE)
    reason = kept.get("reason", "optional")
    if reason not in _REASONS:
        remedy = suggestion(reason, _REASONS) or "leave it out where none is asked for"
        reader.refuse(f"{path}.reason", reason, " or ".join(_REASONS), remedy)
    stops = []
    if "stop_on" in kept:
        for where, word in reader.items(f"{path}.stop_on", kept["stop_on"], f"some of {', '.join(STOPS)}", "[opened]"):
            if word in STOPS:
                stops.append(word)
            else:
                reader.refuse(where, word, f"one of {', '.join(STOPS)}", suggestion(word, STOPS) or "remove it")
    return Changes(reason == "required", frozenset((NEVER, *stops)))
