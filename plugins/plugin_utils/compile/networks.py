# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker networks and engine settings of a host, in the shapes that swarm_network and the roles take."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.engines import settings_of
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Network, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import text_or_texts

#: How large the subnets are that an engine cuts from its own pools, as Docker's documentation advises.
_ENGINE_SIZES = {4: 24, 6: 64}


def host_networks(site: Site, tiers: Collection[str], hostname: str) -> list[dict[str, Any]]:
    """The networks that a host must have, as swarm_network's `networks` items.

    Bridges live on the hosts of their tiers. An overlay is the whole Swarm's: one manager, the first, makes it.
    """
    overlays = [network for network in site.networks.values() if network.driver == "overlay"]
    mine = [*site.bridges_of(tiers), *(overlays if site.swarm.is_first(hostname) else [])]
    return [_item(network) for network in site.networks.values() if network in mine]


def _item(network: Network) -> dict[str, Any]:
    item: dict[str, Any] = {
        "name": network.name,
        "driver": network.driver,
        "subnet": text_or_texts(network.subnets),
        "internal": network.internal,
    }
    if network.driver == "overlay":
        item.update(attachable=network.attachable, encrypted=network.encrypted)
    for key, said in (("enable_ipv4", network.ipv4), ("enable_ipv6", network.ipv6)):
        if said is not None:
            item[key] = said
    for key, nets in (("gateway", network.gateways), ("ip_range", network.ip_ranges)):
        if nets:
            item[key] = text_or_texts(nets)
    if network.mtu:
        item["mtu"] = network.mtu
    if network.options:
        item["options"] = dict(network.options)
    labels = dict(network.labels)
    if network.zone:
        labels.setdefault("bulkhead.zone", network.zone)
    if labels:
        item["labels"] = labels
    return item


def engine_settings(site: Site, tiers: Collection[str] = ()) -> dict[str, Any]:
    """What daemon.json says: of addresses {"default_address_pools": [{"base", "size"}]}, and what is declared of the engines
    of hosts of these tiers as {"settings": ...}; neither where it is undeclared."""
    found: dict[str, Any] = {}
    pools = site.pools.get("engine", ())
    if pools:
        found["default_address_pools"] = [
            {"base": str(net), "size": max(net.prefix, _ENGINE_SIZES[net.version])} for net in pools
        ]
    settings = settings_of(site, tiers)
    if settings:
        found["settings"] = settings
    return found


def swarm_settings(site: Site, tiers: Collection[str], hostname: str) -> dict[str, Any]:
    """What a node needs to init or join: {manager, managers, tier, default_addr_pool, subnet_size}; {} for others. The
    first manager labels the nodes: {labels: {node: {label: value}}}."""
    if not site.swarm.tier or site.swarm.tier not in tiers:
        return {}
    settings: dict[str, Any] = {
        "manager": hostname in site.swarm.managers,
        "managers": {name: str(address) for name, address in site.swarm.managers.items()},
        "tier": site.swarm.tier,
    }
    if site.swarm.labels and site.swarm.is_first(hostname):
        settings["labels"] = {node: dict(labels) for node, labels in site.swarm.labels.items()}
    pools = site.pools.get("swarm", ())
    if pools:
        settings["default_addr_pool"] = [str(net) for net in pools]
        settings["subnet_size"] = max(24, *(net.prefix for net in pools))
    return settings
