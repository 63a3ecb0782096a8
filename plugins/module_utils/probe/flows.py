# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the controller and the hosts of a proof tell each other: named types, each with `to_dict` and `from_dict`.

`from_dict` is the one parser: it believes no type, no length and no range, makes foreign text printable, and raises
Malformed. Standard library only, Python 3.9: this file is sent to the hosts.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

PROTOS = ("tcp", "udp")
PORTS = (1, 65535)

#: The most that an honest host has to say. A host that says more is not believed.
MOST_ADDRESSES, MOST_SERVICES, MOST_TEXT = 4096, 1024, 300

#: Hexadecimal digits of the code that a listener adds to an answer (128 bits of HMAC-SHA256).
MAC_DIGITS = 32


class Malformed(ValueError):
    """A value that is not what its type asks for; the text says which, what it is and what was expected."""


class Verdict(str, Enum):
    """What became of a probe. The prober sees all of them but ONE_WAY, which takes what the listener heard."""

    #: The nonce was answered (or, for a service that was there before, a connection was made).
    ALLOWED = "ALLOWED"
    #: No answer within the timeout.
    DROPPED = "DROPPED"
    #: Refused, although something listens there; or an ICMP message says that a filter refused it.
    REJECTED = "REJECTED"
    #: Refused, and nothing listens there: the packet may have passed or not.
    NO_LISTENER = "NO_LISTENER"
    #: It never left, or a router says that there is no way.
    NO_ROUTE = "NO_ROUTE"
    #: Something else than the expected listener answered: an address translation to the wrong host.
    MISDIRECTED = "MISDIRECTED"
    #: The packet was let in, and its answer was lost.
    ONE_WAY = "ONE_WAY"
    #: The probe itself failed, or its result is missing or malformed.
    INCONCLUSIVE = "INCONCLUSIVE"


# Fields of a foreign mapping


def mapping(value: Any, what: str) -> Mapping[str, Any]:
    """The value as a mapping."""
    if not isinstance(value, Mapping):
        raise Malformed(f"{what}: got {_short(value)}, expected a mapping")
    return value


def sequence(value: Any, what: str, most: int) -> Sequence[Any]:
    """The value as a list of at most `most` entries; None is an empty one."""
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)):
        raise Malformed(f"{what}: got {_short(value)}, expected a list")
    if len(value) > most:
        raise Malformed(f"{what}: got {len(value)} entries, expected at most {most}")
    return value


def text(found: Mapping[str, Any], key: str, most: int = MOST_TEXT) -> str:
    """A text, printable and cut at `most`; "" where there is none."""
    value = found.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"{key}: got {_short(value)}, expected text")
    return printable(value, most)


def whole(found: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """A whole number from low to high."""
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Malformed(f"{key}: got {_short(value)}, expected a whole number from {low} to {high}")
    return int(value)


def flag(found: Mapping[str, Any], key: str) -> bool:
    """True or false; what is not there is false."""
    value = found.get(key, False)
    if not isinstance(value, bool):
        raise Malformed(f"{key}: got {_short(value)}, expected true or false")
    return value


def choice(found: Mapping[str, Any], key: str, choices: Sequence[str]) -> str:
    """One of some texts."""
    value = found.get(key)
    if not isinstance(value, str) or value not in choices:
        raise Malformed(f"{key}: got {_short(value)}, expected one of {', '.join(choices)}")
    return str(value)


def address(found: Mapping[str, Any], key: str) -> str:
    """An IP address as the kernel prints it."""
    value = found.get(key)
    try:
        if not isinstance(value, str) or len(value) > 45 or str(ipaddress.ip_address(value)) != value:
            raise ValueError
    except ValueError:
        raise Malformed(f"{key}: got {_short(value)}, expected an IP address")
    return value


def _short(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 1 << 64:
        return "a very large number"  # Python refuses to print one of thousands of digits
    return printable(value if isinstance(value, str) else repr(value)[:80], 80)


# What a prober is asked, and says


class Job(NamedTuple):
    """One probe to send."""

    id: str  # without blanks, unique in the run
    proto: str
    dest: str
    port: int
    source: Optional[str] = None  # own address to send from; None: the kernel's choice
    host: Optional[str] = None  # name of the listener that has to answer
    listening: bool = False  # whether something is known to listen there: tells a reject from a closed port
    service: bool = False  # whether that is a service which was there before and knows nothing of nonces
    again: bool = False  # whether silence is asked again: an answer is expected, and may be late
    end: Optional[str] = None  # the address at which the packet arrives, if a router forwards it there
    end_port: Optional[int] = None  # and the port

    @property
    def arriving(self) -> Job:
        """The job as its packet arrives: what the listener that answers it sees, and the judge."""
        return self._replace(dest=self.end or self.dest, port=self.end_port or self.port)

    def to_dict(self) -> dict[str, Any]:
        """As flow_probe takes it; what is as by default is left out, for there are thousands."""
        return {key: value for key, value in zip(self._fields, self) if key not in DEFAULTS or value != DEFAULTS[key]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Job:
        """A job of flow_probe's option `jobs`, which its argument spec has checked."""
        return cls(**{key: found[key] for key in cls._fields if key in found})


DEFAULTS = Job._field_defaults


class Icmp(NamedTuple):
    """The ICMP message that ended a probe, and who sent it."""

    type: int
    code: int
    sender: str

    def __str__(self) -> str:
        return f"ICMP {self.type}/{self.code} from {self.sender}"

    def to_dict(self) -> dict[str, Any]:
        return {"type": self.type, "code": self.code, "from": self.sender}

    @classmethod
    def from_dict(cls, value: Any) -> Icmp:
        found = mapping(value, "icmp")
        return cls(whole(found, "type", 0, 255), whole(found, "code", 0, 255), address(found, "from"))


class Result(NamedTuple):
    """What became of one probe. by: who answered instead; peer: the source as the listener saw it, where it was
    translated; mac: the listener's code, which the controller alone can check."""

    id: str
    verdict: Verdict
    ms: float = 0.0
    detail: str = ""
    by: str = ""
    peer: str = ""
    mac: str = ""
    icmp: Optional[Icmp] = None

    def to_dict(self) -> dict[str, Any]:
        """A field without a value is left out: there are thousands of results."""
        found: dict[str, Any] = {"id": self.id, "verdict": self.verdict.value, "ms": self.ms}
        found.update((key, getattr(self, key)) for key in ("detail", "by", "peer", "mac") if getattr(self, key))
        if self.icmp:
            found["icmp"] = self.icmp.to_dict()
        return found

    @classmethod
    def from_dict(cls, value: Any) -> Result:
        found = mapping(value, "result")
        ms = found.get("ms", 0.0)
        if isinstance(ms, bool) or not isinstance(ms, (int, float)) or not 0 <= ms < 1e7:
            raise Malformed(f"ms: got {_short(ms)}, expected milliseconds")
        return cls(
            text(found, "id", 64),
            Verdict(choice(found, "verdict", PROBED)),
            float(ms),
            text(found, "detail"),
            text(found, "by"),
            address(found, "peer") if "peer" in found else "",
            text(found, "mac", 64),
            Icmp.from_dict(found["icmp"]) if "icmp" in found else None,
        )


#: What a prober can say.
PROBED = tuple(verdict.value for verdict in Verdict if verdict is not Verdict.ONE_WAY)


def code_of(key: bytes, token: str, proto: str, job_id: str, name: str, peer: str, at: str, port: int) -> str:
    """The code that proves that the listener with this key heard this question from peer at its own address and port."""
    said = "\n".join((token, proto, job_id, name, peer, at, str(port)))
    return hmac.new(key, said.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:MAC_DIGITS]


def answers(job: Job, result: Result, key: bytes, token: str) -> bool:
    """Whether the listener with this key answered this very probe."""
    peer = result.peer or job.source or ""
    at = job.arriving
    code = code_of(key, token, job.proto, job.id, job.host or "", peer, at.dest, at.port)
    return hmac.compare_digest(code, result.mac.encode("ascii", "replace").decode())


# What a listener says


class Address(NamedTuple):
    """An address of a host. bridge: whether it is on a bridge of the host's own, such as a Docker Engine's."""

    address: str
    prefix: int
    interface: str
    bridge: bool

    def to_dict(self) -> dict[str, Any]:
        return self._asdict()

    @classmethod
    def from_dict(cls, value: Any) -> Address:
        found = mapping(value, "address")
        own = address(found, "address")
        prefix = whole(found, "prefix", 0, 128 if ":" in own else 32)
        return cls(own, prefix, text(found, "interface", 32), flag(found, "bridge"))


class Socket(NamedTuple):
    """A protocol and a port at an address."""

    proto: str
    address: str
    port: int

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Socket:
        return cls(choice(found, "proto", PROTOS), address(found, "address"), whole(found, "port", *PORTS))


class Noted(NamedTuple):
    """A socket with a text: the process that holds it (`process`), or why it cannot be judged (`error`)."""

    socket: Socket
    text: str

    def to_dict(self, key: str) -> dict[str, Any]:
        return {**self.socket._asdict(), key: self.text}

    @classmethod
    def from_dict(cls, value: Any, key: str) -> Noted:
        found = mapping(value, "socket")
        return cls(Socket.from_dict(found), text(found, key))


class Hears(NamedTuple):
    """Whether a listener sees packets past the firewall's INPUT, and on the devices; error says why not."""

    passed: bool = False
    wire: bool = False
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        return {key: value for key, value in self._asdict().items() if key != "error" or value}

    @classmethod
    def from_dict(cls, value: Any) -> Hears:
        found = mapping(value, "hears")
        return cls(flag(found, "passed"), flag(found, "wire"), text(found, "error"))


class Listening(NamedTuple):
    """What a host says when its listener runs.

    addresses: those that it serves; others: further ones that it has. services: what listened on these addresses
    before. unusable: sockets that cannot be judged.
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

    @classmethod
    def from_dict(cls, value: Any, most_unusable: int = 1 << 20) -> Listening:
        """most_unusable: how many sockets it was asked for."""
        found = mapping(value, "listening")
        return cls(
            tuple(map(Address.from_dict, sequence(found.get("addresses"), "addresses", MOST_ADDRESSES))),
            tuple(map(Address.from_dict, sequence(found.get("others"), "others", MOST_ADDRESSES))),
            tuple(
                Noted.from_dict(one, "process") for one in sequence(found.get("services"), "services", MOST_SERVICES)
            ),
            tuple(Noted.from_dict(one, "error") for one in sequence(found.get("unusable"), "unusable", most_unusable)),
            Hears.from_dict(found.get("hears", {})),
            whole(found, "bound", 0, 1 << 31) if "bound" in found else 0,
            flag(found, "replaced"),
        )


class Heard(NamedTuple):
    """The ports at which one protocol was heard between two addresses."""

    source: str
    dest: str
    proto: str
    ports: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "ports": list(self.ports)}

    @classmethod
    def from_dict(cls, value: Any) -> Heard:
        found = mapping(value, "flow")
        ports = sequence(found.get("ports"), "ports", PORTS[1])
        if not all(isinstance(port, int) and PORTS[0] <= port <= PORTS[1] for port in ports):
            raise Malformed("ports: expected whole numbers from 1 to 65535")
        return cls(address(found, "source"), address(found, "dest"), choice(found, "proto", PROTOS), tuple(ports))


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

    @classmethod
    def from_dict(cls, value: Any, most: int = 1 << 20) -> Stopped:
        """most: how many pairs of addresses and protocols can have been heard."""
        found = mapping(value, "stopped")
        if not flag(found, "running"):
            return cls()
        lost = [whole(found, key, 0, 1 << 62) for key in ("lost", "lost_wire")]
        heard = [tuple(map(Heard.from_dict, sequence(found.get(place), place, most))) for place in PLACES]
        return cls(True, *lost, *heard)  # type: ignore[arg-type]
