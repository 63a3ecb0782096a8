# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Several files as one: -f a -f b, `include` and `extends`, by the rules of the Compose specification (13-merge.md)."""

from __future__ import annotations

import os

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Place
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.source import Node, NotCompose, Source

#: What a Compose file may hold at its top, beside x-*.
TOP = ("version", "name", "include", "services", "networks", "volumes", "configs", "secrets", "models")

#: Lists of KEY=VALUE, and lists of names, that stand for mappings.
_PAIRS = ("environment", "labels", "annotations", "sysctls")
_NAMES = ("networks", "depends_on")
#: Lists that a later file replaces; every other list is continued.
_REPLACED = ("command", "entrypoint", "test")

_RESET, _OVERRIDE = "!reset", "!override"


class Tree:
    """The files of one stack, read and merged. `root` is the whole, `sources` every file that took part in it."""

    def __init__(self, files, environment, read):
        """files: paths; read: path -> text, which raises OSError or UnicodeDecodeError."""
        self.sources = {}
        self._environment = environment
        self._read = read
        self.root = None
        for file in files:
            top = self._file(file, ())
            self.root = top if self.root is None else merged(self.root, top)

    def _file(self, file, chain):
        """One file with what it includes and extends."""
        if file in chain:
            raise NotCompose(f"{' -> '.join(chain)} includes itself", Place(chain[-1], 1))
        root = _canonical(_checked(self._source(file).root))
        root = self._extended(file, root, chain)
        included = root.value.pop("include", None)
        for item in included.each() if included else ():
            paths = [item] if isinstance(item.value, str) else item.get("path").each() if item.get("path") else []
            part = None
            for path in paths:
                one = self._file(_beside(file, path.value), chain + (file,))
                part = one if part is None else merged(part, one)
            if part is not None:
                root = merged(part, root)
        return root

    def _source(self, file):
        if file not in self.sources:
            try:
                text = self._read(file)
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
                raise NotCompose(f"it cannot be read ({reason})", Place(file, 1)) from error
            self.sources[file] = Source(file, text, self._environment)
        return self.sources[file]

    def _extended(self, file, root, chain):
        services = root.get("services")
        for name, service in list(services.items()) if services else ():
            services.value[name] = self._service(file, services, name, service, ())
        return root

    def _service(self, file, services, name, service, chain):
        """The service laid over what it extends."""
        link = service.get("extends")
        if link is None:
            return service
        if (file, name) in chain:
            raise NotCompose(f"service {name} extends itself", link.place)
        other = link.value if isinstance(link.value, str) else link.text("service")
        path = "" if isinstance(link.value, str) else link.text("file")
        where, among = file, services
        if path:
            where = _beside(file, path)
            top = _canonical(_checked(self._source(where).root))
            among = top.get("services") or Node({}, top.place)
        base = among.get(other)
        if base is None:
            raise NotCompose(f"service {name} extends {other or 'nothing'}, which {where} does not have", link.place)
        base = self._service(where, among, other, base, chain + ((file, name),))
        result = merged(base, service)
        result.value.pop("extends", None)
        return result


def _beside(file, path):
    return os.path.normpath(os.path.join(os.path.dirname(file), path))


def _checked(root):
    """The tree of a file, if it is one that Compose could mean."""
    if root.value is None:
        raise NotCompose("it is empty", root.place)
    if not isinstance(root.value, dict):
        hint = " (an Ansible playbook is one)" if isinstance(root.value, list) else ""
        raise NotCompose(f"it holds {root.shape}{hint}, not a mapping with the key services", root.place)
    if not any(key in root.value for key in ("services", "include", "networks")):
        keys = ", ".join(list(root.value)[:5]) or "no key at all"
        kind = " (a Kubernetes manifest has those)" if {"apiVersion", "kind"} <= set(root.value) else ""
        raise NotCompose(f"it has no services, but {keys}{kind}", root.place)
    for key in root.value:
        if key not in TOP and not key.startswith("x-"):
            raise NotCompose(f"Compose knows no {key!r} at the top of a file", root.at(key))
    for section in ("services", "networks", "volumes"):
        node = root.get(section)
        if node is not None and not isinstance(node.value, dict):
            raise NotCompose(f"{section} is {node.shape}, not a mapping by name", root.at(section))
    services = root.get("services")
    for name, service in services.items() if services else ():
        if not isinstance(service.value, dict):
            raise NotCompose(f"service {name} is {service.shape}, not a mapping", services.at(name))
    return root


def _canonical(root):
    """A copy in which lists that stand for mappings are mappings."""
    value = dict(root.value)
    for section in ("services", "networks"):
        node = root.get(section)
        if node is not None:
            members = {name: _canonical_part(member) for name, member in node.items()}
            value[section] = Node(members, node.place, node.last, node.keys)
    return Node(value, root.place, root.last, root.keys)


def _canonical_part(node):
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


def _as_mapping(node, pairs):
    if not isinstance(node.value, list):
        return node
    value, keys = {}, {}
    for item in node.value:
        if not isinstance(item.value, str):
            continue
        key, equals, text = item.value.partition("=") if pairs else (item.value, "", "")
        value[key] = Node(text if equals else None, item.place, item.last)
        keys[key] = item.place.line
    return Node(value, node.place, node.last, keys, node.tag)


def merged(base, over, key=""):
    """`over` laid over `base`; both stay as they are."""
    if over.tag == _RESET:
        return Node(None, over.place)
    if over.tag == _OVERRIDE or over.value is None:
        return over if over.tag == _OVERRIDE else base
    if isinstance(base.value, dict) and isinstance(over.value, dict):
        value = dict(base.value)
        for name, node in over.items():
            value[name] = merged(value[name], node, name) if name in value else node
        return _Merged(value, base, over)
    if isinstance(base.value, list) and isinstance(over.value, list) and key not in _REPLACED:
        return Node(_continued(base.value, over.value, key), over.place, over.last)
    return over


def _continued(first, second, key):
    """One list after the other; a volume replaces the one that is mounted at the same place."""
    if key == "volumes":
        targets = {volume_target(node) for node in second}
        first = [node for node in first if volume_target(node) not in targets]
    return first + [node for node in second if node not in first]


def volume_target(node):
    """Where a volume is mounted, in the short or the long syntax."""
    if isinstance(node.value, dict):
        return node.text("target")
    parts = (node.value or "").split(":")
    return parts[1] if len(parts) > 1 else parts[0]


class _Merged(Node):
    """A mapping of two files: a section is where it began, everything else where it was written last."""

    __slots__ = ("_places",)

    def __init__(self, value, base, over):
        super().__init__(value, base.place, base.last, {**over.keys, **base.keys})
        self._places = {name: base.at(name) for name in base.keys}
        for name in over.keys:
            if name not in self._places or not isinstance(value[name].value, dict):
                self._places[name] = over.at(name)

    def at(self, key):
        return self._places.get(key, self.place)
