# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The networks that are asked for: module arguments -> requests, with every mistake in them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import Any, Optional, TypeVar

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.limits import (
    DRIVERS,
    OVERLAY,
    Wish,
    broken_limits,
    broken_subnet,
    holds,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    BRIDGE_NAME_OPTION,
    MTU_OPTION,
    Address,
    Cidr,
    Subnet,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.overlap import overlaps
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake

NETWORK_ARGUMENTS: dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "driver": {"type": "str"},
    "subnet": {"type": "list", "elements": "str"},
    "gateway": {"type": "list", "elements": "str"},
    "ip_range": {"type": "list", "elements": "str"},
    "enable_ipv4": {"type": "bool"},
    "enable_ipv6": {"type": "bool"},
    "internal": {"type": "bool"},
    "attachable": {"type": "bool"},
    "encrypted": {"type": "bool"},
    "mtu": {"type": "int"},
    "labels": {"type": "dict"},
    "options": {"type": "dict"},
}

_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Request:
    """One item of ``networks``. None means "not said": such a field is left as it is. One that is not ``sound`` has
    mistakes and holds what could be read.

    Whether gateways and ranges were said is in ``says_gateway`` and ``says_ip_range`` (an empty list says: the engine's
    choice, no range). ``options`` is without the MTU, which is ``mtu``, unless only ``options`` was given: then
    ``says_mtu`` holds and ``mtu`` None means the engine's default. What subnets say of IP versions is in ``ipv4`` and
    ``ipv6`` as well.
    """

    index: int
    sound: bool
    name: str
    present: bool
    driver: Optional[str]
    subnets: Optional[tuple[Subnet, ...]]
    says_gateway: bool
    says_ip_range: bool
    ipv4: Optional[bool]
    ipv6: Optional[bool]
    internal: Optional[bool]
    attachable: Optional[bool]
    encrypted: Optional[bool]
    says_mtu: bool
    mtu: Optional[int]
    options: Optional[dict[str, str]]
    labels: Optional[dict[str, str]]

    @property
    def path(self) -> str:
        return f"networks[{self.index}]"

    @property
    def cidrs(self) -> tuple[Cidr, ...]:
        return tuple(subnet.cidr for subnet in self.subnets or ())


def parse_requests(items: list[dict[str, Any]]) -> tuple[list[Request], list[Mistake]]:
    """(requests, mistakes) of the ``networks`` argument; a request with mistakes is still there as far as it goes."""
    mistakes: list[Mistake] = []
    requests = [_Reader(index, item, mistakes).request() for index, item in enumerate(items)]
    mistakes.extend(_duplicates(requests))
    mistakes.extend(_overlaps(requests))
    return requests, mistakes


def _duplicates(requests: list[Request]) -> Iterator[Mistake]:
    """Two networks of one name, and two bridges of one interface."""
    names: dict[str, Request] = {}
    interfaces: dict[str, Request] = {}
    for request in requests:
        earlier = names.setdefault(request.name, request)
        if earlier is not request:
            expected = f"a name that {earlier.path} does not have"
            yield Mistake(f"{request.path}.name", f"'{request.name}'", expected, "name each network once")
        interface = (request.options or {}).get(BRIDGE_NAME_OPTION) if request.present else None
        if interface is None:
            continue
        earlier = interfaces.setdefault(interface, request)
        if earlier is not request:
            expected = f"an interface that {earlier.path} '{earlier.name}' does not have"
            remedy = "give one of the two another name"
            yield Mistake(f"{request.path}.options.{BRIDGE_NAME_OPTION}", f"'{interface}'", expected, remedy)


def _overlaps(requests: list[Request]) -> Iterator[Mistake]:
    owned = [(cidr, request) for request in requests if request.present for cidr in request.cidrs]
    for (outer, first), (inner, second) in overlaps(owned):
        if first is second:
            got = f"{inner} and {outer}"
            yield Mistake(f"{first.path}.subnet", got, "subnets that are apart", "leave one of them out")
            continue
        earlier, later = sorted([(first, outer), (second, inner)], key=lambda end: end[0].index)
        yield Mistake(
            f"{later[0].path}.subnet",
            str(later[1]),
            f"a subnet apart from {earlier[0].path} '{earlier[0].name}' with {earlier[1]}",
            "give one of the two another subnet",
        )


class _Reader:
    """Reads one item and adds what is wrong with it to ``mistakes``."""

    def __init__(self, index: int, item: dict[str, Any], mistakes: list[Mistake]) -> None:
        self.index = index
        self.item = item
        self.mistakes = mistakes

    def request(self) -> Request:
        item, mistakes_before = self.item, len(self.mistakes)
        present = item["state"] == "present"
        driver = self._driver(present)
        options, labels = self._strings("options"), self._strings("labels")
        cidrs: list[Cidr] = self._list("subnet", self._cidr)
        gateways: list[Address] = self._list("gateway", self._gateway)
        ranges: list[Cidr] = self._list("ip_range", self._cidr)
        self._without_subnet()
        self._limits(driver, cidrs, gateways, ranges, options or {}, labels or {})
        mtu, says_mtu = self._mtu(options)
        subnets = tuple(Subnet(cidr, _inside(cidr, gateways), _inside(cidr, ranges)) for cidr in cidrs)
        said = item.get("subnet") is not None
        versions = {cidr.version for cidr in cidrs}
        return Request(
            index=self.index,
            sound=len(self.mistakes) == mistakes_before,
            name=item["name"],
            present=present,
            driver=driver,
            subnets=subnets if said else None,
            says_gateway=item.get("gateway") is not None,
            says_ip_range=item.get("ip_range") is not None,
            ipv4=4 in versions if said and item.get("enable_ipv4") is None else item.get("enable_ipv4"),
            ipv6=6 in versions if said and item.get("enable_ipv6") is None else item.get("enable_ipv6"),
            internal=item.get("internal"),
            attachable=item.get("attachable"),
            encrypted=item.get("encrypted"),
            says_mtu=says_mtu,
            mtu=mtu,
            options=options,
            labels=labels,
        )

    def _wrong(self, key: str, got: object, expected: str, remedy: str) -> None:
        self.mistakes.append(Mistake(f"networks[{self.index}].{key}", str(got), expected, remedy))

    def _limits(
        self,
        driver: Optional[str],
        cidrs: list[Cidr],
        gateways: list[Address],
        ranges: list[Cidr],
        options: dict[str, str],
        labels: dict[str, str],
    ) -> None:
        """What Docker would refuse. Where a subnet could not be read, only what the others are by themselves."""
        item, whole = self.item, len(cidrs) == len(self.item.get("subnet") or ())
        wish = Wish(
            name=item["name"],
            driver=driver,
            subnets=tuple(cidrs) if whole else (),
            gateways=tuple(gateways),
            ip_ranges=tuple(ranges),
            attachable=item.get("attachable"),
            encrypted=item.get("encrypted"),
            ipv4=item.get("enable_ipv4") if whole else None,
            ipv6=item.get("enable_ipv6") if whole else None,
            mtu=item.get("mtu"),
            options=options,
            labels=labels,
            present=item["state"] == "present",
        )
        found = [*broken_limits(wish), *(mistake for cidr in cidrs if not whole for mistake in broken_subnet(cidr))]
        self.mistakes.extend(replace(mistake, path=f"networks[{self.index}].{mistake.path}") for mistake in found)

    def _driver(self, present: bool) -> Optional[str]:
        """The driver; a present network is an overlay unless it says otherwise, an absent one may leave it open."""
        driver = self.item.get("driver")
        if driver is None:
            return OVERLAY if present else None
        if driver not in DRIVERS:
            self._wrong("driver", f"'{driver}'", " or ".join(DRIVERS), "write one of the two")
        return str(driver)

    def _strings(self, key: str) -> Optional[dict[str, str]]:
        """A mapping of strings, as Docker keeps options and labels: YAML's true is 'true', 9000 is '9000'."""
        mapping = self.item.get(key)
        if mapping is None:
            return None
        result = {}
        for name, value in mapping.items():
            if value is None or isinstance(value, (dict, list)):
                self._wrong(f"{key}.{name}", repr(value), "a string, a number or a boolean", "write a plain value")
            else:
                result[str(name)] = str(value).lower() if isinstance(value, bool) else str(value)
        return result

    def _mtu(self, options: Optional[dict[str, str]]) -> tuple[Optional[int], bool]:
        """(MTU, whether anything was said about it), from ``mtu`` or from the driver option of that meaning, which leaves
        the options."""
        spelled = (options or {}).pop(MTU_OPTION, "")
        mtu = self.item.get("mtu")
        if mtu is None and spelled.isdecimal():
            mtu = int(spelled)
        return mtu, mtu is not None or options is not None

    def _list(self, key: str, read: Callable[[str, str], Optional[_Value]]) -> list[_Value]:
        """The values of a list that can be read."""
        return [value for value in (read(key, text) for text in self.item.get(key) or ()) if value is not None]

    def _without_subnet(self) -> None:
        if self.item.get("subnet") == []:
            remedy = "leave subnet out for one of the engine's choice"
            self._wrong("subnet", "an empty list", "at least one CIDR", remedy)
        for key in ("gateway", "ip_range"):
            for text in self.item.get(key) or () if not self.item.get("subnet") else ():
                self._wrong(key, text, "a subnet that it lies in", "give subnet as well")

    def _cidr(self, key: str, text: str) -> Optional[Cidr]:
        try:
            loose = ip_network(text.strip(), strict=False)
        except ValueError:
            self._wrong(key, f"'{text}'", "an IPv4 or IPv6 CIDR", "write for example 10.20.0.0/24")
            return None
        if "/" not in text:
            self._wrong(key, f"'{text}'", "a CIDR with its prefix length", f"write for example {text.strip()}/24")
            return None
        if ip_address(text.strip().split("/")[0]) != loose.network_address:
            self._wrong(key, f"{text} with host bits", "a network address", f"write {loose}")
            return None
        return loose

    def _gateway(self, key: str, text: str) -> Optional[Address]:
        try:
            return ip_address(text.strip())
        except ValueError:
            self._wrong(key, f"'{text}'", "an IPv4 or IPv6 address", "write for example 10.20.0.1")
            return None


def _inside(cidr: Cidr, values: list[Any]) -> Any:
    """The first of the addresses or networks that lies in a network."""
    return next((value for value in values if holds(cidr, value)), None)
