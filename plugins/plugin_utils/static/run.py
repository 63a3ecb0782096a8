# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The static proof of a run: what each host returned, checked and kept, and the proof of all of them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import Node, NotRead, read_node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.declaration import Declaration
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.firewall.inform import reviewed
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import Malformed
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.run import Run, Step
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.fleet import Fleet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.hosts import MOST_LINES, of_hosts
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.planned import Plan
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.prove import proven, unread
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.result import Static

_KINDS = ("drift", "dead", "conflicting", "unlisted")


def read_host(name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What ufw_ruleset_info returned with `netfilter`, as it is kept. Raises Malformed."""
    kept = {key: said.get(key) for key in ("printed", "settings", "speeds")}
    try:
        read_node(name, kept)
    except NotRead as error:
        raise Malformed(printable(error)) from error
    try:
        found = reviewed(said.get("snapshot"))
        review = {kind: [printable(text, 400) for text in found[kind]][:MOST_LINES] for kind in _KINDS}
    except RulesetError as error:
        review = {"unlisted": [printable(error, 400)]}
    return {**kept, "review": review}


def static_proof(run: Run, declaration: Declaration) -> Static:
    """The proof of all hosts of a run that were read."""
    began = time.monotonic()
    record = run.record
    nodes: dict[str, Node] = {}
    missing: dict[str, str] = {}
    reviews: dict[str, Mapping[str, Any]] = {}
    for name, member in record.members.items():
        if member.part not in (Part.TIER, Part.GATEWAY):
            continue
        kept = run.kept(Step.NETFILTER, name)
        if kept is None or name in record.trouble:
            missing[name] = record.trouble.get(name) or run.kept(Step.TROUBLE, name) or "it was not reached"
        else:
            nodes[name] = read_node(name, kept)
            reviews[name] = kept.get("review") or {}
    fleet = Fleet(declaration.site, record.members, nodes)

    def plan_of(member: Member) -> Plan:
        return declaration.plan(member.name, member.place)

    more = [*unread(record.members, fleet, missing, record.left_out), *of_hosts(fleet, plan_of, reviews)]
    return proven(fleet, more, began)
