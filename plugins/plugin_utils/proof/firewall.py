# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's UFW rules do to one packet, by the engine that reads the kernel's (module_utils/packets): the rules are written out
as ufw loads them, and the one that decides is told in ufw's words. It explains a verdict of the packets, it never makes one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import SPORT
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import packet as packet_of
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import DENIED, EVERY, Program, Question
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import unfold
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_block import (
    OWN_CHAIN,
    Block,
    Published,
    describe_published,
    render,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.docker_input import parse_docker
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.parse import parse_rules
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import PREFIX, Rule, describe, iptables_lines

POLICY_OF = {"input": "incoming", "output": "outgoing", "forward": "routed"}
LETS_IN = ("allow", "limit")
#: An interface that no rule names, for a packet of which none is known; and a port that senders use.
_OTHER, _SPORT = "other", 40000
#: A bridge of Docker's, and a container behind it.
_BRIDGE, _CONTAINER = "docker0", "172.17.0.2"
#: The most combinations of what is not known of a packet that are tried.
_MOST = 4096


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
    unsure: tuple[str, ...] = ()  # rules of which it is not known here whether they match


class _Written(NamedTuple):
    """The rules of a hook as ufw loads them. owners: {(chain, number): the rule's place in the list}."""

    program: Program
    owners: Mapping[tuple[str, int], int]


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
    written: dict[tuple[str, int], _Written] = field(default_factory=dict, compare=False, repr=False)

    def decide(self, packet: Packet) -> Decision:
        """The Decision on a packet."""
        if not self.active:
            return Decision(True, None)
        written = self._written(packet.hook, 6 if ":" in packet.dest else 4)
        found = [_decided(written, packet, *unknown) for unknown in _unknowns(self.rules, written.program, packet)]
        allows, place = found[0]
        others = sorted({other for _allows, other in found if other is not None and other != place})
        unsure = [text_of(self.rules[other]) for other in others if place is None or other < place]
        if place is None:
            return Decision(allows, None, (*unsure, *self.not_read))
        return Decision(allows, self.rules[place], tuple(unsure))

    def _written(self, hook: str, family: int) -> _Written:
        key = (hook, family)
        if key not in self.written:
            self.written[key] = _write(self.rules, self.default.get(POLICY_OF[hook], "deny"), hook, family)
        return self.written[key]

    def publishes(self, packet: Packet) -> Optional[Published]:
        """The entry of the list that lets a packet to a published port pass, or None: nothing else does."""
        if self.published is None or ":" in packet.dest:
            return None
        key = (OWN_CHAIN, 4)
        if key not in self.written:
            self.written[key] = _write_list(self.published)
        moved = packet_of(
            4,
            packet.source,
            _CONTAINER,
            packet.proto,
            packet.port,
            _SPORT,
            inside=packet.interface_in or _OTHER,
            outside=_BRIDGE,
            original=(packet.dest, packet.port),
        )
        allows, place = _asked(self.written[key], moved)
        return self.published[place] if allows and place is not None else None

    def has(self, rule: Rule) -> bool:
        """Whether a rule with the same match and action is there."""
        return (rule.match, rule.action) in self.matches


def _write(rules: Sequence[Rule], policy: str, hook: str, family: int) -> _Written:
    prefix, builtin = PREFIX[family], hook.upper()
    chain = f"{prefix}-user-{hook}"
    lines = [f":{builtin} {'ACCEPT' if policy == 'allow' else 'DROP'} [0:0]", f":{chain} - [0:0]"]
    lines += [f":{prefix}-user-limit - [0:0]", f":{prefix}-user-limit-accept - [0:0]", f"-A {builtin} -j {chain}"]
    lines += [f"-A {prefix}-user-limit -j REJECT", f"-A {prefix}-user-limit-accept -j ACCEPT"]
    owners: dict[tuple[str, int], int] = {}
    for place, rule in enumerate(rules):
        if rule.suffix == hook and (":" in rule.src) == (family == 6):
            for _chain, line in iptables_lines(rule._replace(log=""), family):
                owners[chain, len(owners) + 1] = place
                lines.append(f"-A {chain} {line}")
    ruleset = parse("\n".join(["*filter", *lines, "COMMIT", ""]), family)
    return _Written(unfold(ruleset, Question(builtin, "NEW", EVERY, False)), owners)


def _write_list(published: Sequence[Published]) -> _Written:
    """The list of published ports alone; what it lets pass ends there."""
    owners: dict[tuple[str, int], int] = {}
    lines = []
    for place, entry in enumerate(published):
        text = render(Block((_BRIDGE,), (), (entry,), 4)).partition("COMMIT")[0]
        own = [line for line in text.splitlines() if line.startswith(f"-A {OWN_CHAIN} ")]
        for line in own[: 3 if entry.action == "limit" else 1]:
            owners["FORWARD", len(owners) + 1] = place
            lines.append(line.replace(f"-A {OWN_CHAIN}", "-A FORWARD", 1).replace("-j RETURN", "-j ACCEPT"))
    ruleset = parse("\n".join(["*filter", ":FORWARD DROP [0:0]", *lines, "COMMIT", ""]), 4)
    return _Written(unfold(ruleset, Question("FORWARD", "NEW", EVERY, True)), owners)


def _unknowns(rules: Iterable[Rule], program: Program, packet: Packet) -> list[tuple[str, str, int]]:
    """What may stand for what is not known of a packet: (interface in, interface out, source port). The first meets no rule that
    asks for it, where there is such a one."""
    named = [{rule.interface_in for rule in rules}, {rule.interface_out for rule in rules}]
    known = (packet.interface_in, packet.interface_out)
    sides = [[one] if one else [_OTHER, *sorted(names - {""})] for one, names in zip(known, named)]
    if packet.hook == "input":
        sides[1] = [""]
    asked = {interval for intervals in program.sets[SPORT] if intervals for interval in intervals}
    edges = {at for first, last in asked for at in (first - 1, first, last, last + 1) if 0 <= at <= 65535}
    ports = sorted({_SPORT, *edges}, key=lambda port: (any(low <= port <= high for low, high in asked), port))
    return list(itertools.islice(itertools.product(sides[0], sides[1], ports), _MOST))


def _decided(written: _Written, packet: Packet, inside: str, outside: str, sport: int) -> tuple[bool, Optional[int]]:
    family = 6 if ":" in packet.dest else 4
    one = packet_of(
        family, packet.source, packet.dest, packet.proto, packet.port, sport, inside=inside, outside=outside
    )
    return _asked(written, one)


def _asked(written: _Written, one: Sequence[int]) -> tuple[bool, Optional[int]]:
    """Whether it is let through, and the place of the rule that decides. A limit lets through what is within it."""
    found = written.program.decide(one)
    if found is None:
        return False, None
    places = [written.owners.get((rule.chain, rule.number)) for rule in found.path]
    return found.answer != DENIED, next((place for place in places if place is not None), None)


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
