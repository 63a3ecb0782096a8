# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is wrong with an input, as values: one type for the site, and for what every module and tool reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """One thing in an input that cannot be used.

    path: the key path, such as ``bulkhead_tiers.web.vlan`` or ``networks[2].subnet``. got and expected: texts. remedy:
    what to do about it, a clause. kind: what code decides by; never the wording of the texts.
    """

    path: str
    got: str
    expected: str
    remedy: str
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.path}: got {self.got}; expected {self.expected}; {self.remedy}"


class Refused(Exception):
    """An input with mistakes: all of them, never the first alone. Nothing was touched.

    ``head`` is the first line of the message, where there is one to be said.
    """

    def __init__(self, mistakes: Iterable[Mistake], head: str = "") -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join([*([head] if head else []), *(str(mistake) for mistake in self.mistakes)]))

    @property
    def errors(self) -> list[str]:
        """Each mistake as one line."""
        return [str(mistake) for mistake in self.mistakes]
