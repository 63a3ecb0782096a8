# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's UFW rules do to one packet: first match wins. It explains a verdict of the packets, it never makes
one."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.flows import PORTS, PROTOS
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_block import Published, describe_published
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import parse_docker
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import Rule, describe
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.parse import Malformed, flag, mapping, sequence, text

POLICY_OF = {"input": "incoming", "output": "outgoing", "forward": "routed"}
LETS_IN = ("allow", "limit")
#: The most rules of one host that are read, and the most ports of them that are probed.
MOST_RULES, MOST_PORTS = 20000, 4096


class Live(NamedTuple):
    """What ufw_ruleset_info says of a host's firewall: its rules and its option docker in ufw_ruleset's shape."""

    active: bool
    default: Mapping[str, str]
    rules: tuple[Mapping[str, Any], ...]
    docker: Optional[Mapping[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "rules": list(self.rules)}

    @classmethod
    def from_dict(cls, value: Any) -> Live:
        """Raises Malformed. A taken host may return anything, thousands of ports included, to be probed by all."""
        found = mapping(value, "the live firewall")
        default = mapping(found.get("default") or {}, "default")
        rules = tuple(map(_plain_rule, sequence(found.get("rules"), "rules", MOST_RULES)))
        ports = {(proto, end) for rule in rules for proto, *ends in rule_ports(rule) for end in ends}
        if len(ports) > MOST_PORTS:
            raise Malformed(f"rules: they name {len(ports)} ports, expected at most {MOST_PORTS}")
        docker = found.get("docker")
        return cls(
            flag(found, "active"),
            {policy: text(default, policy, 16) for policy in POLICY_OF.values() if policy in default},
            rules,
            _plain_docker(mapping(docker, "docker")) if docker else None,
        )

    def firewall(self) -> Firewall:
        return read_firewall(self.active, self.default, self.rules, self.docker)


def _plain_rule(value: Any) -> dict[str, Any]:
    """A rule of plain values, its texts printable."""
    found = mapping(value, "a rule")
    if len(found) > 32 or not all(isinstance(key, str) and len(key) <= 32 for key in found):
        raise Malformed("a rule: got unknown keys")
    return {key: _plain_value(item) for key, item in found.items()}


def _plain_value(value: Any) -> Any:
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 32):
        return value
    if isinstance(value, str):
        return printable(value, 256)
    raise Malformed(f"a rule: got a {type(value).__name__}, expected text")


def _plain_docker(found: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = {"state": text(found, "state", 16)} if "state" in found else {}
    if "bridges" in found:
        plain["bridges"] = [_plain_value(name) for name in sequence(found["bridges"], "bridges", 1024)]
    if "published" in found:
        plain["published"] = [_plain_rule(one) for one in sequence(found["published"], "published", MOST_RULES)]
    return plain


class Packet(NamedTuple):
    """A new connection at one hook of one host. An interface is "" where it is not known."""

    hook: str  # input or forward
    source: str
    dest: str
    proto: str
    port: int
    interface_in: str = ""
    interface_out: str = ""


class Decision(NamedTuple):
    """What happens to a packet, and the rule that decides; without a rule it is the default policy, or no firewall."""

    allows: bool
    rule: Optional[Rule]
    unsure: tuple[str, ...] = ()  # earlier rules of which nobody here can tell whether they match


@dataclass(frozen=True)
class Firewall:
    """A host's rules, of both IP versions, as they are (of the live firewall) or as they should be (compiled). published
    is of IPv4."""

    active: bool
    default: dict[str, str]
    rules: tuple[Rule, ...]
    not_read: tuple[str, ...] = ()  # rules in words that are not modelled here: application profiles
    matches: frozenset[tuple[Any, str]] = field(default=frozenset())
    published: Optional[tuple[Published, ...]] = None  # the list of Docker's published ports; None where there is none

    def decide(self, packet: Packet) -> Decision:
        """The Decision on a packet."""
        if not self.active:
            return Decision(True, None)
        unsure: list[str] = []
        for rule in self.rules:
            applies = matches(rule, packet)
            if applies:
                return Decision(rule.action in LETS_IN, rule, tuple(unsure))
            if applies is None:
                unsure.append(text_of(rule))
        return Decision(
            self.default.get(POLICY_OF[packet.hook], "deny") == "allow", None, tuple(unsure) + self.not_read
        )

    def publishes(self, packet: Packet) -> Optional[Published]:
        """The entry of the list that lets a packet to a published port pass, or None: nothing else does."""
        for entry in self.published or ():
            if (
                not entry.routed
                and entry.proto in ("any", packet.proto)
                and _holds(entry.src, packet.source)
                and _holds(entry.dst, packet.dest)
                and _takes(entry.port, packet.port)
            ):
                return entry if entry.action in LETS_IN else None
        return None

    def has(self, rule: Rule) -> bool:
        """Whether a rule with the same match and action is there."""
        return (rule.match, rule.action) in self.matches


def read_firewall(
    active: bool,
    default: Optional[Mapping[str, str]],
    rules: Iterable[Mapping[str, Any]],
    docker: Optional[Mapping[str, Any]] = None,
) -> Firewall:
    """The Firewall of rules, and of the option docker, in the shape that ufw_ruleset takes."""
    known: list[Rule] = []
    not_read: list[str] = []
    for item in rules:
        try:
            wanted = parse_rules([item], True, dict)
            known += [*wanted.v4, *wanted.v6]
        except Refused:
            if item.get("app") or item.get("from_app"):
                not_read.append(f"{item.get('rule')} app {item.get('app') or item.get('from_app')}")
    matching = frozenset((rule.match, rule.action) for rule in known)
    return Firewall(bool(active), dict(default or {}), tuple(known), tuple(not_read), matching, _published(docker))


def _published(docker: Optional[Mapping[str, Any]]) -> Optional[tuple[Published, ...]]:
    """The list of the option docker for IPv4; None where there is none, or it is not known."""
    # With `auto` the declaration does not say whether the host has the list.
    if not docker or docker.get("state") in ("absent", "auto"):
        return None
    entries = [item for item in docker.get("published", ()) if ":" not in f"{item.get('from_ip')}{item.get('to_ip')}"]
    try:
        block = parse_docker(dict(docker, published=entries), False).blocks[4]
    except Refused:
        return None
    return block.published if block else None


def text_of(rule: Union[Rule, Published]) -> str:
    """A rule in the words of the ufw command, without its comment; an entry of the list of published ports in ours."""
    if isinstance(rule, Published):
        return describe_published(rule._replace(comment=""))
    return describe(rule._replace(comment="", log=""))


def matches(rule: Rule, packet: Packet) -> Optional[bool]:
    """Whether a rule applies to a packet: True, False, or None where it depends on what is not known here."""
    if rule.suffix != packet.hook:
        return False
    # ufw makes tcp and udp of a rule for any protocol that names a port, and our probes are one of the two.
    if rule.proto not in ("any", packet.proto):
        return False
    if not (_holds(rule.src, packet.source) and _holds(rule.dst, packet.dest) and _takes(rule.dport, packet.port)):
        return False
    unknown = rule.sport != "any"  # the kernel chose the probe's own port
    for wanted, real in ((rule.interface_in, packet.interface_in), (rule.interface_out, packet.interface_out)):
        if wanted and real and wanted != real:
            return False
        unknown = unknown or bool(wanted and not real)
    return None if unknown else True


@cache
def _holds(net: str, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(net, strict=False)


@cache
def _takes(ports: str, port: int) -> bool:
    return ports == "any" or any(low <= port <= high for low, high in port_ranges(ports))


def port_ranges(ports: str) -> list[tuple[int, int]]:
    """ "80,443" and "1000:2000" as [(first, last)]; what is no port is left out."""
    found = []
    for item in ports.split(","):
        ends = item.split(":")
        if all(end.isascii() and end.isdecimal() and len(end) <= 5 for end in ends):
            first, last = int(ends[0]), int(ends[-1])
            if PORTS[0] <= first <= last <= PORTS[1]:
                found.append((first, last))
    return found


def rule_ports(rule: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """The (proto, first port, last port) that a rule in ufw_ruleset's shape names for its destination."""
    proto, ports = rule.get("proto") or "any", str(rule.get("to_port") or "any")
    for each in PROTOS if proto == "any" else (proto,):
        if each in PROTOS and ports != "any":
            for first, last in port_ranges(ports):
                yield each, first, last
