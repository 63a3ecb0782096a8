# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tiers of a host as 802.1q interfaces: the `vlans` that the module vlan_interfaces takes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site, Tier
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import cidr_text


def host_vlans(site: Site, tiers: Collection[str], gateway: bool) -> list[dict[str, Any]]:
    """One for each tier of the host that has a VLAN, by VLAN id; a router has one in each tier whose gateway it is, with that
    address. Which address any other host has, the site does not say."""
    return sorted(
        (
            {
                "id": tier.vlan,
                "tier": tier.name,
                "subnets": [cidr_text(net) for net in tier.subnets],
                "addresses": _legs(tier) if gateway else [],
            }
            for tier in site.tiers.values()
            if tier.vlan is not None and (tier.name in tiers or (gateway and tier.gateways))
        ),
        key=lambda vlan: vlan["id"],
    )


def _legs(tier: Tier) -> list[str]:
    """The gateway's own addresses in a tier, each with the prefix length of its subnet."""
    return [f"{leg}/{subnet.prefix}" for leg in tier.gateways for subnet in tier.subnets if subnet.holds(leg)]
