# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The tailnet in the plan of a site: who is on it, who may reach whom over it, and what of it stays on the LAN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    FROM_TAILNET,
    Endpoint,
    Flow,
    Site,
    Tailnet,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import point_text
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.text import table, wrap


def tailnet_text(site: Site, width: int) -> str:
    """The section of the plan; "" for a site without a tailnet."""
    tailnet = site.tailnet
    if tailnet is None:
        return ""
    control = tailnet.control or "Tailscale's own control server"
    head = wrap(f"TAILNET  {control} ({tailnet.dialect}); from -> to, all else is blocked on it", width, "", "  ")
    parts = [
        list(table(["node", "tags", "routes", "exit node for"], _nodes(tailnet), width)) if tailnet.tags else [],
        _block("over the tailnet", _lines(_reached(tailnet.flows), width)),
        _block("SSH", _lines(_ssh(tailnet), width)),
        _block(
            "on the LAN for it", _lines(_reached(flow for flow in site.flows if flow.derived == FROM_TAILNET), width)
        ),
    ]
    return "\n".join([*head, *(line for part in parts for line in part)])


def tailnet_json(tailnet: Tailnet) -> dict[str, Any]:
    """The same as data."""
    return {
        "control": tailnet.control,
        "dialect": tailnet.dialect,
        "prefixes": [str(net) for net in tailnet.prefixes],
        "port": tailnet.port,
        "direct": tailnet.direct,
        "tags": {place: list(tags) for place, tags in tailnet.tags.items()},
        "groups": {name: list(users) for name, users in tailnet.groups.items()},
        "routes": {place: [str(net) for net in nets] for place, nets in tailnet.routes.items()},
        "exit_nodes": {place: _names(ends) for place, ends in tailnet.exit_nodes.items()},
        "flows": [
            {
                "path": flow.path,
                "from": list(flow.sources),
                "to": list(flow.destinations),
                "services": list(flow.services),
                "ports": [str(ports) for ports in flow.all_ports],
                "why": flow.why,
                "until": flow.until.isoformat() if flow.until else None,
                "limit": flow.limit,
                "exit": flow.exit,
            }
            for flow in tailnet.flows
        ],
        "ssh": [
            {"from": _names(rule.sources), "to": _names(rule.destinations), "users": list(rule.users)}
            for rule in tailnet.ssh
        ],
    }


def _names(ends: Iterable[Endpoint]) -> list[str]:
    return [end.name for end in ends]


def _nodes(tailnet: Tailnet) -> list[list[object]]:
    return [
        [
            place,
            ", ".join(tags),
            ", ".join(map(str, tailnet.routes.get(place, ()))) or "-",
            ", ".join(_names(tailnet.exit_nodes.get(place, ()))) or "-",
        ]
        for place, tags in tailnet.tags.items()
    ]


def _reached(flows: Iterable[Flow]) -> Iterator[str]:
    """A line for each two ends, with all services between them."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for flow in flows:
        for source, destination in flow.pairs:
            services = found.setdefault((source.name, _target(destination, flow)), {})
            services.update((f"{name}*" if flow.limit else name, None) for name in flow.services)
    for (start, end), names in found.items():
        yield f"{start} -> {end}: {', '.join(names)}"


def _target(end: Endpoint, flow: Flow) -> str:
    """A destination; of a named address, where it lies, and of the internet, by whom."""
    if flow.exit:
        return f"{end.name} by {flow.exit}"
    addresses = ", ".join(point_text(net.first) if net.single else str(net) for net in end.nets)
    return f"{end.name} ({addresses})" if end.kind == ADDRESS else end.name


def _ssh(tailnet: Tailnet) -> Iterator[str]:
    for rule in tailnet.ssh:
        yield f"{', '.join(_names(rule.sources))} -> {', '.join(_names(rule.destinations))}: as {', '.join(rule.users)}"


def _lines(texts: Iterable[str], width: int) -> list[str]:
    return [line for text in texts for line in wrap(text, width, "    ", "        ")]


def _block(title: str, lines: list[str]) -> list[str]:
    return [f"  {title}", *lines] if lines else []
