# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stacks that a host deploys, and what stack_lint holds all of them against."""

from __future__ import annotations


def host_stacks(site, tiers, hostname):
    """[{name, kind, files}] that a host deploys: its tiers' Compose stacks; on the first manager the Swarm's as well."""
    leads = bool(site.swarm.managers) and hostname == next(iter(site.swarm.managers))
    return [
        _item(stack)
        for stack in site.stacks.values()
        if (leads if stack.kind == "swarm" else set(stack.tiers) & set(tiers))
    ]


def lint_arguments(site):
    """stack_lint's arguments {stacks, networks, reserved, require}; {} for a site without stacks.

    They are the whole site's on every host: a stack is judged together with all others, and a limited run like a
    whole one.
    """
    if not site.stacks:
        return {}
    reserved = {"tier %s" % tier.name: [str(net) for net in tier.subnets] for tier in site.tiers.values()}
    reserved.update(("pool %s" % name, [str(net) for net in nets]) for name, nets in site.pools.items())
    return {
        "stacks": [_item(stack) for stack in site.stacks.values()],
        "networks": {network.name: _network(network) for network in site.networks.values()},
        "reserved": reserved,
        "require": {
            "%s/%s" % (stack.name, pattern): list(zones)
            for stack in site.stacks.values()
            for pattern, zones in stack.demands.items()
        },
    }


def _item(stack):
    return {"name": stack.name, "kind": stack.kind, "files": list(stack.files)}


def _network(network):
    return {"zone": network.zone, "internal": network.internal, "subnet": str(network.subnet)}
