# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an answer of MAAS must look like before anything reads it: the fields that this collection uses, read off a 3.6.5.

A server that is not MAAS, or one that lies, ends in one clear error that names the field; it never ends in a traceback, and
no control character of its names reaches a terminal or a group's name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, Protocol

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import MaasError, RequestRefused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: Kinds of plain values.
NUMBER, NAME, TEXT, TRUTH, ADDRESS, CIDR = "a number", "a name", "a text", "true or false", "an address", "a CIDR"
#: The space of what has none has the id -1.
_LARGEST = 2**63 - 1
_LONGEST = {NAME: 300, TEXT: 65536}


class Maybe(tuple):
    """A shape that may be null as well."""

    def __new__(cls, shape: Any) -> Maybe:
        return super().__new__(cls, (shape,))


_VLAN_KEY = {"id": NUMBER, "fabric": NAME, "vid": NUMBER}
VLAN = {
    **_VLAN_KEY,
    "name": Maybe(NAME),
    "mtu": NUMBER,
    "space": NAME,
    "dhcp_on": TRUTH,
    "primary_rack": Maybe(NAME),
    "secondary_rack": Maybe(NAME),
    "relay_vlan": Maybe({"id": NUMBER}),
}
SUBNET = {
    "id": NUMBER,
    "cidr": CIDR,
    "vlan": _VLAN_KEY,
    "name": NAME,
    "description": TEXT,
    "gateway_ip": Maybe(TEXT),
    "dns_servers": Maybe([ADDRESS]),
    "rdns_mode": NUMBER,
    "allow_dns": TRUTH,
    "allow_proxy": TRUTH,
    "managed": TRUTH,
    "active_discovery": TRUTH,
}
RANGE = {
    "id": NUMBER,
    "type": NAME,
    "start_ip": ADDRESS,
    "end_ip": ADDRESS,
    "comment": Maybe(TEXT),
    "subnet": {"id": NUMBER, "cidr": CIDR},
}
_END = {"id": NUMBER, "cidr": CIDR}
ROUTE = {"id": NUMBER, "source": _END, "destination": _END, "gateway_ip": ADDRESS, "metric": NUMBER}
_LINK = {"subnet?": Maybe({"id": NUMBER}), "ip_address?": Maybe(TEXT)}
_INTERFACE = {"name": NAME, "type": NAME, "vlan": Maybe({"id": NUMBER, "vid": NUMBER}), "links": [_LINK]}
_NODE = {"system_id": NAME, "hostname": NAME, "interface_set": [_INTERFACE]}
_BOOT = {
    "mac_address": Maybe(NAME),
    "vlan": Maybe(_VLAN_KEY),
    "links": [{"ip_address?": Maybe(TEXT)}],
}
MACHINE = {
    "system_id": NAME,
    "hostname": NAME,
    "fqdn": NAME,
    "status_name": NAME,
    "ip_addresses": Maybe([ADDRESS]),
    "tag_names": [NAME],
    "pool": Maybe({"name": NAME}),
    "zone": Maybe({"name": NAME}),
    "power_state": Maybe(NAME),
    "boot_interface": Maybe(_BOOT),
}
FABRIC = {"id": NUMBER, "name": NAME, "class_type": Maybe(NAME), "vlans": [VLAN]}
SPACE = {"id": Maybe(NUMBER), "name": NAME, "description": TEXT}

#: Those that a MAAS may be without.
_OPTIONAL = ("reservedips/", "dhcp-snippets/")
_NUMBER = re.compile(r"/\d+/")
#: Kind of a thing -> its shape.
THINGS = {"space": SPACE, "fabric": FABRIC, "vlan": VLAN, "subnet": SUBNET, "range": RANGE, "route": ROUTE}
#: Path below the API, without a query -> the shape of what a GET of it answers.
LISTS = {
    "spaces/": [SPACE],
    "fabrics/": [FABRIC],
    "subnets/": [SUBNET],
    "ipranges/": [RANGE],
    "static-routes/": [ROUTE],
    "rackcontrollers/": [_NODE],
    "nodes/": [_NODE],
    "machines/": [MACHINE],
    # Not recorded: by MAAS's own description of its API, and no more of them than is needed.
    "reservedips/": [{"ip": ADDRESS}],
    "dhcp-snippets/": [{"name": NAME, "subnet?": Maybe({"id": NUMBER})}],
    "subnets/N/": [{"ip": ADDRESS, "alloc_type?": NUMBER}],
}


class Reader(Protocol):
    """A region, or what was read of one."""

    def get(self, path: str) -> Any:
        """The decoded JSON at a path below the API."""


def listed(client: Reader, path: str) -> list:
    """The list at ``path``, as MAAS shows it; MaasError where it has another shape."""
    shown = client.get(path)
    _check(shown, LISTS[path.partition("?")[0]], path.rstrip("/"))
    return shown


def optional(client: Reader, path: str) -> list:
    """As `listed`; [] where this MAAS has no such list."""
    try:
        shown = client.get(path)
    except RequestRefused as error:
        if error.status != 404:
            raise
        return []
    _check(shown, _shape_of(path), printable(path))
    return shown


def _shape_of(path: str) -> Any:
    return LISTS.get(_NUMBER.sub("/N/", path.partition("?")[0]))


def take(client: Reader, paths: Iterable[str]) -> dict[str, list]:
    """{path: its list} of what is read, cut to the fields that this collection uses."""
    found = {}
    for path in paths:
        if _shape_of(path) is None:
            raise MaasError(f"lists: got {printable(path)}; expected lists of the API: {', '.join(LISTS)}")
        read = listed if path in LISTS and path not in _OPTIONAL else optional
        found[path] = _cut(read(client, path), _shape_of(path))
    return found


def _cut(value: Any, shape: Any) -> Any:
    """A value that has been checked, without the fields that its shape does not name."""
    if isinstance(shape, Maybe):
        return None if value is None else _cut(value, shape[0])
    if isinstance(shape, list):
        return [_cut(item, shape[0]) for item in value]
    if isinstance(shape, dict):
        names = {name.rstrip("?"): inner for name, inner in shape.items()}
        return {name: _cut(value[name], inner) for name, inner in names.items() if name in value}
    return value


def thing(kind: str, shown: Any) -> dict:
    """One thing out of an answer to a write; MaasError where it has another shape."""
    _check(shown, THINGS[kind], kind)
    return shown


def _check(value: Any, shape: Any, path: str) -> None:
    if isinstance(shape, Maybe):
        if value is not None:
            _check(value, shape[0], path)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            _refuse(path, value, "a list")
        for index, item in enumerate(value):
            _check(item, shape[0], f"{path}[{index}]")
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            _refuse(path, value, "a mapping")
        for name, inner in shape.items():
            key = name.rstrip("?")
            if key in value:
                _check(value[key], inner, f"{path}.{key}")
            elif key == name:
                raise MaasError(f"{path}.{key}: got no such field; expected it in an answer of MAAS; {_REMEDY}")
    elif not _PLAIN[shape](value):
        _refuse(path, value, shape)


_REMEDY = "is url the region controller's, and does nothing answer in its place?"


def _refuse(path: str, value: Any, expected: str) -> None:
    raise MaasError(f"{path}: got {printable(repr(value), 60)} from MAAS; expected {expected}; {_REMEDY}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -1 <= value <= _LARGEST


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST[NAME]


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST[TEXT]


def _is_address(value: Any) -> bool:
    try:
        ipaddress.ip_address(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


def _is_cidr(value: Any) -> bool:
    try:
        ipaddress.ip_network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        return False
    return True


_PLAIN = {
    NUMBER: _is_number,
    NAME: _is_name,
    TEXT: _is_text,
    TRUTH: lambda value: isinstance(value, bool),
    ADDRESS: _is_address,
    CIDR: _is_cidr,
}
