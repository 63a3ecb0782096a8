# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a prober is asked, and says: named types, each with `to_dict`.

The controller parses what hosts say (`plugin_utils/proof/parse.py`). Standard library only, Python 3.9: this file is sent.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.probe.nonce import ANSWERS, ASKS, code_of

PROTOS = ("tcp", "udp")
PORTS = (1, 65535)


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


def answers(job: Job, result: Result, key: bytes, token: str) -> bool:
    """Whether the listener with this key answered this very probe."""
    peer = result.peer or job.source or ""
    at = job.arriving
    code = code_of(key, token, job.proto, job.id, job.host or "", peer, at.dest, at.port)
    return hmac.compare_digest(code, result.mac.encode("ascii", "replace").decode())


def question(token: str, job_id: str) -> bytes:
    """The nonce of a probe. Datagrams are found by their first bytes, so ASKS and the run's token come first."""
    return ASKS + token.encode() + b" " + job_id.encode() + b"\n"


def read_answer(token: str, data: bytes) -> Optional[dict[str, Any]]:
    """{id, name, peer, at, port, mac}, or None if these bytes are not an answer of this run."""
    start = ANSWERS + token.encode() + b" "
    if not data.startswith(start):
        return None
    try:
        said = json.loads(data[len(start) :].decode())
    except ValueError:
        return None
    return said if isinstance(said, dict) else None
