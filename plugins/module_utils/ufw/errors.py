# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What can go wrong, as exceptions that carry whole messages: subject, got, expected, remedy."""

from __future__ import annotations

from collections.abc import Iterable


class RulesetError(Exception):
    """The ruleset cannot be read or applied; the message is for the operator as it is."""


class InputErrors(RulesetError):
    """Everything that is wrong with the input, found in one go. ``errors`` holds one line for each mistake."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = list(errors)
        super().__init__("\n".join(self.errors))
