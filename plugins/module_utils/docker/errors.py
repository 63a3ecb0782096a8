# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong, as values that a module turns into one message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.module_utils import mistakes
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: The longest line of a message: names of networks, containers and nodes, and the engine's own words are in it.
LONGEST = 4000


class Failure(Exception):
    """A run that cannot go on. ``report()`` gives the keyword arguments of ``fail_json``."""

    def report(self) -> dict[str, Any]:
        return {"msg": printable(self, LONGEST)}


class Refused(mistakes.Refused, Failure):
    """Mistakes that were found before anything was touched: all of them, never the first alone."""

    def __init__(self, found: Iterable[Mistake]) -> None:
        found = sorted(found, key=_item)
        count = len(found)
        self.head = f"{count} error{'s' if count > 1 else ''}, nothing was changed:"
        super().__init__(found, self.head)

    def report(self) -> dict[str, Any]:
        lines = [printable(line, LONGEST) for line in self.errors]
        return {"msg": "\n".join([self.head, *lines]), "errors": lines}


def _item(mistake: Mistake) -> int:
    """The item of ``networks`` that a mistake is about, -1 where it is about none."""
    digits = mistake.path.partition("[")[2].partition("]")[0]
    return int(digits) if digits.isdecimal() else -1


class EngineError(Failure):
    """The engine refused a call, answered nonsense or cannot be reached.

    ``status`` is the HTTP status of its answer, None where no answer came. ``detail`` is the engine's own message.
    """

    def __init__(self, message: str, status: int | None = None, detail: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail
