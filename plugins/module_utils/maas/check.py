# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Is the tree as it shall be one that MAAS takes, and is the way there safe?

Pure, and complete: every error of a run at once, before the first write.  What a run leaves as it
found it is reported as a warning and not refused, so that an exported tree can always be applied.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import Range, State, Vlan, address
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.wanted import Wanted
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake

RESERVED_FABRIC = re.compile(r"fabric-\d+\Z")
RESERVED_SPACE = re.compile(r"space-\d+\Z")


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
        self.errors: list[Mistake] = []
        self.warnings: list[str] = []

    def say(self, changed: bool, path: str, got: str, expected: str, remedy: str) -> None:
        """An error about what the run changes, a warning about what it found."""
        found = Mistake(path, got, expected, remedy)
        if changed:
            self.errors.append(found)
        else:
            self.warnings.append(str(found))

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
                self.say(True, f"fabrics.{name}", "state absent for MAAS's default fabric", "that it stays", "keep it")
        for key, vlan in self.before.vlans.items():
            if key not in self.after.vlans:
                self.vlan_deletion(key, vlan)
        self.subnet_deletions()
        for name in self.before.spaces:
            users = ["{}/{}".format(*key) for key, vlan in self.after.vlans.items() if vlan.space == name]
            if name not in self.after.spaces and users:
                self.say(
                    True,
                    f"spaces.{name}",
                    f"state absent, and VLAN {', '.join(users)} in it",
                    "a space that no VLAN is in",
                    "give them another one",
                )

    def vlan_deletion(self, key: tuple, vlan: Vlan) -> None:
        path = self.vlan_path(key)
        kept = key[0] in self.after.fabrics
        if vlan.default and kept:
            self.say(
                True,
                path,
                "state absent for the default VLAN of a fabric",
                "that it stays",
                "delete the fabric instead",
            )
            return
        held = sorted(cidr for cidr, subnet in self.after.subnets.items() if subnet.vlan == key)
        if held:
            self.say(
                True,
                path,
                f"state absent, and {', '.join(held)} on it, which MAAS would move to the default VLAN unasked",
                "an empty VLAN",
                "say where they go with orphans_to, list them under another VLAN, or delete them",
            )
        item = self.wanted.vlans.get(key)
        target = item.fields.get("orphans_to") if item else None
        self.orphans(path, key, target)
        self.vlan_interfaces(path, key, (self.before.interfaces or {}).get(vlan.id, ()), target, kept)

    def vlan_interfaces(self, path: str, key: tuple, there: Any, target: Optional[tuple], kept: bool) -> None:
        """MAAS moves physical interfaces to the default VLAN and deletes tagged ones with their addresses."""
        tagged = [item.text for item in there if item.tagged]
        others = [item.text for item in there if not item.tagged]
        if tagged and not self.wanted.delete_in_use:
            self.say(
                True,
                path,
                f"state absent, and the tagged interfaces {', '.join(tagged)} on it, which MAAS would delete with their addresses",
                "no tagged interface on it",
                "take them away in MAAS first, or say delete_in_use: true",
            )
        elif tagged:
            self.warnings.append(f"{path}: MAAS deletes the tagged interfaces {', '.join(tagged)} with their addresses")
        if others and not kept:
            self.say(
                True,
                path,
                f"state absent for its fabric, and the interfaces {', '.join(others)} on it",
                "a fabric without interfaces",
                "connect them elsewhere first",
            )
        elif others and target != self.before.default_vlan(key[0]):
            self.say(
                True,
                path,
                f"state absent, and the interfaces {', '.join(others)} on it",
                "where they go: MAAS can move them to the fabric's default VLAN alone",
                "name that one as orphans_to, or connect them elsewhere first",
            )

    def subnet_deletions(self) -> None:
        """MAAS answers 204 to the deletion of a subnet in use, and takes along what hangs on it."""
        for cidr in self.before.subnets:
            uses = self.before.uses.get(cidr, ())
            if cidr in self.after.subnets or not uses:
                continue
            path = self.path("subnets", cidr, f"subnets.{cidr}")
            shown = ", ".join(uses[:20]) + (f" and {len(uses) - 20} more" if len(uses) > 20 else "")
            if self.wanted.delete_in_use:
                self.warnings.append(f"{path}: MAAS deletes with it {shown}")
            else:
                self.say(
                    True,
                    path,
                    f"state absent or a purge, and MAAS would delete with it {shown}",
                    "a subnet that nothing uses",
                    "take these away in MAAS first, or say delete_in_use: true",
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
                f"VLAN {target[0]}/{target[1]}, which does not list {', '.join(handed)} where subnets are purged",
                "a VLAN that keeps them",
                "list them there",
            )

    def names(self) -> None:
        """Names that MAAS gives itself; one that is there already, as in an export, is taken."""
        for form, kind in ((RESERVED_FABRIC, "fabrics"), (RESERVED_SPACE, "spaces")):
            there = getattr(self.before, kind)
            for name, item in getattr(self.wanted, kind).items():
                if item.present and name not in there and form.match(name):
                    self.say(True, item.path, name, "a name that MAAS does not give itself", "choose another one")

    def vlans(self) -> None:
        """Spaces and racks that a VLAN names."""
        for key, vlan in self.after.vlans.items():
            now = self.before.vlans.get(key)
            path = self.vlan_path(key)
            if vlan.space and vlan.space not in self.after.spaces and (now is None or now.space != vlan.space):
                self.say(True, path + ".space", vlan.space, "a space that exists", "list it under spaces")
            if self.before.racks is not None:
                for option in ("primary_rack", "secondary_rack"):
                    self.rack(path, option, vlan, now)
            if vlan.secondary_rack and not vlan.primary_rack:
                self.say(
                    now is None or now.secondary_rack != vlan.secondary_rack,
                    path + ".secondary_rack",
                    f"{vlan.secondary_rack} without a primary_rack",
                    "both",
                    "name a primary_rack",
                )
            if vlan.secondary_rack and vlan.secondary_rack == vlan.primary_rack:
                self.say(
                    True, path + ".secondary_rack", f"{vlan.secondary_rack}, the primary rack", "another one", "name it"
                )

    def rack(self, path: str, option: str, vlan: Vlan, now: Optional[Vlan]) -> None:
        name = getattr(vlan, option)
        if not name:
            return
        changed = now != vlan
        racks = self.before.racks or {}
        path = f"{path}.{option}"
        if name not in racks:
            known = ", ".join(sorted(racks)) or "none"
            self.say(changed, path, name, f"a rack controller of MAAS ({known})", "name one of them")
        elif vlan.vid not in racks[name].vids:
            able = ", ".join(sorted(rack.hostname for rack in racks.values() if vlan.vid in rack.vids)) or "none"
            self.say(
                changed,
                path,
                f"{name}, which has no interface with vid {vlan.vid}",
                f"a rack that has one ({able})",
                "name one of them, or give it an interface",
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
                self.say(changed, path, "the VLAN itself", "the VLAN whose rack answers", "name that one")
            elif target is None:
                if not self.rejected(vlan.relay_vlan):
                    gone = "is deleted by this run" if vlan.relay_vlan in self.before.vlans else "does not exist"
                    self.say(
                        True,
                        path,
                        f"VLAN {name}, which {gone}",
                        "one that exists",
                        "name another one, or clear it with {}",
                    )
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
                f"VLAN {name}, which is relayed itself (to {target.relay_vlan[0]}/{target.relay_vlan[1]}): a loop or a chain",
                "the VLAN whose rack answers",
                "name that one",
            )
        elif not target.dhcp_on:
            self.say(
                False,
                path,
                f"VLAN {name}, which has DHCP off",
                "one that serves DHCP",
                "no rack answers what is relayed",
            )
        if vlan.dhcp_on:
            now = self.before.vlans.get(key)
            both = now is not None and now.dhcp_on and now.relay_vlan == vlan.relay_vlan
            self.say(not both, path, "a relay, and DHCP on", "one of the two", "set dhcp_on: false")

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
                    "true, and no dynamic range on this VLAN",
                    "a range to give addresses from",
                    "give one of its subnets a range, or set dhcp_on: false",
                )
            if vlan.primary_rack is None:
                self.say(
                    now != vlan,
                    path,
                    "true, and no rack for this VLAN",
                    "a rack that serves it",
                    "name a primary_rack, or set dhcp_on: false",
                )

    def subnets(self) -> None:
        """VLANs that exist, and nesting, which MAAS 3.6 takes and later versions refuse."""
        for cidr, subnet in self.after.subnets.items():
            moves = subnet != self.before.subnets.get(cidr)
            if moves and subnet.vlan not in self.after.vlans and not self.rejected(subnet.vlan):
                path = self.path("subnets", cidr, f"subnets.{cidr}")
                self.say(
                    True,
                    path,
                    f"VLAN {subnet.vlan[0]}/{subnet.vlan[1]}, which does not exist",
                    "a VLAN to put it on",
                    "list the VLAN too",
                )
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
                    f"a subnet inside {outer[-1]}",
                    "subnets beside each other",
                    "MAAS 3.6 takes it, but machines in the two may not reach each other",
                )
            outer.append(net)

    def ranges(self) -> None:
        for cidr in sorted({item.cidr for item in self.after.ranges.values()} | self.wanted.listed["ranges"]):
            if cidr not in self.after.subnets:
                continue
            items = self.after.ranges_of(cidr)
            managed = self.after.subnets[cidr].managed
            for first, second in self.overlapping(items):
                if managed or first.type == second.type:
                    self.overlap(first, second)
            reserved = [item for item in items if item.type == "reserved"]
            for item in items:
                if item.type == "dynamic":
                    self.fixed_addresses(item)
                    self.used_addresses(item)
                if item.type == "dynamic" and not managed and not any(item.inside(other) for other in reserved):
                    self.say(
                        not self.unchanged(item),
                        self.range_path(item),
                        "a dynamic range on a subnet that MAAS does not manage",
                        "one inside a reserved range, from which alone MAAS gives addresses there",
                        "list a reserved range around it, or set managed: true",
                    )

    def unchanged(self, item: Range) -> bool:
        """Whether the run leaves a range and the subnet that it is in as they are."""
        return (
            self.before.ranges.get(item.key) == item
            and self.before.subnets.get(item.cidr) == self.after.subnets[item.cidr]
        )

    @staticmethod
    def overlapping(items: list) -> list:
        """Pairs out of a list sorted by start: of each type, and of the two types with each other."""
        pairs = []
        furthest: dict[str, Range] = {}
        for item in items:
            pairs += [(other, item) for other in furthest.values() if item.start <= other.end]
            if item.type not in furthest or item.end > furthest[item.type].end:
                furthest[item.type] = item
        return pairs

    def overlap(self, first: Range, second: Range) -> None:
        changed = not all(self.before.ranges.get(item.key) == item for item in (first, second))
        shown, other = (second, first) if second.key in self.wanted.ranges else (first, second)
        remedy = "move one of them"
        if other.key not in self.wanted.ranges:
            remedy = "MAAS has the other one already: list it, set state: absent for it, or purge ranges"
        self.say(
            changed,
            self.range_path(shown),
            f"an overlap with the {other.type} range {self.text(other)}",
            "none",
            remedy,
        )

    def fixed_addresses(self, item: Range) -> None:
        """MAAS gives no pool away that holds a gateway or a name server."""
        subnet = self.after.subnets[item.cidr]
        fixed = [("the gateway", subnet.gateway_ip)] + [("the DNS server", server) for server in subnet.dns_servers]
        fixed += [("a route's gateway", key[2]) for key in self.after.routes or {} if key[0] == item.cidr]
        for what, text in fixed:
            if (
                text
                and (":" in text) == (":" in item.cidr)
                and item.start <= int(ipaddress.ip_address(text)) <= item.end
            ):
                self.say(
                    not self.unchanged(item),
                    self.range_path(item),
                    f"{what} {text} in it",
                    "a range without it",
                    "leave it out",
                )

    def used_addresses(self, item: Range) -> None:
        """MAAS refuses a pool over an address that something has already."""
        now = self.before.ranges.get(item.key)
        used = [
            text
            for text in self.before.used.get(item.cidr, ())
            if item.start <= int(ipaddress.ip_address(text)) <= item.end
        ]
        if used and now != item:
            self.say(
                True,
                self.range_path(item),
                f"{', '.join(used[:10])} in it, which MAAS has in use",
                "a range of free addresses",
                "leave them out, or free them in MAAS",
            )

    def routes(self) -> None:
        for key, item in self.wanted.routes.items():
            if not item.present:
                continue
            if key[1] not in self.after.subnets:
                self.say(True, item.path, key[1], "a subnet that MAAS has", "list it too")

    def range_path(self, item: Range) -> str:
        return self.path("ranges", item.key, f"ranges.{self.text(item)}")

    @staticmethod
    def text(item: Range) -> str:
        return f"{address(item.start, item.cidr)}-{address(item.end, item.cidr)}"
