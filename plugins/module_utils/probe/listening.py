# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a listener says, when it runs and when it is stopped: named types, each with `to_dict`. The controller parses it
(`plugin_utils/proof/parse.py`)."""

from __future__ import annotations

from typing import Any, NamedTuple


class Address(NamedTuple):
    """An address of a host. bridge: whether it is on a bridge of the host's own, such as a Docker Engine's."""

    address: str
    prefix: int
    interface: str
    bridge: bool

    def to_dict(self) -> dict[str, Any]:
        return self._asdict()


class Socket(NamedTuple):
    """A protocol and a port at an address."""

    proto: str
    address: str
    port: int


class Noted(NamedTuple):
    """A socket with a text: the process that holds it (`process`), or why it cannot be judged (`error`)."""

    socket: Socket
    text: str

    def to_dict(self, key: str) -> dict[str, Any]:
        return {**self.socket._asdict(), key: self.text}


class Hears(NamedTuple):
    """Whether a listener sees packets past the firewall's INPUT, and on the devices; error says why not."""

    passed: bool = False
    wire: bool = False
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {key: value for key, value in self._asdict().items() if key != "error" or value}


class Listening(NamedTuple):
    """What a host says when its listener runs.

    addresses: those that it serves; others: further ones that it has. services: what listened on these addresses
    before. unusable: sockets that could not be bound.
    """

    addresses: tuple[Address, ...] = ()
    others: tuple[Address, ...] = ()
    services: tuple[Noted, ...] = ()
    unusable: tuple[Noted, ...] = ()
    hears: Hears = Hears()
    bound: int = 0
    replaced: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "addresses": [one.to_dict() for one in self.addresses],
            "others": [one.to_dict() for one in self.others],
            "services": [one.to_dict("process") for one in self.services],
            "unusable": [one.to_dict("error") for one in self.unusable],
            "hears": self.hears.to_dict(),
            "bound": self.bound,
            "replaced": self.replaced,
        }


class Heard(NamedTuple):
    """The ports at which one protocol was heard between two addresses."""

    source: str
    dest: str
    proto: str
    ports: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "ports": list(self.ports)}


#: Where a listener hears a probe: the names of Stopped's lists.
PLACES = ("passed", "arrived", "left")


class Stopped(NamedTuple):
    """What a listener heard until it was stopped. lost: packets past INPUT that it could not keep; lost_wire: packets
    on the devices."""

    running: bool = False
    lost: int = 0
    lost_wire: int = 0
    passed: tuple[Heard, ...] = ()
    arrived: tuple[Heard, ...] = ()
    left: tuple[Heard, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        if not self.running:
            return {"running": False}
        heard = {place: [flow.to_dict() for flow in getattr(self, place)] for place in PLACES}
        return {"running": True, "lost": self.lost, "lost_wire": self.lost_wire, **heard}
