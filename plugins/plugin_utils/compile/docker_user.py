# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Flows of a site to the list of published ports of a host, in the shape of ufw_ruleset's option ``docker``.

A port that Docker publishes never meets the rules for incoming packets, so that a flow to a host stands twice: as a
rule for what the host itself serves, and as an entry for what its containers serve at the same address and port.
"""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import BRIDGES
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.compile.ufw import host_rules
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import WITHOUT_PORTS
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import parse_address, parse_net

_BRIDGE_NAME = "com.docker.network.bridge.name"


def host_docker(site, tiers, gateway):
    """{state, bridges, published} of a host that runs Docker, {} for another one.

    site, tiers, gateway: as for host_rules, whose order and carve-outs the entries keep.
    """
    bridges = [network for network in site.networks.values() if set(network.tiers) & set(tiers)]
    if not runs_docker(site, tiers):
        return {}
    entries = [_entry(rule) for rule in host_rules(site, tiers, gateway) if _concerns(rule, bridges)]
    return {"state": "present", "bridges": [*BRIDGES, *_names(bridges)], "published": entries}


def runs_docker(site, tiers):
    """Whether the hosts of these tiers run Docker: the Swarm's nodes, and who has bridge networks or stacks."""
    users = {site.swarm.tier} if site.swarm.tier else set()
    users.update(name for network in site.networks.values() for name in network.tiers)
    users.update(name for stack in site.stacks.values() for name in stack.tiers)
    return bool(users & set(tiers))


def _names(bridges):
    """The names that networks give to their bridges themselves."""
    names = (network.options.get(_BRIDGE_NAME) for network in bridges)
    return [name for name in dict.fromkeys(names) if name and name not in BRIDGES]


def _concerns(rule, bridges):
    """Whether a rule is about what containers serve: a published port, or the address of a container in a bridge."""
    if not rule.get("route"):
        return rule["proto"] not in WITHOUT_PORTS  # there is no port to publish
    if rule["to_ip"] == "any":
        return False
    destination = (parse_net if "/" in rule["to_ip"] else parse_address)(rule["to_ip"])
    return any(network.subnet.meets(destination) for network in bridges)


def _entry(rule):
    entry = {key: rule[key] for key in ("rule", "proto", "from_ip", "to_ip", "comment")}
    if "to_port" in rule:
        entry["port"] = rule["to_port"]
    if rule.get("route"):
        entry["routed"] = True
    return entry
