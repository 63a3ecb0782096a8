# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options that `tailnet_policy` and `tailnet_policy_info` share, and what comes of them."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.control import (
    TAILSCALE,
    Control,
    Headscale,
    Tailscale,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.transport import ControlError, Server


def connection() -> dict[str, Any]:
    """The options that lead to a control server."""
    return {
        "dialect": {"type": "str", "choices": ["headscale", "tailscale"], "default": "headscale"},
        "url": {"type": "str"},
        "token": {"type": "str", "no_log": True},
        "client_id": {"type": "str"},
        "client_secret": {"type": "str", "no_log": True},
        "tailnet": {"type": "str", "default": "-"},
        "ca": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
        "timeout": {"type": "float", "default": 30.0},
        "retries": {"type": "int", "default": 4},
    }


#: What belongs together among them.
RULES: dict[str, Any] = {
    "required_together": [("client_id", "client_secret")],
    "mutually_exclusive": [("token", "client_secret")],
    "required_one_of": [("token", "client_secret")],
    "required_if": [("dialect", "headscale", ("url", "token"))],
}


def control(params: Mapping[str, Any], warn: Callable[[str], None]) -> Control:
    """The client for these options; no request yet. ``ControlError`` where one of them cannot be used."""
    url = params["url"] or TAILSCALE
    server = Server.at(url, params["ca"], params["validate_certs"], params["timeout"], params["retries"])
    for name in ("token", "client_secret"):
        value = params[name] or ""
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ControlError(
                f"{name}: got characters that no key has; expected it as it was shown; look for a line feed at its end",
                "input",
            )
    if server.scheme == "http" and not _loopback(server.host):
        warn(
            f"url: {server} is not encrypted: everyone on the way can read the key and change the policy; give an https address"
        )
    if params["dialect"] == "headscale":
        return Headscale(server, params["token"])
    return Tailscale(
        server, params["tailnet"], params["token"] or "", params["client_id"] or "", params["client_secret"] or ""
    )


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def failure(error: Exception) -> dict[str, Any]:
    """The keys of a failed task: the text, and each error by itself."""
    errors = error.errors if isinstance(error, Refused) else [str(error)]
    return {"msg": str(error), "errors": errors}
