# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of tailscale_node."""

from __future__ import annotations

from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.prefs import MODES
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailscale.task import CONNECTION

_LIST: dict[str, Any] = {"type": "list", "elements": "str"}
_BOOL: dict[str, Any] = {"type": "bool"}
_TEXT: dict[str, Any] = {"type": "str"}
#: What is a preference of the node.
PREFERENCES: dict[str, Any] = {
    "accept_dns": _BOOL,
    "accept_routes": _BOOL,
    "advertise_connector": _BOOL,
    "advertise_exit_node": _BOOL,
    "advertise_routes": _LIST,
    "advertise_tags": _LIST,
    "auto_update": _BOOL,
    "exit_node": _TEXT,
    "exit_node_allow_lan_access": _BOOL,
    "hostname": _TEXT,
    "login_server": _TEXT,
    "netfilter_mode": {"type": "str", "choices": list(MODES)},
    "nickname": _TEXT,
    "operator": _TEXT,
    "relay_server_port": _TEXT,
    "relay_server_static_endpoints": _LIST,
    "report_posture": _BOOL,
    "shields_up": _BOOL,
    "snat_subnet_routes": _BOOL,
    "ssh": _BOOL,
    "stateful_filtering": _BOOL,
    "update_check": _BOOL,
    "webclient": _BOOL,
}
#: What the controller makes an auth key of; the host never gets it.
EXCHANGE: dict[str, Any] = {
    "client_secret": {"type": "str", "no_log": True},
    "ephemeral": {"type": "bool", "default": False},
    "preauthorized": {"type": "bool", "default": True},
    "api_url": {"type": "str", "default": "https://api.tailscale.com"},
}
ARGUMENTS: dict[str, Any] = {
    **CONNECTION,
    **PREFERENCES,
    **EXCHANGE,
    "state": {"type": "str", "choices": ["present", "down", "logged_out", "absent"], "default": "present"},
    "auth_key": {"type": "str", "no_log": True},
    "key_at_hand": {"type": "bool", "default": False, "no_log": False},
    "renew_before": _TEXT,
    "accept_cut": {"type": "bool", "default": False},
    "confirm": {"type": "dict", "options": {"timeout": {"type": "int", "default": 30}}},
}
