# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tiers as MAAS's network tree: the `vlans` of a fabric as maas_vlan takes them."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import point_text


def maas_vlans(site):
    """A fabric's `vlans`: one for each tier, with its subnets, gateways and DHCP.

    What the declaration leaves out of a tier is none of it: a tier without `gateway` has none in MAAS, one without
    `dhcp` is not served. Names, spaces, MTUs, name servers and further ranges are MAAS's own affair and stay.
    """
    return sorted((_vlan(tier) for tier in site.tiers.values()), key=lambda vlan: vlan["vid"])


def _vlan(tier):
    served = bool(tier.dhcp and tier.dhcp.span and tier.dhcp.rack)
    vlan = {
        "vid": tier.vlan,
        "name": tier.name,
        "dhcp_on": served,
        "subnets": [_subnet(tier, net) for net in tier.subnets],
    }
    if served:
        vlan["primary_rack"] = tier.dhcp.rack
    if tier.description:
        vlan["description"] = tier.description
    return vlan


def _subnet(tier, net):
    gateways = [str(gateway) for gateway in tier.gateways if net.holds(gateway)]
    subnet = {"cidr": "%s/%d" % (point_text(net.first), net.prefix), "gateway_ip": gateways[0] if gateways else ""}
    if tier.dhcp and tier.dhcp.span and net.holds(tier.dhcp.span):
        subnet["ranges"] = [_range(tier.dhcp)]
    return subnet


def _range(dhcp):
    """The pool that MAAS serves; without a rack another server does, and MAAS keeps its hands off the addresses."""
    ends = {"start_ip": point_text(dhcp.span.first), "end_ip": point_text(dhcp.span.last)}
    if dhcp.rack:
        return {"type": "dynamic", **ends}
    return {"type": "reserved", "comment": "DHCP of another server", **ends}
