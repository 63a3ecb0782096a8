# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node that dies in the middle of a slice."""

from __future__ import annotations

import random
from typing import Optional

from .nodes import Mesh
from .run import Slice

#: The latest moment, in events of ansible-runner's: a slice of one host that changes has some 80.
LATEST = 60
#: The task that changes a host's rules.
APPLY = "Apply the ruleset"


class Death:
    """Kills a node once, when the slice that it runs has had so many events, or (None) as soon as it applies a ruleset; `run_slices`
    calls it as its watch."""

    def __init__(self, mesh: Mesh, node: str, after: Optional[int] = None) -> None:
        self.mesh, self.node, self.after = mesh, node, after
        self.slice: Optional[Slice] = None

    @classmethod
    def drawn(cls, mesh: Mesh, seed: int) -> Death:
        """Which node and when, by chance: every second one while a ruleset is applied."""
        chance = random.Random(seed)
        return cls(mesh, chance.choice(list(mesh.nodes)), None if seed % 2 else chance.randint(1, LATEST))

    def __str__(self) -> str:
        when = "while it applies a ruleset" if self.after is None else f"after {self.after} events of a slice"
        return f"{self.node} dies {when}"

    def __call__(self, one: Slice, node: str) -> None:
        if self.slice is None and node == self.node and self._ripe(one):
            self.slice = one
            self.mesh.kill(node)

    def _ripe(self, one: Slice) -> bool:
        if self.after is not None:
            return len(one.events) >= self.after
        return any(
            event["event"] == "runner_on_start" and event["event_data"].get("task") == APPLY for event in one.events
        )

    def restart(self) -> None:
        """The node comes back, as a machine does after its power failed."""
        if not self.mesh.is_up(self.node):
            self.mesh.start(self.node)
