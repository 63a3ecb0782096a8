# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The networks that somebody asks for: module arguments -> requests, with every mistake in them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address, ip_network

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    ENCRYPTED_OPTION,
    ENGINE_FILLED_OPTIONS,
    MTU_OPTION,
    OWNERSHIP_LABEL,
    RESERVED_NAMES,
    Subnet,
    overlaps,
)

DRIVERS = ("overlay", "bridge")
# Swarm takes DNS labels of at most 63 characters (its answers: "name must be valid as a DNS name component", "name must
# be 63 characters or fewer"); for bridges this is the docker command's rule, which the API itself does not check.
NAME_PATTERNS = {
    "overlay": (
        re.compile(r"(?=.{1,63}\Z)[a-zA-Z0-9](?:[-_]*[a-zA-Z0-9]+)*\Z"),
        "1 to 63 letters, digits, - and _ that start and end with a letter or digit",
    ),
    "bridge": (
        re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z"),
        "letters, digits, _, . and - that start with a letter or digit",
    ),
}
MTU_MINIMUM = {4: 68, 6: 1280}  # RFC 791 and RFC 8200
MTU_MAXIMUM = 65535
# Smaller blocks leave no room for the gateway and one container (20.10 never allocates a /31).
LONGEST_PREFIX = {4: 30, 6: 126}

NETWORK_ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "driver": {"type": "str"},
    "subnet": {"type": "list", "elements": "str"},
    "gateway": {"type": "list", "elements": "str"},
    "ip_range": {"type": "list", "elements": "str"},
    "internal": {"type": "bool"},
    "attachable": {"type": "bool"},
    "encrypted": {"type": "bool"},
    "mtu": {"type": "int"},
    "labels": {"type": "dict"},
    "options": {"type": "dict"},
}


@dataclass(frozen=True)
class Request:
    """One item of ``networks``. None means "not said": such a field is left as it is. One that is not ``sound`` has
    mistakes and holds what could be read.

    ``subnets`` is a tuple of model.Subnet; whether gateways and ranges were said is in ``says_gateway`` and
    ``says_ip_range`` (an empty list says: the engine's choice, no range). ``options`` is without the MTU, which is
    ``mtu``, unless only ``options`` was given: then ``says_mtu`` holds and ``mtu`` None means the engine's default.
    """

    index: int
    sound: bool
    name: str
    present: bool
    driver: str | None
    subnets: tuple | None
    says_gateway: bool
    says_ip_range: bool
    internal: bool | None
    attachable: bool | None
    encrypted: bool | None
    says_mtu: bool
    mtu: int | None
    options: dict | None
    labels: dict | None

    @property
    def path(self) -> str:
        return f"networks[{self.index}]"

    @property
    def cidrs(self) -> tuple:
        return tuple(subnet.cidr for subnet in self.subnets or ())


def parse_requests(items: list) -> tuple:
    """(requests, mistakes) of the ``networks`` argument; a request with mistakes is still there as far as it goes."""
    mistakes = []
    requests = [_Reader(index, item, mistakes).request() for index, item in enumerate(items)]
    mistakes.extend(_duplicates(requests))
    mistakes.extend(_overlaps(requests))
    return requests, mistakes


def _duplicates(requests: list):
    first = {}
    for request in requests:
        earlier = first.setdefault(request.name, request)
        if earlier is not request:
            yield Mistake(
                f"{request.path}.name",
                f"'{request.name}'",
                f"a name that {earlier.path} does not have",
                "name each network once",
            )


def _overlaps(requests: list):
    owned = [(cidr, request) for request in requests if request.present for cidr in request.cidrs]
    for (outer, first), (inner, second) in overlaps(owned):
        if first is second:
            yield Mistake(
                f"{first.path}.subnet", f"{inner} and {outer}", "subnets that are apart", "leave one of them out"
            )
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

    def __init__(self, index: int, item: dict, mistakes: list):
        self.index = index
        self.item = item
        self.mistakes = mistakes

    def request(self) -> Request:
        item, mistakes_before = self.item, len(self.mistakes)
        present = item["state"] == "present"
        driver = self._driver(present)
        self._name(driver)
        options, labels = self._strings("options"), self._strings("labels")
        subnets = self._subnets(driver)
        mtu, says_mtu = self._mtu(options, subnets)
        self._foreign_keys(driver, options, labels)
        return Request(
            index=self.index,
            sound=len(self.mistakes) == mistakes_before,
            name=item["name"],
            present=present,
            driver=driver,
            subnets=subnets,
            says_gateway=item.get("gateway") is not None,
            says_ip_range=item.get("ip_range") is not None,
            internal=item.get("internal"),
            attachable=item.get("attachable"),
            encrypted=item.get("encrypted"),
            says_mtu=says_mtu,
            mtu=mtu,
            options=options,
            labels=labels,
        )

    def _wrong(self, key: str, got, expected: str, remedy: str) -> None:
        self.mistakes.append(Mistake(f"networks[{self.index}].{key}", str(got), expected, remedy))

    def _driver(self, present: bool):
        """The driver; a present network is an overlay unless it says otherwise, an absent one may leave it open."""
        driver = self.item.get("driver")
        if driver is None:
            return "overlay" if present else None
        if driver not in DRIVERS:
            self._wrong("driver", f"'{driver}'", " or ".join(DRIVERS), "write one of the two")
        return driver

    def _name(self, driver) -> None:
        name = self.item["name"]
        if name in RESERVED_NAMES:
            self._wrong("name", f"'{name}'", "a name that is not the engine's own", "choose another name")
            return
        pattern, rule = NAME_PATTERNS["overlay" if driver == "overlay" else "bridge"]
        if not pattern.match(name):
            self._wrong("name", f"'{name}'", rule, "choose another name")

    def _foreign_keys(self, driver, options, labels) -> None:
        """Options that the driver does not know, and keys that have an option of their own."""
        if driver == "bridge" and self.item.get("encrypted"):
            self._wrong(
                "encrypted",
                "true on a bridge",
                "an overlay: a bridge never leaves its host",
                "use driver: overlay, or leave out encrypted",
            )
        if driver == "bridge" and self.item.get("attachable"):
            self._wrong(
                "attachable",
                "true on a bridge",
                "an overlay: any container can join a bridge anyway",
                "use driver: overlay, or leave out attachable",
            )
        if ENCRYPTED_OPTION in (options or {}):
            self._wrong(
                f"options.{ENCRYPTED_OPTION}",
                f"'{options[ENCRYPTED_OPTION]}'",
                "the option `encrypted`",
                "write encrypted: true beside options",
            )
        for key in sorted(ENGINE_FILLED_OPTIONS.intersection(options or {})):
            self._wrong(f"options.{key}", f"'{options[key]}'", "nothing: the engine sets it by itself", "leave it out")
        if OWNERSHIP_LABEL in (labels or {}):
            self._wrong(
                f"labels.{OWNERSHIP_LABEL}",
                f"'{labels[OWNERSHIP_LABEL]}'",
                "nothing: every network that is created here gets it",
                "leave it out",
            )

    def _strings(self, key: str):
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

    def _mtu(self, options, subnets):
        """(MTU, whether anything was said about it), from ``mtu`` or from the driver option of that meaning."""
        mtu, key = self.item.get("mtu"), "mtu"
        spelled = (options or {}).pop(MTU_OPTION, None)
        if spelled is not None and mtu is not None and str(mtu) != spelled:
            self._wrong("mtu", f"{mtu}, and '{spelled}' as options.{MTU_OPTION}", "one MTU", "leave one of them out")
        if mtu is None and spelled is not None:
            key = f"options.{MTU_OPTION}"
            mtu = int(spelled) if spelled.isdigit() else spelled
        if mtu is not None:
            minimum = MTU_MINIMUM[6 if any(subnet.cidr.version == 6 for subnet in subnets or ()) else 4]
            if not isinstance(mtu, int) or not minimum <= mtu <= MTU_MAXIMUM:
                self._wrong(
                    key,
                    mtu,
                    f"{minimum} to {MTU_MAXIMUM} bytes",
                    "write for example 1450, an overlay's on a 1500-byte link",
                )
                return None, False
        return mtu, mtu is not None or options is not None

    def _subnets(self, driver):
        """The subnets with their gateways and ranges, None where no subnet was given."""
        texts = self.item.get("subnet")
        cidrs = [cidr for cidr in (self._cidr("subnet", text) for text in texts or []) if cidr is not None]
        for cidr in cidrs:
            self._usable(cidr)
        if texts == []:
            self._wrong(
                "subnet", "an empty list", "at least one CIDR", "leave subnet out for one of the engine's choice"
            )
        if cidrs and len(cidrs) == len(texts or []):
            self._families(driver, cidrs)
        gateways = self._inside("gateway", cidrs, self._gateway)
        ranges = self._inside("ip_range", cidrs, lambda text: self._cidr("ip_range", text))
        for cidr, gateway in gateways.items():
            self._not_an_end(cidr, gateway)
        if texts is None:
            return None
        return tuple(Subnet(cidr, gateways.get(cidr), ranges.get(cidr)) for cidr in cidrs)

    def _cidr(self, key: str, text: str):
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

    def _usable(self, cidr) -> None:
        if cidr.prefixlen > LONGEST_PREFIX[cidr.version]:
            self._wrong(
                "subnet",
                cidr,
                f"/{LONGEST_PREFIX[cidr.version]} or larger: the gateway takes one address",
                "give a larger subnet",
            )
        elif cidr.is_loopback or cidr.is_multicast or cidr.is_unspecified or cidr.prefixlen == 0:
            self._wrong("subnet", cidr, "unicast addresses that may be routed", "take a subnet of a private range")

    def _families(self, driver, cidrs: list) -> None:
        if not any(cidr.version == 4 for cidr in cidrs):
            self._wrong(
                "subnet",
                ", ".join(map(str, cidrs)) + " alone",
                "an IPv4 subnet beside it: the engine would take one from its own pool",
                "give both, as a list",
            )
        for version in (4, 6):
            same = [str(cidr) for cidr in cidrs if cidr.version == version]
            if driver == "bridge" and len(same) > 1:
                self._wrong(
                    "subnet",
                    ", ".join(same),
                    f"one IPv{version} subnet: a bridge has no second one",
                    "make another network of it",
                )

    def _gateway(self, text: str):
        try:
            return ip_address(text.strip())
        except ValueError:
            self._wrong("gateway", f"'{text}'", "an IPv4 or IPv6 address", "write for example 10.20.0.1")
            return None

    def _inside(self, key: str, cidrs: list, read) -> dict:
        """{cidr: value} for the values of ``key``, each of which must lie in one subnet of its own."""
        result = {}
        for text in self.item.get(key) or []:
            value = read(text)
            if value is None:
                continue
            if not cidrs:
                if not self.item.get("subnet"):
                    self._wrong(key, value, "a subnet that it lies in", "give subnet as well")
                continue
            home = next((cidr for cidr in cidrs if _contains(cidr, value)), None)
            if home is None:
                self._wrong(key, value, f"inside {' or '.join(map(str, cidrs))}", "correct one of the two")
            elif home in result:
                self._wrong(key, f"{result[home]} and {value}", f"one in {home}", "leave one of them out")
            else:
                result[home] = value
        return result

    def _not_an_end(self, cidr, gateway) -> None:
        ends = (cidr[0], cidr[-1]) if cidr.version == 4 else (cidr[0],)
        if gateway in ends:
            self._wrong(
                "gateway", gateway, f"an address that a host of {cidr} can have", f"write for example {cidr[1]}"
            )


def _contains(cidr, value) -> bool:
    """Whether an address or a network lies in a network; other families never do."""
    if value.version != cidr.version:
        return False
    return value.subnet_of(cidr) if hasattr(value, "prefixlen") else value in cidr
