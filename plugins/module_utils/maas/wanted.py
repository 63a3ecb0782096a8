# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tree that a task asks for: parsed and checked by itself, before MAAS is asked anything.

`parse` answers a `Wanted` and the list of everything that is wrong with the input; a wrong item
is left out of the result, so that the checks against MAAS can go on and all errors are reported
by one run.  An option that is None was not given and means "untouched".
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import UNDEFINED, canonical
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

SCOPES = ("spaces", "fabrics", "vlans", "subnets", "ranges", "static_routes")
#: The options of `maas_vlan` alone.
PURGE = {
    "purge": {"type": "list", "elements": "str", "choices": list(SCOPES), "default": []},
    "delete_in_use": {"type": "bool", "default": False},
}

FABRIC_NAME = re.compile(r"[\w-]+\Z")
VLAN_NAME = re.compile(r"\w[ \w-]*\Z")
SUBNET_NAME = re.compile(r"[.: \w/-]+\Z")

MTU = (552, 65535)
VID = (0, 4094)
RDNS = (0, 2)
METRIC = (0, 2147483647)
#: Characters that MAAS 3.6.5 takes in the name of a VLAN, fabric or space; in a subnet's name or a range's comment.
LONGEST_NAME, LONGEST_TEXT = 256, 255
SMALLEST_V6_POOL = 256

VLAN_FIELDS = ("name", "description", "mtu", "space", "dhcp_on", "primary_rack", "secondary_rack")
SUBNET_FIELDS = ("name", "description", "rdns_mode", "allow_dns", "allow_proxy", "managed", "active_discovery")


@dataclass(frozen=True)
class Item:
    """One wanted thing: where it stands in the input, whether it shall exist, and the options that were given."""

    path: str
    present: bool = True
    fields: dict = field(default_factory=dict)


@dataclass
class Wanted:
    """Everything asked for, by the keys of `state`; ``listed``: containers whose list of children was given."""

    spaces: dict = field(default_factory=dict)
    fabrics: dict = field(default_factory=dict)
    vlans: dict = field(default_factory=dict)
    subnets: dict = field(default_factory=dict)
    ranges: dict = field(default_factory=dict)
    routes: dict = field(default_factory=dict)
    listed: dict = field(default_factory=lambda: {scope: set() for scope in SCOPES})
    purge: frozenset = frozenset()
    delete_in_use: bool = False
    declared: set = field(default_factory=set)
    """Keys of VLANs that stand in the input even where something else in them is wrong."""


def parse(params: dict) -> tuple:
    """``(Wanted, [error])`` for the module's ``spaces``, ``fabrics`` and ``purge``."""
    reader = _Reader(frozenset(params.get("purge") or ()))
    reader.wanted.delete_in_use = bool(params.get("delete_in_use"))
    reader.spaces(params.get("spaces"))
    reader.fabrics(params.get("fabrics"))
    return reader.wanted, reader.errors


class _Reader:
    """Walks the input once; ``errors`` grows, ``wanted`` gets what is sound."""

    def __init__(self, purge: frozenset):
        self.wanted = Wanted(purge=purge)
        self.errors: list[Mistake] = []

    def wrong(self, path: str, got: str, expected: str, remedy: str) -> None:
        self.errors.append(Mistake(path, got, expected, remedy))

    def spaces(self, items: Optional[list]) -> None:
        if items is None:
            return
        self.wanted.listed["spaces"].add(None)
        for item in items:
            name = item["name"]
            path = f"spaces.{name}"
            if not FABRIC_NAME.match(name) or name == UNDEFINED:
                self.wrong(path, show(name), "a name of letters, digits, _ and -, and not undefined", "rename it")
            else:
                self.length(path, name, LONGEST_NAME)
                self.put(self.wanted.spaces, name, Item(path, _present(item), _given(item, ("description",))))

    def fabrics(self, items: Optional[list]) -> None:
        if items is None:
            return
        self.wanted.listed["fabrics"].add(None)
        for item in items:
            name = item["name"]
            path = f"fabrics.{name}"
            if not FABRIC_NAME.match(name):
                self.wrong(path, show(name), "a name of letters, digits, _ and -", "rename it")
                continue
            self.length(path, name, LONGEST_NAME)
            if item.get("class_type") == "":
                self.wrong(
                    path + ".class_type", "an empty text", "a class", "leave the option out: MAAS cannot clear it"
                )
            present = _present(item)
            if not present and item.get("vlans"):
                self.wrong(
                    path + ".vlans", "a list", "none, with state absent", "remove the list, or leave state absent out"
                )
                continue
            self.put(self.wanted.fabrics, name, Item(path, present, _given(item, ("description", "class_type"))))
            self.vlans(name, path, item.get("vlans"))

    def vlans(self, fabric: str, parent: str, items: Optional[list]) -> None:
        if items is None:
            return
        self.wanted.listed["vlans"].add(fabric)
        for item in items:
            path = "{}.vlans.{}".format(parent, item["vid"])
            self.wanted.declared.add((fabric, item["vid"]))
            before = len(self.errors)
            self.number(path + ".vid", item["vid"], VID)
            self.number(path + ".mtu", item.get("mtu"), MTU)
            fields = _given(item, VLAN_FIELDS)
            if fields.get("name") and not VLAN_NAME.match(fields["name"]):
                self.wrong(
                    path + ".name",
                    show(fields["name"]),
                    "a letter or digit first, then letters, digits, blanks, _ and -",
                    "rename it",
                )
            self.length(path + ".name", fields.get("name"), LONGEST_NAME)
            if "name" in fields:
                fields["name"] = fields["name"] or None
            self.space(path, fields)
            self.racks(path, fields)
            present = _present(item)
            relay = self.vlan_key(path + ".relay_vlan", fabric, item.get("relay_vlan"))
            if relay is not None:
                fields["relay_vlan"] = relay or None
                if relay and fields.get("dhcp_on"):
                    self.wrong(
                        path + ".relay_vlan",
                        "a relay, and dhcp_on: true",
                        "one of the two",
                        "a VLAN that serves DHCP cannot relay it: remove one",
                    )
            self.orphans(path, fabric, item, present, fields)
            if not present and item.get("subnets"):
                self.wrong(
                    path + ".subnets", "a list", "none, with state absent", "list them under the VLAN where they go"
                )
                continue
            if len(self.errors) == before:
                self.put(self.wanted.vlans, (fabric, item["vid"]), Item(path, present, fields))
            self.subnets((fabric, item["vid"]), path, item.get("subnets"))

    def orphans(self, path: str, fabric: str, item: dict, present: bool, fields: dict) -> None:
        target = self.vlan_key(path + ".orphans_to", fabric, item.get("orphans_to"))
        if not target:
            return
        if present:
            self.wrong(
                path + ".orphans_to", "a VLAN", "nothing where the VLAN stays", "leave it out, or say state: absent"
            )
        elif target == (fabric, item["vid"]):
            self.wrong(path + ".orphans_to", "the VLAN that is deleted", "another one", "name one that stays")
        fields["orphans_to"] = target

    def space(self, path: str, fields: dict) -> None:
        if "space" not in fields:
            return
        name = fields["space"]
        fields["space"] = None if name in ("", UNDEFINED) else name
        if fields["space"] and not FABRIC_NAME.match(name):
            self.wrong(path + ".space", show(name), "the name of a space, or an empty text for none", "rename it")

    def racks(self, path: str, fields: dict) -> None:
        """Empty clears; a secondary needs another rack before it."""
        for name in ("primary_rack", "secondary_rack"):
            if name in fields:
                fields[name] = fields[name] or None
        primary, secondary = fields.get("primary_rack"), fields.get("secondary_rack")
        if primary and primary == secondary:
            self.wrong(
                path + ".secondary_rack",
                f"{secondary}, which is the primary rack too",
                "another rack",
                "name another one or none",
            )
        if "primary_rack" in fields and not primary:
            if secondary:
                self.wrong(
                    path + ".secondary_rack", f"{secondary} without a primary_rack", "both", "name the primary_rack too"
                )
            if fields.get("dhcp_on"):
                self.wrong(path + ".primary_rack", "none, and dhcp_on: true", "a rack", "DHCP needs a rack: name one")

    def subnets(self, vlan: tuple, parent: str, items: Optional[list]) -> None:
        if items is None:
            return
        self.wanted.listed["subnets"].add(vlan)
        for item in items:
            path = "{}.subnets.{}".format(parent, item["cidr"])
            try:
                cidr = canonical(item["cidr"])
            except ValueError:
                self.wrong(path, show(item["cidr"]), "a subnet, NETWORK/PREFIX", "write it like 10.0.2.0/24")
                continue
            network = ipaddress.ip_network(cidr)
            if network.prefixlen == 0 or "/" not in item["cidr"]:
                self.wrong(path, show(item["cidr"]), "a prefix length of 1 or more", "write it like 10.0.2.0/24")
                continue
            present = _present(item)
            fields = _given(item, SUBNET_FIELDS)
            fields["vlan"] = vlan
            self.number(path + ".rdns_mode", item.get("rdns_mode"), RDNS)
            if fields.get("name") is not None and not SUBNET_NAME.match(fields["name"]):
                self.wrong(path + ".name", show(fields["name"]), "letters, digits, blanks and . : / _ -", "rename it")
            self.length(path + ".name", fields.get("name"), LONGEST_TEXT)
            self.gateway(path, network, item, fields)
            self.dns(path, item, fields)
            if not present and (item.get("ranges") or item.get("static_routes")):
                self.wrong(
                    path,
                    "ranges or static_routes",
                    "none, with state absent",
                    "remove the lists, or leave state absent out",
                )
                continue
            self.put(self.wanted.subnets, cidr, Item(path, present, fields))
            self.ranges(network, path, item.get("ranges"))
            self.routes(network, path, item.get("static_routes"))

    def gateway(self, path: str, network: Any, item: dict, fields: dict) -> None:
        text = item.get("gateway_ip")
        if text is None:
            return
        fields["gateway_ip"] = None
        if text == "":
            return
        gateway = self.address(path + ".gateway_ip", text, network.version)
        if gateway is None:
            return
        # An IPv6 router announces itself by its link-local address; MAAS takes that too.
        if gateway not in network and not (network.version == 6 and gateway.is_link_local):
            self.wrong(path + ".gateway_ip", str(gateway), f"an address inside {network}", "choose one of the subnet's")
        fields["gateway_ip"] = str(gateway)

    def dns(self, path: str, item: dict, fields: dict) -> None:
        if item.get("dns_servers") is None:
            return
        servers = [self.address(path + ".dns_servers", text) for text in item["dns_servers"]]
        fields["dns_servers"] = tuple(str(server) for server in servers if server is not None)

    def ranges(self, network: Any, parent: str, items: Optional[list]) -> None:
        if items is None:
            return
        cidr = str(network)
        self.wanted.listed["ranges"].add(cidr)
        for item in items:
            path = "{}.ranges.{}-{}".format(parent, item["start_ip"], item["end_ip"])
            start = self.address(path + ".start_ip", item["start_ip"], network.version)
            end = self.address(path + ".end_ip", item["end_ip"], network.version)
            if start is None or end is None:
                continue
            if end < start:
                # MAAS answers this with a 500.
                self.wrong(path, "an end before the start", "the start first", "swap them")
                continue
            kind = item.get("type")
            if _present(item) and not self.fits(path, network, start, end, kind):
                continue
            key = (cidr, int(start), int(end))
            fields = _given(item, ("type", "comment"))
            self.length(path + ".comment", fields.get("comment"), LONGEST_TEXT)
            self.put(self.wanted.ranges, key, Item(path, _present(item), fields))

    def fits(self, path: str, network: Any, start: Any, end: Any, kind: Optional[str]) -> bool:
        """The rules of one range by itself; those that need the gateway or other ranges are the planner's."""
        before = len(self.errors)
        if kind is None:
            self.wrong(path + ".type", "nothing", "dynamic or reserved", "add it")
        if start not in network or end not in network:
            self.wrong(
                path, "a range outside", f"one inside its subnet {network}", "move it, or list it under its subnet"
            )
        # Two addresses have neither a network's nor a broadcast address (RFC 3021, RFC 6164).
        elif network.num_addresses > 2 and start == network.network_address:
            self.wrong(path, f"the network address {start}", "addresses of hosts", "start one later")
        elif network.num_addresses > 2 and network.version == 4 and end == network.broadcast_address:
            self.wrong(path, f"the broadcast address {end}", "addresses of hosts", "end one earlier")
        elif network.version == 6 and kind == "dynamic" and int(end) - int(start) + 1 < SMALLEST_V6_POOL:
            self.wrong(
                path,
                f"{int(end) - int(start) + 1} addresses",
                f"at least {SMALLEST_V6_POOL}, the least MAAS takes for IPv6",
                "end later",
            )
        elif network.prefixlen == 64 and int(start) - int(network.network_address) <= 0xFFFFFFFF:
            self.wrong(
                path,
                f"{start}",
                "::1:0:0 of the subnet or later",
                "MAAS keeps ::1 to ::ffff:ffff of a /64 for itself: start later",
            )
        return len(self.errors) == before

    def routes(self, network: Any, parent: str, items: Optional[list]) -> None:
        if items is None:
            return
        source = str(network)
        self.wanted.listed["static_routes"].add(source)
        for item in items:
            path = "{}.static_routes.{}".format(parent, item["destination"])
            try:
                target = ipaddress.ip_network(item["destination"], strict=False)
            except ValueError:
                self.wrong(
                    path, show(item["destination"]), "the CIDR of a subnet that MAAS knows", "write it like 10.0.2.0/24"
                )
                continue
            gateway = self.address(path + ".gateway_ip", item["gateway_ip"], network.version)
            if gateway is None:
                continue
            if _present(item):
                if target == network:
                    self.wrong(path, "the subnet itself", "another subnet", "a route leads elsewhere: name where to")
                if target.version != network.version:
                    self.wrong(
                        path, f"IPv{target.version}", f"IPv{network.version} like its source", "name one of its family"
                    )
                if gateway not in network:
                    self.wrong(
                        path + ".gateway_ip", str(gateway), f"an address inside the source {network}", "name one there"
                    )
                self.number(path + ".metric", item.get("metric"), METRIC)
            key = (source, str(target), str(gateway))
            self.put(self.wanted.routes, key, Item(path, _present(item), _given(item, ("metric",))))

    def put(self, where: dict, key: Any, item: Item) -> None:
        if key in where:
            self.wrong(item.path, f"the same as {where[key].path}", "each thing once", "keep one")
        else:
            where[key] = item

    def length(self, path: str, text: Optional[str], most: int) -> None:
        if text is not None and len(text) > most:
            self.wrong(path, f"{len(text)} characters", f"at most {most}, which MAAS takes", "shorten it")

    def number(self, path: str, value: Optional[int], bounds: tuple) -> None:
        if value is not None and not bounds[0] <= value <= bounds[1]:
            self.wrong(path, str(value), f"a number from {bounds[0]} to {bounds[1]}", "choose one in that range")

    def address(self, path: str, text: str, version: Optional[int] = None) -> Any:
        try:
            found = ipaddress.ip_address(text)
        except ValueError:
            self.wrong(path, show(text), "an IP address", "write it like 10.0.2.1")
            return None
        if version and found.version != version:
            self.wrong(path, text, f"an IPv{version} address, as its subnet is", "name one of that family")
            return None
        return found

    def vlan_key(self, path: str, fabric: str, value: Optional[dict]) -> Optional[tuple]:
        """None: not given; (): an empty dict, which clears; else a VLAN's key, in the same fabric unless said."""
        if value is None:
            return None
        if value.get("vid") is None:
            if value.get("fabric"):
                self.wrong(path, "a fabric without a vid", "both", "add the vid, or write {} to clear")
            return ()
        self.number(path + ".vid", value["vid"], VID)
        return (value.get("fabric") or fabric, value["vid"])


def _present(item: dict) -> bool:
    return item.get("state") != "absent"


def _given(item: dict, names: tuple) -> dict:
    """The options that were given; texts without the blanks at their ends, which MAAS cuts off (a YAML block ends in one)."""
    found = {name: item[name] for name in names if item.get(name) is not None}
    return {name: value.strip() if isinstance(value, str) else value for name, value in found.items()}


def show(value: object) -> str:
    """A value of the input as an error names it."""
    return f'"{printable(value, 60)}"'
