# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From a wanted tree and the present one to the operations between them, in an order that is safe.

Pure: check mode, the diff and the run share what `plan` answers.  The order, and why:

1. spaces, fabrics and VLANs are made or changed from the outside in: the inner need the outer's ids;
2. *early* changes of VLANs: DHCP off where its pools change under it, relays that end;
3. routes, ranges and subnets that go, inner first; then subnets that move, change or are new;
   then ranges, in an order in which none overlaps another on the way; then routes;
4. *late* changes of VLANs: everything that MAAS refuses before its pools stand, racks in steps, DHCP on;
5. VLANs, fabrics and spaces that go, when nothing is in them any more.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.check import check
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.merge import merge
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import Range, State, Vlan, address
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.wanted import Wanted

VLAN_FIELDS = ("name", "mtu", "space")
SUBNET_FIELDS = (
    "vlan",
    "name",
    "description",
    "gateway_ip",
    "dns_servers",
    "rdns_mode",
    "allow_dns",
    "allow_proxy",
    "managed",
    "active_discovery",
)
NEW_VLAN = Vlan("", 0)
"""MAAS's defaults; what equals them is not sent for a new VLAN."""


@dataclass(frozen=True)
class Ref:
    """The id of a thing that has none before its creation, or whose id is not of interest to a reader."""

    kind: str
    key: Any

    def __str__(self) -> str:
        return label(self.kind, self.key)


@dataclass(frozen=True)
class Op:
    """One write.  ``verb``: create, update or delete; ``fields``: what is sent, a `Ref` for an id."""

    verb: str
    kind: str
    key: Any
    fields: dict = field(default_factory=dict)

    def __str__(self) -> str:
        text = f"{self.verb} {self.kind} {label(self.kind, self.key)}"
        sent = ", ".join(f"{name}={_shown(value)}" for name, value in self.fields.items())
        return f"{text}: {sent}" if sent else text


@dataclass
class Plan:
    """``errors`` empty: ``ops`` lead from ``before`` to ``after``."""

    ops: list
    errors: list
    warnings: list
    before: State
    after: State


def label(kind: str, key: Any) -> str:
    """The key of a thing as people write it."""
    if kind == "vlan":
        return "{}/{}".format(*key)
    if kind == "range":
        return f"{address(key[1], key[0])}-{address(key[2], key[0])}"
    if kind == "route":
        return "{} to {} via {}".format(*key)
    return str(key)


def needs(wanted: Wanted, state: State) -> set:
    """What must be read beyond the three lists, to compare this tree: names for `state.read_more`."""
    found = set()
    for key, item in wanted.vlans.items():
        if item.fields.get("primary_rack") or item.fields.get("secondary_rack"):
            found.add("racks")
        now = state.vlans.get(key)
        if item.fields.get("space") and (now is None or now.space != item.fields["space"]):
            found.add("spaces")
    for name, item in wanted.spaces.items():
        if name not in state.spaces or not item.present or "description" in item.fields:
            found.add("spaces")
    if "spaces" in wanted.purge and wanted.listed["spaces"]:
        found.add("spaces")
    if wanted.routes or ("static_routes" in wanted.purge and wanted.listed["static_routes"]):
        found.add("routes")
    after = merge(wanted, state)[0]
    if set(state.vlans) - set(after.vlans) or set(state.subnets) - set(after.subnets):
        found.add("interfaces")
    if set(state.subnets) - set(after.subnets):
        found.add("routes")
    if any(vlan.primary_rack and vlan != state.vlans.get(key) for key, vlan in after.vlans.items()):
        # MAAS validates the racks of a VLAN with every change of it.
        found.add("racks")
    return found


def touched(wanted: Wanted, state: State) -> tuple:
    """CIDRs of ``(subnets that go, subnets that are there and get a dynamic range)``: for `state.read_more`."""
    after = merge(wanted, state)[0]
    new = {key[0] for key, item in after.ranges.items() if item.type == "dynamic" and state.ranges.get(key) != item}
    return (
        tuple(cidr for cidr in state.subnets if cidr not in after.subnets),
        tuple(sorted(cidr for cidr in new if cidr in state.subnets)),
    )


def plan(wanted: Wanted, before: State) -> Plan:
    """The plan; with errors, its operations are empty."""
    after, warnings = merge(wanted, before)
    errors, more = check(wanted, before, after)
    ops = [] if errors else _Order(wanted, before, after).ops()
    return Plan(ops, errors, warnings + more, before, after)


@dataclass
class _VlanSteps:
    """The PUTs of one VLAN before and after its subnets change."""

    early: dict = field(default_factory=dict)
    late: list = field(default_factory=list)


class _Order:
    """Compares the two trees kind by kind; `ops` puts the parts together."""

    def __init__(self, wanted: Wanted, before: State, after: State):
        self.wanted, self.before, self.after = wanted, before, after

    def ops(self) -> list:
        range_deletes, range_changes = self.ranges()
        survivors = self.surviving_pools(range_deletes)
        steps = {key: self.vlan_steps(key, survivors) for key in self.before.vlans}
        dhcp_off = {key for key, step in steps.items() if step.early.get("dhcp_on") is False}
        result = self.spaces() + self.fabrics()
        created = [key for key in self.after.vlans if key not in self.before.vlans]
        result += [self.new_vlan(key) for key in created if not self.after.vlans[key].default]
        result += [Op("update", "vlan", key, step.early) for key, step in steps.items() if step.early]
        route_deletes, route_changes = self.routes()
        result += route_deletes + range_deletes
        result += self.subnet_deletes(dhcp_off)
        result += self.subnet_changes()
        result += range_changes + route_changes
        for key, step in steps.items():
            result += [Op("update", "vlan", key, fields) for fields in step.late]
        for key in created:
            result += [Op("update", "vlan", key, fields) for fields in self.new_vlan_late(key)]
        result += [
            Op("delete", "vlan", key)
            for key in self.before.vlans
            if key not in self.after.vlans and key[0] in self.after.fabrics
        ]
        result += [Op("delete", "fabric", name) for name in self.before.fabrics if name not in self.after.fabrics]
        result += [Op("delete", "space", name) for name in self.before.spaces if name not in self.after.spaces]
        return result

    def spaces(self) -> list:
        made, changed = [], []
        for name, space in self.after.spaces.items():
            now = self.before.spaces.get(name)
            if now is None:
                fields = {"name": name}
                if space.description:
                    fields["description"] = space.description
                made.append(Op("create", "space", name, fields))
            elif space.description != now.description:
                # MAAS's form for a space wants the name with every change.
                changed.append(Op("update", "space", name, {"name": name, "description": space.description}))
        return made + changed

    def fabrics(self) -> list:
        made, changed = [], []
        for name, fabric in self.after.fabrics.items():
            now = self.before.fabrics.get(name)
            if now is None:
                fields = {"name": name}
                # Write-only in MAAS: it can be set where the fabric is made and never be compared.
                fields.update(self.description("fabrics", name))
                if fabric.class_type:
                    fields["class_type"] = fabric.class_type
                made.append(Op("create", "fabric", name, fields))
            elif fabric.class_type != now.class_type:
                changed.append(Op("update", "fabric", name, {"class_type": fabric.class_type}))
        return made + changed

    def description(self, kind: str, key: Any) -> dict:
        item = getattr(self.wanted, kind).get(key)
        text = item.fields.get("description") if item else None
        return {"description": text} if text else {}

    def new_vlan(self, key: tuple) -> Op:
        """The POST takes all but racks, DHCP and relay; ``dhcp_on`` there would be a 500."""
        vlan = self.after.vlans[key]
        fields: dict = {"vid": vlan.vid}
        fields.update(_changes(NEW_VLAN, vlan, VLAN_FIELDS))
        fields.update(self.description("vlans", key))
        return Op("create", "vlan", key, fields)

    def new_vlan_late(self, key: tuple) -> list:
        vlan = self.after.vlans[key]
        racks = rack_steps(None, None, vlan.primary_rack, vlan.secondary_rack)
        if vlan.default:
            return _late(replace(NEW_VLAN, name=vlan.name), vlan, VLAN_FIELDS, racks)
        return _late(NEW_VLAN, vlan, (), racks)

    def vlan_steps(self, key: tuple, survivors: set) -> _VlanSteps:
        """DHCP goes off first where it ends, where the VLAN goes, and where none of its pools outlives the run."""
        now, then = self.before.vlans[key], self.after.vlans.get(key)
        steps = _VlanSteps()
        if then is None:
            if now.dhcp_on:
                # With the racks: one that has lost its interface would have MAAS refuse the change.
                steps.early = {"dhcp_on": False, "primary_rack": None, "secondary_rack": None}
            return steps
        had_pool = any(
            item.type == "dynamic" and self.before.subnets[item.cidr].vlan == key
            for item in self.before.ranges.values()
        )
        # Where no rack serves, nothing is interrupted, and MAAS would not turn DHCP on again.
        paused = now.dhcp_on and then.dhcp_on and had_pool and key not in survivors and now.primary_rack is not None
        names: tuple[str, ...] = VLAN_FIELDS
        if paused or (now.dhcp_on and not then.dhcp_on):
            steps.early["dhcp_on"] = False
        if now.relay_vlan is not None and then.relay_vlan is None:
            steps.early["relay_vlan"] = None
        racks = rack_steps(now.primary_rack, now.secondary_rack, then.primary_rack, then.secondary_rack)
        if steps.early:
            # One request takes the rest along; DHCP is off after it, so nothing locks the VLAN.
            steps.early.update(_changes(now, then, names))
            steps.early.update(racks.pop(0) if racks else {})
            names = ()
        steps.late = _late(now, then, names, racks, paused)
        return steps

    def surviving_pools(self, range_deletes: list) -> set:
        """VLANs on which a dynamic range serves from the first request of the run to the last."""
        deleted = {op.key for op in range_deletes}
        found = set()
        kept = {item.id: item for item in self.after.ranges.values() if item.id is not None}
        for item in self.before.ranges.values():
            then = kept.get(item.id)
            if then is None or item.key in deleted or item.type != "dynamic" or then.type != "dynamic":
                continue
            vlan = self.before.subnets[item.cidr].vlan
            if self.after.subnets[item.cidr].vlan == vlan:
                found.add(vlan)
        return found

    def subnet_deletes(self, dhcp_off: set) -> list:
        """A subnet with a pool on a VLAN that serves DHCP is refused: its pools go first."""
        result = []
        for cidr, subnet in self.before.subnets.items():
            if cidr in self.after.subnets:
                continue
            if self.before.vlans[subnet.vlan].dhcp_on and subnet.vlan not in dhcp_off:
                pools = [item for item in self.before.ranges_of(cidr) if item.type == "dynamic"]
                result += [Op("delete", "range", item.key) for item in pools]
            result.append(Op("delete", "subnet", cidr))
        return result

    def subnet_changes(self) -> list:
        made, changed = [], []
        for cidr, subnet in self.after.subnets.items():
            now = self.before.subnets.get(cidr)
            if now is not None:
                fields = _changes(now, subnet, SUBNET_FIELDS)
                if fields:
                    changed.append(Op("update", "subnet", cidr, fields))
                continue
            new = replace(subnet, vlan=("", -1), name="", description="", gateway_ip=None, dns_servers=())
            new = replace(new, rdns_mode=2, allow_dns=True, allow_proxy=True, managed=True, active_discovery=False)
            made.append(Op("create", "subnet", cidr, {"cidr": cidr, **_changes(new, subnet, SUBNET_FIELDS)}))
        return changed + made

    def ranges(self) -> tuple:
        """``(deletes, changes)``; the deletes of a subnet that goes itself are left to MAAS."""
        deletes, changes = [], []
        touched = {key[0] for key in set(self.before.ranges) | set(self.after.ranges)}
        for cidr in sorted(cidr for cidr in touched if cidr in self.after.subnets):
            now = self.before.subnets.get(cidr)
            managed = self.after.subnets[cidr].managed
            # A pool of a subnet that MAAS stops to manage lies in no reserved range yet.
            stops = now is not None and now.managed and not managed
            gone, rest = _range_ops(self.before.ranges_of(cidr), self.after.ranges_of(cidr), managed, stops)
            deletes += gone
            changes += rest
        return deletes, changes

    def routes(self) -> tuple:
        deletes, changes = [], []
        before, after = self.before.routes or {}, self.after.routes or {}
        for key in before:
            if key not in after and key[0] in self.after.subnets and key[1] in self.after.subnets:
                deletes.append(Op("delete", "route", key))
        for key, route in after.items():
            now = before.get(key)
            if now is None:
                fields = {
                    "source": Ref("subnet", key[0]),
                    "destination": Ref("subnet", key[1]),
                    "gateway_ip": key[2],
                    "metric": route.metric,
                }
                changes.append(Op("create", "route", key, fields))
            elif now.metric != route.metric:
                changes.append(Op("update", "route", key, {"metric": route.metric}))
        return deletes, changes


def _changes(now: Any, then: Any, names: tuple) -> dict:
    """The fields that differ, in the form in which they are sent."""
    return {name: _sent(name, getattr(then, name)) for name in names if getattr(now, name) != getattr(then, name)}


def _sent(name: str, value: Any) -> Any:
    if name == "space" and value is not None:
        return Ref("space", value)
    if name in ("vlan", "relay_vlan") and value is not None:
        return Ref("vlan", value)
    return value


def _late(now: Vlan, then: Vlan, names: tuple, racks: list, paused: bool = False) -> list:
    """The PUTs of a VLAN after its pools stand, DHCP on with the last of them."""
    fields = _changes(now, then, names)
    if then.relay_vlan is not None and then.relay_vlan != now.relay_vlan:
        fields["relay_vlan"] = Ref("vlan", then.relay_vlan)
    steps = racks or [{}]
    steps[0] = {**fields, **steps[0]}
    if then.dhcp_on and (paused or not now.dhcp_on):
        steps[-1] = {**steps[-1], "dhcp_on": True}
    return [step for step in steps if step]


def rack_steps(
    primary: Optional[str], secondary: Optional[str], new_primary: Optional[str], new_secondary: Optional[str]
) -> list:
    """The PUTs that lead from one pair of racks to another.

    MAAS drops the secondary where it becomes the primary, refuses the present primary as secondary,
    and makes the secondary the primary where the primary is cleared: those go in two steps.
    A secondary that is there is always sent along: MAAS validates what is not sent anew, and would refuse
    the change where that rack has lost its interface.
    """
    if (primary, secondary) == (new_primary, new_secondary):
        return []
    if new_primary is None:
        # The first makes the secondary the primary; the second clears it.
        return [_rack_pair(None, None)] * 2 if secondary else [{"primary_rack": None}]
    if new_primary == primary:
        return [{"secondary_rack": new_secondary}]
    if new_secondary is not None and (new_primary == secondary or new_secondary == primary):
        return [_rack_pair(new_primary, None), {"secondary_rack": new_secondary}]
    if secondary is None and new_secondary is None:
        return [{"primary_rack": new_primary}]
    return [_rack_pair(new_primary, new_secondary)]


def _rack_pair(primary: Optional[str], secondary: Optional[str]) -> dict:
    return {"primary_rack": primary, "secondary_rack": secondary}


def _range_ops(before: list, after: list, managed: bool = True, stops: bool = False) -> tuple:
    """The operations of one subnet's ranges; after each of them the ranges are some that MAAS takes.

    managed: where MAAS manages a subnet, no range overlaps another; where it does not, a dynamic range lies inside a
    reserved one.  stops: the subnet was managed until now.

    A change waits until its place is free.  Where changes wait for one another (two ranges that
    swap), one is deleted and made anew; so is a range whose comment goes, which MAAS would keep (a PUT of "" answers 200).
    """
    kept = {item.id: item for item in after if item.id is not None}
    deletes = [Op("delete", "range", item.key) for item in before if item.id not in kept]
    standing = {item.id: item for item in before if item.id in kept}
    anew = [
        item
        for item in standing.values()
        if (item.comment and not kept[item.id].comment) or (stops and kept[item.id].type == "dynamic")
    ]
    deletes += [Op("delete", "range", item.key) for item in anew]
    again: list = [kept[item.id] for item in anew]
    for item in anew:
        del standing[item.id]
    waiting = [item for item in standing.values() if kept[item.id] != item]
    changes: list = []
    while waiting:
        ready = next((item for item in waiting if _free(kept[item.id], standing, managed)), None)
        if ready is None:
            blocked = waiting.pop(next((place for place, item in enumerate(waiting) if item.type == "dynamic"), 0))
            deletes.append(Op("delete", "range", blocked.key))
            del standing[blocked.id]
            again.append(kept[blocked.id])
            continue
        waiting.remove(ready)
        then = kept[ready.id]
        standing[ready.id] = then
        changes.append(Op("update", "range", ready.key, _range_fields(ready, then)))
    # A pool of a subnet that is not managed comes after the reserved range around it, and goes before it.
    made = again + [item for item in after if item.id is None]
    types = {item.key: item.type for item in before}
    deletes.sort(key=lambda op: types[op.key] == "reserved")
    for item in sorted(made, key=lambda item: item.type == "dynamic" and not managed):
        fields = {"type": item.type, "subnet": Ref("subnet", item.cidr), **_span(item)}
        if item.comment:
            fields["comment"] = item.comment
        changes.append(Op("create", "range", item.key, fields))
    return deletes, changes


def _free(then: Range, standing: dict, managed: bool) -> bool:
    """Whether MAAS takes the change of one range among those that stand."""
    others = [other for number, other in standing.items() if number != then.id]
    if managed:
        return not any(other.overlaps(then) for other in others)
    reserved = [item for item in [*others, then] if item.type == "reserved"]
    pools = [item for item in [*others, then] if item.type == "dynamic"]
    return all(any(pool.inside(item) for item in reserved) for pool in pools) and not any(
        other.overlaps(then) for other in others if other.type == then.type
    )


def _span(item: Range) -> dict:
    return {"start_ip": address(item.start, item.cidr), "end_ip": address(item.end, item.cidr)}


def _range_fields(now: Range, then: Range) -> dict:
    old, new = _span(now), _span(then)
    fields = {name: new[name] for name in new if new[name] != old[name]}
    fields.update(
        {name: getattr(then, name) for name in ("type", "comment") if getattr(then, name) != getattr(now, name)}
    )
    return fields


def _shown(value: Union[Ref, Any]) -> str:
    if value is None or value == "" or value == ():
        return '""'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    return str(value)
