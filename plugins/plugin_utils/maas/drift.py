# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What has come apart: in the live tree by itself, and between it and the declared tree.

MAAS moves subnets by itself, to the VLAN on which it sees their traffic, and it lets a VLAN's DHCP
lose its rack or its last pool without a word.
"""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.plan import label, plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import State, address
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.wanted import Wanted


def drift(state: State, wanted: Wanted) -> list:
    """Sentences, sorted; empty where the live tree is sound and as declared."""
    return sorted(
        set(_unsound(state)) | set(_moved(state, wanted)) | set(_missing(state, wanted)) | _undone(state, wanted)
    )


def _unsound(state: State) -> list:
    found = []
    pools = {state.subnets[item.cidr].vlan for item in state.ranges.values() if item.type == "dynamic"}
    for key, vlan in state.vlans.items():
        name = "vlan " + label("vlan", key)
        if vlan.dhcp_on and not vlan.primary_rack:
            found.append(f"{name}: DHCP is on without a rack: nobody answers")
        if vlan.dhcp_on and key not in pools:
            found.append(f"{name}: DHCP is on without a dynamic range: MAAS refuses every change of it")
        if vlan.secondary_rack and not vlan.primary_rack:
            found.append(f"{name}: the secondary rack {vlan.secondary_rack} has no primary")
        for rack in (vlan.primary_rack, vlan.secondary_rack):
            known = (state.racks or {}).get(rack)
            if known and vlan.vid not in known.vids:
                found.append(f"{name}: rack {rack} has no interface with vid {vlan.vid}")
        target = state.vlans.get(vlan.relay_vlan) if vlan.relay_vlan else None
        if target is not None and not target.dhcp_on:
            found.append("{}: relays to vlan {}, which has DHCP off".format(name, label("vlan", target.key)))
        if target is not None and target.relay_vlan is not None:
            found.append("{}: relays to vlan {}, which is relayed itself".format(name, label("vlan", target.key)))
    return found


def _moved(state: State, wanted: Wanted) -> list:
    return [
        "subnet {}: is on vlan {}, declared on {}: MAAS or someone else moved it".format(
            cidr, label("vlan", state.subnets[cidr].vlan), label("vlan", item.fields["vlan"])
        )
        for cidr, item in wanted.subnets.items()
        if item.present and cidr in state.subnets and state.subnets[cidr].vlan != item.fields["vlan"]
    ]


def _missing(state: State, wanted: Wanted) -> list:
    found = [f"space {name}: is missing" for name, item in wanted.spaces.items() if _lacks(item, name, state.spaces)]
    found += [
        f"fabric {name}: is missing" for name, item in wanted.fabrics.items() if _lacks(item, name, state.fabrics)
    ]
    for key, item in wanted.vlans.items():
        if _lacks(item, key, state.vlans):
            found.append("vlan {}: is missing".format(label("vlan", key)))
    for cidr, item in wanted.subnets.items():
        if _lacks(item, cidr, state.subnets):
            found.append(f"subnet {cidr}: is missing")
    for key, item in wanted.ranges.items():
        if _lacks(item, key, state.ranges):
            near = [
                f"{address(other.start, other.cidr)}-{address(other.end, other.cidr)}"
                for other in state.ranges_of(key[0])
                if other.start <= key[2] and key[1] <= other.end
            ]
            there = "; MAAS has {}".format(", ".join(near)) if near else ""
            found.append("subnet {}: the range {} is missing{}".format(key[0], label("range", key), there))
    for key, item in wanted.routes.items():
        if _lacks(item, key, state.routes or {}):
            found.append("subnet {}: the route to {} via {} is missing".format(*key))
    return found


def _lacks(item: object, key: object, where: dict) -> bool:
    return item.present and key not in where  # type: ignore[attr-defined]


def _undone(state: State, wanted: Wanted) -> set:
    """Fields that differ, and things that should not be: what maas_vlan would update or delete."""
    result = plan(wanted, state)
    there = {"space": state.spaces, "fabric": state.fabrics, "vlan": state.vlans, "subnet": state.subnets}
    there.update({"range": state.ranges, "route": state.routes or {}})
    said = {
        "{} {}: differs from the declaration ({})".format(op.kind, label(op.kind, op.key), str(op).split(": ", 1)[-1])
        for op in result.ops
        if op.verb == "update" and op.key in there[op.kind]
    }
    said |= {f"{op.kind} {label(op.kind, op.key)}: should not be" for op in result.ops if op.verb == "delete"}
    return said | {"the declaration cannot be applied: " + error for error in result.errors}
