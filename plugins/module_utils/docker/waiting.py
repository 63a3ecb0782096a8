# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for an engine, with a bound."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.client import Engine
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import Network
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.reading import read_networks

POLL_SECONDS = 0.05
SLOWEST_POLL_SECONDS = 1.0
#: The swarm's allocator answers within some ms (measured: 1-2 ms on 20.10 and 26.1); what takes this long is refused.
ALLOCATION_SECONDS = 10.0


def settle(engine: Engine, networks: list[Network], names: Iterable[str]) -> list[Network]:
    """The live networks, read again for as long as an overlay of these names has no subnet yet, at most for
    ALLOCATION_SECONDS: another run may have made it a moment ago."""
    wanted = set(names)
    for _dummy in polls(ALLOCATION_SECONDS):
        if not any(network.pending and network.name in wanted for network in networks):
            break
        networks = read_networks(engine)
    return networks


def polls(seconds: float) -> Iterator[None]:
    """Yield at once, then after growing pauses, at least twice and until the seconds are over."""
    deadline, pause = time.monotonic() + seconds, POLL_SECONDS
    yield
    while True:
        time.sleep(pause)
        yield
        if time.monotonic() >= deadline:
            return
        pause = min(pause * 1.5, SLOWEST_POLL_SECONDS)
