# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The matrix of flows: which service is open from where to where, place by place."""

from __future__ import annotations

from typing import NamedTuple

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import (
    ADDRESS,
    GATEWAY,
    INTERNET,
    LINK,
    NETWORK,
    Endpoint,
    Flow,
    Site,
)
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.ports import ANY
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import EVERYTHING


class Entry(NamedTuple):
    """A service that is open between two places.

    only: the text of an end that is only a part of its place, such as "to maas"; empty where it is the whole.
    """

    service: str
    only: str
    flow: Flow

    @property
    def label(self) -> str:
        """The service as the matrix shows it: with a star where a limit holds."""
        return f"{self.service}*" if self.flow.limit else self.service


#: {(from place, to place): its entries}
Matrix = dict[tuple[str, str], list[Entry]]


def places(site: Site) -> list[str]:
    """The rows and columns of the matrix: the tiers, the networks that a flow names addresses of, gateway, internet."""
    named = {
        place
        for flow in site.flows + site.never
        for pair in flow.pairs
        for end in pair
        for place in places_of(site, end)
    }
    networks = (_place(site, name) for name in site.networks)
    return [*site.tiers, *(name for name in networks if name in named), GATEWAY, INTERNET]


def _place(site: Site, network: str) -> str:
    """The place of a Docker network: its name, unless a tier or something else of the matrix is called so."""
    return f"network {network}" if network in (*site.tiers, GATEWAY, INTERNET) else network


def places_of(site: Site, endpoint: Endpoint) -> list[str]:
    """The places that an endpoint touches: its own name, or where its addresses lie."""
    if endpoint.kind not in (ADDRESS, NETWORK):
        return [endpoint.name]
    found: dict[str, bool] = {}
    for net in endpoint.nets:
        if net in site.legs:
            found[GATEWAY] = True
            continue
        homes = [tier.name for tier in site.tiers.values() if any(subnet.meets(net) for subnet in tier.subnets)]
        homes += [
            _place(site, network.name)
            for network in site.networks.values()
            if any(subnet.meets(net) for subnet in network.subnets)
        ]
        found.update(dict.fromkeys(homes if site.is_own(net) else [*homes, INTERNET], True))
    return list(found)


def matrix(site: Site) -> Matrix:
    """What is open between each two places."""
    cells: Matrix = {}
    for flow in site.flows:
        for source, destination in flow.pairs:
            only = " ".join(
                f"{word} {end.name}"
                for word, end in (("from", source), ("to", destination))
                # What is open from anywhere is not narrowed.
                if end.kind in (ADDRESS, NETWORK) and end.nets != EVERYTHING
            )
            if destination.kind == LINK and not flow.derived:
                only = f"{only} to {', '.join(map(str, destination.nets))}".strip()
            for start in places_of(site, source):
                for end in places_of(site, destination):
                    cell = cells.setdefault((start, end), [])
                    cell += [Entry(service, only, flow) for service in flow.services]
    return cells


def forbidden(site: Site) -> set[tuple[str, str]]:
    """The (from place, to place) that an invariant closes altogether."""
    return {
        (pair.source.name, pair.destination.name)
        for never in site.never
        if ANY in never.services
        for pair in never.pairs
        if pair.destination.kind != LINK
    }
