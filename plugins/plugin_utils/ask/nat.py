# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host's nat table makes of the first packet of a connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    address_number,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Chains, Rule, Ruleset
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.matching import Matching, Stage
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import Packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import Budget, Condition, Program, Question
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import NO_VERDICT, VERDICTS

#: Targets that change the destination, and the source.
OF_DESTINATION, OF_SOURCE = ("DNAT", "REDIRECT"), ("SNAT", "MASQUERADE")
#: Jumps nested deeper than this are no ruleset of a kernel.
_DEEPEST = 64


class Translated(NamedTuple):
    """The packet after the chain, and the rule that changed it. doubt: why that is not certain."""

    packet: Packet
    rule: Optional[Rule] = None
    doubt: str = ""


class Unsure(Exception):
    """What a rule or a chain does is not known; the message says by what."""


def translate(ruleset: Ruleset, chain: str, one: Packet, question: Question, own: str) -> Translated:
    """What PREROUTING, OUTPUT or POSTROUTING of the nat table makes of a packet. own: the address of the interface that the
    packet came in by or leaves by, which REDIRECT and MASQUERADE take."""
    chains = ruleset.tables.get("nat", {})
    if chain not in chains:
        return Translated(one)
    universe = Program(ruleset, question, Budget()).universe
    matching = Matching(ruleset.family, question, universe, question.translated)
    try:
        rule = _deciding(chains, chain, chain, one, matching)
        if rule is None or rule.target == "ACCEPT":
            return Translated(one)
        return Translated(changed(rule, one, ruleset.family, own), rule)
    except (Unsure, ValueError) as error:
        return Translated(one, doubt=str(error))


def _deciding(chains: Chains, name: str, start: str, one: Packet, matching: Matching, depth: int = 0) -> Optional[Rule]:
    """The rule that decides: one that changes the packet, or an ACCEPT, which ends the whole table; None where none does.
    Raises Unsure."""
    if depth > _DEEPEST:
        raise Unsure(f"chain {name}: jumps form a loop")
    for rule in chains[name].rules:
        found = matching.boxes(rule, tuple(((value, value),) for value in one), Stage("nat", start))
        if not found or rule.target is None or rule.target in NO_VERDICT:
            continue
        conditions = [condition for _box, condition in found]
        jump = rule.target in chains and rule.target not in VERDICTS
        if jump:
            inner = _deciding(chains, rule.target, start, one, matching, depth + 1)
            if inner is not None and None not in conditions:
                raise Unsure(_text(conditions))
            if inner is not None:
                return inner
            if rule.goto and None in conditions:
                return None
        elif None not in conditions:
            raise Unsure(f"{rule.text}: {_text(conditions)}")
        elif rule.target in ("RETURN", "ACCEPT"):
            return rule if rule.target == "ACCEPT" else None
        else:
            return rule
    return None


def _text(conditions: list[Optional[Condition]]) -> str:
    return "; ".join(condition.text for condition in conditions if condition is not None)


def changed(rule: Rule, one: Packet, family: int, own: str) -> Packet:
    """The packet as a rule of the nat table leaves it. Raises Unsure."""
    target, values = rule.target, dict(zip(rule.options, rule.options[1:]))
    if target == "REDIRECT":
        return one._replace(dst=address_number(own, family), dport=_port(values.get("--to-ports"), one.dport))
    if target == "MASQUERADE":
        return one._replace(src=address_number(own, family))
    if target in ("DNAT", "SNAT"):
        address, port = _end(values.get("--to-destination" if target == "DNAT" else "--to-source", ""), family)
        if target == "SNAT":
            return one._replace(src=address or one.src)
        return one._replace(dst=one.dst if address is None else address, dport=one.dport if port is None else port)
    raise Unsure(f"the target {target} of `{rule.text}`")


def _port(text: Optional[str], port: int) -> int:
    if text is None:
        return port
    if not text.isdigit():
        raise Unsure(f"it may be sent to any port of {text}")
    return int(text)


def _end(text: str, family: int) -> tuple[Optional[int], Optional[int]]:
    """`10.0.2.5`, `10.0.2.5:80`, `[fd00::5]:80`, `:80` -> (address, port)."""
    address, port = text, ""
    if text.startswith("["):
        address, _bracket, port = text[1:].partition("]")
        port = port.lstrip(":")
    elif family == 4 or text.count(":") == 1:
        address, _colon, port = text.partition(":")
    if "-" in address:
        raise Unsure(f"it may be sent to any address of {address}")
    return (address_number(address, family) if address else None), (_port(port, 0) if port else None)


def of_answers(ruleset: Ruleset, hook: str, addresses: Union[str, Sequence[str], None], moved: bool) -> Question:
    """What a hook is asked about the answers of a connection. moved: whether the host's nat table sent it elsewhere. Where no
    table comes before the nat table's own work, that is all there is to know of a translation."""
    early = any(chain.rules for name in ("raw", "mangle") for chain in ruleset.tables.get(name, {}).values())
    return Question(hook, "ESTABLISHED", addresses, None if early else moved)
