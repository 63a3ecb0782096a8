# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""VLANs as files of a host's network stack. Each is a file of our own, which begins with MARKER; what others wrote is never
edited."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.vlans.wanted import Vlan, Wanted

IFUPDOWN, NETPLAN, NETWORKD = "ifupdown", "netplan", "networkd"
STACKS = (IFUPDOWN, NETPLAN, NETWORKD)
MARKER = "# Written by bulkhead.tiers.vlan_interfaces, which also removes it."
#: source-directory reads no name with a dot in it.
INTERFACES = "/etc/network/interfaces.d/bulkhead-vlans"
YAML = "/etc/netplan/90-bulkhead-vlans.yaml"
FOLDER = "/etc/systemd/network"
#: Of networkd's files; 20 comes before what a distribution ships (80-, 99-).
PREFIX = "20-bulkhead-"
DROP_IN = "50-bulkhead-vlans.conf"
#: Where files of ours can be, of any stack.
PATTERNS = (INTERFACES, YAML, f"{FOLDER}/{PREFIX}*", f"{FOLDER}/*.network.d/{DROP_IN}")


class File(NamedTuple):
    """A file's text and mode."""

    text: str
    mode: int = 0o644


def files(stack: str, wanted: Wanted, parents_file: str = "") -> dict[str, File]:
    """{path: File}, of no file where there is no VLAN. parents_file: the name of networkd's file for the parent interface."""
    if not wanted.vlans:
        return {}
    if stack == IFUPDOWN:
        return {INTERFACES: File(_interfaces(wanted))}
    if stack == NETPLAN:
        # netplan warns of files that others can read.
        return {YAML: File(_yaml(wanted), 0o600)}
    return _networkd(wanted, parents_file)


def _interfaces(wanted: Wanted) -> str:
    """What interfaces(5) says: a stanza for each address; the first one makes the interface, the last one ends it. ip link is
    called by name: the hooks of the package vlan are not needed, and where they are, the interface is there already."""
    lines = [MARKER]
    for vlan in wanted.vlans:
        lines += ["", f"auto {vlan.name}"]
        addresses = vlan.addresses or ("",)
        for number, address in enumerate(addresses):
            lines.append(
                f"iface {vlan.name} {'inet6' if ':' in address else 'inet'} {'static' if address else 'manual'}"
            )
            lines += [f"    address {address}"] if address else []
            if not number:
                lines.append(f"    pre-up ip link show dev {vlan.name} >/dev/null 2>&1 || {add_command(wanted, vlan)}")
                lines.append(f"    pre-up ip link set dev {wanted.parent} up")
                lines.append(f"    up ip link set dev {vlan.name} up")
        lines += [f"    up ip route replace {route.to} via {route.via} dev {vlan.name}" for route in vlan.routes]
        lines.append(f"    post-down ip link delete dev {vlan.name} 2>/dev/null || true")
    return "\n".join([*lines, ""])


def add_command(wanted: Wanted, vlan: Vlan) -> str:
    """What makes an interface by hand."""
    return f"ip link add link {wanted.parent} name {vlan.name} type vlan id {vlan.id}"


def _yaml(wanted: Wanted) -> str:
    lines = [MARKER, "network:", "  version: 2", "  vlans:"]
    for vlan in wanted.vlans:
        lines += [f'    "{vlan.name}":', f"      id: {vlan.id}", f'      link: "{wanted.parent}"']
        if vlan.addresses:
            lines += ["      addresses:", *(f'        - "{address}"' for address in vlan.addresses)]
        if vlan.routes:
            lines.append("      routes:")
            lines += [
                line
                for route in vlan.routes
                for line in (f'        - to: "{route.to}"', f'          via: "{route.via}"')
            ]
    return "\n".join([*lines, ""])


def _networkd(wanted: Wanted, parents_file: str) -> dict[str, File]:
    found = {}
    for vlan in wanted.vlans:
        base = f"{FOLDER}/{PREFIX}{vlan.name}"
        netdev = [MARKER, "[NetDev]", f"Name={vlan.name}", "Kind=vlan", "", "[VLAN]", f"Id={vlan.id}", ""]
        found[f"{base}.netdev"] = File("\n".join(netdev))
        found[f"{base}.network"] = File(_network(vlan))
    drop_in = [MARKER, "[Network]", *(f"VLAN={vlan.name}" for vlan in wanted.vlans), ""]
    found[f"{FOLDER}/{parents_file}.d/{DROP_IN}"] = File("\n".join(drop_in))
    return found


def _network(vlan: Vlan) -> str:
    lines = [MARKER, "[Match]", f"Name={vlan.name}", "", "[Network]"]
    lines += [f"Address={address}" for address in vlan.addresses]
    if not any(ipaddress.ip_interface(address).version == 6 for address in vlan.addresses):
        lines += ["LinkLocalAddressing=no", "IPv6AcceptRA=no"]
    for route in vlan.routes:
        lines += ["", "[Route]", f"Destination={route.to}", f"Gateway={route.via}"]
    return "\n".join([*lines, ""])
