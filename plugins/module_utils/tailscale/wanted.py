# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a task asks for: its options, checked without a look at the host, in the form in which they are compared."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, Union
from urllib.parse import urlsplit

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import (
    AUTO,
    BY_OPTION,
    EXIT,
    EXIT_NODE,
    EXIT_ROUTES,
    ROUTES,
    control_url,
)

PRESENT, DOWN, LOGGED_OUT, ABSENT = "present", "down", "logged_out", "absent"
_TAG = re.compile(r"tag:[A-Za-z][A-Za-z0-9-]*\Z")
_DURATION = re.compile(r"(\d{1,6})([smhdw])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
#: Seconds that a change waits for its confirmation.
CONFIRM = 30
#: Bytes; the limit of tailscale's own command.
_LONGEST_HOSTNAME = 256
_LAST_PORT = 65535


@dataclass(frozen=True)
class Wanted:
    """options: those that were given, as ``prefs.options_of`` has them; an exit node as it was written. key: what to log
    in with, "" without one; at_hand: whether there is one, here or on the controller. renew_before: seconds."""

    state: str
    options: dict[str, Any] = field(default_factory=dict)
    key: str = field(default="", repr=False)
    at_hand: bool = False
    renew_before: Optional[float] = None
    accept_cut: bool = False
    timeout: float = 60.0
    confirm: int = 0

    @property
    def leaves(self) -> bool:
        return self.state in (LOGGED_OUT, ABSENT)


def parse(params: Mapping[str, Any]) -> Wanted:
    """A module's parameters; Refused with every mistake in them."""
    mistakes: list[Mistake] = []
    options: dict[str, Any] = {}
    for option in (*BY_OPTION, ROUTES, EXIT, EXIT_NODE):
        value = params.get(option)
        if value is None:
            continue
        read = _READERS.get(option)
        options[option] = read(option, value, mistakes) if read else value
    if options.get(EXIT) and options.get(EXIT_NODE):
        mistakes.append(
            Mistake(
                EXIT_NODE,
                f"{printable(options[EXIT_NODE])} beside advertise_exit_node: true",
                "one of the two",
                "a node cannot offer itself as an exit node and use another one",
            )
        )
    renew = _duration("renew_before", params.get("renew_before"), mistakes)
    timeout = _number("timeout", params.get("timeout", 60), 1, 3600, mistakes)
    confirm = _number("confirm.timeout", (params.get("confirm") or {}).get("timeout", CONFIRM), 0, 3600, mistakes)
    if params.get("client_secret"):
        remedy = "leave that to the task's action plugin, which has it exchanged on the controller, or give auth_key"
        mistakes.append(Mistake("client_secret", "one, on the host", "none", remedy))
    if mistakes:
        raise Refused(mistakes)
    key = (params.get("auth_key") or "").strip()
    return Wanted(
        state=params.get("state") or PRESENT,
        options=options,
        key=key,
        at_hand=bool(key) or bool(params.get("key_at_hand")),
        renew_before=renew,
        accept_cut=bool(params.get("accept_cut")),
        timeout=float(timeout),
        confirm=confirm,
    )


def _routes(option: str, value: list[str], mistakes: list[Mistake]) -> list[str]:
    found = []
    for index, text in enumerate(value):
        path = f"{option}[{index}]"
        network = _network(path, str(text), mistakes)
        if network is None:
            continue
        if str(network) in EXIT_ROUTES:
            remedy = "say advertise_exit_node: true, which offers both families' default routes"
            mistakes.append(Mistake(path, str(network), "a network that is not all addresses", remedy))
            continue
        found.append(str(network))
    return sorted(set(found))


_Network = Union[ipaddress.IPv4Network, ipaddress.IPv6Network]


def _network(path: str, text: str, mistakes: list[Mistake]) -> Optional[_Network]:
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        pass
    try:
        masked = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        mistakes.append(Mistake(path, printable(text), "a network such as 10.0.3.0/24", "correct it"))
        return None
    mistakes.append(Mistake(path, printable(text), "a network without bits of a host", f"say {masked}"))
    return None


def _tags(option: str, value: list[str], mistakes: list[Mistake]) -> list[str]:
    found = []
    for index, text in enumerate(value):
        tag = text.strip() if text.strip().startswith("tag:") else f"tag:{text.strip()}"
        if _TAG.match(tag):
            found.append(tag)
        else:
            expected = "a tag of letters, digits and dashes that begins with a letter, such as tag:web"
            mistakes.append(Mistake(f"{option}[{index}]", printable(text), expected, "correct it"))
    return sorted(set(found))


def _url(option: str, value: str, mistakes: list[Mistake]) -> str:
    try:
        parts = urlsplit(control_url(value))
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or parts.username or parts.query or parts.fragment:
        expected = "the URL of a control server, such as https://headscale.example.com"
        mistakes.append(Mistake(option, printable(value), expected, "correct it, or leave it out for Tailscale's own"))
    return control_url(value)


def _hostname(option: str, value: str, mistakes: list[Mistake]) -> str:
    if len(value.encode("utf-8", "replace")) > _LONGEST_HOSTNAME or not value.isprintable():
        expected = f"a name of at most {_LONGEST_HOSTNAME} bytes without control characters"
        mistakes.append(Mistake(option, printable(value, 80), expected, "shorten it, or say '' for that of the system"))
    return value


def _exit_node(option: str, value: str, mistakes: list[Mistake]) -> str:
    text = value.strip()
    if text.startswith("auto:") and text != AUTO:
        mistakes.append(Mistake(option, printable(text), f"{AUTO}, a name or an address", "correct it"))
    return text


def _port(option: str, value: str, mistakes: list[Mistake]) -> str:
    text = value.strip()
    if text and not (text.isascii() and text.isdigit() and int(text) <= _LAST_PORT):
        expected = "a UDP port, 0 for any, or '' for none"
        mistakes.append(Mistake(option, printable(text), expected, "correct it"))
        return ""
    return str(int(text)) if text else ""


def _endpoints(option: str, value: list[str], mistakes: list[Mistake]) -> list[str]:
    found = []
    for index, text in enumerate(value):
        host, _colon, port = text.strip().rpartition(":")
        inner = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        try:
            address = ipaddress.ip_address(inner)
            usable = port.isascii() and port.isdigit() and 0 < int(port) <= _LAST_PORT
        except ValueError:
            usable = False
        if not usable or (address.version == 6) != (inner != host):
            expected = "an address and a port, such as 192.0.2.1:40000 or [2001:db8::1]:40000"
            mistakes.append(Mistake(f"{option}[{index}]", printable(text), expected, "correct it"))
            continue
        found.append(f"[{address}]:{int(port)}" if address.version == 6 else f"{address}:{int(port)}")
    return sorted(set(found))


_READERS: dict[str, Callable[[str, Any, list[Mistake]], Any]] = {
    ROUTES: _routes,
    EXIT_NODE: _exit_node,
    "advertise_tags": _tags,
    "login_server": _url,
    "hostname": _hostname,
    "relay_server_port": _port,
    "relay_server_static_endpoints": _endpoints,
}


def _duration(option: str, value: Optional[str], mistakes: list[Mistake]) -> Optional[float]:
    if value is None:
        return None
    found = _DURATION.match(value.strip())
    if found:
        return float(int(found[1]) * _SECONDS[found[2]])
    expected = "a number with a unit (s, m, h, d, w), such as 14d"
    mistakes.append(Mistake(option, printable(value), expected, "correct it"))
    return None


def _number(option: str, value: Any, least: int, most: int, mistakes: list[Mistake]) -> int:
    if isinstance(value, int) and least <= value <= most:
        return value
    mistakes.append(Mistake(option, printable(value), f"seconds from {least} to {most}", "correct it"))
    return least
