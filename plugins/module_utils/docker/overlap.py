# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which blocks of addresses overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network
from typing import Any, TypeVar, Union

Cidr = Union[IPv4Network, IPv6Network]
_Block = TypeVar("_Block")
_Owner = TypeVar("_Owner")


def ends_of(cidr: Cidr) -> tuple[int, int]:
    """The first and the last address of a block on one line, on which IPv6 lies above IPv4."""
    base = 1 << 128 if cidr.version == 6 else 0
    return base + int(cidr.network_address), base + int(cidr.broadcast_address)


def overlaps(
    owned: Iterable[tuple[_Block, _Owner]], ends: Callable[[Any], tuple[int, int]] = ends_of
) -> Iterator[tuple[tuple[_Block, _Owner], tuple[_Block, _Owner]]]:
    """Every overlapping pair of ``(block, owner)`` items, as (outer, inner); of each inner one the closest outer one last.

    CIDR blocks are nested or apart, so one sweep in address order with the stack of the enclosing blocks finds all.
    ends: the first and the last address of a block; the controller has blocks of its own. Of equal blocks the first
    is the outer one.
    """
    items = sorted(((*ends(item[0]), item) for item in owned), key=lambda found: (found[0], -found[1]))
    enclosing: list[tuple[int, tuple[_Block, _Owner]]] = []
    for first, last, item in items:
        while enclosing and enclosing[-1][0] < first:
            enclosing.pop()
        for _last, outer in enclosing:
            yield outer, item
        enclosing.append((last, item))
