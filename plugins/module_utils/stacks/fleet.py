# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All stacks of one run together, with what the site says of their networks."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Iterable, Mapping, NamedTuple, Optional, TypeVar

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import SWARM, Service, Stack
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.recognise import (
    data_by,
    is_edge,
    is_socket_proxy,
    is_traefik,
    once,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.references import docker_endpoints, references

#: Zones that the outside reaches through the proxy, and the zone where the Docker API is spoken.
PUBLIC_ZONES = frozenset(("public", "ingress", "edge", "dmz"))
PUBLIC, SOCKET = "public", "socket"

#: Words in the name of a network that has no zone by declaration or label, and the zone that they come to.
_ZONE_WORDS = {
    "public": "public",
    "ingress": "public",
    "edge": "public",
    "dmz": "public",
    "proxy": "public",
    "frontend": "public",
    "private": "private",
    "backend": "private",
    "internal": "private",
}
#: Words in the names of networks on which the Docker API is spoken, whatever other words they hold.
_SOCKET_WORDS = frozenset("dockerapi dockersock dockersocket sock socket socketproxy".split())
#: Labels of Traefik: whether it publishes a service, how, and over which network.
ENABLE = "traefik.enable"
_ROUTING = ("traefik.http.", "traefik.tcp.", "traefik.udp.")
DOCKER_NETWORK, SWARM_NETWORK = "traefik.docker.network", "traefik.swarm.network"
#: Words in the names of external networks that are called after the proxy that is on them.
_PROXY_WORDS = frozenset("caddy nginx npm proxynet reverseproxy traefik webproxy".split())
#: Services of one name in different stacks that are looked at.
_MOST_NAMESAKES = 100
_SEPARATORS = re.compile(r"[^a-z0-9]+")


class SiteNetwork(NamedTuple):
    """What the site declares of a network; driver is "" and tiers are none where it does not say."""

    zone: str = ""
    internal: bool = False
    subnets: tuple[str, ...] = ()
    driver: str = ""
    attachable: bool = False
    tiers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Architecture:
    """What the stacks are held against.

    networks: the site's, None where no site is known; reserved: {what: CIDRs} that no network may overlap; pools:
    {name: CIDRs} that the site's own networks are from; proxies: networks on which Traefik is, if it is in none of the
    stacks; demands: (pattern of service names, zones).
    """

    networks: Optional[Mapping[str, SiteNetwork]] = None
    reserved: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pools: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    proxies: tuple[str, ...] = ()
    demands: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Fleet:
    """The stacks of one run; what one of them declares, the others may use."""

    def __init__(self, stacks: Iterable[Stack], architecture: Architecture) -> None:
        self.stacks = tuple(stacks)
        self.site = architecture
        self.services = tuple(service for stack in self.stacks for service in stack.services)
        self.networks = tuple(network for stack in self.stacks for network in stack.networks.values())

    @cached_property
    def _made(self) -> set[str]:
        """The real names of the networks that a stack of this run makes."""
        return {network.name for network in self.networks if not network.external}

    @cached_property
    def _internal(self) -> dict[str, bool]:
        return {network.name: network.internal for network in self.networks if network.internal is not None}

    @cached_property
    def _labelled(self) -> dict[str, str]:
        return {network.name: network.zone for network in self.networks if network.zone}

    @cached_property
    def _zones(self) -> dict[str, str]:
        """What zone has told, by network."""
        return {}

    @cached_property
    def members(self) -> dict[str, list[Service]]:
        """{network: the services on it}."""
        return _index((name, service) for service in self.services for name in service.networks)

    def knows(self, name: str) -> bool:
        """Whether the site declares a network, or a stack of this run makes it."""
        return name in self._made or name in (self.site.networks or {})

    def kind(self, name: str) -> tuple[str, bool]:
        """(driver, attachable) of a network, by the site or the stack that makes it; ("", False) where none says."""
        declared = self.declared(name)
        if declared:
            return declared.driver, declared.attachable
        return self._kinds.get(name, ("", False))

    @cached_property
    def _kinds(self) -> dict[str, tuple[str, bool]]:
        return {
            network.name: (network.driver or ("overlay" if stack.kind == SWARM else "bridge"), network.attachable)
            for stack in self.stacks
            for network in stack.networks.values()
            if not network.external
        }

    def declared(self, name: str) -> Optional[SiteNetwork]:
        """What the site says of a network; None where it does not know it."""
        return (self.site.networks or {}).get(name)

    def zone(self, name: str) -> str:
        """A network's zone: what the site says, else its label, else its name, else its use; "" where nothing does."""
        if name not in self._zones:
            declared = self.declared(name)
            self._zones[name] = (
                (declared.zone if declared else "")
                or self._labelled.get(name, "")
                or _zone_of_name(self._own_names.get(name, name))
                or self._zone_of_use(name)
            )
        return self._zones[name]

    @cached_property
    def _own_names(self) -> dict[str, str]:
        """{network: its name without that of the stack that makes it}: stack edge is no reason to be of zone edge."""
        return {
            network.name: network.name[len(network.stack) + 1 :]
            for network in self.networks
            if not network.external and network.name.startswith(f"{network.stack}_")
        }

    def _zone_of_use(self, name: str) -> str:
        """The zone that a network comes to by those that use it, where no site declares the networks."""
        if self.site.networks is not None:
            return ""
        if name in self._published:
            return PUBLIC
        members = self.members.get(name, ())
        if any(map(is_socket_proxy, members)) and all(once(service, "asks", self._asks) for service in members):
            return SOCKET
        return ""

    @cached_property
    def socket_names(self) -> frozenset[str]:
        """The names by which socket proxies are found."""
        return frozenset(name for service in self.services if is_socket_proxy(service) for name in service.names)

    def _asks(self, service: Service) -> bool:
        """Whether a service is a socket proxy, or a client of one; Traefik may say so in a file of its own."""
        return (
            is_socket_proxy(service)
            or is_traefik(service)
            or any(text.value in self.socket_names for text in (*references(service), *service.awaits))
            or any(True for _endpoint in docker_endpoints(service, self))
        )

    @cached_property
    def _published(self) -> set[str]:
        """The external networks over which a proxy reaches what it publishes."""
        external = {network.name for network in self.networks if network.external}
        found = {name for name in external if _PROXY_WORDS.intersection(_SEPARATORS.split(name.lower()))}
        for service in self.services:
            # Traefik and its like are in no network that a stack makes for itself.
            reached = [name for name in service.networks if name in external]
            named = [
                service.labels[label].value for label in (DOCKER_NETWORK, SWARM_NETWORK) if label in service.labels
            ]
            if is_edge(service):
                found.update(reached)
            elif named:
                found.update(named)
            elif len(reached) == 1 and (is_published(service) or _is_fronted(service)):
                found.update(reached)
        return {name for name in found & external if _zone_of_name(name) != SOCKET}

    def is_public(self, name: str) -> bool:
        return self.zone(name) in PUBLIC_ZONES

    def is_socket(self, name: str) -> bool:
        return self.zone(name) == SOCKET

    def is_internal(self, name: str) -> bool:
        """Whether a network has no way out; False where nothing says."""
        declared = self.declared(name)
        return declared.internal if declared else self._internal.get(name, False)

    def names(self, name: str, asking: Service) -> bool:
        """Whether a name is one of a service beside the one that asks."""
        return any(other is not asking for other in self._by_name.get(name, ())[:2])

    def near(self, name: str, asking: Service) -> Optional[Service]:
        """The service that a name means on the networks of the one that asks."""
        others = self._by_name.get(name, ())
        if len(others) > _MOST_NAMESAKES:
            ends = (self._by_end.get((name, network), ())[:2] for network in asking.networks)
            return next((other for found in ends for other in found if other is not asking), None)
        networks = asking.networks.keys()
        return next((one for one in others if one is not asking and not networks.isdisjoint(one.networks)), None)

    def far(self, name: str, asking: Service) -> Optional[Service]:
        """The service that a name means, wherever it is: one of the same stack, or one that other stacks are meant to
        reach, for it is on a network of the site."""
        shared = self.site.networks or {}
        for other in (
            *self._by_stack.get((name, asking.stack), ())[:2],
            *self._by_name.get(name, ())[:_MOST_NAMESAKES],
        ):
            if other is not asking and (other.stack == asking.stack or any(key in shared for key in other.networks)):
                return other
        return None

    @cached_property
    def _talkers(self) -> list[Service]:
        """The services that others may mean; the Docker API has rules of its own."""
        return [service for service in self.services if service.networks and not is_socket_proxy(service)]

    @cached_property
    def _by_name(self) -> dict[str, list[Service]]:
        return _index((name, service) for service in self._talkers for name in service.names)

    @cached_property
    def _by_stack(self) -> dict[tuple[str, str], list[Service]]:
        return _index(((name, service.stack), service) for service in self._talkers for name in service.names)

    @cached_property
    def _by_end(self) -> dict[tuple[str, str], list[Service]]:
        return _index(
            ((name, network), service)
            for service in self._talkers
            for name in service.names
            for network in service.networks
        )

    @cached_property
    def data(self) -> dict[str, list[Service]]:
        """{network: the data services on it}."""
        return {
            name: sorted((one for one in services if data_by(one)), key=lambda one: one.where)
            for name, services in self.members.items()
        }

    @cached_property
    def proxy_networks(self) -> tuple[str, ...]:
        """The networks on which a proxy finds the services that it shall publish; empty where none is known.

        Traefik is also on networks where it only asks: the socket proxy's, that of its own database.
        """
        found = dict.fromkeys(self.site.proxies)
        for service in filter(is_traefik, self.services):
            found.update(dict.fromkeys(name for name in service.networks if not self.is_socket(name)))
        if not found:
            names = [network.name for network in self.networks] + list(self.site.networks or ())
            found = dict.fromkeys(name for name in names if self.is_public(name))
        return tuple(found)


_Key = TypeVar("_Key")


def _index(items: Iterable[tuple[_Key, Service]]) -> dict[_Key, list[Service]]:
    found: dict[_Key, list[Service]] = {}
    for key, service in items:
        found.setdefault(key, []).append(service)
    return found


def is_published(service: Service) -> bool:
    """Whether Traefik is told to publish a service; Traefik itself serves its dashboard without a network."""
    if is_traefik(service) or service.mode.value:
        return False
    enabled = service.labels.get(ENABLE)
    if enabled and not enabled.unset:
        return enabled.value.strip().lower() in ("true", "1")
    return any(label.startswith(_ROUTING) for label in service.labels)


def _is_fronted(service: Service) -> bool:
    """Whether a service asks nginx-proxy or caddy-docker-proxy to publish it."""
    return "VIRTUAL_HOST" in service.environment or any(label.split(".")[0] == "caddy" for label in service.labels)


def _zone_of_name(name: str) -> str:
    words = _SEPARATORS.split(name.lower())
    if _SOCKET_WORDS.intersection(words):
        return SOCKET
    return next((_ZONE_WORDS[word] for word in words if word in _ZONE_WORDS), "")


def zone_text(fleet: Fleet, name: str) -> str:
    """A network with its zone, for a message."""
    zone = fleet.zone(name)
    return f"{name} (zone {zone})" if zone else f"{name} (no zone)"
