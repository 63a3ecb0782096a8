# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the site's flows let a host send to: the other side of the rules that compile/ufw.py writes for who receives."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import destination_spans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import Ports
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net


def host_reach(site: Site, tiers: Collection[str], gateway: bool, name: str, service: str) -> list[dict[str, Any]]:
    """[{address, proto, port}]: where a host may use a service of a named host; [] where it may not.

    site: a Site; tiers: the names of the tiers that the host is in; gateway: whether it is a router; name: a key of
    bulkhead_addresses; service: a key of bulkhead_services. Both must be declared. In the declared order, the first
    port of a range stands for it.

    A host's own address is not part of the site, its tiers' subnets are: a flow counts that lets the whole subnet in.
    """
    return [
        {"address": str(address), "proto": ports.proto, "port": ports.first}
        for address in site.addresses[name]
        for ports in site.services[service]
        if _may(site, _sources(site, tiers, gateway, address), address, ports)
    ]


def _sources(site: Site, tiers: Collection[str], gateway: bool, address: Net) -> list[list[Net]]:
    """The blocks that a host's packets to an address may come from: lists of which each must be let in, one suffices."""
    choices = [[subnet] for subnet in site.subnets_of(tiers)]
    if gateway:
        # A router sends from its leg in the destination's own subnet; to anywhere else it may be any of them.
        near = [
            leg
            for leg in site.legs
            if any(net.holds(leg) and net.holds(address) for tier in site.tiers.values() for net in tier.subnets)
        ]
        choices.append(near or [leg for leg in site.legs if leg.version == address.version])
    return [choice for choice in choices if choice and all(net.version == address.version for net in choice)]


def _may(site: Site, choices: Iterable[Sequence[Net]], address: Net, ports: Ports) -> bool:
    return any(all(_allowed(site, source, address, ports) for source in choice) for choice in choices)


def _allowed(site: Site, source: Net, address: Net, ports: Ports) -> bool:
    """Whether one flow allows everything from a block to an address and some ports. No host of a tier is the internet."""
    return any(
        any(allowed.covers(ports) for allowed in flow.all_ports)
        and any(
            any(net.holds(source) for net in pair.source.nets)
            and any(span.holds(address) for span in destination_spans(site, pair.destination))
            for pair in flow.pairs
        )
        for flow in site.flows
    )
