# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a task says of a host's VLANs, read and checked, without a look at the host."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused

#: The kernel's own limit for a name (IFNAMSIZ, with the byte that ends it).
LONGEST_NAME = 15
#: Of 802.1q; 0 and 4095 are reserved.
IDS = range(1, 4095)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Route:
    """A network, or 0.0.0.0/0 and ::/0, and the router to it."""

    to: str
    via: str


@dataclass(frozen=True)
class Vlan:
    """An interface. addresses: with their prefix lengths, as the kernel prints them."""

    id: int
    name: str
    tier: str = ""
    addresses: tuple[str, ...] = ()
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """All VLANs of a host, by id, on one parent interface."""

    parent: str
    vlans: tuple[Vlan, ...]


def parse(params: Mapping[str, Any]) -> Wanted:
    """The module's options. Refused with every mistake."""
    mistakes: list[Mistake] = []
    parent = str(params["parent"])
    mistakes += _check_name("parent", parent)
    untagged = set(params["untagged"])
    mistakes += _check_tiers(params)
    entries = [entry for entry in params["vlans"] if not (entry.get("tier") and entry["tier"] in untagged)]
    vlans = []
    for number, entry in enumerate(entries):
        tier = entry.get("tier") or ""
        path = f"vlans[{number}]" + (f" ({tier})" if tier else "")
        name = str(params["names"].get(tier) or f"{parent}.{entry['id']}")
        if entry["id"] not in IDS:
            mistakes.append(Mistake(f"{path}.id", str(entry["id"]), "1-4094", "give it another VLAN id"))
        mistakes += _check_name(f"{path}: its interface", name)
        own = [*(entry.get("addresses") or ()), *_texts(params["addresses"].get(tier))]
        addresses = _addresses(path, own, entry.get("subnets") or (), mistakes)
        routes = _routes(f"routes.{tier}", params["routes"].get(tier), addresses, mistakes)
        vlans.append(Vlan(entry["id"], name, tier, tuple(dict.fromkeys(addresses)), routes))
    mistakes += _twice("id", [str(vlan.id) for vlan in vlans])
    mistakes += _twice("name", [vlan.name for vlan in vlans])
    mistakes += _twice("address", [address.partition("/")[0] for vlan in vlans for address in vlan.addresses])
    if mistakes:
        raise Refused(mistakes)
    return Wanted(parent, tuple(sorted(vlans, key=lambda vlan: vlan.id)))


def _check_tiers(params: Mapping[str, Any]) -> Iterator[Mistake]:
    """What is said of tiers that the host is not in, or has no interface for."""
    known = {entry["tier"] for entry in params["vlans"] if entry.get("tier")}
    tagged = known - set(params["untagged"])
    for option, there in (("untagged", known), ("names", tagged), ("addresses", tagged), ("routes", tagged)):
        for tier in sorted(set(params[option]) - there):
            expected = f"one of {', '.join(sorted(there))}" if there else "none"
            yield Mistake(
                f"{option}.{tier}", "a tier in which the host has no VLAN interface", expected, "remove it", "tier"
            )


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, (list, tuple)) else [str(value)] if value else []


def _check_name(path: str, name: str) -> Iterator[Mistake]:
    if len(name) > LONGEST_NAME:
        remedy = "give the tier a shorter name of its own in `names`"
        yield Mistake(path, f"{name}, {len(name)} characters", f"at most {LONGEST_NAME}, the kernel's limit", remedy)
    elif not _NAME.fullmatch(name):
        yield Mistake(path, repr(name), "the name of an interface", "letters, digits, dots, hyphens and underscores")


def _twice(what: str, values: Sequence[str]) -> Iterator[Mistake]:
    for value in sorted({value for value in values if values.count(value) > 1}):
        yield Mistake("vlans", f"the {what} {value} twice", "each once", f"give one of them another {what}")


def _addresses(path: str, texts: Sequence[str], subnets: Sequence[str], mistakes: list[Mistake]) -> list[str]:
    nets = [ipaddress.ip_network(subnet, strict=False) for subnet in subnets]
    found = []
    for text in texts:
        try:
            address = ipaddress.ip_interface(text)
        except ValueError:
            mistakes.append(
                Mistake(f"{path}: address", repr(text), "an address with its prefix length", "as in 10.0.1.11/24")
            )
            continue
        home = next((net for net in nets if net.version == address.version and address.ip in net), None)
        if "/" not in text and home is not None:
            address = ipaddress.ip_interface(f"{text}/{home.prefixlen}")
        if nets and home is None:
            expected = f"one in {', '.join(map(str, nets))}"
            mistakes.append(
                Mistake(f"{path}: address", text, expected, "correct it, or the tier's subnet in the declared site")
            )
        elif "/" not in text and home is None:
            mistakes.append(
                Mistake(f"{path}: address", text, "an address with its prefix length", "as in 10.0.1.11/24")
            )
        found.append(str(address))
    return found


def _routes(path: str, value: Any, addresses: Sequence[str], mistakes: list[Mistake]) -> tuple[Route, ...]:
    links = [ipaddress.ip_interface(address).network for address in addresses]
    routes = []
    for entry in value or ():
        try:
            to, via = ipaddress.ip_network(str(entry["to"])), ipaddress.ip_address(str(entry["via"]))
        except (ValueError, KeyError, TypeError):
            mistakes.append(
                Mistake(
                    path, repr(entry), "a network `to` and the address `via`", "as in {to: 10.0.2.0/24, via: 10.0.1.1}"
                )
            )
            continue
        if not any(via.version == link.version and via in link for link in links):
            mistakes.append(
                Mistake(
                    path, f"via {via}", "a router on the link", "name one in a subnet of the interface's own addresses"
                )
            )
        routes.append(Route(str(to), str(via)))
    return tuple(routes)
