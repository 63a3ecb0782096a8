# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The controller's ways to other hosts through this one: whether a ruleset lets new connections on them pass.

Imported only where a router's change is proven.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Union

from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.iptables import Ruleset
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.packet import Packet, packet
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.program import DENIED, EVERY, Question
from ansible_collections.bulkhead.tiers.plugins.module_utils.packets.unfold import verdict
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.files import Host
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.kernel import Kernel
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.lockout import Beside, candidate_text, read_ruleset
from ansible_collections.bulkhead.tiers.plugins.module_utils.ufw.translations import taken

_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


class _Route(NamedTuple):
    """Where a packet to an address leaves this host; ``own``: the address is this host's."""

    interface: str
    own: bool


class Change(NamedTuple):
    """Ways as texts. ``closed``: open now and not then, or sent to another place then; ``masked``: the other host sees
    another address of the client then."""

    closed: list[str]
    masked: list[str]


def cut(
    host: Host,
    ways: Sequence[Mapping[str, Any]],
    now: Mapping[int, Kernel],
    then: Mapping[int, Kernel],
    besides: Mapping[int, Beside],
) -> Change:
    """What the change does to the ways that are open now.

    ways: [{host, client, server, port}], as the controller found them; one whose ends are not known is passed over.
    now, then: the kernels by family. besides: what there is beside the filter tables that change (lockout.read_beside).
    """
    before, after = (
        {family: read_ruleset(candidate_text(beside, kernels[family]), family) for family, beside in besides.items()}
        for kernels in (now, then)
    )
    routes: dict[str, _Route] = {}
    found = Change([], [])
    for way in ways:
        ends = _ends(way)
        if ends is None:
            continue
        client, server = ends
        family = client.version
        if family not in before:
            continue
        inward, outward = (_route(host, end, routes) for end in (client, server))
        if outward.own or not outward.interface or (inward.interface == outward.interface and not inward.own):
            continue  # to this host itself, nowhere, or beside it
        # The source port is any: one that the system gives out.
        inside = "" if inward.own else inward.interface
        one = packet(family, str(client), str(server), port=way["port"], inside=inside, outside=outward.interface)
        hook = "OUTPUT" if inward.own else "FORWARD"
        question = Question(hook, "NEW", (str(client),) if inward.own else ())
        if not _open(before[family], one, question):
            continue
        text = f"{way['host']} ({client} -> {server} port {way['port']})"
        translated = partial(taken, now[family], then[family], family, one, Question(hook, "NEW", EVERY))
        if not _open(after[family], one, question) or translated():
            found.closed.append(text)
        elif translated(masks=True):
            found.masked.append(text)
    return found


def _ends(way: Mapping[str, Any]) -> Any:
    try:
        client, server = ipaddress.ip_address(way["client"]), ipaddress.ip_address(way["server"])
    except ValueError:
        return None
    return (client, server) if client.version == server.version and 0 < way["port"] < 65536 else None


def _route(host: Host, address: _Address, known: dict[str, _Route]) -> _Route:
    text = str(address)
    if text not in known:
        done = host.run(["ip", "-o", "route", "get", text])
        words = [] if done.status else done.out.split()
        interface = words[words.index("dev") + 1] if "dev" in words[:-1] else ""
        known[text] = _Route(interface, words[:1] == ["local"])
    return known[text]


def _open(ruleset: Ruleset, one: Packet, question: Question) -> bool:
    """Whether a new connection may pass; where that depends on what is not known, it counts as open."""
    found = verdict(ruleset, one, question)
    return found is None or found.answer != DENIED
