# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run of the proof: what its steps know, kept on the controller until Ansible ends.

Every step of every host is a process of its own. What one learns is for the others in a folder that this user alone can
read, below Ansible's temporary folder of this run, which it removes at its end. So no result of a host stands in a
variable, where another result could replace it, and the secret of the run in none at all.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake, Refused
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable
from ansible_collections.bulkhead.tiers.plugins.plugin_utils.proof.members import Member


class Step(str, Enum):
    """What is kept of each host."""

    #: What its own steps need to know of the record.
    OWN = "own"
    LIVE = "live"
    #: What it is in the tailnet.
    NODE = "node"
    LISTENING = "listening"
    #: Its containers, and what their probes and listeners found.
    CONTAINERS = "containers"
    CONTAINERS_PROBED = "containers probed"
    CONTAINERS_HEARD = "containers heard"
    #: What it is to probe.
    ASKED = "asked"
    PROBED = "probed"
    STOPPED = "stopped"
    #: Addresses, routes and rules, for a question (plugin_utils/ask).
    NETFILTER = "netfilter"
    #: What a host's firewall is to be (plugin_utils/change).
    PLAN = "plan"
    #: The record of a change.
    CHANGE = "change"
    #: What was blocked, and what connection tracking sees (plugin_utils/watch).
    TRAFFIC = "traffic"
    #: What its rules counted (plugin_utils/review).
    REVIEWED = "reviewed"
    #: Why it is out of the proof, in the words of the first step that failed.
    TROUBLE = "trouble"


class Record(NamedTuple):
    """What is settled before the first packet.

    members: every host of the inventory; left_out: those that are not part of this play; limit: what --limit says.
    declaration: the key of the declared site; trouble: {host: why the proof cannot vouch for it}; coverage: see coverage.py.
    """

    seed: str
    outside: str
    began: float
    declaration: str
    limit: str
    members: Mapping[str, Member]
    left_out: tuple[str, ...]
    trouble: Mapping[str, str]
    coverage: str = "classes"

    def to_dict(self) -> dict[str, Any]:
        return {**self._asdict(), "members": [member.to_dict() for member in self.members.values()]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Record:
        members = map(Member.from_dict, found["members"])
        return cls(
            **{
                **found,
                "members": {member.name: member for member in members},
                "left_out": tuple(found["left_out"]),
            }
        )


class Run:
    """The folder of one run. Its id marks the packets, and is no secret."""

    def __init__(self, base: str, run_id: str) -> None:
        if not re.fullmatch("[0-9a-f]{16}", run_id):
            raise ValueError(f"run: got {run_id!r}, expected what the step begin returned")
        self.id = run_id
        self._folder = os.path.join(base, f"bulkhead-prove-{run_id}")
        self._shared: dict[str, Any] = {}

    @classmethod
    def opened(cls, base: str, run_id: str) -> Run:
        """One that a step `begin` has made. Raises Refused for what is no id of one."""
        try:
            return cls(base, run_id)
        except ValueError:
            got = printable(run_id)
            raise Refused([Mistake("run", got, "what the step begin returned", "pass that on")]) from None

    @classmethod
    def begin(cls, base: str, record: Record) -> Run:
        """A new run. base: a folder that lives as long as Ansible does."""
        run = cls(base, secrets.token_hex(8))
        os.mkdir(run._folder, 0o700)
        run._write("secret", secrets.token_hex(32))
        run._write("record", record.to_dict())
        return run

    def not_read(self, name: str, why: str) -> dict[str, Any]:
        """The result of a task that could not read a host; why is kept, so that the answer of the run says so, too."""
        text = printable(" ".join(why.split()))
        self.keep(Step.TROUBLE, name, text)
        return {"failed": True, "msg": text}

    @property
    def record(self) -> Record:
        return Record.from_dict(self._read("record"))

    def key_of(self, host: str) -> bytes:
        """The key of a host's listener. It leaves the controller for that host alone."""
        return hmac.new(bytes.fromhex(self._read("secret")), host.encode("utf-8", "replace"), hashlib.sha256).digest()

    def keep(self, step: Step, host: str, value: Any) -> None:
        """Keep what a step says of a host: plain values."""
        self._write(self._name(step, host), value)

    def kept(self, step: Step, host: str) -> Optional[Any]:
        """What was kept; None where there is nothing."""
        try:
            return self._read(self._name(step, host))
        except FileNotFoundError:
            return None

    def share(self, value: Any) -> str:
        """Keep a value that many hosts have, once for all of them; what `shared` finds it by."""
        text = json.dumps(value, sort_keys=True)
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if not os.path.exists(os.path.join(self._folder, f"shared-{key}")):
            self._write(f"shared-{key}", value)
        return key

    def shared(self, key: str) -> Any:
        """A value that was shared: one object, however many ask for it."""
        if key not in self._shared:
            self._shared[key] = self._read(f"shared-{key}")
        return self._shared[key]

    @staticmethod
    def _name(step: Step, host: str) -> str:
        # A host may be called anything; its hash is a file's name.
        return f"{step.value}-{hashlib.sha256(host.encode('utf-8', 'replace')).hexdigest()[:32]}"

    def _write(self, name: str, value: Any) -> None:
        path = os.path.join(self._folder, name)
        partial = f"{path}.{os.getpid()}"
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(value))  # json.dump is several times slower: it has no C encoder
        os.replace(partial, path)

    def _read(self, name: str) -> Any:
        with open(os.path.join(self._folder, name), encoding="utf-8") as file:
            return json.load(file)


def why_not(said: Any) -> str:
    """Why what a module returned is no answer, in its own words, which are a host's; "" where it is one."""
    if not isinstance(said, Mapping):
        return "it returned no mapping"
    return str(said.get("msg") or "it gave no reason") if said.get("failed") else ""
