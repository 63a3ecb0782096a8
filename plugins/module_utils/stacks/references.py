# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whom a service talks to, as far as its declaration says: links, and addresses in its environment.

What stands in an environment may be secret: addresses are compared here, and named by their variable.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import NOWHERE, Service, Text
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.recognise import is_traefik

if TYPE_CHECKING:
    from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.fleet import Fleet

#: Variables whose value is an address end in one of these words.
_ADDRESS_WORDS = frozenset(
    "addr address addresses broker brokers dsn endpoint endpoints host hosts hostname server servers uri url urls "
    "upstream nodes".split()
)
#: A variable with one of these words is about the service itself, as others see it.
_OWN_WORDS = frozenset(
    "allowed app base bind canonical cors domain external frontend issuer listen origin own public redirect root self "
    "site web".split()
)
#: Top-level domains that are not outside.
_INSIDE = frozenset("internal lan local localdomain localhost home arpa".split())

_API_PORTS = ("2375", "2376")
_HOST = re.compile(r"[A-Za-z0-9_.-]+")
_PORT = re.compile(r"[0-9]{1,5}|")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://")
_TRAEFIK_DEFAULT = re.compile(r"--providers\.(?:docker|swarm)\.network(?:[=\s]+([^\s\"']+))?", re.IGNORECASE)
_TRAEFIK_VARIABLES = ("TRAEFIK_PROVIDERS_DOCKER_NETWORK", "TRAEFIK_PROVIDERS_SWARM_NETWORK")
#: Characters of a value that are looked at.
_LONGEST = 10_000


class _Address(NamedTuple):
    """scheme and port are "" where the text has none."""

    scheme: str
    host: str
    port: str


def references(service: Service) -> list[Text]:
    """The names of services that a service names as someone to talk to, once each."""
    found: dict[str, Text] = {}
    for text in service.peers:
        found.setdefault(text.value, text)
    for key, text in service.environment.items():
        if _words(key)[-1] in _ADDRESS_WORDS:
            for address in _addresses(text.value):
                found.setdefault(address.host, Text(address.host, text.place))
    return list(found.values())


def docker_endpoints(service: Service, fleet: Fleet) -> Iterator[Text]:
    """Where a service asks the Docker API over TCP: "DOCKER_HOST", "its command"; by DOCKER_HOST, port or socket proxy."""
    said = [*service.environment.items(), *(("its command", text) for text in service.command)]
    for key, text in said:
        for scheme, host, port in _addresses(text.value):
            asks = key == "DOCKER_HOST" or port in _API_PORTS or host in fleet.socket_names
            if scheme in ("tcp", "http", "https") and asks:
                yield Text(key, text.place)
                break


def outside_addresses(service: Service, fleet: Fleet) -> Iterator[Text]:
    """The variables of a service's environment that hold an address outside of the site."""
    for key, text in service.environment.items():
        if not _OWN_WORDS.intersection(_words(key)) and any(
            _is_outside(address) and not fleet.names(address.host, service) for address in _addresses(text.value)
        ):
            yield Text(key, text.place)


def _is_outside(address: _Address) -> bool:
    last = address.host.rpartition(".")[2].lower()
    return bool(address.scheme) and "." in address.host and not last.isdecimal() and last not in _INSIDE


class TraefikDefault(NamedTuple):
    """The network that Traefik uses where no label names one; unknown: a variable without a value says which."""

    network: str = ""
    unknown: bool = False


def traefik_default(fleet: Fleet) -> TraefikDefault:
    """What the fleet's Traefik is told by its command or its environment."""
    for service in filter(is_traefik, fleet.services):
        for index, text in enumerate(service.command):
            told = _TRAEFIK_DEFAULT.search(text.value)
            if told:
                following = service.command[index + 1] if index + 1 < len(service.command) else Text("", NOWHERE)
                value = Text(told.group(1), text.place, text.unset) if told.group(1) else following
                if value.value or value.unset or text.unset:
                    return TraefikDefault(value.value, value.unset or text.unset)
        for key in _TRAEFIK_VARIABLES:
            if key in service.environment:
                return TraefikDefault(service.environment[key].value, service.environment[key].unset)
    return TraefikDefault()


def _words(key: str) -> list[str]:
    return key.lower().replace("-", "_").split("_")


def _addresses(value: str) -> Iterator[_Address]:
    """Each address in a text such as "redis://user:secret@redis:6379/0,other:6379"."""
    # What stands between schemes: text, scheme, text, scheme, text.
    pieces = _SCHEME.split(value[:_LONGEST])
    for index in range(0, len(pieces), 2):
        scheme = pieces[index - 1] if index else ""
        found = [_host(part) for part in pieces[index].split(",")]
        if None in found and "@" in pieces[index]:
            # A password with a slash or a comma, which should be written as %2F and %2C.
            found = [_host(part) for part in pieces[index].rpartition("@")[2].split(",")]
        yield from (_Address(scheme, *end) for end in found if end is not None)


def _host(text: str) -> Optional[tuple[str, str]]:
    """(host, port) of "user:secret@redis:6379/0"; None for what is no address."""
    stop = min((index for index in map(text.find, "/?#") if index >= 0), default=len(text))
    host, _colon, port = text[:stop].rpartition("@")[2].strip().partition(":")
    return (host, port) if _HOST.fullmatch(host) and _PORT.fullmatch(port) else None
