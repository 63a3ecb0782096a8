from __future__ import annotations

import itertools
import random

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.fields import merged
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.static.region import (
    box_of,
    holds,
    meet,
    of_one_host,
    subtract,
)


def random_box(draw):
    def side():
        if draw.random() < 0.3:
            return None
        return merged((low, low + draw.randrange(2)) for low in draw.sample(range(4), draw.randint(1, 2)))

    return box_of(src=side(), dst=side(), dport=side())


def packets():
    return ((0, 0, 6, src, dst, 0, port, 0, 0) for src, dst, port in itertools.product(range(6), repeat=3))


def test_what_is_left_of_boxes_is_what_is_in_them_and_in_no_other_and_in_one_piece_alone():
    draw = random.Random(1)
    for _try in range(200):
        one, *others = (random_box(draw) for _number in range(4))
        left = subtract([one], others, 4)
        for packet in packets():
            wanted = holds(one, packet) and not any(holds(other, packet) for other in others)
            assert sum(holds(piece, packet) for piece in left) == wanted


def test_what_two_boxes_have_in_common_is_what_is_in_both():
    draw = random.Random(2)
    for _try in range(200):
        one, other = random_box(draw), random_box(draw)
        both = meet(one, other)
        for packet in packets():
            assert (holds(one, packet) and holds(other, packet)) == (both is not None and holds(both, packet))


def test_an_address_that_sends_to_itself_is_no_flow():
    assert of_one_host(box_of(src=((5, 5),), dst=((5, 5),)))
    assert not of_one_host(box_of(src=((5, 6),), dst=((5, 6),)))
