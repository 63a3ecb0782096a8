# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is the tree as it shall be one that MAAS takes, and is the way there safe?

Pure, and complete: every error of a run at once, before the first write.  What a run leaves as it
found it is reported as a warning and not refused, so that an exported tree can always be applied.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import Range, State, Vlan, address
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.wanted import Wanted

RESERVED_FABRIC = re.compile(r"fabric-\d+\Z")


def check(wanted: Wanted, before: State, after: State) -> tuple:
    """``([error], [warning])`` over the present tree and the merged one."""
    inspector = _Inspector(wanted, before, after)
    for name in ("deletions", "names", "vlans", "relays", "dhcp", "subnets", "ranges", "routes"):
        getattr(inspector, name)()
    return inspector.errors, inspector.warnings


class _Inspector:
    """Holds the two trees; each method checks one concern."""

    def __init__(self, wanted: Wanted, before: State, after: State):
        self.wanted, self.before, self.after = wanted, before, after
        self.errors: list = []
        self.warnings: list = []

    def say(self, changed: bool, path: str, text: str) -> None:
        """An error about what the run changes, a warning about what it found."""
        (self.errors if changed else self.warnings).append(f"{path}: {text}")

    def path(self, kind: str, key: object, fallback: str) -> str:
        item = getattr(self.wanted, kind).get(key)
        return item.path if item else fallback

    def vlan_path(self, key: tuple) -> str:
        return self.path("vlans", key, "fabrics.{}.vlans.{}".format(*key))

    def rejected(self, key: tuple) -> bool:
        """A VLAN that the input declares and that is missing only for another error of the input."""
        return key in self.wanted.declared and key not in self.wanted.vlans

    def deletions(self) -> None:
        """Nothing that is deleted may take along what the task did not give a place."""
        for name, fabric in self.before.fabrics.items():
            if name not in self.after.fabrics and fabric.id == 0:
                self.say(True, f"fabrics.{name}", "is MAAS's default fabric, which cannot be deleted; keep it")
        for key, vlan in self.before.vlans.items():
            if key not in self.after.vlans:
                self.vlan_deletion(key, vlan)
        for name in self.before.spaces:
            users = ["{}/{}".format(*key) for key, vlan in self.after.vlans.items() if vlan.space == name]
            if name not in self.after.spaces and users:
                self.say(
                    True, f"spaces.{name}", "is still the space of VLAN {}; give them another".format(", ".join(users))
                )

    def vlan_deletion(self, key: tuple, vlan: Vlan) -> None:
        path = self.vlan_path(key)
        kept = key[0] in self.after.fabrics
        if vlan.default and kept:
            self.say(True, path, "is the default VLAN of its fabric, which cannot be deleted; delete the fabric")
            return
        held = sorted(cidr for cidr, subnet in self.after.subnets.items() if subnet.vlan == key)
        if held:
            self.say(
                True,
                path,
                "holds {}, which MAAS would move to the default VLAN unasked; say where they go with orphans_to, "
                "list them under another VLAN, or delete them".format(", ".join(held)),
            )
        item = self.wanted.vlans.get(key)
        target = item.fields.get("orphans_to") if item else None
        self.orphans(path, key, target)
        interfaces = (self.before.interfaces or {}).get(vlan.id)
        if not interfaces:
            return
        if not kept:
            self.say(True, path, "holds the interfaces {}; connect them elsewhere first".format(", ".join(interfaces)))
        elif target != self.before.default_vlan(key[0]):
            self.say(
                True,
                path,
                "holds the interfaces {}; MAAS can move them to the fabric's default VLAN alone: "
                "name that one as orphans_to, or connect them elsewhere first".format(", ".join(interfaces)),
            )

    def orphans(self, path: str, key: tuple, target: Optional[tuple]) -> None:
        """A subnet that is handed to a VLAN whose list is complete without it would be purged by the next run."""
        if target is None or "subnets" not in self.wanted.purge or target not in self.wanted.listed["subnets"]:
            return
        handed = [subnet.cidr for subnet in self.before.subnets_of(key) if subnet.cidr not in self.wanted.subnets]
        if handed:
            self.say(
                True,
                path + ".orphans_to",
                f"VLAN {target[0]}/{target[1]} does not list {', '.join(handed)}, and subnets are purged; list them there",
            )

    def names(self) -> None:
        for name, item in self.wanted.fabrics.items():
            if item.present and name not in self.before.fabrics and RESERVED_FABRIC.match(name):
                self.say(True, item.path, "names of the form fabric-N are reserved by MAAS; choose another")

    def vlans(self) -> None:
        """Spaces and racks that a VLAN names."""
        for key, vlan in self.after.vlans.items():
            now = self.before.vlans.get(key)
            path = self.vlan_path(key)
            if vlan.space and vlan.space not in self.after.spaces and (now is None or now.space != vlan.space):
                self.say(True, path + ".space", f"there is no space {vlan.space}; list it under spaces")
            if self.before.racks is not None:
                for option in ("primary_rack", "secondary_rack"):
                    self.rack(path, option, vlan, now)
            if vlan.secondary_rack and not vlan.primary_rack:
                self.say(
                    now is None or now.secondary_rack != vlan.secondary_rack,
                    path + ".secondary_rack",
                    f"{vlan.secondary_rack} has no primary_rack before it; name one",
                )
            if vlan.secondary_rack and vlan.secondary_rack == vlan.primary_rack:
                self.say(True, path + ".secondary_rack", f"{vlan.secondary_rack} is the primary rack already")

    def rack(self, path: str, option: str, vlan: Vlan, now: Optional[Vlan]) -> None:
        name = getattr(vlan, option)
        if not name:
            return
        changed = now != vlan
        racks = self.before.racks or {}
        path = f"{path}.{option}"
        if name not in racks:
            known = ", ".join(sorted(racks)) or "none"
            self.say(changed, path, f"there is no rack controller {name}; MAAS knows {known}")
        elif vlan.vid not in racks[name].vids:
            able = ", ".join(sorted(rack.hostname for rack in racks.values() if vlan.vid in rack.vids)) or "none"
            self.say(
                changed,
                path,
                f"{name} has no interface with vid {vlan.vid} and cannot serve it; racks that have: {able}",
            )

    def relays(self) -> None:
        """MAAS takes a chain if it is built from its far end; it never works."""
        for key, vlan in self.after.vlans.items():
            if vlan.relay_vlan is None:
                continue
            path = self.vlan_path(key) + ".relay_vlan"
            now = self.before.vlans.get(key)
            target = self.after.vlans.get(vlan.relay_vlan)
            name = "{}/{}".format(*vlan.relay_vlan)
            changed = now is None or now.relay_vlan != vlan.relay_vlan
            if vlan.relay_vlan == key:
                self.say(changed, path, "relays to itself; name the VLAN whose rack answers")
            elif target is None:
                if not self.rejected(vlan.relay_vlan):
                    gone = "is deleted by this run" if vlan.relay_vlan in self.before.vlans else "does not exist"
                    self.say(True, path, f"VLAN {name} {gone}; name another or clear it with {{}}")
            else:
                self.relay(path, key, vlan, target, changed)

    def relay(self, path: str, key: tuple, vlan: Vlan, target: Vlan, changed: bool) -> None:
        name = "{}/{}".format(*target.key)
        if target.relay_vlan is not None:
            was = self.before.vlans.get(target.key)
            self.say(
                # MAAS validates a VLAN's relay with every change of it.
                changed or self.before.vlans.get(key) != vlan or was is None or was.relay_vlan != target.relay_vlan,
                path,
                f"VLAN {name} is relayed itself (to {target.relay_vlan[0]}/{target.relay_vlan[1]}): a loop or a chain; "
                "name the VLAN whose rack answers",
            )
        elif not target.dhcp_on:
            self.say(False, path, f"VLAN {name} has DHCP off: nobody answers what is relayed")
        if vlan.dhcp_on:
            now = self.before.vlans.get(key)
            both = now is not None and now.dhcp_on and now.relay_vlan == vlan.relay_vlan
            self.say(not both, path, "this VLAN has DHCP on and cannot relay it; set dhcp_on: false")

    def dhcp(self) -> None:
        """DHCP that is on needs a rack and a dynamic range; without one, MAAS refuses every later change."""
        pools = {self.after.subnets[item.cidr].vlan for item in self.after.ranges.values() if item.type == "dynamic"}
        had = {self.before.subnets[item.cidr].vlan for item in self.before.ranges.values() if item.type == "dynamic"}
        for key, vlan in self.after.vlans.items():
            if not vlan.dhcp_on:
                continue
            now = self.before.vlans.get(key)
            path = self.vlan_path(key) + ".dhcp_on"
            if key not in pools:
                self.say(
                    now != vlan or key in had,
                    path,
                    "no dynamic range is left on this VLAN; give one of its subnets a range, or set dhcp_on: false",
                )
            if vlan.primary_rack is None:
                self.say(now != vlan, path, "no rack serves this VLAN; name a primary_rack, or set dhcp_on: false")

    def subnets(self) -> None:
        """VLANs that exist, and nesting, which MAAS 3.6 takes and later versions refuse."""
        for cidr, subnet in self.after.subnets.items():
            moves = subnet != self.before.subnets.get(cidr)
            if moves and subnet.vlan not in self.after.vlans and not self.rejected(subnet.vlan):
                path = self.path("subnets", cidr, f"subnets.{cidr}")
                self.say(True, path, "VLAN {}/{}, where it shall go, does not exist".format(*subnet.vlan))
        # An outer network sorts directly before what is inside it.
        nets = sorted(
            (ipaddress.ip_network(cidr) for cidr in self.after.subnets),
            key=lambda net: (net.version, int(net.network_address), net.prefixlen),
        )
        outer: list = []
        for net in nets:
            while outer and (outer[-1].version != net.version or not net.subnet_of(outer[-1])):
                outer.pop()
            if outer and (str(net) in self.wanted.subnets or str(outer[-1]) in self.wanted.subnets):
                self.say(
                    False,
                    self.path("subnets", str(net), f"subnets.{net}"),
                    f"is nested in the subnet {outer[-1]}; MAAS 3.6 takes that, machines in the two may not reach each other",
                )
            outer.append(net)

    def ranges(self) -> None:
        for cidr in sorted({item.cidr for item in self.after.ranges.values()} | self.wanted.listed["ranges"]):
            if cidr not in self.after.subnets:
                continue
            items = self.after.ranges_of(cidr)
            for first, second in self.overlapping(items):
                self.overlap(first, second)
            for item in items:
                if item.type == "dynamic":
                    self.fixed_addresses(item)

    @staticmethod
    def overlapping(items: list) -> list:
        """Pairs out of a list sorted by start."""
        pairs = []
        furthest: Optional[Range] = None
        for item in items:
            if furthest is not None and item.start <= furthest.end:
                pairs.append((furthest, item))
            if furthest is None or item.end > furthest.end:
                furthest = item
        return pairs

    def overlap(self, first: Range, second: Range) -> None:
        changed = not all(self.before.ranges.get(item.key) == item for item in (first, second))
        shown, other = (second, first) if second.key in self.wanted.ranges else (first, second)
        remedy = "keep them apart"
        if other.key not in self.wanted.ranges:
            remedy = "MAAS has it already: list it, set state: absent for it, or purge ranges"
        self.say(
            changed,
            self.range_path(shown),
            f"overlaps the {other.type} range {self.text(other)}; {remedy}",
        )

    def fixed_addresses(self, item: Range) -> None:
        """MAAS gives no pool away that holds a gateway or a name server."""
        subnet = self.after.subnets[item.cidr]
        fixed = [("the gateway", subnet.gateway_ip)] + [("the DNS server", server) for server in subnet.dns_servers]
        fixed += [("a route's gateway", key[2]) for key in self.after.routes or {} if key[0] == item.cidr]
        unchanged = self.before.ranges.get(item.key) == item and self.before.subnets.get(item.cidr) == subnet
        for what, text in fixed:
            if (
                text
                and (":" in text) == (":" in item.cidr)
                and item.start <= int(ipaddress.ip_address(text)) <= item.end
            ):
                self.say(not unchanged, self.range_path(item), f"holds {what} {text}; leave it out")

    def routes(self) -> None:
        for key, item in self.wanted.routes.items():
            if not item.present:
                continue
            if key[1] not in self.after.subnets:
                self.say(True, item.path, f"MAAS has no subnet {key[1]} to lead to; list it too")

    def range_path(self, item: Range) -> str:
        return self.path("ranges", item.key, f"ranges.{self.text(item)}")

    @staticmethod
    def text(item: Range) -> str:
        return f"{address(item.start, item.cidr)}-{address(item.end, item.cidr)}"
