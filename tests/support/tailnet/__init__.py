# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A real tailnet for tests: a real Headscale and real tailscaled nodes, on throw-away hosts of the lab's image.

    with tailnet("mine", "10.77.9", ["bookworm", "trixie"]) as (control, nodes):
        nodes[0].join(control.key(tags=["tag:web"]))

The programs are built once for all checkouts of this machine, see ``build-peers``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hosts.machine import started

from .control import Headscale
from .node import Node
from .peers import binaries

__all__ = ["Headscale", "Node", "binaries", "tailnet"]


@contextmanager
def tailnet(
    prefix: str, net: str, releases: Sequence[str] = ("bookworm",), keep: bool = False, control: str = "bookworm"
) -> Iterator[tuple[Headscale, list[Node]]]:
    """A Headscale at ``net``.11 and a node for each release after it, none of which has joined; gone afterwards.
    ``net`` is the first three bytes of a network that belongs to this test alone, ``prefix`` names the containers."""
    server = Headscale(prefix, net, 1, control)
    nodes = [Node(prefix, net, 2 + index, release, server.url) for index, release in enumerate(releases)]
    with started([server, *nodes], keep):
        yield server, nodes
