# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Rulesets in a few words, and what the engine says of one packet."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Ruleset, parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import EVERY, Question, Verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import verdict

SOURCE = {4: "10.0.0.1", 6: "fd00::1"}
TARGET = {4: "10.0.9.9", 6: "fd00::9"}


def table(name: str, *lines: str) -> str:
    """A table: ":CHAIN POLICY" and "-A ..." lines; built-in chains need no counters."""
    return "\n".join(["*" + name, *(line + " [0:0]" if line[0] == ":" else line for line in lines), "COMMIT", ""])


def rules(
    *lines: str, policy: str = "DROP", chains: tuple[str, ...] = (), family: int = 4, hook: str = "INPUT"
) -> Ruleset:
    """A filter table of one hook."""
    return parse(table("filter", f":{hook} {policy}", *(f":{name} -" for name in chains), *lines), family)


def ask(
    ruleset: Ruleset, proto: str = "tcp", port: int = 22, hook: str = "INPUT", state: str = "NEW", **more: Any
) -> Verdict:
    """The verdict on one packet. more: source, inside, outside, addresses, translated, original."""
    family = ruleset.family
    question = Question(hook, state, more.pop("addresses", EVERY), more.pop("translated", None))
    inside = more.pop("inside", "" if hook == "OUTPUT" else "eth0")
    outside = more.pop("outside", "" if hook == "INPUT" else "eth1")
    ends = (more.pop("source", SOURCE[family]), more.pop("target", TARGET[family]))
    found = verdict(ruleset, packet(family, *ends, proto, port, inside=inside, outside=outside, **more), question)
    assert found is not None
    return found
