# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a new user has: a folder, hosts, and the README's commands."""

from __future__ import annotations

from . import takeover
from .desk import Desk, Run, commands, settings
from .fleet import FLEETS, RULES, Newcomer, inventory_of, site_of
from .mirror import Mirror

__all__ = [
    "FLEETS",
    "RULES",
    "Desk",
    "Mirror",
    "Newcomer",
    "Run",
    "commands",
    "inventory_of",
    "settings",
    "site_of",
    "takeover",
]
