# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module's ``rules`` input -> Rule values for each family; every mistake is found at once and named by its key.

The words are those of the ufw command and of ``community.general.ufw``, so that a playbook's rules can be pasted.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.apps import find_profile, profile_ports
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import InputErrors, RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import (
    ACTIONS,
    ANYWHERE,
    PORT_PROTOCOLS,
    PROTOCOLS,
    V4_ONLY_PROTOCOLS,
    Rule,
    describe,
    port_key,
    sort_ports,
    valid_interface,
)

LOGS = {"off": "", "new": "log", "all": "log-all"}

# Option -> its aliases. The aliases are those of community.general.ufw.
OPTIONS: dict[str, tuple[str, ...]] = {
    "rule": (),
    "direction": (),
    "route": (),
    "interface": ("if",),
    "interface_in": ("if_in",),
    "interface_out": ("if_out",),
    "proto": ("protocol",),
    "from_ip": ("from", "src"),
    "from_port": (),
    "from_app": (),
    "to_ip": ("to", "dest"),
    "to_port": ("port",),
    "app": ("name",),
    "log": (),
    "comment": (),
}
_CANONICAL = {alias: name for name, aliases in OPTIONS.items() for alias in aliases}
_TRUE = ("yes", "on", "1", "true", "t", "y", "1.0")
_FALSE = ("no", "off", "0", "false", "f", "n", "0.0")
# iptables' multiport match has 15 slots: ufw counts the separators.
_MAX_PORT_SEPARATORS = 14

Profiles = Callable[[], dict[str, str]]


class WantedRules(NamedTuple):
    """The input, checked: the rules of each family in their order, and the rules that can never match."""

    v4: list[Rule]
    v6: list[Rule]
    shadowed: list[str]
    warnings: list[str]


class RuleFields:
    """One rule's options, read one by one; mistakes are collected with the rule's index."""

    options: Sequence[str] = tuple(OPTIONS)
    aliases: dict[str, str] = _CANONICAL
    subject = "a rule"
    example = "{rule: allow, to_port: 22, proto: tcp}"

    def __init__(self, where: str, errors: list[str]) -> None:
        self.where = where
        self.errors = errors
        self.values: dict[str, Any] = {}

    def fail(self, key: str, message: str) -> None:
        self.errors.append("{}{}: {}".format(self.where, "." + key if key else "", message))

    def load(self, raw: Any) -> bool:
        """Take the options of one rule; False where it is not a mapping at all."""
        if not isinstance(raw, dict):
            self.fail("", f"got {raw!r}; expected a mapping such as {self.example}")
            return False
        for key, value in raw.items():
            name = self.aliases.get(key, key)
            if name not in self.options:
                known = ", ".join(self.options)
                self.fail(str(key), f"is not an option of {self.subject}; expected one of {known}")
            elif value is None or value == "":
                continue
            elif name in self.values and str(self.values[name]) != str(value):
                self.fail(str(key), f"is another name of {name}, which is set too; keep one of them")
            else:
                self.values[name] = value
        return True

    def text(self, key: str, default: str = "") -> str:
        """An option as text; numbers are taken for their digits, anything else is a mistake."""
        if key not in self.values:
            return default
        value = self.values[key]
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            self.fail(key, f"got {value!r}; expected text")
            return default
        return str(value).strip()

    def choice(self, key: str, choices: Sequence[str], default: str) -> str:
        if key not in self.values:
            return default
        value = self.values[key]
        if isinstance(value, bool):  # YAML reads a bare `off` as false
            value = "on" if value else "off"
        if value not in choices:
            self.fail(key, "got {!r}; expected one of {}".format(value, ", ".join(choices)))
            return default
        return value

    def flag(self, key: str) -> bool:
        if key not in self.values:
            return False
        value = self.values[key]
        word = str(value).strip().lower()
        if word not in _TRUE and word not in _FALSE:
            self.fail(key, f"got {value!r}; expected true or false")
        return word in _TRUE


def parse_rules(raw: Any, use_ipv6: bool, profiles: Profiles) -> WantedRules:
    """Check the whole input; InputErrors lists every mistake. ``use_ipv6`` is whether this host's ufw filters IPv6,
    ``profiles`` reads the application profiles (called only where a rule names one)."""
    errors: list[str] = []
    if not isinstance(raw, (list, tuple)):
        raise InputErrors([f"rules: got {raw!r}; expected a list of rules"])
    families: dict[int, list[tuple[int, Rule]]] = {4: [], 6: []}
    for index, item in enumerate(raw):
        where = f"rules[{index}]"
        for family, rules in _parse_rule(RuleFields(where, errors), item, use_ipv6, profiles).items():
            families[family] += [(index, rule) for rule in rules]
    # A rule of both families conflicts in both; one line says it.
    errors += dict.fromkeys(_conflicts(families[4]) + _conflicts(families[6]))
    if errors:
        raise InputErrors(errors)
    shadowed, warnings = _shadowed(families)
    v4, v6 = ([rule for _index, rule in families[family]] for family in (4, 6))
    return WantedRules(v4, v6, shadowed, warnings)


def check_rules(raw: Any) -> list[str]:
    """What is wrong with the input on any host; the family and the profiles, which depend on the host, are let be."""
    try:
        parse_rules(raw, True, dict)
    except InputErrors as error:
        return [line for line in error.errors if "/etc/ufw/applications.d" not in line]
    return []


# -- one rule --------------------------------------------------------------------------------------------------------


def _parse_rule(fields: RuleFields, raw: Any, use_ipv6: bool, profiles: Profiles) -> dict[int, list[Rule]]:
    """The rules that one item of the input stands for, by family (several where a profile has several ports)."""
    before = len(fields.errors)
    if not fields.load(raw):
        return {}
    if "rule" not in fields.values:
        fields.fail("rule", "is missing; expected one of {}".format(", ".join(ACTIONS)))
    action = fields.choice("rule", ACTIONS, "allow")
    proto = fields.choice("proto", PROTOCOLS, "any")
    direction, interface_in, interface_out, route = _parse_path(fields)
    src, src_family = parse_address(fields, "from_ip")
    dst, dst_family = parse_address(fields, "to_ip")
    sport = parse_ports(fields, "from_port", proto)
    dport = parse_ports(fields, "to_port", proto)
    ends = _parse_apps(fields, proto, dport, sport, profiles)
    families = parse_families(fields, proto, src_family, dst_family, use_ipv6)
    log = LOGS[fields.choice("log", tuple(LOGS), "off")]
    comment = parse_comment(fields)
    if len(fields.errors) > before:
        return {}
    dapp, sapp, ports = ends
    return {
        family: [
            Rule(
                action,
                port_proto,
                dport,
                dst or ANYWHERE[family],
                sport,
                src or ANYWHERE[family],
                direction,
                interface_in,
                interface_out,
                route,
                log,
                dapp,
                sapp,
                comment,
            )
            for port_proto, dport, sport in ports
        ]
        for family in families
    }


def _parse_path(fields: RuleFields) -> tuple[str, str, str, bool]:
    """Direction, interfaces and whether the rule is for routed packets."""
    route = fields.flag("route")
    direction = fields.choice("direction", ("in", "out"), "in")
    names = {"in": fields.text("interface_in"), "out": fields.text("interface_out")}
    interface = fields.text("interface")
    if interface and names[direction]:
        fields.fail("interface", f"is the same as interface_{direction}, which is set too; keep one of them")
    names[direction] = names[direction] or interface
    for way, name in names.items():
        if name and not valid_interface(name):
            key = "interface" if name == interface else "interface_" + way
            fields.fail(
                key,
                f"got {name!r}; expected the name of a network interface: at most 15 letters, digits or "
                "_ - . + , = % @, not an alias such as eth0:1",
            )
    other = "out" if direction == "in" else "in"
    if route:
        if direction == "out" and not names["out"]:
            fields.fail(
                "direction",
                "got out for a routed rule without interface_out; a routed packet goes both ways: "
                "name interface_out, or leave direction away",
            )
        # ufw stores no direction of its own for a routed rule: it follows from the interfaces.
        direction = "out" if names["out"] and not names["in"] else "in"
    elif names[other]:
        fields.fail(
            "interface_" + other,
            f"got {names[other]!r} for a rule of direction {direction}; use interface_{direction}, or set route: true",
        )
    return direction, names["in"], names["out"], route


def parse_address(fields: RuleFields, key: str) -> tuple[str, int | None]:
    """An address as ufw stores it, and its family; ("", None) for any."""
    text = fields.text(key, "any").lower()
    if text == "any":
        return "", None
    address, slash, mask = text.partition("/")
    family = 6 if ":" in address else 4
    try:
        packed = socket.inet_pton(socket.AF_INET6 if family == 6 else socket.AF_INET, address)
        return _normalize(packed, mask if slash else None, family), family
    except (OSError, ValueError):
        fields.fail(key, f"got {text!r}; expected any, an address or a network such as 10.0.1.0/24 or 2001:db8::/64")
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
    if not (text.isascii() and text.isdigit()) or int(text) > most:
        raise ValueError(text)
    return int(text)


def parse_ports(fields: RuleFields, key: str, proto: str) -> str:
    """A port, list or range as ufw stores it."""
    text = fields.text(key, "any").replace(" ", "")
    if text == "any":
        return text
    if proto not in PORT_PROTOCOLS:
        fields.fail(key, f"got {text} with proto {proto}, which has no ports; drop the port, or use tcp or udp")
        return "any"
    ports = []
    for item in text.split(","):
        numbers = item.split(":")
        bad = len(numbers) > 2 or not all(_is_port(number) for number in numbers)
        if bad or (len(numbers) == 2 and int(numbers[0]) >= int(numbers[1])):
            fields.fail(
                key,
                f"got {text}; expected a port 1-65535, a list such as 80,443 or a range such as "
                f"8000:8100{_port_remedy(item)}",
            )
            return "any"
        ports.append(":".join(str(int(number)) for number in numbers))
    if len(ports) > 1 or ":" in text:
        if proto == "any":
            fields.fail(key, f"got {text} without a protocol; a list or a range needs proto: tcp or proto: udp")
        if text.count(",") + text.count(":") > _MAX_PORT_SEPARATORS:
            fields.fail(
                key,
                f"got {text}; expected at most 15 ports, where a range counts two (a limit of iptables): "
                "split the rule",
            )
    return sort_ports(",".join(ports))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text) <= 65535


def _port_remedy(item: str) -> str:
    if "/" in item:
        return "; write the protocol in proto"
    if "-" in item:
        return "; write a range with a colon"
    if any(char.isalpha() for char in item):
        return "; service names are not looked up: write the number, or name a profile in app"
    return ""


def _parse_apps(
    fields: RuleFields, proto: str, dport: str, sport: str, profiles: Profiles
) -> tuple[str, str, list[tuple[str, str, str]]]:
    """Application profiles -> (dapp, sapp, [(protocol, destination ports, source ports)]), as ufw expands them."""
    names = {"app": fields.text("app"), "from_app": fields.text("from_app")}
    if not any(names.values()):
        return "", "", [(proto, dport, sport)]
    if proto != "any":
        fields.fail("proto", f"got {proto} together with an application profile, which brings its own; drop proto")
    found = {"app": "", "from_app": ""}
    ports: dict[str, list[tuple[str, str]]] = {"app": [(dport, "any")], "from_app": [(sport, "any")]}
    for key, port_option in (("app", "to_port"), ("from_app", "from_port")):
        if not names[key]:
            continue
        if fields.values.get(port_option) not in (None, "any"):
            fields.fail(port_option, f"is set together with {key}, which brings its own ports; keep one of them")
        try:
            found[key] = find_profile(names[key], profiles())
            ports[key] = profile_ports(profiles()[found[key]])
        except RulesetError as error:
            fields.fail(key, str(error))
    if found["app"] and found["app"] == found["from_app"]:
        # One profile at both ends: each of its ports with itself, as ufw does it.
        same = [(kind, sort_ports(port), sort_ports(port)) for port, kind in ports["app"]]
        return found["app"], found["from_app"], list(dict.fromkeys(same))
    expanded = []
    for to_port, to_proto in ports["app"]:
        for from_port, from_proto in ports["from_app"]:
            kind = from_proto if from_proto != "any" else to_proto
            expanded.append((kind, sort_ports(to_port), sort_ports(from_port)))
    # A profile may name a port twice; ufw takes the second one for the first.
    return found["app"], found["from_app"], list(dict.fromkeys(expanded))


def parse_families(fields: RuleFields, proto: str, src: int | None, dst: int | None, use_ipv6: bool) -> list[int]:
    """The families that a rule goes to: an address decides, without one both, as ufw does."""
    if src and dst and src != dst:
        fields.fail("to_ip", f"is IPv{dst} but from_ip is IPv{src}; both ends of a rule are of one family")
        return []
    family = src or dst
    if family == 6 and proto in V4_ONLY_PROTOCOLS:
        fields.fail("proto", f"got {proto} with an IPv6 address; ufw knows this protocol for IPv4 only")
    if family == 6 and not use_ipv6:
        fields.fail(
            "from_ip" if src else "to_ip",
            "is an IPv6 address, but ufw does not filter IPv6 on this host "
            "(IPV6 in /etc/default/ufw); set ipv6: true, or drop the rule",
        )
    if family:
        return [family]
    return [4, 6] if use_ipv6 and proto not in V4_ONLY_PROTOCOLS else [4]


def parse_comment(fields: RuleFields) -> str:
    comment = fields.text("comment")
    if any(ord(char) < 32 or 127 <= ord(char) < 160 or char in "\u2028\u2029" for char in comment):
        fields.fail("comment", f"got {comment!r}; expected one line of text without control characters")
    try:
        comment.encode("utf-8")
    except UnicodeEncodeError:
        fields.fail("comment", f"got {comment!r}, which is not valid Unicode")
    return comment


# -- rules against each other ----------------------------------------------------------------------------------------


def _conflicts(rules: list[tuple[int, Rule]]) -> list[str]:
    """Rules with the same match: ufw holds only one of them, so that the input cannot be meant as it stands."""
    first: dict[tuple, tuple[int, Rule]] = {}
    errors = []
    for index, rule in rules:
        key = rule.match
        if key not in first:
            first[key] = (index, rule)
            continue
        other_index, other = first[key]
        if (other.action, other.log) == (rule.action, rule.log):
            errors.append(
                f"rules[{index}]: got {describe(rule)}, the same rule as rules[{other_index}] "
                f"({describe(other)}); remove one of them"
            )
        else:
            errors.append(
                f"rules[{index}]: got {describe(rule)}, which contradicts rules[{other_index}] "
                f"({describe(other)}): the same match with another action; keep one of them"
            )
    return errors


def _shadowed(families: dict[int, list[tuple[int, Rule]]]) -> tuple[list[str], list[str]]:
    """Rules that can never match, because one earlier rule takes all of their packets: (all, those that matter).

    Those matter whose action differs: with the same action they are only superfluous. A rule is looked up under every
    coarser key that occurs, so that the cost grows with the rules, not with their square.
    """
    notes: dict[str, bool] = {}
    for family in (4, 6):
        index_of: dict[tuple, _Bucket] = {}
        lengths = {"src": set(), "dst": set()}
        for index, rule in families[family]:
            nets = {"src": _network(rule.src, family), "dst": _network(rule.dst, family)}
            hit = _find_cover(rule, nets, lengths, index_of)
            if hit and hit[0] != index:
                text = (
                    f"rules[{index}] ({describe(rule)}) never matches: rules[{hit[0]}] ({describe(hit[1])}) stands "
                    f"before it and takes all of its packets"
                )
                notes[text] = notes.get(text, False) or rule.action != hit[1].action
            for end, net in nets.items():
                lengths[end].add(net[1])
            key = (rule.suffix, rule.interface_in, rule.interface_out, nets["src"], nets["dst"], rule.proto)
            index_of.setdefault(key, _Bucket({}, [])).add(index, rule)
    return list(notes), [text for text, matters in notes.items() if matters]


def _network(address: str, family: int) -> tuple[int, int]:
    """An address as (number, prefix length); a mask that is not contiguous is (its hash, -1) and covers only itself."""
    host, slash, mask = address.partition("/")
    if "." in mask:
        return hash(address), -1
    width, kind = (128, socket.AF_INET6) if family == 6 else (32, socket.AF_INET)
    bits = int(mask) if slash else width
    number = int.from_bytes(socket.inet_pton(kind, host), "big")
    return number >> (width - bits) << (width - bits), bits


def _coarser(net: tuple[int, int], lengths: Any, width: int) -> list[tuple[int, int]]:
    number, bits = net
    if bits < 0:
        return [net] + ([(0, 0)] if 0 in lengths else [])
    return [(number >> (width - length) << (width - length), length) for length in lengths if 0 <= length <= bits]


def _find_cover(
    rule: Rule, nets: dict[str, tuple[int, int]], lengths: dict[str, Any], index_of: dict[tuple, _Bucket]
) -> tuple[int, Rule] | None:
    width = 128 if ":" in rule.src else 32
    sources = _coarser(nets["src"], lengths["src"], width)
    targets = _coarser(nets["dst"], lengths["dst"], width)
    # "any" without a port takes every protocol; with a port it takes tcp and udp alone (see iptables_lines).
    protos = {rule.proto, "any"}
    for name_in in dict.fromkeys((rule.interface_in, "")):
        for name_out in dict.fromkeys((rule.interface_out, "")):
            for src in sources:
                for dst in targets:
                    for proto in protos:
                        bucket = index_of.get((rule.suffix, name_in, name_out, src, dst, proto))
                        hit = bucket and bucket.find(rule)
                        if hit:
                            return hit
    return None


class _Bucket(NamedTuple):
    """Earlier rules that are alike in all but their ports: single ports by name, lists and ranges to be searched."""

    single: dict[tuple[str, str], tuple[int, Rule]]
    several: list[tuple[int, Rule]]

    def add(self, index: int, rule: Rule) -> None:
        self.single.setdefault((rule.dport, rule.sport), (index, rule))
        if any(mark in ports for ports in (rule.dport, rule.sport) for mark in ",:"):
            self.several.append((index, rule))

    def find(self, rule: Rule) -> tuple[int, Rule] | None:
        """The first rule whose ports hold those of ``rule``."""
        for dport in dict.fromkeys((rule.dport, "any")):
            for sport in dict.fromkeys((rule.sport, "any")):
                hit = self.single.get((dport, sport))
                if hit and _covers_proto(hit[1], rule):
                    return hit
        for hit in self.several:
            if _covers_proto(hit[1], rule) and _holds(hit[1].dport, rule.dport) and _holds(hit[1].sport, rule.sport):
                return hit
        return None


def _covers_proto(earlier: Rule, rule: Rule) -> bool:
    """A rule for any protocol takes all of them where it names no port; with a port it takes tcp and udp alone."""
    if earlier.proto == rule.proto:
        return earlier.proto != "any" or earlier.dport == earlier.sport == "any" or rule.dport + rule.sport != "anyany"
    return earlier.dport == earlier.sport == "any" or rule.proto in ("tcp", "udp")


def _holds(ports: str, others: str) -> bool:
    """Whether every port of ``others`` is in ``ports``."""
    if ports == "any" or ports == others:
        return True
    if others == "any":
        return False
    ranges = [_range(item) for item in ports.split(",")]
    return all(
        any(low <= first and last <= high for low, high in ranges) for first, last in map(_range, others.split(","))
    )


def _range(item: str) -> tuple[int, int]:
    first, last = port_key(item)
    return first, last or first
