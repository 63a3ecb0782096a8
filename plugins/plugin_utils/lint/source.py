# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A YAML file as a tree that knows its lines, with its variables replaced.

Scalars stay the texts that they are written as: what YAML 1.1 makes of `22:22` (a number of base 60) or of `on`, no
Compose does.
"""

from __future__ import annotations

import traceback

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.errors import Failure
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Place
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.interpolate import interpolate

try:
    import yaml

    YAML_TRACEBACK = None
except ImportError:
    YAML_TRACEBACK = traceback.format_exc()

_MERGE_TAG = "tag:yaml.org,2002:merge"
_NULL_TAG = "tag:yaml.org,2002:null"


class YamlMissing(Failure):
    """PyYAML is not where the files are read; it always is beside Ansible itself."""

    def __init__(self):
        super().__init__(missing_required_lib("PyYAML"))

    def report(self):
        return {"msg": str(self), "exception": YAML_TRACEBACK}


class NotCompose(Exception):
    """A file that cannot be read as a Compose file; `place` is where it stops being one."""

    def __init__(self, message, place):
        super().__init__(message)
        self.place = place


class Node:
    """A value: a text, None, {key: Node} or [Node]. keys: {key: line}; last: its last line; tag: !reset, !override."""

    __slots__ = ("value", "place", "last", "keys", "tag")

    def __init__(self, value, place, last=None, keys=None, tag=""):
        self.value = value
        self.place = place
        self.last = place.line if last is None else last
        self.keys = keys or {}
        self.tag = tag

    def get(self, key):
        """The Node at a key of a mapping that is not null; None for everything else."""
        found = self.value.get(key) if isinstance(self.value, dict) else None
        return None if found is None or found.value is None else found

    def items(self):
        """(key, Node) of a mapping, nothing for everything else."""
        return self.value.items() if isinstance(self.value, dict) else ()

    def each(self):
        """The Nodes of a list; a single value counts as a list of one."""
        if isinstance(self.value, list):
            return self.value
        return [self] if isinstance(self.value, str) else []

    def at(self, key):
        """The place of a key."""
        return Place(self.place.file, self.keys.get(key, self.place.line))

    def text(self, key, default=""):
        """The text at a key."""
        found = self.get(key)
        return found.value if found is not None and isinstance(found.value, str) else default

    def flag(self, key):
        """True or false at a key; None where there is neither."""
        value = self.text(key).lower()
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(value)

    @property
    def shape(self):
        """What a message calls it."""
        kinds = {dict: "a mapping", list: "a list", str: "a text"}
        return kinds.get(type(self.value), "nothing")


class Source:
    """One file: `root` is its tree, `extents` {line: last line of the key or item that begins there}, `comments` what follows a #.

    unset: {variable: where it is first used} of those that have no value; duplicates: (key, Place, first line).
    """

    def __init__(self, file, text, environment):
        if YAML_TRACEBACK:
            raise YamlMissing()
        self.file = file
        self.extents = {}
        self.unset = {}
        self.duplicates = []
        self._environment = environment
        self._done = {}
        try:
            self.comments = _comments(text)
            documents = list(yaml.compose_all(text, Loader=yaml.SafeLoader))
        except yaml.YAMLError as error:
            raise NotCompose(*self._trouble(error)) from error
        if len(documents) > 1:
            raise NotCompose(f"it holds {len(documents)} YAML documents", Place(file, documents[1].start_mark.line + 1))
        self.root = self._node(documents[0]) if documents else Node(None, Place(file, 1))

    def _trouble(self, error):
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error)
        return f"it is no YAML ({' '.join(problem.split())})", Place(self.file, mark.line + 1 if mark else 1)

    def _node(self, raw):
        """The Node of one of PyYAML's; an alias gives the very Node of its anchor."""
        if id(raw) in self._done:
            if self._done[id(raw)] is None:
                raise NotCompose("an anchor holds itself", Place(self.file, raw.start_mark.line + 1))
            return self._done[id(raw)][0]
        self._done[id(raw)] = None
        place = Place(self.file, raw.start_mark.line + 1)
        if isinstance(raw, yaml.MappingNode):
            node = self._mapping(raw, place)
        elif isinstance(raw, yaml.SequenceNode):
            items = [self._node(item) for item in raw.value]
            for item in items:
                self._extend(item.place.line, item.last)
            node = Node(items, place, max([place.line] + [item.last for item in items]), tag=raw.tag)
        else:
            node = Node(self._scalar(raw, place), place, raw.end_mark.line + 1, tag=raw.tag)
        self._done[id(raw)] = (node, raw)  # the raw one is kept, so that its id stays its own
        return node

    def _scalar(self, raw, place):
        if raw.tag == _NULL_TAG:
            return None
        unset = set()
        value = interpolate(raw.value, self._environment, unset)
        for name in sorted(unset):
            self.unset.setdefault(name, place)
        return value

    def _mapping(self, raw, place):
        own, keys, merged = {}, {}, []
        for key, value in raw.value:
            line = key.start_mark.line + 1
            node = self._node(value)
            self._extend(line, node.last)
            if key.tag == _MERGE_TAG:
                merged += node.value if isinstance(node.value, list) else [node]
                continue
            name = key.value if isinstance(key, yaml.ScalarNode) else str(key.value)
            if name in own:
                self.duplicates.append((name, Place(self.file, line), keys[name]))
            own[name], keys[name] = node, line
        last = max([place.line] + [max(keys[name], own[name].last) for name in own])
        # What stands first in a merge wins over what follows, and the mapping's own keys win over all.
        for node in merged:
            for name, value in node.items():
                own.setdefault(name, value)
                keys.setdefault(name, node.keys[name])
        return Node(own, place, last, keys, raw.tag)

    def _extend(self, line, last):
        self.extents[line] = max(self.extents.get(line, line), last)


def _comments(text):
    """[(line, whether it has the line for itself, text)] of the comments that speak to us; a # in a text is none."""
    lines = text.splitlines()
    candidates = [number for number, line in enumerate(lines) if "#" in line and "bulkhead:" in line]
    if not candidates:
        return []
    inside = [
        ((token.start_mark.line, token.start_mark.column), (token.end_mark.line, token.end_mark.column))
        for token in yaml.scan(text, Loader=yaml.SafeLoader)
        if isinstance(token, yaml.ScalarToken)
    ]
    found = []
    for number in candidates:
        line = lines[number]
        column = line.find("#")
        while column >= 0 and (
            (column and not line[column - 1].isspace())
            or any(first <= (number, column) < last for first, last in inside)
        ):
            column = line.find("#", column + 1)
        if column >= 0:
            found.append((number + 1, not line[:column].strip(), line[column + 1 :].strip()))
    return found
