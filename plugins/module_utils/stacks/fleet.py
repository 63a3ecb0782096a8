# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All stacks of one run together, with what the site says of their networks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Mapping, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.recognise import is_traefik

#: Zones that the outside reaches through the proxy, and the zone where the Docker API is spoken.
PUBLIC_ZONES = frozenset(("public", "ingress", "edge", "dmz"))
SOCKET = "socket"

#: Words in the name of a network that nobody gave a zone, and the zone that they come to.
_ZONE_WORDS = {
    "public": "public",
    "ingress": "public",
    "edge": "public",
    "dmz": "public",
    "proxy": "public",
    "frontend": "public",
    "socket": "socket",
    "private": "private",
    "backend": "private",
    "internal": "private",
}
_SEPARATORS = re.compile(r"[^a-z0-9]+")


class SiteNetwork(NamedTuple):
    """What the site declares of a network."""

    zone: str = ""
    internal: bool = False
    subnets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Architecture:
    """What the stacks are held against.

    networks: the site's, None where no site is known; reserved: {what: CIDRs} that no network may overlap; proxies:
    networks on which Traefik is, if it is in none of the stacks; demands: (pattern of service names, zones).
    """

    networks: Optional[Mapping[str, SiteNetwork]] = None
    reserved: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    proxies: tuple[str, ...] = ()
    demands: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Fleet:
    """stacks: of read.Stack; what one of them declares, the others may use."""

    def __init__(self, stacks, architecture):
        self.stacks = tuple(stacks)
        self.site = architecture
        self.services = tuple(service for stack in self.stacks for service in stack.services)
        self.networks = tuple(network for stack in self.stacks for network in stack.networks.values())

    @cached_property
    def _made(self):
        """The real names of the networks that a stack of this run makes."""
        return {network.name for network in self.networks if not network.external}

    @cached_property
    def _internal(self):
        return {network.name: network.internal for network in self.networks if network.internal is not None}

    @cached_property
    def _zoned(self):
        return {network.name: network.zone for network in self.networks if network.zone}

    def knows(self, name):
        """Whether the site declares a network, or a stack of this run makes it."""
        return name in self._made or name in (self.site.networks or {})

    def zone(self, name):
        """A network's zone: what the site says, else its label, else what its name says; "" where nothing does."""
        declared = (self.site.networks or {}).get(name)
        if declared and declared.zone:
            return declared.zone
        if name in self._zoned:
            return self._zoned[name]
        words = _SEPARATORS.split(name.lower())
        return next((_ZONE_WORDS[word] for word in words if word in _ZONE_WORDS), "")

    def is_public(self, name):
        return self.zone(name) in PUBLIC_ZONES

    def is_socket(self, name):
        return self.zone(name) == SOCKET

    def is_internal(self, name):
        """Whether a network has no way out; False where nobody says."""
        declared = (self.site.networks or {}).get(name)
        return declared.internal if declared else self._internal.get(name, False)

    def named(self, name, asking):
        """The services, beside the one that asks, that a name means where they share a network with it."""
        return [other for other in self._by_name.get(name, ()) if other is not asking]

    @cached_property
    def _by_name(self):
        found = {}
        for service in self.services:
            for name in service.names:
                found.setdefault(name, []).append(service)
        return found

    @cached_property
    def proxy_networks(self):
        """The networks on which a proxy finds the services that it shall publish; empty where none is known."""
        found = dict.fromkeys(self.site.proxies)
        for service in self.services:
            if is_traefik(service):
                found.update(dict.fromkeys(service.networks))
        if not found:
            names = [network.name for network in self.networks] + list(self.site.networks or ())
            found = dict.fromkeys(name for name in names if self.is_public(name))
        return tuple(found)


def zone_text(fleet, name):
    """A network with its zone, for a message."""
    zone = fleet.zone(name)
    return f"{name} (zone {zone})" if zone else f"{name} (no zone)"
