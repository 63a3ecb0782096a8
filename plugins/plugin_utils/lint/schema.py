# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Compose Specification's own schema, held against a file: keys that it does not have, values of another shape.

compose-spec.json is the specification's (Apache License 2.0, see compose-spec.LICENSE), as it is. A general validator
takes numbers and true for what they are; in this tree every scalar is the text that is written, which may hold a
variable, and what is said needs its line: so the schema is read here, for shapes and names alone.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Place
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.source import Node, shape

#: The shapes of a Node for JSON's types.
_SHAPES = {"object": dict, "array": list}
#: Tags with which a value replaces or removes one of another file.
_RESET = "!reset"

Schema = Mapping[str, Any]


class Problem(NamedTuple):
    """Where a file leaves the specification. path: "services.web.ports[0]"; unknown: a key that it does not have.

    expected: the shapes that belong there; for an unknown key, those that are known.
    """

    path: str
    place: Place
    unknown: bool
    got: str
    expected: tuple[str, ...]


def _load() -> Schema:
    path = os.path.join(os.path.dirname(__file__), "compose-spec.json")
    with open(path, encoding="utf-8") as file:
        return json.load(file)


_SPECIFICATION = _load()


class _Part:
    """One piece of the schema, its references followed."""

    def __init__(self, raw: Schema) -> None:
        self._all = [raw]
        for part in self._all:  # grows on the way
            if "$ref" in part:
                self._all.append(_referred(part["$ref"]))
            self._all += part.get("allOf", ())

    @cached_property
    def choices(self) -> list[_Part]:
        """The alternatives, where there are some."""
        found = [choice for part in self._all for key in ("oneOf", "anyOf") for choice in part.get(key, ())]
        return [_part(choice) for choice in found]

    @cached_property
    def shapes(self) -> frozenset[type]:
        """The shapes that are allowed: dict, list, str. Nothing (null) always is; empty where the schema does not say."""
        own = frozenset(_SHAPES.get(name, str) for part in self._all for name in _names(part) if name != "null")
        return own or frozenset(kind for choice in self.choices for kind in choice.shapes)

    @cached_property
    def properties(self) -> dict[str, _Part]:
        found = {name: raw for part in self._all for name, raw in part.get("properties", {}).items()}
        return {name: _part(raw) for name, raw in found.items()}

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], _Part]]:
        found = [item for part in self._all for item in part.get("patternProperties", {}).items()]
        return [(re.compile(pattern), _part(raw)) for pattern, raw in found]

    @cached_property
    def closed(self) -> bool:
        """Whether it has no other keys."""
        keys = ("additionalProperties", "unevaluatedProperties")
        return any(part.get(key) is False for part in self._all for key in keys)

    @cached_property
    def items(self) -> Optional[_Part]:
        found = next((part["items"] for part in self._all if isinstance(part.get("items"), dict)), None)
        return _part(found) if found is not None else None

    def member(self, key: str) -> Optional[_Part]:
        """What belongs to a key; None for one that it does not have."""
        if key in self.properties:
            return self.properties[key]
        return next((part for pattern, part in self._patterns if pattern.search(key)), None)


def _referred(reference: str) -> Schema:
    """The piece that "#/$defs/service" names."""
    found: Any = _SPECIFICATION
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


_PARTS: dict[int, _Part] = {}


def _part(raw: Schema) -> _Part:
    # The schema lives as long as this module: an id is enough for a name.
    if id(raw) not in _PARTS:
        _PARTS[id(raw)] = _Part(raw)
    return _PARTS[id(raw)]


def _names(part: Schema) -> tuple[str, ...]:
    kind = part.get("type", ())
    return (kind,) if isinstance(kind, str) else tuple(kind)


_WHOLE = _part(_SPECIFICATION)

#: What a Compose file may hold at its top, and a service, beside x-*.
TOP = tuple(_WHOLE.properties)
SERVICE = tuple(_part(_referred("#/$defs/service")).properties)


def problems(root: Node) -> Iterator[Problem]:
    """Where a file leaves the specification; what stands at its top is read already."""
    for section, node in root.items():
        part = _WHOLE.member(section)
        if part is not None and not section.startswith("x-"):
            yield from _problems(node, part, section, root.at(section))


def _problems(node: Node, part: _Part, path: str, place: Place) -> Iterator[Problem]:
    if node.value is None or node.tag == _RESET:
        return
    if part.shapes and type(node.value) not in part.shapes:
        expected = sorted(shape(kind()) for kind in part.shapes)
        yield Problem(path, place, False, node.shape, tuple(expected))
        return
    choices = [choice for choice in part.choices if not choice.shapes or type(node.value) in choice.shapes]
    if choices and not part.properties:
        found = [list(_problems(node, choice, path, place)) for choice in choices]
        yield from min(found, key=len)
    elif isinstance(node.value, list) and part.items is not None:
        for index, item in enumerate(node.value):
            yield from _problems(item, part.items, f"{path}[{index}]", item.place)
    elif isinstance(node.value, dict):
        yield from _members(node, part, path)


def _members(node: Node, part: _Part, path: str) -> Iterator[Problem]:
    for key, item in node.items():
        member = part.member(key)
        if member is not None:
            yield from _problems(item, member, f"{path}.{key}", node.at(key))
        elif part.closed:
            yield Problem(f"{path}.{key}", node.at(key), True, key, tuple(part.properties))
