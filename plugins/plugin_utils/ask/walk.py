# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way of a connection's first packet through a fleet, hop by hop, and of its answers back: at each host the nat table, the
route, the check of the way back, and the rules of the hook, by the engine that proves changes of a firewall (packets/).

What is not modelled makes a hop UNKNOWN, and says what it is: it is never taken for a pass. Beside what the engine names that
is: a packet's mark, several routes of one weight, and what a host that is not known does.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from enum import Enum
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import address_text
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import Packet, packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import ALLOWED, DENIED, Question
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import verdict
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.nat import OF_SOURCE, of_answers, translate
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import Node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.routing import Way, way

#: Hosts on a way; more are a loop.
MOST_HOPS = 16
PORT = 40000


class Answer(str, Enum):
    ALLOWED = "ALLOWED"
    DENIED = "DENIED"
    UNKNOWN = "UNKNOWN"


class Asked(NamedTuple):
    """A connection: proto is tcp, udp, or another protocol with port 0."""

    source: str
    destination: str
    proto: str
    port: int
    source_port: int = PORT

    def text(self) -> str:
        port = f"{self.port}/" if self.port else ""
        source_port = "" if self.source_port == PORT else f" port {self.source_port}"
        return f"{self.source}{source_port} → {self.destination} {port}{self.proto}"


class Hop(NamedTuple):
    """What one host does with the packet. at: "OUTPUT", "FORWARD eth1 → eth2", "the answers: ..."; text: the rule or reason."""

    host: str
    at: str
    answer: Answer
    text: str


class Walk(NamedTuple):
    """end: where the packet came to: a host's name, or what is said of what is beyond the fleet."""

    asked: Asked
    answer: Answer
    hops: tuple[Hop, ...]
    end: str


class _State(NamedTuple):
    """The packet on its way: addresses as the next host sees them, and by which of its interfaces it comes in."""

    source: str
    destination: str
    port: int
    inside: str


class _Passed(NamedTuple):
    """A hook that the packet passed, for its answers: with the addresses that its filter saw."""

    node: Node
    hook: str
    source: str
    destination: str
    port: int
    inside: str
    outside: str
    moved: bool


class _Walker:
    def __init__(self, nodes: Mapping[str, Node], asked: Asked) -> None:
        self.nodes, self.asked = nodes, asked
        self.family = ipaddress.ip_address(asked.destination).version
        self.owners = _owners(nodes.values())
        self.hops: list[Hop] = []
        self.passed: list[_Passed] = []
        #: How the sender's own packet leaves, and as what, after its nat table.
        self.out, self.sent = Way(), _State("", "", 0, "")

    def run(self) -> Walk:
        state = _State(self.asked.source, self.asked.destination, self.asked.port, "")
        at: Optional[Node] = self.owners.get(state.source)
        end = ""
        if at is None:
            at, state, end = self.enter(state)
        elif not self.send(at, state):
            at = None
        else:
            at, state, end = self.next(at, self.sent, self.out)
        for _number in range(MOST_HOPS):
            if at is None:
                break
            at, state, end = self.arrive(at, state)
        else:
            self.note(
                at.name if at else "", "", Answer.UNKNOWN, f"the packet passes more than {MOST_HOPS} hosts: a loop"
            )
        if self.answer is not Answer.DENIED:
            self.return_way()
        return Walk(self.asked, self.answer, tuple(self.hops), end)

    @property
    def answer(self) -> Answer:
        answers = [hop.answer for hop in self.hops]
        if Answer.DENIED in answers:
            return Answer.DENIED
        return Answer.UNKNOWN if Answer.UNKNOWN in answers or not answers else Answer.ALLOWED

    def note(self, host: str, at: str, answer: Answer, text: str) -> bool:
        self.hops.append(Hop(host, at, answer, text))
        return answer is not Answer.DENIED

    # -- the way there ------------------------------------------------------------------------------------------------

    def enter(self, state: _State) -> tuple[Optional[Node], _State, str]:
        """The host by which a packet of no known host comes in: the one whose way to the sender leads out of the fleet."""
        first = self.owners.get(state.destination)
        routers = [node for node in self.nodes.values() if node.forwards[self.family]]
        for node in [*([first] if first else []), *routers]:
            back = way(node, state.source)
            if back.trouble or back.local or back.neighbour in self.owners and self.owners[back.neighbour] in routers:
                continue
            if node is not first and first and way(first, state.source).neighbour not in node.own:
                continue
            return node, state._replace(inside=back.interface), ""
        self.note(
            "",
            "",
            Answer.UNKNOWN,
            f"{state.source} is no host's address, and no host is seen by which it would come in",
        )
        return None, state, ""

    def send(self, node: Node, state: _State) -> bool:
        found = way(node, state.destination, state.source)
        if not self.routed(node, "OUTPUT", found):
            return False
        outside = "lo" if found.local else found.interface
        changed = self.translated(node, "OUTPUT", state, "", outside)
        if changed.destination != state.destination:
            found = way(node, changed.destination, state.source)
            outside = "lo" if found.local else found.interface
        self.out, self.sent = found, changed
        return self.filter(node, "OUTPUT", changed, "", outside, state)

    def arrive(self, node: Node, state: _State) -> tuple[Optional[Node], _State, str]:
        """One host: where it passes the packet on to, None at the end of its way."""
        if state.inside != "lo" and state.source in node.own:
            text = (
                "it came from elsewhere with an address of the host itself, which the kernel drops (accept_local is 0)"
            )
            self.note(node.name, "PREROUTING", Answer.DENIED, text)
            return None, state, node.name
        back = way(node, state.source)
        if (
            node.strict.get(state.inside) == 1
            and self.family == 4
            and back.interface != state.inside
            and not back.local
        ):
            text = f"it came in on {state.inside}, and the way back leaves by {back.interface or 'nothing'} (rp_filter is 1)"
            self.note(node.name, "PREROUTING", Answer.DENIED, text)
            return None, state, node.name
        changed = self.translated(node, "PREROUTING", state, state.inside, "")
        found = way(node, changed.destination, state.source, state.inside)
        if not self.routed(node, f"in on {state.inside}", found):
            return None, changed, node.name
        if found.local:
            self.filter(node, "INPUT", changed, state.inside, "", state)
            return None, changed, node.name
        if not node.forwards[self.family]:
            self.note(
                node.name, f"in on {state.inside}", Answer.DENIED, "it does not forward packets (ip_forward is 0)"
            )
            return None, changed, node.name
        if not self.filter(node, "FORWARD", changed, state.inside, found.interface, state):
            return None, changed, node.name
        moved = (changed.destination, changed.port) != (state.destination, state.port)
        return self.next(node, changed, found, moved)

    def next(self, node: Node, state: _State, found: Way, moved: bool = False) -> tuple[Optional[Node], _State, str]:
        """The host that a packet comes to, after its source was changed on the way out. moved: whether the host sends it
        elsewhere than it was sent, so that the answers mean something only when they come back through it."""
        if found.local:
            return node, state._replace(inside="lo"), ""
        source = state.source
        state = self.masqueraded(node, state, found)
        other = self.owners.get(found.neighbour)
        if other is not None and other is not node:
            back = way(other, state.source)
            if moved and state.source == source and not back.doubt and back.neighbour not in node.own:
                text = f"they go to {back.neighbour or 'nowhere'}, past {node.name}, which sent the packet elsewhere"
                self.note(other.name, "the answers", Answer.DENIED, text)
                return None, state, other.name
            return other, state._replace(inside=other.own[found.neighbour]), ""
        if found.neighbour != state.destination:
            return None, state, f"{found.neighbour}, which is no host of the inventory"
        if found.interface in node.bridges:
            return None, state, f"the container {state.destination} on {node.name}'s {found.interface}"
        text = f"no host of the inventory has {state.destination}: what its own firewall does is not known"
        if not ipaddress.ip_address(state.destination).is_global:
            self.note(state.destination, "INPUT", Answer.UNKNOWN, text)
        return None, state, text

    def routed(self, node: Node, at: str, found: Way) -> bool:
        if found.trouble:
            return self.note(node.name, at, Answer.UNKNOWN if found.doubt else Answer.DENIED, found.trouble)
        if found.doubt:
            self.note(node.name, at, Answer.UNKNOWN, found.doubt)
        return True

    def translated(self, node: Node, chain: str, state: _State, inside: str, outside: str) -> _State:
        one = self.packet(state, inside, outside)
        question = Question("INPUT" if chain == "PREROUTING" else "OUTPUT", "NEW", node.texts, translated=False)
        own = "127.0.0.1" if chain == "OUTPUT" else self.first_of(node, inside)
        found = translate(node.rulesets[self.family], chain, one, question, own)
        if found.doubt:
            self.note(node.name, f"nat {chain}", Answer.UNKNOWN, found.doubt)
        if found.rule is not None:
            changed = state._replace(destination=address_text(found.packet.dst, self.family), port=found.packet.dport)
            self.note(
                node.name,
                f"nat {chain}",
                Answer.ALLOWED,
                f"to {changed.destination} port {changed.port} by `{found.rule.text}`",
            )
            return changed
        return state

    def masqueraded(self, node: Node, state: _State, found: Way) -> _State:
        one = self.packet(state, "", found.interface)
        question = Question("OUTPUT", "NEW", node.texts, translated=True)
        result = translate(
            node.rulesets[self.family], "POSTROUTING", one, question, self.first_of(node, found.interface)
        )
        if result.doubt:
            self.note(node.name, "nat POSTROUTING", Answer.UNKNOWN, result.doubt)
        if result.rule is None or result.rule.target not in OF_SOURCE:
            return state
        changed = state._replace(source=address_text(result.packet.src, self.family))
        self.note(node.name, "nat POSTROUTING", Answer.ALLOWED, f"from {changed.source} by `{result.rule.text}`")
        return changed

    def first_of(self, node: Node, interface: str) -> str:
        """The address that REDIRECT and MASQUERADE take: the first of the interface and of the family."""
        for text in node.addresses.get(interface, ()):
            found = ipaddress.ip_interface(text)
            if found.version == self.family and not found.is_link_local:
                return str(found.ip)
        return "127.0.0.1" if self.family == 4 else "::1"

    def packet(self, state: _State, inside: str, outside: str, original: Optional[tuple[str, int]] = None) -> Packet:
        return packet(
            self.family,
            state.source,
            state.destination,
            self.asked.proto,
            state.port,
            self.asked.source_port if state.port else 0,
            inside=inside,
            outside=outside,
            original=original,
        )

    def filter(self, node: Node, hook: str, state: _State, inside: str, outside: str, before: _State) -> bool:
        """Ask the rules of a hook. before: the packet before the host's nat table changed it."""
        moved = (before.destination, before.port) != (state.destination, state.port)
        one = self.packet(state, inside, outside, (before.destination, before.port) if moved else None)
        self.passed.append(_Passed(node, hook, state.source, state.destination, state.port, inside, outside, moved))
        where = {"INPUT": f"INPUT {inside}", "OUTPUT": f"OUTPUT {outside}", "FORWARD": f"FORWARD {inside} → {outside}"}[
            hook
        ]
        return self.ask(node, where, one, Question(hook, "NEW", node.texts, translated=moved))

    def ask(self, node: Node, where: str, one: Packet, question: Question) -> bool:
        found = verdict(node.rulesets[self.family], one, question)
        if found is None:
            return self.note(node.name, where, Answer.UNKNOWN, "the packet is outside of what the engine models")
        if found.answer == ALLOWED:
            return self.note(node.name, where, Answer.ALLOWED, f"let through by `{found.rule.text}`")
        if found.answer == DENIED:
            return self.note(node.name, where, Answer.DENIED, f"stopped by `{found.rule.text}`")
        if found.rate_limited:
            limits = "; ".join(condition.text for condition in found.conditions)
            return self.note(node.name, where, Answer.ALLOWED, f"let through within a limit ({limits})")
        conditions = "; ".join(condition.text for condition in found.conditions)
        return self.note(node.name, where, Answer.UNKNOWN, f"it depends on {conditions}")

    # -- the way back -------------------------------------------------------------------------------------------------

    def return_way(self) -> None:
        """The answers, which the kernel gives the connection's addresses back: each hook the other way round."""
        if not self.asked.port and self.asked.proto not in ("tcp", "udp"):
            return
        for one in reversed(self.passed):
            hook = {"INPUT": "OUTPUT", "OUTPUT": "INPUT", "FORWARD": "FORWARD"}[one.hook]
            inside, outside = one.outside, one.inside
            found = packet(
                self.family,
                one.destination,
                one.source,
                self.asked.proto,
                self.asked.source_port,
                one.port,
                inside=inside,
                outside=outside,
            )
            question = of_answers(one.node.rulesets[self.family], hook, one.node.texts, one.moved)
            count = len(self.hops)
            self.ask(one.node, f"the answers: {hook}", found, question)
            if self.hops[count].answer is Answer.ALLOWED:
                del self.hops[count]  # only what stops them is said
            if hook == "OUTPUT":
                back = way(one.node, one.source, one.destination)
                if back.interface != one.inside and not back.local:
                    text = f"they leave by {back.interface or 'nothing'}, the packet came in on {one.inside}"
                    self.note(one.node.name, "the answers", Answer.UNKNOWN, text)


def _owners(nodes: Iterable[Node]) -> dict[str, Node]:
    """{address: the host that has it}; one that several have, or that every host has, belongs to none."""
    found: dict[str, Node] = {}
    several = set()
    for node in nodes:
        for address in node.own:
            one = ipaddress.ip_address(address)
            if one.is_loopback or one.is_link_local or found.get(address, node) is not node:
                several.add(address)
            found[address] = node
    return {address: node for address, node in found.items() if address not in several}


def walk(nodes: Mapping[str, Node], asked: Asked) -> Walk:
    """nodes: the hosts that are known, by name."""
    return _Walker(nodes, asked).run()
