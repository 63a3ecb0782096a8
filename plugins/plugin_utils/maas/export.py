# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A region's tree in the form that maas_vlan takes."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.render import address_order
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import State, Subnet, Vlan, address


def export(state: State, fabrics: Optional[set] = None) -> dict:
    """``{"spaces": [...], "fabrics": [...]}``, which applied to the same MAAS changes nothing."""
    return {
        "spaces": [_without_none(name=space.name, description=space.description) for space in _named(state.spaces)],
        "fabrics": [
            _without_none(
                name=fabric.name,
                class_type=fabric.class_type,
                vlans=[
                    _export_vlan(state, state.vlans[key])
                    for key in sorted(key for key in state.vlans if key[0] == fabric.name)
                ],
            )
            for fabric in _named(state.fabrics)
            if fabrics is None or fabric.name in fabrics
        ],
    }


def _export_vlan(state: State, vlan: Vlan) -> dict:
    relay = {"fabric": vlan.relay_vlan[0], "vid": vlan.relay_vlan[1]} if vlan.relay_vlan else {}
    return _without_none(
        vid=vlan.vid,
        # The default VLAN's name cannot be read or set.
        name=None if vlan.default else vlan.name,
        mtu=vlan.mtu,
        space=vlan.space or "",
        dhcp_on=vlan.dhcp_on,
        primary_rack=vlan.primary_rack or (None if vlan.secondary_rack or vlan.dhcp_on else ""),
        secondary_rack=vlan.secondary_rack if vlan.primary_rack else None,
        relay_vlan=relay,
        subnets=[_export_subnet(state, subnet) for subnet in sorted(state.subnets_of(vlan.key), key=address_order)],
    )


def _export_subnet(state: State, subnet: Subnet) -> dict:
    return {
        "cidr": subnet.cidr,
        "name": subnet.name,
        "description": subnet.description,
        "gateway_ip": subnet.gateway_ip or "",
        "dns_servers": list(subnet.dns_servers),
        "rdns_mode": subnet.rdns_mode,
        "allow_dns": subnet.allow_dns,
        "allow_proxy": subnet.allow_proxy,
        "managed": subnet.managed,
        "active_discovery": subnet.active_discovery,
        "ranges": [
            {
                "type": item.type,
                "start_ip": address(item.start, item.cidr),
                "end_ip": address(item.end, item.cidr),
                "comment": item.comment,
            }
            for item in state.ranges_of(subnet.cidr)
        ],
        "static_routes": [
            {"destination": key[1], "gateway_ip": key[2], "metric": (state.routes or {})[key].metric}
            for key in sorted(key for key in state.routes or {} if key[0] == subnet.cidr)
        ],
    }


def _named(things: dict) -> list:
    return [things[name] for name in sorted(things)]


def _without_none(**fields: Any) -> dict:
    return {name: value for name, value in fields.items() if value is not None}
