# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of the task beside the rules, as they came: the default policies, and whose rules stay."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.fields import Fields
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import Keep

POLICIES = ("allow", "deny", "reject")
WAYS = ("incoming", "outgoing", "routed")
#: The comments that fail2ban's action ufw writes; the chains and sets of fail2ban and of CrowdSec's bouncer.
KEEP_COMMENTS = ("by Fail2Ban*",)
KEEP_CHAINS = ("f2b-*", "fail2ban-*", "crowdsec*", "CROWDSEC*")
#: Less than a new SSH connection may take is no chance at all; more than an hour is no rollback.
SHORTEST, LONGEST = 5, 3600


class _Policies(Fields):
    options = WAYS
    subject = "default"
    example = "{incoming: deny}"
    elsewhere = {"direction": "write the direction as the key: default: {incoming: deny}"}


class _Keep(Fields):
    options = ("comments", "chains")
    subject = "keep"
    example = "{comments: [by Fail2Ban*]}"


def parse_default(raw: Any, mistakes: list[Mistake]) -> dict[str, str]:
    """The default policies by name; one word is that of incoming packets, as for `ufw default`."""
    if raw is None:
        return {}
    if isinstance(raw, str):
        raw = {"incoming": raw}
    fields = _Policies("default", mistakes, [])
    if not fields.load(raw):
        return {}
    return {way: fields.choice(way, POLICIES, "") for way in WAYS if way in fields.values}


def parse_keep(raw: Any, mistakes: list[Mistake]) -> Keep:
    """Whose rules stay: what is named, and for what is not named the known ones."""
    fields = _Keep("keep", mistakes, [])
    fields.load({} if raw is None else raw)
    patterns = {}
    for key, default in (("comments", KEEP_COMMENTS), ("chains", KEEP_CHAINS)):
        value = fields.values.get(key, default)
        if not isinstance(value, (list, tuple)) or not all(isinstance(each, str) and each for each in value):
            fields.fail(key, repr(value), "a list of patterns such as [f2b-*]", "write a list; [] keeps none")
            value = ()
        patterns[key] = tuple(value)
    return Keep(**patterns)


def parse_timeout(confirm: Any, mistakes: list[Mistake]) -> int:
    """Seconds until a change is rolled back that is not confirmed; 0 where it is not to wait."""
    seconds = (confirm or {}).get("timeout") or 0
    if seconds and not SHORTEST <= seconds <= LONGEST:
        expected = f"{SHORTEST}-{LONGEST} seconds, or 0 for no confirmation"
        mistakes.append(Mistake("confirm.timeout", str(seconds), expected, "write a number between them"))
    return int(seconds)
