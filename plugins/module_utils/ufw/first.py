# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan for a host that ufw is yet to be installed on."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw import docker_block, nat_block
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.plan import (
    Plan,
    Wish,
    block_lines,
    merge_rules,
    rule_lines,
    ruleset_text,
    wanted_settings,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import Settings

#: What the package ufw sets when it is installed.
_PACKAGE = Settings("deny", "allow", "deny", "low", True)


def make_first_plan(wish: Wish, has_ipv6: bool) -> Plan:
    """The plan for a host that ufw is yet to be installed on, with the settings that its package brings. It is only to be
    shown: there are no files yet, and nothing of them is in it."""
    settings = wanted_settings(_PACKAGE, wish)
    use_ipv6 = settings.ipv6 and has_ipv6
    rules = merge_rules({4: [], 6: []}, wish, use_ipv6)
    blocks = wish.docker.blocks if wish.docker else {}
    texts = {path: docker_block.edit("", blocks.get(family)) for family, path in docker_block.AFTER.items()}
    translations = wish.nat.blocks if wish.nat else {}
    texts.update({path: nat_block.edit("", translations.get(family)) for family, path in nat_block.BEFORE.items()})
    after = rule_lines(rules, use_ipv6) + block_lines(texts, use_ipv6)
    changes = {name: value for name, value in settings._asdict().items() if value != getattr(_PACKAGE, name)}
    return Plan(
        files={},
        repairs={},
        switch="enable" if wish.enabled else "",
        settings={**changes, "state": "enabled"} if wish.enabled else changes,
        added=after,
        removed=[],
        reordered=False,
        drift=[],
        before="",
        after=ruleset_text(wish.enabled, settings, after, []),
        goal=settings,
        rules=rules,
        doubts=[],
        files_differ=False,
    )
