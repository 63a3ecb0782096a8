# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's UFW rules do to one packet: first match wins. It explains a verdict of the packets, it never makes
one."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_block import Published, describe_published
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import parse_docker
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import Rule, describe

POLICY_OF = {"input": "incoming", "output": "outgoing", "forward": "routed"}
LETS_IN = ("allow", "limit")


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
    """A host's rules for IPv4, as they are (of the live firewall) or as they should be (compiled)."""

    active: bool
    default: dict[str, str]
    rules: tuple[Rule, ...]
    not_read: tuple[str, ...] = ()  # rules in words that are not modelled here: application profiles
    matches: frozenset = field(default=frozenset())
    published: Optional[tuple[Published, ...]] = None  # the list of Docker's published ports; None where there is none

    def decide(self, packet):
        """The Decision on a packet."""
        if not self.active:
            return Decision(True, None)
        unsure = []
        for rule in self.rules:
            applies = matches(rule, packet)
            if applies:
                return Decision(rule.action in LETS_IN, rule, tuple(unsure))
            if applies is None:
                unsure.append(text_of(rule))
        return Decision(
            self.default.get(POLICY_OF[packet.hook], "deny") == "allow", None, tuple(unsure) + self.not_read
        )

    def publishes(self, packet):
        """The entry of the list that lets a packet to a published port pass, or None: nothing else does."""
        for entry in self.published or ():
            if (
                not entry.routed
                and entry.proto in ("any", packet.proto)
                and _holds(entry.src, packet.source)
                and _holds(entry.dst, packet.dest)
                and _takes(entry.port, packet.port)
            ):
                return entry if entry.action == "allow" else None
        return None

    def has(self, rule):
        """Whether a rule with the same match and action is there."""
        return (rule.match, rule.action) in self.matches


def read_firewall(active, default, rules, docker=None):
    """The Firewall of rules, and of the option docker, in the shape that ufw_ruleset takes. What is only for IPv6 is left
    out."""
    known, not_read = [], []
    for item in rules:
        try:
            known += parse_rules([item], False, dict).v4
        except Refused:
            if item.get("app") or item.get("from_app"):
                not_read.append("%s app %s" % (item.get("rule"), item.get("app") or item.get("from_app")))
    matching = frozenset((rule.match, rule.action) for rule in known)
    return Firewall(bool(active), dict(default or {}), tuple(known), tuple(not_read), matching, _published(docker))


def _published(docker):
    """The list of the option docker for IPv4; None where there is none, or it is not known."""
    if not docker or docker.get("state") == "absent":
        return None
    entries = [item for item in docker.get("published", ()) if ":" not in "%(from_ip)s%(to_ip)s" % _ends(item)]
    try:
        block = parse_docker(dict(docker, published=entries), False).blocks[4]
    except Refused:
        return None
    return block.published


def _ends(item):
    return {key: item.get(key) or "" for key in ("from_ip", "to_ip")}


def text_of(rule):
    """A rule in the words of the ufw command, without its comment; an entry of the list of published ports in ours."""
    if isinstance(rule, Published):
        return describe_published(rule._replace(comment=""))
    return describe(rule._replace(comment="", log=""))


def matches(rule, packet):
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
def _holds(net, address):
    return ipaddress.ip_address(address) in ipaddress.ip_network(net, strict=False)


@cache
def _takes(ports, port):
    return ports == "any" or any(low <= port <= high for low, high in port_ranges(ports))


def port_ranges(ports):
    """ "80,443" and "1000:2000" as [(first, last)]."""
    ends = [item.split(":") for item in ports.split(",")]
    return [(int(item[0]), int(item[-1])) for item in ends]
