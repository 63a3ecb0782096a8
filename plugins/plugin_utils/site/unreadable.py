# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a text says that cannot be read: half a mistake, which its reader completes with the key path and the text."""

from __future__ import annotations


class Unreadable(ValueError):
    """A text that names no network, address or port."""

    def __init__(self, expected: str, remedy: str) -> None:
        super().__init__(expected, remedy)
        self.expected = expected
        self.remedy = remedy
