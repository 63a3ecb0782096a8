# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Does it pass? From the live rules of the fleet, hop by hop, and from the declaration alone."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.node import Node
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.ask.walk import Answer, Asked, Walk, walk
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member, Part
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    GATEWAY,
    INTERNET,
    TIER,
    Endpoint,
    Flow,
    Site,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import (
    Policy,
    destination_spans,
    source_spans,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import WITH_PORTS, Ports, parse_ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import (
    Net,
    parse_address,
    parse_net,
    point_text,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import count

#: Connections that one question is asked of; of a tier with many hosts the first ones.
MOST = 64


class Question(NamedTuple):
    """What is asked, as its text, its two ends and its ports."""

    source: str
    destination: str
    port: str
    ports: tuple[Ports, ...]

    def text(self) -> str:
        return f"{self.source} → {self.destination} {self.port}"


class Reply(NamedTuple):
    """lines: for people; the first begins with the answer."""

    answer: Answer
    lines: tuple[str, ...]
    walks: tuple[Walk, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "answer": self.answer.value,
            "msg": "\n".join(self.lines),
            "connections": [
                {
                    "source": one.asked.source,
                    "destination": one.asked.destination,
                    "proto": one.asked.proto,
                    "port": one.asked.port,
                    "answer": one.answer.value,
                    "hops": [{**hop._asdict(), "answer": hop.answer.value} for hop in one.hops],
                    "end": one.end,
                }
                for one in self.walks
            ],
        }


def question_of(site: Site, source: str, destination: str, port: str) -> Question:
    """Raises Refused."""
    if port in site.services:
        return Question(source, destination, port, site.services[port])
    try:
        return Question(source, destination, port, (parse_ports(port),))
    except Unreadable as error:
        names = difflib.get_close_matches(port, site.services, 3)
        meant = f"; did you mean {' or '.join(names)}?" if names else ""
        expected = "a port such as 22/tcp, a protocol such as esp, or a service of the site"
        raise Refused([Mistake("port", printable(port), expected, f"name one of those{meant}")]) from error


# -- from the declaration ---------------------------------------------------------------------------------------------


def by_declaration(site: Site, asked: Question) -> Reply:
    """What the flows say of all that the two ends stand for: whole, in part, or not at all."""
    source = source_spans(site, _endpoint(site, asked.source, "from"))
    destination = destination_spans(site, _endpoint(site, asked.destination, "to"))
    found = [_best(site, site.flows, source, destination, ports) for ports in asked.ports]
    hows = {how for how, _flow in found}
    said = dict.fromkeys(f"declared by {flow.path}: {flow}" for _how, flow in found if flow)
    if hows == {"whole"}:
        return Reply(Answer.ALLOWED, (f"ALLOWED: {asked.text()}", *said))
    if hows == {""}:
        return Reply(
            Answer.DENIED, (f"DENIED: {asked.text()}: no flow declares it", *advice(site, asked, source, destination))
        )
    return Reply(Answer.UNKNOWN, (f"UNKNOWN: {asked.text()}: flows declare a part of it", *said))


def _best(
    site: Site, flows: Iterable[Flow], source: Sequence[Net], destination: Sequence[Net], ports: Ports
) -> tuple[str, Optional[Flow]]:
    """("whole", flow), ("part", the first flow that has some of it), or ("", None)."""
    part: Optional[Flow] = None
    for flow in flows:
        whole = any(wide.covers(ports) for wide in flow.all_ports)
        if not any(wide.meets(ports) for wide in flow.all_ports):
            continue
        for pair in flow.pairs:
            starts, ends = source_spans(site, pair.source), destination_spans(site, pair.destination)
            if whole and _hold(starts, source) and _hold(ends, destination):
                return "whole", flow
            if _meet(starts, source) and _meet(ends, destination):
                part = part or flow
    return ("part", part) if part else ("", None)


def _hold(wide: Sequence[Net], narrow: Sequence[Net]) -> bool:
    return all(any(one.holds(net) for one in wide) for net in narrow)


def _meet(one: Sequence[Net], other: Sequence[Net]) -> bool:
    return any(net.meets(span) for net in one for span in other)


def _endpoint(site: Site, text: str, side: str) -> Endpoint:
    """A tier, a name of bulkhead_addresses, gateway, internet, an address or a network. Raises Refused."""
    if text in site.tiers:
        return Endpoint(TIER, text, site.tiers[text].subnets)
    if text in site.addresses:
        return Endpoint(ADDRESS, text, site.addresses[text])
    if text == GATEWAY:
        return Endpoint(GATEWAY, text, tuple(site.legs))
    if text == INTERNET:
        return Endpoint(INTERNET, text)
    try:
        return Endpoint(ADDRESS, text, (_net(text),))
    except Unreadable as error:
        raise _no_end(text, side, (*site.tiers, *site.addresses, GATEWAY, INTERNET)) from error


def _net(text: str) -> Net:
    return parse_net(text) if "/" in text else parse_address(text)


def _no_end(text: str, side: str, names: Iterable[str]) -> Refused:
    close = difflib.get_close_matches(text, list(names), 3)
    meant = f"; did you mean {' or '.join(map(printable, close))}?" if close else ""
    expected = "a tier, a host, a name of bulkhead_addresses, gateway, internet or an address"
    return Refused([Mistake(side, printable(text), expected, f"name one of those{meant}")])


def advice(site: Site, asked: Question, source: Sequence[Net], destination: Sequence[Net]) -> list[str]:
    """The smallest flow that would allow it, or the invariant that forbids one."""
    for ports in asked.ports:
        how, never = _best(site, site.never, source, destination, ports)
        if never:
            return [f"{never.path} forbids {'it' if how == 'whole' else 'a part of it'}: {never}"]
    known = [name for name, ports in site.services.items() if set(ports) == set(asked.ports)]
    name = known[0] if known else asked.port.replace("/", "_")
    lines = [f"this flow would allow it: {{from: {asked.source}, to: {asked.destination}, allow: {name}}}"]
    return lines if known else [*lines, f"with the service {{{name}: {asked.port}}} in bulkhead_services"]


# -- from the live rules ----------------------------------------------------------------------------------------------


def by_live_rules(site: Site, members: Mapping[str, Member], nodes: Mapping[str, Node], asked: Question) -> Reply:
    """What the hosts would do with each connection between the two ends. nodes: the hosts that were read."""
    starts, ends = (
        _addresses(site, members, nodes, text, side)
        for text, side in ((asked.source, "from"), (asked.destination, "to"))
    )
    numbers = list(dict.fromkeys((ports.proto, port) for ports in asked.ports for port in (ports.first, ports.last)))
    all_of_them = [
        Asked(start, end, proto, port if proto in WITH_PORTS else 0)
        for start in starts
        for end in ends
        for proto, port in numbers
        if start != end and (":" in start) == (":" in end)
    ]
    if not all_of_them:
        text = f"UNKNOWN: {asked.text()}: the two ends have no two addresses of one IP version"
        return Reply(Answer.UNKNOWN, (text,))
    walks = tuple(walk(nodes, one) for one in all_of_them[:MOST])
    answers = {one.answer for one in walks}
    answer = answers.pop() if len(answers) == 1 else Answer.UNKNOWN
    lines = [f"{answer.value}: {asked.text()}{_differs(walks)}"]
    policy = Policy(site)
    shown = list({one.answer: one for one in reversed(walks)}.values())
    for one in shown:
        lines += _walk_lines(policy, one)
    if len(walks) > len(shown):
        lines.append(f"like these: {count(len(walks) - len(shown), 'connection')} between other hosts and ports")
    if len(all_of_them) > MOST:
        lines.append(f"not asked: {count(len(all_of_them) - MOST, 'connection')} more")
    if answer is Answer.DENIED:
        first = walks[0].asked
        if policy.flow_for(first.source, first.destination, first.proto, first.port) is None:
            lines += advice(site, asked, *(tuple(map(parse_address, texts)) for texts in (starts, ends)))
    return Reply(answer, tuple(lines), walks)


def _differs(walks: Sequence[Walk]) -> str:
    if len({one.answer for one in walks}) == 1:
        return ""
    numbers = [f"{sum(one.answer is answer for one in walks)} {answer.value.lower()}" for answer in Answer]
    return f": not all connections alike ({', '.join(text for text in numbers if not text.startswith('0 '))})"


def _walk_lines(policy: Policy, one: Walk) -> list[str]:
    asked = one.asked
    flow = policy.flow_for(asked.source, asked.destination, asked.proto, asked.port or None)
    lines = [f"{one.answer.value.lower()}  {asked.text()}"]
    lines.append(f"  declared: {f'{flow.path}: {flow}' if flow else 'by no flow'}")
    if one.answer is not Answer.UNKNOWN and (flow is not None) != (one.answer is Answer.ALLOWED):
        lines.append("  not as declared: run site.yml, which restores it")
    lines += [f"  {printable(hop.host)} {printable(hop.at)}: {printable(hop.text, 400)}" for hop in one.hops]
    return [*lines, f"  it ends at {printable(one.end)}"] if one.end else lines


def _addresses(site: Site, members: Mapping[str, Member], nodes: Mapping[str, Node], text: str, side: str) -> list[str]:
    """The addresses that an end stands for: of a tier those of its hosts. Raises Refused."""
    if text in members:
        chosen = [text]
    elif text in site.tiers:
        chosen = [name for name, member in members.items() if text in member.tiers]
    elif text == GATEWAY:
        chosen = [name for name, member in members.items() if member.part is Part.GATEWAY]
    elif text == INTERNET:
        chosen = [name for name, member in members.items() if member.part is Part.INTERNET]
    else:
        return _written(site, members, text, side)
    within = site.tiers[text].subnets if text in site.tiers else ()
    found = [
        address
        for name in chosen
        if name in nodes
        for address in nodes[name].outward
        if _counts(site, members[name], parse_address(address), within)
    ]
    if found:
        return found
    if text == INTERNET:
        return [point_text(span.first + 1) for span in site.outside[:1]]
    read = [name for name in chosen if name in nodes]
    got = (
        f"{text}, whose hosts {', '.join(read)} have no address of it"
        if read
        else f"{text}, none of whose hosts was read"
    )
    remedy = "make a host of it reachable, name an address, or ask the declaration alone (-e live=false)"
    raise Refused([Mistake(side, printable(got), "an end with an address", remedy)])


def _counts(site: Site, member: Member, address: Net, within: Sequence[Net]) -> bool:
    """Whether an address of a host is one of those that an end means."""
    if within:
        return any(net.holds(address) for net in within) and address not in site.legs
    if member.part is Part.INTERNET:
        return any(net.holds(address) for net in site.outside)
    return any(net.holds(address) for name in site.tiers for net in site.tiers[name].subnets)


def _written(site: Site, members: Mapping[str, Member], text: str, side: str) -> list[str]:
    try:
        nets = site.addresses.get(text) or (_net(text),)
    except Unreadable as error:
        raise _no_end(text, side, (*site.tiers, *site.addresses, *members, GATEWAY, INTERNET)) from error
    if all(net.single for net in nets):
        return [str(net) for net in nets]
    got = f"{text}, a network"
    remedy = "name one of its addresses, or ask the declaration alone (-e live=false)"
    raise Refused([Mistake(side, printable(got), "one address, where the live rules are asked", remedy)])
