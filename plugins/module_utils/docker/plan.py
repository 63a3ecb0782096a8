# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From requests and the live networks to what has to be done: drift, plan, and what forbids it. Pure.

Docker has no call that changes a network. A difference is therefore of one of two kinds: it needs a new network of
the same name (every field of FIELDS), or it is the engine's own doing and ignored (model.ENGINE_FILLED_OPTIONS, the
IPAM driver, a gateway that was not asked for). None can be changed in place. Where the network is in use, the way to a
new one is a migration, see ``migrate``.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Optional

from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.migrate import (
    Migration,
    forbidden,
    former_of,
    temporaries,
    temporary_network,
    with_users,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.model import (
    BRIDGE_NAME_OPTION,
    MIGRATES_LABEL,
    Cidr,
    Network,
    Subnet,
    Usage,
    Users,
    read_usage,
)
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.node import RESERVED_NAMES, Node
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.overlap import overlaps
from ansible_collections.bulkhead.tiers.plugins.module_utils.docker.request import Request
from ansible_collections.bulkhead.tiers.plugins.module_utils.mistakes import Mistake


@dataclass(frozen=True)
class Drift:
    """One field in which a live network is not what was asked for; ``live`` and ``wanted`` are texts."""

    field: str
    live: str
    wanted: str

    def __str__(self) -> str:
        return f"{self.field} is {self.live}, not {self.wanted}"


@dataclass(frozen=True)
class Field:
    """How one field is compared: ``said`` whether the request speaks of it, ``wanted`` and ``live`` as plain values."""

    name: str
    said: Callable[[Request], bool]
    wanted: Callable[[Request], Any]
    live: Callable[[Network], Any]


def _gateways(subnets: Iterable[Subnet]) -> list[str]:
    return sorted(str(subnet.effective_gateway) for subnet in subnets)


def _ranges(subnets: Iterable[Subnet]) -> list[str]:
    return sorted(str(subnet.ip_range) for subnet in subnets if subnet.ip_range is not None)


FIELDS = (
    Field("driver", lambda request: True, lambda request: request.driver, lambda network: network.driver),
    Field(
        "subnet",
        lambda request: request.subnets is not None,
        lambda request: sorted(map(str, request.cidrs)),
        lambda network: sorted(map(str, network.cidrs)),
    ),
    Field(
        "ip_range",
        lambda request: request.says_ip_range and request.subnets is not None,
        lambda request: _ranges(request.subnets or ()),
        lambda network: _ranges(network.subnets),
    ),
    Field(
        "gateway",
        lambda request: request.says_gateway and request.subnets is not None,
        lambda request: _gateways(request.subnets or ()),
        lambda network: _gateways(network.subnets),
    ),
    Field(
        "enable_ipv4",
        lambda request: request.ipv4 is not None,
        lambda request: request.ipv4,
        lambda network: network.ipv4,
    ),
    Field(
        "enable_ipv6",
        lambda request: request.ipv6 is not None,
        lambda request: request.ipv6,
        lambda network: bool(network.ipv6),
    ),
    Field(
        "internal",
        lambda request: request.internal is not None,
        lambda request: request.internal,
        lambda network: network.internal,
    ),
    Field(
        "attachable",
        lambda request: request.attachable is not None,
        lambda request: request.attachable,
        lambda network: network.attachable,
    ),
    Field(
        "encrypted",
        lambda request: request.encrypted is not None,
        lambda request: request.encrypted,
        lambda network: network.encrypted,
    ),
    Field("mtu", lambda request: request.says_mtu, lambda request: request.mtu, lambda network: network.mtu),
    Field(
        "options",
        lambda request: request.options is not None,
        lambda request: request.options,
        lambda network: network.options,
    ),
    Field(
        "labels",
        lambda request: request.labels is not None,
        lambda request: request.labels,
        lambda network: network.labels,
    ),
)


def drift(request: Request, network: Network) -> list[Drift]:
    """Every field in which the live network is not what the request says, in the order of FIELDS."""
    if network.pending:
        return [Drift("subnet", "not allocated by the swarm", _text([str(cidr) for cidr in request.cidrs]))]
    found = []
    for field in FIELDS:
        if field.said(request):
            wanted, live = field.wanted(request), field.live(network)
            if wanted != live:
                found.append(Drift(field.name, _text(live), _text(wanted)))
    return found


def _text(value: Any) -> str:
    """A value as a person reads it in one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return ", ".join(f"{key}={value[key]}" for key in sorted(value)) or "empty"
    if isinstance(value, list):
        return ", ".join(value) or "of the engine's choice"
    return "the engine's default" if value is None else str(value)


def target(request: Request, live: Optional[Network] = None) -> Network:
    """The network that has to be made. What the request leaves open is taken over from the one that it replaces."""
    wanted = Network(
        name=request.name,
        # Only absent networks leave it open.
        driver=str(request.driver),
        scope="swarm" if request.driver == "overlay" else "local",
        subnets=request.subnets or (),
        ipv4=request.ipv4 is not False,
        ipv6=request.ipv6,
        internal=bool(request.internal),
        attachable=bool(request.attachable),
        encrypted=bool(request.encrypted),
        mtu=request.mtu,
        options=request.options or {},
        labels=request.labels or {},
    )
    if live is None or live.pending:
        return wanted
    kept: dict[str, Any] = {"subnets": _kept_subnets(request, live)}
    if request.ipv4 is None:
        kept["ipv4"] = live.ipv4
    if request.ipv6 is None:
        kept["ipv6"] = live.ipv6
    if request.internal is None:
        kept["internal"] = live.internal
    if request.labels is None:
        kept["labels"] = live.labels
    # The other fields mean something to their own driver alone.
    if request.driver == live.driver:
        if request.attachable is None:
            kept["attachable"] = live.attachable
        if request.encrypted is None:
            kept["encrypted"] = live.encrypted
        if not request.says_mtu:
            kept["mtu"] = live.mtu
        if request.options is None:
            kept["options"] = live.options
    return replace(wanted, **kept)


def _kept_subnets(request: Request, live: Network) -> tuple[Subnet, ...]:
    """The request's subnets with the live gateway, range and reserved addresses of the same subnet, where not said."""
    if request.subnets is None:
        return live.subnets
    before = {subnet.cidr: subnet for subnet in live.subnets}
    return tuple(
        Subnet(
            subnet.cidr,
            subnet.gateway if request.says_gateway else before[subnet.cidr].gateway,
            subnet.ip_range if request.says_ip_range else before[subnet.cidr].ip_range,
            before[subnet.cidr].reserved,
        )
        if subnet.cidr in before
        else subnet
        for subnet in request.subnets
    )


#: A key path and the network that goes; a request and the network that it comes to.
Removal = tuple[str, Network]
Creation = tuple[Request, Network]


@dataclass(frozen=True)
class Plan:
    """What has to be done, in this order: take ``removals`` away, go through ``migrations``, make ``creations``.

    A recreation stands in the first and the last. ``removals`` are (path, Network) pairs, ``creations`` are (Request,
    Network) pairs, ``kept`` are (Request, Network) pairs that are right already, ``migrations`` are migrate.Migration.
    """

    removals: tuple[Removal, ...]
    creations: tuple[Creation, ...]
    kept: tuple[Creation, ...]
    migrations: tuple[Migration, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.removals and not self.creations and not self.migrations

    @property
    def made(self) -> list[Creation]:
        """What comes, by migrations too."""
        return [*self.creations, *((item.request, item.wanted) for item in self.migrations if not item.wanted.id)]

    @property
    def touched(self) -> set[Optional[str]]:
        """The ids and names of the networks that go away or are migrated."""
        networks = [network for path, network in self.removals]
        networks += [end for item in self.migrations for end in (item.former, item.wanted, item.temporary) if end]
        return {network.name for network in networks} | {network.id for network in networks}

    @property
    def migrated_names(self) -> list[str]:
        return sorted(migration.name for migration in self.migrations)

    @property
    def removed_names(self) -> list[str]:
        return sorted({network.name for path, network in self.removals} - set(self.recreated_names))

    @property
    def created_names(self) -> list[str]:
        return sorted({network.name for request, network in self.creations} - set(self.recreated_names))

    @property
    def recreated_names(self) -> list[str]:
        gone = {network.name for path, network in self.removals}
        return sorted(network.name for request, network in self.creations if network.name in gone)


def make_plan(
    requests: list[Request], networks: list[Network], node: Node, purge: bool, recreate: str
) -> tuple[Plan, list[Mistake]]:
    """(Plan, mistakes) for requests against the live networks. Requests that are not sound only count as names.

    Who uses a network is not looked at here: see ``in_use`` and ``with_migrations``. ``recreate`` is ``never``,
    ``if_unused`` or ``migrate``; of the last only migrations that an earlier run began are migrations here.
    """
    mistakes = list(_wrong_node(requests, networks, node, purge))
    moving = temporaries(networks)
    by_name: dict[str, list[Network]] = {}
    for network in networks:
        by_name.setdefault(network.name, []).append(network)
    removals: list[Removal] = []
    creations: list[Creation] = []
    kept: list[Creation] = []
    migrations: list[Migration] = []
    for request in (request for request in requests if request.sound):
        live = by_name.get(request.name, [])
        if len(live) > 1:
            mistakes.append(
                Mistake(
                    f"{request.path}.name",
                    f"{len(live)} live networks called '{request.name}' "
                    f"({', '.join(str(network.id)[:12] for network in live)})",
                    "one",
                    "remove all but one: docker network rm ID",
                )
            )
        elif request.present and request.name in moving:
            _plan_resumed(request, live[0] if live else None, moving[request.name], recreate, migrations, mistakes)
        elif request.present:
            _plan_present(request, live[0] if live else None, recreate, (removals, creations, kept), mistakes)
        elif live:
            _plan_absent(request, live[0], removals, mistakes)
    if purge:
        named = {request.name for request in requests}
        removals.extend(
            ("purge", network)
            for network in sorted(networks, key=lambda network: network.name)
            if _purgeable(network, node) and not named & {network.name, network.labels.get(MIGRATES_LABEL)}
        )
    plan = Plan(tuple(removals), tuple(creations), tuple(kept), tuple(migrations))
    mistakes.extend(_live_overlaps(plan, networks))
    mistakes.extend(_taken_interfaces(plan, networks))
    return plan, mistakes


def _plan_present(
    request: Request,
    live: Optional[Network],
    recreate: str,
    lists: tuple[list[Removal], list[Creation], list[Creation]],
    mistakes: list[Mistake],
) -> None:
    removals, creations, kept = lists
    if live is None:
        creations.append((request, target(request)))
        return
    differences = drift(request, live)
    if not differences:
        kept.append((request, live))
    # A pending network of our own carries nothing: an earlier run was cut off before it could take it back.
    elif recreate != "never" or (live.pending and live.managed):
        removals.append((request.path, live))
        creations.append((request, target(request, live)))
    else:
        for difference in differences:
            mistakes.append(
                Mistake(
                    f"{request.path}.{difference.field}",
                    f"{difference.live} on the live network '{live.name}'",
                    difference.wanted,
                    "Docker cannot change a network: set recreate: if_unused to have it removed and "
                    "made again where nothing uses it, recreate: migrate to move what uses it meanwhile, "
                    "or write what is there",
                )
            )


def _plan_resumed(
    request: Request,
    live: Optional[Network],
    temporary: Network,
    recreate: str,
    migrations: list[Migration],
    mistakes: list[Mistake],
) -> None:
    """A temporary network is there: an earlier run was cut off. Where it stands shows in what else is there."""
    if recreate != "migrate":
        mistakes.append(
            Mistake(
                f"{request.path}.name",
                f"'{request.name}' with its temporary network '{temporary.name}', which an interrupted migration left",
                "a finished migration",
                "set recreate: migrate to have it finished",
            )
        )
        return
    former = live if live and drift(request, live) else None
    wanted = live if live and not former else target(request, live or former_of(temporary))
    migrations.append(Migration(request, former, wanted, temporary))


def _plan_absent(request: Request, live: Network, removals: list[Removal], mistakes: list[Mistake]) -> None:
    if request.driver is not None and live.driver and request.driver != live.driver:
        mistakes.append(
            Mistake(
                f"{request.path}.driver",
                f"{live.driver} on the live network '{live.name}'",
                request.driver,
                "leave out driver if this is the network to remove",
            )
        )
    else:
        removals.append((request.path, live))


def _purgeable(network: Network, node: Node) -> bool:
    if not network.managed or network.ingress or network.name in RESERVED_NAMES:
        return False
    return network.scope != "swarm" or node.is_manager


def _wrong_node(requests: list[Request], networks: list[Network], node: Node, purge: bool) -> Iterator[Mistake]:
    """One mistake for all overlays that cannot be reached from this node, and for a purge that would see half."""
    if node.is_manager:
        return
    scopes = {network.name: network.scope for network in networks}
    overlays = [request.name for request in requests if _needs_manager(request, scopes.get(request.name), node)]
    if overlays:
        yield Mistake(
            "networks",
            f"{', '.join(overlays)} on {node}",
            "a swarm manager: no other node sees and makes overlays",
            _node_remedy(node),
        )
    elif purge and node.kind == "leaderless":
        yield Mistake("purge", f"true on {node}", "a swarm with a leader", _node_remedy(node))


def _needs_manager(request: Request, live_scope: Optional[str], node: Node) -> bool:
    if request.driver is not None:
        return request.driver == "overlay"
    # Absent, driver open: a node of a swarm cannot say that no overlay has this name; a node of none can.
    return live_scope == "swarm" or (live_scope is None and node.kind != "inactive")


def _node_remedy(node: Node) -> str:
    if node.kind == "leaderless":
        return "bring back more than half of the managers, then run again"
    if node.kind == "inactive":
        return "run it on a manager, or first make this node one: docker swarm init --default-addr-pool CIDR"
    return "run it on a manager"


def with_migrations(
    plan: Plan,
    users: Users,
    node: Node,
    networks: list[Network],
    cidrs: tuple[Cidr, ...],
    pools: list[dict[str, Any]],
) -> tuple[Plan, list[Mistake]]:
    """(Plan, mistakes): recreations of networks in use as migrations, and everything that is on them.

    ``cidrs``: the subnets of temporary networks, empty for the engine's choice; ``pools``: the swarm's.
    """
    usage = read_usage(users)
    live = {network.name: network for path, network in plan.removals}
    fresh = [
        Migration(request, live[network.name], network, temporary_network(live[network.name], cidrs, True))
        for request, network in plan.creations
        if network.name in live and not live[network.name].pending and usage.of(live[network.name])
    ]
    names = {migration.name for migration in fresh}
    migrations = tuple(
        with_users(migration, users)
        for migration in sorted([*plan.migrations, *fresh], key=lambda migration: migration.request.index)
    )
    mistakes = [
        mistake for migration in migrations for mistake in forbidden(migration, users, networks, node, pools)
    ] + list(_out_of_order(migrations))
    return (
        Plan(
            tuple((path, network) for path, network in plan.removals if network.name not in names),
            tuple((request, network) for request, network in plan.creations if network.name not in names),
            plan.kept,
            migrations,
        ),
        mistakes,
    )


def _out_of_order(migrations: tuple[Migration, ...]) -> Iterator[Mistake]:
    """Migrations go one at a time: none can take the addresses of another one that has not moved yet."""
    owned = [(cidr, (migration, False)) for migration in migrations for cidr in migration.wanted.cidrs]
    owned += [
        (cidr, (migration, True)) for migration in migrations if migration.former for cidr in migration.former.cidrs
    ]
    for pair in overlaps(owned):
        new = next((end for end in pair if not end[1][1]), None)
        old = next((end for end in pair if end[1][1]), None)
        if new and old and old[1][0].request.index > new[1][0].request.index:
            yield Mistake(
                f"{new[1][0].request.path}.subnet",
                str(new[0]),
                f"a subnet apart from the live network '{old[1][0].name}' with {old[0]}, which is migrated later",
                f"put '{old[1][0].name}' first in the list, or migrate the two in separate runs",
            )


def _live_overlaps(plan: Plan, networks: list[Network]) -> Iterator[Mistake]:
    """Networks that are to be made on addresses of one that stays.

    The engine itself refuses only an overlap of two bridges; overlays it takes silently and never allocates.
    """
    gone = {network.id for path, network in plan.removals}
    gone |= {migration.former.id for migration in plan.migrations if migration.former}
    made = plan.creations + tuple(
        (migration.request, migration.wanted) for migration in plan.migrations if not migration.wanted.id
    )
    owned: list[tuple[Cidr, tuple[Optional[Request], Network]]] = []
    owned += [(cidr, (None, network)) for network in networks if network.id not in gone for cidr in network.cidrs]
    owned += [(cidr, (request, network)) for request, network in made for cidr in network.cidrs]
    for one, other in overlaps(owned):
        # Two live ones are in no request; two requested ones were reported when the requests were read.
        new, old = (one, other) if one[1][0] is not None else (other, one)
        request, live = new[1][0], old[1][1]
        if request is None or old[1][0] is not None:
            continue
        yield Mistake(
            f"{request.path}.subnet",
            str(new[0]),
            f"a subnet apart from the live {live.driver} network '{live.name}' with {old[0]}",
            f"give another subnet, or remove '{live.name}' first",
        )


def _taken_interfaces(plan: Plan, networks: list[Network]) -> Iterator[Mistake]:
    """Bridges that are to be made on the interface of a network that stays.

    Engine 20.10 takes it over, with its addresses: what is on the other network is cut off. 26.1 refuses docker0.
    """
    gone = {network.id for path, network in plan.removals}
    gone |= {migration.former.id for migration in plan.migrations if migration.former}
    owners = {
        # The name that an engine gives where none is asked for.
        network.options.get(BRIDGE_NAME_OPTION) or f"br-{str(network.id)[:12]}": network
        for network in networks
        if network.driver == "bridge" and network.id not in gone
    }
    for request, network in plan.made:
        owner = owners.get(network.options.get(BRIDGE_NAME_OPTION, ""))
        if owner is not None:
            yield Mistake(
                f"{request.path}.options.{BRIDGE_NAME_OPTION}",
                f"'{network.options[BRIDGE_NAME_OPTION]}'",
                f"an interface that the live network '{owner.name}' does not have",
                "give another name",
            )


def taken_over(plan: Plan, networks: list[Network], interfaces: Container[str]) -> Iterator[str]:
    """A warning for each bridge that is to be made on an interface of the host that no network has.

    An engine uses one that is there, and gives it the network's address in place of its own (seen on 20.10 with docker0).
    """
    owned = {network.options.get(BRIDGE_NAME_OPTION) for network in networks}
    for request, network in plan.creations:
        name = network.options.get(BRIDGE_NAME_OPTION, "")
        if name in interfaces and name not in owned:
            yield (
                f"{request.path}: the host has an interface {name}, which no Docker network has: network {network.name} takes "
                "it over, with its addresses. Give another name, unless it was made for this"
            )


def without_ipv4(requests: list[Request], answers: list[dict[str, Any]]) -> Iterator[Mistake]:
    """Networks without IPv4 on an engine that makes none. ``answers``: GET /networks, where only engines that can say
    whether a network has IPv4."""
    if any("EnableIPv4" in answer for answer in answers):
        return
    for request in requests:
        if request.sound and request.present and request.ipv4 is False:
            expected = "Engine 28 or newer: this one gives every network IPv4"
            yield Mistake(f"{request.path}.enable_ipv4", "false", expected, "give an IPv4 subnet as well, or update it")


def overlays_with_ipv6(plan: Plan, answers: list[dict[str, Any]]) -> Iterator[Mistake]:
    """New overlays with IPv6, which the Swarm does not allocate (moby issue 52469; 28.5.2, not 26.1)."""
    if not any("EnableIPv4" in answer for answer in answers):
        return
    for request, network in plan.made:
        six = [str(cidr) for cidr in network.cidrs if cidr.version == 6]
        if network.driver == "overlay" and six:
            expected = "IPv4 alone: this engine's Swarm allocates no IPv6 subnet"
            yield Mistake(f"{request.path}.subnet", ", ".join(six), expected, "leave it out, or take a bridge")


def in_use(plan: Plan, usage: Usage) -> Iterator[Mistake]:
    """A mistake for each removal of a network in use."""
    recreated = set(plan.recreated_names)
    for path, network in plan.removals:
        users = usage.of(network)
        if users:
            doing = "recreated" if network.name in recreated else "removed"
            yield Mistake(
                path,
                f"network '{network.name}' in use by {', '.join(users)}",
                f"a network that nothing uses, to be {doing}",
                "detach or remove these first",
            )
