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
            found.append("%s: DHCP is on without a rack: nobody answers" % name)
        if vlan.dhcp_on and key not in pools:
            found.append("%s: DHCP is on without a dynamic range: MAAS refuses every change of it" % name)
        if vlan.secondary_rack and not vlan.primary_rack:
            found.append("%s: the secondary rack %s has no primary" % (name, vlan.secondary_rack))
        for rack in (vlan.primary_rack, vlan.secondary_rack):
            known = (state.racks or {}).get(rack)
            if known and vlan.vid not in known.vids:
                found.append("%s: rack %s has no interface with vid %d" % (name, rack, vlan.vid))
        target = state.vlans.get(vlan.relay_vlan) if vlan.relay_vlan else None
        if target is not None and not target.dhcp_on:
            found.append("%s: relays to vlan %s, which has DHCP off" % (name, label("vlan", target.key)))
        if target is not None and target.relay_vlan is not None:
            found.append("%s: relays to vlan %s, which is relayed itself" % (name, label("vlan", target.key)))
    return found


def _moved(state: State, wanted: Wanted) -> list:
    return [
        "subnet %s: is on vlan %s, declared on %s: MAAS or someone else moved it"
        % (cidr, label("vlan", state.subnets[cidr].vlan), label("vlan", item.fields["vlan"]))
        for cidr, item in wanted.subnets.items()
        if item.present and cidr in state.subnets and state.subnets[cidr].vlan != item.fields["vlan"]
    ]


def _missing(state: State, wanted: Wanted) -> list:
    found = ["space %s: is missing" % name for name, item in wanted.spaces.items() if _lacks(item, name, state.spaces)]
    found += [
        "fabric %s: is missing" % name for name, item in wanted.fabrics.items() if _lacks(item, name, state.fabrics)
    ]
    for key, item in wanted.vlans.items():
        if _lacks(item, key, state.vlans):
            found.append("vlan %s: is missing" % label("vlan", key))
    for cidr, item in wanted.subnets.items():
        if _lacks(item, cidr, state.subnets):
            found.append("subnet %s: is missing" % cidr)
    for key, item in wanted.ranges.items():
        if _lacks(item, key, state.ranges):
            near = [
                "%s-%s" % (address(other.start, other.cidr), address(other.end, other.cidr))
                for other in state.ranges_of(key[0])
                if other.start <= key[2] and key[1] <= other.end
            ]
            there = "; MAAS has %s" % ", ".join(near) if near else ""
            found.append("subnet %s: the range %s is missing%s" % (key[0], label("range", key), there))
    for key, item in wanted.routes.items():
        if _lacks(item, key, state.routes or {}):
            found.append("subnet %s: the route to %s via %s is missing" % key)
    return found


def _lacks(item: object, key: object, where: dict) -> bool:
    return item.present and key not in where  # type: ignore[attr-defined]


def _undone(state: State, wanted: Wanted) -> set:
    """Fields that differ, and things that should not be: what maas_vlan would update or delete."""
    result = plan(wanted, state)
    there = {"space": state.spaces, "fabric": state.fabrics, "vlan": state.vlans, "subnet": state.subnets}
    there.update({"range": state.ranges, "route": state.routes or {}})
    said = {
        "%s %s: differs from the declaration (%s)" % (op.kind, label(op.kind, op.key), str(op).split(": ", 1)[-1])
        for op in result.ops
        if op.verb == "update" and op.key in there[op.kind]
    }
    said |= {"%s %s: should not be" % (op.kind, label(op.kind, op.key)) for op in result.ops if op.verb == "delete"}
    return said | {"the declaration cannot be applied: " + error for error in result.errors}
