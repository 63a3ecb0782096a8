# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The network tree of a MAAS region as plain values, and its reader.

Keys are what people call a thing, never a database id: a space or fabric by name, a VLAN by
``(fabric, vid)``, a subnet by its normalised CIDR, a range by ``(cidr, start, end)`` with the
addresses as integers, a static route by ``(source cidr, destination cidr, gateway)``.

Three requests read the tree.  ``fabrics/`` carries every VLAN in 160 ms where ``fabrics/N/vlans/``
takes 1150 ms; ``spaces/``, ``rackcontrollers/``, ``static-routes/`` and ``nodes/`` are asked only
where the wanted tree cannot be compared without them (see `read_more`).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.shapes import Reader, listed, optional
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import MaasError

UNDEFINED = "undefined"
"""What a VLAN without a space reads as."""

LISTS = {
    "space": "spaces/",
    "fabric": "fabrics/",
    "vlan": "vlans/",
    "subnet": "subnets/",
    "range": "ipranges/",
    "route": "static-routes/",
}
"""Kind -> collection; an item is at ``<collection><id>/``."""


@dataclass(frozen=True)
class Space:
    """A space.  ``description`` is None where ``spaces/`` was not read."""

    name: str
    description: Optional[str] = None
    id: Optional[int] = None


@dataclass(frozen=True)
class Fabric:
    """A fabric.  Its description is write-only in MAAS and therefore not here."""

    name: str
    class_type: Optional[str] = None
    id: Optional[int] = None


@dataclass(frozen=True)
class Vlan:
    """A VLAN; racks are hostnames (a system id where the racks were not read), ``relay_vlan`` is a VLAN's key."""

    fabric: str
    vid: int
    name: Optional[str] = None
    mtu: int = 1500
    space: Optional[str] = None
    dhcp_on: bool = False
    primary_rack: Optional[str] = None
    secondary_rack: Optional[str] = None
    relay_vlan: Optional[tuple] = None
    default: bool = False
    id: Optional[int] = None

    @property
    def key(self) -> tuple:
        return (self.fabric, self.vid)


@dataclass(frozen=True)
class Subnet:
    """A subnet; the defaults are those of MAAS for a new one."""

    cidr: str
    vlan: tuple
    name: str
    description: str = ""
    gateway_ip: Optional[str] = None
    dns_servers: tuple = ()
    rdns_mode: int = 2
    allow_dns: bool = True
    allow_proxy: bool = True
    managed: bool = True
    active_discovery: bool = False
    id: Optional[int] = None


@dataclass(frozen=True)
class Range:
    """An IP range; ``start`` and ``end`` are integers, both inside."""

    cidr: str
    start: int
    end: int
    type: str
    comment: str = ""
    id: Optional[int] = None

    @property
    def key(self) -> tuple:
        return (self.cidr, self.start, self.end)

    def inside(self, other: Range) -> bool:
        return other.start <= self.start and self.end <= other.end

    def overlaps(self, other: Range) -> bool:
        return self.start <= other.end and other.start <= self.end


@dataclass(frozen=True)
class Route:
    """A static route for the machines of ``source``."""

    source: str
    destination: str
    gateway_ip: str
    metric: int = 0
    id: Optional[int] = None

    @property
    def key(self) -> tuple:
        return (self.source, self.destination, self.gateway_ip)


@dataclass(frozen=True)
class Rack:
    """A rack controller: it can serve DHCP on VLANs whose vid one of its interfaces has."""

    hostname: str
    system_id: str
    vids: frozenset


class Interface(NamedTuple):
    """An interface of a machine, device or controller; ``tagged``: it is made of a VLAN, like eth0.30."""

    text: str
    tagged: bool


@dataclass
class State:
    """The tree as it is (or, as the planner's result, as it shall be).

    ``racks``, ``routes`` and ``interfaces`` are None where they were not read.
    ``interfaces``: VLAN id -> the nodes' interfaces on it.  ``uses``: CIDR -> what MAAS would delete with the subnet, as
    texts; ``used``: CIDR -> addresses of it that something has; both only for subnets that `read_more` was asked about.
    """

    spaces: dict = field(default_factory=dict)
    fabrics: dict = field(default_factory=dict)
    vlans: dict = field(default_factory=dict)
    subnets: dict = field(default_factory=dict)
    ranges: dict = field(default_factory=dict)
    routes: Optional[dict] = None
    racks: Optional[dict] = None
    interfaces: Optional[dict] = None
    uses: dict = field(default_factory=dict)
    used: dict = field(default_factory=dict)

    def copy(self) -> State:
        """New dicts over the same (frozen) values."""
        return State(
            dict(self.spaces),
            dict(self.fabrics),
            dict(self.vlans),
            dict(self.subnets),
            dict(self.ranges),
            None if self.routes is None else dict(self.routes),
            self.racks,
            self.interfaces,
            self.uses,
            self.used,
        )

    def sort(self) -> None:
        """Puts everything in the order of its key: neither MAAS's lists nor the input's decide a run's order."""
        for name in ("spaces", "fabrics", "vlans", "subnets", "ranges", "routes"):
            things = getattr(self, name)
            if things is not None:
                setattr(self, name, dict(sorted(things.items())))

    def default_vlan(self, fabric: str) -> Optional[tuple]:
        """The key of the VLAN that MAAS will not delete and moves orphans to."""
        return next((key for key, vlan in self.vlans.items() if key[0] == fabric and vlan.default), None)

    def subnets_of(self, vlan: tuple) -> list:
        return [subnet for subnet in self.subnets.values() if subnet.vlan == vlan]

    def ranges_of(self, cidr: str) -> list:
        return sorted((item for item in self.ranges.values() if item.cidr == cidr), key=lambda item: item.start)


def address(number: int, cidr: str) -> str:
    """The text of an address of ``cidr``'s family."""
    return str(ipaddress.IPv6Address(number) if ":" in cidr else ipaddress.IPv4Address(number))


def canonical(cidr: str) -> str:
    """``10.0.3.5/24`` as ``10.0.3.0/24``, IPv6 compressed: what MAAS shows as ``cidr``."""
    return str(ipaddress.ip_network(cidr, strict=False))


def read(client: Reader) -> State:
    """The tree from three GETs."""
    state = State()
    relays = []
    owners = {}
    for shown in listed(client, LISTS["fabric"]):
        fabric = fabric_of(shown)
        state.fabrics[fabric.name] = fabric
        # "untagged" is the VLAN with the lowest id; it can have been given another vid.
        lowest = min((vlan["id"] for vlan in shown["vlans"]), default=None)
        for item in shown["vlans"]:
            vlan = vlan_of(item, default=item["id"] == lowest)
            state.vlans[vlan.key] = vlan
            owners[item["id"]] = vlan.key
            if vlan.space:
                state.spaces.setdefault(vlan.space, Space(vlan.space))
            if item["relay_vlan"]:
                relays.append((vlan.key, item["relay_vlan"]["id"]))
    for key, target in relays:
        state.vlans[key] = _with(state.vlans[key], relay_vlan=owners.get(target))
    for shown in listed(client, LISTS["subnet"]):
        subnet = subnet_of(shown)
        _known(subnet.vlan in state.vlans, f"subnet {subnet.cidr}", f"VLAN {subnet.vlan[0]}/{subnet.vlan[1]}")
        state.subnets[subnet.cidr] = subnet
    for shown in listed(client, LISTS["range"]):
        item = range_of(shown)
        _known(item.cidr in state.subnets, f"range {item.id}", f"subnet {item.cidr}")
        state.ranges[item.key] = item
    state.sort()
    return state


def _known(there: bool, what: str, where: str) -> None:
    """Each list is a request of its own: another writer can have changed the tree between two of them."""
    if not there:
        raise MaasError(f"{what}: got {where} from MAAS, which another list of it does not have; run the task again")


def read_more(client: Reader, state: State, needs: set, leaving: tuple = (), pools: tuple = ()) -> None:
    """Adds what ``needs`` names: ``spaces``, ``racks``, ``routes``, ``interfaces``; a GET each.

    leaving: the CIDRs of subnets that are to be deleted, of which it reads what hangs on them; pools: those that get a
    new dynamic range, of which it reads the addresses in use.
    """
    if "spaces" in needs:
        state.spaces = {
            item.name: item for item in map(space_of, listed(client, LISTS["space"])) if item.name != UNDEFINED
        }
    if "racks" in needs:
        state.racks = {rack.hostname: rack for rack in map(rack_of, listed(client, "rackcontrollers/"))}
        _name_racks(state)
    if "routes" in needs:
        state.routes = {item.key: item for item in map(route_of, listed(client, LISTS["route"]))}
        for key in state.routes:
            _known(key[0] in state.subnets and key[1] in state.subnets, "route", f"subnet {key[0]} or {key[1]}")
    if "interfaces" in needs:
        nodes = listed(client, "nodes/")
        state.interfaces = interfaces_of(nodes)
        state.uses = {cidr: uses_of(client, state, cidr, nodes) for cidr in leaving}
    for cidr in pools:
        state.used[cidr] = used_of(client, state.subnets[cidr].id)
    state.sort()


def lookup(client: Reader, kind: str, key: tuple) -> Optional[dict]:
    """The thing with this key as MAAS shows it now, or None; reads the list anew."""
    if kind == "vlan":
        shown = [vlan for fabric in listed(client, LISTS["fabric"]) for vlan in fabric["vlans"]]
    else:
        shown = listed(client, LISTS[kind])
    return next((item for item in shown if KEYS[kind](item) == key), None)


def space_of(shown: dict) -> Space:
    return Space(shown["name"], shown["description"], shown["id"])


def fabric_of(shown: dict) -> Fabric:
    return Fabric(shown["name"], shown["class_type"] or None, shown["id"])


def vlan_of(shown: dict, default: bool = False) -> Vlan:
    return Vlan(
        fabric=shown["fabric"],
        vid=shown["vid"],
        name=shown["name"],
        mtu=shown["mtu"],
        space=None if shown["space"] == UNDEFINED else shown["space"],
        dhcp_on=shown["dhcp_on"],
        primary_rack=shown["primary_rack"],
        secondary_rack=shown["secondary_rack"],
        default=default,
        id=shown["id"],
    )


def subnet_of(shown: dict) -> Subnet:
    return Subnet(
        cidr=canonical(shown["cidr"]),
        vlan=(shown["vlan"]["fabric"], shown["vlan"]["vid"]),
        name=shown["name"],
        description=shown["description"],
        # "" right after a write, null on a GET.
        gateway_ip=shown["gateway_ip"] or None,
        dns_servers=tuple(shown["dns_servers"] or ()),
        rdns_mode=shown["rdns_mode"],
        allow_dns=shown["allow_dns"],
        allow_proxy=shown["allow_proxy"],
        managed=shown["managed"],
        active_discovery=shown["active_discovery"],
        id=shown["id"],
    )


def range_of(shown: dict) -> Range:
    return Range(
        cidr=canonical(shown["subnet"]["cidr"]),
        start=int(ipaddress.ip_address(shown["start_ip"])),
        end=int(ipaddress.ip_address(shown["end_ip"])),
        type=shown["type"],
        comment=shown["comment"] or "",
        id=shown["id"],
    )


def route_of(shown: dict) -> Route:
    return Route(
        source=canonical(shown["source"]["cidr"]),
        destination=canonical(shown["destination"]["cidr"]),
        gateway_ip=str(ipaddress.ip_address(shown["gateway_ip"])),
        metric=shown["metric"],
        id=shown["id"],
    )


def rack_of(shown: dict) -> Rack:
    vids = frozenset(item["vlan"]["vid"] for item in shown["interface_set"] if item["vlan"])
    return Rack(shown["hostname"], shown["system_id"], vids)


def interfaces_of(nodes: list) -> dict:
    """VLAN id -> [Interface("host eth0", False), ...] over machines, devices and controllers."""
    found: dict = {}
    for node in nodes:
        for item in node["interface_set"]:
            if item["vlan"]:
                shown = Interface(f"{node['hostname']} {item['name']}", item["type"] == "vlan")
                found.setdefault(item["vlan"]["id"], []).append(shown)
    return {number: sorted(items) for number, items in found.items()}


def uses_of(client: Reader, state: State, cidr: str, nodes: list) -> list[str]:
    """What MAAS would delete together with a subnet, as texts: addresses of nodes, reserved addresses, DHCP snippets, other
    addresses in use, and routes of other subnets that lead to it."""
    net, number = ipaddress.ip_network(cidr), state.subnets[cidr].id
    found, named = [], set()
    for node in nodes:
        for item in node["interface_set"]:
            for link in item["links"]:
                if (link.get("subnet") or {}).get("id") == number and link.get("ip_address"):
                    found.append(f"{link['ip_address']} of {node['hostname']} {item['name']}")
                    named.add(link["ip_address"])
    for item in optional(client, "reservedips/"):
        if ipaddress.ip_address(item["ip"]) in net:
            found.append(f"the reserved address {item['ip']}")
            named.add(item["ip"])
    snippets = optional(client, "dhcp-snippets/")
    found += [f"the DHCP snippet {item['name']}" for item in snippets if (item.get("subnet") or {}).get("id") == number]
    found += [f"{text} (in use)" for text in used_of(client, number) if text not in named]
    found += [f"the route from {key[0]}" for key in state.routes or {} if key[1] == cidr and key[0] != cidr]
    return sorted(found)


def used_of(client: Reader, number: Optional[int]) -> list[str]:
    """The addresses of a subnet that MAAS has given away or knows as reserved; not those that it has only seen."""
    shown = optional(client, f"subnets/{number}/?op=ip_addresses")
    return sorted(item["ip"] for item in shown if item.get("alloc_type") != _DISCOVERED)


#: MAAS's number for an address that it has only observed on the wire.
_DISCOVERED = 6


KEYS = {
    "space": lambda shown: shown["name"],
    "fabric": lambda shown: shown["name"],
    "vlan": lambda shown: (shown["fabric"], shown["vid"]),
    "subnet": lambda shown: canonical(shown["cidr"]),
    "range": lambda shown: range_of(shown).key,
    "route": lambda shown: route_of(shown).key,
}


def _name_racks(state: State) -> None:
    """Writes hostnames where MAAS shows system ids."""
    names = {rack.system_id: rack.hostname for rack in (state.racks or {}).values()}
    for key, vlan in state.vlans.items():
        if vlan.primary_rack or vlan.secondary_rack:
            state.vlans[key] = _with(
                vlan,
                primary_rack=names.get(vlan.primary_rack, vlan.primary_rack),
                secondary_rack=names.get(vlan.secondary_rack, vlan.secondary_rack),
            )


def _with(vlan: Vlan, **changes: Any) -> Vlan:
    return Vlan(**{**vlan.__dict__, **changes})
