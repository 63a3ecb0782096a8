# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that a site means for one host, in the shapes that the modules and roles take."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.docker_user import host_docker
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.maas import maas_vlans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.networks import (
    engine_settings,
    host_networks,
    swarm_settings,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.stacks import host_stacks, lint_arguments
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import DEFAULTS, host_rules


def host_plan(site, hostname, tiers, gateway):
    """{tiers, gateway, manager, rules, default, docker, vlans, networks, engine, swarm} of a host.

    hostname: the inventory's; tiers: the names of the tiers that the host is in; gateway: whether it is a router. A
    host that is neither in a tier nor a router gets the same keys with nothing in them. Raises Refused for a Swarm
    manager that is not in the Swarm's tier: what it listens on would be open to nobody.
    """
    manager = hostname in site.swarm.managers
    if manager and site.swarm.tier not in tiers:
        raise Refused(
            [
                Mistake(
                    "bulkhead_swarm.managers",
                    "%s, a host of %s" % (hostname, ", ".join(tiers) or "no tier"),
                    "a host of tier %s" % site.swarm.tier,
                    "put it into that group, or name another manager",
                )
            ]
        )
    concerned = bool(tiers) or gateway
    return {
        "tiers": list(tiers),
        "gateway": gateway,
        "manager": manager,
        "rules": host_rules(site, tiers, gateway) if concerned else [],
        "default": dict(DEFAULTS) if concerned else {},
        "docker": host_docker(site, tiers, gateway) if concerned else {},
        "vlans": maas_vlans(site) if concerned else [],
        "networks": host_networks(site, tiers, hostname),
        "engine": engine_settings(site) if concerned else {},
        "swarm": swarm_settings(site, tiers, hostname),
        "stacks": host_stacks(site, tiers, hostname),
        "stack_lint": lint_arguments(site) if concerned else {},
    }
