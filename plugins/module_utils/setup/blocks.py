# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A marked block in a text, as ansible.builtin.blockinfile writes it: files that it made stay as they are."""

from __future__ import annotations


def with_block(text: str, block: str, marker: str) -> str:
    """The text with the block between two lines of the marker: in the place of the one that is there, or at the end.

    marker: a line with ``{mark}`` where BEGIN and END stand.
    """
    begin, end = marker.replace("{mark}", "BEGIN"), marker.replace("{mark}", "END")
    lines = text.splitlines()
    wanted = [begin, *block.splitlines(), end]
    if begin in lines:
        first = lines.index(begin)
        # A block that has lost its end is only its first line: what follows may be rules of the host's own.
        last = lines.index(end, first) if end in lines[first:] else first
        lines[first : last + 1] = wanted
    else:
        lines += wanted
    return "".join(f"{line}\n" for line in lines)
