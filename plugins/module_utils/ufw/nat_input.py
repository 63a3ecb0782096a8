# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The option ``nat``: what it says as blocks of rules. Imported where a task has the option."""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.fields import (
    Fields,
    parse_address,
    parse_comment,
    parse_families,
    parse_ports,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.nat_block import (
    CHAINS,
    FORWARD,
    MASQUERADE,
    NONE,
    NatBlock,
    NatWish,
    Translation,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.rule import ANYWHERE

_SOURCES = {"from": "from_ip", "src": "from_ip", "to": "to_ip", "dest": "to_ip"}


class _Option(Fields):
    """The option ``nat`` itself."""

    options = tuple(CHAINS)
    subject = "nat"
    example = "{masquerade: [{from_ip: 10.0.1.0/24}]}"


class _Forward(Fields):
    """An item of ``forward``."""

    options = ("rule", "proto", "from_ip", "to_ip", "port", "target", "target_port", "comment")
    aliases = {**_SOURCES, "to_port": "port"}
    subject = "a forwarded port"
    example = "{proto: tcp, port: 443, target: 10.0.1.10}"


class _Masquerade(Fields):
    """An item of ``masquerade``."""

    options = ("rule", "from_ip", "to_ip", "comment")
    aliases = _SOURCES
    subject = "what is masqueraded"
    example = "{from_ip: 10.0.1.0/24}"


def parse_nat(raw: Any, use_ipv6: bool) -> NatWish:
    """Check the option ``nat``; Refused holds every mistake with its key path. ``use_ipv6`` is whether ufw filters IPv6
    on this host."""
    mistakes: list[Mistake] = []
    option = _Option("nat", mistakes, [])
    if not option.load(raw):
        raise Refused(mistakes)
    lists: dict[str, dict[int, list[Translation]]] = {}
    for name, kind, parse in (("forward", _Forward, _forward), ("masquerade", _Masquerade, _masquerade)):
        lists[name] = {4: [], 6: []}
        items = option.values.get(name) or ()
        if not isinstance(items, (list, tuple)):
            option.fail(name, repr(items), f"a list such as [{kind.example}]", "write a list")
            continue
        for index, item in enumerate(items):
            fields = kind(f"nat.{name}[{index}]", mistakes, option.warnings)
            before = len(mistakes)
            found = parse(fields, use_ipv6) if fields.load(item) else {}
            if len(mistakes) == before:
                for family, entries in found.items():
                    lists[name][family] += entries
    if mistakes:
        raise Refused(mistakes)
    blocks = {family: _block(lists, family) for family in (4, 6)}
    return NatWish(blocks, tuple(option.warnings))


def check_nat(raw: Any) -> list[Mistake]:
    """What is wrong with the option on any host."""
    try:
        parse_nat(raw, True)
    except Refused as error:
        return list(error.mistakes)
    return []


def _block(lists: dict[str, dict[int, list[Translation]]], family: int) -> Optional[NatBlock]:
    forward, masquerade = (tuple(lists[name][family]) for name in CHAINS)
    return NatBlock(forward, masquerade) if forward or masquerade else None


def _forward(fields: Fields, use_ipv6: bool) -> dict[int, list[Translation]]:
    kind = fields.choice("rule", (FORWARD, NONE), FORWARD)
    proto = fields.choice("proto", ("any", "tcp", "udp"), "any")
    src, src_family = parse_address(fields, "from_ip")
    dst, dst_family = parse_address(fields, "to_ip")
    target, target_family = parse_address(fields, "target")
    ports, proto = parse_ports(fields, "port", proto)
    to_port, _proto = parse_ports(fields, "target_port", proto if proto != "any" else "tcp")
    comment = parse_comment(fields, one_line=True)
    if kind == NONE and (target or to_port != "any"):
        fields.fail("target", "a target with rule: none, which translates nothing", "one of them", "keep one of them")
    if kind == FORWARD:
        _check_target(fields, target, ports, to_port)
        if target_family and dst_family and target_family != dst_family:
            fields.fail(
                "target", f"IPv{target_family} where to_ip is IPv{dst_family}", "one family", "correct one of them"
            )
    elif not (src or dst):
        fields.fail("from_ip", "nothing", "a network or an address, here or in to_ip", "say what is left alone")
    families = parse_families(fields, proto, src_family, dst_family or target_family, use_ipv6)
    protocols = ("tcp", "udp") if proto == "any" and ports != "any" else (proto,)
    return {
        family: [
            Translation(
                kind,
                src or ANYWHERE[family],
                dst or ANYWHERE[family],
                name,
                port,
                target,
                "" if to_port in ("any", port) else to_port,
                comment,
            )
            for name in protocols
            for port in ports.split(",")
        ]
        for family in families
    }


def _check_target(fields: Fields, target: str, ports: str, to_port: str) -> None:
    if not target or "/" in target:
        fields.fail(
            "target", repr(target) if target else "nothing", "the address of one host", "say where to forward it"
        )
    if ports == "any":
        fields.fail("port", "any", "the ports that are forwarded", "name them: the host itself answers at all others")
    if to_port != "any" and not (to_port.isdigit() and ports.isdigit()):
        fields.fail("target_port", to_port, "one port for one port", "forward a list or a range to the same ports")


def _masquerade(fields: Fields, use_ipv6: bool) -> dict[int, list[Translation]]:
    kind = fields.choice("rule", (MASQUERADE, NONE), MASQUERADE)
    src, src_family = parse_address(fields, "from_ip")
    dst, dst_family = parse_address(fields, "to_ip")
    comment = parse_comment(fields, one_line=True)
    if not src and not (kind == NONE and dst):
        fields.fail("from_ip", "any", "the network whose hosts get this host's address", "name it")
    families = parse_families(fields, "any", src_family, dst_family, use_ipv6)
    return {
        family: [Translation(kind, src or ANYWHERE[family], dst or ANYWHERE[family], comment=comment)]
        for family in families
    }
