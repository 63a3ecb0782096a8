# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A YAML file as a tree that knows its lines, with its variables replaced.

Scalars stay the texts that they are written as: what YAML 1.1 makes of `22:22` (a number of base 60) or of `on`, no
Compose does. The tree is made from the parser's events without recursion, and is bounded: files come from anywhere.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Optional, Union

import yaml

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import NOWHERE, Place, Text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.lint.interpolate import Excessive, interpolate

#: libyaml's parser where PyYAML was built with it: a file of 1,000 services takes a tenth of the time.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

#: Mappings and lists within each other, aliases followed.
MOST_NESTED = 100
#: Of one file, each alias as one.
MOST_NODES = 100_000
#: Of what a stack is made of, each alias as all that its anchor holds.
MOST_UNFOLDED = 1_000_000
#: Comments that waive, of one file.
MOST_WAIVERS = 1_000

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_NULL_TAG = "tag:yaml.org,2002:null"
_MERGE = "<<"

#: What PyYAML's own messages say stays out: they quote the file.
_TROUBLES = {
    "ReaderError": "a character that YAML does not allow",
    "ScannerError": "a sign or an indentation that YAML does not allow there",
    "ParserError": "a list or mapping that is not complete or has something else in it",
}

#: After every place of a file.
_BEHIND = (1 << 62, 0)

_FLAGS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class NotCompose(Exception):
    """A file that cannot be read as a Compose file; `place` is where it stops being one, `fix` what to do."""

    def __init__(self, message: str, place: Place, fix: str = "correct the file, or name another one") -> None:
        super().__init__(message)
        self.place = place
        self.fix = fix


class Node:
    """A value of a file: a mapping {key: Node}, a list of Nodes, a text or None; where it begins, and its last line.

    keys: {key: line}. tag: !reset, !override. unset: whether a variable without a value is in the text. size, height:
    how many nodes it holds and how deep, itself and what aliases stand for among them.
    """

    __slots__ = ("value", "place", "last", "keys", "tag", "unset", "size", "height")

    def __init__(
        self,
        value: Union[dict[str, Node], list[Node], str, None],
        place: Place,
        last: Optional[int] = None,
        keys: Optional[dict[str, int]] = None,
        tag: str = "",
        unset: bool = False,
    ) -> None:
        self.value = value
        self.place = place
        self.last = place.line if last is None else last
        self.keys = keys or {}
        self.tag = tag
        self.unset = unset
        within: Iterable[Node] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        # Capped, for aliases of aliases make numbers of thousands of digits.
        self.size: int = min(1 + sum(node.size for node in within), MOST_UNFOLDED + 1)
        self.height: int = min(1 + max((node.height for node in within), default=0), MOST_NESTED + 1)

    def get(self, key: str) -> Optional[Node]:
        """The Node at a key of a mapping that is not null; None for everything else."""
        found = self.value.get(key) if isinstance(self.value, dict) else None
        return None if found is None or found.value is None else found

    def items(self) -> Iterable[tuple[str, Node]]:
        """(key, Node) of a mapping, nothing for everything else."""
        return self.value.items() if isinstance(self.value, dict) else ()

    def members(self, key: str) -> Iterator[tuple[str, Node, Place]]:
        """(key, Node, place of the key) of the mapping at a key."""
        found = self.get(key)
        if found is not None:
            for name, node in found.items():
                yield name, node, found.at(name)

    def each(self, key: str) -> list[Node]:
        """The Nodes of the list at a key; a text counts as a list of one."""
        found = self.get(key)
        if found is None:
            return []
        return found.value if isinstance(found.value, list) else [found] if isinstance(found.value, str) else []

    def at(self, key: str) -> Place:
        """The place of a key."""
        return Place(self.place.file, self.keys.get(key, self.place.line))

    @property
    def string(self) -> str:
        """The text; "" for everything else."""
        return self.value if isinstance(self.value, str) else ""

    def text(self, key: str) -> str:
        """The text at a key; "" for everything else."""
        found = self.get(key)
        return found.string if found is not None else ""

    def placed(self, key: str) -> Text:
        """The text at a key, with its place."""
        found = self.get(key)
        return Text(found.string, self.at(key), found.unset) if found is not None else Text("", NOWHERE)

    def flag(self, key: str) -> Optional[bool]:
        """True or false at a key; None where there is neither."""
        return _FLAGS.get(self.text(key).lower())

    @property
    def shape(self) -> str:
        """What a message calls it."""
        return shape(self.value)


def shape(value: object) -> str:
    """The word of a message for a mapping, a list, a text or nothing."""
    kinds: dict[type, str] = {dict: "a mapping", list: "a list", str: "a text"}
    return kinds.get(type(value), "nothing")


def _start(event: yaml.Event) -> tuple[int, int]:
    """(line, column) from 0."""
    return (event.start_mark.line, event.start_mark.column) if event.start_mark else (0, 0)


def _end(event: yaml.Event) -> tuple[int, int]:
    return (event.end_mark.line, event.end_mark.column) if event.end_mark else (0, 0)


class _Open:
    """A mapping or a list whose end has not come yet."""

    __slots__ = ("mapping", "place", "tag", "anchor", "items", "own", "keys", "merged", "key", "line", "merging")

    def __init__(self, mapping: bool, place: Place, tag: str, anchor: Optional[str]) -> None:
        self.mapping, self.place, self.tag, self.anchor = mapping, place, tag, anchor
        self.items: list[Node] = []
        self.own: dict[str, Node] = {}
        self.keys: dict[str, int] = {}
        self.merged: list[Node] = []
        #: The key whose value comes next; None where a key comes next.
        self.key: Optional[str] = None
        self.line = place.line
        self.merging = False


class Source:
    """One file: `root` is its tree, `extents` {line: last line of the key or item that begins there}.

    comments: (line, whether it has the line for itself, text) of what follows a # and speaks to us. unset: {variable:
    where it is first used} of those that have no value; duplicates: (key, Place, first line).
    """

    def __init__(self, file: str, text: str, environment: Mapping[str, str]) -> None:
        """Raises NotCompose."""
        self.file = file
        self.extents: dict[int, int] = {}
        self.unset: dict[str, Place] = {}
        self.duplicates: list[tuple[str, Place, int]] = []
        self._environment = environment
        #: An anchor whose mapping or list has not ended yet has its Place here.
        self._anchors: dict[str, Union[Node, Place]] = {}
        self._spans: list[tuple[tuple[int, int], tuple[int, int]]] = []
        self._count = 0
        try:
            self.root = self._read(yaml.parse(text, Loader=LOADER))
        except yaml.YAMLError as error:
            raise self._trouble(error, text) from error
        self.comments = list(self._comments(text))

    def _trouble(self, error: yaml.YAMLError, text: str) -> NotCompose:
        """Where it is no YAML, and of what kind the trouble is; not a word of the file."""
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        position = getattr(error, "position", None)
        if mark is None and isinstance(position, int):
            # libyaml counts bytes, PyYAML's own reader characters.
            before = (
                text.encode()[:position].decode(errors="replace") if LOADER is not yaml.SafeLoader else text[:position]
            )
            line, column = before.count("\n") + 1, position - before.rfind("\n")
        kind = _TROUBLES.get(type(error).__name__, "something that YAML does not allow")
        return NotCompose(f"it is no YAML (line {line}, column {column}: {kind})", Place(self.file, line))

    def _place(self, event: yaml.Event) -> Place:
        return Place(self.file, _start(event)[0] + 1)

    def _read(self, events: Iterator[yaml.Event]) -> Node:
        root: Optional[Node] = None
        documents: list[Place] = []
        opened: list[_Open] = []
        for event in events:
            node: Optional[Node] = None
            if isinstance(event, yaml.ScalarEvent):
                node = self._scalar(event, bool(opened) and opened[-1].mapping and opened[-1].key is None)
            elif isinstance(event, yaml.AliasEvent):
                node = self._alias(event)
            elif isinstance(event, yaml.CollectionStartEvent):
                self._start(event, opened)
            elif isinstance(event, yaml.CollectionEndEvent):
                node = self._end(opened.pop())
            elif isinstance(event, yaml.DocumentStartEvent):
                documents.append(Place(self.file, _end(event)[0] + 1 + bool(event.explicit)))
                self._anchors.clear()
            if node is None:
                continue
            if opened:
                self._add(opened[-1], node, event)
            elif len(documents) == 1:
                root = node
        if len(documents) > 1:
            raise NotCompose(f"it holds {len(documents)} YAML documents", documents[1])
        return root or Node(None, Place(self.file, 1))

    def _counted(self, place: Place) -> None:
        self._count += 1
        if self._count > MOST_NODES:
            raise NotCompose(f"it holds more than {MOST_NODES:,} values", place)

    def _start(self, event: yaml.CollectionStartEvent, opened: list[_Open]) -> None:
        place = self._place(event)
        self._counted(place)
        if len(opened) >= MOST_NESTED:
            raise NotCompose(f"it is nested more than {MOST_NESTED} deep", place)
        if opened and opened[-1].mapping and opened[-1].key is None:
            raise NotCompose("a key is a mapping or a list, not a text (a template in braces needs quotes)", place)
        if event.anchor:
            self._anchors[event.anchor] = place
        opened.append(_Open(isinstance(event, yaml.MappingStartEvent), place, event.tag or "", event.anchor))

    def _end(self, done: _Open) -> Node:
        node = self._mapping(done) if done.mapping else self._list(done)
        if done.anchor:
            self._anchors[done.anchor] = node
        return node

    def _list(self, done: _Open) -> Node:
        last = max([done.place.line, *(item.last for item in done.items)])
        return Node(done.items, done.place, last, tag=done.tag)

    def _mapping(self, done: _Open) -> Node:
        own, keys = done.own, done.keys
        last = max([done.place.line, *(max(keys[name], own[name].last) for name in own)])
        # What stands first in a merge wins over what follows, and the mapping's own keys win over all.
        for node in done.merged:
            for name, value in node.items():
                own.setdefault(name, value)
                keys.setdefault(name, node.keys[name])
        return Node(own, done.place, last, keys, done.tag)

    def _scalar(self, event: yaml.ScalarEvent, is_key: bool) -> Node:
        place = self._place(event)
        self._counted(place)
        end = _end(event)
        self._spans.append((_start(event), end))
        value: Optional[str] = event.value
        unset: set[str] = set()
        if not is_key:
            if event.tag == _NULL_TAG or (event.implicit[0] and event.value in _NULLS):
                value = None
            else:
                try:
                    value = interpolate(event.value, self._environment, unset)
                except Excessive as error:
                    raise NotCompose(str(error), place) from error
            for name in sorted(unset):
                self.unset.setdefault(name, place)
        node = Node(value, place, end[0] + 1, tag=event.tag or "", unset=bool(unset))
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent) -> Node:
        """The very Node of its anchor."""
        self._counted(self._place(event))
        if event.anchor not in self._anchors:
            raise NotCompose("it is no YAML (an alias without its anchor)", self._place(event))
        node = self._anchors[event.anchor]
        if isinstance(node, Place):
            raise NotCompose("an anchor holds itself", node)
        return node

    def _add(self, parent: _Open, node: Node, event: yaml.Event) -> None:
        """A finished node to the mapping or list that it stands in."""
        if not parent.mapping:
            self._extend(node.place.line, node.last)
            parent.items.append(node)
        elif parent.key is None:
            if not isinstance(node.value, str):
                raise NotCompose("a key is a mapping or a list, not a text", self._place(event))
            parent.key, parent.line = node.value, _start(event)[0] + 1
            parent.merging = isinstance(event, yaml.ScalarEvent) and event.implicit[0] and node.value == _MERGE
        else:
            self._extend(parent.line, node.last)
            if parent.merging:
                parent.merged += self._merged(node, parent.line)
            else:
                if parent.key in parent.own:
                    place = Place(self.file, parent.line)
                    self.duplicates.append((parent.key, place, parent.keys[parent.key]))
                parent.own[parent.key], parent.keys[parent.key] = node, parent.line
            parent.key = None

    def _merged(self, node: Node, line: int) -> list[Node]:
        nodes = node.value if isinstance(node.value, list) else [node]
        for item in nodes:
            if not isinstance(item.value, dict):
                raise NotCompose(f"{_MERGE} merges {item.shape}, not a mapping", Place(self.file, line))
            self._count += len(item.value)
        self._counted(node.place)
        return nodes

    def _extend(self, line: int, last: int) -> None:
        self.extents[line] = max(self.extents.get(line, line), last)

    def _comments(self, text: str) -> Iterator[tuple[int, bool, str]]:
        """The comments that speak to us; a # in a text is none."""
        count = 0
        for number, line in enumerate(text.splitlines()):
            if "#" not in line or "bulkhead:" not in line:
                continue
            column = self._comment(number, line)
            if column >= 0:
                count += 1
                if count > MOST_WAIVERS:
                    raise NotCompose(f"it holds more than {MOST_WAIVERS:,} waivers", Place(self.file, number + 1))
                yield number + 1, not line[:column].strip(), line[column + 1 :].strip()

    def _comment(self, number: int, line: str) -> int:
        """The column where the comment of a line begins, -1 where it has none."""
        column = line.find("#")
        while column >= 0:
            index = bisect_right(self._spans, ((number, column), _BEHIND)) - 1
            inside = index >= 0 and self._spans[index][0] <= (number, column) < self._spans[index][1]
            if not inside and (not column or line[column - 1].isspace()):
                return column
            column = line.find("#", column + 1)
        return -1
