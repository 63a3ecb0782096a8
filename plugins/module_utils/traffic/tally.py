# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is counted of a host's log, and of its tracked connections, within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.traffic.log import (
    AHEAD,
    LONGEST,
    Clock,
    Packet,
    Unread,
    message_of,
    packet_of,
)

#: How many different packets or connections are told apart; what comes after them is counted alone.
MOST_KINDS = 20000


class Tally:
    """Blocked packets since a time. lines: of UFW; others: its messages about packets that passed; unread: those that are cut off
    or of no time; future: those whose time has not come; left: packets beyond MOST_KINDS. oldest: the first time in the log."""

    def __init__(self, since: float, now: float, boot: float) -> None:
        self._since, self._now = since, now
        self._clock = Clock(now, boot)
        self._found: dict[Packet, list[float]] = {}
        self.lines = self.others = self.unread = self.future = self.left = self.suppressed = 0
        self.oldest: Optional[float] = None

    def add(self, lines: Iterable[str]) -> None:
        for line in lines:
            if len(line) > LONGEST:
                self.unread += "[UFW " in line[:LONGEST]
                continue
            head, label, words = message_of(line)
            if label:
                self._add(head, label, words)
            elif "callbacks suppressed" in line and "kernel" in line[:200]:
                self.suppressed += 1

    def _add(self, head: str, label: str, words: str) -> None:
        when = self._clock.when(head)
        if when is None:
            self.unread += 1
            return
        if self.oldest is None or when < self.oldest:
            self.oldest = when
        if when < self._since:
            return
        self.lines += 1
        if when > self._now + AHEAD:
            self.future += 1
            when = self._now
        if not label.endswith("BLOCK"):
            self.others += 1
            return
        try:
            packet = packet_of(label, words)
        except Unread:
            self.unread += 1
            return
        known = self._found.get(packet)
        if known:
            known[0] += 1
            known[1], known[2] = min(known[1], when), max(known[2], when)
        elif len(self._found) < MOST_KINDS:
            self._found[packet] = [1, when, when]
        else:
            self.left += 1

    def most(self, limit: int) -> tuple[list[list[Any]], int]:
        """The packets that came most often, each with its count, its first and last time; and how many others there were."""
        ordered = sorted(self._found.items(), key=lambda item: (-item[1][0], item[0]))
        rest = sum(int(counted[0]) for _packet, counted in ordered[limit:])
        return [
            [*packet, int(count), first, last] for packet, (count, first, last) in ordered[:limit]
        ], rest + self.left
