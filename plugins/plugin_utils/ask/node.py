# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host as its packets meet it: addresses, routes and rules, of what netfilter_info returned. All of it is what a host says
of itself: its shape is checked, and its size bounded."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Ruleset, RulesetError, parse
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.vocabulary import notes
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.lockout import nft_notes

FAMILIES = (4, 6)
#: The longest text of a command that is read, in characters, and the most entries of a list.
MOST_TEXT, MOST_ENTRIES = 16 << 20, 200000
#: Tables that a packet passes before its route is looked up, and targets there that may choose another one.
_BEFORE_ROUTING, _MARKS = ("raw", "mangle"), ("MARK", "CONNMARK", "HMARK")

Interface = str


class NotRead(ValueError):
    """What a host returned is no answer of netfilter_info; the message says of what."""


class Route(NamedTuple):
    """One route. kind: unicast, local, broadcast, multicast, unreachable, blackhole, prohibit or throw."""

    net: ipaddress.IPv4Network | ipaddress.IPv6Network
    kind: str
    interface: Interface
    gateway: str
    metric: int


class Policy(NamedTuple):
    """A rule that chooses a table of routes. unread: a selector of it that is not modelled."""

    priority: int
    table: str
    source: str
    destination: str
    interface: Interface
    inverted: bool
    marked: bool
    shortest: int
    unread: str


class Node(NamedTuple):
    """addresses: {interface: ["10.0.1.5/24"]}; routes: {family: {table: [Route]}}; policies: {family: [Policy]}."""

    name: str
    addresses: Mapping[Interface, tuple[str, ...]]
    routes: Mapping[int, Mapping[str, tuple[Route, ...]]]
    policies: Mapping[int, tuple[Policy, ...]]
    rulesets: Mapping[int, Ruleset]
    forwards: Mapping[int, bool]
    strict: Mapping[Interface, int]
    bridges: frozenset[Interface] = frozenset()

    @property
    def own(self) -> dict[str, Interface]:
        """{address: its interface}"""
        return {text.partition("/")[0]: name for name, texts in self.addresses.items() for text in texts}

    @property
    def outward(self) -> list[str]:
        """The addresses at which others reach it: none of the host alone, of a link alone, or of a bridge for containers."""
        found = [text for text, interface in self.own.items() if interface not in self.bridges]
        return [text for text in found if not _of_one(ipaddress.ip_address(text))]

    def marks(self, family: int) -> bool:
        """Whether its rules may mark a packet before its route is looked up."""
        tables = self.rulesets[family].tables
        chains = (chain for name in _BEFORE_ROUTING for chain in tables.get(name, {}).values())
        return any(rule.target in _MARKS for chain in chains for rule in chain.rules)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(text for texts in self.addresses.values() for text in texts)


def _of_one(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_loopback or address.is_link_local


def read_node(name: str, said: Any) -> Node:
    """What netfilter_info returned on a host. Raises NotRead."""
    try:
        printed, settings = said["printed"], said["settings"]
        if not isinstance(printed, Mapping) or not isinstance(settings, Mapping):
            raise NotRead("no mapping")
        return Node(
            name,
            _addresses(_json(printed, "addresses")),
            {family: _routes(_json(printed, f"routes{family}"), family) for family in FAMILIES},
            {family: _policies(_json(printed, f"policy{family}")) for family in FAMILIES},
            {family: _ruleset(printed, family) for family in FAMILIES},
            {4: settings.get("ipv4/ip_forward") == "1", 6: settings.get("ipv6/conf/all/forwarding") == "1"},
            _strict(settings),
            _bridges(_json(printed, "addresses")),
        )
    except NotRead:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise NotRead(f"what it returned is not understood: {type(error).__name__}: {error}") from error


def _output(printed: Mapping[str, Any], name: str) -> Optional[tuple[str, str]]:
    """What a command printed, and its messages; None where the host lacks it."""
    if printed[name] is None:
        return None
    status, out, err = printed[name]
    if not isinstance(out, str) or not isinstance(err, str) or len(out) > MOST_TEXT or len(err) > MOST_TEXT:
        raise NotRead(f"{name}: no text of at most {MOST_TEXT} characters")
    if status:
        raise NotRead(f"{name}: the command failed (status {status}): {err.strip() or 'no message'}")
    return out, err


def _json(printed: Mapping[str, Any], name: str) -> Sequence[Any]:
    """The mappings of a list that iproute2 printed; it prints nothing for an empty one."""
    found = _output(printed, name)
    if found is None:
        raise NotRead(f"{name}: the host has no command `ip`")
    entries = json.loads(found[0] or "[]")
    if not isinstance(entries, list) or len(entries) > MOST_ENTRIES:
        raise NotRead(f"{name}: no list of at most {MOST_ENTRIES} entries")
    return [entry for entry in entries if entry]


def _addresses(entries: Sequence[Any]) -> dict[Interface, tuple[str, ...]]:
    return {
        str(entry["ifname"]): tuple(
            str(ipaddress.ip_interface(f"{one['local']}/{one['prefixlen']}"))
            for one in entry.get("addr_info", ())
            if "local" in one
        )
        for entry in entries
    }


def _bridges(entries: Sequence[Any]) -> frozenset[Interface]:
    return frozenset(
        str(entry["ifname"]) for entry in entries if entry.get("linkinfo", {}).get("info_kind") == "bridge"
    )


def _routes(entries: Sequence[Any], family: int) -> dict[str, tuple[Route, ...]]:
    tables: dict[str, list[Route]] = {}
    everything = "0.0.0.0/0" if family == 4 else "::/0"
    for entry in entries:
        text = everything if entry["dst"] == "default" else str(entry["dst"])
        hops = entry.get("nexthops") or [entry]
        for hop in hops:
            gateway = hop.get("gateway") or (hop.get("via") or {}).get("host") or ""
            tables.setdefault(str(entry.get("table", "main")), []).append(
                Route(
                    ipaddress.ip_network(text),
                    str(entry.get("type", "unicast")),
                    str(hop.get("dev", "")),
                    str(gateway),
                    int(entry.get("metric", 0)),
                )
            )
    # The kernel takes the longest prefix, and of those the least metric.
    return {
        name: tuple(sorted(routes, key=lambda route: (-route.net.prefixlen, route.metric)))
        for name, routes in tables.items()
    }


#: The words of a routing rule that are modelled, or that change no decision.
_READ = frozenset(
    "priority src srclen dst dstlen iif table not fwmark fwmask suppress_prefixlen protocol action flags".split()
)


def _policies(entries: Sequence[Any]) -> tuple[Policy, ...]:
    found = []
    for entry in entries:
        unread = sorted(set(entry) - _READ)
        source, destination = (
            ""
            if entry.get(side, "all") in ("all", "any")
            else f"{entry[side]}/{entry[length]}"
            if length in entry
            else str(entry[side])
            for side, length in (("src", "srclen"), ("dst", "dstlen"))
        )
        for text in filter(None, (source, destination)):
            ipaddress.ip_network(text)
        mark = str(entry.get("fwmark", "0"))
        found.append(
            Policy(
                int(entry["priority"]),
                str(entry.get("table", "")),
                source,
                destination,
                str(entry.get("iif", "")),
                "not" in entry,
                int(mark, 0) != 0,
                int(entry.get("suppress_prefixlen", -1)),
                ", ".join(unread) if unread else "" if entry.get("table") else "no table",
            )
        )
    return tuple(sorted(found, key=lambda policy: policy.priority))


def _ruleset(printed: Mapping[str, Any], family: int) -> Ruleset:
    found = _output(printed, f"rules{family}")
    out, err = found or ("", "")
    tables = _output(printed, "nft") if printed.get("nft") and not printed["nft"][0] else None
    # iptables-legacy does not say of itself that it is (nf_tables).
    unseen = [*notes(err), *(nft_notes(tables[0], family, "(nf_tables)" not in out) if tables else ())]
    text = "".join([*(f"# {note}\n" for note in unseen), out])
    try:
        return parse(text, family)
    except RulesetError as error:
        raise NotRead(f"rules{family}: {error}") from error


def _strict(settings: Mapping[str, Any]) -> dict[Interface, int]:
    """{interface: whether the kernel checks the way back: 0, 1 strict, 2 loose}; the larger of all's and its own."""
    found = {path.split("/")[2]: int(value) for path, value in settings.items() if path.startswith("ipv4/conf/")}
    return {name: max(value, found.get("all", 0)) for name, value in found.items()}
