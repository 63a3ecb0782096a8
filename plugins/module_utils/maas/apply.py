# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carries a plan out: one request an operation, each answer compared with what was sent.

MAAS answers 200 to some requests that it did not follow (a secondary rack that is dropped, a field
that it does not know).  Such an answer is an error here and not a success.
"""

from __future__ import annotations

from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.plan import Op, Plan, Ref
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.shapes import thing
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.state import LISTS, UNDEFINED, State, lookup
from ansible_collections.bulkhead.tiers.plugins.module_utils.maas.transport import (
    Client,
    MaasError,
    RequestRefused,
    encode,
)

WRITE_ONLY = {("fabric", "description"), ("vlan", "description")}


class ApplyError(MaasError):
    """A run that stopped in the middle; ``done`` are the operations that MAAS carried out."""

    def __init__(self, message: str, done: list):
        super().__init__(message)
        self.done = done


def apply(client: Client, plan: Plan) -> list:
    """The operations that were carried out: all of the plan, or an `ApplyError`."""
    run = _Run(client, plan.before)
    done: list = []
    for op in plan.ops:
        try:
            run.carry_out(op)
        except MaasError as error:
            raise ApplyError(
                f"{op} failed after {len(done)} of {len(plan.ops)} operations: {error}. What was done stays; run the task again to go on from there.",
                done,
            ) from None
        done.append(op)
    return done


class _Run:
    """Ids of what exists, growing with what is created."""

    def __init__(self, client: Client, before: State):
        self._client = client
        self._ids: dict = {}
        for kind, things in (
            ("space", before.spaces),
            ("fabric", before.fabrics),
            ("vlan", before.vlans),
            ("subnet", before.subnets),
            ("range", before.ranges),
            ("route", before.routes or {}),
        ):
            self._ids.update({(kind, key): thing.id for key, thing in things.items()})
        self._racks = {name: rack.system_id for name, rack in (before.racks or {}).items()}

    def carry_out(self, op: Op) -> None:
        sent = {name: self.resolve(name, value) for name, value in op.fields.items()}
        if op.verb == "create":
            self.create(op, sent)
        elif op.verb == "update":
            self.compare(op, sent, self.put(op, sent))
        else:
            self._client.delete(self.path(op))

    def create(self, op: Op, sent: dict) -> None:
        where = LISTS[op.kind]
        if op.kind == "vlan":
            where = "fabrics/{}/vlans/".format(self._ids[("fabric", op.key[0])])
        shown, mine = self._client.post(where, sent, lambda: lookup(self._client, op.kind, op.key))
        thing(op.kind, shown)
        self.learn(op, shown)
        if not mine:
            differing = {name: value for name, value in sent.items() if self.differs(op.kind, name, value, shown)}
            if differing:
                shown = self.put(op, differing)
        self.compare(op, sent, shown)

    def put(self, op: Op, sent: dict) -> Any:
        try:
            return thing(op.kind, self._client.put(self.path(op), sent))
        except RequestRefused as error:
            if error.status == 404:
                raise MaasError(f"it is gone; another writer deleted it meanwhile ({error})") from None
            raise

    def path(self, op: Op) -> str:
        return f"{LISTS[op.kind]}{self._ids[(op.kind, op.key)]}/"

    def learn(self, op: Op, shown: dict) -> None:
        self._ids[(op.kind, op.key)] = shown["id"]
        if op.kind == "fabric":
            for vlan in shown["vlans"]:
                self._ids[("vlan", (vlan["fabric"], vlan["vid"]))] = vlan["id"]

    def resolve(self, name: str, value: Any) -> str:
        if isinstance(value, Ref):
            return str(self._ids[(value.kind, value.key)])
        if name in ("primary_rack", "secondary_rack") and value:
            return self._racks.get(value, value)
        return encode(value)

    def compare(self, op: Op, sent: dict, shown: dict) -> None:
        wrong = sorted(name for name, value in sent.items() if self.differs(op.kind, name, value, shown))
        if wrong:
            raise MaasError(
                "MAAS answered 200 and did not take {} (it shows {})".format(
                    ", ".join(wrong), ", ".join(f"{name}={_shown(name, shown)!r}" for name in wrong)
                )
            )

    def differs(self, kind: str, name: str, sent: str, shown: dict) -> bool:
        if (kind, name) in WRITE_ONLY or (name == "primary_rack" and sent == ""):
            # A cleared primary shows the promoted secondary, which the next step clears.
            return False
        if name == "space" and kind == "vlan":
            # The VLAN shows the name of what was set by its id.
            wanted = (
                UNDEFINED
                if sent == ""
                else next(
                    (key for (what, key), number in self._ids.items() if what == "space" and str(number) == sent), None
                )
            )
            return shown["space"] != wanted
        return _shown(name, shown) != sent


def _shown(name: str, shown: dict) -> Optional[str]:
    """A field of an answer in the form in which it would be sent."""
    value = shown.get(name)
    if isinstance(value, dict):
        value = value["id"]
    return encode(value)
