# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one parser of what the hosts of a proof say: it believes no type, no length and no range, makes foreign text printable,
and raises Malformed."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import PORTS, PROTOS, Icmp, Result, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.listening import (
    PLACES,
    Address,
    Heard,
    Hears,
    Listening,
    Noted,
    Socket,
    Stopped,
)

#: The most that an honest host has to say. A host that says more is not believed.
MOST_ADDRESSES, MOST_SERVICES, MOST_TEXT = 4096, 1024, 300

#: What a prober can say.
PROBED = tuple(verdict.value for verdict in Verdict if verdict is not Verdict.ONE_WAY)


class Malformed(ValueError):
    """A value that is not what its type asks for; the text says which, what it is and what was expected."""


# Fields of a foreign mapping


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """The value as a mapping."""
    if not isinstance(value, Mapping):
        raise Malformed(f"{what}: got {_short(value)}, expected a mapping")
    return value


def sequence(value: Any, what: str, most: int) -> Sequence[Any]:
    """The value as a list of at most `most` entries; None is an empty one."""
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise Malformed(f"{what}: got {_short(value)}, expected a list")
    if len(value) > most:
        raise Malformed(f"{what}: got {len(value)} entries, expected at most {most}")
    return value


def text(found: Mapping[str, Any], key: str, most: int = MOST_TEXT) -> str:
    """A text, printable and cut at `most`; "" where there is none."""
    value = found.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"{key}: got {_short(value)}, expected text")
    return printable(value, most)


def whole(found: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """A whole number from low to high."""
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Malformed(f"{key}: got {_short(value)}, expected a whole number from {low} to {high}")
    return int(value)


def flag(found: Mapping[str, Any], key: str) -> bool:
    """True or false; what is not there is false."""
    value = found.get(key, False)
    if not isinstance(value, bool):
        raise Malformed(f"{key}: got {_short(value)}, expected true or false")
    return value


def choice(found: Mapping[str, Any], key: str, choices: Sequence[str]) -> str:
    """One of some texts."""
    value = found.get(key)
    if not isinstance(value, str) or value not in choices:
        raise Malformed(f"{key}: got {_short(value)}, expected one of {', '.join(choices)}")
    return str(value)


def address(found: Mapping[str, Any], key: str) -> str:
    """An IP address as the kernel prints it."""
    value = found.get(key)
    try:
        if not isinstance(value, str) or len(value) > 45 or str(ipaddress.ip_address(value)) != value:
            raise ValueError
    except ValueError:
        raise Malformed(f"{key}: got {_short(value)}, expected an IP address")
    return value


def _short(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return "a very large number"  # Python refuses to print one of thousands of digits
    return printable(value if isinstance(value, str) else repr(value)[:80], 80)


def parse_icmp(value: Any) -> Icmp:
    found = mapping(value, "icmp")
    return Icmp(whole(found, "type", 0, 255), whole(found, "code", 0, 255), address(found, "from"))


def parse_result(value: Any) -> Result:
    found = mapping(value, "result")
    ms = found.get("ms", 0.0)
    if isinstance(ms, bool) or not isinstance(ms, (int, float)) or not 0 <= ms < 1e7:
        raise Malformed(f"ms: got {_short(ms)}, expected milliseconds")
    return Result(
        text(found, "id", 64),
        Verdict(choice(found, "verdict", PROBED)),
        float(ms),
        text(found, "detail"),
        text(found, "by"),
        address(found, "peer") if "peer" in found else "",
        text(found, "mac", 64),
        parse_icmp(found["icmp"]) if "icmp" in found else None,
    )


def parse_address(value: Any) -> Address:
    found = mapping(value, "address")
    own = address(found, "address")
    prefix = whole(found, "prefix", 0, 128 if ":" in own else 32)
    return Address(own, prefix, text(found, "interface", 32), flag(found, "bridge"))


def parse_socket(found: Mapping[str, Any]) -> Socket:
    return Socket(choice(found, "proto", PROTOS), address(found, "address"), whole(found, "port", *PORTS))


def parse_noted(value: Any, key: str) -> Noted:
    found = mapping(value, "socket")
    return Noted(parse_socket(found), text(found, key))


def parse_hears(value: Any) -> Hears:
    found = mapping(value, "hears")
    return Hears(flag(found, "passed"), flag(found, "wire"), text(found, "error"))


def parse_listening(value: Any, most_unusable: int = 1 << 20) -> Listening:
    """most_unusable: how many sockets it was asked for."""
    found = mapping(value, "listening")
    return Listening(
        tuple(map(parse_address, sequence(found.get("addresses"), "addresses", MOST_ADDRESSES))),
        tuple(map(parse_address, sequence(found.get("others"), "others", MOST_ADDRESSES))),
        tuple(parse_noted(one, "process") for one in sequence(found.get("services"), "services", MOST_SERVICES)),
        tuple(parse_noted(one, "error") for one in sequence(found.get("unusable"), "unusable", most_unusable)),
        parse_hears(found.get("hears", {})),
        whole(found, "bound", 0, 1 << 31) if "bound" in found else 0,
        flag(found, "replaced"),
    )


def parse_heard(value: Any) -> Heard:
    found = mapping(value, "flow")
    ports = sequence(found.get("ports"), "ports", PORTS[1])
    if not all(isinstance(port, int) and PORTS[0] <= port <= PORTS[1] for port in ports):
        raise Malformed("ports: expected whole numbers from 1 to 65535")
    return Heard(address(found, "source"), address(found, "dest"), choice(found, "proto", PROTOS), tuple(ports))


def parse_stopped(value: Any, most: int = 1 << 20) -> Stopped:
    """most: how many pairs of addresses and protocols can have been heard."""
    found = mapping(value, "stopped")
    if not flag(found, "running"):
        return Stopped()
    lost = [whole(found, key, 0, 1 << 62) for key in ("lost", "lost_wire")]
    heard = [tuple(map(parse_heard, sequence(found.get(place), place, most))) for place in PLACES]
    return Stopped(True, *lost, *heard)  # type: ignore[arg-type]
