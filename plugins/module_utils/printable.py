# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Texts of hosts, files and servers, made fit for a terminal, a log line or a report: one function, used everywhere."""

from __future__ import annotations

LIMIT = 500


def printable(text: object, limit: int = LIMIT) -> str:
    """A foreign text on one line of at most ``limit`` characters, every character of it visible.

    Control characters, escape sequences, bidirectional marks, unknown and lone surrogate code points become
    ``\\xNN``/``\\uNNNN``; what is cut off is counted. Plain text comes back as it is.
    """
    whole = text if isinstance(text, str) else str(text)
    shown = whole[:limit]
    if not shown.isprintable():
        shown = "".join(
            char if char.isprintable() else char.encode("unicode_escape", "backslashreplace").decode("ascii")
            for char in shown
        )
    return shown if len(whole) <= limit else f"{shown}… ({len(whole) - limit} more characters)"
