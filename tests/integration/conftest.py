# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The order in which files are handed to the workers."""

from __future__ import annotations

import pytest

#: Files that take minutes, the longest first: begun last, one worker would be busy with one of them when the others are done.
LONG = (
    "test_tailscale_server.py",
    "test_docker_engine_config.py",
    "test_awx.py",
    "test_awx_mesh.py",
    "test_newcomer.py",
    "test_site_nat.py",
    "test_tailscale_node_ways.py",
    "test_ufw_fault.py",
    "test_prove_lies.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))
