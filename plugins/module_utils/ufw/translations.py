# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change of the nat table does: whose connections go to another place then, and what gets through by it.

The packet engine decides about packets and not where they go. So it is asked about nat's own chains, with one of their
targets as the only one that denies: what is denied is what that target takes. Imported where nat changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import Change, accepted
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import difference as compare
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    IIF,
    ODST,
    OPORT,
    PROTO,
    SPORT,
    SRC,
    Interval,
    address_number,
    intersection,
    number,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Chain, Rule, Ruleset, parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import Packet, PacketSet, packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import DENIED, EVERY, Budget, Question
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import TRANSLATIONS
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.lockout import Session, save_text

TABLE = "nat"
#: Targets that change who a packet is from.
MASKS = frozenset(["MASQUERADE", "SNAT"])
#: How many rules of nat are looked at.
_MOST = 200


class Way(NamedTuple):
    """Packets that nat sends on: those that were sent (``first``), and as the filter sees them (``then``)."""

    first: PacketSet
    then: PacketSet


def changes(now: Kernel, then: Kernel) -> bool:
    return (now.others or {}).get(TABLE) != (then.others or {}).get(TABLE)


def steals(now: Kernel, then: Kernel, session: Session, names: Sequence[str]) -> str:
    """The rule of nat by which a new connection from the same end will go to another place; "" for none. names: the host's
    interfaces."""
    rule = ""
    for name in [session.interface] if session.interface else names:
        one = packet(
            session.family,
            session.client,
            session.server,
            port=session.server_port,
            source_port=session.client_port,
            inside=name,
        )
        rule = taken(now, then, session.family, one, Question("INPUT", "NEW", (session.server,)))
        if not rule:
            break
    return rule


def taken(now: Kernel, then: Kernel, family: int, one: Packet, question: Question, masks: bool = False) -> str:
    """The rule of nat that will change where a new connection goes to, or with ``masks`` who it is from, and does not do
    so now; "" for none."""
    before, after = (_taken(kernel, family, one, question, masks) for kernel in (now, then))
    return after if not before else ""


def _taken(kernel: Kernel, family: int, one: Packet, question: Question, masks: bool) -> str:
    chain, targets = ("POSTROUTING", MASKS) if masks else ("PREROUTING", TRANSLATIONS)
    if question.hook == "OUTPUT" and not masks:
        chain = "OUTPUT"
    ruleset, rules = _as_filter(kernel, family, chain, question.hook)
    for rule in rules:
        rule.target = "DROP" if rule.target in targets else "ACCEPT"
    found = verdict(ruleset, one, question) if rules else None
    return found.rule.text if found and found.answer == DENIED else ""


def _as_filter(kernel: Kernel, family: int, chain: str, hook: str) -> tuple[Ruleset, list[Rule]]:
    """A chain of nat and all that it leads to as a filter table's, and its rules that translate."""
    table = (kernel.others or {}).get(TABLE, Kernel({}, {}))
    chains = parse(save_text(table, TABLE), family).tables[TABLE]
    rules = [
        rule
        for each in chains.values()
        for rule in each.rules
        if rule.target in TRANSLATIONS | MASKS and rule.target not in chains
    ]
    return Ruleset(family, {"filter": {**chains, hook: chains.get(chain) or Chain(hook, "ACCEPT")}}), rules


def ways(kernel: Kernel, family: int, budget: Budget) -> list[Way]:
    """What nat sends to another host, of what comes in from outside. TooComplex where there is too much of it; a rule
    whose new address is none that can be told is left out."""
    _ruleset, rules = _as_filter(kernel, family, "PREROUTING", "INPUT")
    found = []
    for place, rule in enumerate(rules[:_MOST]):
        ends = _destination(rule, family)
        if ends is None:
            continue
        ruleset, again = _as_filter(kernel, family, "PREROUTING", "INPUT")
        for other, each in enumerate(again):
            each.target = "DROP" if other == place else "ACCEPT"
        address, port = ends
        for first in accepted(ruleset, Question(addresses=EVERY), budget=budget).sets(DENIED):
            sides = list(first.sides)
            sides[ODST], sides[OPORT], sides[DST] = sides[DST], sides[DPORT], (address,)
            sides[DPORT] = (port,) if port else sides[DPORT]
            found.append(Way(first, PacketSet(family, tuple(sides))))
    return found


def _destination(rule: Rule, family: int) -> Optional[tuple[Interval, Optional[Interval]]]:
    """Where a DNAT leads to: an address, and a port where it is changed."""
    words = dict(zip(rule.options, rule.options[1:]))
    text = words.get("--to-destination", "")
    host, colon, port = text.rpartition(":") if family == 4 or text.startswith("[") else (text, "", "")
    if not colon:
        host, port = text, ""
    try:
        address = address_number(host.strip("[]"), family)
        end = number(port, 65535) if port else None
    except ValueError:
        return None
    return (address, address), None if end is None else (end, end)


def difference(
    family: int, kernels: Sequence[Kernel], rulesets: Sequence[Ruleset], budget: Budget
) -> list[tuple[str, Change]]:
    """[("opened" or "closed", packets)] of what nat sends on to another host, and the filter lets on, after a change and not
    before, and the other way round. The kernels, and what can stop a packet there: before, after."""
    before, after = (ways(kernel, family, budget) for kernel in kernels)
    nothing = Ruleset(family, {"filter": {"FORWARD": Chain("FORWARD", "DROP")}})
    found: list[tuple[str, Change]] = []
    for way in after:
        if way not in before:
            opened = compare(nothing, rulesets[1], _question(way), budget).opened
            found += [("opened", _within(change, way)) for change in opened]
    for way in before:
        if way not in after:
            closed = compare(rulesets[0], nothing, _question(way), budget).closed
            found += [("closed", _within(change, way)) for change in closed]
    return found


def _within(change: Change, way: Way) -> Change:
    """The change without what its set has beyond the way, where it is told in the words of a rule."""
    sides = tuple(intersection(*pair) for pair in zip(change.packets.sides, way.then.sides))
    return Change(PacketSet(change.packets.family, sides), lambda: (change.witness, change.before, change.after))


def _question(way: Way) -> Question:
    sides = way.then.sides
    fields = (SRC, DST, PROTO, SPORT, DPORT, ODST, OPORT, IIF)
    within = tuple((field, side) for field in fields for side in (sides[field],) if side is not None)
    return Question("FORWARD", "NEW", EVERY, True, within)
