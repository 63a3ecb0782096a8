# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A network as the engine is asked to make it. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    ENCRYPTED_OPTION,
    MTU_OPTION,
    OWNERSHIP_LABEL,
    Network,
    Subnet,
)


def creation_body(network: Network) -> dict[str, Any]:
    """The keyword arguments of ``Engine.create_network`` for a network that is to be made."""
    options = dict(network.options)
    if network.mtu is not None:
        options[MTU_OPTION] = str(network.mtu)
    if network.encrypted:
        options[ENCRYPTED_OPTION] = "true"
    body: dict[str, Any] = {
        "driver": network.driver,
        "internal": network.internal,
        "options": options,
        "labels": {**network.labels, OWNERSHIP_LABEL: "true"},
    }
    if not network.ipv4:
        body["enable_ipv4"] = False
    # Said in either case, for an engine may have IPv6 on by default (default-network-opts).
    if network.ipv6 is not None:
        body["enable_ipv6"] = network.ipv6
    if network.attachable:
        body["attachable"] = True
    if network.subnets:
        body["ipam"] = {"Driver": "default", "Config": [_creation_pool(subnet) for subnet in network.subnets]}
    return body


def _creation_pool(subnet: Subnet) -> dict[str, Any]:
    pool: dict[str, Any] = {"Subnet": str(subnet.cidr)}
    if subnet.gateway is not None:
        pool["Gateway"] = str(subnet.gateway)
    if subnet.ip_range is not None:
        pool["IPRange"] = str(subnet.ip_range)
    if subnet.reserved:
        pool["AuxiliaryAddresses"] = {name: str(address) for name, address in subnet.reserved}
    return pool
