# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The stacks of a site. What is in their files, stack_lint checks: nothing here reads them."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Network, Stack
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader, suggestion

#: Who deploys a stack.
SWARM, COMPOSE = KINDS = ("swarm", "compose")

_FIELDS = ("file", "kind", "on", "require")
_EXAMPLE = "{file: stacks/shop.yml, kind: swarm}"
#: What both Compose and Swarm take: it becomes the beginning of the names of networks and services.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*\Z")


def read_stacks(
    reader: Reader, raw: object, tiers: Collection[str], networks: Mapping[str, Network], has_swarm: bool
) -> dict[str, Stack]:
    """{name: Stack} of bulkhead_stacks. networks: the site's, whose zones can be required."""
    zones = sorted({network.zone for network in networks.values() if network.zone})
    result = {}
    for name, value in reader.mapping("bulkhead_stacks", raw, "stacks", f"shop: {_EXAMPLE}").items():
        path = f"bulkhead_stacks.{name}"
        if not _NAME.match(name):
            reader.refuse(path, name, "a name of small letters, digits, _ and -", "rename it")
        result[name] = _read_stack(reader, path, name, value, tiers, zones, has_swarm)
    return result


def _read_stack(
    reader: Reader,
    path: str,
    name: str,
    value: object,
    tiers: Collection[str],
    zones: Collection[str],
    has_swarm: bool,
) -> Stack:
    if isinstance(value, dict) and True in value:
        # YAML 1.1, which Ansible reads, takes the bare key `on` for true.
        value = {"on" if key is True else key: item for key, item in value.items()}
    known = reader.fields(path, value, _FIELDS, _EXAMPLE)
    if not isinstance(value, dict):
        return Stack(name, "", ())
    kind = known.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        reader.refuse(f"{path}.kind", kind, " or ".join(KINDS), suggestion(kind, KINDS) or "choose one of them")
        kind = ""
    if kind == SWARM and not has_swarm:
        reader.note(
            f"{path}.kind",
            kind,
            "a Swarm that can run it",
            "declare bulkhead_swarm: {managers: {...}, tier: ...}",
        )
    return Stack(
        name=name,
        kind=str(kind),
        files=_read_files(reader, f"{path}.file", known.get("file")),
        tiers=_read_on(reader, f"{path}.on", known.get("on"), kind, tiers),
        demands=_read_demands(reader, f"{path}.require", known.get("require"), zones),
    )


def _read_files(reader: Reader, path: str, value: object) -> tuple[str, ...]:
    """The paths; relative ones start at the inventory's directory."""
    files = []
    for where, item in reader.items(path, value, "the path of a Compose file, or a list of them", "stacks/shop.yml"):
        if item.strip():
            files.append(item)
        else:
            reader.refuse(where, item, "the path of a Compose file", "write it like stacks/shop.yml")
    return tuple(files)


def _read_on(reader: Reader, path: str, value: object, kind: str, tiers: Collection[str]) -> tuple[str, ...]:
    """The tiers whose hosts run a Compose stack; a Swarm's scheduler chooses by itself."""
    if kind == SWARM:
        if value is not None:
            reader.refuse(
                path, value, "nothing for a Swarm stack", "remove it: deploy.placement in the file says where it runs"
            )
        return ()
    if kind != COMPOSE:
        return ()
    names = []
    for where, name in reader.items(path, value, "the tiers whose hosts run this stack", "apps"):
        if name in tiers:
            names.append(name)
        else:
            reader.refuse(where, name, "a tier", suggestion(name, tiers) or f"name one of {', '.join(tiers)}")
    return tuple(dict.fromkeys(names))


def _read_demands(reader: Reader, path: str, value: object, zones: Collection[str]) -> dict[str, tuple[str, ...]]:
    """{pattern of service names: zones}."""
    result = {}
    for pattern, item in reader.mapping(path, value, "zones by service", '"*-backend": [public, private]').items():
        where = f"{path}.{pattern}"
        found = []
        for at, zone in reader.items(where, item, "a zone, or a list of them", "[public, private]"):
            if zone in zones:
                found.append(zone)
            else:
                remedy = suggestion(zone, zones) or "give a network of bulkhead_networks this zone"
                reader.refuse(at, zone, f"a zone of the site's networks ({', '.join(zones) or 'none'})", remedy)
        result[pattern] = tuple(found)
    return result
