# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The reader of `iptables-save` and `ip6tables-save`: text -> tables, chains, and rules whose matches are intervals.

A match is one of

    ("in", field, intervals)            the field lies in one of the intervals; disjoint, ascending, both ends included
    ("either", fields, intervals)       one of two fields does (multiport --ports)
    ("both", fields, intervals)         both do (multiport ! --ports)
    ("first", field, intervals)         the field of the connection's first packet, before any translation (--ctorig...)
    ("state", states, negated)          the connection's state, or the virtual states SNAT and DNAT
    ("direction", name, negated)        the packet goes in the connection's ORIGINAL or REPLY direction
    ("flags", (mask, set), negated)     TCP flags, as frozensets of names
    ("type", (field, types), negated)   the routing table's type of an address: LOCAL, BROADCAST, ...
    ("never",)                          needs a fragment or an extension header, which an ordinary packet has not
    ("rate", label)                     lets some of the packets through: limit, recent, hashlimit, ...
    ("unknown", label)                  not modelled; the label is the match's own text

Whoever evaluates the rules has to count "rate" and "unknown" both ways: nothing is guessed here.

Fields are plain ints. An interface's name is its fifteen bytes as one number, so that `eth+` is an interval as well;
the destination port of ICMP is its type * 256 + code, since no protocol has both.
"""

from __future__ import annotations

import re
import socket
from functools import lru_cache

IIF, OIF, PROTO, SRC, DST, SPORT, DPORT, ODST, OPORT = FIELDS = range(9)
FIELD_NAMES = (
    "in",
    "out",
    "protocol",
    "source",
    "destination",
    "source port",
    "port",
    "original destination",
    "original port",
)
NAME_BYTES = 15
LAST_NAME = (1 << 8 * NAME_BYTES) - 1
BITS = {4: 32, 6: 128}

PROTOCOLS = {
    "icmp": 1, "igmp": 2, "ipencap": 4, "ipip": 4, "tcp": 6, "udp": 17, "dccp": 33, "ipv6": 41, "rsvp": 46, "gre": 47,
    "esp": 50, "ah": 51, "ipv6-icmp": 58, "icmpv6": 58, "ospf": 89, "pim": 103, "ipcomp": 108, "vrrp": 112, "l2tp": 115,
    "sctp": 132, "udplite": 136,
}  # fmt: skip
ICMP_TYPES = {
    4: {"echo-reply": 0, "destination-unreachable": 3, "source-quench": 4, "redirect": 5, "echo-request": 8, "router-advertisement": 9,
        "router-solicitation": 10, "time-exceeded": 11, "parameter-problem": 12, "timestamp-request": 13,
        "timestamp-reply": 14},
    6: {"destination-unreachable": 1, "packet-too-big": 2, "time-exceeded": 3, "parameter-problem": 4, "echo-request": 128,
        "echo-reply": 129, "router-solicitation": 133, "router-advertisement": 134, "neighbor-solicitation": 135,
        "neighbour-solicitation": 135, "neighbor-advertisement": 136, "neighbour-advertisement": 136, "redirect": 137},
}  # fmt: skip
RATES = frozenset(["limit", "hashlimit", "recent", "connlimit", "statistic", "quota", "connbytes", "nfacct", "rateest"])
# These look for a header that an ordinary, whole packet does not carry; without one they do not match, negated or not.
EXTENSION_HEADERS = frozenset(["frag", "rt", "hbh", "dst", "mh", "srh"])
# Modules whose options, as far as they are known below, are modelled; alone they match every packet of their protocol.
MODELLED = frozenset(
    [
        "tcp",
        "udp",
        "udplite",
        "sctp",
        "dccp",
        "icmp",
        "icmp6",
        "icmpv6",
        "multiport",
        "conntrack",
        "state",
        "addrtype",
        "comment",
        "iprange",
    ]
)
FLAGS = frozenset(["FIN", "SYN", "RST", "PSH", "ACK", "URG"])


class RulesetError(ValueError):
    """The text is not a saved ruleset; the message has a line for every error."""


class Rule:
    """One `-A` line. number: its place in its chain, from 1. target: None for a rule that only counts."""

    __slots__ = ("table", "chain", "number", "text", "matches", "target", "goto", "options")

    def __init__(self, table, chain, number, text, matches=(), target=None, goto=False, options=()):
        self.table, self.chain, self.number, self.text = table, chain, number, text
        self.matches, self.target, self.goto, self.options = matches, target, goto, options

    def __repr__(self):
        return "%s %s #%s: %s" % (self.table, self.chain, self.number, self.text)


class Chain:
    """policy: ACCEPT or DROP for a built-in chain, None for a user's."""

    __slots__ = ("name", "policy", "rules")

    def __init__(self, name, policy):
        self.name, self.policy, self.rules = name, policy, []


class Ruleset:
    """family: 4 or 6. tables: {table: {chain: Chain}}."""

    __slots__ = ("family", "tables")

    def __init__(self, family, tables):
        self.family, self.tables = family, tables

    def chain(self, table, name):
        return self.tables.get(table, {}).get(name)


def parse(text, family):
    """Read the output of `iptables-save` (family 4) or `ip6tables-save` (6), of one table or of all."""
    reader = _Lines(family)
    for number, line in enumerate(text.splitlines(), 1):
        reader.line(number, line.strip())
    return reader.finish()


class _Lines:
    """A pass over the lines; gathers every error before it complains."""

    def __init__(self, family):
        if family not in BITS:
            raise ValueError("family: got %r, expected 4 or 6" % (family,))
        self.family, self.tables, self.table, self.name, self.errors = family, {}, None, None, []
        self.jumps = []

    def line(self, number, line):
        if not line or line[0] == "#":
            return
        if line[0] == "*":
            self.name = line[1:]
            self.table = self.tables.setdefault(self.name, {})
        elif line == "COMMIT":
            self.table = None
        elif self.table is None:
            self.wrong(number, line, "stands outside a table", "a line such as *filter before it")
        elif line[0] == ":":
            self.declare(number, line)
        else:
            self.append(number, line)

    def declare(self, number, line):
        words = line[1:].split()
        if len(words) < 2:
            return self.wrong(number, line, "declares no chain", ":NAME POLICY")
        self.table[words[0]] = Chain(words[0], None if words[1] == "-" else words[1])

    def append(self, number, line):
        if line[0] == "[":  # the packet and byte counters of iptables-save -c
            line = line.partition("] ")[2]
        words = _words(line)
        if len(words) < 2 or words[0] not in ("-A", "--append"):
            return self.wrong(number, line, "is not understood", "*TABLE, :CHAIN POLICY, -A CHAIN ... or COMMIT")
        chain = self.table.get(words[1])
        if chain is None:
            return self.wrong(
                number,
                line,
                "adds to the chain %s, which is not declared" % words[1],
                ":%s - [0:0] before it" % words[1],
            )
        try:
            matches, target, goto, options = _Matches(self.family).read(words)
        except IndexError:
            return self.wrong(number, line, "ends within an option", "a value for it")
        rule = Rule(self.name, chain.name, len(chain.rules) + 1, line, matches, target, goto, options)
        if goto or (target and not target.isupper()):
            self.jumps.append((number, self.table, rule))
        chain.rules.append(rule)

    def wrong(self, number, line, got, expected):
        self.errors.append("line %d: %r %s; expected %s" % (number, line, got, expected))

    def finish(self):
        for number, table, rule in self.jumps:
            if rule.target not in table:
                self.wrong(
                    number, rule.text, "goes to the chain %s, which does not exist" % rule.target, "a declared chain"
                )
        if self.table is not None:
            self.errors.append(
                "the end: the table %s has no COMMIT; expected the whole output of iptables-save" % self.name
            )
        if self.errors:
            raise RulesetError("\n".join(self.errors))
        return Ruleset(self.family, self.tables)


_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')


def _words(line):
    if '"' not in line:
        return line.split()
    return [re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2] for found in _QUOTED.finditer(line)]


class _Matches:
    """One rule's words -> matches and target."""

    def __init__(self, family):
        self.family = family
        self.found = []
        self.module, self.label = None, []

    def read(self, words):
        at, count, negated = 2, len(words), False
        while at < count:
            word = words[at]
            at += 1
            if word == "!":
                negated = True
                continue
            if word in ("-j", "--jump", "-g", "--goto"):
                self.close()
                return tuple(self.found), words[at], word in ("-g", "--goto"), tuple(words[at + 1 :])
            if word in ("-m", "--match"):
                self.close()
                self.open(words[at])
                at += 1
            elif word in _OPTIONS:
                arity, reader = _OPTIONS[word]
                values = words[at : at + arity]
                if len(values) < arity:
                    raise IndexError(word)
                at += arity
                self.option(word, reader, values, negated)
            else:
                begin = at
                while at < count and words[at] != "!" and words[at][:1] != "-":
                    at += 1
                self.label.append(" ".join(["!"] * negated + [word] + words[begin:at]))
            negated = False
        self.close()
        return tuple(self.found), None, False, ()

    def option(self, word, reader, values, negated):
        if word in _OF_MODULE and self.module not in _OF_MODULE[word]:
            self.label.append(" ".join(["!"] * negated + [word] + values))
            return
        try:
            match = reader(self.family, values, negated)
        except ValueError:
            match = ("unknown", " ".join(["!"] * negated + [word] + values))
        if match is not None:
            self.found.append(match)

    def open(self, module):
        self.module, self.label = module, []

    def close(self):
        """The end of a module's options: what of it is not modelled becomes one match."""
        module, label = self.module, self.label
        self.module, self.label = None, []
        if module in EXTENSION_HEADERS:
            self.found.append(("never",))
        elif module == "recent" and label and label[0] == "--set":
            pass  # notes the source, and matches every packet (xt_recent.c)
        elif label or (module is not None and module not in MODELLED):
            text = " ".join(([module] if module else []) + label)
            self.found.append(("rate" if module in RATES else "unknown", text))


def complement(intervals, low, high):
    """What of low..high is in none of the intervals."""
    out, at = [], low
    for first, last in intervals:
        if first > at:
            out.append((at, first - 1))
        at = max(at, last + 1)
    if at <= high:
        out.append((at, high))
    return tuple(out)


def merged(intervals):
    """The same set as disjoint, ascending, not adjacent intervals."""
    out = []
    for first, last in sorted(intervals):
        if out and first <= out[-1][1] + 1:
            out[-1] = (out[-1][0], max(last, out[-1][1]))
        else:
            out.append((first, last))
    return tuple(out)


def top(field, family):
    """The highest value of a field."""
    if field in (SRC, DST, ODST):
        return (1 << BITS[family]) - 1
    return LAST_NAME if field in (IIF, OIF) else 255 if field == PROTO else 65535


def _inside(field, family, intervals, negated):
    if negated:
        intervals = complement(intervals, 0, top(field, family))
    return ("in", field, intervals)


@lru_cache(maxsize=65536)
def address_range(text, family):
    """An address or network (prefix length or netmask) -> (first, last). ValueError: a name, or a mask with holes."""
    address, slash, mask = text.partition("/")
    bits = BITS[family]
    number = address_number(address, family)
    if not slash:
        return (number, number)
    if mask.isdigit():
        free = bits - int(mask)
        if free < 0:
            raise ValueError(text)
    else:
        host = address_number(mask, family) ^ ((1 << bits) - 1)
        free = host.bit_length()
        if host != (1 << free) - 1:
            raise ValueError("%s: a mask with holes is no interval" % text)
    low = number >> free << free
    return (low, low + (1 << free) - 1)


def address_number(text, family):
    try:
        return int.from_bytes(socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, text), "big")
    except OSError:
        raise ValueError("%r is not an IPv%d address" % (text, family)) from None


@lru_cache(maxsize=4096)
def interface_range(text):
    """A name, or `wg+` for every name that begins so -> (first, last)."""
    stem = text[:-1] if text.endswith("+") else text
    raw = stem.encode("utf-8", "surrogateescape")
    if len(raw) > NAME_BYTES:
        raise ValueError("an interface's name has at most %d bytes, not %r" % (NAME_BYTES, text))
    low = int.from_bytes(raw.ljust(NAME_BYTES, b"\0"), "big")
    return (low, low | ((1 << 8 * (NAME_BYTES - len(raw))) - 1) if stem is not text else low)


@lru_cache(maxsize=1024)
def protocol_number(text):
    """A protocol's name or number -> number."""
    if text.isdigit():
        if int(text) > 255:
            raise ValueError(text)
        return int(text)
    if text in PROTOCOLS:
        return PROTOCOLS[text]
    try:
        return socket.getprotobyname(text)
    except OSError:
        raise ValueError(text) from None


@lru_cache(maxsize=65536)
def _ports(text):
    first, colon, last = text.partition(":")
    low = int(first) if first else 0
    high = int(last) if last else 65535 if colon else low
    if not 0 <= low <= high <= 65535:
        raise ValueError(text)
    return (low, high)


def _address(field):
    def reader(family, values, negated):
        return _inside(field, family, (address_range(values[0], family),), negated)

    return reader


def _interface(field):
    def reader(family, values, negated):
        return _inside(field, family, (interface_range(values[0]),), negated)

    return reader


def _protocol(family, values, negated):
    number = 0 if values[0] == "all" else protocol_number(values[0])
    if number == 0:
        return None  # every protocol, to iptables
    return _inside(PROTO, family, ((number, number),), negated)


def _port(field):
    def reader(family, values, negated):
        return _inside(field, family, (_ports(values[0]),), negated)

    return reader


def _port_list(field):
    def reader(family, values, negated):
        return _inside(field, family, merged(_ports(item) for item in values[0].split(",")), negated)

    return reader


def _either_port(family, values, negated):
    ports = merged(_ports(item) for item in values[0].split(","))
    if negated:
        return ("both", (SPORT, DPORT), complement(ports, 0, 65535))
    return ("either", (SPORT, DPORT), ports)


def _icmp(family, values, negated):
    kind, slash, code = values[0].partition("/")
    if kind in ("any", "255") and family == 4:
        return None
    number = ICMP_TYPES[family].get(kind)
    number = int(kind) if number is None else number
    low, high = (int(code), int(code)) if slash else (0, 255)
    if not (0 <= number <= 255 and 0 <= low <= high <= 255):
        raise ValueError(values[0])
    return _inside(DPORT, family, ((number * 256 + low, number * 256 + high),), negated)


def _flags(family, values, negated):
    mask, comp = (FLAGS if item == "ALL" else frozenset(item.split(",")) - {"NONE"} for item in values)
    if not (mask | comp) <= FLAGS:
        raise ValueError(values)
    return ("flags", (mask, comp), negated)


def _syn(family, values, negated):
    return ("flags", (frozenset(("SYN", "RST", "ACK", "FIN")), frozenset(("SYN",))), negated)


def _state(family, values, negated):
    return ("state", frozenset(values[0].split(",")), negated)


def _direction(family, values, negated):
    return ("direction", values[0], negated)


def _first(field):
    def reader(family, values, negated):
        interval = address_range(values[0], family) if field in (SRC, DST) else _ports(values[0])
        return ("first", field, _inside(field, family, (interval,), negated)[2])

    return reader


def _type(field):
    def reader(family, values, negated):
        return ("type", (field, frozenset(values[0].split(","))), negated)

    return reader


def _range(field):
    def reader(family, values, negated):
        first, _dash, last = values[0].partition("-")
        low, high = address_number(first, family), address_number(last or first, family)
        if low > high:
            raise ValueError(values[0])
        return _inside(field, family, ((low, high),), negated)

    return reader


def _fragment(family, values, negated):
    return None if negated else ("never",)


def _comment(family, values, negated):
    return None


# option: (number of values, reader(family, values, negated) -> match, or None for one that every packet meets)
_OPTIONS = {
    "-s": (1, _address(SRC)), "--source": (1, _address(SRC)), "--src": (1, _address(SRC)),
    "-d": (1, _address(DST)), "--destination": (1, _address(DST)), "--dst": (1, _address(DST)),
    "-i": (1, _interface(IIF)), "--in-interface": (1, _interface(IIF)),
    "-o": (1, _interface(OIF)), "--out-interface": (1, _interface(OIF)),
    "-p": (1, _protocol), "--protocol": (1, _protocol), "--proto": (1, _protocol),
    "-f": (0, _fragment), "--fragment": (0, _fragment),
    "--sport": (1, _port(SPORT)), "--source-port": (1, _port(SPORT)),
    "--dport": (1, _port(DPORT)), "--destination-port": (1, _port(DPORT)),
    "--sports": (1, _port_list(SPORT)), "--source-ports": (1, _port_list(SPORT)),
    "--dports": (1, _port_list(DPORT)), "--destination-ports": (1, _port_list(DPORT)),
    "--ports": (1, _either_port),
    "--icmp-type": (1, _icmp), "--icmpv6-type": (1, _icmp),
    "--tcp-flags": (2, _flags), "--syn": (0, _syn),
    "--ctstate": (1, _state), "--state": (1, _state), "--ctdir": (1, _direction), "--ctproto": (1, _protocol),
    "--ctorigsrc": (1, _first(SRC)), "--ctorigdst": (1, _first(DST)),
    "--ctorigsrcport": (1, _first(SPORT)), "--ctorigdstport": (1, _first(DPORT)),
    "--src-type": (1, _type(SRC)), "--dst-type": (1, _type(DST)),
    "--src-range": (1, _range(SRC)), "--dst-range": (1, _range(DST)),
    "--comment": (1, _comment),
}  # fmt: skip
# Names that other modules use for something else (policy's --proto, ...): these are modelled in one module only.
_OF_MODULE = {
    "--state": ("state",), "--ports": ("multiport",), "--sports": ("multiport",), "--dports": ("multiport",),
    "--source-ports": ("multiport",), "--destination-ports": ("multiport",), "--comment": ("comment",),
    "--proto": (None,), "--src-range": ("iprange",), "--dst-range": ("iprange",), "--src-type": ("addrtype",), "--dst-type": ("addrtype",),
}  # fmt: skip
