# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options that `maas_vlan`, `maas_vlan_info` and the inventory plugin share."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.basic import env_fallback

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import ApiKey, Client, Endpoint

STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}
VLAN_KEY = {"fabric": {"type": "str"}, "vid": {"type": "int"}}

RANGE = {
    "type": {"type": "str", "choices": ["dynamic", "reserved"]},
    "start_ip": {"type": "str", "required": True},
    "end_ip": {"type": "str", "required": True},
    "comment": {"type": "str"},
    "state": STATE,
}
ROUTE = {
    "destination": {"type": "str", "required": True},
    "gateway_ip": {"type": "str", "required": True},
    "metric": {"type": "int"},
    "state": STATE,
}
SUBNET = {
    "cidr": {"type": "str", "required": True},
    "name": {"type": "str"},
    "description": {"type": "str"},
    "gateway_ip": {"type": "str"},
    "dns_servers": {"type": "list", "elements": "str"},
    "rdns_mode": {"type": "int"},
    "allow_dns": {"type": "bool"},
    "allow_proxy": {"type": "bool"},
    "managed": {"type": "bool"},
    "active_discovery": {"type": "bool"},
    "ranges": {"type": "list", "elements": "dict", "options": RANGE},
    "static_routes": {"type": "list", "elements": "dict", "options": ROUTE},
    "state": STATE,
}
VLAN = {
    "vid": {"type": "int", "required": True},
    "name": {"type": "str"},
    "description": {"type": "str"},
    "mtu": {"type": "int"},
    "space": {"type": "str"},
    "dhcp_on": {"type": "bool"},
    "primary_rack": {"type": "str"},
    "secondary_rack": {"type": "str"},
    "relay_vlan": {"type": "dict", "options": VLAN_KEY},
    "orphans_to": {"type": "dict", "options": VLAN_KEY},
    "subnets": {"type": "list", "elements": "dict", "options": SUBNET},
    "state": STATE,
}
TREE = {
    "spaces": {
        "type": "list",
        "elements": "dict",
        "options": {"name": {"type": "str", "required": True}, "description": {"type": "str"}, "state": STATE},
    },
    "fabrics": {
        "type": "list",
        "elements": "dict",
        "options": {
            "name": {"type": "str", "required": True},
            "description": {"type": "str"},
            "class_type": {"type": "str"},
            "vlans": {"type": "list", "elements": "dict", "options": VLAN},
            "state": STATE,
        },
    },
}


def connection() -> dict:
    """The options of the connection; the environment stands in for the first two."""
    return {
        "url": {"type": "str", "required": True, "fallback": (env_fallback, ["MAAS_URL"])},
        "api_key": {"type": "str", "required": True, "no_log": True, "fallback": (env_fallback, ["MAAS_API_KEY"])},
        "ca_path": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
        "timeout": {"type": "float", "default": 30.0},
        "retries": {"type": "int", "default": 4},
    }


def client(params: dict, **extra: Any) -> Client:
    """A client for the options of `connection`; no request yet.  ``MaasError`` where one of them is unusable."""
    endpoint = Endpoint.parse(params["url"], params["ca_path"], params["validate_certs"], params["timeout"])
    return Client(endpoint, ApiKey.parse(params["api_key"]), retries=max(0, params["retries"]), **extra)
