#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a host's UFW ruleset is as it should be."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.ruleset import plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.task import run_ruleset


def main() -> None:
    """Entry point of the module."""
    run_ruleset(plan)


if __name__ == "__main__":
    main()
