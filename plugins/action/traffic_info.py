# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the module; see modules/traffic_info.py. What the host says is made fit for a terminal."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.said import HostAction


class ActionModule(HostAction):
    """Nothing else is done on the controller."""
