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

SCOPES = ("spaces", "fabrics", "vlans", "subnets", "ranges", "static_routes")

FABRIC_NAME = re.compile(r"[\w-]+\Z")
VLAN_NAME = re.compile(r"\w[ \w-]*\Z")
SUBNET_NAME = re.compile(r"[.: \w/-]+\Z")
RESERVED_SPACE = re.compile(r"space-\d+\Z")

MTU = (552, 65535)
VID = (0, 4094)
RDNS = (0, 2)
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
    declared: set = field(default_factory=set)
    """Keys of VLANs that stand in the input even where something else in them is wrong."""


def parse(params: dict) -> tuple:
    """``(Wanted, [error])`` for the module's ``spaces``, ``fabrics`` and ``purge``."""
    reader = _Reader(frozenset(params.get("purge") or ()))
    reader.spaces(params.get("spaces"))
    reader.fabrics(params.get("fabrics"))
    return reader.wanted, reader.errors


class _Reader:
    """Walks the input once; ``errors`` grows, ``wanted`` gets what is sound."""

    def __init__(self, purge: frozenset):
        self.wanted = Wanted(purge=purge)
        self.errors: list = []

    def wrong(self, path: str, text: str) -> None:
        self.errors.append(f"{path}: {text}")

    def spaces(self, items: Optional[list]) -> None:
        if items is None:
            return
        self.wanted.listed["spaces"].add(None)
        for item in items:
            name = item["name"]
            path = f"spaces.{name}"
            if not FABRIC_NAME.match(name) or name == UNDEFINED or RESERVED_SPACE.match(name):
                self.wrong(
                    path, "the name is not usable; expected letters, digits, _ and -, not undefined and not space-N"
                )
            else:
                self.put(self.wanted.spaces, name, Item(path, _present(item), _given(item, ("description",))))

    def fabrics(self, items: Optional[list]) -> None:
        if items is None:
            return
        self.wanted.listed["fabrics"].add(None)
        for item in items:
            name = item["name"]
            path = f"fabrics.{name}"
            if not FABRIC_NAME.match(name):
                self.wrong(path, "the name is not usable; expected letters, digits, _ and -")
                continue
            if item.get("class_type") == "":
                self.wrong(path + ".class_type", "got an empty string; MAAS cannot clear it, leave the option out")
            present = _present(item)
            if not present and item.get("vlans"):
                self.wrong(path + ".vlans", "a fabric with state absent cannot list VLANs; remove one of the two")
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
            if item.get("name") is not None and not VLAN_NAME.match(item["name"]):
                self.wrong(
                    path + ".name",
                    "got {!r}; expected a letter or digit first, then letters, digits, spaces, _ and -".format(
                        item["name"]
                    ),
                )
            fields = _given(item, VLAN_FIELDS)
            self.space(path, fields)
            self.racks(path, fields)
            present = _present(item)
            relay = self.vlan_key(path + ".relay_vlan", fabric, item.get("relay_vlan"))
            if relay is not None:
                fields["relay_vlan"] = relay or None
                if relay and fields.get("dhcp_on"):
                    self.wrong(path + ".relay_vlan", "a VLAN that serves DHCP cannot relay it; set one of the two")
            self.orphans(path, fabric, item, present, fields)
            if not present and item.get("subnets"):
                self.wrong(path + ".subnets", "a VLAN with state absent cannot list subnets; list them where they go")
                continue
            if len(self.errors) == before:
                self.put(self.wanted.vlans, (fabric, item["vid"]), Item(path, present, fields))
            self.subnets((fabric, item["vid"]), path, item.get("subnets"))

    def orphans(self, path: str, fabric: str, item: dict, present: bool, fields: dict) -> None:
        target = self.vlan_key(path + ".orphans_to", fabric, item.get("orphans_to"))
        if not target:
            return
        if present:
            self.wrong(path + ".orphans_to", "only of use with state absent; leave it out")
        elif target == (fabric, item["vid"]):
            self.wrong(path + ".orphans_to", "is the VLAN that is deleted; name another")
        fields["orphans_to"] = target

    def space(self, path: str, fields: dict) -> None:
        if "space" not in fields:
            return
        name = fields["space"]
        fields["space"] = None if name in ("", UNDEFINED) else name
        if fields["space"] and not FABRIC_NAME.match(name):
            self.wrong(path + ".space", f"got {name!r}; expected the name of a space, or an empty string for none")

    def racks(self, path: str, fields: dict) -> None:
        """Empty clears; a secondary needs another rack before it."""
        for name in ("primary_rack", "secondary_rack"):
            if name in fields:
                fields[name] = fields[name] or None
        primary, secondary = fields.get("primary_rack"), fields.get("secondary_rack")
        if primary and primary == secondary:
            self.wrong(path + ".secondary_rack", f"{secondary} is the primary rack too; name another or none")
        if "primary_rack" in fields and not primary:
            if secondary:
                self.wrong(path + ".secondary_rack", f"{secondary} cannot stand without a primary_rack; set both")
            if fields.get("dhcp_on"):
                self.wrong(path + ".primary_rack", "is empty while dhcp_on is true; DHCP needs a rack")

    def subnets(self, vlan: tuple, parent: str, items: Optional[list]) -> None:
        if items is None:
            return
        self.wanted.listed["subnets"].add(vlan)
        for item in items:
            path = "{}.subnets.{}".format(parent, item["cidr"])
            try:
                cidr = canonical(item["cidr"])
            except ValueError:
                self.wrong(path, "is not a subnet; expected NETWORK/PREFIX like 10.0.2.0/24")
                continue
            network = ipaddress.ip_network(cidr)
            if network.prefixlen == 0 or "/" not in item["cidr"]:
                self.wrong(path, "has no prefix length from 1 on; expected NETWORK/PREFIX like 10.0.2.0/24")
                continue
            present = _present(item)
            fields = _given(item, SUBNET_FIELDS)
            fields["vlan"] = vlan
            self.number(path + ".rdns_mode", item.get("rdns_mode"), RDNS)
            if item.get("name") is not None and not SUBNET_NAME.match(item["name"]):
                self.wrong(
                    path + ".name", "got {!r}; expected letters, digits, spaces and . : / _ -".format(item["name"])
                )
            self.gateway(path, network, item, fields)
            self.dns(path, item, fields)
            if not present and (item.get("ranges") or item.get("static_routes")):
                self.wrong(
                    path, "a subnet with state absent cannot list ranges or static_routes; remove one of the two"
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
            self.wrong(path + ".gateway_ip", f"{gateway} is outside {network}")
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
                self.wrong(path, "the end comes before the start; swap them")
                continue
            kind = item.get("type")
            if _present(item) and not self.fits(path, network, start, end, kind):
                continue
            key = (cidr, int(start), int(end))
            self.put(self.wanted.ranges, key, Item(path, _present(item), _given(item, ("type", "comment"))))

    def fits(self, path: str, network: Any, start: Any, end: Any, kind: Optional[str]) -> bool:
        """The rules of one range by itself; those that need the gateway or other ranges are the planner's."""
        before = len(self.errors)
        if kind is None:
            self.wrong(path + ".type", "is missing; expected dynamic or reserved")
        if start not in network or end not in network:
            self.wrong(path, f"is outside its subnet {network}")
        elif start == network.network_address:
            self.wrong(path, f"starts with the network address {start}; start one later")
        elif network.version == 4 and end == network.broadcast_address:
            self.wrong(path, f"ends with the broadcast address {end}; end one earlier")
        elif network.version == 6 and kind == "dynamic":
            if int(end) - int(start) + 1 < SMALLEST_V6_POOL:
                self.wrong(path, f"has fewer than {SMALLEST_V6_POOL} addresses, the least MAAS takes for IPv6")
            elif network.prefixlen == 64 and int(start) - int(network.network_address) <= 0xFFFFFFFF:
                self.wrong(path, "MAAS keeps ::1 to ::ffff:ffff of a /64 for itself; start at ::1:0:0 or later")
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
                self.wrong(path, "is not a subnet; expected the CIDR of one that MAAS knows")
                continue
            gateway = self.address(path + ".gateway_ip", item["gateway_ip"], network.version)
            if gateway is None:
                continue
            if _present(item):
                if target == network:
                    self.wrong(path, "is the subnet itself; a route leads elsewhere")
                if target.version != network.version:
                    self.wrong(path, f"is IPv{target.version} and its source IPv{network.version}")
                if gateway not in network:
                    self.wrong(path + ".gateway_ip", f"{gateway} is outside the source {network}")
                if item.get("metric") is not None and item["metric"] < 0:
                    self.wrong(path + ".metric", "got {}, expected 0 or more".format(item["metric"]))
            key = (source, str(target), str(gateway))
            self.put(self.wanted.routes, key, Item(path, _present(item), _given(item, ("metric",))))

    def put(self, where: dict, key: Any, item: Item) -> None:
        if key in where:
            self.wrong(item.path, f"is the same as {where[key].path}; keep one")
        else:
            where[key] = item

    def number(self, path: str, value: Optional[int], bounds: tuple) -> None:
        if value is not None and not bounds[0] <= value <= bounds[1]:
            self.wrong(path, f"{value} is outside {bounds[0]}-{bounds[1]}")

    def address(self, path: str, text: str, version: Optional[int] = None) -> Any:
        try:
            found = ipaddress.ip_address(text)
        except ValueError:
            self.wrong(path, f"{text!r} is not an IP address")
            return None
        if version and found.version != version:
            self.wrong(path, f"{text} is IPv{found.version}, its subnet IPv{version}")
            return None
        return found

    def vlan_key(self, path: str, fabric: str, value: Optional[dict]) -> Optional[tuple]:
        """None: not given; (): an empty dict, which clears; else a VLAN's key, in the same fabric unless said."""
        if value is None:
            return None
        if value.get("vid") is None:
            if value.get("fabric"):
                self.wrong(path, "names a fabric and no vid; give both, or {} to clear")
            return ()
        self.number(path + ".vid", value["vid"], VID)
        return (value.get("fabric") or fabric, value["vid"])


def _present(item: dict) -> bool:
    return item.get("state") != "absent"


def _given(item: dict, names: tuple) -> dict:
    return {name: item[name] for name in names if item.get(name) is not None}
