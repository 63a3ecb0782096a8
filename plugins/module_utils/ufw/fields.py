# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One item of an input, its options read one by one: texts, choices, addresses, ports; mistakes with their key path.

Nothing is normalised before it is checked: a blank within a port, a leading zero or a digit of another script is a
mistake, because what would be left after taking it away is another port than the one that was meant.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import (
    PORT_PROTOCOLS,
    V4_ONLY_PROTOCOLS,
    is_plain_number,
    ports_problem,
    sort_ports,
    valid_interface,
)

#: Kinds of mistakes that code tells apart: what only the host itself can judge.
PROFILE = "profile"
SERVICE = "service"
#: Kinds of conflicts of rules with each other.
SAME_RULE = "same rule"
CONTRADICTION = "contradiction"

_TRUE = ("yes", "on", "1", "true", "t", "y", "1.0")
_FALSE = ("no", "off", "0", "false", "f", "n", "0.0")
#: iptables' multiport match has 15 slots: ufw counts the separators.
_MAX_PORT_SEPARATORS = 14
_PORTS = "a port 1-65535, a list such as 80,443 or a range such as 8000:8100"
#: Ports of well-known services that a range of YAML 1.1, such as 23:53, would be taken for; they are meant as written.
_WELL_KNOWN = frozenset((1433, 1812, 2049, 2379, 2380, 3306, 3389))


class Fields:
    """The options of one item; ``mistakes`` and ``warnings`` are those of the whole input."""

    options: Sequence[str] = ()
    aliases: Mapping[str, str] = {}
    #: Options of other tools -> how the same is written here.
    elsewhere: Mapping[str, str] = {}
    subject = "an item"
    example = "{}"
    #: Texts that may be empty; anywhere else an empty text would silently mean "any".
    may_be_empty: Sequence[str] = ("comment",)

    def __init__(self, where: str, mistakes: list[Mistake], warnings: list[str]) -> None:
        self.where, self.mistakes, self.warnings = where, mistakes, warnings
        self.values: dict[str, Any] = {}

    def path(self, key: str) -> str:
        """The key path of an option, or of the item itself."""
        return f"{self.where}.{key}" if key else self.where

    def fail(self, key: str, got: object, expected: str, remedy: str, kind: str = "") -> None:
        """Note one mistake."""
        self.mistakes.append(Mistake(self.path(key), str(got), expected, remedy, kind))

    def load(self, raw: Any) -> bool:
        """Take the options of one item; False where it is not a mapping at all."""
        if not isinstance(raw, dict):
            self.fail("", repr(raw), f"a mapping such as {self.example}", "write its options by name")
            return False
        for key, value in raw.items():
            name = self.aliases.get(key, key)
            if name not in self.options:
                self._unknown(str(key))
            elif value is None:
                continue
            elif isinstance(value, str) and not value.strip(" ") and name not in self.may_be_empty:
                self.fail(str(key), repr(value), "a value", "leave the option away where it is not meant to restrict")
            elif name in self.values and str(self.values[name]) != str(value):
                self.fail(str(key), f"another name of {name}, which is set too", "one of them", "keep one of them")
            else:
                self.values[name] = value
        return True

    def _unknown(self, key: str) -> None:
        known = ", ".join(self.options)
        if key in self.elsewhere:
            remedy = self.elsewhere[key]
        else:
            import difflib  # for a mistake, which most input has not

            near = difflib.get_close_matches(key, [*self.options, *self.aliases], 1)
            remedy = f"write {self.aliases.get(near[0], near[0])}" if near else "remove it"
        self.fail(key, f"{key!r}, which is not an option of {self.subject}", f"one of {known}", remedy)

    def text(self, key: str, default: str = "") -> str:
        """An option as text; numbers are taken for their digits, anything else is a mistake."""
        if key not in self.values:
            return default
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            self.fail(key, repr(value), "text", "write it as a text in quotes")
            return default
        return str(value)

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        """An option that is one of some words."""
        if key not in self.values:
            return default
        value = self.values[key]
        if isinstance(value, bool):  # YAML reads a bare `off` as false
            value = "on" if value else "off"
        if value not in choices:
            self.fail(key, repr(value), "one of {}".format(", ".join(choices)), "write one of them")
            return default
        return value

    def flag(self, key: str) -> bool:
        """An option that is true or false."""
        if key not in self.values:
            return False
        value = self.values[key]
        word = str(value).strip(" ").lower()
        if word not in _TRUE and word not in _FALSE:
            self.fail(key, repr(value), "true or false", "write one of them")
        return word in _TRUE

    def interface(self, key: str) -> str:
        """An option that is the name of an interface; empty where it is absent or wrong."""
        name = self.text(key)
        if not name:
            return ""
        if not valid_interface(name):
            self.fail(
                key,
                repr(name),
                "the name of a network interface: at most 15 letters, digits or _ - . + , = % @",
                "write the name that `ip link` shows, not an alias such as eth0:1",
            )
            return ""
        if name.lower() in ("all", "any"):
            self.warnings.append(
                f"{self.path(key)}: got {name}, which is the name of one interface to ufw and to the kernel, and of none on "
                "most hosts: the rule matches no packet there; leave the option away for every interface"
            )
        return name


# -- addresses -------------------------------------------------------------------------------------------------------


def parse_address(fields: Fields, key: str) -> tuple[str, int | None]:
    """An address as ufw stores it, and its family; ("", None) for any."""
    text = fields.text(key, "any").lower()
    if text == "any":
        return "", None
    address, slash, mask = text.partition("/")
    family = 6 if ":" in address else 4
    try:
        packed = socket.inet_pton(socket.AF_INET6 if family == 6 else socket.AF_INET, address)
        found = _normalize(packed, mask if slash else None, family)
        if "." in found.partition("/")[2]:
            fields.warnings.append(
                f"{fields.path(key)}: got {text}, a mask with holes: the rule is about the addresses whose bits under the mask "
                f"are those of {found}; write a prefix length such as /24 where a network is meant"
            )
        return found, family
    except (OSError, ValueError):
        fields.fail(
            key,
            repr(text),
            "any, an address or a network such as 10.0.1.0/24 or 2001:db8::/64",
            "write one, without blanks and without zeros in front",
        )
        return "", None


def _normalize(packed: bytes, mask: str | None, family: int) -> str:
    """Write an address the way ufw stores it: no mask for a single host, IPv4 networks without host bits."""
    if family == 6:
        bits = 128 if mask is None else _prefix(mask, 128)
        host = socket.inet_ntop(socket.AF_INET6, packed)
        return host if bits == 128 else f"{host}/{bits}"
    if mask is None:
        return socket.inet_ntop(socket.AF_INET, packed)
    if "." in mask:
        number = struct.unpack("!I", socket.inet_pton(socket.AF_INET, mask))[0]
        inverse = number ^ 0xFFFFFFFF
        if inverse & (inverse + 1):  # not contiguous: iptables and ufw take it all the same
            network = struct.unpack("!I", packed)[0] & number
            return "{}/{}".format(socket.inet_ntop(socket.AF_INET, struct.pack("!I", network)), mask)
        bits = 32 - inverse.bit_length()
    else:
        bits = _prefix(mask, 32)
        number = 0xFFFFFFFF << (32 - bits) & 0xFFFFFFFF
    network = socket.inet_ntop(socket.AF_INET, struct.pack("!I", struct.unpack("!I", packed)[0] & number))
    return network if bits == 32 else f"{network}/{bits}"


def _prefix(text: str, most: int) -> int:
    """A prefix length; a zero in front is a mistake, for the tools read such a number as an octal one."""
    if not is_plain_number(text) or int(text) > most:
        raise ValueError(text)
    return int(text)


def parse_families(fields: Fields, proto: str, src: int | None, dst: int | None, use_ipv6: bool) -> list[int]:
    """The families that a rule goes to: an address decides, without one both, as ufw does."""
    if src and dst and src != dst:
        fields.fail("to_ip", f"IPv{dst} where from_ip is IPv{src}", "both ends of one family", "make two rules of it")
        return []
    family = src or dst
    if family == 6 and proto in V4_ONLY_PROTOCOLS:
        fields.fail("proto", f"{proto} with an IPv6 address", "a protocol of IPv6", "ufw knows this one for IPv4 only")
    if family == 6 and not use_ipv6:
        fields.fail(
            "from_ip" if src else "to_ip",
            "an IPv6 address, though ufw does not filter IPv6 on this host (IPV6 in /etc/default/ufw)",
            "an IPv4 address",
            "set ipv6: true, or drop the rule",
        )
    if family:
        return [family]
    return [4, 6] if use_ipv6 and proto not in V4_ONLY_PROTOCOLS else [4]


# -- ports -----------------------------------------------------------------------------------------------------------


def service_port(name: str, proto: str) -> tuple[str, str]:
    """A service name as ufw looks it up: (port, protocol); the protocol is ``any`` for one of TCP and UDP.
    LookupError where this host's /etc/services does not have it, or not with ``proto``."""
    found = {}
    for one in ("tcp", "udp") if proto == "any" else (proto,):
        try:
            found[one] = socket.getservbyname(name, one)
        except (OSError, UnicodeError):
            continue
    if not found or len(set(found.values())) > 1:
        raise LookupError(name)
    return str(next(iter(found.values()))), "any" if len(found) > 1 else next(iter(found))


def parse_ports(fields: Fields, key: str, proto: str, listed: bool = False) -> tuple[str, str]:
    """A port, list or range as ufw stores it, and the protocol of the rule: a service name may decide that.
    ``listed`` is whether a list may stand without a protocol (because a profile brings it)."""
    items = _port_items(fields, key)
    if not items:
        return "any", proto
    text = ",".join(items)
    if proto not in PORT_PROTOCOLS:
        fields.fail(
            key, f"{text} with proto {proto}, which has no ports", "no port", "drop the port, or use tcp or udp"
        )
        return "any", proto
    if any(_is_name(item) for item in items):
        return _services(fields, key, items, proto)
    bad = ports_problem(items)
    if bad is not None:
        fields.fail(key, text, _PORTS, _remedy(bad))
        return "any", proto
    _warn_of_sixties(fields, key)
    separators = text.count(",") + text.count(":")
    if separators and proto == "any" and not listed:
        fields.fail(
            key, f"{text} without a protocol", "proto: tcp or proto: udp for a list or a range", "add one of them"
        )
    if separators > _MAX_PORT_SEPARATORS:
        limit = "at most 15 ports, where a range counts two (a limit of iptables)"
        fields.fail(key, text, limit, "split the rule")
    return sort_ports(text), proto


def _port_items(fields: Fields, key: str) -> list[str]:
    """The ports of an option, one by one; empty for any. A YAML list is taken, and blanks beside a comma."""
    value = fields.values.get(key, "any")
    if isinstance(value, (list, tuple)):
        if not value or any(isinstance(item, (bool, float)) or not isinstance(item, (str, int)) for item in value):
            fields.fail(key, repr(value), _PORTS, "write the ports as numbers")
            return []
        items = [str(item) for item in value]
    else:
        text = fields.text(key, "any")
        if text == "any":
            return []
        items = text.split(",")
    return [item.strip(" ") for item in items]


def names_service(fields: Fields, key: str) -> bool:
    """Whether an option is the name of a service, which may decide the protocol."""
    value = fields.values.get(key)
    return isinstance(value, str) and value != "any" and _is_name(value)


def _is_name(item: str) -> bool:
    """Whether an item could be a service's name: as ufw takes it, without a protocol behind it."""
    return item.isascii() and item.replace("-", "").isalnum() and not item.replace("-", "").isdigit()


def _services(fields: Fields, key: str, items: list[str], proto: str) -> tuple[str, str]:
    """Service names as ports: alone, as ufw takes them, or in a list of a known protocol."""
    ports, kinds = [], {proto}
    for item in items:
        try:
            port, kind = service_port(item, proto) if _is_name(item) else (item, proto)
        except LookupError:
            what = f"{item}, which is no service of /etc/services" + ("" if proto == "any" else f" for {proto}")
            fields.fail(key, what, _PORTS, "write the number, or name an application profile in app", SERVICE)
            return "any", proto
        ports.append(port)
        kinds.add(kind)
    if ports_problem(ports) is not None or (len(ports) > 1 and proto == "any"):
        fields.fail(key, ",".join(items), _PORTS, "write a list as numbers, and its protocol in proto")
        return "any", proto
    return sort_ports(",".join(ports)), proto if len(kinds) == 1 else (kinds - {proto}).pop()


def _remedy(item: str) -> str:
    """What to write instead of an item that is no port."""
    number, slash, proto = item.partition("/")
    if slash:
        return f"write the protocol in proto: to_port: {number}, proto: {proto}"
    if "-" in item.strip("-"):
        return "write a range with a colon"
    if " " in item:
        return "separate ports with commas"
    if item.isascii() and item.isdigit() and item.startswith("0") and item.strip("0"):
        octal = "" if set(item) & set("89") else f", or {int(item, 8)} if you mean what the kernel makes of it"
        return f"write {int(item)} without the zero in front{octal}"
    return "write numbers from 1 to 65535, a range from its lower to its higher end"


def _warn_of_sixties(fields: Fields, key: str) -> None:
    """YAML 1.1 reads an unquoted 22:23 as the number 22 * 60 + 23: what arrives is a port, but not the one written."""
    value = fields.values.get(key)
    for number in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(number, int) or number in _WELL_KNOWN:
            continue
        first, last = divmod(number, 60)
        if 20 <= first < last:
            fields.warnings.append(
                f"{fields.path(key)}: got the number {number}, which is what YAML makes of {first}:{last} without quotes; "
                f'write "{first}:{last}" for the range, or "{number}" for the port'
            )


# -- comments --------------------------------------------------------------------------------------------------------


def parse_comment(fields: Fields, one_line: bool = False) -> str:
    """A comment as it is: ufw stores it in hexadecimal, so that it may hold whatever its command takes.
    ``one_line`` is for a comment that stands in a file as a line of its own."""
    comment = fields.text("comment")
    expected = "one line of text without control characters" if one_line else "text that ufw's command takes"
    if one_line and any(ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029" for char in comment):
        fields.fail("comment", repr(comment), expected, "remove them")
    elif not one_line and ("'" in comment or "\0" in comment):
        fields.fail("comment", repr(comment), expected, "write it without ' and without zero bytes")
    try:
        comment.encode("utf-8")
    except UnicodeEncodeError:
        fields.fail("comment", repr(comment), "valid Unicode", "remove what is not")
    return comment
