# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.allocator import Buddies, allocate
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, overlaps, parse_net


def nets(*cidrs):
    return [parse_net(cidr) for cidr in cidrs]


def test_the_largest_comes_first_and_takes_the_tightest_lowest_block():
    result = allocate(nets("10.0.0.0/22"), {"small": 26, "large": 24, "also": 24}, nets("10.0.1.0/25"))
    assert {name: str(net) for name, net in result.items()} == {
        "also": "10.0.0.0/24",
        "large": "10.0.2.0/24",
        "small": "10.0.1.128/26",
    }


def test_small_requests_do_not_take_the_place_of_large_ones():
    result = allocate(nets("10.0.0.0/23"), {"a-small": 26, "large": 24}, [])
    assert {name: str(net) for name, net in result.items()} == {"a-small": "10.0.1.0/26", "large": "10.0.0.0/24"}


def test_a_full_pool_gives_none():
    assert allocate(nets("10.0.0.0/24"), {"one": 24, "two": 24}, []) == {"one": nets("10.0.0.0/24")[0], "two": None}


def test_a_pool_of_two_families_serves_both():
    result = allocate(nets("10.0.0.0/24", "fd00::/56"), {"old": 25, "new": 64}, nets("fd00::/64"))
    assert {name: str(net) for name, net in result.items()} == {"old": "10.0.0.0/25", "new": "fd00:0:0:1::/64"}


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(st.integers(0, 50), st.integers(23, 32), max_size=30),
    st.lists(st.tuples(st.integers(0, 4095), st.integers(20, 32)), max_size=8),
)
def test_allocated_subnets_overlap_nothing_and_stay_in_the_pool(wanted, used):
    pool = nets("10.0.0.0/21", "10.0.12.0/24")
    base = pool[0].first
    taken = [
        Net(
            base + (offset >> (32 - bits) << (32 - bits)),
            base + (offset >> (32 - bits) << (32 - bits)) + 2 ** (32 - bits) - 1,
        )
        for offset, bits in used
    ]
    result = allocate(pool, wanted, taken)
    given_out = [net for net in result.values() if net]
    assert set(result) == set(wanted)
    assert all(net.prefix == wanted[name] for name, net in result.items() if net)
    assert all(any(block.holds(net) for block in pool) for net in given_out)
    assert not any(net.meets(block) for net in given_out for block in taken)
    assert list(overlaps([(net, index) for index, net in enumerate(given_out)])) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(24, 28), min_size=1, max_size=12))
def test_what_fits_is_always_placed(sizes):
    # Aligned blocks, largest first, leave no hole: everything whose sum fits into an empty pool finds a place.
    fits = sum(2 ** (32 - size) for size in sizes) <= 1024
    result = allocate(nets("10.0.0.0/22"), dict(enumerate(sizes)), [])
    assert (None not in result.values()) == fits


def test_ten_thousand_subnets_are_allocated_beside_what_is_taken():
    taken = nets("10.0.0.0/24", "10.3.7.0/25")
    wanted = {f"n{index}": 24 + index % 5 for index in range(10000)}
    result = allocate(nets("10.0.0.0/8"), wanted, taken)
    assert None not in result.values()
    claims = [*enumerate(taken), *result.items()]
    assert list(overlaps([(net, name) for name, net in claims])) == []


def test_what_is_given_back_becomes_one_block_again():
    buddies = Buddies(nets("10.0.0.0/24"))
    taken = [buddies.take(26) for dummy in range(4)]
    assert buddies.take(32) is None and buddies.free() == []
    for net in (taken[1], taken[3], taken[2]):
        buddies.give(net)
    assert [str(net) for net in buddies.free()] == ["10.0.0.64/26", "10.0.0.128/25"]
    buddies.give(taken[0])
    assert buddies.free() == nets("10.0.0.0/24")


def test_blocks_of_two_neighbouring_pools_never_become_one():
    buddies = Buddies(nets("10.0.0.0/24", "10.0.1.0/24"))
    for net in [buddies.take(24), buddies.take(24)]:
        buddies.give(net)
    assert buddies.take(23) is None and len(buddies.free()) == 2


def test_what_is_next_is_said_without_taking_it():
    buddies = Buddies(nets("10.0.0.0/22", "fd00::/56"), nets("10.0.0.0/24", "10.0.1.0/25"))
    assert [str(buddies.peek(prefix)) for prefix in (23, 24, 25, 28, 64)] == [
        "10.0.2.0/23",
        "10.0.2.0/24",
        "10.0.1.128/25",
        "10.0.1.128/28",
        "fd00::/64",
    ]
    assert buddies.peek(22) is None
    assert buddies.take(28) == nets("10.0.1.128/28")[0]


def test_a_hundred_thousand_steps_of_taking_and_giving_back_never_overlap():
    """Every address of the pool is in exactly one of the subnets given out or the free blocks, at every step."""
    chance = random.Random(20260101)
    pool, used = nets("10.0.0.0/18", "10.0.80.0/20", "fd00::/112"), nets("10.0.3.0/24", "10.0.81.128/25")
    buddies = Buddies(pool, used)
    # One cell for every 4 addresses (/30 and, for IPv6, /126), so that an overlap shows at once.
    origin = {4: pool[0].first, 6: pool[2].first}
    cells = {4: bytearray(0x6000 >> 2), 6: bytearray(0x10000 >> 2)}
    for net in used:
        cells[4][(net.first - origin[4]) >> 2 : (net.last + 1 - origin[4]) >> 2] = b"\1" * (net.size >> 2)
    held, given, refused = [], 0, 0
    for step in range(100000):
        # Phases of growth and of decay: the pool runs full, and empty, again and again.
        if chance.random() < (0.65 if step // 5000 % 2 == 0 else 0.35):
            prefix = chance.choice((20, 22, 24, 24, 26, 27, 28, 29, 30, 114, 120, 124, 126))
            net = buddies.take(prefix)
            if net is None:
                refused += 1
                continue
            assert net.prefix == prefix and net.first % net.size == 0
            start, stop = (net.first - origin[net.version]) >> 2, (net.last + 1 - origin[net.version]) >> 2
            assert not any(cells[net.version][start:stop])
            cells[net.version][start:stop] = b"\1" * (stop - start)
            held.append(net)
            given += 1
        elif held:
            index = chance.randrange(len(held))
            held[index], held[-1] = held[-1], held[index]
            net = held.pop()
            buddies.give(net)
            start, stop = (net.first - origin[net.version]) >> 2, (net.last + 1 - origin[net.version]) >> 2
            cells[net.version][start:stop] = bytes(stop - start)
        if step % 5000 == 0:
            free = buddies.free()
            assert sum(net.size for net in free + held + used) == sum(net.size for net in pool)
            assert list(overlaps([(net, str(net)) for net in free + held + used])) == []
            assert all(any(block.holds(net) for block in pool) for net in free)
    assert given > 20000 and refused > 1000
    for net in held:
        buddies.give(net)
    assert buddies.free() == Buddies(pool, used).free()
