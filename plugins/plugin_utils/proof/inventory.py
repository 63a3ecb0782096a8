# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory as its sources say, read once more.

What Ansible keeps in memory is not that: an earlier play may have changed it with add_host or group_by, which mostly go
by what hosts say of themselves.
"""

from __future__ import annotations

from typing import Any

from ansible.inventory.manager import InventoryManager


def groups_of_sources(hostvars: Any) -> dict[str, list[str]]:
    """{group: its hosts} of the inventory's sources. hostvars: Ansible's variable of that name."""
    inventory = InventoryManager(loader=hostvars._loader, sources=hostvars._inventory._sources)
    return {str(group): list(map(str, hosts)) for group, hosts in inventory.get_groups_dict().items()}
