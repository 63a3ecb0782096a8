# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tiers as MAAS's network tree: the `vlans` of a fabric as maas_vlan takes them."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site, Tier
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, cidr_text, point_text


def maas_vlans(site: Site) -> list[dict[str, Any]]:
    """A fabric's `vlans`: one for each tier, with its subnets, gateways and DHCP.

    What the declaration leaves out of a tier is none of it: a tier without `gateway` has none in MAAS, one without
    `dhcp` is not served. Names, spaces, MTUs, name servers and further ranges are MAAS's own affair and stay.
    """
    return sorted((_vlan(tier) for tier in site.tiers.values()), key=lambda vlan: vlan["vid"])


def _vlan(tier: Tier) -> dict[str, Any]:
    rack = tier.dhcp.rack if tier.dhcp and tier.dhcp.span else None
    vlan: dict[str, Any] = {
        "vid": tier.vlan,
        "name": tier.name,
        "dhcp_on": bool(rack),
        "subnets": [_subnet(tier, net) for net in tier.subnets],
    }
    if rack:
        vlan["primary_rack"] = rack
    if tier.description:
        vlan["description"] = tier.description
    return vlan


def _subnet(tier: Tier, net: Net) -> dict[str, Any]:
    gateways = [str(gateway) for gateway in tier.gateways if net.holds(gateway)]
    subnet: dict[str, Any] = {"cidr": cidr_text(net), "gateway_ip": gateways[0] if gateways else ""}
    if tier.dhcp and tier.dhcp.span and net.holds(tier.dhcp.span):
        subnet["ranges"] = [_range(tier.dhcp.span, tier.dhcp.rack)]
    return subnet


def _range(span: Net, rack: Optional[str]) -> dict[str, str]:
    """The pool that MAAS serves; without a rack another server does, and MAAS keeps its hands off the addresses."""
    ends = {"start_ip": point_text(span.first), "end_ip": point_text(span.last)}
    if rack:
        return {"type": "dynamic", **ends}
    return {"type": "reserved", "comment": "DHCP of another server", **ends}
