# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Reads the parts of a plain document, and collects what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Optional, TypeVar

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.module_utils.tailnet.grammar import Unusable

T = TypeVar("T")
#: Characters of a wrong value that a message quotes.
QUOTED = 120


class Reader:
    """The mistakes of one document so far.

    root: what its key paths begin with. lacks: keys that this server does not have, and what to do about each.
    """

    def __init__(self, root: str, lacks: Mapping[str, str]) -> None:
        self.root = root
        self.lacks = {key.lower(): remedy for key, remedy in lacks.items()}
        self.mistakes: list[Mistake] = []

    def wrong(self, path: str, got: object, expected: str, remedy: str, kind: str = "syntax") -> None:
        """Notes a mistake. What the document says is made fit for a terminal, keys included."""
        text = "nothing" if got is None else printable(got, QUOTED)
        self.mistakes.append(Mistake(printable(path, 2 * QUOTED), text, expected, printable(remedy, 3 * QUOTED), kind))

    def word(self, parse: Callable[[str], T], text: str, path: str) -> Optional[T]:
        """The text as ``parse`` reads it; None, and noted, where it cannot."""
        try:
            return parse(text)
        except Unusable as error:
            self.wrong(path, text, error.expected, error.remedy, error.kind)
            return None

    def mapping(self, plain: object, path: str) -> dict[str, Any]:
        """A mapping with text keys; empty for null and, noted, for anything else."""
        if plain is None:
            return {}
        if not isinstance(plain, Mapping):
            self.wrong(path, plain, "a mapping", "write it as key and value")
            return {}
        strange = [key for key in plain if not isinstance(key, str)]
        for key in strange:
            self.wrong(path, key, "texts as keys", "put the key in quotes")
        return {str(key): value for key, value in plain.items() if isinstance(key, str)}

    def keyed(self, plain: object, path: str, keys: Iterable[str], more: Iterable[str]) -> dict[str, Any]:
        """A mapping by known keys, whose case both servers ignore. ``more``: other keys are kept where this is not empty."""
        if plain is None:
            self.wrong(path, plain, "a mapping", "write the document")
        known = {key.lower(): key for key in keys}
        found: dict[str, Any] = {}
        for key, value in self.mapping(plain, path).items():
            name = known.get(key.lower(), key)
            if name in found:
                self.wrong(f"{path}.{key}", f"{name} twice", "each key once", "join the two", "duplicate")
            elif key.lower() not in known and not more:
                self._unknown(f"{path}.{key}", key, sorted(known.values()))
            else:
                found[name] = value
        return found

    def _unknown(self, path: str, key: str, known: Iterable[str]) -> None:
        lacking = self.lacks.get(key.lower())
        kind = "unknown" if lacking is None else "unsupported"
        self.wrong(path, key, f"one of {', '.join(known)}", lacking or "correct or drop the key", kind)

    def entries(
        self, plain: object, path: str, keys: Mapping[str, str] | Iterable[str], comments: str = ""
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Each entry of a list of mappings: its path, and the entry by its known keys.

        keys: the known ones, or a mapping of those that are read to their present names. comments: what a key begins
        with that is a remark.
        """
        if plain is None:
            return
        if not isinstance(plain, (list, tuple)):
            self.wrong(path, plain, "a list of mappings", "write it as a list")
            return
        renamed = dict(keys) if isinstance(keys, Mapping) else {key: key for key in keys}
        for index, entry in enumerate(plain):
            where = f"{path}[{index}]"
            if not isinstance(entry, Mapping):
                self.wrong(where, entry, "a mapping", "write the entry as keys and values")
                continue
            kept = {key: value for key, value in entry.items() if not (comments and str(key).startswith(comments))}
            read = self.keyed(kept, where, renamed, ())
            yield where, {renamed[key]: value for key, value in read.items()}

    def texts(self, plain: object, path: str, needed: bool = False) -> tuple[str, ...]:
        """A list of texts; empty for null unless it is needed. What is none is noted and left out."""
        if plain is None and not needed:
            return ()
        if not isinstance(plain, (list, tuple)):
            self.wrong(path, plain, "a list of texts", "write it as a list")
            return ()
        for index, item in enumerate(plain):
            if not isinstance(item, str):
                self.wrong(f"{path}[{index}]", item, "a text", "put it in quotes")
        return tuple(item for item in plain if isinstance(item, str))
