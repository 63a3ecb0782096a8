# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The lock-out proof: whether a ruleset lets the connection in that this module came by, and its answers out.

The connection is found as module_utils/session.py says. The packet engine is imported only where there is a change to
prove.
"""

from __future__ import annotations

import functools
import math
import re
from typing import TYPE_CHECKING, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import notes
from ansible_collections.bulkhead.tiers.plugins.module_utils.session import Session
from ansible_collections.bulkhead.tiers.plugins.module_utils.session import find_session as find_session_by
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.errors import RulesetError
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.firewalls import is_legacy
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import SAVE, Kernel, canonical, parse_tables
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import Rule, describe, iptables_lines

if TYPE_CHECKING:
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Rule as KernelRule
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Ruleset

#: Besides the filter's, the tables in which a packet can end; nat is none.
_DROPPING = ("raw", "mangle", "security")
#: The most seconds that a pause is said to be: the confirmation does not sit out a limit of one connection a day.
LONGEST_PAUSE = 600
#: recent's window in seconds; `3/min` of limit and hashlimit, and the seconds of its units.
_WINDOW = re.compile(r"--seconds (\d+)")
_RATE = re.compile(r"--(?:limit|hashlimit-upto|hashlimit-above|hashlimit) (\d+)/([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Finding(NamedTuple):
    """``refused`` says which rule would cut the connection; ``doubt`` what the answer depends on; both may be empty.
    ``pause`` is how many seconds without a try have to pass until a new connection is sure to get by a limit on how many
    there may be; 0 without one."""

    refused: str
    doubt: str
    pause: int = 0


def find_session(host: Host, process: Optional[int] = None) -> Optional[Session]:
    """The SSH connection that this process was started over, or None."""

    def ask(argv: list[str]) -> tuple[int, str]:
        done = host.run(argv)
        return done.status, done.out

    return find_session_by(ask, host.root, process)


def save_text(kernel: Kernel, table: str = "filter") -> str:
    """A table as iptables-save prints it."""
    lines = ["*" + table]
    lines += [f":{name} {kernel.policies.get(name, '-')} [0:0]" for name in kernel.chains]
    lines += [f"-A {name} {rule}" for name, rules in kernel.chains.items() for rule in rules]
    return "\n".join(lines + ["COMMIT", ""])


@functools.lru_cache(maxsize=4)
def read_ruleset(text: str, family: int) -> Ruleset:
    """Tables as the packet engine reads them. The proof, what opens and closes, and what the rules do to each other are
    asked of the same two texts of each family, which is most of their time where there are thousands of rules."""
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets import iptables

    return iptables.parse(text, family)


#: The tables that iptables itself makes.
_OF_IPTABLES = ("filter", "nat", "mangle", "raw", "security")


class Beside(NamedTuple):
    """What can stop a family's packets beside the filter table: iptables' other tables, and notes on what it does not
    show."""

    family: int
    tables: dict[str, Kernel]
    unseen: tuple[str, ...]


def read_beside(host: Host, family: int) -> Beside:
    """All of that as the kernel has it now."""
    done = host.run([SAVE[family]])
    tables = {} if done.status else parse_tables(done.out)
    failed = [f"Warning: tables that {SAVE[family]} cannot read are present"] if done.status else []
    unseen = (*failed, *notes(f"{done.out}\n{done.err}"), *_nft_tables(host, family))
    return Beside(family, {name: tables[name] for name in _DROPPING if name in tables}, unseen)


def candidate_text(beside: Beside, candidate: Kernel) -> str:
    """All tables that can stop a packet, as they will be: those that the change leaves alone are as they were read."""
    tables = {**beside.tables, **(candidate.others or {})}
    if candidate.security is not None:
        tables["security"] = candidate.security
    shown = [save_text(tables[name], name) for name in _DROPPING if name in tables]
    return "".join([*(f"# {note}\n" for note in beside.unseen), save_text(candidate), *shown])


def _nft_tables(host: Host, family: int) -> list[str]:
    try:
        listed = host.run(["nft", "list", "tables"])
    except RulesetError:  # without the tool none of its tables is to be expected
        return []
    return [] if listed.status else nft_notes(listed.out, family, is_legacy(host))


def nft_notes(listed: str, family: int, legacy: bool) -> list[str]:
    """A note, as iptables-save writes them, on each table of nft that may stop the family's packets and that iptables-save
    does not show: of iptables-legacy, those of iptables-nft too."""
    own = {4: "ip", 6: "ip6"}[family]
    kinds = ("inet", "bridge", "netdev", own, *(("arp",) if family == 4 else ()))
    shown = () if legacy else _OF_IPTABLES
    found = []
    for line in listed.split("\n"):
        words = line.split()
        if len(words) == 3 and words[1] in kinds and not (words[1] == own and words[2] in shown):
            found.append(f"Warning: the {words[1]} table {words[2]} of nft is present")
    return found


def prove(session: Session, text: str, rules: list[Rule], names: list[str]) -> Finding:
    """Ask the candidate for a new connection from the same end, for its later packets, and for its answers.
    Refused only where the answer is no on every interface that it may come by.

    text: the tables as iptables-save prints them. names: the host's interfaces.
    """
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets import iptables

    try:
        ruleset = read_ruleset(text, session.family)
    except iptables.RulesetError as error:
        return Finding("", f"the kernel's rules are not understood: {error}")
    refused = ""
    for name in [session.interface] if session.interface else names:
        finding = _prove_on(session._replace(interface=name), ruleset, rules)
        if not finding.refused:
            return finding
        refused = refused or finding.refused
    return Finding(refused, "")


def _prove_on(session: Session, ruleset: Ruleset, rules: list[Rule]) -> Finding:
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import packet
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import DENIED, UNKNOWN, Question
    from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import verdict

    family, client, server = session.family, session.client, session.server
    inward = packet(
        family, client, server, port=session.server_port, source_port=session.client_port, inside=session.interface
    )
    outward = packet(
        family, server, client, port=session.client_port, source_port=session.server_port, outside=session.interface
    )
    doubt, pause = "", 0
    for what, hook, state, one in (
        ("a new connection", "INPUT", "NEW", inward),
        ("the connection's packets", "INPUT", "ESTABLISHED", inward),
        ("the answers", "OUTPUT", "ESTABLISHED", outward),
    ):
        found = verdict(ruleset, one, Question(hook, state, (server,)))
        if found is None:
            continue
        if found.answer == DENIED:
            return Finding(f"{what} would be stopped by {_name(found.rule, rules, family)}", "")
        if found.rate_limited:
            pause = max([pause, *(pause_of(condition.text) for condition in found.conditions)])
        elif found.answer == UNKNOWN:
            conditions = "; ".join(condition.text for condition in found.conditions)
            doubt = doubt or f"whether {what} may pass depends on what is not modelled: {conditions}"
    return Finding("", doubt, pause)


def pause_of(rule: str) -> int:
    """How many seconds without a try make a limit (a rule's, or a condition's text) forget: recent's window, or the time
    in which one more is let through (limit, hashlimit), at most LONGEST_PAUSE; 0 where the rule has none."""
    window, rate = _WINDOW.search(rule), _RATE.search(rule)
    seconds = 0
    if window:
        seconds = int(window[1]) + 1
    elif rate and int(rate[1]):
        seconds = math.ceil(_SECONDS[rate[2]] / int(rate[1])) + 1
    return min(seconds, LONGEST_PAUSE)


def _name(rule: KernelRule, rules: list[Rule], family: int) -> str:
    """A rule of the kernel in ufw's words where it is one of ufw's, else as iptables-save prints it."""
    if rule.table != "filter":
        return f"`{rule.text}` of the table {rule.table}"
    chain, _space, specification = rule.text.partition("-A ")[2].partition(" ")
    if "-user-" in chain:
        form = canonical(specification)
        for one in rules:
            if any(where == chain and canonical(line) == form for where, line in iptables_lines(one, family)):
                return f"the rule `{describe(one)}`"
    if rule.text.startswith("-P ") or "-skip-to-policy-" in chain or "-reject-" in chain:
        way = (chain.rpartition("-")[2] or rule.chain).lower()
        return f"the default policy of {_POLICY.get(way, way)} packets ({rule.text})"
    return f"`{rule.text}`"


_POLICY = {"input": "incoming", "output": "outgoing"}
