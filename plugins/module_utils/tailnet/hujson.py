# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""HuJSON: JSON with // and /* */ comments and trailing commas, read so that it can be changed and written back.

A tree keeps every character between the values. ``edited`` makes the tree of another value, in which all that is equal
stays as it was written, comments and layout with it; what is new is written like its neighbours.

Duplicate keys are refused: a reader that took the first of two and a server that took the last would disagree about who
is let in.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: Characters of a document. A policy of 500 rules has about 100,000.
LARGEST = 2_000_000
#: Levels of a document. A policy has 6.
DEEPEST = 40
#: Characters of a number: more is no number that a policy has, and takes long to read.
LONGEST_NUMBER = 40
INDENT = "  "
BLANK = " \t\r\n"
PLAIN = frozenset("0123456789+-.eE")
WORDS = {"true": True, "false": False, "null": None}


@dataclass(frozen=True)
class Item:
    """One entry of a list or mapping, with the remarks that are its own.

    lead: what stands above and before it. tail: what stands before its comma; after: what stands behind it on its line.
    key: the raw text of a member's key; between: what stands from there to its value. Both are empty in a list.
    """

    node: Node
    lead: str = ""
    tail: str = ""
    after: str = ""
    key: str = ""
    between: str = ""

    @property
    def name(self) -> str:
        return str(json.loads(self.key))


@dataclass(frozen=True)
class Node:
    """A value: ``raw`` of a text, number or word; the items of a list ("[") or of a mapping ("{").

    end: what stands before the closing bracket. comma: whether the last item has one.
    """

    bracket: str = ""
    raw: str = ""
    items: tuple[Item, ...] = ()
    end: str = ""
    comma: bool = False

    def plain(self) -> Any:
        """The value as Python has it."""
        if self.bracket == "{":
            return {item.name: item.node.plain() for item in self.items}
        if self.bracket == "[":
            return [item.node.plain() for item in self.items]
        return json.loads(self.raw)

    def __str__(self) -> str:
        if not self.bracket:
            return self.raw
        text = self.bracket
        for index, item in enumerate(self.items):
            comma = "," if self.comma or index + 1 < len(self.items) else ""
            text = _beneath(text, f"{item.lead}{item.key}{item.between}{item.node}{item.tail}{comma}{item.after}")
        return _beneath(text, self.end + ("}" if self.bracket == "{" else "]"))


@dataclass(frozen=True)
class Tree:
    """A whole document: a value, and what stands before and after it."""

    node: Node
    before: str = ""
    after: str = "\n"

    def plain(self) -> Any:
        return self.node.plain()

    def member(self, name: str) -> Optional[Item]:
        """The member of the outermost mapping with this name."""
        return next((item for item in self.node.items if item.key and item.name == name), None)

    def with_member(self, item: Item) -> Tree:
        """The tree with a member of another one at its end, as it is written there."""
        items = (
            *self.node.items,
            replace(item, lead=item.lead if "\n" in item.lead else f"\n{INDENT}{item.lead.strip(BLANK)}"),
        )
        return replace(
            self,
            node=replace(self.node, items=items, end=self.node.end if "\n" in self.node.end else f"{self.node.end}\n"),
        )

    def edited(self, wanted: Any) -> Tree:
        """The tree of another value, with as much of this text as is still true."""
        return replace(self, node=_edited(self.node, wanted, ""))

    def __str__(self) -> str:
        return f"{self.before}{self.node}{self.after}"


def parse(text: str, root: str = "text") -> Tree:
    """The tree of a document; ``Refused`` with line and column of the first thing that is no HuJSON.

    root: what the document is called in the message.
    """
    return _Parser(text, root).document()


def tree_of(plain: Any) -> Tree:
    """A tree for a value that no text stands for yet."""
    return Tree(_new(plain, ""))


def same(one: Any, other: Any) -> bool:
    """Whether two plain values are the same in JSON, where true is not 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


class _Parser:
    def __init__(self, text: str, root: str) -> None:
        self.text = text
        self.root = root
        self.at = 0
        if len(text) > LARGEST:
            raise self._wrong(0, f"{len(text)} characters", f"at most {LARGEST}", "leave out what is no policy")

    def document(self) -> Tree:
        before = self._gap()
        node = self._value(0)
        after = self._gap()
        if self.at < len(self.text):
            raise self._wrong(
                self.at, self._here(), "the end of the document", "remove what follows the closing bracket"
            )
        return Tree(node, before, after)

    def _value(self, depth: int) -> Node:
        char = self.text[self.at : self.at + 1]
        if char in ("{", "["):
            if depth >= DEEPEST:
                raise self._wrong(self.at, f"level {depth + 1}", f"at most {DEEPEST} levels", "nest less")
            return self._container(char, depth)
        if char == '"':
            return Node(raw=self._string())
        start = self.at
        while self.at < len(self.text) and (self.text[self.at] in PLAIN or self.text[self.at].isalpha()):
            self.at += 1
        raw = self.text[start : self.at]
        if raw in WORDS or self._is_number(raw):
            return Node(raw=raw)
        self.at = start
        raise self._wrong(
            start, raw or self._here(), "a value", 'write a text in ", a number, true, false, null, [ or {'
        )

    @staticmethod
    def _is_number(raw: str) -> bool:
        if not raw or len(raw) > LONGEST_NUMBER or not set(raw) <= PLAIN:
            return False
        try:
            return json.loads(raw) not in (float("inf"), float("-inf"))
        except ValueError:
            return False

    def _container(self, bracket: str, depth: int) -> Node:
        closing = "}" if bracket == "{" else "]"
        self.at += 1
        items: list[Item] = []
        names: set[str] = set()
        comma = False
        while True:
            after, lead = _parted(self._gap()) if items else ("", self._gap())
            if items:
                items[-1] = replace(items[-1], after=after)
            if self.text[self.at : self.at + 1] == closing:
                self.at += 1
                return Node(bracket, "", tuple(items), lead, comma)
            if items and not comma:
                raise self._wrong(self.at, self._here(), f"a comma or {closing}", "put a comma between two entries")
            item = self._member(lead, names, depth) if bracket == "{" else Item(self._value(depth + 1), lead)
            mark = self.at
            tail = self._gap()
            comma = self.text[self.at : self.at + 1] == ","
            if comma:
                self.at += 1
            else:
                self.at, tail = mark, ""  # it stands before the bracket then
            items.append(replace(item, tail=tail))

    def _member(self, lead: str, names: set[str], depth: int) -> Item:
        start = self.at
        if self.text[start : start + 1] != '"':
            raise self._wrong(start, self._here(), 'a key in "', 'write a key in " and a colon, or close the mapping')
        key = self._string()
        name = str(json.loads(key))
        if name in names:
            raise self._wrong(start, f"{name} a second time", "each key once", "join the two", "duplicate")
        names.add(name)
        first = self._gap()
        if self.text[self.at : self.at + 1] != ":":
            raise self._wrong(self.at, self._here(), "a colon", "put a colon between key and value")
        self.at += 1
        between = f"{first}:{self._gap()}"
        return Item(self._value(depth + 1), lead, key=key, between=between)

    def _string(self) -> str:
        start = self.at
        self.at += 1
        while self.at < len(self.text):
            char = self.text[self.at]
            if char == '"':
                self.at += 1
                return self._checked(start, self.text[start : self.at])
            if char < " ":
                raise self._wrong(
                    self.at, self._here(), 'the closing " of a text', "close the text, or write \\n for a line feed"
                )
            self.at += 2 if char == "\\" else 1
        raise self._wrong(start, "the end of the document", 'the closing " of a text', "close the text")

    def _checked(self, start: int, raw: str) -> str:
        """A text whose escapes are those of JSON, and no half of a surrogate pair."""
        try:
            json.loads(raw).encode()
        except ValueError:
            raise self._wrong(start, raw, "a text of JSON", "correct its escapes") from None
        return raw

    def _gap(self) -> str:
        """Blanks and comments from here on."""
        start = self.at
        while self.at < len(self.text):
            if self.text[self.at] in BLANK:
                self.at += 1
            elif self.text.startswith("//", self.at):
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end + 1
            elif self.text.startswith("/*", self.at):
                end = self.text.find("*/", self.at + 2)
                if end < 0:
                    raise self._wrong(self.at, "the end of the document", "*/", "close the comment")
                self.at = end + 2
            else:
                break
        return self.text[start : self.at]

    def _here(self) -> str:
        return self.text[self.at : self.at + 20].split("\n", 1)[0] or (
            "a line feed" if self.at < len(self.text) else "the end of the document"
        )

    def _wrong(self, at: int, got: str, expected: str, remedy: str, kind: str = "hujson") -> Refused:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        path = f"{self.root} line {line}, column {column}"
        return Refused([Mistake(path, printable(got, 80), expected, remedy, kind)])


def _parted(gap: str) -> tuple[str, str]:
    """The rest of a line, with its remarks, and what stands on the lines below. A block's own line feeds part nothing."""
    at = 0
    while at < len(gap):
        if gap[at] == "\n":
            return gap[:at], gap[at:]
        if gap.startswith("/*", at):
            at = gap.index("*/", at + 2) + 2
        elif gap.startswith("//", at):
            end = gap.find("\n", at)
            return (gap, "") if end < 0 else (gap[:end], gap[end:])
        else:
            at += 1
    return (gap, "") if gap.strip(BLANK) else ("", gap)


def _beneath(text: str, more: str) -> str:
    """Both texts, on two lines where the first one ends in a remark to the end of its line."""
    return f"{text}\n{more}" if _ends_in_remark(text) and not more.startswith(("\n", "\r")) else text + more


def _ends_in_remark(text: str) -> bool:
    """Whether the last line of a text that this file put together ends inside of a // remark."""
    line = text.rpartition("\n")[2]
    if "//" not in line:
        return False
    at, inside = 0, ""
    while at < len(line):
        if inside == '"':
            at += 1 if line[at] == "\\" else 0
            inside = "" if line[at : at + 1] == '"' else inside
        elif line.startswith("//", at):
            return True
        elif line.startswith("/*", at):
            end = line.find("*/", at + 2)
            if end < 0:
                return False
            at = end + 1
        elif line[at] == '"':
            inside = '"'
        at += 1
    return False


def _edited(node: Node, wanted: Any, indent: str) -> Node:
    if same(node.plain(), wanted):
        return node
    if node.bracket == "{" and isinstance(wanted, dict):
        return _edited_mapping(node, wanted, indent)
    if node.bracket == "[" and isinstance(wanted, (list, tuple)):
        return _edited_list(node, list(wanted), indent)
    return _new(wanted, indent)


def _edited_mapping(node: Node, wanted: dict[str, Any], indent: str) -> Node:
    inner = _inner(node, indent)
    kept = [
        replace(item, node=_edited(item.node, wanted[item.name], inner)) for item in node.items if item.name in wanted
    ]
    names = {item.name for item in node.items}
    lead = _lead(node, inner)
    for name, value in wanted.items():
        if name not in names:
            kept.append(Item(_new(value, inner), lead, key=_text(name), between=": "))
    return _with(node, kept, indent)


def _edited_list(node: Node, wanted: list[Any], indent: str) -> Node:
    """Entries that are the same stay; where one stands for one, it is edited; the rest goes and comes."""
    inner = _inner(node, indent)
    lead = _lead(node, inner)
    old = [json.dumps(item.node.plain(), sort_keys=True) for item in node.items]
    new = [json.dumps(value, sort_keys=True) for value in wanted]
    kept: list[Item] = []
    for what, first, last, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if what == "equal":
            kept += node.items[first:last]
            continue
        paired = min(last - first, end - start)
        for item, value in zip(node.items[first : first + paired], wanted[start : start + paired]):
            kept.append(replace(item, node=_edited(item.node, value, inner)))
        kept += [Item(_new(value, inner), lead) for value in wanted[start + paired : end]]
    return _with(node, kept, indent)


def _with(node: Node, items: Iterable[Item], indent: str) -> Node:
    """The container with other items; the first one stands where the first one stood."""
    kept = list(items)
    end = node.end
    if not node.items and kept and "\n" not in end:
        end = f"{end}\n{indent}"
    if node.items and kept and not kept[0].lead.strip(BLANK) and "\n" not in node.items[0].lead:
        kept[0] = replace(kept[0], lead=node.items[0].lead if not node.items[0].lead.strip(BLANK) else "")
    return replace(node, items=tuple(kept), end=end, comma=node.comma and bool(kept))


def _lead(node: Node, inner: str) -> str:
    """What stands before a new entry: a line of its own where the others have one."""
    return f"\n{inner}" if not node.items or any("\n" in item.lead for item in node.items) else " "


def _inner(node: Node, indent: str) -> str:
    """The indentation of a container's entries."""
    for item in node.items:
        if "\n" in item.lead:
            line = item.lead.rpartition("\n")[2]
            return line[: len(line) - len(line.lstrip(" \t"))]
    return indent + INDENT


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _new(value: Any, indent: str) -> Node:
    """A value that was not there: lists of plain values on one line, everything else on lines of its own."""
    inner = indent + INDENT
    if isinstance(value, dict) and value:
        members = tuple(
            Item(_new(item, inner), f"\n{inner}", key=_text(name), between=": ") for name, item in value.items()
        )
        return Node("{", "", members, f"\n{indent}", True)
    if isinstance(value, (list, tuple)) and any(isinstance(item, (dict, list, tuple)) for item in value):
        return Node("[", "", tuple(Item(_new(item, inner), f"\n{inner}") for item in value), f"\n{indent}", True)
    if isinstance(value, (list, tuple)):
        return Node(
            "[", "", tuple(Item(Node(raw=_text(item)), " " if index else "") for index, item in enumerate(value))
        )
    return Node("{") if isinstance(value, dict) else Node(raw=_text(value))
