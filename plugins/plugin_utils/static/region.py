# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sets of packets as products of intervals (packets.fields.Box): what two have in common, and what one has beyond others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import (
    DPORT,
    DST,
    FIELDS,
    PROTO,
    SRC,
    Box,
    Intervals,
    common,
    complement,
    top,
)

ANYTHING: Box = (None,) * len(FIELDS)
#: The fields in which two boxes differ most often.
_TELLING = (DPORT, PROTO, DST, SRC)


def box_of(**sides: Optional[Intervals]) -> Box:
    """A box by the names of its fields: box_of(dst=((1, 2),))."""
    names = ("iif", "oif", "proto", "src", "dst", "sport", "dport", "odst", "oport")
    return tuple(sides.get(name) for name in names)


def narrowed(box: Box, field: int, side: Optional[Intervals]) -> Box:
    """The box with another side."""
    return (*box[:field], side, *box[field + 1 :])


def meet(one: Box, other: Box) -> Optional[Box]:
    """What is in both; None where nothing is."""
    for field in _TELLING:
        a, b = one[field], other[field]
        if a is not None and b is not None and (a[-1][1] < b[0][0] or b[-1][1] < a[0][0]):
            return None
    out: list[Optional[Intervals]] = []
    for a, b in zip(one, other):
        if a is None:
            out.append(b)
        elif b is None or a == b:
            out.append(a)
        else:
            side = common(a, b)
            if not side:
                return None
            out.append(side)
    return tuple(out)


def without(box: Box, other: Box, family: int) -> list[Box]:
    """What of a box is not in another one, as disjoint boxes."""
    for field in _TELLING:
        a, b = box[field], other[field]
        if a is not None and b is not None and (a[-1][1] < b[0][0] or b[-1][1] < a[0][0]):
            return [box]
    inner: list[tuple[int, Intervals]] = []
    for field, side in enumerate(other):
        here = box[field]
        if side is None or side == here:
            continue
        part = side if here is None else common(here, side)
        if not part:
            return [box]
        if part != here:
            inner.append((field, part))
    out = []
    for field, part in inner:
        here, rest = box[field], complement(part, 0, top(field, family))
        left = rest if here is None else common(here, rest)
        if left:
            out.append(narrowed(box, field, left))
            box = narrowed(box, field, part)
    return out


def subtract(boxes: Iterable[Box], others: Sequence[Box], family: int) -> list[Box]:
    """What of the boxes is in none of the others, as disjoint boxes if the first ones are."""
    left = list(boxes)
    for other in others:
        if not left:
            break
        left = [piece for box in left for piece in without(box, other, family)]
    return left


def overlap(boxes: Iterable[Box], others: Sequence[Box]) -> list[Box]:
    """What of the boxes is in some of the others; pieces may overlap where the others do."""
    found = (meet(box, other) for box in boxes for other in others)
    return [box for box in found if box is not None]


def holds(box: Box, values: Sequence[int]) -> bool:
    """Whether a packet, in the order of the fields, is in the box."""
    return all(side is None or any(first <= value <= last for first, last in side) for side, value in zip(box, values))


def of_one_host(box: Box) -> bool:
    """Whether it could only be what an address sends to itself."""
    src, dst = box[SRC], box[DST]
    return src is not None and src == dst and len(src) == 1 and src[0][0] == src[0][1]
