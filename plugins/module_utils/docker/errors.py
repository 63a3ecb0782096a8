# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong, as values that a module turns into one message."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """One thing in the input (or between the input and the engine) that somebody must mend.

    ``path`` is the key path in the module's arguments, such as ``networks[2].subnet``.
    """

    path: str
    got: str
    expected: str
    remedy: str

    @property
    def index(self) -> int:
        """The item of ``networks`` that it is about, -1 where it is about none."""
        digits = self.path.partition("[")[2].partition("]")[0]
        return int(digits) if digits else -1

    def __str__(self) -> str:
        return f"{self.path}: got {self.got}; expected {self.expected}; remedy: {self.remedy}"


class Failure(Exception):
    """A run that cannot go on. ``report()`` gives the keyword arguments of ``fail_json``."""

    def report(self) -> dict:
        return {"msg": str(self)}


class Refused(Failure):
    """Mistakes that were found before anything was touched: all of them, never the first alone."""

    def __init__(self, mistakes):
        self.mistakes = tuple(sorted(mistakes, key=lambda mistake: mistake.index))
        count = len(self.mistakes)
        head = f"{count} error{'s' if count > 1 else ''}, nothing was changed:"
        super().__init__("\n".join([head, *(str(mistake) for mistake in self.mistakes)]))

    def report(self) -> dict:
        return {"msg": str(self), "errors": [str(mistake) for mistake in self.mistakes]}


class EngineError(Failure):
    """The engine refused a call, answered nonsense or cannot be reached.

    ``status`` is the HTTP status of its answer, None where no answer came. ``detail`` is the engine's own message.
    """

    def __init__(self, message: str, status: int | None = None, detail: str = ""):
        super().__init__(message)
        self.status = status
        self.detail = detail
