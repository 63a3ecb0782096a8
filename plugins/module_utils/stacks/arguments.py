# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""stack_lint's arguments, and what they say of the architecture."""

from __future__ import annotations

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.catalogue import SEVERITIES
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.fleet import Architecture, SiteNetwork

NEVER = "never"

LINT_ARGUMENTS = {
    "stacks": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "files": {"type": "list", "elements": "path", "required": True},
            "kind": {"type": "str", "choices": ["compose", "swarm"], "default": "compose"},
        },
    },
    "directory": {"type": "path"},
    "running": {"type": "bool", "default": False},
    "networks": {"type": "dict"},
    "reserved": {"type": "dict", "default": {}},
    "proxy_networks": {"type": "list", "elements": "str", "default": []},
    "require": {"type": "dict", "default": {}},
    "environment": {"type": "dict", "default": {}},
    "sarif": {"type": "path"},
    "fail_on": {"type": "str", "choices": [*SEVERITIES, NEVER], "default": "error"},
}

_NETWORK_FIELDS = ("zone", "internal", "subnet")


def read_architecture(params):
    """The Architecture of the arguments; raises Refused with everything that is wrong with them."""
    mistakes = []
    networks = params["networks"]
    architecture = Architecture(
        networks=None
        if networks is None
        else {name: _network(f"networks.{name}", value, mistakes) for name, value in networks.items()},
        reserved={name: _texts(f"reserved.{name}", value, mistakes) for name, value in params["reserved"].items()},
        proxies=tuple(params["proxy_networks"]),
        demands=tuple(
            (pattern, _texts(f"require.{pattern}", zones, mistakes)) for pattern, zones in params["require"].items()
        ),
    )
    if mistakes:
        raise Refused(mistakes)
    return architecture


def read_environment(params):
    """{name: text} for the variables in the files."""
    return {
        name: ("true" if value else "false") if isinstance(value, bool) else "" if value is None else str(value)
        for name, value in params["environment"].items()
    }


def _network(path, value, mistakes):
    if not isinstance(value, dict):
        mistakes.append(Mistake(path, _shown(value), "a mapping", "write it like {zone: private, internal: true}"))
        return SiteNetwork()
    for key in value:
        if key not in _NETWORK_FIELDS:
            mistakes.append(
                Mistake(f"{path}.{key}", "an unknown key", f"one of {', '.join(_NETWORK_FIELDS)}", "remove it")
            )
    internal = value.get("internal", False)
    if not isinstance(internal, bool):
        mistakes.append(Mistake(f"{path}.internal", _shown(internal), "true or false", "write true or false"))
    subnets = _texts(f"{path}.subnet", value.get("subnet") or [], mistakes)
    return SiteNetwork(str(value.get("zone") or ""), bool(internal), subnets)


def _texts(path, value, mistakes):
    """One text or a list of them, as a tuple."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        mistakes.append(Mistake(path, _shown(value), "a text or a list of texts", "put it in quotes"))
        return ()
    return tuple(items)


def _shown(value):
    return "nothing" if value is None else str(value)
