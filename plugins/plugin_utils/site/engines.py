# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The settings of the Docker Engines, tier by tier, in the words of daemon.json, and what of the site they contradict."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Engine, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.reader import Reader, suggestion
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import (
    Net,
    parse_address,
    parse_point,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable

#: Kinds of mistakes: an engine that may not write its rules, and yet has to translate; one that keeps its containers over
#: a restart in a Swarm, which refuses to.
WITHOUT_RULES, LIVE_RESTORE = "engine-iptables", "engine-live-restore"

EXAMPLE = "{mtu: 1450, metrics-addr: '0.0.0.0:9323'}"
_SWITCHES = ("iptables", "ip6tables", "ip-masq", "userland-proxy", "live-restore", "icc")
#: The settings that concern the network, or what is measured of it; all others are the role docker_engine's.
KNOWN = ("mtu", "bip", "fixed-cidr", "metrics-addr", "labels", *_SWITCHES)


def read_engines(reader: Reader, raw: object, tiers: Mapping[str, object]) -> dict[str, Engine]:
    """{tier: the Engine of its hosts}."""
    result = {}
    for name, value in reader.mapping("bulkhead_engines", raw, "tiers", f"swarm_workers: {EXAMPLE}").items():
        path = f"bulkhead_engines.{name}"
        if name not in tiers:
            remedy = suggestion(name, tiers) or f"name one of {', '.join(tiers)}"
            reader.refuse(path, name, "a tier", remedy)
            continue
        result[name] = _read_engine(reader, path, reader.fields(path, value, KNOWN, EXAMPLE))
    return result


def _read_engine(reader: Reader, path: str, known: Mapping[str, Any]) -> Engine:
    settings: dict[str, Any] = {}
    for key, value in known.items():
        where = f"{path}.{key}"
        if key in _SWITCHES:
            settings[key] = reader.boolean(where, value)
        elif key == "mtu":
            settings[key] = reader.integer(where, value, "an MTU", 68, 65535, required=True)
        elif key == "labels":
            settings[key] = [item for _where, item in reader.items(where, value, "a label, as a list", "[disk=fast]")]
        elif key == "metrics-addr":
            settings[key] = _socket(reader, where, value)
        else:
            settings[key] = reader.text(where, value)
    bip = _bridge(reader, f"{path}.bip", settings["bip"]) if settings.get("bip") else None
    fixed = reader.net(f"{path}.fixed-cidr", settings["fixed-cidr"]) if settings.get("fixed-cidr") else None
    if fixed and not (bip and bip.holds(fixed)):
        expected = f"a part of {bip}" if bip else "a part of bip"
        reader.note(f"{path}.fixed-cidr", str(fixed), expected, "change one of the two" if bip else "add bip")
    return Engine({key: value for key, value in settings.items() if value is not None}, bip)


def _bridge(reader: Reader, path: str, value: str) -> Optional[Net]:
    """The network of docker0's address: "172.28.0.1/24"."""
    address, slash, prefix = value.partition("/")
    try:
        point = parse_address(address)
        length = int(prefix) if slash and prefix.isascii() and prefix.isdecimal() else -1
        size = (128 if point.version == 6 else 32) - length
        if not 2 <= size <= 30:
            raise Unreadable("an address with a prefix length", "write it like 172.28.0.1/24")
        first = point.first >> size << size
        net = Net(first, first + (1 << size) - 1)
        if point.first == first:
            raise Unreadable("the bridge's own address in its network", f"write it like {_next(net)}/{net.prefix}")
        return net
    except Unreadable as error:
        reader.refuse(path, value, error.expected, error.remedy)
        return None


def _next(net: Net) -> str:
    return str(replace(net, first=net.first + 1, last=net.first + 1))


def _socket(reader: Reader, path: str, value: object) -> Optional[str]:
    text = reader.text(path, value)
    address, _colon, port = text.rpartition(":")
    try:
        parse_point(address.strip("[]"))
        if port.isascii() and port.isdecimal() and 1 <= int(port[:6]) <= 65535:
            return text
    except Unreadable:
        pass
    reader.refuse(path, value, "an address and a port", "write it like 0.0.0.0:9323")
    return None


def check_engines(reader: Reader, site: Site) -> None:
    """Note settings that contradict the networks, the stacks or the Swarm of the same hosts."""
    for name, engine in site.engines.items():
        path = f"bulkhead_engines.{name}"
        if engine.settings.get("iptables") is False:
            for other, what in _translated(site, name):
                reader.note(
                    f"{path}.iptables",
                    "false",
                    f"an engine that writes its rules: {what} ({other})",
                    "leave it out: who reaches published ports is for the flows, in DOCKER-USER",
                    WITHOUT_RULES,
                    other,
                )
        if engine.settings.get("live-restore") and site.swarm.tier == name:
            reader.note(
                f"{path}.live-restore",
                "true",
                "an engine that a Swarm takes (bulkhead_swarm.tier): none with live-restore",
                "leave it out, a Swarm starts its tasks elsewhere",
                LIVE_RESTORE,
                "bulkhead_swarm.tier",
            )


def _translated(site: Site, tier: str) -> Iterator[tuple[str, str]]:
    """(path, what) of what needs the engine's address translation on hosts of a tier."""
    for network in site.networks.values():
        if tier in network.tiers and network.masquerades and not network.internal:
            yield (
                f"bulkhead_networks.{network.name}",
                f"network {network.name} masquerades, and its ports are published",
            )
    for stack in site.stacks.values():
        if tier in stack.tiers:
            yield f"bulkhead_stacks.{stack.name}", f"stack {stack.name} publishes ports"
    if site.swarm.tier == tier:
        yield "bulkhead_swarm.tier", "a Swarm publishes ports"


def settings_of(site: Site, tiers: Collection[str]) -> dict[str, Any]:
    """What daemon.json of a host of some tiers gets, the later tier's last."""
    return {key: value for name in tiers if name in site.engines for key, value in site.engines[name].settings.items()}
