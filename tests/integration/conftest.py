# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which tests one worker runs after each other, and the order in which the workers are handed them."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling, Scheduling

#: Its files share the names of their namespaces: one after the other.
TOGETHER = "tests/integration/flow_probe"
#: What takes minutes, the longest first: begun last, one worker would be busy with one of them when the others are done.
LONG = (
    "test_ufw_spellings.py",
    TOGETHER,
    "test_tailscale_server.py",
    "test_awx.py",
    "test_newcomer.py",
    "test_ufw_fault.py",
    "test_awx_mesh.py",
    "test_docker_engine_config.py",
    "test_tailscale_node_faults.py",
    "test_tailscale_node_ways.py",
    "test_any_tier.py",
    "test_swarm_network_limits.py",
    "test_gate.py",
    "test_taken_host.py",
    "test_tailnet_ssh.py",
)


class _Together(LoadFileScheduling):
    """A worker runs a whole file, and all of TOGETHER."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling:
    return _Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}

    def place(item: pytest.Item) -> int:
        return places.get(TOGETHER if item.nodeid.startswith(TOGETHER) else item.path.name, len(places))

    items.sort(key=place)
