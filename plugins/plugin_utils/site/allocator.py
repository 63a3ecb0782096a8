# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The allocator of subnets: by buddies, so that large blocks stay whole as long as possible."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import (
    Net,
    blocks_of,
    subtract,
    version_of,
    widest,
)


def allocate(pool: Iterable[Net], wanted: Mapping[str, int], taken: Iterable[Net]) -> dict[str, Optional[Net]]:
    """Subnets for names, by buddy allocation in plain ints.

    pool: Nets to take from. wanted: {name: prefix length}; a length above 32 asks for IPv6. taken: Nets in use.
    Returns {name: Net or None}, None where no block is left. The largest requests come first, equal ones by name; each
    takes the tightest free block and of those the lowest, so that large blocks stay whole as long as possible.
    """
    buddies = Buddies(pool, taken)
    return {name: buddies.take(prefix) for name, prefix in allocation_order(wanted)}


def allocation_order(wanted: Mapping[str, int]) -> list[tuple[str, int]]:
    """The (name, prefix length) pairs of ``wanted`` in the order in which they get their subnets."""
    return sorted(wanted.items(), key=lambda item: (-host_bits(item[1]), item[0]))


def host_bits(prefix: int) -> int:
    """The host bits that a prefix length leaves; above 32 it is IPv6's."""
    return 128 - prefix if version_of(prefix) == 6 else 32 - prefix


class Buddies:
    """The free part of a pool as aligned blocks, from which subnets are taken and to which they are given back.

    pool: Nets to take from; a subnet never spans two of them. taken: Nets in use, wherever they lie. A subnet is
    named by its prefix length; a length above 32 asks for IPv6. Taking and giving back cost a few steps each.
    """

    def __init__(self, pool: Iterable[Net], taken: Iterable[Net] = ()) -> None:
        self._pool = widest(pool)
        self._starts = [net.first for net in self._pool]
        # For each family and each block size of 2**index addresses: the starts of the free blocks, and a heap of them
        # that may hold starts which are free no longer.
        self._free: dict[int, list[set[int]]] = {version: [set() for index in range(129)] for version in (4, 6)}
        self._heaps: dict[int, list[list[int]]] = {version: [[] for index in range(129)] for version in (4, 6)}
        used = widest(taken)
        for net in self._pool:
            for span in subtract([net], [block for block in used if block.meets(net)]):
                for block in blocks_of(span):
                    bits = block.size.bit_length() - 1
                    self._free[net.version][bits].add(block.first)
                    # Filled from the lowest address up, so each list is a heap.
                    self._heaps[net.version][bits].append(block.first)

    def take(self, prefix: int) -> Optional[Net]:
        """A free subnet that is free no longer: of the tightest block that fits, the lowest; None where none fits."""
        version, bits = version_of(prefix), host_bits(prefix)
        free, heaps = self._free[version], self._heaps[version]
        for index in range(bits, len(free)):
            if free[index]:
                break
        else:
            return None
        start = heapq.heappop(heaps[index])
        while start not in free[index]:
            start = heapq.heappop(heaps[index])
        free[index].remove(start)
        while index > bits:
            index -= 1
            free[index].add(start + (1 << index))
            heapq.heappush(heaps[index], start + (1 << index))
        return Net(start, start + (1 << bits) - 1)

    def peek(self, prefix: int) -> Optional[Net]:
        """The subnet that ``take`` would give, or None."""
        version, bits = version_of(prefix), host_bits(prefix)
        for starts in self._free[version][bits:]:
            if starts:
                start = min(starts)
                return Net(start, start + (1 << bits) - 1)
        return None

    def give(self, net: Net) -> None:
        """Take a subnet back that ``take`` gave; with its free neighbours it becomes one block again."""
        version, start, bits = net.version, net.first, net.size.bit_length() - 1
        free = self._free[version]
        home = self._pool[bisect_right(self._starts, start) - 1]
        while (start ^ (1 << bits)) in free[bits]:
            merged = start & ~(1 << bits)
            if merged < home.first or merged + (2 << bits) - 1 > home.last:
                break
            free[bits].remove(start ^ (1 << bits))
            start, bits = merged, bits + 1
        free[bits].add(start)
        heapq.heappush(self._heaps[version][bits], start)

    def free(self) -> list[Net]:
        """The free blocks, in the order of the line."""
        return sorted(
            Net(start, start + (1 << bits) - 1)
            for lists in self._free.values()
            for bits, starts in enumerate(lists)
            for start in starts
        )
