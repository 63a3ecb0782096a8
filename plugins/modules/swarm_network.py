#!/usr/bin/python
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.converge import converge
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.task import run_networks
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.writer import Writer


def main() -> None:
    """Entry point of the module."""
    run_networks(converge, Writer)


if __name__ == "__main__":
    main()
