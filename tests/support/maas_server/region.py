# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A stand-in for the network part of a MAAS 3.6.5 region.  It is not MAAS.

Its rules, bodies and quirks are those of the 135 recorded requests in ``transcripts/``, which
`test_replay` plays against it.  What is not recorded there is marked ``unrecorded``: it follows what
is known of MAAS's forms and models, and a test that leans on it proves less.

`Region.handle` answers one request without a socket; `serve` puts HTTP and OAuth in front of it.
"""

from __future__ import annotations

import contextlib
import copy
import ipaddress
import json
import pathlib
import random
import re
from dataclasses import dataclass, field
from typing import Any, Optional

API = "/MAAS/api/2.0/"
JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"

REQUIRED = "This field is required."
BAD_VID = "VID must be between 0 and 4094."
BAD_CHOICE = "Select a valid choice. That choice is not one of the available choices."
NO_POOL = "dhcp can only be turned on when a dynamic IP range is defined."
NO_RACK = "dhcp can only be turned on when a primary rack controller is set."
VID_TAKEN = "A VLAN with the specified VID already exists in the destination fabric."

_NODE = next(
    entry["response"][0]
    for entry in json.loads((pathlib.Path(__file__).parent / "transcripts" / "3.6.5.json").read_text())
    if entry["path"] == "rackcontrollers/"
)
#: A machine as recorded; what is of its own is laid over it.
_MACHINE = next(
    machine
    for machine in json.loads((pathlib.Path(__file__).parent / "transcripts" / "3.6.5-machines.json").read_text())[0][
        "response"
    ]
    if machine["hostname"] == "deployed1"
)
_NO_GATEWAYS = {version: {"gateway_ip": None, "link_id": None} for version in ("ipv4", "ipv6")}
_USER = {
    "is_superuser": True,
    "username": "admin",
    "email": "admin@example.com",
    "is_local": True,
    "resource_uri": "/MAAS/api/2.0/users/admin/",
}


@dataclass
class Reply:
    """One answer; ``body`` is JSON data, or text where ``content_type`` is not JSON."""

    status: int
    body: Any
    content_type: str = JSON
    headers: dict = field(default_factory=dict)


class Invalid(Exception):
    """A form that does not validate: ``{field: [message]}``."""

    def __init__(self, errors: dict, content_type: str = JSON):
        super().__init__(str(errors))
        self.reply = Reply(400, errors, content_type)


class Failed(Exception):
    """Any other refusal, with its reply."""

    def __init__(self, status: int, text: str, content_type: str = TEXT):
        super().__init__(text)
        self.reply = Reply(status, text, content_type)


def missing(what: str) -> Failed:
    return Failed(404, f"No {what} matches the given query.", "text/plain")


class Region:
    """Fabrics, VLANs, subnets, ranges, spaces, routes, racks and machines, in dicts by id.

    ``shuffle``: a random generator that mixes every list, as MAAS's lists have no order.
    """

    def __init__(self, racks: tuple = ("rack1", "rack2"), shuffle: Optional[random.Random] = None):
        self.shuffle = shuffle
        self.fabrics: dict = {}
        self.vlans: dict = {}
        self.subnets: dict = {}
        self.ranges: dict = {}
        self.spaces: dict = {}
        self.routes: dict = {}
        self.nodes: dict = {}
        self.reserved: list = []
        self.snippets: list = []
        self._next = {"fabric": 0, "vlan": 5001, "subnet": 1, "range": 1, "space": 1, "route": 1, "interface": 1}
        self.add_fabric(None)
        for number, name in enumerate(racks, 1):
            self.add_node(f"rackc{number}", name, 4, {})
            self.plug(f"rackc{number}", 5001)

    # What a test does behind the API's back.

    def add_fabric(self, name: Optional[str]) -> dict:
        number = self._take("fabric")
        fabric = {"id": number, "name": name or f"fabric-{number}", "class_type": None}
        self.fabrics[number] = fabric
        self.add_vlan(number, 0, "Default VLAN")
        return fabric

    def add_vlan(self, fabric: int, vid: int, name: Optional[str] = None) -> dict:
        number = self._take("vlan")
        vlan = {
            "id": number,
            "fabric": fabric,
            "vid": vid,
            "name": name,
            "mtu": 1500,
            "dhcp_on": False,
            "relay_vlan": None,
            "space": None,
            "primary_rack": None,
            "secondary_rack": None,
        }
        self.vlans[number] = vlan
        return vlan

    def add_node(self, system_id: str, hostname: str, node_type: int, facts: dict) -> None:
        """``node_type``: 0 machine, 1 device, 2 rack, 4 region and rack; 4 is shown as 2 as recorded."""
        self.nodes[system_id] = {
            "system_id": system_id,
            "hostname": hostname,
            "node_type": 2 if node_type == 4 else node_type,
            "facts": facts,
            "interfaces": {},
        }

    def plug(self, system_id: str, vlan: int, links: tuple = (), name: str = "", kind: str = "physical") -> int:
        """Gives a node an interface on a VLAN; ``links``: (subnet id, address) pairs; ``kind``: ``vlan`` for a tagged one."""
        number = self._take("interface")
        macs = {1: "52:54:00:b1:6d:8a", 2: "52:54:00:23:96:3b"}
        mac = macs.get(number, f"52:54:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}")
        self.nodes[system_id]["interfaces"][number] = {
            "id": number,
            "name": name or f"eth{vlan}",
            "type": kind,
            "vlan": vlan,
            "mac_address": mac,
            "links": list(links),
        }
        return number

    def _take(self, kind: str) -> int:
        number = self._next[kind]
        self._next[kind] += 1
        return number

    # What MAAS shows.

    def default_vlan(self, fabric: int) -> dict:
        return min((vlan for vlan in self.vlans.values() if vlan["fabric"] == fabric), key=lambda vlan: vlan["id"])

    def space_name(self, vlan: dict) -> str:
        return "undefined" if vlan["space"] is None else self.spaces[vlan["space"]]["name"]

    def show_fabric(self, fabric: dict) -> dict:
        vlans = [self.show_vlan(vlan) for vlan in self.vlans.values() if vlan["fabric"] == fabric["id"]]
        return {
            "class_type": fabric["class_type"],
            "vlans": self._mixed(vlans),
            "name": fabric["name"],
            "id": fabric["id"],
            "resource_uri": API + "fabrics/{}/".format(fabric["id"]),
        }

    def show_vlan(self, vlan: dict) -> dict:
        name = vlan["name"] if vlan["name"] is not None else str(vlan["vid"])
        name = name or None
        relay = self.vlans.get(vlan["relay_vlan"])
        return {
            "vid": vlan["vid"],
            "mtu": vlan["mtu"],
            "dhcp_on": vlan["dhcp_on"],
            "external_dhcp": None,
            "relay_vlan": self.show_vlan(relay) if relay else None,
            "id": vlan["id"],
            "fabric_id": vlan["fabric"],
            "fabric": self.fabrics[vlan["fabric"]]["name"],
            "secondary_rack": vlan["secondary_rack"],
            "space": self.space_name(vlan),
            "primary_rack": vlan["primary_rack"],
            "name": "untagged" if self.default_vlan(vlan["fabric"]) is vlan else name,
            "resource_uri": API + "vlans/{}/".format(vlan["id"]),
        }

    def show_subnet(self, subnet: dict, written: bool = False) -> dict:
        """``written``: the answer to a write, in which no gateway is "" and not null."""
        vlan = self.vlans[subnet["vlan"]]
        return {
            "name": subnet["name"],
            "description": subnet["description"],
            "vlan": self.show_vlan(vlan),
            "cidr": subnet["cidr"],
            "rdns_mode": subnet["rdns_mode"],
            "gateway_ip": subnet["gateway_ip"] or ("" if written else None),
            "dns_servers": list(subnet["dns_servers"]),
            "allow_dns": subnet["allow_dns"],
            "allow_proxy": subnet["allow_proxy"],
            "active_discovery": subnet["active_discovery"],
            "managed": subnet["managed"],
            "disabled_boot_architectures": [],
            "id": subnet["id"],
            "space": self.space_name(vlan),
            "resource_uri": API + "subnets/{}/".format(subnet["id"]),
        }

    def show_range(self, item: dict) -> dict:
        return {
            "subnet": self.show_subnet(self.subnets[item["subnet"]]),
            "type": item["type"],
            "start_ip": str(item["start"]),
            "end_ip": str(item["end"]),
            "user": dict(_USER),
            "comment": item["comment"],
            "id": item["id"],
            "resource_uri": API + "ipranges/{}/".format(item["id"]),
        }

    def show_space(self, space: Optional[dict]) -> dict:
        number = space["id"] if space else None
        vlans = [vlan for vlan in self.vlans.values() if vlan["space"] == number]
        ids = {vlan["id"] for vlan in vlans}
        shown = {
            "description": space["description"]
            if space
            else "Backward compatibility object to ensure objects not associated with a space can be found.",
            "id": number if space else -1,
            "resource_uri": API + "spaces/%s/" % (number if space else "undefined"),
            "subnets": [self.show_subnet(subnet) for subnet in self.subnets.values() if subnet["vlan"] in ids],
            "vlans": [self.show_vlan(vlan) for vlan in vlans],
            "name": space["name"] if space else "undefined",
        }
        return shown

    def show_route(self, route: dict) -> dict:
        return {
            "source": self.show_subnet(self.subnets[route["source"]]),
            "destination": self.show_subnet(self.subnets[route["destination"]]),
            "gateway_ip": str(route["gateway_ip"]),
            "metric": route["metric"],
            "id": route["id"],
            "resource_uri": API + "static-routes/{}/".format(route["id"]),
        }

    def show_node(self, node: dict) -> dict:
        """A rack and a machine, each in the form that was recorded of one."""
        shown = copy.deepcopy(_NODE if node["node_type"] == 2 else _MACHINE)
        kind = "rackcontrollers" if node["node_type"] == 2 else "machines"
        shown.update(
            hostname=node["hostname"],
            fqdn=node["hostname"] + ".maas",
            system_id=node["system_id"],
            node_type=node["node_type"],
            resource_uri=API + "{}/{}/".format(kind, node["system_id"]),
        )
        template = shown["interface_set"][0]
        shown["interface_set"] = [self._show_interface(template, node, item) for item in node["interfaces"].values()]
        if node["node_type"] == 0:
            first = shown["interface_set"][0] if shown["interface_set"] else None
            addresses = [
                address for item in node["interfaces"].values() for _subnet, address in item["links"] if address
            ]
            shown.update(
                {
                    "boot_interface": first,
                    "default_gateways": _NO_GATEWAYS,
                    "ip_addresses": addresses,
                    "status_name": "Deployed",
                    "power_state": "on",
                    "tag_names": [],
                }
            )
            shown.update(node["facts"])
        return shown

    def _show_interface(self, template: dict, node: dict, item: dict) -> dict:
        links = [
            {"id": number, "mode": "auto", "subnet": self.show_subnet(self.subnets[subnet]), "ip_address": address}
            for number, (subnet, address) in enumerate(item["links"], 1)
        ]
        return {
            **copy.deepcopy(template),
            "effective_mtu": self.vlans[item["vlan"]]["mtu"] if item["vlan"] is not None else 1500,
            "vlan": self.show_vlan(self.vlans[item["vlan"]]) if item["vlan"] is not None else None,
            "id": item["id"],
            "name": item["name"],
            "type": item["type"],
            "mac_address": item["mac_address"],
            "links": links,
            "system_id": node["system_id"],
            "resource_uri": API + "nodes/{}/interfaces/{}/".format(node["system_id"], item["id"]),
        }

    def _mixed(self, items: list) -> list:
        if self.shuffle:
            self.shuffle.shuffle(items)
        return items

    # Requests.

    def handle(self, method: str, path: str, data: dict) -> Reply:
        """``path`` is below ``/MAAS/api/2.0/``; ``data`` are the form's fields as text."""
        found = ((pattern.fullmatch(path), kind) for pattern, kind in _ROUTES)
        match, kind = next((pair for pair in found if pair[0]), (None, ""))
        if match is None:
            return Reply(404, f"Unknown API endpoint: {API}{path}.", TEXT)
        action = getattr(self, f"{method.lower()}_{kind}", None)
        if action is None:
            return Reply(405, "", "text/html; charset=utf-8")
        try:
            body = action(data, *match.groups())
        except (Invalid, Failed) as error:
            return error.reply
        return Reply(204, "", "text/plain") if method == "DELETE" else Reply(200, body)

    def get_version(self, _data: dict) -> dict:
        names = "networks-management static-ipaddresses ipv6-deployment-ubuntu devices-management "
        names += "storage-deployment-ubuntu network-deployment-ubuntu bridging-interface-ubuntu "
        names += "bridging-automatic-ubuntu authenticate-api"
        return {"capabilities": names.split(), "version": "3.6.5", "subversion": ""}

    def get_racks(self, data: dict) -> list:
        return self._some_nodes(data, [2])

    def get_machines(self, data: dict) -> list:
        return self._some_nodes(data, [0])

    def get_machine(self, _data: dict, system_id: str) -> dict:
        node = self.nodes.get(system_id)
        if node is None or node["node_type"] != 0:
            raise Failed(404, "No Machine matches the given query.")
        return self.show_node(node)

    def _some_nodes(self, data: dict, types: list) -> list:
        """The nodes of some types, or those of the ``status`` (``deployed``) and ``hostname`` in the query; another filter is
        a 400."""
        unknown = sorted(set(data) - {"status", "hostname"})
        if unknown:
            raise Invalid({name: ["No such constraint."] for name in unknown})
        shown = [self.show_node(node) for node in self.nodes.values() if node["node_type"] in types]
        # What was recorded of a rack alone has no status.
        statuses = [item.get("status_name", "").lower().replace(" ", "_") for item in shown]
        return self._mixed(
            [
                item
                for item, status in zip(shown, statuses)
                if data.get("status", status) == status and data.get("hostname", item["hostname"]) == item["hostname"]
            ]
        )

    def get_nodes(self, data: dict) -> list:
        return self._some_nodes(data, [0, 1, 2])

    # Fabrics.

    def get_fabrics(self, _data: dict) -> list:
        return self._mixed([self.show_fabric(fabric) for fabric in self.fabrics.values()])

    def post_fabrics(self, data: dict) -> dict:
        self._check_fabric(data, None)
        fabric = self.add_fabric(data.get("name") or None)
        fabric["class_type"] = data.get("class_type") or None
        return self.show_fabric(fabric)

    def get_fabric(self, _data: dict, ident: str) -> dict:
        return self.show_fabric(self._fabric(ident))

    def put_fabric(self, data: dict, ident: str) -> dict:
        fabric = self._fabric(ident)
        self._check_fabric(data, fabric)
        if data.get("name"):
            fabric["name"] = data["name"]
        # An empty string does not clear the class.
        if data.get("class_type"):
            fabric["class_type"] = data["class_type"]
        return self.show_fabric(fabric)

    def delete_fabric(self, _data: dict, ident: str) -> None:
        fabric = self._fabric(ident)
        if fabric["id"] == 0:
            raise Failed(400, "This fabric is the default fabric, it cannot be deleted.")
        vlans = {number for number, vlan in self.vlans.items() if vlan["fabric"] == fabric["id"]}
        cidrs = [subnet["cidr"] for subnet in self.subnets.values() if subnet["vlan"] in vlans]
        if cidrs:
            cidrs.sort(key=lambda cidr: (":" in cidr, ipaddress.ip_network(cidr)))
            raise Failed(
                400, "Can't delete fabric; the following subnets are still present: {}".format(", ".join(cidrs))
            )
        held = [
            "{} (physical) on {}".format(item["name"], node["hostname"])
            for node in self.nodes.values()
            for item in node["interfaces"].values()
            if item["vlan"] in vlans
        ]
        if held:  # unrecorded
            raise Failed(
                400, "Can't delete fabric; the following interfaces are still connected: {}".format(", ".join(held))
            )
        for number in vlans:
            self._drop_vlan(number)
        del self.fabrics[fabric["id"]]

    def _fabric(self, ident: str) -> dict:
        for fabric in self.fabrics.values():
            if str(fabric["id"]) == ident or fabric["name"] == ident:
                return fabric
        raise missing("Fabric")

    def _check_fabric(self, data: dict, fabric: Optional[dict]) -> None:
        name = data.get("name")
        if not name:
            return
        if re.fullmatch(r"fabric-\d+", name) and (fabric is None or name != "fabric-{}".format(fabric["id"])):
            raise Invalid({"name": ["Reserved fabric name."]})
        if not re.fullmatch(r"[\w-]+", name):  # unrecorded
            raise Invalid({"name": [f"Invalid fabric name: {name}."]})
        if any(other["name"] == name and other is not fabric for other in self.fabrics.values()):
            raise Invalid({"name": ["Fabric with this Name already exists."]})

    # VLANs.

    def get_fabric_vlans(self, _data: dict, ident: str) -> list:
        fabric = self._fabric(ident)
        return self._mixed([self.show_vlan(vlan) for vlan in self.vlans.values() if vlan["fabric"] == fabric["id"]])

    def post_fabric_vlans(self, data: dict, ident: str) -> dict:
        fabric = self._fabric(ident)
        if _boolean(data.get("dhcp_on", "false")):  # a 500 by the facts; its text is unrecorded
            raise Failed(500, "'VLAN' instance needs to have a primary key value before this relationship can be used.")
        blank = {"id": None, "fabric": fabric["id"], "vid": None, "name": None, "mtu": 1500, "dhcp_on": False}
        blank.update(relay_vlan=None, space=None, primary_rack=None, secondary_rack=None)
        cleaned = self._vlan_form(data, blank)
        vlan = self.add_vlan(fabric["id"], cleaned["vid"], cleaned["name"])
        vlan.update(mtu=cleaned["mtu"], space=cleaned["space"], relay_vlan=cleaned["relay_vlan"])
        return self.show_vlan(vlan)

    def get_fabric_vlan(self, data: dict, fabric: str, vid: str) -> dict:
        return self.show_vlan(self._fabric_vlan(fabric, vid))

    def put_fabric_vlan(self, data: dict, fabric: str, vid: str) -> dict:
        return self._update_vlan(self._fabric_vlan(fabric, vid), data)

    def delete_fabric_vlan(self, _data: dict, fabric: str, vid: str) -> None:
        self._delete_vlan(self._fabric_vlan(fabric, vid))

    def get_vlan(self, _data: dict, ident: str) -> dict:
        return self.show_vlan(self._vlan(ident))

    def put_vlan(self, data: dict, ident: str) -> dict:
        return self._update_vlan(self._vlan(ident), data)

    def delete_vlan(self, _data: dict, ident: str) -> None:
        self._delete_vlan(self._vlan(ident))

    def _vlan(self, ident: str) -> dict:
        if int(ident) not in self.vlans:
            raise missing("VLAN")
        return self.vlans[int(ident)]

    def _fabric_vlan(self, fabric: str, ident: str) -> dict:
        number = self._fabric(fabric)["id"]
        wanted = "0" if ident == "untagged" else ident
        for vlan in self.vlans.values():
            if vlan["fabric"] == number and wanted in (str(vlan["vid"]), vlan["name"]):
                return vlan
        raise missing("VLAN")

    def _update_vlan(self, vlan: dict, data: dict) -> dict:
        cleaned = self._vlan_form(data, vlan)
        old = vlan["fabric"]
        vlan.update(cleaned)
        if vlan["dhcp_on"]:
            vlan["relay_vlan"] = None
        if vlan["fabric"] != old and not any(other["fabric"] == old for other in self.vlans.values()):
            # Moving a fabric's last VLAN out deletes the fabric.
            del self.fabrics[old]
        return self.show_vlan(vlan)

    def _vlan_form(self, data: dict, vlan: dict) -> dict:
        """All fields after validation; what was not sent is validated anew with its present value."""
        errors: dict = {}
        result = {name: value for name, value in vlan.items() if name != "id"}
        result["vid"] = self._vid(data, vlan, errors)
        result["mtu"] = self._mtu(data, vlan, errors)
        if "name" in data:
            # An empty name clears it; it reads null then.
            result["name"] = data["name"].strip()
            if result["name"] and not re.fullmatch(r"\w[ \w-]*", result["name"]):  # unrecorded
                errors["name"] = ["Enter a valid value."]
            _length(result["name"], 256, "name", errors)
        if "space" in data:
            result["space"] = self._space_choice(data["space"], errors)
        if data.get("fabric"):
            result["fabric"] = self._fabric(data["fabric"])["id"]
        dhcp_on: Optional[bool] = _boolean(data["dhcp_on"]) if "dhcp_on" in data else vlan["dhcp_on"]
        if dhcp_on and not self._has_pool(vlan):
            errors["dhcp_on"] = [NO_POOL]
            dhcp_on = None
        result["relay_vlan"] = self._relay_choice(data, vlan, errors)
        racks = {}
        for name in ("primary_rack", "secondary_rack"):
            racks[name] = self._rack_choice(data.get(name, vlan[name]), vlan, name, errors)
        self._clean_racks(racks, vlan, bool(dhcp_on), errors)
        result.update(racks, dhcp_on=bool(dhcp_on))
        taken = any(
            other["vid"] == result["vid"] and other["fabric"] == result["fabric"] and other is not vlan
            for other in self.vlans.values()
        )
        if not errors and taken:
            # As recorded: found by the form on PUT, by the database on POST.
            raise Invalid({"__all__": [VID_TAKEN]}, JSON if vlan["id"] is not None else "application/json")
        if errors:
            raise Invalid(errors)
        return result

    def _vid(self, data: dict, vlan: dict, errors: dict) -> Optional[int]:
        text = data.get("vid", vlan["vid"])
        if text is None or text == "":
            errors["vid"] = [REQUIRED, BAD_VID]
            return None
        if not 0 <= int(text) <= 4094:
            errors["vid"] = [BAD_VID]
        return int(text)

    def _mtu(self, data: dict, vlan: dict, errors: dict) -> int:
        mtu = int(data.get("mtu") or vlan["mtu"])
        if mtu < 552:
            errors["mtu"] = ["Ensure this value is greater than or equal to 552."]
        elif mtu > 65535:  # unrecorded
            errors["mtu"] = ["MTU must be between 552 and 65535."]
        return mtu

    def _space_choice(self, text: str, errors: dict) -> Optional[int]:
        if text == "":
            return None
        if not text.isdigit() or int(text) not in self.spaces:  # unrecorded
            errors["space"] = [BAD_CHOICE]
            return None
        return int(text)

    def _relay_choice(self, data: dict, vlan: dict, errors: dict) -> Optional[int]:
        """Neither itself, nor one that is relayed, nor any while DHCP is (still) on here."""
        text = data.get("relay_vlan", vlan["relay_vlan"])
        if text is None or text == "":
            return None
        number = int(text)
        target = self.vlans.get(number)
        if vlan["dhcp_on"]:
            allowed = number == vlan["relay_vlan"]
        else:
            allowed = target is not None and target is not vlan and target["relay_vlan"] is None
        if not allowed:
            errors["relay_vlan"] = [BAD_CHOICE]
        return number

    def _rack_choice(self, text: Optional[str], vlan: dict, name: str, errors: dict) -> Optional[str]:
        """The system id of a rack with an interface on a VLAN with this vid, in whatever fabric."""
        if not text:
            return None
        for node in self.nodes.values():
            vids = {
                self.vlans[item["vlan"]]["vid"] for item in node["interfaces"].values() if item["vlan"] in self.vlans
            }
            if node["node_type"] == 2 and text in (node["system_id"], node["hostname"]) and vlan["vid"] in vids:
                return node["system_id"]
        errors[name] = [f"Select a valid choice. {text} is not one of the available choices."]
        return None

    def _clean_racks(self, racks: dict, vlan: dict, dhcp_on: bool, errors: dict) -> None:
        """The secondary is promoted where the primary goes, and dropped where it becomes the primary."""
        if not racks["primary_rack"] and vlan["secondary_rack"]:
            racks.update(primary_rack=vlan["secondary_rack"], secondary_rack=None)
        if racks["primary_rack"] and racks["primary_rack"] == vlan["secondary_rack"]:
            racks["secondary_rack"] = None
        second = racks["secondary_rack"]
        if second and second == vlan["primary_rack"]:  # unrecorded
            errors.setdefault("__all__", [f"{second} is already set as the primary rack controller"])
        elif second and second == racks["primary_rack"]:  # unrecorded
            errors.setdefault("__all__", ["The primary and secondary rack must be different"])
        elif dhcp_on and not racks["primary_rack"] and not vlan["primary_rack"]:
            errors.setdefault("__all__", [NO_RACK])

    def _has_pool(self, vlan: dict) -> bool:
        return any(
            item["type"] == "dynamic" and self.subnets[item["subnet"]]["vlan"] == vlan["id"]
            for item in self.ranges.values()
        )

    def _delete_vlan(self, vlan: dict) -> None:
        default = self.default_vlan(vlan["fabric"])
        if vlan is default:
            raise Failed(400, "This VLAN is the default VLAN in the fabric, it cannot be deleted.")
        for subnet in self.subnets.values():
            if subnet["vlan"] == vlan["id"]:
                subnet["vlan"] = default["id"]
        for node in self.nodes.values():
            for item in node["interfaces"].values():
                if item["vlan"] == vlan["id"] and item["type"] != "vlan":
                    item["vlan"] = default["id"]
            # Tagged interfaces go, with their addresses.
            node["interfaces"] = {
                number: item for number, item in node["interfaces"].items() if item["vlan"] != vlan["id"]
            }
        self._drop_vlan(vlan["id"])

    def _drop_vlan(self, number: int) -> None:
        del self.vlans[number]
        for other in self.vlans.values():
            if other["relay_vlan"] == number:
                other["relay_vlan"] = None

    # Spaces.

    def get_spaces(self, _data: dict) -> list:
        return self._mixed([self.show_space(space) for space in self.spaces.values()] + [self.show_space(None)])

    def post_spaces(self, data: dict) -> dict:
        self._check_space(data, None)
        number = self._take("space")
        name = data.get("name") or f"space-{number}"
        space = {"id": number, "name": name, "description": data.get("description", "").strip()}
        self.spaces[number] = space
        return self.show_space(space)

    def get_space(self, _data: dict, ident: str) -> dict:
        return self.show_space(self._space(ident))

    def put_space(self, data: dict, ident: str) -> dict:
        space = self._space(ident)
        self._check_space(data, space)
        space.update({name: data[name].strip() for name in ("name", "description") if name in data})
        return self.show_space(space)

    def delete_space(self, _data: dict, ident: str) -> None:
        number = self._space(ident)["id"]
        for vlan in self.vlans.values():
            if vlan["space"] == number:
                vlan["space"] = None
        del self.spaces[number]

    def _space(self, ident: str) -> dict:
        for space in self.spaces.values():
            if str(space["id"]) == ident or space["name"] == ident:
                return space
        raise missing("Space")

    def _check_space(self, data: dict, space: Optional[dict]) -> None:
        name = data.get("name")
        if not name:
            return  # a PUT needs none, and a POST without one gets space-N
        if name == "undefined" or not re.fullmatch(r"[\w-]+", name):  # the text is unrecorded
            raise Invalid({"name": ["Enter a valid value."]})
        if re.fullmatch(r"space-\d+", name) and not (space and space["name"] == name):
            raise Invalid({"name": ["Reserved space name."]})
        if any(other["name"] == name and other is not space for other in self.spaces.values()):  # unrecorded
            raise Invalid({"name": ["Space with this Name already exists."]})

    # Subnets.

    def get_subnets(self, _data: dict) -> list:
        return self._mixed([self.show_subnet(subnet) for subnet in self.subnets.values()])

    def post_subnets(self, data: dict) -> dict:
        blank = {
            "id": None,
            "name": "",
            "description": "",
            "vlan": self.default_vlan(0)["id"],
            "cidr": None,
            "gateway_ip": None,
            "dns_servers": [],
            "rdns_mode": 2,
            "allow_dns": True,
            "allow_proxy": True,
            "active_discovery": False,
            "managed": True,
        }
        subnet = self._subnet_form(data, blank)
        subnet["id"] = self._take("subnet")
        self.subnets[subnet["id"]] = subnet
        return self.show_subnet(subnet, written=True)

    def get_subnet(self, data: dict, ident: str) -> Any:
        if data.get("op") == "ip_addresses":
            return self._mixed(self.in_use(self._subnet(ident)["id"]))
        return self.show_subnet(self._subnet(ident))

    def in_use(self, number: int) -> list:
        """The addresses of a subnet that something has (the form is the API's own description; not recorded)."""
        network = ipaddress.ip_network(self.subnets[number]["cidr"])
        links = [
            address
            for node in self.nodes.values()
            for item in node["interfaces"].values()
            for subnet, address in item["links"]
            if subnet == number and address
        ]
        reserved = [item["ip"] for item in self.reserved if ipaddress.ip_address(item["ip"]) in network]
        return [{"ip": text, "alloc_type": 1} for text in links] + [{"ip": text, "alloc_type": 5} for text in reserved]

    def get_reservedips(self, _data: dict) -> list:
        return self._mixed(list(self.reserved))

    def get_snippets(self, _data: dict) -> list:
        return self._mixed(list(self.snippets))

    def put_subnet(self, data: dict, ident: str) -> dict:
        subnet = self._subnet(ident)
        subnet.update(self._subnet_form(data, subnet))
        return self.show_subnet(subnet, written=True)

    def delete_subnet(self, _data: dict, ident: str) -> None:
        subnet = self._subnet(ident)
        pools = [item for item in self.ranges.values() if item["subnet"] == subnet["id"] and item["type"] == "dynamic"]
        if self.vlans[subnet["vlan"]]["dhcp_on"] and pools:
            raise Failed(
                400,
                "Cannot delete a subnet that is actively servicing a dynamic IP range. "
                "(Delete the dynamic range or disable DHCP first.)",
            )
        number = subnet["id"]
        network = ipaddress.ip_network(subnet["cidr"])
        del self.subnets[number]
        for node in self.nodes.values():
            for item in node["interfaces"].values():
                item["links"] = [link for link in item["links"] if link[0] != number]
        self.reserved = [item for item in self.reserved if ipaddress.ip_address(item["ip"]) not in network]
        self.snippets = [item for item in self.snippets if (item["subnet"] or {}).get("id") != number]
        self.ranges = {key: item for key, item in self.ranges.items() if item["subnet"] != number}
        self.routes = {
            key: route for key, route in self.routes.items() if number not in (route["source"], route["destination"])
        }

    def _subnet(self, ident: str) -> dict:
        if ident.isdigit():
            found = self.subnets.get(int(ident))
        else:
            with contextlib.suppress(ValueError):
                ident = str(ipaddress.ip_network(ident, strict=False))
            found = next((item for item in self.subnets.values() if ident in (item["cidr"], item["name"])), None)
        if found is None:
            raise missing("Subnet")
        return found

    def _subnet_form(self, data: dict, subnet: dict) -> dict:
        errors: dict = {}
        result = dict(subnet)
        result["cidr"] = self._cidr(data, subnet, errors)
        result["name"] = data.get("name", "").strip() or subnet["name"] or data.get("cidr", "")
        _length(result["name"], 255, "name", errors)
        if "description" in data:
            result["description"] = data["description"].strip()
        # `fabric` and `vid` are ignored on PUT; only the VLAN's id moves a subnet.
        if data.get("vlan"):
            result["vlan"] = int(data["vlan"]) if data["vlan"].isdigit() else -1
            if result["vlan"] not in self.vlans:
                errors["vlan"] = [BAD_CHOICE]
        elif subnet["id"] is None and data.get("fabric"):
            fabric = self._fabric(data["fabric"])["id"]
            result["vlan"] = next(
                (
                    key
                    for key, vlan in self.vlans.items()
                    if (vlan["fabric"], str(vlan["vid"])) == (fabric, data.get("vid"))
                ),
                self.default_vlan(fabric)["id"],
            )
        if "gateway_ip" in data:
            result["gateway_ip"] = str(ipaddress.ip_address(data["gateway_ip"])) if data["gateway_ip"] else None
        if "dns_servers" in data:
            result["dns_servers"] = re.split(r"[,\s]+", data["dns_servers"]) if data["dns_servers"] else []
        if "rdns_mode" in data:
            if data["rdns_mode"] not in ("0", "1", "2"):  # unrecorded
                errors["rdns_mode"] = [
                    "Select a valid choice. {} is not one of the available choices.".format(data["rdns_mode"])
                ]
            else:
                result["rdns_mode"] = int(data["rdns_mode"])
        for name in ("allow_dns", "allow_proxy", "active_discovery", "managed"):
            if name in data:
                result[name] = _boolean(data[name])
        if "cidr" not in errors and result["gateway_ip"]:
            gateway, network = ipaddress.ip_address(result["gateway_ip"]), ipaddress.ip_network(result["cidr"])
            if gateway not in network and not (network.version == 6 and gateway.is_link_local):
                errors["gateway_ip"] = ["Gateway IP must be within CIDR range."]
        if errors:
            raise Invalid(errors)
        return result

    def _cidr(self, data: dict, subnet: dict, errors: dict) -> Optional[str]:
        if "cidr" not in data:
            if subnet["cidr"] is None:  # unrecorded
                errors["cidr"] = [REQUIRED]
            return subnet["cidr"]
        try:
            cidr = str(ipaddress.ip_network(data["cidr"], strict=False))
        except ValueError:
            errors["cidr"] = ["Required format: <network>/<prefixlen>."]
            return None
        # Only the same CIDR is refused; a nested one is taken.
        if any(other["cidr"] == cidr and other is not subnet for other in self.subnets.values()):
            errors["cidr"] = ["Subnet with this Cidr already exists."]
        return cidr

    # Ranges.

    def get_ranges(self, _data: dict) -> list:
        return self._mixed([self.show_range(item) for item in self.ranges.values()])

    def post_ranges(self, data: dict) -> dict:
        blank = {"id": None, "subnet": None, "type": None, "start": None, "end": None, "comment": ""}
        item = self._range_form(data, blank)
        item["id"] = self._take("range")
        self.ranges[item["id"]] = item
        return self.show_range(item)

    def get_range(self, _data: dict, ident: str) -> dict:
        return self.show_range(self._range(ident))

    def put_range(self, data: dict, ident: str) -> dict:
        item = self._range(ident)
        item.update(self._range_form(data, item))
        return self.show_range(item)

    def delete_range(self, _data: dict, ident: str) -> None:
        # Also with DHCP on, also the last one: the VLAN is then locked.
        del self.ranges[self._range(ident)["id"]]

    def _range(self, ident: str) -> dict:
        if int(ident) not in self.ranges:
            raise missing("IPRange")
        return self.ranges[int(ident)]

    def _range_form(self, data: dict, item: dict) -> dict:
        result = dict(item)
        result["type"] = data.get("type", item["type"])
        # An empty comment is taken for none: the old one stays.
        result["comment"] = data.get("comment", "").strip() or item["comment"]
        errors: dict = {}
        _length(result["comment"], 255, "comment", errors)
        if errors:
            raise Invalid(errors)
        try:
            for name in ("start", "end"):
                if name + "_ip" in data:
                    result[name] = ipaddress.ip_address(data[name + "_ip"])
        except ValueError:
            raise Failed(500, "argument of type 'NoneType' is not iterable") from None
        result["subnet"] = self._range_subnet(data, item, result)
        if result["type"] not in ("dynamic", "reserved"):
            text = "Select a valid choice. {} is not one of the available choices.".format(result["type"])
            raise Invalid({"type": [text]})
        self._check_range(result, item)
        return result

    def _range_subnet(self, data: dict, item: dict, result: dict) -> int:
        if item["subnet"] is not None:
            return item["subnet"]
        if data.get("subnet"):
            if int(data["subnet"]) not in self.subnets:
                raise Invalid({"subnet": [BAD_CHOICE]})
            return int(data["subnet"])
        for number, subnet in self.subnets.items():
            network = ipaddress.ip_network(subnet["cidr"])
            if result["start"] is not None and result["start"] in network:
                return number
        if result["type"] == "dynamic":  # a 500 by the facts; its text is unrecorded
            raise Failed(500, "'subnet'")
        raise Invalid({"subnet": [REQUIRED]})

    def _check_range(self, item: dict, old: dict) -> None:
        start, end = item["start"], item["end"]
        network = ipaddress.ip_network(self.subnets[item["subnet"]]["cidr"])
        if int(end) < int(start):
            if item["type"] == "dynamic":
                raise Failed(500, "lower bound IP greater than upper bound!")
            raise Invalid({"end_ip": ["End IP address must not be less than Start IP address."]})  # unrecorded
        outside = [name for name, value in (("start_ip", start), ("end_ip", end)) if value not in network]
        if len(outside) == 2:
            _both(f"IP addresses must be within subnet: {network}.")
        if outside:  # unrecorded
            word = "Start" if outside[0] == "start_ip" else "End"
            raise Invalid({outside[0]: [f"{word} IP address must be within subnet: {network}."]})
        if network.num_addresses > 2 and start == network.network_address:  # unrecorded
            raise Invalid({"start_ip": ["Reserved network address cannot be included in IP range."]})
        if network.num_addresses > 2 and network.version == 4 and end == network.broadcast_address:  # unrecorded
            raise Invalid({"end_ip": ["Broadcast address cannot be included in IP range."]})
        if network.version == 6 and item["type"] == "dynamic" and int(end) - int(start) + 1 < 256:
            _both("IPv6 dynamic range must be at least 256 addresses in size.")
        if (
            item["type"] == "dynamic"
            and not self.subnets[item["subnet"]]["managed"]
            and not any(
                other["subnet"] == item["subnet"]
                and other["type"] == "reserved"
                and other is not old
                and other["start"] <= start
                and end <= other["end"]
                for other in self.ranges.values()
            )
        ):
            _both("There is no room for any dynamic ranges on this subnet.")
        taken = self._taken(item, old, network)
        if any(low <= int(end) and int(start) <= high for low, high in taken):
            kind = "IP address or range" if item["type"] == "dynamic" else "range"
            _both("Requested {} range conflicts with an existing {}.".format(item["type"], kind))

    def _taken(self, item: dict, old: dict, network: Any) -> list:
        """(first, last) of what the range may not touch."""
        subnet = self.subnets[item["subnet"]]
        # Where MAAS does not manage the subnet, pools lie inside of reserved ranges.
        taken = [
            (int(other["start"]), int(other["end"]))
            for other in self.ranges.values()
            if other["subnet"] == item["subnet"]
            and other is not old
            and (subnet["managed"] or other["type"] == item["type"])
        ]
        base = int(network.network_address)
        if network.version == 6 and network.prefixlen == 64:
            # Recorded: fd00:2::1:0 of fd00:2::/64 conflicts with nothing that was made.
            taken.append((base + 1, base + 0xFFFFFFFF))
        if item["type"] == "dynamic":
            fixed = [subnet["gateway_ip"]] + list(subnet["dns_servers"])
            fixed += [str(route["gateway_ip"]) for route in self.routes.values() if route["source"] == item["subnet"]]
            numbers = [
                int(ipaddress.ip_address(text)) for text in fixed if text and (":" in text) == (network.version == 6)
            ]
            numbers += [int(ipaddress.ip_address(shown["ip"])) for shown in self.in_use(item["subnet"])]
            taken += [(number, number) for number in numbers]
        return taken

    # Static routes.

    def get_routes(self, _data: dict) -> list:
        return self._mixed([self.show_route(route) for route in self.routes.values()])

    def post_routes(self, data: dict) -> dict:
        route = self._route_form(
            data, {"id": None, "source": None, "destination": None, "gateway_ip": None, "metric": 0}
        )
        route["id"] = self._take("route")
        self.routes[route["id"]] = route
        return self.show_route(route)

    def put_route(self, data: dict, ident: str) -> dict:
        route = self._route(ident)
        route.update(self._route_form(data, route))
        return self.show_route(route)

    def delete_route(self, _data: dict, ident: str) -> None:
        del self.routes[self._route(ident)["id"]]

    def _route(self, ident: str) -> dict:
        if int(ident) not in self.routes:
            raise missing("StaticRoute")
        return self.routes[int(ident)]

    def _route_form(self, data: dict, route: dict) -> dict:
        result = dict(route)
        for name in ("source", "destination"):
            if name in data:
                result[name] = int(data[name])
                if result[name] not in self.subnets:
                    raise Invalid({name: [BAD_CHOICE]})
        if "gateway_ip" in data:
            result["gateway_ip"] = ipaddress.ip_address(data["gateway_ip"])
        result["metric"] = int(data.get("metric", route["metric"]))
        source, target = (
            ipaddress.ip_network(self.subnets[result[name]]["cidr"]) for name in ("source", "destination")
        )
        if source == target:  # unrecorded
            raise Invalid({"__all__": ["source and destination cannot be the same subnet."]})
        if source.version != target.version:  # unrecorded
            raise Invalid({"__all__": ["source and destination must be the same IP version."]})
        if result["gateway_ip"] not in source:
            raise Invalid(
                {
                    "gateway_ip": [f"Enter an IP address in {source}."],
                    "__all__": ["gateway_ip must be with in the source subnet."],
                }
            )
        same = ("source", "destination", "gateway_ip")
        if any(all(o[n] == result[n] for n in same) and o is not route for o in self.routes.values()):  # unrecorded
            raise Invalid({"__all__": ["Static route with this Source, Destination and Gateway IP already exists."]})
        return result


def _boolean(text: str) -> bool:
    """Only ``false`` (and nothing at all) is false; ``0`` and ``no`` are true."""
    return bool(text) and text.lower() != "false"


def _length(text: str, most: int, name: str, errors: dict) -> None:
    if len(text) > most:  # the text is Django's own
        errors[name] = [f"Ensure this value has at most {most} characters (it has {len(text)})."]


def _both(message: str) -> None:
    raise Invalid({"start_ip": [message], "end_ip": [message]})


_ROUTES = tuple(
    (re.compile(pattern), kind)
    for pattern, kind in (
        (r"version/", "version"),
        (r"fabrics/", "fabrics"),
        (r"fabrics/([^/]+)/", "fabric"),
        (r"fabrics/([^/]+)/vlans/", "fabric_vlans"),
        (r"fabrics/([^/]+)/vlans/([^/]+)/", "fabric_vlan"),
        (r"vlans/(\d+)/", "vlan"),
        (r"subnets/", "subnets"),
        (r"subnets/(.+)/", "subnet"),
        (r"ipranges/", "ranges"),
        (r"ipranges/(\d+)/", "range"),
        (r"spaces/", "spaces"),
        (r"spaces/([^/]+)/", "space"),
        (r"static-routes/", "routes"),
        (r"static-routes/(\d+)/", "route"),
        (r"rackcontrollers/", "racks"),
        (r"machines/", "machines"),
        (r"machines/([^/]+)/", "machine"),
        (r"nodes/", "nodes"),
        (r"reservedips/", "reservedips"),
        (r"dhcp-snippets/", "snippets"),
    )
)
