# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A node that dies in the middle of a slice."""

from __future__ import annotations

import random
from typing import Optional

from .nodes import Mesh
from .run import Slice

#: The latest moment, in events of ansible-runner's: a slice of one host that changes has some 80.
LATEST = 60


class Death:
    """Kills a node once, when the slice that it runs has had so many events; `run_slices` calls it as its watch."""

    def __init__(self, mesh: Mesh, node: str, after: int) -> None:
        self.mesh, self.node, self.after = mesh, node, after
        self.slice: Optional[Slice] = None

    @classmethod
    def drawn(cls, mesh: Mesh, seed: int) -> Death:
        """Which node and when, by chance."""
        chance = random.Random(seed)
        return cls(mesh, chance.choice(list(mesh.nodes)), chance.randint(1, LATEST))

    def __call__(self, one: Slice, node: str) -> None:
        if self.slice is None and node == self.node and len(one.events) >= self.after:
            self.slice = one
            self.mesh.kill(node)

    def restart(self) -> None:
        """The node comes back, as a machine does after its power failed."""
        if not self.mesh.is_up(self.node):
            self.mesh.start(self.node)
