# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Networks as plain ints: reading, overlaps, and the allocator of subnets.

Every address is a point on one line: an IPv4 address is its value, an IPv6 address its value plus ``V6``. The families
cannot meet there, so that one sweep, one sort and one bisection serve both.
"""

from __future__ import annotations

import heapq
import ipaddress
from bisect import bisect_right
from dataclasses import dataclass

#: Where IPv6 begins on the line of addresses.
V6 = 1 << 128

_V4_LAST = (1 << 32) - 1
_V6_LAST = V6 + (1 << 128) - 1


@dataclass(frozen=True, order=True)
class Net:
    """A network or one address: the first and the last point of a CIDR block, both inside."""

    first: int
    last: int

    @property
    def version(self):
        """4 or 6."""
        return 6 if self.first >= V6 else 4

    @property
    def size(self):
        """How many addresses the block holds."""
        return self.last - self.first + 1

    @property
    def prefix(self):
        """The prefix length in bits."""
        return (128 if self.first >= V6 else 32) - (self.size.bit_length() - 1)

    @property
    def single(self):
        """Whether the block is one address."""
        return self.first == self.last

    def holds(self, other):
        """Whether the other block lies inside."""
        return self.first <= other.first and other.last <= self.last

    def meets(self, other):
        """Whether the two share an address."""
        return self.first <= other.last and other.first <= self.last

    def __str__(self):
        """CIDR notation; one address is written without a prefix length."""
        return point_text(self.first) if self.single else "%s/%d" % (point_text(self.first), self.prefix)


#: Both families whole, in the order of the line.
EVERYTHING = (Net(0, _V4_LAST), Net(V6, _V6_LAST))


class NotANet(ValueError):
    """A text that is no network or address; args are what was expected and the remedy."""

    @property
    def expected(self):
        return self.args[0]

    @property
    def remedy(self):
        return self.args[1]


def point_text(point):
    """The address at a point of the line, as text."""
    if point >= V6:
        return str(ipaddress.IPv6Address(point - V6))
    return "%d.%d.%d.%d" % (point >> 24, point >> 16 & 255, point >> 8 & 255, point & 255)


def parse_point(text):
    """The point of an address; raises NotANet."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        if "/" in text:
            raise NotANet("one address", "leave the prefix length out") from error
        raise NotANet("an IPv4 or IPv6 address", "write it like 10.0.1.1 or fd00::1") from error
    if "%" in text:
        raise NotANet("an address without a zone", "leave %s out" % text[text.index("%") :])
    return int(address) + V6 if address.version == 6 else int(address)


def parse_address(text):
    """One address as a Net; raises NotANet."""
    point = parse_point(text)
    return Net(point, point)


def parse_net(text):
    """A CIDR as a Net; raises NotANet (no prefix length, host bits set, not a network at all)."""
    address, slash, prefix = text.partition("/")
    if not slash:
        raise NotANet("a network in CIDR notation", "add the prefix length, as in %s/24" % text)
    if not prefix.isdecimal():
        raise NotANet("a network in CIDR notation", "write the prefix length as a number, as in 10.0.1.0/24")
    try:
        point = parse_point(address)
    except NotANet as error:
        raise NotANet("a network in CIDR notation", "write it like 10.0.1.0/24 or fd00:1::/64") from error
    bits = (128 if point >= V6 else 32) - int(prefix)
    if bits < 0:
        raise NotANet("a prefix length of at most %d" % (128 if point >= V6 else 32), "mend the prefix length")
    net = Net(point >> bits << bits, (point >> bits << bits) + (1 << bits) - 1)
    if net.first != point:
        raise NotANet("a network without host bits", "write %s/%s" % (point_text(net.first), prefix))
    return net


def widest(nets):
    """The blocks that lie in no other one of them, in the order of the line."""
    outer = []
    for net in sorted(set(nets), key=lambda block: (block.first, -block.last)):
        if not outer or net.first > outer[-1].last:
            outer.append(net)
    return outer


def complement(nets):
    """The spans (first, last) of both families that none of the blocks covers."""
    spans = []
    blocks = widest(nets)
    for whole in EVERYTHING:
        start = whole.first
        for net in blocks:
            if not whole.holds(net):
                continue
            if net.first > start:
                spans.append(Net(start, net.first - 1))
            start = net.last + 1
        if start <= whole.last:
            spans.append(Net(start, whole.last))
    return spans


def overlaps(claims, allowed):
    """Pairs of claims that meet, by sort and sweep.

    claims: [(Net, owner)]. allowed(inner, outer): whether the one owner may lie inside (or on) the other.
    Two CIDR blocks are either apart or one inside the other, so the claims that are open at a point form a stack, and
    each claim meets exactly those. A claim is reported with the closest one that it must not meet: [(inner, outer)].
    """
    found = []
    stack = []
    for claim in sorted(claims, key=lambda item: (item[0].first, -item[0].last)):
        while stack and stack[-1][0].last < claim[0].first:
            stack.pop()
        for outer in reversed(stack):
            if not allowed(claim[1], outer[1]):
                found.append((claim, outer))
                break
        stack.append(claim)
    return found


def allocate(pool, wanted, taken):
    """Subnets for names, by buddy allocation in plain ints.

    pool: Nets to take from. wanted: {name: prefix length}; a length above 32 asks for IPv6. taken: Nets in use.
    Returns {name: Net or None}, None where no block is left. The largest requests come first, equal ones by name; each
    takes the tightest free block and of those the lowest, so that large blocks stay whole as long as possible.
    """
    buddies = Buddies(pool, taken)
    return {name: buddies.take(prefix) for name, prefix in allocation_order(wanted)}


def allocation_order(wanted):
    """The (name, prefix length) pairs of ``wanted`` in the order in which they get their subnets."""
    return sorted(wanted.items(), key=lambda item: (-host_bits(item[1]), item[0]))


def host_bits(prefix):
    """The host bits that a prefix length leaves; above 32 it is IPv6's."""
    return 128 - prefix if prefix > 32 else 32 - prefix


class Buddies:
    """The free part of a pool as aligned blocks, from which subnets are taken and to which they are given back.

    pool: Nets to take from; a subnet never spans two of them. taken: Nets in use, wherever they lie. A subnet is
    named by its prefix length; a length above 32 asks for IPv6. Taking and giving back cost a few steps each.
    """

    def __init__(self, pool, taken=()):
        self._pool = widest(pool)
        self._starts = [net.first for net in self._pool]
        # For each family and each block size of 2**index addresses: the starts of the free blocks, and a heap of them
        # that may hold starts which are free no longer.
        self._free = {version: [set() for index in range(129)] for version in (4, 6)}
        self._heaps = {version: [[] for index in range(129)] for version in (4, 6)}
        blocks = widest(taken)
        for net in self._pool:
            start = net.first
            for used in blocks:
                if used.last < start or used.first > net.last:
                    continue
                self._fill(net.version, start, used.first)
                start = used.last + 1
            self._fill(net.version, start, net.last + 1)

    def take(self, prefix):
        """A free subnet that is free no longer: of the tightest block that fits, the lowest; None where none fits."""
        version, bits = 6 if prefix > 32 else 4, host_bits(prefix)
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

    def peek(self, prefix):
        """The subnet that ``take`` would give, or None."""
        version, bits = 6 if prefix > 32 else 4, host_bits(prefix)
        for starts in self._free[version][bits:]:
            if starts:
                start = min(starts)
                return Net(start, start + (1 << bits) - 1)
        return None

    def give(self, net):
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

    def free(self):
        """The free blocks, in the order of the line."""
        return sorted(
            Net(start, start + (1 << bits) - 1)
            for lists in self._free.values()
            for bits, starts in enumerate(lists)
            for start in starts
        )

    def _fill(self, version, start, end):
        """Cut the addresses from start up to (not with) end into aligned blocks, which are free."""
        while start < end:
            size = (end - start).bit_length() - 1
            aligned = (start & -start).bit_length() - 1 if start else 128
            bits = min(size, aligned)
            self._free[version][bits].add(start)
            # Filled from the lowest address up, so each list is a heap.
            self._heaps[version][bits].append(start)
            start += 1 << bits


def spans(nets):
    """Blocks in the order of the line as the fewest spans (first, last) that cover them."""
    found = []
    for net in nets:
        if found and found[-1].last + 1 == net.first and found[-1].version == net.version:
            found[-1] = Net(found[-1].first, net.last)
        else:
            found.append(Net(net.first, net.last))
    return found
