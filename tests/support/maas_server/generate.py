# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Random earlier states and random target trees over one small set of names, so that they collide often."""

from __future__ import annotations

import copy
import ipaddress
import random
from typing import Any

from .harness import RACKS
from .region import Region

FABRICS = ("fabric-0", "alpha", "beta")
VIDS = (0, 10, 20, 30)
SPACES = ("dmz", "inner", "storage")
CIDRS = (
    "10.0.1.0/24",
    "10.0.2.0/24",
    "10.0.3.0/24",
    "10.0.4.0/24",
    "10.0.4.128/25",
    "10.0.0.0/16",
    "192.168.9.0/24",
    "fd00:1::/64",
    "fd00:2::/56",
)


def earlier(region: Region, rng: random.Random) -> None:
    """Writes to the region as any writer would, through the API; what it refuses is not done."""
    for _number in range(rng.randrange(60)):
        method, path, data = rng.choice(_ACTIONS)(region, rng)
        region.handle(method, path, {name: str(value) for name, value in data.items()})
    for number in range(rng.randrange(4)):
        _use(region, rng, number)


def _use(region: Region, rng: random.Random, number: int) -> None:
    """A machine with an address of a subnet, or a tagged interface; or an address that is reserved."""
    if not region.subnets:
        return
    subnet = region.subnets[_some(region.subnets, rng)]
    address = _at(subnet["cidr"], rng.randrange(3, 100))
    if rng.random() < 0.3:
        region.reserved.append({"ip": address})
        return
    region.add_node(f"used{number}", f"machine{number}", 0, {})
    tagged = rng.random() < 0.3
    name = f"eth0.{region.vlans[subnet['vlan']]['vid']}" if tagged else "eth0"
    region.plug(f"used{number}", subnet["vlan"], ((subnet["id"], address),), name, "vlan" if tagged else "physical")


def _some(things: dict, rng: random.Random) -> int:
    return rng.choice(sorted(things)) if things else 999


def _new_vlan(region: Region, rng: random.Random) -> tuple:
    path = f"fabrics/{_some(region.fabrics, rng)}/vlans/"
    return "POST", path, {"vid": rng.choice(VIDS), "name": rng.choice("abc"), "mtu": rng.choice((1500, 9000))}


def _new_subnet(region: Region, rng: random.Random) -> tuple:
    cidr = rng.choice(CIDRS)
    data = {"cidr": cidr, "vlan": _some(region.vlans, rng), "dns_servers": rng.choice(("", "1.1.1.1,9.9.9.9"))}
    if rng.random() < 0.6:
        data["gateway_ip"] = _at(cidr, 1)
    return "POST", "subnets/", data


def _new_range(region: Region, rng: random.Random) -> tuple:
    number = _some(region.subnets, rng)
    if number not in region.subnets:
        return "GET", "version/", {}
    low, high = sorted(rng.sample(range(1, 13), 2))
    cidr = region.subnets[number]["cidr"]
    kind = rng.choice(("dynamic", "dynamic", "reserved"))
    comment = {"comment": "by hand"} if rng.random() < 0.4 else {}
    return "POST", "ipranges/", {"type": kind, "subnet": number, **comment, **_slots(cidr, low, high)}


def _dhcp(region: Region, rng: random.Random) -> tuple:
    """Prefers a VLAN that can serve; the racks are those on its vid."""
    able = sorted(
        {region.subnets[item["subnet"]]["vlan"] for item in region.ranges.values() if item["type"] == "dynamic"}
    )
    number = rng.choice(able) if able else _some(region.vlans, rng)
    data = {"dhcp_on": "true", "primary_rack": rng.choice(("rackc1", "rackc2", "rackc3"))}
    if rng.random() < 0.5:
        data["secondary_rack"] = rng.choice(("rackc1", "rackc2"))
    return "PUT", f"vlans/{number}/", data


def _vlan_change(region: Region, rng: random.Random) -> tuple:
    data = rng.choice(
        (
            {"mtu": 1400},
            {"name": "renamed"},
            {"vid": rng.choice(VIDS)},
            {"space": rng.choice([""] + sorted(region.spaces))},
            {"dhcp_on": "false"},
            {"primary_rack": ""},
            {"primary_rack": "", "secondary_rack": ""},
            {"secondary_rack": "rackc2"},
            {"relay_vlan": _some(region.vlans, rng)},
            {"relay_vlan": _some(region.vlans, rng)},
            {"relay_vlan": ""},
        )
    )
    return "PUT", f"vlans/{_some(region.vlans, rng)}/", data


def _subnet_change(region: Region, rng: random.Random) -> tuple:
    data = rng.choice(
        (
            {"vlan": _some(region.vlans, rng)},
            {"gateway_ip": ""},
            {"managed": "false"},
            {"active_discovery": "true", "allow_dns": "false"},
            {"description": "by hand", "rdns_mode": 1},
        )
    )
    return "PUT", f"subnets/{_some(region.subnets, rng)}/", data


def _new_route(region: Region, rng: random.Random) -> tuple:
    source, target = _some(region.subnets, rng), _some(region.subnets, rng)
    if source not in region.subnets:
        return "GET", "version/", {}
    data = {"source": source, "destination": target, "gateway_ip": _at(region.subnets[source]["cidr"], 1), "metric": 5}
    return "POST", "static-routes/", data


_ACTIONS = (
    lambda region, rng: ("POST", "fabrics/", {"name": rng.choice(FABRICS[1:])}),
    lambda region, rng: ("POST", "spaces/", {"name": rng.choice(SPACES), "description": "by hand"}),
    _new_vlan,
    _new_vlan,
    _new_vlan,
    _new_subnet,
    _new_subnet,
    _new_subnet,
    _new_range,
    _new_range,
    _new_range,
    _new_range,
    _dhcp,
    _dhcp,
    _dhcp,
    _vlan_change,
    _vlan_change,
    _vlan_change,
    _subnet_change,
    _subnet_change,
    _new_route,
    _new_route,
    lambda region, rng: ("DELETE", f"ipranges/{_some(region.ranges, rng)}/", {}),
    lambda region, rng: ("DELETE", f"vlans/{_some(region.vlans, rng)}/", {}),
)


def target(rng: random.Random) -> dict:
    """A tree for `maas_vlan`: sound in itself for the most part, silent about much."""
    free = list(CIDRS)
    rng.shuffle(free)
    routable = free[:]
    spaces = rng.sample(SPACES, rng.randrange(1, 4))
    tree: dict = {"purge": [name for name in PURGES if rng.random() < 0.25], "delete_in_use": rng.random() < 0.3}
    # A VLAN may name any of the spaces that the tree has; one that goes is none of them.
    tree["spaces"] = [_maybe({"name": name}, rng, description=("", "ours")) for name in spaces]
    gone = [name for name in SPACES if name not in spaces and rng.random() < 0.15]
    tree["spaces"] += [{"name": name, "state": "absent"} for name in gone]
    names = rng.sample(FABRICS, rng.randrange(1, 4))
    serving: list = []
    tree["fabrics"] = [_fabric(name, spaces, free, serving, rng) for name in names]
    _relays(tree, serving, rng)
    _routes(tree, routable, rng)
    return tree


PURGES = ("ranges", "static_routes", "subnets", "vlans", "spaces", "fabrics")


def _fabric(name: str, spaces: list, free: list, serving: list, rng: random.Random) -> dict:
    if name != "fabric-0" and rng.random() < 0.06:
        return {"name": name, "state": "absent"}
    fabric = _maybe({"name": name}, rng, class_type=("10g", "40g"), description=("text",))
    if rng.random() < 0.9:
        fabric["vlans"] = [
            _vlan(name, vid, spaces, free, serving, rng) for vid in rng.sample(VIDS, rng.randrange(1, 5))
        ]
    return fabric


def _vlan(fabric: str, vid: int, spaces: list, free: list, serving: list, rng: random.Random) -> dict:
    # In fabric-0 the racks' interfaces stand on the tagged VLANs: they can go to the default VLAN alone.
    if vid and rng.random() < 0.12:
        vlan: dict = {"vid": vid, "state": "absent"}
        if rng.random() < 0.9:
            vlan["orphans_to"] = {"vid": 0}
        return vlan
    vlan = _maybe(
        {"vid": vid},
        rng,
        mtu=(1500, 9000, 552),
        name=("a", f"tier {vid}"),
        space=["", *spaces],
        description=("text",),
    )
    if rng.random() < 0.85:
        count = min(len(free), rng.randrange(0, 4))
        vlan["subnets"] = [_subnet(free.pop(), rng) for _number in range(count)]
    pools = [
        item for subnet in vlan.get("subnets", ()) for item in subnet.get("ranges", ()) if item.get("type") == "dynamic"
    ]
    able = [name for name, vids in RACKS.items() if vid in vids]
    choice = rng.random()
    if pools and choice < 0.7:
        racks = rng.sample(able, 2)
        vlan.update(dhcp_on=True, primary_rack=racks[0], secondary_rack=rng.choice((racks[1], "")))
        serving.append((fabric, vid))
    elif choice < 0.9:
        vlan.update(dhcp_on=False)
        if rng.random() < 0.5:
            vlan["primary_rack"] = ""
    return vlan


def _subnet(cidr: str, rng: random.Random) -> dict:
    subnet: dict = {"cidr": cidr}
    if rng.random() < 0.06:
        return {"cidr": cidr, "state": "absent"}
    _maybe(
        subnet,
        rng,
        name=("net", cidr),
        description=("", "declared"),
        gateway_ip=("", _at(cidr, 1), _at(cidr, 2)),
        dns_servers=([], ["1.1.1.1"], ["9.9.9.9", "1.1.1.1"]),
        rdns_mode=(0, 1, 2),
        allow_dns=(True, False),
        allow_proxy=(True, False),
        managed=(True, False),
        active_discovery=(True, False),
    )
    if subnet.get("managed") is False and rng.random() < 0.6:
        # Pools of a subnet that MAAS does not manage lie inside of reserved ranges.
        low, inner, outer, high = sorted(rng.sample(range(1, 14), 4))
        subnet["ranges"] = [
            {"type": "reserved", **_slots(cidr, low, high)},
            {"type": "dynamic", **_slots(cidr, inner, outer)},
        ]
    elif rng.random() < 0.75:
        cuts = sorted(rng.sample(range(1, 14), rng.choice((0, 2, 2, 4))))
        subnet["ranges"] = []
        for low, high in zip(cuts[::2], cuts[1::2]):
            item = {"type": rng.choice(("dynamic", "dynamic", "reserved")), **_slots(cidr, low, high)}
            subnet["ranges"].append(_maybe(item, rng, comment=("", "pool", "  of a block\n")))
    return subnet


def _relays(tree: dict, serving: list, rng: random.Random) -> None:
    for fabric in tree["fabrics"]:
        for vlan in fabric.get("vlans", ()):
            if vlan.get("state") == "absent" or vlan.get("dhcp_on"):
                continue
            choice = rng.random()
            if choice < 0.3 and serving and "dhcp_on" in vlan:
                name, vid = rng.choice(serving)
                vlan["relay_vlan"] = {"fabric": name, "vid": vid}
            elif choice < 0.9:
                vlan["relay_vlan"] = {}


def _routes(tree: dict, cidrs: list, rng: random.Random) -> None:
    listed = [
        subnet
        for fabric in tree["fabrics"]
        for vlan in fabric.get("vlans", ())
        for subnet in vlan.get("subnets", ())
        if subnet.get("state") != "absent"
    ]
    for subnet in listed:
        if rng.random() < 0.3:
            same = [
                other["cidr"]
                for other in listed
                if other is not subnet and (":" in other["cidr"]) == (":" in subnet["cidr"])
            ]
            subnet["static_routes"] = [
                _maybe({"destination": cidr, "gateway_ip": _at(subnet["cidr"], 2)}, rng, metric=(0, 7))
                for cidr in rng.sample(same, min(len(same), 2))
            ]


def _maybe(thing: dict, rng: random.Random, **choices: Any) -> dict:
    """Adds each option in half of the cases."""
    for name, values in choices.items():
        if rng.random() < 0.5:
            thing[name] = rng.choice(values)
    return thing


def _at(cidr: str, offset: int) -> str:
    return str(ipaddress.ip_network(cidr).network_address + offset)


def _slots(cidr: str, low: int, high: int) -> dict:
    """Addresses on a coarse grid, beyond what MAAS keeps of a /64 and beyond gateways."""
    net = ipaddress.ip_network(cidr)
    base, step = (1 << 32, 1 << 20) if net.version == 6 else (4, 8)
    return {"start_ip": _at(cidr, base + low * step), "end_ip": _at(cidr, base + high * step - 1)}


def permuted(tree: Any, rng: random.Random) -> Any:
    """The same tree with every list in another order (but those whose order means something)."""
    if isinstance(tree, list):
        items = [permuted(item, rng) for item in tree]
        rng.shuffle(items)
        return items
    if isinstance(tree, dict):
        return {
            name: copy.deepcopy(value) if name == "dns_servers" else permuted(value, rng)
            for name, value in tree.items()
        }
    return tree
