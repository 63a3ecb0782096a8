#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole UFW ruleset of a host in one task."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.task import run_ruleset


def main() -> None:
    """Entry point of the module."""
    run_ruleset(converge)


if __name__ == "__main__":
    main()
