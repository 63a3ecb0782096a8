# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Networks and addresses: netaddr reads, writes, merges and subtracts them; what is asked often is asked of plain ints.

Every address is a point on one line: an IPv4 address is its value, an IPv6 address its value plus ``V6``. The families
cannot meet there, so that one sweep, one sort and one bisection serve both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar, Union

from ansible.errors import AnsibleError
from ansible.module_utils.basic import missing_required_lib

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker import overlap
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable

try:
    import netaddr
except ImportError:
    #: require_netaddr says so before anything is read.
    netaddr = None

Owner = TypeVar("Owner")

#: Where IPv6 begins on the line of addresses.
V6 = 1 << 128

_V4_LAST = (1 << 32) - 1
_V6_LAST = V6 + (1 << 128) - 1

_NETWORK = "a network in CIDR notation"


def require_netaddr() -> None:
    """Raise AnsibleError, which names the package and the interpreter, on a controller without netaddr."""
    if netaddr is None:
        reason = "to read a site's addresses, on the controller"
        raise AnsibleError(missing_required_lib("netaddr", reason, "https://pypi.org/project/netaddr"))


@dataclass(frozen=True, order=True)
class Net:
    """A network, a range or one address: the first and the last point, both inside."""

    first: int
    last: int

    def __hash__(self) -> int:
        # These are the keys of many dicts, and one number's hash costs a third of a tuple's.
        return hash(self.first ^ self.last << 1)

    @property
    def version(self) -> int:
        """4 or 6."""
        return 6 if self.first >= V6 else 4

    @property
    def size(self) -> int:
        """How many addresses the block holds."""
        return self.last - self.first + 1

    @property
    def prefix(self) -> int:
        """The prefix length in bits."""
        return (128 if self.first >= V6 else 32) - (self.size.bit_length() - 1)

    @property
    def single(self) -> bool:
        """Whether the block is one address."""
        return self.first == self.last

    def holds(self, other: Net) -> bool:
        """Whether the other block lies inside."""
        return self.first <= other.first and other.last <= self.last

    def meets(self, other: Net) -> bool:
        """Whether the two share an address."""
        return self.first <= other.last and other.first <= self.last

    def __str__(self) -> str:
        """CIDR notation; one address is written without a prefix length."""
        return point_text(self.first) if self.single else cidr_text(self)


def version_of(prefix: int) -> int:
    """The IP version that a prefix length asks a pool for: above 32 it is IPv6's."""
    return 6 if prefix > 32 else 4


def text_or_texts(nets: Sequence[Net]) -> Union[str, list[str]]:
    """Blocks as a declaration writes them: one as a text, several as a list."""
    texts = [str(net) for net in nets]
    return texts[0] if len(texts) == 1 else texts


def yaml_cidrs(cidrs: Union[str, Sequence[str]]) -> str:
    """One CIDR, or several, as the value of a YAML key."""
    if isinstance(cidrs, str):
        # A colon would make a mapping of an IPv6 network for some readers.
        return f'"{cidrs}"' if ":" in cidrs else cidrs
    return f"[{', '.join(map(yaml_cidrs, cidrs))}]"


#: Both families whole, in the order of the line.
EVERYTHING = (Net(0, _V4_LAST), Net(V6, _V6_LAST))


def _address(point: int) -> netaddr.IPAddress:
    return netaddr.IPAddress(point - V6, 6) if point >= V6 else netaddr.IPAddress(point, 4)


def _point(address: netaddr.IPAddress) -> int:
    return int(address) + V6 if address.version == 6 else int(address)


@lru_cache(maxsize=65536)
def point_text(point: int) -> str:
    """The address at a point of the line, as text."""
    return str(_address(point))


def cidr_text(net: Net) -> str:
    """The block with its prefix length, also where it is one address."""
    return f"{point_text(net.first)}/{net.prefix}"


def range_text(span: Net) -> str:
    """The first and the last address: "10.0.1.0-10.0.2.9"."""
    return f"{point_text(span.first)}-{point_text(span.last)}"


@lru_cache(maxsize=1 << 16)  # a proof asks for the same addresses millions of times
def parse_point(text: str) -> int:
    """The point of an address; raises Unreadable. INET_PTON: all four parts, no leading zeros, nothing beside it."""
    bare, percent, _zone = text.partition("%")
    try:
        address = netaddr.IPAddress(bare, flags=netaddr.INET_PTON)
    except (netaddr.AddrFormatError, ValueError) as error:
        if "/" in text:
            raise Unreadable("one address", "leave the prefix length out") from error
        raise Unreadable("an IPv4 or IPv6 address", "write it like 10.0.1.1 or fd00::1") from error
    if percent:
        raise Unreadable("an address without a zone", f"leave {text[len(bare) :]} out")
    return _point(address)


def parse_address(text: str) -> Net:
    """One address as a Net; raises Unreadable."""
    point = parse_point(text)
    return Net(point, point)


def parse_net(text: str) -> Net:
    """A CIDR as a Net; raises Unreadable (no prefix length, host bits set, not a network at all)."""
    address, slash, prefix = text.partition("/")
    if not slash:
        raise Unreadable(_NETWORK, f"add the prefix length, as in {text}/24")
    if not (prefix.isascii() and prefix.isdecimal()):
        raise Unreadable(_NETWORK, "write the prefix length as a number, as in 10.0.1.0/24")
    try:
        point = parse_point(address)
    except Unreadable as error:
        raise Unreadable(_NETWORK, "write it like 10.0.1.0/24 or fd00:1::/64") from error
    longest = 128 if point >= V6 else 32
    # Python reads no number of thousands of digits.
    length = int(prefix.lstrip("0")[:4] or "0")
    if length > longest:
        raise Unreadable(f"a prefix length of at most {longest}", "correct the prefix length")
    network = netaddr.IPNetwork((int(_address(point)), length), version=6 if point >= V6 else 4)
    net = Net(_point(network.network), _point(network.network) + network.size - 1)
    if net.first != point:
        raise Unreadable("a network without host bits", f"write {cidr_text(net)}")
    return net


def address_set(nets: Iterable[Net]) -> netaddr.IPSet:
    """The addresses of CIDR blocks as a netaddr.IPSet, for ``&``, ``-`` and ``size``."""
    return netaddr.IPSet(
        [netaddr.IPNetwork((int(_address(net.first)), net.prefix), version=net.version) for net in nets]
    )


def spans_of(addresses: netaddr.IPSet) -> list[Net]:
    """The fewest spans that make up a set, in the order of the line."""
    return [
        Net(first, first + item.size - 1)
        for item in addresses.iter_ipranges()
        for first in [_point(netaddr.IPAddress(item.first, item.version))]
    ]


def blocks_of(span: Net) -> list[Net]:
    """The fewest CIDR blocks that make up a span, in the order of the line."""
    parts = netaddr.iprange_to_cidrs(_address(span.first), _address(span.last))
    return [Net(first, first + part.size - 1) for part in parts for first in [_point(part.network)]]


def complement(nets: Iterable[Net]) -> list[Net]:
    """The spans of both families that none of the blocks covers."""
    return subtract(EVERYTHING, nets)


def subtract(nets: Iterable[Net], taken: Iterable[Net]) -> list[Net]:
    """The spans of some blocks that none of the taken ones covers."""
    return spans_of(address_set(nets) - address_set(taken))


def widest(nets: Iterable[Net]) -> list[Net]:
    """The blocks that lie in no other one of them, in the order of the line; neighbours stay apart."""
    outer: list[Net] = []
    for net in sorted(set(nets), key=lambda block: (block.first, -block.last)):
        if not outer or net.first > outer[-1].last:
            outer.append(net)
    return outer


def overlaps(claims: Iterable[tuple[Net, Owner]]) -> Iterator[tuple[tuple[Net, Owner], tuple[Net, Owner]]]:
    """Every pair of claims that share addresses, as (outer, inner): the hosts' own sweep, over Nets."""
    return overlap.overlaps(claims, lambda net: (net.first, net.last))
