# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a change lets through and what it stops, as sets of packets; and the flows that it should cut.

The tables before are what the kernel has; those after are worked out from the edits, so that check mode says
the same as a run. The packet engine is imported only where there is a change.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import BUILTIN
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.drift import Repair, applied
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.lockout import Beside, candidate_text, read_ruleset
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.render import hook_chains
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import PREFIX

#: How many sets of packets are listed of each kind, of each hook and family together.
LISTED = 200
#: What the engine may take for each hook and family. A change is never held up by its description.
SEGMENTS, SECONDS = 400000, 1.0
#: Seconds for looking through the tracked flows, while ufw's lock is held.
LOOKING = 0.5
KINDS = ("opened", "closed", "unclear")
_WAYS = {"INPUT": "in", "OUTPUT": "out", "FORWARD": "routed"}
# Rules that tell translated packets from others: FORWARD has to be asked about both.
_TRANSLATED = re.compile(r"--ctorigdst|--ctstate \S*DNAT")
_MOST_PARTS = 16


class Effect(NamedTuple):
    """``lists`` are opened, closed and unclear, as the module returns them; ``unlisted`` says what they leave out;
    ``stopped`` are the sets of packets behind closed: [(family, hook, PacketSet)]."""

    lists: dict[str, list[dict[str, Any]]]
    unlisted: list[str]
    stopped: list[tuple[int, str, Any]]


NO_EFFECT = Effect({kind: [] for kind in KINDS}, [], [])
#: Of a change that is not described, because there was no time for it.
UNDESCRIBED = NO_EFFECT._replace(
    unlisted=["opened, closed: not worked out, because other programs kept changing the ruleset meanwhile"]
)


def switched_off(kernel: Kernel, family: int) -> Kernel:
    """The filter table after `ufw disable`: ufw's chains are left by nobody, and everything else is accepted."""
    jumps = {"-j " + chain for builtin in BUILTIN for chain in hook_chains(PREFIX[family], builtin)}
    chains = {name: [rule for rule in rules if rule not in jumps] for name, rules in kernel.chains.items()}
    return Kernel(dict.fromkeys(kernel.policies, "ACCEPT"), chains)


def candidates(kernels: Mapping[int, Kernel], repairs: Mapping[int, Repair], switch: str) -> dict[int, Kernel]:
    """The filter table of each family as it will be."""
    if switch == "disable":
        return {family: switched_off(kernel, family) for family, kernel in kernels.items()}
    return {
        family: applied(kernel, repairs[family].sections) if family in repairs else kernel
        for family, kernel in kernels.items()
    }


def effect_of(
    before: Mapping[int, Kernel], after: Mapping[int, Kernel], besides: Mapping[int, Beside] = MappingProxyType({})
) -> Effect:
    """What the change opens and closes, both families, on the whole way through all tables that can stop a packet.
    What is too much to list is said, never left out silently.

    besides: what there is beside the filter table (lockout.read_beside); nothing of a family that is not in there.
    """
    lists: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    counts = dict.fromkeys(KINDS, 0)
    unlisted: list[str] = []
    stopped: list[tuple[int, str, Any]] = []
    end = time.process_time() + SECONDS
    for family in after:
        old, new = before[family], after[family]
        elsewhere = _beside_filter(old) != _beside_filter(new)
        hooks = [hook for hook in BUILTIN if elsewhere or _reached(old, hook) != _reached(new, hook)]
        beside = besides.get(family) or Beside(family, {}, ())
        texts = [candidate_text(beside, kernel) for kernel in (old, new)] if hooks else []
        for hook in hooks:
            changes = _difference(texts, family, hook, end, unlisted)
            if hook == "FORWARD" and elsewhere:
                changes += _sent_on(texts, family, (old, new), end, unlisted)
            for kind, change in changes:
                counts[kind] += 1
                if len(lists[kind]) < LISTED:
                    lists[kind].append(_describe(change, family, hook))
                if kind == "closed":
                    stopped.append((family, hook, change.packets))
    unlisted += [f"{kind}: {counts[kind] - LISTED} more" for kind in KINDS if counts[kind] > LISTED]
    return Effect(lists, unlisted, stopped)


def _beside_filter(kernel: Kernel) -> dict[str, Kernel]:
    return {**(kernel.others or {}), **({"security": kernel.security} if kernel.security else {})}


def _reached(kernel: Kernel, hook: str) -> tuple[str, list[tuple[str, list[str]]]]:
    """Everything that may decide about a hook's packets: the policy, and the chains that its rules name. A word of a rule
    that only looks like a chain's name adds a chain, and no rule can hide the one that it jumps to."""
    order, place = [hook], 0
    seen = {hook}
    while place < len(order):
        for rule in kernel.chains[order[place]]:
            for word in rule.split():
                if word in kernel.chains and word not in seen:
                    seen.add(word)
                    order.append(word)
        place += 1
    return kernel.policies[hook], [(name, kernel.chains[name]) for name in order]


def _difference(texts: list[str], family: int, hook: str, end: float, unlisted: list[str]) -> list[tuple[str, Any]]:
    """What the change does to the packets of a hook, of the tables before and after; ``end`` is when the engine has had its
    time."""
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.difference import difference
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import RulesetError as Unreadable
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import (
        EVERY,
        Budget,
        Question,
        TooComplex,
    )

    try:
        old, new = (read_ruleset(text, family) for text in texts)
    except Unreadable as error:
        unlisted.append(f"IPv{family} {hook}: {error}")
        return []
    both = hook == "FORWARD" and any(_TRANSLATED.search(text) for text in texts)
    found: list[tuple[str, Any]] = []
    for translated in (False, True) if both else (False,):
        # Of the processor's time: a busy machine is no complex ruleset.
        budget = Budget(SEGMENTS, max(end - time.process_time(), 0.0), clock=time.process_time)
        try:
            result = difference(old, new, Question(hook, "NEW", EVERY, translated), budget)
        except TooComplex as error:
            unlisted.append(f"IPv{family} {hook}: {error}")
            continue
        found += [(kind, change) for kind in KINDS for change in getattr(result, kind)]
    return found


def _sent_on(
    texts: list[str], family: int, kernels: tuple[Kernel, Kernel], end: float, unlisted: list[str]
) -> list[tuple[str, Any]]:
    """What a change of the table nat lets through to other hosts, and what not any more."""
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import RulesetError as Unreadable
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import Budget, TooComplex
    from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.translations import difference

    budget = Budget(SEGMENTS, max(end - time.process_time(), 0.0), clock=time.process_time)
    try:
        return difference(family, kernels, [read_ruleset(text, family) for text in texts], budget)
    except (TooComplex, Unreadable) as error:
        unlisted.append(f"IPv{family} nat: {error}")
        return []


# -- how it reads ----------------------------------------------------------------------------------------------------


def _describe(change: Any, family: int, hook: str) -> dict[str, Any]:
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets import fields
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import PROTOCOLS

    sides = change.packets.sides

    def texts(field: int, text: Any) -> list[str]:
        """A field's intervals as text; a set with holes by its holes."""
        intervals = sides[field]
        if intervals is None:
            return ["any"]
        low, high = int(field in (fields.IIF, fields.OIF)), fields.top(field, family)
        holes = fields.complement(intervals, low, high)
        if holes and (intervals[0][0], intervals[-1][1]) == (low, high):
            return ["any but " + ", ".join(shortened(holes, text))]
        return shortened(intervals, text)

    def shortened(intervals: tuple, text: Any) -> list[str]:
        more = len(intervals) - _MOST_PARTS
        parts = [text(first, last) for first, last in intervals[:_MOST_PARTS]]
        return [*parts, f"and {more} more"] if more > 0 else parts

    def address(first: int, last: int) -> str:
        bits = fields.BITS[family]
        nets = fields.networks(first, last, bits)
        if len(nets) > 1:
            return f"{fields.address_text(first, family)}-{fields.address_text(last, family)}"
        return fields.address_text(first, family) + (f"/{nets[0][1]}" if nets[0][1] < bits else "")

    def number(first: int, last: int) -> str:
        return str(first) if first == last else f"{first}:{last}"

    names = {value: name for name, value in reversed(list(PROTOCOLS.items()))}

    def protocol(first: int, last: int) -> str:
        return names.get(first, str(first)) if first == last else f"{first}:{last}"

    def interface(first: int, last: int) -> str:
        name = fields.interface_name(first)
        return name if first == last else name + "+"

    # ICMP has its type and code where the others have a port.
    icmp = sides[fields.PROTO] == ((fields.ICMP[family],) * 2,)
    return {
        "family": family,
        "direction": _WAYS[hook],
        "source": texts(fields.SRC, address),
        "destination": texts(fields.DST, address),
        "protocol": texts(fields.PROTO, protocol),
        "ports": ["any"] if icmp else texts(fields.DPORT, number),
        "interface": texts(fields.OIF if hook == "OUTPUT" else fields.IIF, interface),
        "text": change.packets.text() + _terms(change.after),
        "witness": change.witness.text(family),
    }


def _terms(after: Any) -> str:
    """What an answer depends on that is not a plain yes or no."""
    if after.rate_limited:
        return " (at a limited rate)"
    if after.conditions:
        return " (depends on what is not modelled: {})".format("; ".join(each.text for each in after.conditions))
    return ""


# -- flows that are established --------------------------------------------------------------------------------------


def find_flows(host: Host, effect: Effect) -> list[list[str]]:
    """A command to cut each tracked flow that the change would not let in any more. A flow has no interface: one that
    came by another interface, which stays open, is tracked anew with its next packet. Where there are too many to be
    looked at under ufw's lock, ``effect.unlisted`` says so."""
    commands: list[list[str]] = []
    end = time.process_time() + LOOKING
    for family in sorted({family for family, _hook, _packets in effect.stopped}):
        done = host.run(["conntrack", "-L", "-f", f"ipv{family}"])
        if done.status:
            raise RulesetError(f"`conntrack -L` failed (status {done.status}): {done.err.strip()}")
        own = own_addresses(host, family)
        stopped = [(hook, packets) for one, hook, packets in effect.stopped if one == family]
        lines = done.out.splitlines()
        for number, line in enumerate(lines):
            if time.process_time() > end:
                effect.unlisted.append(
                    f"IPv{family} flushed: {len(lines) - number} more connections are tracked than could be looked at in time: "
                    "those that the change does not let in any more go on; `conntrack -D` cuts them"
                )
                return commands
            command = _cut(line, family, own, stopped)
            if command:
                commands.append(command)
    return commands


def require_conntrack(host: Host) -> None:
    """RulesetError where the tool is missing: before anything is touched."""
    host.run(["conntrack", "--version"])


def own_addresses(host: Host, family: int) -> frozenset:
    """The host's addresses as numbers."""
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import address_number

    found = re.findall(r" inet6? ([^\s/]+)", host.run(["ip", "-o", f"-{family}", "address"]).out)
    return frozenset(address_number(text, family) for text in found)


def _cut(line: str, family: int, own: frozenset, stopped: list[tuple[str, Any]]) -> list[str]:
    """The command that cuts the flow of a line of `conntrack -L`, or nothing."""
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets import fields

    words = line.split()
    pairs = [word.partition("=")[::2] for word in words if "=" in word]
    # Each key comes twice: as the first packet had it, and as the answers have it, translated.
    first: dict[str, str] = {}
    answer: dict[str, str] = {}
    for key, value in pairs:
        if key in ("src", "dst", "sport", "dport"):
            (answer if key in first else first)[key] = value
    if "src" not in answer or len(words) < 2 or not words[1].isdigit():
        return []
    number = fields.address_number
    source, target = number(first["src"], family), number(answer["src"], family)
    values = {
        fields.PROTO: int(words[1]),
        fields.SRC: source,
        fields.DST: target,
        fields.ODST: number(first["dst"], family),
    }
    if "sport" in first and "sport" in answer:
        ports = (int(first["sport"]), int(answer["sport"]), int(first["dport"]))
        values.update(zip((fields.SPORT, fields.DPORT, fields.OPORT), ports))
    hook = "INPUT" if target in own else "OUTPUT" if source in own else "FORWARD"
    if not any(where == hook and _holds(packets.sides, values) for where, packets in stopped):
        return []
    command = ["conntrack", "-D", "-f", f"ipv{family}", "-p", words[0], "-s", first["src"], "-d", first["dst"]]
    if "sport" in first:
        command += ["--sport", first["sport"], "--dport", first["dport"]]
    return command


def _holds(sides: tuple, values: Mapping[int, int]) -> bool:
    return all(
        intervals is None or field not in values or any(low <= values[field] <= high for low, high in intervals)
        for field, intervals in enumerate(sides)
    )
