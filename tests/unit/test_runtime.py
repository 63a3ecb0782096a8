# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""meta/runtime.yml, which says what module_defaults of a group reach."""

from __future__ import annotations

from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parents[2]


def test_the_group_all_has_every_module():
    groups = yaml.safe_load((CHECKOUT / "meta/runtime.yml").read_text(encoding="utf-8"))["action_groups"]
    assert groups["all"] == sorted(path.stem for path in (CHECKOUT / "plugins/modules").glob("[!_]*.py"))
