# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several files as one: -f a -f b, `include` and `extends`, by the rules of the Compose specification (13-merge.md)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Place
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.files import Unreadable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.schema import TOP
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.source import (
    MOST_NESTED,
    MOST_UNFOLDED,
    Node,
    NotCompose,
    Source,
)

#: Values that are laid over each other or looked at on the way, of one stack; files that include each other twice over
#: would double them at every step.
MOST_STEPS = 1_000_000
#: Files that include files, services that extend services.
MOST_CHAINED = 50

#: Lists of KEY=VALUE, and lists of names, that stand for mappings.
_PAIRS = ("environment", "labels", "annotations", "sysctls")
_NAMES = ("networks", "depends_on")
#: Lists that a later file replaces; every other list is continued.
_REPLACED = ("command", "entrypoint", "test")

_RESET, _OVERRIDE = "!reset", "!override"

#: (file, service) of those that extend each other.
_Chain = tuple[tuple[str, str], ...]


class Tree:
    """The files of one stack, read and merged. `root` is the whole, `sources` every file that took part in it."""

    def __init__(self, files: Sequence[str], environment: Mapping[str, str], read: Callable[[str], str]) -> None:
        """files: paths; read: path -> text, which raises Unreadable. Raises NotCompose."""
        self.sources: dict[str, Source] = {}
        self._environment = environment
        self._read = read
        self._canonical: dict[str, Node] = {}
        self._services: dict[tuple[str, str], Node] = {}
        self._left = MOST_STEPS
        root: Optional[Node] = None
        for file in files:
            top = self._file(file, (), Place(file, 1))
            root = top if root is None else self._merged(root, top)
        self.root = root or Node(None, Place())

    def _spend(self, steps: int, place: Place) -> None:
        self._left -= steps
        if self._left < 0:
            raise NotCompose("what it includes and extends makes more than can be read", place)

    def _file(self, file: str, chain: tuple[str, ...], place: Place) -> Node:
        """One file with what it includes and extends; place: where it is named."""
        if file in chain:
            raise NotCompose(f"{' -> '.join(map(_shown, chain))} includes itself", Place(chain[-1], 1))
        if len(chain) >= MOST_CHAINED:
            raise NotCompose(f"more than {MOST_CHAINED} files include each other", place)
        root = self._extended(file, self._top(file, place))
        include = root.get("include")
        if include is None or not isinstance(root.value, dict):
            return root
        root = Node(
            {key: node for key, node in root.value.items() if key != "include"}, root.place, root.last, root.keys
        )
        for item in include.value if isinstance(include.value, list) else [include]:
            part: Optional[Node] = None
            for path in [item] if isinstance(item.value, str) else item.each("path"):
                one = self._file(_beside(file, path.string), (*chain, file), path.place)
                part = one if part is None else self._merged(part, one)
            if part is not None:
                root = self._merged(part, root)
        return root

    def _top(self, file: str, place: Place) -> Node:
        """The tree of one file, checked, with mappings for the lists that stand for them; place: where it is named."""
        if file not in self._canonical:
            self._canonical[file] = _canonical(_checked(self._source(file, place).root))
        return self._canonical[file]

    def _source(self, file: str, place: Place) -> Source:
        if file not in self.sources:
            try:
                text = self._read(file)
            except Unreadable as error:
                named = f"{_shown(file)}: " if place.file != file else ""
                fix = (
                    "move it there, or name its directory in allowed_directories"
                    if error.outside
                    else "name another one"
                )
                raise NotCompose(f"{named}it cannot be read ({error})", place, fix) from error
            self.sources[file] = Source(file, text, self._environment)
        return self.sources[file]

    def _extended(self, file: str, root: Node) -> Node:
        services = root.get("services")
        if services is None or not isinstance(root.value, dict):
            return root
        value = {name: self._service(file, services, name, service, ()) for name, service in services.items()}
        section = Node(value, services.place, services.last, services.keys)
        return Node({**root.value, "services": section}, root.place, root.last, root.keys)

    def _service(self, file: str, services: Node, name: str, service: Node, chain: _Chain) -> Node:
        """The service laid over what it extends."""
        self._spend(1, service.place)
        link = service.get("extends")
        if link is None:
            return service
        if (file, name) in self._services:
            return self._services[file, name]
        if (file, name) in chain:
            raise NotCompose(f"service {_shown(name)} extends itself", link.place)
        if len(chain) >= MOST_CHAINED:
            raise NotCompose(f"more than {MOST_CHAINED} services extend each other", link.place)
        other = link.string or link.text("service")
        path = link.text("file")
        where, among = file, services
        if path:
            where = _beside(file, path)
            top = self._top(where, link.place)
            among = top.get("services") or Node({}, top.place)
        base = among.get(other)
        if base is None:
            message = (
                f"service {_shown(name)} extends {_shown(other or 'nothing')}, which {_shown(where)} does not have"
            )
            raise NotCompose(message, link.place)
        base = self._service(where, among, other, base, (*chain, (file, name)))
        result = self._merged(base, service)
        if isinstance(result.value, dict):
            result.value.pop("extends", None)
        self._services[file, name] = result
        return result

    def _merged(self, base: Node, over: Node, key: str = "") -> Node:
        """`over` laid over `base`; both stay as they are."""
        self._spend(1, over.place)
        if over.tag == _RESET:
            return Node(None, over.place)
        if over.tag == _OVERRIDE or over.value is None:
            return over if over.tag == _OVERRIDE else base
        if isinstance(base.value, dict) and isinstance(over.value, dict):
            self._spend(len(base.value), over.place)
            value = dict(base.value)
            for name, node in over.items():
                value[name] = self._merged(value[name], node, name) if name in value else node
            return _Merged(value, base, over)
        if isinstance(base.value, list) and isinstance(over.value, list) and key not in _REPLACED:
            self._spend(len(base.value) + len(over.value), over.place)
            return Node(_continued(base.value, over.value, key), over.place, over.last)
        return over


def _shown(text: str) -> str:
    return printable(text, 200)


def _beside(file: str, path: str) -> str:
    return os.path.normpath(os.path.join(os.path.dirname(file), path))


def _checked(root: Node) -> Node:
    """The tree of a file, if it is one that Compose could mean. Nothing of a file that is none is quoted."""
    if root.value is None:
        raise NotCompose("it is empty", root.place)
    if not isinstance(root.value, dict):
        hint = " (an Ansible playbook is one)" if isinstance(root.value, list) else ""
        raise NotCompose(f"it holds {root.shape}{hint}, not a mapping with the key services", root.place)
    if not any(key in root.value for key in ("services", "include", "networks")):
        hint = (
            ", but apiVersion, kind (a Kubernetes manifest has those)"
            if {"apiVersion", "kind"} <= set(root.value)
            else ""
        )
        raise NotCompose(f"it has no services{hint}", root.place)
    for key in root.value:
        if key not in TOP and not key.startswith("x-"):
            named = repr(_shown(key)) if _has_services(root) else "key of this line"
            raise NotCompose(f"Compose knows no {named} at the top of a file", root.at(key))
    for section in ("services", "networks", "volumes"):
        node = root.get(section)
        if node is not None and not isinstance(node.value, dict):
            raise NotCompose(f"{section} is {node.shape}, not a mapping by name", root.at(section))
    for name, service, place in root.members("services"):
        if not isinstance(service.value, dict):
            raise NotCompose(f"service {_shown(name)} is {service.shape}, not a mapping", place)
    for key, node in root.items():
        # What nothing refers to is never walked through.
        if key.startswith("x-"):
            continue
        if node.size > MOST_UNFOLDED:
            raise NotCompose(f"the aliases in {key} stand for more than {MOST_UNFOLDED:,} values", root.at(key))
        if node.height > MOST_NESTED:
            raise NotCompose(f"the aliases in {key} are nested more than {MOST_NESTED} deep", root.at(key))
    return root


def _has_services(root: Node) -> bool:
    """Whether a file is one of Compose apart from something at its top."""
    services = root.get("services")
    return services is not None and all(isinstance(node.value, dict) for _name, node in services.items())


def _canonical(root: Node) -> Node:
    """A copy in which lists that stand for mappings are mappings."""
    value = dict(root.items())
    for section in ("services", "networks"):
        node = root.get(section)
        if node is not None:
            members = {name: _canonical_part(member) for name, member in node.items()}
            value[section] = Node(members, node.place, node.last, node.keys, node.tag)
    return Node(value, root.place, root.last, root.keys)


def _canonical_part(node: Node) -> Node:
    if not isinstance(node.value, dict):
        return node
    value = {}
    for key, item in node.items():
        if key in _PAIRS or key in _NAMES:
            item = _as_mapping(item, key in _PAIRS)
        elif key in ("deploy", "build"):
            item = _canonical_part(item)
        value[key] = item
    return Node(value, node.place, node.last, node.keys, node.tag)


def _as_mapping(node: Node, pairs: bool) -> Node:
    if not isinstance(node.value, list):
        return node
    value: dict[str, Node] = {}
    keys: dict[str, int] = {}
    for item in node.value:
        if not isinstance(item.value, str):
            continue
        key, equals, text = item.value.partition("=") if pairs else (item.value, "", "")
        value[key] = Node(text if equals else None, item.place, item.last, unset=item.unset)
        keys[key] = item.place.line
    return Node(value, node.place, node.last, keys, node.tag)


def _continued(first: list[Node], second: list[Node], key: str) -> list[Node]:
    """One list after the other; a volume replaces the one that is mounted at the same place."""
    if key == "volumes":
        targets = {volume_target(node) for node in second}
        first = [node for node in first if volume_target(node) not in targets]
    known = set(map(id, first))
    return first + [node for node in second if id(node) not in known]


def volume_target(node: Node) -> str:
    """Where a volume is mounted, in the short or the long syntax."""
    if isinstance(node.value, dict):
        return node.text("target")
    parts = node.string.split(":")
    return parts[1] if len(parts) > 1 else parts[0]


class _Merged(Node):
    """A mapping of two files: a section is where it began, everything else where it was written last."""

    __slots__ = ("_places",)

    def __init__(self, value: dict[str, Node], base: Node, over: Node) -> None:
        super().__init__(value, base.place, base.last, {**over.keys, **base.keys})
        self._places = {name: base.at(name) for name in base.keys}
        for name in over.keys:
            if name in value and (name not in self._places or not isinstance(value[name].value, dict)):
                self._places[name] = over.at(name)

    def at(self, key: str) -> Place:
        return self._places.get(key, self.place)
