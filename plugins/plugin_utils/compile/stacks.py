# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stacks that a host deploys, and what stack_lint holds all of them against."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Network, Site, Stack
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import text_or_texts


def host_stacks(site: Site, tiers: Collection[str], hostname: str) -> list[dict[str, Any]]:
    """[{name, kind, files}] that a host deploys: its tiers' Compose stacks; on the first manager the Swarm's as well."""
    leads = site.swarm.is_first(hostname)
    return [
        _item(stack)
        for stack in site.stacks.values()
        if (leads if stack.kind == "swarm" else set(stack.tiers) & set(tiers))
    ]


def lint_arguments(site: Site) -> dict[str, Any]:
    """stack_lint's arguments {stacks, networks, reserved, pools, require}; {} for a site without stacks.

    They are the whole site's on every host: a stack is judged together with all others, and a limited run like a
    whole one.
    """
    if not site.stacks:
        return {}
    return {
        "stacks": [{**_item(stack), "tiers": list(stack.tiers)} for stack in site.stacks.values()],
        "networks": {network.name: _network(network) for network in site.networks.values()},
        "reserved": {f"tier {tier.name}": [str(net) for net in tier.subnets] for tier in site.tiers.values()},
        "pools": {name: [str(net) for net in nets] for name, nets in site.pools.items()},
        "require": {
            f"{stack.name}/{pattern}": list(zones)
            for stack in site.stacks.values()
            for pattern, zones in stack.demands.items()
        },
    }


def _item(stack: Stack) -> dict[str, Any]:
    return {"name": stack.name, "kind": stack.kind, "files": list(stack.files)}


def _network(network: Network) -> dict[str, Any]:
    return {
        "zone": network.zone,
        "internal": network.internal,
        "subnet": text_or_texts(network.subnets),
        "driver": network.driver,
        "attachable": network.attachable,
        "tiers": list(network.tiers),
    }
