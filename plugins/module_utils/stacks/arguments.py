# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""stack_lint's arguments, and what they say of the architecture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.fleet import Architecture, SiteNetwork
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import SEVERITIES

NEVER = "never"

LINT_ARGUMENTS: dict[str, Any] = {
    "stacks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "files": {"type": "list", "elements": "path", "required": True},
            "kind": {"type": "str", "choices": ["compose", "swarm"], "default": "compose"},
            "tiers": {"type": "list", "elements": "str", "default": []},
        },
    },
    "directory": {"type": "path"},
    "allowed_directories": {"type": "list", "elements": "path", "default": []},
    "running": {"type": "bool", "default": False},
    "networks": {"type": "dict"},
    "reserved": {"type": "dict", "default": {}},
    "pools": {"type": "dict", "default": {}},
    "proxy_networks": {"type": "list", "elements": "str", "default": []},
    "require": {"type": "dict", "default": {}},
    "environment": {"type": "dict", "default": {}},
    "sarif": {"type": "path"},
    "sarif_directory": {"type": "path", "default": "reports"},
    "fail_on": {"type": "str", "choices": [*SEVERITIES, NEVER], "default": "error"},
}

_NETWORK_FIELDS = ("zone", "internal", "subnet", "driver", "attachable", "tiers")


def read_architecture(params: Mapping[str, Any]) -> Architecture:
    """The Architecture of the arguments; raises Refused with everything that is wrong with them."""
    mistakes: list[Mistake] = []
    networks = params["networks"]
    architecture = Architecture(
        networks=None
        if networks is None
        else {name: _network(f"networks.{name}", value, mistakes) for name, value in networks.items()},
        reserved={name: _texts(f"reserved.{name}", value, mistakes) for name, value in params["reserved"].items()},
        pools={name: _texts(f"pools.{name}", value, mistakes) for name, value in params["pools"].items()},
        proxies=tuple(params["proxy_networks"]),
        demands=tuple(
            (pattern, _texts(f"require.{pattern}", zones, mistakes)) for pattern, zones in params["require"].items()
        ),
    )
    if mistakes:
        raise Refused(mistakes)
    return architecture


def read_environment(params: Mapping[str, Any]) -> dict[str, str]:
    """{name: text} for the variables in the files."""
    return {
        name: ("true" if value else "false") if isinstance(value, bool) else "" if value is None else str(value)
        for name, value in params["environment"].items()
    }


def _network(path: str, value: object, mistakes: list[Mistake]) -> SiteNetwork:
    if not isinstance(value, dict):
        mistakes.append(Mistake(path, _shown(value), "a mapping", "write it like {zone: private, internal: true}"))
        return SiteNetwork()
    for key in value:
        if key not in _NETWORK_FIELDS:
            mistakes.append(
                Mistake(f"{path}.{key}", "an unknown key", f"one of {', '.join(_NETWORK_FIELDS)}", "remove it")
            )
    flags = {}
    for key in ("internal", "attachable"):
        flags[key] = value.get(key)
        if not isinstance(flags[key], (bool, type(None))):
            mistakes.append(Mistake(f"{path}.{key}", _shown(flags[key]), "true or false", "write true or false"))
    return SiteNetwork(
        zone=str(value.get("zone") or ""),
        internal=bool(flags["internal"]),
        subnets=_texts(f"{path}.subnet", value.get("subnet") or [], mistakes),
        driver=str(value.get("driver") or ""),
        attachable=bool(flags["attachable"]),
        tiers=_texts(f"{path}.tiers", value.get("tiers") or [], mistakes),
    )


def _texts(path: str, value: object, mistakes: list[Mistake]) -> tuple[str, ...]:
    """One text or a list of them, as a tuple."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        mistakes.append(Mistake(path, _shown(value), "a text or a list of texts", "put it in quotes"))
        return ()
    return tuple(items)


def _shown(value: object) -> str:
    return "nothing" if value is None else printable(value, 100)
