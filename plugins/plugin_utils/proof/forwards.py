# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the gateways forward, for the proof: a probe of a forwarded port is asked of the gateway, answered by the host that
the site names, and judged where it arrives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.jobs import GATEWAY, Arrival, Leg
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.model import INTERNET, Site
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.nat import forwards
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.policy import source_spans
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import parse_address


class Forwards:
    """The forwarded ports of a site between the legs of a proof."""

    def __init__(self, site: Site, legs: Sequence[Leg]) -> None:
        found = list(forwards(site))
        # As they are compiled: what names its source comes first.
        found.sort(key=lambda asked: asked.source.kind == INTERNET)
        self._asked = [(asked, source_spans(site, asked.source)) for asked in found]
        self._legs = {leg.address: leg for leg in legs}

    def arrival(self, source: Leg, dest: Leg, proto: str, port: int) -> Optional[Arrival]:
        """Where a probe of a gateway arrives instead; None where it is not forwarded."""
        if dest.place != GATEWAY:
            return None
        sender = parse_address(source.address)
        for asked, spans in self._asked:
            at = asked.at
            if (
                at.proto == proto
                and at.first <= port <= at.last
                and (asked.address is None or str(asked.address) == dest.address)
                and any(span.holds(sender) for span in spans)
            ):
                return Arrival(self._legs.get(str(asked.target)), asked.arrives or port)
        return None

    @property
    def unproven(self) -> list[str]:
        """What is forwarded to addresses that no host of the proof has."""
        return list(
            dict.fromkeys(f"{asked.target}" for asked, _spans in self._asked if str(asked.target) not in self._legs)
        )
