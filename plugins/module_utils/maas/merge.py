# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Wanted tree over the tree as it is: the tree as it shall be.

Pure.  Only options that were given change a field, and only ``state: absent`` and ``purge`` take a
thing away, so the result differs from the present tree in what the task asked for and in nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import (
    Fabric,
    Range,
    Route,
    Space,
    State,
    Subnet,
    Vlan,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.wanted import Wanted


def merge(wanted: Wanted, before: State) -> tuple:
    """``(after, [warning])``."""
    after = before.copy()
    warnings: list = []
    _spaces(wanted, after)
    _fabrics(wanted, after)
    _vlans(wanted, after, warnings)
    _subnets(wanted, before, after)
    _ranges(wanted, after)
    _routes(wanted, after)
    after.sort()
    return after, warnings


def _spaces(wanted: Wanted, after: State) -> None:
    if "spaces" in wanted.purge and wanted.listed["spaces"]:
        for name in [name for name in after.spaces if name not in wanted.spaces]:
            del after.spaces[name]
    for name, item in wanted.spaces.items():
        if not item.present:
            after.spaces.pop(name, None)
        elif name in after.spaces:
            after.spaces[name] = replace(after.spaces[name], **item.fields)
        else:
            after.spaces[name] = Space(name, item.fields.get("description", ""))


def _fabrics(wanted: Wanted, after: State) -> None:
    if "fabrics" in wanted.purge and wanted.listed["fabrics"]:
        # MAAS keeps fabric 0: it is never purged, and its deletion by name is refused by the checks.
        for name in [name for name, fabric in after.fabrics.items() if name not in wanted.fabrics and fabric.id != 0]:
            _drop_fabric(after, name)
    for name, item in wanted.fabrics.items():
        if not item.present:
            _drop_fabric(after, name)
            continue
        if name not in after.fabrics:
            after.fabrics[name] = Fabric(name)
            # A new fabric comes with its default VLAN, vid 0.
            after.vlans[(name, 0)] = Vlan(name, 0, name="untagged", default=True)
        if "class_type" in item.fields:
            after.fabrics[name] = replace(after.fabrics[name], class_type=item.fields["class_type"])


def _drop_fabric(after: State, name: str) -> None:
    after.fabrics.pop(name, None)
    for key in [key for key in after.vlans if key[0] == name]:
        del after.vlans[key]


def _vlans(wanted: Wanted, after: State, warnings: list) -> None:
    if "vlans" in wanted.purge:
        for key, vlan in list(after.vlans.items()):
            if key[0] in wanted.listed["vlans"] and key not in wanted.declared and not vlan.default:
                del after.vlans[key]
    for key, item in wanted.vlans.items():
        if not item.present:
            after.vlans.pop(key, None)
            continue
        if key[0] not in after.fabrics:
            continue
        vlan = after.vlans.get(key) or Vlan(*key)
        fields = {name: value for name, value in item.fields.items() if name != "description"}
        if vlan.default and fields.pop("name", "untagged") != "untagged":
            warnings.append(
                f"{item.path}.name: the default VLAN of a fabric always reads `untagged` in MAAS; the name is not set"
            )
        after.vlans[key] = replace(vlan, **_racks(after, vlan, fields, item.path, warnings))


def _racks(after: State, vlan: Vlan, fields: dict, path: str, warnings: list) -> dict:
    """Rack options as hostnames, with what follows from them for the rack that was not named."""
    names = {}
    for rack in (after.racks or {}).values():
        names[rack.hostname] = names[rack.system_id] = rack.hostname
    for option in ("primary_rack", "secondary_rack"):
        if fields.get(option):
            fields[option] = names.get(fields[option], fields[option])
    if "primary_rack" in fields and "secondary_rack" not in fields:
        if fields["primary_rack"] is None:
            fields["secondary_rack"] = None
        elif fields["primary_rack"] == vlan.secondary_rack:
            fields["secondary_rack"] = None
            warnings.append(f"{path}: {vlan.secondary_rack} was the secondary rack, there is none now")
    return fields


def _subnets(wanted: Wanted, before: State, after: State) -> None:
    for cidr, subnet in list(after.subnets.items()):
        item = wanted.vlans.get(subnet.vlan)
        if subnet.vlan not in after.vlans:
            if item is not None and not item.present and "orphans_to" in item.fields:
                after.subnets[cidr] = replace(subnet, vlan=item.fields["orphans_to"])
            elif "subnets" in wanted.purge and cidr not in wanted.subnets:
                del after.subnets[cidr]
        elif "subnets" in wanted.purge and subnet.vlan in wanted.listed["subnets"] and cidr not in wanted.subnets:
            del after.subnets[cidr]
    for cidr, item in wanted.subnets.items():
        if not item.present:
            after.subnets.pop(cidr, None)
        elif cidr in after.subnets:
            after.subnets[cidr] = replace(after.subnets[cidr], **item.fields)
        else:
            after.subnets[cidr] = Subnet(cidr=cidr, **{"name": cidr, **item.fields})
    for key in [key for key in after.ranges if key[0] not in after.subnets]:
        del after.ranges[key]


def _ranges(wanted: Wanted, after: State) -> None:
    by_subnet: dict = {cidr: [] for cidr in wanted.listed["ranges"] if cidr in after.subnets}
    for key, item in sorted(wanted.ranges.items()):
        if key[0] in by_subnet:
            by_subnet[key[0]].append((key, item))
    for cidr, items in by_subnet.items():
        _ranges_of(cidr, items, "ranges" in wanted.purge, after)


def _ranges_of(cidr: str, items: list, purge: bool, after: State) -> None:
    """Matches wanted ranges to present ones: the same addresses first, then the one they overlap most.

    MAAS gives ranges no name and lets none overlap another, so a range that overlaps a wanted one is
    that one before it grew or shrank; a change in place keeps DHCP served, delete and create would not.
    """
    left = {(item.start, item.end): item for item in after.ranges_of(cidr)}
    kept = []
    open_items = []
    for key, item in items:
        same = left.pop(key[1:], None)
        if not item.present:
            continue
        if same is None:
            open_items.append((key, item))
        else:
            kept.append(replace(same, **item.fields))
    for key, item in open_items:
        new = Range(cidr, key[1], key[2], **item.fields)
        near = _nearest(new, left)
        if near is None:
            kept.append(new)
        else:
            del left[(near.start, near.end)]
            kept.append(replace(near, start=new.start, end=new.end, **item.fields))
    if not purge:
        kept.extend(left.values())
    for present in after.ranges_of(cidr):
        del after.ranges[present.key]
    after.ranges.update((item.key, item) for item in kept)


def _nearest(new: Range, left: dict) -> Optional[Range]:
    found = [item for item in left.values() if item.overlaps(new)]
    if not found:
        return None
    return max(
        found,
        key=lambda item: (
            item.type == new.type,
            min(item.end, new.end) - max(item.start, new.start),
            -item.start,
        ),
    )


def _routes(wanted: Wanted, after: State) -> None:
    if after.routes is None:
        return
    for key in list(after.routes):
        purged = "static_routes" in wanted.purge and key[0] in wanted.listed["static_routes"]
        if key[0] not in after.subnets or key[1] not in after.subnets or (purged and key not in wanted.routes):
            del after.routes[key]
    for key, item in wanted.routes.items():
        if not item.present:
            after.routes.pop(key, None)
        elif key in after.routes:
            after.routes[key] = replace(after.routes[key], **item.fields)
        else:
            after.routes[key] = Route(*key, **item.fields)
