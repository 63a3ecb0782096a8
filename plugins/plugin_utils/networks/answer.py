# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host returned of its networks (swarm_network_info), as values: foreign data, so it is checked and made fit to
be printed before anything reads it."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.subnets import Net, parse_net
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.site.unreadable import Unreadable

#: The label that carries a network's zone.
ZONE_LABEL = "bulkhead.zone"
#: The longest list that is read of one host: an engine has tens of networks, and a Swarm hundreds.
MOST = 10_000


class Silence(enum.Enum):
    """Why a host of the play has no networks to show."""

    NO_ENGINE = "no Docker Engine runs here"
    FAILED = "failed"
    UNREACHED = "it was not reached"
    UNREADABLE = "unreadable"


class Silent(NamedTuple):
    """A host that returned no networks; text: why, for people."""

    kind: Silence
    text: str


@dataclass(frozen=True)
class LiveNetwork:
    """A network as one host sees it. used, usable: IPv4 addresses, None where the host does not know; stack: the stack
    that made it; orphan: whether that stack has no service any more; managed: whether this collection made it."""

    name: str
    id: str = ""
    driver: str = ""
    scope: str = "local"
    subnets: tuple[Net, ...] = ()
    zone: str = ""
    users: tuple[str, ...] = ()
    used: Optional[int] = None
    usable: Optional[int] = None
    stack: str = ""
    pending: bool = False
    managed: bool = False
    orphan: bool = False

    @property
    def is_swarms(self) -> bool:
        """Whether the whole Swarm has it."""
        return self.scope == "swarm"

    def __str__(self) -> str:
        return f"network {self.name}"


@dataclass(frozen=True)
class Answer:
    """What one host returned: its node, as it says itself, its networks, and the pools it takes subnets from."""

    node: Mapping[str, str]
    networks: tuple[LiveNetwork, ...]
    engine: tuple[Net, ...] = ()
    swarm: tuple[Net, ...] = ()

    @property
    def is_manager(self) -> bool:
        """Whether the host manages a Swarm: what it says of an overlay is the whole truth."""
        return self.node.get("role") == "manager"

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Answer:
        """The result of swarm_network_info; raises Refused where it has another form."""
        node = _Part(data, "").part("node")
        pools = _Part(data, "").part("pools")
        return cls(
            node={key: node.text(key) for key in ("name", "role", "detail", "engine")},
            networks=tuple(_network(part) for part in _Part(data, "").parts("networks")),
            engine=tuple(part.net("base") for part in pools.parts("engine")),
            swarm=tuple(part.net("base") for part in pools.parts("swarm")),
        )


def _network(part: _Part) -> LiveNetwork:
    return LiveNetwork(
        name=part.text("name"),
        id=part.text("id"),
        driver=part.text("driver"),
        scope=part.text("scope"),
        subnets=part.nets("subnets"),
        zone=part.part("labels").text(ZONE_LABEL),
        users=part.texts("users"),
        used=part.number("used"),
        usable=part.number("usable"),
        stack=part.text("stack"),
        pending=part.flag("pending"),
        managed=part.flag("managed"),
        orphan=part.flag("orphan"),
    )


class _Part:
    """A mapping of a result, by its key path; what is missing or null is nothing, what has another type is refused."""

    def __init__(self, value: object, path: str) -> None:
        self._path = path
        self._value = self._as(dict, value, path, "a mapping") or {}

    @staticmethod
    def _as(kind: type, value: object, path: str, what: str) -> Any:
        if value is None:
            return None
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise _refused(path or "result", f"{type(value).__name__} {printable(value, 60)}", what)
        return value

    def _get(self, kind: type, key: str, what: str) -> Any:
        return self._as(kind, self._value.get(key), self._at(key), what)

    def _at(self, key: str) -> str:
        return f"{self._path}.{key}" if self._path else key

    def part(self, key: str) -> _Part:
        return _Part(self._value.get(key), self._at(key))

    def _list(self, key: str) -> list[tuple[str, object]]:
        found = self._get(list, key, "a list") or []
        if len(found) > MOST:
            raise _refused(self._at(key), f"{len(found)} entries", f"at most {MOST}")
        return [(f"{self._at(key)}[{index}]", item) for index, item in enumerate(found)]

    def parts(self, key: str) -> list[_Part]:
        return [_Part(item, path) for path, item in self._list(key)]

    def text(self, key: str) -> str:
        return printable(self._get(str, key, "a text") or "")

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(printable(self._as(str, item, path, "a text") or "") for path, item in self._list(key))

    def number(self, key: str) -> Optional[int]:
        found: Optional[int] = self._get(int, key, "a whole number")
        return found

    def flag(self, key: str) -> bool:
        return bool(self._get(bool, key, "true or false"))

    def net(self, key: str) -> Net:
        return _net(self._value.get(key), self._at(key))

    def nets(self, key: str) -> tuple[Net, ...]:
        return tuple(_net(item, path) for path, item in self._list(key))


def _net(value: object, path: str) -> Net:
    try:
        return parse_net(value if isinstance(value, str) else "")
    except Unreadable as error:
        raise _refused(path, printable(value, 60), error.expected) from error


def _refused(path: str, got: str, expected: str) -> Refused:
    remedy = "it is no result of swarm_network_info: check what runs on that host"
    return Refused([Mistake(path, got, expected, remedy, "foreign-data")])


class Heard(NamedTuple):
    """What the hosts of a play said: {host: Answer}, and {host: why it said nothing}."""

    answers: dict[str, Answer]
    silent: dict[str, Silent]


def hear(results: Mapping[str, Mapping[str, Any]]) -> Heard:
    """results: {host: what its task registered, {} where nothing}."""
    answers, silent = {}, {}
    for host, said in results.items():
        if "networks" in said and not said.get("failed"):
            try:
                answers[host] = Answer.from_dict(said)
            except Refused as error:
                silent[host] = Silent(Silence.UNREADABLE, f"what it returned cannot be read: {error}")
        else:
            silent[host] = _why_silent(said)
    return Heard(answers, silent)


def _why_silent(said: Mapping[str, Any]) -> Silent:
    if said.get("skipped"):
        return Silent(Silence.NO_ENGINE, Silence.NO_ENGINE.value)
    if said.get("failed") or said.get("unreachable"):
        reason = said.get("msg")
        text = printable(" ".join(reason.split())) if isinstance(reason, str) else "its engine could not be asked"
        return Silent(Silence.FAILED, text)
    return Silent(Silence.UNREACHED, Silence.UNREACHED.value)
