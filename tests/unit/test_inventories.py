# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventories that a user copies."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

INVENTORIES = sorted((Path(__file__).parents[2] / "inventories").glob("*/group_vars/all"))


@pytest.mark.parametrize("directory", INVENTORIES, ids=lambda path: path.parts[-3])
def test_pins_lie_where_allocate_yml_writes_further_ones(directory):
    """In another file it would find pins that it must not repeat, and refuse."""
    with_pins = {
        file.name
        for file in directory.glob("*.yml")
        if "bulkhead_allocations" in (yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    }
    assert with_pins <= {"allocations.yml"}
