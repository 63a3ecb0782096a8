# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that a site means for one host, in the shapes that the modules and roles take.

What hosts of the same tiers share (``shared_plan``: the rules, which take the time) and what the inventory name of a
Swarm's manager adds are compiled apart, so that a run of many hosts compiles the first once for each set of tiers.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Optional, TypedDict

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.docker_user import host_docker
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.maas import maas_vlans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.nat import host_nat
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.networks import (
    engine_settings,
    host_networks,
    swarm_settings,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.stacks import host_stacks, lint_arguments
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.tailnet import host_tailnet
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import DEFAULTS, host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.vlans import host_vlans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site


class SharedPlan(TypedDict):
    """The part of a host's plan that depends on its tiers alone."""

    tiers: list[str]
    gateway: bool
    rules: list[dict[str, Any]]
    default: dict[str, str]
    docker: dict[str, Any]
    nat: dict[str, Any]
    vlans: list[dict[str, Any]]
    vlan_interfaces: list[dict[str, Any]]
    engine: dict[str, Any]
    stack_lint: dict[str, Any]
    tailnet: Optional[dict[str, Any]]


class HostPlan(SharedPlan):
    """The plan of one host. The keys here depend on its inventory name as well, for managers of the Swarm alone: what
    lives once in a Swarm (overlays, stacks) is in the plan of the first of them."""

    manager: bool
    networks: list[dict[str, Any]]
    swarm: dict[str, Any]
    stacks: list[dict[str, Any]]


def shared_plan(site: Site, tiers: Collection[str], gateway: bool) -> SharedPlan:
    """What all hosts of these tiers have in common; a host that is neither in a tier nor a router has empty values."""
    concerned = bool(tiers) or gateway
    rules = host_rules(site, tiers, gateway) if concerned else ()
    return {
        "tiers": list(tiers),
        "gateway": gateway,
        "rules": [rule.to_dict() for rule in rules],
        "default": dict(DEFAULTS) if concerned else {},
        "docker": host_docker(site, tiers, rules, gateway) if concerned else {},
        "nat": host_nat(site, gateway, tiers),
        "vlans": maas_vlans(site) if concerned else [],
        "vlan_interfaces": host_vlans(site, tiers, gateway),
        "engine": engine_settings(site, tiers) if concerned else {},
        "stack_lint": lint_arguments(site) if concerned else {},
        "tailnet": host_tailnet(site, tiers, gateway),
    }


def host_plan(
    site: Site, hostname: str, tiers: Collection[str], gateway: bool, shared: Optional[SharedPlan] = None
) -> HostPlan:
    """The plan of a host.

    hostname: the inventory's; tiers: the names of the tiers that the host is in; gateway: whether it is a router;
    shared: the shared_plan of its tiers, where it is compiled already. Raises Refused for a Swarm manager that is not
    in the Swarm's tier: no host could reach what it listens on.
    """
    manager = hostname in site.swarm.managers
    if manager and site.swarm.tier not in tiers:
        raise Refused(
            [
                Mistake(
                    "bulkhead_swarm.managers",
                    f"{hostname}, a host of {', '.join(tiers) or 'no tier'}",
                    f"a host of tier {site.swarm.tier}",
                    "put it into that group, or name another manager",
                    "manager-elsewhere",
                )
            ]
        )
    return {
        **(shared or shared_plan(site, tiers, gateway)),
        "manager": manager,
        "networks": host_networks(site, tiers, hostname),
        "swarm": swarm_settings(site, tiers, hostname),
        "stacks": host_stacks(site, tiers, hostname),
    }
