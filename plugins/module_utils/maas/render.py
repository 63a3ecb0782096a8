# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tree for people (the diff) and as the module's own input (the export)."""

from __future__ import annotations

import ipaddress

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import State, Subnet, Vlan, address
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable


def fabric_text(state: State, name: str) -> str:
    """One fabric with all that is in it, a line a thing, indented as they nest; empty where there is none."""
    fabric = state.fabrics.get(name)
    if fabric is None:
        return ""
    lines = ["fabric {}{}".format(name, f" class {fabric.class_type}" if fabric.class_type else "")]
    for key in sorted(key for key in state.vlans if key[0] == name):
        lines.extend(_vlan_lines(state, state.vlans[key]))
    return "".join(line + "\n" for line in lines)


def diff(before: State, after: State) -> dict:
    """The before and after text of the spaces and fabrics that change; both empty where nothing does."""
    sides = (before, after)
    texts = ["", ""]
    for name in sorted(set(before.spaces) | set(after.spaces)):
        lines = [_space_line(side, name) for side in sides]
        if lines[0] != lines[1]:
            texts = [text + line for text, line in zip(texts, lines)]
    for name in sorted(set(before.fabrics) | set(after.fabrics)):
        lines = [fabric_text(side, name) for side in sides]
        if lines[0] != lines[1]:
            texts = [text + line for text, line in zip(texts, lines)]
    return {"before_header": "MAAS", "after_header": "MAAS", "before": texts[0], "after": texts[1]}


def _space_line(state: State, name: str) -> str:
    space = state.spaces.get(name)
    if space is None:
        return ""
    return "space {}{}\n".format(name, f" ({printable(space.description)})" if space.description else "")


def _vlan_lines(state: State, vlan: Vlan) -> list:
    parts = [f"vlan {vlan.vid}", vlan.name or "", f"mtu {vlan.mtu}"]
    if vlan.space:
        parts.append(f"space {vlan.space}")
    if vlan.dhcp_on:
        parts.append("dhcp on")
    if vlan.primary_rack:
        parts.append("racks " + ", ".join(rack for rack in (vlan.primary_rack, vlan.secondary_rack) if rack))
    if vlan.relay_vlan:
        parts.append("relayed to {}/{}".format(*vlan.relay_vlan))
    lines = ["  " + " ".join(part for part in parts if part)]
    for subnet in sorted(state.subnets_of(vlan.key), key=address_order):
        lines.extend(_subnet_lines(state, subnet))
    return lines


def _subnet_lines(state: State, subnet: Subnet) -> list:
    parts = [f"subnet {subnet.cidr}"]
    if subnet.name != subnet.cidr:
        parts.append(f"'{subnet.name}'")
    if subnet.gateway_ip:
        parts.append(f"gateway {subnet.gateway_ip}")
    if subnet.dns_servers:
        parts.append("dns {}".format(", ".join(subnet.dns_servers)))
    if subnet.rdns_mode != 2:
        parts.append(f"rdns_mode {subnet.rdns_mode}")
    for name, usual in (("allow_dns", True), ("allow_proxy", True), ("managed", True), ("active_discovery", False)):
        if getattr(subnet, name) != usual:
            parts.append("{} {}".format(name, "yes" if getattr(subnet, name) else "no"))
    if subnet.description:
        parts.append(f"({printable(subnet.description)})")
    lines = ["    " + " ".join(parts)]
    for item in state.ranges_of(subnet.cidr):
        span = f"{address(item.start, item.cidr)}-{address(item.end, item.cidr)}"
        lines.append("      {} {}{}".format(item.type, span, f" ({printable(item.comment)})" if item.comment else ""))
    lines += [f"      - {use}" for use in state.uses.get(subnet.cidr, ())]
    for key in sorted(key for key in state.routes or {} if key[0] == subnet.cidr):
        lines.append(f"      route to {key[1]} via {key[2]} metric {(state.routes or {})[key].metric}")
    return lines


def address_order(subnet: Subnet) -> tuple:
    net = ipaddress.ip_network(subnet.cidr)
    return (net.version, int(net.network_address), net.prefixlen)
