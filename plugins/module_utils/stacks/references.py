# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whom a service talks to, as far as its declaration says: depends_on, links, and addresses in its environment."""

from __future__ import annotations

import re

from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.model import Text
from ansible_collections.bulkhead.tiers.plugins.module_utils.stacks.recognise import is_socket_proxy, is_traefik

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
#: Top-level domains that are nobody's outside.
_INSIDE = frozenset("internal lan local localdomain localhost home arpa".split())

_API_PORTS = ("2375", "2376")
_HOST = re.compile(r"[A-Za-z0-9_.-]+")
_TRAEFIK_DEFAULT = re.compile(r"--providers\.(?:docker|swarm)\.network=(.+)", re.IGNORECASE)
_TRAEFIK_VARIABLES = ("TRAEFIK_PROVIDERS_DOCKER_NETWORK", "TRAEFIK_PROVIDERS_SWARM_NETWORK")


def references(service):
    """The names of services that a service names, once each, as Text."""
    found = {}
    for text in service.peers:
        found.setdefault(text.value, text)
    for key, text in service.environment.items():
        if _words(key)[-1] in _ADDRESS_WORDS:
            for _scheme, host, _port in _addresses(text.value):
                found.setdefault(host, Text(host, text.place))
    return list(found.values())


def docker_endpoints(service, fleet):
    """The TCP addresses at which a service asks the Docker API: DOCKER_HOST, or a socket proxy by name."""
    for key, text in list(service.environment.items()) + [("", text) for text in service.command]:
        value = text.value if key else text.value.rpartition("=")[2]
        for scheme, host, port in _addresses(value):
            asks = key == "DOCKER_HOST" or port in _API_PORTS or any(map(is_socket_proxy, fleet.named(host, service)))
            if scheme in ("tcp", "http", "https") and asks:
                yield Text(f"{scheme}://{host}{':' if port else ''}{port}", text.place)


def outside_addresses(service, fleet):
    """The addresses outside of the site that a service's environment names."""
    for key, text in service.environment.items():
        if _OWN_WORDS.intersection(_words(key)):
            continue
        for scheme, host, _port in _addresses(text.value):
            if not scheme or "." not in host or fleet.named(host, service):
                continue
            last = host.rpartition(".")[2].lower()
            if not last.isdecimal() and last not in _INSIDE:
                yield Text(host, text.place)


def traefik_default_network(fleet):
    """The network that Traefik uses where no label says another one; "" where it is not told."""
    for service in filter(is_traefik, fleet.services):
        for text in service.command:
            told = _TRAEFIK_DEFAULT.fullmatch(text.value)
            if told:
                return told.group(1)
        for key in _TRAEFIK_VARIABLES:
            if key in service.environment:
                return service.environment[key].value
    return ""


def _words(key):
    return key.lower().replace("-", "_").split("_")


def _addresses(value):
    """(scheme, host, port) of each address in a text such as "redis://user:secret@redis:6379/0,other:6379"."""
    for part in value.split(","):
        before, mark, rest = part.strip().rpartition("://")
        end = min((index for index in map(rest.find, "/?#") if index >= 0), default=len(rest))
        host, _colon, port = rest[:end].rpartition("@")[2].partition(":")
        if _HOST.fullmatch(host):
            yield before.rpartition(":")[2] if mark else "", host, port
