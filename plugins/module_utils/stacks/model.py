# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services and networks as the rules see them, whether they stand in a file or run. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Mapping, NamedTuple, Optional

#: Who deploys a stack: `docker stack deploy` or `docker compose up`.
SWARM, COMPOSE = "swarm", "compose"

#: The label by which a network says its zone; swarm_network's networks get it from the site.
ZONE_LABEL = "bulkhead.zone"

#: How severe a finding can be.
ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)

#: A label of a service that waives a rule begins with it; the rest is the rule's id.
WAIVER_LABEL = "bulkhead.allow."


class Place(NamedTuple):
    """Where something stands: a file with a line from 1, or ("", 0) for what runs."""

    file: str = ""
    line: int = 0


NOWHERE = Place()


#: Networks that every engine has: to join one of them is a network mode.
ENGINE_NETWORKS = frozenset(("bridge", "host", "none"))


class Text(NamedTuple):
    """A text and where it stands. unset: a variable in it has no value, so that the whole is not known."""

    value: str
    place: Place = NOWHERE
    unset: bool = False


class Mount(NamedTuple):
    """A bind mount: value is the path of the host, target the container's, "" where it does not matter."""

    value: str
    target: str = ""
    place: Place = NOWHERE
    unset: bool = False


class Published(NamedTuple):
    """A port that is reachable from outside of the networks: first to last is the container's side.

    address is the host's address that it is bound to, "" for all of them; text is how it is written.
    """

    first: int
    last: int
    address: str
    text: str
    place: Place = NOWHERE

    @property
    def local(self) -> bool:
        """Whether only the host itself can reach it."""
        return self.address.startswith("127.") or self.address in ("localhost", "::1", "[::1]")


@dataclass(frozen=True)
class Service:
    """A service of a stack, or a container that runs beside all stacks.

    networks: {real network name: where it is joined}; undeclared: the keys that its own file does not declare.
    labels are those that Traefik reads (the service's in a Swarm, else the container's), unread_labels the other ones.
    mounts: sources on the host; peers: names of services that it is linked to; awaits: of those that must be started
    before it; names: by which it is found inside of a network; mode: the network mode, "" for a service on networks.
    implicit: whether the only network is the stack's default one, which nothing asks for.
    """

    stack: str
    name: str
    kind: str
    place: Place = NOWHERE
    image: str = ""
    networks: Mapping[str, Place] = field(default_factory=dict)
    undeclared: tuple[Text, ...] = ()
    implicit: bool = False
    mode: Text = Text("")
    ports: tuple[Published, ...] = ()
    exposed: frozenset[int] = frozenset()
    labels: Mapping[str, Text] = field(default_factory=dict)
    unread_labels: Mapping[str, Text] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, Text] = field(default_factory=dict)
    command: tuple[Text, ...] = ()
    peers: tuple[Text, ...] = ()
    awaits: tuple[Text, ...] = ()
    names: frozenset[str] = frozenset()
    #: What was found out of it and costs something to find out; see recognise.once.
    memo: dict[str, Any] = field(init=False, default_factory=dict, compare=False, repr=False)

    @property
    def where(self) -> str:
        """The service as messages name it."""
        return f"{self.stack}/{self.name}" if self.stack else self.name

    def label(self, name: str) -> Optional[Text]:
        """A label of the service or of its containers as Text, or None."""
        return self.labels.get(name) or self.unread_labels.get(name)

    def flag(self, name: str) -> Optional[bool]:
        """A label as true or false; None where it is not set."""
        found = self.label(name)
        return None if found is None else found.value.strip().lower() in ("true", "1", "yes", "on")


@dataclass(frozen=True)
class Network:
    """A network that a stack declares or an engine has. name is the real one.

    external: the stack does not make it. internal and zone are None and "" where this place does not say. implicit: it
    is the default network of a file that does not mention it. unsure: a variable without a value is in its name.
    driver: "" where the file leaves it to who deploys.
    """

    name: str
    stack: str
    place: Place = NOWHERE
    external: bool = False
    internal: Optional[bool] = None
    zone: str = ""
    subnets: tuple[Text, ...] = ()
    implicit: bool = False
    unsure: bool = False
    driver: str = ""
    attachable: bool = False


@dataclass(frozen=True)
class Stack:
    """One stack: its services, its networks by real name, and the tiers whose hosts run it, where that is known."""

    name: str
    kind: str
    services: tuple[Service, ...]
    networks: Mapping[str, Network]
    tiers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """What a rule found. waived: the reason why it is accepted, None where it is not."""

    rule: str
    message: str
    fix: str
    place: Place = NOWHERE
    stack: str = ""
    service: str = ""
    waived: Optional[str] = None


class Waiving(NamedTuple):
    """A label of a service that waives a rule: its text is the reason."""

    stack: str
    service: str
    rule: str
    reason: Text


def waiving_labels(services: Iterable[Service]) -> Iterator[Waiving]:
    """Those of all services."""
    for service in services:
        for labels in (service.labels, service.unread_labels):
            for label, text in labels.items():
                if label.startswith(WAIVER_LABEL):
                    yield Waiving(service.stack, service.name, label[len(WAIVER_LABEL) :], text)
