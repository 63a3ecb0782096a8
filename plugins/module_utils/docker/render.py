# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The plan as before/after text that a person reads. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.migrate import Migration
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import FORMER_LABEL, Network
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.plan import Plan
from ansible_collections.bulkhead.tiers.plugins.module_utils.printable import printable

#: A network, None where there is none, and what else is said of it.
_Entry = tuple[Optional[Network], tuple[str, ...]]


def render(plan: Plan) -> dict[str, str]:
    """Ansible's diff: the networks that change, sorted by name, before and after."""
    before: dict[str, _Entry] = {network.name: (network, ()) for path, network in plan.removals}
    after: dict[str, _Entry] = {network.name: (network, ()) for request, network in plan.creations}
    for migration in plan.migrations:
        live = migration.former or (migration.wanted if migration.wanted.id else None)
        if live:
            before[live.name] = (live, ())
        after[migration.name] = (migration.wanted, tuple(_moved(migration)))
        if migration.temporary.id:
            before[migration.temporary.name] = (migration.temporary, ())
    names = sorted({*before, *after})
    return {
        "before": "".join(_block(name, *before.get(name, (None, ()))) for name in names),
        "after": "".join(_block(name, *after.get(name, (None, ()))) for name in names),
    }


def _block(name: str, network: Optional[Network], more: tuple[str, ...]) -> str:
    if network is None:
        return f"{printable(name)}: absent\n"
    return "\n".join([f"{printable(name)}:", *(f"  {line}" for line in (*_lines(network), *more))]) + "\n"


def _moved(migration: Migration) -> Iterator[str]:
    """A line for everything that a migration touches."""
    for name in migration.services:
        yield f"moved by rolling updates: service {name}"
    for move in migration.containers:
        kept = f", keeps {', '.join(move.addresses)}" if move.addresses else ""
        yield f"moved: container {move.name}{kept}, loses {', '.join(move.lost)}"


def _lines(network: Network) -> Iterator[str]:
    if network.pending:
        yield "driver: overlay (never allocated by the swarm)"
        return
    yield f"driver: {network.driver}"
    for subnet in network.subnets:
        extras = []
        # The first address is what the engine writes down where no gateway was given.
        if subnet.gateway not in (None, replace(subnet, gateway=None).effective_gateway):
            extras.append(f"gateway {subnet.gateway}")
        if subnet.ip_range is not None:
            extras.append(f"range {subnet.ip_range}")
        yield f"subnet: {subnet.cidr}" + (f" ({', '.join(extras)})" if extras else "")
    if not network.subnets:
        yield "subnet: of the engine's choice"
    if not network.ipv4:
        yield "enable_ipv4: false"
    # With a subnet it says nothing new.
    if network.ipv6 and not any(cidr.version == 6 for cidr in network.cidrs):
        yield "enable_ipv6: true"
    for flag in ("internal", "attachable", "encrypted"):
        if getattr(network, flag):
            yield f"{flag}: true"
    if network.mtu is not None:
        yield f"mtu: {network.mtu}"
    for title, mapping in (("option", network.options), ("label", network.labels)):
        for key in sorted(set(mapping) - {FORMER_LABEL}):
            yield f"{title} {printable(key)}: {printable(mapping[key])}"
    yield f"managed: {'true' if network.managed else 'false'}"
